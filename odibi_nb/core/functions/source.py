"""Source of a transformation's function: its place, its helpers, and the diff of a new version."""

from __future__ import annotations

import ast
import functools
import inspect
import io
import re
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi_nb.core.functions.module_source import first_line

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
    fn = inspect.unwrap(innermost(fn))
    code = getattr(fn, "__code__", None)
    file = Path(getattr(code, "co_filename", ""))
    try:
        with tokenize.open(file) as opened:  # in the encoding that the file declares
            text = opened.read()
        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError):
        return None
    name = getattr(fn, "__name__", "")
    found = [d for d in definitions(tree) if d.name == name]
    if code is None or not found:
        return None
    nearest = min(found, key=lambda d: abs(first_line(d) - code.co_firstlineno))
    return FunctionSource(name=name, file=file, line=first_line(nearest), module_text=text)


def innermost(fn: Any) -> Any:
    """Return *fn* without the partials around it."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn


def with_helpers(source: FunctionSource) -> str:
    """Return the function's text, preceded by the functions and classes of its module that it uses."""
    tree = ast.parse(source.module_text)
    lines = lines_of(source.module_text)
    by_name: dict[str, list[Definition]] = {}
    for definition in definitions(tree):
        by_name.setdefault(definition.name, []).append(definition)
    main = next(d for d in by_name[source.name] if first_line(d) == source.line)
    needed, waiting = {main.lineno: main}, [main]
    while waiting:
        for name in {n.id for n in ast.walk(waiting.pop()) if isinstance(n, ast.Name)}:
            for helper in by_name.get(name, ()):
                if helper.lineno not in needed:
                    needed[helper.lineno] = helper
                    waiting.append(helper)
    helpers = [needed[line] for line in sorted(needed) if needed[line] is not main]
    return "\n\n\n".join(text_of(d, lines) for d in [*helpers, main])


def definitions(tree: ast.Module) -> Iterator[Definition]:
    """Yield the module's functions and classes, including those in a top-level ``if`` or ``try``."""
    waiting: list[ast.stmt] = [*tree.body]
    while waiting:
        node = waiting.pop(0)
        if isinstance(node, Definition):
            yield node
        elif isinstance(node, ast.If | ast.Try):
            waiting = [*node.body, *node.orelse, *waiting]


def text_of(definition: Definition, lines: list[str]) -> str:
    """Return the text of a definition with its decorators, without the indentation of its block."""
    text = lines[first_line(definition) - 1 : definition.end_lineno]
    indent = lines[definition.lineno - 1][: definition.col_offset]
    return "\n".join(change_code(text, lambda line: line.removeprefix(indent)) if indent else text)


def change_code(lines: list[str], change: Callable[[str], str]) -> list[str]:
    """Return *lines* of code with *change* applied, except inside multi-line strings, which are values."""
    inside: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO("\n".join(lines)).readline):
        if token.start[0] != token.end[0]:
            inside.update(range(token.start[0] + 1, token.end[0] + 1))
    return [
        line if number in inside or not line.strip() else change(line)
        for number, line in enumerate(lines, 1)
    ]


def lines_of(text: str) -> list[str]:
    """Return the lines of *text* as Python counts them: a form feed does not end a line."""
    return text.split("\n")


def shown_file(file: Path) -> str:
    """Return the path for the header of a diff: relative to the working directory if it is below it.

    Each run of whitespace becomes one space, and both ends are stripped.
    """
    try:
        shown = file.relative_to(Path.cwd())
    except ValueError:
        shown = file
    return re.sub(r"\s+", " ", str(shown)).strip()
