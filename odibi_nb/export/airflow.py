"""An Airflow DAG that runs a project, in one file, for Airflow 2.4 and later, and 3."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from odibi_nb.core.model.manifest import folder_name
from odibi_nb.export.exported_files import ExportedFile
from odibi_nb.export.tasks import Task, check_names, tasks_of

if TYPE_CHECKING:
    from pathlib import Path

    from odibi_nb.export.request import ExportRequest

MOST_TASKS = 5_000
"""Airflow has no limit; above this number its scheduler becomes slow."""

_HEAD = '''"""Run the odibi_nb project {project}."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

try:  # Airflow 3
    from airflow.providers.standard.operators.bash import BashOperator
    from airflow.sdk import DAG
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.operators.bash import BashOperator

# The folder that contains the manifest, as the workers see it.
PROJECT_FOLDER = {folder}

with DAG(
    dag_id={dag_id!r},
    description={description!r},
    schedule={schedule!r},
    start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
    catchup=False,
    max_active_runs=1,  # one run of a project and environment at a time
    is_paused_upon_creation=True,
    tags={tags!r},
    # Rows retry by themselves; a retry of a task would run all its rows again.
    default_args={{"retries": 0, "owner": {owner!r}}},
) as dag:
'''


def airflow_files(request: ExportRequest) -> list[ExportedFile]:
    """Return the DAG's file, ``dags/odibi_<project>.py`` below the manifest's folder.

    Raises:
        ConfigurationError: if Airflow would replace a part of a name.
    """
    manifest = request.manifest
    tasks = tasks_of(request.plan, request.split, most=MOST_TASKS, where="Airflow")
    check_names([manifest.project, request.env, str(manifest.folder)], "Airflow")
    slug = folder_name(manifest.project)
    folder = request.out or manifest.folder / "dags"
    body = _HEAD.format(
        project=_docstring(manifest.project),
        folder=_place_of(manifest.folder, folder),
        dag_id=f"odibi_{slug}_{folder_name(request.env)}",
        description=manifest.description or f"odibi_nb: {manifest.project}",
        schedule=" ".join(request.schedule) or None,
        tags=["odibi_nb", *manifest.tags],
        owner=manifest.owner or "airflow",
    )
    names = {task.key: f"task_{number}" for number, task in enumerate(tasks, 1)}
    body += "".join(_operator(request, task, names[task.key]) for task in tasks)
    for task in tasks:
        if task.after:
            before = ", ".join(names[key] for key in task.after)
            body += f"    [{before}] >> {names[task.key]}\n"
    return [ExportedFile(folder / f"odibi_{slug}.py", request.command, body)]


def _operator(request: ExportRequest, task: Task, name: str) -> str:
    words = request.run_words(task)
    # Tasks that run side by side need state folders, and so locks, of their own.
    command = (
        shlex.join(words) if task.alone else f'ODIBI_STATE_DIR="$(mktemp -d)" {shlex.join(words)}'
    )
    # Airflow takes a command that ends in .sh or .bash for a file's name; the space prevents that.
    return (
        f"    {name} = BashOperator(\n"
        f"        task_id={task.key!r},\n"
        f"        cwd=str(PROJECT_FOLDER),\n"
        f"        bash_command={command + ' '!r},\n"
        f"    )\n"
    )


def _place_of(project: Path, dags: Path) -> str:
    """Return an expression for the folder *project*: relative to the DAG's file where that is possible."""
    dags = dags.absolute()
    if dags.is_relative_to(project):
        return f"Path(__file__).resolve().parents[{len(dags.relative_to(project).parts)}]"
    return f"Path({str(project)!r})"


def _docstring(text: str) -> str:
    return " ".join(text.replace("\\", " ").replace('"', "'").split())
