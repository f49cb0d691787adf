"""The event bus of a run: each event goes to the journal first, then to run log, hooks and views."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.events import EventType, RunEvent, Status
from odibi_nb.core.runlog.journal import OUTPUT
from odibi_nb.core.runlog.record import make_record
from odibi_nb.core.text.clock import utc_now
from odibi_nb.core.text.redaction import error_text

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from odibi_nb.core.model.attempt_facts import AttemptFacts
    from odibi_nb.core.model.events import Progress
    from odibi_nb.core.protocols import Row, View
    from odibi_nb.core.runlog.journal import Journal
    from odibi_nb.core.runlog.writer import RunLogWriter
    from odibi_nb.core.running.hooks import HookManager, Listener


@dataclass(kw_only=True)
class GuardedViews:
    """Views that cannot fail the run. The first exception of each becomes a warning.

    Attributes:
        warnings: the warnings of the run, in order.
    """

    views: Sequence[View] = ()
    warnings: list[str] = field(default_factory=list)
    _raised: list[object] = field(default_factory=list, init=False, repr=False)

    def say(self, level: str, text: str) -> None:
        """Show a line that is not an event. *level* is the name of a logging level."""
        self.tell(lambda view: view.on_message(level, text))

    def tell(self, call: Callable[[View], object]) -> None:
        """Call a method of each view, and turn its exception into a warning. A view never fails a run."""
        for view in self.views:
            try:
                call(view)
            except BaseException as exc:  # noqa: BLE001  see above
                if self._first_time(view):
                    self.warnings.append(f"view {type(view).__name__} raised {error_text(exc)}")

    def _first_time(self, who: object) -> bool:
        """Return True if *who* raises for the first time in this run."""
        if any(one is who for one in self._raised):
            return False
        self._raised.append(who)
        return True


@dataclass(kw_only=True)
class EventBus(GuardedViews):
    """Publisher of a run's events, for the coordinator's thread only.

    Listeners and views cannot change the run. The first exception of each becomes a warning.

    Attributes:
        facts: the part of the payload that all events share: run_id, project, env, engine.
        run_log: the writer of the run log, from before the first event.
        records: the run log's records so far.
    """

    facts: dict[str, Any]
    hooks: HookManager
    journal: Journal
    run_log: RunLogWriter = field(init=False)
    records: list[Row] = field(default_factory=list)

    def publish(
        self,
        event: EventType,
        facts: dict[str, Any],
        *,
        record: Row | None = None,
        private: Mapping[str, Any] | None = None,
        progress: Callable[[], Progress | None] | None = None,
    ) -> None:
        """Write *event* to the journal, add its *record* to the run log, then call hooks and views.

        Args:
            event: the type of the event.
            facts: added to the payload; may set `layer` and `engine`.
            record: the run log record of an attempt that ended.
            private: further facts for the journal alone: captured log, traceback.
            progress: returns the progress of the attempt that has started, for views.
        """
        payload = {
            "event": event.value,
            **self.facts,
            "layer": None,
            "timestamp": utc_now(),
            **facts,
        }
        line = payload if record is None and private is None else {**payload, **(private or {})}
        self.journal.append(line if record is None else {**line, "record": record})
        if self.journal.error:
            self.warn(f"the journal is incomplete: {self.journal.error}")
        if record is not None:
            self.records.append(record)
            self.run_log.add(record)
        self.hooks.emit(event.value, payload, self._listener_raised)
        happened = RunEvent(type=event, payload=payload, progress=progress)
        self.tell(lambda view: view.on_event(happened))

    def publish_attempt(
        self,
        event: EventType,
        facts: AttemptFacts,
        *,
        more: Mapping[str, Any] | None = None,
        private: Mapping[str, Any] | None = None,
        progress: Callable[[], Progress | None] | None = None,
    ) -> None:
        """Publish an *event* of an attempt, with its run log record if the attempt has ended.

        *more* is the rest of the event's payload. For *private* and *progress* see `publish`.
        """
        payload = facts.payload(event)
        record = None
        if facts.status is not Status.RUNNING:
            hashes = {"config_hash": facts.config_hash, "code_hash": facts.code_hash}
            record = make_record({**self.facts, **payload, **hashes})
        if more:
            payload.update(more)
        self.publish(event, payload, record=record, private=private, progress=progress)

    def deliver(self, event: str, payload: dict[str, Any]) -> None:
        """Call listeners for an *event* that a transformation has emitted."""
        self.hooks.emit(event, payload, self._listener_raised)

    def output(self, transformation_id: str, line: str) -> None:
        """Show a *line* that a transformation printed, and add it to the next write of the journal."""
        printed = {"event": OUTPUT, "transformation_id": transformation_id, "line": line}
        self.journal.hold(printed)
        self.tell(lambda view: view.on_output(transformation_id, line))

    def warn(self, text: str) -> None:
        """Add a warning to the run, once, and show it."""
        if text not in self.warnings:
            self.warnings.append(text)
            self.say("WARNING", f"⚠️ {text}")

    def _listener_raised(self, listener: Listener, exc: BaseException) -> None:
        if self._first_time(listener):
            where = f"listener {listener.name} on {listener.event!r}"
            self.warn(f"{where} raised {error_text(exc)}")
