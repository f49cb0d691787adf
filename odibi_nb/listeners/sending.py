"""Background sending, so that a slow server does not delay a run."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Any

from odibi_nb.core.text.redaction import error_text
from odibi_nb.errors import OdibiError

if TYPE_CHECKING:
    from collections.abc import Callable

FLUSH_SECONDS = 10.0
"""Maximum time that a run waits at its end for unsent events, if the server accepts events."""
SILENT_SECONDS = 2.0
"""Maximum time that it waits for a server that accepts no event and so is probably down."""
CLOSE_SECONDS = 5.0
"""Time for a client with its own queue to send the events in it."""


class BackgroundSender:
    """A thread that sends the events of one run in order.

    Args:
        noun: the plural noun for the events in messages.
        send: called with one event; may be slow, and may raise.
        close: called after the last event with a time limit in seconds; returns False if events remain
            unsent.
    """

    def __init__(
        self,
        noun: str,
        send: Callable[[Any], object],
        close: Callable[[float], object] | None = None,
    ) -> None:
        self._noun = noun
        self._send = send
        self._close = close
        self._queue: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._queued = self._sent = 0
        self._problem = ""
        self._closing = False
        self._closed: object = None
        self._given_up = False
        self._thread = threading.Thread(target=self._work, name="odibi-sender", daemon=True)
        self._thread.start()

    def put(self, event: object) -> None:
        """Send *event* after the earlier events were sent or have failed."""
        self._queued += 1
        self._queue.put(event)

    def finish(self) -> None:
        """Wait at most `FLUSH_SECONDS` until all events are sent, then give up the rest.

        If the server accepts no event for `SILENT_SECONDS`, the wait ends early. A client with its own
        queue does not report which events its server has accepted, so it gets `CLOSE_SECONDS`.

        Raises:
            OdibiError: if some events were not sent.
        """
        self._queue.put(None)
        waited, taken = 0.0, -1
        while self._thread.is_alive() and waited < FLUSH_SECONDS:
            if self._sent <= taken and not self._closing:
                break
            taken, patience = self._sent, min(SILENT_SECONDS, FLUSH_SECONDS - waited)
            self._thread.join(patience)
            waited += patience
        self._given_up = True
        problem = self._problem or f"not done in {waited:g} s"
        missing = self._queued - self._sent
        if missing:
            raise OdibiError(f"{missing} of {self._queued} {self._noun} were not sent: {problem}")
        if self._thread.is_alive() or self._closed is False:
            raise OdibiError(f"some {self._noun} were not sent: {problem}")

    def _work(self) -> None:
        while (event := self._queue.get()) is not None and not self._given_up:
            try:
                self._send(event)
                self._sent += 1
            except BaseException as exc:  # noqa: BLE001  finish() reports it
                self._problem = error_text(exc)
        if self._close is not None:
            self._closing = True
            self._closed = self._close(CLOSE_SECONDS)
