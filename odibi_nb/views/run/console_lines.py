"""Console lines of a run, stored for display: messages and the output of transformations."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from odibi_nb.views.escaping import escape
from odibi_nb.views.run.console import LEVELS, ConsoleView
from odibi_nb.views.status_style import STATUS_STYLES, text_colour

if TYPE_CHECKING:
    from odibi_nb.core.model.events import RunEvent

MAX_LINES = 20_000
"""Number of lines of a run that are stored: the latest ones."""
SHOWN_LINES = 500
MAX_LENGTH = 500
# Laid out from the bottom, so that the newest line stays in sight after each update.
_SCROLLED = "display:flex;flex-direction:column-reverse;max-height:32em;overflow:auto;border-top:1px solid var(--jp-border-color2,#bbb)"
_PRE = (
    "flex:none;margin:4px 0;white-space:pre-wrap;overflow-wrap:anywhere;"
    "font-size:var(--jp-code-font-size,13px);color:var(--jp-ui-font-color1,inherit)"
)
_COLOURS = {"WARNING": STATUS_STYLES["RETRYING"].colour, "ERROR": STATUS_STYLES["FAILED"].colour}


class Line(NamedTuple):
    """A line of output. *transformation_id* is "" for the run's own lines."""

    transformation_id: str
    level: str
    text: str


class ConsoleLines(ConsoleView):
    """Store the lines that a console would print, by transformation. Safe to use from several threads.

    Attributes:
        version: a number that grows with every line.
    """

    def __init__(self) -> None:
        super().__init__("INFO")
        self.version = 0
        self._lines: deque[Line] = deque(maxlen=MAX_LINES)
        self._about = ""
        self._lock = threading.Lock()

    def clear(self) -> None:
        """Drop the lines of an earlier run."""
        with self._lock:
            self._lines.clear()
            self.version += 1

    def on_event(self, event: RunEvent) -> None:
        """Store the event's line under its transformation."""
        self._about = str(event.payload.get("transformation_id") or "")
        try:
            super().on_event(event)
        finally:
            self._about = ""

    def on_output(self, transformation_id: str, line: str) -> None:
        self._add(Line(transformation_id, "INFO", line))

    def print(self, level: str, text: str) -> None:
        """Store the lines of *text*."""
        for line in text.strip("\n").split("\n"):
            self._add(Line(self._about, level, line))

    def _add(self, line: Line) -> None:
        with self._lock:
            self._lines.append(line)
            self.version += 1

    def html(self, transformation_id: str = "") -> str:
        """Return the last lines, of one transformation or of all, with the newest at the bottom."""
        with self._lock:
            lines = [*self._lines]
        if transformation_id:
            lines = [line for line in lines if line.transformation_id == transformation_id]
        shown, left_out = lines[-SHOWN_LINES:], max(0, len(lines) - SHOWN_LINES)
        note = f"… {left_out:,} earlier lines are not shown …\n" if left_out else ""
        body = "\n".join(_line(line, named=not transformation_id) for line in shown)
        empty = "" if lines else "nothing was printed or logged yet"
        pre = f"<pre style='{_PRE}'>{note}{body}{empty}</pre>"
        return f"<div tabindex='0' role='group' aria-label='Log' style='{_SCROLLED}'>{pre}</div>"


def _line(line: Line, *, named: bool) -> str:
    text = line.text if len(line.text) <= MAX_LENGTH else f"{line.text[:MAX_LENGTH]}…"
    html = escape(text)
    if LEVELS[line.level] >= LEVELS["WARNING"]:
        html = f"<b style='{text_colour(_COLOURS.get(line.level, _COLOURS['ERROR']))}'>{html}</b>"
    if named and line.transformation_id:
        html = f"<span style='color:var(--jp-ui-font-color2,#888)'>{escape(line.transformation_id)} │</span> {html}"
    return html
