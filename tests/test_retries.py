"""Retry: going on from a run that did not succeed, without doing again what has."""

from __future__ import annotations

import json

import pytest
from fakes import FakeProject, MemorySink, row, statuses
from hypothesis import given, settings
from hypothesis import strategies as st
from real_project import make_project, registry_row
from thorough import examples

from odibi_nb import GenericProjectOrchestrator, HookManager, run_project
from odibi_nb.cli import main
from odibi_nb.core.runlog.history import run_chain
from odibi_nb.errors import ConfigurationError, PlanError
from odibi_nb.sinks.csv import CsvLogSink
from odibi_nb.sinks.table import log_in_database
from odibi_nb.views.run.run_page import summary_text
from odibi_nb.views.run.state import snapshot_of


class Switch:
    """A function that fails while it is told to, and counts its calls."""

    def __init__(self, *, fails=False):
        self.fails = fails
        self.calls = 0

    def __call__(self):
        self.calls += 1
        if self.fails:
            raise KeyError("broken")


@pytest.fixture
def parts():
    return {name: Switch() for name in ("B1", "B2", "S1", "S2", "G1")}


@pytest.fixture
def project(tmp_path, parts):
    """B1 → S1, B2 → S2 → G1."""
    rows = [
        row("B1", parts["B1"], layer="Bronze", outputs=[{"table": "b.x"}]),
        row("B2", parts["B2"], layer="Bronze", outputs=[{"table": "b.y"}]),
        row("S1", parts["S1"], inputs=["b.x"], outputs=[{"table": "s.x"}]),
        row("S2", parts["S2"], inputs=["b.y"], outputs=[{"table": "s.y"}]),
        row("G1", parts["G1"], layer="Gold_1", inputs=["s.y"]),
    ]
    return FakeProject(tmp_path, rows)


def test_what_failed_and_what_waited_for_it_is_run_again(project, parts):
    """By default a retry runs what failed or was skipped, and nothing that succeeded."""
    parts["B2"].fails = True
    first = project.run()
    assert first["status"] == "failed"
    parts["B2"].fails = False
    result = project.orchestrator().retry()
    assert statuses(result) == {"B2": "SUCCESS", "S2": "SUCCESS", "G1": "SUCCESS"}
    assert parts["B1"].calls == parts["S1"].calls == 1
    assert result.layers_executed == ["Bronze", "Silver_1", "Gold_1"]


def test_the_new_run_knows_what_it_goes_on_from(project, parts):
    """Result, run record, run_start, views and repr-text of a retry name the run it goes on from."""
    parts["S2"].fails = True
    first = project.run()
    started = []
    hooks = HookManager()
    hooks.register("run_start", started.append)
    second = project.orchestrator(hooks=hooks).retry(first.run_id)
    assert first.retry_of is None
    assert second.retry_of == first.run_id
    assert started[0]["retry_of"] == first.run_id
    assert [r["retry_of"] for r in project.sink.run_records] == [None, first.run_id]
    snapshot = snapshot_of(second)
    assert f"retry of {first.run_id}" in summary_text(snapshot)
    assert snapshot.start >= first.end_time


def test_a_retry_of_a_retry_goes_on_from_all_of_them(project, parts):
    """A row that succeeded in any run of the chain does not run again, whichever run is named."""
    parts["B1"].fails = parts["S2"].fails = True
    first = project.run()
    parts["B1"].fails = False
    second = project.orchestrator().retry()
    assert statuses(second) == {
        "B1": "SUCCESS",
        "S1": "SUCCESS",
        "S2": "FAILED",
        "G1": "SKIPPED",
    }
    parts["S2"].fails = False
    third = project.orchestrator().retry(first.run_id)
    assert statuses(third) == {"S2": "SUCCESS", "G1": "SUCCESS"}
    assert third.retry_of == second.run_id
    for run_id in ("last", first.run_id, second.run_id):
        nothing = project.orchestrator().retry(run_id)
        assert nothing["status"] == "success"
        assert dict(nothing.transformations) == {}
        text = f"nothing to retry: all 5 transformations of run {first.run_id} and its retries have succeeded"
        assert nothing.warnings == [text]
        assert nothing.summary() == text
    assert parts["B1"].calls == 2
    assert len(project.sink.run_records) == 3


def test_only_failed(project, parts):
    """With only_failed what waited is left for another retry, which then runs it."""
    parts["B2"].fails = True
    project.run()
    parts["B2"].fails = False
    assert statuses(project.orchestrator().retry(only_failed=True)) == {"B2": "SUCCESS"}
    assert list(project.orchestrator().retry().transformations) == ["S2", "G1"]


def test_a_selection_of_what_is_to_be_retried(project, parts):
    """Select and exclude choose among what would be run again; none of it is nothing to do."""
    parts["B1"].fails = parts["B2"].fails = True
    project.run()
    parts["B1"].fails = parts["B2"].fails = False
    assert list(project.orchestrator().retry(select="B1+").transformations) == ["B1", "S1"]
    assert list(project.orchestrator().retry(exclude="layer:Gold_1").transformations) == [
        "B2",
        "S2",
    ]
    (text,) = project.orchestrator().retry(select="B1").warnings
    assert text.startswith("nothing to retry: no unfinished row of run ")
    assert text.endswith("is selected and still exists: G1 (skipped)")
    with pytest.raises(PlanError, match=r"no transformation 'B11' \(did you mean 'B1'\?\)"):
        project.orchestrator().retry(select="B11")
    assert list(project.orchestrator().retry(target_layers=["gold_1"]).transformations) == ["G1"]


def test_what_needs_an_unfinished_row_is_run_again(project, parts):
    """A row that succeeded runs again if, by now, it needs one that did not."""
    parts["B2"].fails = True
    project.run()
    parts["B2"].fails = False
    project.rows[2] = {**project.rows[2], "inputs": '["b.x", "b.y"]'}
    result = project.orchestrator().retry()
    assert set(result.transformations) == {"B2", "S2", "G1", "S1"}
    assert parts["S1"].calls == 2


def test_rows_that_the_run_did_not_have_are_no_part_of_a_retry(project, parts):
    """A retry stays within the run: neither its selection nor new rows widen it."""
    parts["B2"].fails = True
    project.run(select="B2 S2")
    parts["B2"].fails = False
    project.rows.append(row("NEW", parts["B1"], inputs=["b.y"]))
    assert list(project.orchestrator().retry().transformations) == ["B2", "S2"]


def test_the_options_of_the_run_hold_again(project, parts, capsys):
    """max_workers, overrides … are those of the run unless given again; the retry says which hold."""
    seen = []
    project.rows.append(row("C", lambda constants: seen.append(constants["x"]), inputs=["b.y"]))
    project.rows.append(row("D", parts["G1"]))
    parts["B2"].fails = True
    overrides = {"C": {"x": 1}, "D": {"y": 2}}
    project.run(max_workers=1, timeout_seconds=60, schedule="graph", overrides=overrides)
    project.orchestrator(log_level="INFO").retry(schedule="layers")
    said = capsys.readouterr().out
    assert "🔁 Retry of run " in said
    assert (
        'with its options {"max_workers":1,"timeout_seconds":60,"overrides":{"C":{"x":1}}}' in said
    )
    assert 'given now: {"schedule":"layers"}' in said
    parts["B2"].fails = False
    project.orchestrator().retry(overrides={"C": {"x": 5}})
    assert seen == [5]
    options = [json.loads(r["options"]) for r in project.sink.run_records]
    assert options[1]["max_workers"] == options[2]["max_workers"] == 1
    assert options[2]["overrides"]["C"] == {"x": 5}


def test_overrides_of_rows_that_are_not_run_again(project, parts):
    """Constants for a row that is not run again are a problem; those of the run's own are not."""
    parts["B2"].fails = True
    project.run(overrides={"B1": {"x": 1}})
    with pytest.raises(PlanError, match="no transformation 'B1' in this retry: it is not run"):
        project.orchestrator().retry(overrides={"B1": {"x": 2}})
    with pytest.raises(PlanError, match=r"no transformation 'B22' in this retry \(did you mean"):
        project.orchestrator().retry(overrides={"B22": {}})


def test_a_secret_must_be_given_again(project, parts):
    """A secret in a run's overrides is not kept, so a retry asks for it, and only where it is needed."""
    parts["B2"].fails = True
    secret = {"password": "hunter2", "url": "sc://u:hunter2@host/"}
    project.run(overrides={"B2": secret, "B1": {"token": "hunter2"}})
    assert "hunter2" not in str(project.sink.run_records)
    with pytest.raises(PlanError) as excinfo:
        project.orchestrator().retry()
    problems = [str(problem) for problem in excinfo.value.problems]
    assert [p.rsplit(" - at ", 1)[1] for p in problems] == [
        "overrides.B2.password",
        "overrides.B2.url",
    ]
    assert all("does not store: pass it again" in p for p in problems)
    parts["B2"].fails = False
    result = project.orchestrator().retry(overrides={"B2": secret})
    assert result["status"] == "success"


def test_what_changed_since_is_named(project, parts):
    """A row whose registry row changed is named in the retry's warnings, which its record keeps."""
    parts["S2"].fails = True
    project.run()
    parts["S2"].fails = False
    project.rows[3] = {**project.rows[3], "constants": '{"retry": 0, "drop": true}'}
    result = project.orchestrator().retry()
    (warning,) = result.warnings
    assert warning == f"registry rows that changed since run {result.retry_of}: S2"
    assert json.loads(project.sink.run_records[-1]["warnings"]) == [warning]


def test_rows_that_are_gone_are_named(project, parts):
    """A row that was deleted or disabled since is named and left out; nothing else changes."""
    parts["B2"].fails = parts["B1"].fails = True
    project.run()
    parts["B2"].fails = parts["B1"].fails = False
    project.rows[2] = {**project.rows[2], "enabled": 0}
    del project.rows[4]
    result = project.orchestrator().retry()
    assert list(result.transformations) == ["B1", "B2", "S2"]
    assert result.warnings == [
        "G1, skipped before, is gone from the registry: left out",
        "S1, skipped before, is disabled: left out",
    ]
    nothing = project.orchestrator().retry()
    assert nothing.warnings[-1].endswith("is selected and still exists: G1 (skipped), S1 (skipped)")


def test_cancelled_and_abandoned_rows_are_run_again(project, parts):
    """A retry runs the rows that a cancel prevented."""
    orchestrator = project.orchestrator()

    def cancels():
        orchestrator.cancel()

    project.rows[0] = row("B1", cancels, layer="Bronze", outputs=[{"table": "b.x"}])
    first = orchestrator.run(max_workers=1)
    assert first["status"] == "cancelled"
    left = {name for name, status in statuses(first).items() if status != "SUCCESS"}
    assert left >= {"S1", "S2", "G1"}
    assert set(project.orchestrator().retry().transformations) == left


def test_a_run_that_is_not_there(project, parts):
    """A run id that the log does not have is one message; so is a log without any run."""
    with pytest.raises(ConfigurationError, match="the run log has no run of 'P', env qat"):
        project.orchestrator().retry()
    first = project.run()
    with pytest.raises(ConfigurationError, match=f"did you mean '{first.run_id}'"):
        project.orchestrator().retry(first.run_id[:-1])
    with pytest.raises(ConfigurationError, match="unknown option 'only_faild'"):
        project.orchestrator().retry(only_faild=True)


def test_records_of_other_programs(project, parts):
    """Options and versions that are no JSON, as another program may have written them, are no options."""
    parts["B2"].fails = True
    project.run(max_workers=1)
    project.sink.run_records[-1] |= {"options": "{", "versions": "[]"}
    parts["B2"].fails = False
    assert project.orchestrator().retry()["status"] == "success"


def test_a_chain_across_runs_in_a_circle_ends(project, parts):
    """A log in which runs name each other still has an end."""
    project.run()
    (record,) = project.sink.run_records
    record["retry_of"] = record["run_id"]
    found = run_chain([project.sink], "P", "qat", to_its_end=True)
    assert [run["run_id"] for run in found.runs] == [record["run_id"]]


NAMES = [f"n{i}" for i in range(6)]


@settings(max_examples=examples(15))
@given(
    st.lists(st.sets(st.sampled_from(range(5)), max_size=3), min_size=6, max_size=6),
    st.lists(st.sets(st.sampled_from(NAMES), max_size=4), min_size=1, max_size=3),
    st.booleans(),
    st.sampled_from(["layers", "graph"]),
)
def test_in_the_end_each_row_has_succeeded_once(tmp_path_factory, needs, failing, only, schedule):
    """After retries until success, each row has succeeded exactly once, whatever failed before."""
    succeeded, bad = [], set()

    def function(name):
        def fn():
            if name in bad:
                raise KeyError("broken")
            succeeded.append(name)

        return fn

    rows = [
        row(
            name,
            function(name),
            inputs=[f"t.{NAMES[j]}" for j in sorted(needs[i]) if j < i],
            outputs=[{"table": f"t.{name}"}],
            layer=["Bronze", "Silver_1", "Gold_1"][i // 2],
        )
        for i, name in enumerate(NAMES)
    ]
    project = FakeProject(tmp_path_factory.mktemp("retried"), rows)
    for number, names in enumerate([*failing, set(), set()]):
        bad.clear()
        bad |= names
        if number == 0:
            project.run(schedule=schedule)
        else:  # what only_failed leaves is run by the last retry
            project.orchestrator().retry(only_failed=only and number <= len(failing))
    assert sorted(succeeded) == NAMES
    assert "have succeeded" in project.orchestrator().retry().warnings[-1]


# -- real tables, real logs -----------------------------------------------------

FUNCTIONS = """
import pathlib

import pandas as pd


def load(constants):
    return pd.DataFrame({"x": range(constants["rows"])})


def double(inputs, context):
    if pathlib.Path("down").exists():
        raise KeyError("the source is down")
    frame = context.read(inputs[0])
    return frame.assign(x=frame["x"] * 2)
"""
ROWS = [
    registry_row("B1", "Bronze", "load", constants={"rows": 3}, outputs=["bronze.x"]),
    registry_row("B2", "Bronze", "double", ["bronze.x"], outputs=["bronze.y"]),
    registry_row("S1", "Silver_1", "double", ["bronze.y"], outputs=["silver.x"]),
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A project whose B2 fails while there is a file `down`."""
    make_project(tmp_path, rows=ROWS, functions=FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "make_sink",
    [
        lambda folder: None,
        lambda folder: CsvLogSink(folder / "log.csv"),
        lambda folder: log_in_database(f"sqlite:///{folder / 'log.db'}"),
    ],
    ids=["delta", "csv", "sql"],
)
def test_every_kind_of_log_knows_enough(here, make_sink):
    """A retry works from a Delta, a CSV and an SQL run log, options, chain and changes included."""
    (here / "down").touch()
    first = run_project("Plant One", log_sink=make_sink(here), max_workers=1)
    assert statuses(first) == {"B1": "SUCCESS", "B2": "FAILED", "S1": "SKIPPED"}
    (here / "down").unlink()
    functions = here / "projects" / "plant_one" / "plant_functions.py"
    functions.write_text(FUNCTIONS.replace("* 2", "* 3"))
    project = GenericProjectOrchestrator("Plant One", log_sink=make_sink(here), log_level="ERROR")
    second = project.retry()
    assert statuses(second) == {"B2": "SUCCESS", "S1": "SUCCESS"}
    assert second.warnings == [f"functions that changed since run {first.run_id}: B2, S1"]
    project = GenericProjectOrchestrator("Plant One", log_sink=make_sink(here), log_level="ERROR")
    assert "all 3 transformations" in project.retry().warnings[0]


def test_retry_from_a_shell(here, capsys):
    """`odibi retry` takes run's options, and ends as run does; history shows the chain."""
    (here / "down").touch()
    assert main(["run", "--workers", "1"]) == 1
    assert main(["retry", "--only-failed"]) == 1
    (here / "down").unlink()
    capsys.readouterr()
    assert main(["retry", "--only", "B2", "--retries", "0", "--workers", "2"]) == 0
    assert '"max_workers":2' in capsys.readouterr().out
    assert main(["history"]) == 0
    history = capsys.readouterr().out.splitlines()
    newest, middle, first = (line.split() for line in history[3:])
    assert newest[1] == middle[0]
    assert middle[1] == first[0]
    assert main(["retry", "2020"]) == 2
    assert "has no run '2020'" in capsys.readouterr().err


def test_a_sink_that_cannot_be_read(tmp_path, parts):
    """If the run log cannot be read, a retry reports that it knows no run."""

    class OnlyWrites(MemorySink):
        def runs(self, limit):
            return []

    project = FakeProject(tmp_path, [row("A", parts["B1"])], sink=OnlyWrites())
    project.run()
    with pytest.raises(ConfigurationError, match="retry: the run log has no run of 'P'"):
        project.orchestrator().retry()


def test_a_row_that_is_new_since_the_run_is_left_to_the_next_run(project, parts):
    """A retry runs rows of its run only, even if a new row needs a row that failed."""
    parts["S2"].fails = True
    project.run()
    parts["S2"].fails = False
    project.rows.append(row("G2", lambda: None, layer="Gold_1", inputs=["s.y"]))
    assert {*statuses(project.orchestrator().retry())} == {"S2", "G1"}
    assert {*statuses(project.run())} == {"B1", "B2", "S1", "S2", "G1", "G2"}


def test_a_run_without_records_has_nothing_to_retry(project):
    """If the log has a run and none of its attempts, the retry says so."""
    first = project.run()
    project.sink.records.clear()
    result = project.orchestrator().retry()
    assert result.warnings[-1] == (
        f"nothing to retry: run {first.run_id} has no transformations in its log"
    )


def test_a_secret_in_a_list_is_named_by_its_place(project, parts):
    """A secret that the log does not store is asked for again, wherever it is in the constants."""
    parts["B2"].fails = True
    project.run(overrides={"B2": {"servers": [{"password": "hunter2"}, "plain"]}})
    with pytest.raises(PlanError, match=r"overrides\.B2\.servers\[0\]\.password"):
        project.orchestrator().retry()
