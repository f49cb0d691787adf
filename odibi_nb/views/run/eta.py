"""Estimate the remaining time of a run from its forecast and its progress so far."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odibi_nb.core.model.events import Status
from odibi_nb.core.planning.forecast import expected_durations, expected_spans
from odibi_nb.views.status_style import RETRYING, WAITING

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Iterable, Mapping

    from odibi_nb.core.planning.forecast import Span
    from odibi_nb.core.planning.plan import RunPlan
    from odibi_nb.views.run.row_state import RowState

_OPEN = frozenset({WAITING, RETRYING, Status.RUNNING.value})
PACE_ROWS = 3
"""Number of ended rows from which their pace predicts the time of the others."""
OVERRUN = 0.25
"""Further time of a row that takes longer than usual, as a fraction of the time above the usual."""
COST_SHARE = 600
"""Minimum pause between two simulations, as a multiple of the time that one takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedRun:
    """The forecast of a run, of which most rows have a history.

    Attributes:
        seconds: the usual duration of each row with a history, by id.
        spans: the expected start and end of every row.
        end: the expected duration of the run.
    """

    seconds: Mapping[str, float]
    spans: Mapping[str, Span]
    end: float


class Eta:
    """The expected end of a run of *plan*.

    The rest of the run is simulated: ended rows take no time, running rows the rest of their usual time.
    Between two simulations the estimate counts down. Without a history the pace so far decides.
    """

    def __init__(self, plan: RunPlan) -> None:
        self._plan = plan
        rows = {} if plan.problems else plan.rows
        known = {n: r.expected_seconds for n, r in rows.items() if r.expected_seconds is not None}
        self._known = known.keys()
        self._seconds = expected_durations(plan)[0] if known else {}
        self.expected: ExpectedRun | None = None
        self._left, self._at, self._next = 0.0, 0.0, 0.0
        if known and 2 * len(known) >= len(rows):
            begin = time.perf_counter()
            spans = expected_spans(plan, self._seconds)
            end = max((span.end for span in spans.values()), default=0.0)
            self.expected = ExpectedRun(seconds=known, spans=spans, end=end)
            # The first estimate of the run is its forecast.
            self._left, self._next = end, COST_SHARE * (time.perf_counter() - begin)

    def seconds_left(
        self, rows: Iterable[RowState], start: dt.datetime, now: dt.datetime
    ) -> float | None:
        """Return the seconds until all *rows* have ended; None if nothing is known about them."""
        rows = tuple(rows)
        still_open = [row for row in rows if row.status in _OPEN]
        if not still_open:
            return None
        elapsed = (now - start).total_seconds()
        if not self._mostly_known(still_open):
            ended = len(rows) - len(still_open)  # at the pace so far
            return elapsed * len(still_open) / ended if ended >= PACE_ROWS else None
        if elapsed >= self._next:
            begin = time.perf_counter()
            self._left, self._at = self._simulated(still_open, now), elapsed
            self._next = elapsed + COST_SHARE * (time.perf_counter() - begin)
        return max(self._left - (elapsed - self._at), min(self._left, 1.0))

    def _mostly_known(self, rows: Collection[RowState]) -> bool:
        """Return True if at least half of *rows* have a history."""
        if len(self._known) == len(self._plan.rows):
            return True
        return bool(self._known) and 2 * sum(row.id in self._known for row in rows) >= len(rows)

    def _simulated(self, still_open: Iterable[RowState], now: dt.datetime) -> float:
        rest = dict.fromkeys(self._seconds, 0.0)
        for row in still_open:
            usual = self._seconds[row.id]
            begun = row.bars[-1].start if row.bars else row.start
            if row.status == Status.RUNNING.value and begun is not None:
                over = (now - begun).total_seconds() - usual
                rest[row.id] = over * OVERRUN if over > 0 else -over
            else:  # a row that waits for its next attempt needs its whole time again
                rest[row.id] = usual
        return max(span.end for span in expected_spans(self._plan, rest).values())


def rough(seconds: float) -> str:
    """Return an estimated duration as text, coarsely rounded."""
    if seconds < 10:  # noqa: PLR2004
        return f"~{max(1, round(seconds))} s"
    if seconds < 90:  # noqa: PLR2004  a minute and a half
        return f"~{round(seconds / 5) * 5} s"
    minutes = round(seconds / 60)
    return f"~{minutes} min" if minutes < 90 else f"~{minutes / 60:.1f} h"  # noqa: PLR2004
