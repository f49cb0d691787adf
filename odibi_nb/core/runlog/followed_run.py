"""Follow a run of this or another process through its journal, with the views of a live run."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.events import EventType, RunEvent, Status
from odibi_nb.core.model.retry import RetryPolicy
from odibi_nb.core.model.transformation import Transformation
from odibi_nb.core.planning.forecast import SCHEDULES
from odibi_nb.core.planning.plan import PlannedRow, RunPlan
from odibi_nb.core.runlog.journal import OUTPUT, live_runs, read_mark, read_on, request_cancel
from odibi_nb.core.runlog.journal_lines import PLANNED, read_line
from odibi_nb.core.runlog.past_run import past_run_in
from odibi_nb.core.runlog.recovery import journaled_run, journaled_states
from odibi_nb.core.text.clock import as_time
from odibi_nb.core.text.counts import counted

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from odibi_nb.core.protocols import Row, View
    from odibi_nb.core.runlog.past_run import PastRun
    from odibi_nb.core.runlog.unusual import Usual

READ_SECONDS = 0.25
"""Seconds between two looks at the journal."""
LIFE_SECONDS = 2.0
"""Seconds between two looks for the process of a run that writes nothing."""
INTERRUPTED = "interrupted"
"""The status of a run whose process has died."""
MOST_HELD = 1_000
"""Lines before the plan's line. A journal has one; more means that the plan's line is damaged."""
_TIMES = ("timestamp", "start_time", "end_time")
_LISTS = ("checks", "outputs_written")
_ATTEMPT = {
    "error_type": None,
    "error_message": None,
    "rows_in": None,
    "rows_out": None,
    "plant": None,
    "asset": None,
    "why": "",
    "max_retries": 0,
    "delay_seconds": 0.0,
}
"""Values of an attempt's payload that an older version's journal may lack."""
_TYPES = {one.value: one for one in EventType}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunGoingOn:
    """A run in progress, and its counts.

    Attributes:
        states: the status of each row, with ``WAITING`` for a row that has not started.
        start: the time of its first event; None before that.
    """

    folder: Path
    project: str
    env: str
    start: dt.datetime | None
    states: dict[str, str]

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self.folder.name

    def progress(self) -> str:
        """Return the counts of its rows: ``3 of 8 rows ended, 2 running, 1 failed``."""
        if not self.states:
            return "it plans"
        found = [*self.states.values()]
        running, failed = found.count(Status.RUNNING.value), found.count(Status.FAILED.value)
        ended = len(found) - running - found.count("WAITING")
        parts = [f"{ended:,} of {counted(len(found), 'row')} ended"]
        parts += [f"{running:,} running"] if running else []
        parts += [f"{failed:,} failed"] if failed else []
        return ", ".join(parts)


def runs_going_on(state_dir: Path, project: str = "", env: str = "") -> list[RunGoingOn]:
    """Return the runs in progress, oldest first; only of *project* and *env* if they are given."""
    found = [going_on(folder) for folder in live_runs(state_dir)]
    return [run for run in found if project in ("", run.project) and env in ("", run.env)]


def going_on(folder: Path) -> RunGoingOn:
    """Return the progress of the run in *folder*, which is still in progress."""
    mark = read_mark(folder)
    run, _, lines, _ = journaled_run(folder)
    return RunGoingOn(
        folder=folder,
        project=mark.project,
        env=mark.env,
        start=run.get("start_time") if lines else None,
        states=journaled_states(folder),
    )


class FollowedRun:
    """A run that is read from its journal and shown by views.

    Each call of `read` passes on the lines that the journal has gained since the last call, without damaged ones.

    Args:
        folder: the folder of the run, with its journal.

    Attributes:
        status: the status with which the run ended; "" before.
        every: seconds between two looks.
        lives_every: seconds between two looks for the process of a run that writes nothing.
        usual: returns the usual time and rows by id, for views that mark unusual rows; None if they are unknown.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.status = ""
        self.usual: Callable[[], Mapping[str, Usual]] | None = None
        self.every, self.lives_every = READ_SECONDS, LIFE_SECONDS
        self.project = self.env = ""
        self._views: list[View] = []
        self._at = 0
        self._held: list[Row] = []
        self._plan: RunPlan | None = None

    def show_in(self, view: View) -> None:
        """Give *view* the plan, the events and the output of the run. Call it before the first `read`."""
        self._views.append(view)

    @property
    def run_id(self) -> str:
        """The id of the run."""
        return self.folder.name

    def note(self) -> str:
        """Return a note about the source for the person who watches; "" if the source is a journal."""
        return ""

    def past(self) -> PastRun | None:
        """Return the run as it was recorded; None if its journal is incomplete."""
        mark = read_mark(self.folder)
        return past_run_in(self.folder, mark.project, mark.env)

    def read(self) -> bool:
        """Pass on the new lines. Return True if there are any."""
        new = False
        for line in self._lines():
            new = True
            if line is not None:
                self._take(line)
        if self._plan is None and any(line.get("attempt") for line in self._held):
            self._begin(_planned_by(self._held), {})
        return new

    def _lines(self) -> Iterator[Row | None]:
        """Yield the new lines of the journal, and None for an unreadable one."""
        while True:
            lines, at = read_on(self.folder, self._at)
            if at == self._at:
                return
            self._at = at
            for raw in lines:
                yield read_line(raw) if raw.strip() else None

    def _lives(self) -> bool:
        return self.folder in live_runs(self.folder.parent.parent)

    def follow(self, wait: Callable[[float], object] = time.sleep) -> str:
        """Read until the run ends, and return its status: "interrupted" if its process has died.

        *wait* waits for a number of seconds, or returns True to end the reading; the status is then "".
        """
        looked = time.monotonic()
        while True:
            new = self.read()
            if self.status:
                return self.status
            if not new and time.monotonic() - looked > self.lives_every:
                looked = time.monotonic()
                if not self._lives():
                    return self._died()
            if wait(self.every):
                return ""

    def _died(self) -> str:
        self.read()
        self.status = self.status or INTERRUPTED
        return self.status

    def cancel(self) -> bool:
        """Request the end of the run; each further call is more forceful. Return True if it has not ended."""
        if self.status:
            return False
        with contextlib.suppress(OSError):
            request_cancel(self.folder)
            return True
        return False

    def _take(self, line: Row) -> None:
        if self._plan is None and line["event"] == PLANNED:
            self._begin(line.get("rows") or [], line)
        elif self._plan is None:
            self._held.append(line)
            if len(self._held) > MOST_HELD:
                self._begin(_planned_by(self._held), {})
        else:
            self._pass_on(line, self._plan)

    def _begin(self, rows: Sequence[Row], line: Row) -> None:
        held, self._held = self._held, []
        if not self.project:
            mark = read_mark(self.folder)
            self.project, self.env = mark.project, mark.env
        self._plan = _plan_of(rows, line, self.project, self.env)
        for view in self._views:
            view.on_plan(self._plan)
        for earlier in held:
            self._pass_on(earlier, self._plan)

    def _pass_on(self, line: Row, plan: RunPlan) -> None:
        name = line.get("transformation_id")
        if name is not None and name not in plan.rows:
            return
        if line["event"] == OUTPUT:
            for view in self._views:
                view.on_output(str(name), line.get("line") or "")
            return
        event = _event(line, plan)
        if event is None:
            return
        for view in self._views:
            # A line of another version may lack a fact that a view needs. The next line is whole again.
            with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
                view.on_event(event)
        if event.type is EventType.RUN_END:
            self.status = str(line.get("status") or "failed")


def _event(line: Row, plan: RunPlan) -> RunEvent | None:
    """Return the event in a *line* of the journal, with times decoded; None for other lines."""
    kind = _TYPES.get(line["event"])
    if kind is None:
        return None
    payload: dict[str, Any] = {**line}
    for name in _TIMES:
        with contextlib.suppress(ValueError, TypeError, OverflowError):
            if name in payload:
                payload[name] = as_time(payload[name])
    if kind is EventType.RUN_END:
        payload["warnings"] = [str(text) for text in line.get("warnings") or []]
    row = plan.rows.get(line.get("transformation_id") or "")
    if row is None or "attempt" not in line:
        return RunEvent(type=kind, payload=payload)
    facts = {"module": row.transformation.module, "function": row.transformation.function}
    lists = {name: x if isinstance(x := line.get(name), list) else [] for name in _LISTS}
    payload = {**_ATTEMPT, **facts, **payload, **lists}
    if kind is not EventType.TRANSFORM_START and not _ended(payload):
        return None
    return RunEvent(type=kind, payload=payload)


def _ended(payload: dict[str, Any]) -> bool:
    """Fill the end of an attempt from its record. Return False if the line has no end and no record."""
    record = payload.get("record") or {}
    for name in ("status", "start_time", "end_time", "duration_seconds"):
        payload[name] = record.get(name) if record.get(name) is not None else payload.get(name)
    payload["start_time"] = payload["start_time"] or payload["timestamp"]
    payload["end_time"] = payload["end_time"] or payload["timestamp"]
    known = payload["status"] in {one.value for one in Status}
    return known and payload["start_time"] is not None and payload["end_time"] is not None


def _planned_by(lines: Sequence[Row]) -> list[Row]:
    """Return the rows that the lines of a journal name, for a journal without the plan's line."""
    facts = ("transformation_id", "plant", "asset", "function", "module", "layer", "engine")
    named = [line for line in lines if line.get("transformation_id") and line.get("attempt")]
    rows = {line["transformation_id"]: {n: line.get(n) for n in facts} for line in named}
    return [*rows.values()]


def _plan_of(rows: Sequence[Row], line: Row, project: str, env: str) -> RunPlan:
    """Return the plan of a journal: enough to draw the run, and to forecast its end."""
    # Only earlier rows: a damaged line must not make a cycle.
    place = {row["transformation_id"]: number for number, row in enumerate(rows)}
    planned = [
        PlannedRow(
            transformation=Transformation(
                transformation_id=row["transformation_id"],
                project=project,
                environment=env,
                layer=row["layer"] or "",
                module=row["module"] or "",
                function=row["function"] or "",
                entity_1=row["plant"],
                entity_2=row["asset"],
            ),
            fn=None,
            keywords=(),
            engine=row["engine"] or "",
            retry=RetryPolicy(),
            timeout_seconds=None,
            upstream=tuple(
                name for name in row.get("upstream") or () if place.get(name, rank) < rank
            ),
            rank=rank,
            expected_seconds=row.get("expected_seconds"),
        )
        for rank, row in enumerate(rows)
    ]
    schedule = line.get("schedule")
    return RunPlan(
        project=project,
        env=env,
        engine="",
        source="",
        layers=tuple(dict.fromkeys(row.layer for row in planned)),
        rows={row.id: row for row in planned},
        workers=line.get("workers") or 1,
        schedule=schedule if schedule in SCHEDULES else SCHEDULES[0],
    )
