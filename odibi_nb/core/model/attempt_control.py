"""Revocation of a running attempt from another thread."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

from odibi_nb.errors import RevokedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from odibi_nb.core.model.events import Progress


class AttemptControl:
    """Switch with which another thread revokes a running attempt.

    After a revocation, a read or write in progress may finish, or an `on_revoke` callback stops it. New
    reads and writes raise RevokedError. `heard` is True once the attempt has agreed to stop or one of
    its reads or writes was refused. Such an attempt is CANCELLED, however it ends.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._lock = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self._measure: Callable[[], Progress | None] | None = None
        self.heard = False
        self.fence: Callable[[], str] = str
        """Returns the reason why the run of this attempt may no longer continue; "" if it may."""

    def revoke(self, reason: str) -> None:
        """Revoke the attempt: refuse all reads and writes that it begins from now on."""
        with self._lock:
            if self.reason is not None:
                return
            self.reason = reason
            callbacks = [*self._callbacks]
        for callback in callbacks:
            callback()

    def on_revoke(self, callback: Callable[[], None]) -> None:
        """Call *callback* when the attempt is revoked, or now if it already is.

        The callback must return at once.
        """
        with self._lock:
            self._callbacks.append(callback)
            late = self.reason is not None
        if late:
            callback()

    def forget(self, callback: Callable[[], None]) -> None:
        """Remove *callback*, because the work that it would stop has ended."""
        with self._lock, contextlib.suppress(ValueError):
            self._callbacks.remove(callback)

    def measure_progress(self, measure: Callable[[], Progress | None] | None) -> None:
        """Set *measure*, the function that returns the attempt's progress; None if the progress is unknown.

        *measure* must return quickly.
        """
        self._measure = measure

    def progress(self) -> Progress | None:
        """Return the attempt's progress if its engine knows it; may be called from any thread."""
        measure = self._measure
        try:
            return None if measure is None else measure()
        except Exception:  # noqa: BLE001  the engine may be closed; the attempt reports that itself
            return None

    def stop_if_asked(self) -> bool:
        """Return True if the attempt was revoked, and assume that it will stop."""
        self.heard = self.heard or self.reason is not None
        return self.heard

    def check(self) -> None:
        """Raise RevokedError if the attempt was revoked, or its run may no longer continue."""
        if self.reason is None and (lost := self.fence()):
            self.revoke(lost)
        if self.stop_if_asked():
            raise RevokedError(self.reason)
