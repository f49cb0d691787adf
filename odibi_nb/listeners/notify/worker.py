"""The thread that sends the messages to one channel."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.redaction import error_text
from odibi_nb.listeners.notify import outbox as outboxes
from odibi_nb.listeners.notify.letter import Letter
from odibi_nb.listeners.notify.sending import NotSentError, TakenByAnotherError, send

if TYPE_CHECKING:
    from odibi_nb.core.model.notification import Channel
    from odibi_nb.listeners.notify.outbox import Message, Outbox

MOST_BACKOFF = 60.0
LONG_PAUSE = 4.0
"""Seconds for which `ChannelWorker.finish` does not wait, because the next start can send the messages."""
GATHER_SECONDS = 0.25
"""Time in which messages gather before the thread looks into the outbox again."""
LOCKED_SECONDS = 0.2
"""Time until a thread looks again whether another process still sends."""


class ChannelWorker:
    """Sender of the messages in *outbox*, in the background and until `finish`.

    ``_wake``      set by any thread: the sender looks into the outbox
    ``_idle``      set by the sender: it has nothing to do
    ``_ended``     set by `finish`: no more messages will come, so the sender does not wait for others to gather
    ``_closing``   set by `finish` after its deadline: the sender stops now
    ``_passes``, ``_failures``, ``_problem``, ``_gave_up``   the sender's own: looks into the outbox, failures in a
    row, the last of them as text, and whether it sends nothing more until the next start
    """

    def __init__(self, outbox: Outbox, channel: Channel) -> None:
        self._outbox, self._channel = outbox, channel
        self._wake, self._idle = threading.Event(), threading.Event()
        self._closing = False
        self._ended = threading.Event()
        self._passes = 0
        self._failures = 0
        self._problem = ""
        self._gave_up = False
        self._thread: threading.Thread | None = None

    def wake(self) -> None:
        """Send the messages in the outbox soon."""
        self._idle.clear()
        self._wake.set()
        if self._thread is None:
            name = f"odibi-notify-{self._outbox.name}"
            self._thread = threading.Thread(target=self._work, name=name, daemon=True)
            self._thread.start()

    def finish(self, deadline: float) -> str:
        """Wait for the messages until *deadline* of the monotonic clock. Return a warning, or ""."""
        if self._thread is None:
            return ""
        self._ended.set()  # no more messages will come
        self._idle.wait(max(0.0, deadline - time.monotonic()))
        self._closing = True
        self._wake.set()
        left = len(self._outbox.waiting())
        if not left:
            return self._problem if self._gave_up else ""
        why = self._problem or "the receiver has not answered yet"
        return (
            f"notify: {counted(left, 'message')} to {self._outbox.name!r} not sent: {why}; "
            "the next run, or `odibi notify`, sends the rest"
        )

    def _work(self) -> None:
        pause: float | None = None
        while True:
            self._wake.wait(pause)
            if self._closing:
                return
            self._wake.clear()
            if self._passes:  # many rows may fail at once: one look into the outbox for all of them
                self._ended.wait(GATHER_SECONDS)
                self._wake.clear()
            self._passes += 1
            try:
                pause = self._pass()
            except Exception as exc:  # noqa: BLE001  finish() reports it
                self._problem, pause = error_text(exc), None
                self._gave_up = True
            if (pause is None or pause > LONG_PAUSE) and not self._wake.is_set():
                self._idle.set()

    def _pass(self) -> float | None:
        """Send the waiting messages. Return the seconds until the next pass, or None to wait for a message."""
        with self._outbox.taken() as mine:
            if not mine:
                return LOCKED_SECONDS if self._outbox.waiting() else None
            while not self._gave_up and (messages := self._outbox.waiting()):
                for message in messages:
                    if self._closing:
                        return None
                    pause = self._outbox.wait_of()
                    if pause:
                        self._problem = self._problem or "the receiver asked to wait"
                    else:
                        pause = self._send_or_hold(message)
                    if pause or self._gave_up:
                        return pause or None
        return None

    def _send_or_hold(self, message: Message) -> float:
        """Send one message, or hold it back. Return the seconds until the next attempt."""
        if time.time() - message.notice.time > outboxes.MOST_AGE:
            self._outbox.move(message, outboxes.SENT)
            return 0.0
        if not message.repeated and not self._outbox.has_room(message.notice):
            self._outbox.move(message, outboxes.HELD)
            return 0.0
        held = self._outbox.held()
        letter = Letter(
            notice=message.notice, key=message.key, held=len(held), repeated=message.repeated
        )
        try:
            send(self._channel, letter, lambda: self._outbox.move(message, outboxes.SENDING))
        except TakenByAnotherError:
            return 0.0
        except NotSentError as exc:
            return self._not_sent(message, exc)
        self._outbox.move(message, outboxes.SENT, outboxes.SENDING)
        self._outbox.note_sent()
        for other in held:
            self._outbox.move(other, outboxes.SENT)
        self._failures, self._problem = 0, ""
        return 0.0

    def _not_sent(self, message: Message, error: NotSentError) -> float:
        self._problem = str(error)
        if not error.unclear and not message.repeated:  # certainly not there: no repetition
            self._outbox.move(message, outboxes.TODO, outboxes.SENDING)
        if error.retry_after is None:
            self._gave_up = True
            return 0.0
        self._failures += 1
        wait = max(error.retry_after, min(MOST_BACKOFF, 2.0 ** (self._failures - 1)))
        if error.retry_after > 1.0:
            self._outbox.note_wait(min(wait, outboxes.MOST_WAIT))
        return min(wait, outboxes.MOST_WAIT)
