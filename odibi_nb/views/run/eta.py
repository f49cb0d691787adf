"""Estimate the remaining time of a run from its forecast and its progress so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odibi_nb.core.model.events import Status
from odibi_nb.core.planning.forecast import expected_durations, expected_spans
from odibi_nb.views.status_style import RETRYING, WAITING

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable

    from odibi_nb.core.planning.plan import RunPlan
    from odibi_nb.views.run.state import RowState

_OPEN = frozenset({WAITING, RETRYING, Status.RUNNING.value})


class Eta:
    """The expected end of a run of *plan*: the forecast's end plus the largest delay of its open rows."""

    def __init__(self, plan: RunPlan) -> None:
        rows = {} if plan.problems else plan.rows
        self._known = {name for name, row in rows.items() if row.expected_seconds is not None}
        self._spans = expected_spans(plan, expected_durations(plan)[0]) if self._known else {}

    def seconds_left(
        self, rows: Iterable[RowState], start: dt.datetime, now: dt.datetime
    ) -> float | None:
        """Return the seconds until all *rows* have ended.

        None if fewer than half of the open rows have a history, or if the forecast has already passed.
        """
        still_open = [row for row in rows if row.status in _OPEN]
        known = sum(row.id in self._known for row in still_open)
        if not self._spans or 2 * known < len(still_open) or not still_open:
            return None
        elapsed = (now - start).total_seconds()
        late = [
            max((row.start - start).total_seconds() - span.start, elapsed - span.end)
            for row in still_open
            if row.start is not None and (span := self._spans[row.id])
        ]
        end = max(self._spans[row.id].end for row in still_open)
        left = end + max(late, default=0.0) - elapsed
        return left if left > 0 else None


def rough(seconds: float) -> str:
    """Return an estimated duration as text, coarsely rounded."""
    if seconds < 10:  # noqa: PLR2004
        return f"~{max(1, round(seconds))} s"
    if seconds < 90:  # noqa: PLR2004  a minute and a half
        return f"~{round(seconds / 5) * 5} s"
    minutes = round(seconds / 60)
    return f"~{minutes} min" if minutes < 90 else f"~{minutes / 60:.1f} h"  # noqa: PLR2004
