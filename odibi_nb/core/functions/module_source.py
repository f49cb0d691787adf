"""Source text of one module, split into its top-level statements, with the names that each uses.

The text is only parsed, never run. `odibi_nb.core.functions.code_hash` follows the names from module to
module.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

Chain = tuple[str, ...]
"""A dotted name, such as ``("helpers", "clean", "to_utc")``."""

_WHOLE_MODULE = frozenset({"globals", "locals", "vars", "eval", "exec", "dir"})
"""Builtins that can reach every name of their module."""

_IMPORTERS = frozenset({"import_module", "__import__", "run_module", "resolve_name"})
"""Functions that import a module by its name as text."""

_BARE_IMPORTERS = _IMPORTERS - {"resolve_name"}

_ANY_MODULE = frozenset(
    {"spec_from_file_location", "run_path", "SourceFileLoader", "exec_module", "find_spec"}
)
"""Functions that can load any file."""

_DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_COMPOUND = tuple(
    getattr(ast, name)
    for name in ("If", "Try", "TryStar", "With", "AsyncWith", "For", "AsyncFor", "While", "Match")
    if hasattr(ast, name)
)


class Imported(NamedTuple):
    """Target of an import: *attribute* of *module*, or the module itself if *attribute* is ""."""

    module: str
    attribute: str = ""


@dataclass(frozen=True, eq=False)
class Unit:
    """One top-level statement of a module.

    Attributes:
        node: the statement.
        names: the names that it binds.
        effect: True if it can change more than the names that it binds, as a call does.
        text: its source text.
    """

    node: ast.stmt
    names: frozenset[str]
    effect: bool
    text: str
    package: str

    @cached_property
    def plain(self) -> str:
        """The statement without comments, formatting and docstrings."""
        return ast.unparse(_Bare().visit(ast.parse(ast.unparse(self.node))))

    @cached_property
    def verbatim(self) -> str:
        """The statement without comments and formatting, with its docstrings."""
        return ast.unparse(self.node)

    @cached_property
    def uses(self) -> _Uses:
        """The names that the statement uses."""
        return _Uses(self.node, self.package)

    @property
    def is_import(self) -> bool:
        """True if the statement only imports."""
        return isinstance(self.node, (ast.Import, ast.ImportFrom))

    @property
    def is_definition(self) -> bool:
        """True if the statement defines a function or class."""
        return isinstance(self.node, _DEFINITIONS)

    @cached_property
    def decorators(self) -> frozenset[str]:
        """The first names of the decorators of a definition."""
        found = getattr(self.node, "decorator_list", ())
        chains = (chain_of(one.func if isinstance(one, ast.Call) else one) for one in found)
        return frozenset(chain[0] for chain in chains if chain)


@dataclass(frozen=True, eq=False)
class ModuleSource:
    """Statements of one module.

    Attributes:
        name: name of the module, as the project's code spells it.
        text: the source text; "" for a package without a file.
        is_package: True if the module can have submodules.
    """

    name: str
    text: str
    is_package: bool = False
    units: tuple[Unit, ...] = field(init=False)

    def __post_init__(self) -> None:
        """Parse the text.

        Raises:
            SyntaxError: if the text is not Python.
        """
        package = self.name if self.is_package else self.name.rpartition(".")[0]
        lines = self.text.splitlines()
        units = tuple(
            _unit(node, lines, package)
            for node in ast.parse(self.text).body
            if not is_text(node) and not _only_as_script(node)
        )
        object.__setattr__(self, "units", units)

    @cached_property
    def binding(self) -> dict[str, list[Unit]]:
        """The statements that bind each name."""
        found: dict[str, list[Unit]] = {}
        for unit in self.units:
            for name in unit.names:
                found.setdefault(name, []).append(unit)
        return found

    @cached_property
    def imported(self) -> dict[str, tuple[Imported, ...]]:
        """The names that the module's imports bind, with their targets."""
        found: dict[str, tuple[Imported, ...]] = {}
        for unit in self.units:
            for name, targets in () if unit.is_definition else unit.uses.imported.items():
                found[name] = (*found.get(name, ()), *targets)
        return found

    @cached_property
    def imports(self) -> tuple[Imported, ...]:
        """The targets of the imports that run when the module is imported."""
        units = [unit for unit in self.units if not unit.is_definition]
        return tuple(dict.fromkeys(target for unit in units for target in unit.uses.imports))

    @cached_property
    def stars(self) -> tuple[str, ...]:
        """The modules from which the module imports ``*``."""
        return tuple(name for unit in self.units if unit.is_import for name in unit.uses.modules)

    def touching(self, name: str) -> Iterator[Unit]:
        """Yield the statements that may change the value of *name* while they compute another one."""
        for unit in self.units:
            if unit.effect or unit.is_definition or unit.is_import or name in unit.names:
                continue
            if unit.uses.called and any(chain[0] == name for chain in unit.uses.chains):
                yield unit

    def at_line(self, line: int) -> Unit | None:
        """Return the statement with the line *line*."""
        spans = (u for u in self.units if first_line(u.node) <= line <= (u.node.end_lineno or 0))
        return next(spans, None)

    def chosen(self, line: int) -> str:
        """Return the text of the function at *line* that an ``if`` or ``try`` defines; "" for others."""
        unit = self.at_line(line)
        for node in () if unit is None or unit.is_definition else ast.walk(unit.node):
            if isinstance(node, (*_DEFINITIONS, ast.Lambda)) and line == first_line(node):
                return ast.unparse(node)
        return ""


def first_line(node: ast.stmt | ast.Lambda) -> int:
    """Return the line on which *node* begins, with its decorators."""
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(d.lineno for d in decorators)])


def is_text(node: ast.stmt) -> bool:
    """Return True if *node* is only a constant, such as a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def is_importer(chain: Chain) -> bool:
    """Return True if the last name of *chain* is a function that imports a module by its name."""
    return chain[-1] in _BARE_IMPORTERS


def hash_of(text: str) -> str:
    """Return 16 hex digits for *text*."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


class _Uses(ast.NodeVisitor):
    """Names that a statement of a module in *package* uses.

    Attributes:
        chains: the dotted names, including local variables.
        imported: the names that import statements in the code bind, with their targets. A name has
            several if the code chooses one, as in ``try: import a except ImportError: import b``.
        imports: the targets of these statements, without the imports under ``if TYPE_CHECKING``.
        modules: modules that the code imports by their name as text, or with ``from … import *``.
        whole: True if the code can reach every name of its module.
        anything: True if the code can load any module.
        called: the first names of the calls in the code.
        given_context: the names of the functions that get a variable called ``context``.
    """

    def __init__(self, node: ast.stmt, package: str) -> None:
        self.chains: set[Chain] = set()
        self.imported: dict[str, list[Imported]] = {}
        self.imports: list[Imported] = []
        self.modules: dict[str, None] = {}
        self.whole = self.anything = False
        self.called: set[str] = set()
        self.given_context: set[Chain] = set()
        self._package = package
        self._runs = True
        self.visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        self._found((node.id,))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain = chain_of(node)
        if chain is None:
            self._found_last(node.attr)
            self.visit(node.value)
        else:
            self._found(chain)

    def visit_Call(self, node: ast.Call) -> None:
        chain = chain_of(node.func)
        self.called.add(chain[0] if chain else "")
        if any(_names_context(x) for x in (*node.args, *(k.value for k in node.keywords))):
            self.given_context.add(chain or ("", ""))
        if chain is not None and chain[-1] in _IMPORTERS:
            name = node.args[0] if node.args else None
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                self.modules[self._absolute(name.value)] = None
                for part in (*node.args, *node.keywords):
                    self.visit(part)
                return
            self.anything = True
        self.generic_visit(node)

    def visit_If(self, node: ast.If) -> None:
        before = self._runs
        self._runs = before and not ast.unparse(node.test).endswith("TYPE_CHECKING")
        self.generic_visit(node)
        self._runs = before

    def visit_arg(self, node: ast.arg | ast.AnnAssign) -> None:
        """Visit the code in an annotation in quotes, too."""
        quoted = node.annotation
        if isinstance(quoted, ast.Constant) and isinstance(quoted.value, str):
            with contextlib.suppress(SyntaxError, ValueError):
                self.visit(ast.parse(quoted.value, mode="eval"))
        self.generic_visit(node)

    visit_AnnAssign = visit_arg  # noqa: N815  the name that Python calls

    def _binds(self, name: str, target: Imported, loads: Imported) -> None:
        self.imported.setdefault(name, []).append(target)
        if self._runs:
            self.imports.append(loads)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            target = Imported(alias.name if alias.asname else name)
            self._binds(name, target, Imported(alias.name))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = self._absolute("." * node.level + (node.module or ""))
        for alias in node.names:
            if alias.name == "*":
                self.modules[module] = None
            else:
                target = Imported(module, alias.name)
                self._binds(alias.asname or alias.name, target, target)

    def _absolute(self, name: str) -> str:
        level = len(name) - len(name.lstrip("."))
        if not level:
            return name
        parts = self._package.split(".") if self._package else []
        base = parts[: len(parts) - level + 1]
        return ".".join([*base, *filter(None, [name.lstrip(".")])])

    def _found(self, chain: Chain) -> None:
        self.chains.add(chain)
        if chain[0] in _WHOLE_MODULE:
            self.whole = True
        if chain[:2] == ("sys", "modules"):
            self.anything = True
        self._found_last(chain[-1])

    def _found_last(self, name: str) -> None:
        if name in _ANY_MODULE or name in _BARE_IMPORTERS:
            self.anything = True
        if name in {"__globals__", "f_globals"}:
            self.whole = self.anything = True


def _names_context(node: ast.expr) -> bool:
    inner = node.value if isinstance(node, ast.Starred) else node
    return isinstance(inner, ast.Name) and inner.id == "context"


def chain_of(node: ast.AST) -> Chain | None:
    """Return the dotted name that *node* is; None for other code."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else None


class _Bare(ast.NodeTransformer):
    """Remover of docstrings."""

    def generic_visit(self, node: ast.AST) -> ast.AST:
        super().generic_visit(node)
        if isinstance(node, _DEFINITIONS) and node.body and is_text(node.body[0]):
            node.body = node.body[1:] or [ast.Pass()]
        return node


def _only_as_script(node: ast.stmt) -> bool:
    """Return True for ``if __name__ == "__main__":`` without an ``else``."""
    if not isinstance(node, ast.If) or node.orelse or not isinstance(node.test, ast.Compare):
        return False
    test = ast.unparse(node.test)
    return test in {"__name__ == '__main__'", "'__main__' == __name__"}


def _unit(node: ast.stmt, lines: list[str], package: str) -> Unit:
    text = "\n".join(lines[first_line(node) - 1 : node.end_lineno])
    names = frozenset(_bound(node))
    return Unit(node, names, _has_effect(node), text, package)


def _bound(node: ast.stmt) -> Iterator[str]:
    """Yield the module's names that a statement binds."""
    waiting: list[ast.AST] = [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, _DEFINITIONS):
            yield part.name
        elif isinstance(part, (ast.Import, ast.ImportFrom)):
            names = (one.asname or one.name.partition(".")[0] for one in part.names)
            yield from (name for name in names if name != "*")
        elif not isinstance(part, ast.Lambda):
            yield from _stored(part)
            waiting += ast.iter_child_nodes(part)


def _stored(part: ast.AST) -> Iterator[str]:
    """Yield the name that one node of the syntax tree binds."""
    if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
        yield part.id
    elif isinstance(part, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and part.name:
        yield part.name


def _has_effect(node: ast.stmt) -> bool:
    """Return True if a statement can change more than the names that it binds."""
    if isinstance(node, (*_DEFINITIONS, ast.Import, ast.ImportFrom, ast.Pass)):
        return False
    if isinstance(node, _COMPOUND):
        inner = [part for part in ast.walk(node) if isinstance(part, ast.stmt) and part is not node]
        return any(not is_text(part) and _has_effect(part) for part in inner)
    if isinstance(node, (ast.Assign, ast.AnnAssign)):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        return any(_is_effect_target(target) for target in targets)
    return not (isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name))


def _is_effect_target(target: ast.expr) -> bool:
    if isinstance(target, (ast.Tuple, ast.List)):
        return any(map(_is_effect_target, target.elts))
    if isinstance(target, ast.Starred):
        return _is_effect_target(target.value)
    return not isinstance(target, ast.Name) or target.id == "_"
