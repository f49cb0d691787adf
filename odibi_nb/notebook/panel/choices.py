"""What was chosen in a panel: as options of a run, and as the command that says the same."""

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
    """What a panel's controls say; None and () stand for the default.

    Attributes:
        only: ids of the transformations that run; all if empty.
        overrides: constants, as in the body of ``%%odibi run``.
        manifest: its path, where the project's name does not find it.
        confirm: what was typed to confirm a run of a protected environment.
    """

    project: str
    env: str
    engine: str | None = None
    layers: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    schedule: str | None = None
    workers: int | None = None
    on_error: str | None = None
    overrides: str = ""
    manifest: str | None = None
    confirm: str = ""

    def same_place(self, other: Choices) -> bool:
        """Whether *other* is about the same project and environment."""
        mine = (self.project, self.env, self.manifest)
        return mine == (other.project, other.env, other.manifest)

    @property
    def name(self) -> str:
        """What would run, for people."""
        return f"{self.project} (env={self.env})"

    def plan_options(self) -> dict[str, Any]:
        """For `GenericProjectOrchestrator.plan`.

        Raises:
            ConfigurationError: if the overrides cannot be understood.
        """
        return {
            "target_layers": self.layers,
            "select": [exactly(name) for name in self.only],
            "overrides": overrides_from(self.overrides),
        }

    def run_options(self) -> dict[str, Any]:
        """For `GenericProjectOrchestrator.run`.

        Raises:
            ConfigurationError: if the overrides cannot be understood.
        """
        return {
            **self.plan_options(),
            "schedule": self.schedule,
            "max_workers": self.workers,
            "on_error": self.on_error,
            "confirm": self.confirm,
        }

    def command(self) -> str:
        """The line that runs the same, to copy; a whole cell where constants are overridden."""
        words = ["run"]
        # Two dashes: what follows is no option, whatever it looks like.
        project = ["--", self.project] if self.project.startswith("-") else []
        words += [] if project else [self.project]
        words += _option("--env", self.env)
        words += _option("--manifest", self.manifest)
        words += _option("--engine", self.engine)
        words += _option("--layers", *self.layers)
        words += _option("--only", *self.only)
        words += _option("--schedule", self.schedule)
        words += _option("--workers", self.workers)
        words += _option("--on-error", self.on_error)
        line = " ".join(map(quoted, [*words, *project]))
        body = self.overrides.strip()
        return f"%%odibi {line}\n{body}" if body else f"%odibi {line}"


class Chosen(NamedTuple):
    """Choices, and where the manifest of their project is."""

    choices: Choices
    path: Path | None


def _option(name: str, *values: object) -> list[str]:
    """An option and its values, as words; nothing if there is none."""
    found = [str(value) for value in values if value is not None]
    if len(found) == 1 and found[0].startswith("-"):
        return [f"{name}={found[0]}"]
    return [name, *found] if found else []
