"""Take back the writes of an atomic run that did not succeed, in the run itself or after its death."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from odibi_nb.core.model.tables import TableName
from odibi_nb.core.protocols import WriteInfo
from odibi_nb.core.rollback.planning import RollbackRequest, plan_rollback
from odibi_nb.core.rollback.preparing import keeps_versions, tables_to_restore
from odibi_nb.core.running.rollback_run import WORKERS, undo
from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.name_lists import some_of
from odibi_nb.core.text.redaction import error_text
from odibi_nb.errors import ConfigurationError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping, Sequence

    from odibi_nb.core.model.rollback import RollbackPlan, TableRollback
    from odibi_nb.core.planning.plan import RunPlan
    from odibi_nb.core.protocols import Place, Row

SHOWN = 20


class TakenBack(NamedTuple):
    """The tables that an atomic run took back, and the tables that it could not, each with the reason."""

    tables: tuple[str, ...] = ()
    left: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        """Return True if the run had written anything."""
        return bool(self.tables or self.left)

    def text(self) -> str:
        """Return one line for the user."""
        parts = []
        if self.tables:
            count = counted(len(self.tables), "table")
            parts.append(f"rolled back {count}: {some_of(self.tables, SHOWN)}")
        if self.left:
            reasons = [f"{table} ({why})" for table, why in self.left]
            parts.append(f"not rolled back: {some_of(reasons, SHOWN)}")
        return "; ".join(parts) or "it had written nothing"


def check_atomic(plan: RunPlan, place: Place, tables: Callable[[str], Any]) -> None:
    """Check, before an atomic run begins, that its output tables can be restored.

    Raises:
        ConfigurationError: if the engine keeps no versions, or tables cannot be restored; names all.
    """
    engine = tables(place.engine)
    if not keeps_versions(engine):
        why = f"engine {place.engine!r} keeps no earlier versions of tables: run without it"
        raise ConfigurationError("atomic", [why])
    outputs = {
        TableName.parse(target.table).key: TableName.parse(target.table)
        for row in plan.rows.values()
        for target in row.transformation.targets
    }
    versions = engine.versions([*outputs.values()])

    def problem(key: str) -> str:
        now = versions[key].version
        found = engine.outlook(outputs[key], now, restores=now).problem
        return f"{outputs[key]} could not be rolled back: {found}" if found else ""

    with ThreadPoolExecutor(WORKERS, "odibi-atomic") as pool:
        problems = [found for found in pool.map(problem, versions) if found]
    if problems:
        raise ConfigurationError("atomic", problems)


def take_back_run(
    run_id: str,
    records: Sequence[Row],
    place: Place,
    engine: Any,
    *,
    since: dt.datetime | None,
    declared: Callable[[], Mapping[str, Sequence[str]]],
) -> TakenBack:
    """Restore the tables that a run wrote, downstream tables first. Never raises for a single table.

    Tables that the run created are dropped, or emptied if the lake drops no tables. A table that others
    have written since stays as it is.

    *records* are the records of the run's attempts, *since* is its start. *declared* returns the outputs of the
    registry's rows by id.
    """
    written = tables_to_restore(records, place, engine, declared)
    request = RollbackRequest(
        project=place.manifest.project,
        env=place.env,
        run_ids=(run_id,),
        since=since,
        layer_order=place.manifest.layer_order,
        drop=True,
        or_empty=True,
    )
    plan = plan_rollback(engine, written, request)
    info = WriteInfo(run_id=run_id, transformation_id="", attempt=0, rolls_back=run_id)
    return _taken_back(plan, lambda table: _why_left(engine, table, info))


def _taken_back(plan: RollbackPlan, take_back: Callable[[TableRollback], str]) -> TakenBack:
    left = [(table.table, table.problem) for table in plan.tables if table.problem]
    done: list[str] = []
    ready = [table for table in plan.to_write if not table.problem]
    with ThreadPoolExecutor(WORKERS, "odibi-rollback") as pool:
        for _, group in groupby(ready, lambda table: (table.layer, table.step)):
            tables = [*group]
            for table, why in zip(tables, pool.map(take_back, tables), strict=True):
                if why:
                    left.append((table.table, why))
                else:
                    done.append(table.table)
    return TakenBack(tuple(done), tuple(left))


def _why_left(engine: Any, table: TableRollback, info: WriteInfo) -> str:
    """Take back one table. Return the reason if it was left as it is, else ""."""
    if table.others:
        return f"others wrote it since: {', '.join(table.others)}"
    try:
        undo(engine, table, info)
    except Exception as exc:  # noqa: BLE001  the other tables must be taken back, too
        return error_text(exc)
    return ""
