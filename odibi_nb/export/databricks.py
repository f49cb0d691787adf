"""A Databricks bundle: ``databricks.yml`` with a job that runs a project.

The keys follow the schema that ``databricks bundle schema`` prints. The project's folder is deployed
with the bundle, so the job uses the functions beside the manifest.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.manifest import DEFAULT_LAKE, folder_name
from odibi_nb.export.exported_files import ExportedFile
from odibi_nb.export.schedules import quartz
from odibi_nb.export.tasks import CONFIRM, JOB_RUN, PROJECT, Task, check_names, tasks_of
from odibi_nb.export.yaml_text import Commented, yaml_text
from odibi_nb.version import __version__

if TYPE_CHECKING:
    from odibi_nb.export.request import ExportRequest

MOST_TASKS = 1_000
"""Number of tasks that a Databricks job may have."""
ENVIRONMENT_VERSION = "5"
"""Version of the serverless environment: Python 3.12, the libraries of the runtime 18 LTS."""
_KEY = "odibi"
_WHEEL = f"./dist/odibi_nb-{__version__}-py3-none-any.whl"
_MAX_TAG = 127
"""Length of a tag's value on the clouds that limit it most."""


def databricks_files(request: ExportRequest) -> list[ExportedFile]:
    """Return the files of a bundle in the manifest's folder.

    Raises:
        ConfigurationError: if Databricks would not accept the project's names or number of rows.
    """
    manifest = request.manifest
    tasks = tasks_of(request.plan, request.split, most=MOST_TASKS, where="Databricks")
    check_names([manifest.project, manifest.description, manifest.owner or ""], "Databricks")
    slug = folder_name(manifest.project)
    bundle: dict[str, Any] = {
        "bundle": {"name": slug},
        "variables": {
            "env": {"description": "environment of the manifest", "default": request.env},
            "confirmed_env": Commented(
                "A protected environment runs only if this variable names it, too.",
                {"description": "protected environment that the job may run", "default": ""},
            ),
        },
        "sync": Commented(
            "Tables, state and local databases stay where they are.",
            {"exclude": [".odibi/**", "lake/**", "*.db", "**/__pycache__/**"]},
        ),
        # The key is the name of a resource, which begins with a letter or "_".
        "resources": {"jobs": {re.sub(r"^(?=[^a-z_])", "_", slug): _job(request, slug, tasks)}},
        "targets": _targets(request),
    }
    path = (request.out or manifest.folder) / "databricks.yml"
    return [ExportedFile(path, request.command, yaml_text(bundle))]


def _job(request: ExportRequest, slug: str, tasks: list[Task]) -> dict[str, Any]:
    manifest = request.manifest
    job: dict[str, Any] = {
        "name": f"{manifest.project} (${{var.env}})",
        "description": manifest.description or f"Runs the odibi_nb project {manifest.project}.",
        "tags": _tags(request, slug),
        "max_concurrent_runs": Commented("One run of a project and environment at a time.", 1),
        "queue": {"enabled": True},
    }
    if request.schedule:
        job["schedule"] = Commented(
            "Paused: switch it on in the workspace, or write UNPAUSED for a target.",
            {
                "quartz_cron_expression": quartz(request.schedule),
                "timezone_id": "UTC",
                "pause_status": "PAUSED",
            },
        )
    if manifest.owner and "@" in manifest.owner:
        job["email_notifications"] = {"on_failure": [manifest.owner]}
    job["permissions"] = Commented(
        "Who may see runs and their logs.", [{"level": "CAN_VIEW", "group_name": "users"}]
    )
    job["tasks"] = [_task(task) for task in tasks]
    job["environments"] = Commented(
        "Serverless compute. For a cluster, replace environment_key in each task by job_cluster_key and libraries.",
        [
            {
                "environment_key": _KEY,
                "spec": {
                    "environment_version": ENVIRONMENT_VERSION,
                    "dependencies": [
                        Commented(
                            "The wheel of odibi_nb: deploy uploads it from here. "
                            "Build it with: python -m build --wheel",
                            _WHEEL,
                        )
                    ],
                },
            }
        ],
    )
    return job


def _tags(request: ExportRequest, slug: str) -> dict[str, str]:
    manifest = request.manifest
    tags = {"odibi_project": slug, "odibi_version": __version__}
    if manifest.owner:
        tags["owner"] = folder_name(manifest.owner)[:_MAX_TAG]
    return tags


def _task(task: Task) -> dict[str, Any]:
    found: dict[str, Any] = {"task_key": task.key}
    if task.after:
        found["depends_on"] = [{"task_key": key} for key in task.after]
    found["python_wheel_task"] = {
        "package_name": "odibi_nb",
        "entry_point": "odibi-job",
        "parameters": [
            "--manifest=${workspace.file_path}/manifest.json",
            "--env=${var.env}",
            f"{CONFIRM}=${{var.confirmed_env}}",
            f"{JOB_RUN}={{{{job.run_id}}}}/{task.key}",
            *([] if task.alone else [f"--part={task.key}"]),
            *task.words,
        ],
    }
    found["environment_key"] = _KEY
    found["max_retries"] = Commented(
        "Rows retry by themselves. A retry or repair of the task retries the rows that did not succeed.",
        0,
    )
    found["disable_auto_optimization"] = Commented(
        "Serverless compute would retry a failed task by itself, even if max_retries is 0.", True
    )
    return found


def _targets(request: ExportRequest) -> dict[str, Any]:
    """Return a target for each environment; only the requested one if tasks name layers or rows."""
    manifest = request.manifest
    names = list(manifest.environments) if request.split == PROJECT else [request.env]
    default = request.env if request.env in names else names[0]
    targets = {}
    for name in names or [request.env]:
        check_names([name], "Databricks")
        protected = bool(manifest.environments.get(name, {}).get("protected"))
        target: dict[str, Any] = {"mode": "production" if protected else "development"}
        if name == default:
            target["default"] = True
        if protected:
            target["workspace"] = Commented(
                "One place for every user, so that one copy is deployed: name its owner here.",
                {"root_path": _production_path(request)},
            )
        target["variables"] = {"env": name, **({"confirmed_env": name} if protected else {})}
        targets[name] = target
    return targets


def _production_path(request: ExportRequest) -> str:
    """Return the folder of a production target, which Databricks requires: the owner's, or the user's who deploys."""
    owner = request.manifest.owner or ""
    known = re.fullmatch(r"[\w.+-]+@[\w.-]+", owner, re.ASCII)
    user = owner if known else "${workspace.current_user.userName}"
    return f"/Workspace/Users/{user}/.bundle/${{bundle.name}}/${{bundle.target}}"


def places_that_jobs_lose(request: ExportRequest) -> list[str]:
    """Return a note for each place of an environment that is on the disk of the job's own machine, and so is lost."""
    notes = []
    for name, raw in request.manifest.environments.items():
        lake, registry = raw.get("lake") or DEFAULT_LAKE, raw.get("registry")
        url = registry.get("url") if isinstance(registry, dict) else registry
        if isinstance(lake, str) and "://" not in lake and not lake.startswith(("catalog", "${")):
            notes.append(
                f"env {name!r}: the lake {lake!r} is a folder, which a job loses with its compute: "
                "name a catalog ('catalog:main') or a URL"
            )
        if isinstance(url, str) and url.startswith("sqlite"):
            notes.append(
                f"env {name!r}: the registry is an SQLite file, which Databricks' file systems cannot hold: "
                "name a table of the catalog, or a file of rows"
            )
    return notes
