"""Runs of other machines, as the tables in the lake know them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odibi_nb.core.model.events import EventType
from odibi_nb.core.protocols import BaseLogSink
from odibi_nb.core.runlog.history import past_attempts
from odibi_nb.core.runlog.journal_lines import PLANNED, read_line
from odibi_nb.core.runlog.record import RECENT_RUNS
from odibi_nb.core.runlog.recovery import as_logged, is_atomic
from odibi_nb.core.text.json import as_json

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from odibi_nb.core.protocols import Row, RunStateTables
    from odibi_nb.core.runlog.run_lease import RunLease

RUNNING = "running"
"""Status of a run that has begun and may go on."""
Start = tuple["Row", list["Row"]]
"""The start of a run, and the lines that its journal would have, as `as_logged` takes them."""


def dead_elsewhere(lease: RunLease, sinks: Sequence[BaseLogSink]) -> list[Start]:
    """Return the runs that have begun and not ended, oldest first, while *lease* excludes live ones.

    A run that has just lost its place to --force may still be ending, and writes its log itself.
    """
    but = {lease.run_id, lease.overrode[1]}
    return unlogged(lease.tables, lease.project, lease.env, sinks, but)


def unlogged(
    tables: RunStateTables,
    project: str,
    env: str,
    sinks: Sequence[BaseLogSink],
    but: Collection[str] = (),
) -> list[Start]:
    """Return the runs that have begun and are not in the run log, oldest first, without those in *but*."""
    readable = [sink for sink in sinks if type(sink).runs is not BaseLogSink.runs]
    if not readable:  # such a log cannot list its runs
        return []
    runs = readable[0].runs(RECENT_RUNS)
    logged = {run["run_id"] for run in runs}
    # Of older runs it is not known here whether they have ended.
    oldest = min(run["run_number"] or 0 for run in runs) if len(runs) >= RECENT_RUNS else 0
    found = []
    for row in tables.starts(project, env, {*but, *logged}):
        if (row["run_number"] or 0) < oldest:
            continue
        start = read_line(row["start"] or "")
        planned = read_line(row["plan"] or "") or {"event": PLANNED, "rows": []}
        if start is None or not start.get("timestamp"):
            start = {"timestamp": as_json(row["start_time"]).strip('"'), "engine": ""}
        own = {name: row[name] for name in ("run_id", "project", "env", "run_number")}
        own["env"] = start.get("env") or row["env"]  # the row has the part of a job, too
        start = {**start, **own, "event": EventType.RUN_START.value}
        records = [
            {
                "event": EventType.TRANSFORM_SUCCESS.value,
                "transformation_id": record["transformation_id"],
                "record": record,
            }
            for record in past_attempts(readable, [str(row["run_id"])])
        ]
        found.append((start, [start, planned, *records]))
    return found


def unfinished_elsewhere(starts: Sequence[Start]) -> list[tuple[Row, list[Row]]]:
    """Return the atomic runs among *starts*, as `unfinished_atomic_runs` does."""
    found = []
    for start, lines in reversed(starts):
        if is_atomic(start):
            logged, records, abandoned = as_logged(start, lines, gone=True)
            found.append((logged, [*records, *abandoned]))
    return found


def open_runs_elsewhere(
    tables: RunStateTables, project: str, env: str, sinks: Sequence[BaseLogSink]
) -> list[Row]:
    """Return the records of the runs that have begun and not ended, newest first. Writes nothing.

    The status of the run that holds the lease is ``running``. It may be on any machine, and may have died
    a moment ago. The other runs have died; the next run completes their log.
    """
    found = unlogged(tables, project, env, sinks)
    if not found:
        return []
    lease = tables.lease(project, env)
    runs = []
    for start, lines in reversed(found):
        run, _, _ = as_logged(start, lines, gone=True)
        if lease is not None and lease["run_id"] == run["run_id"]:
            run = {**run, "status": RUNNING, "end_time": None, "warnings": None}
            run["duration_seconds"] = None
        runs.append(run)
    return runs
