"""Rows chosen by clicks on the graph of a panel's preview.

A click sends the number of a box, because an id may have any characters. The list of transformations
is the same choice for the keyboard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.views.plan.graph import graph_of
from odibi_nb.views.plan.graph_svg import CLICKS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from odibi_nb.core.planning.plan import RunPlan


class GraphClicks:
    """The invisible control that a click on a box of the graph sets.

    Args:
        clicked: called with the number of the box.

    Attributes:
        widgets: to be in the page, below the same element as the graph.
    """

    def __init__(self, clicked: Callable[[int], None]) -> None:
        import ipywidgets as w

        self._clicked = clicked
        hidden = w.Layout(display="none")
        self._control = w.Text(continuous_update=False, layout=hidden)
        self._control.add_class(CLICKS)
        self._control.observe(self._on_value, names="value")
        self._marks = w.HTML(layout=hidden)
        self._scope = f"{CLICKS}-{self._control.model_id}"
        self.widgets = (self._control, self._marks)
        self._marks.add_class(self._scope)

    def mark(self, plan: RunPlan, chosen: Iterable[str]) -> None:
        """Draw a thick frame around the boxes of the *chosen* rows."""
        marked = set(chosen)
        boxes = ",".join(
            f".{self._scope}~* [data-box='{number}'] rect"
            for number, name in enumerate(graph_of(plan).nodes if marked else ())
            if name in marked
        )
        style = "stroke:var(--jp-brand-color1,#1976d2)!important;stroke-width:4!important"
        self._marks.value = f"<style>{boxes}{{{style}}}</style>" if boxes else ""

    def _on_value(self, change: Any) -> None:
        number = change["new"].partition(":")[0]
        if number.isascii() and number.isdigit():
            self._clicked(int(number))


def rows_of_box(plan: RunPlan, number: int) -> list[str]:
    """Return the ids of the rows that a box of the graph of *plan* stands for: one row, or a layer's rows."""
    graph = graph_of(plan)
    names = [*graph.nodes]
    if number >= len(names):
        return []
    name = names[number]
    return [row.id for row in plan.rows.values() if row.layer == name] if graph.note else [name]
