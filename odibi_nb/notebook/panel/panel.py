"""A panel: choose, preview, run, watch, cancel and retry, by point and click."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from odibi_nb.core.model.events import DONE
from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.redaction import error_text
from odibi_nb.errors import ConfigurationError, OdibiError
from odibi_nb.notebook.panel.choices import Chosen
from odibi_nb.notebook.panel.fold import Fold, folded_text
from odibi_nb.notebook.panel.graph_clicks import rows_of_box
from odibi_nb.settings import load_settings
from odibi_nb.views.notices import error_html
from odibi_nb.views.run.outcome import outcome_html

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from odibi_nb.api import GenericProjectOrchestrator
    from odibi_nb.core.model.results import RunResult
    from odibi_nb.core.planning.plan import RunPlan
    from odibi_nb.notebook.live.background import BackgroundRun
    from odibi_nb.notebook.panel.choices import Choices

USES = (
    ("panel.result", "the whole RunResult; panel is your variable for this panel"),
    ("panel.result.to_frame()", "its run log as a DataFrame"),
    ("panel.result.transformations[…].log", "what one transformation printed and logged"),
)


class RunPanel:
    """Run projects by point and click.

    Evaluate the panel to display it, or put its `widget` into a layout. The buttons' actions are
    methods, too: `preview`, `run`, `cancel` and `retry`. None of them waits.

    Args:
        project: the project's name; by default from the settings, or the first found from here.
        env: the environment; by default from the settings, or the manifest's default.
        engine: ``pandas`` or ``spark``; the environment's if None.
        manifest_path: path of the manifest, if the panel should not search for it.

    Attributes:
        widget: the whole panel, as one widget of ipywidgets.
        plan: the plan of the last preview; None before the first preview, and if planning failed.
        result: the result of the last run; None before the first.
        last_run: the run in progress, or the last one; None before the first.

    Raises:
        ConfigurationError: if the project or environment does not exist.
        EngineNotAvailableError: if ipywidgets is not installed.
    """

    def __init__(
        self,
        project: str | None = None,
        env: str | None = None,
        *,
        engine: str | None = None,
        manifest_path: Path | str | None = None,
    ) -> None:
        from odibi_nb.engines.optional_imports import check_installed

        check_installed("the panel", "notebook", "ipywidgets")
        import ipywidgets as w

        from odibi_nb.notebook.panel.buttons import PanelButtons
        from odibi_nb.notebook.panel.cut_off import CutOffNotice
        from odibi_nb.notebook.panel.form import PanelForm
        from odibi_nb.notebook.panel.projects import projects_here
        from odibi_nb.notebook.panel.saved_outputs import KeptOutputs
        from odibi_nb.notebook.panel.tabs import PanelTabs

        self._settings = load_settings()
        projects, chosen = projects_here(project, manifest_path, self._settings)
        if env is not None:
            chosen.manifest.environment(env)
        self.plan: RunPlan | None = None
        self.result: RunResult | None = None
        self.last_run: BackgroundRun | None = None
        self._ran: Chosen | None = None
        self._plans = 0
        self._outputs = KeptOutputs()
        self._lock = threading.RLock()
        self._tabs = PanelTabs(self._toggle)
        self._buttons = PanelButtons(self.preview, self.run, self.cancel, self.retry)
        self._form = PanelForm(
            projects,
            (chosen, env, engine),
            self._settings,
            self._refresh,
            self._list_rows,
            self._choose_failed,
        )
        self._fold = Fold(self._form.widget)
        here = Chosen(self.choices, chosen.manifest.path)
        cut_off = CutOffNotice(lambda run_id: self._retry_run(run_id, here))
        cut_off.look(chosen.manifest.folder, chosen.manifest.project, self.choices.env)
        self.widget = w.VBox(
            [
                *(cut_off.widget, self._fold.widget, *self._buttons.controls),
                *(self._tabs.summary, self._tabs.widget),
            ]
        )
        self._refresh()
        self._list_rows()

    # -- state ---------------------------------------------------------------------------------

    @property
    def choices(self) -> Choices:
        """The current choices."""
        return self._form.choices()

    @property
    def command(self) -> str:
        """The command line, or the cell, that runs the chosen rows."""
        return self.choices.command()

    @property
    def running(self) -> bool:
        """True while a run of this panel is in progress."""
        return self.last_run is not None and self.last_run.running

    def __repr__(self) -> str:
        return f"<RunPanel: {self.command}>"

    def _ipython_display_(self) -> None:
        """Display the panel. A saved notebook keeps its last result or preview."""
        from IPython.display import display

        from odibi_nb.notebook.live.surfaces import widget_bundle

        display(widget_bundle(self.widget, repr(self)), raw=True)
        self._outputs.show(self.plan, self.result)

    # -- actions of the buttons ----------------------------------------------------------------

    def preview(self) -> threading.Thread:
        """Preview the run without changing anything. Return the thread that makes the plan."""
        from odibi_nb.notebook.panel.tabs import PREVIEW

        chosen = Chosen(self.choices, self._form.manifest.path)
        with self._lock:
            self._plans += 1
            number = self._plans
        self._tabs.open(PREVIEW)
        self._buttons.say(f"Planning {chosen.choices.name} …")
        return _aside(lambda: self._show_plan(chosen, number))

    def run(self) -> BackgroundRun:
        """Run the chosen rows. Return the new run, or the run that is already in progress."""
        choices = self.choices
        return self._start(
            Chosen(choices, self._form.manifest.path),
            lambda project: project.run(**choices.run_options()),
        )

    def retry(self) -> BackgroundRun:
        """Retry the unfinished rows of the last run and the rows that need them. Return the run.

        Project, environment, engine and options come from the last run, not from the current choices.

        Raises:
            ConfigurationError: if the panel has run nothing yet.
        """
        if self.result is None or self._ran is None:
            raise ConfigurationError("panel", ["nothing was run yet"])
        return self._retry_run(self.result.run_id, self._ran)

    def _retry_run(self, run_id: str, place: Chosen) -> BackgroundRun:
        """Retry the unfinished rows of a run, which this panel need not have started."""
        confirm = self.choices.confirm
        return self._start(place, lambda project: project.retry(run_id, confirm=confirm))

    def cancel(self, transformation_id: str | None = None) -> None:
        """Cancel the run, as `BackgroundRun.cancel` does."""
        if self.last_run is not None:
            self.last_run.cancel(transformation_id)
            self._refresh()

    def wait(self, timeout: float | None = None) -> RunResult:
        """Wait for the end of the last run, and return its result, as `BackgroundRun.wait` does.

        Raises:
            ConfigurationError: if the panel has run nothing yet.
        """
        if self.last_run is None:
            raise ConfigurationError("panel", ["nothing was run yet"])
        return self.last_run.wait(timeout)

    # -- runs and previews ---------------------------------------------------------------------

    def _start(
        self, chosen: Chosen, act: Callable[[GenericProjectOrchestrator], RunResult]
    ) -> BackgroundRun:
        from odibi_nb.notebook.live.background import BackgroundRun
        from odibi_nb.notebook.panel.projects import open_chosen
        from odibi_nb.notebook.panel.tabs import GANTT

        name = chosen.choices.name
        with self._lock:  # a second click may arrive before the first has disabled the button
            if self.last_run is not None and self.last_run.running:
                return self.last_run
            run = self.last_run = BackgroundRun(
                lambda: open_chosen(chosen),
                act,
                name,
                self._tabs.live_view(self._buttons.say),
                views=[self._tabs],
                on_requests=lambda _requests: self._refresh(),
                on_end=lambda result, error: self._ended(name, chosen, result, error),
            )
        self._buttons.say(f"Starting {name} …")
        self._tabs.start()
        self._tabs.open(GANTT)
        self._fold.fold(folded_text(chosen.choices, self._form.workers.value))
        self._form.confirm.value = ""  # each run needs a new confirmation
        self._refresh()
        return run.start()

    def _ended(self, name: str, chosen: Chosen, result: RunResult | None, error: str) -> None:
        """Show the result of a run, or why it could not run. Called on the run's thread."""
        from odibi_nb.notebook.panel.tabs import RESULT

        if result is None or self._form.protected:
            self._fold.unfold()
        if result is None:
            self._tabs.summary.children = ()
            self._tabs.result.value = error_html(f"{name} could not run", error)
            self._tabs.open(RESULT)
            self._buttons.say(f"{name} could not run.")
        elif not result.transformations:
            self._tabs.nothing(result.summary())
            self._buttons.say(result.summary())
        else:
            self.result, self._ran = result, chosen
            self._tabs.result.value = outcome_html(result, USES)
        self._refresh()
        self._outputs.update(self.plan, self.result)

    def _show_plan(self, chosen: Chosen, number: int) -> None:
        from odibi_nb.notebook.panel.projects import opened, rows_of
        from odibi_nb.views.plan.plan_html import plan_html

        plan, rows, choices = None, None, chosen.choices
        try:
            with opened(chosen) as orchestrator:
                plan = orchestrator.plan(**choices.plan_options())
                rows = rows_of(orchestrator)
            html, status_text = plan_html(plan, in_panel=True), _plan_text(plan)
        except Exception as exc:  # noqa: BLE001  otherwise the error would be lost
            html = error_html(f"{choices.name} cannot be planned", _why(exc))
            status_text = "No plan."
        with self._lock:
            if number != self._plans:
                return  # the user has started another preview
            self.plan = plan
            self._tabs.preview.value = html
            self._mark_chosen()
        if rows is not None and not self._form.rows.listed and choices.same_place(self.choices):
            self._form.rows.offer(rows)
        if not self.running:
            self._buttons.say(status_text)
        self._outputs.update(self.plan, self.result)

    def _list_rows(self) -> None:
        """Read the transformations of the chosen environment, and then offer them."""
        if self._form.environment.get("auth_provider"):
            return  # choosing a project should not require a login
        chosen = Chosen(self.choices, self._form.manifest.path)
        _aside(lambda: self._read_rows(chosen))

    def _read_rows(self, chosen: Chosen) -> None:
        from odibi_nb.notebook.panel.projects import opened, rows_of

        try:
            with opened(chosen) as orchestrator:
                rows = rows_of(orchestrator)
        except Exception as exc:  # noqa: BLE001  otherwise the error would be lost
            if chosen.choices.same_place(self.choices):
                self._form.rows.offer_none(_why(exc))
            return
        if chosen.choices.same_place(self.choices):
            self._form.rows.offer(rows)

    def _choose_failed(self) -> None:
        """Choose the unfinished rows of the last run of this panel, or show that none are known."""
        names = self._unfinished()
        self._buttons.say("" if names else "This panel has no run with unfinished rows.")
        if names:
            self._form.rows.choose(names)

    def _toggle(self, number: int) -> None:
        """Choose or drop the rows of a box of the preview's graph."""
        plan = self.plan
        if plan is not None:
            self._form.rows.toggle(rows_of_box(plan, number))

    def _mark_chosen(self) -> None:
        """Mark the boxes of the chosen rows in the preview's graph."""
        if self.plan is not None:
            self._tabs.clicked.mark(self.plan, self._form.rows.chosen)

    # -- appearance ----------------------------------------------------------------------------

    def _refresh(self) -> None:
        """Update the buttons, the command and the marks in the graph."""
        with self._lock:
            self._mark_chosen()
            run = self.last_run
            self._buttons.show(
                run.requests if run is not None and run.running else None,
                self.command,
                confirmed=self._form.confirmed,
                can_retry=bool(self._unfinished()),
            )

    def _unfinished(self) -> list[str]:
        """Return the unfinished rows of the last run, if it was in the chosen environment."""
        if self.result is None or self._ran is None:
            return []
        if not self._ran.choices.same_place(self.choices):
            return []
        rows = self.result.transformations
        return [name for name, row in rows.items() if row.status not in DONE]


def _aside(work: Callable[[], None]) -> threading.Thread:
    """Do *work* on another thread, so that the kernel can process messages after a click."""
    thread = threading.Thread(target=work, name="odibi-panel", daemon=True)
    thread.start()
    return thread


def _why(error: Exception) -> str:
    """Return the message of *error* for the user."""
    return str(error) if isinstance(error, OdibiError) else error_text(error)


def _plan_text(plan: RunPlan) -> str:
    """Return a one-line summary of a plan, for screen readers too."""
    if plan.problems:
        return f"{counted(len(plan.problems), 'problem')}: nothing will run."
    return f"{counted(len(plan.rows), 'transformation')} would run."
