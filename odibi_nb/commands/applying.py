"""``apply``: write a tried function into the project's module."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

from odibi_nb.commands.opening import open_project
from odibi_nb.core.functions.module_edit import edit_of, write_edit
from odibi_nb.core.functions.source import shown_file, source_of
from odibi_nb.core.model.sql_rows import is_sql
from odibi_nb.core.rehearsal.rehearsal import open_rehearsal
from odibi_nb.core.rehearsal.tried_edits import TRIED
from odibi_nb.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse

    from odibi_nb.api import GenericProjectOrchestrator
    from odibi_nb.commands.face import Face
    from odibi_nb.core.functions.module_edit import ModuleEdit

YES = frozenset({"y", "yes"})


def apply(arguments: argparse.Namespace, face: Face) -> str:
    """Write a tried function into the project's module: the last tried version, or the version in a file."""
    orchestrator = open_project(arguments)
    where, folder = f"apply {arguments.id}", orchestrator.manifest.folder
    edit = (
        _edit_from(orchestrator, arguments.id, Path(arguments.source), where)
        if arguments.source
        else TRIED.find(folder, arguments.id)
    )
    if edit is None:
        how = face.spell(["try", arguments.id]).replace("%odibi", "%%odibi")
        message = (
            f"no version of it has been tried successfully here: {how} first, or use --from FILE"
        )
        raise ConfigurationError(where, [message])
    shown = shown_file(edit.source.file)
    if edit.problems:
        raise ConfigurationError(where, [*edit.problems])
    if not arguments.yes:
        _confirm(edit, shown, face, where)
    write_edit(edit, folder)
    TRIED.note(folder, arguments.id, None)
    retry = ["retry", "last", "--project", orchestrator.project, "--env", orchestrator.env]
    return f"✔ {shown} written: {edit.size}; now: {face.spell(retry)}"


def _confirm(edit: ModuleEdit, shown: str, face: Face, where: str) -> None:
    if face.ask is None:
        raise ConfigurationError(
            where, [f"this session cannot ask for a confirmation: write {shown} with --yes"]
        )
    face.say(edit.diff)
    answer = face.ask(f"Write {shown} ({edit.size})? y/n: ").strip().lower()
    if answer not in YES:
        raise ConfigurationError(where, [f"not confirmed: {shown} is unchanged"])


def _edit_from(
    orchestrator: GenericProjectOrchestrator, name: str, file: Path, where: str
) -> ModuleEdit:
    """Return the edit that puts the functions of *file* into the module of a row's function.

    Raises:
        ConfigurationError: if the file cannot be read, is not Python, or lacks the row's function.
    """
    row = open_rehearsal(orchestrator, name).row
    if is_sql(row.transformation):
        raise ConfigurationError(where, ["the row is a query: change the query's file or the row"])
    source = source_of(row.fn) if row.fn is not None else None
    if source is None:
        raise ConfigurationError(where, ["the row's function has no file"])
    try:
        text = file.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError) as exc:
        raise ConfigurationError(where, [f"{file} cannot be read as Python: {exc}"]) from exc
    if source.name not in {getattr(node, "name", "") for node in tree.body}:
        raise ConfigurationError(where, [f"{file} defines no function {source.name!r}"])
    return edit_of(source, text, source.name)
