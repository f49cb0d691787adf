"""A panel's tabs: Preview, Gantt with the log below it, Run log, Result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.core.protocols import View
from odibi_nb.notebook.environment import WIDGETS
from odibi_nb.notebook.labels import labelled
from odibi_nb.notebook.live.surfaces import STARTING, Surface, fill_boxes
from odibi_nb.notebook.live.view import LiveView
from odibi_nb.notebook.panel.graph_clicks import GraphClicks
from odibi_nb.views.notices import error_html, note_html
from odibi_nb.views.run.bundles import PLOTLY
from odibi_nb.views.run.click_for_log import CONTROL
from odibi_nb.views.run.console_lines import ConsoleLines

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from odibi_nb.core.model.events import RunEvent
    from odibi_nb.core.planning.plan import RunPlan
    from odibi_nb.views.run.bundles import Bundle
    from odibi_nb.views.run.state import RunSnapshot

TITLES = ("Preview", "Gantt", "Run log", "Result")
PREVIEW, GANTT, RUN_LOG, RESULT = range(len(TITLES))
MAX_FILTERS = 1_000
"""Maximum number of transformations that the filter of the log offers."""
EVERYTHING = "everything"
GOES_ON = "A run is in progress. Its result appears here at its end."


class PanelTabs(View):
    """The tabs of a panel. Any thread may fill them. As a view of a run, they collect its lines.

    Args:
        toggle: called with the number of a box of the preview's graph that was clicked.

    Attributes:
        summary: the head of the run, above all tabs.
    """

    def __init__(self, toggle: Callable[[int], None]) -> None:
        import ipywidgets as w

        self.preview = w.HTML(
            note_html("Preview shows the rows that would run, and changes nothing.")
        )
        self.clicked = GraphClicks(toggle)
        nothing = "Nothing has run yet."
        self.summary = w.VBox([])
        self.gantt, self.table = (w.VBox([w.HTML(note_html(nothing))]) for _ in range(2))
        self.filter = labelled(
            w.Dropdown(options=[(EVERYTHING, "")]),
            "Lines of",
            "Show what one transformation printed and logged",
            "400px",
        )
        self.filter.add_class(CONTROL)
        self.log = w.HTML(note_html(nothing))
        self.result = w.HTML(note_html(nothing))
        children = [
            w.VBox([*self.clicked.widgets, self.preview]),
            w.VBox([self.gantt, self.filter, self.log]),
            self.table,
            self.result,
        ]
        self.widget = w.Tab(children)
        for number, title in enumerate(TITLES):
            self.widget.set_title(number, title)
        self.lines = ConsoleLines()
        self._painted: tuple[int, str] | None = None
        self.filter.observe(self._on_filter, names="value")
        self.widget.observe(lambda _change: self.paint_log(), names="selected_index")

    def open(self, number: int) -> None:
        """Bring a tab to the front."""
        self.widget.selected_index = number

    def start(self) -> None:
        """Remove the content of an earlier run, because another run is about to begin."""
        self.lines.clear()
        self.nothing(STARTING)
        self.result.value = note_html(GOES_ON)
        self.paint_log()

    def nothing(self, why: str) -> None:
        """Show *why* there is no run."""
        import ipywidgets as w

        refill(self.summary)
        for box in (self.gantt, self.table):
            refill(box, w.HTML(note_html(why)))
        self.result.value = note_html(why)

    def live_view(self, say: Callable[[str], None]) -> LiveView:
        """Return a view that shows a run in the tabs.

        Args:
            say: shows one line with the panel's status; the head of the run replaces it.
        """

        def paint_more(_snapshot: RunSnapshot) -> None:
            self.paint_log()
            say("")  # the head above the tabs has the status

        # No pane for logs: a click on a row or a bar opens the tab that shows them.
        # No Plotly: its figures fail in a hidden tab whenever the page is resized.
        surface = TabSurface((self.summary, self.gantt, self.table))
        return LiveView(lambda _rows: WIDGETS, surface, paint_more)

    def on_plan(self, plan: RunPlan) -> None:
        """Offer the transformations of *plan* as filters of the log."""
        names = list(plan.rows)[:MAX_FILTERS]
        self.filter.options = [(EVERYTHING, ""), *((name, name) for name in names)]
        self.lines.on_plan(plan)

    def on_event(self, event: RunEvent) -> None:
        self.lines.on_event(event)

    def on_output(self, transformation_id: str, line: str) -> None:
        self.lines.on_output(transformation_id, line)

    def on_message(self, level: str, text: str) -> None:
        self.lines.on_message(level, text)

    def _on_filter(self, change: Any) -> None:
        """Show the filtered lines and open their tab. A click on a row or bar also sets the filter."""
        if change["new"]:
            self.open(GANTT)
        self.paint_log()

    def paint_log(self) -> None:
        """Show the lines, if their tab is open and they have changed."""
        now = self.lines.version, self.filter.value or ""
        if self.widget.selected_index == GANTT and now != self._painted:
            self._painted = now
            self.log.value = self.lines.html(now[1])


class TabSurface(Surface):
    """A surface of boxes in a panel's tabs.

    The boxes show bundles as a cell's output does, without Plotly's.

    Args:
        boxes: for summary line, chart and table.
    """

    def __init__(self, boxes: Sequence[Any]) -> None:
        self._boxes = boxes

    def announce(self, text: str) -> None:
        _show_bundle(self._boxes[0], {"text/html": note_html(text)})

    def show(self, bundles: Sequence[Bundle]) -> None:
        for box, bundle in zip(self._boxes, bundles, strict=False):
            _show_bundle(box, bundle)

    def show_widgets(self, widgets: Sequence[Any], text: str) -> None:
        del text
        fill_boxes(self._boxes, widgets)

    def show_table(self, bundle: Bundle) -> None:
        _show_bundle(self._boxes[-1], bundle)

    def show_error(self, title: str, text: str, *, started: bool) -> None:
        if not started:
            for box in self._boxes:
                box.children = ()
        _show_bundle(self._boxes[-1 if started else 0], {"text/html": error_html(title, text)})


def _show_bundle(box: Any, bundle: Bundle) -> None:
    import ipywidgets as w

    data = {kind: content for kind, content in bundle.items() if kind != PLOTLY}
    output = {"output_type": "display_data", "data": data, "metadata": {}}
    refill(box, w.Output(outputs=(output,)))


def refill(box: Any, *children: Any) -> None:
    """Replace the content of *box* with *children*, and close the old content for good."""
    before, box.children = box.children, children
    close_all(before)


def close_all(widgets: Iterable[Any]) -> None:
    """Close *widgets* and their children, which the page no longer shows."""
    for widget in widgets:
        close_all(getattr(widget, "children", ()))
        widget.close()
