"""Find unusual facts about a row: much slower than in its last runs, or far fewer rows.

Durations and row counts vary by factors, so all distances are between logarithms. The median of the last
runs is the usual value, and the median distance from it (MAD) is the usual spread, because one odd run
changes neither.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec

from odibi_nb.core.model.events import Status
from odibi_nb.core.runlog.history import MOST_RUNS_LOOKED_AT, last_whole_runs, past_runs
from odibi_nb.core.text.counts import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from odibi_nb.core.model.results import RunResult
    from odibi_nb.core.protocols import BaseLogSink, Measures

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
ROUNDING = 0.999
"""A median is the exponential of a logarithm: it may be smaller than the least value by a rounding error."""
_TO_SIGMA = 1.4826


class Usual(msgspec.Struct, gc=False, eq=False):
    """The usual duration and number of rows of one transformation, from its last successes in any order.

    Medians and limits are computed when they are first needed. Nearly all values are compared with the
    extremes alone: a run of thousands of rows judges each of them while it runs. The collector does not
    track these objects, because thousands of them would make it stop the run.

    Attributes:
        times: seconds of the successes. A time that is not above 0 does not count.
        counts: rows that they wrote. A negative number does not count.
    """

    times: Sequence[float]
    counts: Sequence[float]
    _time: tuple[float | None, float] | None = None
    _count: tuple[float | None, float] | None = None

    def __post_init__(self) -> None:
        self.times = array("d", [x for x in self.times if x > 0])
        self.counts = array("d", [x for x in self.counts if x >= 0])

    @property
    def seconds(self) -> float | None:
        """The median duration; None with too few successes."""
        return self._of_times()[0]

    @property
    def rows(self) -> float | None:
        """The median number of written rows; None with too few numbers."""
        count = self._of_counts()[0]
        return None if count is None else count - 1

    @property
    def slow_from(self) -> float:
        """The seconds above which the transformation is slow."""
        time, limit = self._of_times()
        return math.inf if time is None else max(limit, time + LEAST_SECONDS)

    @property
    def few_below(self) -> float:
        """The rows below which the transformation has few."""
        count, limit = self._of_counts()
        if count is None or count - 1 < LEAST_ROWS:
            return 0.0
        return max(0.0, count * count / limit - 1)

    def is_slow(self, seconds: float) -> bool:
        """Return True if *seconds* are more than `slow_from`."""
        if len(self.times) < LEAST_RUNS:
            return False
        least = min(self.times) * ROUNDING
        return seconds > max(SLOW * least, least + LEAST_SECONDS) and seconds > self.slow_from

    def is_few(self, rows: int) -> bool:
        """Return True if *rows* are fewer than `few_below`."""
        if len(self.counts) < LEAST_RUNS:
            return False
        most = (max(self.counts) + 1) / ROUNDING
        return rows < most / FEW and rows < self.few_below

    def _of_times(self) -> tuple[float | None, float]:
        if self._time is None:
            self._time = _median_and_limit(self.times, SLOW)
        return self._time

    def _of_counts(self) -> tuple[float | None, float]:
        if self._count is None:
            self._count = _median_and_limit([x + 1 for x in self.counts], FEW)
        return self._count


def unusual(
    usual: Usual | None, seconds: float | None, rows: int | None, *, running: bool = False
) -> tuple[str, ...]:
    """Return a line for each unusual fact about an attempt of *seconds* that wrote *rows*.

    Args:
        usual: the usual values of the transformation; None if they are unknown.
        seconds: the duration of the attempt, or its time so far if it is *running*.
        rows: the written rows; None if they are not known.
        running: True if the attempt has not ended. Its lines do not change while it runs.
    """
    if usual is None:
        return ()
    found = []
    if seconds is not None and usual.is_slow(seconds):
        assert usual.seconds is not None
        times = f"{seconds / usual.seconds:,.1f} ×" if not running else f"over {SLOW:.0f} ×"
        verb = "takes" if running else "took"
        found.append(f"{verb} {times} its usual time of {usual.seconds:,.1f} s")
    if rows is not None and usual.is_few(rows):
        found.append(f"wrote {counted(rows, 'row')}, usually {usual.rows:,.0f}")
    return tuple(found)


def usual_by_id(measures: Iterable[Measures]) -> dict[str, Usual]:
    """Return the usual values of each transformation that has enough successes among *measures*."""
    return {
        name: Usual(seconds, rows) for name, seconds, rows in measures if len(seconds) >= LEAST_RUNS
    }


def usual_now(
    sinks: Sequence[BaseLogSink], project: str, env: str, before: str = ""
) -> Mapping[str, Usual]:
    """Return the usual values of each transformation in the last runs of *project* in *env*, from the run log.

    With *before*, the id of a run, only earlier runs count: a run is not compared with itself.
    """
    runs = past_runs(sinks, MOST_RUNS_LOOKED_AT, project, env)
    ids = [run["run_id"] for run in runs]
    earlier = runs[ids.index(before) + 1 :] if before in ids else runs
    compared = [run["run_id"] for run in last_whole_runs(earlier, MOST_RUNS)]
    found = (sink.measures(compared) for sink in sinks)
    return usual_by_id(next(filter(None, found), []))


def with_unusual(result: RunResult, usual: Mapping[str, Usual]) -> RunResult:
    """Return *result* with the unusual facts of each successful transformation."""
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


def _median_and_limit(values: Sequence[float], factor: float) -> tuple[float | None, float]:
    """Return the median of *values*, and the limit above which a value is unusual."""
    if len(values) < LEAST_RUNS:
        return None, math.inf
    logs = sorted(map(math.log, values))
    middle = _middle(logs)
    spread = _spread(logs, middle) * (1 + FEW_SAMPLES / len(logs))
    return math.exp(middle), math.exp(middle + max(math.log(factor), SPREADS * spread))


def _spread(logs: Sequence[float], middle: float) -> float:
    """Return the usual distance of *values* from their *middle*: the greater of two estimates.

    The MAD of 20 values may be a third too small. The standard deviation is more reliable, but one odd run
    would make it too large. So distances above three times the MAD do not count.
    """
    distances = [abs(x - middle) for x in logs]
    mad = _TO_SIGMA * _middle(sorted(distances))
    deviation = math.sqrt(sum(min(x, 3 * mad) ** 2 for x in distances) / (len(logs) - 1))
    return max(mad, deviation)


def _middle(ordered: Sequence[float]) -> float:
    half = len(ordered) // 2
    return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2
