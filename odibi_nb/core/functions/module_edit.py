"""Put functions of a cell into the module that they come from: the text, its diff, the atomic write.

A definition changes only if its code differs from the module's. All other lines stay byte for byte:
encoding, newlines, indentation and comments.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import io
import os
import re
import shutil
import stat
import tempfile
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from odibi_nb.core.functions.module_source import first_line, is_text
from odibi_nb.core.functions.source import (
    change_code,
    definitions,
    lines_of,
    shown_file,
    text_of,
)
from odibi_nb.core.text.counts import counted
from odibi_nb.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from odibi_nb.core.functions.source import Definition, FunctionSource

CHANGED = "the file has changed since it was tried: try the cell again, to see the new difference"
_CODE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleEdit:
    """A module's new text, with the definitions of a cell in it.

    Attributes:
        source: the module's function, and the module's text when it was read.
        text: the new text, with line feeds as newlines.
        names: names of the definitions that change or are new.
        problems: reasons why the text must not be written. The diff shows the text even then.
    """

    source: FunctionSource
    text: str
    names: tuple[str, ...]
    problems: tuple[str, ...] = ()

    @property
    def diff(self) -> str:
        """The unified diff from the module to the new text; "" without changes."""
        shown = shown_file(self.source.file)
        texts = (self.source.module_text, self.text)
        old, new = (lines_of(text.removesuffix("\n")) for text in texts)
        lines = difflib.unified_diff(old, new, shown, f"{shown} (as tried)", lineterm="")
        return "\n".join(lines)

    @property
    def size(self) -> str:
        """The numbers of added and removed lines: ``+2 −1 lines``."""
        lines = self.diff.splitlines()[2:]
        added, removed = (sum(line.startswith(sign) for line in lines) for sign in "+-")
        return f"+{added} −{counted(removed, 'line')}"


def edit_of(source: FunctionSource, cell: str, name: str) -> ModuleEdit:
    """Return the module with the cell's version of its functions.

    A definition in the cell replaces the module's definition of the same name, if its text differs. The
    definition called *name* replaces the function itself. New definitions and imports are inserted.
    """
    module, tree = ast.parse(source.module_text), ast.parse(cell)
    lines, cell_lines = lines_of(source.module_text), lines_of(cell)
    changes: list[tuple[int, int, list[str]]] = []
    new: list[str] = []
    names: list[str] = []
    for definition in definitions(tree):
        places = _places(
            module, source, source.name if definition.name == name else definition.name
        )
        text = text_of(definition, cell_lines).split("\n")
        if any(_same(definition, text, place, lines) for place in places):
            continue
        names.append(definition.name)
        if not places:
            new += [*text, "", ""]
        elif len(places) == 1:
            changes.append(_replacement(definition, places[0], text, lines))
    known = {*map(ast.unparse, _imports(module))}
    imports = [line for line in map(ast.unparse, _imports(tree)) if line not in known]
    if imports:
        ends = [node.end_lineno or 0 for node in _imports(module)]
        at = max(ends, default=_after_docstring(module))
        changes.append((at, at, imports))
    if new:
        starts = map(first_line, module.body)
        at = max(start for start in starts if start <= source.line) - 1
        changes.append((at, at, new))
    changed = [*lines]
    for start, end, text in sorted(changes, key=lambda change: change[:2], reverse=True):
        changed[start:end] = text
    return ModuleEdit(
        source=source,
        text="\n".join(changed),
        names=tuple(names),
        problems=tuple(_problems(source, tree, module, cell_lines, name, names)),
    )


def _problems(
    source: FunctionSource,
    tree: ast.Module,
    module: ast.Module,
    lines: list[str],
    name: str,
    changed: list[str],
) -> Iterator[str]:
    """Yield the reasons against the edit: the module would differ from the tried code, or several edits are possible."""
    if name != source.name:
        yield f"the cell defines {name}, and the function in the file is {source.name}"
    given = [definition.name for definition in definitions(tree)]
    places = [definition.name for definition in definitions(module)]
    for one in dict.fromkeys(changed):
        if given.count(one) > 1:
            yield f"the cell defines {one} more than once"
        if one not in {name, source.name} and places.count(one) > 1:
            yield f"the file defines {one} more than once"
    yield from _left_out(tree, lines, module)


def _places(module: ast.Module, source: FunctionSource, name: str) -> list[Definition]:
    """Return the definitions of *module* that a cell's definition of *name* may mean."""
    return [
        definition
        for definition in definitions(module)
        if definition.name == name
        and (name != source.name or first_line(definition) == source.line)
    ]


def _replacement(
    definition: Definition, place: Definition, text: list[str], lines: list[str]
) -> tuple[int, int, list[str]]:
    """Return the lines to replace and their new text: with the file's indentation and decorators."""
    start = first_line(place) if definition.decorator_list else place.lineno
    indent = lines[place.lineno - 1][: place.col_offset]
    indented = change_code(text, lambda line: indent + line) if indent else text
    return start - 1, place.end_lineno or place.lineno, indented


def _same(definition: Definition, text: list[str], place: Definition, lines: list[str]) -> bool:
    """Return True if *text* equals the file's definition. If *text* has no decorators, the file's decorators stay."""
    other = text_of(place, lines).split("\n")
    if not definition.decorator_list:
        other = other[place.lineno - first_line(place) :]
    return [line.rstrip() for line in text] == [line.rstrip() for line in other]


def _left_out(tree: ast.Module, lines: list[str], module: ast.Module) -> Iterator[str]:
    """Yield a problem for each statement of the cell that is neither a definition nor an import, and so is left out."""
    known = {ast.dump(node) for node in module.body}
    for node in tree.body:
        if isinstance(node, _CODE) or is_text(node) or ast.dump(node) in known:
            continue
        text = lines[node.lineno - 1].strip()
        yield f"line {node.lineno + 1} of the cell is not a function, class or import: {text[:80]}"


def _imports(tree: ast.Module) -> list[ast.stmt]:
    return [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]


def _after_docstring(tree: ast.Module) -> int:
    first = tree.body[0] if tree.body else None
    return (first.end_lineno or 0) if first is not None and is_text(first) else 0


def write_edit(edit: ModuleEdit, folder: Path) -> Path:
    """Write the new text of a module in one step, and return the written file.

    Args:
        edit: the new text.
        folder: the project's folder; a file outside of it is never written.

    Raises:
        ConfigurationError: if the file is not the project's, is read-only, or has changed since it was
            read; if the new text cannot be written in its encoding. Nothing is written then.
    """
    shown = shown_file(edit.source.file)
    problems = list(edit.problems)
    file = edit.source.file.resolve()
    if edit.source.ready_made or not file.is_relative_to(folder.resolve()):
        problems.append(f"the file is not in the project's folder {folder}")
    if not problems and not edit.names and edit.text == edit.source.module_text:
        problems.append("the file already has this version")
    if problems:
        raise ConfigurationError(f"apply to {shown}", problems)
    try:
        before = file.read_bytes()
        after = _encoded(edit, before, shown)
        _check_writable(file, shown)
        _replace(file, before, after, shown)
    except OSError as exc:
        raise ConfigurationError(f"apply to {shown}", [f"cannot be written: {exc}"]) from exc
    return file


def _encoded(edit: ModuleEdit, before: bytes, shown: str) -> bytes:
    """Return the bytes of the new text, in the encoding and with the newlines of the file."""
    encoding, _ = tokenize.detect_encoding(io.BytesIO(before).readline)
    old = before.decode(encoding)
    plain = re.sub("\r\n?", "\n", old)
    if plain != edit.source.module_text:
        raise ConfigurationError(f"apply to {shown}", [CHANGED])
    newlines = re.findall("\r\n|\r|\n", old)
    usual = max(dict.fromkeys(newlines), key=newlines.count, default="\n")
    # Lines that stay keep their own newline, in files that mix them, too.
    old_lines, new_lines = plain.split("\n"), edit.text.split("\n")
    ends = [usual] * (len(new_lines) - 1) + [""]
    matcher = difflib.SequenceMatcher(None, old_lines, new_lines, autojunk=False)
    for block in matcher.get_matching_blocks():
        for i in range(block.size):
            if block.a + i < len(newlines) and block.b + i < len(ends) - 1:
                ends[block.b + i] = newlines[block.a + i]
    text = "".join(line + end for line, end in zip(new_lines, ends, strict=True))
    try:
        compile(edit.text, shown, "exec", dont_inherit=True)
        return text.encode(encoding)
    except (SyntaxError, ValueError) as exc:
        raise ConfigurationError(
            f"apply to {shown}", [f"the new text cannot be written as {encoding}: {exc}"]
        ) from exc


def _check_writable(file: Path, shown: str) -> None:
    # Not os.access alone: it allows everything to root, and replacing needs no right on the file.
    mode = file.stat().st_mode
    if not stat.S_ISREG(mode) or not mode & 0o222 or not os.access(file, os.W_OK):
        raise ConfigurationError(f"apply to {shown}", ["the file is read-only"])


def _replace(file: Path, before: bytes, after: bytes, shown: str) -> None:
    """Replace the file's bytes in one step, with its owner and permissions."""
    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", suffix=".tmp", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as new:
            new.write(after)
            new.flush()
            os.fsync(new.fileno())
        shutil.copymode(file, name)
        if hasattr(os, "chown"):
            owner = file.stat()
            with contextlib.suppress(PermissionError):
                os.chown(name, owner.st_uid, owner.st_gid)
        # As late as possible: an editor may have saved the file since it was read.
        if file.read_bytes() != before:
            raise ConfigurationError(f"apply to {shown}", [CHANGED])
        Path(name).replace(file)
    finally:
        Path(name).unlink(missing_ok=True)
