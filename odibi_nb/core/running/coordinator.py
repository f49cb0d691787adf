"""Run a plan: one coordinator owns all state, and workers only send it messages.

State
=====

Only the coordinator, the thread that called `TransformationRunner.run`, holds state. Workers and other
threads put messages on its inbox (see `inbox`). So one thread calls listeners, run log and views, in
order.

``_schedule``   rows that may start now, and rows that must wait for others
``_running``    {id: its running attempt}; ``_running_in`` {layer: number of running attempts}
``_waiting``    {id: due time of its retry}
``_starts``     {id: number of its starts, and the time of the first}
``_unwanted``   ids of rows that were cancelled before they started
``_finishing``  number of layers whose final work, such as caching, is in progress
``results``     {id: TransformationResult}: the rows that ended
``layers``      layers that have begun
``given_up``    attempts that ended for the run, but whose threads still run
``cancel_level``  number of requests to end the run, 0 to 3; ``_cancel_reason`` for the rows that it ends
``_stop_reason``  why no more rows start after a failure; "" while they may
``_deadline``   time at which the whole run has run too long; ``_next_poll`` time of the next look for requests
``_over``       the run waits for nothing more; ``_ended`` the run has its results

The states of a row::

    released ─► queued ─► running ─► ended
                  ▲          │
                  └─ waiting ◄┘   a failed attempt that is tried again

If an upstream row did not succeed, a released row is SKIPPED at once. A gate separates two layers. It
opens when all rows of the first layer have ended. With ``schedule="graph"`` no row waits for a layer's gate.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import queue
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from odibi_nb.core.model.check_result import BREACHES
from odibi_nb.core.model.events import DONE, EventType, Status
from odibi_nb.core.planning.schedule import Gate, Schedule
from odibi_nb.core.running.capture import CapturedLog
from odibi_nb.core.running.inbox import (
    CancelRequested,
    EventEmitted,
    LayerFinished,
    LineWritten,
    LogFlushed,
    Said,
    Warned,
)
from odibi_nb.core.running.layer_events import LayerEvents
from odibi_nb.core.running.worker import Attempt, AttemptEnded, WorkerPool, run_attempt
from odibi_nb.core.text.clock import utc_now
from odibi_nb.core.text.redaction import error_text
from odibi_nb.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from odibi_nb.core.model.attempt_facts import AttemptFacts
    from odibi_nb.core.model.results import TransformationResult
    from odibi_nb.core.planning.plan import PlannedRow, RunPlan
    from odibi_nb.core.planning.row_freshness import Freshness
    from odibi_nb.core.running.context import ExecutionContext
    from odibi_nb.core.running.event_bus import EventBus
    from odibi_nb.core.running.inbox import Message

TICK_SECONDS = 0.25
SLOWEST_POLL_SECONDS = 5.0
WAIT_PER_POLL = 30
"""Polls for cancels look at files. Where they take long, polls wait 30 times as long, at most 5 s."""
ABANDONED_TEXT = "abandoned: it did not end when it was cancelled"
DRAIN, STOP, ABANDON = 1, 2, 3
"""Levels of a cancel: start nothing new; revoke running attempts; wait for nothing."""
ENDS = {
    Status.SUCCESS: EventType.TRANSFORM_SUCCESS,
    Status.UNCHANGED: EventType.TRANSFORM_UNCHANGED,
    Status.FAILED: EventType.TRANSFORM_FAILURE,
    Status.ABANDONED: EventType.TRANSFORM_FAILURE,
    Status.SKIPPED: EventType.TRANSFORM_SKIPPED,
    Status.CANCELLED: EventType.TRANSFORM_CANCELLED,
}
"""The event with which a row ends, by its status."""


class Starts(msgspec.Struct, gc=False):
    """The starts of one row: their number, and the time and monotonic clock of the first."""

    time: dt.datetime
    clock: float
    attempts: int = 1


@dataclass(eq=False, repr=False, kw_only=True)
class TransformationRunner:
    """Coordinator of one run of a plan.

    Args:
        plan: a plan without problems.
        events: publishes the events.
        inbox: receives the messages of other threads.
        make_context: makes the context of a function, from its row and the attempt number.
        on_error: ``continue`` or ``stop``.
        timeout_seconds: timeout of the whole run; None without one.
        finish_layer: called on a worker when all rows of a layer have ended, before the next begins; None
            for no such work.
        poll_cancel: called a few times a second; returns cancel requests from elsewhere: ids, or ""
            for the whole run.
        poll_revoked: called as often; returns a reason to end the run and revoke its attempts, or "".
        code: called on a worker with a row and its ``config_hash``; returns the hash of the row's
            code, "" if it is unclear.
        look_again: called on a worker before a row that waits for new data; returns the verdict on it. None
            if all rows run.
    """

    plan: RunPlan
    events: EventBus
    inbox: queue.SimpleQueue[Message]
    make_context: Callable[[PlannedRow, int], ExecutionContext]
    on_error: str
    timeout_seconds: float | None
    finish_layer: Callable[[str], None] | None
    poll_cancel: Callable[[], list[str]]
    poll_revoked: Callable[[], str]
    code: Callable[[PlannedRow, str], str]
    look_again: Callable[[PlannedRow], Freshness] | None

    def __post_init__(self) -> None:
        plan = self.plan
        self.cancel_level = 0
        self.given_up: list[Attempt] = []
        self.layers = LayerEvents(plan, self.events)
        self.results: dict[str, TransformationResult] = {}
        self._pool = WorkerPool(plan.workers)
        self._schedule = Schedule(plan, gates=plan.schedule == "layers", limits=plan.layer_workers)
        self._running: dict[str, Attempt] = {}
        self._running_in = dict.fromkeys(plan.layers, 0)
        self._waiting: dict[str, float] = {}
        self._starts: dict[str, Starts] = {}
        self._unwanted: set[str] = set()
        self._finishing = 0
        self._releasing = False
        self._stop_reason = ""
        self._cancel_reason = "the run was cancelled"
        self._over = self._ended = False
        self._deadline = math.inf
        self._next_poll = 0.0

    def cancel(self, transformation_id: str | None = None) -> None:
        """Request the end of the run, or of one transformation, from any thread at any time.

        After the first request for a run, nothing new starts. The second revokes the running attempts,
        and the third abandons them. For one transformation, the first request revokes it, and the second
        abandons it.
        """
        self.inbox.put(CancelRequested(transformation_id))

    def run(self) -> dict[str, TransformationResult]:
        """Run all rows, and return their results in the plan's order. A failed row raises nothing."""
        self.read_waiting()  # a cancel that was requested before the run began counts, too
        if self.timeout_seconds is not None:
            self._deadline = time.monotonic() + self.timeout_seconds
        self._release()
        while len(self.results) < len(self.plan.rows) or self._finishing > 0:
            try:
                self._step()
            except KeyboardInterrupt:  # the next step reads it, and can be interrupted, too
                self.cancel()
        self._ended = True
        self._pool.close()
        return {name: self.results[name] for name in self.plan.rows}

    def _step(self) -> None:
        self._start_what_may()
        message = self._next_message(0)
        if message is None:
            self.events.journal.flush()
            message = self._next_message(self._patience())
        if message is not None:
            self._read(message)
        self._look_at_the_clock()

    def read_waiting(self) -> None:
        """Read the messages on the inbox. After the last row, events and warnings may still arrive."""
        while (message := self._next_message(0)) is not None:
            self._read(message)

    def _next_message(self, seconds: float) -> Message | None:
        """Return the next message; None if none arrives within *seconds*."""
        # In Python 3.10, get(timeout=…) may wait for ever if its time is over as soon as it begins. It
        # waits only once if a read without waiting has found the queue empty before.
        with contextlib.suppress(queue.Empty):
            return self.inbox.get_nowait()
        if seconds > 0:
            with contextlib.suppress(queue.Empty):
                return self.inbox.get(timeout=seconds)
        return None

    def _read(self, message: Message) -> None:
        """Act on *message*. This is the only method that reads messages."""
        match message:
            case AttemptEnded():
                self._attempt_ended(message)
            case LineWritten(name, line):
                self.events.output(name, line)
            case EventEmitted(event, payload):
                self.events.deliver(event, payload)
            case LogFlushed(sink, records):
                self.events.publish(EventType.LOG_FLUSHED, {"sink": sink, "records": records})
            case Said(level, text):
                self.events.say(level, text)
            case Warned(text):
                self.events.warn(text)
            case LayerFinished(gate) if not self._ended:
                self._finishing -= 1
                self._open(gate)
            case CancelRequested(name) if not self._ended:
                self._cancel_asked(name)

    # -- starting ------------------------------------------------------------------------------

    def _release(self) -> None:
        """Handle all rows and gates that wait for no others. The end of one may release more."""
        if self._releasing:
            return  # the loop below continues until nothing is released
        self._releasing = True
        while nodes := self._schedule.released():
            for node in nodes:
                if isinstance(node, Gate):
                    self._reach(node)
                else:
                    self._queue_or_end(self.plan.rows[node])
        self._releasing = False

    def _queue_or_end(self, row: PlannedRow) -> None:
        """Queue a row that waits for nothing more, or end it at once, because it must not start."""
        if row.id in self.results:
            return  # three cancels before the run began have ended the row
        for other in row.upstream:
            status = self.results[other].status
            if status not in DONE:
                self._never_start(row, Status.SKIPPED, f"upstream {other} {status.value.lower()}")
                return
        if self.cancel_level:
            self._never_start(row, Status.CANCELLED, self._cancel_reason)
        elif row.id in self._unwanted:
            self._never_start(row, Status.CANCELLED, "cancelled")
        elif self._stop_reason:
            self._never_start(row, Status.SKIPPED, self._stop_reason)
        else:
            self._schedule.queue(row)

    def _start_what_may(self) -> None:
        while len(self._running) < self.plan.workers:
            row = self._schedule.take(self._running_in)
            if row is None:
                return
            self._start(row)

    def _start(self, row: PlannedRow) -> None:
        self.layers.begin(row.layer)
        starts = self._starts.get(row.id)
        number = 1 if starts is None else starts.attempts + 1
        try:
            context = self.make_context(row, number)
        except Exception as exc:  # noqa: BLE001  a lost engine fails its rows, not the run
            self._never_start(row, Status.FAILED, f"could not be started: {error_text(exc)}")
            return
        now, started = utc_now(), time.monotonic()
        facts = row.facts(number, now)
        if row.freshness is not None:
            facts = msgspec.structs.replace(facts, why=self._why(row.freshness))
        attempt = Attempt(
            row=row,
            facts=facts,
            context=context,
            log=CapturedLog(lambda line: self.inbox.put(LineWritten(row.id, line))),
            started=started,
            deadline=started + (row.timeout_seconds or math.inf),
            code=self.code,
            look_again=self.look_again if number == 1 and self._may_be_unchanged(row) else None,
        )
        # Change all state before listeners and views get the event: the row runs whatever they do.
        if starts is None:
            self._starts[row.id] = Starts(time=now, clock=started)
        else:
            starts.attempts = number
        self._running[row.id] = attempt
        self._running_in[row.layer] += 1
        progress = attempt.context.control.progress
        self.events.publish_attempt(EventType.TRANSFORM_START, facts, progress=progress)
        self._pool.submit(lambda: self.inbox.put(run_attempt(attempt)))

    def _why(self, freshness: Freshness) -> str:
        """Return why a ``--stale`` run runs the row with *freshness*, now that its upstream rows have ended."""

        def ran(name: str) -> bool | None:
            result = self.results.get(name)
            return None if result is None else result.status is Status.SUCCESS

        return freshness.why_after(ran)

    def _may_be_unchanged(self, row: PlannedRow) -> bool:
        """Return True if *row* only needs to run if its upstream rows wrote new data for it.

        The changes of a row in ``depends_on`` cannot be seen, so the row always runs after such a row.
        """
        named = row.transformation.constants.get("depends_on") or ()
        names = {named} if isinstance(named, str) else {*named}
        ran = {name for name in row.upstream if self.results[name].status is Status.SUCCESS}
        return row.waits and not names & ran

    # -- layers --------------------------------------------------------------------------------

    def _reach(self, gate: Gate) -> None:
        """Finish the layer of *gate* on a worker if necessary, then open *gate*."""
        finish = self.finish_layer
        if (
            gate.part is not None
            or finish is None
            or self.cancel_level
            or gate.layer not in self.layers.begun
        ):
            self._open(gate)
            return
        self._finishing += 1

        def work() -> None:
            try:
                finish(gate.layer)
            except BaseException as exc:  # noqa: BLE001  an error here must not fail or hang a run
                self.inbox.put(Warned(f"after layer {gate.layer}: {error_text(exc)}"))
            self.inbox.put(LayerFinished(gate))

        self._pool.submit(work)

    def _open(self, gate: Gate) -> None:
        """Publish the end of the layer before *gate*, and release the rows behind it."""
        if gate.part is None:
            self.layers.end(gate.layer, self.results)
        self._schedule.done(gate)
        self._release()

    # -- ending --------------------------------------------------------------------------------

    def _attempt_ended(self, ended: AttemptEnded) -> None:
        attempt = ended.attempt
        if self._running.get(attempt.row.id) is not attempt:
            # The run gave this attempt up before. Now its thread has ended.
            self.given_up = [other for other in self.given_up if other is not attempt]
            return
        self._leave(attempt)
        control, error = attempt.context.control, ended.error
        if ended.confirmed is not None:
            self._finish(ended, Status.UNCHANGED)
        elif error is None and not control.heard:
            self._finish(ended, Status.SUCCESS)
        elif error is None or control.reason is not None:
            self._finish(ended, Status.CANCELLED, control.reason or "")
        elif not self.cancel_level and attempt.row.retry.allows(error, attempt.facts.attempt - 1):
            self._retry_later(ended)
        else:
            self._finish(ended, Status.FAILED)

    def _retry_later(self, ended: AttemptEnded) -> None:
        """Schedule a retry. The coordinator waits, so that the worker is free for another row."""
        row = ended.attempt.row
        delay = row.retry.delay(ended.attempt.facts.attempt, random.random())  # noqa: S311  not a secret
        self._waiting[row.id] = time.monotonic() + delay
        more = {"delay_seconds": delay, "max_retries": row.retry.max_retries}
        facts = ended.facts(Status.FAILED)
        self._publish_ended(EventType.TRANSFORM_RETRY, ended, facts, more)

    def _finish(self, ended: AttemptEnded, status: Status, reason: str = "") -> None:
        attempt, row = ended.attempt, ended.attempt.row
        facts = ended.facts(status, reason)
        starts = self._starts[row.id]
        self.results[row.id] = facts.result(
            attempts=facts.attempt,
            start_time=starts.time,
            duration_seconds=attempt.started + ended.duration_seconds - starts.clock,
            error=ended.error,
            traceback=ended.traceback,
            log=attempt.log.text(),
        )
        self._publish_ended(ENDS[status], ended, facts)
        for check in facts.checks:
            if check.status in BREACHES:
                self.events.warn(f"{row.id}: {check}")
        if status is Status.FAILED and self.on_error == "stop" and not self._stop_reason:
            self._stop_reason = f"the run stopped after {row.id} failed"
            self._clear_queue(Status.SKIPPED, self._stop_reason)
        self._pass_on(row)

    def _publish_ended(
        self,
        event: EventType,
        ended: AttemptEnded,
        facts: AttemptFacts,
        more: Mapping[str, object] | None = None,
    ) -> None:
        private = {"log": ended.attempt.log.text(), "traceback": ended.traceback}
        private = {name: text for name, text in private.items() if text}
        self.events.publish_attempt(event, facts, more=more, private=private)

    def _never_start(self, row: PlannedRow, status: Status, reason: str) -> None:
        """End a row that will not start, or will not start again."""
        starts, now = self._starts.get(row.id), utc_now()
        attempts = 0 if starts is None else starts.attempts
        self._waiting.pop(row.id, None)
        facts = msgspec.structs.replace(
            row.facts(attempts + 1 if attempts else 0, now),
            status=status,
            started=False,
            end_time=now,
            duration_seconds=0.0,
            error_message=reason,
            reason=reason,
        )
        self.results[row.id] = facts.result(
            attempts=attempts,
            start_time=None if starts is None else starts.time,
            duration_seconds=None if starts is None else time.monotonic() - starts.clock,
        )
        self.events.publish_attempt(ENDS[status], facts)
        self._pass_on(row)

    def _leave(self, attempt: Attempt) -> None:
        """Note that *attempt* does not run any more, for this run."""
        del self._running[attempt.row.id]
        self._running_in[attempt.row.layer] -= 1

    def _pass_on(self, row: PlannedRow) -> None:
        """Release the rows that have waited for *row*, which has ended."""
        if not self._over:
            self._schedule.done(row.id)
            self._release()

    # -- time and cancel -----------------------------------------------------------------------

    def _patience(self) -> float:
        """Return the seconds until the next retry or timeout; at most one tick."""
        dues = [*self._waiting.values(), *(a.deadline for a in self._running.values())]
        dues.append(math.inf if self._over else self._deadline)
        return max(0.0, min(TICK_SECONDS, min(dues) - time.monotonic()))

    def _look_at_the_clock(self) -> None:
        now = time.monotonic()
        for attempt in [*self._running.values()]:
            if attempt.deadline <= now:
                self._time_out(attempt)
        for name in [name for name, due in self._waiting.items() if due <= now]:
            del self._waiting[name]
            self._schedule.queue(self.plan.rows[name])
        if self._deadline <= now and not self._over:
            reason = f"the run ran longer than run_timeout_seconds={self.timeout_seconds:g}"
            self.events.say("WARNING", f"⏱️ {reason}")
            self._end_at_once(Status.FAILED, TimeoutError(reason), Status.SKIPPED, reason)
        if now >= self._next_poll:
            begun = time.monotonic()
            asked, reason = self.poll_cancel(), self.poll_revoked()
            wait = WAIT_PER_POLL * (time.monotonic() - begun)
            self._next_poll = begun + min(SLOWEST_POLL_SECONDS, max(TICK_SECONDS, wait))
            for name in asked:
                self._cancel_asked(name or None)
            if reason:
                self._cancel_reason = reason
                self.cancel_level = max(self.cancel_level, DRAIN)
                self._cancel_run()

    def _time_out(self, attempt: Attempt) -> None:
        if attempt.context.control.reason is not None:
            self._abandon(attempt)
            return
        seconds = attempt.row.timeout_seconds
        ended = self._give_up(attempt, TimeoutError(f"ran longer than timeout_seconds={seconds:g}"))
        if not self.cancel_level and attempt.row.retry.allows_after_timeout(
            attempt.facts.attempt - 1
        ):
            self._retry_later(ended)
        else:
            self._finish(ended, Status.FAILED)

    def _abandon(self, attempt: Attempt) -> None:
        """End a row whose attempt was revoked and still runs."""
        error = InterruptedError(ABANDONED_TEXT)
        self._finish(self._give_up(attempt, error), Status.ABANDONED)

    def _give_up(self, attempt: Attempt, error: BaseException) -> AttemptEnded:
        """Stop waiting for an attempt whose thread still runs. New I/O through its context fails."""
        attempt.context.control.revoke(str(error))
        self.given_up.append(attempt)
        self._pool.give_up_one()
        self._leave(attempt)
        duration = time.monotonic() - attempt.started
        return AttemptEnded(
            attempt=attempt, end_time=utc_now(), duration_seconds=duration, error=error
        )

    def _cancel_asked(self, name: str | None) -> None:
        if name is None:
            self._cancel_run()
        elif name in self._running:
            self._cancel_attempt(self._running[name])
        elif name in self.results:
            status = self.results[name].status.value
            self.events.say("WARNING", f"⏹ {name} cannot be cancelled: it has ended, {status}")
        elif name not in self.plan.rows:
            hint = did_you_mean(name, self.plan.rows)
            self.events.say(
                "WARNING", f"⏹ cannot cancel: this run has no transformation {name!r}{hint}"
            )
        else:
            row = self.plan.rows[name]
            self._unwanted.add(name)
            if self._schedule.withdraw(row) or name in self._waiting:
                self._never_start(row, Status.CANCELLED, "cancelled")

    def _cancel_attempt(self, attempt: Attempt) -> None:
        """Revoke the attempt; the second time, abandon it."""
        if attempt.context.control.reason is not None:
            self._abandon(attempt)
            return
        attempt.context.control.revoke("cancelled")
        self.events.say("WARNING", f"⏹ Cancelling {attempt.row.id}; cancel again to abandon it")

    def _cancel_run(self) -> None:
        self.cancel_level = min(ABANDON, self.cancel_level + 1)
        if self.cancel_level >= STOP:  # before listeners, which may be slow
            for attempt in self._running.values():
                attempt.context.control.revoke(self._cancel_reason)
        request = {
            "level": self.cancel_level,
            "running": len(self._running),
            "reason": self._cancel_reason,
        }
        self.events.publish(EventType.RUN_CANCEL_REQUESTED, request)
        messages = {
            DRAIN: f"🛑 Cancelling: nothing new starts, {len(self._running)} running",
            STOP: "🛑 Cancelling running rows; cancel again to abandon them",
            ABANDON: "🛑 Abandoning running rows",
        }
        self.events.say("WARNING", messages[self.cancel_level])
        self._clear_queue(Status.CANCELLED, self._cancel_reason)
        if self.cancel_level >= ABANDON:
            error = InterruptedError(ABANDONED_TEXT)
            self._end_at_once(Status.ABANDONED, error, Status.CANCELLED, self._cancel_reason)

    def _end_at_once(
        self, running: Status, error: BaseException, others: Status, reason: str
    ) -> None:
        """End all rows at once: running rows with the status *running*, the rest with *others*."""
        self._over = True
        for attempt in [*self._running.values()]:
            self._finish(self._give_up(attempt, error), running)
        self._finishing = 0
        for name, row in self.plan.rows.items():
            if name not in self.results:
                self._never_start(row, others, reason)
        self.layers.end_all(self.results)

    def _clear_queue(self, status: Status, reason: str) -> None:
        waiting = [self.plan.rows[name] for name in self._waiting]
        for row in [*self._schedule.withdraw_all(), *waiting]:
            self._never_start(row, status, reason)
