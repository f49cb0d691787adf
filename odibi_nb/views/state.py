"""A run as it stands: what live views are drawn from. Fed by events; asked from another thread."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from odibi_nb.core.decoding import utc_now
from odibi_nb.core.events import EventType, RunEvent, Status

if TYPE_CHECKING:
    import datetime as dt

    from odibi_nb.core.plan import RunPlan
    from odibi_nb.core.results import RunResult

WAITING, RETRYING = "WAITING", "RETRYING"
"""What a row is besides `Status`: not started yet; between two attempts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowState:
    """How one transformation stands; *status* is a `Status`' value, WAITING or RETRYING."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSnapshot:
    """A run at a moment; *rows* in the plan's order, *status* "running" until it has ended."""

    project: str = ""
    env: str = ""
    run_id: str = ""
    status: str = "starting"
    start: dt.datetime | None = None
    at: dt.datetime = field(default_factory=utc_now)
    rows: tuple[RowState, ...] = ()
    warnings: tuple[str, ...] = ()
    version: int = 0

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return (self.at - self.start).total_seconds() if self.start else 0.0

    def counts(self) -> Counter[str]:
        """How many rows are in which status."""
        return Counter(row.status for row in self.rows)


class RunState:
    """Collects events into a `RunSnapshot`; a view that only keeps the score.

    `version` grows with every change, so that a painter knows when there is nothing to paint.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._head = RunSnapshot()
        self._rows: dict[str, RowState] = {}
        self.version = 0

    def on_plan(self, plan: RunPlan) -> None:
        """Every row waits."""
        with self._lock:
            self._head = RunSnapshot(project=plan.project, env=plan.env)
            self._rows = {
                row.id: RowState(
                    id=row.id,
                    layer=row.layer,
                    function=row.transformation.qualified_function,
                    engine=row.engine,
                )
                for row in plan.rows.values()
            }
            self.version += 1

    def on_event(self, event: RunEvent) -> None:
        """Take one event into account."""
        payload = event.payload
        with self._lock:
            self.version += 1
            if event.type is EventType.RUN_START:
                self._head = replace(
                    self._head,
                    run_id=payload["run_id"],
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
            elif "attempt" in payload:
                self._take(event)

    def _take(self, event: RunEvent) -> None:
        payload = event.payload
        row = self._rows[payload["transformation_id"]]
        started = event.type is EventType.TRANSFORM_START
        if started:
            row = replace(
                row,
                status=Status.RUNNING.value,
                attempt=payload["attempt"],
                start=row.start or payload["timestamp"],
                end=None,
            )
        else:
            retrying = event.type is EventType.TRANSFORM_RETRY
            row = replace(
                row,
                status=RETRYING if retrying else payload["status"],
                end=payload["end_time"] if row.start else None,
                duration_seconds=(payload["end_time"] - row.start).total_seconds()
                if row.start
                else None,
                rows_in=payload["rows_in"],
                rows_out=payload["rows_out"],
                error=_error(payload),
            )
        self._rows[row.id] = row

    def on_output(self, transformation_id: str, line: str) -> None:
        """Output is not part of the score."""

    def on_message(self, level: str, text: str) -> None:
        """Messages are not part of the score."""

    def snapshot(self) -> RunSnapshot:
        """The run as it stands now."""
        with self._lock:
            at = self._head.at if self._head.status not in ("starting", "running") else utc_now()
            return replace(self._head, at=at, rows=tuple(self._rows.values()), version=self.version)


def _error(payload: dict[str, object]) -> str:
    kind, message = payload["error_type"], payload["error_message"]
    return f"{kind}: {message}" if kind else str(message or "")


def snapshot_of(result: RunResult) -> RunSnapshot:
    """A run that has ended, as its views saw it last."""
    return RunSnapshot(
        project=result.project,
        env=result.env,
        run_id=result.run_id,
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
                end=t.end_time if t.start_time else None,
                duration_seconds=t.duration_seconds,
                rows_in=t.rows_in,
                rows_out=t.rows_out,
                error=t.reason,
            )
            for t in result.transformations.values()
        ),
    )
