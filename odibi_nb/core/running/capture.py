"""Keep what a transformation prints and logs apart from what everybody else does.

While a run goes on, ``sys.stdout`` and ``sys.stderr`` are routed by a context variable: inside a
transformation to its own log, everywhere else to where they went before. So is ``breakpoint()``: inside a
transformation it stops only where somebody has said that they can answer.

Inside a transformation also means: in the threads that it starts, in what it submits to a
ThreadPoolExecutor, and in the processes that it forks (see `forks`). What these write after the
transformation has ended is shown where it would be without a run.

A stream that a transformation puts in the place of ``sys.stdout`` or ``sys.stderr`` is its own, too,
and forgotten when it ends; see `_RoutedSys`.
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
from odibi_nb.core.text.redaction import plain_text, redact_text
from odibi_nb.core.text.terminal_text import last_state, readable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

MAX_LINES = 2_000
MAX_LINE_LENGTH = 10_000


class CapturedLog:
    """The last `MAX_LINES` lines of one attempt; written from the attempt's threads.

    Args:
        on_line: told of every complete line as it comes.
    """

    def __init__(self, on_line: Callable[[str], object] | None = None) -> None:
        self._lock = threading.Lock()
        self._lines: deque[str] = deque(maxlen=MAX_LINES)
        self._partial = ""
        self._dropped = 0
        self._on_line = on_line
        self._writers = 0
        self._children: forks.Children | None = None
        self.streams: dict[str, TextIO] = {}

    def write(self, text: str) -> None:
        """Add *text*, which may be a part of a line or several."""
        children = self._children
        if children is not None and children.send(text):
            return  # in a forked process: the log is in its parent
        with self._lock:
            *complete, self._partial = (self._partial + text).split("\n")
            if "\r" in self._partial:  # a progress bar: its states would add up
                self._partial = "\r" + last_state(self._partial) + "\r" * text.endswith("\r")
            if len(self._partial) > MAX_LINE_LENGTH:
                complete.append(self._partial)
                self._partial = ""
            for line in complete:
                self._add(_shown(line))

    def flush(self) -> None:
        """Send a forked process' part of a line to its parent."""
        children = self._children
        if children is not None:
            children.flush()

    @property
    def is_open(self) -> bool:
        """Whether the attempt goes on; afterwards nobody looks at the log any more."""
        return self._writers > 0

    def open(self) -> None:
        """Note that one more attempt writes here."""
        self._writers += 1

    def close(self) -> None:
        """Note that an attempt writes no more; wait for what its forked processes have written."""
        if self._writers == 1:
            self._close_children()
        self._writers -= 1
        if not self._writers:
            self._close_children()  # a thread of the attempt may have forked meanwhile
            self.streams.clear()

    def _close_children(self) -> None:
        # A process that is forked from here on must not write to a descriptor that is closed: by then
        # its number may be that of somebody's file.
        children, self._children = self._children, None
        if children is not None:
            children.close()

    def before_fork(self) -> None:
        """Get ready for a forked process, which writes here through a pipe."""
        if self._children is None:
            self._children = forks.Children(self._from_child)

    def _from_child(self, text: str) -> None:
        if self.is_open:
            self.write(text)
        else:
            real_stream().write(text)

    def after_fork_in_child(self) -> None:
        """Be the log of a forked process: locks may be held by threads that are not here."""
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
        """Everything kept, with a first line that says how much is not."""
        with self._lock:
            lines = [*self._lines, _shown(self._partial)] if self._partial else [*self._lines]
            if self._dropped:
                lines.insert(0, f"… {self._dropped} earlier lines are not kept …")
        return "\n".join(lines)


def _shown(line: str) -> str:
    """The line as people see it: not endless, without what looks like a secret or steers a terminal."""
    if "\r" in line:
        line = last_state(line)
    return redact_text(readable(plain_text(line[:MAX_LINE_LENGTH])))


_capture: contextvars.ContextVar[CapturedLog | None] = contextvars.ContextVar(
    "odibi_nb_capture", default=None
)


@contextlib.contextmanager
def captured(log: CapturedLog) -> Iterator[None]:
    """Send what is printed and logged inside the block, on this thread, to *log*."""
    token = _capture.set(log)
    log.open()
    _listen()
    try:
        yield
    finally:
        _capture.reset(token)
        log.close()


def _log() -> CapturedLog | None:
    """The log of the transformation that runs here, if one does."""
    log = _capture.get()
    return log if log is not None and log.is_open else None


_debugger: contextvars.ContextVar[Callable[[FrameType], object] | None] = contextvars.ContextVar(
    "odibi_nb_debugger", default=None
)


@contextlib.contextmanager
def breakpoints_open(debugger: Callable[[FrameType], object]) -> Iterator[None]:
    """Inside the block, on this thread, ``breakpoint()`` in a transformation calls *debugger* with its frame."""
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
            f"{where} was passed over: only %odibi try stops there, where somebody can answer; the "
            "variables of a failure are in %odibi debug\n"
        )
        return None
    log.write(f"{where}: what is printed from here on is shown at once\n")
    _capture.set(None)  # until the attempt ends: a debugger's prompt is to be seen
    return debugger(frame)


def _answers(hook: Callable[..., Any]) -> bool:
    """Whether an editor's debugger is attached; Python's own would wait for an answer for ever."""
    if hook is sys.__breakpointhook__:
        return False
    debugpy = sys.modules.get("debugpy")
    if debugpy is not None and "debugpy" in f"{getattr(hook, '__module__', '')}":
        return bool(debugpy.is_client_connected())
    return True


class _Router(io.TextIOBase):
    """Stands in for a standard stream; everything but text goes to the original."""

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
        """Nothing: the original is not ours to close, nor to flush when this object is forgotten."""

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
    """The class of `sys` while a run goes on: who assigns a standard stream does so for themselves.

    ``contextlib.redirect_stdout`` assigns ``sys.stdout``, for all threads. Two transformations at a
    time would write to each other's streams, and the last to leave would put the other's back for good
    (cpython #130148). So inside a transformation an assignment concerns that transformation alone, and
    outside it concerns whoever is outside. ``print`` finds the router, which stays in place.
    """

    @property
    def stdout(self) -> TextIO:
        return _stream("stdout")

    @stdout.setter
    def stdout(self, stream: TextIO) -> None:
        _set_stream("stdout", stream)

    @property
    def stderr(self) -> TextIO:
        return _stream("stderr")

    @stderr.setter
    def stderr(self, stream: TextIO) -> None:
        _set_stream("stderr", stream)


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


class _LogHandler(logging.Handler):
    """Adds log records to the log of the transformation that made them."""

    def emit(self, record: logging.LogRecord) -> None:
        log = _log()
        if log is None:
            self._emit_elsewhere(record)
            return
        try:
            log.write(self.format(record) + "\n")
        except Exception:  # noqa: BLE001  logging's own rule: a bad record never stops the program
            self.handleError(record)

    def _emit_elsewhere(self, record: logging.LogRecord) -> None:
        """Show what Python shows where no handler is: that this one is there must change nothing."""
        last = logging.lastResort
        if last is None or record.levelno < last.level:
            return
        logger: logging.Logger | None = logging.getLogger(record.name)
        while logger is not None:
            if any(handler is not self for handler in logger.handlers):
                return
            logger = logger.parent if logger.propagate else None
        last.handle(record)


_lock = threading.Lock()
_users = 0
_routers: dict[str, _Router] = {}
_handler = _LogHandler()
_previous_hook: Callable[..., Any] = sys.__breakpointhook__
_start_thread = threading.Thread.start
_submit = ThreadPoolExecutor.submit


def _start_in_context(thread: threading.Thread) -> None:
    """Start *thread*; one of a transformation's belongs to the transformation."""
    if _log() is not None:
        context, run = contextvars.copy_context(), thread.run
        thread.run = lambda: context.run(run)  # type: ignore[method-assign]
    _start_thread(thread)


def _submit_in_context(
    pool: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **keywords: Any
) -> Any:
    """Submit *fn*; whose thread runs it does not matter, but who submitted it."""
    return _submit(pool, contextvars.copy_context().run, fn, *args, **keywords)


def _listen() -> None:
    """Hear of log records, also after a row has removed all handlers (``basicConfig(force=True)``)."""
    root = logging.getLogger()
    with _lock:
        if _users and _handler not in root.handlers:
            root.addHandler(_handler)


@contextlib.contextmanager
def routed_output() -> Iterator[None]:
    """Route the standard streams and logging inside the block; runs may overlap."""
    with process_state.put_back_at_the_end(_handler):
        _begin_routing()
        try:
            yield
        finally:
            _end_routing()


def _begin_routing() -> None:
    global _users, _previous_hook  # noqa: PLW0603  the standard streams are global too
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
        logging.getLogger().addHandler(_handler)
        logging.getLogger("odibi_nb.transformation").setLevel(logging.INFO)


def _end_routing() -> None:
    global _users  # noqa: PLW0603  see above
    with _lock:
        _users -= 1
        if _users:
            return
        logging.getLogger().removeHandler(_handler)
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


def real_stream(name: str = "stdout") -> TextIO:
    """The stream people see, whether or not output is being routed."""
    router = _routers.get(name)
    stream = vars(sys)[name] if router is None else router.original
    while isinstance(stream, _Router):  # one that somebody has kept from an earlier run
        stream = stream.original
    return cast("TextIO", stream)


def _before_fork() -> None:
    log = _log()
    if log is not None and log.is_open:
        log.before_fork()


def _after_fork_in_child() -> None:
    global _lock  # noqa: PLW0603  a thread that is not here may hold it
    _lock = threading.Lock()
    log = _capture.get()
    if log is not None:
        forks.leave_garbage_to_the_parent()
        log.after_fork_in_child()


forks.at_fork(before=_before_fork, in_child=_after_fork_in_child)
