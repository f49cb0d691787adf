"""Compare two versions of tables whose files only the Spark session reaches, or that are very large."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.table_diff import RowDifference, TableDiff
from odibi_nb.core.text.sql_text import backticked
from odibi_nb.engines.comparison_parts import column_changes
from odibi_nb.engines.optional_imports import reason
from odibi_nb.engines.row_difference import (
    COPIES,
    compared,
    difference,
    shared_columns,
)
from odibi_nb.engines.spark.dialect import SparkDialect
from odibi_nb.engines.spark.frames import types_of
from odibi_nb.engines.spark.rehearsal import kept, temporary_views
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odibi_nb.engines.spark.connection import Connection


def diff(
    connection: Connection,
    table: str,
    frames: tuple[Any, Any],
    versions: tuple[int | None, int | None],
    keys: Sequence[str],
) -> TableDiff:
    """Return the differences between two DataFrames of a table, one of which may be None.

    Spark reads both versions completely, because it does not show which files they share.

    Raises:
        DataError: if a version cannot be read.
    """
    before, after = (None if frame is None else types_of(frame.schema) for frame in frames)
    one = after or before or {}
    shared = shared_columns(before or one, after or one)
    notes: tuple[str, ...] = ("both versions were read as a whole, because Spark compared them",)
    try:
        rows = _rows(connection, frames, shared, keys) if shared else RowDifference()
    except Exception as exc:
        raise DataError(f"{table}: the versions cannot be compared: {reason(exc)}") from exc
    if not shared:
        notes = (*notes, "the sides have no column in common: rows cannot be compared")
    return TableDiff(
        table=table,
        before=versions[0],
        after=versions[1],
        columns=() if before is None or after is None else column_changes(before, after),
        rows=rows,
        notes=notes,
    )


def _rows(
    connection: Connection, frames: tuple[Any, Any], shared: dict[str, str], keys: Sequence[str]
) -> RowDifference:
    spark = connection.spark
    dialect = SparkDialect(spark)
    with temporary_views(spark, *frames) as views:
        parts = [
            f"SELECT {', '.join(compared(dialect, types_of(frame.schema), shared))}, "
            f"{sign} AS __odibi_sign FROM {view}"
            for view, frame, sign in zip(views, frames, (-1, 1), strict=True)
            if frame is not None
        ]
        names = ", ".join(map(backticked, shared))
        found = spark.sql(
            f"SELECT * FROM (SELECT {names}, sum(__odibi_sign) AS {COPIES} "
            f"FROM ({' UNION ALL '.join(parts)}) AS both_sides GROUP BY {names}) AS summed "
            f"WHERE {COPIES} <> 0"
        )
        found = kept(connection, found)  # computed once; the rows live as long as this object
        with temporary_views(spark, found) as (differing,):
            return difference(SparkDialect(spark, differing), shared, keys)
