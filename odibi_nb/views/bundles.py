"""What a saved notebook keeps of a run: MIME bundles, the same for every front end.

A front end shows the richest kind it knows: JupyterLab and VS Code Plotly's, where Plotly's extension is
installed; nbconvert, Databricks and everybody else the HTML; a terminal the text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.views.gantt import gantt_of, shortened
from odibi_nb.views.gantt_plotly import gantt_plotly
from odibi_nb.views.html import (
    LIVE_ROWS,
    MAX_ERROR,
    details_html,
    picture_html,
    summary_text,
    table_html,
)
from odibi_nb.views.looks import look_of
from odibi_nb.views.state import RunSnapshot, snapshot_of

if TYPE_CHECKING:
    from odibi_nb.core.results import RunResult

PLOTLY, HTML, TEXT = "application/vnd.plotly.v1+json", "text/html", "text/plain"
MANY_ROWS, FEW_ROWS = 500, 60
"""With more than many rows, a saved table has few of them."""
Bundle = dict[str, Any]
_FINE = frozenset({"SUCCESS", "RUNNING", "WAITING", "RETRYING"})


def picture_bundle(snapshot: RunSnapshot) -> Bundle:
    """Summary line and Gantt chart: as a Plotly figure, as SVG, as a line of text."""
    return {
        PLOTLY: _figure(snapshot),
        HTML: picture_html(snapshot),
        TEXT: plain_text(snapshot),
    }


def table_bundle(snapshot: RunSnapshot, result: RunResult | None = None) -> Bundle:
    """The table: as HTML, with the tracebacks and logs of *result*; as text, what did not succeed."""
    limit = LIVE_ROWS if len(snapshot.rows) <= MANY_ROWS else FEW_ROWS
    details = details_html(result) if result is not None else ""
    lines = [
        f"{look_of(row.status).sign} {row.id} {row.status.lower()}: {shortened(row.error, MAX_ERROR)}"
        for row in snapshot.rows
        if row.status not in _FINE
    ]
    return {
        HTML: table_html(snapshot, limit) + details,
        TEXT: "\n".join([f"run log: {len(snapshot.rows):,} transformations", *lines]),
    }


def result_bundle(result: RunResult) -> Bundle:
    """A run that has ended, in one bundle: Gantt chart, table, tracebacks."""
    snapshot = snapshot_of(result)
    picture, table = picture_bundle(snapshot), table_bundle(snapshot, result)
    return {
        PLOTLY: picture[PLOTLY],
        HTML: picture[HTML] + table[HTML],
        TEXT: repr(result),
    }


def plain_text(snapshot: RunSnapshot) -> str:
    """A run in one line: ``Plant One (env=qat) success: 2 success``."""
    counts = ", ".join(f"{n} {name.lower()}" for name, n in snapshot.counts().items())
    return f"{snapshot.project} (env={snapshot.env}) {snapshot.status}: {counts}"


def _figure(snapshot: RunSnapshot) -> Bundle:
    figure = gantt_plotly(gantt_of(snapshot), title=summary_text(snapshot))
    return {**figure, "config": {"responsive": True, "displaylogo": False}}
