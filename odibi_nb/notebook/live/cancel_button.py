"""Buttons that end a run from its picture; where the kernel hears no button, a hint about ■."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from odibi_nb.views.run.state import RunSnapshot

PRESSES = (
    ("Cancel", "Start nothing new; what runs may end"),
    ("Stop what runs", "Refuse what runs its writes, and cancel its Spark jobs"),
    ("Abandon what runs", "Wait for nothing: what still runs is given up"),
)
"""What the next request to end the run does, by how many there were: a button's label and tooltip."""
GIVEN_UP = ("Abandoning …", "Nothing more can be asked for")
HINTS = ("■ cancels", "■ again stops what runs", "■ again abandons what runs")


PROBES = 20
"""How often a front end is asked whether it is heard: for five seconds or so."""


@dataclass(frozen=True, slots=True)
class Cancelling:
    """How people can end a run while it goes on.

    Attributes:
        ask: asks the run to end, harder each time; whether there is one that hears. Any thread.
        may_hear: whether it is worth finding out if a button is heard while the cell runs.
    """

    ask: Callable[[], bool]
    may_hear: Callable[[], bool]

    def hint(self, snapshot: RunSnapshot) -> str:
        """What the stop button does next; "" if nothing."""
        level = snapshot.cancel_level
        return HINTS[level] if snapshot.live and level < len(HINTS) else ""


class CancelButton:
    """The button, and how it is found out whether it would be heard.

    That cannot be known from the kernel alone: it depends on where the front end sends its messages. So
    it is asked for one: `probe` is a hidden widget that answers, from the page, when it is told to play.

    Attributes:
        widget: to be seen only while `update` says that it is heard.
        probe: to be in the page, hidden, until then.
        heard: whether the front end has been heard while the run went on.
    """

    def __init__(self, cancelling: Cancelling) -> None:
        import ipywidgets

        self._cancelling = cancelling
        self._level = self._requested = self._probes = 0
        label, tooltip = PRESSES[0]
        self.heard = False
        self.widget = ipywidgets.Button(
            description=label,
            tooltip=tooltip,
            layout={"width": "auto", "margin": "2px 2px 2px 12px"},
        )
        self.widget.on_click(self._pressed)
        self.probe = ipywidgets.Play(min=0, max=1, layout={"display": "none"})
        self.probe.observe(self._answered, "value")
        heed_front_end(self.widget)
        heed_front_end(self.probe)

    def update(self, snapshot: RunSnapshot) -> bool:
        """Say what the next press does; whether there is one to hear it."""
        self._level = snapshot.cancel_level
        if not snapshot.live or self._level >= len(PRESSES):
            return False
        if not self.heard:
            self._probe()
        self.widget.description, self.widget.tooltip = PRESSES[self._level]
        return self.heard

    def _probe(self) -> None:
        """Let the page answer. It does when it sees the change, so not before the widget is there."""
        if self._probes < PROBES and self._cancelling.may_hear():
            self._probes += 1
            playing = "playing" if self.probe.has_trait("playing") else "_playing"  # ipywidgets 7
            setattr(self.probe, playing, self._probes % 2 == 1)

    def _answered(self, _change: Any) -> None:
        self.heard = True

    def _pressed(self, _button: Any) -> None:
        """Ask, once for each label: a double click is not two requests. On a thread of the kernel's."""
        level = self._level
        if self._requested <= level and self._cancelling.ask():
            self._requested = level + 1


class EndButton:
    """A button that asks a background run to end, and says what its next press does.

    Unlike `CancelButton` it is heard wherever there are widgets: no cell keeps the kernel busy.

    Args:
        cancel: asks the run to end, harder each time.
    """

    def __init__(self, cancel: Callable[[], None]) -> None:
        import ipywidgets

        self.widget = ipywidgets.Button(icon="stop", layout=ipywidgets.Layout(width="auto"))
        self.widget.on_click(lambda _button: cancel())
        self.show(None)

    def show(self, requests: int | None) -> None:
        """Say what the next press does.

        Args:
            requests: how often the run was asked to end; None if no run is in progress.
        """
        labels = (*PRESSES, GIVEN_UP)
        level = min(requests or 0, len(PRESSES))
        self.widget.description, self.widget.tooltip = labels[level]
        self.widget.disabled = requests is None or level == len(PRESSES)


def heed_front_end(widget: Any) -> None:
    """Let messages to *widget* run where the front end sent them, not where the widget was made.

    From 7.4 on, ipykernel sends them to the shell that used the widget last, which is busy with the
    cell. The name is private: a browser test presses the button, to tell when this ends.
    """
    if hasattr(widget.comm, "_reply_subshell_for"):
        widget.comm._reply_subshell_for = lambda _data, default: default  # noqa: SLF001  see above
