"""Recovery of the runs that died, before the next run of their project begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odibi_nb.core.runlog.journal import any_open_run
from odibi_nb.core.runlog.recovery import (
    RecoveredRun,
    dead_runs,
    logged_run,
    recover,
    recover_elsewhere,
    unfinished_atomic_runs,
)
from odibi_nb.core.runlog.shared_runs import dead_elsewhere, unfinished_elsewhere
from odibi_nb.core.running.atomic import take_back_run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from odibi_nb.core.protocols import BaseLogSink, Notifier, Place, Row, TableEngine
    from odibi_nb.core.runlog.run_lease import RunLease


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRecovery:
    """Completes the runs that died: their messages, the tables of atomic runs, their run log.

    Attributes:
        place: project, environment and state folder of the runs.
        tables: returns the table engine of a name.
        sinks: returns the sinks of the run log, which it opens if necessary.
        declared_outputs: returns the tables that each row of the registry writes.
        notifier: sends the messages about dead runs; None without settings for messages.
        say: shows a message with its level.
    """

    place: Place
    tables: Callable[[str], TableEngine]
    sinks: Callable[[], Sequence[BaseLogSink]]
    declared_outputs: Callable[[], Mapping[str, Sequence[str]]]
    notifier: Notifier | None
    say: Callable[[str, str], None]

    def recover(self, lease: RunLease | None = None) -> None:
        """Complete the run log of dead runs, so that a plan or retry finds them.

        Their records come from their journals. With a *lease*, they also come from the lake.
        """
        elsewhere = [] if lease is None else dead_elsewhere(lease, self.sinks())
        if not elsewhere and not any_open_run(self.place.state_dir):
            return  # the usual case: do not open the run log, and do not take the lease before the plan
        if lease is not None:
            lease.take()
        where = self.place.state_dir, self.place.manifest.project, self.place.env
        if self.notifier is not None:  # first: what follows may fail, and completes the log
            for lost, records in dead_runs(*where):
                self.notifier.on_dead_run(lost, records)
        # Recovery completes the log of atomic runs only after their writes are taken back. If this
        # process dies, too, the next start takes back the rest.
        notes = self._take_back(unfinished_atomic_runs(*where))
        found = recover(*where, self.sinks(), notes)
        gone = [] if lease is None else self._recover_elsewhere(lease)
        known = {run.run_id for run in gone}
        # An unreadable journal may be of a run that the lake knows.
        for dead in (*(run for run in found if run.run_id not in known), *gone):
            self.say("WARNING", f"⚠️ {dead.text()}")

    def _recover_elsewhere(self, lease: RunLease) -> list[RecoveredRun]:
        """Complete the run log of the runs that died with their machine and their journal."""
        # Runs with a journal here are recovered from it.
        starts = dead_elsewhere(lease, self.sinks())
        if not starts:
            return []
        if self.notifier is not None:
            for start, lines in reversed(starts):
                self.notifier.on_dead_run(*logged_run(start, lines, gone=True))
        notes = self._take_back(unfinished_elsewhere(starts))
        found = recover_elsewhere(starts, self.sinks(), notes)
        lease.complete |= {run.run_id for run in found if not run.problems}
        return found

    def _take_back(self, runs: Iterable[tuple[Row, list[Row]]]) -> dict[str, str]:
        """Take back the writes of atomic *runs*, and return the outcome by run id."""
        notes: dict[str, str] = {}
        for run, records in runs:
            run_id = str(run["run_id"])
            found = take_back_run(
                run_id,
                records,
                self.place,
                self.tables(self.place.engine),
                since=run["start_time"],
                declared=self.declared_outputs,
            )
            notes[run_id] = f"atomic: {found.text()}"
            self.say("WARNING", f"⏪ run {run_id} was atomic and had died: {found.text()}")
        return notes
