"""``register``, ``enable``, ``disable``, ``registry delete``: check rows, show a diff, write once."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import msgspec

from odibi_nb.commands.opening import confirmation, open_project
from odibi_nb.commands.running import BODY, only_tables
from odibi_nb.core.model.transformation import (
    ALIASES,
    JSON_COLUMNS,
    OPTIONAL_COLUMNS,
    SEED_COLUMNS,
    python_hint,
    row_columns,
    row_id,
)
from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.json import as_json, decode_config
from odibi_nb.core.text.redaction import redact
from odibi_nb.core.text.toml import decode_toml
from odibi_nb.errors import ConfigurationError, Hints, PlanError, Problem, did_you_mean
from odibi_nb.sources.upsert import KEY, Edit, columns_twice
from odibi_nb.views.html_parts import beginning_of
from odibi_nb.views.inspect.registry_edit import RegistryEdit
from odibi_nb.wiring import editable_registry

if TYPE_CHECKING:
    import argparse
    from collections.abc import Collection

    from odibi_nb.api import GenericProjectOrchestrator
    from odibi_nb.commands.face import Face
    from odibi_nb.core.protocols import EditableRegistry, Row
    from odibi_nb.sources.upsert import Changes

MAX_DIFF = 400
"""Maximum number of lines of a diff, because a notebook stores all of them."""
MAX_LINE = 500
_COLUMNS = tuple(
    c for c in (*SEED_COLUMNS, *OPTIONAL_COLUMNS) if c not in {"created_at", "updated_at"}
)


def open_registry(
    arguments: argparse.Namespace,
) -> tuple[GenericProjectOrchestrator, EditableRegistry]:
    """Open the requested project, and the registry of its environment."""
    orchestrator = open_project(arguments)
    return orchestrator, editable_registry(orchestrator.place())


def register(arguments: argparse.Namespace, face: Face) -> RegistryEdit:
    """Write the cell's rows: TOML with a table per id, or a JSON array as in a registry file.

    If a row exists, only the columns that the cell names change.
    """
    if not face.body.strip():
        raise ConfigurationError(BODY, ["is empty: give rows, as TOML ([ID]) or as a JSON array"])
    return _edited(arguments, face, rows_from(face.body))


def enable(arguments: argparse.Namespace, face: Face) -> RegistryEdit:
    """Enable transformations, so that they run again."""
    return _switched(arguments, face, enabled=1)


def disable(arguments: argparse.Namespace, face: Face) -> RegistryEdit:
    """Disable transformations, so that runs leave them out."""
    return _switched(arguments, face, enabled=0)


def _switched(arguments: argparse.Namespace, face: Face, enabled: int) -> RegistryEdit:
    rows = [
        {"transformation_id": name, "enabled": enabled} for name in dict.fromkeys(arguments.ids)
    ]
    return _edited(arguments, face, rows, known_only=True)


def rows_from(body: str) -> list[Row]:
    """Return registry rows, or parts of rows, from TOML or JSON. The seed's aliases are allowed.

    Raises:
        ConfigurationError: if the text is neither TOML nor JSON, or a row has no id, an unknown
            column or a column given twice.
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
        problems += [Problem(where, text) for text in columns_twice(row)]
    if problems:
        raise ConfigurationError(BODY, problems)
    return rows


def _decoded(body: str) -> list[Row]:
    json_error = ""
    try:
        found = decode_config(body)
    except ValueError as exc:
        json_error = f"{exc}{python_hint(body.strip(), list)}"
    else:
        rows = found if isinstance(found, list) else [found]
        if all(isinstance(row, dict) for row in rows):
            return rows
        raise ConfigurationError(BODY, ["expected a JSON array of objects"])
    try:
        tables = decode_toml(body)
    except ValueError as exc:
        looks_like_json = body.lstrip()[:2] in {"[{", "[\n", "[ "} or body.lstrip().startswith("{")
        problem_text = f"is not JSON: {json_error}" if looks_like_json else f"is not TOML: {exc}"
        raise ConfigurationError(BODY, [problem_text]) from exc
    return [{"transformation_id": name, **table} for name, table in only_tables(tables).items()]


def delete(arguments: argparse.Namespace, face: Face) -> RegistryEdit:
    """Delete rows of the project and environment, after a diff and a confirmation."""
    orchestrator, source = open_registry(arguments)
    read = source.export(orchestrator.project, orchestrator.env)
    ids = [*dict.fromkeys(arguments.ids)]
    _check_known(ids, [str(row_id(row)) for row in read], source.name)
    deleted_rows = tuple(row for row in read if str(row_id(row)) in ids)
    change = Edit(read=tuple(read), delete=deleted_rows)
    edit = edit_of(source.change(change, write=False), title_of(orchestrator, source))
    if not arguments.yes:
        face.say(repr(edit))
    if orchestrator.config.protected:
        confirmation(orchestrator, face, yes=arguments.yes, action="change")
    elif not arguments.yes:
        confirm_deletion(face, edit)
    source.change(change)
    return edit


def confirm_deletion(face: Face, edit: RegistryEdit) -> None:
    """Ask the person to confirm the deletion of the rows of *edit*, which were shown before.

    Raises:
        ConfigurationError: if the person does not confirm, or no person can answer.
    """
    count = counted(len(edit.deleted), "row")
    if face.ask is None:
        raise ConfigurationError(edit.where, [f"{count} would be deleted: confirm with --yes"])
    typed = face.ask(f"Delete {count}? [y/N] ").strip()
    if typed.casefold() not in {"y", "yes"}:
        raise ConfigurationError(edit.where, ["not confirmed: nothing was changed"])


def _edited(
    arguments: argparse.Namespace, face: Face, rows: list[Row], *, known_only: bool = False
) -> RegistryEdit:
    orchestrator, source = open_registry(arguments)
    read = source.export(orchestrator.project, orchestrator.env)
    existing = {str(row_id(row)): _plain(row) for row in read}
    new_rows = [_merged(row, existing, orchestrator) for row in rows]
    if known_only:
        _check_known([str(row_id(row)) for row in rows], existing, source.name)
    _check(orchestrator, new_rows, source.name if known_only else BODY)
    stated = [
        {name: value for name, value in whole.items() if name in KEY or name in given}
        if str(row_id(whole)) in existing
        else whole
        for whole, given in zip(new_rows, map(_plain, rows), strict=True)
    ]
    change = Edit(rows=tuple(stated), read=tuple(read))
    edit = edit_of(source.change(change, write=False), title_of(orchestrator, source))
    if not edit.changes:
        return edit
    if orchestrator.config.protected and not arguments.yes:
        face.say(repr(edit))
    confirmation(orchestrator, face, yes=arguments.yes, action="change")
    source.change(change)
    return edit


def title_of(orchestrator: GenericProjectOrchestrator, source: EditableRegistry) -> str:
    """Return project, environment and registry in one line."""
    return f"{orchestrator.project} · env {orchestrator.env} · {source.name}"


def _merged(row: Row, existing: dict[str, Row], orchestrator: GenericProjectOrchestrator) -> Row:
    """Return the whole row: the cell's values, then the existing row's, then defaults."""
    given = {k: v for k, v in _plain(row).items() if k not in {"project", "environment"} or v}
    defaults = {"project": orchestrator.project, "environment": orchestrator.env, "enabled": 1}
    merged = {**defaults, **existing.get(str(given["transformation_id"]), {}), **given}
    place = (str(merged["project"]).casefold(), merged["environment"])
    if place != (orchestrator.project.casefold(), orchestrator.env):
        whose = f"{merged['project']!r}, env {merged['environment']}: give --project and --env"
        raise ConfigurationError(BODY, [f"row {given['transformation_id']!r} belongs to {whose}"])
    return merged


def _plain(row: Row) -> Row:
    """Return the row with the registry's column names, and with valid JSON columns decoded."""
    plain = {}
    for name, value in row_columns(row).items():
        if name in JSON_COLUMNS and isinstance(value, str):
            try:
                plain[name] = decode_config(value)
            except ValueError:
                plain[name] = value
        elif name in _COLUMNS:
            plain[name] = value
    return plain


def _check_known(names: list[str], existing: Collection[str], source: str) -> None:
    hint = Hints()
    unknown = [
        f"no transformation {name!r}{hint(name, existing)}"
        for name in names
        if name not in existing
    ]
    if unknown:
        raise PlanError(source, unknown)


def _check(orchestrator: GenericProjectOrchestrator, new_rows: list[Row], where: str) -> None:
    """Compare the plans with and without the new rows.

    Raises:
        PlanError: if the new rows cause problems, with every problem that is new.
    """
    new = {str(row_id(row)): row for row in new_rows}

    def changed(rows: list[Row]) -> list[Row]:
        return [*(row for row in rows if row_id(row) not in new), *new.values()]

    after = orchestrator.plan_changed(changed)
    try:
        before = {*orchestrator.plan_changed(list).problems}
    except PlanError:  # the registry has no valid rows yet
        before = set()
    problems = [problem for problem in after.problems if problem not in before]
    if problems:
        raise PlanError(where, problems)


def edit_of(changes: Changes, where: str) -> RegistryEdit:
    """Return *changes* as an edit of the registry named *where*."""
    pairs: list[tuple[Row, Row]] = [({}, row) for row in changes.inserts]
    pairs += [(old, {**old, **new}) for old, new in changes.updates]
    pairs += [(row, {}) for row in changes.deletes]
    several = len(changes.by_place()) > 1
    diff: list[str] = []
    for old, new in pairs:
        if len(diff) > MAX_DIFF:
            break
        row = new or old
        name = row_id(row)
        if several:
            name = f"{name} of {row['project']}, env {row['environment']},"
        diff += difflib.unified_diff(
            _lines(old),
            _lines(new),
            f"{name} as it is",
            f"{name} as it will be",
            lineterm="",
            n=2,
        )
    return RegistryEdit(
        where=where,
        inserted=tuple(str(row_id(row)) for row in changes.inserts),
        updated=tuple(str(row_id(row)) for row, _ in changes.updates),
        deleted=tuple(str(row_id(row)) for row in changes.deletes),
        unchanged=len(changes.unchanged),
        diff="\n".join(beginning_of(line, MAX_LINE) for line in diff[:MAX_DIFF]),
        cut=len(diff) > MAX_DIFF,
    )


def _lines(row: Row) -> list[str]:
    """Return the row as lines of ``column = value``, without secrets.

    Lists and objects take one line for each item.
    """
    lines = []
    plain = _plain(row)
    for name in _COLUMNS:
        value = redact(plain.get(name), name)
        if value is None:
            continue
        if isinstance(value, (list, dict)):
            text = msgspec.json.format(as_json(value), indent=2)
            lines += f"{name} = {text}".splitlines()
        else:
            lines.append(f"{name} = {as_json(value)}")
    return lines
