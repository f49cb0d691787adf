"""Keeping what a transformation prints and logs apart from what everybody else does.

While a run goes on, ``sys.stdout`` and ``sys.stderr`` are routed by a context variable: inside a
transformation to its own log, everywhere else to where they went before. So is ``breakpoint()``: inside a
transformation it stops only where somebody has said that they can answer.
"""

from __future__ import annotations

import contextlib
import contextvars
import io
import logging
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, TextIO, cast

from odibi_nb.core.redaction import plain_text, redact_text

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

    def write(self, text: str) -> None:
        """Add *text*, which may be a part of a line or several."""
        with self._lock:
            *complete, self._partial = (self._partial + text).split("\n")
            if len(self._partial) > MAX_LINE_LENGTH:
                complete.append(self._partial)
                self._partial = ""
            for line in complete:
                self._add(_shown(line))

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
    """The line as people see it: not endless, and without what looks like a secret."""
    return redact_text(plain_text(line[:MAX_LINE_LENGTH]))


_capture: contextvars.ContextVar[CapturedLog | None] = contextvars.ContextVar(
    "odibi_nb_capture", default=None
)


@contextlib.contextmanager
def captured(log: CapturedLog) -> Iterator[None]:
    """Send what is printed and logged inside the block, on this thread, to *log*."""
    token = _capture.set(log)
    try:
        yield
    finally:
        _capture.reset(token)


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
    log, frame, debugger = _capture.get(), sys._getframe(1), _debugger.get()  # noqa: SLF001  its caller's
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

    def __init__(self, original: TextIO) -> None:
        self.original = original

    def write(self, text: str) -> int:
        log = _capture.get()
        if log is None:
            return self.original.write(text)
        log.write(text)
        return len(text)

    def flush(self) -> None:
        if _capture.get() is None:
            self.original.flush()

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


class _LogHandler(logging.Handler):
    """Adds log records to the log of the transformation that made them."""

    def emit(self, record: logging.LogRecord) -> None:
        log = _capture.get()
        if log is None:
            return
        try:
            log.write(self.format(record) + "\n")
        except Exception:  # noqa: BLE001  logging's own rule: a bad record never stops the program
            self.handleError(record)


_lock = threading.Lock()
_users = 0
_routers: dict[str, _Router] = {}
_handler = _LogHandler()
_previous_hook: Callable[..., Any] = sys.__breakpointhook__


@contextlib.contextmanager
def routed_output() -> Iterator[None]:
    """Route the standard streams and logging inside the block; runs may overlap."""
    global _users, _previous_hook  # noqa: PLW0603  the standard streams are global too
    with _lock:
        _users += 1
        if _users == 1:
            for name in ("stdout", "stderr"):
                _routers[name] = _Router(getattr(sys, name))
                setattr(sys, name, cast("TextIO", _routers[name]))
            _previous_hook, sys.breakpointhook = sys.breakpointhook, _at_breakpoint
            logging.getLogger().addHandler(_handler)
            logging.getLogger("odibi_nb.transformation").setLevel(logging.INFO)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                logging.getLogger().removeHandler(_handler)
                for name, router in _routers.items():
                    if getattr(sys, name) is router:
                        setattr(sys, name, router.original)
                _routers.clear()
                if sys.breakpointhook is _at_breakpoint:
                    sys.breakpointhook = _previous_hook


def real_stream(name: str = "stdout") -> TextIO:
    """The stream people see, whether or not output is being routed."""
    stream = getattr(sys, name)
    return stream.original if isinstance(stream, _Router) else stream
