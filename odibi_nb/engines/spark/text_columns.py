"""Give Spark's columns of text the types that the pandas engine finds in the same file.

Spark's own inference has other rules: it takes NA for text among numbers, and a column without values
for text. This module uses SQL, and finds the types in one pass over the file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.core.text.sql_text import backticked, spark_literal
from odibi_nb.engines.files.text_columns import MISSING, NUMBER, WHOLE, WIDEST

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_VALUES = "void"
_INTEGERS = ("int", "bigint")
_FLOATS = ("float", "double")
_BY_TEXT = (*_INTEGERS, *_FLOATS, "boolean")
_ZEROS = r"\.0*$"


def is_converted_here(kind: str) -> bool:
    """Return True if a column of type *kind* is read as text and converted here; Spark reads times."""
    return kind == "string" or kind in _BY_TEXT or kind.startswith("decimal")


def kinds_of(frame: Any, names: Sequence[str]) -> dict[str, str]:
    """Map each of the text columns *names* to the type that fits all its values, in one pass."""
    if not names:
        return {}
    facts = [
        f"coalesce(bit_or({_fact(backticked(name))}), 0) AS f{i}" for i, name in enumerate(names)
    ]
    found = frame.selectExpr(*facts).collect()[0]
    return {name: _kind(found[i]) for i, name in enumerate(names)}


_BOOLEAN, _WHOLE, _WIDE, _WIDER, _NUMBER, _TEXT, _WORD = (1 << i for i in range(7))
"""Bits for the kinds of a field; the facts of a column are the bits of all its fields."""


def _fact(column: str) -> str:
    """Return SQL that classifies a field of *column* as one of these bits; 0 if the field is empty."""
    number = _number(column)
    return (
        f"CASE WHEN nullif({column}, '') IS NULL THEN 0 WHEN {number} IS NULL THEN {_WORD} "
        f"WHEN lower({number}) IN ('true', 'false') THEN {_BOOLEAN} "
        f"WHEN {number} RLIKE {spark_literal(WHOLE)} THEN CASE "
        f"WHEN try_cast({number} AS bigint) IS NOT NULL THEN {_WHOLE} "
        f"WHEN length(regexp_replace({number}, '^[+-]', '')) <= {WIDEST} THEN {_WIDE} "
        f"ELSE {_WIDER} END "
        f"WHEN {number} RLIKE {spark_literal(NUMBER)} AND NOT {_too_large(number)} THEN {_NUMBER} "
        f"ELSE {_TEXT} END"
    )


def _too_large(number: str, kind: str = "double") -> str:
    """Return a SQL condition that a float of the text *number* would be infinite, unlike the text."""
    infinite = f"abs(try_cast({number} AS {kind})) = CAST('Infinity' AS {kind})"
    return f"(lower({number}) NOT LIKE '%inf%' AND {infinite})"


def _kind(facts: int) -> str:
    """Return the type of a column with these *facts*."""
    if not facts:
        return NO_VALUES
    values = facts & ~_WORD
    if values == _BOOLEAN:
        return "boolean"
    if not values or values & (_BOOLEAN | _TEXT):
        return "string"
    if values & _NUMBER:
        return "double"
    if values & _WIDER:
        return "string"
    return f"decimal({WIDEST},0)" if values & _WIDE else "bigint"


def converted(name: str, kind: str, place: str) -> str:
    """Return SQL that converts the text column *name* to *kind*, and fails on a value that does not fit."""
    column = backticked(name)
    if kind == NO_VALUES:
        return f"CAST(NULL AS void) AS {column}"
    if kind == "string":
        return f"nullif({column}, '') AS {column}"
    number = _number(column)
    whole = (
        f"regexp_replace({number}, {spark_literal(_ZEROS)}, '')" if kind in _INTEGERS else number
    )
    fits = _fits(whole, f"try_cast({whole} AS {kind})", kind)
    return f"{_checked(number, whole, kind, fits, (name, place))} AS {column}"


def recast(name: str, found: str, kind: str, place: str) -> str:
    """Return SQL that converts a column of type *found* to *kind*, and fails on a value that does not fit.

    Spark's own cast rounds and truncates; without ANSI mode, it also wraps and returns nulls.
    """
    column = backticked(name)
    if kind == NO_VALUES:
        return f"CAST(NULL AS void) AS {column}"
    if kind == "string" or (kind == "timestamp" and found != "string"):
        return f"CAST({column} AS {kind}) AS {column}"
    value = f"try_cast({column} AS {kind})"
    if found == "string" or kind in _FLOATS:  # floats may round, as in the pandas engine
        text = column if found == "string" else f"CAST({column} AS string)"
        fits = _fits(text, value, kind)
    elif kind == "boolean":
        fits = f"{column} IN (0, 1)"
    else:
        fits = f"({value} = {column}{_in_range(column, found, kind)})"
    return f"{_checked(column, column, kind, fits, (name, place))} AS {column}"


def _in_range(column: str, found: str, kind: str) -> str:
    """Return a SQL condition that a decimal fits into the integer type *kind*.

    Spark (4.2) considers bigint wider than decimal(19,0), and drops the cast from comparisons.
    """
    if kind not in _INTEGERS or not found.startswith("decimal"):
        return ""
    largest = 2 ** (31 if kind == "int" else 63) - 1
    return f" AND {column} BETWEEN -{largest + 1}BD AND {largest}BD"


def read_as(kind: str) -> str | None:
    """Return the type in which JSON must be read to convert it to *kind* exactly; None for any type."""
    if kind in ("string", *_FLOATS):  # of 1e400, only its text is finite
        return "string"
    return _widest(kind) if kind.startswith("decimal") else None


def _widest(kind: str) -> str:
    """Return the decimal type with *kind*'s digits before the point and all other digits after it."""
    precision, scale = (int(part) for part in kind[len("decimal(") : -1].split(","))
    return f"decimal({WIDEST},{WIDEST - (precision - scale)})"


def _fits(text: str, value: str, kind: str) -> str:
    """Return a SQL condition that *value* equals *text* exactly, because a cast to decimals rounds."""
    if kind in _FLOATS:
        return f"({value} IS NOT NULL AND NOT {_too_large(text, kind)})"
    if not kind.startswith("decimal"):
        return f"{value} IS NOT NULL"
    wide = f"try_cast({text} AS {_widest(kind)})"
    return f"({value} IS NOT NULL AND {value} = {wide})"


def _checked(there: str, source: str, kind: str, fits: str, names: tuple[str, str]) -> str:
    """Return SQL that casts *source* to *kind* if it *fits*, returns null if *there* is null, or fails."""
    name, place = names
    where = spark_literal(f"{place}, column {name!r}: ")
    wrong = f"concat({where}, CAST({backticked(name)} AS string), {spark_literal(f' does not fit type {kind}')})"
    return (
        f"CASE WHEN {there} IS NULL THEN NULL WHEN {fits} THEN try_cast({source} AS {kind}) "
        f"ELSE CAST(raise_error({wrong}) AS {kind}) END"
    )


def _number(column: str) -> str:
    """Return SQL for the trimmed text of *column*, or null for words that mean a gap among numbers."""
    words = ", ".join(spark_literal(word) for word in ("", *MISSING))
    return f"CASE WHEN trim({column}) IN ({words}) THEN NULL ELSE trim({column}) END"
