"""The state of one transformation of a run, and of its attempts."""

from __future__ import annotations

import datetime as dt

import msgspec

from odibi_nb.core.model.events import Progress, Status
from odibi_nb.core.model.failure_place import FailurePlace
from odibi_nb.views.status_style import RETRYING, WAITING

WARNING_SIGN = "⚠"


_RUNNING, _SUCCESS = Status.RUNNING.value, Status.SUCCESS.value


_UNSTARTED = frozenset({Status.SKIPPED.value, Status.CANCELLED.value})
"""The statuses with which a row can end while it waits for its first or next attempt."""


class AttemptState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One attempt. *end* is None while it runs. *status* is a `Status` value.

    *checks* describe the data checks that did not pass. *progress* is the progress of a running attempt, if
    its engine reports it. *written* has a line for each table that it wrote.
    """

    number: int
    start: dt.datetime
    end: dt.datetime | None = None
    status: str = _RUNNING
    error: str = ""
    rows_in: int | None = None
    rows_out: int | None = None
    written: tuple[str, ...] = ()
    checks: tuple[str, ...] = ()
    progress: Progress | None = None


class RowState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The state of one transformation. *status* is a `Status` value, WAITING or RETRYING.

    *bars* are its attempts, oldest first. *end* is the time at which the row ended, even if it never
    started. *change* are the rows that its last attempt added, changed and removed. *why* is the reason why
    a ``--stale`` run includes the row, or why the row ended UNCHANGED; "" in other runs. *unusual* has a
    line for each value of the last attempt that differs much from the last runs: a longer time, or fewer
    rows. *failed_at* is the line of the user's code at which its last attempt failed, if it did.
    """

    id: str
    layer: str
    function: str
    engine: str
    status: str = WAITING
    attempt: int = 0
    start: dt.datetime | None = None
    end: dt.datetime | None = None
    duration_seconds: float | None = None
    rows_in: int | None = None
    rows_out: int | None = None
    error: str = ""
    change: str = ""
    why: str = ""
    unusual: tuple[str, ...] = ()
    failed_at: FailurePlace | None = None
    bars: tuple[AttemptState, ...] = ()

    @property
    def findings(self) -> tuple[str, ...]:
        """Return the lines about the last attempt that need attention: broken checks and unusual facts."""
        checks = self.bars[-1].checks if self.bars else ()
        return checks + self.unusual if checks else self.unusual

    @property
    def sign(self) -> str:
        """Return a warning sign for the name of a row with `findings`, else ""."""
        return WARNING_SIGN if self.findings else ""

    def waits(self, now: dt.datetime) -> list[tuple[dt.datetime, dt.datetime]]:
        """Return begin and end of each wait for a next attempt. A wait that has not ended ends *now*."""
        ends = [bar.start for bar in self.bars[1:]]
        if self.status == RETRYING:
            ends.append(now)
        elif self.bars and self.status in _UNSTARTED and self.end is not None:
            ends.append(self.end)
        pairs = zip((bar.end for bar in self.bars), ends, strict=False)
        return [(begin, end) for begin, end in pairs if begin is not None and begin < end]
