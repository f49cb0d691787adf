"""Buttons that cancel a run from its picture, and a hint about ■ for kernels that get no clicks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from odibi_nb.views.run.state import RunSnapshot

PRESSES = (
    ("Cancel", "Start no more rows; running rows may end"),
    ("Stop running rows", "Block their writes and cancel their Spark jobs"),
    ("Abandon running rows", "End the run now, without its running rows"),
)
"""Label and tooltip of a button: the effect of its next press, by the number of requests so far."""
GIVEN_UP = ("Abandoning …", "Nothing more can be requested")
HINTS = ("■ cancels", "■ again stops running rows", "■ again abandons running rows")


PROBES, LATER = 20, 8
"""Pictures with a probe that tests whether clicks reach the kernel: the first ones, and each eighth one after them.

There are four pictures a second. A slow page shows the first one after many seconds.
"""


@dataclass(frozen=True, slots=True)
class Cancelling:
    """The functions that cancel a run in progress.

    Attributes:
        ask: requests cancellation, each call more forcefully; returns True if a run received the request. Any
            thread can call it.
        may_hear: returns True if the front end may be able to reach the kernel while the cell runs.
    """

    ask: Callable[[], bool]
    may_hear: Callable[[], bool]

    def hint(self, snapshot: RunSnapshot) -> str:
        """Return the effect of the next press of the stop button; "" if it has none."""
        level = snapshot.cancel_level
        return HINTS[level] if snapshot.live and level < len(HINTS) else ""


class CancelButton:
    """The cancel button, with a test of whether its clicks reach the kernel.

    The kernel cannot know this by itself: it depends on where the front end sends its messages. So
    the kernel starts `probe`, a hidden player, and the page answers with a message.

    Attributes:
        widget: to be shown only while `update` returns True.
        probe: to be in the page, hidden, until then.
        heard: True once a message of the front end has arrived during the run.
    """

    def __init__(self, cancelling: Cancelling) -> None:
        import ipywidgets

        self._cancelling = cancelling
        self._level = self._requested = self._pictures = 0
        self._plays = False
        label, tooltip = PRESSES[0]
        self.heard = False
        self.widget = ipywidgets.Button(
            description=label,
            tooltip=tooltip,
            # Never narrower than its label: it names the effect of the next press.
            layout={"width": "max-content", "flex": "0 0 auto", "margin": "2px 2px 2px 4px"},
        )
        self.widget.on_click(self._pressed)
        self.probe = ipywidgets.Play(min=0, max=1, layout={"display": "none"})
        self.probe.observe(self._answered, "value")
        heed_front_end(self.widget)
        heed_front_end(self.probe)

    def update(self, snapshot: RunSnapshot) -> bool:
        """Show the effect of the next press. Return True if the button works and has an effect."""
        self._level = snapshot.cancel_level
        if not snapshot.live or self._level >= len(PRESSES):
            return False
        if not self.heard:
            self._probe()
        self.widget.description, self.widget.tooltip = PRESSES[self._level]
        return self.heard

    def _probe(self) -> None:
        """Ask the page for a message. It answers a change, so only after the widget is in the page."""
        self._pictures += 1
        is_due = self._pictures <= PROBES or self._pictures % LATER == 0
        if is_due and self._cancelling.may_hear():
            self._plays = not self._plays
            playing = "playing" if self.probe.has_trait("playing") else "_playing"  # ipywidgets 7
            setattr(self.probe, playing, self._plays)

    def _answered(self, _change: Any) -> None:
        self.heard = True

    def release(self) -> None:
        """Forget the run. The kernel keeps each widget until the kernel ends, and with the widget its callbacks."""
        self.probe.unobserve(self._answered, "value")
        self.widget.on_click(self._pressed, remove=True)

    def _pressed(self, _button: Any) -> None:
        """Cancel once per label, so that a double click counts once. Runs on a kernel thread."""
        level = self._level
        if self._requested <= level and self._cancelling.ask():
            self._requested = level + 1


class EndButton:
    """A button that cancels a background run, and shows the effect of its next press.

    Unlike `CancelButton`, this button works wherever widgets do, because no cell keeps the kernel busy.

    Args:
        cancel: requests cancellation, each call more forcefully.
    """

    def __init__(self, cancel: Callable[[], object]) -> None:
        import ipywidgets

        self.widget = ipywidgets.Button(icon="stop", layout=ipywidgets.Layout(width="auto"))
        self._cancel = cancel
        self.widget.on_click(self._pressed)
        self.show(None)

    def show(self, requests: int | None) -> None:
        """Show the effect of the next press.

        Args:
            requests: number of cancel requests so far; None if no run is in progress.
        """
        labels = (*PRESSES, GIVEN_UP)
        level = min(requests or 0, len(PRESSES))
        self.widget.description, self.widget.tooltip = labels[level]
        self.widget.disabled = requests is None or level == len(PRESSES)

    def follow(self, requests: int | None) -> None:
        """Show the effect of the next press of one run. When the run is over, hide the button and forget the run.

        Args:
            requests: number of cancel requests so far; None if the run is over.
        """
        self.show(requests)
        self.widget.layout.display = "none" if requests is None else None
        if requests is None:
            self.widget.on_click(self._pressed, remove=True)

    def _pressed(self, _button: Any) -> None:
        self._cancel()


def heed_front_end(widget: Any) -> None:
    """Handle messages to *widget* in the shell that received them, not in the shell that created the widget.

    From version 7.4 on, ipykernel sends them to the shell that last used the widget, which is busy with the
    cell. This function sets a private attribute. A browser test presses the button, and fails if ipykernel
    removes the attribute.
    """
    if hasattr(widget.comm, "_reply_subshell_for"):
        widget.comm._reply_subshell_for = lambda _data, default: default  # noqa: SLF001  see above
