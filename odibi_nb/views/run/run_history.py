"""The last runs as a picture: a column for each run with its duration on top, a line for each transformation.

The picture needs no kernel and no script. Signs and colours show the status. If the page runs scripts, a
click on a run shows it in JupyterLab; elsewhere it copies the command.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.core.runlog.run_grid import GRID_COLUMNS, with_problems
from odibi_nb.core.text.counts import counted
from odibi_nb.views.escaping import escape
from odibi_nb.views.html_parts import TEXT, breakable, folded, limited
from odibi_nb.views.records import Records, cell_text
from odibi_nb.views.run.gantt import clock
from odibi_nb.views.status_style import RUN_STYLES, STATUS_STYLES, WAITING_STYLE, text_colour

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from odibi_nb.core.protocols import Row
    from odibi_nb.core.runlog.run_grid import GridCell, GridLine, RunGrid

MAX_LINES = 60
"""Largest number of transformations that are drawn. Of more, those without a problem are folded."""
MAX_NAMED = 20
"""Largest number of unusual outcomes that are listed: the newest ones."""
BAR_HEIGHT = 36
SPARKS = 12
"""Number of newest values in a sparkline."""
SPARK_HEIGHT = 12
SPARK_STEP = 6
"""Pixels from a bar of a sparkline to the next, one of them empty."""
_UNUSUAL = "⚠"
_AMBER = "#b8860b"
_PALE = frozenset({"SUCCESS", "UNCHANGED", "SKIPPED"})
_VIEW = f"{TEXT};line-height:1.4;max-width:100%"
_SCROLL = "overflow:auto;max-height:75vh"
_CODE = "font-family:var(--jp-code-font-family,monospace);user-select:all"
_SHOW = (
    "const b=event.target.closest('button'),c=b?.dataset.command;if(b){"
    "this.closest('.odibi-history').querySelector('code').textContent=c;navigator.clipboard?.writeText(c);"
    "if(/^%odibi [\\w.:' -]+$/.test(c))Object.assign(b.dataset,{commandlinkerCommand:'apputils:run-all-enabled',"
    "commandlinkerArgs:JSON.stringify({commands:['notebook:insert-cell-below','notebook:replace-selection',"
    "'notebook:run-cell'],args:{text:c}})})}"
)
"""A click copies the command of a run. JupyterLab then runs it in a new cell, see `next_steps`: only a command without
any character that a magic evaluates or that ends the line, because run ids come from the log.
"""
_STYLE = (
    "<style>.odibi-history table{border-collapse:collapse;margin:4px 0}"
    ".odibi-history .odibi-grid :is(td,th){padding:0 2px;text-align:center;border:0}"
    ".odibi-history .odibi-grid tbody th{text-align:left;padding-right:10px;font-weight:normal;position:sticky;"
    "left:0;z-index:1;background:var(--jp-layout-color0,Canvas)}"
    ".odibi-history .odibi-grid tbody tr:hover>*{background:rgba(128,128,128,.15)}"
    ".odibi-history .odibi-grid .odibi-layer th{font-weight:bold;padding-top:6px}"
    ".odibi-history .odibi-grid .odibi-spark{white-space:nowrap;padding-left:14px;text-align:right;"
    "font-variant-numeric:tabular-nums}"
    ".odibi-history .odibi-spark svg{float:left;margin:3px 6px 0 0;fill:currentColor;opacity:.5}"
    ".odibi-history button{font:inherit;color:inherit;background:none;border:0;padding:0;cursor:pointer;width:1.3em}"
    ".odibi-history button:is(:hover,:focus-visible){outline:2px solid currentColor}"
    f".odibi-history .s{{{text_colour(STATUS_STYLES['SUCCESS'].colour)}}}</style>"
)


@dataclass(frozen=True, slots=True, repr=False)
class RunHistory(Records):
    """Past runs: a picture in a notebook, a table as text, both as numbers.

    Attributes:
        grid: the last runs with their transformations.
        command: returns the command that shows a run, by its id.
    """

    grid: RunGrid | None = None
    command: Callable[[str], str] = str

    def outcomes(self) -> Any:
        """Return a DataFrame with a row for each transformation in each run of the picture."""
        if self.grid is None or self.frame_with is None:
            raise TypeError("these records were made without a DataFrame library")
        return self.frame_with(GRID_COLUMNS, [*self.grid.records()])

    def __str__(self) -> str:
        return "\n".join([Records.__str__(self), *self._unusual_text()])

    def __repr__(self) -> str:
        return "\n".join([Records.__repr__(self), *self._unusual_text()])

    def _unusual_text(self) -> list[str]:
        found = [] if self.grid is None else unusual_lines(self.grid)
        return ["", "unusual:", *(f"  {line}" for line in found)] if found else []

    def _repr_html_(self) -> str:
        table = Records._repr_html_(self)
        if self.grid is None or not self.grid.runs:
            return table
        listed = folded(f"{counted(len(self.rows), 'run')} as a table", table)
        return grid_html(self.title, self.grid, self.command, listed)


def grid_html(title: str, grid: RunGrid, command: Callable[[str], str], more: str = "") -> str:
    """Return the picture of *grid*, with *more* HTML below it."""
    body = "".join(_layers(grid, *with_problems(grid.lines, MAX_LINES)))
    odd = unusual_lines(grid)
    listed = "".join(f"<li>{_UNUSUAL} {escape(line)}</li>" for line in odd)
    unusual_html = f"<ul style='margin:4px 0;padding-left:1.2em;list-style:none'>{listed}</ul>"
    newest = command(grid.runs[-1]["run_id"])
    return (
        f"<div class=odibi-history style='{_VIEW}'>{_STYLE}"
        f"<div style='{_SCROLL}' tabindex=0 role=region aria-label='{escape(title)}'>"
        f"<table class=odibi-grid><caption style='text-align:left;caption-side:top'><b>{escape(title)}</b>: "
        f"the last {counted(len(grid.runs), 'run')}, the newest on the right. {_legend(grid)}</caption>"
        f'<thead onclick="{escape(_SHOW)}"><tr>'
        f"<th scope=row style='text-align:left;vertical-align:bottom'>{escape(_longest(grid))}</th>"
        f"{''.join(_columns(grid, command))}<th scope=col class=odibi-spark>seconds</th><th scope=col class=odibi-spark>rows</th></tr></thead>"
        f"{body}</table></div>{unusual_html if odd else ''}"
        f"<p style='margin:4px 0'>A click on a run shows it in a new cell of JupyterLab, and copies its command: <code style='{_CODE}'>{escape(newest)}</code></p>"
        f"{more}</div>"
    )


def unusual_lines(grid: RunGrid) -> list[str]:
    """Return the unusual outcomes, newest first, and a line that counts the others."""
    found = [
        f"{line.id} {text} (run {run['run_id']})"
        for number, run in reversed([*enumerate(grid.runs)])
        for line in grid.lines
        if (cell := line.cells[number]) is not None
        for text in cell.unusual
    ]
    return limited(found, MAX_NAMED)


def _columns(grid: RunGrid, command: Callable[[str], str]) -> Iterator[str]:
    """Return the head of each run: its duration as a bar, its status as a sign, its facts as a tooltip."""
    longest = max((run.get("duration_seconds") or 0.0 for run in grid.runs), default=0.0) or 1.0
    for run in grid.runs:
        seconds, status = run.get("duration_seconds") or 0.0, run.get("status") or ""
        style = RUN_STYLES.get(status, WAITING_STYLE)
        height = max(2, round(BAR_HEIGHT * min(1.0, seconds / longest)))
        facts = escape(_facts(run, seconds, status))
        yield (
            f"<th scope=col style='vertical-align:bottom'><button type=button title='{facts}' "
            f"aria-label='{facts}' data-command='{escape(command(run['run_id']))}'>"
            f"<span style='display:block;height:{height}px;background-color:{style.bar}'></span>"
            f"<span style='{text_colour(style.colour)}'>{style.sign}</span></button></th>"
        )


def _facts(run: Row, seconds: float, status: str) -> str:
    retried = f", retry of {run['retry_of']}" if run.get("retry_of") else ""
    back = f", rollback of {run['rollback_of']}" if run.get("rollback_of") else ""
    return f"{status}, {seconds:,.1f} s, {cell_text(run.get('start_time'))}, run {run['run_id']}{retried}{back}"


def _layers(grid: RunGrid, lines: Sequence[GridLine], left_out: dict[str, int]) -> Iterator[str]:
    width = len(grid.runs) + 3
    for layer in dict.fromkeys(line.layer for line in grid.lines):
        rest = left_out.get(layer, 0)
        note = f" · {counted(rest, 'row')} without a problem not shown" if rest else ""
        yield (
            f"<tbody><tr class=odibi-layer><th scope=rowgroup colspan={width}>{escape(layer or '(no layer)')}"
            f"<span style='font-weight:normal;opacity:.75'>{note}</span></th></tr>"
        )
        yield from (_line(line) for line in lines if line.layer == layer)
        yield "</tbody>"


def _line(line: GridLine) -> str:
    cells = "".join(map(_cell, line.cells))
    return (
        f"<tr><th scope=row>{breakable(line.id)}</th>{cells}"
        f"{_spark(line.seconds(), 's')}{_spark(line.rows(), 'rows')}</tr>"
    )


def _cell(cell: GridCell | None) -> str:
    """Return one square. Only what needs attention has a tooltip and a style of its own."""
    if cell is None:
        return "<td>"
    style = STATUS_STYLES.get(cell.status, WAITING_STYLE)
    retried = f", attempt {cell.attempts}" if cell.attempts > 1 else ""
    if cell.unusual:
        tip = escape(f"{cell.status.lower()}{retried}: {'; '.join(cell.unusual)}")
        return f"<td title='{tip}' style='{text_colour(_AMBER)};{_tint(_AMBER)}'>{_UNUSUAL}"
    if cell.status == "SUCCESS" and not retried:
        return f"<td class=s>{style.sign}"
    error = f", {cell.record['error_type']}" if cell.record.get("error_type") else ""
    tip = escape(f"{cell.status.lower()}{retried}{error}")
    tint = "" if cell.status in _PALE else f";{_tint(style.colour)}"
    return f"<td title='{tip}' style='{text_colour(style.colour)}{tint}'>{style.sign}"


def _tint(colour: str) -> str:
    """Return the CSS of a square that needs attention."""
    return f"background-color:color-mix(in srgb,{colour} 22%,transparent)"


def _spark(values: Sequence[float | None], unit: str) -> str:
    """Return *values* as a sparkline, with the newest value beside it and the smallest and largest in the tooltip."""
    known = [value for value in values if value is not None]
    if not known:
        return "<td>"
    top = max(known) or 1.0
    newest = values[-SPARKS:]
    bars = "".join(
        f"M{number * SPARK_STEP} {SPARK_HEIGHT}v-{max(1, round(SPARK_HEIGHT * max(0.0, value) / top))}h5V{SPARK_HEIGHT}"
        for number, value in enumerate(newest)
        if value is not None
    )
    least, most, last = (
        clock(x, 0.01 if x < 1 else 0.1) if unit == "s" else f"{x:,.0f}"
        for x in (min(known), max(known), known[-1])
    )
    tip = f"{least} to {most}" if unit == "s" else f"rows: {least} to {most}"
    return (
        f"<td class=odibi-spark><svg role=img width={len(newest) * SPARK_STEP} height={SPARK_HEIGHT}>"
        f"<title>{tip}</title><path d='{bars}'/></svg>{last}"
    )


def _longest(grid: RunGrid) -> str:
    return f"longest {clock(max(run.get('duration_seconds') or 0.0 for run in grid.runs))}"


def _legend(grid: RunGrid) -> str:
    cells = [cell for line in grid.lines for cell in line.cells if cell is not None]
    statuses = {cell.status for cell in cells}
    words = [
        (style.sign, style.colour, name.lower())
        for name, style in STATUS_STYLES.items()
        if name in statuses
    ]
    if any(cell.unusual for cell in cells):
        words.append((_UNUSUAL, _AMBER, "unusual"))
    return " · ".join(
        f"<span style='white-space:nowrap'><span style='{text_colour(colour)}'>{sign}</span> {word}</span>"
        for sign, colour, word in words
    )
