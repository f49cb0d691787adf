"""The request of an export: a project's plan, and the options of the command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odibi_nb.export.tasks import PROJECT

if TYPE_CHECKING:
    from pathlib import Path

    from odibi_nb.core.model.manifest import ProjectManifest
    from odibi_nb.core.planning.plan import RunPlan
    from odibi_nb.export.tasks import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportRequest:
    """Project and options of an export.

    Attributes:
        manifest: the project.
        plan: the plan of all its rows in `env`.
        env: environment that the exported tasks run by default.
        command: the command, for the first line of each file.
        split: ``project`` for one task, ``layer`` or ``row`` for one task for each of them.
        schedule: the five fields of a cron expression; () for none.
        out: folder of the files; None for the scheduler's usual place.
    """

    manifest: ProjectManifest
    plan: RunPlan
    env: str
    command: str
    split: str = PROJECT
    schedule: tuple[str, ...] = ()
    out: Path | None = None

    def run_words(self, task: Task) -> list[str]:
        """Return the words of the command that runs *task* in a shell, in the folder of the manifest.

        Each value is joined to its option in one word, because the value may begin with a dash.
        """
        program = ["python", "-m", "odibi_nb", "run"]
        part = [] if task.alone else [f"--part={task.key}"]  # tasks side by side may share a lake
        protected = self.manifest.environments.get(self.env, {}).get("protected")
        confirmed = ["--yes"] if protected else []
        where = ["--manifest", "manifest.json", f"--env={self.env}"]
        return [*program, *where, *part, *task.words, "--log-level", "INFO", *confirmed]
