"""A live Gantt chart as SVG pictures that lie on top of each other, so that an update changes few of them.

``frame``    legend, axis and names: change with the scale, which stays for a while
``moving``   the now-line and the open bars: change all the time, but are small
``settled``  the final bars, in the order in which they settled. Only the last picture that has bars
             grows, so an update redraws the new bars and little else
"""

from __future__ import annotations

from itertools import compress
from operator import is_not
from typing import TYPE_CHECKING

from odibi_nb.views.run.click_for_log import BAR
from odibi_nb.views.run.gantt import Gantt, empty_gantt, note_starts, row_segments
from odibi_nb.views.run.gantt_svg import GanttDrawing
from odibi_nb.views.run.lanes import MAX_LINES, Lanes
from odibi_nb.views.status_style import QUEUED, RETRYING

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from odibi_nb.views.run.row_state import RowState
    from odibi_nb.views.run.segment import Segment
    from odibi_nb.views.run.state import RunSnapshot

FEW_BARS, MANY_BARS = 16, 128
"""Bars in one settled picture: few if each has a tooltip, many if they share a path."""


def _changed(rows: Sequence[RowState], before: Sequence[RowState | None]) -> list[int]:
    """Return the numbers of the rows that are other objects than *before*."""
    return [*compress(range(len(rows)), map(is_not, rows, before))]


def _has_just_begun(row: RowState) -> bool:
    """Return True if the first attempt of *row* runs: only a queue could have a settled bar."""
    return len(row.bars) == 1 and row.bars[0].end is None


class GanttLayers:
    """The pictures of one run with *count* rows. `update` returns their current content.

    The cost of an update depends on the changes: each snapshot is compared with the one before.
    """

    def __init__(self, count: int) -> None:
        self.tooltips = count <= MAX_LINES
        self._lanes = None if self.tooltips else Lanes()
        self._lanes_of: tuple[RowState | None, ...] = (None,) * count
        self._size = FEW_BARS if self.tooltips else MANY_BARS
        bars = 2 * count if self.tooltips else count
        self._pictures = [""] * (bars // self._size + 1)
        self._scale: tuple[float, tuple[int, int, bool] | None] = (0.0, None)
        self._forget(())

    def _forget(self, rows: tuple[RowState, ...]) -> None:
        """Reset the state to that of an empty chart."""
        self._rows: tuple[RowState | None, ...] = (None,) * len(rows)
        self._settled: list[Segment] = []
        self._taken = [0] * len(rows)
        self._going: set[int] = set()
        self._begun: dict[str, dt.datetime] = {}
        self._seen: set[str] = set()
        self._frame = ""
        self._framed: tuple[int, tuple[str, ...]] = (0, ())

    def update(self, snapshot: RunSnapshot) -> list[str]:
        """Return all pictures, bottom to top: frame, moving, settled. Their number never changes."""
        labels = places = None
        if self._lanes is not None:
            rows = snapshot.rows
            self._lanes.update((i, rows[i]) for i in _changed(rows, self._lanes_of))
            self._lanes_of = rows
            labels, places = self._lanes.labels(), self._lanes.places()
        chart = empty_gantt(snapshot, labels)
        if not chart.rows:
            return ["", "", *self._pictures]
        scale = chart.until, places
        if scale != self._scale or len(self._rows) != len(chart.rows):
            self._scale = scale
            self._forget(chart.rows)
            self._pictures = [""] * len(self._pictures)
        first = len(self._settled)
        if chart.begin is not None:
            self._take(snapshot)
        drawing = GanttDrawing(chart, snapshot.run_id, BAR if self.tooltips else "")
        moving = self._moving(snapshot, chart, drawing)
        self._draw_settled(drawing, first)
        return [self._frame, moving, *self._pictures]

    def _take(self, snapshot: RunSnapshot) -> None:
        """Take over the bars that have settled since the last snapshot."""
        rows = snapshot.rows
        changed = _changed(rows, self._rows)
        if self.tooltips:  # lanes show no queues
            note_starts(self._begun, (rows[number] for number in changed))
        for number in changed:
            if self._lanes is not None and _has_just_begun(rows[number]):
                self._going.add(number)
                continue
            segments = self._segments(number, snapshot)
            settled = [segment for segment in segments if not segment.open]
            fresh = settled[self._taken[number] :]
            self._settled += fresh
            self._seen.update(segment.kind for segment in fresh)
            self._taken[number] = len(settled)
            if rows[number].bars and (
                len(settled) < len(segments) or rows[number].status == RETRYING
            ):
                self._going.add(number)
            else:
                self._going.discard(number)
        self._rows = rows

    def _segments(self, number: int, snapshot: RunSnapshot) -> list[Segment]:
        row = snapshot.rows[number]
        since = self._begun.get(row.layer)
        if not (row.bars or row.end or since):
            return []
        segments = row_segments(number, row, snapshot, since, self._scale[0])
        return segments if self._lanes is None else self._lanes.placed(segments)

    def _moving(self, snapshot: RunSnapshot, chart: Gantt, drawing: GanttDrawing) -> str:
        segments = [
            segment
            for number in sorted(self._going)
            for segment in self._segments(number, snapshot)
            if segment.open
        ]
        blocks = self._blocks(snapshot)
        self._seen.update(segment.kind for segment in segments)
        if blocks:
            self._seen.add(QUEUED)
        shown = len(self._seen), chart.labels
        if not self._frame or self._framed != shown:
            self._framed, self._frame = shown, drawing.frame(self._seen, tooltips=self.tooltips)
        now = snapshot.elapsed
        waiting = [
            drawing.column(QUEUED, first, last, since, now)
            for first, last, since in blocks
            if now > since
        ]
        return drawing.moving(segments, waiting, tooltips=self.tooltips)

    def _blocks(self, snapshot: RunSnapshot) -> list[tuple[int, int, float]]:
        """Return blocks of adjacent waiting rows: first number, last number, start in seconds."""
        blocks: list[tuple[int, int, float]] = []
        if not self.tooltips or snapshot.start is None:
            return blocks
        since = {
            layer: max(0.0, (start - snapshot.start).total_seconds())
            for layer, start in self._begun.items()
        }
        for number, row in enumerate(snapshot.rows):
            if row.bars or row.end or row.layer not in since:
                continue
            start = since[row.layer]
            if blocks and blocks[-1][1] == number - 1 and blocks[-1][2] == start:
                blocks[-1] = (blocks[-1][0], number, start)
            else:
                blocks.append((number, number, start))
        return blocks

    def _draw_settled(self, drawing: GanttDrawing, first: int) -> None:
        """Redraw the settled pictures that contain bars from number *first* on."""
        if first == len(self._settled):
            return
        last = len(self._pictures) - 1  # it takes the unplanned bars: attempts after the first
        for picture in range(min(first // self._size, last), last + 1):
            end = None if picture == last else (picture + 1) * self._size
            segments = self._settled[picture * self._size : end]
            if not segments:
                return
            bars = drawing.bars(segments, tooltips=self.tooltips)
            self._pictures[picture] = drawing.picture([bars])
