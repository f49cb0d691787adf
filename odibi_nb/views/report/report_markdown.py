"""A report as Markdown of GitHub's kind, for a pull request or an issue.

Texts of users are marked as code, so that they cannot make links, mention people or end a table.
"""

from __future__ import annotations

import re
from heapq import nlargest
from typing import TYPE_CHECKING

from odibi_nb.core.model.events import Status
from odibi_nb.core.text.terminal_text import readable
from odibi_nb.views.plan.graph_mermaid import mermaid_of
from odibi_nb.views.records import cell_text
from odibi_nb.views.run.head import clock_text, counts_text, run_style
from odibi_nb.views.status_style import style_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from odibi_nb.views.report.run_report import FailedRow, RunReport

SLOWEST = 5
MOST_FAILED = 20
MOST_NODES = 30
"""Number of rows up to which the text has the graph."""
MOST_LOG, MOST_LOGS = 4_000, 30_000
"""Characters of one log and of all logs. GitHub takes 65,536 characters in a comment."""
_CELL = 300
_BACKTICKS = re.compile("`+")


def report_markdown(report: RunReport) -> str:
    """Return the report as Markdown."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: RunReport) -> Iterator[str]:
    snapshot = report.snapshot
    state = "still running" if snapshot.live else snapshot.status
    names = f"{code(snapshot.project)} · {code(snapshot.env)}"
    yield f"### {run_style(snapshot).sign} {state}: {names}"
    yield ""
    started = "" if snapshot.start is None else f" · started {cell_text(snapshot.start)}"
    owner = f" · owner {code(report.owner)}" if report.owner else ""
    yield f"{counts_text(snapshot)} · {clock_text(snapshot)} · run {code(snapshot.run_id)}{started}{owner}"
    if report.failed:
        yield from _table(("", "row", "layer", "error"), map(_failed, report.failed[:MOST_FAILED]))
        more = report.more_failed + max(0, len(report.failed) - MOST_FAILED)
        if more:
            yield from ("", f"… and {more:,} more.")
    odd = [(code(row.id), code(line)) for row in snapshot.rows for line in row.unusual]
    if odd:
        yield from _table(("⚠ row", "unusual"), odd[:MOST_FAILED])
    yield from _slowest(report)
    if any(report.upstream.values()) and len(snapshot.rows) <= MOST_NODES:
        yield from ("", "```mermaid", mermaid_of(report.graph()).rstrip(), "```")
    yield from _logs(report.failed[:MOST_FAILED])
    for text in snapshot.warnings:
        yield from ("", f"⚠️ {code(text)}")


def _failed(row: FailedRow) -> Sequence[str]:
    reason = row.reason.splitlines()[0] if row.reason else ""
    return style_of(row.status).sign, code(row.id), code(row.layer), code(reason)


def _slowest(report: RunReport) -> Iterator[str]:
    done = [row for row in report.snapshot.rows if row.status == Status.SUCCESS.value]
    rows = []
    for row in nlargest(SLOWEST, done, key=lambda row: row.duration_seconds or 0.0):
        written = "" if row.rows_out is None else f"{row.rows_out:,}"
        rows.append((code(row.id), f"{row.duration_seconds or 0.0:,.1f}", written))
    if rows:
        yield from _table(("slowest row", "seconds", "rows"), rows)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield from ("", f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}")
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _logs(rows: Iterable[FailedRow]) -> Iterator[str]:
    left = MOST_LOGS
    for row in rows:
        text = readable(row.traceback or row.log)[-min(MOST_LOG, max(left, 1)) :]
        if not text or left <= 0:
            continue
        left -= len(text)
        fence = "`" * max(3, 1 + max(map(len, _BACKTICKS.findall(text)), default=0))
        yield from ("", f"<details><summary>Log of <code>{_html(row.id)}</code></summary>", "")
        yield from (f"{fence}text", text, fence, "", "</details>")


def _html(text: str) -> str:
    """Return *text* for HTML inside of Markdown, which GitHub still searches for mentions and links."""
    shown = " ".join(readable(text).split())[:_CELL]
    return "".join(c if c.isalnum() or c in " _-" else f"&#{ord(c)};" for c in shown)


def code(text: str) -> str:
    """Return *text* as code in one line that also fits into a table."""
    shown = " ".join(readable(text).split())
    if len(shown) > _CELL:
        shown = f"{shown[:_CELL]}…"
    # A table takes a backslash and a bar for a bar, but two backslashes and a bar for an end.
    shown = shown.replace("\\|", "\\ |").replace("|", "\\|")
    marks = _BACKTICKS.findall(shown)
    fence = "`" * (1 + max(map(len, marks), default=0))
    room = " " if marks else ""
    return f"{fence}{room}{shown}{room}{fence}" if shown else ""
