"""Forecast how long a plan will take: simulate its run with the durations expected from history.

The simulation uses the runner's own order (`Schedule`). It does not include other waits of the
runner: retries, caching after a layer, and listeners.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from odibi_nb.core.planning.schedule import Gate, Schedule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from odibi_nb.core.planning.plan import RunPlan

SCHEDULES = ("layers", "graph")
MOST_WORKERS = 32
SMALL_PLAN = 500
"""The most rows for which every number of workers is simulated.

A larger plan is simulated with a few numbers of workers only: 10,000 rows take a second.
"""


class Span(msgspec.Struct, frozen=True, gc=False):
    """Start and end of a row, in seconds from the run's start.

    *cause* is the id of the row whose end let this row start; None at the start of the run.
    """

    start: float
    end: float
    cause: str | None


class Makespan(NamedTuple):
    """Seconds that the run takes with *workers* workers, for each schedule.

    *bound* is a lower bound of the seconds for any schedule.
    """

    workers: int
    layers: float
    graph: float
    bound: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """The expected duration of a plan and of its rows.

    Attributes:
        seconds: the expected seconds of each id.
        unknown: ids of the rows without history. The forecast assumes *assumed* seconds for each.
        assumed: the median of the rows with history.
        spans: start and end of each id, with the plan's own workers and schedule.
        critical: the critical path with one worker for each row: a chain of ids from start to end
            without a break. Make these rows faster first.
        critical_rows: *critical* as a set.
        makespans: the duration for each number of workers, from 1 to the most that are ever busy.
    """

    seconds: Mapping[str, float]
    unknown: frozenset[str]
    assumed: float
    spans: Mapping[str, Span]
    critical: tuple[str, ...]
    critical_rows: frozenset[str]
    makespans: tuple[Makespan, ...]

    @property
    def makespan(self) -> float:
        """The seconds from the run's start to its end."""
        return _end(self.spans)

    @property
    def critical_seconds(self) -> float:
        """The shortest duration of the run, in seconds, with any number of workers."""
        return sum(self.seconds[name] for name in self.critical)


def forecast(plan: RunPlan) -> Forecast | None:
    """Return the forecast of *plan*; None if it has problems or none of its rows has a history."""
    known = _known(plan)
    if plan.problems or not known:
        return None
    seconds, assumed = expected_durations(plan)
    free = {schedule: simulate(plan, seconds, schedule=schedule) for schedule in SCHEDULES}
    critical = _chain(free[plan.schedule])
    return Forecast(
        seconds=seconds,
        unknown=frozenset(plan.rows.keys() - known.keys()),
        assumed=assumed,
        spans=expected_spans(plan, seconds),
        critical=critical,
        critical_rows=frozenset(critical),
        makespans=tuple(_makespans(plan, seconds, free)),
    )


def expected_durations(plan: RunPlan) -> tuple[dict[str, float], float]:
    """Return the expected seconds of each id, and the seconds assumed for rows without history."""
    known = _known(plan)
    from statistics import median  # late: it imports fractions and decimals

    assumed = median(known.values()) if known else 0.0
    return {name: known.get(name, assumed) for name in plan.rows}, assumed


def _known(plan: RunPlan) -> dict[str, float]:
    return {
        name: row.expected_seconds
        for name, row in plan.rows.items()
        if row.expected_seconds is not None
    }


def expected_spans(plan: RunPlan, seconds: Mapping[str, float]) -> dict[str, Span]:
    """Return the span of each id, with the plan's own workers, limits and schedule."""
    return simulate(
        plan,
        seconds,
        schedule=plan.schedule,
        workers=plan.workers,
        layer_workers=plan.layer_workers,
    )


def simulate(
    plan: RunPlan,
    seconds: Mapping[str, float],
    *,
    schedule: str,
    workers: int | None = None,
    layer_workers: Mapping[str, int] | None = None,
) -> dict[str, Span]:
    """Simulate the run and return the span of each id, in the order of starts.

    Args:
        plan: a plan without problems.
        seconds: the duration of each id.
        schedule: ``layers`` or ``graph``.
        workers: the number of rows that may run at a time; None for no limit.
        layer_workers: the same limit for the rows of one layer, by layer.
    """
    limit, limits = len(plan.rows) if workers is None else workers, layer_workers or {}
    if schedule == "layers" and not _have_order(plan):
        return _layer_by_layer(plan, seconds, limit, limits)
    return _in_order(plan, seconds, schedule, limit, limits)


def _have_order(plan: RunPlan) -> bool:
    """Return True if rows of *plan* wait for other rows of their own layer."""
    rows = plan.rows
    return bool(plan.ordered_by_step) or any(
        rows[up].layer == row.layer for row in rows.values() for up in row.upstream
    )


def _layer_by_layer(
    plan: RunPlan, seconds: Mapping[str, float], workers: int, limits: Mapping[str, int]
) -> dict[str, Span]:
    """Return the same as `_in_order` for rows that wait only for whole layers, in a third of the time."""
    spans: dict[str, Span] = {}
    now, cause = 0.0, None
    for layer, rows in plan.by_layer().items():
        limit = min(workers, limits.get(layer, workers))
        running: list[tuple[float, int, str]] = []
        for _, name in sorted([(row.rank, row.id) for row in rows]):
            if len(running) == limit:
                now, _, cause = heapq.heappop(running)
            end = now + seconds[name]
            spans[name] = Span(now, end, cause)
            heapq.heappush(running, (end, len(spans), name))
        if running:
            now, _, cause = max(running)
    return spans


def _in_order(
    plan: RunPlan,
    seconds: Mapping[str, float],
    schedule: str,
    limit: int,
    limits: Mapping[str, int],
) -> dict[str, Span]:
    """Return the spans of a run that starts each row as soon as the rows before it have ended."""
    order = Schedule(plan, gates=schedule == "layers", limits=limits)
    running: list[tuple[float, int, str]] = []
    running_in = dict.fromkeys(plan.layers, 0)
    spans: dict[str, Span] = {}
    now, cause = 0.0, None
    _release(plan, order)
    while True:
        while len(running) < limit and (row := order.take(running_in)) is not None:
            end = now + seconds[row.id]
            spans[row.id] = Span(now, end, cause)
            running_in[row.layer] += 1
            heapq.heappush(running, (end, len(spans), row.id))
        if not running:
            return spans
        now, _, cause = heapq.heappop(running)
        running_in[plan.rows[cause].layer] -= 1
        order.done(cause)
        _release(plan, order)


def _release(plan: RunPlan, order: Schedule) -> None:
    while nodes := order.released():
        for node in nodes:
            if isinstance(node, Gate):
                order.done(node)
            else:
                order.queue(plan.rows[node])


def _end(spans: Mapping[str, Span]) -> float:
    return max((span.end for span in spans.values()), default=0.0)


def _chain(spans: Mapping[str, Span]) -> tuple[str, ...]:
    """Return the chain of ids that ends last, in which the end of each row starts the next."""
    name = max(spans, key=lambda name: spans[name].end, default=None)
    chain = []
    while name is not None:
        chain.append(name)
        name = spans[name].cause
    return tuple(reversed(chain))


def _most_at_once(spans: Mapping[str, Span]) -> int:
    """Return the largest number of rows that run at the same time. Rows of 0 seconds do not count."""
    longer = [span for span in spans.values() if span.end > span.start]
    changes = [(span.start, 1) for span in longer] + [(span.end, -1) for span in longer]
    most = now = 0
    for _, change in sorted(changes):  # of changes at the same moment, ends come first
        now += change
        most = max(most, now)
    return most


def _makespans(
    plan: RunPlan, seconds: Mapping[str, float], free: Mapping[str, Mapping[str, Span]]
) -> list[Makespan]:
    work, longest = sum(seconds.values()), _end(free["graph"])
    at_once = max(_most_at_once(spans) for spans in free.values())
    most = max(1, min(MOST_WORKERS, at_once))
    limits = plan.layer_workers

    def took(schedule: str, n: int) -> float:
        if n == 1:
            return work
        return _end(simulate(plan, seconds, schedule=schedule, workers=n, layer_workers=limits))

    return [
        Makespan(n, took("layers", n), took("graph", n), bound=max(longest, work / n))
        for n in _numbers(most, len(plan.rows))
    ]


def _numbers(most: int, rows: int) -> list[int]:
    """Return the numbers of workers to simulate, up to *most*."""
    if rows <= SMALL_PLAN:
        return [*range(1, most + 1)]
    return sorted({number for number in (1, 4, 16) if number < most} | {most})
