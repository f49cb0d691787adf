"""A run as a Gantt chart before it is drawn: the bars, their times and their texts."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from odibi_nb.core.model.events import Status
from odibi_nb.views.status_style import QUEUED, RETRYING, STATUS_STYLES, WAITING

if TYPE_CHECKING:
    from odibi_nb.views.run.state import AttemptState, RowState, RunSnapshot

MAX_QUEUED_ROWS = 500
"""Largest number of rows for which the waits before first attempts are drawn: more would hide the work."""
MAX_ERROR = 160
MAX_CHECKS = 5
MAX_NAME = 30
TICKS = 8
MARK = 0.01
"""Width of the mark of a row that never started, as a fraction of the axis."""
_UNENDED_WAIT = frozenset({RETRYING, Status.SKIPPED.value, Status.CANCELLED.value})
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)


class Segment(NamedTuple):
    """A bar: row number *row*, from *start* to *end* in seconds of the run.

    *kind* is a key of `STATUS_STYLES`. *bar* is the attempt, or None for waits and marks. *open* is True
    while the bar still grows.
    """

    row: int
    kind: str
    start: float
    end: float
    bar: AttemptState | None = None
    open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A layer with rows number *first* to *last*, both included."""

    layer: str
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Gantt:
    """The content of a chart.

    Attributes:
        rows: in the plan's order, top to bottom.
        segments: by row, then by time.
        bands: the layers, top to bottom.
        until: the end of the axis in seconds; it begins at 0.
        now: the position of the now-line in seconds; None when the run is over.
        begin: wall time (UTC) of second 0; None before the run has begun.
        label: the chart in words: the number of rows in each status.
    """

    rows: tuple[RowState, ...]
    segments: tuple[Segment, ...]
    bands: tuple[Band, ...]
    until: float
    now: float | None
    begin: dt.datetime | None
    label: str

    def wall(self, seconds: float) -> str:
        """Return the wall time (UTC) at *seconds*, or "" before the run has begun."""
        return (
            "" if self.begin is None else f"{self.begin + dt.timedelta(seconds=seconds):%H:%M:%S}"
        )

    def ticks(self) -> list[tuple[float, str]]:
        """Return the positions of the axis ticks in seconds, and their labels."""
        step = tick_step(self.until)
        return [(i * step, clock(i * step, step)) for i in range(int(self.until / step) + 1)]

    def marked(self, number: int) -> str:
        """Return the shortened name of row *number*, with a warning sign if a check found something."""
        row = self.rows[number]
        return (
            f"{row.sign} {shortened(row.id, MAX_NAME - 2)}"
            if row.sign
            else shortened(row.id, MAX_NAME)
        )

    def tooltip(self, segment: Segment) -> list[str]:
        """Return the lines of the tooltip of *segment*, as plain text."""
        row, bar = self.rows[segment.row], segment.bar
        sign, word = STATUS_STYLES[segment.kind].sign, segment.kind.lower()
        attempt = f", attempt {bar.number}" if bar else ""
        # The text of an open bar has no current times: it must not change with every update.
        since = f"{segment.start:,.2f} s to {segment.end:,.2f} s ({self.wall(segment.start)} to {self.wall(segment.end)} UTC)"
        if segment.open:
            since = f"since {segment.start:,.2f} s ({self.wall(segment.start)} UTC)"
            if bar and bar.progress:
                since += f", {bar.progress}: {bar.progress.done:,} of {bar.progress.total:,} tasks"
        lines = [row.id, row.function, f"{sign} {word}{attempt}", since]
        if bar and (bar.rows_in is not None or bar.rows_out is not None):
            lines.append(f"rows in {_count(bar.rows_in)}, out {_count(bar.rows_out)}")
        if bar:
            lines += [f"⚠ {shortened(check, MAX_ERROR)}" for check in bar.checks[:MAX_CHECKS]]
        error = bar.error if bar else row.error if segment.kind == row.status else ""
        return [*lines, shortened(error, MAX_ERROR)] if error else lines


def gantt_of(snapshot: RunSnapshot) -> Gantt:
    """Return the chart of a run in its current state."""
    chart = empty_gantt(snapshot)
    begun: dict[str, dt.datetime] = {}
    for row in snapshot.rows:
        if row.bars:
            first = row.bars[0].start
            begun[row.layer] = min(first, begun.get(row.layer, first))
    segments: list[Segment] = []
    if chart.begin is not None:
        queued = len(snapshot.rows) <= MAX_QUEUED_ROWS
        for number, row in enumerate(snapshot.rows):
            if row.bars or row.end or row.layer in begun:
                since = begun.get(row.layer) if queued else None
                segments += row_segments(number, row, snapshot, since, chart.until)
    return replace(chart, segments=tuple(segments))


def empty_gantt(snapshot: RunSnapshot) -> Gantt:
    """Return the chart of a run in its current state, without its segments."""
    longest = max(snapshot.elapsed, 0.1)
    return Gantt(
        rows=snapshot.rows,
        segments=(),
        bands=_bands(snapshot.rows),
        until=_roomy(longest) if snapshot.live else longest * 1.01,
        now=snapshot.elapsed if snapshot.live and snapshot.start is not None else None,
        begin=snapshot.start,
        label=_label(snapshot),
    )


def row_segments(
    number: int, row: RowState, snapshot: RunSnapshot, queued: dt.datetime | None, until: float
) -> list[Segment]:
    """Return the bars of one row. *queued* is the time from which it may have waited for its first attempt.

    If a bar is open, it is the last one.
    """
    assert snapshot.start is not None
    zero, now = snapshot.start, snapshot.at

    def seconds(moment: dt.datetime) -> float:
        passed = (moment - zero).total_seconds()
        return passed if passed > 0 else 0.0

    segments = [
        Segment(
            number, bar.status, seconds(bar.start), seconds(bar.end or now), bar, bar.end is None
        )
        for bar in row.bars
    ]
    if len(row.bars) > 1 or row.status in _UNENDED_WAIT:
        for since, until_then in row.waits(now):
            still = row.status == RETRYING and since == row.bars[-1].end
            segments.append(
                Segment(number, RETRYING, seconds(since), seconds(until_then), None, still)
            )
        segments.sort(key=lambda segment: segment.start)
    if queued is not None:
        first = row.bars[0].start if row.bars else row.end or now
        if first > queued:
            still = not row.bars and row.end is None
            segments.insert(
                0, Segment(number, QUEUED, seconds(queued), seconds(first), None, still)
            )
    unstarted = row.status != RETRYING and (not row.bars or row.bars[-1].status != row.status)
    if row.end is not None and unstarted:
        end = min(max(seconds(row.end), until * MARK), until)
        segments.append(Segment(number, row.status, end - until * MARK, end))
    return segments


def _bands(rows: tuple[RowState, ...]) -> tuple[Band, ...]:
    starts = [i for i, row in enumerate(rows) if i == 0 or row.layer != rows[i - 1].layer]
    ends = [*(start - 1 for start in starts[1:]), len(rows) - 1]
    return tuple(
        Band(layer=rows[first].layer, first=first, last=last)
        for first, last in zip(starts, ends, strict=False)
    )


def _label(snapshot: RunSnapshot) -> str:
    counts = snapshot.counts()
    order = [*(status.value for status in Status), RETRYING, WAITING]
    counted = ", ".join(f"{counts[name]:,} {name.lower()}" for name in order if counts[name])
    return f"Gantt chart of {snapshot.project}: {counted or 'nothing to run'}"


def _roomy(seconds: float) -> float:
    """Return an axis end past *seconds* that fits for a while, so that bars grow instead of shrinking."""
    least = max(5.0, seconds * 1.02)
    magnitude = 10.0 ** math.floor(math.log10(least))
    return next(
        s * magnitude for s in (1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if s * magnitude >= least
    )


def tick_step(until: float) -> float:
    """Return the seconds between two ticks of an axis that ends at *until*."""
    least = until / TICKS
    if least <= _STEPS[0]:
        magnitude = 10.0 ** math.floor(math.log10(least))
        return next(s * magnitude for s in (1, 2, 5, 10) if s * magnitude >= least * 0.999)
    return float(next((s for s in _STEPS if s >= least), math.ceil(least / 86400) * 86400))


def clock(seconds: float, step: float = 1.0) -> str:
    """Return seconds of the run in a readable form: ``2.5 s``, ``1:30``, ``2:05:00``."""
    if seconds < 60 and step < 60:  # noqa: PLR2004
        return f"{seconds:.{max(0, -math.floor(math.log10(step)))}f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def shortened(text: str, length: int) -> str:
    """Return *text*, cut to *length* with an ellipsis."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _count(rows: int | None) -> str:
    return "?" if rows is None else f"{rows:,}"
