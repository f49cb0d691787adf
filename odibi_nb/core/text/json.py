"""JSON: decoding text with places of errors, encoding any value, copying what JSON can hold."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from odibi_nb.core.text.object_text import safe_str
from odibi_nb.core.text.redaction import plain_text, shown

MAX_DEPTH = 100
"""Levels of JSON in JSON that are read; manifests and rows have about five."""
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
