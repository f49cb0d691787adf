"""Find the types of columns of text or Python objects in a file, if no schema names them."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from odibi_nb.engines.optional_imports import require
from odibi_nb.engines.pandas.convert import finite, plain_numbers, to_number
from odibi_nb.engines.pandas.frames import is_missing, is_uniform, pyarrow

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

MISSING = (
    *("#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"),
    *("<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
"""Words that mean a gap among numbers. Among text they are text, such as NA for Namibia."""
WHOLE = r"^[+-]?[0-9]+$"
NUMBER = (
    r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$|^[+-]?(inf|Inf|INF|infinity|Infinity)$"
)
WIDEST = 38
"""Highest number of digits of whole numbers, which become decimals beyond 64 bits."""


def settle(series: Any, missing: Collection[str]) -> Any:
    """Convert *series* to an Arrow array, exactly, even if values are missing.

    Return *series* itself if its values are nested, or of several types.

    Args:
        series: a column of Python objects.
        missing: words that mean a gap among numbers; none for JSON, where text is always text.
    """
    pa = pyarrow()
    array = _as_arrow(series, missing)
    return series if array is None or pa.types.is_nested(array.type) else array


def settle_text(series: Any, options: Mapping[str, Any], missing: Collection[str]) -> Any:
    """Convert *series*, a column of a CSV file, to an Arrow array of the type that fits all values.

    Return *series* itself if that type is text.

    Args:
        series: a column of text, with gaps where fields are missing.
        options: the reader's options, which describe the format of numbers and booleans.
        missing: words that also mean a gap, if all other values are numbers or booleans.
    """
    pa = pyarrow()
    array = pa.array(series, pa.string(), from_pandas=True)
    if array.null_count == len(array):
        return pa.nulls(len(array))
    found = guess(array, options, missing)
    return series if found is None else found


def guess(array: Any, options: Mapping[str, Any], missing: Collection[str]) -> Any:
    """Convert the text of *array* to numbers or booleans; None if a value is neither, or all are missing."""
    pa, compute = pyarrow(), require("pyarrow.compute", "a file")
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    text = compute.utf8_trim_whitespace(array)
    gap = compute.is_in(text, value_set=pa.array(["", *missing], pa.string()))
    text = compute.if_else(gap, pa.scalar(None, pa.string()), text)
    if text.null_count == len(text):
        return None
    found = _as_booleans(text, options)
    return _as_numbers(text, options) if found is None else found


def _as_booleans(text: Any, options: Mapping[str, Any]) -> Any:
    pa, compute = pyarrow(), require("pyarrow.compute", "a file")
    true = ["true", *(str(word).lower() for word in options.get("true_values") or ())]
    false = ["false", *(str(word).lower() for word in options.get("false_values") or ())]
    lower = compute.utf8_lower(text)
    known = compute.is_in(lower, value_set=pa.array([*true, *false], pa.string()))
    if not compute.all(compute.or_(known, text.is_null())).as_py():
        return None
    is_true = compute.is_in(lower, value_set=pa.array(true, pa.string()))
    return compute.if_else(text.is_null(), pa.scalar(None, pa.bool_()), is_true)


def _as_numbers(text: Any, options: Mapping[str, Any]) -> Any:
    pa = pyarrow()
    plain = plain_numbers(text, options)
    if _all(plain, WHOLE):
        try:
            return plain.cast(pa.int64())
        except pa.ArrowInvalid:
            return _wide([None if v is None else int(v) for v in plain.to_pylist()])
    if not _all(plain, NUMBER):
        return None
    try:
        return to_number(plain, pa.float64(), {})
    except ValueError:  # 1e400 is text, because a float would be infinite
        return None


def _all(text: Any, pattern: str) -> bool:
    compute = require("pyarrow.compute", "a file")
    return bool(compute.all(compute.match_substring_regex(text, pattern)).as_py())


def _as_arrow(series: Any, missing: Collection[str]) -> Any:
    """Convert a Series of objects to an Arrow array; return None for values of several types."""
    pa = pyarrow()
    values = [None if is_missing(value) else finite(value) for value in series.array]
    kinds = {type(value) for value in values if value is not None}
    if str in kinds and kinds <= {str, int, float}:
        words = {value.strip() for value in values if isinstance(value, str)}
        if len(kinds) > 1 and words <= {"", *missing}:
            values = [None if isinstance(value, str) else value for value in values]
    try:
        array = pa.array(values)
    except OverflowError:
        return _wide(values) if kinds <= {int} else None
    except (pa.ArrowException, TypeError, ValueError):
        return None
    return array if is_uniform((v for v in values if v is not None), array.type) else None


def _wide(values: list[int | None]) -> Any:
    """Convert whole numbers of more than 64 bits to a decimal array; None if one has too many digits."""
    pa = pyarrow()
    if any(v is not None and abs(v) >= 10**WIDEST for v in values):
        return None
    exact = [None if v is None else Decimal(v) for v in values]
    return pa.array(exact, pa.decimal128(WIDEST, 0))
