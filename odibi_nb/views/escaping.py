"""Escape text for HTML. The text may come from rows, functions and databases."""

from __future__ import annotations

import html

from odibi_nb.core.text.terminal_text import readable


def escape(text: str, quote: bool = True) -> str:
    """Return *text* escaped for HTML, without control sequences that a terminal would obey after a copy."""
    return html.escape(readable(text), quote)
