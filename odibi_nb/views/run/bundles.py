"""What a saved notebook keeps of a run: MIME bundles, the same for every front end.

A front end shows the richest kind it knows: JupyterLab and VS Code Plotly's, where Plotly's extension is
installed; nbconvert, Databricks and everybody else the HTML; a terminal the text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.views.run.gantt import gantt_of, shortened
from odibi_nb.views.run.gantt_plotly import gantt_plotly
from odibi_nb.views.run.run_page import chart_html, framed_summary_html
from odibi_nb.views.run.state import RunSnapshot, snapshot_of
from odibi_nb.views.run.table import LIVE_ROWS, MAX_ERROR, table_html
from odibi_nb.views.status_style import style_of

if TYPE_CHECKING:
    from odibi_nb.core.model.results import RunResult

PLOTLY, HTML, TEXT = "application/vnd.plotly.v1+json", "text/html", "text/plain"
MAX_FIGURE_ROWS = 500
"""With more rows the picture is the SVG alone: Plotly would be slow, and JupyterLab, which adds a PNG of
what Plotly drew to the notebook, would make it large."""
Bundle = dict[str, Any]
EMPTY: Bundle = {HTML: "<span></span>", TEXT: ""}
"""Nothing yet, in an output that something will take the place of."""
_FINE = frozenset({"SUCCESS", "RUNNING", "WAITING", "RETRYING"})


def run_bundles(
    snapshot: RunSnapshot, result: RunResult | None = None
) -> tuple[Bundle, Bundle, Bundle]:
    """A run as the three outputs of a cell: `summary_bundle`, `chart_bundle`, `table_bundle`.

    The chart is never a cell's first output. When Plotly's extension has drawn the first one, JupyterLab
    draws all outputs of the cell again, and widgets in them break: it takes an index of 0 for none.
    """
    return summary_bundle(snapshot), chart_bundle(snapshot), table_bundle(snapshot, result)


def summary_bundle(snapshot: RunSnapshot) -> Bundle:
    """How a run stands or ended, in a line."""
    return {HTML: framed_summary_html(snapshot), TEXT: plain_text(snapshot)}


def chart_bundle(snapshot: RunSnapshot) -> Bundle:
    """The Gantt chart: as a Plotly figure, as SVG; a word of text."""
    figure = {PLOTLY: _figure(snapshot)} if len(snapshot.rows) <= MAX_FIGURE_ROWS else {}
    text = f"Gantt chart: {len(snapshot.rows):,} transformations"
    return {**figure, HTML: chart_html(snapshot), TEXT: text}


def table_bundle(
    snapshot: RunSnapshot, result: RunResult | None = None, unfolded: str = ""
) -> Bundle:
    """The table: as HTML, with the tracebacks and logs of *result*; as text, what failed.

    *unfolded* is the id of the row whose log is open.
    """
    table = table_html(snapshot, LIVE_ROWS, result, unfolded=unfolded)
    lines = [
        f"{style_of(row.status).sign} {row.id} {row.status.lower()}: {shortened(row.error, MAX_ERROR)}"
        for row in snapshot.rows
        if row.status not in _FINE
    ]
    return {
        HTML: table,
        TEXT: "\n".join([f"run log: {len(snapshot.rows):,} transformations", *lines]),
    }


def result_bundle(result: RunResult) -> Bundle:
    """A run that has ended, in one bundle: summary, Gantt chart, table, tracebacks."""
    bundles = run_bundles(snapshot_of(result), result)
    return {**bundles[1], HTML: "".join(bundle[HTML] for bundle in bundles), TEXT: repr(result)}


def plain_text(snapshot: RunSnapshot) -> str:
    """A run in one line: ``Plant One (env=qat) success: 2 success``."""
    counts = ", ".join(f"{n} {name.lower()}" for name, n in snapshot.counts().items())
    return f"{snapshot.project} (env={snapshot.env}) {snapshot.status}: {counts}"


def _figure(snapshot: RunSnapshot) -> Bundle:
    figure = gantt_plotly(gantt_of(snapshot), run=snapshot.run_id)
    return {**figure, "config": {"responsive": True, "displaylogo": False}}
