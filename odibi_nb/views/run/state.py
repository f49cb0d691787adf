"""The current state of a run, from which live views are drawn. Events update it; other threads read it."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from odibi_nb.core.model.check_result import PASSED
from odibi_nb.core.model.events import EventType, RunEvent, Status
from odibi_nb.core.model.failure_place import place_in
from odibi_nb.core.protocols import View
from odibi_nb.core.runlog.unusual import unusual
from odibi_nb.core.text.clock import utc_now
from odibi_nb.core.text.json import decode_json
from odibi_nb.views.run.eta import Eta
from odibi_nb.views.run.row_change import change_lines, change_of
from odibi_nb.views.status_style import RETRYING, WAITING

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable, Mapping

    from odibi_nb.core.model.events import Progress
    from odibi_nb.core.model.failure_place import FailurePlace
    from odibi_nb.core.model.results import RunResult
    from odibi_nb.core.planning.plan import RunPlan
    from odibi_nb.core.runlog.unusual import Usual
    from odibi_nb.views.run.eta import ExpectedRun

WARNING_SIGN = "⚠"
LIVE = frozenset({"starting", "running"})
"""The statuses of a run that has not ended. `RunStatus` has the statuses of ended runs."""
_UNSTARTED = frozenset({Status.SKIPPED.value, Status.CANCELLED.value})
"""The statuses with which a row can end while it waits for its first or next attempt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptState:
    """One attempt. *end* is None while it runs. *status* is a `Status` value.

    *checks* describe the data checks that did not pass. *progress* is the progress of a running attempt, if
    its engine reports it. *written* has a line for each table that it wrote.
    """

    number: int
    start: dt.datetime
    end: dt.datetime | None = None
    status: str = Status.RUNNING.value
    error: str = ""
    rows_in: int | None = None
    rows_out: int | None = None
    written: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    progress: Progress | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowState:
    """The state of one transformation. *status* is a `Status` value, WAITING or RETRYING.

    *bars* are its attempts, oldest first. *end* is the time at which the row ended, even if it never started.
    *change* are the rows that its last attempt added, changed and removed. *why* is the reason why a
    ``--stale`` run has the row, or why the row ended UNCHANGED; "" in other runs. *unusual* are lines about a
    last attempt that takes much longer, or wrote far fewer rows, than in the last runs. *failed_at* is the line
    of the user's code at which its last attempt failed, if it did.
    """

    id: str
    layer: str
    function: str
    engine: str
    status: str = WAITING
    attempt: int = 0
    start: dt.datetime | None = None
    end: dt.datetime | None = None
    duration_seconds: float | None = None
    rows_in: int | None = None
    rows_out: int | None = None
    error: str = ""
    change: str = ""
    why: str = ""
    unusual: tuple[str, ...] = ()
    failed_at: FailurePlace | None = None
    bars: tuple[AttemptState, ...] = ()

    @property
    def findings(self) -> tuple[str, ...]:
        """Return the lines about the last attempt that need attention: broken checks and unusual facts."""
        return (*(self.bars[-1].checks if self.bars else ()), *self.unusual)

    @property
    def sign(self) -> str:
        """Return a warning sign for the name of a row with `findings`, else ""."""
        return WARNING_SIGN if self.findings else ""

    def waits(self, now: dt.datetime) -> list[tuple[dt.datetime, dt.datetime]]:
        """Return begin and end of each wait for a next attempt. A wait that is not over ends *now*."""
        ends = [bar.start for bar in self.bars[1:]]
        if self.status == RETRYING:
            ends.append(now)
        elif self.bars and self.status in _UNSTARTED and self.end is not None:
            ends.append(self.end)
        pairs = zip((bar.end for bar in self.bars), ends, strict=False)
        return [(begin, end) for begin, end in pairs if begin is not None and begin < end]


@dataclass(frozen=True, slots=True, kw_only=True)
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
    version: int = 0
    cancel_level: int = 0

    @property
    def live(self) -> bool:
        """Return True if the run has not ended."""
        return self.status in LIVE

    @property
    def elapsed(self) -> float:
        """Return the seconds since the start."""
        return (self.at - self.start).total_seconds() if self.start else 0.0

    def counts(self) -> Counter[str]:
        """Return the number of rows in each status."""
        return Counter(row.status for row in self.rows)


class RunState(View):
    """Collect events into a `RunSnapshot`. This view draws nothing.

    `version` grows with every change, so that a painter can skip updates without one.

    Attributes:
        usual: returns the usual time and rows by id, for `learn_usual`; None if nothing is known.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._head = RunSnapshot()
        self._rows: dict[str, RowState] = {}
        self._plan: RunPlan | None = None
        self._eta: Eta | None = None
        self._measures: dict[str, Callable[[], Progress | None]] = {}
        self._usual: Mapping[str, Usual] = {}
        self._judged: dict[str, tuple[RowState, RowState]] = {}
        self.usual: Callable[[], Mapping[str, Usual]] | None = None
        self.version = 0

    def on_plan(self, plan: RunPlan) -> None:
        """Start with every row of *plan* waiting."""
        with self._lock:
            self._plan, self._eta = plan, None
            self._measures, self._judged = {}, {}
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
            self.version += 1

    def on_event(self, event: RunEvent) -> None:
        payload = event.payload
        with self._lock:
            self.version += 1
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
        row = self._rows[payload["transformation_id"]]
        change = _started if event.type is EventType.TRANSFORM_START else _ended
        row = change(row, payload)
        if event.type is EventType.TRANSFORM_RETRY:
            row = replace(row, status=RETRYING)
        self._rows[row.id] = row
        self._measures.pop(row.id, None)
        if event.progress is not None:
            self._measures[row.id] = event.progress

    def update_progress(self) -> None:
        """Update the progress of running rows. A painter calls this before each update."""
        with self._lock:
            asked = [*self._measures.items()]
        # Not under the lock: each measurement takes milliseconds, and the run must not wait for it.
        found = [(name, measure, measure()) for name, measure in asked]
        with self._lock:
            for name, measure, progress in found:
                row = self._rows[name]
                bar = row.bars[-1]
                if self._measures.get(name) is measure and bar.progress != progress:
                    bars = (*row.bars[:-1], replace(bar, progress=progress))
                    self._rows[name] = replace(row, bars=bars)
                    self.version += 1

    def learn_usual(self) -> None:
        """Read the usual durations and counts, to mark unusual rows from now on. Call it off the run's thread: it may take seconds."""
        if self.usual is not None:
            with contextlib.suppress(Exception):  # a log that cannot be read marks no rows
                found = self.usual()
                with self._lock:
                    self._usual = found
                    self.version += 1

    def judged(self, rows: Iterable[RowState], at: dt.datetime) -> tuple[RowState, ...]:
        """Return *rows*, each with its unusual facts at the time *at*."""
        usual = self._usual
        if not usual:
            return tuple(rows)
        return tuple([self._judge(row, usual.get(row.id), at) for row in rows])

    def _judge(self, row: RowState, usual: Usual | None, at: dt.datetime) -> RowState:
        if usual is None or not row.bars:
            return row
        bar = row.bars[-1]
        if bar.end is None:
            lines = unusual(usual, (at - bar.start).total_seconds(), None, running=True)
            return replace(row, unusual=lines) if lines else row
        if row.status != Status.SUCCESS.value:
            return row
        known, with_lines = self._judged.get(row.id, (None, row))
        if known is not row:
            lines = unusual(usual, (bar.end - bar.start).total_seconds(), row.rows_out)
            with_lines = replace(row, unusual=lines) if lines else row
            self._judged[row.id] = row, with_lines
        return with_lines

    def give_up(self) -> bool:
        """Mark the run as interrupted because it will not report its end. Return True if it had not ended."""
        with self._lock:
            lost = self._head.live
            if lost:
                self.version += 1
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
            head, version = self._head, self.version
            rows = tuple(self._rows.values())
        # Not under the lock: the estimate simulates the rest of the run, and the run must not wait for it.
        at, left = utc_now() if head.live else head.at, None
        if eta is not None and head.start and head.status == "running":
            left = eta.seconds_left(rows, head.start, at)
        return replace(
            head,
            at=at,
            rows=self.judged(rows, at),
            seconds_left=left,
            expected=None if eta is None else eta.expected,
            version=version,
        )

    def _current_eta(self) -> Eta | None:
        """Return the estimate of the current plan.

        It is made here and not in `on_plan`: it simulates the run, and a run does not wait for its views.
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
    return replace(
        row,
        status=bar.status,
        attempt=bar.number,
        start=row.start or bar.start,
        end=None,
        why=payload["why"] or row.why,
        bars=(*row.bars, bar),
    )


def _ended(row: RowState, payload: dict[str, Any]) -> RowState:
    """Return *row* with its open attempt ended. Without an open attempt, only the row ends."""
    facts = _outcome(payload)
    bars = row.bars
    if bars and bars[-1].end is None:
        written = change_lines(payload["outputs_written"])
        last = replace(bars[-1], checks=_broken(payload["checks"]), written=written, progress=None)
        times = {"start": payload["start_time"], "end": payload["end_time"]}
        bars = (*bars[:-1], replace(last, **times, **facts))
    return replace(
        row,
        start=bars[0].start if bars else None,
        end=payload["end_time"],
        duration_seconds=(payload["end_time"] - row.start).total_seconds() if row.start else None,
        change=change_of(payload["outputs_written"]),
        why=payload["why"],
        failed_at=place_in(payload.get("failed_at")),
        bars=bars,
        **facts,
    )


def _outcome(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outcome of an attempt from an event's payload or a run log record."""
    return {
        "status": facts["status"],
        "error": _error(facts),
        "rows_in": facts["rows_in"],
        "rows_out": facts["rows_out"],
    }


def _error(payload: Mapping[str, Any]) -> str:
    kind, message = payload["error_type"], payload["error_message"]
    return f"{kind}: {message}" if kind else str(message or "")


def _broken(checks: list[dict[str, Any]]) -> tuple[str, ...]:
    """Describe the data checks that did not pass."""
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
