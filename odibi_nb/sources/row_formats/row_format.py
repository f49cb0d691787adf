"""The port of a file format, and the column names that all formats have in common."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from odibi_nb.core.model.transformation import (
    ALIASES,
    JSON_COLUMNS,
    enabled_from,
    why_not_json,
)
from odibi_nb.core.text.json import TwinKeyError, decode_config
from odibi_nb.errors import Problem, did_you_mean
from odibi_nb.sources.upsert import COLUMNS, canonical_names, columns_twice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from odibi_nb.core.protocols import Row

KNOWN = frozenset((*COLUMNS, *ALIASES))


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """Changes of the rows in a text. Rows are named by their number in the text, from 0.

    Attributes:
        updates: row number to the columns to set. None empties a column.
        deletes: the numbers of the rows to remove.
        inserts: the new rows, to add after the last row.
    """

    updates: dict[int, Row] = field(default_factory=dict)
    deletes: set[int] = field(default_factory=set)
    inserts: list[Row] = field(default_factory=list)


class RowFormat(Protocol):
    """A text format of registry rows. Texts have no byte order mark, and line ends of any kind."""

    def read(self, text: str) -> tuple[list[Row], list[Problem]]:
        """Return the rows by the registry's names, with JSON columns decoded, and the text's problems."""

    def lines(self, text: str) -> list[int]:
        """Return the first line of each row, counted from 1, for messages about a text without problems."""

    def write(self, rows: Sequence[Row]) -> str:
        """Return the text of *rows*, from which `read` returns the same rows."""

    def revise(self, text: str, revision: Revision) -> str:
        """Return *text* with *revision* applied. The text of all other rows stays as it is."""


def column_of(name: str) -> str:
    """Return the registry's name of the column that a file calls *name*."""
    folded = name.lower()
    return ALIASES.get(folded, folded)


def read_row(item: Any, expected: str, where: str, separator: str) -> tuple[Row, list[Problem]]:
    """Return the row that a file's *item* holds, and its problems; no columns if it is not an object.

    Args:
        item: the value that the format's library decoded.
        expected: the format's word for an item: ``an object``, ``a table``.
        where: the item's place in the text.
        separator: the text between that place and the name of a column.
    """
    if not isinstance(item, dict):
        return {}, [Problem(where, f"expected {expected}, found {item!r:.60}")]
    row, problems = decoded_row(item, f"{where}{separator}")
    problems += unknown_columns(item, where)
    problems += [Problem(where, words) for words in columns_twice(item)]
    return row, problems


def unknown_columns(names: Iterable[str], where: str) -> list[Problem]:
    """Return a problem for each of *names* that is not a column of the registry."""
    return [
        Problem(where, f"unknown column {name!r}{did_you_mean(name, COLUMNS)}")
        for name in names
        if name.lower() not in KNOWN
    ]


def decoded_row(item: Mapping[str, Any], where: str) -> tuple[Row, list[Problem]]:
    """Return *item* by the registry's names, with JSON text decoded. *where* is a prefix for problems."""
    row = canonical_names(item)
    problems = []
    for name in JSON_COLUMNS:
        value = row.get(name)
        if not isinstance(value, str):
            continue
        try:
            row[name] = decode_config(value) if value.strip() else None
        except TwinKeyError:
            continue  # the text keeps both keys, and a plan reports them
        except ValueError as exc:
            why = why_not_json(value, JSON_COLUMNS[name], exc)
            problems.append(Problem(f"{where}{name}", why))
    return row, problems


def like_before(name: str, value: Any, before: Any) -> Any:
    """Return *value* for column *name*. A yes or no gets the form of the value *before* it."""
    if name == "enabled" and isinstance(before, bool):
        return bool(enabled_from(value))
    return value


def with_line_feeds(text: str, revise: Callable[[str], str]) -> str:
    """Call *revise* on *text* with line feeds only, and restore the line ends of *text* in the result."""
    if "\r\n" not in text or text.count("\n") > text.count("\r\n"):
        return revise(text)
    return revise(text.replace("\r\n", "\n")).replace("\n", "\r\n")


def in_order(row: Row) -> Row:
    """Return *row* with its columns in the registry's order, without empty columns."""
    names = [*(name for name in COLUMNS if name in row), *(n for n in row if n not in COLUMNS)]
    return {name: row[name] for name in names if row[name] is not None}
