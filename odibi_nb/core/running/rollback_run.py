"""Run a rollback: a run whose rows restore one table each, downstream tables first."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.provenance import BEFORE_CREATION
from odibi_nb.core.model.retry import RetryPolicy
from odibi_nb.core.model.rollback import DROP
from odibi_nb.core.model.tables import TableName
from odibi_nb.core.model.transformation import Transformation
from odibi_nb.core.planning.plan import PlannedRow, RunPlan, nothing_ran
from odibi_nb.core.text.counts import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from odibi_nb.core.model.results import RunResult
    from odibi_nb.core.model.rollback import RollbackPlan, TableRollback
    from odibi_nb.core.protocols import VersionedEngine, WriteInfo
    from odibi_nb.core.running.context import ExecutionContext

MODULE = "odibi_nb.rollback"
"""The module of a rollback's rows in the run log. Their functions are the actions on a table."""
RETRIES = RetryPolicy(max_retries=3, base_delay=0.5)
WORKERS = 8
"""Number of tables restored at a time: a worker mostly waits for storage or the cluster."""
SHOWN = 30


def nothing_to_roll_back(plan: RollbackPlan, empty: RunPlan) -> RunResult:
    """Return the result of a *plan* that changes no table. Its warning gives the reason.

    *empty* is the plan of the run, from `rollback_run_plan`.
    """
    why = f"run {plan.run_id} wrote no table"
    if plan.tables:
        notes = [f"{table.table} ({table.note})" for table in plan.tables]
        why = f"{counted(len(notes), 'table')} of run {plan.run_id}: {', '.join(notes[:SHOWN])}"
    return replace(nothing_ran(empty, f"nothing to roll back: {why}"), rollback_of=plan.run_id)


def rollback_run_plan(plan: RollbackPlan, engine: str, layer_order: Sequence[str]) -> RunPlan:
    """Return the plan of the run that executes *plan*: a row for each table that it changes."""
    last = layer_order[-1] if layer_order else "Rollback"
    tables = plan.to_write
    found = {table.layer or last for table in tables}
    layers = tuple(layer for layer in reversed(layer_order) if layer in found) or (last,)
    rows = {
        table.row_id: PlannedRow(
            transformation=_transformation(plan, table, table.layer or last),
            fn=_restorer(table, plan.run_id),
            keywords=("context",),
            engine=engine,
            retry=RETRIES,
            timeout_seconds=None,
            depth=table.step,
            rank=number,
        )
        for number, table in enumerate(tables)
    }
    return RunPlan(
        project=plan.project,
        env=plan.env,
        engine=engine,
        source=f"run {plan.run_id}",
        layers=layers,
        rows=rows,
        notices=tuple(
            f"{table.table}: also undoes {', '.join(table.others)}"
            for table in tables
            if table.others
        ),
        workers=WORKERS,
        ordered_by_step=layers,
    )


def _transformation(plan: RollbackPlan, table: TableRollback, layer: str) -> Transformation:
    facts = {"restores": table.restores, "version": table.version, "rows": [*table.writers]}
    return Transformation(
        transformation_id=table.row_id,
        project=plan.project,
        environment=plan.env,
        layer=layer,
        module=MODULE,
        function=table.action,
        step=table.step,
        constants=facts,
    )


def _restorer(table: TableRollback, run_id: str) -> Callable[..., None]:
    def restore_table(context: ExecutionContext) -> None:
        info = replace(context.write_info(), rolls_back=run_id)
        engine: Any = context.tables
        context.logger.info("  → Rolling back %s: %s", table.table, table.what())
        if info.attempt == 1 or not _landed(engine, table, info):
            undo(engine, table, info)

    return restore_table


def _landed(engine: VersionedEngine, table: TableRollback, info: WriteInfo) -> bool:
    """Return True if an earlier attempt committed, although it raised an error."""
    name = TableName.parse(table.table)
    found = engine.versions([name]).get(name.key)
    if found is None:
        return table.action == DROP
    newest = engine.commits(name, down_to=found.version)
    return bool(newest) and newest[0].run_id == info.run_id and bool(newest[0].rolls_back)


def undo(engine: VersionedEngine, table: TableRollback, info: WriteInfo) -> None:
    """Restore, empty or drop *table*.

    Raises:
        DataError: if the table was changed since *table* was planned. Nothing was written.
    """
    name = TableName.parse(table.table)
    assert table.version is not None
    if table.action == DROP:
        info.check()
        engine.drop(name, expected=table.version)
        return
    restores = BEFORE_CREATION if table.restores is None else table.restores
    engine.restore(name, restores, info, expected=table.version)


def texts_of(plan: RollbackPlan) -> Iterator[str]:
    """Yield the lines that show *plan*."""
    tables = plan.to_write
    retries = f" and {len(plan.run_ids) - 1} of its retries" if len(plan.run_ids) > 1 else ""
    count = counted(len(tables), "table")
    yield f"⏪ Rollback of run {plan.run_id}{retries} of {plan.project} (env={plan.env}): {count}"
    for table in tables[:SHOWN]:
        yield f"   {line_of(table)}"
    if len(tables) > SHOWN:
        yield f"   … and {len(tables) - SHOWN:,} more"
    done = [table for table in plan.tables if not table.writes and not table.problem]
    if done:
        are = "is" if len(done) == 1 else "are"
        yield f"   {len(done):,} more {are} already as before the run"


def line_of(table: TableRollback) -> str:
    """Return one line for *table*: its versions, rows, and the commits of others that it undoes."""
    now = "" if table.version is None else f" v{table.version}"
    others = f"; also undoes {', '.join(table.others)}" if table.others else ""
    note = f" ({table.note})" if table.note else ""
    return f"{table.table}{now}: {table.what()}{note}{others}"
