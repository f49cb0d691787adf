"""Spark's columns of text with the types that the pandas engine finds in the same file.

Spark's own guess has other rules: it takes NA for text among numbers, and calls a column without
values text. All is said in SQL: one pass over the file finds the types.
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
    """Return True if a column that a schema calls *kind* is read as text first; times are Spark's."""
    return kind == "string" or kind in _BY_TEXT or kind.startswith("decimal")


def kinds_of(frame: Any, names: Sequence[str]) -> dict[str, str]:
    """Column to the type of all its values, found in one pass over the columns of text *names*."""
    if not names:
        return {}
    facts = [
        f"coalesce(bit_or({_fact(backticked(name))}), 0) AS f{i}" for i, name in enumerate(names)
    ]
    found = frame.selectExpr(*facts).collect()[0]
    return {name: _kind(found[i]) for i, name in enumerate(names)}


_BOOLEAN, _WHOLE, _WIDE, _WIDER, _NUMBER, _TEXT, _WORD = (1 << i for i in range(7))
"""What a field may be; a column's facts are those of all its fields."""


def _fact(column: str) -> str:
    """The SQL that says what a field of *column* is; 0 if it is empty."""
    number = _number(column)
    return (
        f"CASE WHEN nullif({column}, '') IS NULL THEN 0 WHEN {number} IS NULL THEN {_WORD} "
        f"WHEN lower({number}) IN ('true', 'false') THEN {_BOOLEAN} "
        f"WHEN {number} RLIKE {spark_literal(WHOLE)} THEN CASE "
        f"WHEN try_cast({number} AS bigint) IS NOT NULL THEN {_WHOLE} "
        f"WHEN length(regexp_replace({number}, '^[+-]', '')) <= {WIDEST} THEN {_WIDE} "
        f"ELSE {_WIDER} END "
        f"WHEN {number} RLIKE {spark_literal(NUMBER)} THEN {_NUMBER} ELSE {_TEXT} END"
    )


def _kind(facts: int) -> str:
    """The type of a column with these *facts*."""
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
    """The SQL that makes type *kind* of the column of text *name*; a value that does not fit fails."""
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
    """The SQL that makes type *kind* of a column of type *found*; a value that does not fit fails.

    Spark's own cast rounds, cuts off and, where ANSI is off, wraps and makes nulls.
    """
    column = backticked(name)
    if kind == NO_VALUES:
        return f"CAST(NULL AS void) AS {column}"
    if kind == "string" or (kind == "timestamp" and found != "string"):
        return f"CAST({column} AS {kind}) AS {column}"
    value = f"try_cast({column} AS {kind})"
    if found == "string":
        fits = _fits(column, value, kind)
    elif kind in _FLOATS:  # may round, as everywhere
        fits = f"{value} IS NOT NULL"
    elif kind == "boolean":
        fits = f"{column} IN (0, 1)"
    else:
        fits = f"({value} = {column}{_in_range(column, found, kind)})"
    return f"{_checked(column, column, kind, fits, (name, place))} AS {column}"


def _in_range(column: str, found: str, kind: str) -> str:
    """The SQL that a decimal is no larger than the integers of type *kind*.

    Spark (4.2) takes bigint for wider than decimal(19,0), and leaves the cast out of comparisons.
    """
    if kind not in _INTEGERS or not found.startswith("decimal"):
        return ""
    largest = 2 ** (31 if kind == "int" else 63) - 1
    return f" AND {column} BETWEEN -{largest + 1}BD AND {largest}BD"


def read_as(kind: str) -> str | None:
    """The type in which JSON keeps what a column of *kind* needs; None if any does."""
    if kind == "string":
        return kind
    return _widest(kind) if kind.startswith("decimal") else None


def _widest(kind: str) -> str:
    """The decimals with as many digits before the point as *kind*, and as many as can be after it."""
    precision, scale = (int(part) for part in kind[len("decimal(") : -1].split(","))
    return f"decimal({WIDEST},{WIDEST - (precision - scale)})"


def _fits(text: str, value: str, kind: str) -> str:
    """The SQL condition that *text* is no other one than its *value*: a cast to decimals rounds."""
    if not kind.startswith("decimal"):
        return f"{value} IS NOT NULL"
    wide = f"try_cast({text} AS {_widest(kind)})"
    return f"({value} IS NOT NULL AND {value} = {wide})"


def _checked(there: str, source: str, kind: str, fits: str, names: tuple[str, str]) -> str:
    """The SQL of *source* as *kind* where it *fits*, and null where *there* is; the rest fails."""
    name, place = names
    where = spark_literal(f"{place}, column {name!r}: ")
    wrong = f"concat({where}, CAST({backticked(name)} AS string), {spark_literal(f' does not fit type {kind}')})"
    return (
        f"CASE WHEN {there} IS NULL THEN NULL WHEN {fits} THEN try_cast({source} AS {kind}) "
        f"ELSE CAST(raise_error({wrong}) AS {kind}) END"
    )


def _number(column: str) -> str:
    """The text of *column*, null where it stands for a gap among numbers."""
    words = ", ".join(spark_literal(word) for word in ("", *MISSING))
    return f"CASE WHEN trim({column}) IN ({words}) THEN NULL ELSE trim({column}) END"
