"""Spark's SQL, for comparisons of tables."""

from __future__ import annotations

import datetime as dt
from typing import Any

from odibi_nb.core.text.sql_text import backticked, spark_literal
from odibi_nb.engines.comparison_parts import Dialect
from odibi_nb.engines.spark.frames import types_of

_AS_TEXT = ("map", "variant")
"""Types by which Spark can neither group nor sort."""


class SparkDialect(Dialect):
    """Spark's SQL, in the session *spark*; *differing* is the name of a view."""

    def __init__(self, spark: Any, differing: str = "") -> None:
        self._spark = spark
        self.differing = differing

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Collect the few rows of a query, with time stamps in UTC; pyspark returns local times."""
        frame = self._spark.sql(sql)
        stamps = [kind == "timestamp" for kind in types_of(frame.schema).values()]
        return [
            tuple(
                value.astimezone(dt.timezone.utc)
                if stamp and value is not None
                else value.asDict(recursive=True)
                if hasattr(value, "asDict")
                else value
                for value, stamp in zip(row, stamps, strict=True)
            )
            for row in frame.collect()
        ]

    def quoted(self, name: str) -> str:
        return backticked(name)

    def seconds(self, column: str) -> str:
        """Return a cast; Spark's times are seconds since 1970 as doubles."""
        return f"CAST(CAST({column} AS TIMESTAMP) AS DOUBLE)"

    def scientific(self, column: str, digits: int) -> str:
        return f"printf({spark_literal(f'%.{digits - 1}e')}, {column})"

    def comparable(self, column: str, kind: str) -> str:
        """Return SQL that casts types with maps or variants, at any depth, to text."""
        is_text = any(f"{word}<" in kind or kind == word for word in _AS_TEXT)
        return f"CAST({column} AS STRING)" if is_text else column
