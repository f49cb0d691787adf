"""YAML with comments, for files that people read and other programs load.

Libraries that keep comments need a document to start from. All scalars are written as JSON, which each
YAML 1.2 and 1.1 parser reads as the same value, except for plain words.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]{0,80}")
_WORDS_WITH_MEANING = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ud800-\udfff\ufffe\uffff]")
"""Characters that YAML allows only as escapes; JSON allows them as they are."""


@dataclass(frozen=True, slots=True)
class Commented:
    """A value of a mapping or list, with a comment above its key or item."""

    comment: str
    value: Any


def yaml_text(value: Mapping[str, Any]) -> str:
    """Return *value* as YAML: mappings, lists, texts, numbers, booleans, and `Commented` values."""
    return "".join(f"{line}\n" for line in _mapping(value, ""))


def _mapping(value: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, item in value.items():
        if isinstance(item, Commented):
            yield from _comment(item.comment, indent)
            item = item.value  # noqa: PLW2901
        name = f"{indent}{_scalar(key)}:"
        if isinstance(item, dict) and item:
            yield name
            yield from _mapping(item, f"{indent}  ")
        elif isinstance(item, list) and item:
            yield name
            yield from _list(item, f"{indent}  ")
        else:
            yield f"{name} {_scalar(item)}"


def _list(value: list[Any], indent: str) -> Iterator[str]:
    for item in value:
        if isinstance(item, Commented):
            yield from _comment(item.comment, indent)
            item = item.value  # noqa: PLW2901
        if isinstance(item, dict) and item:
            first, *rest = _mapping(item, f"{indent}  ")
            while first.lstrip().startswith("#"):
                yield f"{indent}{first.lstrip()}"
                first, *rest = rest
            yield f"{indent}- {first.lstrip()}"
            yield from rest
        else:
            yield f"{indent}- {_scalar(item)}"


def _comment(text: str, indent: str) -> Iterator[str]:
    for line in text.splitlines():
        yield f"{indent}# {' '.join(line.split())}"


def _scalar(value: Any) -> str:
    is_text = isinstance(value, str)
    if is_text and _PLAIN.fullmatch(value) and value.lower() not in _WORDS_WITH_MEANING:
        return str(value)
    return _UNPRINTABLE.sub(
        lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False)
    )
