"""The choices of a panel in one line, which replaces its controls during a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.name_lists import some_of
from odibi_nb.notebook.labels import small_button
from odibi_nb.views.notices import note_html

if TYPE_CHECKING:
    from odibi_nb.notebook.panel.choices import Choices

MAX_NAMED = 3


class Fold:
    """Controls that fold to one line.

    Args:
        controls: the widget with the controls.

    Attributes:
        widget: the line and the controls; one of them is hidden.
        change: the button that shows the controls again.
    """

    def __init__(self, controls: Any) -> None:
        import ipywidgets as w

        self._controls = controls
        self._text = w.HTML()
        tip = "Show the choices again, for the next run"
        self.change = small_button("Change", "pencil", tip, self.unfold)
        self._line = w.HBox(
            [self._text, self.change],
            layout={"align_items": "center", "flex_flow": "row wrap", "grid_gap": "0 8px"},
        )
        self.widget = w.VBox([self._line, controls])
        self.unfold()

    @property
    def folded(self) -> bool:
        """True if the line is shown."""
        return bool(self._controls.layout.display == "none")

    def fold(self, text: str) -> None:
        """Show *text* in place of the controls."""
        self._text.value = note_html(text)
        self._controls.layout.display, self._line.layout.display = "none", None

    def unfold(self) -> None:
        """Show the controls."""
        self._controls.layout.display, self._line.layout.display = None, "none"


def folded_text(choices: Choices, workers: int) -> str:
    """Return the choices in one line: project, environment, rows and workers."""
    rows = some_of(choices.only, MAX_NAMED) if choices.only else ""
    layers = some_of(choices.layers, MAX_NAMED) if choices.layers else "all layers"
    parts = [choices.project, choices.env, rows or layers, counted(workers, "worker")]
    parts += ["only stale rows"] if choices.stale else []
    return " · ".join(parts)
