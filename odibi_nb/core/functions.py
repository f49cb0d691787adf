"""Finding the function a registry row names, and calling it as the seed does."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from odibi_nb.core.context import get_current_context
from odibi_nb.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import ModuleType

Function = TypeVar("Function", bound="Callable[..., Any]")

ANY_ENGINE = "any"
INGEST_MODULE = "odibi_nb.ingest"
SEED_KEYWORDS = ("inputs", "constants", "outputs", "spark", "env", "context")
"""What a transformation is called with, each only if its signature takes it."""


class FunctionNotFoundError(LookupError):
    """A row names a module or function that is not there; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A function in the registry: *module* is the name it was filed under, its own or a given one."""

    module: str
    name: str
    engine: str
    fn: Callable[..., Any]
    metadata: Mapping[str, Any]


class FunctionRegistry:
    """Functions by (module, name, engine); engine ``any`` stands in where no other fits."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: dict[tuple[str, str, str], Registered] = {}

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
            raise ValueError("a function needs a name")
        if engine not in {"spark", "pandas", ANY_ENGINE}:
            raise ValueError(f"engine must be 'spark', 'pandas' or 'any', found {engine!r}")
        if not callable(fn):
            raise TypeError(f"expected a function, found {fn!r:.60}")
        metadata.setdefault("description", inspect.getdoc(fn))
        with self._lock:
            for home in {module or fn.__module__, fn.__module__}:
                self._entries[home, name, engine] = Registered(home, name, engine, fn, metadata)

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
            self._entries = {k: e for k, e in self._entries.items() if e.fn.__module__ not in names}

    def find(self, module: str | None, name: str, engine: str) -> Registered | None:
        """The entry for *engine*, else for any engine; without a module, if only one has the name."""
        for wanted in (engine.lower(), ANY_ENGINE):
            if module:
                entry = self._entries.get((module, name, wanted))
                if entry is not None:
                    return entry
            else:
                same = {e.fn: e for k, e in self._entries.items() if k[1:] == (name, wanted)}
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
        if not callable(found):
            raise FunctionNotFoundError(self._no_function(imported, function, engine))
        return found  # type: ignore[no-any-return]

    def _no_function(self, module: ModuleType, function: str, engine: str) -> str:
        others = sorted({k[2] for k in self._entries if k[:2] == (module.__name__, function)})
        if others:
            return f"{module.__name__}.{function} is registered for {', '.join(others)}, not for {engine}"
        names = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        return f"module {module.__name__!r} has no function {function!r}{did_you_mean(function, names)}"

    def get_all(self, engine: str | None = None) -> list[tuple[str, str]]:
        """(name, engine) of all entries, sorted."""
        return sorted({k[1:] for k in self._entries if engine is None or k[2] == engine.lower()})

    def get_metadata(
        self, name: str, engine: str, module: str | None = None
    ) -> dict[str, Any] | None:
        """What was said of a function when it was registered, with its `module`; None if unknown."""
        entry = self.find(module, name, engine)
        return None if entry is None else {"module": entry.module, **entry.metadata}

    def clear(self) -> None:
        """Forget everything; for tests."""
        with self._lock:
            self._entries.clear()


REGISTRY = FunctionRegistry()
"""The registry that the decorators file functions in."""


def import_module(module: str) -> ModuleType:
    """Import *module*.

    Raises:
        FunctionNotFoundError: if there is no such module, or importing it fails.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        if exc.name and (module == exc.name or module.startswith(exc.name + ".")):
            raise FunctionNotFoundError(
                f"no module {module!r}: it must stand beside the manifest or be installed"
            ) from exc
        raise FunctionNotFoundError(
            f"module {module!r} needs {exc.name!r}, which is not installed"
        ) from exc
    except (Exception, SystemExit) as exc:
        raise FunctionNotFoundError(
            f"importing module {module!r} failed: {type(exc).__name__}: {exc}{_place_of(exc)}"
        ) from exc


def _place_of(exc: BaseException) -> str:
    if isinstance(exc, SyntaxError) and exc.filename:
        return f" ({exc.filename}, line {exc.lineno})"
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f" ({trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno})" if trace else ""


class ProjectModules:
    """Makes the modules beside a manifest importable, fresh, and this project's own.

    Modules are loaded anew when their file has changed since, or when the name was taken by
    another project's module.
    """

    _lock = threading.RLock()
    _loaded: dict[str, tuple[Path, float]] = {}  # noqa: RUF012  one table for the process, like sys.modules

    def __init__(self, folder: Path, registry: FunctionRegistry = REGISTRY) -> None:
        self.folder = folder
        self.registry = registry

    def prepare(self) -> list[str]:
        """Put the folder first on ``sys.path``; the modules that will be loaded anew."""
        with self._lock:
            root = str(self.folder)
            if root in sys.path:
                sys.path.remove(root)
            sys.path.insert(0, root)
            importlib.invalidate_caches()
            stale = self._stale()
            for name in stale:
                sys.modules.pop(name, None)
                self._loaded.pop(name, None)
            self.registry.forget_modules(stale)
            return sorted(stale)

    def _stale(self) -> set[str]:
        tops = {p.stem for p in self.folder.glob("*.py")} | {
            p.name for p in self.folder.iterdir() if p.is_dir() and p.name.isidentifier()
        }
        mine = {
            name: Path(str(module.__file__))
            for name, module in list(sys.modules.items())
            if name.partition(".")[0] in tops and getattr(module, "__file__", None)
        }
        foreign = {name for name, file in mine.items() if self.folder not in file.parents}
        projects = {name for name in foreign if self._is_project_module(name)}
        changed = {
            name
            for name, file in mine.items()
            if name not in foreign
            and self._loaded.get(name, (file, _mtime(file)))[1] != _mtime(file)
        }
        # A package is only consistent as a whole: one changed file reloads all of it.
        packages = {name.partition(".")[0] for name in changed | projects}
        return {name for name in sys.modules if name.partition(".")[0] in packages}

    def _is_project_module(self, name: str) -> bool:
        return name in self._loaded

    def remember(self) -> None:
        """Note which files this project's modules came from, once they are imported."""
        with self._lock:
            for name, module in list(sys.modules.items()):
                file = getattr(module, "__file__", None)
                if file and name not in self._loaded and self.folder in Path(file).parents:
                    self._loaded[name] = (Path(file), _mtime(Path(file)))


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return -1.0


def module_allowed(module: str, prefixes: Sequence[str]) -> bool:
    """Whether a row may name *module*: it is one of *prefixes* or below one.

    Without prefixes every module is allowed; the ready-made `odibi_nb.ingest` always is.
    """
    if module == INGEST_MODULE:
        return True
    return not prefixes or any(
        module == p or module.startswith(p.rstrip(".") + ".") for p in prefixes
    )


@functools.lru_cache(maxsize=4096)
def accepted_keywords(fn: Callable[..., Any]) -> tuple[str, ...]:
    """Which of the seed's keywords *fn* takes; all of them if it has ``**kwargs``.

    Raises:
        ValueError: if *fn* has required parameters that none of them fills.
    """
    parameters = inspect.signature(fn).parameters
    kinds = inspect.Parameter
    extra = [
        p.name
        for p in parameters.values()
        if p.name not in SEED_KEYWORDS
        and p.name != getattr(fn, "_odibi_context_param", None)
        and p.default is kinds.empty
        and p.kind not in (kinds.VAR_POSITIONAL, kinds.VAR_KEYWORD)
    ]
    extra += [
        p.name
        for p in parameters.values()
        if p.kind is kinds.POSITIONAL_ONLY and p.name not in extra
    ]
    if extra:
        raise ValueError(
            f"its parameters {', '.join(map(repr, extra))} cannot be filled: a transformation is called "
            f"with the keywords {', '.join(SEED_KEYWORDS)}"
        )
    if any(p.kind is kinds.VAR_KEYWORD for p in parameters.values()):
        return SEED_KEYWORDS
    return tuple(name for name in SEED_KEYWORDS if name in parameters)


def odibi_function(
    engine: str | Callable[..., Any] = ANY_ENGINE,
    name: str | None = None,
    module: str | None = None,
    auto_register: bool = True,
    **metadata: Any,
) -> Any:
    """Register the decorated function; it stays as it is. Works with and without parentheses.

    Args:
        engine: ``spark``, ``pandas`` or ``any``.
        name: the name rows use; the function's own by default.
        module: a name rows may use for its module, besides the real one.
        auto_register: False only marks the function.
        **metadata: kept for `FunctionRegistry.get_metadata`.
    """
    if not isinstance(engine, str):
        return odibi_function()(engine)

    def decorate(fn: Function) -> Function:
        if auto_register:
            REGISTRY.register(name or fn.__name__, engine, fn, module=module, **metadata)
        return fn

    return decorate


def spark_function(
    name: str | Callable[..., Any] | None = None, module: str | None = None, **metadata: Any
) -> Any:
    """`odibi_function` for the Spark engine."""
    if callable(name):
        return odibi_function("spark")(name)
    return odibi_function("spark", name, module, **metadata)


def pandas_function(
    name: str | Callable[..., Any] | None = None, module: str | None = None, **metadata: Any
) -> Any:
    """`odibi_function` for the pandas engine."""
    if callable(name):
        return odibi_function("pandas")(name)
    return odibi_function("pandas", name, module, **metadata)


def universal_function(
    name: str | Callable[..., Any] | None = None, module: str | None = None, **metadata: Any
) -> Any:
    """`odibi_function` for every engine."""
    if callable(name):
        return odibi_function(ANY_ENGINE)(name)
    return odibi_function(ANY_ENGINE, name, module, **metadata)


def with_context(context_param: str | Callable[..., Any] = "context") -> Any:
    """Fill the parameter *context_param* with the running transformation's context.

    A value passed by the caller wins; outside a run the parameter keeps its default. Works with
    and without parentheses.
    """
    if not isinstance(context_param, str):
        return with_context()(context_param)

    def decorate(fn: Function) -> Function:
        if context_param not in inspect.signature(fn).parameters:
            return fn

        @functools.wraps(fn)
        def call(*args: Any, **kwargs: Any) -> Any:
            context = get_current_context()
            if context is not None and context_param not in kwargs:
                kwargs[context_param] = context
            return fn(*args, **kwargs)

        call._odibi_context_param = context_param  # type: ignore[attr-defined]  # noqa: SLF001  see odibi_function
        return call  # type: ignore[return-value]

    return decorate
