"""The orchestrator with the adapters of this package, the user's settings and the rich displays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.manifest import ProjectManifest
from odibi_nb.core.running import orchestrator
from odibi_nb.settings import Setting, load_settings
from odibi_nb.views import rich_displays
from odibi_nb.wiring import default_adapters

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GenericProjectOrchestrator", "ProjectManifest"]

rich_displays.register()


class GenericProjectOrchestrator(orchestrator.Orchestrator):
    """A project opened in an environment, to plan, run and retry it.

    This is the core's `Orchestrator` with the package's adapters and the user's settings.

    Args:
        project: the project's name.
        env: the environment.
        *args: further positional arguments of `Orchestrator`.
        **keywords: further keyword arguments of `Orchestrator`: `manifest_path`, `log_level`,
            `engine`, `hooks`, `log_sink`, `auth_provider` …

    Raises:
        ManifestError: if no usable manifest is found, or the environment is unknown.
    """

    def __init__(self, project: str, env: str = "qat", *args: Any, **keywords: Any) -> None:
        self.settings = load_settings()
        keywords.setdefault("project_dirs", self.settings.project_dirs())
        keywords.setdefault("state_dir", self.settings.get("state_dir"))
        keywords["adapters"] = keywords.get("adapters") or default_adapters()
        super().__init__(project, env, *args, **keywords)

    def engine_name(self, argument: Any) -> Any:
        """Return the engine's name, as `engine_setting` finds it."""
        return self.engine_setting(argument).value

    def engine_setting(self, argument: Any = None) -> Setting:
        """Return the engine and its source: the argument, a setting, the manifest, or ``spark``."""
        default = orchestrator.DEFAULT_ENGINE
        return self.settings.resolve("engine", argument, self.config.engine, default)

    def with_settings(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Return *options*, with values from the settings for missing options."""
        names = ("max_workers", "on_error", "schedule")
        found = {name: self.settings.resolve(name, options.get(name)).value for name in names}
        return {**options, **found}
