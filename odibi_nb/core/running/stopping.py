"""Stop the native work of a library: a query, a scan, a statement on a server.

A thread that waits for native code notices neither a cancel nor a timeout. It continues after its row has
ended, and aborts a process that exits during the work. So each such library needs a function to stop it.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
from typing import TYPE_CHECKING

from odibi_nb.core.model.attempt_control import AttemptControl
from odibi_nb.core.running.context import get_current_context
from odibi_nb.errors import RevokedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

AGAIN_SECONDS = 0.1
"""Seconds until a stop function is called again, for work that began after the last call."""
EXIT_SECONDS = 5.0
"""Maximum seconds for which a process that exits waits for libraries to stop."""
_running: dict[object, Callable[[], object]] = {}
_exiting = threading.Event()


@contextlib.contextmanager
def stoppable(stop: Callable[[], object]) -> Iterator[None]:
    """Call *stop* to end the work in the block if the attempt is revoked or the process exits.

    Args:
        stop: called from other threads, maybe several times; may raise.

    Raises:
        RevokedError: if the process is exiting, or instead of an exception of the block after a stop.
    """
    context = get_current_context()
    control = AttemptControl() if context is None else context.control
    if _exiting.is_set():
        raise RevokedError("the process exits")
    ended, key = threading.Event(), object()

    def revoked() -> None:
        arguments = (stop, ended)
        threading.Thread(target=stop_until, args=arguments, name="odibi-stop", daemon=True).start()

    _running[key] = stop
    control.on_revoke(revoked)
    try:
        yield
    except Exception as exc:
        reason = control.reason or ("the process exits" if _exiting.is_set() else None)
        if reason is not None and not isinstance(exc, RevokedError):
            raise RevokedError(reason) from exc
        raise
    finally:
        ended.set()
        _running.pop(key, None)
        control.forget(revoked)


def stop_until(stop: Callable[[], object], ended: threading.Event) -> None:
    """Call *stop* repeatedly until *ended*: work that begins after one call needs another."""
    while not ended.is_set():
        with contextlib.suppress(Exception):  # it may be over already
            stop()
        ended.wait(AGAIN_SECONDS)


def _stop_all() -> None:
    """Stop all work and wait for its end: native threads abort a process that exits."""
    _exiting.set()
    deadline = time.monotonic() + EXIT_SECONDS
    while _running and time.monotonic() < deadline:
        for stop in [*_running.values()]:
            with contextlib.suppress(Exception):
                stop()
        time.sleep(AGAIN_SECONDS / 2)


atexit.register(_stop_all)
if hasattr(os, "register_at_fork"):  # a child must not stop its parent's work
    os.register_at_fork(after_in_child=_running.clear)
