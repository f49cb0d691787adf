"""A plan as text, for terminals and logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.core.planning.forecast import forecast
from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.redaction import redact_url
from odibi_nb.views.plan.forecast import COLUMNS as FORECAST_COLUMNS
from odibi_nb.views.plan.forecast import forecast_cells, forecast_lines, makespan_table
from odibi_nb.views.records import Records

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odibi_nb.core.model.transformation import Output, Transformation
    from odibi_nb.core.planning.forecast import Forecast
    from odibi_nb.core.planning.plan import PlannedRow, RunPlan

COLUMNS = (
    *("transformation", "layer", "function", "engine", "reads", "writes", "after"),
    *FORECAST_COLUMNS,
)


def plan_text(plan: RunPlan) -> str:
    """Return all rows of the plan, then its notices and problems."""
    expected = forecast(plan)
    steps = plan.steps()
    rows = [plan_cells(row, expected, steps.get(row.layer, ())) for row in plan.rows.values()]
    title = (
        f"Plan of {plan.project!r}, env {plan.env}: {counted(len(rows), 'row')} from {plan.source}"
    )
    columns = COLUMNS if plan.fresh is None else (*COLUMNS, "why")
    lines = [str(Records(title, columns, rows)), *fresh_lines(plan), *step_lines(plan)]
    lines += forecast_lines(plan, expected)
    if expected is not None and len(expected.makespans) > 1:
        lines.append(str(makespan_table(expected)))
    if plan.selection:
        lines.append(f"selected: {plan.selection}")
    if plan.disabled:
        lines.append(f"disabled: {', '.join(plan.disabled)}")
    lines += [f"⚠️ {text}" for text in plan.notices]
    if plan.problems:
        lines.append(f"{counted(len(plan.problems), 'problem')}, nothing will run:")
        lines += [f"  ✖ {problem}" for problem in plan.problems]
    return "\n".join(lines)


def fresh_lines(plan: RunPlan) -> list[str]:
    """Return a line about the fresh rows that a ``--stale`` run leaves out."""
    if plan.fresh is None:
        return []
    count = counted(plan.fresh, "row is", "rows are")
    return [f"Only stale rows: {count} fresh and will not run"]


def step_lines(plan: RunPlan) -> list[str]:
    """Return lines about layers that are ordered by step, and layers whose steps have no effect."""
    lines = [
        f"{layer} is ordered by step ({' → '.join(map(str, steps))}): rows of a step wait for all rows "
        "of the step before"
        for layer, steps in plan.steps().items()
    ]
    idle = [
        layer
        for layer, rows in plan.by_layer().items()
        if layer not in plan.ordered_by_step
        and len({row.transformation.step for row in rows} - {None}) > 1
    ]
    if idle:
        lines.append(
            f"The steps of {', '.join(idle)} order nothing: rows wait for their inputs (to order a "
            'layer by its steps: "ordered_by_step": true in the manifest\'s "layers")'
        )
    return lines


def _how(output: Output, transformation: Transformation) -> str:
    """Return the way a table is written, as far as the runner knows."""
    how = "by the function" if transformation.output_problems else output.mode
    return f"{how}, optional" if output.optional else how


def _waits_for(row: PlannedRow, steps: Sequence[int]) -> str:
    """Return the predecessors of *row*: its upstream rows, and the step before its own."""
    step = row.transformation.step
    before = [f"step {x}" for x in steps if step is not None and x < step]
    return ", ".join([*row.upstream, *before[-1:]])


def plan_cells(
    row: PlannedRow, expected: Forecast | None, steps: Sequence[int] = ()
) -> dict[str, str]:
    """Map `COLUMNS` to the cells of *row*. *steps* are the steps that order its layer."""
    transformation = row.transformation
    return {
        "transformation": row.id,
        "layer": row.layer,
        "function": transformation.qualified_function,
        "engine": row.engine,
        "reads": ", ".join(_input_name(item) for item in transformation.sources),
        "writes": ", ".join(
            f"{x.table} ({_how(x, transformation)})" for x in transformation.targets
        ),
        "after": _waits_for(row, steps),
        **forecast_cells(row, expected),
        "why": row.why,
    }


def _input_name(item: Any) -> str:
    """Return the name of an input: its table, its file, or the name of its query."""
    if isinstance(item, str):
        return redact_url(item)
    return redact_url(str(item.get("table") or item.get("path") or item.get("name") or "query"))
