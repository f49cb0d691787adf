"""The parts of the process's state that a run restores, each with its reader and its restorer.

Only what is Python's own is here. Options of libraries, such as pandas', are left as a row sets them.
"""

from __future__ import annotations

import builtins
import functools
import gc
import io
import locale
import logging
import os
import random
import socket
import sys
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

if sys.platform != "win32":
    import resource

if TYPE_CHECKING:
    from collections.abc import Callable

_LONGEST_PATH = 4_096


class Part(NamedTuple):
    """One part: *read* returns it, and *restore* sets it to a value that *read* returned, or raises."""

    read: Callable[[], Any]
    restore: Callable[[Any], object]


def _folder() -> bytes | None:
    """Return the working directory; None if it was removed, or if its path is too long to return to it.

    ``os.getcwd`` releases Python's global lock. Other workers wake up, and wait for the lock that this thread
    holds. This costs a row more than all other parts together. ``ctypes.PyDLL`` keeps the global lock.
    """
    return _getcwd()()


@functools.cache
def _getcwd() -> Callable[[], bytes | None]:
    """Return C's ``getcwd``, or Python's if ``ctypes`` is missing."""
    try:
        import ctypes

        call = ctypes.PyDLL(None).getcwd
    except (ImportError, OSError, AttributeError, TypeError):
        return _python_getcwd
    call.restype, call.argtypes = ctypes.c_char_p, (ctypes.c_char_p, ctypes.c_size_t)
    path = ctypes.create_string_buffer(_LONGEST_PATH)
    return functools.partial(call, path, _LONGEST_PATH)


def _python_getcwd() -> bytes | None:
    try:
        return os.getcwdb()  # noqa: PTH109  a path is not needed
    except OSError:
        return None


def _filters() -> tuple[list[Any], tuple[Any, ...]]:
    filters: Any = warnings.filters  # typeshed: Sequence; it is a list
    return filters, (*filters,)


def _set_filters(before: tuple[list[Any], tuple[Any, ...]]) -> None:
    warnings.filters, filters = before
    warnings.simplefilter("default", append=True)  # makes Python notice the change
    before[0][:] = filters


def _locale() -> str | None:
    try:
        return locale.setlocale(locale.LC_ALL)
    except locale.Error:
        return None


_FUNCTIONS_OF: tuple[Any, ...] = (
    *(builtins, sys, time, os, io, random, warnings, threading),
    *(threading.Thread, ThreadPoolExecutor, logging.Logger),
)
"""Modules and classes whose functions rows replace in experiments."""
_SETTINGS: dict[str, tuple[str, ...]] = {
    "sys": ("stdin", "argv", "__stdin__", "__stdout__", "__stderr__"),
    "os": ("environ",),
    "asyncio.events": ("_event_loop_policy",),
    "logging": ("root", "_logRecordFactory", "_loggerClass", "raiseExceptions", "lastResort"),
    "tempfile": ("tempdir",),
}
"""Modules to their variables that are settings, some without a function that could restore them."""
_NOT_HERE = frozenset({"stdout", "stderr", "last_type"})
"""Names of `sys` that `capture` restores, or that Python sets."""


class Functions:
    """The functions and classes of Python's own modules and classes, as they are now."""

    def __init__(self) -> None:
        self._kept = {
            place: {
                name: value
                for name, value in vars(place).items()
                if callable(value) and name not in _NOT_HERE
            }
            for place in _FUNCTIONS_OF
        }
        self._values = [vars(place).values() for place in _FUNCTIONS_OF]
        self._seen = [*map(list, self._values)]

    def put_back(self) -> None:
        """Put back the functions that were replaced or deleted."""
        if self._are_as_seen():
            return
        for place, kept in self._kept.items():
            for name, value in kept.items():
                now = vars(place).get(name)
                if now is not value and not getattr(now, "of_odibi_nb", False):
                    setattr(place, name, value)
        self._seen = [*map(list, self._values)]

    def _are_as_seen(self) -> bool:
        """Return True nearly always, and in a tenth of the time that a look at the names takes."""
        try:
            return [*map(list, self._values)] == self._seen
        except Exception:  # noqa: BLE001  two other values, such as DataFrames, that cannot be compared
            return False


def _settings() -> list[tuple[str, list[Any]]]:
    return [
        (module, [getattr(sys.modules[module], name, None) for name in names])
        for module, names in _SETTINGS.items()
        if module in sys.modules
    ]


def _set_settings(before: list[tuple[str, list[Any]]]) -> None:
    for module, values in before:
        for name, value in zip(_SETTINGS[module], values, strict=True):
            setattr(sys.modules[module], name, value)


def new_threads() -> tuple[Any, Any]:
    """Return the tracer and the profiler that new threads get."""
    hooks: Any = threading
    return hooks._trace_hook, hooks._profile_hook  # noqa: SLF001  Python has no function for them


def set_new_threads(before: tuple[Any, Any]) -> None:
    """Set the tracer and the profiler of new threads. A debugger that was attached since keeps its own."""
    for now, value, put_back in zip(
        new_threads(), before, (threading.settrace, threading.setprofile), strict=True
    ):
        if now is not value and not f"{getattr(now, '__module__', '')}".startswith("pydev"):
            put_back(value)


def _umask() -> int:
    before = os.umask(0o077)  # the only way to read it: a file of another thread would be private
    os.umask(before)
    return before


def _start_method() -> Any:
    """Return the way in which ``multiprocessing`` starts processes, if a user or a row has chosen one."""
    module = sys.modules.get("multiprocessing")
    return None if module is None else module.get_start_method(allow_none=True)


def _decimals() -> tuple[Any, ...] | None:
    """Return the settings of decimal numbers in new threads."""
    decimal = sys.modules.get("decimal")
    if decimal is None:
        return None
    *settings, _flags, traps = decimal.DefaultContext.__reduce__()[
        1
    ]  # a tenth of seven attributes' time
    return (*settings, traps)


def _set_decimals(before: tuple[Any, ...] | None) -> None:
    if before is not None:
        context = sys.modules["decimal"].DefaultContext
        for name, value in zip(_OF_DECIMALS, before, strict=False):
            setattr(context, name, value)
        context.traps = {signal: signal in before[-1] for signal in context.traps}


_OF_DECIMALS = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")

_VARIABLES: Any = os.environb if sys.platform != "win32" else os.environ
_IN_MEMORY: Any = getattr(_VARIABLES, "_data", _VARIABLES)
"""The environment variables. A copy without ``_data`` takes 50 µs."""
_TIME_ZONE: Any = b"TZ" if sys.platform != "win32" else "TZ"


def _variables() -> dict[Any, Any]:
    return {**_IN_MEMORY}


def _time_zone() -> tuple[Any, Any]:
    return time.tzname, _IN_MEMORY.get(_TIME_ZONE)


def _set_time_zone(before: tuple[Any, Any]) -> None:
    if before[1] is None:
        _VARIABLES.pop(_TIME_ZONE, None)
    else:
        _VARIABLES[_TIME_ZONE] = before[1]
    time.tzset()


def _add_variables(before: dict[Any, Any]) -> None:
    """Add the variables that are missing. Changed ones stay: sessions find their settings there."""
    for name, value in before.items():
        _VARIABLES.setdefault(name, value)


def _set_garbage(before: tuple[bool, tuple[int, int, int], int]) -> None:
    enabled, thresholds, debug = before
    (gc.enable if enabled else gc.disable)()
    gc.set_threshold(*thresholds)
    gc.set_debug(debug)


def _limit_parts() -> list[Part]:
    if sys.platform == "win32":
        return []
    kinds = [getattr(resource, name) for name in _LIMITS if hasattr(resource, name)]

    def limits() -> list[tuple[int, int]]:
        return [*map(resource.getrlimit, kinds)]

    def put_back(before: list[tuple[int, int]]) -> None:
        """Raise the limits that were lowered. Libraries raise the limit of open files on purpose."""
        for kind, (limit, _) in zip(kinds, before, strict=True):
            now, most = resource.getrlimit(kind)
            wanted = _lower(limit, most)
            if now != wanted and _lower(now, wanted) == now:
                resource.setrlimit(kind, (wanted, most))

    def _lower(one: int, other: int) -> int:
        return min((one, other), key=lambda x: (x == resource.RLIM_INFINITY, x))

    return [Part(limits, put_back)]


_LIMITS = tuple(f"RLIMIT_{name}" for name in ("NOFILE", "AS", "FSIZE", "DATA", "STACK", "CORE"))

PARTS = (
    Part(_folder, os.chdir),
    Part(_filters, _set_filters),
    Part(_locale, lambda before: locale.setlocale(locale.LC_ALL, before)),
    Part(_settings, _set_settings),
    Part(_variables, _add_variables),
    Part(_time_zone, _set_time_zone),
    Part(_umask, os.umask),
    Part(_decimals, _set_decimals),
    Part(_start_method, lambda x: sys.modules["multiprocessing"].set_start_method(x, force=True)),
    Part(lambda: (gc.isenabled(), gc.get_threshold(), gc.get_debug()), _set_garbage),
    Part(socket.getdefaulttimeout, socket.setdefaulttimeout),
    Part(sys.getrecursionlimit, sys.setrecursionlimit),
    Part(sys.getswitchinterval, sys.setswitchinterval),
    *_limit_parts(),
)
