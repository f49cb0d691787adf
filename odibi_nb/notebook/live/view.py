"""A run in a cell's output while it goes on: one thread that paints, at most four times a second."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from odibi_nb.core.functions.modules import reloaded_text
from odibi_nb.core.model.events import EventType, RunEvent
from odibi_nb.notebook.environment import HTML
from odibi_nb.notebook.live.pictures import PICTURES
from odibi_nb.notebook.live.surfaces import CellOutputs
from odibi_nb.views.run.bundles import table_bundle
from odibi_nb.views.run.state import RunState, snapshot_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from odibi_nb.core.model.results import RunResult
    from odibi_nb.core.planning.plan import RunPlan
    from odibi_nb.notebook.live.cancel_button import Cancelling
    from odibi_nb.notebook.live.pictures import Picture
    from odibi_nb.notebook.live.surfaces import Surface
    from odibi_nb.views.run.state import RunSnapshot

PAINT_SECONDS = 0.25
PATIENCE = 5
"""It gives up after so many failures in a row: one can be bad luck, as with a library half imported."""
PAINT_SHARE = 4
"""After painting it rests at least this many times as long as painting took."""


class LiveView(RunState):
    """Shows a run live: a picture of it on a surface.

    Painting never fails a run: `error` says why it stopped, if it did.

    Args:
        choose: returns the picture for a number of rows, a key of `PICTURES`; asked once per run.
        surface: where to show the run; by default in outputs of the cell in which it starts.
        on_paint: called with every snapshot that was painted, on the thread that paints.

    Attributes:
        cancelling: how people can end the run from its picture; to be set before the run begins.
        state_dir: where the project keeps its journals, from which a row's log is shown; set then, too.
    """

    def __init__(
        self,
        choose: Callable[[int], str],
        surface: Surface | None = None,
        on_paint: Callable[[RunSnapshot], None] = lambda _snapshot: None,
    ) -> None:
        super().__init__()
        self.cancelling: Cancelling | None = None
        self.state_dir: Path | None = None
        self.error: BaseException | None = None
        self.surface: Surface = CellOutputs() if surface is None else surface
        self.picture: Picture | None = None
        self._choose = choose
        self._on_paint = on_paint
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
        if self.picture is None:
            return
        with self._harmless():
            table = table_bundle(snapshot_of(result), result, self.picture.unfolded)
            self.surface.show_table(table)

    def fail(self, title: str, text: str) -> None:
        """Show why there is no run; or, below its picture, why it could not go on."""
        with self._harmless():
            self.surface.show_error(title, text, started=self._painter is not None)

    def close(self) -> None:
        """Paint no more; of a run that ended without saying so, leave what was seen last."""
        if self._painter is not None and self.give_up():
            self._end()

    def _end(self) -> None:
        assert self._painter is not None
        assert self.picture is not None
        self._over.set()
        self._painter.join(timeout=5)
        with self._harmless():
            snapshot = self.snapshot()
            self.picture.end(snapshot)
            self._on_paint(snapshot)

    def _show(self, name: str) -> None:
        if name != HTML:
            try:
                self._show_as(name)
            except Exception as exc:  # noqa: BLE001  widgets are there, but not as we know them
                self.error = exc
            else:
                return
        self._show_as(HTML)

    def _show_as(self, name: str) -> None:
        snapshot = self.snapshot()
        self.picture = PICTURES[name](self.surface, self.cancelling, self.state_dir)
        self.picture.show(snapshot)
        self._on_paint(snapshot)

    def _paint_on(self) -> None:
        assert self.picture is not None
        rest, failures = PAINT_SECONDS, 0
        while failures < PATIENCE and not self._over.wait(rest):
            started = time.perf_counter()
            try:
                self.update_progress()
                snapshot = self.snapshot()
                self.picture.paint(snapshot)
                self._on_paint(snapshot)
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
