"""A report as one HTML file: no network, every value escaped, both themes, fit to print.

The page's policy allows only the three constant scripts of the package, by their hashes. So even a text that
was not escaped could not run or load anything.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from odibi_nb.core.text.clock import utc_now
from odibi_nb.core.text.counts import counted
from odibi_nb.version import __version__
from odibi_nb.views.escaping import escape
from odibi_nb.views.html_parts import folded, signed, table, table_row
from odibi_nb.views.plan.graph_svg import drawn
from odibi_nb.views.records import cell_text
from odibi_nb.views.run.gantt import shortened
from odibi_nb.views.run.head import FILTER, progress_html, run_style, title_text
from odibi_nb.views.run.page_files import script_of
from odibi_nb.views.run.row_change import change_of
from odibi_nb.views.run.run_page import chart_html
from odibi_nb.views.run.table import script_text, table_html
from odibi_nb.views.status_style import style_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from odibi_nb.views.report.run_report import FailedRow, RunReport

MOST_ROWS = 300
"""Number of rows in the table of a report: the failed and the slowest ones."""
MOST_LINES = 1_000
"""Number of lines in the tables of checks and of written tables."""
MOST_REASON = 300
"""Characters of an error. The traceback has the rest."""
OPEN_LOGS = 3
"""Number of failed rows whose logs are unfolded."""


def report_html(report: RunReport) -> str:
    """Return the report as one HTML page."""
    snapshot = report.snapshot
    title = escape(f"{title_text(snapshot)} · {snapshot.env} · {snapshot.run_id}")
    return (
        "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
        f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">'
        "<meta name=viewport content='width=device-width,initial-scale=1'>"
        f"<meta name=color-scheme content='light dark'><title>{title}</title>"
        f"<style>{_style()}</style></head><body><main>{''.join(_parts(report))}</main></body></html>\n"
    )


def _policy() -> str:
    scripts = " ".join(
        f"'sha256-{_hash(text)}'" for text in (script_text(), script_of("bars.js"), FILTER)
    )
    return (
        "default-src 'none'; style-src 'unsafe-inline'; "
        f"script-src 'unsafe-hashes' {scripts}; base-uri 'none'; form-action 'none'"
    )


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _style() -> str:
    return Path(__file__).with_name("report.css").read_text(encoding="utf-8")


def _parts(report: RunReport) -> Iterator[str]:
    snapshot = report.snapshot
    yield _head(report)
    yield _section("When each row ran", chart_html(snapshot))
    if report.failed:
        yield _section("Rows that did not succeed", "".join(_failed_parts(report)))
    odd = [f"<b>{escape(row.id)}</b> {escape(x)}" for row in snapshot.rows for x in row.unusual]
    listed = "".join(f"<li>⚠ {line}</li>" for line in odd[:MOST_LINES])
    yield _section("Unusual", f"<ul>{listed}</ul>" if odd else "")
    rows = table_html(snapshot, MOST_ROWS, report.result, in_notebook=False)
    if report.result is None:  # the table of a run that goes on has no script
        rows += f"<script>{script_text()}</script>"
    yield _section("Rows", rows)
    if any(report.upstream.values()):
        yield _section("Dependencies", drawn(report.graph()))
    yield _section(
        "Checks", _table("Checks", ("row", "table", "check", "result", "rows"), _checks(report))
    )
    columns = ("row", "table", "version before", "version", "change")
    yield _section("Written tables", _table("Written tables", columns, _written(report)))
    made = f"Made by odibi_nb {__version__} at {cell_text(utc_now())}. Secrets are hidden."
    yield f"<footer>{escape(made)}</footer>"


def _head(report: RunReport) -> str:
    snapshot, result = report.snapshot, report.result
    facts = {
        "run": snapshot.run_id,
        "started": "" if snapshot.start is None else cell_text(snapshot.start),
        "state at" if snapshot.live else "ended": cell_text(snapshot.at),
        "engine": result.engine if result else "",
        "layers": ", ".join(result.layers_executed) if result else "",
        "rollback of": (result.rollback_of or "") if result else "",
        "owner": report.owner,
    }
    shown = "".join(f"<div><dt>{k}</dt><dd>{escape(v)}</dd></div>" for k, v in facts.items() if v)
    state = "still running" if snapshot.live else snapshot.status
    return (
        f"<header><h1>{signed(run_style(snapshot), escape(state))} "
        f"{escape(snapshot.project)} <small>{escape(snapshot.env)}</small></h1>"
        f"{progress_html(snapshot)}<dl>{shown}</dl></header>"
    )


def _section(title: str, content: str) -> str:
    return f"<section><h2>{title}</h2>{content}</section>" if content else ""


def _failed_parts(report: RunReport) -> Iterator[str]:
    for number, row in enumerate(report.failed):
        yield _failed_part(row, is_open=number < OPEN_LOGS)
    if report.more_failed > 0:
        yield f"<p>… and {counted(report.more_failed, 'more row')}: see the table.</p>"


def _failed_part(row: FailedRow, *, is_open: bool) -> str:
    texts = (("traceback", row.traceback), ("printed and logged", row.log))
    shown = "".join(
        folded(name, f"<pre tabindex=0>{escape(text)}</pre>", is_open=is_open)
        for name, text in texts
        if text
    )
    return (
        f"<article><h3>{signed(style_of(row.status), row.status)} "
        f"{escape(row.id)} <small>{escape(row.layer)} · {escape(row.function)}</small></h3>"
        f"<p class=reason>{escape(shortened(row.reason, MOST_REASON))}</p>{shown}</article>"
    )


def _checks(report: RunReport) -> Iterator[Sequence[str]]:
    rows = report.result.transformations.values() if report.result else ()
    checks = [(row.transformation_id, check) for row in rows for check in row.checks]
    for name, check in sorted(checks, key=lambda pair: pair[1].status == "passed"):
        result = f"{check.status}: {check.message}" if check.message else check.status
        failed = "" if check.failed_rows is None else f"{check.failed_rows:,}"
        yield name, check.table, check.check, result, failed


def _written(report: RunReport) -> Iterator[Sequence[str]]:
    import msgspec

    for row in report.result.transformations.values() if report.result else ():
        for output in row.outputs_written:
            one = msgspec.to_builtins(output)
            versions = (one.get("previous_version"), one.get("version"))
            shown = ("" if version is None else f"{version:,}" for version in versions)
            yield row.transformation_id, output.table, *shown, change_of([one])


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    found = list(rows)
    if not found:
        return ""
    lines = (table_row(map(escape, row)) for row in found[:MOST_LINES])
    plain = table(columns, lines, top="<table class=plain>", th="scope=col")
    more = len(found) - MOST_LINES
    note = f"<p>… and {counted(more, 'more line')}.</p>" if more > 0 else ""
    return f"<div class=wide tabindex=0 role=region aria-label='{title}'>{plain}</div>{note}"
