"""A bar of a chart."""

from __future__ import annotations

import msgspec

from odibi_nb.views.run.row_state import AttemptState


class Segment(msgspec.Struct, frozen=True, gc=False):
    """A bar: row number *row*, from *start* to *end* in seconds of the run.

    *kind* is a key of `BAR_STYLES`. *bar* is the attempt, or None for waits, marks and the forecast. *open* is
    True while the bar still grows. *sign* is drawn at the bar's end. *line* is the line of the chart.
    """

    row: int
    kind: str
    start: float
    end: float
    bar: AttemptState | None = None
    open: bool = False
    sign: str = ""
    line: int = 0
