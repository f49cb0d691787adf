"""Ending the work of a library that is deaf to Python: a query, a scan, a statement on a server.

A thread that waits for native code hears neither a cancel nor a timeout, goes on when its row has
ended, and aborts a process that exits meanwhile. So each such library brings a way to stop it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING

from odibi_nb.core.running.context import get_current_context
from odibi_nb.errors import RevokedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AGAIN_SECONDS = 0.1
"""How long until whatever began between two stops is stopped too."""
EXIT_SECONDS = 5.0
"""How long a process that exits waits for libraries to stop."""
_running: dict[object, Callable[[], object]] = {}
_exiting = threading.Event()


@contextlib.contextmanager
def stoppable(stop: Callable[[], object]) -> Iterator[None]:
    """Let *stop* end what runs in the block, when the current attempt is revoked or the process exits.

    Args:
        stop: called from other threads, maybe several times; may raise.

    Raises:
        RevokedError: instead of what the block raises when it was stopped.
    """
    context = get_current_context()
    control = context.control if context is not None else None
    if _exiting.is_set():
        raise RevokedError("the process exits")
    ended, key = threading.Event(), object()

    def revoked() -> None:
        arguments = (stop, ended)
        threading.Thread(target=stop_until, args=arguments, name="odibi-stop", daemon=True).start()

    _running[key] = stop
    if control is not None:
        control.on_revoke(revoked)
    try:
        yield
    except Exception as exc:
        reason = control.reason if control is not None else None
        reason = reason or ("the process exits" if _exiting.is_set() else None)
        if reason is not None and not isinstance(exc, RevokedError):
            raise RevokedError(reason) from exc
        raise
    finally:
        ended.set()
        _running.pop(key, None)
        if control is not None:
            control.forget(revoked)


def stop_until(stop: Callable[[], object], ended: threading.Event) -> None:
    """Call *stop* again and again until *ended*: what begins after one call needs another."""
    while not ended.is_set():
        with contextlib.suppress(Exception):  # it may be over already
            stop()
        ended.wait(AGAIN_SECONDS)


def _stop_all() -> None:
    """Stop everything that runs, and wait for it: native threads abort a process that is torn down."""
    _exiting.set()
    deadline = time.monotonic() + EXIT_SECONDS
    while _running and time.monotonic() < deadline:
        for stop in [*_running.values()]:
            with contextlib.suppress(Exception):
                stop()
        time.sleep(AGAIN_SECONDS / 2)


atexit.register(_stop_all)
if hasattr(os, "register_at_fork"):  # what runs in a parent is none of its child's business
    os.register_at_fork(after_in_child=_running.clear)
