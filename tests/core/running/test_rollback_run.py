"""The run of a rollback: one row a table, which may be tried again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from lake_project import Lake
from real_project import registry_row

from odibi_nb.core.model.provenance import TableCommit, TableVersion
from odibi_nb.core.model.rollback import DROP, RollbackPlan, TableRollback
from odibi_nb.core.running.context import ExecutionContext
from odibi_nb.core.running.rollback_run import rollback_run_plan, texts_of


def plan_of(*tables):
    return RollbackPlan(project="P", env="qat", run_ids=("run", "retry"), tables=tables)


class VersionedTable:
    """One table that can be restored and dropped. *lost* calls end with an error after their commit."""

    def __init__(self, lost=0):
        self.commits_made = [TableCommit(table="t.a", version=3, run_id="run")]
        self.lost = lost
        self.calls = 0

    def _answer(self):
        self.calls += 1
        if self.lost:
            self.lost -= 1
            raise ConnectionError("the answer was lost")

    def restore(self, name, version, info, *, expected):
        assert self.commits_made[-1].version == expected
        made = TableCommit(
            table="t.a", version=expected + 1, run_id=info.run_id, rolls_back=info.rolls_back
        )
        self.commits_made.append(made)
        self._answer()

    def drop(self, name, *, expected):
        self.commits_made.clear()
        self._answer()

    def versions(self, names):
        if not self.commits_made:
            return {}
        return {"t.a": TableVersion(table="t.a", version=self.commits_made[-1].version)}

    def commits(self, name, *, down_to):
        return [one for one in self.commits_made[::-1] if one.version >= down_to]


def attempts(table, engine, number=2):
    """Call the row of *table* in *number* attempts. Return the error of each, or None."""
    plan = rollback_run_plan(plan_of(table), "pandas", ["Bronze"])
    (row,) = plan.rows.values()
    errors = []
    for attempt in range(1, number + 1):
        context = ExecutionContext(
            engine="pandas",
            project="P",
            env="qat",
            tables=engine,
            run_id="rollback",
            transformation_id=row.id,
            attempt=attempt,
        )
        try:
            row.fn(context)
            errors.append(None)
        except Exception as exc:
            errors.append(type(exc))
    return errors


@pytest.mark.parametrize("action", ["restore", DROP])
def test_a_retry_finds_what_its_first_attempt_has_done(action):
    """If the first attempt committed and lost the answer, the second one leaves the table alone."""
    engine = VersionedTable(lost=1)
    table = TableRollback(table="t.a", version=3, restores=1, action=action)
    assert attempts(table, engine) == [ConnectionError, None]
    assert engine.calls == 1


@pytest.mark.parametrize("action", ["restore", DROP])
def test_a_retry_does_what_its_first_attempt_could_not(action):
    """If the first attempt committed nothing, the second one restores or drops the table."""

    class Unreachable(VersionedTable):
        def restore(self, name, version, info, *, expected):
            if info.attempt == 1:
                raise ConnectionError("nothing was sent")
            super().restore(name, version, info, expected=expected)

        def drop(self, name, *, expected):
            self._answer()
            super().drop(name, expected=expected)

    engine = Unreachable(lost=1 if action == DROP else 0)
    table = TableRollback(table="t.a", version=3, restores=1, action=action)
    assert attempts(table, engine) == [ConnectionError, None]
    made = [(one.run_id, one.rolls_back) for one in engine.commits_made[1:]]
    assert made == ([] if action == DROP else [("rollback", "run")])


def test_a_restored_table_that_is_gone_is_not_taken_for_restored():
    """If the table disappears between two attempts, the second one tries again, and fails clearly."""

    class Gone(VersionedTable):
        def restore(self, name, version, info, *, expected):
            self.commits_made.clear()
            raise LookupError("no table t.a")

    table = TableRollback(table="t.a", version=3, restores=1)
    assert attempts(table, Gone()) == [LookupError] * 2


def test_a_long_plan_is_cut():
    """A plan shows 30 tables, the number of the others, and the number of tables that need no change."""
    names = [f"t.n{i:02}" for i in range(33)]
    changed = [TableRollback(table=name, version=1, restores=0) for name in names]
    done = TableRollback(table="t.done", action="nothing")
    head, *lines = texts_of(plan_of(*changed, done))
    assert head == "⏪ Rollback of run run and 1 of its retries of P (env=qat): 33 tables"
    assert len(lines) == 32
    assert "t.n29" in lines[29]
    assert lines[30:] == ["   … and 3 more", "   1 more is already as before the run"]


def test_a_run_that_wrote_no_table_has_nothing_to_roll_back(tmp_path):
    """The result gives the reason, and no run begins."""
    lake = Lake(tmp_path, [registry_row("S1", "Silver_1", "broken", ["bronze.x"])])
    failed = lake.run()
    result = lake.rollback(failed.run_id)
    assert (result.run_id, result.status.value) == ("", "success")
    assert result.warnings == [f"nothing to roll back: run {failed.run_id} wrote no table"]


def test_a_rollback_needs_no_registry(tmp_path):
    """If neither journals nor the registry are there, the log's own outputs are rolled back."""
    rows = [
        registry_row("B1", "Bronze", "load", constants={"rows": 3}, outputs=["bronze.x"]),
        registry_row("S1", "Silver_1", "broken", ["bronze.x"], outputs=["silver.x"]),
    ]
    lake = Lake(tmp_path, rows)
    failed = lake.run()
    shutil.rmtree(lake.home / ".odibi")
    (lake.home / "registry.db").unlink()
    result = lake.rollback(failed.run_id)
    assert result.status.value == "success"
    assert not Path(lake.uri("bronze.x")).exists() or lake.values("bronze.x") == []
