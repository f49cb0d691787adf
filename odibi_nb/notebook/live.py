"""A run as a live table in a cell's output: one thread that paints, at most four times a second."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from IPython.display import display

from odibi_nb.core.events import EventType, RunEvent
from odibi_nb.views.html import snapshot_html
from odibi_nb.views.state import RunSnapshot, RunState

if TYPE_CHECKING:
    from odibi_nb.core.plan import RunPlan

PAINT_SECONDS = 0.25
PAINT_SHARE = 4
"""After painting it rests at least this many times as long as painting took."""


class HtmlLive(RunState):
    """The ``html`` rung of the ladder: a table that is updated through its display id.

    The output belongs to the cell in which the run starts; painting it never fails the run: `error`
    says why it stopped, if it did.
    """

    def __init__(self) -> None:
        super().__init__()
        self.error: BaseException | None = None
        self.paints = 0
        self._handle: Any = None
        self._over = threading.Event()
        self._painter: threading.Thread | None = None

    def on_plan(self, plan: RunPlan) -> None:
        """Show the table, and start to paint it."""
        super().on_plan(plan)
        self._handle = display(_bundle(self.snapshot()), raw=True, display_id=True)
        self._over.clear()
        self._painter = threading.Thread(target=self._paint_on, name="odibi-painter", daemon=True)
        self._painter.start()

    def on_event(self, event: RunEvent) -> None:
        """Take the event into account; after the last one, paint the end."""
        super().on_event(event)
        if event.type is EventType.RUN_END and self._painter is not None:
            self._over.set()
            self._painter.join(timeout=5)
            self._paint()

    def _paint_on(self) -> None:
        rest = PAINT_SECONDS
        while not self._over.wait(rest) and self.error is None:
            started = time.perf_counter()
            self._paint()
            rest = max(PAINT_SECONDS, PAINT_SHARE * (time.perf_counter() - started))

    def _paint(self) -> None:
        try:
            self._handle.update(_bundle(self.snapshot()), raw=True)
            self.paints += 1
        except Exception as exc:  # noqa: BLE001  a picture of a run is not the run
            self.error = exc


def _bundle(snapshot: RunSnapshot) -> dict[str, str]:
    counts = ", ".join(f"{n} {name.lower()}" for name, n in snapshot.counts().items())
    plain = f"{snapshot.project} (env={snapshot.env}) {snapshot.status}: {counts}"
    return {"text/html": snapshot_html(snapshot), "text/plain": plain}
