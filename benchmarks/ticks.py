"""Bytes that a live view sends with each picture, by the share of rows that have changed."""

from __future__ import annotations

import datetime as dt
import json
from statistics import mean
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace as changed

from benchmarks.figures import Figure
from odibi_nb.views.run.row_state import AttemptState, RowState
from odibi_nb.views.run.state import RunSnapshot

if TYPE_CHECKING:
    from collections.abc import Iterator

ZERO = dt.datetime(2026, 3, 1, 12, tzinfo=dt.timezone.utc)
TICK, TICKS, BEGUN = 0.25, 5, 100.0
RUNNING = 32
"""At most so many rows run at a time: as many threads as `live_run` has."""


class Wire:
    """Replacement of a kernel's comms that counts the bytes sent."""

    def __init__(self) -> None:
        self.bytes = 0

    def comm(self, *arguments: Any, **keywords: Any) -> Any:
        """A comm that sends nothing on."""
        from comm.base_comm import BaseComm

        wire = self

        class Counted(BaseComm):
            def publish_msg(
                self,
                msg_type: str,
                data: Any = None,
                metadata: Any = None,
                buffers: Any = None,
                **more: Any,
            ) -> None:
                content = {"msg_type": msg_type, "data": data, "metadata": metadata, **more}
                wire.bytes += len(json.dumps(content, default=str)) + sum(map(len, buffers or ()))

        return Counted(*arguments, **keywords)


def bytes_per_tick(ui: str, rows: int) -> Iterator[Figure]:
    """Bytes of one picture of *ui* when 1 % of the rows end, against all of it, and 10 % against 1 %.

    A made-up run, a third over; in each tick the same number of rows ends and as many begin, scattered over
    the plan; no tick changes the scale. "All of it" is the chart and the
    table of that moment, as they would be saved.
    """
    import comm

    wire = Wire()
    before, comm.create_comm = comm.create_comm, wire.comm
    try:
        sent = {part: mean(_ticks(ui, rows, rows * part // 1_000, wire)) for part in (0, 10, 100)}
    finally:
        comm.create_comm = before
    whole = _whole(ui, rows)
    name = f"bytes a picture, {ui}, {rows:,} rows"
    yield _bytes(f"{name}: nothing but time", sent[0], sent[10], "1 % of the rows", 0.5)
    yield _bytes(
        f"{name}: 1 % of the rows", sent[10], whole, "all of it", 0.5 if ui == "widgets" else None
    )
    yield _bytes(f"{name}: 10 % of the rows", sent[100], sent[10], "1 % of the rows", 10)


def _bytes(name: str, ours: float, baseline: float, peer: str, at_most: float | None) -> Figure:
    return Figure(
        name=name,
        ours=f"{ours / 1_000:.1f} kB",
        baseline=f"{baseline / 1_000:.1f} kB  {peer}",
        ratio=f"{ours / baseline:.2f}",
        wanted="–" if at_most is None else f"≤ {at_most:.2f}",
        holds=None if at_most is None else ours / baseline <= at_most,
    )


def _ticks(ui: str, rows: int, changing: int, wire: Wire) -> Iterator[int]:
    from odibi_nb.notebook.live.libraries import LIBRARIES
    from odibi_nb.notebook.live.pictures import PICTURES
    from odibi_nb.notebook.live.surfaces import CellOutputs

    LIBRARIES.fetch(ui)
    LIBRARIES.wait()
    run = _Run(rows)
    run.tick(changing)
    shown = PICTURES[ui](CellOutputs(), None, None)
    shown.make(run.snapshot())  # type: ignore[attr-defined]  # both of these pictures have it
    for _ in range(TICKS):
        run.tick(changing)
        wire.bytes = 0
        shown.paint(run.snapshot())
        yield wire.bytes


def _whole(ui: str, rows: int) -> float:
    from odibi_nb.views.run.bundles import PLOTLY, chart_bundle
    from odibi_nb.views.run.run_page import chart_html
    from odibi_nb.views.run.table import table_html

    snapshot = _Run(rows).snapshot()
    picture = chart_bundle(snapshot)[PLOTLY] if ui == "plotly" else chart_html(snapshot)
    return len(json.dumps(picture)) + len(json.dumps(table_html(snapshot, 60)))


class _Run:
    """A run whose rows begin and end on request; the first third of them have ended."""

    def __init__(self, rows: int) -> None:
        self.now = BEGUN
        self.rows = [
            RowState(id=f"SILVER_{i:05d}", layer="Silver_1", function="m.clean", engine="pandas")
            for i in range(rows)
        ]
        # scattered, but the same each time: 7 is prime to every size used here
        self.order = [(i * 7) % rows for i in range(rows)]
        self.begun = self.ended = 0
        for i in range(rows // 3):
            self._begin(BEGUN * i / rows)
            self._end(BEGUN * i / rows + 20)
        for _ in range(RUNNING):
            self._begin(BEGUN - 1)

    def tick(self, changing: int) -> None:
        """A quarter of a second, in which *changing* rows end."""
        self.now += TICK
        for _ in range(min(changing, len(self.rows) - self.begun)):
            self._end(self.now)
            self._begin(self.now)

    def _begin(self, seconds: float) -> None:
        i = self.order[self.begun]
        self.begun += 1
        start = ZERO + dt.timedelta(seconds=seconds)
        bars = (AttemptState(number=1, start=start),)
        self.rows[i] = changed(self.rows[i], status="RUNNING", attempt=1, start=start, bars=bars)

    def _end(self, seconds: float) -> None:
        i = self.order[self.ended]
        self.ended += 1
        row, end = self.rows[i], ZERO + dt.timedelta(seconds=seconds)
        bars = (changed(row.bars[0], end=end, status="SUCCESS"),)
        length = (end - row.bars[0].start).total_seconds()
        self.rows[i] = changed(row, status="SUCCESS", end=end, duration_seconds=length, bars=bars)

    def snapshot(self) -> RunSnapshot:
        at = ZERO + dt.timedelta(seconds=self.now)
        return RunSnapshot(
            project="P",
            env="qat",
            run_id="r",
            status="running",
            start=ZERO,
            at=at,
            rows=tuple(self.rows),
        )
