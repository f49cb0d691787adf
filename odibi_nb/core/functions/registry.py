"""Lookup of the functions that registry rows name, and of the keywords to call them with."""

from __future__ import annotations

import contextlib
import dis
import hashlib
import inspect
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.core.functions.modules import (
    FunctionNotFoundError,
    ModuleLoader,
    import_module,
    is_one_of,
)
from odibi_nb.core.functions.sibling_modules import plain_name
from odibi_nb.core.functions.source import innermost
from odibi_nb.core.model.transformation import READY_MADE
from odibi_nb.core.text.spark_errors import is_no_session
from odibi_nb.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import CodeType, ModuleType

ANY_ENGINE = "any"
SEED_KEYWORDS = ("inputs", "constants", "outputs", "spark", "env", "context")
"""Keywords that a transformation is called with; it only gets the keywords in its signature."""
CONTEXT_PARAM = "_odibi_context_param"
"""Attribute of a wrapper of `with_context`: the name of the parameter that the wrapper fills."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A registered function; *module* is the name that it is registered under, its own or another."""

    module: str
    fn: Callable[..., Any]
    metadata: Mapping[str, Any]


class FunctionRegistry:
    """Functions by (module, name, engine); engine ``any`` is the fallback for each engine.

    Each project has its own functions. While a project is planned, functions of other projects are
    hidden.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str, str], dict[Path | None, Registered]] = {}

    def register(
        self,
        name: str,
        engine: str,
        fn: Callable[..., Any],
        module: str | None = None,
        **metadata: Any,
    ) -> None:
        """Register *fn* under its own module and, if *module* is given, under that name too.

        Raises:
            ValueError: if the name is empty or the engine is unknown.
            TypeError: if *fn* is not callable.
        """
        engine = engine.lower()
        if not name:
            raise ValueError(f"a function needs a name: {fn!r:.60}")
        if engine not in {"spark", "pandas", ANY_ENGINE}:
            raise ValueError(f"engine must be 'spark', 'pandas' or 'any', found {engine!r}")
        if not callable(fn):
            raise TypeError(f"expected a function, found {fn!r:.60}")
        metadata.setdefault("description", inspect.getdoc(fn))
        own, owner = plain_name(_module_of(fn)), ModuleLoader.owner_of(_module_of(fn))
        with self._lock:
            for home in {module or own, own}:
                by_owner = self._entries.setdefault((home, name, engine), {})
                by_owner.pop(owner, None)  # so that the newest entry is the last one
                by_owner[owner] = Registered(home, fn, metadata)

    def unregister(self, name: str, engine: str, module: str | None = None) -> bool:
        """Remove *name* for *engine* from *module* or from all modules; return True if it existed."""
        with self._lock:
            gone = [
                key
                for key in self._entries
                if key[1:] == (name, engine.lower()) and module in (None, key[0])
            ]
            for key in gone:
                del self._entries[key]
        return bool(gone)

    def forget_modules(self, modules: Iterable[str]) -> None:
        """Remove the functions of *modules*, because these modules will be reloaded."""
        names = set(modules)
        with self._lock:
            for key, by_owner in self._entries.copy().items():
                kept = {o: e for o, e in by_owner.items() if _module_of(e.fn) not in names}
                if kept:
                    self._entries[key] = kept
                else:
                    del self._entries[key]

    def find(self, module: str | None, name: str, engine: str) -> Registered | None:
        """Return the entry for *engine*, or the entry for engine ``any``; None without either.

        Without *module*, the name must be unique across modules. While a project is planned, only its
        own entries and entries outside of all projects count. Otherwise the newest entry counts.
        """
        for entry_engine in (engine.lower(), ANY_ENGINE):
            if module:
                entry = _visible(self._entries.get((module, name, entry_engine), {}))
                if entry is not None:
                    return entry
            else:
                entries = [
                    _visible(by_owner)
                    for key, by_owner in self._entries.copy().items()
                    if key[1:] == (name, entry_engine)
                ]
                same = {id(entry.fn): entry for entry in entries if entry is not None}
                if len(same) == 1:
                    return next(iter(same.values()))
        return None

    def resolve(self, module: str | None, function: str, engine: str) -> Callable[..., Any]:
        """Return the function for a row: registered for *engine* or for ``any``, or imported.

        Raises:
            FunctionNotFoundError: if the function does not exist for *engine*.
        """
        entry = self.find(module, function, engine)
        if entry is not None:
            return entry.fn
        if not module:
            raise FunctionNotFoundError(f"no function {function!r} is registered for {engine}")
        imported = import_module(module)
        entry = self.find(module, function, engine)
        if entry is not None:
            return entry.fn
        try:
            found = getattr(imported, function, None)
        except Exception as exc:  # a module's own __getattr__ may raise anything
            text = f"{module}.{function} cannot be called: {exc}"
            raise FunctionNotFoundError(text) from exc
        if not callable(found) or self._engines_of(module, function):
            raise FunctionNotFoundError(self._no_function(imported, function, engine))
        return found  # type: ignore[no-any-return]

    def _engines_of(self, module: str, function: str) -> list[str]:
        return sorted(
            key[2]
            for key, by_owner in self._entries.copy().items()
            if key[:2] == (module, function) and _visible(by_owner) is not None
        )

    def _no_function(self, module: ModuleType, function: str, engine: str) -> str:
        name = plain_name(module.__name__)
        others = self._engines_of(name, function)
        if others:
            return f"{name}.{function} is registered for {', '.join(others)}, not for {engine}"
        names = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        return f"module {name!r} has no function {function!r}{did_you_mean(function, names)}"

    def get_all(self, engine: str | None = None) -> list[tuple[str, str]]:
        """Return (name, engine) of all entries, or of the entries for *engine*, sorted."""
        return sorted({k[1:] for k in self._entries if engine is None or k[2] == engine.lower()})

    def get_metadata(
        self, name: str, engine: str, module: str | None = None
    ) -> dict[str, Any] | None:
        """Return the metadata of a registered function and its `module`; None if it is unknown."""
        entry = self.find(module, name, engine)
        return None if entry is None else {"module": entry.module, **entry.metadata}

    @contextlib.contextmanager
    def preserved(self) -> Iterator[None]:
        """Restore the registry after the block, so that registrations in the block are temporary."""
        before = {key: dict(by_owner) for key, by_owner in self._entries.items()}
        try:
            yield
        finally:
            with self._lock:
                self._entries = before

    def clear(self) -> None:
        """Remove all functions; for tests."""
        with self._lock:
            self._entries.clear()


def _visible(by_owner: Mapping[Path | None, Registered]) -> Registered | None:
    """Return the entry that counts at present; see `FunctionRegistry.find`."""
    space = ModuleLoader.planning()
    if space is None:
        return next(reversed([*by_owner.values()]), None)
    return by_owner.get(space.folder, by_owner.get(None))


REGISTRY = FunctionRegistry()
"""The registry to which the decorators add functions."""


class ProjectModules(ModuleLoader):
    """Modules beside a manifest, and their functions in *registry*."""

    def __init__(self, folder: Path, registry: FunctionRegistry = REGISTRY) -> None:
        super().__init__(folder)
        self.registry = registry

    def forget(self, modules: Iterable[str]) -> None:
        """Remove the functions that *modules* registered."""
        self.registry.forget_modules(modules)


def module_allowed(module: str, prefixes: Sequence[str]) -> bool:
    """Return True if a row may name *module*: it equals one of *prefixes* or is below it.

    Without prefixes, all modules are allowed. The ready-made `odibi_nb.ingest` and `odibi_nb.sql` are
    always allowed.
    """
    return module in READY_MADE or not prefixes or is_one_of(module, prefixes)


def accepted_keywords(fn: Callable[..., Any]) -> tuple[str, ...]:
    """Return the seed's keywords that *fn* accepts; all of them if it has ``**kwargs``.

    A wrapper only gets the keywords in its own signature, whatever the wrapped function accepts. A
    wrapper with ``**kwargs`` gets the keywords that the wrapped function accepts, or all keywords if
    the wrapped function is not a transformation.

    Raises:
        ValueError: if *fn* has required parameters that no keyword fills, or if a call would not run
            its body, as for an async function or a generator.
    """
    plain = innermost(fn)
    # Our own wrapper passes all arguments on.
    while hasattr(plain, CONTEXT_PARAM) and hasattr(plain, "__wrapped__"):
        plain = innermost(plain.__wrapped__)
    if inspect.iscoroutinefunction(plain):
        raise ValueError("it is async, and the runner does not await functions: use def")
    if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        raise ValueError("it has a yield, so calling it would not run it: return the DataFrame")
    return _taken(fn, getattr(fn, CONTEXT_PARAM, None))


def _taken(fn: Callable[..., Any], filled: str | None) -> tuple[str, ...]:
    """Return the seed's keywords that *fn* accepts; parameter *filled* already has a value."""
    parameters = _own_signature(fn).parameters.values()
    kinds = inspect.Parameter
    by_name = [
        p.name for p in parameters if p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)
    ]
    known = {*by_name} & {*SEED_KEYWORDS, filled}
    extra = [
        p.name
        for p in parameters
        if p.name not in known
        and p.default is kinds.empty
        and p.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)
    ]
    if extra:
        raise UnfilledError(extra)
    if any(p.kind is kinds.VAR_KEYWORD for p in parameters):
        passes_on = any(p.kind is kinds.VAR_POSITIONAL for p in parameters)
        return _passed_on(fn, by_name, filled, passes_on=passes_on)
    return tuple(name for name in SEED_KEYWORDS if name in by_name)


def _own_signature(fn: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of *fn* itself, or of the function that it wraps if it has none.

    Wrappers of `functools.cache` have no signature of their own.
    """
    try:
        return inspect.signature(fn, follow_wrapped=False)
    except ValueError:
        return inspect.signature(fn)


def _passed_on(
    fn: Callable[..., Any], by_name: Sequence[str], filled: str | None, *, passes_on: bool
) -> tuple[str, ...]:
    """Return the seed's keywords for *fn*, which has ``**kwargs``, and ``*args`` if it *passes_on* all."""
    wrapped = getattr(fn, "__wrapped__", None)
    if not callable(wrapped):
        return SEED_KEYWORDS
    try:
        taken = _taken(wrapped, filled)
    except UnfilledError as exc:
        if passes_on and any(did_you_mean(name, SEED_KEYWORDS) for name in exc.parameters):
            raise
        return SEED_KEYWORDS  # the wrapper adapts a function of another framework
    except (ValueError, TypeError):
        return SEED_KEYWORDS
    if not taken and not passes_on:
        return SEED_KEYWORDS
    return tuple(name for name in SEED_KEYWORDS if name in by_name or name in taken)


class UnfilledError(ValueError):
    """A function has required *parameters* that the keywords of a transformation do not fill."""

    def __init__(self, parameters: Sequence[str]) -> None:
        super().__init__(
            f"its parameters {', '.join(map(repr, parameters))} cannot be filled: a transformation is "
            f"called with the keywords {', '.join(SEED_KEYWORDS)}"
        )
        self.parameters = tuple(parameters)


def returns_frames(fn: Callable[..., Any]) -> bool:
    """Return True if the annotation of *fn* declares that it returns DataFrames for the runner to write.

    For a wrapper, return False, because its annotation is only a copy of the wrapped function's.
    """
    plain = innermost(fn)
    if hasattr(plain, "__wrapped__"):
        return False
    try:
        return "DataFrame" in str(plain.__annotations__.get("return"))
    except Exception:  # noqa: BLE001  annotations may be missing, or may fail when evaluated
        return False


def returns_nothing(fn: Callable[..., Any]) -> bool:
    """Return True if the code of *fn*, or of a function that it wraps, can only return None."""
    plain: Any = innermost(fn)
    while plain is not None:
        code = getattr(plain, "__code__", None)
        if code is not None and _only_none(code):
            return True
        plain = innermost(getattr(plain, "__wrapped__", None))
    return False


def _only_none(code: CodeType) -> bool:
    before: dis.Instruction | None = None
    for one in dis.get_instructions(code):
        if one.opname == "RETURN_CONST" and one.argval is not None:  # 3.12 and 3.13
            return False
        loads_none = before is not None and before.opname == "LOAD_CONST" and before.argval is None
        if one.opname == "RETURN_VALUE" and not loads_none:
            return False
        before = one
    return True


def source_hash(fn: Callable[..., Any]) -> str:
    """Return 16 hex digits that change with the source text of *fn*; "" without source text."""
    try:
        source = inspect.getsource(inspect.unwrap(innermost(fn)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return ""
    return hashlib.blake2b(source.encode("utf-8", "replace"), digest_size=8).hexdigest()


def _module_of(fn: Any) -> str:
    return str(getattr(innermost(fn), "__module__", None) or "")


def resolving_with_session(
    start_session: Callable[[], object],
) -> Callable[[str | None, str, str], Callable[..., Any]]:
    """Return a `REGISTRY.resolve` that starts a Spark session if the import of a module needs one.

    A decorator such as ``@udf("double")`` is enough to need a session.
    """

    def resolve(module: str | None, function: str, engine: str) -> Callable[..., Any]:
        try:
            return REGISTRY.resolve(module, function, engine)
        except FunctionNotFoundError as exc:
            if not is_no_session(str(exc)):
                raise
        start_session()
        return REGISTRY.resolve(module, function, engine)

    return resolve
