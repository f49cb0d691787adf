"""The run log as an HTML table: in parts during the run, whole and with details afterwards.

Every value is escaped. The one script is constant. It adds sorting, a filter and a jump from a bar to its
row; the table is complete without it.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from functools import cache
from heapq import nlargest
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from odibi_nb.core.model.events import Status
from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.spark_errors import trace_apart
from odibi_nb.views.escaping import escape
from odibi_nb.views.html_parts import NO_FORMULAS, breakable, folded, not_shown
from odibi_nb.views.next_steps import STYLE
from odibi_nb.views.run.click_for_log import ROW
from odibi_nb.views.run.failed_row import SHOW_LOG, NextSteps, failure_html
from odibi_nb.views.run.gantt import MAX_CHECKS, shortened
from odibi_nb.views.run.head import title_text
from odibi_nb.views.run.page_files import lines_of, script_of
from odibi_nb.views.run.row_change import AS_MANY
from odibi_nb.views.status_style import RETRYING, STATUS_STYLES, WAITING, style_of, text_colour

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from odibi_nb.core.model.results import RunResult, TransformationResult
    from odibi_nb.views.run.row_state import RowState
    from odibi_nb.views.run.state import RunSnapshot

STATUSES = frozenset(STATUS_STYLES) | {WAITING}
"""Every status that a row can have."""
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
    ("status", 9.2),
    ("transformation", 0),
    ("seconds", 5.6),
    ("rows", 6.2),
    ("start", 6.6),
    ("change", 8.6),
    ("layer", 0),
    ("function", 0),
    ("engine", 5.2),
    ("attempt", 5.6),
)
"""Name and width in em. Transformation and layer are as wide as their names; function has the rest."""
VARYING = ("change", "engine", "attempt")
"""Columns that a table has only if their values differ: most runs have one engine, and one attempt for each row."""
_TITLES = {
    "start": "in the time zone of the kernel",
    "change": "rows added, updated and removed; net for an overwrite. %odibi diff last shows which",
}
FIGURES = 3
"""Number of columns that are empty in a row that never started. Its reason is shown there."""
_LEFT = "style=text-align:left"
"""The attribute of a line below a row: JupyterLab takes the style sheets out of untrusted notebooks, and aligns cells right."""
_PADDING = 1
_NAMES, _LEAST_NAMES, _LEAST_LAYERS, _MOST_LAYERS = 14.0, 9.5, 4.5, 9.0
"""Widths in em: guaranteed and smallest for transformations' names, smallest and largest for layers'."""
_USUAL_REST = 34.0
"""Width in em for names of transformations and functions in a notebook that is 1,000 pixels wide."""
_LEAST_FUNCTION = 12.0
"""Least width in em of the column that gets the rest: without it, long ids leave a letter per line."""
_NUMBERS = (3, 4)
_CLASS = re.compile(r"odibi-\w+")
_ALWAYS = frozenset({"odibi-log", "odibi-scroll"})
"""The classes around the rows of a saved table."""
_RUNNING = Status.RUNNING.value
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
    shown, java = trace_apart(row.traceback)
    if java:  # a screen of Java frames would hide the error
        shown += f"\n… all that Spark said: {name}.traceback"
    trace = _tail(shown, length * 3 // 5, f"{name}.traceback")
    return Details(trace, _tail(row.log, length - len(escape(trace)), f"{name}.log"))


def _tail(text: str, length: int, whole: str) -> str:
    """Return the last lines of *text*, at most *length* characters of HTML.

    If the text is cut, a first line names *whole*, the expression that returns the full text.
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
    in_notebook: bool = True,
) -> str:
    """Return the table of a run with at most *limit* rows, the interesting ones, and its warnings below.

    With the *result* of the run, return the table to save: with the logs, the tracebacks and the script.
    *unfolded* is the id of the row whose log is open. When the run is over, the failed rows come first.
    Only *in_notebook* have failed rows next steps, and the line of code a link.
    """
    shown = interesting_rows(snapshot.rows, limit, live=snapshot.live)
    if not snapshot.live:
        shown = tuple(sorted(shown, key=lambda row: row.status not in _BAD))
    numbers = {id(row): number for number, row in enumerate(snapshot.rows)}
    details = {} if result is None else details_of(result, [row.id for row in shown])
    notes = _notes(snapshot, len(snapshot.rows) - len(shown))
    if result is not None:
        notes += _unkept(result, details)
    shape = _Shape(snapshot, saved=True, in_notebook=in_notebook)
    body = "".join(
        _body(row, shape, numbers[id(row)], _folded(details.get(row.id), row.id == unfolded))
        for row in shown
    )
    # A saved table has no other rows than these: a notebook of 20 rows is 4 kB smaller.
    statuses = STATUSES if snapshot.live else frozenset(snapshot.counts)
    style = style_html(statuses, None if snapshot.live else frozenset(_CLASS.findall(body)))
    script = "" if result is None else f"<script>{script_text()}</script>"
    run = f" data-run='{escape(snapshot.run_id)}'" if snapshot.run_id else ""
    run += f" data-title='{escape(title_text(snapshot))}'"
    return (
        f"<div class='odibi-log {NO_FORMULAS}'{run} data-total={len(snapshot.rows)}>{style}"
        f"<div class=odibi-scroll tabindex=0 role=group aria-label='Run log'>{shape.columns}{shape.head}{body}</table></div>"
        f"{notes}{script}</div>"
    )


def table_parts(
    snapshot: RunSnapshot,
    limit: int,
    *,
    buttons: bool = False,
    widths: Mapping[str, float] | None = None,
) -> list[str]:
    """Return the table of a live run as elements to show below each other.

    Their number stays the same, and an element changes only if its rows change. With more than *limit*
    rows, the elements show the rows that need attention, the running rows and the latest ones to end.
    With *buttons*, an id shows the log of its row, for people without a mouse, too. *widths* are the
    `column_widths` of the rows, which stay the same during a run.
    """
    rows = snapshot.rows
    groups: list[Sequence[RowState]]
    if len(rows) <= limit:
        groups = [rows[i : i + LIVE_PART] for i in range(0, len(rows), LIVE_PART)]
    else:
        groups = _attention(rows)
    shape = _Shape(snapshot, buttons=buttons, widths=widths)
    head = f"{style_html()}<div class='odibi-log odibi-part {NO_FORMULAS}'>{shape.columns}{shape.head}</table></div>"
    shown = sum(map(len, groups))
    return [
        head,
        *(_part(group, shape) for group in groups),
        f"<div class='odibi-log {NO_FORMULAS}'>{_notes(snapshot, len(rows) - shown)}</div>",
    ]


def _part(rows: Sequence[RowState], shape: _Shape) -> str:
    body = "".join(_body(row, shape) for row in rows)
    start = f"<div class='odibi-log odibi-part {NO_FORMULAS}' {ROW}>{shape.columns}"
    return f"{start}{body}</table></div>" if body else ""


class _Shape:
    """The columns of one table, their widths, and the scale of the bars in the seconds."""

    def __init__(
        self,
        snapshot: RunSnapshot,
        *,
        buttons: bool = False,
        saved: bool = False,
        in_notebook: bool = True,
        widths: Mapping[str, float] | None = None,
    ) -> None:
        self.saved = saved
        self.at, self.buttons = snapshot.at, buttons
        self.steps = NextSteps(snapshot) if in_notebook else None
        rows = snapshot.rows
        differ = {
            "engine": len({row.engine for row in rows}) > 1,
            "attempt": max([row.attempt for row in rows], default=0) > 1,
            "change": not {row.change for row in rows} <= {"", AS_MANY},
        }
        self.names = [name for name, _ in COLUMNS if name not in VARYING or differ[name]]
        self.columns = _columns(column_widths(rows) if widths is None else widths, self.names)
        self.head = f"<thead><tr>{''.join(map(_title, self.names))}</thead>"
        # A power of two: the longest row of a live run changes rarely the bars of the others.
        longest = max([row.duration_seconds or 0.0 for row in rows], default=0.0)
        self.scale = 2.0 ** math.ceil(math.log2(max(longest, 0.01)))


def _title(name: str) -> str:
    title = f" title='{_TITLES[name]}'" if name in _TITLES else ""
    return f"<th scope=col{title}>{name}"


def _attention(rows: Sequence[RowState]) -> list[Sequence[RowState]]:
    """Return the rows that need attention, the running rows, and the rows that ended last."""
    bad, running, ended = [], [], []
    for number, row in enumerate(rows):
        status = row.status
        if status == WAITING:  # most rows, and this is asked with each picture
            continue
        if status in _BAD or row.findings:
            bad.append(row)
        elif status == _RUNNING:
            running.append(row)
        elif row.end:
            ended.append((row.end, number))
    # Backwards: where rows end in the plan's order, the heap has the latest ones at once.
    latest = [rows[number] for _, number in nlargest(ENDED_ROWS, reversed(ended))]
    return [bad[:BAD_ROWS], running[:RUNNING_ROWS], latest]


def interesting_rows(
    rows: tuple[RowState, ...], limit: int, *, live: bool = True
) -> tuple[RowState, ...]:
    """Return all rows, or at most *limit*: first the rows that need attention and the running rows, then
    others.

    While the run is *live*, the rows that ended last come first among the others. After its end, the
    slowest come first.
    """
    if len(rows) <= limit:
        return rows
    chosen = [row for row in rows if row.status not in _PLAIN or row.findings][:limit]
    plain = [row for row in rows if row.status in _PLAIN and not row.findings]
    more = limit - len(chosen)
    if live:  # backwards: of rows that ended at one moment, the last ones
        chosen += nlargest(more, [row for row in reversed(plain) if row.end], attrgetter("end"))
    else:
        chosen += nlargest(more, plain, lambda row: row.duration_seconds or 0.0)
    ids = {row.id for row in chosen}
    return tuple(row for row in rows if row.id in ids)


def _notes(snapshot: RunSnapshot, hidden: int) -> str:
    where = " while the run is in progress" if snapshot.live else " here: result.to_frame() has all"
    warnings = "".join(f"<li>⚠️ {escape(text)}</li>" for text in snapshot.warnings)
    return not_shown(hidden, where) + (f"<ul>{warnings}</ul>" if warnings else "")


def _unkept(result: RunResult, kept: Collection[str]) -> str:
    """Return a note with the number of logs that are not stored, or ""."""
    spoke = [name for name, t in result.transformations.items() if t.log or t.traceback]
    missing = sum(name not in kept for name in spoke)
    note = f"<p>Logs of {counted(missing, 'row')} are not kept here: result.transformations[id].log</p>"
    return note if missing else ""


def column_widths(rows: Sequence[RowState]) -> dict[str, float]:
    """Return the width in em of each column. It depends on the names in the planned rows."""
    ids = max((_width(row.id) for row in rows), default=0.0)
    layers = max(map(_width, {row.layer for row in rows}), default=0.0)
    functions = max(map(_width, {row.function for row in rows}), default=0.0)
    return dict(COLUMNS) | {
        "transformation": max(_LEAST_NAMES, min(ids, max(_NAMES, _USUAL_REST - functions))),
        "layer": min(max(_LEAST_LAYERS, layers), _MOST_LAYERS),
    }


def _columns(widths: Mapping[str, float], names: Sequence[str]) -> str:
    """Return the start of a table with the columns *names*."""
    columns = "".join(
        f"<col style='width:{widths[name]:.3g}em'>" if widths[name] else "<col>" for name in names
    )
    least = _LEAST_FUNCTION + sum(widths[name] for name in names)
    return f"<table style='min-width:{least:.3g}em'><colgroup>{columns}</colgroup>"


def _width(text: str) -> float:
    """Estimate the width in em of a cell with *text* in one line."""
    wide = sum(map(str.isupper, text)) + sum(map(str.isdigit, text))
    return _PADDING + 0.55 * len(text) + 0.15 * wide


def _body(row: RowState, shape: _Shape, number: int | None = None, details: str = "") -> str:
    """Return a transformation: its line, and below it its error, findings of checks and folded details.

    The error has its own line, because a last column would cut it off. So has the reason why a ``--stale``
    run includes the row. A row that never started shows its reason in place of the figures.
    """
    data = f" data-status={row.status}"
    if number is not None:
        data = f" data-row={number}{data}"
    error = shortened(row.error, MAX_ERROR) if row.error and row.start else ""
    steps = shape.steps
    link = shape.saved and steps is not None and steps.shown(row)
    lines = [failure_html(row, error, link=link)] if error else []
    lines += [escape(f"⚠ {shortened(found, MAX_ERROR)}") for found in row.findings[:MAX_CHECKS]]
    do = "" if steps is None else steps.of(row, SHOW_LOG if shape.buttons else details)
    what = "\n".join(lines) + do
    more = (f"<div class=odibi-what>{what}</div>" if what else "") + ("" if do else details)
    kind = "odibi-error" if lines else "odibi-more"
    width = len(shape.names)
    why = escape(shortened(f"why: {row.why}", MAX_ERROR)) if row.why else ""
    because = f"<tr class=odibi-why><td colspan={width} {_LEFT}>{why}" if why else ""
    below = f"<tr class={kind}><td colspan={width} {_LEFT}>{more}" if more else ""
    return f"<tbody{data}><tr>{''.join(_cells(row, shape))}{because}{below}"


def _cells(row: RowState, shape: _Shape) -> Iterable[str]:
    progress = row.bars[-1].progress if row.bars else None
    part = "" if progress is None else f" {progress}"
    mark = f" {row.sign}" if row.sign else ""
    # The colour is here, too, for front ends that take style sheets out.
    style = style_of(row.status)
    yield f"<td><b style=color:{style.colour}>{style.sign} {row.status}{mark}</b>{part}"
    name = breakable(row.id)
    if shape.buttons:
        name = f"<button type=button title='Show its log'>{name}</button>"
    yield f"<td>{name}"
    if row.start is None:
        reason = f"↳ {escape(shortened(row.error, MAX_ERROR))}" if row.error else ""
        yield f"<td class=odibi-reason colspan={FIGURES}>{reason}"
    else:
        yield from _figures(row, row.start, shape)
    facts = {
        "change": row.change,
        "layer": row.layer,
        "function": row.function,
        "engine": row.engine,
        "attempt": str(row.attempt),
    }
    yield from (f"<td>{breakable(facts[name])}" for name in shape.names if name in facts)


def _figures(row: RowState, start: dt.datetime, shape: _Shape) -> Iterable[str]:
    """Return seconds with a bar, rows, and the start: local time, with UTC as its tooltip."""
    seconds, length = "", row.duration_seconds
    if row.status == _RUNNING:  # in whole seconds: the cell changes once a second
        length = float(round((shape.at - start).total_seconds()))
        seconds = f"{length:,.0f}"
    elif length is not None:
        seconds = f"{length:,.2f}"
    share = min(1.0, (length or 0.0) / shape.scale)
    bar = f"{share:.0%}"
    yield f"<td{'' if bar == '0%' else f' style=--s:{bar}'}>{seconds}"
    read = "" if row.rows_in is None else f" title='{counted(row.rows_in, 'row')} in'"
    yield f"<td{read}>" + ("" if row.rows_out is None else f"{row.rows_out:,}")
    whole = start.astimezone(dt.timezone.utc).isoformat(" ", "milliseconds")
    yield f"<td title='{whole.removesuffix('+00:00')} UTC'>{start.astimezone():%H:%M:%S}"


def _folded(details: Details | None, is_open: bool) -> str:
    if details is None:
        return ""
    words = [name for name, text in zip(details._fields, details, strict=True) if text]
    texts = [f"<pre>{escape(text)}</pre>" for text in details if text]
    return folded(" and ".join(words), "printed and logged:".join(texts), is_open=is_open)


def script_text() -> str:
    """Return the script of a saved table."""
    return script_of("table.js")


@cache
def hold_html() -> str:
    """Return an invisible element whose script keeps presses and the focus in elements with the class ``odibi-live``.

    The script runs where the front end runs handlers, once for each page.
    """
    return f'<style onload="{escape(script_of("hold.js"))}"></style>'


@cache
def style_html(statuses: frozenset[str] = STATUSES, classes: frozenset[str] | None = None) -> str:
    """Return the style sheet of a table with rows of these *statuses*, for both themes.

    With *classes*, the classes of the elements in its rows, a saved table gets only the rules that it needs.
    """
    signs = "".join(
        f"[data-status={name}]>tr>td>b{{{text_colour(style_of(name).colour)}!important}}{_only(name)}"
        for name in sorted(statuses)
    )
    right = ",".join(f".odibi-log.odibi-log table tr>:nth-child({number})" for number in _NUMBERS)
    lines = lines_of("table.css")
    if classes is not None:
        lines = [line for line in lines if _applies(line, classes | _ALWAYS)]
    rules = "".join(lines).replace(" {", "{")
    steps = STYLE if Status.FAILED.value in statuses else ""
    return f"{steps}<style>{rules}{right}{{text-align:right}}{signs}</style>"


def _applies(rule: str, classes: frozenset[str]) -> bool:
    """Return True if one of the selectors of *rule* names no other than *classes*."""
    selectors = rule.partition("{")[0].split(",")
    return any(classes.issuperset(_CLASS.findall(selector)) for selector in selectors)


def _only(status: str) -> str:
    """Return a style that shows only the rows with *status*, and highlights the count that was clicked."""
    chosen = f"[data-odibi-only={status}]"
    return (
        f"{chosen} .odibi-log tbody:not([data-status={status}]){{display:none}}"
        f"{chosen} button[data-status={status}]{{outline:2px solid currentColor;outline-offset:2px}}"
    )
