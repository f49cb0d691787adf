"""Read past runs: durations, last status of each transformation, and chains of retries."""

from __future__ import annotations

import datetime as dt
from bisect import bisect_right
from collections import defaultdict
from itertools import accumulate
from math import inf
from typing import TYPE_CHECKING, NamedTuple

from odibi_nb.core.text.clock import utc_now
from odibi_nb.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from odibi_nb.core.protocols import BaseLogSink, Row

RUNS_LOOKED_AT = 5
MOST_RUNS_LOOKED_AT = 20
RUNS_SEARCHED = 500
LAST = "last"


class RunChain(NamedTuple):
    """A chain of runs. Each run after the first is a retry of the run before it.

    ``runs``     the records of the runs, oldest first
    ``records``  the record of the last attempt in any of the runs, by transformation id
    """

    runs: list[Row]
    records: dict[str, Row]

    def states(self) -> dict[str, str]:
        """Return the last status of each transformation id."""
        return {name: record["status"] for name, record in self.records.items()}


def past_runs(
    sinks: Sequence[BaseLogSink], limit: int, project: str | None = None, env: str | None = None
) -> list[Row]:
    """Return at most *limit* runs, newest first, from the first sink that returns any run."""
    # Most logs have one project. Only if others have filled the newest records, more of them are read.
    looks = [limit] if project is None else [2 * limit, max(limit * 20, 200)]
    for sink in sinks:
        for look in looks:
            runs = sink.runs(look)
            found = [
                run
                for run in newest_first(runs)
                if project in (None, run["project"]) and env in (None, run["env"])
            ][:limit]
            # A sink may leave out some of the rows that it read, but not half of them.
            if len(found) == limit or len(runs) < look // 2:
                break
        if runs:
            return found
    return []


def newest_first(runs: Iterable[Row]) -> list[Row]:
    """Order *runs* by their numbers, newest first. A wrong clock does not change the numbers.

    Older versions gave runs no number. Such a run is placed among the others by its start time. If
    that is in the future, the clock was wrong, and the run comes last.
    """
    now = utc_now().timestamp()
    by_time = sorted(runs, key=lambda run: (_begun(run, now, 0.0), run["run_id"] or ""))
    ordered = [run for run in by_time if run.get("run_number")]
    ordered.sort(key=lambda run: run["run_number"])
    # earliest[i]: the earliest start of the numbered runs from i on.
    earliest = [*accumulate((_begun(run, now, inf) for run in reversed(ordered)), min)][::-1]
    before: dict[int, list[Row]] = defaultdict(list)
    for run in by_time:
        if not run.get("run_number"):
            before[bisect_right(earliest, _begun(run, now, 0.0))].append(run)
    merged = [r for i in range(len(ordered) + 1) for r in (*before[i], *ordered[i : i + 1])]
    return merged[::-1]


def _begun(run: Row, now: float, unknown: float) -> float:
    """Return the start of a run as a timestamp; *unknown* if it is missing or in the future."""
    begun = run.get("start_time")
    seconds = begun.timestamp() if isinstance(begun, dt.datetime) else unknown
    return seconds if seconds <= now else unknown


def past_attempts(sinks: Sequence[BaseLogSink], run_ids: Sequence[str]) -> list[Row]:
    """Return the attempt records of the runs *run_ids*, from the first sink that has any."""
    return next(filter(None, (sink.attempts(run_ids) for sink in sinks)), [])


class KnownRuns:
    """The newest runs of *project* and *env*: from the run log, and runs whose process died.

    Args:
        sinks: the sinks of the run log.
        dead: the records of runs whose process died, each with its attempts' records, newest
            first. The run log may not have them yet.

    Attributes:
        runs: the records of the runs, newest first.
        unlogged: the records of the attempts of each dead run, by its id.
    """

    def __init__(
        self,
        sinks: Sequence[BaseLogSink],
        project: str,
        env: str,
        dead: Sequence[tuple[Row, list[Row]]] = (),
    ) -> None:
        self._sinks = sinks
        self._where = f"{project!r}, env {env}"
        self.unlogged = {str(run["run_id"]): records for run, records in dead}
        logged = past_runs(sinks, RUNS_SEARCHED, project, env)
        others = (run for run in logged if run["run_id"] not in self.unlogged)
        self.runs = newest_first([*(run for run, _ in dead), *others])

    def named(self, run_id: str) -> Row:
        """Return the run *run_id*, or the newest run that is not a rollback for ``last``.

        Raises:
            LookupError: if there is no such run, with the closest id.
        """
        if not self.runs:
            raise LookupError(f"the run log has no run of {self._where}")
        if run_id == LAST:
            return newest_usual(self.runs)
        by_id = {str(run["run_id"]): run for run in self.runs}
        if run_id not in by_id:
            hint = did_you_mean(run_id, by_id)
            raise LookupError(f"the run log of {self._where}, has no run {run_id!r}{hint}")
        return by_id[run_id]

    def attempts(self, run_ids: Iterable[str]) -> list[Row]:
        """Return the records of the attempts of *run_ids*."""
        ids = [*run_ids]
        logged = past_attempts(self._sinks, [one for one in ids if one not in self.unlogged])
        return [*logged, *(record for one in ids for record in self.unlogged.get(one, ()))]


def greatest_number(sinks: Sequence[BaseLogSink]) -> int:
    """Return the greatest ``run_number`` in the run log, of any project; 0 if it has none."""
    return max((run.get("run_number") or 0 for run in past_runs(sinks, 1)), default=0)


def expected_seconds(sinks: Sequence[BaseLogSink], project: str, env: str) -> dict[str, float]:
    """Return the median duration of each transformation's successes in the last runs.

    The last runs are the last `RUNS_LOOKED_AT` runs of all rows, together with the retries and the
    runs of a selection between them. Such runs do not count towards the number, because they have
    no durations of the other rows.
    """
    runs = last_whole_runs(past_runs(sinks, MOST_RUNS_LOOKED_AT, project, env))
    if not runs:
        return {}
    from statistics import median  # late: it imports fractions and decimals

    run_ids = [run["run_id"] for run in runs]
    found = next(filter(None, (sink.measures(run_ids) for sink in sinks)), [])
    return {name: median(seconds) for name, seconds, _ in found if seconds}


def last_whole_runs(runs: Sequence[Row], count: int = RUNS_LOOKED_AT) -> Sequence[Row]:
    """Return the newest of *runs*, until they include *count* runs of all rows.

    *runs* are newest first. Rollbacks run no rows of the registry.
    """
    runs = [run for run in runs if not run.get("rollback_of")]
    whole = 0
    for number, run in enumerate(runs, 1):
        options = run["options"] or ""
        part = any(f'"{name}"' in options for name in ("select", "exclude", "stale"))
        whole += not (run["retry_of"] or part)
        if whole == count:
            return runs[:number]
    return runs


def newest_usual(runs: Sequence[Row]) -> Row:
    """Return the newest of *runs* that is not a rollback; without such a run, the newest one.

    *runs* are newest first, and not empty.
    """
    return next((run for run in runs if not run.get("rollback_of")), runs[0])


def run_chain(
    sinks: Sequence[BaseLogSink],
    project: str,
    env: str,
    run_id: str = LAST,
    *,
    to_its_end: bool = False,
    dead: Sequence[tuple[Row, list[Row]]] = (),
) -> RunChain:
    """Return the run *run_id* and the runs that it retries, directly or through another retry.

    *run_id* may be ``last``, for the newest run that is not a rollback. *to_its_end* includes the later
    retries of the run. The other arguments are as in `KnownRuns`.

    Raises:
        LookupError: if the run log has no such run.
    """
    known = KnownRuns(sinks, project, env, dead)
    by_id = {run["run_id"]: run for run in known.runs}
    links = [by_id.pop(known.named(run_id)["run_id"])]
    while (before := by_id.pop(links[0]["retry_of"] or "", None)) is not None:
        links.insert(0, before)
    followers = {run["retry_of"]: run for run in reversed(by_id.values())} if to_its_end else {}
    while (after := followers.pop(links[-1]["run_id"], None)) is not None:
        links.append(after)
    position = {run["run_id"]: i for i, run in enumerate(links)}
    attempts = known.attempts(position)
    ordered = sorted(attempts, key=lambda r: (position[r["run_id"]], r["attempt"] or 0))
    return RunChain(links, {record["transformation_id"]: record for record in ordered})
