"""The port of a table of plain rows, in which the registry and the run log are stored."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar

import tenacity

from odibi_nb.errors import TableNotFoundError
from odibi_nb.storage.row_values import Columns, restored_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from odibi_nb.core.protocols import Row

CONFLICT_TRIES = 20

Choice = Callable[[Collection[str]], Columns]
"""A function that chooses columns from a table's column names. It may refuse the table by raising."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowQuery:
    """A selection of a table's rows, and their order.

    If the table lacks a column of `equal` or `folded`, the query has no rows. Columns of `order` that the
    table lacks are ignored.

    Attributes:
        equal: column to texts; its value must equal one of them.
        folded: column to a text; its value must equal the text in any case. Not together with `limit`.
        order: the columns to order by.
        descending: True to put the greatest values first, and rows without a value last.
        limit: the largest number of rows, in their order; None for all.
    """

    equal: Mapping[str, Sequence[str]] = field(default_factory=dict)
    folded: Mapping[str, str] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    descending: bool = False
    limit: int | None = None

    def spelled(self, types: Collection[str]) -> RowQuery | None:
        """Return the query with the table's spelling of its columns, *types*, or None if a column is missing."""
        names = spelling((*self.equal, *self.folded, *self.order), types)
        if not {*self.equal, *self.folded} <= names.keys():
            return None
        return replace(
            self,
            equal={names[name]: texts for name, texts in self.equal.items()},
            folded={names[name]: text for name, text in self.folded.items()},
            order=tuple(names[name] for name in self.order if name in names),
        )

    def folded_rows(self, rows: Iterable[Row]) -> list[Row]:
        """Return the *rows* that match `folded`, for tables whose SQL may fold letters differently."""
        if not self.folded:
            return [*rows]
        return [
            row
            for row in rows
            if all(str(row[name]).lower() == text.lower() for name, text in self.folded.items())
        ]

    def ordered_rows(self, rows: list[Row]) -> list[Row]:
        """Sort *rows*, for tables where that is cheaper or more reliable than their SQL."""
        names = [name for name in self.order if rows and name in rows[0]]
        if names:
            rows.sort(
                key=lambda row: [(row[name] is not None, row[name]) for name in names],
                reverse=self.descending,
            )
        return rows


ALL_ROWS = RowQuery()


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """Changes of a table's rows, by column name.

    Attributes:
        keys: the columns that identify a row.
        inserts: the new rows.
        updates: pairs of the row as it was read, and the values to set.
        deletes: the rows to remove, as they were read.
        uncompared: columns that may change between the read and the write without a conflict.
    """

    keys: tuple[str, ...]
    inserts: tuple[Row, ...] = ()
    updates: tuple[tuple[Row, Row], ...] = ()
    deletes: tuple[Row, ...] = ()
    uncompared: frozenset[str] = frozenset()

    def spelled(self, types: Collection[str]) -> Merge:
        """Return the same changes with the table's spelling of its columns, *types*."""
        rows = (*self.inserts, *self.deletes, *(row for pair in self.updates for row in pair))
        names = spelling(dict.fromkeys(name for row in rows for name in row), types)

        def under(row: Row) -> Row:
            return {names[name]: value for name, value in row.items()}

        return Merge(
            keys=tuple(names.get(key, key) for key in self.keys),
            inserts=tuple(map(under, self.inserts)),
            updates=tuple((under(old), under(new)) for old, new in self.updates),
            deletes=tuple(map(under, self.deletes)),
            uncompared=frozenset(names.get(name, name) for name in self.uncompared),
        )

    def as_text(self) -> TextMerge:
        """Return the same changes for a MERGE statement, whose source has the same columns in each row."""
        written = dict.fromkeys(name for _, new in self.updates for name in new)
        written |= dict.fromkeys(name for row in self.inserts for name in row)
        if self.deletes:  # a row that has changed in any column must stay
            written |= dict.fromkeys(name for row in self.deletes for name in row)
            for name in self.uncompared:
                written.pop(name, None)
        columns = (*self.keys, *(name for name in written if name not in self.keys))
        compared = [name for name in columns if name not in self.uncompared]

        def texts(row: Row, names: Iterable[str]) -> Row:
            return {name: _text(row.get(name)) for name in names}

        upserts: list[tuple[Row | None, Row]] = [
            (None, texts(row, columns)) for row in self.inserts
        ]
        upserts += [
            (texts(old, compared), texts({**old, **new}, columns)) for old, new in self.updates
        ]
        return TextMerge(
            columns=columns,
            keys=self.keys,
            upserts=tuple(upserts),
            deletes=tuple(texts(row, compared) for row in self.deletes),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TextMerge:
    """Rows to write, with all values as text. The table converts them to its own types.

    Attributes:
        columns: the columns to write.
        keys: the columns that identify a row.
        upserts: pairs of the row as it was read (None for a new row) and the row to write. A row as it
            was read has the columns whose values must be unchanged at the time of the commit.
        deletes: rows to remove, as they were read.
    """

    columns: tuple[str, ...]
    keys: tuple[str, ...]
    upserts: tuple[tuple[Row | None, Row], ...] = ()
    deletes: tuple[Row, ...] = ()


class RowTable(ABC):
    """A table that may not exist yet. Reading never creates it.

    Column names match in any case, as in SQL, and rows have the names that the caller asked for. Every
    method that fails raises DataError, with the reason in one line.

    Attributes:
        compacted_every: number of runs after which a call of `compact` is worth its time.
    """

    compacted_every: ClassVar[int] = 1

    @abstractmethod
    def types(self) -> Mapping[str, str] | None:
        """Return the columns, in the table's own spelling, with their types, or None without a table."""

    @abstractmethod
    def select(self, columns: Columns | Choice, query: RowQuery = ALL_ROWS) -> list[Row]:
        """Return the rows of *query*, with the *columns* that the table has, under the caller's names.

        Raises:
            TableNotFoundError: if the table does not exist.
        """

    def existing_rows(self, columns: Columns, query: RowQuery) -> list[Row]:
        """Return the rows as `select` does; an empty list if the table does not exist."""
        try:
            return self.select(columns, query)
        except TableNotFoundError:
            return []

    @abstractmethod
    def append(self, rows: Sequence[Row], columns: Columns) -> None:
        """Append *rows*. Even without rows, create a missing table or add its missing columns."""

    @abstractmethod
    def merge(
        self, columns: Columns | Choice, decide: Callable[[Sequence[Row]], Merge | None]
    ) -> None:
        """Read the rows, call *decide* with them, and commit the merge that it returns.

        If another writer changes the table in between, *decide* is called again with the new rows.

        Args:
            columns: the columns for *decide*; columns that the table lacks are left out.
            decide: gets the rows and returns the merge, or None for no change. An error that it raises
                ends the call without a write.

        Raises:
            TableNotFoundError: if the table does not exist.
        """

    def compact(self) -> None:  # noqa: B027  most databases do it themselves
        """Keep reads fast after many small appends. A failure is only logged."""

    def tidy(self) -> None:  # noqa: B027  most databases do it themselves
        """Remove the remains of many changes to few rows. A failure is only logged."""

    def grouped(
        self, by: str, columns: Columns, equal: Mapping[str, Sequence[str]]
    ) -> list[tuple[str, list[list[Any]]]]:
        """Return each value of *by* with the values of *columns* in its rows, for rows in *equal*.

        Missing values are left out. Values are in any order.

        Raises:
            TableNotFoundError: if the table does not exist.
        """
        asked = ((by, "string"), *columns)
        groups: dict[str, list[Row]] = {}
        for row in restored_rows(self.select(asked, RowQuery(equal=equal)), asked):
            groups.setdefault(row[by], []).append(row)
        return [
            (key, [[row[name] for row in rows if row[name] is not None] for name, _ in columns])
            for key, rows in groups.items()
        ]


def spelling(names: Iterable[str], types: Collection[str]) -> dict[str, str]:
    """Map the *names* that a table with columns *types* has, in any case, to the table's spelling."""
    by_lower = {name.lower(): name for name in types}
    found = {name: name if name in types else by_lower.get(name.lower()) for name in names}
    return {name: spelled for name, spelled in found.items() if spelled is not None}


def chosen(columns: Columns | Choice, types: Collection[str]) -> Columns:
    """Return the *columns* that a table with columns *types* has."""
    asked = columns(types) if callable(columns) else columns
    names = spelling((name for name, _ in asked), types)
    return [(name, kind) for name, kind in asked if name in names]


def tries(came_second: Callable[[BaseException], bool]) -> tenacity.Retrying:
    """Return attempts at a commit that repeat if *came_second* finds that another writer was first."""
    return tenacity.Retrying(
        stop=tenacity.stop_after_attempt(CONFLICT_TRIES),
        wait=tenacity.wait_random_exponential(multiplier=0.05, max=1),
        retry=tenacity.retry_if_exception(came_second),
        reraise=True,
    )


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return str(int(value) if isinstance(value, bool) else value)
