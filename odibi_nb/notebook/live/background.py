"""A run on its own thread, so that cells and buttons respond while it runs."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from IPython.display import display

from odibi_nb.core.model.events import EventType, RunEvent
from odibi_nb.core.protocols import View
from odibi_nb.core.running.capture import CapturedLog, captured, routed_output
from odibi_nb.core.text.redaction import error_text
from odibi_nb.errors import OdibiError
from odibi_nb.notebook.environment import HTML
from odibi_nb.notebook.live.cancel_button import EndButton
from odibi_nb.notebook.live.surfaces import ReservedOutputs, reserved_html
from odibi_nb.notebook.live.view import LiveView
from odibi_nb.views.notices import error_html, note_html
from odibi_nb.views.run.head import head_html
from odibi_nb.views.run.run_page import summary_text
from odibi_nb.views.run.state import RunState

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from odibi_nb.api import GenericProjectOrchestrator
    from odibi_nb.core.model.results import RunResult
    from odibi_nb.core.planning.plan import RunPlan


class BackgroundRun:
    """A run in the background, as ``%odibi run … --background`` returns it.

    Args:
        open_project: opens the project; called on the run's thread.
        act: runs or retries the project.
        name: project and environment, for display.
        view: shows the run.
        views: more views of the run.
        on_requests: called when the run starts, is asked to cancel, or ends. Gets the number of cancel
            requests; None if the run is over.
        on_end: called last, on the run's thread. Gets the result (None without one) and the reason why
            the run could not start or continue.

    Attributes:
        error: the reason why the run could not start or continue; "" if it could.
    """

    def __init__(
        self,
        open_project: Callable[[], GenericProjectOrchestrator],
        act: Callable[[GenericProjectOrchestrator], RunResult],
        name: str,
        view: LiveView | None = None,
        views: Sequence[View] = (),
        on_requests: Callable[[int | None], None] = lambda _requests: None,
        on_end: Callable[[RunResult | None, str], None] = lambda _result, _error: None,
    ) -> None:
        self.name = name
        self.error = ""
        self._requested = 0
        self._open_project = open_project
        self._act = act
        self._view = view
        self._views = views
        self._on_requests = on_requests
        self._on_end = on_end
        self._state: RunState = view if view is not None else RunState()
        self._raised: BaseException | None = None
        self._result: RunResult | None = None
        self._log = CapturedLog()
        self._project: GenericProjectOrchestrator | None = None
        self._early_requests: list[str | None] = []
        self._displays: list[Any] = []
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._shown = threading.Event()
        self._thread = threading.Thread(target=self._work, name="odibi-run", daemon=True)

    def start(self) -> BackgroundRun:
        """Start the run. Call it only once."""
        self._on_requests(0)
        self._thread.start()
        return self

    @property
    def running(self) -> bool:
        """True while the run is in progress."""
        return not self._over.is_set()

    @property
    def requests(self) -> int:
        """Number of requests to cancel the whole run, from here or from elsewhere."""
        return max(self._requested, self._state.snapshot().cancel_level)

    @property
    def result(self) -> RunResult | None:
        """The result of the run; None while it is in progress, and if it could not run."""
        return self._result

    @property
    def log(self) -> str:
        """Messages of the run and printed output, without the output of its transformations."""
        return self._log.text()

    def wait(self, timeout: float | None = None) -> RunResult:
        """Wait for the end of the run, and return its result.

        Raises:
            TimeoutError: if the run is still in progress after *timeout* seconds.
            OdibiError: if the run could not start or continue.
        """
        if not self._shown.wait(timeout):
            raise TimeoutError(f"{self.name} is still in progress")
        if self._result is None:
            assert self._raised is not None
            raise self._raised
        return self._result

    def cancel(self, transformation_id: str | None = None) -> None:
        """Cancel the run, or one transformation. Any thread can call this at any time.

        For a run, the first request starts no new row, the second blocks the writes of running rows,
        and the third abandons them. A run that is still in planning gets the requests when it begins.
        """
        with self._lock:
            if not self.running:
                return
            if transformation_id is None:
                self._requested = self.requests + 1
            if self._project is None or not self._project.cancel(transformation_id):
                self._early_requests.append(transformation_id)
        if transformation_id is None:
            self._show_requests()

    def __repr__(self) -> str:
        return f"<BackgroundRun of {self.name}: {self._status_text()}>"

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        """Show the progress and how to cancel; after the end, the result or the error."""
        if self._result is not None:
            return self._result._repr_mimebundle_(include, exclude)
        if self.error:
            html = error_html(f"{self.name} could not run", self.error)
        else:
            html = head_html(self._state.snapshot()) + note_html(self.how_to_end())
        live = self._view.surface.live_bundle() if self._view is not None and self.running else {}
        return {**live, "text/html": html, "text/plain": repr(self)}

    def _ipython_display_(self) -> None:
        """Display the run. The display is updated at the end of the run."""
        shown = display(self._repr_mimebundle_(), raw=True, display_id=True)
        self._displays.append(shown)
        if not self.running:
            shown.update(self._repr_mimebundle_(), raw=True)

    def how_to_end(self) -> str:
        """Return a note with the command that cancels the run."""
        run_id = self._state.snapshot().run_id
        return f"Running in the background: you can run other cells. To cancel the run: %odibi cancel {run_id}"

    def _status_text(self) -> str:
        if self._result is not None:
            return self._result.summary()
        if self.error:
            return f"could not run: {self.error}"
        return f"{summary_text(self._state.snapshot())}. {self.how_to_end()}"

    # -- on the run's thread -------------------------------------------------------------------

    def _work(self) -> None:
        try:
            # Listeners and modules print, too. From a thread, that would appear in the last cell run.
            with routed_output(), captured(self._log):
                orchestrator = self._open_project()
                orchestrator.views += [
                    *self._views,
                    self._state,
                    _RunView(self._on_begin, self._log, self._show_requests),
                ]
                self._project = orchestrator
                self._result = self._act(orchestrator)
        except OdibiError as exc:
            self._raised, self.error = exc, str(exc)
        except BaseException as exc:  # noqa: BLE001  otherwise the error would be lost
            self._raised, self.error = exc, error_text(exc)
        finally:
            try:
                self._draw_the_end()
            finally:
                with self._lock:
                    self._over.set()
                    # A notebook may keep this object: it must not keep the project with its plan.
                    self._project = None
                    del self._open_project, self._act
                try:
                    self._show_the_end()
                finally:
                    self._shown.set()

    def _on_begin(self) -> None:
        """Pass on the cancel requests that arrived before the run could accept them."""
        with self._lock:
            assert self._project is not None
            for transformation_id in self._early_requests:
                self._project.cancel(transformation_id)
            self._early_requests.clear()

    def _show_requests(self) -> None:
        self._on_requests(self.requests if self.running else None)

    def _draw_the_end(self) -> None:
        if self._view is None:
            return
        if self._result is not None:
            self._view.add_details(self._result)
        self._view.close()
        if self.error:
            self._view.fail(f"{self.name} could not run", self.error)

    def _show_the_end(self) -> None:
        """Update everything that shows this run."""
        self._show_requests()
        for shown in self._displays:
            shown.update(self._repr_mimebundle_(), raw=True)
        self._on_end(self._result, self.error)


class _RunView(View):
    """A view that calls functions, and collects the messages of the run.

    Args:
        begin: called once the run can be cancelled.
        log: gets each message of the run.
        cancel_requested: called when the run is asked to cancel.
    """

    def __init__(
        self, begin: Callable[[], None], log: CapturedLog, cancel_requested: Callable[[], None]
    ) -> None:
        self._begin = begin
        self._log = log
        self._cancel_requested = cancel_requested

    def on_plan(self, plan: RunPlan) -> None:
        del plan
        self._begin()

    def on_event(self, event: RunEvent) -> None:
        if event.type is EventType.RUN_CANCEL_REQUESTED:
            self._cancel_requested()

    def on_output(self, transformation_id: str, line: str) -> None:
        pass

    def on_message(self, level: str, text: str) -> None:
        del level
        self._log.write(f"{text}\n")


def run_in_cell(
    orchestrator: GenericProjectOrchestrator,
    act: Callable[[GenericProjectOrchestrator], RunResult],
    name: str,
    choose: Callable[[int], str],
) -> BackgroundRun:
    """Start a background run that is shown in the outputs of the cell.

    Args:
        orchestrator: runs the project.
        act: as `BackgroundRun`'s.
        name: as `BackgroundRun`'s.
        choose: as `LiveView`'s.
    """
    if choose(0) == HTML:
        view = LiveView(lambda _rows: HTML, reserved_html())
        return BackgroundRun(lambda: orchestrator, act, name, view).start()

    def cancel() -> None:
        run.cancel()

    button = EndButton(cancel)
    view = LiveView(choose, ReservedOutputs(button.widget))
    view.state_dir, view.usual = orchestrator.state_dir, orchestrator.usual
    run = BackgroundRun(lambda: orchestrator, act, name, view, on_requests=button.follow)
    return run.start()
