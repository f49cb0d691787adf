"""Surfaces: the places that show a run. Each has three parts: summary line, chart and table.

A surface shows widgets during the run, or MIME bundles. At the end of the run bundles replace the
widgets, because a saved notebook shows bundles without a kernel or a network.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from IPython.display import display

from odibi_nb.core.process.compute import is_databricks
from odibi_nb.views.notices import error_html, note_html
from odibi_nb.views.run.bundles import EMPTY

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odibi_nb.views.run.bundles import Bundle

READING = "reading manifest and registry …"
STARTING = f"Starting: {READING}"
PAGE_IS_GONE = (
    "The live picture of this run has ended with its page. To see the run: %odibi watch last"
)
NOT_KEPT = "Databricks does not keep a live picture. When the run has ended: %odibi watch last"
_WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


class Surface(Protocol):
    """A place for the three parts of a run."""

    def announce(self, text: str) -> None:
        """Show *text* before the first picture. "" removes an earlier text."""

    def reserve(self, text: str) -> None:
        """Show *text*, and make room for the three parts, so that any thread can fill them."""
        self.announce(text)

    def show(self, bundles: Sequence[Bundle]) -> None:
        """Replace the content of the first parts, each by its bundle. The other parts keep their content."""

    def show_widgets(self, widgets: Sequence[Any], text: str) -> None:
        """Show a widget in each part; *text* is for front ends without widgets."""

    def show_table(self, bundle: Bundle) -> None:
        """Show *bundle* in the table's part."""

    def show_error(self, title: str, text: str, *, started: bool) -> None:
        """Show why the run failed: below its picture if it had *started*, otherwise instead of it."""

    def keep(self, bundle: Bundle) -> None:
        """Store *bundle* for a page that loses its widgets, if the surface can. The first call must come from
        the cell's thread.
        """
        del bundle

    def live_bundle(self) -> Bundle:
        """Return a bundle that shows the live run in a further output; empty if that is impossible."""
        return {}


class CellOutputs(Surface):
    """Outputs of a cell. `announce`, `reserve` or `show` creates them; later calls update them.

    Output from a thread appears below the cell that ran last. So the call that creates the outputs must
    come from the thread of the cell.
    """

    def __init__(self) -> None:
        self._handles: list[Any] = []
        self._kept: Any = None

    def announce(self, text: str) -> None:
        self.show([_note(text)])

    def reserve(self, text: str) -> None:
        self.show([_note(text), EMPTY, EMPTY])

    def show(self, bundles: Sequence[Bundle]) -> None:
        """Display the bundles, or update the existing outputs."""
        for handle, bundle in zip(self._handles, bundles, strict=False):
            handle.update(bundle, raw=True)
        for bundle in bundles[len(self._handles) :]:
            self._handles.append(display(bundle, raw=True, display_id=True))

    def show_widgets(self, widgets: Sequence[Any], text: str) -> None:
        self.show([widget_bundle(widget, text) for widget in widgets])

    def show_table(self, bundle: Bundle) -> None:
        self._handles[-1].update(bundle, raw=True)

    def show_error(self, title: str, text: str, *, started: bool) -> None:
        bundle = {"text/html": error_html(title, text), "text/plain": f"{title}: {text}"}
        self._handles[-1 if started else 0].update(bundle, raw=True)

    def keep(self, bundle: Bundle) -> None:
        if self._kept is None:
            self._kept = display(bundle, raw=True, display_id=True)
        else:
            self._kept.update(bundle, raw=True)


class ReservedOutputs(Surface):
    """Outputs of a cell, reserved before its run begins on another thread.

    They hold empty boxes, and that thread fills them with widgets. Databricks changes only outputs of the cell
    that runs, so there the boxes also show the end of the run.

    Args:
        button: a widget to show above the summary line.
    """

    def __init__(self, button: Any) -> None:
        import ipywidgets

        self._fixed = is_databricks()
        self._boxes = tuple(ipywidgets.VBox([]) for _ in range(3))
        summary, *others = self._boxes
        _fill(summary, note_html(STARTING))
        parts = (ipywidgets.VBox([button, summary]), *others)
        self._whole = ipywidgets.VBox(parts)
        self._outputs = CellOutputs()
        self._outputs.show_widgets(parts, PAGE_IS_GONE)
        if self._fixed:
            display(_note(NOT_KEPT), raw=True)

    def announce(self, text: str) -> None:
        _fill(self._boxes[0], note_html(text) if text else "")

    def show(self, bundles: Sequence[Bundle]) -> None:
        """Update the outputs. The boxes remain in other displays of the run."""
        self._outputs.show(bundles)
        if self._fixed:
            for box, bundle in zip(self._boxes, bundles, strict=False):
                _fill(box, bundle.get("text/html", ""))

    def show_widgets(self, widgets: Sequence[Any], text: str) -> None:
        del text
        fill_boxes(self._boxes, widgets)

    def show_table(self, bundle: Bundle) -> None:
        self._outputs.show_table(bundle)
        if self._fixed:
            _fill(self._boxes[-1], bundle.get("text/html", ""))

    def show_error(self, title: str, text: str, *, started: bool) -> None:
        if not started:
            for box in self._boxes:
                box.children = ()
        _fill(self._boxes[-1 if started else 0], error_html(title, text))
        self._outputs.show_error(title, text, started=started)

    def live_bundle(self) -> Bundle:
        return widget_bundle(self._whole, PAGE_IS_GONE)


def reserved_html() -> CellOutputs:
    """Reserve outputs of the cell for a run without widgets."""
    outputs = CellOutputs()
    outputs.reserve(STARTING)
    return outputs


def reading_text(project: str | None, env: str | None) -> str:
    """Return the words for a run whose plan is not made yet, with the known parts of its name."""
    name = " · ".join(filter(None, (project, env)))
    return f"{name}: {READING}" if name else STARTING


def _note(text: str) -> Bundle:
    return {"text/html": note_html(text), "text/plain": text} if text else EMPTY


def _fill(box: Any, html: str) -> None:
    import ipywidgets

    box.children = (ipywidgets.HTML(html),)


def fill_boxes(boxes: Sequence[Any], widgets: Sequence[Any]) -> None:
    """Make each widget the only content of its box."""
    for box, widget in zip(boxes, widgets, strict=True):
        box.children = (widget,)


def widget_bundle(widget: Any, text: str) -> Bundle:
    """Return a bundle that displays *widget* with ipywidgets 7 and 8, in a replaceable output."""
    view = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return {_WIDGET_VIEW: view, "text/plain": text}
