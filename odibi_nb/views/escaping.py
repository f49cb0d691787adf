"""Escape text for HTML, where it comes from rows, functions and databases."""

from __future__ import annotations

import html

from odibi_nb.core.text.terminal_text import readable


def escape(text: str, quote: bool = True) -> str:
    """Return *text* for HTML, without what would steer a terminal that it is copied to."""
    return html.escape(readable(text), quote)
