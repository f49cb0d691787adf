"""Pictures: ways to draw a run in progress on a surface.

`HtmlPicture` draws HTML. `WidgetPicture` draws core widgets, with a chart of SVG or of Plotly.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from odibi_nb.notebook.environment import HTML, PLOTLY, WIDGETS
from odibi_nb.notebook.live.cancel_button import CancelButton, Cancelling, heed_front_end
from odibi_nb.notebook.live.libraries import LIBRARIES
from odibi_nb.notebook.live.log_pane import LogPane
from odibi_nb.views.run.bundles import plain_text, summary_and_chart
from odibi_nb.views.run.gantt import gantt_of
from odibi_nb.views.run.gantt_live_svg import GanttLayers
from odibi_nb.views.run.gantt_plotly import gantt_plotly
from odibi_nb.views.run.head import name_html, state_html, tell_html, time_html, title_html
from odibi_nb.views.run.run_page import chart_html, framed_summary_html
from odibi_nb.views.run.table import column_widths, hold_html, table_html, table_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from odibi_nb.notebook.live.surfaces import Surface
    from odibi_nb.views.run.state import RunSnapshot

FEW_ROWS = 60
"""Maximum number of rows in a table that is repainted during the run."""
TABLE_SECONDS = TITLE_SECONDS = 1.0
"""Seconds between two drawings of a table that does not show all rows, and between two titles of the page."""
PANE_SECONDS = 1.0
"""A run shorter than this gets no log pane. The page would report an error for a widget that it is
still creating when the bundles of the end replace all widgets.
"""
_NAME_LINE = {"align_items": "center", "justify_content": "space-between", "min_height": "32px"}
_ONE_LINE = {"margin": "0", "min_width": "0", "overflow": "hidden"}
_ROOM_RIGHT = {"padding": "0 20px 0 0"}
"""The room that JupyterLab leaves right of saved HTML: with it, lines break in the same places."""
_CHANGING = ("x", "base", "y", "customdata", "ids", "showlegend", "text")
"""Keys of a trace that change during a run."""
LIVE = "odibi-live"
"""The CSS class of the parts of a live run."""
_LIVE_STYLE = (
    "<style>.odibi-layers>*{pointer-events:none}.odibi-layers rect{pointer-events:auto}"
    ".odibi-live>.widget-hbox>.widget-html>.widget-html-content{min-width:0}</style>"
)
"""Without the last rule, a long line of the head is as wide as its text, and its box cuts it without an ellipsis."""


class Picture(Protocol):
    """A way to draw a run on one surface."""

    @property
    def unfolded(self) -> str:
        """The transformation whose log is open; "" if none is."""

    def show(self, snapshot: RunSnapshot) -> None:
        """Draw the run for the first time."""

    def paint(self, snapshot: RunSnapshot) -> None:
        """Update the drawing."""

    def end(self, snapshot: RunSnapshot) -> None:
        """Leave the bundles of summary and chart that a saved notebook keeps."""


class HtmlPicture(Picture):
    """A picture of HTML bundles.

    Args:
        surface: where to draw.
        cancelling: the way to cancel the run from its picture; None if the picture has none.
    """

    unfolded = ""

    def __init__(self, surface: Surface, cancelling: Cancelling | None) -> None:
        self._surface = surface
        self._cancelling = cancelling

    def show(self, snapshot: RunSnapshot) -> None:
        self.paint(snapshot)

    def paint(self, snapshot: RunSnapshot) -> None:
        text = plain_text(snapshot)
        pages = (
            framed_summary_html(snapshot, _hint(self._cancelling, snapshot)),
            chart_html(snapshot),
            table_html(snapshot, FEW_ROWS),
        )
        self._surface.show([{"text/html": page, "text/plain": text} for page in pages])

    def end(self, snapshot: RunSnapshot) -> None:
        self._surface.show(summary_and_chart(snapshot))


class Chart(Protocol):
    """A Gantt chart as a widget."""

    def make(self, snapshot: RunSnapshot, choose_log: Callable[[str], None]) -> Any:
        """Return the widget; a click on a bar calls *choose_log* with its transformation."""

    def paint(self, snapshot: RunSnapshot) -> None:
        """Send the changes to the page."""

    def end(self, snapshot: RunSnapshot) -> None:
        """Show the end of the run."""
        self.paint(snapshot)


class WidgetPicture(Picture):
    """A picture of core widgets. `paint` sends only the widgets whose content changed.

    Args:
        chart: draws the Gantt chart.
        surface: where to draw.
        cancelling: the way to cancel the run from its picture; None if the picture has none.
        state_dir: the folder of the run's journal; None if the picture shows no log during the run.
    """

    def __init__(
        self,
        chart: Chart,
        surface: Surface,
        cancelling: Cancelling | None,
        state_dir: Path | None,
    ) -> None:
        self._chart = chart
        self._surface = surface
        self._cancelling = cancelling
        self._state_dir = state_dir
        self._head: Any = None
        self._summary: Sequence[Any] = ()
        self._button: CancelButton | None = None
        self._table: Sequence[Any] = ()
        self._widths: dict[str, float] = {}
        self._above_table: Any = None
        self._pane: LogPane | None = None
        self._early_choice = ""
        self._drawn = self._titled = 0.0

    @property
    def unfolded(self) -> str:
        return "" if self._pane is None else self._pane.chosen

    def show(self, snapshot: RunSnapshot) -> None:
        self._surface.show_widgets(self.make(snapshot), plain_text(snapshot))

    def make(self, snapshot: RunSnapshot) -> tuple[Any, Any, Any]:
        """Return summary line, chart and table as widgets, which `paint` updates."""
        import ipywidgets

        self._summary = _html_widgets(_head(snapshot, _hint(self._cancelling, snapshot)))
        name, state, time, tell, title = self._summary
        title.layout = {"display": "none"}
        name.layout = _ONE_LINE
        tell.layout = {"margin": "0", "flex": "0 0 auto"}
        time.layout = {**_ONE_LINE, "flex": "1 1 0"}
        self._head = ipywidgets.HBox([name], layout=_NAME_LINE)
        if self._cancelling is not None:
            self._button = CancelButton(self._cancelling)
            self._head.children = (name, self._button.probe)
        line = ipywidgets.HBox([time, tell], layout={"grid_gap": "0 16px"})
        hidden = (title, _another(title, _LIVE_STYLE + hold_html()))
        head = ipywidgets.VBox([self._head, state, line, *hidden], layout=_ROOM_RIGHT)
        self._pane = None
        chart = self._chart.make(snapshot, self._choose_log)
        self._widths = column_widths(snapshot.rows)
        self._above_table = ipywidgets.VBox()
        self._table = _html_widgets(self._table_parts(snapshot), flex="0 0 auto")
        self._table[0].add_class("odibi-top")
        table = ipywidgets.VBox(self._table, layout={"max_height": "60vh", "overflow": "auto"})
        below = ipywidgets.VBox((self._above_table, table), layout=_ROOM_RIGHT)
        return head.add_class(LIVE), chart.add_class(LIVE), below.add_class(LIVE)

    def paint(self, snapshot: RunSnapshot) -> None:
        self._paint_head(snapshot)
        self._chart.paint(snapshot)
        self._paint_table(snapshot)

    def end(self, snapshot: RunSnapshot) -> None:
        """Write head and chart into the outputs that a saved notebook keeps. The table follows later.

        A reloaded page does not receive them, so the widgets show the end as well.
        """
        self._paint_head(snapshot)
        self._chart.end(snapshot)
        self._paint_table(snapshot)
        self._surface.show(summary_and_chart(snapshot))
        if self._button is not None:
            self._button.release()
        self._button = self._cancelling = None

    def _choose_log(self, transformation_id: str) -> None:
        if self._pane is None:
            self._early_choice = transformation_id
        else:
            self._pane.choose(transformation_id)

    def _paint_head(self, snapshot: RunSnapshot) -> None:
        heard = self._button is not None and self._button.update(snapshot)
        if self._button is not None and self._button.heard:
            name = self._summary[0]
            self._head.children = (name, *([self._button.widget] if heard else []))
        hint = "" if heard else _hint(self._cancelling, snapshot)
        *parts, title = _head(snapshot, hint)
        if snapshot.live and snapshot.elapsed - self._titled < TITLE_SECONDS:
            title = self._summary[-1].value
        else:
            self._titled = snapshot.elapsed
        _fill(self._summary, (*parts, title))

    def _is_due(self, snapshot: RunSnapshot) -> bool:
        """Return True if the table is drawn now. Of many rows the table shows a few, and they change once a second."""
        rest = 0.0 if len(snapshot.rows) <= FEW_ROWS or not snapshot.live else TABLE_SECONDS
        if snapshot.elapsed - self._drawn < rest:
            return False
        self._drawn = snapshot.elapsed
        return True

    def _table_parts(self, snapshot: RunSnapshot) -> list[str]:
        buttons = bool(self._above_table.children)
        return table_parts(snapshot, FEW_ROWS, buttons=buttons, widths=self._widths)

    def _paint_table(self, snapshot: RunSnapshot) -> None:
        if not self._is_due(snapshot):
            return
        _fill(self._table, self._table_parts(snapshot))
        if self._state_dir is None:
            return
        if self._button is not None and not self._button.heard:
            return  # the kernel would not receive the choice of a log
        if self._pane is None:
            if snapshot.elapsed < PANE_SECONDS:
                return
            # Made when it is shown: its widgets and ids are a third of the work of the first picture.
            self._pane = LogPane(self._state_dir, snapshot)
            if self._early_choice:
                self._pane.choose(self._early_choice)
            self._above_table.children = (self._pane.widget,)
        self._pane.paint(snapshot)


class SvgChart(Chart):
    """The chart in layers of SVG. A click on a bar needs no kernel: see `click_for_log`."""

    def __init__(self) -> None:
        self._layers: GanttLayers | None = None
        self._pictures: Sequence[Any] = ()

    def make(self, snapshot: RunSnapshot, choose_log: Callable[[str], None]) -> Any:
        import ipywidgets

        del choose_log
        self._layers = GanttLayers(len(snapshot.rows))
        self._pictures = _html_widgets(self._layers.update(snapshot), grid_area="chart")
        # All pictures share one grid cell, so they overlap without positions of their own.
        box = ipywidgets.GridBox(
            self._pictures,
            layout={"grid_template_areas": "'chart'", "grid_template_columns": "100%"},
        )
        return box.add_class("odibi-layers")

    def paint(self, snapshot: RunSnapshot) -> None:
        assert self._layers is not None
        _fill(self._pictures, self._layers.update(snapshot))

    def end(self, snapshot: RunSnapshot) -> None:
        """Draw the last bars. A drawing of many rows keeps its scale: with another, all its layers would change."""
        assert self._layers is not None
        self.paint(snapshot if self._layers.tooltips else replace(snapshot, status="running"))


class PlotlyChart(Chart):
    """The chart as a live Plotly figure."""

    def __init__(self) -> None:
        self._figure: Any = None
        self._drawn: dict[str, Any] = {}

    def make(self, snapshot: RunSnapshot, choose_log: Callable[[str], None]) -> Any:
        from plotly.graph_objects import FigureWidget

        self._drawn = gantt_plotly(gantt_of(snapshot), live=True)
        self._figure = FigureWidget(self._drawn)
        if self._figure.has_trait("_config"):
            self._figure.set_trait("_config", {"displaylogo": False})
        names = [row.id for row in snapshot.rows]

        def bar_clicked(trace: Any, points: Any, _state: Any) -> None:
            if points.ys:
                number = trace.ids[points.point_inds[0]] if trace.ids is not None else points.ys[0]
                choose_log(names[int(number)])

        for trace in self._figure.data:
            trace.on_click(bar_clicked)
        heed_front_end(self._figure)
        return self._figure

    def paint(self, snapshot: RunSnapshot) -> None:
        before, now = self._drawn, gantt_plotly(gantt_of(snapshot), live=True)
        figure = self._figure
        with figure.batch_update():  # send all changes as one message
            for trace, old, new in zip(figure.data, before["data"], now["data"], strict=True):
                for key in _CHANGING:
                    if old.get(key) != new.get(key):
                        trace[key] = new[key]
            for key in ("xaxis", "yaxis", "shapes"):
                if before["layout"][key] != now["layout"][key]:
                    figure.layout[key] = now["layout"][key]
        self._drawn = now


class BestChart(Chart):
    """The chart as SVG until Plotly is imported, then as a live Plotly figure."""

    def __init__(self) -> None:
        self._chart: Chart = SvgChart()
        self._box: Any = None
        self._choose_log: Callable[[str], None] | None = None

    def make(self, snapshot: RunSnapshot, choose_log: Callable[[str], None]) -> Any:
        import ipywidgets

        self._choose_log = choose_log
        if LIBRARIES.ready(PLOTLY):
            self._chart = PlotlyChart()
        self._box = ipywidgets.VBox([self._chart.make(snapshot, choose_log)])
        return self._box

    def paint(self, snapshot: RunSnapshot) -> None:
        if isinstance(self._chart, PlotlyChart) or not LIBRARIES.ready(PLOTLY):
            self._chart.paint(snapshot)
            return
        assert self._choose_log is not None
        chart = PlotlyChart()
        self._box.children = (chart.make(snapshot, self._choose_log),)
        self._chart = chart

    def end(self, snapshot: RunSnapshot) -> None:
        if LIBRARIES.ready(PLOTLY):
            self.paint(snapshot)
        else:
            self._chart.end(snapshot)


def _head(snapshot: RunSnapshot, hint: str) -> tuple[str, ...]:
    """Return the parts of the head, each for a widget. Texts that change together are one part, because each part is a message."""
    return (
        name_html(snapshot),
        state_html(snapshot),
        time_html(snapshot, hint),
        tell_html(snapshot),
        title_html(snapshot),
    )


def _hint(cancelling: Cancelling | None, snapshot: RunSnapshot) -> str:
    return "" if cancelling is None else cancelling.hint(snapshot)


def _html_widgets(texts: Sequence[str], **layout: str) -> tuple[Any, ...]:
    """Return a widget for each text. They share one layout and one style: each is a message of its own."""
    import ipywidgets

    first = ipywidgets.HTML(texts[0], layout={"margin": "0", **layout})
    return first, *(_another(first, text) for text in texts[1:])


def _another(widget: Any, text: str) -> Any:
    """Return a widget with *text* that shares layout and style with *widget*."""
    return type(widget)(text, layout=widget.layout, style=widget.style)


def _fill(widgets: Sequence[Any], texts: Sequence[str]) -> None:
    """Set each widget's text. A widget whose text does not change sends nothing."""
    for widget, text in zip(widgets, texts, strict=True):
        widget.value = text


PICTURES: dict[str, Callable[[Surface, Cancelling | None, Path | None], Picture]] = {
    PLOTLY: lambda *where: WidgetPicture(BestChart(), *where),
    WIDGETS: lambda *where: WidgetPicture(SvgChart(), *where),
    HTML: lambda surface, cancelling, _no_log: HtmlPicture(surface, cancelling),
}
"""The pictures by the name of the UI. The console draws ``text``."""
