"""Restore the state of the whole process while rows run, and after a run.

All rows of a process share its working directory, warning filters, locale, ``sys.path``, standard
files and much more. There are three moments to restore it:

- After each row, the run mends what would break every other row: imports, closed standard files, a low
  limit of recursion, and the hooks, tracer, profiler and stack of new threads. It also restores the tracer, the
  profiler and the blocked signals of the worker's thread. Decimal settings are a row's own.
- When no row is in progress, a run in the foreground restores all `PARTS`. It does not restore them
  earlier, because the rows that run may have changed them for themselves.
- At its end, a run in the foreground restores all of it again.

During a run in the background, the user may change the state in other cells. Such a run only mends.

Environment variables that rows add or change, imported modules and the options of libraries are not
restored, because sessions that a row starts, such as Spark's, find their settings there. Only the main
thread can set signal handlers, and no row runs in it.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.core.process.import_state import ImportState, LastFinder
from odibi_nb.core.process.process_parts import (
    PARTS,
    Functions,
    new_threads,
    set_new_threads,
)
from odibi_nb.core.process.standard_files import StandardFiles, stop_watching, watch_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

_lock = threading.RLock()
_runs: list[_RunState] = []
"""The states from before the runs that overlap now, the oldest first."""
_rows = 0
"""The number of rows in progress."""


@contextlib.contextmanager
def put_back_at_the_end() -> Iterator[None]:
    """Restore the state of the process in and after the block."""
    finder = LastFinder()
    sys.meta_path.append(finder)
    with _lock:
        watch_numbers()
        state = _RunState(foreground=threading.current_thread() is threading.main_thread())
        _runs.append(state)
    try:
        yield
    finally:
        with _lock:
            _runs.remove(state)
            state.files.put_back(exactly=state.foreground)  # also what code in C has changed
            state.put_back(exactly=state.foreground)
            state.files.close()
            if not _runs:
                stop_watching()
            if finder in sys.meta_path:
                sys.meta_path.remove(finder)


@contextlib.contextmanager
def row_in_progress() -> Iterator[None]:
    """Mend the state of the process, and of this thread, after the row in the block."""
    global _rows  # noqa: PLW0603  the state is the process's
    with _lock:  # not while another thread restores the state
        _rows += 1
    thread = _ThreadState()
    try:
        with _own_decimals():
            yield
    finally:
        thread.put_back()
        with _lock:
            _rows -= 1
            for state in _runs:
                state.put_back(exactly=state.foreground and not _rows)


def _own_decimals() -> contextlib.AbstractContextManager[Any]:
    """Give the block decimal settings of its own. A copied context has the same object as its original."""
    decimal = sys.modules.get("decimal")
    return contextlib.nullcontext() if decimal is None else decimal.localcontext()


class _ThreadState:
    """The tracer, the profiler and the blocked signals of this thread, on which other rows run later."""

    def __init__(self) -> None:
        self._tracers = sys.gettrace(), sys.getprofile()
        self._blocked = _blocked_signals()

    def put_back(self) -> None:
        tracer, profiler = self._tracers
        if sys.gettrace() is not tracer:
            sys.settrace(tracer)
        if sys.getprofile() is not profiler:
            sys.setprofile(profiler)
        if self._blocked != _blocked_signals():
            signal.pthread_sigmask(signal.SIG_SETMASK, self._blocked)


def _blocked_signals() -> set[Any]:
    mask = getattr(signal, "pthread_sigmask", None)  # Windows has none
    return set() if mask is None else mask(signal.SIG_BLOCK, ())


class _RunState:
    """The state of the process before a run."""

    def __init__(self, *, foreground: bool) -> None:
        self.foreground = foreground
        self.files = StandardFiles.now()
        self._imports = ImportState.now()
        self._depth = sys.getrecursionlimit()
        self._stack = threading.stack_size()
        self._new_threads = new_threads()
        self._functions = Functions() if foreground else None
        self._parts = [part.read() for part in PARTS] if foreground else []

    def put_back(self, *, exactly: bool) -> None:
        """Mend what breaks other rows; with *exactly*, restore all of this state."""
        self._imports.put_back()
        if self.files.may_differ():
            self.files.put_back(exactly=exactly)
        _let_threads_start()
        if new_threads() != self._new_threads:
            set_new_threads(self._new_threads)
        if sys.getrecursionlimit() < self._depth:
            sys.setrecursionlimit(self._depth)
        if threading.stack_size() != self._stack:  # a thread with a small stack ends the process
            threading.stack_size(self._stack)
        if not exactly or self._functions is None:
            return
        self._functions.put_back()
        with contextlib.suppress(Exception):
            if [part.read() for part in PARTS] == self._parts:  # nearly always
                return
        for part, before in zip(PARTS, self._parts, strict=True):
            try:
                if part.read() != before:
                    part.restore(before)
            except Exception:  # noqa: BLE001, S112  the other parts are restored, too
                continue


@contextlib.contextmanager
def logging_put_back_at_the_end() -> Iterator[None]:
    """Restore logging at the end of the block: all of it in the foreground, else only lost handlers."""
    before = LoggingState.now()
    try:
        yield
    finally:
        before.put_back(exactly=threading.current_thread() is threading.main_thread())


@dataclass(frozen=True, slots=True)
class LoggingState:
    """The root logger's handlers and level, and the names of the enabled loggers."""

    handlers: tuple[logging.Handler, ...]
    level: int
    disabled_below: int
    enabled: tuple[str, ...]

    @classmethod
    def now(cls) -> LoggingState:
        """Return the present state."""
        root = logging.getLogger()
        loggers = [*root.manager.loggerDict.items()]
        return cls(
            (*root.handlers,),
            root.level,
            root.manager.disable,
            tuple(n for n, x in loggers if isinstance(x, logging.Logger) and not x.disabled),
        )

    def hear(self, logger: logging.Logger) -> None:
        """Undo what keeps records of all rows from their logs and from the handlers.

        It looks for disabled loggers only if *logger* is disabled, because there may be thousands.
        """
        root = logging.getLogger()
        self._add_handlers()
        if root.level > self.level:
            root.setLevel(self.level)
        if root.manager.disable > self.disabled_below:
            logging.disable(self.disabled_below)
        if logger.disabled:
            self.enable()

    def enable(self) -> None:
        """Enable the loggers that ``dictConfig`` has disabled, because it does not name them."""
        for name in self.enabled:
            logging.getLogger(name).disabled = False

    def _add_handlers(self) -> None:
        root = logging.getLogger()
        for handler in self.handlers:
            if handler not in root.handlers:
                root.addHandler(handler)
            if isinstance(handler, logging.FileHandler) and handler.stream is None:
                # A row has closed it: it opens its file again, and must not empty it.
                handler.mode = "a"

    def put_back(self, *, exactly: bool) -> None:
        """Add the handlers that are missing again; with *exactly*, restore all of this state."""
        root = logging.getLogger()
        self._add_handlers()
        if exactly:
            for handler in [*root.handlers]:
                if handler not in self.handlers:
                    root.removeHandler(handler)
            root.setLevel(self.level)
            logging.disable(self.disabled_below)
            self.enable()


def _let_threads_start() -> None:
    """Give Python its own hooks back if a row has taken them: without a hook no thread can start."""
    module: Any
    for module in (threading, sys):
        if module.excepthook is None:
            module.excepthook = module.__excepthook__
