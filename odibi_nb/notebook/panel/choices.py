"""The choices made in a panel, as options of a run and as the equivalent command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from odibi_nb.commands.running import overrides_from
from odibi_nb.core.planning.selection import exactly
from odibi_nb.notebook.line_words import quoted

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Choices:
    """The values of a panel's controls. None and () mean the default.

    Attributes:
        only: ids of the transformations that run; all if empty.
        atomic: True to roll all tables back if the run does not succeed.
        stale: True to run only rows that are not up to date.
        overrides: constants, as in the body of ``%%odibi run``.
        manifest: the manifest's path, if the project's name alone does not find it.
        confirm: the text typed to confirm a run of a protected environment.
    """

    project: str
    env: str
    engine: str | None = None
    layers: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    stale: bool = False
    schedule: str | None = None
    workers: int | None = None
    on_error: str | None = None
    atomic: bool | None = None
    overrides: str = ""
    manifest: str | None = None
    confirm: str = ""

    def same_place(self, other: Choices) -> bool:
        """Return True if *other* has the same project and environment."""
        mine = (self.project, self.env, self.manifest)
        return mine == (other.project, other.env, other.manifest)

    @property
    def name(self) -> str:
        """Project and environment, for display."""
        return f"{self.project} (env={self.env})"

    def plan_options(self) -> dict[str, Any]:
        """Return the options of `GenericProjectOrchestrator.plan`.

        Raises:
            ConfigurationError: if the overrides are not valid.
        """
        return {
            "target_layers": self.layers,
            "select": [exactly(name) for name in self.only],
            "overrides": overrides_from(self.overrides),
            "stale": self.stale or None,
        }

    def run_options(self) -> dict[str, Any]:
        """Return the options of `GenericProjectOrchestrator.run`.

        Raises:
            ConfigurationError: if the overrides are not valid.
        """
        return {
            **self.plan_options(),
            "schedule": self.schedule,
            "max_workers": self.workers,
            "on_error": self.on_error,
            "atomic": self.atomic,
            "confirm": self.confirm,
        }

    def command(self) -> str:
        """Return the equivalent command line, or a whole cell if constants are overridden."""
        words = ["run"]
        # After two dashes the parser takes no word for an option.
        project = ["--", self.project] if self.project.startswith("-") else []
        words += [] if project else [self.project]
        words += _option("--env", self.env)
        words += _option("--manifest", self.manifest)
        words += _option("--engine", self.engine)
        words += _option("--layers", *self.layers)
        words += _option("--only", *self.only)
        words += ["--stale"] if self.stale else []
        words += _option("--schedule", self.schedule)
        words += _option("--workers", self.workers)
        words += _option("--on-error", self.on_error)
        words += ["--atomic"] if self.atomic else []
        line = " ".join(map(quoted, [*words, *project]))
        body = self.overrides.strip()
        return f"%%odibi {line}\n{body}" if body else f"%odibi {line}"


class Chosen(NamedTuple):
    """The values of the controls, and the path of the project's manifest."""

    choices: Choices
    path: Path | None


def _option(name: str, *values: object) -> list[str]:
    """Return an option and its values as words; nothing without values."""
    found = [str(value) for value in values if value is not None]
    if len(found) == 1 and found[0].startswith("-"):
        return [f"{name}={found[0]}"]
    return [name, *found] if found else []
