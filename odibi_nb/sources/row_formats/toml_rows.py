"""Rows in TOML: one ``[[transformation]]`` table for each. An edit keeps comments and order."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from odibi_nb.core.model.transformation import JSON_COLUMNS
from odibi_nb.core.process.late_imports import import_late
from odibi_nb.core.text.json import as_json
from odibi_nb.core.text.toml import decode_toml
from odibi_nb.errors import EngineNotAvailableError, Problem, did_you_mean
from odibi_nb.sources.row_formats.row_format import (
    Revision,
    RowFormat,
    column_of,
    in_order,
    like_before,
    read_row,
    with_line_feeds,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from odibi_nb.core.protocols import Row

TABLE = "transformation"
_HEADER = re.compile(rf"^[ \t]*\[\[\s*[\"']?{TABLE}[\"']?\s*\]\]", re.MULTILINE)


class TomlRows(RowFormat):
    """Rows in TOML. The library tomlkit, which keeps comments, is only needed to write."""

    def read(self, text: str) -> tuple[list[Row], list[Problem]]:
        try:
            decoded = decode_toml(text)
        except ValueError as exc:
            return [], [Problem("", f"TOML is malformed: {exc}")]
        problems = [
            Problem(name, f"expected only [[{TABLE}]] tables{did_you_mean(name, [TABLE])}")
            for name in decoded
            if name != TABLE
        ]
        items = decoded.get(TABLE, [])
        if not isinstance(items, list):
            message = f"expected one [[{TABLE}]] for each row, found {items!r:.60}"
            return [], [*problems, Problem(TABLE, message)]
        places = self._places(text, len(items))
        rows: list[Row] = []
        for item, where in zip(items, places, strict=True):
            row, found = read_row(item, "a table", where, ", ")
            rows += [row] if isinstance(item, dict) else []
            problems += found
        return rows, problems

    def _places(self, text: str, count: int) -> list[str]:
        lines = self.lines(text)
        if len(lines) == count:
            return [f"line {line}" for line in lines]
        return [f"row number {number}" for number in range(1, count + 1)]

    def lines(self, text: str) -> list[int]:
        return [text.count("\n", 0, found.start()) + 1 for found in _HEADER.finditer(text)]

    def write(self, rows: Sequence[Row]) -> str:
        return self.revise("", Revision(inserts=[*rows]))

    def revise(self, text: str, revision: Revision) -> str:
        """Return *text* with *revision* applied. Comments and order stay."""
        return with_line_feeds(text, lambda text: self._revised(text, revision))

    def _revised(self, text: str, revision: Revision) -> str:
        lead, blocks = _blocks(text)
        number = len(blocks)
        if number != len(self.read(text)[0]):  # rows in a form that no header shows
            return text
        pieces = [lead]
        for i, block in enumerate(blocks):
            if i in revision.updates:
                block = block._replace(body=_revised_body(block.body, revision.updates[i]))  # noqa: PLW2901
            if i in revision.deletes:
                pieces.append(block.space)
            else:
                pieces += [block.space, block.comment, block.body]
            pieces.append(block.tail)
        new = "".join(pieces)
        for row in revision.inserts:
            gap = "" if not new or new.endswith("\n\n") else "\n" if new.endswith("\n") else "\n\n"
            new += f"{gap}{_new_body(row)}"
        return new


class _Block(NamedTuple):
    """The lines of one row: blank lines and comments before it, the comment just above it, its content.

    Only the last block has a tail: the blank lines and comments at the end of the text.
    """

    space: str
    comment: str
    body: str
    tail: str = ""


def _blocks(text: str) -> tuple[str, list[_Block]]:
    """Return the text before the first row, and the lines of each row."""
    starts = [found.start() for found in _HEADER.finditer(text)]
    if not starts:
        return text, []
    blocks: list[_Block] = []
    before = text[: starts[0]]
    for start, end in itertools.pairwise([*starts, len(text)]):
        body, tail = _split(text[start:end], lambda line: not line.strip() or _is_comment(line))
        blocks.append(_Block(*_split(before, _is_comment), body))
        before = tail
    blocks[-1] = blocks[-1]._replace(tail=before)
    return "", blocks


def _split(text: str, in_tail: Callable[[str], bool]) -> tuple[str, str]:
    """Split *text* before its last lines that are *in_tail*, and return both parts."""
    lines = text.splitlines(keepends=True)
    end = len(lines)
    while end and in_tail(lines[end - 1]):
        end -= 1
    return "".join(lines[:end]), "".join(lines[end:])


def _is_comment(line: str) -> bool:
    return line.lstrip().startswith("#")


def _revised_body(body: str, columns: Row) -> str:
    document = _tomlkit().parse(body)
    table = document[TABLE][0]
    own = {column_of(name): name for name in table}
    for column, value in columns.items():
        name = own.get(column, column)
        if value is None:
            table.pop(name, None)
        else:
            new = like_before(column, value, table.unwrap().get(name))
            _revise(table, name, _without_null(column, new))
    return str(document.as_string())


def _new_body(row: Row) -> str:
    tomlkit = _tomlkit()
    table = tomlkit.table()
    for name, value in in_order(row).items():
        table.add(name, _inline(_without_null(name, value)))
    tables = tomlkit.aot()
    tables.append(table)
    return str(tomlkit.document().add(TABLE, tables).as_string())


def _tomlkit() -> Any:
    try:
        return import_late("tomlkit")
    except ModuleNotFoundError as exc:
        raise EngineNotAvailableError("writing TOML", "toml", exc.name) from exc


def _revise(table: Any, name: str, new: Any) -> None:
    """Set *name* in *table*. If the value is a table, set only the keys that differ, so that the others keep
    their comments.
    """
    inner = table.get(name)
    if not (isinstance(inner, dict) and isinstance(new, dict)):
        table[name] = _inline(new)
        return
    before = table.unwrap()[name]
    for key in before.keys() - new.keys():
        del table[name][key]
    for key, value in new.items():
        if key not in before or before[key] != value:
            _revise(table[name], key, value)


def _without_null(column: str, value: Any) -> Any:
    return as_json(value) if column in JSON_COLUMNS and _has_null(value) else value


def _inline(value: Any) -> Any:
    """Return *value* with its tables inline, because a value must not begin a table of the text."""
    tomlkit = _tomlkit()
    if isinstance(value, dict):
        table = tomlkit.inline_table()
        table.update({key: _inline(item) for key, item in value.items()})
        return table
    if isinstance(value, list):
        array = tomlkit.array()
        array.extend(map(_inline, value))
        return array
    return tomlkit.item(value)


def _has_null(value: Any) -> bool:
    """Return True if *value* contains None, for which TOML has no form."""
    if isinstance(value, dict):
        return any(map(_has_null, value.values()))
    if isinstance(value, list):
        return any(map(_has_null, value))
    return value is None
