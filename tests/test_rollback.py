"""A rollback restores exactly the versions before a run, or refuses before it touches anything."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from lake_project import Lake
from lazily import deltalake
from prepared_folder import PreparedFolder
from real_project import registry_row

from odibi_nb import GenericProjectOrchestrator, HookManager
from odibi_nb.cli import main
from odibi_nb.core.model.manifest import DEFAULT_LAKE
from odibi_nb.core.runlog.compare_runs import compare_runs
from odibi_nb.errors import ConfigurationError
from odibi_nb.sources.table import registry_in_database


def bronze(rows):
    return registry_row("B1", "Bronze", "load", constants={"rows": rows}, outputs=["bronze.x"])


SILVER = registry_row("S1", "Silver_1", "double", ["bronze.x"], outputs=["silver.x"])


def run_twice(folder):
    lake = Lake(folder, [bronze(3), SILVER])
    lake.run().raise_for_status()
    lake.run(overrides={"B1": {"rows": 5}}).raise_for_status()


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return PreparedFolder(tmp_path_factory.mktemp("lake") / "prepared", run_twice)


@pytest.fixture
def lake(prepared, tmp_path):
    """A project of two rows that ran twice: with 3 rows, then with 5."""
    prepared.copy_to(tmp_path)
    return Lake(tmp_path)


def test_restores_the_versions_before_a_run_downstream_first(lake):
    """All tables of the run are as before, the downstream table first; log and commits say so."""
    ended = []
    hooks = HookManager()
    hooks.register("transform_success", lambda payload: ended.append(payload["transformation_id"]))
    result = lake.rollback(hooks=hooks).raise_for_status()
    assert ended == ["rollback silver.x", "rollback bronze.x"]
    assert lake.values("bronze.x") == [0, 1, 2]
    assert lake.values("silver.x") == [0, 2, 4]
    newest, before, _ = lake.runs()
    assert (newest["run_id"], newest["rollback_of"]) == (result.run_id, before["run_id"])
    assert result.rollback_of == before["run_id"]
    assert {r.status.value for r in result.transformations.values()} == {"SUCCESS"}
    commit = lake.table("silver.x").history(1)[0]
    assert (commit["run_id"], commit["rolls_back"]) == (result.run_id, before["run_id"])
    (written,) = result.transformations["rollback silver.x"].outputs_written
    assert (written.mode, written.previous_version, written.version) == ("restore", 1, 2)


def test_a_second_rollback_of_last_changes_nothing(lake):
    """``last`` is never a rollback, so asking twice does not undo two runs; the answer says why."""
    first = lake.rollback()
    digest = lake.version("bronze.x"), lake.version("silver.x")
    again = lake.rollback()
    assert not again.transformations
    assert first.run_id in again.warnings[-1]
    assert "silver.x (already as before the run" in again.warnings[-1]
    assert (lake.version("bronze.x"), lake.version("silver.x")) == digest


def test_a_rollback_of_a_rollback_brings_the_run_back(lake):
    """A rollback can be rolled back, and then the run can be rolled back again."""
    ran = lake.runs()[0]["run_id"]
    undone = lake.rollback(ran)
    lake.rollback(undone.run_id).raise_for_status()
    assert lake.values("silver.x") == [0, 2, 4, 6, 8]
    lake.rollback(ran).raise_for_status()
    assert lake.values("silver.x") == [0, 2, 4]


def test_refuses_what_others_wrote_since_all_at_once(lake):
    """Tables that others wrote are named together, nothing is touched; force undoes theirs, too."""
    lake.write("silver.x", [99])
    lake.write("bronze.x", [77])
    digest = lake.digest()
    with pytest.raises(ConfigurationError) as refused:
        lake.rollback()
    assert "silver.x was written by others since: v2 (WRITE" in str(refused.value)
    assert "bronze.x was written by others since: v2 (WRITE" in str(refused.value)
    assert lake.digest() == digest
    result = lake.rollback(force=True).raise_for_status()
    assert lake.values("silver.x") == [0, 2, 4]
    assert any("silver.x: also undoes v2" in text for text in result.warnings)


def test_a_later_run_counts_as_another_writer(lake):
    """An earlier run is refused while a later one stands on it; newest first both can be undone."""
    second, first = [run["run_id"] for run in lake.runs()]
    with pytest.raises(ConfigurationError, match=rf"bronze.x.*run {second}, B1"):
        lake.rollback(first)
    lake.rollback(second).raise_for_status()
    lake.rollback(first).raise_for_status()
    assert lake.values("bronze.x") == []


def test_compaction_since_does_not_count_as_a_writer(lake):
    """OPTIMIZE changes no data, so it does not stop a rollback."""
    lake.run(select=["B1"], overrides={"B1": {"rows": 9}}).raise_for_status()
    lake.table("bronze.x").optimize.compact()
    lake.rollback().raise_for_status()
    assert lake.values("bronze.x") == [0, 1, 2, 3, 4]


def test_a_table_that_the_run_created_is_emptied_or_dropped(tmp_path):
    """Created tables keep their history without rows, and the plan says so; drop removes them."""
    lake = Lake(tmp_path, [bronze(3), SILVER])
    lake.run().raise_for_status()
    plan = lake.rollback(dry_run=True)
    assert {(t.table, t.action, t.rows_removed) for t in plan.tables} == {
        ("bronze.x", "empty", 3),
        ("silver.x", "empty", 3),
    }
    assert "created" in plan.tables[0].note
    lake.rollback(select=["S1"]).raise_for_status()
    assert lake.values("silver.x") == []
    assert lake.values("bronze.x") == [0, 1, 2]
    lake.rollback(drop=True).raise_for_status()
    assert not Path(lake.uri("bronze.x")).exists()
    assert lake.values("silver.x") == []
    assert "as before the run" in lake.rollback().warnings[-1]


def test_removed_files_are_found_before_anything_is_touched(lake):
    """A version whose files VACUUM removed is refused by name, and no other table is restored."""
    lake.table("bronze.x").vacuum(0, dry_run=False, enforce_retention_duration=False)
    digest = lake.digest()
    with pytest.raises(ConfigurationError, match=r"bronze.x.*files of version 0 were removed"):
        lake.rollback()
    assert lake.digest() == digest


def test_a_table_that_was_made_again_is_refused(lake):
    """A table that was dropped, or dropped and created again, has no version from before."""
    shutil.rmtree(lake.uri("bronze.x"))
    with pytest.raises(ConfigurationError, match=r"bronze.x cannot.*dropped since"):
        lake.rollback()
    lake.write("bronze.x", [1])
    with pytest.raises(ConfigurationError, match=r"bronze.x cannot.*dropped and created again"):
        lake.rollback()
    assert lake.values("silver.x") == [0, 2, 4, 6, 8]


def test_an_append_only_table_is_refused(lake):
    """delta-rs would remove rows of a table that only takes appends, so the rollback refuses."""
    lake.table("bronze.x").alter.set_table_properties({"delta.appendOnly": "true"})
    with pytest.raises(ConfigurationError, match=r"bronze.x cannot.*append-only"):
        lake.rollback(force=True)


def test_a_dry_run_writes_nothing(lake, capsys):
    """The plan shows versions and rows; lake, registry, log and state keep every byte."""
    digest = lake.digest()
    words = ["rollback", "--dry-run", "--manifest", str(lake.path)]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "silver.x" in shown
    assert "restore" in shown
    lake.write("silver.x", [99])
    digest = lake.digest()
    assert main(words) == 2
    assert "written by others since" in capsys.readouterr().out
    assert lake.digest() == digest


def appending(name, value):
    row = registry_row(name, "Bronze", "add", constants={"value": value}, outputs=["bronze.all"])
    return {**row, "outputs": [{"table": "bronze.all", "mode": "append"}]}


def test_several_writes_of_one_run_go_back_to_before_the_first(tmp_path):
    """Rows that append to one table are undone together; one of them alone is refused."""
    lake = Lake(tmp_path, [appending("A1", 1), appending("A2", 2), appending("A3", 3)])
    lake.run().raise_for_status()
    lake.run().raise_for_status()
    with pytest.raises(ConfigurationError, match=r"bronze.all was also written by A"):
        lake.rollback(select=["A2"])
    lake.rollback(select=["A*"]).raise_for_status()
    assert lake.values("bronze.all") == [1, 2, 3]


def test_a_run_is_rolled_back_with_its_retries(tmp_path):
    """The original takes its retries along, a retry only itself; a retry of either is refused then."""
    rows = [bronze(3), registry_row("S1", "Silver_1", "broken", ["bronze.x"], outputs=["silver.x"])]
    lake = Lake(tmp_path, rows)
    assert lake.run().status.value == "failed"
    registry_in_database("sqlite:///registry.db", folder=lake.home).upsert([SILVER])
    project = GenericProjectOrchestrator("Plant One", manifest_path=lake.path, log_level="CRITICAL")
    retried = project.retry().raise_for_status()
    lake.rollback(retried.run_id).raise_for_status()
    assert lake.values("silver.x") == []
    assert lake.values("bronze.x") == [0, 1, 2]
    lake.rollback(retried.retry_of).raise_for_status()
    assert lake.values("bronze.x") == []
    with pytest.raises(ConfigurationError, match="was rolled back by run"):
        project.retry(retried.retry_of)
    with pytest.raises(ConfigurationError, match="was rolled back by run"):
        project.retry()
    with pytest.raises(ConfigurationError, match="is a rollback"):
        project.retry(lake.runs()[0]["run_id"])


def test_a_protected_environment_asks(tmp_path):
    """A rollback in a protected environment needs the project's name, as a run does."""
    rows = [{**bronze(3), "environment": "prod"}]
    lake = Lake(tmp_path, rows)
    lake.run(env="prod", confirm="Plant One").raise_for_status()
    with pytest.raises(ConfigurationError, match="is protected"):
        lake.rollback(env="prod")
    assert lake.values("bronze.x") == [0, 1, 2]
    lake.rollback(env="prod", confirm="Plant One").raise_for_status()
    assert lake.values("bronze.x") == []


def test_an_unknown_run_and_selection_are_one_message(lake):
    """A misspelled run or row is a message with the remedy, not a rollback of something else."""
    with pytest.raises(ConfigurationError, match="has no run 'nope'"):
        lake.rollback("nope")
    with pytest.raises(ConfigurationError, match="B2"):
        lake.rollback(select=["B2"])
    digest = lake.digest()
    assert main(["rollback", "nope", "--manifest", str(lake.path)]) == 2
    assert lake.digest() == digest


def test_the_last_run_is_no_rollback(lake):
    """``last`` of states, retries and comparisons is the newest run of the project's own rows."""
    newest = lake.runs()[0]["run_id"]
    lake.rollback()
    project = GenericProjectOrchestrator("Plant One", manifest_path=lake.path, log_level="CRITICAL")
    assert [*project.plan(select=["state:success"]).rows] == ["B1", "S1"]
    compared = compare_runs(project.sinks(), "Plant One", "qat")
    assert compared.runs[1]["run_id"] == newest
    project.close()


def test_a_lake_at_a_url_is_rolled_back_but_drops_no_tables(tmp_path):
    """If tables cannot be dropped, the rollback refuses --drop before it restores any; without --drop it empties them."""
    there = {"engine": "pandas", "registry": "sqlite:///registry.db"}
    there["lake"] = (tmp_path / "lake").as_uri()
    lake = Lake(tmp_path, [bronze(3), SILVER], environments={"qat": there})
    lake.run().raise_for_status()
    with pytest.raises(ConfigurationError, match=r"bronze.x cannot .* cannot be dropped"):
        lake.rollback(drop=True)
    lake.rollback().raise_for_status()
    path = tmp_path / "lake" / "silver" / "x"
    assert deltalake.DeltaTable(str(path)).to_pyarrow_table().num_rows == 0
    lake.run(overrides={"B1": {"rows": 5}}).raise_for_status()
    lake.rollback().raise_for_status()
    assert "as before the run" in lake.rollback().warnings[-1]


def test_a_rewrite_for_a_new_type_belongs_to_the_run(tmp_path):
    """A column without values gets its type by a commit before the append; both are undone."""
    nothing = appending("A1", None)
    lake = Lake(tmp_path, [nothing])
    lake.run().raise_for_status()
    lake.run(overrides={"A1": {"value": 1.5}}).raise_for_status()
    assert lake.version("bronze.all") == 2
    (table,) = lake.rollback(dry_run=True).tables
    assert (table.restores, table.others) == (0, ())


def test_commits_during_the_rollback_are_never_overwritten(tmp_path):
    """A commit of others between plan and restore stays: its table fails by name, and the other tables go back."""
    rows = [
        registry_row(f"B{n}", "Bronze", "load", constants={"rows": 3}, outputs=[f"bronze.t{n}"])
        for n in range(6)
    ]
    lake = Lake(tmp_path, rows)
    lake.run().raise_for_status()
    lake.run(overrides={f"B{n}": {"rows": 5} for n in range(6)}).raise_for_status()
    foreign = ["bronze.t1", "bronze.t4"]
    hooks = HookManager()

    hooks.register("configs_loaded", lambda _: [lake.write(table, [99]) for table in foreign])
    result = lake.rollback(hooks=hooks)
    failed = {r.transformation_id.removeprefix("rollback ") for r in result.failures()}
    assert failed == {*foreign}
    assert "another writer changed the table" in result.failures()[0].reason
    for n in range(6):
        table = f"bronze.t{n}"
        expected = [0, 1, 2, 3, 4, 99] if table in foreign else [0, 1, 2]
        assert lake.values(table) == expected


def test_runs_of_older_versions_are_undone_by_their_commits_alone(lake):
    """A log without the newer columns, and without journals, leaves the registry's outputs to look at."""
    log = lake.home / DEFAULT_LAKE / "config_driven"
    for name, columns in (
        ("transformationrunlog", ["inputs_read", "outputs_written"]),
        ("transformationrun", ["rollback_of"]),
    ):
        rows = deltalake.DeltaTable(str(log / name)).to_pyarrow_table().drop_columns(columns)
        deltalake.write_deltalake(str(log / name), rows, mode="overwrite", schema_mode="overwrite")
    shutil.rmtree(lake.home / ".odibi" / "runs")
    before = lake.runs()[0]["run_id"]
    lake.rollback().raise_for_status()
    assert lake.values("silver.x") == [0, 2, 4]
    assert lake.runs()[0]["rollback_of"] == before
    assert not lake.rollback().transformations
