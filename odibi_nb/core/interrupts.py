"""Ctrl-C, ■, SIGTERM and their like, taken as requests instead of exceptions."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


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
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        signal.signal(signal.SIGTERM, ended_by)
        if terminated:
            os.kill(os.getpid(), signal.SIGTERM)
