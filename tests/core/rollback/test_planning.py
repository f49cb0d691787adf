"""A plan reads as much of a table's history as it needs, and orders tables downstream first."""

from __future__ import annotations

import datetime as dt

from odibi_nb.core.model.provenance import OutputWritten, TableCommit, TableVersion
from odibi_nb.core.model.rollback import Outlook
from odibi_nb.core.model.tables import TableName
from odibi_nb.core.rollback.planning import RollbackRequest, plan_rollback
from odibi_nb.core.rollback.written import WrittenTable

START = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
DAY = dt.timedelta(days=1)


class Tables:
    """An engine whose tables have a history: a list of (run, time of the commit)."""

    def __init__(self, histories):
        self.histories = histories
        self.read = []

    def versions(self, tables):
        return {
            table.key: TableVersion(table=table.key, version=len(self.histories[table.key]) - 1)
            for table in tables
            if table.key in self.histories
        }

    def commits(self, table, *, down_to=0):
        self.read.append(down_to)
        made = [
            TableCommit(table=table.key, version=n, run_id=run, at=at)
            for n, (run, at) in enumerate(self.histories[table.key])
        ]
        return made[down_to:][::-1]

    def outlook(self, table, version, *, restores):
        return Outlook()


def written(name, *, readers=(), layer="Bronze", logged=()):
    return WrittenTable(
        name=TableName.parse(name),
        writers={"R": None},
        layers={layer},
        readers={*readers},
        logged=[*logged],
    )


def request(*run_ids):
    return RollbackRequest(
        project="P",
        env="qat",
        run_ids=run_ids,
        since=START,
        layer_order=("Bronze", "Silver", "Gold"),
    )


def test_a_long_history_is_read_down_to_before_the_run():
    """Commits of a run are found however many commits came after; older history stays unread."""
    long_ago = [("old", START - 3 * DAY)] * 5_000
    engine = Tables({"a.t": [*long_ago, *[("X", START + DAY)] * 300]})
    (table,) = plan_rollback(engine, {"a.t": written("a.t")}, request("X")).tables
    assert table.restores == 4_999
    assert min(engine.read) > 4_000


def test_downstream_tables_come_first_whatever_refers_to_what():
    """Later layers come first, and in a layer the tables that were made of others; a cycle is no problem."""
    engine = Tables(
        {name: [("o", START), ("X", START)] for name in ("a.raw", "a.made", "a.more", "g.t")}
    )
    tables = {
        "a.raw": written("a.raw", readers=["a.made", "a.raw"]),
        "a.made": written("a.made", readers=["a.more"]),
        "a.more": written("a.more"),
        "g.t": written("g.t", layer="Gold", readers=["g.t"]),
    }
    plan = plan_rollback(engine, tables, request("X"))
    assert [table.table for table in plan.tables] == ["g.t", "a.more", "a.made", "a.raw"]
    tables["a.more"].readers.add("a.raw")
    assert len(plan_rollback(engine, tables, request("X")).tables) == 4


def test_tables_that_the_run_did_not_write_are_left_out():
    """A declared output without a commit of the run is no table of the rollback."""
    engine = Tables({"a.t": [("o", START)]})
    names = {"a.t": written("a.t"), "a.never": written("a.never")}
    assert plan_rollback(engine, names, request("X")).tables == ()
    assert plan_rollback(engine, {}, request("X")).tables == ()


def logged(version, **facts):
    return [OutputWritten(table="a.t", mode="append", version=version, **facts)]


class Cleaned(Tables):
    """An engine whose history begins at a later version."""

    def commits(self, table, *, down_to=0):
        return super().commits(table, down_to=down_to)[:-2]


def test_a_table_without_the_runs_commits_is_a_problem_with_its_reason():
    """If the log names a write that no commit shows, the plan says whether the history is gone, or lacks it."""
    history = {"a.t": [("o", START), ("o", START), ("o", START)]}
    names = {"a.t": written("a.t", logged=logged(1, previous_version=1))}
    (problem,) = plan_rollback(Tables(history), names, request("X")).problems
    assert problem.endswith("its history has no commit of the run, which wrote v1")
    (problem,) = plan_rollback(Cleaned(history), names, request("X")).problems
    assert problem.endswith("its history no longer goes back to v1")


def test_a_missing_table_is_as_before_the_run_only_if_the_run_created_it():
    """A table that the run created, and that is gone, is as before; any other was dropped since."""
    names = {"a.t": written("a.t", logged=logged(0))}
    (table,) = plan_rollback(Tables({}), names, request("X")).tables
    assert (table.note, table.problem) == ("the table is gone, as before the run", "")
    names = {"a.t": written("a.t", logged=logged(4, previous_version=3))}
    (problem,) = plan_rollback(Tables({}), names, request("X")).problems
    assert problem == "a.t cannot be rolled back: it was dropped since"


def test_a_history_without_times_is_read_to_its_beginning():
    """Without the times of commits nothing shows that older ones are none of the run's."""
    engine = Tables({"a.t": [("X", None), *[("o", None)] * 300]})
    (table,) = plan_rollback(engine, {"a.t": written("a.t")}, request("X")).tables
    assert len(table.others) == 300
    assert engine.read[-1] == 0
