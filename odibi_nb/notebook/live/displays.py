"""The rungs of the ladder: how a cell's output shows a run while it goes on, and after it.

Each has three outputs: the summary line, the Gantt chart and the table. While the run goes on they are
widgets or HTML; at its end each is replaced, through its display id, by a bundle that needs neither
kernel nor network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from IPython.display import display

from odibi_nb.notebook.environment import HTML, PLOTLY, WIDGETS
from odibi_nb.notebook.live.cancel_button import CancelButton, Cancelling, heed_front_end
from odibi_nb.notebook.live.log_pane import LogPane
from odibi_nb.views.run.bundles import plain_text, run_bundles, table_bundle
from odibi_nb.views.run.gantt import gantt_of
from odibi_nb.views.run.gantt_live_svg import GanttLayers
from odibi_nb.views.run.gantt_plotly import gantt_plotly
from odibi_nb.views.run.run_page import chart_html, framed_summary_html, summary_html
from odibi_nb.views.run.table import table_html, table_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from odibi_nb.core.model.results import RunResult
    from odibi_nb.views.run.state import RunSnapshot

FEW_ROWS = 60
"""At most so many rows are in a table that is painted again and again."""
PANE_SECONDS = 1.0
"""A run that is over sooner has no pane for logs. A page complains of a widget that it is still making
when the run's end takes the place of all of them."""
_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
_CHANGING = ("x", "base", "y", "customdata", "showlegend", "text")
"""What changes in a trace while a run goes on."""
_LAYERS_STYLE = (
    "<style>.odibi-layers>*{pointer-events:none}.odibi-layers rect{pointer-events:auto}</style>"
)


class HtmlRung:
    """The ``html`` rung: outputs of HTML, updated through their display ids.

    Attributes:
        cancelling: how people can end the run from where it is shown; None if they cannot.
        state_dir: where the run's journal is; None if no log is shown while it goes on.
    """

    def __init__(self) -> None:
        self.cancelling: Cancelling | None = None
        self.state_dir: Path | None = None
        self._outputs: list[Any] = []

    def show(self, snapshot: RunSnapshot) -> None:
        """Show the run for the first time: on the thread of the cell whose output it shall be."""
        self._outputs = displayed(self._bundles(snapshot))

    def paint(self, snapshot: RunSnapshot) -> None:
        """Show the run as it stands now."""
        self._update(self._bundles(snapshot))

    def end(self, snapshot: RunSnapshot, result: RunResult | None = None) -> None:
        """Leave what a saved notebook keeps; with *result*, its logs and tracebacks too."""
        if result is None:
            self._update(run_bundles(snapshot))
        else:
            self._outputs[-1].update(table_bundle(snapshot, result, self.unfolded), raw=True)

    @property
    def unfolded(self) -> str:
        """The transformation whose log is shown; "" if none is."""
        return ""

    def _bundles(self, snapshot: RunSnapshot) -> list[dict[str, Any]]:
        text = plain_text(snapshot)
        pages = (
            framed_summary_html(snapshot, self._hint(snapshot)),
            chart_html(snapshot),
            table_html(snapshot, FEW_ROWS),
        )
        return [{"text/html": page, "text/plain": text} for page in pages]

    def _update(self, bundles: Iterable[dict[str, Any]]) -> None:
        for output, bundle in zip(self._outputs, bundles, strict=True):
            output.update(bundle, raw=True)

    def _hint(self, snapshot: RunSnapshot) -> str:
        return "" if self.cancelling is None else self.cancelling.hint(snapshot)


class WidgetRung(HtmlRung):
    """The ``widgets`` rung: the same in core widgets; only those of which the content changed are sent."""

    def __init__(self) -> None:
        super().__init__()
        self._head: Any = None
        self._summary: Any = None
        self._button: CancelButton | None = None
        self._layers: GanttLayers | None = None
        self._pictures: Sequence[Any] = ()
        self._table: Sequence[Any] = ()
        self._above_table: Any = None
        self._pane: LogPane | None = None

    def show(self, snapshot: RunSnapshot) -> None:
        """Show the widgets, each in an output of its own."""
        text = plain_text(snapshot)
        self._outputs = displayed(widget_bundle(widget, text) for widget in self.make(snapshot))

    def make(self, snapshot: RunSnapshot) -> tuple[Any, Any, Any]:
        """Summary line, chart and table, as widgets that `paint` keeps up to date."""
        import ipywidgets

        self._summary = ipywidgets.HTML(summary_html(snapshot, self._hint(snapshot)))
        self._head = ipywidgets.HBox([self._summary], layout={"align_items": "center"})
        if self.cancelling is not None:
            self._button = CancelButton(self.cancelling)
            self._head.children = (self._summary, self._button.probe)
        chart = self._make_chart(snapshot)
        self._table = _html_widgets(table_parts(snapshot, FEW_ROWS))
        self._pane = None if self.state_dir is None else LogPane(self.state_dir, snapshot)
        self._above_table = ipywidgets.VBox()
        return self._head, chart, ipywidgets.VBox((self._above_table, *self._table))

    @property
    def unfolded(self) -> str:
        """As `HtmlRung.unfolded`."""
        return "" if self._pane is None else self._pane.chosen

    def paint(self, snapshot: RunSnapshot) -> None:
        """Send what changed."""
        self._paint_head(snapshot)
        self._paint_chart(snapshot)
        _fill(self._table, table_parts(snapshot, FEW_ROWS))
        self._paint_pane(snapshot)

    def _paint_pane(self, snapshot: RunSnapshot) -> None:
        if self._pane is None:
            return
        if self._button is not None and not self._button.heard:
            return  # nobody would hear what is chosen
        if not self._above_table.children:
            if snapshot.elapsed < PANE_SECONDS:
                return
            self._above_table.children = (self._pane.widget,)
        self._pane.paint(snapshot)

    def end(self, snapshot: RunSnapshot, result: RunResult | None = None) -> None:
        """As `HtmlRung.end`; after a reload of the page that does not arrive, so that they agree."""
        if result is None:
            self.paint(snapshot)
        super().end(snapshot, result)

    def _paint_head(self, snapshot: RunSnapshot) -> None:
        heard = self._button is not None and self._button.update(snapshot)
        if self._button is not None and (heard or self._button.heard):
            self._head.children = (self._summary, *([self._button.widget] if heard else []))
        self._summary.value = summary_html(snapshot, "" if heard else self._hint(snapshot))

    def _make_chart(self, snapshot: RunSnapshot) -> Any:
        import ipywidgets

        self._layers = GanttLayers(len(snapshot.rows))
        self._pictures = _html_widgets(self._layers.update(snapshot), grid_area="chart")
        style = ipywidgets.HTML(_LAYERS_STYLE, layout=self._pictures[0].layout)
        # All in one cell of a grid: so they lie on each other, without positions of their own.
        box = ipywidgets.GridBox(
            (style, *self._pictures),
            layout={"grid_template_areas": "'chart'", "grid_template_columns": "100%"},
        )
        return box.add_class("odibi-layers")

    def _paint_chart(self, snapshot: RunSnapshot) -> None:
        assert self._layers is not None
        _fill(self._pictures, self._layers.update(snapshot))


class PlotlyRung(WidgetRung):
    """The ``plotly`` rung: the chart is a live Plotly figure."""

    def __init__(self) -> None:
        super().__init__()
        self._figure: Any = None
        self._drawn: dict[str, Any] = {}
        self._names: list[str] = []

    def _make_chart(self, snapshot: RunSnapshot) -> Any:
        from plotly.graph_objects import FigureWidget

        self._drawn = gantt_plotly(gantt_of(snapshot), live=True)
        self._figure = FigureWidget(self._drawn)
        if self._figure.has_trait("_config"):
            self._figure.set_trait("_config", {"displaylogo": False})
        self._names = [row.id for row in snapshot.rows]
        for trace in self._figure.data:
            trace.on_click(self._bar_clicked)
        heed_front_end(self._figure)
        return self._figure

    def _bar_clicked(self, _trace: Any, points: Any, _state: Any) -> None:
        if self._pane is not None and points.ys:
            self._pane.choose(self._names[int(points.ys[0])])

    def _paint_chart(self, snapshot: RunSnapshot) -> None:
        before, now = self._drawn, gantt_plotly(gantt_of(snapshot), live=True)
        figure = self._figure
        with figure.batch_update():  # one message, whatever changes
            for trace, old, new in zip(figure.data, before["data"], now["data"], strict=True):
                for key in _CHANGING:
                    if old.get(key) != new.get(key):
                        trace[key] = new[key]
            for key in ("xaxis", "shapes"):
                if before["layout"][key] != now["layout"][key]:
                    figure.layout[key] = now["layout"][key]
        self._drawn = now


def _html_widgets(texts: Sequence[str], **layout: str) -> tuple[Any, ...]:
    """A widget for each text, all with one layout."""
    import ipywidgets

    shared = ipywidgets.Layout(margin="0", **layout)
    return tuple(ipywidgets.HTML(text, layout=shared) for text in texts)


def _fill(widgets: Sequence[Any], texts: Sequence[str]) -> None:
    """Give each widget its text; one that has it already sends nothing."""
    for widget, text in zip(widgets, texts, strict=True):
        widget.value = text


def displayed(bundles: Iterable[dict[str, Any]]) -> list[Any]:
    """Display each of *bundles* in an output of its own, which can be updated."""
    return [display(bundle, raw=True, display_id=True) for bundle in bundles]


def widget_bundle(widget: Any, text: str) -> dict[str, Any]:
    """What displays *widget* with ipywidgets 7 and 8 alike, in an output that can be replaced later."""
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return {_WIDGET_VIEW: view, "text/plain": text}


RUNGS: dict[str, type[HtmlRung]] = {PLOTLY: PlotlyRung, WIDGETS: WidgetRung, HTML: HtmlRung}
