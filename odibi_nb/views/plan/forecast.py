"""The forecast of a plan in text and cells: times, critical path, makespans by number of workers."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.name_lists import some_of
from odibi_nb.views.records import Records

if TYPE_CHECKING:
    from odibi_nb.core.planning.forecast import Forecast
    from odibi_nb.core.planning.plan import PlannedRow, RunPlan

COLUMNS = ("expected", "starts", "ends", "critical")
CRITICAL = "◆ critical"
MAKESPAN_COLUMNS = ("workers", "layer by layer", "graph", "at least")
SCHEDULE_NAMES = {"layers": "layer by layer", "graph": "each row when its inputs exist"}
MAX_NAMED = 12
DATA, BARRIER = "→", "⇥"
"""Arrows between two rows of the critical path: the second one needs the first, or waits for a whole layer or step."""
NO_HISTORY = "No history yet: expected times and the critical path are known after a first run."


def duration(seconds: float) -> str:
    """Return a duration with a precision that fits its size."""
    if round(seconds, 1) < 60:  # noqa: PLR2004  a minute
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"  # noqa: PLR2004
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004  an hour
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def forecast_cells(row: PlannedRow, expected: Forecast | None) -> dict[str, str]:
    """Map `COLUMNS` to the cells of *row*. A duration that is assumed without history has a "?"."""
    if expected is None:
        usual = "" if row.expected_seconds is None else duration(row.expected_seconds)
        return dict.fromkeys(COLUMNS, "") | {"expected": usual}
    span = expected.spans[row.id]
    unknown = "?" if row.id in expected.unknown else ""
    return {
        "expected": duration(expected.seconds[row.id]) + unknown,
        "starts": f"+{duration(span.start)}",
        "ends": f"+{duration(span.end)}",
        "critical": CRITICAL if row.id in expected.critical_rows else "",
    }


def forecast_lines(plan: RunPlan, expected: Forecast | None) -> list[str]:
    """Return lines about the expected duration, the rows without history, and the critical path."""
    if plan.problems or not plan.rows:
        return []
    if expected is None:
        return [*_loose(plan), NO_HISTORY]
    workers = counted(plan.workers, "worker")
    lines = [
        f"Expected: {duration(expected.makespan)} with {workers}, {SCHEDULE_NAMES[plan.schedule]}"
    ]
    if expected.unknown:
        lines.append(
            f"Without history: {len(expected.unknown):,} of {counted(len(plan.rows), 'row')}, "
            f"each expected to take {duration(expected.assumed)}, the median of the others"
        )
    return [*lines, _critical_line(plan, expected), *_loose(plan)]


def _critical_line(plan: RunPlan, expected: Forecast) -> str:
    """Return the critical path. The arrow between two rows shows if the second needs the first, or only waits for it."""
    path = expected.critical
    arrows = [DATA if up in plan.rows[name].upstream else BARRIER for up, name in pairwise(path)]
    pieces = [path[0], *(f"{arrow} {name}" for arrow, name in zip(arrows, path[1:], strict=True))]
    if len(path) > MAX_NAMED:
        pieces[MAX_NAMED - 1 : -1] = [f"{DATA} … ({len(path) - MAX_NAMED} more)"]
    waits = BARRIER in arrows
    title = "Layer by layer, the slowest chain" if waits else "Critical path"
    meaning = (
        f" ({BARRIER} waits for all rows before it, not for data of this one)" if waits else ""
    )
    return f"{title} ({duration(expected.critical_seconds)}): {' '.join(pieces)}{meaning}"


def _loose(plan: RunPlan) -> list[str]:
    """Return a warning for rows of later layers that start at once because they name no inputs."""
    first = next((layer for layer, rows in plan.by_layer().items() if rows), "")
    names = [
        row.id
        for row in plan.rows.values()
        if row.layer != first and not row.reads and not row.upstream
    ]
    if plan.schedule != "graph" or not names:
        return []
    text = f"With schedule graph, rows of later layers that name no input start at once: {some_of(names, MAX_NAMED)}"
    return [f"{text}; name their inputs, or the rows that they need (depends_on)"]


def makespan_table(expected: Forecast) -> Records:
    """Return the expected duration of the run with other numbers of workers, by schedule."""
    rows = []
    for one in expected.makespans:
        times = map(duration, (one.layers, one.graph, one.bound))
        rows.append(dict(zip(MAKESPAN_COLUMNS, (str(one.workers), *times), strict=True)))
    return Records("Expected duration by number of workers", MAKESPAN_COLUMNS, rows)
