"""A live run in a cell's output, painted by one thread at most four times a second."""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from odibi_nb.core.functions.modules import reloaded_text
from odibi_nb.core.model.events import EventType, RunEvent
from odibi_nb.core.text.counts import counted
from odibi_nb.notebook.environment import HTML, PLOTLY, WIDGETS
from odibi_nb.notebook.live.libraries import LIBRARIES, MODULES
from odibi_nb.notebook.live.pictures import PICTURES
from odibi_nb.notebook.live.surfaces import CellOutputs
from odibi_nb.views.run.bundles import table_bundle
from odibi_nb.views.run.kept_picture import NOTHING, kept_picture
from odibi_nb.views.run.state import RunState

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
FIRST_SECONDS = 0.02
"""Seconds from the plan to the first picture, in which the run starts its first rows."""
KEEP_SECONDS = 10.0
"""Seconds between two pictures for a page that is reloaded. JupyterLab saves a notebook every two minutes."""
LEARN_SECONDS = 0.3
"""Seconds from the start of a run until its view reads the usual durations: the picture comes first."""
PATIENCE = 5
"""Number of failures in a row after which painting stops. A single failure can be chance,
for example with a half-imported library.
"""
PAINT_SHARE = 4
"""Minimum pause after painting, as a multiple of the time that painting took."""


class LiveView(RunState):
    """A view that shows a live run as a picture on a surface.

    Painting never fails a run. If painting stops, `error` holds the reason.

    Args:
        choose: returns a key of `PICTURES` for a number of rows; called once per run.
        surface: where to show the run; by default in outputs of the cell that starts it.
        on_paint: called with every painted snapshot, on the thread that paints.

    Attributes:
        cancelling: the way to cancel the run from its picture; must be set before the run begins.
        state_dir: the folder of the project's journals, with the logs of rows; must also
            be set before the run begins.
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
        self._shown = self._refused = ""
        self._table_missing = self._keeps = False
        self._kept = 0.0

    def announce(self, text: str) -> None:
        """Show *text* until the plan is made. Call it on the thread of the cell."""
        with self._harmless():
            self.surface.announce(text)

    @property
    def planned(self) -> bool:
        """True once the run has a plan, and so a picture."""
        return self._painter is not None

    def on_plan(self, plan: RunPlan) -> None:
        """Start the thread that draws the run. The run does not wait for its picture."""
        super().on_plan(plan)
        self.picture, self._shown, self._refused = None, "", ""
        count = len(plan.rows)
        with self._harmless():
            self.surface.reserve(f"{counted(count, 'row')} planned, starting")
        # Chosen here: on another thread, the kernel does not know which front end asked.
        name = self._choose(count)
        self._keeps, self._kept = name in MODULES, time.monotonic()
        if self._keeps:
            with self._harmless():
                self.surface.keep(NOTHING)
        self._over.clear()
        self._painter = threading.Thread(
            target=self._paint_on, args=(name,), name="odibi-painter", daemon=True
        )
        self._painter.start()
        # After the first picture, and on a thread of its own: the log may be large, or far away.
        if self.usual is not None:
            threading.Thread(target=self._learn, name="odibi-usual", daemon=True).start()

    def on_event(self, event: RunEvent) -> None:
        """Record the event. After the last one, leave the bundles for the saved notebook."""
        super().on_event(event)
        if event.type is EventType.MODULES_RELOADED:
            print(reloaded_text(event.payload["modules"]))  # the picture shows no modules
        if event.type is EventType.RUN_END and self._painter is not None:
            self._end()

    def add_details(self, result: RunResult) -> None:
        """Show the final table, with the tracebacks and logs that only *result* contains."""
        if self.picture is None:
            return
        with self._harmless():
            snapshot = replace(self.snapshot(), warnings=tuple(result.warnings))
            self.surface.show_table(table_bundle(snapshot, result, self.picture.unfolded))
            self._table_missing = False

    def fail(self, title: str, text: str) -> None:
        """Show why the run could not start. If it had started, show below its picture why it could not continue."""
        with self._harmless():
            self.surface.show_error(title, text, started=self._painter is not None)

    def close(self) -> None:
        """Stop painting. If the run has no last event or no result, show the facts that are known.

        Call `add_details` first, because the table that this method shows has no tracebacks and no logs.
        """
        if self._painter is not None and self.give_up():
            self._end()
        if self._table_missing:
            self._table_missing = False
            with self._harmless():
                self.surface.show_table(table_bundle(self.snapshot()))

    def leave(self) -> None:
        """Stop painting a run that is still in progress, and leave its last state visible."""
        if self._painter is None or not self.snapshot().live:
            return
        self._end()
        self._table_missing = False
        with self._harmless():
            self.surface.show_table(table_bundle(self.snapshot()))

    def _end(self) -> None:
        assert self._painter is not None
        self._over.set()
        self._painter.join(timeout=5)
        with self._harmless():
            snapshot = self.snapshot()
            if self.picture is None:  # the run was over before its first picture
                self.picture = self._picture(HTML)
            # Replaced once, by `add_details` or `close`: each replacement moves the cells below.
            self._table_missing = True
            self.picture.end(snapshot)
            if self._keeps:
                self.surface.keep(NOTHING)
            self._on_paint(snapshot)

    def _learn(self) -> None:
        if not self._over.wait(LEARN_SECONDS):
            self.learn_usual()

    def _paint_on(self, name: str) -> None:
        rest, failures = FIRST_SECONDS, 0
        while failures < PATIENCE and not self._over.wait(rest):
            started = time.perf_counter()
            try:
                self.update_progress()
                self._paint(name)
                self._keep()
            except Exception as exc:  # noqa: BLE001  a failed picture must not fail the run
                self.error = exc
                failures += 1
            else:
                failures = 0
            rest = max(PAINT_SECONDS, PAINT_SHARE * (time.perf_counter() - started))

    def _paint(self, name: str) -> None:
        """Draw the run once: in the form *name*, or as HTML until the library for that form is imported."""
        snapshot = self.snapshot()
        if name in MODULES and name != self._refused:
            LIBRARIES.fetch(*(WIDGETS, name) if name == PLOTLY else (name,))
            name = name if LIBRARIES.ready(WIDGETS) else HTML
        elif name == self._refused:
            name = HTML
        if self.picture is None or name != self._shown:
            self._show(name, snapshot)
        else:
            self.picture.paint(snapshot)
            self.error = None
        self._on_paint(snapshot)

    def _keep(self) -> None:
        """From time to time, store the whole picture for a page that loses its widgets."""
        now = time.monotonic()
        if self._keeps and self._shown in MODULES and now - self._kept >= KEEP_SECONDS:
            self._kept = now
            self.surface.keep(kept_picture(self.snapshot()))

    def _show(self, name: str, snapshot: RunSnapshot) -> None:
        picture, error = self._picture(name), None
        try:
            picture.show(snapshot)
        except Exception as exc:
            if name == HTML:
                raise
            # These widgets may differ from the ones that this package knows.
            self._refused, error = name, exc
            name, picture = HTML, self._picture(HTML)
            picture.show(snapshot)
        self.picture, self._shown, self.error = picture, name, error

    def _picture(self, name: str) -> Picture:
        return PICTURES[name](self.surface, self.cancelling, self.state_dir)

    @contextlib.contextmanager
    def _harmless(self) -> Iterator[None]:
        try:
            yield
        except Exception as exc:  # noqa: BLE001  a failed picture must not fail the run
            self.error = exc
