"""Numbers of rows that a commit added, changed and removed, from the metrics in its commit information."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

from odibi_nb.engines.pandas.frames import pyarrow

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

_SAME_ROWS = frozenset(
    {
        "OPTIMIZE",
        "UPDATE",
        "SET TBLPROPERTIES",
        "UNSET TBLPROPERTIES",
        "ADD COLUMNS",
        "VACUUM START",
        "VACUUM END",
    }
)
"""Operations that leave the number of rows as it is."""
_MERGED = ("Inserted", "Updated", "Deleted")


class RowCounts(NamedTuple):
    """Rows that a write added, changed and removed; see `OutputWritten` for what None means."""

    added: int | None = None
    changed: int | None = None
    removed: int | None = None


UNKNOWN = RowCounts()
"""The counts of a write whose commit was not found."""
NOTHING = RowCounts(0, 0, 0)
"""The counts of a commit that rewrites files with the same rows."""


def total(counts: Iterable[int | None]) -> int | None:
    """Return the sum of *counts*; None if one of them is unknown."""
    known = [*counts]
    return None if None in known else sum(count for count in known if count is not None)


def rows_by_file(table: Any) -> dict[str, int | None]:
    """Map the path of each file of delta-rs's *table* to its number of rows, if the log has it."""
    actions = pyarrow().table(table.get_add_actions(flatten=True))
    paths = actions["path"].to_pylist() if actions.num_rows else []
    is_known = "num_records" in actions.column_names
    counts = actions["num_records"].to_pylist() if is_known else [None] * len(paths)
    return dict(zip(paths, counts, strict=True))


def row_counts(
    info: Mapping[str, Any], mode: str, rows: int | None, replaced: int | None
) -> RowCounts:
    """Return the counts of a write.

    Args:
        info: information of the commit.
        mode: mode of the write.
        rows: number of written rows, if it is known.
        replaced: number of rows in the table before an overwrite, if it is known; 0 for a new table.
    """
    if mode == "merge" and (merged := _merged(info)) is not None:
        return merged
    if rows is None:
        return UNKNOWN
    if mode == "append" or replaced == 0:
        return RowCounts(rows, 0, 0)
    return RowCounts(rows, None, replaced) if mode == "overwrite" else UNKNOWN


def _merged(info: Mapping[str, Any]) -> RowCounts | None:
    """Return the counts of a MERGE: delta-rs writes numbers, Spark writes texts."""
    metrics = info.get("operationMetrics")
    if not isinstance(metrics, dict):
        return None
    with contextlib.suppress(TypeError, ValueError):
        return RowCounts(*(int(_metric(metrics, what)) for what in _MERGED))
    return None


def _metric(metrics: Mapping[str, Any], what: str) -> Any:
    return metrics.get(f"num_target_rows_{what.lower()}", metrics.get(f"numTargetRows{what}"))


def rows_after(
    commits: Iterable[Mapping[str, Any]], is_whole: Callable[[Mapping[str, Any]], bool]
) -> int | None:
    """Return the number of rows in a table, from the metrics of its commits; None if the metrics do not show
    it.

    Args:
        commits: information of the commits, newest first, without gaps.
        is_whole: returns True for a commit that replaced all rows of the table.
    """
    total = 0
    for info in commits:
        written = _number(info, "numOutputRows")
        if is_whole(info):
            return None if written is None else total + written
        change = _net(info, written)
        if change is None:
            return None
        total += change
    return None


def _net(info: Mapping[str, Any], written: int | None) -> int | None:
    """Return the change of the number of rows by a commit that did not replace all rows."""
    operation = info.get("operation")
    if operation in _SAME_ROWS:
        return 0
    if operation == "DELETE":
        deleted = _number(info, "numDeletedRows")
        return None if deleted is None else -deleted
    if operation == "MERGE" and (merged := _merged(info)) is not None:
        return (merged.added or 0) - (merged.removed or 0)
    parameters = info.get("operationParameters")
    adding = ("Append", "ErrorIfExists")  # the second one made the table
    appends = isinstance(parameters, dict) and parameters.get("mode") in adding
    return written if operation == "WRITE" and appends else None


def _number(info: Mapping[str, Any], name: str) -> int | None:
    metrics = info.get("operationMetrics")
    with contextlib.suppress(TypeError, ValueError, KeyError):
        return int(metrics[name]) if isinstance(metrics, dict) else None
    return None


def rows_before(table: Any, mode: str) -> int | None:
    """Return the number of rows that an overwrite replaces, from the statistics of the table's files.

    Args:
        table: delta-rs's table before the write; None for a new table.
        mode: mode of the write; only an overwrite needs the number.
    """
    if table is None:
        return 0
    if mode == "overwrite":
        with contextlib.suppress(Exception):  # the number is optional
            # The statistics count the rows that a deletion vector hides, too.
            if "deletionVectors" in (table.protocol().reader_features or ()):
                return None
            files = table.get_add_actions()
            counts = files.column("num_records").to_pylist() if files.num_rows else []
            return total(counts)
    return None
