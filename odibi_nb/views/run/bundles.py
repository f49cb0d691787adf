"""MIME bundles of a run that a saved notebook stores, the same for every front end.

A front end shows the richest type that it supports. JupyterLab and VS Code show the Plotly figure if
Plotly's extension is installed. nbconvert, Databricks and others show the HTML, and a terminal the text.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from odibi_nb.core.text.counts import counted
from odibi_nb.views.run.gantt import gantt_of, shortened
from odibi_nb.views.run.gantt_plotly import gantt_plotly
from odibi_nb.views.run.gantt_svg import saved_gantt
from odibi_nb.views.run.run_page import framed_summary_html
from odibi_nb.views.run.state import RunSnapshot, snapshot_of
from odibi_nb.views.run.table import LIVE_ROWS, MAX_ERROR, table_html
from odibi_nb.views.status_style import style_of

if TYPE_CHECKING:
    from odibi_nb.core.model.results import RunResult

PLOTLY, HTML, TEXT = "application/vnd.plotly.v1+json", "text/html", "text/plain"
MAX_FIGURE_ROWS = 500
"""Largest number of rows with a Plotly figure; larger runs have the SVG alone. Plotly would be slow, and
JupyterLab stores a PNG of each Plotly figure, which would make the notebook large."""
Bundle = dict[str, Any]
EMPTY: Bundle = {HTML: "<span></span>", TEXT: ""}
"""An empty output that a later one replaces."""
_FINE = frozenset({"SUCCESS", "UNCHANGED", "RUNNING", "WAITING", "RETRYING"})


def run_bundles(
    snapshot: RunSnapshot, result: RunResult | None = None
) -> tuple[Bundle, Bundle, Bundle]:
    """Return the three outputs of a run's cell: `summary_and_chart` and `table_bundle`."""
    return *summary_and_chart(snapshot), table_bundle(snapshot, result)


def summary_and_chart(snapshot: RunSnapshot) -> tuple[Bundle, Bundle]:
    """Return the first two outputs of a run's cell: the summary line, and the `chart_bundle`.

    The chart is never a cell's first output. When Plotly's extension has drawn the first output,
    JupyterLab takes its index 0 for none, redraws all outputs of the cell and breaks widgets in them.
    """
    mark = f"odibi-room-{snapshot.run_id}" if re.fullmatch(r"[\w-]+", snapshot.run_id) else ""
    summary = {HTML: framed_summary_html(snapshot), TEXT: plain_text(snapshot)}
    chart = chart_bundle(snapshot, inked=not mark)
    if mark and PLOTLY in chart:
        summary[HTML] += _room_below(mark, chart[PLOTLY]["layout"]["height"])
    return summary, chart


def _room_below(mark: str, height: float) -> str:
    """Return a style for JupyterLab with the class *mark*: the figure in the output below the summary has this *height*.

    JupyterLab replaces a live chart by the saved one in two steps: between them, the page would jump.
    And when the page is resized, Plotly takes the figure's height from its box, scrollbar included.
    Names, layers and times take the theme's colours from here: in the figure, each would need a colour of its own.
    """
    child = ".jp-OutputArea-child"
    below = f"{child}:has(.{mark})+{child}"
    figure = f"{below} .js-plotly-plot{{height:{height}px;overflow:hidden}}"
    names = f"{below} .ytick text{{fill:var(--jp-ui-font-color1)!important}}"
    others = f"{below} :is(.xtick text,.annotation-text){{fill:var(--jp-ui-font-color2)!important}}"
    return f"<style class='{mark}'>{below}{{min-height:{height}px}}{figure}{names}{others}</style>"


def chart_bundle(snapshot: RunSnapshot, *, inked: bool = True) -> Bundle:
    """Return the Gantt chart as a Plotly figure, as SVG, and as a line of text. *inked* is that of `gantt_plotly`."""
    gantt, run = gantt_of(snapshot), snapshot.run_id
    figure: Bundle = {}
    if len(snapshot.rows) <= MAX_FIGURE_ROWS:
        # Not responsive: Plotly would then take its height from its own scrollbar when the page is resized.
        config = {"displaylogo": False}
        figure[PLOTLY] = {**gantt_plotly(gantt, run, inked=inked), "config": config}
    text = f"Gantt chart: {counted(len(snapshot.rows), 'transformation')}"
    return {**figure, HTML: saved_gantt(gantt, run), TEXT: text}


def table_bundle(
    snapshot: RunSnapshot, result: RunResult | None = None, unfolded: str = ""
) -> Bundle:
    """Return the table as HTML with the tracebacks and logs of *result*, and the failures as text.

    *unfolded* is the id of the row whose log is open.
    """
    lines = [f"run log: {counted(len(snapshot.rows), 'transformation')}"]
    lines += [
        f"{style_of(row.status).sign} {row.id} {row.status.lower()}: {shortened(row.error, MAX_ERROR)}"
        for row in snapshot.rows
        if row.status not in _FINE
    ]
    table = table_html(snapshot, LIVE_ROWS, result, unfolded=unfolded)
    return {HTML: table, TEXT: "\n".join(lines)}


def result_bundle(result: RunResult) -> Bundle:
    """Return an ended run in one bundle: summary, Gantt chart, table, tracebacks."""
    bundles = run_bundles(snapshot_of(result), result)
    return {**bundles[1], HTML: "".join(bundle[HTML] for bundle in bundles), TEXT: repr(result)}


def plain_text(snapshot: RunSnapshot) -> str:
    """Return a run in one line: ``Plant One (env=qat) success: 2 success``."""
    counts = ", ".join(f"{n} {name.lower()}" for name, n in snapshot.counts.items())
    return f"{snapshot.project} (env={snapshot.env}) {snapshot.status}: {counts}"
