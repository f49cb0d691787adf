"""Differences between two versions of a table, or between a table of two environments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import datetime as dt

    from odibi_nb.core.model.table_change import ChangedRow, ColumnChange, Row

SAMPLES = 5
"""Largest number of added, of removed and of changed rows that a comparison returns as samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowDifference:
    """Differences between the rows of two sides, compared by the columns that both have.

    A row that both sides have equally often is unchanged. Of the other rows, two are one changed row if
    they have the same key, and each side has only one of them. All others are added or removed.

    Attributes:
        added, removed, changed: numbers of rows.
        compared_by: the key columns; () if only whole rows were compared.
        changed_columns: column to the number of changed rows in which it differs.
        largest: column of numbers or times to the largest difference in a changed row.
        added_rows, removed_rows, changed_rows: samples of these rows.
        notes: limits of the comparison.
    """

    added: int = 0
    removed: int = 0
    changed: int = 0
    compared_by: tuple[str, ...] = ()
    changed_columns: dict[str, int] = field(default_factory=dict)
    largest: dict[str, float | dt.timedelta] = field(default_factory=dict)
    added_rows: tuple[Row, ...] = ()
    removed_rows: tuple[Row, ...] = ()
    changed_rows: tuple[ChangedRow, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TableDiff:
    """Differences between two versions of a table.

    Attributes:
        table: name of the table.
        before, after: compared versions; None for a table that does not exist on that side.
        rows_before, rows_after: numbers of rows, if they are known without a scan.
        columns: columns that only one side has, or that have another type.
        rows: differences between the rows.
        files_read: number of data files that were read; None if the versions were read as a whole.
        files_shared: number of data files that both versions have, which need no comparison.
        notes: limits of the comparison, and facts about the versions.
    """

    table: str
    before: int | None
    after: int | None
    rows_before: int | None = None
    rows_after: int | None = None
    columns: tuple[ColumnChange, ...] = ()
    rows: RowDifference = field(default_factory=RowDifference)
    files_read: int | None = None
    files_shared: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def added(self) -> int:
        """Number of added rows."""
        return self.rows.added

    @property
    def removed(self) -> int:
        """Number of removed rows."""
        return self.rows.removed

    @property
    def changed(self) -> int:
        """Number of changed rows: same key, other values."""
        return self.rows.changed

    def __bool__(self) -> bool:
        """Return True if the sides differ in rows, columns or existence."""
        missing = (self.before is None) != (self.after is None)
        return bool(self.added or self.removed or self.changed or self.columns or missing)

    def counts(self) -> str:
        """Return the numbers of rows in short, such as ``+1,204 ~3 −0``."""
        changed = f" ~{self.changed:,}" if self.rows.compared_by or self.changed else ""
        return f"+{self.added:,}{changed} −{self.removed:,}"

    def summary(self) -> str:
        """Return one line: table, versions, counts, and columns that differ."""
        if self.before is None and self.after is None:
            return f"{self.table}: does not exist"
        at = f"{self.table} {_version(self.before)} → {_version(self.after)}"
        noun = "column differs" if len(self.columns) == 1 else "columns differ"
        schema = f"; {len(self.columns)} {noun}" if self.columns else ""
        return f"{at}: {self.counts()}{schema}{'' if self else ' (equal)'}"


def _version(number: int | None) -> str:
    return "none" if number is None else f"v{number}"
