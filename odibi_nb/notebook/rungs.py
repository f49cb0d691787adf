"""The rungs of the ladder: how a cell's output shows a run while it goes on, and after it.

Each has two outputs: the picture (summary line and Gantt chart) and the table. While the run goes on
they are widgets or HTML; at its end each is replaced, through its display id, by a bundle that needs
neither kernel nor network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.display import display

from odibi_nb.notebook.environment import HTML, PLOTLY, WIDGETS
from odibi_nb.views.bundles import picture_bundle, plain_text, table_bundle
from odibi_nb.views.gantt import gantt_of
from odibi_nb.views.gantt_plotly import gantt_plotly
from odibi_nb.views.html import picture_html, summary_html, table_html

if TYPE_CHECKING:
    from odibi_nb.core.results import RunResult
    from odibi_nb.views.state import RunSnapshot

FEW_ROWS = 60
"""At most so many rows are in a table that is painted again and again."""
_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
_CHANGING = ("x", "base", "y", "customdata", "showlegend")
"""What changes in a trace while a run goes on."""


class HtmlRung:
    """The ``html`` rung: two outputs of HTML, updated through their display ids."""

    def __init__(self) -> None:
        self._outputs: list[Any] = []

    def show(self, snapshot: RunSnapshot) -> None:
        """Show the run for the first time: on the thread of the cell whose output it shall be."""
        self._outputs = [display(b, raw=True, display_id=True) for b in self._bundles(snapshot)]

    def paint(self, snapshot: RunSnapshot) -> None:
        """Show the run as it stands now."""
        for output, bundle in zip(self._outputs, self._bundles(snapshot), strict=True):
            output.update(bundle, raw=True)

    def end(self, snapshot: RunSnapshot, result: RunResult | None = None) -> None:
        """Leave what a saved notebook keeps; with *result*, its tracebacks too."""
        if result is None:
            self._outputs[0].update(picture_bundle(snapshot), raw=True)
        self._outputs[1].update(table_bundle(snapshot, result), raw=True)

    def _bundles(self, snapshot: RunSnapshot) -> list[dict[str, Any]]:
        text = plain_text(snapshot)
        return [
            {"text/html": picture_html(snapshot), "text/plain": text},
            {"text/html": table_html(snapshot, FEW_ROWS), "text/plain": text},
        ]


class WidgetRung(HtmlRung):
    """The ``widgets`` rung: the same HTML in core widgets; only what changed is sent."""

    def __init__(self) -> None:
        super().__init__()
        self._picture: Any = None
        self._table: Any = None

    def show(self, snapshot: RunSnapshot) -> None:
        """Show two widgets, each in an output of its own."""
        text = plain_text(snapshot)
        bundles = [widget_bundle(widget, text) for widget in self.make(snapshot)]
        self._outputs = [display(bundle, raw=True, display_id=True) for bundle in bundles]

    def make(self, snapshot: RunSnapshot) -> tuple[Any, Any]:
        """The picture and the table, as widgets that `paint` keeps up to date."""
        import ipywidgets

        self._table = ipywidgets.HTML(table_html(snapshot, FEW_ROWS))
        return self._make_picture(snapshot), self._table

    def paint(self, snapshot: RunSnapshot) -> None:
        """Send what changed."""
        self._paint_picture(snapshot)
        self._table.value = table_html(snapshot, FEW_ROWS)

    def end(self, snapshot: RunSnapshot, result: RunResult | None = None) -> None:
        """As `HtmlRung.end`; after a reload of the page that does not arrive, so that they agree."""
        if result is None:
            self.paint(snapshot)
        super().end(snapshot, result)

    def _make_picture(self, snapshot: RunSnapshot) -> Any:
        import ipywidgets

        self._picture = ipywidgets.HTML(picture_html(snapshot))
        return self._picture

    def _paint_picture(self, snapshot: RunSnapshot) -> None:
        self._picture.value = picture_html(snapshot)


class PlotlyRung(WidgetRung):
    """The ``plotly`` rung: a live Plotly figure below the summary line."""

    def __init__(self) -> None:
        super().__init__()
        self._summary: Any = None
        self._drawn: dict[str, Any] = {}

    def _make_picture(self, snapshot: RunSnapshot) -> Any:
        import ipywidgets
        from plotly.graph_objects import FigureWidget

        self._drawn = gantt_plotly(gantt_of(snapshot), live=True)
        self._picture = FigureWidget(self._drawn)
        self._summary = ipywidgets.HTML(summary_html(snapshot))
        return ipywidgets.VBox([self._summary, self._picture])

    def _paint_picture(self, snapshot: RunSnapshot) -> None:
        self._summary.value = summary_html(snapshot)
        before, now = self._drawn, gantt_plotly(gantt_of(snapshot), live=True)
        figure = self._picture
        with figure.batch_update():  # one message, whatever changes
            for trace, old, new in zip(figure.data, before["data"], now["data"], strict=True):
                for key in _CHANGING:
                    if old[key] != new[key]:
                        trace[key] = new[key]
            for key in ("xaxis", "shapes"):
                if before["layout"][key] != now["layout"][key]:
                    figure.layout[key] = now["layout"][key]
        self._drawn = now


def widget_bundle(widget: Any, text: str) -> dict[str, Any]:
    """What displays *widget* with ipywidgets 7 and 8 alike, in an output that can be replaced later."""
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return {_WIDGET_VIEW: view, "text/plain": text}


RUNGS: dict[str, type[HtmlRung]] = {PLOTLY: PlotlyRung, WIDGETS: WidgetRung, HTML: HtmlRung}
