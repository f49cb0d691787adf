"""Parts of both comparisons of tables: the SQL in which engines differ, changed columns, changed rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.table_change import ChangedRow, ColumnChange
from odibi_nb.core.model.table_diff import SAMPLES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FLOAT_DIGITS = {"double": 9, "float": 5}
"""Type of floats to the number of digits in which equal values must agree."""
INFINITY = "CAST('Infinity' AS DOUBLE)"


class Dialect(ABC):
    """The SQL of one engine, where it differs from the SQL that DuckDB, Spark and Sail share.

    Attributes:
        differing: name of the relation of `row_difference`'s differing rows, quoted.
    """

    differing = "differing"

    @abstractmethod
    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query as Python values; times are aware, in UTC."""

    @abstractmethod
    def quoted(self, name: str) -> str:
        """Quote the name of a column."""

    @abstractmethod
    def seconds(self, column: str) -> str:
        """Return SQL for a date or time as seconds, a double."""

    @abstractmethod
    def scientific(self, column: str, digits: int) -> str:
        """Return SQL for a column of floats as text with *digits* significant digits."""

    def kept(self, name: str, sql: str) -> str:
        """Return a relation with the rows of *sql*; an engine may compute them once, as the table *name*."""
        del name
        return f"({sql})"

    def comparable(self, column: str, kind: str) -> str:
        """Return SQL by which the engine can compare, group and sort a column of type *kind*."""
        del kind
        return column


def near(a: str, b: str, kind: str) -> str:
    """Return SQL that is true if two floats of type *kind* differ by rounding only."""
    apart, larger = f"abs({a} - {b})", f"greatest(abs({a}), abs({b}))"
    limit = f"{larger} * 1e-{FLOAT_DIGITS[kind]}"
    return f"coalesce({apart} < {INFINITY} AND {apart} <= {limit}, false)"


def column_changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[ColumnChange, ...]:
    """List the columns that only one side has, or whose type differs; the sides map name to type."""
    return tuple(
        ColumnChange(name=name, before=before.get(name), after=after.get(name))
        for name in dict.fromkeys([*before, *after])
        if before.get(name) != after.get(name)
    )


def changed_rows(
    dialect: Dialect, pairs: str, keys: Sequence[str], differs: Mapping[str, str]
) -> tuple[ChangedRow, ...]:
    """Return samples of changed rows, in the order of their keys.

    Args:
        dialect: the engine's SQL.
        pairs: SQL for the pairs of rows: ``a`` after the change, ``b`` before it.
        keys: columns that identify a row.
        differs: each other column to SQL that is true, or 1, if a pair differs in it.
    """
    named = [f"a.{dialect.quoted(key)}" for key in keys]
    values = [f"{side}.{dialect.quoted(name)}" for name in differs for side in "ba"]
    selected = enumerate([*named, *values, *differs.values()])
    found = dialect.rows(
        f"SELECT {', '.join(f'{value} AS c{i}' for i, value in selected)} FROM {pairs} "
        f"ORDER BY {', '.join(named)} LIMIT {SAMPLES}"
    )
    k, n = len(keys), len(differs)
    return tuple(
        ChangedRow(
            key=dict(zip(keys, row[:k], strict=True)),
            columns={
                name: (row[k + 2 * i], row[k + 2 * i + 1])
                for i, name in enumerate(differs)
                if row[k + 2 * n + i]
            },
        )
        for row in found
    )
