"""The summary and the chart of a run as HTML: no scripts, every value escaped, both themes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odibi_nb.core.model.events import Status
from odibi_nb.views.escaping import escape
from odibi_nb.views.run.eta import rough
from odibi_nb.views.run.gantt import gantt_of
from odibi_nb.views.run.gantt_svg import gantt_svg
from odibi_nb.views.status_style import RETRYING, RUN_STYLES, STATUS_STYLES, WAITING, text_colour

if TYPE_CHECKING:
    from odibi_nb.views.run.state import RunSnapshot

_WRAP = (
    "font-size:var(--jp-ui-font-size1,13px);color:var(--jp-ui-font-color1,inherit);"
    "line-height:1.4;"
    "max-width:100%;overflow-x:auto"
)


def framed_summary_html(snapshot: RunSnapshot, hint: str = "") -> str:
    """Return the summary line as an output of its own, in the front end's text size and colour."""
    return f"<div style='{_WRAP}'>{summary_html(snapshot, hint)}</div>"


def chart_html(snapshot: RunSnapshot) -> str:
    """Return the Gantt chart as SVG."""
    return gantt_svg(gantt_of(snapshot), snapshot.run_id)


def summary_html(snapshot: RunSnapshot, hint: str = "") -> str:
    """Return one line: the run's status, the `summary_parts`, and a *hint*."""
    style = RUN_STYLES.get(snapshot.status, STATUS_STYLES["RUNNING"])
    state = f"<b style='{text_colour(style.colour)}'>{style.sign} {escape(snapshot.status)}</b>"
    hints = [hint] if hint else []
    text = escape(" · ".join([*summary_parts(snapshot), *hints]))
    return f"<p role='status' style='margin:4px 0'>{state} · {text}</p>"


def summary_text(snapshot: RunSnapshot) -> str:
    """Return the summary line as plain text."""
    sign = RUN_STYLES.get(snapshot.status, STATUS_STYLES["RUNNING"]).sign
    return " · ".join([f"{sign} {snapshot.status}", *summary_parts(snapshot)])


def summary_parts(snapshot: RunSnapshot) -> list[str]:
    """Return project, env, run, counts of rows by status (they add up) and elapsed time, as plain text."""
    counts = snapshot.counts()
    parts = [f"{counts[Status.SUCCESS.value]:,} of {len(snapshot.rows):,} done"]
    parts += [
        f"{counts[name]:,} {label}"
        for name, label in (
            (Status.UNCHANGED.value, "unchanged"),
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
