"""Single messages as HTML: errors and notes."""

from __future__ import annotations

from odibi_nb.views.escaping import escape
from odibi_nb.views.html_parts import TEXT, signed
from odibi_nb.views.status_style import STATUS_STYLES

_TEXT = f"{TEXT};margin:4px 0;line-height:1.4"
_WHOLE = "white-space:pre-wrap;overflow-wrap:anywhere"


def error_html(title: str, text: str) -> str:
    """Return an error with its title as the heading. A screen reader reads it out at once."""
    heading = signed(STATUS_STYLES["FAILED"], escape(title), "b")
    return f"<div role='alert' style='{_TEXT};{_WHOLE}'>{heading}\n{escape(text)}</div>"


def note_html(text: str) -> str:
    """Return a line of text. A screen reader reads it out when it is idle."""
    return f"<p role='status' style='{_TEXT}'>{escape(text)}</p>"
