"""Compare the rows of two Spark DataFrames, regardless of their order.

Each row becomes JSON text, each text a hash, and the sums of the hashes are compared. Both frames are
computed once.
"""

from __future__ import annotations

from typing import Any

from odibi_nb.core.text.sql_text import backticked
from odibi_nb.engines.optional_imports import require

_EXACT = {
    # By default Spark leaves out nulls, and writes milliseconds only.
    "ignoreNullFields": "false",
    "timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX",
    "timestampNTZFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSS",
}
_DIGITS = 15
"""Hexadecimal digits of a hash that one sum adds up: they fit in a long."""


def same_rows(frame: Any, table: Any) -> bool:
    """Return True if *frame* has exactly the columns, types and rows of *table*."""
    if _types(frame) != _types(table):
        return False
    columns = [backticked(name) for name in table.columns]
    return bool(_sums(frame.select(*columns)) == _sums(table.select(*columns)))


def _types(frame: Any) -> dict[str, str]:
    return {field.name: field.dataType.simpleString() for field in frame.schema.fields}


def _sums(frame: Any) -> tuple[Any, ...]:
    functions = require("pyspark.sql.functions", "the Spark engine")
    row = functions.to_json(functions.struct(*map(backticked, frame.columns)), _EXACT)
    digest = functions.sha2(row, 256)

    def part(start: int) -> Any:
        digits = functions.conv(functions.substring(digest, start, _DIGITS), 16, 10)
        return functions.sum(digits.cast("decimal(38,0)"))

    found = frame.agg(functions.count(functions.lit(1)), part(1), part(1 + _DIGITS)).collect()
    return tuple(found[0])
