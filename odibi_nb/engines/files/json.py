"""Read JSON files into columns of Python objects, and keep every number exact."""

from __future__ import annotations

import contextlib
import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Union

import msgspec

from odibi_nb.core.text.json import TwinKeyError, decode_json
from odibi_nb.engines.pandas.convert import FloatText

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

OPTIONS = frozenset({"lines", "encoding", "encoding_errors", "compression", "nrows"})
"""pandas' options that this reader supports; other options need pandas' own reader."""
_SHOWN = 40
_Record = dict[str, msgspec.Raw]
_RAW = msgspec.json.Decoder(Union[list[_Record], _Record])  # noqa: UP007  Python 3.10's msgspec


def parse(
    text: str,
    *,
    lines: bool,
    most: int | None,
    written: bool,
    texts: Collection[str] = (),
) -> dict[str, list[Any]]:
    """Map each column to the values of the records in *text*; a record without the column has None.

    Args:
        text: an array of records, or one record; with *lines*, one record per line.
        lines: if True, *text* has one record per line.
        most: highest number of records to return; None for all.
        written: if True, also keep the text of numbers with a point.
        texts: columns of text. Their objects and arrays keep their text in the file, as with Spark 4.

    Raises:
        ValueError: if *text* is malformed, or not records; the message names the place.
    """
    as_float: Any = FloatText if written else _number
    found = list(_lines(text, as_float)) if lines else _whole(text, as_float)
    records = found[:most]
    columns: dict[str, list[Any]] = {}
    for number, record in enumerate(records, 1):
        if not isinstance(record, dict):
            raise ValueError(  # noqa: TRY004  the file is wrong, not the caller
                f"record {number} is {_named(record)}, not an object of columns and values"
            )
        for name in record:
            columns.setdefault(name, [])
    _keep_as_written(records, text, lines=lines, names=columns.keys() & set(texts))
    for name, values in columns.items():
        values.extend(record.get(name) for record in records)
    return columns


def _keep_as_written(
    records: list[dict[str, Any]], text: str, *, lines: bool, names: Collection[str]
) -> None:
    nested = [
        (i, n) for n in names for i, r in enumerate(records) if isinstance(r.get(n), (dict, list))
    ]
    if not nested:
        return
    with contextlib.suppress(msgspec.DecodeError):  # for NaN, which only Python's json reads
        given = [line for line in text.split("\n") if line.strip()] if lines else [text]
        found = map(_RAW.decode, given)
        raw = [r for one in found for r in (one if isinstance(one, list) else [one])]
        for i, name in nested:
            records[i][name] = bytes(raw[i][name]).decode()


def _whole(text: str, as_float: Any) -> list[Any]:
    value = _decoded(text, as_float)
    if isinstance(value, dict):
        return [value]
    if isinstance(value, list):
        return value
    raise ValueError(
        f"it holds {_named(value)}; expected an array of records, [{{…}}, {{…}}], one record, {{…}}, "
        'or, with the option {"lines": true}, a record per line'
    )


def _lines(text: str, as_float: Any) -> Iterable[Any]:
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield _decoded(line, as_float)
            except ValueError as exc:
                raise ValueError(f"line {number}: {str(exc).replace('(line 1, ', '(')}") from exc


def _decoded(text: str, as_float: Any) -> Any:
    try:
        return json.loads(text, parse_float=as_float, object_pairs_hook=_distinct)
    except RecursionError as exc:
        raise ValueError("JSON is nested too deeply") from exc
    except TwinKeyError:
        raise
    except ValueError as exc:
        decode_json(text)  # raises with the place, in our own words
        raise ValueError(f"JSON is malformed: {exc}") from exc


def _number(text: str) -> float:
    """Parse a number with a point or an exponent; beyond the range of floats, also keep its text."""
    number = float(text)
    return FloatText(text) if math.isinf(number) else number


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object from *pairs* of keys and values, and refuse duplicate keys."""
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = Counter(key for key, _ in pairs)
        raise TwinKeyError(
            f"an object has the key {max(keys, key=keys.__getitem__)!r} more than once, so one of its "
            "values would be lost"
        )
    return found


def _named(value: Any) -> str:
    kind = {list: "an array", str: "text", bool: "a boolean", type(None): "null"}
    shown = json.dumps(value)
    shown = shown if len(shown) <= _SHOWN else shown[: _SHOWN - 1] + "…"
    return f"{kind.get(type(value), 'a number')} ({shown})"


def is_plain(options: Mapping[str, Any]) -> bool:
    """Return True if this reader supports all *options*."""
    return set(options) <= OPTIONS or (
        set(options) <= {*OPTIONS, "orient"} and options["orient"] == "records"
    )
