"""``export``: write the files with which another scheduler runs a project."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from odibi_nb.commands.opening import environment_name, open_manifest, opened
from odibi_nb.export.airflow import airflow_files
from odibi_nb.export.databricks import databricks_files, places_that_jobs_lose
from odibi_nb.export.exported_files import differences, write_all
from odibi_nb.export.github_actions import github_files
from odibi_nb.export.request import ExportRequest
from odibi_nb.export.schedules import checked_cron

if TYPE_CHECKING:
    import argparse

    from odibi_nb.commands.face import Face

FORMATS = {
    "databricks": databricks_files,
    "airflow": airflow_files,
    "github-actions": github_files,
}


@dataclass(frozen=True, slots=True)
class ExportReport:
    """Lines about the files of an export.

    Attributes:
        lines: one line for each file, then notes.
        exit_code: 1 if ``--check`` found a difference, else 0.
    """

    lines: tuple[str, ...]
    exit_code: int = 0

    def __str__(self) -> str:
        return "\n".join(self.lines)

    __repr__ = __str__


def export(arguments: argparse.Namespace, face: Face) -> ExportReport:
    """Write the files of an export, or with ``--check`` compare them with the files on disk.

    Raises:
        PlanError: if the project could not run.
        ConfigurationError: if the scheduler would not accept the project, or a file was changed by hand.
    """
    del face
    schedule = checked_cron(arguments.schedule) if arguments.schedule else ()
    request = _request(arguments, schedule)
    files = FORMATS[arguments.format](request)
    if arguments.check:
        found = differences(files)
        lines = found or [f"unchanged  {file.path}" for file in files]
        return ExportReport(tuple(lines), exit_code=int(bool(found)))
    lines = write_all(files, force=arguments.force)
    notes = places_that_jobs_lose(request) if arguments.format == "databricks" else []
    return ExportReport((*lines, *(f"note: {note}" for note in notes)))


def _request(arguments: argparse.Namespace, schedule: tuple[str, ...]) -> ExportRequest:
    manifest = open_manifest(arguments)
    env = environment_name(arguments, manifest)
    with opened(arguments) as orchestrator:
        plan = orchestrator.plan().raise_for_problems()
    words = ["odibi", "export", arguments.format, manifest.project, "--env", env]
    words += ["--split", arguments.split] if arguments.split != "project" else []
    words += ["--schedule", " ".join(schedule)] if schedule else []
    return ExportRequest(
        manifest=manifest,
        plan=plan,
        env=env,
        command=shlex.join(words),
        split=arguments.split,
        schedule=schedule,
        out=Path(arguments.out) if arguments.out else None,
    )
