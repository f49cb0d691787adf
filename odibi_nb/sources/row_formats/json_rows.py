"""Rows in JSON: an array of objects. An edit replaces only the values that change."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from odibi_nb.core.model.transformation import python_hint
from odibi_nb.core.text.json import as_json, decode_config, decode_json
from odibi_nb.errors import Problem
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
    from collections.abc import Mapping, Sequence

    from odibi_nb.core.protocols import Row

MAX_LINE = 100
"""Longest line of a new value. A longer value takes one line for each of its items."""
_BLANKS = re.compile(r"[ \t\n\r]*")
# It only finds the ends of values. Python refuses to convert some long numbers, so it converts none.
_ENDS = json.JSONDecoder(parse_int=len, parse_float=len)


class _Part(NamedTuple):
    """One item of an array or object: its text between two separators, and the place of its value there."""

    text: str
    start: int
    end: int
    key: str = ""

    @property
    def value(self) -> str:
        """Text of the value."""
        return self.text[self.start : self.end]

    def with_value(self, value: str) -> str:
        """Return the part's text with *value* in place of its own."""
        return f"{self.text[: self.start]}{value}{self.text[self.end :]}"


class JsonRows(RowFormat):
    """Rows in JSON: an array of objects, with JSON values in the JSON columns."""

    def read(self, text: str) -> tuple[list[Row], list[Problem]]:
        try:
            decoded = decode_config(text)
        except ValueError as exc:
            return [], [Problem("", f"{exc}{python_hint(text, list)}")]
        if not isinstance(decoded, list):
            return [], [Problem("$", f"expected an array of objects, found {decoded!r:.60}")]
        rows: list[Row] = []
        numbered: list[tuple[int, Problem]] = []
        for i, item in enumerate(decoded):
            row, found = read_row(item, "an object", f"$[{i}]", ".")
            rows += [row] if isinstance(item, dict) else []
            numbered += [(i, problem) for problem in found]
        lines = self.lines(text) if numbered else []
        return rows, [Problem(f"{where} (line {lines[i]})", m) for i, (where, m) in numbered]

    def lines(self, text: str) -> list[int]:
        lines, line, before = [], 1, 0
        position = text.index("[") + 1
        for part in _parts(text, text.index("["))[0]:
            begin = position + part.start
            line += text.count("\n", before, begin)
            lines.append(line)
            before = begin
            position += len(part.text) + 1
        return lines

    def write(self, rows: Sequence[Row]) -> str:
        return msgspec.json.format(as_json(rows), indent=2) + "\n"

    def revise(self, text: str, revision: Revision) -> str:
        """Return *text* with *revision* applied. All other values stay as they are written."""
        return with_line_feeds(text, lambda text: self._revised(text, revision))

    def _revised(self, text: str, revision: Revision) -> str:
        begin = text.index("[")
        parts, tail, end = _parts(text, begin)
        kept = [
            part.with_value(_revised_row(part, revision.updates[i]))
            if i in revision.updates
            else part.text
            for i, part in enumerate(parts)
            if i not in revision.deletes
        ]
        space = _space_before(parts[-1]) if parts else "\n  "
        flat = bool(parts) and "\n" not in parts[-1].value
        indent = space.rpartition("\n")[2]
        kept += [
            f"{space}{_on_one_line(row) if flat else _on_lines(row, indent)}"
            for row in map(in_order, revision.inserts)
        ]
        if revision.inserts and not parts and "\n" not in tail:
            tail = "\n"
        return f"{text[: begin + 1]}{','.join(kept)}{tail}{text[end:]}"


def _parts(text: str, begin: int) -> tuple[list[_Part], str, int]:
    """Return the items of the array or object at *begin*, the blanks after the last, and its end."""
    is_object = text[begin] == "{"
    parts: list[_Part] = []
    start = begin + 1
    position = _after_blanks(text, start)
    if text[position] in "]}":
        return [], text[start:position], position
    while True:
        key = ""
        if is_object:
            key, position = _ENDS.raw_decode(text, position)
            position = _after_blanks(text, _after_blanks(text, position) + 1)
        _, end = _ENDS.raw_decode(text, position)
        stop = _after_blanks(text, end)
        if text[stop] != ",":
            parts.append(_Part(text[start:end], position - start, end - start, key))
            return parts, text[end:stop], stop
        parts.append(_Part(text[start:stop], position - start, end - start, key))
        start = stop + 1
        position = _after_blanks(text, start)


def _after_blanks(text: str, position: int) -> int:
    found = _BLANKS.match(text, position)
    assert found is not None  # it matches nothing, too
    return found.end()


def _space_before(part: _Part) -> str:
    return part.text[: len(part.text) - len(part.text.lstrip())]


def _revised_row(part: _Part, columns: Mapping[str, Any]) -> str:
    """Return the text of a row with *columns* set, under the names that the row itself uses."""
    row = decode_json(part.value)
    own = {column_of(name): name for name in row}
    new = {
        own.get(column, column): like_before(column, value, row.get(own.get(column, column)))
        for column, value in columns.items()
    }
    return _revised(part.value, row, {**row, **new}, _space_before(part).rpartition("\n")[2])


def _revised(text: str, old: Any, new: Any, indent: str) -> str:
    """Return the JSON *text* of *old* with the values of *new*, changing as little as possible."""
    if as_json(old) == as_json(new):
        return text
    if not (isinstance(old, dict) and isinstance(new, dict) and old):
        return _rendered(new, indent, flat="\n" not in text and len(text) > MAX_LINE)
    parts, tail, _ = _parts(text, 0)
    kept = [
        part.with_value(
            _revised(part.value, old[part.key], new[part.key], _indent_of(part, indent))
        )
        for part in parts
        if part.key in new
    ]
    inside = _indent_of(parts[-1], indent)
    space = _space_before(parts[-1]) or (" " if kept else "")
    kept += [
        f"{space}{_on_one_line(key)}: {_rendered(value, inside)}"
        for key, value in new.items()
        if key not in old
    ]
    return f"{{{','.join(kept)}{tail}}}"


def _indent_of(part: _Part, indent: str) -> str:
    """Return the blanks at the beginning of the line in which *part* begins."""
    space = _space_before(part)
    return space.rpartition("\n")[2] if "\n" in space else indent


def _rendered(value: Any, indent: str, *, flat: bool = False) -> str:
    """Return *value* as JSON text that follows a text with *indent*; on one line if it is short."""
    line = _on_one_line(value)
    if flat or len(line) <= MAX_LINE or not isinstance(value, (dict, list)) or not value:
        return line
    return _on_lines(value, indent)


def _on_one_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _on_lines(value: dict[str, Any] | list[Any], indent: str) -> str:
    """Return *value* as JSON text with at least one line for each of its items."""
    deeper = f"{indent}  "
    if isinstance(value, dict):
        items = [f"{_on_one_line(key)}: {_rendered(x, deeper)}" for key, x in value.items()]
    else:
        items = [_rendered(item, deeper) for item in value]
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    inside = f",\n{deeper}".join(items)
    return f"{opening}\n{deeper}{inside}\n{indent}{closing}"
