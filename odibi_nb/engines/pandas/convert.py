"""Convert a file's columns to the types that a ``schema`` names, without changing a value."""

from __future__ import annotations

import contextlib
import json
import math
import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from odibi_nb.engines.optional_imports import require
from odibi_nb.engines.pandas.frames import EXACT_IN_FLOAT, MAX_PRECISION, is_missing, pyarrow
from odibi_nb.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    Cast = Callable[[Any], Any]

TYPE_NAMES = (
    "string",
    "int",
    "bigint",
    "long",
    "double",
    "float",
    "boolean",
    "timestamp",
    "date",
    "decimal(p,s)",
)
"""Type names in a ``schema``: Spark's names, with Spark's ranges."""

_DECIMAL = re.compile(r"decimal\(\s*(\d+)\s*,\s*(\d+)\s*\)")
_MIDNIGHT = r"[T ]00:00(:00(\.0+)?)?Z?$"
_INFINITY = r"(?i)^[+-]?inf(inity)?$"
_MONTH_FIRST = r"^\d{1,2}\D(1[3-9]|[2-9]\d)\D\d"
_TRUE = ("true", "t", "yes", "y", "1")
_FALSE = ("false", "f", "no", "n", "0")
_FIRST_PANDAS_WITH_ISO8601 = 2


class FloatText(float):
    """A float with its text in the file: for a column of text or decimals, 0.10 differs from 0.1."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> FloatText:  # noqa: PYI034  Self needs Python 3.11
        """Parse *text*, and keep it."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __str__(self) -> str:
        return self.text


def finite(value: Any) -> Any:
    """Return *value*, or the text of a number in a file that is beyond the range of floats."""
    return value.text if isinstance(value, FloatText) and math.isinf(value) else value


class Misfit(Exception):  # noqa: N818  only a position; the caller turns it into an error
    """The first value of a column that does not fit its type.

    Attributes:
        position: the value's position in the column, from 0.
        value: the value.
    """

    def __init__(self, position: int, value: Any) -> None:
        self.position = position
        self.value = finite(value.item() if hasattr(value, "item") else value)
        super().__init__(position, self.value)


def parse_types(schema: Mapping[str, str], location: str) -> dict[str, str]:
    """Check and normalize the type names of *schema*.

    Raises:
        DataError: if a type name is unknown.
    """
    types: dict[str, str] = {}
    for column, given in schema.items():
        name = str(given).strip().lower()
        decimal = _DECIMAL.fullmatch(name)
        fits = decimal and int(decimal[2]) <= int(decimal[1]) <= MAX_PRECISION
        if not fits and name not in TYPE_NAMES[:-1]:
            hint = did_you_mean(name, TYPE_NAMES) or f": one of {', '.join(TYPE_NAMES)}"
            raise DataError(f"{location}: schema gives {column!r} the unknown type {given!r}{hint}")
        types[column] = {"long": "bigint"}.get(name, name)
    return types


def convert(
    series: Any, kind: str, options: Mapping[str, Any], missing: Collection[str] = ()
) -> Any:
    """Convert *series* to type *kind*: to an Arrow array, or to a Series if *kind* is ``string``.

    ``int`` has 32 and ``bigint`` 64 bits. Time stamps without a zone are UTC.

    Args:
        series: a column from the reader.
        kind: a type name from `parse_types`.
        options: the reader's options; ``decimal``, ``thousands``, ``true_values``, ``false_values``,
            ``date_format`` and ``dayfirst`` describe the format of text.
        missing: words that mean a gap, except in a column of text.

    Raises:
        Misfit: at the first value that this type cannot represent exactly.
    """
    if kind == "string":
        try:
            return _to_text(series)
        except UnicodeDecodeError as exc:
            raise Misfit(_position(series, exc.object), exc.object) from None
    array = _arrow(series, missing, exact=kind.startswith("decimal"))
    cast = _cast_to(kind, options, str(series.name))
    try:
        return cast(array)
    except _errors():
        position = _first_misfit(cast, array)
        raise Misfit(position, series.iloc[position]) from None


def _position(series: Any, value: bytes) -> int:
    """Return the position of *value* in *series*."""
    return next(i for i, found in enumerate(series.array) if found is value or found == value)


def _errors() -> tuple[type[Exception], ...]:
    return (pyarrow().ArrowException, ValueError, OverflowError, TypeError)


def _to_text(series: Any) -> Any:
    """Convert *series* to text: numbers as the file writes them, booleans and nested values as JSON."""
    pd = require("pandas", "a schema")
    if series.isna().all():
        return pd.Series([None] * len(series), index=series.index, name=series.name, dtype="string")
    if pd.api.types.infer_dtype(series, skipna=True) == "string":
        return series
    values = [None if is_missing(value) else as_text(value) for value in series.array]
    return pd.Series(values, index=series.index, name=series.name, dtype=object)


def as_text(value: Any) -> str:
    """Return *value* as text: booleans and nested values as JSON."""
    if hasattr(value, "dtype") and (value.ndim or value.dtype.kind == "b"):
        value = value.tolist()
    if isinstance(value, (bool, dict, list, tuple)):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    if isinstance(value, bytes):
        return value.decode()
    return format(value, "f") if isinstance(value, Decimal) else str(value)


def _arrow(series: Any, missing: Collection[str], *, exact: bool) -> Any:
    """Convert *series* to Arrow; values of several types become text, and text is trimmed.

    With *exact*, numbers of type FloatText become their text in the file.
    """
    pa = pyarrow()
    compute = require("pyarrow.compute", "a schema")
    if exact and series.dtype == object and any(isinstance(value, FloatText) for value in series):
        series = series.map(str, na_action="ignore")
    elif series.dtype == object:
        values = [finite(value) for value in series.array]
        series = require("pandas", "a schema").Series(values, dtype=object)
    try:
        array = pa.array(series, from_pandas=True)
    except _errors():
        array = pa.array(series.map(as_text, na_action="ignore"), from_pandas=True)
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        array = compute.utf8_trim_whitespace(array.cast(pa.string()))
        gap = compute.is_in(array, value_set=pa.array(["", *missing], pa.string()))
        array = compute.if_else(gap, pa.scalar(None, pa.string()), array)
    return array


def _first_misfit(cast: Cast, array: Any) -> int:
    """Return the position of the first value that *cast* rejects, by binary search."""
    start, length = 0, len(array)
    while length > 1:
        half = length // 2
        try:
            cast(array.slice(start, half))
        except _errors():
            length = half
        else:
            start, length = start + half, length - half
    return start


def _cast_to(kind: str, options: Mapping[str, Any], column: str) -> Cast:
    pa = pyarrow()
    if kind == "boolean":
        return lambda array: _to_boolean(array, options)
    if kind == "timestamp":
        return lambda array: _to_timestamp(array, options, column)
    if kind == "date":
        return lambda array: _to_date(array, options, column)
    decimal = _DECIMAL.fullmatch(kind)
    if decimal:
        target = pa.decimal128(int(decimal[1]), int(decimal[2]))
    else:
        target = {
            "int": pa.int32(),
            "bigint": pa.int64(),
            "float": pa.float32(),
            "double": pa.float64(),
        }[kind]
    return lambda array: to_number(array, target, options)


def to_number(array: Any, target: Any, options: Mapping[str, Any]) -> Any:
    """Convert *array* to the numeric type *target*; *options* describe the format of text.

    Raises:
        ValueError: if a value is not a number, or *target* cannot represent it; also pyarrow's errors.
    """
    pa = pyarrow()
    if pa.types.is_temporal(array.type):
        raise ValueError("a time has no number without a unit and a start of its time scale")
    if pa.types.is_decimal(target) and not pa.types.is_string(array.type):
        array = array.cast(pa.string())  # the shortest text that parses to the same float
    if pa.types.is_boolean(array.type):
        raise ValueError("true and false are not numbers")
    if not pa.types.is_string(array.type):
        # A float column may round (Spark's does); whole numbers may not.
        found = array.cast(target, safe=not pa.types.is_floating(target))
        return _without_overflow(found, array)
    text = plain_numbers(array, options)
    if pa.types.is_integer(target):
        return _to_whole(text, target)
    return _without_overflow(text.cast(target), text)


def _without_overflow(numbers: Any, source: Any) -> Any:
    """Return *numbers*, which Arrow made from *source*.

    Raises:
        ValueError: if a number is infinite and was not in *source*: it is beyond the type's range.
    """
    pa, compute = pyarrow(), require("pyarrow.compute", "a schema")
    if not pa.types.is_floating(numbers.type):
        return numbers
    infinite = compute.is_inf(numbers)
    if compute.any(infinite).as_py():
        there = source.filter(infinite)
        if pa.types.is_floating(there.type):
            meant = compute.is_inf(there)
        else:
            meant = compute.match_substring_regex(there.cast(pa.string()), _INFINITY)
        if not compute.all(meant).as_py():
            raise ValueError("a number is beyond the range of the type")
    return numbers


def plain_numbers(text: Any, options: Mapping[str, Any]) -> Any:
    """Rewrite the *text* of numbers for Arrow: with a decimal point, without separators or a plus."""
    compute = require("pyarrow.compute", "a schema")
    if options.get("thousands"):
        text = compute.replace_substring(text, options["thousands"], "")
    if options.get("decimal", ".") != ".":
        text = compute.replace_substring(text, options["decimal"], ".")
    return compute.replace_substring_regex(text, r"^\+([0-9.])", r"\1")


def _to_whole(text: Any, target: Any) -> Any:
    """Convert text to whole numbers. Only spellings such as 1.5e3 go through floats."""
    pa = pyarrow()
    compute = require("pyarrow.compute", "a schema")
    text = compute.replace_substring_regex(text, r"^([+-]?[0-9]+)\.0*$", r"\1")
    is_whole = compute.match_substring_regex(text, r"^-?[0-9]+$")
    nothing = pa.scalar(None, pa.string())
    whole = compute.if_else(is_whole, text, nothing).cast(target)
    floats = compute.if_else(is_whole, nothing, text).cast(pa.float64())
    if compute.all(compute.less(compute.abs(floats), EXACT_IN_FLOAT)).as_py() is False:
        raise ValueError("a float may have lost digits")
    return compute.coalesce(whole, floats.cast(target))


def _to_boolean(array: Any, options: Mapping[str, Any]) -> Any:
    pa = pyarrow()
    if pa.types.is_boolean(array.type):
        return array
    meaning: dict[str | None, bool | None] = {None: None}
    for words, value in ((_TRUE, True), (_FALSE, False)):
        more = options.get(f"{str(value).lower()}_values") or ()
        meaning.update({str(word).lower(): value for word in (*words, *more)})
    values = array.cast(pa.string()).to_pylist()
    try:
        return pa.array([meaning[v if v is None else v.lower()] for v in values], pa.bool_())
    except KeyError as exc:
        raise ValueError(str(exc)) from None


def _to_timestamp(array: Any, options: Mapping[str, Any], column: str) -> Any:
    pa = pyarrow()
    target = pa.timestamp("us", "UTC")
    if pa.types.is_string(array.type):
        return _parse_times(array, options, column).cast(target, safe=False)
    if pa.types.is_integer(array.type) or pa.types.is_floating(array.type):
        raise ValueError("a number has no unit and no start of its time scale")
    return array.cast(target, safe=not pa.types.is_timestamp(array.type))


def _parse_times(array: Any, options: Mapping[str, Any], column: str) -> Any:
    pa = pyarrow()
    pd = require("pandas", "a schema")
    written = options.get("date_format")
    if isinstance(written, dict):
        written = written.get(column)
    dayfirst = bool(options.get("dayfirst"))
    if written is None and not dayfirst:
        for zone in (None, "UTC"):
            with contextlib.suppress(pa.ArrowInvalid):
                return array.cast(pa.timestamp("us", zone))
        # Some values have a zone, some have none. Only ISO 8601 needs no option: 01/02/2024 is in
        # January or in February, depending on the country.
        compute = require("pyarrow.compute", "a schema")
        dates = compute.match_substring_regex(array, r"^(\d{8}$|\d{8}T|\d{4}-\d\d)")
        if compute.all(dates).as_py() is False:
            raise ValueError("not an ISO 8601 date")
        modern = int(pd.__version__.partition(".")[0]) >= _FIRST_PANDAS_WITH_ISO8601
        written = "ISO8601" if modern else None
    if dayfirst and written is None:
        # pandas would read all dates with the month first if the first one has a month above 12.
        compute = require("pyarrow.compute", "a schema")
        if compute.any(compute.match_substring_regex(array, _MONTH_FIRST)).as_py():
            raise ValueError("the day does not come first")
    times = pd.to_datetime(array.to_pandas(), utc=True, format=written, dayfirst=dayfirst)
    return pa.array(times, from_pandas=True)


def _to_date(array: Any, options: Mapping[str, Any], column: str) -> Any:
    pa = pyarrow()
    if pa.types.is_date32(array.type):
        return array
    if pa.types.is_string(array.type) and not (
        options.get("date_format") or options.get("dayfirst")
    ):
        compute = require("pyarrow.compute", "a schema")
        return compute.replace_substring_regex(array, _MIDNIGHT, "").cast(pa.date32())
    times = _to_timestamp(array, options, column)
    dates = times.cast(pa.date32())
    if not dates.cast(times.type).equals(times):
        raise ValueError("a date has no time of day")
    return dates
