"""``registry init``, ``import``, ``export`` and ``list``; ``registry delete`` is in `editing`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from odibi_nb.commands.editing import confirm_deletion, edit_of, open_registry, title_of
from odibi_nb.commands.opening import confirmation, confirmed, found_manifests
from odibi_nb.core.model.tables import redact, redact_url
from odibi_nb.core.model.transformation import JSON_COLUMNS, SEED_COLUMNS, row_columns, row_id
from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.json import as_json, decode_config
from odibi_nb.errors import ConfigurationError, DataError
from odibi_nb.sources.upsert import KEY, Changes, Edit, row_key, rows_with_twins
from odibi_nb.views.html_parts import first_of
from odibi_nb.views.records import Records
from odibi_nb.wiring import make_frame, read_table_beside_registry

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from odibi_nb.api import GenericProjectOrchestrator
    from odibi_nb.commands.face import Face
    from odibi_nb.core.protocols import Row
    from odibi_nb.views.inspect.registry_edit import RegistryEdit

WRITTEN = ("project", "environment", "inserted", "updated", "unchanged", "deleted")
MAX_WARNED = 20


class ProjectEnv(NamedTuple):
    """A project and one of its environments."""

    project: str
    environment: str


def init(arguments: argparse.Namespace, face: Face) -> str:
    """Create the registry's table, file or folder, or add a table's missing columns."""
    orchestrator, source = open_registry(arguments)
    confirmation(orchestrator, face, yes=arguments.yes, action="change")
    done = source.create(all_columns=arguments.all_columns)
    return f"{source.name}: {'; '.join(done) or 'nothing to do'}"


def import_rows(arguments: argparse.Namespace, face: Face) -> Records:
    """Import rows, and update the rows that exist. Either all rows are written or none."""
    from odibi_nb.sources.files import read_rows

    orchestrator, source = open_registry(arguments)
    own = ProjectEnv(orchestrator.project, orchestrator.env)
    if arguments.ingestion_config:
        rows = _from_ingestion_config(orchestrator, arguments.file, own, face)
    else:
        rows = read_rows(Path(arguments.file), defaults=own._asdict())
    left_out: tuple[str, ...] = ()
    if not arguments.all:
        rows, left_out = _of_one_place(rows, own, arguments.file)
    places = _places(rows, own)
    read = [row for place in places for row in source.export(*place)]
    deleted_rows = _left_out(read, rows) if arguments.prune else ()
    change = Edit(rows=tuple(rows), read=tuple(read), delete=deleted_rows)
    edit = edit_of(source.change(change, write=False), f"{arguments.file} · {source.name}")
    _confirm(orchestrator, face, edit, places, yes=arguments.yes)
    by_place = source.change(change).by_place()
    for other in first_of(left_out, MAX_WARNED):
        face.say(
            f"⚠️ not imported: {other}. --all imports the rows of every project and environment"
        )
    for problem in rows_with_twins(rows)[:MAX_WARNED]:
        face.say(f"⚠️ {problem}: stored as it is, but nothing will run until it is fixed")
    for place in places:
        by_place.setdefault(place, Changes())
    counts = [_counts(place, changes) for place, changes in sorted(by_place.items())]
    return Records(f"Imported into {source.name}", WRITTEN, counts, make_frame)


def _from_ingestion_config(
    orchestrator: GenericProjectOrchestrator, name: str, own: ProjectEnv, face: Face
) -> list[Row]:
    """Return Bronze rows from an IngestionSourceConfig: a JSON or CSV file, a table, or ``URL#TABLE``.

    Raises:
        ConfigurationError: if none of its sources has a counterpart.
    """
    from odibi_nb.sources.files import read_plain_rows
    from odibi_nb.sources.ingestion_config import converted, rows_in_order

    path = Path(name)
    is_file = path.suffix.lower() in {".json", ".csv"} and "://" not in name
    try:
        found = (
            read_plain_rows(path)
            if is_file
            else rows_in_order(read_table_beside_registry(orchestrator.place(), name))
        )
    except DataError as exc:
        raise ConfigurationError(redact_url(name), [str(exc)]) from exc
    layers = orchestrator.manifest.layer_order
    layer = next((layer for layer in layers if layer.casefold() == "bronze"), layers[0])
    done = converted(found, redact_url(name), own._asdict(), layer)
    if not done.rows:
        reasons = done.left_out or ["it has no rows"]
        raise ConfigurationError(redact_url(name), [*reasons, "nothing was written"])
    for text in done.left_out:
        face.say(f"⚠️ not imported: {text}")
    for text in done.notes:
        face.say(f"⚠️ {text}")
    return done.rows


def _places(rows: Sequence[Row], own: ProjectEnv) -> list[ProjectEnv]:
    """Return every project and environment of *rows*; *own* if *rows* is empty."""
    places: dict[tuple[str, str], ProjectEnv] = {}
    for row in rows:
        place = _place_of(row)
        places.setdefault((place.project.lower(), place.environment), place)
    return sorted(places.values()) or [own]


def _place_of(row: Row) -> ProjectEnv:
    return ProjectEnv(str(row["project"]).strip(), str(row["environment"]).strip())


def _is(place: ProjectEnv, own: ProjectEnv) -> bool:
    # Compare as registries do: for them "ß" does not equal "ss".
    return (place.project.lower(), place.environment) == (own.project.lower(), own.environment)


def _of_one_place(
    rows: Sequence[Row], own: ProjectEnv, file: str
) -> tuple[list[Row], tuple[str, ...]]:
    """Return the rows of the command's project and environment, and a text about the others.

    Raises:
        ConfigurationError: if every row belongs to another project or environment.
    """
    kept: list[Row] = []
    others: dict[ProjectEnv, list[str]] = {}
    for row in rows:
        if _is(_place_of(row), own):
            kept.append(row)
        else:
            others.setdefault(_place_of(row), []).append(str(row_id(row)))
    texts = tuple(_others_text(place, ids) for place, ids in sorted(others.items()))
    if texts and not kept:
        problem = (
            f"no row belongs to project {own.project!r}, env {own.environment!r}: nothing was written. "
            "Name the project and --env of the rows, or import them with --all"
        )
        raise ConfigurationError(file, [*texts, problem])
    return kept, texts


def _others_text(place: ProjectEnv, ids: Sequence[str]) -> str:
    some_ids = f"{', '.join(ids[:5])}{' …' if len(ids) > 5 else ''}"  # noqa: PLR2004
    count = counted(len(ids), "row")
    return f"{count} of project {place.project!r}, env {place.environment!r} ({some_ids})"


def _left_out(read: Sequence[Row], rows: Sequence[Row]) -> tuple[Row, ...]:
    """Return the registry's rows that the file leaves out."""
    named = {row_key(row) for row in map(row_columns, rows) if row.keys() >= set(KEY)}
    return tuple(row for row in read if row_key(row) not in named)


def _confirm(
    orchestrator: GenericProjectOrchestrator,
    face: Face,
    edit: RegistryEdit,
    places: Sequence[ProjectEnv],
    *,
    yes: bool,
) -> None:
    """Show the import, and ask for confirmation of every environment that needs it."""
    reasons = {place: why for place in places if (why := _why_ask(orchestrator, place))}
    if yes or not edit.changes or not (reasons or edit.deleted):
        return
    face.say(repr(edit))
    for place, why in reasons.items():
        confirmed(*place, face, "change", why)
    if edit.deleted and not reasons:
        confirm_deletion(face, edit)


def _why_ask(orchestrator: GenericProjectOrchestrator, place: ProjectEnv) -> str:
    """Return the reason why a write to *place* needs a confirmation; "" if it needs none."""
    manifests = [orchestrator.manifest]
    if place.project.casefold() != orchestrator.project.casefold():
        found, _ = found_manifests()
        manifests = [m for m in found if m.project.casefold() == place.project.casefold()]
    if not manifests:
        return "has no manifest here that shows if it is protected"
    for manifest in manifests:
        if manifest.environments.get(place.environment, {}).get("protected"):
            return "is protected"
    return ""


def _counts(place: tuple[str, str], changes: Changes) -> dict[str, Any]:
    counts = (
        len(changes.inserts),
        len(changes.updates),
        len(changes.unchanged),
        len(changes.deletes),
    )
    return dict(zip(WRITTEN, (*place, *counts), strict=True))


def export(arguments: argparse.Namespace, face: Face) -> str:
    """Write the rows of the project and environment to a file."""
    from odibi_nb.sources.files import write_rows

    del face
    orchestrator, source = open_registry(arguments)
    rows = source.export(orchestrator.project, orchestrator.env)
    if getattr(source, "holds", lambda _: False)(Path(arguments.file)):
        problem = (
            "is the registry itself, which may have rows of other environments: export to another"
        )
        raise ConfigurationError(arguments.file, [f"{problem} file"])
    write_rows(Path(arguments.file), rows)
    return f"{arguments.file}: {counted(len(rows), 'row')} of {orchestrator.project!r}, env {orchestrator.env}"


def list_rows(arguments: argparse.Namespace, face: Face) -> Records:
    """List the rows of the project and environment as the table contains them."""
    del face
    orchestrator, source = open_registry(arguments)
    rows = [_shown(row) for row in source.export(orchestrator.project, orchestrator.env)]
    columns = tuple(c for c in SEED_COLUMNS if c not in {"project", "environment"})
    return Records(title_of(orchestrator, source), columns, rows, make_frame)


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    """Return the row with the secrets in its JSON columns hidden, also if they are JSON text."""
    shown = dict(row)
    for column in JSON_COLUMNS:
        value = row.get(column)
        if isinstance(value, str):
            with contextlib.suppress(ValueError):  # `plan` reports malformed JSON
                value = decode_config(value)
        if value is not None:
            shown[column] = redact(value) if isinstance(value, str) else as_json(redact(value))
    return shown
