"""A panel's presets: common choices of rows, available by one click."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.notebook.labels import labelled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NONE, ALL, STALE, FAILED, FROM = "", "all", "stale", "failed", "from "


class Presets:
    """A list of presets. It shows its first line again after a choice, so that a preset can be chosen twice.

    Args:
        chosen: called with `ALL`, `STALE`, `FAILED`, or `FROM` and the name of a layer.

    Attributes:
        widget: the list.
    """

    def __init__(self, chosen: Callable[[str], None]) -> None:
        import ipywidgets as w

        self._chosen = chosen
        self.widget = labelled(
            w.Dropdown(options=[("choose …", NONE)]),
            "Preset",
            "Choose all rows, stale rows, failed rows, or a layer and the layers after it",
            "auto",
        )
        self.widget.observe(self._on_value, names="value")

    def offer(self, layers: Sequence[str]) -> None:
        """Offer the presets of a project with *layers*, in their order."""
        self.widget.options = [
            ("choose …", NONE),
            ("all rows", ALL),
            ("stale rows", STALE),
            ("unfinished rows of the last run", FAILED),
            *((f"from {layer} on", FROM + layer) for layer in layers[1:]),
        ]

    def _on_value(self, change: Any) -> None:
        if change["new"]:
            self.widget.value = NONE
            self._chosen(change["new"])
