"""The search for the commit that broke a row, and its ends without a culprit."""

from __future__ import annotations

import datetime as dt
import json

import msgspec
import pytest
from fakes import FakeProject, FakeTables, row

from odibi_nb.core.model.provenance import FileRead, TableCommit, TableVersion, UnversionedTable
from odibi_nb.core.model.tables import TableName
from odibi_nb.core.protocols import Change
from odibi_nb.core.rehearsal.bisection import bisect
from odibi_nb.core.rehearsal.past_attempts import version_in_run
from odibi_nb.core.rehearsal.project_watch import ProjectWatch
from odibi_nb.core.rehearsal.rehearsal import open_rehearsal
from odibi_nb.core.rehearsal.tried_edits import KEPT, TriedEdits
from odibi_nb.errors import ConfigurationError, DataError, EngineError

START = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)


class VersionedTables(FakeTables):
    """Tables whose versions are lists of rows. A version that is None cannot be read any more."""

    def __init__(self, **versions):
        super().__init__()
        self.kept = {name.replace("_", "."): found for name, found in versions.items()}

    def versions(self, tables):
        return {t.key: TableVersion(table=t.key, version=len(self.kept[t.key]) - 1) for t in tables}

    def commits(self, table, *, down_to=0):
        found = [
            TableCommit(table=table.key, version=n, at=START + n * dt.timedelta(hours=1))
            for n in range(len(self.kept[table.key]))
        ]
        return found[down_to:][::-1]

    def read_version(self, table, version):
        rows = self.kept[table.key][version]
        if rows is None:
            raise DataError(f"version {version} cannot be read")
        return rows

    def prepared(self, frame, output):
        return frame

    def take(self, frame, portion):
        return list(frame)


def inverse(context):
    (x,) = context.read("b.x")
    if x < 0:
        raise KeyError(x)
    return [1 / x]


@pytest.fixture
def broken(tmp_path):
    """Makes a project whose S1 read b.x at two versions: it succeeded with the first, and failed with the last."""

    def make(tables, *, then=None, now=None, fn=inverse, **columns):
        made = FakeProject(tmp_path, [row("S1", fn, outputs=[{"table": "s.x"}], **columns)])
        made.tables = tables
        for number, (run, status, reads) in enumerate(
            [("good", "SUCCESS", then), ("bad", "FAILED", now)], 1
        ):
            facts = {"run_id": run, "project": "P", "env": "qat", "run_number": number}
            made.sink.write_run({**facts, "start_time": START})
            attempt = {"transformation_id": "S1", "attempt": 1, "status": status, **facts}
            text = json.dumps([msgspec.to_builtins(read) for read in reads or ()])
            made.sink.write([{**attempt, "inputs_read": text, "start_time": START}])
        return made.orchestrator()

    return make


def at(version, table="b.x", **facts):
    return [TableVersion(table=table, version=version, **facts)]


def found(project):
    return bisect(project, "S1", lambda line: None)


def test_the_commit_is_named_and_the_kinds_of_failures_are_counted(broken):
    """If the replays fail in several ways, the conclusion names the commit and asks to look at each of them."""
    tables = VersionedTables(b_x=[[1], [2], [-1], [0], [0], [0], [0]])
    result = found(broken(tables, then=at(0), now=at(6)))
    assert (result.culprit.table, result.culprit.version) == ("b.x", 2)
    assert result.conclusion.endswith("failed in 2 ways, so look at each of them")


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_version_that_is_gone_ends_the_search(broken, gone):
    """A version that cannot be read, in the middle or at either end, ends the search without a culprit."""
    tables = VersionedTables(b_x=[[1], [1], [0]] if gone else [[1], [0]])
    tables.kept["b.x"][gone] = None
    result = found(broken(tables, then=at(0), now=at(len(tables.kept["b.x"]) - 1)))
    assert result.culprit is None
    assert result.conclusion == (
        f"stopped, because a version cannot be read any more: version {gone} cannot be read"
    )


def test_without_commits_in_between_nothing_is_replayed(broken):
    """If no table changed between the two runs, the search refers to ``why`` and calls nothing."""
    result = found(broken(VersionedTables(b_x=[[1]]), then=at(0), now=at(0)))
    assert (result.tries, result.culprit) == ((), None)
    assert result.conclusion.startswith("no table that it reads has changed between the two runs")


def test_only_versions_of_the_same_table_are_compared(broken):
    """Views, tables that are new and tables that were created again have no commits in between."""
    tables = VersionedTables(b_x=[[1], [1], [0]], b_new=[[1], [1]])
    view = UnversionedTable(table="b.view")
    again = at(0, table_id="one"), at(2, table_id="two")
    result = found(broken(tables, then=[*again[0], view], now=[*again[1], view, *at(1, "b.new")]))
    assert result.commits == ()


def test_a_view_is_read_as_it_is_now(broken):
    """A replay reads the tables that have versions at them, and all other tables as they are now."""

    def both(context):
        return [*context.read("b.view"), *inverse(context)]

    tables = VersionedTables(b_x=[[1], [0]], b_view=[])
    tables.tables["b.view"] = [7]
    view = UnversionedTable(table="b.view")
    result = found(broken(tables, then=[*at(0), view], now=[*at(1), view], fn=both))
    assert result.culprit.version == 1


def test_an_engine_without_versions_cannot_be_searched(broken):
    """The search needs an engine that can read earlier versions of tables."""
    with pytest.raises(EngineError, match="cannot read earlier versions of tables"):
        found(broken(FakeTables(), then=at(0), now=at(1)))


def test_a_row_without_its_function_cannot_be_replayed(broken):
    """If the function cannot be loaded, the search reports the problem of the row."""
    project = broken(
        VersionedTables(b_x=[[1], [0]]), then=at(0), now=at(1), module="not_there_at_all"
    )
    with pytest.raises(ConfigurationError, match="not_there_at_all"):
        found(project)


class Rehearsing(FakeTables):
    """Tables without versions, whose writes can be captured."""

    prepared = VersionedTables.prepared


def test_an_engine_must_capture_writes_and_read_versions(broken):
    """A rehearsal is refused if the engine cannot capture writes, or cannot read what a past run read."""
    with pytest.raises(EngineError, match="S1: the pandas engine cannot capture writes"):
        open_rehearsal(broken(FakeTables()), "S1")
    result = found(broken(VersionedTables(b_x=[[1], [0]]), then=at(0), now=at(1)))
    with pytest.raises(EngineError, match="cannot read earlier versions of tables"):
        open_rehearsal(broken(Rehearsing()), "S1", past=result.bad)


def test_inputs_of_the_same_name_are_numbered(broken):
    """A row that reads one table twice has two inputs."""
    tables = VersionedTables(b_x=[])
    tables.tables["b.x"] = [1]
    project = broken(tables, fn=lambda: None, inputs=["b.x", "b.x", "b.x"])
    assert [*open_rehearsal(project, "S1").read_inputs()] == ["b.x", "b.x_2", "b.x_3"]


# What a run left


def test_the_version_of_a_run_is_the_one_that_it_wrote(broken):
    """A run's version of a table is the last one that it wrote, else the last one that it read."""
    project = broken(FakeTables(), then=at(3), now=at(4))
    sink = project.sinks()[0]
    x = TableName.parse("b.x")
    assert version_in_run(project, x, "good") == 3
    outputs = [{"table": "b.x", "version": 5}, {"table": "b.x"}, {"table": "b.y", "version": 9}]
    sink.records[0]["outputs_written"] = json.dumps(outputs)
    assert version_in_run(project, x, "good") == 5
    sink.records[1]["outputs_written"] = "[{}"
    assert version_in_run(project, x, "last") == 4
    sink.records[1]["outputs_written"] = '[{"version": 8}]'
    assert version_in_run(project, x, "bad") == 4


def test_a_run_without_the_table_has_no_version_of_it(broken):
    """A run that neither wrote nor read the table is one message, and so is a run with a damaged log."""
    project = broken(FakeTables(), then=[FileRead(file="in.csv")], now=at(4))
    with pytest.raises(ConfigurationError, match=r"no version of b\.x that this run wrote or read"):
        version_in_run(project, TableName.parse("b.x"), "good")


# What else changed


class Watched(VersionedTables):
    """Tables of which a watch says what is in `changes`. Their details cannot be read."""

    def __init__(self, changes):
        super().__init__()
        self.changes = changes

    def watch(self, tables):
        return lambda table: self.changes.get(table.key, Change.SAME)

    def details(self, table):
        if table.key == "s.x":
            raise OSError("no details")


def test_a_table_that_changed_is_reported_without_its_details(broken):
    """A changed table without readable details has no version; unknown tables are counted."""
    tables = Watched({"s.x": Change.WRITTEN, "b.x": Change.WRITTEN, "b.y": Change.UNKNOWN})
    del tables.tables
    tables.tables = list
    project = broken(tables, inputs=["b.x", "b.y"])
    watch = ProjectWatch(project.plan_with("S1"), "S1", tables, "log.runs")
    assert [(m.name, m.version, m.run_id) for m in watch.moved()] == [
        ("s.x", None, None),
        ("b.x", None, None),
    ]
    assert watch.unknown == 1


def test_only_the_newest_edits_of_trials_are_stored(tmp_path):
    """A project with many trials does not fill the memory: the oldest edit is forgotten first."""
    edits = TriedEdits()
    for number in range(KEPT + 1):
        edits.note(tmp_path, f"S{number}", object())
    assert edits.find(tmp_path, "S0") is None
    assert edits.find(tmp_path, "S1") is not None
    edits.note(tmp_path, "S1", None)
    assert edits.find(tmp_path, "S1") is None
