"""Finding the function a registry row names, and calling it as the seed does."""

from __future__ import annotations

import contextlib
import dis
import functools
import hashlib
import inspect
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.core.functions.modules import FunctionNotFoundError, ModuleLoader, import_module
from odibi_nb.core.functions.sibling_modules import plain_name
from odibi_nb.core.model.transformation import INGEST_MODULE
from odibi_nb.core.text.spark_errors import is_no_session
from odibi_nb.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import CodeType, ModuleType

ANY_ENGINE = "any"
SEED_KEYWORDS = ("inputs", "constants", "outputs", "spark", "env", "context")
"""What a transformation is called with, each only if its signature takes it."""
CONTEXT_PARAM = "_odibi_context_param"
"""Marks the wrapper of `with_context`, with the name of the parameter that it fills."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A function in the registry: *module* is the name it was filed under, its own or a given one."""

    module: str
    name: str
    engine: str
    fn: Callable[..., Any]
    metadata: Mapping[str, Any]


class FunctionRegistry:
    """Functions by (module, name, engine); engine ``any`` stands in where no other fits.

    Each project has its own: while it is planned, other projects' functions are not found.
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
        """File *fn* under its own module, and under *module* too if that is given.

        Raises:
            ValueError: if the name is empty or the engine unknown.
            TypeError: if *fn* cannot be called.
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
                by_owner.pop(owner, None)  # the newest is the last
                by_owner[owner] = Registered(home, name, engine, fn, metadata)

    def unregister(self, name: str, engine: str, module: str | None = None) -> bool:
        """Forget *name* for *engine* (in *module*, or in all); whether it was there."""
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
        """Forget the functions that these modules define, because they are loaded anew."""
        names = set(modules)
        with self._lock:
            for key, by_owner in [*self._entries.items()]:
                kept = {o: e for o, e in by_owner.items() if _module_of(e.fn) not in names}
                if kept:
                    self._entries[key] = kept
                else:
                    del self._entries[key]

    def find(self, module: str | None, name: str, engine: str) -> Registered | None:
        """The entry for *engine*, else for any engine; without a module, if only one has the name.

        While a project is planned, its own entry or one that is no project's; else the newest.
        """
        for entry_engine in (engine.lower(), ANY_ENGINE):
            if module:
                entry = _visible(self._entries.get((module, name, entry_engine), {}))
                if entry is not None:
                    return entry
            else:
                entries = [
                    _visible(by_owner)
                    for key, by_owner in [*self._entries.items()]
                    if key[1:] == (name, entry_engine)
                ]
                same = {id(entry.fn): entry for entry in entries if entry is not None}
                if len(same) == 1:
                    return next(iter(same.values()))
        return None

    def resolve(self, module: str | None, function: str, engine: str) -> Callable[..., Any]:
        """The function for a row: registered for *engine*, registered for any, else by import.

        Raises:
            FunctionNotFoundError: if there is none.
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
        found = getattr(imported, function, None)
        if not callable(found) or self._engines_of(module, function):
            raise FunctionNotFoundError(self._no_function(imported, function, engine))
        return found  # type: ignore[no-any-return]

    def _engines_of(self, module: str, function: str) -> list[str]:
        return sorted(
            key[2]
            for key, by_owner in [*self._entries.items()]
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
        """(name, engine) of all entries, sorted."""
        return sorted({k[1:] for k in self._entries if engine is None or k[2] == engine.lower()})

    def get_metadata(
        self, name: str, engine: str, module: str | None = None
    ) -> dict[str, Any] | None:
        """What was said of a function when it was registered, with its `module`; None if unknown."""
        entry = self.find(module, name, engine)
        return None if entry is None else {"module": entry.module, **entry.metadata}

    @contextlib.contextmanager
    def preserved(self) -> Iterator[None]:
        """Whatever is registered inside the block is forgotten after it."""
        before = {key: dict(by_owner) for key, by_owner in self._entries.items()}
        try:
            yield
        finally:
            with self._lock:
                self._entries = before

    def clear(self) -> None:
        """Forget everything; for tests."""
        with self._lock:
            self._entries.clear()


def _visible(by_owner: Mapping[Path | None, Registered]) -> Registered | None:
    """The entry of the project that is planned, else one that is no project's; elsewhere the newest."""
    space = ModuleLoader.planning()
    if space is None:
        return next(reversed([*by_owner.values()]), None)
    return by_owner.get(space.folder, by_owner.get(None))


REGISTRY = FunctionRegistry()
"""The registry that the decorators file functions in."""


class ProjectModules(ModuleLoader):
    """The modules beside a manifest, and what *registry* has of them."""

    def __init__(self, folder: Path, registry: FunctionRegistry = REGISTRY) -> None:
        super().__init__(folder)
        self.registry = registry

    def forget(self, modules: Iterable[str]) -> None:
        """Forget the functions that such modules registered."""
        self.registry.forget_modules(modules)


def module_allowed(module: str, prefixes: Sequence[str]) -> bool:
    """Whether a row may name *module*: it is one of *prefixes* or below one.

    Without prefixes every module is allowed; the ready-made `odibi_nb.ingest` always is.
    """
    if module == INGEST_MODULE:
        return True
    return not prefixes or any(
        module == p or module.startswith(p.rstrip(".") + ".") for p in prefixes
    )


def accepted_keywords(fn: Callable[..., Any]) -> tuple[str, ...]:
    """Which of the seed's keywords *fn* takes; all of them if it has ``**kwargs``.

    A wrapper is called as it is: what it cannot take it does not get, whatever it wraps. One with
    ``**kwargs`` gets what the wrapped function takes, or everything if that is no transformation.

    Raises:
        ValueError: if *fn* has required parameters that none of them fills, or if calling it would
            not run it.
    """
    plain = _innermost(fn)
    while hasattr(plain, CONTEXT_PARAM) and hasattr(
        plain, "__wrapped__"
    ):  # our own wrapper passes on what it gets
        plain = _innermost(plain.__wrapped__)
    if inspect.iscoroutinefunction(plain):
        raise ValueError("it is async, and nobody would await it: use def")
    if inspect.isgeneratorfunction(plain) or inspect.isasyncgenfunction(plain):
        raise ValueError("it has a yield, so calling it would not run it: return the DataFrame")
    return _taken(fn, getattr(fn, CONTEXT_PARAM, None))


def _taken(fn: Callable[..., Any], filled: str | None) -> tuple[str, ...]:
    """The seed's keywords that *fn* takes; the parameter *filled* has a value already."""
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
    """The signature of *fn* itself; of what it wraps where it has none, as those of `functools.cache`."""
    try:
        return inspect.signature(fn, follow_wrapped=False)
    except ValueError:
        return inspect.signature(fn)


def _passed_on(
    fn: Callable[..., Any], by_name: Sequence[str], filled: str | None, *, passes_on: bool
) -> tuple[str, ...]:
    """What *fn*, which has ``**kwargs``, gets: of a wrapper that *passes_on* all, what the wrapped takes."""
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
    """A function has required *parameters* that a transformation is not called with."""

    def __init__(self, parameters: Sequence[str]) -> None:
        super().__init__(
            f"its parameters {', '.join(map(repr, parameters))} cannot be filled: a transformation is "
            f"called with the keywords {', '.join(SEED_KEYWORDS)}"
        )
        self.parameters = tuple(parameters)


def returns_frames(fn: Callable[..., Any]) -> bool:
    """Whether *fn* says in its annotation that it returns DataFrames, which the runner then writes.

    A wrapper says nothing: it has a copy of the annotation of what it wraps.
    """
    plain = _innermost(fn)
    if hasattr(plain, "__wrapped__"):
        return False
    try:
        return "DataFrame" in str(plain.__annotations__.get("return"))
    except Exception:  # noqa: BLE001  no annotations, or ones that cannot be evaluated
        return False


def returns_nothing(fn: Callable[..., Any]) -> bool:
    """Whether the code of *fn*, or of what it wraps, only ever returns None."""
    plain: Any = _innermost(fn)
    while plain is not None:
        code = getattr(plain, "__code__", None)
        if code is not None and _only_none(code):
            return True
        plain = _innermost(getattr(plain, "__wrapped__", None))
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
    """16 hex digits that change when the source text of *fn* does; "" where there is none."""
    try:
        source = inspect.getsource(inspect.unwrap(_innermost(fn)))
    except (OSError, TypeError, SyntaxError, ValueError):
        return ""
    return hashlib.blake2b(source.encode("utf-8", "replace"), digest_size=8).hexdigest()


def _innermost(fn: Any) -> Any:
    """*fn* without the partials around it."""
    while isinstance(fn, functools.partial):
        fn = fn.func
    return fn


def _module_of(fn: Any) -> str:
    return str(getattr(_innermost(fn), "__module__", None) or "")


def resolving_with_session(
    start_session: Callable[[], object],
) -> Callable[[str | None, str, str], Callable[..., Any]]:
    """As `REGISTRY.resolve`; a module that needs a Spark session to be imported has one started.

    ``@udf("double")`` above a function is enough to need one.
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
