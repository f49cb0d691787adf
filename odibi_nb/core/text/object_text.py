"""Get the text of a user's object, even if its class raises an error.

``__str__`` and ``__repr__`` are the user's code. If one raises SystemExit, it would end the process
while an error message is built. If one returns a number, it would cause an unexpected TypeError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def safe_str(value: object, what: str = "it") -> str:
    """Return ``str(value)``. If that fails, return a text with the note that *what* cannot be shown."""
    return value if type(value) is str else _asked(str, value, what)


def safe_repr(value: object) -> str:
    """Return ``repr(value)``. If that fails, return a text with the note that it cannot be shown."""
    return _asked(repr, value, "it")


def _asked(ask: Callable[[Any], str], value: object, what: str) -> str:
    try:
        return "".join([ask(value), ""])  # a plain str: a subclass of str may have its own methods
    except BaseException as exc:  # noqa: BLE001  the user's class is broken
        return f"({what} cannot be shown: {type(exc).__name__})"


_NAME, _TRACE = vars(type)["__name__"], vars(BaseException)["__traceback__"]
_READ = ("__class__", "__traceback__", "__cause__", "__context__", "__suppress_context__", "args")
"""Attributes of an exception that Python and this package read, in addition to its text."""


def readable_error(error: BaseException) -> BaseException:
    """Return *error*, or a plain exception of the same name and traceback if the attributes of *error* raise.

    The causes of *error* are replaced in the same way. The code that reports a failure reads these attributes.
    An exception there would end the run, or leave the run without an answer.
    """
    found = _readable(error)
    waiting, seen = [found], {id(error): found}
    while waiting:
        one = waiting.pop()
        for name in ("__context__", "__cause__"):
            link = getattr(one, name)
            if link is not None and id(link) not in seen:
                seen[id(link)] = _readable(link)
                waiting.append(seen[id(link)])
            if link is not None and seen[id(link)] is not link:
                vars(BaseException)[name].__set__(one, seen[id(link)])
    return found


def _readable(error: BaseException) -> BaseException:
    kind = type(error)
    try:
        for name in _READ:
            getattr(error, name)
        for name in ("__name__", "__qualname__", "__module__"):
            getattr(kind, name)
        getattr(error, "__notes__", None)
        error.with_traceback(error.__traceback__)
    except BaseException as exc:  # noqa: BLE001  the user's class is broken
        why = f"the error cannot be shown: its class raises {_NAME.__get__(type(exc))}"
        made = type(_NAME.__get__(kind), (Exception,), {})(why)
        tame: BaseException = made.with_traceback(_TRACE.__get__(error))
        return tame
    return error
