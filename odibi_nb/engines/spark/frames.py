"""Convert Spark DataFrames to types that every reader of the lake's tables supports.

All conversions are SQL text, which classic Spark, Spark Connect and Sail interpret in the same way.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from odibi_nb.concatenation import NO_DATA
from odibi_nb.core.text.sql_text import backticked, spark_literal
from odibi_nb.engines.output_rules import check_names, columns_apart, columns_differ, retyped
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odibi_nb.core.model.transformation import Output

_SPARK_4 = 4
_REFUSED_IN_NAMES = " ,;{}()\n\t="
_WIDER = {
    "tinyint": ("smallint", "int", "bigint", "float", "double"),
    "smallint": ("int", "bigint", "float", "double"),
    "int": ("bigint", "double"),
    "float": ("double",),
}
"""Type to the wider types that can hold all of its values."""
_VOID = re.compile(r"\bvoid\b")
_DIGITS = {"tinyint": 3, "smallint": 5, "int": 10, "bigint": 19}


def is_spark(value: object) -> bool:
    """Return True if *value* is a Spark DataFrame of any kind of session."""
    return any(
        cls.__name__ == "DataFrame" and cls.__module__.startswith("pyspark.sql")
        for cls in type(value).__mro__
    )


def to_spark(spark: Any, data: Any) -> Any:
    """Convert the Arrow table *data* to a DataFrame of the session *spark*.

    *data* must have the types that `odibi_nb.engines.pandas.frames` produces.
    """
    import pyspark
    from pyspark.sql.pandas.types import from_arrow_schema

    guesses = [f.name for f in data.schema if f.metadata and NO_DATA.encode() in f.metadata]
    if not data.num_rows:  # Sail loses the types of a table without rows
        frame = spark.createDataFrame([], from_arrow_schema(data.schema))
    elif int(pyspark.__version__.partition(".")[0]) >= _SPARK_4:
        frame = spark.createDataFrame(data)
    else:
        rows = data.to_pandas(integer_object_nulls=True)  # floats would change large numbers
        frame = spark.createDataFrame(rows, from_arrow_schema(data.schema))
    return marked(frame, guesses)


def types_of(schema: Any) -> dict[str, str]:
    """Map each column of a Spark schema to the name of its type."""
    return {field.name: field.dataType.simpleString() for field in schema.fields}


def marked(frame: Any, names: Sequence[str]) -> Any:
    """Mark the types of the columns *names* of *frame* as guesses, because they have no values."""
    for name in names:
        frame = frame.withMetadata(name, {NO_DATA: "true"})
    return frame


def storable(frame: Any, table: str, time_zone: str) -> Any:
    """Convert *frame* to types that Delta and all its readers support.

    Time stamps without a zone are UTC, as in the pandas engine. A column of Spark's type ``void``
    becomes text.

    Args:
        frame: a Spark DataFrame.
        table: the frame's name in messages.
        time_zone: the session's time zone.

    Raises:
        DataError: naming *table*, the column and a remedy, if a column cannot be stored.
    """
    types = types_of(frame.schema)
    _check_names([field.name for field in frame.schema.fields], table)
    columns = []
    for name, kind in types.items():
        if kind.startswith("interval"):
            raise DataError(
                f"{table}, column {name!r}: a table cannot store intervals ({kind}): store seconds"
            )
        columns.append(_stored_as(backticked(name), kind, time_zone))
    if any(" AS " in column for column in columns):
        frame = frame.selectExpr(*columns)
    return marked(frame, [name for name, kind in types.items() if _VOID.search(kind)])


def _stored_as(column: str, kind: str, time_zone: str) -> str:
    if _VOID.search(kind):
        return f"CAST({column} AS {_VOID.sub('string', kind)}) AS {column}"
    if kind == "timestamp_ntz":
        stamp = f"CAST({column} AS timestamp)"
        if time_zone not in {"UTC", "Etc/UTC", "Z", "GMT"}:
            stamp = f"from_utc_timestamp({stamp}, {spark_literal(time_zone)})"
        return f"{stamp} AS {column}"
    if kind.startswith(("char(", "varchar(")):
        return f"CAST({column} AS string) AS {column}"
    return column


def _check_names(names: list[str], table: str) -> None:
    check_names(names, table)
    for name in names:
        found = next((c for c in _REFUSED_IN_NAMES if c in name), None)
        if found is not None:
            plain = "".join("_" if c in _REFUSED_IN_NAMES else c for c in name)
            raise DataError(
                f"{table}: column {name!r} has {found!r} in its name, which Delta on Spark refuses: "
                f"rename it, for example to {plain!r}"
            )


def fit(frame: Any, schema: Any, output: Output) -> tuple[Any, bool]:
    """Convert *frame* to the types and the column order of *schema*; also return True if columns differ.

    A type changes only if the table's type can hold all of its values.

    Raises:
        DataError: listing the differences, if columns differ and ``schema_mode`` is not "merge", or
            if a column's type does not fit the table's.
    """
    ours, theirs = types_of(frame.schema), types_of(schema)
    guesses = {field.name for field in frame.schema.fields if is_guess(field)}
    only_ours, only_theirs, changed = columns_apart([*ours], [*theirs])
    added = [(name, ours[name]) for name in only_ours]
    missing = [(name, theirs[name]) for name in only_theirs]
    columns = []
    for name, kind in theirs.items():
        if name in ours:
            differs = retyped(name, kind, ours[name])
            if name in guesses and kind != ours[name]:
                columns.append(_nothing(name, kind, f"{output.table}: {differs}"))
                continue
            if not _holds(kind, ours[name]):
                changed.append(differs)
            column = backticked(name)
            same = kind == ours[name]
            columns.append(column if same else f"CAST({column} AS {kind}) AS {column}")
    if changed or ((added or missing) and output.schema_mode != "merge"):
        raise columns_differ(output, added, missing, changed)
    columns += [backticked(name) for name, _ in added]
    as_is = columns == [backticked(name) for name in ours]
    return frame if as_is else frame.selectExpr(*columns), bool(added or missing)


def is_guess(field: Any) -> bool:
    """Return True if the metadata of a Spark *field* marks its type as a guess."""
    return NO_DATA in str(field.metadata)  # Sail stores the mark one level deeper


def _nothing(name: str, kind: str, otherwise: str) -> str:
    """Return SQL for a column without values as *kind*; if it has values, it fails with *otherwise*."""
    column = backticked(name)
    wrong = f"CAST(raise_error({spark_literal(otherwise)}) AS {kind})"
    if kind.startswith(("array", "map", "struct")):
        # Empty values have the same JSON in both types. Other values would get lost.
        value = f"from_json(to_json({column}), {spark_literal(kind)})"
        same = f"to_json({value}) = to_json({column})"
        return (
            f"CASE WHEN {column} IS NULL THEN NULL WHEN {same} THEN {value} ELSE {wrong} END "
            f"AS {column}"
        )
    return f"CASE WHEN {column} IS NOT NULL THEN {wrong} END AS {column}"


def with_missing(frame: Any, schema: Any) -> Any:
    """Add the columns of *schema* that *frame* lacks, all null, as ``schema_mode`` "merge" allows."""
    theirs = types_of(schema)
    nothing = [
        f"CAST(NULL AS {kind}) AS {backticked(name)}"
        for name, kind in theirs.items()
        if name not in frame.columns
    ]
    return frame.selectExpr("*", *nothing) if nothing else frame


def _holds(wide: str, narrow: str) -> bool:
    """Return True if type *wide* can hold every value of type *narrow*."""
    if wide == narrow or wide in _WIDER.get(narrow, ()):
        return True
    if not wide.startswith("decimal"):
        return False
    precision, scale = _decimal(wide)
    if narrow.startswith("decimal"):
        other, other_scale = _decimal(narrow)
        return scale >= other_scale and precision - scale >= other - other_scale
    return narrow in _DIGITS and precision - scale >= _DIGITS[narrow]


def _decimal(kind: str) -> tuple[int, int]:
    precision, scale = kind[len("decimal(") : -1].split(",")
    return int(precision), int(scale)
