"""Follow a run of another machine through the tables in the lake, with the views of a live run.

The lake has the plan of the run from its start, and the record of each attempt some seconds after its end.
It has neither the rows that run now, nor their output.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from odibi_nb.core.model.events import ENDED, EventType
from odibi_nb.core.protocols import RECENT_RUNS
from odibi_nb.core.runlog import run_lease
from odibi_nb.core.runlog.followed_run import FollowedRun
from odibi_nb.core.runlog.history import past_attempts
from odibi_nb.core.runlog.journal import runs_folder
from odibi_nb.core.runlog.past_run import PastRun
from odibi_nb.core.runlog.record import json_list
from odibi_nb.core.runlog.run_lease import holder, lease_token, request_cancel
from odibi_nb.core.runlog.shared_runs import begun_in, log_of_ends
from odibi_nb.core.runlog.writer import FLUSH_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from odibi_nb.core.protocols import BaseLogSink, Row, RunStateTables
    from odibi_nb.core.runlog.lock_owner import Owner

LOOK_SECONDS = 10.0
"""Seconds between two looks at the run log."""
LOOKS_PER_LEASE = 6
"""Number of looks at the run log for each look at the lease, whose log is longer."""
_KINDS = {status.value: kind for kind, status in ENDED.items() if kind != EventType.TRANSFORM_RETRY}


def runs_elsewhere(
    tables: RunStateTables | None,
    sinks: Sequence[BaseLogSink],
    project: str,
    env: str,
    state_dir: Path,
) -> list[RunElsewhere]:
    """Return the runs in progress on other machines, oldest first. Only parts of a job run side by side."""
    log, found = log_of_ends(sinks), []
    if tables is not None and log is not None:
        for row in tables.leases(project, env):
            owner = holder(row)
            if owner is not None and not log.has_run(owner.run_id):
                own = project, str(row["env"])
                found.append(RunElsewhere(tables, log, *own, owner, state_dir))
    return sorted(found, key=lambda run: run.run_id)


class RunElsewhere(FollowedRun):
    """A run of another machine that is read from the lake.

    Args:
        tables: the tables that the machines share.
        log: the run log in the lake.
        env: its environment, with the part of a job that the run runs.
        owner: the run and its process.
        state_dir: the state folder of this machine, which has no journal of the run.
    """

    def __init__(
        self,
        tables: RunStateTables,
        log: BaseLogSink,
        project: str,
        env: str,
        owner: Owner,
        state_dir: Path,
    ) -> None:
        super().__init__(runs_folder(state_dir) / owner.run_id)
        self.owner = owner
        self.project, self.env = project, env
        self.every = self.lives_every = LOOK_SECONDS
        self._tables, self._log = tables, log
        self._seen: set[tuple[str, int]] = set()
        self._looks = 0
        self._lease: Row | None = None
        self._renewed = time.monotonic()

    def note(self) -> str:
        """Return a note for the person who watches: the source, the machine and the delay."""
        return (
            f"run {self.run_id} is on another machine ({self.owner.host}): this is its run log in the lake, "
            f"up to {FLUSH_SECONDS + LOOK_SECONDS:g} s late, without running rows and output"
        )

    def past(self) -> PastRun | None:
        """Return the run as the run log has it; None if the log has no record of it."""
        run = self._run_record()
        return None if run is None else PastRun(run=run, records=self._records())

    def cancel(self, transformation_id: str = "") -> bool:
        """Request the end of the run or of one row. The run looks every `BEAT_SECONDS`.

        Return True if the run has not ended.
        """
        where = self._tables, self.project, self.env, self.run_id
        return not self.status and request_cancel(*where, transformation_id)

    def _lines(self) -> Iterator[Row]:
        if self._looks % LOOKS_PER_LEASE == 0:
            before, self._lease = self._lease, self._tables.lease(self.project, self.env)
            if lease_token(before) != lease_token(self._lease):
                self._renewed = time.monotonic()
        self._looks += 1
        ended = self._log.has_run(self.run_id)  # before the records, so that none is missing
        if self._plan is None:
            for start, planned in begun_in(self._lease, self.project):
                if start["run_id"] == self.run_id:
                    yield from (start, planned)
        for record in self._records():
            key = record["transformation_id"], record["attempt"] or 0
            if key not in self._seen:
                self._seen.add(key)
                yield from _attempt_lines(record)
        run = self._run_record() if ended else None
        if run is not None:
            yield _end_line(run)

    def _lives(self) -> bool:
        silent = time.monotonic() - self._renewed > run_lease.TAKEOVER_SECONDS
        return lease_token(self._lease)[0] == self.run_id and not silent

    def _records(self) -> list[Row]:
        return past_attempts([self._log], [self.run_id])

    def _run_record(self) -> Row | None:
        runs = self._log.runs(RECENT_RUNS)
        return next((run for run in runs if run["run_id"] == self.run_id), None)


def _attempt_lines(record: Row) -> Iterator[Row]:
    """Return the lines that a journal would have of an attempt."""
    facts = {**record, "attempt": record["attempt"] or 0}
    facts |= {name: json_list(record[name]) for name in ("checks", "outputs_written")}
    if facts["attempt"]:
        begun = {"event": EventType.TRANSFORM_START.value, "timestamp": record["start_time"]}
        yield {**facts, **begun}
    kind = _KINDS.get(record["status"], EventType.TRANSFORM_FAILURE)
    ended = {"event": kind.value, "timestamp": record["end_time"] or record["start_time"]}
    yield {**facts, **ended, "record": record}


def _end_line(run: Row) -> Row:
    """Return the line that a journal would have of the end of a run."""
    return {
        "event": EventType.RUN_END.value,
        "run_id": run["run_id"],
        "timestamp": run["end_time"],
        "status": run["status"],
        "layers_executed": (run["layers"] or "").split(", "),
        "duration_seconds": run["duration_seconds"],
        "counts": {name.upper(): run[name] for name in ("failed", "skipped", "cancelled")},
        "warnings": json_list(run["warnings"]),
    }
