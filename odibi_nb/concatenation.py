"""Concatenation of DataFrames that changes no value."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from odibi_nb.core.process.late_imports import import_late
from odibi_nb.core.text.sql_text import backticked
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NO_DATA = "odibi.made_of_no_data"
"""Metadata key of a column whose type is a guess, because the column never had a value."""
_CONVERTIBLE = "biuf"
"""NumPy's kinds of booleans and numbers, which pandas converts to each other."""
_NULLABLE = {
    "bool": "boolean",
    **{
        f"{sign}int{bits}": f"{sign.upper()}Int{bits}"
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    },
}
"""NumPy's types without a missing value, and pandas' types that also have one."""
_WIDTHS = ("tinyint", "smallint", "int", "bigint")


def one_after_the_other(frames: Sequence[Any]) -> Any:
    """Concatenate pandas *frames*, and match their columns by name.

    pandas itself would convert whole numbers to floats, and booleans to whole numbers, wherever a frame
    has another type or lacks the column. Here such a column becomes one of objects, or gets pandas'
    nullable type. The engine refuses to write values that one type cannot hold exactly.
    """
    pd = import_late("pandas")

    if len(frames) == 1:
        return frames[0]
    kinds: dict[Any, list[str]] = {}
    for frame in frames:
        for name, dtype in frame.dtypes.items():
            kinds.setdefault(name, []).append(getattr(dtype, "kind", "O"))
    return pd.concat(
        [frame.astype(_unchanging(frame, kinds, len(frames))) for frame in frames],
        ignore_index=True,
    )


def _unchanging(frame: Any, kinds: Mapping[Any, Sequence[str]], count: int) -> dict[Any, Any]:
    """Return the types in which *frame* can be concatenated with the others without a changed value.

    Args:
        frame: one of the frames.
        kinds: column to the NumPy kinds of its types in all frames that have it.
        count: the number of frames.
    """
    types: dict[Any, Any] = {}
    for name, dtype in frame.dtypes.items():
        if len({*kinds[name]} & {*_CONVERTIBLE}) > 1:
            types[name] = object
        elif len(kinds[name]) < count and str(dtype) in _NULLABLE:
            types[name] = _NULLABLE[str(dtype)]
    return types


def one_after_the_other_on_spark(frames: Sequence[Any]) -> Any:
    """Concatenate Spark *frames*, and match their columns by name.

    Raises:
        DataError: if a column has several types, and no type holds the values of all of them.
    """
    kinds: dict[str, set[str]] = {}
    for frame in frames:
        for field in frame.schema.fields:
            found = kinds.setdefault(field.name, set())
            if not _has_no_values(field):
                found.add(field.dataType.simpleString())
    common = {name: _common(name, found) for name, found in kinds.items()}
    first, *others = (_as(frame, common) for frame in frames)
    for other in others:
        first = first.unionByName(other, allowMissingColumns=True)
    return first


def _has_no_values(field: Any) -> bool:
    return field.dataType.simpleString() == "void" or NO_DATA in str(field.metadata)


def _common(name: str, kinds: set[str]) -> str:
    """Return the type that holds the values of all *kinds*."""
    if len(kinds) <= 1:
        return next(iter(kinds), "void")
    if kinds <= set(_WIDTHS):
        return max(kinds, key=_WIDTHS.index)
    if kinds <= {*_WIDTHS, "double", "float"}:
        return "double"
    fix = json.dumps({name: "string"}, ensure_ascii=False)
    raise DataError(
        f"column {name!r} has different types in different sources ({', '.join(sorted(kinds))}): "
        f'give "schema": {fix}'
    )


def _as(frame: Any, types: dict[str, str]) -> Any:
    """Cast *frame* to *types*. A whole number that a float would round is an error."""
    columns = []
    for field in frame.schema.fields:
        kind, column = field.dataType.simpleString(), backticked(field.name)
        target = types[field.name]
        if kind == target:
            columns.append(column)
        elif _has_no_values(field):
            columns.append(f"CAST(NULL AS {target}) AS {column}")
        elif kind == "bigint" and target == "double":
            wrong = f"concat({column}, ' in column {field.name.replace(chr(39), '')} is rounded by a float')"
            columns.append(
                f"CASE WHEN CAST(CAST({column} AS double) AS decimal(38,0)) = {column} THEN "
                f"CAST({column} AS double) WHEN {column} IS NOT NULL THEN "
                f"CAST(raise_error({wrong}) AS double) END AS {column}"
            )
        else:
            columns.append(f"CAST({column} AS {target}) AS {column}")
    return frame.selectExpr(*columns)
