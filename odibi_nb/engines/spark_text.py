"""Spark's columns of text with the types that the pandas engine finds in the same file.

Spark's own guess has other rules: it takes NA for text among numbers, and calls a column without
values text. All is said in SQL: one pass over the file finds the types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.engines.spark_frames import literal, quoted
from odibi_nb.engines.text_columns import MISSING, NUMBER, WHOLE, WIDEST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NO_VALUES = "void"
_BY_TEXT = ("int", "bigint", "float", "double", "boolean")


def is_converted_here(kind: str) -> bool:
    """Return True if a column that a schema calls *kind* is read as text first; times are Spark's."""
    return kind == "string" or kind in _BY_TEXT or kind.startswith("decimal")


def kinds_of(frame: Any, names: Sequence[str]) -> dict[str, str]:
    """Column to the type of all its values, found in one pass over the columns of text *names*."""
    if not names:
        return {}
    facts = []
    for i, name in enumerate(names):
        text, number = quoted(name), _number(quoted(name))
        facts += [
            f"count(nullif({text}, '')) AS n{i}",
            f"count({number}) AS v{i}",
            f"count_if(lower({number}) IN ('true', 'false')) AS b{i}",
            f"count_if({number} RLIKE {literal(WHOLE)}) AS w{i}",
            f"count_if(try_cast({number} AS bigint) IS NOT NULL) AS l{i}",
            f"coalesce(max(length({number})), 0) AS d{i}",
            f"count_if({number} RLIKE {literal(NUMBER)}) AS f{i}",
        ]
    found = frame.selectExpr(*facts).collect()[0].asDict()
    return {
        name: _kind({fact: found[f"{fact}{i}"] for fact in "nvbwldf"})
        for i, name in enumerate(names)
    }


def _kind(facts: Mapping[str, int]) -> str:
    values = facts["v"]
    if not facts["n"]:
        return NO_VALUES
    if not values:
        return "string"
    if facts["b"] == values:
        return "boolean"
    if facts["w"] == values:
        if facts["l"] == values:
            return "bigint"
        return f"decimal({WIDEST},0)" if facts["d"] <= WIDEST else "string"
    return "double" if facts["f"] == values else "string"


def converted(name: str, kind: str, place: str) -> str:
    """The SQL that makes type *kind* of the column of text *name*; a value that does not fit fails."""
    column = quoted(name)
    if kind == NO_VALUES:
        return f"CAST(NULL AS void) AS {column}"
    if kind == "string":
        return f"nullif({column}, '') AS {column}"
    number = _number(column)
    value = f"try_cast({number} AS {kind})"
    fits = f"{value} IS NOT NULL"
    if kind.startswith("decimal"):
        precision, scale = (int(part) for part in kind[len("decimal(") : -1].split(","))
        wide = f"try_cast({number} AS decimal({WIDEST},{WIDEST - (precision - scale)}))"
        fits = f"({fits} AND {value} = {wide})"  # a cast rounds
    where = literal(f"{place}, column {name!r}: ")
    wrong = f"concat({where}, {column}, {literal(f' does not fit type {kind}')})"
    return (
        f"CASE WHEN {number} IS NULL THEN NULL WHEN {fits} THEN {value} "
        f"ELSE CAST(raise_error({wrong}) AS {kind}) END AS {column}"
    )


def _number(column: str) -> str:
    """The text of *column*, null where it stands for a gap among numbers."""
    words = ", ".join(literal(word) for word in ("", *MISSING))
    return f"CASE WHEN trim({column}) IN ({words}) THEN NULL ELSE trim({column}) END"
