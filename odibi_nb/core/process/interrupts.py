"""Treat interrupts (Ctrl-C, ■, SIGTERM) as requests instead of exceptions.

Signals reach the main thread only. On another thread, the blocks of this module have no effect.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from odibi_nb.core.process.forks import at_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, TracebackType

    from typing_extensions import Self

_outside: list[dict[int, Any]] = []
"""The signal handlers from before a run replaced them, outermost first."""


class InterruptsHeldBack:
    """A block that delays SIGINT until its end. Several SIGINTs have the effect of one.

    Use it for work that must not stop halfway, such as taking and releasing a lock. `let_through`
    lets one interrupt take effect inside the block. After that interrupt, the block delays SIGINT
    again, so that the cleanup is not interrupted.
    """

    def __init__(self) -> None:
        self._before: Any = None
        self._outer: dict[int, Any] = {}
        self._open = False
        self._pending = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            # None: the handler was not installed from Python, so it could not be restored.
            self._before = signal.getsignal(signal.SIGINT)
        if self._before is not None:
            self._outer = {int(signal.SIGINT): self._before}
            signal.signal(signal.SIGINT, self._interrupted)
            _outside.append(self._outer)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._before is None:
            return
        _outside.remove(self._outer)
        signal.signal(signal.SIGINT, self._before)
        if self._pending and exc is None:
            signal.raise_signal(signal.SIGINT)

    @contextlib.contextmanager
    def let_through(self) -> Iterator[None]:
        """Let the first SIGINT inside the block take effect immediately."""
        try:
            self._open = True
            self.raise_pending()
            yield
        finally:
            self._open = False

    def sleep(self, seconds: float) -> None:
        """Wait for *seconds*, then let a delayed interrupt take effect."""
        time.sleep(seconds)
        self.raise_pending()

    def raise_pending(self) -> None:
        """Let a delayed interrupt take effect now."""
        if self._pending:
            self._pending = False
            self._pass_on(signal.SIGINT, None)

    def _interrupted(self, number: int, frame: FrameType | None) -> None:
        if self._open:
            self._pass_on(number, frame)
        else:
            self._pending = True

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        was_open, self._open = self._open, False
        if callable(self._before):
            self._before(number, frame)
        elif self._before == signal.SIG_DFL:
            raise KeyboardInterrupt
        self._open = was_open  # the handler did not raise


@contextlib.contextmanager
def interrupts_as_requests(ask: Callable[[], None], patience: int) -> Iterator[None]:
    """Call *ask* for every SIGINT inside the block, instead of raising KeyboardInterrupt.

    After *patience* SIGINTs, the next one raises KeyboardInterrupt, because the requests seem to
    have no effect. SIGTERM, with which schedulers announce a kill, calls *ask* twice. It takes its
    normal effect when the block has ended.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    presses = 0
    terminated = False

    def interrupted(_number: int, _frame: object) -> None:
        nonlocal presses
        presses += 1
        ask()
        if presses > patience:
            raise KeyboardInterrupt

    def told_to_end(_number: int, _frame: object) -> None:
        nonlocal terminated
        terminated = True
        ask()
        ask()

    before = signal.signal(signal.SIGINT, interrupted)
    ended_by = signal.signal(signal.SIGTERM, told_to_end)
    handlers: dict[int, Any] = {signal.SIGINT: before, signal.SIGTERM: ended_by}
    _outside.append(handlers)
    try:
        yield
    finally:
        _outside.remove(handlers)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if terminated:
            os.kill(os.getpid(), signal.SIGTERM)


_masks = threading.local()


def _hold_signals() -> None:
    """Block signals in a child until it has the signal handlers from before the run.

    A pool may end an idle worker as soon as the worker is forked. A SIGTERM before
    `_forget_in_child` would count as a request to the run, and would be lost.
    """
    _masks.before = None
    if _outside and hasattr(signal, "pthread_sigmask"):
        held = {signal.SIGINT, signal.SIGTERM}
        _masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, held)


def _let_signals_through() -> None:
    before, _masks.before = getattr(_masks, "before", None), None
    if before is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _forget_in_child() -> None:
    """Restore the signal handlers from before the run in a forked process; see `forks`."""
    for handlers in reversed(_outside):
        for number, handler in handlers.items():
            signal.signal(number, handler)
    _outside.clear()
    _let_signals_through()


at_fork(
    before=_hold_signals,
    after_in_child=_forget_in_child,
    after_in_parent=_let_signals_through,
)
