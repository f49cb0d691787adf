"""Ending a run from where it is shown: a button where it is heard, else a word about ■."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from odibi_nb.views.state import RunSnapshot

PRESSES = (
    ("Cancel", "Start nothing new; what runs may end"),
    ("Stop what runs", "Refuse what runs its writes, and cancel its Spark jobs"),
    ("Abandon what runs", "Wait for nothing: what still runs is given up"),
)
"""What the next request to end the run does, by how many there were: a button's label and tooltip."""
HINTS = ("■ cancels", "■ again stops what runs", "■ again abandons what runs")


@dataclass(frozen=True, slots=True)
class Cancelling:
    """How people can end a run while it goes on.

    Attributes:
        ask: asks the run to end, harder each time; whether there is one that hears. Any thread.
        heard: whether a button is heard while the cell runs.
    """

    ask: Callable[[], bool]
    heard: Callable[[], bool]

    def hint(self, snapshot: RunSnapshot) -> str:
        """What the stop button does next; "" if nothing."""
        level = snapshot.cancel_level
        return HINTS[level] if snapshot.live and level < len(HINTS) else ""


class CancelButton:
    """The button; `widget` is to be seen only while `update` says that it is heard."""

    def __init__(self, cancelling: Cancelling) -> None:
        import ipywidgets

        self._cancelling = cancelling
        self._level = self._asked = 0
        label, tooltip = PRESSES[0]
        self.widget = ipywidgets.Button(
            description=label, tooltip=tooltip, layout={"width": "auto"}
        )
        self.widget.on_click(self._pressed)
        heed_front_end(self.widget)

    def update(self, snapshot: RunSnapshot) -> bool:
        """Say what the next press does; whether there is one to hear it."""
        self._level = snapshot.cancel_level
        if not snapshot.live or self._level >= len(PRESSES) or not self._cancelling.heard():
            return False
        self.widget.description, self.widget.tooltip = PRESSES[self._level]
        return True

    def _pressed(self, _button: Any) -> None:
        """Ask, once for each label: a double click is not two requests. On a thread of the kernel's."""
        level = self._level
        if self._asked <= level and self._cancelling.ask():
            self._asked = level + 1


def heed_front_end(widget: Any) -> None:
    """Let messages to *widget* run where the front end sent them, not where the widget was made.

    From 7.4 on, ipykernel sends them to the shell that used the widget last, which is busy with the
    cell. The name is private: a browser test presses the button, to tell when this ends.
    """
    if hasattr(widget.comm, "_reply_subshell_for"):
        widget.comm._reply_subshell_for = lambda _data, default: default  # noqa: SLF001  see above
