"""HTML, reduced for tests."""

from __future__ import annotations

from odibi_nb.views.run.table import script_text


def without_our_script(page: str) -> str:
    """Return *page* without the constant script of a saved table. Other scripts stay."""
    return page.replace(f"<script>{script_text()}</script>", "")
