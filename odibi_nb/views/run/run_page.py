"""The summary and the chart of a run as HTML: every value escaped, both themes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odibi_nb.views.html_parts import NO_FORMULAS, TEXT
from odibi_nb.views.run.gantt import gantt_of
from odibi_nb.views.run.gantt_svg import gantt_svg, names_script
from odibi_nb.views.run.head import clock_text, counts_text, head_html, name_parts, run_style

if TYPE_CHECKING:
    from odibi_nb.views.run.state import RunSnapshot

_WRAP = f"{TEXT};line-height:1.4;max-width:100%;overflow-x:auto"


def framed_summary_html(snapshot: RunSnapshot, hint: str = "") -> str:
    """Return the summary line as an output of its own, in the front end's text size and colour."""
    return f"<div class={NO_FORMULAS} style='{_WRAP}'>{head_html(snapshot, hint)}</div>"


def chart_html(snapshot: RunSnapshot) -> str:
    """Return the Gantt chart as SVG. Many bars have the `names_script`."""
    gantt = gantt_of(snapshot)
    return gantt_svg(gantt, snapshot.run_id) + names_script(gantt)


def summary_text(snapshot: RunSnapshot) -> str:
    """Return the summary line as plain text."""
    state = f"{run_style(snapshot).sign} {snapshot.status}"
    return " · ".join((state, *name_parts(snapshot), counts_text(snapshot), clock_text(snapshot)))
