"""The projects that a panel can run, and the rows of the chosen one."""

from __future__ import annotations

from collections import Counter
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from odibi_nb.api import GenericProjectOrchestrator
from odibi_nb.commands.opening import found_manifests
from odibi_nb.core.model.manifest import ProjectManifest, find_manifest
from odibi_nb.core.model.transformation import enabled_from, row_columns
from odibi_nb.core.running.capture import CapturedLog, captured, routed_output
from odibi_nb.errors import ConfigurationError
from odibi_nb.notebook.panel.form import Project
from odibi_nb.notebook.panel.rows import Listed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from odibi_nb.notebook.panel.choices import Chosen
    from odibi_nb.settings import Settings


def projects_here(
    name: str | None, manifest_path: Path | str | None, settings: Settings
) -> tuple[list[Project], Project]:
    """Return all projects to choose from, and the one chosen at first.

    Raises:
        ConfigurationError: if no project is found, or not the named one.
    """
    if manifest_path is not None:
        manifest = find_manifest(
            name or ProjectManifest.from_json(manifest_path).project, manifest_path
        )
        given = Project(manifest.project, manifest, str(manifest_path))
        return [given], given
    manifests, errors = found_manifests()
    if not manifests and errors:
        raise errors[0]
    projects = _labelled(manifests)
    project_name = name or settings.get("project")
    if project_name is None:
        if not projects:
            raise ConfigurationError("panel", ["no projects are found from here"])
        return projects, projects[0]
    path = find_manifest(project_name, None, settings.project_dirs()).path
    return projects, next(project for project in projects if project.manifest.path == path)


def _labelled(manifests: list[ProjectManifest]) -> list[Project]:
    """Label each project with its name, and with its manifest's path if the name is not unique."""
    times = Counter(manifest.project.casefold() for manifest in manifests)
    return [
        Project(manifest.project, manifest)
        if times[manifest.project.casefold()] == 1
        else Project(f"{manifest.project} ({manifest.path})", manifest, str(manifest.path))
        for manifest in manifests
    ]


@contextmanager
def opened(chosen: Chosen) -> Iterator[GenericProjectOrchestrator]:
    """Open the chosen project for the block, and discard all output of the block."""
    with routed_output(), captured(CapturedLog()), closing(open_chosen(chosen)) as orchestrator:
        yield orchestrator


def open_chosen(chosen: Chosen) -> GenericProjectOrchestrator:
    """Open the chosen project, with a console that shows nothing."""
    choices, path = chosen
    return GenericProjectOrchestrator(
        choices.project,
        choices.env,
        manifest_path=path,
        engine=choices.engine,
        log_level="CRITICAL",
    )


def rows_of(orchestrator: GenericProjectOrchestrator) -> list[Listed]:
    """Return the rows of the project's registry to choose from, by layer.

    Raises:
        RegistryError: if the registry cannot be read.
    """
    order = {layer.casefold(): i for i, layer in enumerate(orchestrator.layer_order)}
    rows = []
    for raw in orchestrator.adapters.registry(orchestrator.place()).fetch(
        orchestrator.project, orchestrator.env
    ):
        columns = row_columns(raw)
        layer = str(columns.get("layer") or "")
        if "transformation_id" in columns and layer.casefold() in order:
            enabled = enabled_from(columns.get("enabled")) is not False
            rows.append(Listed(str(columns["transformation_id"]), layer, enabled))
    return sorted(rows, key=lambda row: order[row.layer.casefold()])
