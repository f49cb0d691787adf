"""A plan reads as much of a table's history as it needs, and orders tables downstream first."""

from __future__ import annotations

import datetime as dt

from odibi_nb.core.model.provenance import TableCommit, TableVersion
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


def written(name, *, readers=(), layer="Bronze"):
    return WrittenTable(
        name=TableName.parse(name), writers={"R": None}, layers={layer}, readers={*readers}
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
