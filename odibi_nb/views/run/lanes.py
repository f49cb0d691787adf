"""The lines of a chart: one for each row. If there are many rows, one for each failed row and one for each
worker.

With hundreds of rows, the line of a row would be one pixel high, and a failure would be invisible. So the other
rows share lanes: a lane is a worker, and shows its attempts one after the other, at full height.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec.structs import replace as changed

from odibi_nb.core.model.events import Status
from odibi_nb.views.status_style import LATE, STATUS_STYLES, WAITS

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from odibi_nb.views.run.row_state import RowState
    from odibi_nb.views.run.segment import Segment

MAX_LINES = 60
"""Largest number of rows that have a line each."""
MAX_FAILED = 15
"""Largest number of failed rows with a line each. The others stay in their lanes."""
MAX_LANES = 40
"""Largest number of lanes. More rows than this at a time would leave each a thin line again."""
NOT_RUN = "not run"
_FAILED = Status.FAILED.value


class Lanes:
    """The lines of a chart with many rows. It can follow a run: `update` takes the changed rows."""

    def __init__(self) -> None:
        self._lane: dict[tuple[int, int], int] = {}
        self._busy_until: list[dt.datetime | None] = []  # None: a row runs there
        self._runs: dict[int, str] = {}
        self._failed: dict[int, str] = {}
        self._order: dict[int, int] = {}
        self._not_run = False

    def update(self, changed: Iterable[tuple[int, RowState]]) -> None:
        """Take over rows, with their numbers. Each attempt gets the first lane that is free at its start."""
        new: list[tuple[dt.datetime, int, RowState, int]] = []
        for number, row in changed:
            for at, bar in enumerate(row.bars):
                lane = self._lane.get((number, bar.number))
                if lane is None:
                    new.append((bar.start, number, row, at))
                elif bar.end and self._busy_until[lane] is None and self._runs[lane] == row.id:
                    self._busy_until[lane] = bar.end
                    del self._runs[lane]
            if row.status == _FAILED and len(self._failed) < MAX_FAILED:
                self._order.setdefault(number, len(self._failed))
                self._failed[number] = row.id
            self._not_run |= row.end is not None and not row.bars
        for start, number, row, at in sorted(new, key=lambda one: one[:2]):
            bar, lane = row.bars[at], self._free_lane(start)
            self._lane[number, bar.number] = lane
            self._busy_until[lane] = bar.end
            if bar.end is None:
                self._runs[lane] = row.id
            else:
                self._runs.pop(lane, None)

    def _free_lane(self, begin: dt.datetime) -> int:
        """Return the first free lane. With too many lanes, rows share the existing ones."""
        for lane, end in enumerate(self._busy_until):
            if end is not None and end <= begin:
                return lane
        count = len(self._busy_until)
        if count < MAX_LANES:
            self._busy_until.append(None)
            return count
        return len(self._lane) % MAX_LANES

    def labels(self) -> tuple[str, ...]:
        """Return the text of each line, top to bottom. The text of a busy lane is the row that it runs."""
        sign = STATUS_STYLES[_FAILED].sign
        lanes = [
            self._runs.get(lane, f"worker {lane + 1}") for lane in range(len(self._busy_until))
        ]
        failed = [f"{sign} {name}" for name in self._failed.values()]
        return (*failed, *lanes, *([NOT_RUN] if self._not_run else []))

    def places(self) -> tuple[int, int, bool]:
        """Return a value that changes when the lines of earlier bars change."""
        return len(self._failed), len(self._busy_until), self._not_run

    def placed(self, segments: Iterable[Segment]) -> list[Segment]:
        """Return the *segments* of one row on their lines, without its waits."""
        found = []
        line = 0
        for segment in segments:
            if segment.kind in WAITS:
                continue
            if segment.bar is not None:
                line = self._line(segment.row, segment.bar.number)
            elif segment.kind != LATE:
                line = len(self._failed) + len(self._busy_until)
            found.append(changed(segment, line=line))
        return found

    def _line(self, row: int, attempt: int) -> int:
        if row in self._order:
            return self._order[row]
        return len(self._failed) + self._lane[row, attempt]
