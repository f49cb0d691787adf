"""Ctrl-C, ■ and their like, taken as requests instead of exceptions."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def interrupts_as_requests(ask: Callable[[], None], patience: int) -> Iterator[None]:
    """Call *ask* for every SIGINT inside the block, so that it strikes in the middle of nothing.

    After *patience* of them nobody seems to listen, and KeyboardInterrupt is raised after all.
    Signals reach the main thread only: elsewhere this changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    presses = 0

    def interrupted(_number: int, _frame: object) -> None:
        nonlocal presses
        presses += 1
        ask()
        if presses > patience:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
