"""Get the text of a user's object, even if its class raises an error.

``__str__`` and ``__repr__`` are the user's code. If one raises SystemExit, it would end the process
while an error message is built. If one returns a number, it would cause an unexpected TypeError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def safe_str(value: object, what: str = "it") -> str:
    """Return ``str(value)``; if that fails, a text that *what* cannot be shown."""
    return value if type(value) is str else _asked(str, value, what)


def safe_repr(value: object, what: str = "it") -> str:
    """Return ``repr(value)``; if that fails, a text that *what* cannot be shown."""
    return _asked(repr, value, what)


def _asked(ask: Callable[[Any], str], value: object, what: str) -> str:
    try:
        return "".join([ask(value), ""])  # a plain str: a subclass of str may have its own methods
    except BaseException as exc:  # noqa: BLE001  the user's class is broken
        return f"({what} cannot be shown: {type(exc).__name__})"
