"""The outcome of a run: status, counts, failures, warnings, and code that uses the result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odibi_nb.views.escaping import escape
from odibi_nb.views.html_parts import TEXT, limited, listed
from odibi_nb.views.run.gantt import shortened
from odibi_nb.views.run.head import head_html
from odibi_nb.views.run.state import snapshot_of
from odibi_nb.views.run.table import MAX_ERROR
from odibi_nb.views.status_style import style_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from odibi_nb.core.model.results import RunResult

MAX_LISTED = 50
_WRAP = f"{TEXT};line-height:1.4;overflow-wrap:anywhere"


def outcome_html(result: RunResult, uses: Iterable[tuple[str, str]]) -> str:
    """Return the outcome of *result*'s run. *uses* are pairs of a line of code and its meaning."""
    counts = " · ".join(
        f"{_sign(status)} {n:,} {status.lower()}" for status, n in result.counts().items()
    )
    facts = [
        ("transformations", counts or "none"),
        ("layers executed", escape(", ".join(result.layers_executed)) or "none"),
        ("engine", escape(result.engine)),
        ("duration", f"{result.duration_seconds:,.1f} s"),
        ("started", f"{result.start_time:%Y-%m-%d %H:%M:%S} UTC"),
        ("run", f"<code>{escape(result.run_id)}</code>"),
    ]
    if result.log_path:
        facts.append(("logs saved to", escape(result.log_path)))
    rows = "".join(
        f"<tr><th scope='row' style='text-align:left'>{name}</th>"
        f"<td style='text-align:left'>{value}</td></tr>"
        for name, value in facts
    )
    failures = [
        f"{_sign(t.status.value)} {escape(t.transformation_id)}: {escape(shortened(t.reason, MAX_ERROR))}"
        for t in result.failures()
    ]
    in_python = [f"<code>{escape(code)}</code> – {escape(meaning)}" for code, meaning in uses]
    return (
        f"<div style='{_WRAP}'>{head_html(snapshot_of(result))}<table cellpadding=4>{rows}</table>"
        f"{_listed('Rows that did not succeed', failures)}"
        f"{_listed('Warnings', [f'⚠️ {escape(text)}' for text in result.warnings])}"
        f"{_listed('In Python', in_python)}</div>"
    )


def _sign(status: str) -> str:
    style = style_of(status)
    return f"<b style='color:{style.colour}'>{style.sign}</b>"


def _listed(title: str, items: list[str]) -> str:
    """Return a heading and its items, or "" without items."""
    shown = listed(limited(items, MAX_LISTED))
    return f"<p style='margin:12px 0 4px'><b>{title}</b></p>{shown}" if items else ""
