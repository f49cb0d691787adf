"""A run as a Gantt chart before it is drawn: the bars, their times and their texts."""

from __future__ import annotations

import datetime as dt
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from odibi_nb.core.model.events import Status
from odibi_nb.views.run.lanes import MAX_LINES, Lanes
from odibi_nb.views.run.segment import Segment
from odibi_nb.views.status_style import (
    BAR_STYLES,
    EXPECTED,
    LATE,
    QUEUED,
    RETRIED,
    RETRYING,
    STATUS_STYLES,
    WAITING,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from odibi_nb.views.run.eta import ExpectedRun
    from odibi_nb.views.run.row_state import AttemptState, RowState
    from odibi_nb.views.run.state import RunSnapshot

MAX_ERROR = 160
MAX_CHECKS = 5
MAX_NAME = 30
MAX_LAYER = 14
TOP, BOTTOM = 40, 34
"""Pixels above the lines of a chart, for the legend, and below them, for the axis."""
ROOMY_LINES = 20
"""Largest number of lines that are 22 pixels high. More lines have 18 pixels each."""
LATE_SHARE, LATE_SECONDS = 1.2, 0.5
"""A row is late if it takes this multiple of its usual time, and this many seconds more."""
_FAILED, _UNCHANGED = Status.FAILED.value, Status.UNCHANGED.value
MARKS = frozenset({Status.SKIPPED.value, Status.CANCELLED.value, _UNCHANGED})
"""Statuses of rows that may end without a start. They are drawn as a sign, not as a bar."""
TICKS = 8
AXIS_ROOM = 1.1
"""The axis of a run with a forecast, as a multiple of the expected duration."""
MARK = 0.01
"""Width of the mark of a row that never started, as a fraction of the axis."""
LEAST_QUEUE = 0.004
"""Shortest time in a queue that is drawn, as a fraction of the axis: a few pixels."""
_UNENDED_WAIT = frozenset({RETRYING, Status.SKIPPED.value, Status.CANCELLED.value})
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """A layer with rows number *first* to *last*, both included."""

    layer: str
    first: int
    last: int

    @property
    def name(self) -> str:
        """Return the layer's name as the chart shows it."""
        return shortened(self.layer, MAX_LAYER)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gantt:
    """The content of a chart.

    Attributes:
        rows: in the plan's order.
        labels: the text of each line of the chart, top to bottom. A line is a row, or of many rows a lane.
        folded: True if the lines are lanes.
        segments: by row, then by time.
        bands: the layers, top to bottom.
        until: the end of the axis in seconds; it begins at 0.
        now: the position of the now-line in seconds; None when the run is over.
        begin: wall time (UTC) of second 0; None before the run has begun.
        label: the chart in words: the number of rows in each status.
        expected: the forecast; None without one.
    """

    rows: tuple[RowState, ...]
    segments: tuple[Segment, ...]
    bands: tuple[Band, ...]
    until: float
    now: float | None
    begin: dt.datetime | None
    label: str
    labels: tuple[str, ...] = ()
    folded: bool = False
    expected: ExpectedRun | None = None

    @property
    def row_height(self) -> float:
        """Height of a line in pixels, the same in every drawing, so that one drawing can replace another."""
        return 22.0 if len(self.labels) <= ROOMY_LINES else 18.0

    @property
    def height(self) -> float:
        """Height of the chart in pixels."""
        return TOP + self.row_height * len(self.labels) + BOTTOM

    def usual(self, row: RowState) -> float | None:
        """Return the usual seconds of *row*; None without a history."""
        return None if self.expected is None else self.expected.seconds.get(row.id)

    def ghosts(self) -> list[Segment]:
        """Return the expected place of each row, within the axis. It does not change during the run."""
        if self.expected is None or self.folded:
            return []
        spans = self.expected.spans
        return [
            Segment(number, EXPECTED, span.start, min(span.end, self.until), line=number)
            for number, row in enumerate(self.rows)
            if row.id in self.expected.seconds
            and (span := spans[row.id]).start < self.until
            and row.status not in MARKS
        ]

    def end_sign(self, segment: Segment) -> str:
        """Return the sign right of a bar; "" in a lane, where the next bar would cover it."""
        in_lane = self.folded and segment.bar is not None
        name = f"{segment.sign} {self.rows[segment.row].id}"
        return "" if in_lane and self.labels[segment.line] != name else segment.sign

    def wall(self, seconds: float) -> str:
        """Return the wall time (UTC) at *seconds*, or "" before the run has begun."""
        return (
            "" if self.begin is None else f"{self.begin + dt.timedelta(seconds=seconds):%H:%M:%S}"
        )

    def ticks(self) -> list[tuple[float, str]]:
        """Return the positions of the axis ticks in seconds, and their labels."""
        step = tick_step(self.until)
        return [(i * step, clock(i * step, step)) for i in range(int(self.until / step) + 1)]

    def tooltip(self, segment: Segment) -> list[str]:
        """Return the lines of the tooltip of *segment*, as plain text."""
        row, bar = self.rows[segment.row], segment.bar
        if segment.kind == EXPECTED:
            return [row.id, f"expected from {segment.start:,.2f} s to {segment.end:,.2f} s"]
        if segment.kind == LATE:
            usual = self.usual(row)
            return [row.id, "" if usual is None else f"late: usually {usual:,.2f} s"]
        sign, word = BAR_STYLES[segment.kind].sign, segment.kind.lower()
        if segment.kind == QUEUED and not segment.open:
            return [row.id, f"{sign} {word} {segment.start:,.2f} s to {segment.end:,.2f} s"]
        attempt = f", attempt {bar.number}" if bar else ""
        # The text of an open bar has no current times: it must not change with every update.
        start, end = self.wall(segment.start), self.wall(segment.end)
        clock = start if start == end else f"{start} to {end}"
        since = f"{segment.start:,.2f} s to {segment.end:,.2f} s ({clock} UTC)"
        if segment.open:
            since = f"since {segment.start:,.2f} s ({self.wall(segment.start)} UTC)"
            if bar and bar.progress:
                since += f", {bar.progress}: {bar.progress.done:,} of {bar.progress.total:,} tasks"
        where = f"{row.layer} · {row.function}" if self.folded else row.function
        lines = [row.id, where, f"{sign} {word}{attempt}", since]
        if bar and (bar.rows_in is not None or bar.rows_out is not None):
            lines.append(f"rows in {_count(bar.rows_in)}, out {_count(bar.rows_out)}")
        if bar:
            lines += [shortened(one, MAX_ERROR) for one in bar.written[:MAX_CHECKS]]
        if row.why:
            lines.append(shortened(f"why: {row.why}", MAX_ERROR))
        if bar:
            found = row.findings if bar is row.bars[-1] else bar.checks
            lines += [f"⚠ {shortened(line, MAX_ERROR)}" for line in found[:MAX_CHECKS]]
        error = bar.error if bar else row.error if segment.kind == row.status else ""
        return [*lines, shortened(error, MAX_ERROR)] if error else lines


def gantt_of(snapshot: RunSnapshot) -> Gantt:
    """Return the chart of a run in its current state."""
    folded = len(snapshot.rows) > MAX_LINES
    lanes = Lanes()
    if folded:
        lanes.update(enumerate(snapshot.rows))
    chart = empty_gantt(snapshot, lanes.labels() if folded else None)
    begun: dict[str, dt.datetime] = {}
    note_starts(begun, snapshot.rows)
    segments: list[Segment] = []
    if chart.begin is not None:
        for number, row in enumerate(snapshot.rows):
            if row.bars or row.end or row.layer in begun:
                since = None if folded else begun.get(row.layer)
                own = row_segments(number, row, snapshot, since, chart.until)
                segments += lanes.placed(own) if folded else own
    return replace(chart, segments=tuple(segments))


def note_starts(begun: dict[str, dt.datetime], rows: Iterable[RowState]) -> None:
    """Note in *begun* when the first attempt of each layer started, as far as *rows* show it."""
    for row in rows:
        if row.bars:
            start = row.bars[0].start
            begun[row.layer] = min(start, begun.get(row.layer, start))


def empty_gantt(snapshot: RunSnapshot, lanes: tuple[str, ...] | None = None) -> Gantt:
    """Return the chart of a run in its current state, without its segments; *lanes* are its lines, if folded."""
    return Gantt(
        rows=snapshot.rows,
        segments=(),
        bands=_bands(snapshot.rows) if lanes is None else (),
        labels=tuple(map(_marked, snapshot.rows)) if lanes is None else lanes,
        folded=lanes is not None,
        until=_until(snapshot),
        now=snapshot.elapsed if snapshot.live and snapshot.start is not None else None,
        begin=snapshot.start,
        label=_label(snapshot),
        expected=snapshot.expected,
    )


def _until(snapshot: RunSnapshot) -> float:
    """Return the end of the axis.

    With a forecast it is there from the start and stays, unless the run takes longer. Without one it grows in steps.
    An ended run shows the rest of the forecast, but never more forecast than run.
    """
    longest = max(snapshot.elapsed, 0.1)
    forecast = 0.0 if snapshot.expected is None else snapshot.expected.end
    if not snapshot.live:
        return max(longest, min(forecast, 2 * longest)) * 1.01
    room = forecast * AXIS_ROOM
    return room if longest * 1.02 <= room else _roomy(longest)


def row_segments(
    number: int, row: RowState, snapshot: RunSnapshot, queued: dt.datetime | None, until: float
) -> list[Segment]:
    """Return the bars of one row. *queued* is the time from which it may have waited for its first attempt.

    If bars are open, they are the last ones.
    """
    assert snapshot.start is not None
    zero, now = snapshot.start, snapshot.at

    def seconds(moment: dt.datetime) -> float:
        passed = (moment - zero).total_seconds()
        return passed if passed > 0 else 0.0

    expected = snapshot.expected
    usual = None if expected is None else expected.seconds.get(row.id)
    segments = []
    for bar in row.bars:
        start, end, still = seconds(bar.start), seconds(bar.end or now), bar.end is None
        kind, sign = _kind(row, bar)
        segments.append(Segment(number, kind, start, end, bar, still, sign, number))
        if usual is not None and end - start >= max(usual * LATE_SHARE, usual + LATE_SECONDS):
            late = Segment(number, LATE, start + usual, end, None, still, "", number)
            segments.append(late)
    if len(row.bars) > 1 or row.status in _UNENDED_WAIT:
        for since, until_then in row.waits(now):
            still = row.status == RETRYING and since == row.bars[-1].end
            begin, end = seconds(since), seconds(until_then)
            segments.append(Segment(number, RETRYING, begin, end, None, still, "", number))
        segments.sort(key=lambda segment: segment.start)
    if queued is not None and not (row.status in MARKS and not row.bars):
        first = row.bars[0].start if row.bars else row.end or now
        begin, end = seconds(queued), seconds(first)
        if end - begin > until * LEAST_QUEUE:
            still = not row.bars and row.end is None
            segments.insert(0, Segment(number, QUEUED, begin, end, None, still, "", number))
    unstarted = row.status != RETRYING and (not row.bars or row.bars[-1].status != row.status)
    if row.end is not None and unstarted:
        end = min(max(seconds(row.end), until * MARK), until)
        sign = STATUS_STYLES[row.status].sign
        segments.append(
            Segment(number, row.status, end - until * MARK, end, sign=sign, line=number)
        )
    return segments


def _kind(row: RowState, bar: AttemptState) -> tuple[str, str]:
    """Return the kind and the sign of an attempt's bar. A failed attempt is not yet a failed row."""
    if bar.status == _UNCHANGED:  # its bar is faint: the sign is the reason
        return bar.status, STATUS_STYLES[bar.status].sign
    if bar.status != _FAILED:
        return bar.status, ""
    if bar is row.bars[-1] and row.status == _FAILED:
        return _FAILED, STATUS_STYLES[_FAILED].sign
    return RETRIED, ""


def _marked(row: RowState) -> str:
    """Return the name of a row, with a warning sign if a check found something."""
    return f"{row.sign} {row.id}" if row.sign else row.id


def _bands(rows: tuple[RowState, ...]) -> tuple[Band, ...]:
    starts = [i for i, row in enumerate(rows) if i == 0 or row.layer != rows[i - 1].layer]
    ends = [*(start - 1 for start in starts[1:]), len(rows) - 1]
    return tuple(
        Band(layer=rows[first].layer, first=first, last=last)
        for first, last in zip(starts, ends, strict=False)
    )


def _label(snapshot: RunSnapshot) -> str:
    counts = snapshot.counts
    order = [*(status.value for status in Status), RETRYING, WAITING]
    counted = ", ".join(f"{counts[name]:,} {name.lower()}" for name in order if counts[name])
    return f"Gantt chart of {snapshot.project}: {counted or 'nothing to run'}"


def _roomy(seconds: float) -> float:
    """Return a round axis end above *seconds*. It changes rarely, so that bars grow and the axis does not move."""
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


def cut_in_the_middle(text: str, length: int) -> str:
    """Return *text*, cut to *length* in its middle: names of a project often differ only at their end."""
    if len(text) <= length:
        return text
    end = (length - 1) // 2
    return f"{text[: length - 1 - end]}…{text[-end:]}"


def shortened(text: str, length: int) -> str:
    """Return *text*, cut to *length* with an ellipsis."""
    return text if len(text) <= length else text[: length - 1] + "…"


def _count(rows: int | None) -> str:
    return "?" if rows is None else f"{rows:,}"
