"""Functions from notebook cells, which run as if the cell's text were part of their module."""

from __future__ import annotations
import __future__

import ast
import linecache
import sys
import traceback
import types
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.core.functions.registry import REGISTRY, accepted_keywords
from odibi_nb.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from odibi_nb.core.model.transformation import Transformation


@dataclass(frozen=True, slots=True, kw_only=True)
class CellFunction:
    """Function that a cell defines, with the seed's keywords that it accepts."""

    fn: Callable[..., Any]
    keywords: tuple[str, ...]
    name: str


def function_from(
    body: str,
    transformation: Transformation,
    engine: str,
    known: str | None = None,
    home: str | None = None,
) -> CellFunction:
    """Run a cell's text and return the function in it that replaces *transformation*'s.

    The text can use all names of the module, and its own definitions replace the module's: helpers of
    the module call the cell's versions. The module itself and the registry do not change.

    Args:
        body: the cell's text below its first line.
        transformation: the row whose function the cell defines.
        engine: ``pandas`` or ``spark``; selects one of two functions with the same name.
        known: the name of the function's ``def`` in the module, if it differs from the row's.
        home: the name of the module in ``sys.modules``, if it differs from the row's.

    Raises:
        ConfigurationError: if the text is not Python, if it raises, or if no definition in it matches
            the row's function. Line numbers count the line of the magic as the first.
    """
    where = f"try {transformation.transformation_id}"
    file = f"<%%odibi {where}>"
    code = _compiled(body, file, where)
    defined = [
        node.name
        for node in ast.parse(body).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    namespace = _namespace_of(home or transformation.module)
    with REGISTRY.preserved():
        before = REGISTRY.find(transformation.module, transformation.function, engine)
        try:
            exec(code, namespace)  # noqa: S102  the user asked to run this cell
        except Exception as exc:
            raise ConfigurationError(where, [_raised(exc, file)]) from exc
        found = REGISTRY.find(transformation.module, transformation.function, engine)
    if found is not None and found is not before:
        fn = found.fn
        name = getattr(fn, "__name__", transformation.function)
    else:
        name = _chosen(defined, [transformation.function, known], where)
        fn = namespace[name]
    try:
        return CellFunction(fn=fn, keywords=accepted_keywords(fn), name=name)
    except (ValueError, TypeError) as exc:
        raise ConfigurationError(where, [f"{name} cannot be called: {exc}"]) from exc


def _compiled(body: str, file: str, where: str) -> types.CodeType:
    # The magic's own line counts, so that line numbers match the front end's.
    text = f"\n{body}"
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    try:
        # Annotations stay text, because modules import their types under TYPE_CHECKING only.
        flags = __future__.annotations.compiler_flag
        code: types.CodeType = compile(text, file, "exec", flags=flags, dont_inherit=True)
    except SyntaxError as exc:
        line = (exc.text or "").rstrip("\n")
        column = max(0, (exc.offset or 1) - 1)
        arrow = f"\n    {line}\n    {' ' * column}^" if line else ""
        message = f"line {exc.lineno} of the cell: {type(exc).__name__}: {exc.msg}{arrow}"
        raise ConfigurationError(where, [message]) from None
    except ValueError as exc:
        raise ConfigurationError(where, [f"is not Python: {exc}"]) from None
    return code


def _namespace_of(module: str) -> dict[str, Any]:
    """Return a copy of the module's names, in which copies of its functions call each other.

    If the module is not loaded, the copy only contains the names that imports need.
    """
    loaded = sys.modules.get(module)
    if loaded is None:
        return {"__name__": module, "__package__": module.rpartition(".")[0]}
    namespace = dict(vars(loaded))
    for name, value in vars(loaded).items():
        if isinstance(value, types.FunctionType) and value.__globals__ is vars(loaded):
            namespace[name] = _moved(value, namespace)
    return namespace


def _moved(fn: types.FunctionType, namespace: dict[str, Any]) -> types.FunctionType:
    """Return a copy of *fn* with *namespace* as its globals."""
    copy = types.FunctionType(fn.__code__, namespace, fn.__name__, fn.__defaults__, fn.__closure__)
    copy.__kwdefaults__ = fn.__kwdefaults__
    copy.__dict__.update(vars(fn))
    copy.__doc__, copy.__module__, copy.__qualname__ = fn.__doc__, fn.__module__, fn.__qualname__
    return copy


def _raised(exc: Exception, file: str) -> str:
    line = None
    for frame, number in traceback.walk_tb(exc.__traceback__):
        if frame.f_code.co_filename == file:
            line = number
    return f"line {line} of the cell: {type(exc).__name__}: {exc}"


def _chosen(defined: list[str], names: list[str | None], where: str) -> str:
    """Return the name in *defined* that is in *names*, or the only name in *defined*.

    Raises:
        ConfigurationError: if no name matches, and *defined* is empty or has several names.
    """
    for name in names:
        if name in defined:
            return str(name)
    if len(defined) == 1:
        return defined[0]
    expected = next(name for name in names if name)
    if not defined:
        raise ConfigurationError(
            where, [f"the cell defines no function; expected def {expected}(...)"]
        )
    hint = did_you_mean(expected, defined)
    raise ConfigurationError(
        where,
        [f"the cell defines {', '.join(defined)}, and none of them is {expected!r}{hint}"],
    )
