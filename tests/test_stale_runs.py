"""Runs of stale rows: which rows run after a change, and which end unchanged."""

from __future__ import annotations

import shutil

import pytest
from lazily import deltalake, pa
from prepared_folder import PreparedFolder
from stale_project import StaleProject, forget_modules

from odibi_nb.views.json_documents import status_document
from odibi_nb.views.plan.plan_html import plan_html
from odibi_nb.views.plan.plan_text import plan_text
from odibi_nb.views.plan.status import status_html, status_text
from odibi_nb.views.run.state import RunState, snapshot_of


@pytest.fixture
def own_project(tmp_path, clean_modules):
    """A project on pandas that has run once, with files that a test may change."""
    project = StaleProject(tmp_path)
    project.run().raise_for_status()
    return project


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stale") / "prepared"
    return PreparedFolder(folder, lambda folder: StaleProject(folder).run().raise_for_status())


@pytest.fixture
def project(prepared, tmp_path, clean_modules):
    """The same as a copy; its raw files are those of all copies, because copies of them are other files."""
    prepared.copy_to(tmp_path, but=["raw"])
    (tmp_path / "raw").symlink_to(prepared.folder / "raw")
    forget_modules()
    return StaleProject(tmp_path, written=True)


def commits(project):
    """The commits of the lake's tables, without the run log's."""
    found = (project.folder / "lake").rglob("_delta_log/*.json")
    return {path for path in found if "config_driven" not in path.parts}


def test_a_run_of_what_is_stale_runs_nothing_if_nothing_is(project):
    """There is no run, no record and no commit; the result gives the reason."""
    before = sorted(project.folder.rglob("*.json"))
    result = project.run(stale=True)
    assert (result.run_id, result["status"]) == ("", "success")
    assert result.warnings == ["nothing to run: all 11 rows are fresh"]
    assert sorted(project.folder.rglob("*.json")) == before


def test_a_row_whose_upstream_wrote_the_same_rows_ends_unchanged(own_project):
    """With skip_unchanged the upstream row commits nothing, and its dependants do not run."""
    project = own_project
    outputs = [{"table": "bronze.a", "skip_unchanged": True}]
    project.change_row("B1", outputs=outputs)
    project.ran()  # the commit without a hash is replaced by one with it
    project.change_row("B1", always_run=True)
    before = commits(project)
    result = project.run(stale=True)
    statuses = {n: t.status.value for n, t in result.transformations.items()}
    waiting = dict.fromkeys(("S1", "S3", "G1", "G3"), "UNCHANGED")
    assert statuses == {"B1": "SUCCESS", **waiting}
    assert result["status"] == "success"
    assert result.layers_executed
    assert commits(project) == before
    records = {r["transformation_id"]: r["status"] for r in result.records}
    assert records == statuses
    upstream = {"S1": "B1", "S3": "B1", "G1": "S1", "G3": "G1"}
    reasons = {n: f"nothing that it reads has changed (upstream: {u})" for n, u in upstream.items()}
    reasons["B1"] = "the row sets always_run; constants changed (always_run: none → true)"
    assert {n: t.why for n, t in result.transformations.items()} == reasons
    assert project.opened().retry().warnings[-1].startswith("nothing to retry")
    project.values["a"] = "4321"
    project.file("a")
    ran, unchanged = project.ran()
    assert (ran, unchanged) == ({"B1", "S1", "S3", "G1", "G3"}, set())
    assert project.why()["B1"] == "the row sets always_run"


def test_a_declared_dependency_is_cut_off_only_if_its_row_did_not_run(project):
    """depends_on names effects that no read shows: its row runs after that row has run, even without new data."""
    project.change_row("B2", outputs=[{"table": "bronze.b", "skip_unchanged": True}])
    project.ran()
    project.change_row("B2", always_run=True)
    project.ran()
    last = project.run(stale=True).transformations
    assert (last["S4"].status.value, last["G2"].status.value) == ("UNCHANGED", "UNCHANGED")
    project.change_row("S4", outputs=[{"table": "silver.shifted", "skip_unchanged": True}])
    last = project.run(stale=True).transformations
    assert {last["S4"].status.value, last["G2"].status.value} == {"SUCCESS"}
    assert (last["S2"].status.value, last["G2"].why) == ("UNCHANGED", "upstream S4 ran")
    assert set(project.run(stale=True).transformations) >= {"G2"}
    assert "G2" not in project.ran()[0]


def test_the_cockpit_shows_why_a_row_runs_and_what_it_changed(own_project):
    """At first the plan's reason; when a row's turn has come, the data that made it stale; live and saved."""
    project = own_project
    project.values["a"] = "4321"
    project.file("a")
    live = RunState()
    result = project.opened(views=[live]).run(stale=True)
    last = result.transformations["S1"]
    (read,) = last.inputs_read
    assert last.why.startswith(f"input bronze.a v{read.version - 1} → v{read.version} (run ")
    saved = {row.id: row for row in snapshot_of(result).rows}
    seen = {row.id: row for row in live.snapshot().rows}
    assert {name: (row.why, row.change, row.bars) for name, row in seen.items()} == {
        name: (row.why, row.change, row.bars) for name, row in saved.items()
    }
    assert saved["S1"].why == last.why
    assert saved["S1"].change == "±0 net"
    (line,) = saved["S1"].bars[0].written
    assert line.endswith("→ v1: ±0 net")
    usual = snapshot_of(project.run())
    assert {row.why for row in usual.rows} == {""}


def test_a_failed_row_leaves_the_rows_below_it_stale(project):
    """A skipped row is not fresh, and a retry runs it."""
    project.change_row("S1", fail=True)
    result = project.run(stale=True)
    assert {n: t.status.value for n, t in result.transformations.items()} == {
        "S1": "FAILED",
        "G1": "SKIPPED",
        "G3": "SKIPPED",
    }
    project.change_row("S1", fail=None)
    assert project.why() == {
        "S1": "last attempt failed",
        "G1": "upstream S1 will run",
        "G3": "upstream G1 will run",
    }
    retried = project.opened().retry()
    assert {t.status.value for t in retried.transformations.values()} == {"SUCCESS"}
    assert project.why() == {}


def test_states_select_rows_and_plans_name_the_reasons(project):
    """state: works in every selection, and a plan of stale rows has a reason for each row."""
    project.change_constant_of_helper()
    project.add_row()
    plan = project.opened().plan(select=["state:modified+"])
    assert set(plan.rows) == {"S1", "G1", "G3"}
    assert set(project.opened().plan(exclude=["state:fresh"]).rows) == {"S1", "G1", "G3", "N2"}
    assert set(project.opened().plan(select=["state:new"]).rows) == {"N2"}
    plan = project.opened().plan(stale=True)
    assert {name: row.why for name, row in plan.rows.items()} == {
        "S1": "code changed (FACTOR)",
        "G1": "upstream S1 will run",
        "G3": "upstream G1 will run",
        "N2": "never run",
    }
    assert plan.fresh == 8
    assert "code changed (FACTOR)" in plan_text(plan)
    assert "8 rows are fresh" in plan_html(plan)
    problems = project.opened().plan(select=["state:stael"]).problems
    assert "did you mean 'stale'" in str(problems[0])


def test_the_status_is_a_table_and_a_document(project):
    """Text, HTML, a frame and JSON have the state, the reason, the last success and the outputs."""
    project.change_row("G1", window="1H")
    status = project.opened().status()
    assert status.counts() == {"fresh": 9, "stale": 2}
    frame = status.to_frame().set_index("transformation_id")
    assert frame.loc["G1", "why"] == "constants changed (window: none → 1H)"
    assert frame.loc["G1", "outputs"] == "gold.clean v0"
    assert frame.loc["G1", "rows"] == 4
    assert "constants changed (window: none → 1H)" in status_text(status)
    assert "upstream G1 will run" in status_html(status)
    document = status_document(status).to_dict()
    assert (document["kind"], document["counts"]) == ("status", {"fresh": 9, "stale": 2})
    [row] = [row for row in document["rows"] if row["transformation_id"] == "G1"]
    assert row["reasons"] == [
        {"cause": "constants", "text": "constants changed (window: none → 1H)"}
    ]
    assert row["outputs"][0]["version"] == 0


def test_a_status_writes_nothing(own_project):
    """Neither the lake, nor the log, nor the state folder changes."""
    project = own_project
    project.change_helper()

    def everything():
        return {p: p.stat().st_mtime_ns for p in project.folder.rglob("*") if p.is_file()}

    before = everything()
    project.opened().status()
    project.opened().plan(stale=True)
    assert everything() == before


def test_a_log_of_an_older_version_makes_rows_unknown(project):
    """Its records have no inputs, so every row runs once more."""
    log = project.folder / "lake" / "config_driven" / "transformationrunlog"
    new = ["inputs_read", "outputs_written", "code_hash"]
    older = deltalake.DeltaTable(log).to_pyarrow_table().drop_columns(new)
    deltalake.write_deltalake(log, older, mode="overwrite", schema_mode="overwrite")
    reasons = project.why()
    assert len(reasons) == 11
    assert all("was not recorded" in reason for reason in reasons.values())
    assert len(project.ran()[0]) == 11
    assert project.why() == {}


def test_a_table_read_past_the_context_makes_its_row_unknown(project):
    """`read_table` in a function reads no pinned version, so its row runs each time instead of never."""
    manifest = str(project.folder / "manifest.json")
    project.edit(
        "flow/rows.py",
        "def whole(inputs, constants, context):\n",
        "def past(inputs, constants, context):\n"
        "    from odibi_nb import read_table\n"
        "    context.read(inputs[0])\n"
        f"    return read_table('Stale', 'bronze.a', manifest_path={manifest!r})\n\n\n"
        "def whole(inputs, constants, context):\n",
    )
    project.change_row("S6", function="past")
    assert "S6" in project.ran()[0]
    assert project.why() == {"S6": "input bronze.a has no version"}


def test_a_version_with_the_number_of_a_lost_one_is_another_version(project):
    """A table put back from a copy gets other rows under a version's number that rows have already seen."""
    table, copy = project.table("B2"), project.folder / "copy"
    shutil.copytree(table, copy)
    deltalake.write_deltalake(table, pa.table({"k": [8], "x": [8]}), mode="append")
    project.ran()
    version = deltalake.DeltaTable(table).version()
    shutil.rmtree(table)
    shutil.copytree(copy, table)
    while deltalake.DeltaTable(table).version() < version:
        deltalake.write_deltalake(table, pa.table({"k": [9], "x": [9]}), mode="append")
    reasons = project.why()
    assert reasons["B2"] == f"output bronze.b v{version} was written again by someone else"
    assert reasons["S2"].startswith(
        f"input bronze.b v{version} was written again after it was read"
    )
    assert project.ran() == ({"B2", "S2", "S4", "S5", "S6", "G2"}, set())


def test_a_rolled_back_run_leaves_its_rows_stale(project):
    """Their outputs are those of an earlier code."""
    project.change_constant_of_helper()
    project.ran()
    assert project.opened().rollback("last")["status"] == "success"
    assert "RESTORE" in project.why()["S1"]
    assert project.ran() == ({"S1", "G1", "G3"}, set())
