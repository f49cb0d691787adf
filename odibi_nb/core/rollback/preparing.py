"""Prepare a rollback: find its runs, rows and tables in the run log, and check that it may begin."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.reserved_places import own_tables
from odibi_nb.core.planning.selection import Population, Selectable, Selected, select
from odibi_nb.core.rollback.planning import RollbackRequest, plan_rollback
from odibi_nb.core.rollback.runs import rollback_in_effect, runs_to_roll_back
from odibi_nb.core.rollback.written import written_tables
from odibi_nb.core.runlog.history import RUNS_SEARCHED, past_runs
from odibi_nb.core.runlog.journal import live_runs
from odibi_nb.core.runlog.recovery import is_atomic
from odibi_nb.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from odibi_nb.core.model.manifest import ProjectManifest
    from odibi_nb.core.model.rollback import RollbackPlan
    from odibi_nb.core.protocols import BaseLogSink, Place, Row
    from odibi_nb.core.rollback.runs import RunsToRollBack
    from odibi_nb.core.rollback.written import WrittenTable
    from odibi_nb.core.runlog.history import RunChain

_NEEDED = ("versions", "commits", "outlook", "restore", "drop")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The arguments of a rollback; see `Orchestrator.rollback`."""

    run_id: str
    select: Sequence[str] | str = ()
    force: bool = False
    drop: bool = False

    @property
    def selection(self) -> tuple[str, ...]:
        """The selections, without None and as a tuple."""
        if isinstance(self.select, str):
            return (self.select,)
        return tuple(self.select or ())


def plan_of_rollback(
    wanted: Wanted,
    place: Place,
    engine: Any,
    sinks: Sequence[BaseLogSink],
    *,
    dead: Sequence[tuple[Row, list[Row]]],
    declared: Callable[[], Mapping[str, Sequence[str]]],
) -> RollbackPlan:
    """Return the plan of the rollback *wanted*.

    *dead* are the records of runs whose process died. *declared* returns the outputs of the registry's rows
    by id.

    Raises:
        ConfigurationError: if the run does not exist, the selection is wrong, or the engine keeps no
            versions. Problems of tables are in the plan.
    """
    project = place.manifest.project
    if not keeps_versions(engine):
        why = f"engine {engine.name!r} keeps no earlier versions of tables"
        raise ConfigurationError("rollback", [why])
    try:
        found = runs_to_roll_back(sinks, project, place.env, wanted.run_id, dead)
    except LookupError as exc:
        raise ConfigurationError("rollback", [str(exc.args[0])]) from exc
    _check_ended(found, place)
    rollbacks = [str(run["run_id"]) for run in found.runs if run.get("rollback_of")]
    written = tables_to_restore(found.records, place, engine, declared, rollbacks)
    rows = None
    if wanted.selection:
        selected = _select_logged(place.manifest, found.records, written, wanted.selection)
        if selected.problems:
            raise ConfigurationError(f"run {found.run_ids[0]}", [*selected.problems])
        rows = selected.ids
    request = RollbackRequest(
        project=project,
        env=place.env,
        run_ids=found.run_ids,
        since=min((run["start_time"] for run in found.runs if run["start_time"]), default=None),
        layer_order=place.manifest.layer_order,
        rows=rows,
        force=wanted.force,
        drop=wanted.drop,
    )
    return plan_rollback(engine, written, request)


def _select_logged(
    manifest: ProjectManifest,
    records: Sequence[Row],
    written: Mapping[str, WrittenTable],
    include: Sequence[str],
) -> Selected:
    """Return the ids that *include* selects among the rows of a run, from its *records*.

    *include* are selections in the grammar of `odibi_nb.core.planning.selection`. *written* are the tables
    that the run wrote.
    """
    rows = {str(record["transformation_id"]): _selectable(record) for record in records}
    states = {str(record["transformation_id"]): str(record["status"]) for record in records}
    upstream: dict[str, set[str]] = defaultdict(set)
    for table in written.values():
        for reader in table.readers:
            for row in written[reader].writers:
                upstream[row] |= {*table.writers} - {row}
    population = Population(
        rows=rows,
        upstream={row: upstream[row] for row in rows},
        layers=manifest.layer_order,
        engines=("pandas", "spark"),
        labels=manifest.entity_labels,
        states=lambda _run: states,
    )
    return select(population, include)


def _selectable(record: Row) -> Selectable:
    return Selectable(
        layer=str(record.get("layer") or ""),
        module=str(record.get("module") or ""),
        function=str(record.get("function") or ""),
        engine=str(record.get("engine") or ""),
        tags=(),
        entities=(record.get("plant"), record.get("asset"), None),
    )


def tables_to_restore(
    records: Sequence[Row],
    place: Place,
    engine: Any,
    declared: Callable[[], Mapping[str, Sequence[str]]],
    rollbacks: Sequence[str] = (),
) -> dict[str, WrittenTable]:
    """Return the tables that `written_tables` finds for runs of *place*, without the tables of the run log."""
    written = written_tables(
        records,
        state_dir=place.state_dir,
        declared=declared,
        in_lake=getattr(engine, "tables", tuple),
        rollbacks=rollbacks,
    )
    for table in own_tables(place.config.run_log):
        written.pop(table.key, None)
    return written


def keeps_versions(engine: Any) -> bool:
    """Return True if *engine* has the methods of a `VersionedEngine` that a rollback needs."""
    return all(hasattr(engine, name) for name in _NEEDED)


def _check_ended(found: RunsToRollBack, place: Place) -> None:
    live = {folder.name for folder in live_runs(place.state_dir)}
    running = [
        f"run {one} is still running: cancel it first" for one in found.run_ids if one in live
    ]
    if running:
        raise ConfigurationError("rollback", running)


def raise_for_problems(plan: RollbackPlan) -> None:
    """Raise ConfigurationError with all problems of *plan*, if it has any."""
    if plan.problems:
        raise ConfigurationError(
            f"rollback of run {plan.run_id} (nothing was restored)", [*plan.problems]
        )


def raise_if_rolled_back(
    chain: RunChain, sinks: Sequence[BaseLogSink], project: str, env: str
) -> None:
    """Raise ConfigurationError if a retry of *chain* would build on tables that were rolled back."""
    last = chain.runs[-1]
    if last.get("rollback_of"):
        why = f"run {last['run_id']} is a rollback: to complete it, roll back run {last['rollback_of']} again"
        raise ConfigurationError("retry", [why])
    own = [str(run["run_id"]) for run in chain.runs]
    others = [
        run for run in past_runs(sinks, RUNS_SEARCHED, project, env) if run["run_id"] not in own
    ]
    by = rollback_in_effect(own, others)
    if by or (is_atomic(last) and last["status"] != "success"):
        how = f"by run {by}" if by else "because it was atomic"
        why = (
            f"run {own[-1]} was rolled back {how}, so its writes are undone: run the project again"
        )
        raise ConfigurationError("retry", [why])
