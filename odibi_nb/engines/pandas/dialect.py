"""DuckDB's SQL, for comparisons of tables."""

from __future__ import annotations

from typing import Any

from odibi_nb.core.text.sql_text import double_quoted
from odibi_nb.engines.comparison_parts import Dialect


class DuckDialect(Dialect):
    """DuckDB's SQL, over a *connection*."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query, through Arrow: its times do not depend on the local time zone."""
        found = self._connection.sql(sql).to_arrow_table()
        return list(zip(*(column.to_pylist() for column in found.columns), strict=True))

    def kept(self, name: str, sql: str) -> str:
        """Store the rows of *sql* in the table *name*."""
        self._connection.execute(f"CREATE TEMP TABLE {name} AS {sql}")
        return name

    def quoted(self, name: str) -> str:
        return double_quoted(name)

    def seconds(self, column: str) -> str:
        return f"epoch({column})"

    def scientific(self, column: str, digits: int) -> str:
        return f"format('{{:.{digits - 1}e}}', {column})"
