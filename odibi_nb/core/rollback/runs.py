"""Find the runs that a rollback takes back, and their records in the run log."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from odibi_nb.core.runlog.history import KnownRuns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odibi_nb.core.protocols import BaseLogSink, Row


class RunsToRollBack(NamedTuple):
    """A run to roll back.

    ``runs``     the records of the run and of its retries, oldest first
    ``records``  the records of their attempts
    """

    runs: list[Row]
    records: list[Row]

    @property
    def run_ids(self) -> tuple[str, ...]:
        """The ids of the run and its retries."""
        return tuple(str(run["run_id"]) for run in self.runs)


def runs_to_roll_back(
    sinks: Sequence[BaseLogSink],
    project: str,
    env: str,
    run_id: str,
    dead: Sequence[tuple[Row, list[Row]]] = (),
) -> RunsToRollBack:
    """Return the run *run_id* with its retries, because they completed its work.

    ``last`` is the newest run that is not a rollback. *dead* are the records of runs whose process died,
    each with its attempts' records.

    Raises:
        LookupError: if the run log has no such run.
    """
    known = KnownRuns(sinks, project, env, dead)
    run_id = str(known.named(run_id)["run_id"])
    chosen = {run_id}
    for run in reversed(known.runs):  # oldest first: a retry comes after the run that it retries
        if run["retry_of"] in chosen:
            chosen.add(str(run["run_id"]))
    own = [run for run in reversed(known.runs) if run["run_id"] in chosen]
    own.sort(key=lambda run: run["run_id"] != run_id)  # the run itself first
    return RunsToRollBack(own, known.attempts(chosen))


def rollback_in_effect(run_ids: Sequence[str], others: Sequence[Row]) -> str:
    """Return the id of the rollback that took back one of *run_ids*; "" if none is in effect.

    *run_ids* are a run and its retries, *others* the records of other runs, newest first.
    """
    taken_back: set[str] = set()
    for run in others:  # a rollback of a rollback comes first
        target, own = str(run.get("rollback_of") or ""), str(run["run_id"])
        if target and run.get("succeeded") and own not in taken_back:
            if target in run_ids:
                return own
            taken_back.add(target)
    return ""
