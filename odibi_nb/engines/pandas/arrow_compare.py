"""Comparing two Arrow tables, by DuckDB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.engines import table_compare
from odibi_nb.engines.delta.schema import type_name
from odibi_nb.engines.optional_imports import require

if TYPE_CHECKING:
    from odibi_nb.core.model.table_change import TableChange
    from odibi_nb.core.model.transformation import Output

MAX_EXACT = 1_000_000


def compare(before: Any, after: Any, output: Output, *, partial: bool = False) -> TableChange:
    """What writing *after* as *output* says would change in a table that holds *before*.

    Args:
        before: an Arrow table, or None if there is no table yet.
        after: an Arrow table with the types of *before*, where they are to stay.
        output: where and how it would be written.
        partial: *after* was made of parts of its inputs.
    """
    duckdb = require("duckdb", "comparing tables")
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_external_access = false")
        sides = ArrowSides(connection, before, after)
        return table_compare.compare(sides, output, partial=partial)


class ArrowSides(table_compare.Sides):
    """Two Arrow tables, registered in a DuckDB *connection*."""

    max_exact = MAX_EXACT

    def __init__(self, connection: Any, before: Any, after: Any) -> None:
        self._connection = connection
        self.written, self.present = "written", ""
        self.types_written, self.types_present = _types(after), {}
        connection.register(self.written, after)
        if before is not None:
            self.present, self.types_present = "present", _types(before)
            connection.register(self.present, before)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Through Arrow, whose Python values do not depend on the machine's time zone."""
        found = self._connection.sql(sql).to_arrow_table()
        return list(zip(*(column.to_pylist() for column in found.columns), strict=True))

    def quoted(self, name: str) -> str:
        """As DuckDB quotes it."""
        return '"' + name.replace('"', '""') + '"'

    def scientific(self, column: str, digits: int) -> str:
        """By ``format``."""
        return f"format('{{:.{digits - 1}e}}', {column})"


def _types(table: Any) -> dict[str, str]:
    return {field.name: type_name(field.type) for field in table.schema}
