"""Find unusual facts about a row: much slower than in its last runs, or far fewer rows.

Durations and row counts vary by factors, not by seconds: so all distances are between logarithms. The
median and the median distance from it (MAD) are the usual, because one odd run changes neither.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from odibi_nb.core.model.events import Status
from odibi_nb.core.runlog.history import MOST_RUNS_LOOKED_AT, last_whole_runs, past_runs
from odibi_nb.core.text.counts import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from odibi_nb.core.model.results import RunResult
    from odibi_nb.core.protocols import BaseLogSink, Row

LEAST_RUNS = 5
"""Number of successes from which a row has a usual."""
MOST_RUNS = 20
"""Number of newest successes that are compared."""
SLOW, FEW = 3.0, 10.0
"""Factors: a row is slow over 3 × its usual time, and has few rows under a tenth of its usual rows."""
LEAST_SECONDS = 1.0
"""A row that is over its usual time by less is never slow: a busy machine does that."""
LEAST_ROWS = 20
"""A table with fewer usual rows is never found to have few."""
SPREADS = 4.5
"""A value is unusual only if it is this many times farther from the median than values usually are."""
FEW_SAMPLES = 3.0
"""The spread of few values is uncertain: with *n* of them it counts ``1 + 3 / n`` times."""
_TO_SIGMA = 1.4826


class Usual(NamedTuple):
    """The usual time and rows of one transformation.

    Attributes:
        seconds: the median duration of its successes; None with too few of them.
        rows: the median number of written rows; None with too few numbers.
        slow_from: the seconds above which it is slow.
        few_below: the rows below which it has few.
    """

    seconds: float | None = None
    rows: float | None = None
    slow_from: float = math.inf
    few_below: float = 0.0


def usual_of(seconds: Sequence[float], rows: Sequence[int]) -> Usual:
    """Return the usual of a transformation from its last successes, in any order."""
    time, slow_from = _median_and_limit([x for x in seconds if x > 0], SLOW)
    count, few = _median_and_limit([float(x) + 1 for x in rows if x >= 0], FEW)
    usual_rows = None if count is None else count - 1
    return Usual(
        seconds=time,
        rows=usual_rows,
        slow_from=math.inf if time is None else max(slow_from, time + LEAST_SECONDS),
        few_below=0.0
        if count is None or count - 1 < LEAST_ROWS
        else max(0.0, count * count / few - 1),
    )


def unusual(
    usual: Usual | None, seconds: float | None, rows: int | None, *, running: bool = False
) -> tuple[str, ...]:
    """Return a line for each unusual fact about an attempt of *seconds* that wrote *rows*.

    Args:
        usual: of its transformation; None if it is not known.
        seconds: the duration, or of a *running* attempt the time so far.
        rows: the written rows; None if they are not known.
        running: True if the attempt has not ended. Its lines do not change while it goes on.
    """
    if usual is None:
        return ()
    found = []
    if seconds is not None and usual.seconds is not None and seconds > usual.slow_from:
        times = f"{seconds / usual.seconds:,.1f} ×" if not running else f"over {SLOW:.0f} ×"
        verb = "takes" if running else "took"
        found.append(f"{verb} {times} its usual time of {usual.seconds:,.1f} s")
    if rows is not None and usual.rows is not None and rows < usual.few_below:
        found.append(f"wrote {counted(rows, 'row')}, usually {usual.rows:,.0f}")
    return tuple(found)


def usual_by_id(outcomes: Iterable[Row]) -> dict[str, Usual]:
    """Return the usual of each transformation from its *outcomes*, oldest first."""
    times: dict[str, list[float]] = defaultdict(list)
    counts: dict[str, list[int]] = defaultdict(list)
    for one in outcomes:
        if one["status"] == Status.SUCCESS.value:
            name = one["transformation_id"]
            if one["duration_seconds"] is not None:
                times[name].append(one["duration_seconds"])
            if one["rows_out"] is not None:
                counts[name].append(one["rows_out"])
    return {
        name: usual_of(seconds[-MOST_RUNS:], counts[name][-MOST_RUNS:])
        for name, seconds in times.items()
        if len(seconds) >= LEAST_RUNS
    }


def usual_now(
    sinks: Sequence[BaseLogSink], project: str, env: str, before: str = ""
) -> Mapping[str, Usual]:
    """Return the usual of each transformation in the last runs of *project* in *env*, from the run log.

    With *before*, the id of a run, only earlier runs count: a run is not compared with itself.
    """
    runs = past_runs(sinks, MOST_RUNS_LOOKED_AT, project, env)
    ids = [run["run_id"] for run in runs]
    earlier = runs[ids.index(before) + 1 :] if before in ids else runs
    compared = last_whole_runs(earlier, MOST_RUNS)
    return usual_by_id(past_outcomes(sinks, [run["run_id"] for run in compared]))


def with_unusual(result: RunResult, usual: Mapping[str, Usual]) -> RunResult:
    """Return *result*, in which each successful transformation has its unusual facts."""
    last = {record["transformation_id"]: record for record in result.records}
    judged = {
        name: replace(
            one, unusual=unusual(usual.get(name), last[name]["duration_seconds"], one.rows_out)
        )
        if one.status is Status.SUCCESS and name in last
        else one
        for name, one in result.transformations.items()
    }
    return replace(result, transformations=judged)


def past_outcomes(sinks: Sequence[BaseLogSink], run_ids: Sequence[str]) -> list[Row]:
    """Return the short records of the runs *run_ids*, oldest first, from the first sink that has any."""
    for sink in sinks:
        found = sink.outcomes(run_ids)
        if found:
            return found
    return []


def _median_and_limit(values: Sequence[float], factor: float) -> tuple[float | None, float]:
    """Return the median of *values*, and the value above it from which a larger one is unusual."""
    if len(values) < LEAST_RUNS:
        return None, math.inf
    logs = sorted(map(math.log, values))
    middle = _middle(logs)
    spread = _spread(logs, middle) * (1 + FEW_SAMPLES / len(logs))
    return math.exp(middle), math.exp(middle + max(math.log(factor), SPREADS * spread))


def _spread(logs: Sequence[float], middle: float) -> float:
    """Return how far values usually are from their *middle*: the greater of two estimates.

    The MAD of 20 values may be a third too small. The standard deviation is surer, but an odd run would make
    it too large: so it counts no distance above three times the MAD.
    """
    distances = [abs(x - middle) for x in logs]
    mad = _TO_SIGMA * _middle(sorted(distances))
    deviation = math.sqrt(sum(min(x, 3 * mad) ** 2 for x in distances) / (len(logs) - 1))
    return max(mad, deviation)


def _middle(ordered: Sequence[float]) -> float:
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
