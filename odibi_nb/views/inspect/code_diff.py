"""A unified diff of source text in colour. The signs + and - remain, so colour never is the only mark."""

from __future__ import annotations

from odibi_nb.views.escaping import escape

_BOX = (
    "margin:2px 0;white-space:pre-wrap;overflow-wrap:anywhere;font-family:var(--jp-code-font-family,monospace);"
    "font-size:var(--jp-code-font-size,13px);line-height:1.4"
)
_STYLES = {
    "+": ("ins", "background-color:rgba(46,158,79,.22);border-left:3px solid #2e9e4f"),
    "-": ("del", "background-color:rgba(217,67,59,.2);border-left:3px solid #d9433b"),
}


def code_diff_html(diff: str) -> str:
    """Return a unified diff as HTML: added lines green, removed lines red, each with its sign."""
    return f"<div role=group aria-label='code diff' style='{_BOX}'>{''.join(map(_line, diff.splitlines()))}</div>"


def _line(text: str) -> str:
    headed = text.startswith(("+++", "---"))
    tag, style = _STYLES.get("" if headed else text[:1], ("div", "padding-left:3px"))
    opacity = ";opacity:.75" if headed or text.startswith("@@") else ""
    return f"<{tag} style='display:block;text-decoration:none;{style}{opacity}'>{escape(text) or ' '}</{tag}>"
