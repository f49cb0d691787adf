"""Complete the run log of runs whose process died, from their journals."""

from __future__ import annotations

import datetime as dt
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odibi_nb.core.model.events import EventType, Status
from odibi_nb.core.process.state_files import is_in_the_way
from odibi_nb.core.runlog.journal import (
    mark_complete,
    open_runs,
    read_counted,
    read_journal,
    read_mark,
    run_folders,
    set_run_aside,
    taken_over,
)
from odibi_nb.core.runlog.journal_lines import planned_rows
from odibi_nb.core.runlog.record import (
    json_list,
    json_object,
    make_record,
    required_time,
    run_record,
    sink_name,
    unwritten,
)
from odibi_nb.core.text.clock import as_time
from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.json import as_json
from odibi_nb.core.text.redaction import error_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from odibi_nb.core.protocols import BaseLogSink, Row

SHOWN = 10
_NOT_STARTED = "the process that ran it ended before it started"
_GONE = "the machine that ran it is gone; it may have started, and may have written"


DIED = "the process ended before the run did"
"""Warning in the record of a run whose process died."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveredRun:
    """A run whose process died and whose log was completed.

    Attributes:
        finished: the number of attempts that had ended.
        abandoned: ids of the rows that had not ended.
        problems: the errors of sinks that did not take the log.
        unreadable: the number of lines of its journal that could not be read.
    """

    run_id: str
    finished: int
    abandoned: tuple[str, ...]
    problems: tuple[str, ...] = ()
    unreadable: int = 0

    def text(self) -> str:
        """Return a one-line summary for the user."""
        text = f"run {self.run_id} had died; its log is complete now: {self.finished} ended"
        if self.abandoned:
            shown = [*self.abandoned[:SHOWN], *(["…"] if len(self.abandoned) > SHOWN else [])]
            text += f", {len(self.abandoned)} ABANDONED: {', '.join(shown)}"
        if self.unreadable:
            text += f"; {counted(self.unreadable, 'line')} of its journal could not be read"
        return "; ".join([text, *self.problems])


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableRun:
    """A run that did not end and whose journal is unreadable.

    *moved* is the new path of its folder; "" if the folder could not be moved.
    """

    run_id: str
    reason: str
    moved: str

    def text(self) -> str:
        """Return a one-line summary for the user."""
        what = f"its folder was set aside: {self.moved}" if self.moved else "it cannot be set aside"
        return f"run {self.run_id} had died, and its log cannot be completed: {self.reason}; {what}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _DeadRun:
    """The journal of a dead run. *start* is empty if the journal does not name the project.

    *gone* is True if the journal was lost with its machine, and the lines come from the lake.
    """

    start: Row
    lines: list[Row]
    unreadable: int
    gone: bool = False

    def is_of(self, project: str, env: str) -> bool:
        return (self.start.get("project"), self.start.get("env")) == (project, env)

    def has_ended(self) -> bool:
        return any(line.get("run_record") for line in self.lines)


def recover(
    state_dir: Path,
    project: str,
    env: str,
    sinks: Sequence[BaseLogSink],
    notes: Mapping[str, str] | None = None,
) -> list[RecoveredRun | UnreadableRun]:
    """Complete the log of every run of *project* and *env* whose process died.

    Attempts that had ended keep their status. Rows that were running or had not started become
    ABANDONED. Each sink gets each record once, because it is first asked for the records that it
    has. The folder of an unreadable run is set aside. A problem with one run does not prevent the
    recovery of the others. *notes* maps the id of a run to a further warning for its record.
    """
    recovered: list[RecoveredRun | UnreadableRun] = []
    for folder in open_runs(state_dir):
        with taken_over(folder) as dead:
            if not dead:
                continue
            run = _read_dead_run(folder)
            if not run.start:
                if (unreadable := _unreadable(folder, run, project, env)) is not None:
                    recovered.append(unreadable)
            elif run.is_of(project, env):
                if _completed_elsewhere(run, sinks):
                    mark_complete(folder)
                    continue
                result = _complete(run, sinks, (notes or {}).get(folder.name, ""))
                recovered.append(result)
                if not result.problems:
                    mark_complete(folder)
    return recovered


def _completed_elsewhere(dead: _DeadRun, sinks: Sequence[BaseLogSink]) -> bool:
    """Return True if another machine has completed the log of this run, which did not end by itself."""
    if not sinks or dead.has_ended():
        return False
    try:
        return all(sink.has_run(str(dead.start["run_id"])) for sink in sinks)
    except Exception:  # noqa: BLE001  a sink that cannot be read will tell when it is written
        return False


def recover_elsewhere(
    runs: Sequence[tuple[Row, list[Row]]],
    sinks: Sequence[BaseLogSink],
    notes: Mapping[str, str] | None = None,
) -> list[RecoveredRun]:
    """Complete the log of runs that died with their machine, from their start as stored in the lake.

    The arguments are as in `recover`; *runs* are the starts and the lines from `dead_elsewhere`.
    """
    return [
        _complete(
            _DeadRun(start=start, lines=lines, unreadable=0, gone=True),
            sinks,
            (notes or {}).get(str(start["run_id"]), ""),
        )
        for start, lines in runs
    ]


def dead_runs(state_dir: Path, project: str, env: str) -> list[tuple[Row, list[Row]]]:
    """Return the runs that `recover` would complete, newest first, without writing anything.

    Each is returned as the record of the run and the records of its attempts.
    """
    return [logged_run(run.start, run.lines) for run in _dead_runs(state_dir, project, env)]


def _dead_runs(state_dir: Path, project: str, env: str) -> Iterator[_DeadRun]:
    for folder in reversed(open_runs(state_dir)):
        with taken_over(folder) as dead:
            run = _read_dead_run(folder) if dead else None
        if run is not None and run.is_of(project, env):
            yield run


def newest_dead_run(state_dir: Path, project: str, env: str) -> tuple[Row, list[Row]] | None:
    """Return the run that `recover` would complete, as `dead_runs` does, if no later run began.

    A later run has completed its log, or has dealt with its remains.
    """
    folders = [
        folder
        for folder in run_folders(state_dir)
        if (mark := read_mark(folder)).project == project and mark.env == env
    ]
    if not folders:
        return None
    dead = dead_runs(state_dir, project, env)
    return dead[0] if dead and dead[0][0]["run_id"] == folders[-1].name else None


def journaled_run(folder: Path) -> tuple[Row, list[Row], list[Row], int]:
    """Return the records of the run in *folder*. For a live run, they are as if its process died now.

    The result has the record of the run, the records of its attempts, the lines of its journal, and the
    number of its unreadable lines. The record is empty if no line names its project.
    """
    read = _read_dead_run(folder)
    if not read.start:
        return {}, [], read.lines, read.unreadable
    return *logged_run(read.start, read.lines), read.lines, read.unreadable


def died(run: Row) -> bool:
    """Return True if the process of *run* died before the run ended. *run* is its record."""
    return DIED in json_list(run["warnings"])


def unfinished_atomic_runs(state_dir: Path, project: str, env: str) -> list[tuple[Row, list[Row]]]:
    """Return the atomic runs whose process died before they ended, newest first.

    Each is returned as the record of the run and the records of its attempts. Their writes must be
    taken back. An atomic run that ended has done that itself.
    """
    return [
        logged_run(run.start, run.lines)
        for run in _dead_runs(state_dir, project, env)
        if is_atomic(run.start) and not run.has_ended()
    ]


def is_atomic(start: Row) -> bool:
    """Return True if the run of this run_start event is atomic."""
    return json_object(start.get("options")).get("atomic") is True


def _read_dead_run(folder: Path) -> _DeadRun:
    """Read the journal of a dead run.

    If the first line is lost, another line or the mark identifies the project.
    """
    lines, unreadable = read_counted(folder)
    mark = read_mark(folder)
    known = [line for line in lines if line.get("project") and line.get("env")]
    starts = [line for line in known if line["event"] == EventType.RUN_START]
    first: Row = next(iter([*starts, *known]), {})
    if not first and lines and mark.project:
        first = {"project": mark.project, "env": mark.env}
    if not first:
        return _DeadRun(start={}, lines=lines, unreadable=unreadable)
    times = (line["timestamp"] for line in [first, *lines] if line.get("timestamp"))
    start = {
        **first,
        "run_id": folder.name,
        "timestamp": next(times, None) or _time_of(folder),
        "engine": first.get("engine") or "",
        "run_number": first.get("run_number") or mark.number or None,
    }
    return _DeadRun(start=start, lines=lines, unreadable=unreadable)


def _time_of(folder: Path) -> str:
    """Return the start of a run, to the second, from its id.

    If the id has no time, return the time of the last change of its folder.
    """
    try:
        begun = dt.datetime.strptime(folder.name[:15], "%Y%m%d-%H%M%S").replace(
            tzinfo=dt.timezone.utc
        )
    except ValueError:
        begun = dt.datetime.fromtimestamp(folder.stat().st_mtime, dt.timezone.utc)
    return begun.isoformat()


def _unreadable(folder: Path, run: _DeadRun, project: str, env: str) -> UnreadableRun | None:
    """Set an unreadable run aside. Return None if its mark names another project or environment."""
    mark = read_mark(folder)
    if mark.project and (mark.project, mark.env) != (project, env):
        return None
    path = folder / "journal.jsonl"
    if not os.path.lexists(path):
        reason = "it has no journal"
    elif is_in_the_way(path):
        reason = "its journal is not a file"
    elif run.unreadable or run.lines:
        reason = f"no line of its journal names its project ({run.unreadable:,} unreadable)"
    else:
        reason = "its journal is empty or cannot be read"
    return UnreadableRun(run_id=folder.name, reason=reason, moved=set_run_aside(folder))


def logged_run(start: Row, lines: list[Row], *, gone: bool = False) -> tuple[Row, list[Row]]:
    """Return the record of a dead run, and the records of its attempts, as `recover` writes them.

    *gone* is True if the journal was lost with its machine.
    """
    run, records, abandoned = _as_logged(start, lines, gone=gone)
    return run, [*records, *abandoned]


def _as_logged(start: Row, lines: list[Row], *, gone: bool) -> tuple[Row, list[Row], list[Row]]:
    """Return the records of a dead run, of its ended attempts, and of its abandoned rows."""
    own = {name: start.get(name) for name in ("run_id", "project", "env")}
    records = [{**line["record"], **own} for line in lines if line.get("record")]
    planned = planned_rows(lines)
    abandoned = [_abandoned(line, planned) for line in _running(lines)]
    ended = next((x["run_record"] for x in lines if x.get("run_record")), None)
    if not ended:
        abandoned += _never_started(lines, start, planned, _GONE if gone else _NOT_STARTED)
    run = {**ended, **own} if ended else _dead_run(start, records, abandoned)
    return run, records, abandoned


def _complete(dead: _DeadRun, sinks: Sequence[BaseLogSink], note: str) -> RecoveredRun:
    lines, run_id = dead.lines, str(dead.start["run_id"])
    run, records, abandoned = _as_logged(dead.start, lines, gone=dead.gone)
    if note:
        run = {**run, "warnings": as_json([*json_list(run["warnings"]), note])}
    problems = []
    for sink in sinks:
        acknowledged = [
            x.get("records") or 0
            for x in lines
            if x["event"] == "flushed" and x.get("sink") == sink_name(sink)
        ]
        # Records are counted from the first, so an unreadable line makes the counts useless.
        flushed = 0 if dead.unreadable else max(acknowledged, default=0)
        rest = [*records[flushed:], *abandoned]
        try:
            missing = unwritten(sink, run_id, rest)
            if missing:
                sink.write(missing)
            if not sink.has_run(run_id):
                sink.write_run(run)
        except Exception as exc:  # noqa: BLE001  a sink never fails a run, least of all a later one
            problems.append(f"{sink_name(sink)}: {error_text(exc)}")
    return RecoveredRun(
        run_id=run_id,
        finished=len(records),
        abandoned=tuple(r["transformation_id"] for r in abandoned),
        problems=tuple(problems),
        unreadable=dead.unreadable,
    )


def _running(lines: list[Row]) -> list[Row]:
    """Return the transform_start lines of the attempts that did not end."""
    open_starts: dict[str, Row] = {}
    for line in lines:
        if line.get("event") == EventType.TRANSFORM_START and line.get("transformation_id"):
            open_starts[line["transformation_id"]] = line
        elif line.get("record"):
            open_starts.pop(line["record"]["transformation_id"], None)
    return list(open_starts.values())


def journaled_states(folder: Path) -> dict[str, str]:
    """Return the status of each row of the run in *folder*, from its journal.

    A row that waits for its first or next attempt is ``WAITING``.
    """
    lines = read_journal(folder)
    states = dict.fromkeys(planned_rows(lines), "WAITING")
    for line in lines:
        if line.get("record") and line.get("event") != EventType.TRANSFORM_RETRY:
            states[line["record"]["transformation_id"]] = line["record"]["status"]
    for line in _running(lines):
        states[line["transformation_id"]] = Status.RUNNING.value
    return states


def _never_started(lines: list[Row], start: Row, planned: dict[str, Row], reason: str) -> list[Row]:
    """Return ABANDONED records of the rows that never started, or whose start is unknown.

    Their attempt is 0, and their time is the time of the last line of the journal.
    """
    heard = {line.get("transformation_id") for line in lines}
    times = (line["timestamp"] for line in reversed(lines) if line.get("timestamp"))
    last = required_time(next(times, start["timestamp"]))
    facts = {
        "attempt": 0,
        "start_time": last,
        "end_time": last,
        "duration_seconds": 0.0,
        "status": Status.ABANDONED.value,
        "error_type": "Abandoned",
        "error_message": reason,
    }
    return [
        make_record({**start, **row, **facts}) for name, row in planned.items() if name not in heard
    ]


def _abandoned(start: Row, planned: dict[str, Row]) -> Row:
    return make_record(
        {
            **planned.get(start["transformation_id"], {}),
            **start,
            "status": Status.ABANDONED.value,
            "start_time": as_time(start.get("timestamp")),
            "error_type": "Abandoned",
            "error_message": "the process that ran it ended",
        }
    )


def _dead_run(start: Row, records: list[Row], abandoned: list[Row]) -> Row:
    begun = required_time(start["timestamp"])
    ends = [r["end_time"] for r in records if r["end_time"]]
    return run_record(
        start,
        status="failed",
        end_time=max(ends, default=begun),
        records=[*records, *abandoned],
        warnings=[DIED],
    )
