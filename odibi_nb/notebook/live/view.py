"""A run in a cell's output while it goes on: one thread that paints, at most four times a second."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from odibi_nb.core.functions.modules import reloaded_text
from odibi_nb.core.model.events import EventType, RunEvent
from odibi_nb.notebook.environment import HTML
from odibi_nb.notebook.live.displays import RUNGS, HtmlRung
from odibi_nb.views.run.state import RunState, snapshot_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from odibi_nb.core.model.results import RunResult
    from odibi_nb.core.planning.plan import RunPlan
    from odibi_nb.notebook.live.cancel_button import Cancelling

PAINT_SECONDS = 0.25
PATIENCE = 5
"""It gives up after so many failures in a row: one can be bad luck, as with a library half imported."""
PAINT_SHARE = 4
"""After painting it rests at least this many times as long as painting took."""


class LiveView(RunState):
    """Shows a run on a rung of the ladder, in the output of the cell in which it starts.

    Painting never fails a run: `error` says why it stopped, if it did.

    Args:
        choose: number of rows to the name of the rung, a key of `RUNGS`; asked once per run.
        rungs: what makes the rungs; those in the cell's own outputs by default.

    Attributes:
        cancelling: how people can end the run from its output; to be set before the run begins.
        state_dir: where the project keeps its journals, from which a row's log is shown; set then, too.
    """

    def __init__(
        self, choose: Callable[[int], str], rungs: Mapping[str, Callable[[], HtmlRung]] = RUNGS
    ) -> None:
        super().__init__()
        self.cancelling: Cancelling | None = None
        self.state_dir: Path | None = None
        self.error: BaseException | None = None
        self.rung = HtmlRung()
        self._choose = choose
        self._rungs = rungs
        self._over = threading.Event()
        self._painter: threading.Thread | None = None

    def on_plan(self, plan: RunPlan) -> None:
        """Show the run, and start to paint it."""
        super().on_plan(plan)
        self._show(self._choose(len(plan.rows)))
        self._over.clear()
        self._painter = threading.Thread(target=self._paint_on, name="odibi-painter", daemon=True)
        self._painter.start()

    def on_event(self, event: RunEvent) -> None:
        """Take the event into account; after the last one, leave what a saved notebook keeps."""
        super().on_event(event)
        if event.type is EventType.MODULES_RELOADED:
            print(reloaded_text(event.payload["modules"]))  # the picture has no place for it
        if event.type is EventType.RUN_END and self._painter is not None:
            self._end()

    def add_details(self, result: RunResult) -> None:
        """Add the tracebacks and logs, which only the result knows."""
        with self._harmless():
            self.rung.end(snapshot_of(result), result)

    def close(self) -> None:
        """Paint no more; of a run that ended without saying so, leave what was seen last."""
        if self._painter is not None and self.give_up():
            self._end()

    def _end(self) -> None:
        assert self._painter is not None
        self._over.set()
        self._painter.join(timeout=5)
        with self._harmless():
            self.rung.end(self.snapshot())

    def _show(self, name: str) -> None:
        self.rung = self._made(name)
        if name != HTML:
            try:
                self.rung.show(self.snapshot())
            except Exception as exc:  # noqa: BLE001  widgets are there, but not as we know them
                self.error = exc
                self.rung = self._made(HTML)
            else:
                return
        self.rung.show(self.snapshot())

    def _made(self, name: str) -> HtmlRung:
        rung = self._rungs[name]()
        rung.cancelling, rung.state_dir = self.cancelling, self.state_dir
        return rung

    def _paint_on(self) -> None:
        rest, failures = PAINT_SECONDS, 0
        while failures < PATIENCE and not self._over.wait(rest):
            started = time.perf_counter()
            try:
                self.update_progress()
                self.rung.paint(self.snapshot())
            except Exception as exc:  # noqa: BLE001  a picture of a run is not the run
                self.error = exc
                failures += 1
            else:
                self.error, failures = None, 0
            rest = max(PAINT_SECONDS, PAINT_SHARE * (time.perf_counter() - started))

    @contextlib.contextmanager
    def _harmless(self) -> Iterator[None]:
        try:
            yield
        except Exception as exc:  # noqa: BLE001  a picture of a run is not the run
            self.error = exc
