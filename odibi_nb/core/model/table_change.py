"""Changes that a write would make to a table: columns, rows, and column statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from odibi_nb.core.text.counts import counted

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnChange:
    """Types of a column that differs; *before* is None for a new column, *after* for a removed one."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnNumbers:
    """Statistics of one column, before or after the write.

    Attributes:
        nulls, distinct: counts. *distinct* is an estimate if the notes mention it, and 0 for lists and
            objects.
        lowest, highest: least and greatest value as text.
        mean: average value of a numeric column.
    """

    nulls: int
    distinct: int
    lowest: str | None = None
    highest: str | None = None
    mean: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedRow:
    """Row whose key exists before and after: the key, and (before, after) for each changed column."""

    key: Row
    columns: dict[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableChange:
    """Comparison of a table before and after a write that has not happened.

    Attributes:
        table, mode, keys: the fields of the transformation's output.
        rows_before: number of rows before the write; None if the table does not exist.
        rows_written: number of rows that the write would write.
        preview: first rows that would be written.
        columns: columns that differ.
        compared_by: the key columns; () if whole rows were compared.
        added, removed, changed, unchanged: numbers of rows; None if unknown.
        added_rows, removed_rows, changed_rows: samples of these rows.
        changed_columns: column to the number of rows in which it changed.
        numbers: column to its statistics (before, after).
        notes: limits of the comparison.
    """

    table: str
    mode: str
    keys: tuple[str, ...]
    rows_before: int | None
    rows_written: int
    preview: list[Row]
    columns: tuple[ColumnChange, ...] = ()
    compared_by: tuple[str, ...] = ()
    added: int | None = None
    removed: int | None = None
    changed: int | None = None
    unchanged: int | None = None
    added_rows: tuple[Row, ...] = ()
    removed_rows: tuple[Row, ...] = ()
    changed_rows: tuple[ChangedRow, ...] = ()
    changed_columns: dict[str, int]
    numbers: dict[str, tuple[ColumnNumbers | None, ColumnNumbers | None]]
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Return True if the write would change something, or if that is unknown."""
        return bool(
            self.rows_before is None
            or self.columns
            or self.added
            or self.removed
            or self.changed
            or self.unchanged is None
        )

    def summary(self) -> str:
        """Return one line, such as ``silver.x: 2 added, 0 removed, 1 changed, 1,024 unchanged``."""
        if self.rows_before is None:
            return f"{self.table}: would be a new table with {counted(self.rows_written, 'row')}"
        counts = {
            "added": self.added,
            "removed": self.removed,
            "changed": self.changed,
            "unchanged": self.unchanged,
        }
        known = [f"{count:,} {name}" for name, count in counts.items() if count is not None]
        changes = ", ".join(known)
        if not known:
            changes = f"{counted(self.rows_written, 'row')} instead of {self.rows_before:,}"
        if self.columns:
            changes += f"; {counted(len(self.columns), 'column differs', 'columns differ')}"
        return f"{self.table}: {changes}"
