"""A run on a thread of its own, so that cells and buttons answer while it goes on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from IPython.display import display

from odibi_nb.core.model.events import EventType, RunEvent
from odibi_nb.core.running.capture import CapturedLog, captured, routed_output
from odibi_nb.core.text.redaction import error_text
from odibi_nb.errors import OdibiError
from odibi_nb.views.notices import error_html, note_html
from odibi_nb.views.run.run_page import summary_html, summary_text
from odibi_nb.views.run.state import RunState

if TYPE_CHECKING:
    from collections.abc import Callable

    from odibi_nb.api import GenericProjectOrchestrator
    from odibi_nb.core.model.results import RunResult
    from odibi_nb.core.planning.plan import RunPlan
    from odibi_nb.notebook.live.reserved_displays import PlacedView


class BackgroundRun:
    """A run that goes on beside the cells; what ``%odibi run … --background`` returns.

    Args:
        open_project: makes the project; called on the run's thread.
        act: what the project shall do: run, or retry.
        name: what is run, for people: project and environment.
        view: shows the run.
        when_over: called on the run's thread after all else.

    Attributes:
        error: why it could not run, or not go on; "" if it could.
    """

    def __init__(
        self,
        open_project: Callable[[], GenericProjectOrchestrator],
        act: Callable[[GenericProjectOrchestrator], RunResult],
        name: str,
        view: PlacedView | None = None,
        when_over: Callable[[BackgroundRun], None] = lambda _run: None,
    ) -> None:
        self.name = name
        self.error = ""
        self._asked = 0
        self._open_project = open_project
        self._act = act
        self._view = view
        self._when_over = when_over
        self._state: RunState = view if view is not None else RunState()
        self._raised: BaseException | None = None
        self._result: RunResult | None = None
        self._said = CapturedLog()
        self._project: GenericProjectOrchestrator | None = None
        self._unheard: list[str | None] = []
        self._displays: list[Any] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._told = threading.Event()
        self._thread = threading.Thread(target=self._work, name="odibi-run", daemon=True)

    def start(self) -> BackgroundRun:
        """Begin; once."""
        if self._view is not None:
            self._view.watch(self)
        self._thread.start()
        return self

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return not self._over.is_set()

    @property
    def requests(self) -> int:
        """How often the whole run was asked to end, from here or from elsewhere."""
        return max(self._asked, self._state.snapshot().cancel_level)

    @property
    def result(self) -> RunResult | None:
        """How it ended; None while it goes on, and if it could not run."""
        return self._result

    @property
    def log(self) -> str:
        """What the run said, and what was printed besides the output of its transformations."""
        return self._said.text()

    def wait(self, timeout: float | None = None) -> RunResult:
        """How it ended, once it has.

        Raises:
            TimeoutError: if it still goes on after *timeout* seconds.
            OdibiError: if it could not run.
        """
        if not self._told.wait(timeout):
            raise TimeoutError(f"{self.name} still goes on")
        if self._result is None:
            assert self._raised is not None
            raise self._raised
        return self._result

    def cancel(self, transformation_id: str | None = None) -> None:
        """Ask for the end of the run, or of one transformation; from any thread, at any time.

        For a run, the first request starts nothing new, the second refuses the writes of what runs,
        the third waits for nothing. A run that is still being planned hears it when it begins.
        """
        with self._lock:
            if not self.running:
                return
            if transformation_id is None:
                self._asked = self.requests + 1
            if self._project is None or not self._project.cancel(transformation_id):
                self._unheard.append(transformation_id)

    def __repr__(self) -> str:
        return f"<BackgroundRun of {self.name}: {self._standing()}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """While it goes on, how it stands and how to end it; then its result, or why there is none."""
        if self._result is not None:
            return self._result._repr_mimebundle_(include, exclude)
        if self.error:
            html = error_html(f"{self.name} could not run", self.error)
        else:
            html = summary_html(self._state.snapshot()) + note_html(self.how_to_end())
        live = self._view.live_bundle() if self._view is not None and self.running else {}
        return {**live, "text/html": html, "text/plain": repr(self)}

    def _ipython_display_(self) -> None:
        """Display it, and let its end change what is displayed."""
        shown = display(self._repr_mimebundle_(), raw=True, display_id=True)
        self._displays.append(shown)
        if not self.running:
            shown.update(self._repr_mimebundle_(), raw=True)

    def how_to_end(self) -> str:
        """What to type to end the run."""
        run_id = self._state.snapshot().run_id
        return f"In the background: other cells run meanwhile. To end it: %odibi cancel {run_id}"

    def _standing(self) -> str:
        if self._result is not None:
            return self._result.summary()
        if self.error:
            return f"could not run: {self.error}"
        return f"{summary_text(self._state.snapshot())}. {self.how_to_end()}"

    # -- on the run's thread -------------------------------------------------------------------

    def _work(self) -> None:
        try:
            # Listeners and modules print, too; on a thread that would land in whichever cell ran last.
            with routed_output(), captured(self._said):
                project = self._open_project()
                if self._view is not None:
                    self._view.state_dir = project.state_dir
                project.views += [self._state, _Ear(self._heard, self._hears, self._happens)]
                self._project = project
                self._result = self._act(project)
        except OdibiError as exc:
            self._raised, self.error = exc, str(exc)
        except BaseException as exc:  # noqa: BLE001  nobody else would ever hear of it
            self._raised, self.error = exc, error_text(exc)
        finally:
            try:
                self._draw_the_end()
            finally:
                self._over.set()
                try:
                    self._tell()
                finally:
                    self._told.set()

    def _heard(self) -> None:
        """From now on the run can be asked to end."""
        with self._lock:
            assert self._project is not None
            for transformation_id in self._unheard:
                self._project.cancel(transformation_id)
            self._unheard.clear()

    def _hears(self, text: str) -> None:
        """The run says *text*."""
        self._said.write(f"{text}\n")

    def _happens(self, event: RunEvent) -> None:
        """Show that the run was asked to end, whoever asked."""
        if event.type is EventType.RUN_CANCEL_REQUESTED and self._view is not None:
            self._view.watch(self)

    def _draw_the_end(self) -> None:
        if self._view is None:
            return
        self._view.close()
        if self._result is not None:
            self._view.add_details(self._result)
        if self.error:
            self._view.fail(f"{self.name} could not run", self.error)

    def _tell(self) -> None:
        """Let whatever shows this run know that it is over."""
        if self._view is not None:
            self._view.watch(self)
        for shown in self._displays:
            shown.update(self._repr_mimebundle_(), raw=True)
        self._when_over(self)


class _Ear:
    """A view that tells when the run can be asked to end, what it says, and what happens in it."""

    def __init__(
        self,
        begins: Callable[[], None],
        says: Callable[[str], None],
        happens: Callable[[RunEvent], None],
    ) -> None:
        self._begins = begins
        self._says = says
        self._happens = happens

    def on_plan(self, plan: RunPlan) -> None:
        del plan
        self._begins()

    def on_event(self, event: RunEvent) -> None:
        self._happens(event)

    def on_output(self, transformation_id: str, line: str) -> None:
        pass

    def on_message(self, level: str, text: str) -> None:
        del level
        self._says(text)
