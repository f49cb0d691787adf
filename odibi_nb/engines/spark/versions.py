"""Versions and commits of Delta tables that only the Spark session can reach, by Delta's SQL."""

from __future__ import annotations

import contextlib
import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.provenance import TableCommit, TableVersion
from odibi_nb.engines.delta.log import commit_metadata
from odibi_nb.engines.delta.versions import author_of
from odibi_nb.engines.optional_imports import reason
from odibi_nb.engines.spark.connection import SAIL
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from odibi_nb.engines.spark.delta_target import DeltaTarget

_UPKEEP = frozenset({"OPTIMIZE", "VACUUM START", "VACUUM END"})
"""Operations that change no data. Every other one counts as a change, also one that is unknown."""
_LOOK_BACK = 20
_THREADS = 8


def newest_versions(targets: Mapping[str, DeltaTarget]) -> dict[str, TableVersion]:
    """Return the newest version of each table of *targets* that has versions; both are by key."""
    if not targets:
        return {}
    with ThreadPoolExecutor(_THREADS, "odibi-versions") as pool:
        numbers = pool.map(_numbers, targets.values())
        ids = pool.map(id_of, targets.values())
        found = zip(targets, numbers, ids, strict=True)
        return {
            key: TableVersion(
                table=key, version=newest, data_version=data_version, table_id=table_id
            )
            for key, (newest, data_version), table_id in found
            if newest is not None
        }


def newest_number(target: DeltaTarget) -> int | None:
    """Return the number of the table's newest version; None if the session does not show it."""
    rows = history(target, 1)
    return int(rows[0]["version"]) if rows else None


def id_of(target: DeltaTarget) -> str:
    """Return the id of the table's Delta metadata; "" if the session does not show it."""
    if target.connection.kind != SAIL:
        with contextlib.suppress(Exception):  # a view, or a table of another format
            return str(target.detail()["id"] or "")
    return ""


def _numbers(target: DeltaTarget) -> tuple[int | None, int | None]:
    """Return the numbers of the table's newest version and of its newest data change, or None."""
    rows = history(target, _LOOK_BACK)
    if not rows:
        return None, None
    changed = _newest_change(rows)
    if changed is None and len(rows) == _LOOK_BACK:
        changed = _newest_change(history(target))
    return max(int(row["version"]) for row in rows), changed


def _newest_change(rows: list[dict[str, Any]]) -> int | None:
    changes = [int(row["version"]) for row in rows if _changes_data(row)]
    return max(changes, default=None)


def _changes_data(row: Mapping[str, Any]) -> bool:
    return str(row.get("operation")).upper() not in _UPKEEP


def history(target: DeltaTarget, newest: int | None = None) -> list[dict[str, Any]]:
    """Return the result of `DeltaTarget.history`; [] if the session does not show the history."""
    if target.connection.kind == SAIL:
        return []
    with contextlib.suppress(Exception):  # a view, another format, or no right to see it
        return target.history(newest)
    return []


def commits_of(target: DeltaTarget, key: str, down_to: int) -> list[TableCommit]:
    """Return the commits of the table, newest first, down to a version.

    Raises:
        DataError: if the session does not show the table's history.
    """
    if target.connection.kind == SAIL:
        raise DataError(f"{target.name}: Sail does not show a table's history")
    sql = f"DESCRIBE HISTORY {target.identifier}"
    try:
        frame = target.connection.spark.sql(sql)
        # Milliseconds, because Python's local times are ambiguous once a year.
        frame = frame.selectExpr("*", "unix_millis(timestamp) AS at").where(
            f"version >= {int(down_to)}"
        )
        rows = [row.asDict(recursive=True) for row in frame.collect()]
    except Exception as exc:
        raise DataError(f"{target.name}: its history cannot be read: {reason(exc)}") from exc
    rows.sort(key=lambda row: -int(row["version"]))
    return [_commit(key, row) for row in rows]


def _commit(key: str, row: Mapping[str, Any]) -> TableCommit:
    info = commit_metadata({k: v for k, v in row.items() if k not in {"timestamp", "at"}})
    added, removed = _rows_moved(row)
    at = row.get("at")
    return TableCommit(
        table=key,
        version=int(row["version"]),
        changes_data=_changes_data(row),
        rows_added=added,
        rows_removed=removed,
        **{
            **author_of(info),
            "at": None if at is None else dt.datetime.fromtimestamp(at / 1000, dt.timezone.utc),
        },
    )


def _rows_moved(row: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Return the numbers of rows in the added and removed files; None for numbers that the metrics lack."""
    metrics: dict[str, int] = {}
    for name, value in (row.get("operationMetrics") or {}).items():
        with contextlib.suppress(TypeError, ValueError):
            metrics[name] = int(value)
    operation = str(row.get("operation")).upper()
    added, removed = metrics.get("numOutputRows"), None
    if operation == "DELETE":
        added = metrics.get("numCopiedRows")
        removed = _sum(metrics, "numDeletedRows", "numCopiedRows")
    elif operation == "UPDATE":
        added = removed = _sum(metrics, "numUpdatedRows", "numCopiedRows")
    elif operation == "MERGE":
        names = ("numTargetRowsCopied", "numTargetRowsUpdated", "numTargetRowsDeleted")
        removed = _sum(metrics, *names)
    elif operation == "WRITE" and (row.get("operationParameters") or {}).get("mode") == "Append":
        removed = 0
    return added, removed


def _sum(metrics: Mapping[str, int], *names: str) -> int | None:
    return sum(metrics[name] for name in names) if all(name in metrics for name in names) else None
