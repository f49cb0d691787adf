"""Separate the output of each transformation from all other output.

During a run, a context variable routes ``sys.stdout`` and ``sys.stderr``. Inside a transformation they
write to its own log, everywhere else to the original streams. ``breakpoint()`` is routed, too: inside a
transformation it stops only under `breakpoints_open`, or if an editor's debugger is attached.

The threads that a transformation starts, the calls that it submits to a ThreadPoolExecutor, and the
processes that it forks (see `forks`) also write to its log. After the transformation has ended, they
write to the original streams.

If a transformation assigns a stream to ``sys.stdout`` or ``sys.stderr``, the assignment applies to that
transformation alone, until it ends; see `_RoutedSys`.
"""

from __future__ import annotations

import contextlib
import contextvars
import io
import logging
import sys
import threading
import types
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TextIO, cast

from odibi_nb.core.process import forks, process_state
from odibi_nb.core.running.log_capture import LogCapture
from odibi_nb.core.text.redaction import clean_text
from odibi_nb.core.text.terminal_text import last_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

MAX_LINES = 2_000
MAX_LINE_LENGTH = 10_000


class CapturedLog:
    """Log of one attempt: its last `MAX_LINES` lines. Any thread of the attempt may write.

    Args:
        on_line: called with each of the first `MAX_LINES` complete lines.

    Attributes:
        is_open: True while the attempt is in progress. The log is not read afterwards.
        streams: the streams that the attempt has assigned to ``stdout`` and ``stderr``.
        levels: the levels of logging that the attempt itself has set: ``root`` and ``disable``.
    """

    def __init__(self, on_line: Callable[[str], object] | None = None) -> None:
        self._lock = threading.Lock()
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._partial = ""
        self._dropped = 0
        self._on_line = on_line
        self.is_open = False
        self._children: forks.Children | None = None
        self.streams: dict[str, TextIO] = {}
        self.levels: dict[str, int] = {}

    @staticmethod
    def takes(stream: object) -> bool:
        """Return True if *stream* is a standard stream of rows, so that its text gets into a log."""
        return isinstance(stream, _Router)

    def write(self, text: str) -> None:
        """Add *text*: a part of a line, or several lines."""
        children = self._children
        if children is not None and children.send(text):
            return  # in a forked process: the log is in its parent
        with self._lock:
            *complete, self._partial = (self._partial + text).split("\n")
            if "\r" in self._partial:  # a progress bar: keep only its last state
                self._partial = "\r" + last_state(self._partial) + "\r" * text.endswith("\r")
            if len(self._partial) > MAX_LINE_LENGTH:
                complete.append(self._partial)
                self._partial = ""
            for line in complete:
                self._add(_shown(line))

    def flush(self) -> None:
        """Send an incomplete line of a forked process to its parent."""
        children = self._children
        if children is not None:
            children.flush()

    def close(self) -> None:
        """End the attempt: wait for the output of forked processes. Later output is shown on the screen."""
        self._close_children()
        self.is_open = False
        self._close_children()  # a thread of the attempt may have forked since
        self.streams.clear()

    def _close_children(self) -> None:
        # A process that is forked from here on must not write to the closed descriptor: its number may
        # belong to another file by then.
        children, self._children = self._children, None
        if children is not None:
            children.close()

    def before_fork(self) -> None:
        """Prepare for a forked process, which writes here through a pipe."""
        if self._children is None:
            self._children = forks.Children(self._from_child)

    def _from_child(self, text: str) -> None:
        if self.is_open:
            self.write(text)
        else:
            real_stream().write(text)

    def after_fork_in_child(self) -> None:
        """Prepare the log for a forked process. A thread of the parent may hold the copied lock."""
        self._lock = threading.Lock()
        if self._children is not None:
            self._children.in_child()

    def _add(self, line: str) -> None:
        if len(self._lines) == MAX_LINES:
            self._dropped += 1
        self._lines.append(line)
        if self._on_line is not None and not self._dropped:
            self._on_line(line)

    def text(self) -> str:
        """Return the kept lines. If earlier lines were dropped, the first line gives their number."""
        with self._lock:
            lines = [*self._lines, _shown(self._partial)] if self._partial else [*self._lines]
            if self._dropped:
                lines.insert(0, f"… {self._dropped} earlier lines are not kept …")
        return "\n".join(lines)


def _shown(line: str) -> str:
    """Shorten a line for display, and remove apparent secrets and terminal control sequences."""
    if "\r" in line:
        line = last_state(line)
    return clean_text(line[:MAX_LINE_LENGTH])


_capture: contextvars.ContextVar[CapturedLog | None] = contextvars.ContextVar(
    "odibi_nb_capture", default=None
)


@contextlib.contextmanager
def captured(log: CapturedLog) -> Iterator[None]:
    """Send the output and log records of this thread to *log* inside the block."""
    token = _capture.set(log)
    log.is_open = True
    _listen()
    try:
        with process_state.row_in_progress():
            yield
    finally:
        _capture.reset(token)
        log.close()


def _log() -> CapturedLog | None:
    """Return the log of the transformation that runs here, or None."""
    log = _capture.get()
    return log if log is not None and log.is_open else None


_debugger: contextvars.ContextVar[Callable[[FrameType], object] | None] = contextvars.ContextVar(
    "odibi_nb_debugger", default=None
)


@contextlib.contextmanager
def breakpoints_open(debugger: Callable[[FrameType], object]) -> Iterator[None]:
    """Let ``breakpoint()`` in a transformation call *debugger* with its frame, on this thread."""
    token = _debugger.set(debugger)
    try:
        yield
    finally:
        _debugger.reset(token)


def _at_breakpoint(*args: Any, **keywords: Any) -> Any:
    log, frame, debugger = _log(), sys._getframe(1), _debugger.get()  # noqa: SLF001  its caller's
    if log is None or _answers(_previous_hook):
        return _previous_hook(*args, **keywords)
    where = f"breakpoint() at {frame.f_code.co_filename}:{frame.f_lineno}"
    if debugger is None:
        log.write(
            f"{where} was skipped: only `%odibi try` in a notebook stops there; the "
            "variables of a failure are in %odibi debug\n"
        )
        return None
    log.write(f"{where}: later output is shown immediately\n")
    _capture.set(None)  # until the attempt ends: the user must see the debugger's prompt
    return debugger(frame)


def _answers(hook: Callable[..., Any]) -> bool:
    """Return True if *hook* is a debugger that can answer. Python's own hook would wait forever."""
    if hook is sys.__breakpointhook__:
        return False
    debugpy = sys.modules.get("debugpy")
    if debugpy is not None and "debugpy" in f"{getattr(hook, '__module__', '')}":
        return bool(debugpy.is_client_connected())
    return True


class _Router(io.TextIOBase):
    """A replacement for a standard stream. Text is routed; other calls go to the original stream."""

    def __init__(self, name: str, original: TextIO) -> None:
        self.routed = name
        self.original = original

    def write(self, text: str) -> int:
        log = _log()
        if log is None:
            return self.original.write(text)
        own = log.streams.get(self.routed)
        if own is not None and own is not cast("TextIO", self):
            return own.write(text)
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        log.write(text)
        return len(text)

    def flush(self) -> None:
        log = _log()
        if log is None:
            self.original.flush()
        else:
            log.flush()

    def close(self) -> None:
        """Do nothing: this object must not close the original, nor flush it when it is collected."""

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.original.isatty()

    def fileno(self) -> int:
        return self.original.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # io.TextIOBase declares an attribute
        return self.original.encoding

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


class _RoutedSys(types.ModuleType):
    """The class of `sys` during a run. It limits an assigned stream to the code that assigned it.

    ``contextlib.redirect_stdout`` assigns ``sys.stdout`` for all threads. Two concurrent transformations
    would write to each other's streams, and the last to leave would restore the other's stream for good
    (cpython #130148). So an assignment inside a transformation applies to that transformation alone, and
    an assignment outside applies to all code outside. ``print`` finds the router, which stays in place.
    """

    stdout = property(lambda _: _stream("stdout"), lambda _, new: _set_stream("stdout", new))
    stderr = property(lambda _: _stream("stderr"), lambda _, new: _set_stream("stderr", new))


def _stream(name: str) -> TextIO:
    log, router = _log(), _routers.get(name)
    if router is None:
        return cast("TextIO", vars(sys)[name])
    return router.original if log is None else log.streams.get(name, cast("TextIO", router))


def _set_stream(name: str, stream: TextIO) -> None:
    log, router = _log(), _routers.get(name)
    if router is None:
        vars(sys)[name] = stream
    elif log is not None:
        log.streams[name] = stream
    elif stream is not cast("TextIO", router):
        router.original = stream


_lock = threading.Lock()
_users = 0
_routers: dict[str, _Router] = {}
_messages = logging.getLogger("odibi_nb.transformation")
_records = LogCapture(_log, _messages)
_logging: process_state.LoggingState | None = None
"""The state of logging when the first of the overlapping runs began."""
_previous_hook: Callable[..., Any] = sys.__breakpointhook__
_start_thread = threading.Thread.start
_submit = ThreadPoolExecutor.submit


def _start_in_context(thread: threading.Thread) -> None:
    """Start *thread* with the context of its starter, if that is a transformation."""
    if _log() is not None:
        context, run = contextvars.copy_context(), thread.run
        thread.run = lambda: context.run(run)  # type: ignore[method-assign]
    _start_thread(thread)


def _submit_in_context(
    pool: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **keywords: Any
) -> Any:
    """Submit *fn* with the context of its submitter, whichever thread runs it."""
    return _submit(pool, contextvars.copy_context().run, fn, *args, **keywords)


def _listen() -> None:
    """Let the records of all rows arrive again, whatever a row has set."""
    with _lock:
        if _users and _logging is not None:
            _logging.hear(_messages)


@contextlib.contextmanager
def routed_output() -> Iterator[None]:
    """Route the standard streams and logging inside the block. Runs may overlap."""
    with process_state.logging_put_back_at_the_end():
        _begin_routing()
        try:
            # Inside of the routing, because the routing replaces functions, too.
            with process_state.put_back_at_the_end():
                yield
        finally:
            _end_routing()


def _begin_routing() -> None:
    global _users, _previous_hook, _logging  # noqa: PLW0603  the standard streams are global too
    with _lock:
        _users += 1
        if _users > 1:
            return
        for name in ("stdout", "stderr"):
            _routers[name] = _Router(name, getattr(sys, name))
            vars(sys)[name] = _routers[name]
        sys.__class__ = _RoutedSys
        threading.Thread.start = _start_in_context  # type: ignore[method-assign,assignment]
        ThreadPoolExecutor.submit = _submit_in_context  # type: ignore[method-assign,assignment]
        _previous_hook, sys.breakpointhook = sys.breakpointhook, _at_breakpoint
        _messages.setLevel(logging.INFO)
        _logging = process_state.LoggingState.now()
        _records.begin(_logging)


def _end_routing() -> None:
    global _users  # noqa: PLW0603  see above
    with _lock:
        _users -= 1
        if _users:
            return
        _records.end()
        sys.__class__ = types.ModuleType
        for name, router in _routers.items():
            if vars(sys)[name] is router:
                vars(sys)[name] = router.original
        _routers.clear()
        if threading.Thread.start is _start_in_context:
            threading.Thread.start = _start_thread  # type: ignore[method-assign]
        if ThreadPoolExecutor.submit is _submit_in_context:
            ThreadPoolExecutor.submit = _submit  # type: ignore[method-assign]
        if sys.breakpointhook is _at_breakpoint:
            sys.breakpointhook = _previous_hook


def real_stream() -> TextIO:
    """Return the standard output that users see, whether or not output is routed."""
    router = _routers.get("stdout")
    stream: Any = sys.stdout if router is None else router.original
    while isinstance(stream, _Router):  # user code may have stored one in an earlier run
        stream = stream.original
    return cast("TextIO", stream)


def _before_fork() -> None:
    log = _log()
    if log is not None:
        log.before_fork()


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603  a thread of the parent may hold it
    _lock = threading.Lock()
    log = _capture.get()
    if log is not None:
        forks.leave_garbage_to_the_parent()
        log.after_fork_in_child()


forks.at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
