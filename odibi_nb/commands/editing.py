"""``register``, ``enable`` and ``disable``: registry rows, checked, shown as a diff, written at once."""

from __future__ import annotations

import difflib
import sys
from typing import TYPE_CHECKING

import msgspec

from odibi_nb.adapters import editable_registry
from odibi_nb.commands.opening import confirmation, open_project
from odibi_nb.core.decoding import as_json, decode_json
from odibi_nb.core.redaction import redact
from odibi_nb.core.transformation import (
    ALIASES,
    JSON_COLUMNS,
    OPTIONAL_COLUMNS,
    SEED_COLUMNS,
    row_columns,
    row_id,
)
from odibi_nb.errors import ConfigurationError, PlanError, Problem, did_you_mean
from odibi_nb.views.registry_edit import RegistryEdit

if TYPE_CHECKING:
    import argparse

    from odibi_nb.api import GenericProjectOrchestrator
    from odibi_nb.commands.face import Face
    from odibi_nb.core.protocols import Row

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

BODY = "the cell's body"
_SAY = "say --project and --env"
_COLUMNS = tuple(
    c for c in (*SEED_COLUMNS, *OPTIONAL_COLUMNS) if c not in {"created_at", "updated_at"}
)


def register(arguments: argparse.Namespace, face: Face) -> RegistryEdit:
    """Write the cell's rows: TOML with a table per id, or a JSON array as in a registry file.

    Of a row that is there already, only what the cell says changes.
    """
    if not face.body.strip():
        raise ConfigurationError(BODY, ["is empty: give rows, as TOML ([ID]) or as a JSON array"])
    return _edited(arguments, face, rows_from(face.body))


def enable(arguments: argparse.Namespace, face: Face) -> RegistryEdit:
    """Let a transformation run again."""
    return _switched(arguments, face, enabled=1)


def disable(arguments: argparse.Namespace, face: Face) -> RegistryEdit:
    """Leave a transformation out of runs."""
    return _switched(arguments, face, enabled=0)


def _switched(arguments: argparse.Namespace, face: Face, enabled: int) -> RegistryEdit:
    rows = [{"transformation_id": name, "enabled": enabled} for name in arguments.ids]
    return _edited(arguments, face, rows, known_only=True)


def rows_from(body: str) -> list[Row]:
    """Registry rows, or parts of them, from TOML or JSON; columns may have the seed's aliases.

    Raises:
        ConfigurationError: if it is neither, or a row has no id, or an unknown column.
    """
    rows = _decoded(body)
    problems = []
    for number, row in enumerate(rows, 1):
        name = row_id(row)
        where = f"row {name!r}" if name else f"row number {number}"
        if name is None:
            problems.append(Problem(where, "has no transformation_id"))
        problems += [
            Problem(where, f"unknown column {column!r}{did_you_mean(column, _COLUMNS)}")
            for column in row
            if column.lower() not in {*_COLUMNS, *ALIASES}
        ]
    if problems:
        raise ConfigurationError(BODY, problems)
    return rows


def _decoded(body: str) -> list[Row]:
    json_error = ""
    try:
        found = decode_json(body)
    except ValueError as exc:
        json_error = str(exc)
    else:
        rows = found if isinstance(found, list) else [found]
        if all(isinstance(row, dict) for row in rows):
            return rows
        raise ConfigurationError(BODY, ["expected a JSON array of objects"])
    try:
        tables = tomllib.loads(body)
    except tomllib.TOMLDecodeError as exc:
        looks_like_json = body.lstrip()[:2] in {"[{", "[\n", "[ "} or body.lstrip().startswith("{")
        said = f"is not JSON: {json_error}" if looks_like_json else f"is not TOML: {exc}"
        raise ConfigurationError(BODY, [said]) from exc
    loose = [name for name, value in tables.items() if not isinstance(value, dict)]
    if loose:
        names = ", ".join(map(repr, loose))
        raise ConfigurationError(BODY, [f"{names} must stand below a transformation: [SILVER_001]"])
    return [{"transformation_id": name, **table} for name, table in tables.items()]


def _edited(
    arguments: argparse.Namespace, face: Face, rows: list[Row], *, known_only: bool = False
) -> RegistryEdit:
    project = open_project(arguments, log_level="ERROR")
    source = editable_registry(project.place())
    existing = {
        str(row_id(row)): _plain(row) for row in source.export(project.project, project.env)
    }
    wanted = [_merged(row, existing, project) for row in rows]
    if known_only:
        _check_known([str(row_id(row)) for row in rows], existing, source.name)
    edit = _edit_of(wanted, existing, f"{project.project} · env {project.env} · {source.name}")
    _check(project, wanted)
    if not (edit.inserted or edit.updated):
        return edit
    if project.config.protected and not arguments.yes:
        face.say(repr(edit))
    confirmation(project, face, yes=arguments.yes, action="change")
    source.upsert(wanted)
    return edit


def _merged(row: Row, existing: dict[str, Row], project: GenericProjectOrchestrator) -> Row:
    """The whole row: what the cell says, over what is there, over what goes without saying."""
    given = {k: v for k, v in _plain(row).items() if k not in {"project", "environment"} or v}
    defaults = {"project": project.project, "environment": project.env, "enabled": 1}
    merged = {**defaults, **existing.get(str(given["transformation_id"]), {}), **given}
    place = (str(merged["project"]).casefold(), merged["environment"])
    if place != (project.project.casefold(), project.env):
        name = given["transformation_id"]
        raise ConfigurationError(
            BODY,
            [f"row {name!r} is of {merged['project']!r}, env {merged['environment']}: {_SAY}"],
        )
    return merged


def _plain(row: Row) -> Row:
    """A row with the registry's names, and JSON columns decoded where they can be."""
    plain = {}
    for name, value in row_columns(row).items():
        if name in JSON_COLUMNS and isinstance(value, str):
            try:
                plain[name] = decode_json(value)
            except ValueError:
                plain[name] = value
        elif name in _COLUMNS:
            plain[name] = value
    return plain


def _check_known(names: list[str], existing: dict[str, Row], source: str) -> None:
    unknown = [
        f"no transformation {name!r}{did_you_mean(name, existing)}"
        for name in names
        if name not in existing
    ]
    if unknown:
        raise PlanError(source, unknown)


def _check(project: GenericProjectOrchestrator, wanted: list[Row]) -> None:
    """Make sure that a plan with the new rows has no problem that it does not have without them.

    Raises:
        PlanError: with every problem that is new.
    """
    new = {str(row_id(row)): row for row in wanted}

    def changed(rows: list[Row]) -> list[Row]:
        kept = [row for row in rows if row_id(row) not in new]
        return [*kept, *new.values()]

    after = project.plan_changed(changed)
    try:
        before = {*project.plan_changed(list).problems}
    except PlanError:  # the first rows of all
        before = set()
    problems = [problem for problem in after.problems if problem not in before]
    if problems:
        raise PlanError(BODY, problems)


def _edit_of(wanted: list[Row], existing: dict[str, Row], where: str) -> RegistryEdit:
    inserted: list[str] = []
    updated: list[str] = []
    diff: list[str] = []
    unchanged = 0
    for row in wanted:
        name = str(row["transformation_id"])
        old = existing.get(name)
        before, after = _lines(old) if old else [], _lines(row)
        if before == after:
            unchanged += 1
            continue
        (updated if old else inserted).append(name)
        diff += difflib.unified_diff(
            before, after, f"{name} as it is", f"{name} as it will be", lineterm="", n=2
        )
    return RegistryEdit(
        where=where,
        inserted=tuple(inserted),
        updated=tuple(updated),
        unchanged=unchanged,
        diff="\n".join(diff),
    )


def _lines(row: Row) -> list[str]:
    """The row as lines of ``column = value``; lists and objects one item a line; no secrets."""
    lines = []
    for name in _COLUMNS:
        value = redact(row.get(name), name)
        if value is None:
            continue
        if isinstance(value, (list, dict)):
            text = msgspec.json.format(as_json(value), indent=2)
            lines += f"{name} = {text}".splitlines()
        else:
            lines.append(f"{name} = {as_json(value)}")
    return lines
