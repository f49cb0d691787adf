"""Ctrl-C, ■, SIGTERM and their like, taken as requests instead of exceptions."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

from odibi_nb.core.forks import at_fork

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_outside: list[dict[int, Any]] = []
"""The handlers that held before a run took signals for requests, outermost first."""


@contextlib.contextmanager
def interrupts_as_requests(ask: Callable[[], None], patience: int) -> Iterator[None]:
    """Call *ask* for every SIGINT inside the block, so that it strikes in the middle of nothing.

    After *patience* of them nobody seems to listen, and KeyboardInterrupt is raised after all.
    SIGTERM, with which schedulers announce that they will kill soon, counts as two; when the block
    has ended it does what it would have done. Signals reach the main thread only: elsewhere this
    changes nothing.
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


def _forget_in_child() -> None:
    """Let signals do in a forked process what they did before the run.

    A worker of ``multiprocessing.Pool`` is ended with SIGTERM: as a request to the run, it would go
    unheard, and the pool would wait for ever.
    """
    for handlers in _outside[:1]:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    _outside.clear()


at_fork(before=lambda: None, in_child=_forget_in_child)
