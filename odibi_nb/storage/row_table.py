"""The port of a table of plain rows: what the registry and the run log are kept in, wherever it is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import tenacity

from odibi_nb.storage.row_values import restored_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from odibi_nb.core.protocols import Row

CONFLICT_TRIES = 20

Columns = Sequence[tuple[str, str]]
"""Names and kinds, as in `odibi_nb.core.model.log_columns`."""

Choice = Callable[[Collection[str]], Columns]
"""Chooses columns by the names of those that a table has; may refuse the table by raising."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowQuery:
    """Which rows of a table, in which order.

    A table without a column that `equal` names has no such rows; columns of `order` that it lacks do
    not order.

    Attributes:
        equal: column to the texts of which it must have one.
        folded: column to the text that it must be, in any case. Not together with `limit`.
        order: columns by which the rows are ordered.
        descending: whether the greatest come first; rows without a value come last then.
        limit: at most so many of the ordered rows.
    """

    equal: Mapping[str, Sequence[str]] = field(default_factory=dict)
    folded: Mapping[str, str] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    descending: bool = False
    limit: int | None = None

    def spelled(self, types: Collection[str]) -> RowQuery | None:
        """The query with the names of a table that has *types*; None if it can have no such rows."""
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
        """Those of *rows* for which `folded` holds: for tables whose SQL may fold letters otherwise."""
        return [
            row
            for row in rows
            if all(str(row[name]).lower() == text.lower() for name, text in self.folded.items())
        ]

    def ordered_rows(self, rows: list[Row]) -> list[Row]:
        """*rows* in order: for tables where that is cheaper, or surer, than in their SQL."""
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
    """What to do to the rows of a table, under the names of its columns.

    Attributes:
        keys: the columns that identify a row.
        inserts: the new rows.
        updates: (row as it was read, values to set).
        deletes: the rows to remove, as they were read.
        uncompared: columns in which a row may have changed since it was read.
    """

    keys: tuple[str, ...]
    inserts: tuple[Row, ...] = ()
    updates: tuple[tuple[Row, Row], ...] = ()
    deletes: tuple[Row, ...] = ()
    uncompared: frozenset[str] = frozenset()

    def spelled(self, types: Collection[str]) -> Merge:
        """The same under the names of a table that has *types*."""
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
        """The same for a MERGE statement, whose source has the same columns in each row."""
        written = dict.fromkeys(name for _, new in self.updates for name in new)
        written |= dict.fromkeys(name for row in self.inserts for name in row)
        if self.deletes:  # whatever of a row has changed, it is not removed
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


class RowTable(ABC):
    """A table that may not be there; reading never makes it.

    Its columns are found in any case, as in SQL, and rows have the names that were asked for.
    Everything raises DataError, with the reason in one line, if it cannot be done.
    """

    @abstractmethod
    def types(self) -> Mapping[str, str] | None:
        """Its columns, as it spells them, and their types; None if there is no table."""

    @abstractmethod
    def select(self, columns: Columns | Choice, query: RowQuery = ALL_ROWS) -> list[Row]:
        """Rows, with those of *columns* that it has, under the names that were asked for.

        Raises:
            TableNotFoundError: if there is no table.
        """

    @abstractmethod
    def append(self, rows: Sequence[Row], columns: Columns) -> None:
        """Append *rows*; the table is made, or gets the columns that it lacks, also without rows."""

    @abstractmethod
    def merge(
        self, columns: Columns | Choice, decide: Callable[[Sequence[Row]], Merge | None]
    ) -> None:
        """Read the rows, let *decide* say what to do to them, and do it in one commit.

        Where another writer changes the table in between, *decide* is asked again, with its rows.

        Args:
            columns: which of them *decide* gets, those that exist.
            decide: gets the rows; returns None if there is nothing to do; what it raises ends it all.

        Raises:
            TableNotFoundError: if there is no table.
        """

    def compact(self) -> None:  # noqa: B027  most databases do it themselves
        """Keep reading fast although many append little; a failure is only logged."""

    def medians(
        self, value: str, by: str, equal: Mapping[str, Sequence[str]]
    ) -> list[tuple[str, float]]:
        """(a value of *by*, the median of *value* in the rows that have it), of the rows in *equal*.

        Raises:
            TableNotFoundError: if there is no table.
        """
        import statistics

        columns = ((by, "string"), (value, "double"))
        groups: dict[str, list[float]] = {}
        for row in restored_rows(self.select(columns, RowQuery(equal=equal)), columns):
            if row[value] is not None:
                groups.setdefault(row[by], []).append(row[value])
        return [(key, statistics.median(values)) for key, values in groups.items()]


def spelling(names: Iterable[str], types: Collection[str]) -> dict[str, str]:
    """Those of *names* that a table has whose columns are *types*, in any case, to its spelling."""
    by_lower = {name.lower(): name for name in types}
    found = {name: name if name in types else by_lower.get(name.lower()) for name in names}
    return {name: spelled for name, spelled in found.items() if spelled is not None}


def chosen(columns: Columns | Choice, types: Collection[str]) -> Columns:
    """Those of *columns* that a table has whose columns are *types*."""
    asked = columns(types) if callable(columns) else columns
    names = spelling((name for name, _ in asked), types)
    return [(name, kind) for name, kind in asked if name in names]


def tries(came_second: Callable[[BaseException], bool]) -> tenacity.Retrying:
    """Attempts at a commit, again where another writer *came_second* says was first."""
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
