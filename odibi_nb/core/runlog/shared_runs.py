"""Runs of other machines, as the tables in the lake know them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odibi_nb.core.model.events import EventType
from odibi_nb.core.protocols import BaseLogSink
from odibi_nb.core.runlog.history import newest_first, past_attempts
from odibi_nb.core.runlog.journal_lines import PLANNED, read_line
from odibi_nb.core.runlog.recovery import is_atomic, logged_run
from odibi_nb.core.runlog.run_lease import begun_runs

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from odibi_nb.core.protocols import Row, RunStateTables
    from odibi_nb.core.runlog.run_lease import RunLease

RUNNING = "running"
"""Status of a run that has begun and may still be in progress."""
Start = tuple["Row", list["Row"]]
"""The start of a run, and the lines that its journal would have, as `logged_run` takes them."""


def has_ended(sinks: Sequence[BaseLogSink], run_id: str) -> bool:
    """Return True if the run log has the record of the run *run_id*."""
    log = log_of_ends(sinks)
    return log is not None and log.has_run(run_id)


def ends_leases(sinks: Sequence[BaseLogSink]) -> bool:
    """Return True if other machines read the records of this machine's runs in the run log."""
    log = log_of_ends(sinks)
    return log is not None and log.in_lake


def log_of_ends(sinks: Sequence[BaseLogSink]) -> BaseLogSink | None:
    """Return the log that has the ended runs: the log in the lake, else the first readable log; None without one."""
    readable = [sink for sink in sinks if type(sink).runs is not BaseLogSink.runs]
    return next(iter([*(sink for sink in readable if sink.in_lake), *readable]), None)


def dead_elsewhere(lease: RunLease, sinks: Sequence[BaseLogSink]) -> list[Start]:
    """Return the runs that began and did not end, oldest first. The *lease* must exclude live runs.

    A run that was just replaced with --force may still be ending. It writes its log itself.
    """
    found = unlogged(lease.row, lease.project, sinks, {lease.run_id, *lease.complete})
    known = {start["run_id"] for start, _ in found}
    begun = {start["run_id"] for start, _ in begun_in(lease.row, lease.project)}
    lease.complete |= begun - known
    return [start for start in found if start[0]["run_id"] != lease.overrode[1]]


def unlogged(
    lease: Row | None, project: str, sinks: Sequence[BaseLogSink], but: Collection[str] = ()
) -> list[Start]:
    """Return the runs in *lease* that are not in the run log, oldest first, without the runs in *but*."""
    log = log_of_ends(sinks)
    if log is None:  # without a readable log, no end is known
        return []
    found = []
    for start, planned in begun_in(lease, project):
        run_id = str(start["run_id"])
        if run_id in but or log.has_run(run_id):
            continue
        records = [
            {
                "event": EventType.TRANSFORM_SUCCESS.value,
                "transformation_id": record["transformation_id"],
                "record": record,
            }
            for record in past_attempts([log], [run_id])
        ]
        found.append((start, [start, planned, *records]))
    return found


def begun_in(lease: Row | None, project: str) -> list[tuple[Row, Row]]:
    """Return the start and the planned rows of the runs in *lease*, oldest first."""
    found = []
    for one in begun_runs(lease or {}):
        start = read_line(str(one.get("start") or ""))
        if start is not None and start.get("timestamp") and start.get("run_id"):
            planned = read_line(str(one.get("plan") or "")) or {"event": PLANNED, "rows": []}
            found.append(({**start, "project": project}, planned))
    return found


def unfinished_elsewhere(starts: Sequence[Start]) -> list[tuple[Row, list[Row]]]:
    """Return the atomic runs among *starts*, as `unfinished_atomic_runs` does."""
    return [
        logged_run(start, lines, gone=True) for start, lines in reversed(starts) if is_atomic(start)
    ]


def open_runs_elsewhere(
    tables: RunStateTables, project: str, env: str, sinks: Sequence[BaseLogSink]
) -> list[Row]:
    """Return the records of the runs that began and did not end, newest first. Writes nothing.

    The status of the run that holds the lease is ``running``. It may be on any machine, and may have died
    a moment ago. The other runs have died; the next run completes their log.
    """
    runs = []
    for lease in tables.leases(project, env):
        for start, lines in unlogged(lease, project, sinks):
            run, _ = logged_run(start, lines, gone=True)
            if lease["run_id"] == run["run_id"]:
                run = {**run, "status": RUNNING, "end_time": None, "warnings": None}
                run["duration_seconds"] = None
            runs.append(run)
    return newest_first(runs)
