"""Estimate of the memory that an exception holds, through the variables of its frames."""

from __future__ import annotations

import sys
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_ITEMS = 1_000
"""Maximum number of items of a list or dict to measure. Longer ones seldom hold tables."""
_UNITS = ("bytes", "kB", "MB", "GB")


def held_bytes(error: BaseException | None) -> int:
    """Return the size of DataFrames, arrays and text in the frames of *error* and of its causes.

    The size is an estimate. The objects report their own sizes, so nothing is copied or run.
    """
    seen: set[int] = set()
    return sum(
        _size(value, seen)
        for one in with_causes(error)
        for frame, _ in walk_tb(one.__traceback__)
        for value in [*frame.f_locals.values()]
    )


def size_text(size: int) -> str:
    """Format *size* bytes for display: ``about 200 MB``."""
    number, unit = float(size), 0
    while number >= 1000 and unit < len(_UNITS) - 1:  # noqa: PLR2004  as disks and file managers count
        number, unit = number / 1000, unit + 1
    return f"about {number:,.0f} {_UNITS[unit]}"


def with_causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield *error*, its causes, and their causes, each once."""
    waiting, known = [error], set[int]()
    while waiting:
        one = waiting.pop()
        if one is not None and id(one) not in known:
            known.add(id(one))
            yield one
            waiting += [one.__cause__, one.__context__]


def _size(value: Any, seen: set[int], depth: int = 2) -> int:
    """Return the bytes of *value*, with the items of a collection. Each object counts once."""
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
        # Look at the class: a Spark DataFrame takes any attribute for the name of a column.
        if hasattr(type(value), "memory_usage"):
            used = value.memory_usage(deep=False)
            return int(used.sum() if hasattr(used, "sum") else used)
        size = value.nbytes if hasattr(type(value), "nbytes") else 0
        return size if isinstance(size, int) else 0
    except BaseException:  # noqa: BLE001  an object that reports no size counts as small
        return 0
