"""Small pieces of HTML that several views share: no scripts, every value escaped, both themes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from odibi_nb.core.text.counts import counted
from odibi_nb.views.escaping import escape
from odibi_nb.views.status_style import text_colour

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from odibi_nb.views.status_style import StatusStyle

UNBROKEN = 20
"""Length in characters up to which a text is never broken."""
MAX_ITEMS = 100
"""Largest number of problems, notices or names in a list: a notebook stores every one of them."""
MAX_RECORDS = 300
"""Largest number of table rows that are shown."""
MAX_TEXT = 2_000
"""Largest number of characters of a single text, such as a selection or a list of names."""
NO_FORMULAS = "mathjax_ignore"
"""The CSS class of elements whose dollar signs are no formulas: MathJax, which JupyterLab has, leaves them out."""
TEXT = "font-size:var(--jp-ui-font-size1,13px);color:var(--jp-ui-font-color1,inherit)"
"""The CSS of text in the front end's size and colour."""
_PRE = "margin:0;white-space:pre-wrap;overflow-wrap:anywhere"
_WIDE = "margin:0;white-space:pre;overflow-x:auto"
_FONT = "font-family:var(--jp-code-font-family,monospace)"


def first_of(items: Sequence[str], most: int = MAX_ITEMS) -> list[str]:
    """Return the first *most* of *items*, each beginning_of, and a line that counts the others."""
    return [*map(beginning_of, limited(items, most))]


def limited(items: Sequence[str], most: int) -> list[str]:
    """Return the first *most* of *items*, and a line that counts the others."""
    more = len(items) - most
    return [*items[:most], *([f"… and {more:,} more"] if more > 0 else [])]


def beginning_of(text: str, most: int = MAX_TEXT) -> str:
    """Return *text*, or its beginning and its length if it has more than *most* characters."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def block(*parts: str) -> str:
    """Return pieces of HTML one below the other, as wide as the page allows."""
    return f"<div style='{TEXT};max-width:100%;overflow-x:auto'>{''.join(parts)}</div>"


def head(text: str, colour: str = "") -> str:
    """Return a line in bold."""
    style = f" style='{text_colour(colour)}'" if colour else ""
    return f"<p style='margin:.4em 0 0'><b{style}>{escape(text)}</b></p>"


def pre(text: str, *, wide: bool = False) -> str:
    """Return text with its line breaks. If *wide*, long lines scroll; otherwise they wrap."""
    return f"<pre style='{_WIDE if wide else _PRE};{_FONT}'>{escape(text)}</pre>"


def folded(title: str, html: str, *, is_open: bool = False) -> str:
    """Return *html* that is folded below its title."""
    mark = " open" if is_open else ""
    return f"<details{mark}><summary>{escape(title)}</summary>{html}</details>"


def signed(style: StatusStyle, html: str, tag: str = "span") -> str:
    """Return *html* behind the sign of *style*, both in its colour."""
    return f"<{tag} style='{text_colour(style.colour)}'>{style.sign} {html}</{tag}>"


def not_shown(rows: int, where: str = "") -> str:
    """Return a line about the number of *rows* that are not shown; "" if all are."""
    more = counted(rows, "more row is", "more rows are")
    return f"<p>{more} not shown{where}.</p>" if rows > 0 else ""


def listed(items: Iterable[str]) -> str:
    """Return pieces of HTML as a list without bullets; "" without items."""
    lines = "".join(f"<li>{item}</li>" for item in items)
    return f"<ul style='list-style:none;padding-left:0;margin:4px 0'>{lines}</ul>" if lines else ""


def table(heads: Iterable[str], rows: Iterable[str], *, top: str, th: str = "scope='col'") -> str:
    """Return a table.

    Args:
        heads: the names of the columns, as HTML.
        rows: see `table_row`.
        top: the tag that opens the table, with its caption.
        th: attributes of each head.
    """
    head = "".join(f"<th {th}>{name}</th>" for name in heads)
    return f"{top}<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def table_row(cells: Iterable[str], td: str = "") -> str:
    """Return pieces of HTML as a row of a table. *td* are attributes of each cell, after a space."""
    return f"<tr>{''.join(f'<td{td}>{cell}</td>' for cell in cells)}</tr>"


def breakable(text: str) -> str:
    """Return *text*, escaped. A long text may break after separators and underscores, but not within words."""
    if len(text) <= UNBROKEN:
        return escape(text)
    pieces = re.split(r"(?<=[/.,])(?=\w)", text)
    return "<wbr>".join(
        escape(piece) if len(piece) <= UNBROKEN else re.sub(r"(?<=_)(?=\w)", "<wbr>", escape(piece))
        for piece in pieces
    )
