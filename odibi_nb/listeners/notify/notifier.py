"""The notifier of a project: from events of runs to messages in outboxes, and from there to channels."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.events import EventType, Status
from odibi_nb.core.runlog.recovery import died
from odibi_nb.listeners.notify.letter import Letter
from odibi_nb.listeners.notify.notice import NoticeWriter
from odibi_nb.listeners.notify.outbox import Outbox
from odibi_nb.listeners.notify.sending import NotSentError, send
from odibi_nb.listeners.notify.worker import ChannelWorker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odibi_nb.core.model.events import RunEvent
    from odibi_nb.core.planning.plan import RunPlan
    from odibi_nb.core.protocols import Place, Row
    from odibi_nb.listeners.notify.notice import Notice

PATIENCE_SECONDS = 5.0
"""Longest time that a finished run waits for its last messages."""


class RunNotifier:
    """A view of runs that writes messages for the channels of *place*, and sends them.

    The run never waits for a receiver. After its end, `finish` waits a short time, because a process may
    end with the run. The next start sends the messages that are still in the outbox then.
    """

    def __init__(self, place: Place) -> None:
        self._write = NoticeWriter(place)
        self._channels = place.config.notify
        where = (place.state_dir, place.manifest.project, place.env)
        self.outboxes = {
            name: Outbox(*where, name, channel) for name, channel in self._channels.items()
        }
        self._workers = {
            name: ChannelWorker(self.outboxes[name], channel)
            for name, channel in self._channels.items()
        }
        self._failed: list[dict[str, Any]] = []
        self._problems: dict[str, None] = {}

    # -- a view of a run -----------------------------------------------------------------------

    def on_plan(self, plan: RunPlan) -> None:
        """Forget the failed rows of the previous run."""
        del plan
        self._failed.clear()

    def on_event(self, event: RunEvent) -> None:
        """Write the message about *event*, if the event has one."""
        payload = event.payload
        run_id = str(payload.get("run_id"))
        if event.type is EventType.TRANSFORM_FAILURE:
            self._failed.append(payload)
            self._put(self._write.row_failed(run_id, payload))
        elif event.type is EventType.RUN_END:
            ended = payload["status"], payload["counts"], self._failed
            self._put(self._write.run_ended(run_id, *ended))

    def on_output(self, transformation_id: str, line: str) -> None:
        """Ignore the output of transformations."""

    def on_message(self, level: str, text: str) -> None:
        """Ignore lines that are not events."""

    # -- other starts --------------------------------------------------------------------------

    def on_dead_run(self, run: Row, records: Sequence[Row]) -> None:
        """Write the messages that a dead run has not written, from its journal.

        If another machine ran it, its outbox is not here, and its messages about rows may have been sent.
        Then only the message about the run is written, which names the failed rows.
        """
        run_id = str(run["run_id"])
        last = {record["transformation_id"]: record for record in records}
        failed = [r for r in last.values() if r["status"] == Status.FAILED.value]
        if all(outbox.is_here(run_id) for outbox in self.outboxes.values()):
            for record in failed:
                self._put(self._write.row_failed(run_id, record))
        if died(run):
            self._put(self._write.run_abandoned(run_id, records))
            return
        counts = Counter(record["status"] for record in last.values())
        self._put(self._write.run_ended(run_id, run["status"], counts, failed))

    def deliver(self) -> None:
        """Send in the background what waits in the outboxes."""
        for name, outbox in self.outboxes.items():
            if outbox.waiting():
                self._workers[name].wake()

    def finish(self) -> list[str]:
        """Wait at most `PATIENCE_SECONDS` for the messages, and return warnings."""
        found = self.finish_by_channel(PATIENCE_SECONDS).values()
        return [*self._problems, *(text for text in found if text)]

    def finish_by_channel(self, patience: float) -> dict[str, str]:
        """Do the same as `finish` for at most *patience* seconds, and return each channel's warning, or ""."""
        deadline = time.monotonic() + patience
        found = dict.fromkeys(self._workers, "")
        for name, worker in self._workers.items():
            try:
                found[name] = worker.finish(deadline)
            except OSError as exc:
                found[name] = f"notify: {exc}"
            except KeyboardInterrupt:  # the user does not want to wait
                deadline = 0.0
        return found

    def test(self, name: str) -> str:
        """Send a test message to channel *name* at once, and return the reason if that failed."""
        letter = Letter(notice=self._write.test(), key=f"test-{time.time_ns():x}")
        try:
            send(self._channels[name], letter, lambda: True)
        except NotSentError as exc:
            return str(exc)
        return ""

    def _put(self, notice: Notice) -> None:
        """Write *notice* to the outbox of each channel that reports its event."""
        for name, channel in self._channels.items():
            events = {notice.event}
            if notice.event in {"run_failed", "run_abandoned"}:
                events.add("run_finished")
            if not events & set(channel.on):
                continue
            try:
                self.outboxes[name].put(notice)
            except (OSError, ValueError) as exc:  # ValueError: text that no file can hold
                self._problems[f"notify: a message to {name!r} was not written: {exc}"] = None
                continue
            with contextlib.suppress(RuntimeError):  # no thread can start at the interpreter's end
                self._workers[name].wake()
