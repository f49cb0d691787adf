"""Source of a transformation's function: its place, its helpers, and the diff of a new version."""

from __future__ import annotations

import ast
import difflib
import functools
import inspect
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_PACKAGE = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSource:
    """Place and text of a function's source.

    Attributes:
        name: the name in the function's ``def``, which can differ from the name in rows.
        line: line of its first decorator or its ``def``, from 1.
        module_text: the complete text of the file.
    """

    name: str
    file: Path
    line: int
    module_text: str

    @property
    def ready_made(self) -> bool:
        """True if the function belongs to this package, so that the user should not edit it."""
        return self.file.is_relative_to(_PACKAGE)


def source_of(fn: Callable[..., Any]) -> FunctionSource | None:
    """Return the source of *fn*; None if it has no file, or if the file no longer contains it."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    fn = inspect.unwrap(fn)
    code = getattr(fn, "__code__", None)
    file = Path(getattr(code, "co_filename", ""))
    try:
        text = file.read_text(encoding="utf-8")
        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError):
        return None
    name = getattr(fn, "__name__", "")
    found = [d for d in _definitions(tree) if d.name == name]
    if code is None or not found:
        return None
    nearest = min(found, key=lambda d: abs(_first_line(d) - code.co_firstlineno))
    return FunctionSource(name=name, file=file, line=_first_line(nearest), module_text=text)


def with_helpers(source: FunctionSource) -> str:
    """Return the function's text, preceded by the functions and classes of its module that it uses."""
    tree = ast.parse(source.module_text)
    lines = source.module_text.splitlines()
    by_name: dict[str, list[Definition]] = {}
    for definition in _definitions(tree):
        by_name.setdefault(definition.name, []).append(definition)
    main = next(d for d in by_name[source.name] if _first_line(d) == source.line)
    needed, waiting = {main.lineno: main}, [main]
    while waiting:
        for name in _names_in(waiting.pop()):
            for helper in by_name.get(name, ()):
                if helper.lineno not in needed:
                    needed[helper.lineno] = helper
                    waiting.append(helper)
    helpers = [needed[line] for line in sorted(needed) if needed[line] is not main]
    return "\n\n\n".join(_text_of(d, lines) for d in [*helpers, main])


def module_diff(source: FunctionSource, cell: str, name: str) -> str:
    """Return a unified diff that brings the cell's version into the module; "" without changes.

    A definition in the cell replaces the module's definition of the same name, and the definition
    called *name* replaces the function itself. New definitions are inserted before the function.
    """
    lines = source.module_text.splitlines()
    tree = ast.parse(source.module_text)
    places = {d.name: d for d in _definitions(tree)}
    places[source.name] = next(d for d in _definitions(tree) if _first_line(d) == source.line)
    cell_lines = cell.splitlines()
    replaced: list[tuple[int, int, list[str]]] = []
    new: list[str] = []
    for definition in _definitions(ast.parse(cell)):
        text = _text_of(definition, cell_lines).splitlines()
        old = places.get(source.name if definition.name == name else definition.name)
        if old is None:
            new += [*text, "", ""]
        else:
            replaced.append((_first_line(old) - 1, old.end_lineno or old.lineno, text))
    imports = [line for line in _imports(cell) if line not in set(_imports(source.module_text))]
    after = [
        node.end_lineno or 0 for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    if imports:
        at = max(after, default=_after_docstring(tree))
        replaced.append((at, at, imports))
    if new:
        replaced.append((source.line - 1, source.line - 1, new))
    changed = [*lines]
    for start, end, text in sorted(replaced, key=lambda r: r[:2], reverse=True):
        changed[start:end] = text
    shown = _shown(source.file)
    return "\n".join(
        difflib.unified_diff(lines, changed, shown, f"{shown} (as tried)", lineterm="")
    )


def _definitions(tree: ast.Module) -> Iterator[Definition]:
    """Yield the module's functions and classes, including those in a top-level ``if`` or ``try``."""
    waiting: list[ast.stmt] = [*tree.body]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, Definition):
            yield node
        elif isinstance(node, ast.If | ast.Try):
            waiting = [*node.body, *node.orelse, *waiting]


def _names_in(definition: Definition) -> set[str]:
    return {node.id for node in ast.walk(definition) if isinstance(node, ast.Name)}


def _imports(text: str) -> list[str]:
    tree = ast.parse(text)
    return [ast.unparse(n) for n in tree.body if isinstance(n, ast.Import | ast.ImportFrom)]


def _after_docstring(tree: ast.Module) -> int:
    first = tree.body[0] if tree.body else None
    is_text = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    return (first.end_lineno or 0) if first is not None and is_text else 0


def _first_line(definition: Definition) -> int:
    return min([definition.lineno, *(d.lineno for d in definition.decorator_list)])


def _text_of(definition: Definition, lines: list[str]) -> str:
    return "\n".join(lines[_first_line(definition) - 1 : definition.end_lineno])


def _shown(file: Path) -> str:
    """Return the path for the header of a diff: relative to the working directory if it is below it.

    Runs of whitespace become one space, and none remains at the ends.
    """
    try:
        shown = file.relative_to(Path.cwd())
    except ValueError:
        shown = file
    return re.sub(r"\s+", " ", str(shown)).strip()
