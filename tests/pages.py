"""HTML as tests look at it."""

from __future__ import annotations

from odibi_nb.views.run.table import script_text


def without_our_script(page: str) -> str:
    """*page* without the constant script of a saved table: whatever else looks like one is not ours."""
    return page.replace(f"<script>{script_text()}</script>", "")
