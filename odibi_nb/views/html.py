"""A run, a plan and a result as HTML: no scripts, every value escaped, both themes."""

from __future__ import annotations

from collections import Counter
from html import escape
from typing import TYPE_CHECKING

from odibi_nb.core.decoding import as_json
from odibi_nb.core.events import Status
from odibi_nb.core.forecast import forecast
from odibi_nb.core.tables import redact
from odibi_nb.views.eta import rough
from odibi_nb.views.forecast import COLUMNS as FORECAST_COLUMNS
from odibi_nb.views.forecast import forecast_lines, makespan_table
from odibi_nb.views.gantt import gantt_of, shortened
from odibi_nb.views.gantt_svg import gantt_svg
from odibi_nb.views.graph_svg import graph_svg
from odibi_nb.views.looks import LOOKS, RUN_LOOKS, look_of
from odibi_nb.views.plan_text import COLUMNS as PLAN_TEXT_COLUMNS
from odibi_nb.views.plan_text import plan_cells
from odibi_nb.views.state import RETRYING, WAITING, RowState, RunSnapshot

if TYPE_CHECKING:
    from odibi_nb.core.forecast import Forecast
    from odibi_nb.core.plan import PlannedRow, RunPlan
    from odibi_nb.core.results import RunResult

LIVE_ROWS = 200
PLAN_COLUMNS = (*PLAN_TEXT_COLUMNS, "constants")
MAX_ERROR = 300
MAX_OPEN_GRAPH = 40
"""The graph of a plan with more rows than that is folded away: it is higher than a screen."""

_COLUMNS = (
    ("status", "left"),
    ("transformation", "left"),
    ("layer", "left"),
    ("function", "left"),
    ("engine", "left"),
    ("attempt", "right"),
    ("start (UTC)", "left"),
    ("seconds", "right"),
    ("rows in", "right"),
    ("rows out", "right"),
)
_WRAP = (
    "font-size:var(--jp-ui-font-size1,13px);color:var(--jp-ui-font-color1,inherit);"
    "max-width:100%;overflow-x:auto"
)
_ERROR = "style='text-align:left;white-space:pre-wrap;overflow-wrap:anywhere;padding-left:2em'"
_WIDE = "style='text-align:left;vertical-align:top;max-width:24em;overflow-wrap:break-word'"
_WHOLE = "style='text-align:left;vertical-align:top;white-space:nowrap'"
_WHOLE_COLUMNS = frozenset({"transformation", "layer", "function", "engine", *FORECAST_COLUMNS})
MAX_CELL = 100


def picture_html(snapshot: RunSnapshot) -> str:
    """The summary line, and the Gantt chart below it."""
    chart = gantt_svg(gantt_of(snapshot), f"g{snapshot.run_id}")
    return f"<div style='{_WRAP}'>{summary_html(snapshot)}{chart}</div>"


def table_html(snapshot: RunSnapshot, limit: int = LIVE_ROWS) -> str:
    """The table of a run, at most *limit* rows of it, the interesting ones; its warnings below."""
    shown = _shown(snapshot.rows, limit)
    hidden = len(snapshot.rows) - len(shown)
    note = f"<p>{hidden:,} rows that wait or succeeded are not shown.</p>" if hidden else ""
    body = "".join(_row(row, snapshot) for row in shown)
    warnings = "".join(f"<li>⚠️ {escape(text)}</li>" for text in snapshot.warnings)
    return (
        f"<div style='{_WRAP}'>{_table(_COLUMNS, body)}{note}"
        + (f"<ul style='list-style:none;padding-left:0'>{warnings}</ul>" if warnings else "")
        + "</div>"
    )


def summary_html(snapshot: RunSnapshot) -> str:
    """One line: how it stands, project, env, run, how many rows are how far, elapsed."""
    sign, colour, _ = RUN_LOOKS.get(snapshot.status, LOOKS["RUNNING"])
    state = f"<b style='color:{colour}'>{sign} {escape(snapshot.status)}</b>"
    text = escape(" · ".join(summary_parts(snapshot)))
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
    if snapshot.seconds_left is not None:
        elapsed += f", {rough(snapshot.seconds_left)} left"
    return [snapshot.project, f"env {snapshot.env}", *run, ", ".join(parts), elapsed]


def details_html(result: RunResult) -> str:
    """The traceback and log of each failed transformation, folded; "" if there is none."""
    details = "".join(
        f"<details><summary>{escape(t.transformation_id)}: traceback and log</summary>"
        f"<pre>{escape(t.traceback)}</pre><pre>{escape(t.log)}</pre></details>"
        for t in result.failures()
        if t.traceback or t.log
    )
    return f"<div style='{_WRAP}'>{details}</div>" if details else ""


def plan_html(plan: RunPlan) -> str:
    """What would run: problems first, then the graph, then every row, resolved."""
    rows = list(plan.rows.values())[: LIVE_ROWS * 5]
    hidden = len(plan.rows) - len(rows)
    counts = Counter(row.layer for row in plan.rows.values())
    layers = ", ".join(f"{layer} ({counts[layer]})" for layer in plan.layers)
    head = (
        f"<p style='margin:4px 0'><b>{escape(plan.project)}</b> · env {escape(plan.env)} · "
        f"{len(plan.rows):,} rows · {escape(layers)} · registry {escape(plan.source)}</p>"
    )
    expected = forecast(plan)
    body = "".join(_plan_row(row, expected) for row in rows)
    return (
        f"<div style='{_WRAP}'>{head}{_problems(plan)}{_forecast(plan, expected)}{_graph(plan)}"
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


def _forecast(plan: RunPlan, expected: Forecast | None) -> str:
    lines = "".join(f"<li>⏱ {escape(text)}</li>" for text in forecast_lines(plan, expected))
    table = ""
    if expected is not None and len(expected.makespans) > 1:
        records = makespan_table(expected)
        cell = f"<td {_cell('right')}>{{}}</td>"
        body = "".join(
            f"<tr>{''.join(cell.format(escape(text)) for text in row.values())}</tr>"
            for row in records
        )
        columns = tuple((name, "right") for name in records.columns)
        table = (
            f"<details><summary>{escape(records.title)}</summary>{_table(columns, body)}</details>"
        )
    return (lines and f"<ul style='list-style:none;padding-left:0'>{lines}</ul>") + table


def _plan_row(row: PlannedRow, expected: Forecast | None) -> str:
    cells = plan_cells(row, expected)
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


def _shown(rows: tuple[RowState, ...], limit: int) -> tuple[RowState, ...]:
    """All rows, or the interesting ones where there are too many: bad, running, then the latest."""
    if len(rows) <= limit:
        return rows
    plain = {WAITING, Status.SUCCESS.value, Status.SKIPPED.value}
    chosen = [row for row in rows if row.status not in plain][:limit]
    ended = sorted(
        ((row.end, row) for row in rows if row.status in plain and row.end),
        key=lambda pair: pair[0],
        reverse=True,
    )
    interesting = [*chosen, *(row for _, row in ended)][:limit]
    ids = {row.id for row in interesting}
    return tuple(row for row in rows if row.id in ids)


def _row(row: RowState, snapshot: RunSnapshot) -> str:
    sign, colour, _ = look_of(row.status)
    seconds = row.duration_seconds
    if row.status == Status.RUNNING.value and row.start is not None:
        seconds = (snapshot.at - row.start).total_seconds()
    text = shortened(row.error, MAX_ERROR)
    cells = (
        f"<b style='color:{colour};white-space:nowrap'>{sign} {row.status}</b>",
        escape(row.id),
        escape(row.layer),
        escape(row.function),
        escape(row.engine),
        str(row.attempt or ""),
        "" if row.start is None else f"{row.start:%H:%M:%S}",
        "" if seconds is None else f"{seconds:,.2f}",
        "" if row.rows_in is None else f"{row.rows_in:,}",
        "" if row.rows_out is None else f"{row.rows_out:,}",
    )
    aligned = zip(cells, _COLUMNS, strict=True)
    line = "".join(f"<td {_cell(align)}>{cell}</td>" for cell, (_, align) in aligned)
    # The error gets a line of its own: in a last column it would be cut off where it matters.
    return f"<tr>{line}</tr>" + (
        f"<tr><td colspan='{len(_COLUMNS)}' {_ERROR}>↳ {escape(text)}</td></tr>" if text else ""
    )
