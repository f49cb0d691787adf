"""``registry init``, ``import``, ``export`` and ``list``."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi_nb.adapters import editable_registry, make_frame
from odibi_nb.commands.opening import confirmation, open_project
from odibi_nb.core.decoding import as_json, decode_json
from odibi_nb.core.tables import redact
from odibi_nb.core.transformation import JSON_COLUMNS, SEED_COLUMNS
from odibi_nb.views.records import Records

if TYPE_CHECKING:
    import argparse

    from odibi_nb.api import GenericProjectOrchestrator
    from odibi_nb.commands.face import Face
    from odibi_nb.core.protocols import EditableRegistry

WRITTEN = ("project", "environment", "inserted", "updated", "unchanged")


def _open(arguments: argparse.Namespace) -> tuple[GenericProjectOrchestrator, EditableRegistry]:
    project = open_project(arguments, log_level="ERROR")
    return project, editable_registry(project.place())


def init(arguments: argparse.Namespace, face: Face) -> str:
    """Create the table, or add the columns it lacks."""
    project, source = _open(arguments)
    confirmation(project, face, yes=arguments.yes, action="change")
    done = source.create(all_columns=arguments.all_columns)
    return f"{source.name}: {'; '.join(done) or 'nothing to do'}"


def import_rows(arguments: argparse.Namespace, face: Face) -> Records:
    """Load rows; what is there already is updated. All of them, or none."""
    from odibi_nb.sources.files import read_rows

    project, source = _open(arguments)
    defaults = {"project": project.project, "environment": project.env}
    rows = read_rows(Path(arguments.file), defaults=defaults)
    confirmation(project, face, yes=arguments.yes, action="change")
    inserted, updated, unchanged = source.upsert(rows)
    counts = dict(
        zip(WRITTEN, (project.project, project.env, inserted, updated, unchanged), strict=True)
    )
    return Records(f"Imported into {source.name}", WRITTEN, [counts], make_frame)


def export(arguments: argparse.Namespace, face: Face) -> str:
    """Write the rows of the project and environment to a file."""
    from odibi_nb.sources.files import write_rows

    del face
    project, source = _open(arguments)
    rows = source.export(project.project, project.env)
    write_rows(Path(arguments.file), rows)
    return f"{arguments.file}: {len(rows)} rows of {project.project!r}, env {project.env}"


def list_rows(arguments: argparse.Namespace, face: Face) -> Records:
    """The rows of the project and environment, as the table has them."""
    del face
    project, source = _open(arguments)
    rows = [_shown(row) for row in source.export(project.project, project.env)]
    columns = tuple(c for c in SEED_COLUMNS if c not in {"project", "environment"})
    return Records(
        f"{project.project} · env {project.env} · {source.name}", columns, rows, make_frame
    )


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """The row with what its JSON columns keep secret hidden, also where they are JSON text."""
    shown = dict(row)
    for column in JSON_COLUMNS:
        value = row.get(column)
        if isinstance(value, str):
            with contextlib.suppress(ValueError):  # malformed: `plan` says so
                value = decode_json(value)
        if value is not None:
            shown[column] = redact(value) if isinstance(value, str) else as_json(redact(value))
    return shown
