"""A panel's buttons, the equivalent command, and a line with the panel's status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.notebook.live.cancel_button import EndButton
from odibi_nb.views.escaping import escape
from odibi_nb.views.notices import note_html

if TYPE_CHECKING:
    from collections.abc import Callable

_LINE = (
    "user-select:all;margin:4px 0;padding:4px 8px;white-space:pre-wrap;overflow-wrap:anywhere;"
    "border:1px solid var(--jp-border-color2,#bbb);font-size:var(--jp-code-font-size,13px);"
    "line-height:1.4;color:var(--jp-ui-font-color1,inherit)"
)


class PanelButtons:
    """The buttons. The functions that they call do their work on other threads.

    Args:
        preview: called by Preview.
        run: called by Run.
        cancel: called by Cancel.
        retry: called by Retry failed.

    Attributes:
        controls: the widgets, from top to bottom.
    """

    def __init__(
        self,
        preview: Callable[[], Any],
        run: Callable[[], Any],
        cancel: Callable[[], Any],
        retry: Callable[[], Any],
    ) -> None:
        import ipywidgets as w

        self.preview = w.Button(
            description="Preview", icon="eye", tooltip="Show what would run; changes nothing"
        )
        self.run = w.Button(description="Run", icon="play", button_style="primary")
        self.cancel = EndButton(cancel)
        self.retry = w.Button(
            description="Retry failed",
            icon="repeat",
            tooltip="Run again what did not succeed in the last run, and what needs it",
        )
        for button, act in ((self.preview, preview), (self.run, run), (self.retry, retry)):
            button.on_click(lambda _button, act=act: act())
        self.command = w.HTML()
        self.standing = w.HTML(note_html("Ready."))
        buttons = w.HBox([self.preview, self.run, self.cancel.widget, self.retry])
        self.controls = (buttons, self.command, self.standing)

    def show(self, requests: int | None, command: str, *, confirmed: bool, can_retry: bool) -> None:
        """Enable the buttons that can be pressed now, and show the command.

        Args:
            requests: number of cancel requests to the panel's run; None if no run is in progress.
            command: the command that runs the same rows.
            confirmed: True if a run needs no confirmation, or has it.
            can_retry: True if the last run left unfinished rows.
        """
        free = confirmed and requests is None
        self.run.disabled = not free
        self.run.tooltip = (
            "Run what is chosen" if confirmed else "Type the project's name to confirm first"
        )
        self.retry.disabled = not (free and can_retry)
        self.cancel.show(requests)
        label = "The same as a command, to copy"
        self.command.value = f"<pre tabindex='0' title='{label}' aria-label='{label}' style='{_LINE}'>{escape(command)}</pre>"

    def say(self, text: str) -> None:
        """Show the panel's status in one line. Screen readers skip an unchanged line."""
        html = note_html(text)
        if self.standing.value != html:
            self.standing.value = html
