"""An atomic run leaves all of its tables, or all of them as they were before it."""

from __future__ import annotations

import sys
import threading
import types
from pathlib import Path

import msgspec
import pytest
from fakes import fill_the_disk_of_journals, row
from lake_project import Lake
from lazily import pd
from real_project import registry_row

from odibi_nb import GenericProjectOrchestrator, HookManager
from odibi_nb.core.runlog import run_lease
from odibi_nb.core.text.json import decode_json
from odibi_nb.engines.pandas.engine import PandasEngine
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


def test_a_run_that_another_one_has_replaced_takes_nothing_back(lake):
    """The other run may have read its tables, so they stay; the warning names the command's run."""
    hooks, other_hooks = HookManager(), HookManager()
    begun, first_ended, other = threading.Event(), threading.Event(), []

    def begin(payload):
        other.append(payload["run_id"])
        begun.set()
        first_ended.wait(60)

    def replace(payload):
        if payload["transformation_id"] == "S1":
            thread.start()
            assert begun.wait(60)

    thread = threading.Thread(target=lambda: lake.run(force=True, hooks=other_hooks))
    other_hooks.register("run_start", begin)
    hooks.register("transform_start", replace)
    try:
        result = lake.run(atomic=True, hooks=hooks)
    finally:
        first_ended.set()
        thread.join()
    assert (result.rolled_back, result.not_rolled_back) == ((), ())
    (warning,) = [text for text in result.warnings if text.startswith("atomic: ")]
    assert "nothing was rolled back: another run has replaced this run: " in warning
    assert other[0] in warning
    assert warning.endswith(f"roll back run {result.run_id}")


def test_a_run_with_an_abandoned_row_is_taken_back(lake, monkeypatch):
    """The thread of a row that does not stop may commit late, so the run looks at its tables twice."""
    gate = types.ModuleType("gate_of_test")
    gate.go = threading.Event()
    monkeypatch.setitem(sys.modules, "gate_of_test", gate)
    (lake.home / "plant_functions.py").write_text(
        (lake.home / "plant_functions.py").read_text()
        + "\n\ndef broken(inputs, context):\n    import gate_of_test\n    gate_of_test.go.wait(60)\n"
    )
    project = GenericProjectOrchestrator(
        "Plant One", manifest_path=lake.path, log_level="CRITICAL", hooks=(hooks := HookManager())
    )

    def abandon(payload):
        if payload["transformation_id"] == "S1":
            for _ in range(3):
                project.cancel()

    hooks.register("transform_start", abandon)
    try:
        result = project.run(atomic=True)
    finally:
        gate.go.set()
    assert result.transformations["S1"].status.value == "ABANDONED"
    assert result.rolled_back == ("bronze.x",)
    assert lake.values("bronze.x") == [0, 1, 2]


def test_a_run_whose_tables_cannot_be_read_says_so(lake):
    """If the storage fails while a run takes itself back, it ends, and the warning names the run."""
    hooks = HookManager()

    def corrupt(_):
        newest = max(Path(lake.uri("bronze.x"), "_delta_log").glob("*.json"))
        newest.write_text("no JSON")

    hooks.register("transform_failure", corrupt)
    result = lake.run(atomic=True, hooks=hooks)
    assert result.status.value == "failed"
    assert result.rolled_back == ()
    (warning,) = [text for text in result.warnings if text.startswith("atomic: ")]
    assert "not rolled back: " in warning


def test_a_run_that_cannot_renew_its_lease_takes_nothing_back_and_ends(lake, monkeypatch):
    """The run ends and its warning says what to do, because the run of another machine may own the tables by now."""
    monkeypatch.setattr(run_lease, "VALID_SECONDS", -1.0)  # every look at the lease renews it
    manifest = decode_json(lake.path.read_bytes())
    manifest["environments"]["qat"]["shared"] = True
    lake.path.write_bytes(msgspec.json.encode(manifest))
    hooks = HookManager()

    def break_lease(_):
        for log in Path(lake.home).glob("lake/**/_delta_log"):
            if "lease" in log.parent.name.lower():
                log.rename(log.with_name("away"))
                log.touch()

    hooks.register("transform_failure", break_lease)
    result = lake.run(atomic=True, hooks=hooks)
    assert result.status.value == "failed"
    assert (result.rolled_back, lake.values("bronze.x")) == ((), [0, 1, 2, 3, 4])
    (warning,) = [text for text in result.warnings if text.startswith("atomic: ")]
    assert "not rolled back: " in warning
    assert warning.endswith(f"roll back run {result.run_id}")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux: a disk that is full")
def test_a_run_without_a_journal_is_taken_back(lake):
    """On a full disk the run knows the outputs of a failed row from its plan."""
    hooks = HookManager()
    hooks.register("run_start", lambda _: fill_the_disk_of_journals())
    result = lake.run(atomic=True, hooks=hooks)
    assert any("the journal is incomplete" in text for text in result.warnings)
    assert result.rolled_back == ("bronze.x",)
    assert lake.values("bronze.x") == [0, 1, 2]


def test_a_table_that_cannot_be_restored_leaves_no_other_behind(project, tmp_path):
    """Each table is restored on its own: the warning names the one that failed, and its error."""

    class Refusing(PandasEngine):
        def restore(self, table, *arguments, **keywords):
            if table.key == "b.x":
                raise OSError("the storage refuses")
            super().restore(table, *arguments, **keywords)

    fails = []

    def last():
        if fails:
            raise KeyError("x")

    p = project(
        row("X", lambda: pd.DataFrame({"x": [len(fails)]}), outputs=[{"table": "b.x"}]),
        row("Y", lambda: pd.DataFrame({"x": [len(fails)]}), outputs=[{"table": "b.y"}]),
        row("Z", last, layer="Gold_1"),
    )
    p.tables = Refusing(str(tmp_path / "lake"))
    p.run().raise_for_status()
    fails.append(True)
    result = p.run(atomic=True)
    assert (result.rolled_back, result.not_rolled_back) == (("b.y",), ("b.x",))
    assert any("b.x (OSError: the storage refuses)" in text for text in result.warnings)
