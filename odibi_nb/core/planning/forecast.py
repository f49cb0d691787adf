"""How long a plan will take: its run, played through with the durations that history expects.

The order is the runner's own (`Schedule`); what the runner waits for besides (retries, caching after a
layer, listeners) is not foreseen.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from odibi_nb.core.planning.schedule import Gate, Schedule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from odibi_nb.core.planning.plan import RunPlan

SCHEDULES = ("layers", "graph")
MOST_WORKERS = 32
SMALL_PLAN = 500
"""Up to so many rows every number of workers is played through; above, a few: 10,000 rows take a second."""


class Span(NamedTuple):
    """When a row runs, in seconds from the run's start; *cause* is the row for whose end it waited."""

    start: float
    end: float
    cause: str | None


class Makespan(NamedTuple):
    """How long the run takes with a number of workers, by schedule, and what no schedule can beat."""

    workers: int
    layers: float
    graph: float
    bound: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What to expect of a plan.

    Attributes:
        seconds: id to how long it is taken to run.
        unknown: rows without history; they are taken to run *assumed* seconds, the others' median.
        spans: id to when it runs, with the plan's own workers and schedule.
        critical: the ids that follow on each other without a break from start to end, with as many
            workers as there are rows: what to make faster first. *critical_rows* is their set.
        makespans: for 1 to as many workers as ever run at once.
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
        """Seconds from the run's start to its end."""
        return _end(self.spans)

    @property
    def critical_seconds(self) -> float:
        """How long the run takes at least, however many workers it has."""
        return sum(self.seconds[name] for name in self.critical)


def forecast(plan: RunPlan) -> Forecast | None:
    """What to expect of *plan*; None if it cannot run, or nothing of it has ever succeeded."""
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
    """Id to expected seconds; and what rows without history are taken to last."""
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
    """Id to when it runs, with the plan's own workers, limits and schedule."""
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
    """Play the run through: id to when it runs, in the order of starts.

    Args:
        plan: without problems.
        seconds: id to how long it runs.
        schedule: ``layers`` or ``graph``.
        workers: rows at a time; no limit if None.
        layer_workers: layer to its own limit.
    """
    order = Schedule(plan, gates=schedule == "layers", limits=layer_workers or {})
    limit = len(plan.rows) if workers is None else workers
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
    """The rows that waited for each other, up to the one that ends last."""
    name = max(spans, key=lambda name: spans[name].end, default=None)
    chain = []
    while name is not None:
        chain.append(name)
        name = spans[name].cause
    return tuple(reversed(chain))


def _most_at_once(spans: Mapping[str, Span]) -> int:
    """How many rows ever run at the same time; those that take no time do not."""
    longer = [span for span in spans.values() if span.end > span.start]
    changes = [(span.start, 1) for span in longer] + [(span.end, -1) for span in longer]
    most = now = 0
    for _, change in sorted(changes):  # at the same moment, ends come first
        now += change
        most = max(most, now)
    return most


def _makespans(
    plan: RunPlan, seconds: Mapping[str, float], free: Mapping[str, Mapping[str, Span]]
) -> list[Makespan]:
    work, longest = sum(seconds.values()), _end(free["graph"])
    at_once = max(_most_at_once(spans) for spans in free.values())
    most = max(1, min(MOST_WORKERS, at_once))
    found = []
    for workers in _numbers(most, len(plan.rows)):
        took = {
            schedule: work
            if workers == 1
            else _end(
                simulate(
                    plan,
                    seconds,
                    schedule=schedule,
                    workers=workers,
                    layer_workers=plan.layer_workers,
                )
            )
            for schedule in SCHEDULES
        }
        found.append(Makespan(workers, **took, bound=max(longest, work / workers)))
    return found


def _numbers(most: int, rows: int) -> list[int]:
    """The numbers of workers to play through, up to *most*."""
    if rows <= SMALL_PLAN:
        return [*range(1, most + 1)]
    return sorted({number for number in (1, 4, 16) if number < most} | {most})
