"""A panel's buttons, the equivalent command, and a line with the panel's status."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.notebook.live.cancel_button import EndButton
from odibi_nb.views.escaping import escape
from odibi_nb.views.notices import note_html

if TYPE_CHECKING:
    from collections.abc import Callable

_LINE = (
    "flex:1 1 auto;min-width:0;user-select:all;margin:4px 0;padding:4px 8px;white-space:pre-wrap;overflow-wrap:anywhere;"
    "border:1px solid var(--jp-border-color2,#bbb);font-size:var(--jp-code-font-size,13px);"
    "line-height:1.4;color:var(--jp-ui-font-color1,inherit)"
)

_COPY_STYLE = (
    "flex:none;margin:4px 0 4px 4px;padding:4px 8px;cursor:pointer;font-size:var(--jp-ui-font-size1,13px);"
    "border:1px solid var(--jp-border-color2,#bbb);border-radius:2px;line-height:1.4;"
    "color:var(--jp-ui-font-color1,inherit);background-color:var(--jp-layout-color1,transparent)"
)
# Without the page's permission for the clipboard, the older command copies the selected text.
_COPY = (
    "const line=this.previousElementSibling,say=text=>{this.textContent=text;"
    "setTimeout(()=>{this.textContent='Copy'},2000)},"
    "old=()=>{getSelection().selectAllChildren(line);say(document.execCommand('copy')?'Copied':'Press Ctrl+C')};"
    "navigator.clipboard?navigator.clipboard.writeText(line.textContent).then(()=>say('Copied'),old):old()"
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
            description="Preview",
            icon="eye",
            tooltip="Show the rows that would run, and change nothing",
        )
        self.run = w.Button(description="Run", icon="play", button_style="primary")
        self.cancel = EndButton(cancel)
        self.retry = w.Button(
            description="Retry failed",
            icon="repeat",
            tooltip="Run the unfinished rows of the last run, and the rows that need them",
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
            "Run the chosen rows" if confirmed else "Type the project's name to confirm first"
        )
        self.retry.disabled = not (free and can_retry)
        self.cancel.show(requests)
        label = "The same as a command, to copy"
        self.command.value = (
            f"<div style='display:flex;align-items:flex-start'>"
            f"<pre tabindex='0' role='group' title='{label}' aria-label='{label}' style='{_LINE}'>"
            f'{escape(command)}</pre><button type=button title="Copy the command" '
            f'style="{_COPY_STYLE}" onclick="{escape(_COPY)}">Copy</button></div>'
        )

    def say(self, text: str) -> None:
        """Show the panel's status in one line; "" hides it. Screen readers skip an unchanged line."""
        html = note_html(text) if text else ""
        if self.standing.value != html:
            self.standing.value = html
            self.standing.layout.display = None if text else "none"
