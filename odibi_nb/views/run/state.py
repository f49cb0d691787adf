"""The current state of a run, from which live views are drawn. Events update it; other threads read it."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec.structs import replace as changed

from odibi_nb.core.model.check_result import PASSED
from odibi_nb.core.model.events import EventType, Progress, RunEvent
from odibi_nb.core.model.failure_place import place_in
from odibi_nb.core.protocols import View
from odibi_nb.core.runlog.unusual import unusual
from odibi_nb.core.text.clock import utc_now
from odibi_nb.core.text.json import decode_json
from odibi_nb.views.run.eta import Eta
from odibi_nb.views.run.row_change import change_lines, change_of
from odibi_nb.views.run.row_state import (
    _SUCCESS,
    AttemptState,
    RowState,
)
from odibi_nb.views.status_style import RETRYING

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping

    from odibi_nb.core.model.results import RunResult
    from odibi_nb.core.planning.plan import RunPlan
    from odibi_nb.core.runlog.unusual import Usual
    from odibi_nb.views.run.eta import ExpectedRun

LIVE = frozenset({"starting", "running"})
"""The statuses of a run that has not ended. `RunStatus` has the statuses of ended runs."""
MOST_QUEUED = 1_000
"""Largest number of events that wait for the next picture: they hold the payloads in memory."""


@dataclass(frozen=True, kw_only=True)
class RunSnapshot:
    """A run at one moment, with its *rows* in the plan's order.

    *retry_of* is the id of the run that this run retries, or "". *status* is "starting", "running", a
    `RunStatus` value, or "interrupted" if the run never reported its end. *cancel_level* is the level of the
    last request to cancel it. *seconds_left* is the estimated remaining time, or None without an
    estimate. *expected* is the forecast, or None unless most rows have a history.
    """

    project: str = ""
    env: str = ""
    run_id: str = ""
    retry_of: str = ""
    status: str = "starting"
    start: dt.datetime | None = None
    at: dt.datetime = field(default_factory=utc_now)
    rows: tuple[RowState, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds_left: float | None = None
    expected: ExpectedRun | None = None
    cancel_level: int = 0

    @property
    def live(self) -> bool:
        """Return True if the run has not ended."""
        return self.status in LIVE

    @property
    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return (self.at - self.start).total_seconds() if self.start else 0.0

    @cached_property
    def counts(self) -> Counter[str]:
        """Return the number of rows in each status."""
        return Counter([row.status for row in self.rows])


class RunState(View):
    """Collect events into a `RunSnapshot`. This view draws nothing.

    A run does not wait for its views: the run's thread only queues an event, and the next snapshot reads it.

    Attributes:
        usual: returns the usual time and rows by id, for `learn_usual`; None if nothing is known.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._events: deque[RunEvent] = deque()
        self._head = RunSnapshot()
        self._rows: dict[str, RowState] = {}
        self._plan: RunPlan | None = None
        self._eta: Eta | None = None
        self._running: set[str] = set()
        self._measures: dict[str, Callable[[], Progress | None]] = {}
        self._usual: Mapping[str, Usual] = {}
        self.usual: Callable[[], Mapping[str, Usual]] | None = None

    def on_plan(self, plan: RunPlan) -> None:
        """Start with every row of *plan* waiting."""
        with self._lock:
            self._plan, self._eta = plan, None
            self._events.clear()
            self._running, self._measures = set(), {}
            self._head = RunSnapshot(project=plan.project, env=plan.env)
            self._rows = {
                row.id: RowState(
                    id=row.id,
                    layer=row.layer,
                    function=row.transformation.qualified_function,
                    engine=row.engine,
                    why=row.why,
                )
                for row in plan.rows.values()
            }

    def on_event(self, event: RunEvent) -> None:
        self._events.append(event)
        if len(self._events) >= MOST_QUEUED:
            with self._lock:
                self._take_events()

    def _take_events(self) -> None:
        """Take over the queued events. Call it under the lock."""
        while self._events:
            event = self._events.popleft()
            payload = event.payload
            if event.type is EventType.RUN_START:
                self._head = replace(
                    self._head,
                    run_id=payload["run_id"],
                    retry_of=payload.get("retry_of") or "",
                    status="running",
                    start=payload["timestamp"],
                )
            elif event.type is EventType.RUN_END:
                self._head = replace(
                    self._head,
                    status=payload["status"],
                    at=payload["timestamp"],
                    warnings=tuple(payload["warnings"]),
                )
            elif event.type is EventType.RUN_CANCEL_REQUESTED:
                self._head = replace(self._head, cancel_level=payload["level"])
            elif "attempt" in payload:
                self._take(event)

    def _take(self, event: RunEvent) -> None:
        payload = event.payload
        name = payload["transformation_id"]
        row = self._rows[name]
        self._measures.pop(name, None)
        if event.type is EventType.TRANSFORM_START:
            self._rows[name] = _started(row, payload)
            self._running.add(name)
            if event.progress is not None:
                self._measures[name] = event.progress
            return
        row = _ended(row, payload)
        self._running.discard(name)
        if event.type is EventType.TRANSFORM_RETRY:
            row = changed(row, status=RETRYING)
        self._rows[name] = self._judged(row) if self._usual else row

    def update_progress(self) -> None:
        """Update the progress of running rows. A painter calls this before each update."""
        with self._lock:
            self._take_events()
            asked = [*self._measures.items()]
        # Not under the lock: each measurement takes milliseconds, and the run must not wait for it.
        found = [(name, measure, measure()) for name, measure in asked]
        with self._lock:
            for name, measure, progress in found:
                row = self._rows[name]
                bar = row.bars[-1]
                if self._measures.get(name) is measure and bar.progress != progress:
                    bars = (*row.bars[:-1], changed(bar, progress=progress))
                    self._rows[name] = changed(row, bars=bars)

    def learn_usual(self) -> None:
        """Read the usual durations and counts, to mark unusual rows from now on. Call it off the run's thread: it may take seconds."""
        if self.usual is not None:
            with contextlib.suppress(Exception):  # a log that cannot be read marks no rows
                found = self.usual()
                with self._lock:
                    self._usual = found
                    self._rows = {name: self._judged(row) for name, row in self._rows.items()}

    def _judged(self, row: RowState) -> RowState:
        """Return *row* with the unusual facts of its last attempt, if that attempt succeeded."""
        bar = row.bars[-1] if row.status == _SUCCESS and row.bars else None
        if bar is None or bar.end is None:
            return row
        seconds = (bar.end - bar.start).total_seconds()
        lines = unusual(self._usual.get(row.id), seconds, row.rows_out)
        return changed(row, unusual=lines) if lines else row

    def _judge_running(self, at: dt.datetime) -> None:
        """Mark the rows that have run unusually long at the time *at*. Call it under the lock."""
        for name in self._running if self._usual else ():
            row = self._rows[name]
            if not row.unusual:
                seconds = (at - row.bars[-1].start).total_seconds()
                lines = unusual(self._usual.get(name), seconds, None, running=True)
                if lines:
                    self._rows[name] = changed(row, unusual=lines)

    def give_up(self) -> bool:
        """Mark the run as interrupted because it will not report its end. Return True if it had not ended."""
        with self._lock:
            self._take_events()
            lost = self._head.live
            if lost:
                self._head = replace(self._head, status="interrupted", at=utc_now())
            return lost

    def on_output(self, transformation_id: str, line: str) -> None:
        pass

    def on_message(self, level: str, text: str) -> None:
        pass

    def snapshot(self) -> RunSnapshot:
        """Return the current state of the run."""
        eta = self._current_eta()
        with self._lock:
            self._take_events()
            head = self._head
            at = utc_now() if head.live else head.at
            if head.live:
                self._judge_running(at)
            rows = tuple(self._rows.values())
        left = None
        # Not under the lock: the estimate simulates the rest of the run, and the run must not wait for it.
        if eta is not None and head.start and head.status == "running":
            left = eta.seconds_left(rows, head.start, at)
        expected = None if eta is None else eta.expected
        return replace(head, at=at, rows=rows, seconds_left=left, expected=expected)

    def _current_eta(self) -> Eta | None:
        """Return the estimate of the current plan.

        The estimate is made here and not in `on_plan`, because it simulates the run, and a run does not
        wait for its views.
        """
        with self._lock:
            plan, eta = self._plan, self._eta
        if eta is None and plan is not None:
            eta = Eta(plan)
            with self._lock:
                if plan is self._plan:
                    self._eta = eta
        return eta


def _started(row: RowState, payload: dict[str, Any]) -> RowState:
    """Return *row* with a new attempt."""
    bar = AttemptState(number=payload["attempt"], start=payload["timestamp"])
    return changed(
        row,
        status=bar.status,
        attempt=bar.number,
        start=row.start or bar.start,
        end=None,
        unusual=(),
        why=payload["why"] or row.why,
        bars=(*row.bars, bar),
    )


def _duration(row: RowState, payload: dict[str, Any]) -> float | None:
    """Return the seconds from the start of the first attempt to the end, as in the result of the run.

    The monotonic clock measured the last attempt. The time before it comes from the times of the events.
    """
    if row.start is None:
        return None
    measured, end = payload.get("duration_seconds"), payload["end_time"]
    if measured is None or not row.bars or row.bars[-1].end is not None:
        return float((end - row.start).total_seconds())
    return float(measured + (row.bars[-1].start - row.start).total_seconds())


def _ended(row: RowState, payload: dict[str, Any]) -> RowState:
    """Return *row* with its open attempt ended. Without an open attempt, only the row ends."""
    facts, end, outputs = _outcome(payload), payload["end_time"], payload["outputs_written"]
    bars = row.bars
    if bars and bars[-1].end is None:
        last = AttemptState(
            number=bars[-1].number,
            start=payload["start_time"],
            end=end,
            checks=_broken(payload["checks"]),
            written=change_lines(outputs),
            **facts,
        )
        bars = (*bars[:-1], last)
    return changed(
        row,
        start=bars[0].start if bars else None,
        end=end,
        duration_seconds=_duration(row, payload),
        change=change_of(outputs),
        unusual=(),
        why=payload["why"],
        failed_at=place_in(payload.get("failed_at")),
        bars=bars,
        **facts,
    )


def _outcome(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outcome of an attempt from an event's payload or a run log record."""
    kind, message = facts["error_type"], facts["error_message"]
    return {
        "status": facts["status"],
        "error": f"{kind}: {message}" if kind else str(message or ""),
        "rows_in": facts["rows_in"],
        "rows_out": facts["rows_out"],
    }


def _broken(checks: list[dict[str, Any]]) -> tuple[str, ...]:
    """Describe the data checks that did not pass."""
    if not checks:
        return ()
    return tuple(
        f"{check['check']} {check['status']}: {check['message']}"
        for check in checks
        if check["status"] != PASSED
    )


def snapshot_of(result: RunResult) -> RunSnapshot:
    """Return the final snapshot of an ended run."""
    bars = _bars(result)
    return RunSnapshot(
        project=result.project,
        env=result.env,
        run_id=result.run_id,
        retry_of=result.retry_of or "",
        status=result.status.value,
        start=result.start_time,
        at=result.end_time,
        warnings=tuple(result.warnings),
        rows=tuple(
            RowState(
                id=t.transformation_id,
                layer=t.layer,
                function=f"{t.module}.{t.function}",
                engine=t.engine,
                status=t.status.value,
                attempt=t.attempts,
                start=t.start_time,
                end=t.end_time,
                duration_seconds=t.duration_seconds,
                rows_in=t.rows_in,
                rows_out=t.rows_out,
                error=t.reason,
                change=change_of(msgspec.to_builtins(t.outputs_written)),
                why=t.why,
                failed_at=t.failed_at,
                unusual=t.unusual,
                bars=tuple(bars.get(t.transformation_id, ())),
            )
            for t in result.transformations.values()
        ),
    )


def _bars(result: RunResult) -> dict[str, list[AttemptState]]:
    """Map ids to attempts from the run log's records. Rows that never started have no attempts."""
    bars: dict[str, list[AttemptState]] = {}
    for record in result.records:
        name, number = record["transformation_id"], record["attempt"]
        if 0 < number <= result.transformations[name].attempts:
            times = {"start": record["start_time"], "end": record["end_time"]}
            facts = _outcome(record) | {
                "checks": _broken(decode_json(record["checks"] or "[]")),
                "written": change_lines(decode_json(record["outputs_written"] or "[]")),
            }
            bars.setdefault(name, []).append(AttemptState(number=number, **times, **facts))
    return bars
