"""A panel's controls: the project, the rows to run, and the options of the run."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from odibi_nb.core.model.engine import ENGINES
from odibi_nb.core.model.options import RunOptions, default_workers
from odibi_nb.core.running.orchestrator import DEFAULT_ENGINE
from odibi_nb.notebook.labels import labelled
from odibi_nb.notebook.panel.choices import Choices
from odibi_nb.notebook.panel.layers import LayerBoxes
from odibi_nb.notebook.panel.presets import FAILED, FROM, STALE, Presets
from odibi_nb.notebook.panel.rows import NOT_LISTED, RowChooser

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from odibi_nb.core.model.manifest import ProjectManifest
    from odibi_nb.settings import Settings


MORE, LESS = "More", "Less"


class Project(NamedTuple):
    """A project to choose. *path* is given if the name alone does not find the project."""

    label: str
    manifest: ProjectManifest
    path: str | None = None


class PanelForm:
    """The controls, and their values as `Choices`.

    Args:
        projects: the projects to choose from.
        start: the project, environment and engine chosen at first; None for a default.
        settings: the source of defaults.
        changed: called after every change, on the thread that made it.
        place_changed: called before *changed* if the project or the environment changed.
        choose_failed: chooses the unfinished rows of the last run.
    """

    def __init__(
        self,
        projects: Iterable[Project],
        start: tuple[Project, str | None, str | None],
        settings: Settings,
        changed: Callable[[], None],
        place_changed: Callable[[], None],
        choose_failed: Callable[[], None],
    ) -> None:
        import ipywidgets as w

        self._projects = {project.label: project for project in projects}
        self._settings = settings
        self._changed = changed
        self._place_changed = place_changed
        self._choose_failed = choose_failed
        self._filling = False
        self._offered_workers = 1
        self._lock = threading.RLock()
        self.project = labelled(
            w.Dropdown(options=list(self._projects)), "Project", "Project to run"
        )
        self.env = labelled(
            w.Dropdown(), "Environment", "Place of the run: its registry, lake and engine"
        )
        self.engine = labelled(w.Dropdown(), "Engine", "Library that reads and writes the tables")
        self.layers = LayerBoxes(changed)
        self.rows = RowChooser(changed)
        self.schedule = labelled(
            w.Dropdown(
                options=[
                    ("layer by layer", "layers"),
                    ("each row when its inputs exist", "graph"),
                ],
                value=self._default("schedule", RunOptions().schedule),
            ),
            "Schedule",
            "Order of the rows",
        )
        self.workers = labelled(
            w.BoundedIntText(value=self._offered_workers, min=1, max=1000),
            "Workers",
            "Number of transformations that run at a time",
        )
        self.on_error = labelled(
            w.Dropdown(
                options=[
                    ("run the others", "continue"),
                    ("start no more rows", "stop"),
                ],
                value=self._default("on_error", RunOptions().on_error),
            ),
            "On error",
            "Effect of a failed transformation on the others",
        )
        self.atomic = labelled(
            w.Dropdown(
                options=[
                    ("keep what succeeded", False),
                    ("roll all tables back", True),
                ],
                value=False,
            ),
            "If it fails",
            "Tables that the run wrote before it failed or was cancelled",
        )
        self.stale = w.Checkbox(
            value=False,
            description="Only stale rows",
            tooltip="Run only rows that are not up to date, and rows that need their new data",
            indent=False,
        )
        self.overrides = labelled(
            w.Textarea(placeholder="[SILVER_001]\ndrop_nulls = false", rows=5),
            "Constants",
            "Other constants for this run, as TOML: the transformation's id in brackets, then its constants",
        )
        self.presets = Presets(self._on_preset)
        self.more = w.Button(
            description=MORE,
            icon="caret-right",
            tooltip="Show or hide schedule, errors and constants",
            layout=w.Layout(width="max-content", margin="2px 0 2px 98px"),
        )
        self.more.on_click(lambda _button: self._show_more(self._rest.layout.display == "none"))
        self.confirm = labelled(
            w.Text(placeholder="the project's name"),
            "Confirm",
            "This environment is protected: type the project's name to run it",
        )
        self._rest: Any = None
        self.widget: Any = self._laid_out()
        self._begin(*start)
        for control in (self.project, self.env):
            control.observe(self._on_place, names="value")
        for control in (
            *(self.engine, self.schedule, self.workers, self.on_error, self.atomic),
            *(self.stale, self.overrides, self.confirm),
        ):
            control.observe(self._on_change, names="value")

    @property
    def manifest(self) -> ProjectManifest:
        """The manifest of the chosen project."""
        return self._projects[self.project.value].manifest

    @property
    def environment(self) -> dict[str, Any]:
        """The chosen environment, as the manifest contains it."""
        found: dict[str, Any] = self.manifest.environments.get(self.env.value, {})
        return found

    @property
    def protected(self) -> bool:
        """True if a run of the chosen environment needs a confirmation."""
        return bool(self.environment.get("protected"))

    @property
    def confirmed(self) -> bool:
        """True if a run may begin, because it needs no confirmation or has it."""
        return not self.protected or self.confirm.value.strip() == self.manifest.project

    def choices(self) -> Choices:
        """Return the current values of the controls."""
        project = self._projects[self.project.value]
        return Choices(
            project=project.manifest.project,
            env=self.env.value,
            engine=self.engine.value or None,
            layers=self.layers.chosen,
            only=self.rows.chosen,
            stale=self.stale.value,
            schedule=self._unless_default("schedule", self.schedule.value, RunOptions().schedule),
            workers=self._unless_default("max_workers", self.workers.value, self._usual_workers()),
            on_error=self._unless_default("on_error", self.on_error.value, RunOptions().on_error),
            atomic=self.atomic.value or None,
            overrides=self.overrides.value,
            manifest=project.path,
            confirm=self.confirm.value.strip(),
        )

    # -- offers of the controls ----------------------------------------------------------------

    def _begin(self, project: Project, env: str | None, engine: str | None) -> None:
        self.project.value = project.label
        self._offer_place()
        if env is not None:
            self.env.value = env
            self._offer_engines()
        self.engine.value = engine or ""
        self._offer_workers()

    def _default(self, name: str, default: Any) -> Any:
        return self._settings.resolve(name, default=default).value

    def _usual_workers(self) -> int:
        """Return the default number of workers for the chosen engine."""
        engine = self.engine.value or self._own_engine()
        workers: int = self._default("max_workers", default_workers(engine))
        return workers

    def _own_engine(self) -> str:
        """Return the default engine of the chosen environment."""
        own = self.environment.get("engine")
        name: str = self._settings.resolve("engine", None, own, DEFAULT_ENGINE).value
        return name

    def _offer_workers(self) -> None:
        """Show the engine's default number of workers, unless the user has chosen a number."""
        usual = self._usual_workers()
        if self.workers.value == self._offered_workers:
            self.workers.value = usual
        self._offered_workers = usual

    def _unless_default(self, name: str, value: Any, default: Any) -> Any:
        """Return None if *value* is the default, otherwise *value*."""
        return None if value == self._default(name, default) else value

    def _offer_place(self) -> None:
        """Offer the environments, layers and engines of the chosen project."""
        manifest, before = self.manifest, self.env.value
        envs = list(manifest.environments) or [manifest.default_env or "qat"]
        preferred = [before, self._default("env", None), manifest.default_env, "qat", envs[0]]
        self.env.options = envs
        self.env.value = next(env for env in preferred if env in envs)
        self.layers.offer(manifest.layer_order)
        self.presets.offer(manifest.layer_order)
        self._offer_engines()

    def _offer_engines(self) -> None:
        before = self.engine.value or ""
        self.engine.options = [
            (f"default ({self._own_engine()})", ""),
            *((name, name) for name in ENGINES),
        ]
        self.engine.value = before
        self.confirm.value = ""
        self.confirm.layout.display = None if self.protected else "none"

    # -- changes of the controls ---------------------------------------------------------------

    def _on_change(self, change: Any) -> None:
        if self._filling:
            return
        if change["owner"] is self.engine:
            self._filling = True
            try:
                self._offer_workers()
            finally:
                self._filling = False
        self._changed()

    def _on_place(self, change: Any) -> None:
        if self._filling:
            return
        with self._lock:
            self._filling = True
            try:
                if change["owner"] is self.project:
                    self._offer_place()
                else:
                    self._offer_engines()
                self._offer_workers()
            finally:
                self._filling = False
        self.rows.offer_none(NOT_LISTED)
        self._place_changed()
        self._changed()

    def _laid_out(self) -> Any:
        import ipywidgets as w

        place = (self.project, self.env, self.engine, self.workers, self.layers.widget)
        columns = (
            (*place, self.more, self.confirm),
            (self.presets.widget, *self.rows.controls, self.stale),
            (self.schedule, self.on_error, self.atomic, self.overrides),
        )
        boxes = [w.VBox(column, layout=w.Layout(margin="0 12px 0 0")) for column in columns]
        # Long ids need space, so the list of transformations uses all free width.
        boxes[1].layout.flex, boxes[1].layout.max_width = "1 1 240px", "480px"
        self.stale.layout.margin, self.stale.layout.width = "2px 0 2px 98px", "auto"
        self._rest = boxes[2]
        self._show_more(False)
        return w.HBox(boxes, layout=w.Layout(flex_flow="row wrap", align_items="flex-start"))

    def _show_more(self, shown: bool) -> None:
        self._rest.layout.display = None if shown else "none"
        self.more.description = LESS if shown else MORE
        self.more.icon = "caret-down" if shown else "caret-right"

    def _on_preset(self, preset: str) -> None:
        """Choose the rows of *preset*, and drop every other choice of rows."""
        if preset == FAILED:
            self._choose_failed()
            return
        with self._lock:
            self._filling = True
            try:
                self.stale.value = preset == STALE
                self.layers.choose_all()
                if preset.startswith(FROM):
                    self.layers.choose_from(preset[len(FROM) :])
            finally:
                self._filling = False
        self.rows.choose(())
        self._changed()
