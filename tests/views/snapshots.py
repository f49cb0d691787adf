"""Runs for pictures, made by hand: every time is given."""

from __future__ import annotations

import datetime as dt

from odibi_nb.views.run.row_state import AttemptState, RowState
from odibi_nb.views.run.state import RunSnapshot
from odibi_nb.views.status_style import RETRYING

ZERO = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.timezone.utc)
EVIL = "<script>alert('x')</script>"


def at(seconds):
    return ZERO + dt.timedelta(seconds=seconds)


def bar(number, start, end=None, status="SUCCESS", error="", progress=None):
    return AttemptState(
        number=number,
        start=at(start),
        end=None if end is None else at(end),
        status=status if end is not None else "RUNNING",
        error=error,
        rows_in=10 if end is not None else None,
        rows_out=9 if end is not None else None,
        progress=progress,
    )


def row(name, *bars, layer="Bronze", status=None, end=None, error="", engine="pandas"):
    last = bars[-1] if bars else None
    ended = at(end) if end is not None else last.end if last else None
    return RowState(
        id=name,
        layer=layer,
        function="m.f",
        engine=engine,
        status=status or (last.status if last else "WAITING"),
        attempt=len(bars),
        start=bars[0].start if bars else None,
        end=ended,
        error=error or (last.error if last else ""),
        bars=bars,
    )


def run(*rows, seconds=10.0, status="running"):
    return RunSnapshot(
        project="P",
        env="qat",
        run_id="r-1",
        status=status,
        start=ZERO,
        at=at(seconds),
        rows=rows,
    )


def everything(seconds=10.0, status="running"):
    """A run with a row of every kind."""
    return run(
        row("OK", bar(1, 0, 2)),
        row("LATE", bar(1, 1, 3)),
        row("TWICE", bar(1, 0, 1, "FAILED", "OSError: no"), bar(2, 3, 5), layer="Silver_1"),
        row("BAD", bar(1, 2, 4, "FAILED", "OSError: no"), layer="Silver_1"),
        row("AGAIN", bar(1, 2, 4, "FAILED"), layer="Silver_1", status=RETRYING),
        row("NEXT", layer="Silver_1", status="SKIPPED", end=4, error="upstream BAD failed"),
        row("STOPPED", bar(1, 2, 4, "CANCELLED"), layer="Silver_1"),
        row("LOST", bar(1, 2, 4, "ABANDONED"), layer="Silver_1"),
        row("BUSY", bar(1, 5), layer="Silver_1"),
        row("SAME", bar(1, 4, 5, "UNCHANGED"), layer="Silver_1"),
        row("QUEUED", layer="Silver_1"),
        row("LAST", layer="Gold_1"),
        seconds=seconds,
        status=status,
    )


def many(count, status="success"):
    """A run of *count* rows that succeeded, every 37th failed."""
    rows = [
        row(
            f"SILVER_{i:04}",
            bar(1, i * 0.1, i * 0.1 + 1.7, *(("FAILED", "ValueError: x") if i % 37 == 5 else ())),
            layer=("Bronze", "Silver_1", "Gold_1")[i * 3 // count],
        )
        for i in range(count)
    ]
    return run(*rows, seconds=count * 0.1 + 5, status=status)
