"""A panel's layers: a checkbox for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.notebook.labels import explained, ticked_box, tip_html

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_LABEL = "text-align:right;color:var(--jp-ui-font-color1,inherit)"
TIP = "Run the ticked layers, or all layers if none is ticked"


class LayerBoxes:
    """Checkboxes to choose layers. They are not a list, because JupyterLab intercepts the arrow keys of lists.

    Args:
        changed: called after every change of the chosen layers.
    """

    def __init__(self, changed: Callable[[], None]) -> None:
        import ipywidgets as w

        self._changed = changed
        self._boxes: dict[str, Any] = {}
        place = w.Layout(max_height="140px", overflow="auto", width="196px", margin="4px 0 0 8px")
        self._box = w.VBox(layout=place)
        title = f"<div style='{_LABEL}'>{tip_html('Layers', TIP)}</div>"
        label = w.HTML(title, layout=w.Layout(width="90px", margin="2px 0"))
        self.widget = w.HBox([label, self._box], layout=w.Layout(width="300px"))

    @property
    def chosen(self) -> tuple[str, ...]:
        """The ticked layers, in the manifest's order; () if all or none are ticked."""
        ticked = tuple(layer for layer, box in self._boxes.items() if box.value)
        return () if len(ticked) == len(self._boxes) else ticked

    def offer(self, layers: Iterable[str]) -> None:
        """Offer *layers*, all of them ticked."""
        import ipywidgets as w

        before = self._boxes
        self._boxes = {
            layer: explained(
                ticked_box(layer, indent=False, layout=w.Layout(width="auto", margin="0")), TIP
            )
            for layer in layers
        }
        for box in self._boxes.values():
            box.observe(lambda _change: self._changed(), names="value")
        self._box.children = tuple(self._boxes.values())
        for box in before.values():
            box.close()

    def choose_from(self, first: str) -> None:
        """Tick *first* and the layers after it, and no others."""
        reached = False
        for layer, box in self._boxes.items():
            reached = reached or layer == first
            box.value = reached

    def choose_all(self) -> None:
        """Tick all layers."""
        for box in self._boxes.values():
            box.value = True
