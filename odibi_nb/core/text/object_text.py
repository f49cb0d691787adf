"""Ask a user's object for its text, whatever its class does when it is asked.

``__str__`` and ``__repr__`` are the user's code. One that raises SystemExit would end the process from
inside an error message; one that returns a number raises TypeError where nobody expects it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def safe_str(value: object, what: str = "it") -> str:
    """``str(value)``; if that fails, a text that says so of *what*."""
    return value if type(value) is str else _asked(str, value, what)


def safe_repr(value: object, what: str = "it") -> str:
    """``repr(value)``; if that fails, a text that says so of *what*."""
    return _asked(repr, value, what)


def _asked(ask: Callable[[Any], str], value: object, what: str) -> str:
    try:
        return "".join([ask(value), ""])  # text of its own: a subclass of str has methods, too
    except BaseException as exc:  # noqa: BLE001  the user's class is broken; say so
        return f"({what} cannot be shown: {type(exc).__name__})"
