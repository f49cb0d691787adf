"""A running attempt, told from another thread that nobody waits for it any more."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from odibi_nb.errors import RevokedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from odibi_nb.core.model.events import Progress


class AttemptControl:
    """Tells a running attempt that nobody waits for it any more; set from another thread.

    A read or write that has begun ends, or is ended by whoever asked to be told with `on_revoke`;
    no other one begins. `heard` is True once the attempt has said that it stops, or a read or write of
    it was refused: then it is CANCELLED, however it ends.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self._measure: Callable[[], Progress | None] | None = None
        self.heard = False

    def revoke(self, reason: str) -> None:
        """Refuse everything the attempt begins through its context from now on."""
        with self._lock:
            if self.reason is not None:
                return
            self.reason = reason
            callbacks = [*self._callbacks]
        for callback in callbacks:
            callback()

    def on_revoke(self, callback: Callable[[], None]) -> None:
        """Call *callback*, which must return at once, when the attempt is revoked, or now if it is."""
        with self._lock:
            self._callbacks.append(callback)
            late = self.reason is not None
        if late:
            callback()

    def forget(self, callback: Callable[[], None]) -> None:
        """Do not call *callback* any more: what it would end is over."""
        with self._lock, contextlib.suppress(ValueError):
            self._callbacks.remove(callback)

    def measure_progress(self, measure: Callable[[], Progress | None] | None) -> None:
        """Let *measure*, which must be quick, tell how far the attempt's work is; None: nobody can."""
        self._measure = measure

    def progress(self) -> Progress | None:
        """How far the attempt's work is, where its engine knows; may be asked from any thread."""
        measure = self._measure
        try:
            return None if measure is None else measure()
        except Exception:  # noqa: BLE001  whoever could tell is gone; the attempt will say so itself
            return None

    def stop_if_asked(self) -> bool:
        """Return True once the attempt has been revoked, and take it that the attempt stops then."""
        self.heard = self.heard or self.reason is not None
        return self.heard

    def check(self) -> None:
        """Raises RevokedError once the attempt has been revoked."""
        if self.stop_if_asked():
            raise RevokedError(self.reason)
