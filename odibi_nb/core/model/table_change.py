"""What a write would change in a table: columns, rows, and numbers about them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnChange:
    """A column that differs; *before* or *after* is None where there is none."""

    name: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ColumnNumbers:
    """A column of the table as it is and as it would be.

    Attributes:
        nulls, distinct: counts; *distinct* is an estimate where the notes say so, and 0 of lists and objects.
        lowest, highest: as text.
        mean: of numbers.
    """

    nulls: int
    distinct: int
    lowest: str | None = None
    highest: str | None = None
    mean: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangedRow:
    """A row whose key is in both: its key, and the columns that differ, (before, after) each."""

    key: Row
    columns: dict[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class TableChange:
    """A table as it is (before) beside what a write would make of it (after).

    Attributes:
        table, mode, keys: of the row's output.
        rows_before: None if the table does not exist yet.
        preview: the first rows of what would be written.
        columns: those that differ.
        compared_by: the key columns, or () where whole rows were compared.
        added, removed, changed, unchanged: rows; None where that cannot be told.
        added_rows, removed_rows, changed_rows: samples of them.
        changed_columns: column to the number of rows in which it changed.
        numbers: column to (before, after).
        notes: what limits the comparison.
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
        """Whether anything would change, as far as can be told."""
        return bool(
            self.rows_before is None
            or self.columns
            or self.added
            or self.removed
            or self.changed
            or self.unchanged is None
        )

    def summary(self) -> str:
        """One line: ``silver.x: 2 added, 0 removed, 1 changed, 1,024 unchanged``."""
        if self.rows_before is None:
            return f"{self.table}: would be a new table with {self.rows_written:,} rows"
        counts = {
            "added": self.added,
            "removed": self.removed,
            "changed": self.changed,
            "unchanged": self.unchanged,
        }
        known = [f"{count:,} {name}" for name, count in counts.items() if count is not None]
        counted = ", ".join(known) or f"{self.rows_written:,} rows instead of {self.rows_before:,}"
        schema = f"; {len(self.columns)} column(s) differ" if self.columns else ""
        return f"{self.table}: {counted}{schema}"
