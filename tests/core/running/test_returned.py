"""Return values that are no data yet, and tables that a function writes itself."""

from __future__ import annotations

import datetime as dt

import pytest
from fakes import FakeTables, row, statuses

from odibi_nb.core.model.provenance import OutputWritten, TableCommit, TableVersion
from odibi_nb.core.protocols import Change
from odibi_nb.core.text.clock import utc_now

OUT = [{"table": "t.a", "mode": "overwrite"}]
LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)


async def parts():
    yield [1]


class Later:
    """The result of a client that has only been asked."""

    def __await__(self):
        yield


@pytest.mark.parametrize(
    ("make", "words"),
    [(parts, "returned a generator, which"), (Later, "returned a Later to await, which")],
)
def test_work_that_has_not_been_done_fails_the_row(project, make, words):
    """The message says what the function returned, and that its code has not run."""
    result = project(row("A", lambda: make(), outputs=[{"table": "t.a"}])).run()
    assert statuses(result) == {"A": "FAILED"}
    assert words in result.transformations["A"].reason
    assert "has not run its code yet" in result.transformations["A"].reason


class History(FakeTables):
    """Tables with a list of commits that functions add to. It does not know the versions of before."""

    def __init__(self):
        super().__init__()
        self.history: list[TableCommit] = []

    def commit(self, at=None, run_id=""):
        version = len(self.history)
        self.history.append(TableCommit(table="t.a", version=version, at=at, run_id=run_id))

    def watch(self, tables):
        before = len(self.history)
        return lambda _: Change.WRITTEN if len(self.history) > before else Change.SAME

    def versions(self, names):
        if not self.history:
            return {}
        return {"t.a": TableVersion(table="t.a", version=len(self.history) - 1, table_id="id")}

    def commits(self, table, down_to):
        return [commit for commit in self.history[::-1] if commit.version >= down_to]


@pytest.mark.parametrize(
    ("times", "version", "before"),
    [
        ([utc_now], 3, 2),
        ([utc_now, utc_now], 4, 2),
        ([lambda: None], 3, 2),
        ([lambda: LONG_AGO], 3, 2),
    ],
)
def test_what_a_function_wrote_itself_is_recorded_by_its_time(project, times, version, before):
    """The commits since the start of the attempt are its own; if none has a time of then, the newest one is."""
    p = project(row("A", lambda: [p.tables.commit(at()) for at in times] and None, outputs=OUT))
    p.tables = History()
    for _ in range(3):
        p.tables.commit(LONG_AGO)
    written = p.run().transformations["A"].outputs_written
    assert [*written] == [
        OutputWritten(
            table="t.a", mode="overwrite", version=version, previous_version=before, table_id="id"
        )
    ]


def test_a_table_that_a_function_creates_has_no_version_before(project):
    """The first commit of a table has no earlier version."""
    p = project(row("A", lambda: p.tables.commit(utc_now()), outputs=OUT))
    p.tables = History()
    (written,) = p.run().transformations["A"].outputs_written
    assert (written.version, written.previous_version) == (0, None)


def test_a_commit_of_another_run_is_not_recorded(project):
    """A table that only another run wrote in the meantime is no output of this attempt."""
    p = project(row("A", lambda: p.tables.commit(utc_now(), run_id="another"), outputs=OUT))
    p.tables = History()
    assert [*p.run().transformations["A"].outputs_written] == []


def test_a_table_without_versions_is_recorded_by_its_name(project):
    """A function may write a table that is no Delta table: the record has neither version nor id."""

    class Foreign(History):
        def versions(self, names):
            return {}

    p = project(row("A", lambda: p.tables.commit(), outputs=OUT))
    p.tables = Foreign()
    written = p.run().transformations["A"].outputs_written
    assert [*written] == [OutputWritten(table="t.a", mode="overwrite")]
