"""The port of a table of plain rows: what the registry and the run log are kept in, wherever it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from odibi_nb.core.protocols import Row


Columns = list[tuple[str, str]]


class RowTable(Protocol):
    """A Delta table that may not be there; a column's kind is as in `odibi_nb.core.model.log_columns`.

    Everything raises DataError, with the reason in one line, if it cannot be done.
    """

    def types(self) -> Mapping[str, str] | None:
        """Its columns; None if there is no table."""

    def select(
        self, columns: Columns, refine: Callable[[Any], Any] = lambda frame: frame
    ) -> list[Row]:
        """Rows, with those of *columns* that it has; *refine* is for frames with comparisons."""

    def append(self, rows: Sequence[Row], columns: Columns) -> None:
        """Append *rows*; the table is made, or gets the columns that it lacks, also without rows."""

    def merge(self, columns: Columns, decide: Callable[[Sequence[Row]], Merge | None]) -> None:
        """Read the rows, let *decide* say what to do to them, and do it in one commit.

        Where another writer changes the table in between, *decide* is asked again, with its rows.

        Args:
            columns: which of them *decide* gets, those that exist.
            decide: gets the rows; returns None if there is nothing to do; what it raises ends it all.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Rows to write, all values as text; the table's own types take them.

    Attributes:
        columns: the columns that are written.
        keys: those of them that identify a row.
        upserts: (row as it was read, or None for a new one; row to write). A row as it was read has
            the columns whose values must be the same when the commit is made.
        deletes: rows to remove, as they were read.
    """

    columns: tuple[str, ...]
    keys: tuple[str, ...]
    upserts: tuple[tuple[Row | None, Row], ...] = ()
    deletes: tuple[Row, ...] = ()
