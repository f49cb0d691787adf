"""Decoding JSON into msgspec Structs so that every problem is found, not only the first."""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import types
import typing
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal, TypeVar

import msgspec

from odibi_nb.core.text.object_text import safe_str
from odibi_nb.core.text.redaction import plain_text, redact
from odibi_nb.errors import Problem, did_you_mean

StructT = TypeVar("StructT", bound=msgspec.Struct)

MAX_SHOWN = 60
MAX_DEPTH = 100
"""Levels of JSON in JSON that are read; manifests and rows have about five."""
_VARIABLE = re.compile(r"\$(\$|\{([A-Za-z_][A-Za-z0-9_]*)\})")
_ERROR_PATH = re.compile(r" - at `\$?(.*)`$")
_ERROR_BYTE = re.compile(r"\(byte (\d+)\)")
_JSON_TOKEN = re.compile(rb'[{}\[\]]|("[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z))(\s*:)?')
MAX_TWINS = 5
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def decode_json(text: str | bytes | bytearray) -> Any:
    """Decode JSON; a byte order mark before it is passed over.

    Raises:
        ValueError: one line that says what is wrong, at which line and column.
    """
    try:
        decoded = _DECODER.decode(text)  # nearly always; else say what is wrong
        # A level has two signs: text of most rows is too short to be nested too deeply.
        return decoded if len(text) <= 2 * MAX_DEPTH else _not_too_deep(decoded)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    raw = text.encode(errors="surrogatepass") if isinstance(text, str) else bytes(text)
    raw = raw.removeprefix(_BYTE_ORDER_MARK)
    try:
        raw.decode()
        return _not_too_deep(msgspec.json.decode(raw))
    except UnicodeDecodeError as exc:
        byte = raw[exc.start]
        raise ValueError(f"is not UTF-8: byte 0x{byte:02x} ({_place(raw, exc.start)})") from exc
    except RecursionError as exc:
        raise ValueError(f"JSON is nested too deeply: more than {MAX_DEPTH} levels") from exc
    except msgspec.DecodeError as exc:
        message = str(exc)
        found = _ERROR_BYTE.search(message)
        if found is not None:
            message = _ERROR_BYTE.sub(f"({_place(raw, int(found[1]))})", message)
        elif not raw.strip():
            message = "JSON is malformed: it is empty (line 1)"
        elif "truncated" in message:
            message = f"JSON is malformed: it ends too early ({_place(raw, len(raw))})"
        raise ValueError(message) from exc


def _without_twins(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError


_DECODER = msgspec.json.Decoder()
_ENCODER = msgspec.json.Encoder()
_TEXT_SIGNS: tuple[Any, Any] = ("{", ":")
_BYTE_SIGNS: tuple[Any, Any] = (b"{", b":")
_TWIN_FINDER = json.JSONDecoder(object_pairs_hook=_without_twins)


class TwinKeyError(ValueError):
    """An object of JSON text has a key twice; the message names both places."""


def decode_config(text: str | bytes | bytearray) -> Any:
    """Decode JSON that people write, as `decode_json`, and refuse a key that an object has twice.

    JSON parsers keep the last of them: a second ``"checks": []`` would switch checks off.

    Raises:
        TwinKeyError: if an object has a key twice.
        ValueError: one line that says what is wrong, at which line and column.
    """
    decoded = decode_json(text)
    if not decoded or not isinstance(decoded, (dict, list)):
        return decoded
    brace, colon = _TEXT_SIGNS if isinstance(text, str) else _BYTE_SIGNS
    if brace not in text:  # no object, as in most inputs
        return decoded
    if isinstance(decoded, dict):
        keys = len(decoded)
    else:
        keys = sum([len(item) for item in decoded if isinstance(item, dict)])
    if text.count(colon) <= keys:  # each key that the text has is there: nearly always
        return decoded
    raw = text.encode(errors="surrogatepass") if isinstance(text, str) else bytes(text)
    # Text that would be longer with a key twice: nearly always.
    if _ENCODER.encode(decoded) == msgspec.json.format(
        raw.removeprefix(_BYTE_ORDER_MARK), indent=-1
    ):
        return decoded
    try:
        _TWIN_FINDER.decode(raw.decode("utf-8-sig"))
    except (ValueError, RecursionError):  # also numbers that only this parser refuses
        twins = [*_twin_keys(raw.removeprefix(_BYTE_ORDER_MARK))]
        if twins:
            shown_twins = [
                f"key {shown(key)} is there twice: {_place(raw, first)} and {_place(raw, second)}"
                for key, first, second in twins[:MAX_TWINS]
            ]
            more = len(twins) - MAX_TWINS
            rest = [f"and {more} more keys are there twice"] if more > 0 else []
            raise TwinKeyError("; ".join([*shown_twins, *rest])) from None
    return decoded


def _twin_keys(raw: bytes) -> Iterator[tuple[str, int, int]]:
    """(key, byte of the first, byte of the next) of keys that an object of valid JSON has twice."""
    open_objects: list[dict[str, int] | None] = []
    for token in _JSON_TOKEN.finditer(raw):
        sign = token[0][:1]
        if sign in b"{[":
            open_objects.append({} if sign == b"{" else None)
        elif sign in b"}]":
            open_objects.pop()
        elif token[2]:  # a string with a colon behind it
            key = msgspec.json.decode(token[1])
            keys = open_objects[-1]
            if keys is not None and key in keys:
                yield key, keys[key], token.start()
            elif keys is not None:
                keys[key] = token.start()


def _not_too_deep(decoded: Any) -> Any:
    """Return *decoded* if functions that call themselves can walk through it, however it was decoded.

    Raises:
        RecursionError: if it is nested deeper than `MAX_DEPTH`.
    """
    level, depth = [decoded], 0
    while level := [x for x in level if isinstance(x, (dict, list))]:
        depth += 1
        if depth > MAX_DEPTH:
            raise RecursionError
        level = [
            item
            for one in level
            for item in (one.values() if isinstance(one, dict) else one)
            if isinstance(item, (dict, list))
        ]
    return decoded


def _place(raw: bytes, byte: int) -> str:
    """Line and column, both from 1 and in characters, of a byte."""
    before = raw[:byte].decode(errors="replace")
    return f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"


def as_json(value: Any, *, canonical: bool = False) -> str:
    """Encode *value* as JSON text; whatever JSON does not know becomes its ``str``.

    With *canonical*, equal values give equal text, whatever the order of their keys.
    """
    order: Literal["deterministic"] | None = "deterministic" if canonical else None
    try:
        return msgspec.json.encode(value, enc_hook=_foreign, order=order).decode()
    except UnicodeEncodeError:
        return msgspec.json.encode(_encodable(value), enc_hook=_foreign, order=order).decode()


def _foreign(value: Any) -> Any:
    """What JSON has no form for: numbers of other libraries become numbers, the rest text."""
    try:
        if hasattr(value, "item") and getattr(value, "shape", None) == ():
            return value.item()
    except BaseException:  # noqa: BLE001  a user's object; its text says what it is
        return plain_text(safe_str(value))
    return plain_text(safe_str(value))


def _encodable(value: Any) -> Any:
    """*value* with text that is no Unicode made plain."""
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, Mapping):
        return {_encodable(k): _encodable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encodable(v) for v in value]
    return value


def own_copy(value: Any) -> Any:
    """*value* with dicts and lists of its own, at every depth; for what came from JSON."""
    if isinstance(value, Mapping):
        return {key: own_copy(item) for key, item in value.items()}
    return [own_copy(item) for item in value] if isinstance(value, list) else value


def utc_now() -> dt.datetime:
    """The time, with its zone: UTC."""
    return dt.datetime.now(dt.timezone.utc)


def as_time(value: Any) -> dt.datetime | None:
    """A time as JSON has it; None if there is none."""
    if value is None or isinstance(value, dt.datetime):
        return value
    return dt.datetime.fromisoformat(str(value).replace("Z", "+00:00"))


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
    """Convert *raw* (decoded JSON) to *struct*, or say everything that is wrong with it.

    Nested Structs, and dicts and lists of Structs, are looked into as well; a JSON ``null``
    stands for the field's default. Unless *strict*, text stands for the number or boolean it spells.
    """
    if not isinstance(raw, Mapping):
        return None, [Problem(path, f"expected an object, found {shown(raw)}")]
    if None not in raw.values():  # nearly always everything is in order
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


def _decode(raw: Any, expected: Any, path: str, *, strict: bool) -> tuple[Any, list[Problem]]:
    struct = _struct_of(expected, list, tuple) if isinstance(raw, list) else None
    if struct is not None:
        found = [decode_struct(item, struct, f"{path}[{i}]") for i, item in enumerate(raw)]
        return [value for value, _ in found], [p for _, problems in found for p in problems]
    struct = _struct_of(expected, dict, Mapping) if isinstance(raw, Mapping) else None
    if struct is not None:
        by_key = {key: decode_struct(item, struct, f"{path}.{key}") for key, item in raw.items()}
        return (
            {key: value for key, (value, _) in by_key.items()},
            [p for _, problems in by_key.values() for p in problems],
        )
    struct = _struct_of(expected) if isinstance(raw, Mapping) else None
    if struct is not None:
        return decode_struct(raw, struct, path)
    words = _words_of(expected)
    if words and raw not in words:
        known = " or ".join(map(repr, words))
        hint = did_you_mean(raw, words) if isinstance(raw, str) else ""
        return None, [Problem(path, f"expected {known}, found {shown(raw)}{hint}")]
    try:
        return msgspec.convert(raw, expected, strict=strict), []
    except msgspec.ValidationError as exc:
        return None, [_located(exc, path, raw)]


def _struct_of(expected: Any, *containers: type) -> type[msgspec.Struct] | None:
    """The Struct inside *expected* (also inside a union), or None."""
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
    """The words of a ``Literal`` (also inside a union), or none."""
    options = typing.get_args(expected)
    if typing.get_origin(expected) is Literal:
        return options
    return next((words for option in options if (words := _words_of(option))), ())


def _located(exc: msgspec.ValidationError, path: str, raw: Any = None) -> Problem:
    message = str(exc)
    found = _ERROR_PATH.search(message)
    where = path + (found[1] if found else "")
    message = _ERROR_PATH.sub("", message)
    if found is None and raw is not None:
        message += f", found {shown(raw)}"
    return Problem(where, message[:1].lower() + message[1:])


def shown(value: Any) -> str:
    """*value* as a problem shows it: short, and without secrets."""
    text = repr(redact(value))
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."


def expand_variables(
    raw: Any, path: str, environ: Mapping[str, str] | None = None
) -> tuple[Any, list[Problem]]:
    """Replace ``${NAME}`` in every string of *raw* from the process environment.

    ``$$`` stands for a dollar sign. A variable that is not set is a problem.
    """
    environ = os.environ if environ is None else environ
    problems: list[Problem] = []

    def text(value: str, where: str) -> str:
        def one(found: re.Match[str]) -> str:
            name = found[2]
            if name is None:
                return "$"
            if name not in environ:
                problems.append(Problem(where, f"environment variable {name} is not set"))
                return ""
            return environ[name]

        return _VARIABLE.sub(one, value)

    def walk(value: Any, where: str) -> Any:
        if isinstance(value, str):
            return text(value, where)
        if isinstance(value, Mapping):
            return {k: walk(v, f"{where}.{k}") for k, v in value.items()}
        if isinstance(value, list):
            return [walk(v, f"{where}[{i}]") for i, v in enumerate(value)]
        return value

    return walk(raw, path), problems
