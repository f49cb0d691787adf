"""The picture of a live run for a page that has lost its widgets, for example after a reload during the run.

The notebook stores the picture beside the widgets. A style hides the picture while the widgets are there.
If they are missing, the style hides the front end's error messages about them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from odibi_nb.views.notices import note_html
from odibi_nb.views.run.bundles import HTML, TEXT
from odibi_nb.views.run.run_page import chart_html, framed_summary_html
from odibi_nb.views.run.table import table_html

if TYPE_CHECKING:
    from odibi_nb.views.run.bundles import Bundle
    from odibi_nb.views.run.state import RunSnapshot

LIVE_CLASS = "odibi-top"
"""The class of a widget that every live view has."""
MOST_DRAWN, MOST_LISTED = 200, 60
"""Largest numbers of rows with a chart, and in the table: the page gets this picture again and again."""
_AREA, _CHILD = ".jp-OutputArea", ".jp-OutputArea-child"
_OUTPUT = ".jp-OutputArea-output"
"""It has no elements, only the front end's words, if it is of a widget that is not there."""
_HIDDEN = f"<style>{_CHILD}:has(.odibi-kept-none){{display:none}}</style>"
_LOST = (
    f"<style>{_AREA}:has(.{LIVE_CLASS}) {_CHILD}:has(.odibi-kept){{display:none}}"
    f"{_AREA}:has(.odibi-kept):not(:has(.{LIVE_CLASS})) {_CHILD}:not(:has({_OUTPUT} *)){{display:none}}</style>"
)
NOTHING: Bundle = {HTML: f"<span class=odibi-kept-none></span>{_HIDDEN}", TEXT: ""}
"""Content before the first picture, and after the end of the run."""


def kept_picture(snapshot: RunSnapshot) -> Bundle:
    """Return the state of a live run as HTML, with the command to continue watching."""
    command = "%odibi watch last"
    words = f"The page has lost the live view of this run. This is its last saved state. To continue watching: {command}"
    chart = chart_html(snapshot) if len(snapshot.rows) <= MOST_DRAWN else ""
    shown = f"{framed_summary_html(snapshot)}{chart}{table_html(snapshot, MOST_LISTED)}"
    html = f"<div class=odibi-kept>{_LOST}{note_html(words)}{shown}</div>"
    return {HTML: html, TEXT: ""}
