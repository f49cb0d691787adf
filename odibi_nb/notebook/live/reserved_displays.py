"""A live view whose place is taken before its run begins: the run itself is on another thread.

What a thread displays lands under whichever cell ran last. So empty widgets (or, where there are none,
HTML) are displayed on the cell's own thread, and the run's thread only fills them.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from odibi_nb.notebook.environment import HTML, PLOTLY, WIDGETS
from odibi_nb.notebook.live.cancel_button import PRESSES
from odibi_nb.notebook.live.displays import (
    HtmlRung,
    PlotlyRung,
    WidgetRung,
    displayed,
    widget_bundle,
)
from odibi_nb.notebook.live.view import LiveView
from odibi_nb.views.notices import error_html, note_html
from odibi_nb.views.run.bundles import EMPTY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from odibi_nb.notebook.live.background import BackgroundRun
    from odibi_nb.views.run.state import RunSnapshot

STARTING = "Starting: reading manifest and registry …"
GIVEN_UP = ("Abandoning …", "Nothing more can be asked for")


class PlacedHtml(HtmlRung):
    """The ``html`` rung in outputs that are there already."""

    def __init__(self, outputs: Sequence[Any]) -> None:
        super().__init__()
        self._outputs = [*outputs]

    def show(self, snapshot: RunSnapshot) -> None:
        """Fill the outputs."""
        self.paint(snapshot)


class PlacedWidgets(WidgetRung):
    """The ``widgets`` rung in *boxes* that are displayed already, as *outputs*."""

    def __init__(self, outputs: Sequence[Any], boxes: Sequence[Any]) -> None:
        super().__init__()
        self._outputs = [*outputs]
        self._boxes = boxes

    def show(self, snapshot: RunSnapshot) -> None:
        """Fill the boxes."""
        for box, widget in zip(self._boxes, self.make(snapshot), strict=True):
            box.children = (widget,)


class PlacedPlotly(PlacedWidgets, PlotlyRung):
    """The ``plotly`` rung in boxes that are displayed already, as *outputs*."""


class PlacedView(LiveView):
    """Shows a run in a place of its own: outputs for summary line, chart and table.

    Args:
        choose: as `LiveView`'s.
        outputs: what can be updated with a MIME bundle, as IPython's `DisplayHandle`.
        boxes: the widgets in *outputs* that hold what is live; none on the ``html`` rung.
    """

    def __init__(
        self, choose: Callable[[int], str], outputs: Sequence[Any], boxes: Sequence[Any] = ()
    ) -> None:
        rungs: dict[str, Callable[[], HtmlRung]] = {
            HTML: partial(PlacedHtml, outputs),
            WIDGETS: partial(PlacedWidgets, outputs, boxes),
            PLOTLY: partial(PlacedPlotly, outputs, boxes),
        }
        super().__init__(choose if boxes else lambda _rows: HTML, rungs)
        self._outputs = outputs
        self._boxes = boxes

    def fail(self, title: str, text: str) -> None:
        """Show why there is no run; or, below what is left of it, why it could not go on."""
        import ipywidgets

        starting = self._painter is None
        place = 0 if starting else -1
        html = error_html(title, text)
        with self._harmless():
            for box in self._boxes if starting else ():  # nothing is starting any more
                box.children = ()
            if self._boxes:
                self._boxes[place].children = (ipywidgets.HTML(html),)
            self._outputs[place].update(
                {"text/html": html, "text/plain": f"{title}: {text}"}, raw=True
            )

    def watch(self, run: BackgroundRun) -> None:
        """*run* is what will be shown, was asked to end, or is over now."""

    def live_bundle(self) -> dict[str, Any]:
        """What shows the run once more, alive, in another output; nothing where that cannot be."""
        return {}


class CellView(PlacedView):
    """The outputs of a background run's own cell: summary line and a button that ends it, chart, table.

    Args:
        choose: as `LiveView`'s.
    """

    def __init__(self, choose: Callable[[int], str]) -> None:
        if choose(0) == HTML:
            start = {"text/html": note_html(STARTING), "text/plain": STARTING}
            super().__init__(choose, displayed([start, EMPTY, EMPTY]))
            return
        import ipywidgets

        self.button = EndButton()
        summary, chart, table = boxes = tuple(ipywidgets.VBox([]) for _ in range(3))
        summary.children = (ipywidgets.HTML(note_html(STARTING)),)
        shown = (ipywidgets.VBox([self.button.widget, summary]), chart, table)
        outputs = displayed(widget_bundle(widget, STARTING) for widget in shown)
        super().__init__(choose, outputs, boxes)
        self._whole = ipywidgets.VBox(shown)

    def watch(self, run: BackgroundRun) -> None:
        """Let the button end *run*; take it away when there is nothing to end."""
        if self._boxes:
            self.button.show(run)
            self.button.widget.layout.display = None if run.running else "none"

    def live_bundle(self) -> dict[str, Any]:
        """All of it as one widget."""
        return widget_bundle(self._whole, STARTING) if self._boxes else {}


class EndButton:
    """A button that asks a background run to end, and says what its next press does.

    Unlike `CancelButton` it is heard wherever there are widgets: no cell keeps the kernel busy.
    """

    def __init__(self) -> None:
        import ipywidgets

        self.widget = ipywidgets.Button(icon="stop", layout=ipywidgets.Layout(width="auto"))
        self._run: BackgroundRun | None = None
        self.widget.on_click(self._pressed)
        self.show(None)

    def show(self, run: BackgroundRun | None) -> None:
        """Stand for *run*; none can be ended if it is None or over."""
        self._run = run
        going = run is not None and run.running
        requests = run.requests if run is not None and going else 0
        heard = requests < len(PRESSES)
        self.widget.description, self.widget.tooltip = PRESSES[requests] if heard else GIVEN_UP
        self.widget.disabled = not (going and heard)

    def _pressed(self, _button: Any) -> None:
        run = self._run
        if run is not None:
            run.cancel()
            self.show(run)
