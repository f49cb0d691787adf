"""An atomic run leaves all of its tables, or all of them as they were before it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from lake_project import Lake
from real_project import registry_row

from odibi_nb import GenericProjectOrchestrator, HookManager
from odibi_nb.errors import ConfigurationError
from odibi_nb.sources.table import registry_in_database


def bronze(rows):
    return registry_row("B1", "Bronze", "load", constants={"rows": rows}, outputs=["bronze.x"])


def silver(function):
    return registry_row("S1", "Silver_1", function, ["bronze.x"], outputs=["silver.x"])


def change(lake, *rows):
    registry_in_database("sqlite:///registry.db", folder=lake.home).upsert(rows)


@pytest.fixture
def lake(tmp_path):
    """A project that ran once with 3 rows, and whose second row fails from now on."""
    found = Lake(tmp_path, [bronze(3), silver("double")])
    found.run().raise_for_status()
    change(found, bronze(5), silver("broken"))
    return found


def test_a_failed_atomic_run_restores_what_it_wrote(lake):
    """After a failure the tables have the old rows; result, warnings and log name the tables."""
    result = lake.run(atomic=True)
    assert result.status.value == "failed"
    assert result.rolled_back == ("bronze.x",)
    assert lake.values("bronze.x") == [0, 1, 2]
    assert any("atomic: rolled back 1 table: bronze.x" in text for text in result.warnings)
    assert "atomic: rolled back 1 table" in lake.runs()[0]["warnings"]
    commit = lake.table("bronze.x").history(1)[0]
    assert (commit["run_id"], commit["rolls_back"]) == (result.run_id, result.run_id)


def test_without_atomic_a_failed_run_leaves_its_tables(lake):
    """A usual run keeps what its successful rows wrote."""
    result = lake.run()
    assert result.rolled_back == ()
    assert lake.values("bronze.x") == [0, 1, 2, 3, 4]


def test_a_successful_atomic_run_keeps_everything(lake):
    """Success takes nothing back."""
    change(lake, silver("double"))
    result = lake.run(atomic=True).raise_for_status()
    assert result.rolled_back == ()
    assert lake.values("silver.x") == [0, 2, 4, 6, 8]


def test_created_tables_disappear(tmp_path):
    """Tables that did not exist before a failed atomic run do not exist after it."""
    lake = Lake(tmp_path, [bronze(3), silver("broken")])
    lake.run(atomic=True)
    assert not Path(lake.uri("bronze.x")).exists()


def test_commits_of_others_stay(lake):
    """A table that another writer changed after the run stays as it is, and is named."""
    hooks = HookManager()
    hooks.register("transform_success", lambda _: lake.write("bronze.x", [99]))
    result = lake.run(atomic=True, hooks=hooks)
    assert result.rolled_back == ()
    assert result.not_rolled_back == ("bronze.x",)
    assert 99 in lake.values("bronze.x")
    assert any("not rolled back: bronze.x (others wrote it since" in w for w in result.warnings)


def test_a_cancelled_and_a_timed_out_run_are_taken_back(lake):
    """A cancel and the run's timeout are no successes either."""
    (lake.home / "plant_functions.py").write_text(
        (lake.home / "plant_functions.py").read_text()
        + "\n\ndef broken(inputs, context):\n"
        + "    import time\n    while not context.should_stop():\n        time.sleep(0.002)\n"
    )
    result = lake.run(atomic=True, run_timeout_seconds=1.0)
    assert (result.status.value, result.rolled_back) == ("failed", ("bronze.x",))
    project = GenericProjectOrchestrator(
        "Plant One", manifest_path=lake.path, log_level="CRITICAL", hooks=(hooks := HookManager())
    )
    started = threading.Event()

    def cancel(payload):
        if payload["transformation_id"] == "S1":
            started.set()
            project.cancel()
            project.cancel()

    hooks.register("transform_start", cancel)
    result = project.run(atomic=True)
    assert started.is_set()
    assert (result.status.value, result.rolled_back) == ("cancelled", ("bronze.x",))
    assert lake.values("bronze.x") == [0, 1, 2]


def test_tables_that_could_not_be_restored_are_refused_before_the_run(lake):
    """An atomic run over an append-only table would be a promise that it cannot keep."""
    lake.table("bronze.x").alter.set_table_properties({"delta.appendOnly": "true"})
    before = lake.version("bronze.x")
    with pytest.raises(
        ConfigurationError, match=r"bronze.x could not be rolled back: .*append-only"
    ):
        lake.run(atomic=True)
    assert lake.version("bronze.x") == before


def test_a_retry_of_a_run_that_took_itself_back_is_refused(lake):
    """Its successes are gone, so a retry of the rest would build on older tables."""
    lake.run(atomic=True)
    project = GenericProjectOrchestrator("Plant One", manifest_path=lake.path, log_level="CRITICAL")
    with pytest.raises(ConfigurationError, match="because it was atomic"):
        project.retry()
    change(lake, silver("double"))
    lake.run(atomic=True).raise_for_status()
    assert lake.values("silver.x") == [0, 2, 4, 6, 8]
