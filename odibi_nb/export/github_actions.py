"""A workflow of GitHub Actions that runs a project, by hand or on a schedule."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.manifest import folder_name
from odibi_nb.core.text.variables import variables_in
from odibi_nb.export.exported_files import ExportedFile
from odibi_nb.export.tasks import check_names, tasks_of
from odibi_nb.export.yaml_text import Commented, yaml_text
from odibi_nb.version import __version__

if TYPE_CHECKING:
    from pathlib import Path

    from odibi_nb.core.model.manifest import ProjectManifest
    from odibi_nb.export.request import ExportRequest
    from odibi_nb.export.tasks import Task

MOST_TASKS = 256
"""Number of jobs that one workflow may have."""
PYTHON = "3.12"


def github_files(request: ExportRequest) -> list[ExportedFile]:
    """Return the workflow's file in ``.github/workflows`` of the repository that has the manifest.

    Raises:
        ConfigurationError: if GitHub would replace a part of a name, or the project has too many rows.
    """
    manifest = request.manifest
    tasks = tasks_of(request.plan, request.split, most=MOST_TASKS, where="GitHub Actions")
    root = repository_of(manifest.folder)
    check_names([manifest.project, request.env, _relative(manifest, root)], "GitHub Actions")
    slug = folder_name(manifest.project)
    triggers: dict[str, Any] = {"workflow_dispatch": {}}
    if request.schedule:
        triggers["schedule"] = [{"cron": " ".join(request.schedule)}]
    workflow: dict[str, Any] = {
        "name": f"odibi: {manifest.project} ({request.env})",
        "on": triggers,
        "permissions": Commented(
            "The jobs read the repository, and change nothing in it.", {"contents": "read"}
        ),
        "concurrency": Commented(
            "One run of a project and environment at a time.",
            {"group": f"odibi-{slug}-{folder_name(request.env)}", "cancel-in-progress": False},
        ),
        "jobs": {_job_id(task.key): _job(request, task, root) for task in tasks},
    }
    folder = request.out or root / ".github" / "workflows"
    return [ExportedFile(folder / f"odibi_{slug}.yml", request.command, yaml_text(workflow))]


def repository_of(folder: Path) -> Path:
    """Return the nearest folder above *folder* that has ``.git``; *folder* itself if none has."""
    return next((path for path in (folder, *folder.parents) if (path / ".git").exists()), folder)


def _job_id(key: str) -> str:
    return key if key[0].isalpha() or key[0] == "_" else f"_{key}"


def _job(request: ExportRequest, task: Task, root: Path) -> dict[str, Any]:
    manifest = request.manifest
    words = request.run_words(task)
    job: dict[str, Any] = {"runs-on": "ubuntu-latest"}
    if task.after:
        job["needs"] = [_job_id(key) for key in task.after]
    variables = sorted(variables_in(manifest.environments.get(request.env, {})))
    if variables:
        job["env"] = Commented(
            "The manifest's variables: store each as a secret of the repository.",
            {name: f"${{{{ secrets.{name} }}}}" for name in variables},
        )
    job["steps"] = [
        {"uses": "actions/checkout@v4"},
        {"uses": "actions/setup-python@v5", "with": {"python-version": PYTHON}},
        {
            "run": Commented(
                "A wheel's path or URL works here, too.",
                f"python -m pip install 'odibi-nb[pandas,sql]=={__version__}'",
            )
        },
        {"run": shlex.join(words), "working-directory": _relative(manifest, root)},
    ]
    return job


def _relative(manifest: ProjectManifest, root: Path) -> str:
    try:
        return manifest.folder.relative_to(root).as_posix() or "."
    except ValueError:
        return manifest.folder.as_posix()
