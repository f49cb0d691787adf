"""A plan as text, for terminals and logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.core.redaction import redact_url
from odibi_nb.views.records import Records

if TYPE_CHECKING:
    from odibi_nb.core.plan import PlannedRow, RunPlan

COLUMNS = ("transformation", "layer", "function", "engine", "reads", "writes", "after", "expected")


def plan_text(plan: RunPlan) -> str:
    """Every row that would run, then what is wrong and what to know."""
    rows = [plan_cells(row) for row in plan.rows.values()]
    title = f"Plan of {plan.project!r}, env {plan.env}: {len(rows)} rows from {plan.source}"
    lines = [str(Records(title, COLUMNS, rows))]
    if plan.selection:
        lines.append(f"selected: {plan.selection}")
    if plan.disabled:
        lines.append(f"disabled: {', '.join(plan.disabled)}")
    lines += [f"⚠️ {text}" for text in plan.notices]
    if plan.problems:
        lines.append(f"{len(plan.problems)} problem(s), nothing will run:")
        lines += [f"  ✖ {problem}" for problem in plan.problems]
    return "\n".join(lines)


def plan_cells(row: PlannedRow) -> dict[str, str]:
    """`COLUMNS` to what stands there for *row*."""
    transformation = row.transformation
    return {
        "transformation": row.id,
        "layer": row.layer,
        "function": transformation.qualified_function,
        "engine": row.engine,
        "reads": ", ".join(_input_name(item) for item in transformation.inputs),
        "writes": ", ".join(f"{x.table} ({x.mode})" for x in transformation.targets),
        "after": ", ".join(row.upstream),
        "expected": f"{row.expected_seconds:.2f} s" if row.expected_seconds is not None else "",
    }


def _input_name(item: Any) -> str:
    """What an input is called: its table, its file, or the name of its query."""
    if isinstance(item, str):
        return redact_url(item)
    return redact_url(str(item.get("table") or item.get("path") or item.get("name") or "query"))
