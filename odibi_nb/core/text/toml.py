"""Decode the TOML of settings files and cells."""

from __future__ import annotations

import re
import sys
from typing import Any

from odibi_nb.core.text.json import not_too_deep

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_PLACE = re.compile(r"\(at line (\d+), column \d+\)$")
_TWICE = ("Cannot overwrite", "Cannot declare", "Duplicate")
"""The first words of the parser's messages about a duplicate key or table."""
MAX_PARTS = 100
"""The most parts of a dotted key, as many as JSON may have levels. The parser's time grows with their square."""
_ENDS_KEY = re.compile(r"[=,{}\[\]#]")
_STRING = re.compile(
    r'"""|"(?:[^"\\]|\\[\s\S])*(?:"|\\?\Z)'
    r"|'''|'[^']*(?:'|\Z)"
)
"""A text in one line, whose dots are no dots of a key, or a mark of a text in many lines."""


def decode_toml(text: str) -> dict[str, Any]:
    """Decode TOML.

    Raises:
        ValueError: if the text is not valid TOML, or if a key has too many parts. The message is one
            line with the error and its place. For a duplicate key or table, it names both places.
    """
    _check_keys(text)
    try:
        decoded = tomllib.loads(f"{text}\n")  # an error in a last line without its end has no place
        return not_too_deep(decoded)
    except tomllib.TOMLDecodeError as exc:
        message = str(exc)
        raise ValueError(f"{message}{_first_place(text, message)}") from exc
    except RecursionError as exc:
        raise ValueError("is nested too deeply") from exc


def _check_keys(text: str) -> None:
    for number, line in enumerate(text.split("\n"), 1) if text.count(".") > MAX_PARTS else ():
        if line.count(".") <= MAX_PARTS:
            continue
        dots = max(part.count(".") for part in _ENDS_KEY.split(_STRING.sub('""', line)))
        if dots > MAX_PARTS:
            message = f"a key with {dots + 1:,} parts, more than {MAX_PARTS}: use fewer dots"
            raise ValueError(f"{message} (at line {number})")


def _first_place(text: str, message: str) -> str:
    """Return the first place of the duplicate key or table in *message*; "" for other messages."""
    place = _PLACE.search(message)
    if place is None or not message.startswith(_TWICE):
        return ""
    lines = [_declared(line) for line in re.split(r"\r?\n", text)[: int(place[1])]]
    second = lines.pop()
    tables = [n for n, line in enumerate(lines, 1) if line.startswith("[")]
    begin = 0 if second.startswith("[") else max(tables, default=0)
    first = next((n for n, line in enumerate(lines, 1) if n > begin and line == second), 0)
    what = second or "it"
    return f": {what} is declared first in line {first}" if first else ""


def _declared(line: str) -> str:
    """Return the table or key that *line* declares."""
    line = line.strip()
    if line.startswith("["):
        return re.sub(r"\s", "", line.partition("#")[0])
    return line.partition("=")[0].strip() if "=" in line else ""
