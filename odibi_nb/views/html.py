"""A run and its result as HTML: no scripts, every value escaped, both themes."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from odibi_nb.core.events import Status
from odibi_nb.views.gantt import gantt_of, shortened
from odibi_nb.views.gantt_svg import gantt_svg
from odibi_nb.views.looks import LOOKS, RUN_LOOKS, look_of
from odibi_nb.views.state import RETRYING, WAITING, RowState, RunSnapshot

if TYPE_CHECKING:
    from odibi_nb.core.results import RunResult

LIVE_ROWS = 200
MAX_ERROR = 300

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
    "line-height:1.4;"
    "max-width:100%;overflow-x:auto"
)
_ERROR = "style='text-align:left;white-space:pre-wrap;overflow-wrap:anywhere;padding-left:2em'"


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
