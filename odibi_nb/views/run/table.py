"""The run log as an HTML table: in parts during the run, whole and with details afterwards.

Every value is escaped. The one script is constant. It adds sorting, a filter and a jump from a bar to its
row; the table is complete without it.
"""

from __future__ import annotations

import re
from functools import cache
from heapq import nlargest
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from odibi_nb.core.model.events import Status
from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.spark_errors import trace_apart
from odibi_nb.views.escaping import escape
from odibi_nb.views.html_parts import breakable
from odibi_nb.views.run.click_for_log import ROW
from odibi_nb.views.run.gantt import MAX_CHECKS, shortened
from odibi_nb.views.status_style import (
    RETRYING,
    STATUS_STYLES,
    WAITING,
    WAITING_STYLE,
    style_of,
    text_colour,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from odibi_nb.core.model.results import RunResult, TransformationResult
    from odibi_nb.views.run.state import RowState, RunSnapshot

LIVE_ROWS = 200
LIVE_PART = 10
"""Rows of a live table that are updated together if all rows are shown."""
BAD_ROWS, RUNNING_ROWS, ENDED_ROWS = 20, 20, 10
"""Numbers of rows if a live table does not show all: rows that need attention, running rows, latest rows."""
MAX_ERROR = 300
MAX_DETAILS = 24_000
"""Largest number of HTML characters for all logs and tracebacks of a table. Failed rows come first."""
MOST_DETAILS, LEAST_DETAILS, FINE_DETAILS = 10_000, 1_200, 1_000
"""Characters of a failed row's details (largest share, smallest share), and of another row's details."""

COLUMNS = (
    ("status", 8.6),
    ("transformation", 0),
    ("layer", 0),
    ("function", 0),
    ("engine", 4.8),
    ("attempt", 5),
    ("start (UTC)", 7.8),
    ("seconds", 5.6),
    ("rows in", 5.8),
    ("rows out", 6.2),
)
"""Name and width in em. Transformation and layer are as wide as their names; function has the rest."""
_PADDING = 1
_NAMES, _LEAST_NAMES, _LEAST_LAYERS, _MOST_LAYERS = 14.0, 9.5, 4.5, 9.0
"""Widths in em: guaranteed and smallest for transformations' names, smallest and largest for layers'."""
_USUAL_REST = 27.5
"""Width in em for names of transformations and functions in a notebook that is 1,000 pixels wide."""
_NUMBERS = (6, 8, 9, 10)
_BAD = frozenset({Status.FAILED.value, Status.ABANDONED.value, Status.CANCELLED.value, RETRYING})
_PLAIN = frozenset({WAITING, Status.SUCCESS.value, Status.SKIPPED.value, Status.UNCHANGED.value})


class Details(NamedTuple):
    """The stored traceback and log of one transformation's last attempt, as text."""

    traceback: str
    log: str


def details_of(result: RunResult, shown: Iterable[str]) -> dict[str, Details]:
    """Return the details of the *shown* transformations by id, limited for each one and in total."""
    rows = [result.transformations[name] for name in shown]
    failed = sum(bool(row.traceback) for row in rows)
    share = min(MOST_DETAILS, max(LEAST_DETAILS, MAX_DETAILS // max(1, failed)))
    left = MAX_DETAILS
    kept: dict[str, Details] = {}
    for row in sorted(rows, key=lambda row: not row.traceback):
        details = _details(row, share if row.traceback else FINE_DETAILS)
        size = sum(len(escape(text)) for text in details)
        if 0 < size <= left:
            left -= size
            kept[row.transformation_id] = details
    return kept


def _details(row: TransformationResult, length: int) -> Details:
    name = f"result.transformations[{row.transformation_id!r}]"
    shown, folded = trace_apart(row.traceback)
    if folded:  # a screen of Java frames would hide the error
        shown += f"\n… all that Spark said: {name}.traceback"
    trace = _tail(shown, length * 3 // 5, f"{name}.traceback")
    return Details(trace, _tail(row.log, length - len(escape(trace)), f"{name}.log"))


def _tail(text: str, length: int, whole: str) -> str:
    """Return the last lines of *text*, at most *length* characters of HTML.

    If that is not all of it, a first line names *whole*, the expression that has the full text.
    """
    text = text.rstrip("\n")
    if len(text) <= length and len(escape(text)) <= length:
        return text
    note = f"… all of it: {whole}\n"
    kept = text[-length:]
    while kept and len(escape(note + kept)) > length:
        kept = kept[1 + len(kept) // 8 :]
    return f"{note}{kept[kept.find(chr(10)) + 1 :]}"


def table_html(
    snapshot: RunSnapshot,
    limit: int = LIVE_ROWS,
    result: RunResult | None = None,
    *,
    unfolded: str = "",
) -> str:
    """Return the table of a run with at most *limit* rows, the interesting ones, and its warnings below.

    With the *result* of the run, return the table to save: with the logs, the tracebacks and the script.
    *unfolded* is the id of the row whose log is open.
    """
    shown = interesting_rows(snapshot.rows, limit)
    numbers = {id(row): number for number, row in enumerate(snapshot.rows)}
    details = {} if result is None else details_of(result, [row.id for row in shown])
    notes = _notes(snapshot, len(snapshot.rows) - len(shown))
    if result is not None:
        notes += _unkept(result, details)
    body = "".join(
        _body(row, snapshot, numbers[id(row)], _folded(details.get(row.id), row.id == unfolded))
        for row in shown
    )
    script = "" if result is None else f"<script>{script_text()}</script>"
    run = f" data-run='{escape(snapshot.run_id)}'" if snapshot.run_id else ""
    return (
        f"<div class=odibi-log{run}>{style_html()}"
        f"<table>{_columns(snapshot.rows)}{_head()}{body}</table>"
        f"{notes}{script}</div>"
    )


def table_parts(snapshot: RunSnapshot, limit: int) -> list[str]:
    """Return the table of a live run as elements to show below each other.

    Their number stays the same, and an element changes only if its rows change. With more than *limit*
    rows, the elements show the rows that need attention, the running rows and the latest ones to end.
    """
    rows = snapshot.rows
    groups: list[Sequence[RowState]]
    if len(rows) <= limit:
        groups = [rows[i : i + LIVE_PART] for i in range(0, len(rows), LIVE_PART)]
    else:
        groups = _attention(rows)
    columns = _columns(rows)
    head = f"{style_html()}<div class=odibi-log><table>{columns}{_head()}</table></div>"
    shown = sum(map(len, groups))
    return [
        head,
        *(_part(group, snapshot, columns) for group in groups),
        f"<div class=odibi-log>{_notes(snapshot, len(rows) - shown)}</div>",
    ]


def _part(rows: Sequence[RowState], snapshot: RunSnapshot, columns: str) -> str:
    body = "".join(_body(row, snapshot) for row in rows)
    return f"<div class=odibi-log {ROW}><table>{columns}{body}</table></div>" if body else ""


def _attention(rows: Sequence[RowState]) -> list[Sequence[RowState]]:
    """Return the rows that need attention, the running rows, and the rows that ended last."""
    bad = [row for row in rows if row.status in _BAD or row.sign]
    running = [row for row in rows if row.status == Status.RUNNING.value]
    return [bad[:BAD_ROWS], running[:RUNNING_ROWS], _latest(rows, ENDED_ROWS)]


def interesting_rows(rows: tuple[RowState, ...], limit: int) -> tuple[RowState, ...]:
    """Return all rows, or at most *limit*: rows that need attention, running rows, then the latest."""
    if len(rows) <= limit:
        return rows
    chosen = [row for row in rows if row.status not in _PLAIN or row.sign][:limit]
    ids = {row.id for row in (*chosen, *_latest(rows, limit - len(chosen)))}
    return tuple(row for row in rows if row.id in ids)


def _latest(rows: Sequence[RowState], count: int) -> list[RowState]:
    """Return the *count* rows that ended last and need no attention, the latest first."""
    plain = ((i, r) for i, r in enumerate(rows) if r.status in _PLAIN and not r.sign)
    ended = ((row.end, i) for i, row in plain if row.end)
    return [rows[i] for _, i in nlargest(count, ended)]


def _notes(snapshot: RunSnapshot, hidden: int) -> str:
    where = "while the run goes on" if snapshot.live else "here: result.to_frame() has all"
    note = (
        f"<p>{counted(hidden, 'more row is', 'more rows are')} not shown {where}.</p>"
        if hidden
        else ""
    )
    warnings = "".join(f"<li>⚠️ {escape(text)}</li>" for text in snapshot.warnings)
    return note + (f"<ul>{warnings}</ul>" if warnings else "")


def _unkept(result: RunResult, kept: Collection[str]) -> str:
    """Return a note with the number of logs that are not stored, or ""."""
    spoke = [name for name, t in result.transformations.items() if t.log or t.traceback]
    missing = sum(name not in kept for name in spoke)
    return (
        f"<p>Logs of {counted(missing, 'row')} are not kept here: result.transformations[id].log</p>"
        if missing
        else ""
    )


def _columns(rows: Sequence[RowState]) -> str:
    """Return the column widths. They depend on the planned rows, so they stay the same during a run."""
    layers = max((_width(name) for name in {row.layer for row in rows}), default=0.0)
    ids = max((_width(row.id) for row in rows), default=0.0)
    functions = max((_width(name) for name in {row.function for row in rows}), default=0.0)
    widths = {
        "transformation": max(_LEAST_NAMES, min(ids, max(_NAMES, _USUAL_REST - functions))),
        "layer": min(max(_LEAST_LAYERS, layers), _MOST_LAYERS),
    }
    columns = "".join(
        f"<col style='width:{width:.3g}em'>" if width else "<col>"
        for width in (widths.get(name, width) for name, width in COLUMNS)
    )
    return f"<colgroup>{columns}</colgroup>"


def _width(text: str) -> float:
    """Estimate the width in em of a cell with *text* in one line."""
    return _PADDING + sum(0.7 if c.isupper() or c.isdigit() else 0.55 for c in text)


def _head() -> str:
    return f"<thead><tr>{''.join(f'<th scope=col>{name}' for name, _ in COLUMNS)}</thead>"


def _body(
    row: RowState, snapshot: RunSnapshot, number: int | None = None, details: str = ""
) -> str:
    """Return a transformation: its line, and below it its error, findings of checks and folded details.

    The error has a line of its own because a last column would cut it off. A row that never started shows
    its reason in the place of the figures.
    """
    data = f" data-status={row.status}"
    if number is not None:
        data = f" data-row={number}{data}"
    lines = [f"↳ {shortened(row.error, MAX_ERROR)}"] if row.error and row.start else []
    checks = row.bars[-1].checks[:MAX_CHECKS] if row.bars else ()
    lines += [f"⚠ {shortened(check, MAX_ERROR)}" for check in checks]
    more = escape("\n".join(lines)) + details
    kind = "odibi-error" if lines else "odibi-more"
    return f"<tbody{data}><tr>{''.join(_cells(row, snapshot, saved=number is not None))}</tr>" + (
        f"<tr class={kind}><td colspan={len(COLUMNS)}>{more}</tr></tbody>" if more else "</tbody>"
    )


def _cells(row: RowState, snapshot: RunSnapshot, *, saved: bool) -> Iterable[str]:
    progress = row.bars[-1].progress if row.bars else None
    part = "" if progress is None else f" {progress}"
    mark = f" {row.sign}" if row.sign else ""
    yield f"<td><b class=odibi-{row.status}>{style_of(row.status).sign} {row.status}{mark}</b>{part}"
    yield from (f"<td>{breakable(text)}" for text in (row.id, row.layer, row.function, row.engine))
    if row.start is None:
        reason = f"↳ {escape(shortened(row.error, MAX_ERROR))}" if row.error else ""
        yield f"<td class=odibi-reason colspan={len(COLUMNS) - 5}>{reason}"
        return
    whole = f" title='{row.start.isoformat(' ', 'milliseconds')}'" if saved else ""
    seconds = "" if row.duration_seconds is None else f"{row.duration_seconds:,.2f}"
    if row.status == Status.RUNNING.value:  # in whole seconds: the cell changes once a second
        seconds = f"{(snapshot.at - row.start).total_seconds():,.0f}"
    yield f"<td>{row.attempt}<td{whole}>{row.start:%H:%M:%S}<td>{seconds}"
    for count in (row.rows_in, row.rows_out):
        yield "<td>" if count is None else f"<td>{count:,}"


def _folded(details: Details | None, is_open: bool) -> str:
    if details is None:
        return ""
    words = [name for name, text in zip(details._fields, details, strict=True) if text]
    titles = ("", "printed and logged:" if len(words) > 1 else "")
    texts = "".join(
        f"{title}<pre>{escape(text)}</pre>"
        for title, text in zip(titles, details, strict=True)
        if text
    )
    mark = " open" if is_open else ""
    return f"<details{mark}><summary>{' and '.join(words)}</summary>{texts}</details>"


@cache
def script_text() -> str:
    """Return the script of a saved table, without its comments and needless spaces."""
    text = "".join(line for line in _lines_of("table.js") if not line.startswith("//"))
    return re.sub(r" ([-+*/<>=&|?:!]+) |(?<=[,;]) ", r"\1", text)


@cache
def style_html() -> str:
    """Return the table's style sheet, for both themes."""
    colours = {name: style.colour for name, style in STATUS_STYLES.items()} | {
        WAITING: WAITING_STYLE.colour
    }
    signs = "".join(f".odibi-{name}{{{text_colour(colour)}}}" for name, colour in colours.items())
    right = ",".join(f".odibi-log.odibi-log table tr>:nth-child({number})" for number in _NUMBERS)
    rules = "".join(_lines_of("table.css"))
    return f"<style>{rules}{right}{{text-align:right}}{signs}{''.join(map(_only, colours))}</style>"


def _only(status: str) -> str:
    """Return the style of a table that shows only rows of *status*, and of the count that chose it."""
    chosen = f"[data-odibi-only={status}]"
    return (
        f"{chosen} .odibi-log tbody:not([data-status={status}]){{display:none}}"
        f"{chosen} button[data-status={status}]{{outline:2px solid currentColor;outline-offset:2px}}"
    )


def _lines_of(name: str) -> list[str]:
    """Return the lines of a file beside this module, without their indentation."""
    text = Path(__file__).with_name(name).read_text(encoding="utf-8")
    return [line.strip() for line in text.splitlines()]
