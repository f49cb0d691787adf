"""Comparing two Spark DataFrames, by Spark: nothing but counts and samples comes to this machine."""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid
from typing import TYPE_CHECKING, Any

from odibi_nb.engines import table_compare
from odibi_nb.engines.optional_imports import reason
from odibi_nb.engines.spark.frames import literal, types_of
from odibi_nb.errors import DataError
from odibi_nb.storage.spark_names import quoted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from odibi_nb.core.model.table_change import TableChange
    from odibi_nb.core.model.transformation import Output

MAX_EXACT = 200_000
"""Counting distinct values exactly costs a shuffle of every column."""
_AS_TEXT = ("map", "variant")
"""Spark can neither group by these types nor put them in order."""


def compare(
    spark: Any, before: Any, after: Any, output: Output, *, partial: bool = False
) -> TableChange:
    """What writing *after* as *output* says would change in a table that holds *before*.

    Args:
        spark: the session of both.
        before: a DataFrame, or None if there is no table yet.
        after: a DataFrame with the types of *before*, where they are to stay.
        output: where and how it would be written.
        partial: *after* was made of parts of its inputs.

    Raises:
        DataError: if one of them cannot be read.
    """
    with _views(before, after, spark) as (present, written):
        sides = SparkSides(spark, (written, types_of(after.schema)))
        if before is not None:
            sides.present, sides.types_present = present, types_of(before.schema)
        try:
            return table_compare.compare(sides, output, partial=partial)
        except Exception as exc:
            raise DataError(
                f"{output.table}: cannot be compared with what would be written: {reason(exc)}"
            ) from exc


class SparkSides(table_compare.Sides):
    """Two views of a session; *written* is its name and its types."""

    max_exact = MAX_EXACT

    def __init__(self, spark: Any, written: tuple[str, dict[str, str]]) -> None:
        self._spark = spark
        self.written, self.types_written = written
        self.present, self.types_present = "", {}

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Collected; the queries see to it that they are few."""
        return python_rows(self._spark.sql(sql))

    def quoted(self, name: str) -> str:
        """As Spark quotes it."""
        return quoted(name)

    def scientific(self, column: str, digits: int) -> str:
        """By ``printf``."""
        return f"printf({literal(f'%.{digits - 1}e')}, {column})"

    def comparable(self, column: str, kind: str) -> str:
        """Maps, at any depth, as text."""
        is_text = any(f"{word}<" in kind or kind == word for word in _AS_TEXT)
        return f"CAST({column} AS STRING)" if is_text else column


def python_rows(frame: Any) -> list[tuple[Any, ...]]:
    """The rows of a small DataFrame; time stamps, which pyspark gives in local time, are in UTC."""
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


@contextlib.contextmanager
def _views(before: Any, after: Any, spark: Any) -> Iterator[tuple[str, str]]:
    """Names for both in the session's SQL, while inside."""
    mark = uuid.uuid4().hex
    names = (f"odibi_present_{mark}", f"odibi_written_{mark}")
    try:
        for name, frame in zip(names, (before, after), strict=True):
            if frame is not None:
                frame.createOrReplaceTempView(name)
        yield names
    finally:
        for name in names:
            with contextlib.suppress(Exception):  # a session that is gone has no views
                spark.catalog.dropTempView(name)
