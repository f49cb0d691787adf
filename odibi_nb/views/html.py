"""A run, a plan and a result as HTML: no scripts, every value escaped, both themes."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import TYPE_CHECKING

from odibi_nb.core.decoding import as_json
from odibi_nb.core.events import Status
from odibi_nb.core.tables import redact
from odibi_nb.views.gantt import gantt_of
from odibi_nb.views.gantt_svg import gantt_svg
from odibi_nb.views.graph_svg import graph_svg
from odibi_nb.views.looks import LOOKS, RUN_LOOKS, readable
from odibi_nb.views.plan_text import COLUMNS as PLAN_TEXT_COLUMNS
from odibi_nb.views.plan_text import plan_cells
from odibi_nb.views.state import RETRYING, WAITING, RunSnapshot

if TYPE_CHECKING:
    from odibi_nb.core.plan import PlannedRow, RunPlan

PLAN_ROWS = 1_000
PLAN_COLUMNS = (*PLAN_TEXT_COLUMNS, "constants")
MAX_OPEN_GRAPH = 40
"""The graph of a plan with more rows than that is folded away: it is higher than a screen."""
_WRAP = (
    "font-size:var(--jp-ui-font-size1,13px);color:var(--jp-ui-font-color1,inherit);"
    "max-width:100%;overflow-x:auto"
)
_WIDE = "style='text-align:left;vertical-align:top;max-width:24em;overflow-wrap:break-word'"
_WHOLE = "style='text-align:left;vertical-align:top;white-space:nowrap'"
_WHOLE_COLUMNS = frozenset({"transformation", "layer", "function", "engine", "expected"})
MAX_CELL = 100


def picture_html(snapshot: RunSnapshot, hint: str = "") -> str:
    """The summary line with a *hint*, and the Gantt chart below it."""
    return f"<div style='{_WRAP}'>{summary_html(snapshot, hint)}{chart_html(snapshot)}</div>"


def chart_html(snapshot: RunSnapshot) -> str:
    """The Gantt chart."""
    return gantt_svg(gantt_of(snapshot), snapshot.run_id)


def summary_html(snapshot: RunSnapshot, hint: str = "") -> str:
    """One line: how it stands, project, env, run, how many rows are how far, elapsed; and a *hint*."""
    sign, colour, _ = RUN_LOOKS.get(snapshot.status, LOOKS["RUNNING"])
    state = f"<b style='{readable(colour)}'>{sign} {escape(snapshot.status)}</b>"
    hints = [hint] if hint else []
    text = escape(" · ".join([*summary_parts(snapshot), *hints]))
    return f"<p role='status' style='margin:4px 0'>{state} · {text}</p>"


def summary_text(snapshot: RunSnapshot) -> str:
    """The summary line as plain text."""
    sign = RUN_LOOKS.get(snapshot.status, LOOKS["RUNNING"]).sign
    return " · ".join([f"{sign} {snapshot.status}", *summary_parts(snapshot)])


def summary_parts(snapshot: RunSnapshot) -> list[str]:
    """Project, env, run, how many rows are how far, elapsed; plain text."""
    counts = snapshot.counts()
    done = sum(counts[status.value] for status in Status if status is not Status.RUNNING)
    parts = [f"{done:,} of {len(snapshot.rows):,} done"]
    parts += [
        f"{counts[name]:,} {label}"
        for name, label in (
            (Status.RUNNING.value, "running"),
            (Status.FAILED.value, "failed"),
            (Status.ABANDONED.value, "abandoned"),
            (Status.SKIPPED.value, "skipped"),
            (Status.CANCELLED.value, "cancelled"),
            (RETRYING, "retrying"),
            (WAITING, "waiting"),
        )
        if counts[name]
    ]
    run = [f"run {snapshot.run_id}"] if snapshot.run_id else []
    run += [f"retry of {snapshot.retry_of}"] if snapshot.retry_of else []
    elapsed = f"{snapshot.elapsed:,.1f} s"
    return [snapshot.project, f"env {snapshot.env}", *run, ", ".join(parts), elapsed]


def plan_html(plan: RunPlan) -> str:
    """What would run: problems first, then the graph, then every row, resolved."""
    rows = list(plan.rows.values())[:PLAN_ROWS]
    hidden = len(plan.rows) - len(rows)
    counts = Counter(row.layer for row in plan.rows.values())
    layers = ", ".join(f"{layer} ({counts[layer]})" for layer in plan.layers)
    head = (
        f"<p style='margin:4px 0'><b>{escape(plan.project)}</b> · env {escape(plan.env)} · "
        f"{len(plan.rows):,} rows · {escape(layers)} · registry {escape(plan.source)}</p>"
    )
    body = "".join(_plan_row(row) for row in rows)
    return (
        f"<div style='{_WRAP}'>{head}{_problems(plan)}{_graph(plan)}"
        f"{_table(tuple((c, 'left') for c in PLAN_COLUMNS), body)}"
        + (f"<p>{hidden:,} more rows</p>" if hidden else "")
        + "</div>"
    )


def _problems(plan: RunPlan) -> str:
    bad = "".join(f"<li>✖ {escape(str(problem))}</li>" for problem in plan.problems)
    notes = "".join(f"<li>⚠️ {escape(text)}</li>" for text in plan.notices)
    if plan.selection:
        notes += f"<li>selected: <code>{escape(plan.selection)}</code></li>"
    if plan.disabled:
        notes += f"<li>disabled: {escape(', '.join(plan.disabled))}</li>"
    head = f"<b style='color:{LOOKS['FAILED'].colour}'>{len(plan.problems)} problem(s): nothing will run</b>"
    return (head if bad else "") + f"<ul style='list-style:none;padding-left:0'>{bad}{notes}</ul>"


def _graph(plan: RunPlan) -> str:
    if not plan.rows:
        return ""
    unfolded = " open" if len(plan.rows) <= MAX_OPEN_GRAPH else ""
    return f"<details{unfolded}><summary>What waits for what</summary>{graph_svg(plan)}</details>"


def _plan_row(row: PlannedRow) -> str:
    cells = plan_cells(row)
    cells["function"] += "" if row.fn else " (not found)"
    constants = row.transformation.constants
    cells["constants"] = as_json(redact(constants)) if constants else ""
    return "<tr>" + "".join(_plan_cell(name, cells[name]) for name in PLAN_COLUMNS) + "</tr>"


def _plan_cell(name: str, text: str) -> str:
    """A cell of a plan: short words stay whole, long text is cut and stands in the tooltip."""
    style = _WHOLE if name in _WHOLE_COLUMNS else _WIDE
    if len(text) <= MAX_CELL:
        return f"<td {style}>{escape(text)}</td>"
    return f"<td {style} title='{escape(text)}'>{escape(text[:MAX_CELL])}…</td>"


def _table(columns: tuple[tuple[str, str], ...], body: str) -> str:
    head = "".join(f"<th scope='col' {_cell(align)}>{escape(name)}</th>" for name, align in columns)
    return f"<table cellpadding=4><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(align: str) -> str:
    return f"style=text-align:{align}"
