"""Convert rows of the registry and the run log for a store, and back."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from odibi_nb.core.text.json import as_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from odibi_nb.core.protocols import Row

Columns = Sequence[tuple[str, str]]
"""Names and kinds, as in `odibi_nb.core.model.log_columns`."""
_EXACT = {"string": str, "double": float, "int": int}
REPLACEMENT = "\ufffd"


def stored_rows(records: Iterable[Mapping[str, Any]], columns: Columns) -> list[Row]:
    """Return *records* with exactly *columns*. Each value has its column's kind, or is None.

    Text is made safe for every kind of storage: NUL characters, which PostgreSQL refuses, and half
    surrogate pairs, which are not valid Unicode, are replaced. Times are UTC.
    """
    return [{name: _value(kind, record.get(name)) for name, kind in columns} for record in records]


def restored_rows(records: Iterable[Mapping[str, Any]], columns: Columns) -> list[Row]:
    """Return the records that a sink read in the same form. Missing columns and invalid values are None."""
    typed = [(name, kind, _EXACT.get(kind)) for name, kind in columns]
    return [
        {
            # Asked here, as a log of many runs has millions of values, and nearly all have their type.
            name: value
            if (value := record.get(name)) is None or type(value) is exact
            else _lenient(kind, value)
            for name, kind, exact in typed
        }
        for record in records
    ]


def restored_values(values: Iterable[Any], kind: str) -> list[Any]:
    """Return the values of a column that a sink read, without missing and invalid ones."""
    exact = _EXACT.get(kind)
    values = values if isinstance(values, list) else list(values)
    if exact is not None and {*map(type, values)} <= {exact}:  # nearly always; a log has millions
        return values
    present = (value for value in values if value is not None)
    restored = (value if type(value) is exact else _lenient(kind, value) for value in present)
    return [value for value in restored if value is not None]


def _value(kind: str, value: Any) -> Any:
    if value is None:
        return None
    if kind == "timestamp":
        return _utc(value)
    if kind == "double":
        return float(value)
    if kind == "int":
        return int(value)
    # str() of an Enum that is also a str returns its name.
    text = str.__str__(value) if isinstance(value, str) else as_json(value)
    if "\0" in text:
        text = text.replace("\0", REPLACEMENT)
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def _lenient(kind: str, value: Any) -> Any:
    with contextlib.suppress(ValueError, TypeError):
        return _value(kind, value)
    return None


def _utc(value: Any) -> dt.datetime:
    if isinstance(value, dt.datetime):
        if value.tzinfo is dt.timezone.utc:
            return value
        time = value
    else:
        time = dt.datetime.fromisoformat(str(value).replace("Z", "+00:00"))
    zoned = time if time.tzinfo is not None else time.replace(tzinfo=dt.timezone.utc)
    return zoned.astimezone(dt.timezone.utc)
