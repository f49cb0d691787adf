"""Plan a rollback: for each table that a run wrote, the version to restore. Writes nothing."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from odibi_nb.core.model.provenance import BEFORE_CREATION
from odibi_nb.core.model.rollback import DROP, EMPTY, NOTHING, RESTORE, RollbackPlan, TableRollback
from odibi_nb.core.rollback.lineage import author, effect_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from odibi_nb.core.model.provenance import TableCommit, TableVersion
    from odibi_nb.core.model.rollback import Outlook
    from odibi_nb.core.model.tables import TableName
    from odibi_nb.core.protocols import VersionedEngine
    from odibi_nb.core.rollback.lineage import Effect
    from odibi_nb.core.rollback.written import WrittenTable

WORKERS = 16
"""Number of tables that are looked at at a time; on catalogs each look is a query."""
_FIRST_DEPTH, _DEEPER = 64, 8
_CLOCKS = dt.timedelta(hours=1)
"""Difference between the clocks of two machines that makes no difference here."""
SHOWN_OTHERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackRequest:
    """The runs to roll back.

    Attributes:
        run_ids: the run, and its retries.
        since: start of the run; None if it is unknown.
        layer_order: the layers of the manifest.
        rows: ids of the rows to roll back; None for all rows.
        force: True to also undo later writes by others.
        drop: True to drop the tables that the run created, instead of emptying them.
        or_empty: True to empty them if they cannot be dropped.
    """

    project: str
    env: str
    run_ids: tuple[str, ...]
    since: dt.datetime | None
    layer_order: Sequence[str]
    rows: Collection[str] | None = None
    force: bool = False
    drop: bool = False
    or_empty: bool = False


def plan_rollback(
    engine: VersionedEngine, written: Mapping[str, WrittenTable], request: RollbackRequest
) -> RollbackPlan:
    """Return the plan of a rollback, with all reasons why it may not begin."""
    # A table without writers is one that only its commits can show to be the run's.
    chosen = {
        key: table
        for key, table in written.items()
        if not table.writers or _concerns(request, table.writers)
    }
    versions = engine.versions([table.name for table in chosen.values()])
    with ThreadPoolExecutor(min(WORKERS, len(chosen)) or 1, "odibi-rollback") as pool:
        tables = [
            *pool.map(lambda key: _table(engine, chosen[key], versions.get(key), request), chosen)
        ]
    # Commits can show that no selected row wrote a table.
    known = [table for table in tables if table is not None and _concerns(request, table.writers)]
    ordered = _downstream_first(known, chosen, request.layer_order)
    return RollbackPlan(
        project=request.project,
        env=request.env,
        run_ids=request.run_ids,
        tables=tuple(ordered),
        problems=tuple(_problems(ordered, request)),
    )


def _concerns(request: RollbackRequest, writers: Iterable[str]) -> bool:
    """Return True if *request* selects one of the rows *writers*."""
    return request.rows is None or any(row in request.rows for row in writers)


def _table(
    engine: VersionedEngine,
    written: WrittenTable,
    now: TableVersion | None,
    request: RollbackRequest,
) -> TableRollback | None:
    """Return the rollback of one table; None if the run did not write it."""
    table = TableRollback(
        table=str(written.name),
        version=None if now is None else now.version,
        action=NOTHING,
        writers=tuple(written.writers),
        layer=next((layer for layer in request.layer_order if layer in written.layers), ""),
    )
    if now is None:
        return _absent(table, written)
    commits = _commits(engine, written, now.version, request)
    effect = effect_of(commits, request.run_ids, written.logged)
    if not effect.own:
        return _not_in_effect(table, written, now, commits, effect)
    return _restoring(engine, written.name, table, effect, request)


def _absent(table: TableRollback, written: WrittenTable) -> TableRollback | None:
    if not written.logged:
        return None
    if all(one.previous_version is None for one in written.logged):
        return msgspec.structs.replace(table, note="the table is gone, as before the run")
    return msgspec.structs.replace(table, problem="it was dropped since")


def _not_in_effect(
    table: TableRollback,
    written: WrittenTable,
    now: TableVersion,
    commits: Sequence[TableCommit],
    effect: Effect,
) -> TableRollback | None:
    """Return the rollback of a table that has no commit of the run in effect."""
    if effect.undone is not None:
        note = f"already as before the run, since {author(effect.undone)}"
        return msgspec.structs.replace(table, note=note)
    if not written.logged:
        return None
    ids = {one.table_id for one in written.logged if one.table_id}
    first = min((one.version for one in written.logged if one.version is not None), default=0)
    if now.table_id and ids and now.table_id not in ids:
        problem = "it was dropped and created again since"
    elif not commits or commits[-1].version > first:
        problem = f"its history no longer goes back to v{first}"
    else:
        problem = f"its history has no commit of the run, which wrote v{first}"
    return msgspec.structs.replace(table, problem=problem)


def _restoring(
    engine: VersionedEngine,
    name: TableName,
    table: TableRollback,
    effect: Effect,
    request: RollbackRequest,
) -> TableRollback:
    assert table.version is not None
    restores, note, action = effect.restores, "", RESTORE
    outlook = engine.outlook(name, table.version, restores=restores)
    problem = outlook.problem
    if restores == BEFORE_CREATION:
        drops = request.drop and not (request.or_empty and outlook.no_drop)
        action = DROP if drops else EMPTY
        problem = outlook.no_drop if drops else problem
        note = "the run created it" + ("" if drops else "; --drop drops it")
    writers = [commit.transformation_id for commit in effect.own if commit.transformation_id]
    return msgspec.structs.replace(
        table,
        restores=restores,
        action=action,
        note=note,
        writers=tuple(dict.fromkeys([*writers, *table.writers])),
        others=tuple(author(commit) for commit in effect.others),
        problem=problem,
        **_rows(outlook, effect, table.version),
    )


def _rows(outlook: Outlook, effect: Effect, version: int) -> dict[str, int | None]:
    """Return the numbers of rows that a restore removes and brings back."""
    removed, restored = outlook.rows_removed, outlook.rows_restored
    newest = effect.own[0]
    if removed is None and newest.version == version and effect.restores == version - 1:
        removed, restored = newest.rows_added, newest.rows_removed
    return {"rows_removed": removed, "rows_restored": restored}


def _commits(
    engine: VersionedEngine, written: WrittenTable, version: int, request: RollbackRequest
) -> list[TableCommit]:
    """Return the newest commits of a table, down to before the run."""
    depth = _FIRST_DEPTH
    firsts = [one.previous_version or 0 for one in written.logged]
    while True:
        down_to = max(0, min([version - depth + 1, *firsts]))
        commits = engine.commits(written.name, down_to=down_to)
        oldest = commits[-1] if commits else None
        if down_to == 0 or oldest is None or oldest.version > down_to:
            return commits
        if _is_before(oldest, request.since):
            return commits
        depth *= _DEEPER


def _is_before(commit: TableCommit, since: dt.datetime | None) -> bool:
    """Return True if *commit* was surely made before *since*."""
    if commit.at is None or since is None:
        return False
    start = since if since.tzinfo is not None else since.replace(tzinfo=dt.timezone.utc)
    return commit.at < start - _CLOCKS


def _downstream_first(
    tables: Sequence[TableRollback],
    written: Mapping[str, WrittenTable],
    layer_order: Sequence[str],
) -> list[TableRollback]:
    """Order *tables* so that each table comes after the tables that were computed from it."""
    steps = _steps({key: table.readers for key, table in written.items()})
    place = {layer: -number for number, layer in enumerate(layer_order)}
    by_name = {str(table.name): steps[key] for key, table in written.items()}
    found = [msgspec.structs.replace(table, step=by_name[table.table]) for table in tables]
    return sorted(found, key=lambda table: (place.get(table.layer, 1), table.step, table.table))


def _steps(readers: Mapping[str, Collection[str]]) -> dict[str, int]:
    """Return the length of the longest chain of tables before each table, each computed from the one before."""
    left = {key: {*found} - {key} for key, found in readers.items()}
    steps: dict[str, int] = {}
    step = 0
    while left:
        # In a cycle, no table comes first.
        ready = [key for key, found in left.items() if not found & left.keys()] or [*left]
        steps.update(dict.fromkeys(ready, step))
        step += 1
        for key in ready:
            del left[key]
    return steps


def _problems(tables: Sequence[TableRollback], request: RollbackRequest) -> Iterator[str]:
    for table in tables:
        if table.problem:
            yield f"{table.table} cannot be rolled back: {table.problem}"
        if not table.writes:
            continue
        if table.others and not request.force:
            more = len(table.others) - SHOWN_OTHERS
            shown = ", ".join(table.others[:SHOWN_OTHERS]) + (
                f" and {more} more" if more > 0 else ""
            )
            yield (
                f"{table.table} was written by others since: {shown}; roll back those writes first, or "
                "undo them, too, with --force"
            )
        if request.rows is not None:
            shared = [row for row in table.writers if row not in request.rows]
            if shared:
                yield (
                    f"{table.table} was also written by {', '.join(shared)} in the run: select these "
                    "rows, too, because a restore also undoes their writes"
                )
