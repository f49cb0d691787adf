"""How much memory an exception holds on to, through the variables of the frames that it passed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ITEMS = 1_000
"""So many items of a list or dict are looked at; more than that are seldom tables."""
_UNITS = ("bytes", "kB", "MB", "GB")


def held_bytes(error: BaseException | None) -> int:
    """The size of what the frames of *error*, and of those that led to it, hold: frames, arrays, text.

    An estimate from what the objects say of themselves, which costs no time: nothing is copied or run.
    """
    seen: set[int] = set()
    return sum(_size(value, seen) for value in _variables(error))


def size_text(size: int) -> str:
    """*size* bytes for people: ``about 200 MB``."""
    number, unit = float(size), 0
    while number >= 1000 and unit < len(_UNITS) - 1:  # noqa: PLR2004  as disks and file managers count
        number, unit = number / 1000, unit + 1
    return f"about {number:,.0f} {_UNITS[unit]}"


def _variables(error: BaseException | None) -> Iterator[Any]:
    waiting, known = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in known:
            continue
        known.add(id(one))
        trace = one.__traceback__
        while trace is not None:
            yield from [*trace.tb_frame.f_locals.values()]
            trace = trace.tb_next
        waiting += [one.__cause__, one.__context__]


def _size(value: Any, seen: set[int], depth: int = 2) -> int:
    """The bytes of *value*, once; of a list or dict those of its items, too."""
    if id(value) in seen:
        return 0
    seen.add(id(value))
    try:
        if isinstance(value, (str, bytes, bytearray)):
            return sys.getsizeof(value)
        if type(value) in {list, tuple, set, dict}:  # a subclass' methods are the user's
            items = value.values() if isinstance(value, dict) else value
            inner = [*items][:MAX_ITEMS] if depth else []
            return sys.getsizeof(value) + sum(_size(item, seen, depth - 1) for item in inner)
        # Looked for at the class: a Spark DataFrame takes any name for a column's.
        if hasattr(type(value), "memory_usage"):
            used = value.memory_usage(deep=False)
            return int(used.sum() if hasattr(used, "sum") else used)
        size = value.nbytes if hasattr(type(value), "nbytes") else 0
        return size if isinstance(size, int) else 0
    except BaseException:  # noqa: BLE001  an object that cannot say it is as good as small
        return 0
