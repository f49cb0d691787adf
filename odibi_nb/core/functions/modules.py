"""Importing the modules that registry rows name: beside the manifest, fresh, and the right ones."""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import importlib
import sys
import threading
import time
import traceback
import zipimport
from collections import Counter
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from odibi_nb.core.functions import sibling_modules
from odibi_nb.core.functions.sibling_modules import (
    PREFIX,
    ModuleSpace,
    has_code,
    is_beside,
    is_installed,
    loaded_from,
    origin_of,
    plain_name,
    plain_spec,
)
from odibi_nb.core.model.transformation import INGEST_MODULE
from odibi_nb.core.text.redaction import redact_text
from odibi_nb.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

_NEVER_PURGED = frozenset({"__main__", "odibi_nb"})


class FunctionNotFoundError(LookupError):
    """A row names a module or function that is not there; the message says what to do."""


def import_module(module: str) -> ModuleType:
    """Import *module*: the planning project's, if it has one of that name.

    Raises:
        FunctionNotFoundError: if there is no such module, or importing it fails, or it is there only
            because another project of this process has it.
    """
    space = ModuleLoader.planning()
    try:
        return importlib.import_module(module) if space is None else space.import_module(module)
    except ModuleNotFoundError as exc:
        missing = plain_name(exc.name or "")
        if missing and (module == missing or module.startswith(missing + ".")):
            hint = did_you_mean(module, [INGEST_MODULE, *_modules_here(space)])
            owner = str(exc).partition(": ")[2]
            raise FunctionNotFoundError(
                f"no module {module!r}{hint}: it must stand beside the manifest or be installed"
                + (f"; {owner}" if owner else "")
            ) from exc
        if missing:
            raise FunctionNotFoundError(
                f"module {module!r} needs {missing!r}, which is not installed"
            ) from exc
        raise _failed(module, exc) from exc
    except (Exception, SystemExit) as exc:
        raise _failed(module, exc) from exc


def _failed(module: str, exc: BaseException) -> FunctionNotFoundError:
    why = " ".join(redact_text(str(exc)).split())
    return FunctionNotFoundError(
        f"importing module {module!r} failed: {type(exc).__name__}: {why}{_place_of(exc)}"
    )


def _place_of(exc: BaseException) -> str:
    if isinstance(exc, SyntaxError) and exc.filename:
        return f" ({exc.filename}, line {exc.lineno})"
    frames = [
        (frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(exc.__traceback__)
        if frame.f_code.co_filename != sibling_modules.__file__
    ]
    return " ({}, line {})".format(*frames[-1]) if frames else ""


def _modules_here(space: ModuleSpace | None) -> list[str]:
    """Names of the modules beside the manifest, and one level deeper."""
    if space is None:
        return []
    return sorted(
        ".".join(path.relative_to(space.folder).with_suffix("").parts).removesuffix(".__init__")
        for pattern in ("*.py", "*/*.py")
        for path in space.folder.glob(pattern)
    )


class ModuleLoader:
    """Makes the modules beside a manifest importable, fresh, and this project's own.

    A project's modules have their plain names as long as nobody else in the process has a module of
    one of these names; else all of them are private, see `odibi_nb.core.functions.sibling_modules`. Modules are loaded
    anew when their file has changed since. If a run still uses the old ones, the new ones are private.
    """

    folders: ClassVar[set[Path]] = set()
    """The folders of all projects of this process."""

    _lock: ClassVar[Any] = threading.RLock()
    _spaces: ClassVar[dict[Path, ModuleSpace]] = {}
    # folder to the modules that the next plan uses
    _runs: ClassVar[Counter[Path]] = Counter()
    # folder to the number of runs that use its modules now
    _planning: ClassVar[contextvars.ContextVar[ModuleSpace | None]] = contextvars.ContextVar(
        "odibi_nb_planning", default=None
    )
    _loaded: ClassVar[dict[str, tuple[ModuleType, str | None]]] = {}
    # name to module, and what its file was like then; one table for the process, like sys.modules

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._prepared_ns = 0

    @contextlib.contextmanager
    def importing(self) -> Iterator[list[str]]:
        """`prepare`, and `remember` what is imported in the block; one project at a time.

        No bytecode is written meanwhile: planning leaves no trace, and Python would take the old
        bytecode for a file that is changed twice in a second.
        """
        with self._lock:
            before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
            outer = None
            try:
                reloaded = self.prepare()
                outer = self._planning.set(self._spaces[self.folder])
                yield reloaded
            finally:
                if outer is not None:
                    self._planning.reset(outer)
                sys.dont_write_bytecode = before
                self.remember()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Keep the modules that are loaded now as they are, for the run in the block."""
        with self._lock:
            self._runs[self.folder] += 1
        try:
            yield
        finally:
            with self._lock:
                self._runs[self.folder] -= 1

    @classmethod
    def planning(cls) -> ModuleSpace | None:
        """The modules of the project that is planned here; None outside of planning."""
        return cls._planning.get()

    @classmethod
    def owner_of(cls, module: str) -> Path | None:
        """The folder of the project that the loaded *module* belongs to; None for every other module."""
        loaded, top = sys.modules.get(module), plain_name(module).partition(".")[0]
        if loaded is None:
            return None
        origin = origin_of(loaded)
        parents = () if origin is None else origin.parents
        owners = (folder for folder in parents if folder in cls.folders)
        return next((folder for folder in owners if is_beside(loaded, top, folder)), None)

    def real_name(self, module: str) -> str:
        """The name that the project's *module* has in ``sys.modules``."""
        space = self._spaces.get(self.folder)
        return module if space is None else space.real_name(module)

    def prepare(self) -> list[str]:
        """Let the project's modules be found; the names of those that will be loaded anew."""
        with self._lock:
            self.folders.add(self.folder)
            if not _is_on_path(self.folder):
                # Last: what the notebook imports by the same name stays the notebook's.
                ModuleSpace.lent.add(self.folder)
                sys.path.append(str(self.folder))
            _forget_listings()
            space = self._spaces.setdefault(self.folder, ModuleSpace(self.folder, private=False))
            if not space.private and self._collides():
                space = ModuleSpace(self.folder, private=True, generation=space.generation)
            stale = self._stale(space)
            self._prepared_ns = time.time_ns()
            if stale and self._runs[self.folder]:
                generation = space.generation + 1
                space = ModuleSpace(self.folder, private=True, generation=generation)
            else:
                for name in stale:
                    _forget_bytecode(sys.modules.pop(name, None))
                    self._loaded.pop(name, None)
                self.forget(stale)
            self._spaces[self.folder] = space
            return sorted(map(plain_name, stale))

    def forget(self, modules: Iterable[str]) -> None:
        """Hear which modules will be loaded anew."""

    def _collides(self) -> bool:
        """Whether a module of this project's has a name that is another's in this process."""
        return any(self._is_others(top) for top in self._names())

    def _is_others(self, top: str) -> bool:
        own = PathFinder.find_spec(top, [str(self.folder)])
        if own is None or top in sys.stdlib_module_names:
            return False
        loaded = sys.modules.get(top)
        if loaded is not None and is_beside(loaded, top, self.folder):
            return False
        other = plain_spec(top, without=self.folder)
        if own.origin is not None:
            return loaded is not None or (other is not None and other.origin is not None)
        # Folders without __init__.py, such as data, are only modules if there is code in them.
        if other is None or is_installed(other) or not has_code(own):
            return False
        return other.origin is not None or has_code(other)

    def _stale(self, space: ModuleSpace) -> set[str]:
        """Real names of this project's modules whose file has changed, and of the rest of their packages."""
        names = [name for name in loaded_from(self.folder) if self._is_of(name, space)]
        gone: set[str] = set()
        for name in names:
            module = sys.modules[name]
            origin = origin_of(module)
            known, looks = self._loaded.get(name, (None, None))
            if (
                origin is not None
                and known is module
                and (looks is None or looks != _looks(origin))
            ):
                gone.add(plain_name(name).partition(".")[0])
        # A package is only consistent as a whole: one changed file reloads all of it; but what somebody
        # else has below a name without a file, such as ``tests``, is not ours to forget.
        return {name for name in names if plain_name(name).partition(".")[0] in gone}

    def _is_of(self, name: str, space: ModuleSpace) -> bool:
        """Whether the loaded module called *name* is one of *space*, or could be found there by that name."""
        if name.startswith(PREFIX):
            plain = plain_name(name)
            if not plain or not name.startswith(f"{space.prefix}."):
                return False
        else:
            plain = name
            if space.private:
                return False
        top, module = plain.partition(".")[0], sys.modules.get(name)
        return (
            top not in _NEVER_PURGED and module is not None and is_beside(module, top, self.folder)
        )

    def remember(self) -> None:
        """Note which files this project's modules came from, once they are imported."""
        with self._lock:
            space = self._spaces.get(self.folder)
            if space is None:
                return
            for name in loaded_from(self.folder):
                module = sys.modules.get(name)
                known, _ = self._loaded.get(name, (None, None))
                if module is None or known is module or not self._is_of(name, space):
                    continue
                origin = origin_of(module)
                if origin is not None:
                    # What was written after the import began may not be what was imported.
                    newer = _written_ns(origin) > self._prepared_ns
                    self._loaded[name] = (module, None if newer else _looks(origin))

    def _names(self) -> set[str]:
        """What modules and packages beside the manifest are called."""
        found = {p.stem for p in self.folder.glob("*.py")} | {
            p.name for p in self.folder.iterdir() if p.is_dir() and p.name.isidentifier()
        }
        return found - _NEVER_PURGED


def _forget_listings() -> None:
    """Let new files be found, as ``importlib.invalidate_caches`` does, in folders alone.

    Spark puts dozens of JARs on ``sys.path``; reading them all again takes half a second.
    """
    for place, finder in [*sys.path_importer_cache.items()]:
        if finder is None:  # there was no such folder
            del sys.path_importer_cache[place]
        elif not isinstance(finder, zipimport.zipimporter):
            getattr(finder, "invalidate_caches", lambda: None)()


def _is_on_path(folder: Path) -> bool:
    if str(folder) in sys.path:
        return True  # nearly always: nothing has to be resolved
    real = folder.resolve()
    return any(Path(place or ".").resolve() == real for place in sys.path)


def _looks(path: Path) -> str:
    """What changes when a file's text does, however soon after; of a folder, its time."""
    try:
        if path.is_dir():
            return str(path.stat().st_mtime_ns)
        return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
    except OSError:
        return ""


def _written_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _forget_bytecode(module: ModuleType | None) -> None:
    """Remove a changed file's bytecode: Python tells by second and size whether it is still right."""
    cached = getattr(module, "__cached__", None)
    if cached:
        with contextlib.suppress(OSError):
            Path(cached).unlink()


def reloaded_text(modules: Iterable[str]) -> str:
    """Return the line that says which *modules* were imported again because their files had changed."""
    return f"🔄 Loading changed modules anew: {', '.join(modules)}"
