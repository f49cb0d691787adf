"""The line of the user's code at which an attempt failed, as data."""

from __future__ import annotations

import msgspec


class FailurePlace(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A line of the user's code, and a hint about the error.

    Attributes:
        file: the path of the file.
        line: the line, from 1.
        function: the function's name.
        hint: a column that the user may have meant; "" without one.
    """

    file: str
    line: int
    function: str
    hint: str = ""


def place_in(value: object) -> FailurePlace | None:
    """Return the place in an event's payload or in a line of the journal; None without one."""
    try:
        return None if value is None else msgspec.convert(value, FailurePlace)
    except msgspec.ValidationError:
        return None
