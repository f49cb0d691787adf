"""Decode JSON with the places of errors, encode any value, and copy values from JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeVar

import msgspec

from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.object_text import safe_str
from odibi_nb.core.text.redaction import plain_text, shown

MAX_DEPTH = 100
"""The most levels of nesting in JSON. Manifests and rows have about five."""
_ERROR_BYTE = re.compile(r"\(byte (\d+)\)")
_JSON_TOKEN = re.compile(rb'[{}\[\]]|("[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z))(\s*:)?')
MAX_TWINS = 5
_Decoded = TypeVar("_Decoded")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


def decode_json(text: str | bytes | bytearray) -> Any:
    """Decode JSON, with or without a byte order mark.

    Raises:
        ValueError: if the text is not valid JSON. The message is one line with the error, its line
            and its column.
    """
    try:
        decoded = _DECODER.decode(text)  # this nearly always succeeds
        # A level takes two characters, so the text of most rows is too short for too many levels.
        return decoded if len(text) <= 2 * MAX_DEPTH else not_too_deep(decoded)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    raw = _encoded(text).removeprefix(_BYTE_ORDER_MARK)
    try:
        raw.decode()
        return not_too_deep(msgspec.json.decode(raw))
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


def _encoded(text: str | bytes | bytearray) -> bytes:
    return text.encode(errors="surrogatepass") if isinstance(text, str) else bytes(text)


def _without_twins(pairs: list[tuple[str, Any]]) -> None:
    if len({key for key, _ in pairs}) < len(pairs):
        raise ValueError


_DECODER = msgspec.json.Decoder()
_ENCODER = msgspec.json.Encoder()
_TWIN_FINDER = json.JSONDecoder(object_pairs_hook=_without_twins)


class TwinKeyError(ValueError):
    """An object in JSON text has a duplicate key. The message names both places."""


def decode_config(text: str | bytes | bytearray) -> Any:
    """Decode JSON that users write, with `decode_json`, and refuse duplicate keys of an object.

    JSON parsers use the last of two equal keys: a second ``"checks": []`` would disable all checks.

    Raises:
        TwinKeyError: if an object has a duplicate key.
        ValueError: as in `decode_json`.
    """
    decoded = decode_json(text)
    signs: tuple[Any, Any] = ("{", ":") if isinstance(text, str) else (b"{", b":")
    brace, colon = signs
    if isinstance(decoded, dict):
        keys = len(decoded)
    elif isinstance(decoded, list) and brace in text:  # most inputs contain no object
        keys = sum([len(item) for item in decoded if isinstance(item, dict)])
    else:
        return decoded
    if text.count(colon) <= keys:  # nearly always: no key of the text is lost
        return decoded
    bare = _encoded(text).removeprefix(_BYTE_ORDER_MARK)
    # Nearly always equal: a duplicate key makes the text longer than the encoded value.
    if _ENCODER.encode(decoded) == msgspec.json.format(bare, indent=-1):
        return decoded
    try:
        _TWIN_FINDER.decode(bare.decode())
    except (ValueError, RecursionError):  # this parser also refuses some numbers
        twins = [*_twin_keys(bare)]
        lines = [
            f"key {shown(key)} occurs twice: {_place(bare, first)} and {_place(bare, second)}"
            for key, first, second in twins[:MAX_TWINS]
        ]
        if (more := len(twins) - MAX_TWINS) > 0:
            lines.append(f"and {counted(more, 'more key is', 'more keys are')} that occur twice")
        if lines:
            raise TwinKeyError("; ".join(lines)) from None
    return decoded


def _twin_keys(raw: bytes) -> Iterator[tuple[str, int, int]]:
    """Yield (key, byte of the first, byte of the next) for duplicate keys of objects in valid JSON."""
    open_objects: list[dict[str, int]] = []  # an array has no keys
    for token in _JSON_TOKEN.finditer(raw):
        sign = token[0][:1]
        if sign in b"{[":
            open_objects.append({})
        elif sign in b"}]":
            open_objects.pop()
        elif token[2]:  # a string that is followed by a colon
            key = msgspec.json.decode(token[1])
            keys = open_objects[-1]
            if key in keys:
                yield key, keys[key], token.start()
            else:
                keys[key] = token.start()


def not_too_deep(decoded: _Decoded) -> _Decoded:
    """Return *decoded* if it has few enough levels for recursive functions.

    Raises:
        RecursionError: if it is nested deeper than `MAX_DEPTH`.
    """
    level: list[Any] = [decoded] if isinstance(decoded, (dict, list)) else []
    depth = 0
    while level:
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
    """Return the line and column of a byte, both counted from 1, the column in characters."""
    before = raw[:byte].decode(errors="replace")
    return f"line {before.count(chr(10)) + 1}, column {len(before) - before.rfind(chr(10))}"


def as_json(value: Any, *, canonical: bool = False) -> str:
    """Encode *value* as JSON text. A value of a type unknown to JSON becomes its ``str``.

    With *canonical*, equal values give equal text, regardless of the order of their keys.
    """
    order: Literal["deterministic"] | None = "deterministic" if canonical else None
    try:
        return msgspec.json.encode(value, enc_hook=_foreign, order=order).decode()
    except UnicodeEncodeError:
        return msgspec.json.encode(_encodable(value), enc_hook=_foreign, order=order).decode()


def _foreign(value: Any) -> Any:
    """Convert a value of a type unknown to JSON.

    A number of another library becomes a number. Any other value becomes text.
    """
    try:
        if hasattr(value, "item") and getattr(value, "shape", None) == ():
            return value.item()
    except BaseException:  # noqa: BLE001  a user's object; its text describes it
        return plain_text(safe_str(value))
    return plain_text(safe_str(value))


def _encodable(value: Any) -> Any:
    """Return *value* with `plain_text` of each text in it."""
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, msgspec.Struct):
        return _encodable(msgspec.to_builtins(value, enc_hook=_foreign))
    if isinstance(value, Mapping):
        return {_encodable(k): _encodable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encodable(v) for v in value]
    return value


def own_copy(value: Any) -> Any:
    """Return a deep copy of a *value* from JSON: new dicts and lists at every depth."""
    if value is None or isinstance(value, (str, int, float)):
        return value  # quickly: most values
    if isinstance(value, Mapping):
        return {key: own_copy(item) for key, item in value.items()}
    return [own_copy(item) for item in value] if isinstance(value, list) else value
