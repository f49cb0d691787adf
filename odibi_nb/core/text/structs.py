"""Decode JSON into msgspec Structs, and find every problem, not only the first."""

from __future__ import annotations

import math
import re
import types
import typing
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from odibi_nb.core.text.redaction import shown
from odibi_nb.errors import Problem, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator

StructT = TypeVar("StructT", bound=msgspec.Struct)

_ERROR_PATH = re.compile(r" - at `\$?(.*)`$")


@lru_cache(maxsize=64)
def _field_types(struct: type[msgspec.Struct]) -> dict[str, Any]:
    hints = typing.get_type_hints(struct, include_extras=True)
    return {field.encode_name: hints[field.name] for field in msgspec.structs.fields(struct)}


@lru_cache(maxsize=64)
def _required(struct: type[msgspec.Struct]) -> frozenset[str]:
    return frozenset(f.encode_name for f in msgspec.structs.fields(struct) if f.required)


def decode_struct(
    raw: Any, struct: type[StructT], path: str = "$", *, strict: bool = True
) -> tuple[StructT | None, list[Problem]]:
    """Convert *raw* (decoded JSON) to *struct*, or return all its problems.

    This includes the problems of nested Structs and of dicts and lists of Structs. A JSON ``null``
    means the field's default. Unless *strict*, text may spell a number or a boolean.
    """
    if not isinstance(raw, Mapping):
        return None, [Problem(path, f"expected an object, found {shown(raw)}")]
    if None not in raw.values():  # nearly always, and nearly always valid
        try:
            return msgspec.convert(raw, struct, strict=strict), []
        except msgspec.ValidationError:
            pass
    fields = _field_types(struct)
    problems = [
        Problem(f"{path}.{name}", f"unknown field {name!r}{did_you_mean(str(name), fields)}")
        for name in raw
        if name not in fields
    ]
    problems += [
        Problem(path, f"required field {name!r} is missing")
        for name in sorted(_required(struct))
        if raw.get(name) is None
    ]
    values: dict[str, Any] = {}
    for name, expected in fields.items():
        if raw.get(name) is not None:
            values[name], found = _decode(raw[name], expected, f"{path}.{name}", strict=strict)
            problems += found
    if problems:
        return None, problems
    try:
        return msgspec.convert(values, struct, from_attributes=True), []
    except msgspec.ValidationError as exc:
        return None, [_located(exc, path)]


def is_number(value: Any) -> bool:
    """Return True for a number that is not a bool, and that a float can hold."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def _decode(raw: Any, expected: Any, path: str, *, strict: bool) -> tuple[Any, list[Problem]]:
    if isinstance(raw, list) and (struct := _struct_of(expected, list, tuple)):
        found = [decode_struct(item, struct, f"{path}[{i}]") for i, item in enumerate(raw)]
        return [value for value, _ in found], [p for _, problems in found for p in problems]
    if isinstance(raw, Mapping) and (struct := _struct_of(expected, dict, Mapping)):
        by_key = {key: decode_struct(item, struct, f"{path}.{key}") for key, item in raw.items()}
        return (
            {key: value for key, (value, _) in by_key.items()},
            [p for _, problems in by_key.values() for p in problems],
        )
    if isinstance(raw, Mapping) and (struct := _struct_of(expected)):
        return decode_struct(raw, struct, path)
    if unknown := [*_unknown_words(raw, _words_of(expected), path)]:
        return None, unknown
    try:
        return msgspec.convert(raw, expected, strict=strict), []
    except msgspec.ValidationError as exc:
        return None, [_located(exc, path, raw)]


def _struct_of(expected: Any, *containers: type) -> type[msgspec.Struct] | None:
    """Return the Struct inside *expected* (also inside a union), or None."""
    if isinstance(expected, types.UnionType) or typing.get_origin(expected) is typing.Union:
        found = (_struct_of(option, *containers) for option in typing.get_args(expected))
        return next((struct for struct in found if struct is not None), None)
    if containers:
        if typing.get_origin(expected) not in containers:
            return None
        options = [arg for arg in typing.get_args(expected) if arg not in {..., str}]
        return _struct_of(options[0]) if options else None
    is_struct = isinstance(expected, type) and issubclass(expected, msgspec.Struct)
    return expected if is_struct else None


def _words_of(expected: Any) -> tuple[str, ...]:
    """Return the words of a ``Literal`` (also inside a union), or ()."""
    options = typing.get_args(expected)
    if typing.get_origin(expected) is Literal:
        return options
    return next((words for option in options if (words := _words_of(option))), ())


def _unknown_words(raw: Any, words: tuple[str, ...], path: str) -> Iterator[Problem]:
    """Yield a problem if *raw*, or an item of the list *raw*, is none of *words*."""
    if isinstance(raw, list):
        for i, item in enumerate(raw):
            yield from _unknown_words(item, words, f"{path}[{i}]")
    elif words and raw not in words:
        known = " or ".join(map(repr, words))
        hint = did_you_mean(raw, words) if isinstance(raw, str) else ""
        yield Problem(path, f"expected {known}, found {shown(raw)}{hint}")


def _located(exc: msgspec.ValidationError, path: str, raw: Any = None) -> Problem:
    message = str(exc)
    found = _ERROR_PATH.search(message)
    where = path + (found[1] if found else "")
    message = _ERROR_PATH.sub("", message)
    if found is None and raw is not None:
        message += f", found {shown(raw)}"
    return Problem(where, message[:1].lower() + message[1:])
