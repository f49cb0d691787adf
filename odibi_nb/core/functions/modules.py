"""Import of the modules that registry rows name: from the project's folder, in their newest version."""

from __future__ import annotations

import ast
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
    forget_modules,
    has_code,
    is_beside,
    is_installed,
    let,
    loaded_from,
    modules_of,
    names_by_hand,
    origin_of,
    plain_name,
    plain_spec,
)
from odibi_nb.core.model.transformation import READY_MADE
from odibi_nb.core.process.import_state import search_path
from odibi_nb.core.text.redaction import redact_text
from odibi_nb.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import ModuleType

_NEVER_PURGED = frozenset({"__main__", "odibi_nb"})


class FunctionNotFoundError(LookupError):
    """A row names a module or function that does not exist; the message contains the remedy."""


def import_module(module: str) -> ModuleType:
    """Import *module*, from the project in planning if it has a module of that name.

    Raises:
        FunctionNotFoundError: if the module does not exist, if its import fails, or if only another
            project of this process has it.
    """
    space = ModuleLoader.planning()
    try:
        return importlib.import_module(module) if space is None else space.import_module(module)
    except ModuleNotFoundError as exc:
        missing = plain_name(exc.name or "")
        if missing and (module == missing or module.startswith(missing + ".")):
            hint = did_you_mean(module, [*READY_MADE, *_modules_here(space)])
            owner = str(exc).partition("; ")[2]
            raise FunctionNotFoundError(
                f"no module {module!r}{hint}: it must be beside the manifest or installed"
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
    """Return the names of the modules beside the manifest and one level deeper."""
    if space is None:
        return []
    return sorted(
        module_of(path, space.folder)
        for pattern in ("*.py", "*/*.py")
        for path in space.folder.glob(pattern)
    )


def module_of(path: Path, folder: Path) -> str:
    """Return the name that the file *path* has for code in *folder*."""
    return ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")


def is_one_of(module: str, prefixes: Iterable[str]) -> bool:
    """Return True if *module* equals one of *prefixes* or is below it."""
    return any(module == p or module.startswith(p.rstrip(".") + ".") for p in prefixes)


class ModuleLoader:
    """Loader that imports the modules beside a manifest, in their newest version, for one project.

    A project's modules have their plain names unless a module elsewhere in the process has one of these
    names. In that case all of the project's modules are private, see `odibi_nb.core.functions.sibling_modules`. The
    loader reloads a module whose file has changed. If a run still uses the old modules, the new modules
    are private.
    """

    folders: ClassVar[set[Path]] = set()
    """Folders of all projects of this process."""

    _lock: ClassVar[Any] = threading.RLock()
    _spaces: ClassVar[dict[Path, ModuleSpace]] = {}
    # folder to the modules for the next plan
    _runs: ClassVar[Counter[Path]] = Counter()
    # folder to the number of runs that use its modules now
    _planning: ClassVar[contextvars.ContextVar[ModuleSpace | None]] = contextvars.ContextVar(
        "odibi_nb_planning", default=None
    )
    _loaded: ClassVar[dict[str, tuple[ModuleType, str | None, bytes]]] = {}
    # name to the module, the state of its file at import and the file's text then; one for the
    # process, like sys.modules

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._prepared_ns = 0

    @contextlib.contextmanager
    def importing(self) -> Iterator[list[str]]:
        """Call `prepare` before the block and `remember` after it; yield the reloaded modules' names.

        Only one project at a time can be in such a block. Python writes no bytecode in it, because
        planning must leave no trace. Python would also use outdated bytecode for a file that changes
        twice in a second.
        """
        with self._lock:
            before, sys.dont_write_bytecode = sys.dont_write_bytecode, True
            try:
                reloaded = self.prepare()
                space = self._spaces[self.folder]
                with let(self._planning, space), modules_of(space):
                    yield reloaded
            finally:
                sys.dont_write_bytecode = before
                self.remember()

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Protect the loaded modules from being replaced while the run in the block uses them.

        Libraries that its functions call find them by their names.
        """
        with self._lock:
            self._runs[self.folder] += 1
            space = self._spaces.get(self.folder)
        try:
            with modules_of(space):
                yield
        finally:
            with self._lock:
                self._runs[self.folder] -= 1

    @classmethod
    def planning(cls) -> ModuleSpace | None:
        """Return the modules of the project in planning; None outside of planning."""
        return cls._planning.get()

    @classmethod
    def owner_of(cls, module: str) -> Path | None:
        """Return the folder of the project that owns the loaded *module*; None if no project owns it."""
        loaded, top = sys.modules.get(module), plain_name(module).partition(".")[0]
        if loaded is None:
            return None
        origin = origin_of(loaded)
        parents = () if origin is None else origin.parents
        owners = (folder for folder in parents if folder in cls.folders)
        return next((folder for folder in owners if is_beside(loaded, top, folder)), None)

    def real_name(self, module: str) -> str:
        """Return the name of the project's *module* in ``sys.modules``."""
        space = self._spaces.get(self.folder)
        return module if space is None else space.real_name(module)

    def prepare(self) -> list[str]:
        """Make the project's modules importable, and return the names of the modules to reload."""
        with self._lock:
            self.folders.add(self.folder)
            if not _is_on_path(self.folder):
                # At the end of the path, so that the notebook's own modules take precedence.
                ModuleSpace.lent.add(self.folder)
                sys.path.append(str(self.folder))
            _forget_listings()
            space = self._spaces.setdefault(self.folder, ModuleSpace(self.folder, private=False))
            space.owned.clear()
            # Another module in this process may have the name of one of the project's modules.
            if not space.private and any(map(self._is_others, self._names())):
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
                forget_modules(stale)
                self.forget(stale)
            self._spaces[self.folder] = space
            return sorted(map(plain_name, stale))

    def forget(self, modules: Iterable[str]) -> None:
        """Handle the removal of *modules* that will be reloaded. A subclass overrides this method."""

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
        # A folder without __init__.py, such as data, is only a module if it contains code.
        if other is None or is_installed(other) or not has_code(own):
            return False
        return other.origin is not None or has_code(other)

    def _stale(self, space: ModuleSpace) -> set[str]:
        """Return the real names of the project's modules to reload.

        These are the modules whose files have changed, all other modules of their packages, and the
        modules that import one of them. Importers would otherwise keep the functions of the old file.
        """
        names = [name for name in loaded_from(self.folder) if self._is_of(name, space)]
        gone: set[str] = set()
        for name in names:
            module = sys.modules[name]
            origin = origin_of(module)
            known, looks, _ = self._loaded.get(name, (None, None, b""))
            if origin is not None and known is module and looks != _looks(origin)[0]:
                gone.add(plain_name(name).partition(".")[0])
        # A package is only consistent as a whole, so one changed file reloads all of it. Other code may
        # have modules below the same name without a file, such as ``tests``: they must stay.
        _add_importers(gone, names)
        return {name for name in names if plain_name(name).partition(".")[0] in gone}

    def _is_of(self, name: str, space: ModuleSpace) -> bool:
        """Return True if the loaded module *name* belongs to *space* or could be imported from there."""
        in_space = name.startswith(f"{space.prefix}.")
        if not in_space and (space.private or name.startswith(PREFIX)):
            return False
        top, module = plain_name(name).partition(".")[0], sys.modules.get(name)
        return (
            top not in _NEVER_PURGED and module is not None and is_beside(module, top, self.folder)
        )

    def remember(self) -> None:
        """Record the files of the project's newly imported modules, to detect later changes."""
        with self._lock:
            space = self._spaces.get(self.folder)
            if space is None:
                return
            for name in loaded_from(self.folder):
                module = sys.modules.get(name)
                known, _, _ = self._loaded.get(name, (None, None, b""))
                if module is None or known is module or not self._is_of(name, space):
                    continue
                origin = origin_of(module)
                if origin is not None:
                    # The import may have missed a change that was written after it began.
                    newer = _written_ns(origin) > self._prepared_ns
                    looks, text = _looks(origin)
                    self._loaded[name] = (module, None if newer else looks, text)

    @classmethod
    def loaded_text(cls, name: str) -> bytes | None:
        """Return the text from which the project's module *name* of ``sys.modules`` was loaded.

        None if that is not certain, or if no project has loaded the module.
        """
        module, looks, text = cls._loaded.get(name, (None, None, b""))
        return text if looks and module is not None and module is sys.modules.get(name) else None

    def notices(self) -> list[str]:
        """Return a notice of each name that the project's code looks up in ``sys.modules``, where it is another's.

        Call it after the modules were imported. Two projects in one process share ``sys.modules``.
        """
        space = self._spaces.get(self.folder)
        if space is None:
            return []
        found: dict[str, str] = {}
        for name in loaded_from(self.folder):
            if self._is_of(name, space):
                for other in names_by_hand(self._loaded.get(name, (None, None, b""))[2]):
                    found.setdefault(other, plain_name(name))
        return [
            f"module {module!r} looks up {name!r} in sys.modules, where it is the module of the project "
            f"in {self.owner_of(name)}: import {name!r} instead, or run this project in a kernel of its own"
            for name, module in sorted(found.items())
            if space.owns(name.partition(".")[0])
            and space.real_name(name) != name
            and self.owner_of(name) is not None
        ]

    def _names(self) -> set[str]:
        """Return the names of the modules and packages beside the manifest."""
        found = {p.stem for p in self.folder.glob("*.py")} | {
            p.name for p in self.folder.iterdir() if p.is_dir() and p.name.isidentifier()
        }
        return found - _NEVER_PURGED


def _add_importers(gone: set[str], names: Iterable[str]) -> None:
    """Add to *gone* each top-level name among modules that import one in *gone*, directly or not."""
    imported: dict[str, set[str]] = {}
    for name in names if gone else ():
        top = plain_name(name).partition(".")[0]
        imported.setdefault(top, set()).update(_imported_by(sys.modules[name]))
    size = 0
    while size != len(gone):
        size = len(gone)
        gone.update(top for top, used in imported.items() if used & gone)


def _imported_by(module: ModuleType) -> set[str]:
    """Return the top-level names of the modules that the file of *module* imports."""
    origin = origin_of(module)
    try:
        tree = ast.parse(b"" if origin is None else origin.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return set()
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


def _forget_listings() -> None:
    """Make new files importable, as ``importlib.invalidate_caches`` does, but only in folders.

    Spark puts dozens of JARs on ``sys.path``, and reading all of them again takes half a second.
    """
    for place, finder in sys.path_importer_cache.copy().items():
        if finder is None:  # the folder did not exist
            del sys.path_importer_cache[place]
        elif not isinstance(finder, zipimport.zipimporter):
            getattr(finder, "invalidate_caches", lambda: None)()


def _is_on_path(folder: Path) -> bool:
    if str(folder) in sys.path:
        return True  # nearly always, and without resolving any path
    real = folder.resolve()
    return any(Path(place or ".").resolve() == real for place in search_path())


def _looks(path: Path) -> tuple[str, bytes]:
    """Return a hash of a file's content, which detects even quick changes, and the content.

    For a folder, return its time and no content.
    """
    try:
        if path.is_dir():
            return str(path.stat().st_mtime_ns), b""
        text = path.read_bytes()
        return hashlib.blake2b(text, digest_size=16).hexdigest(), text
    except OSError:
        return "", b""


def _written_ns(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _forget_bytecode(module: ModuleType | None) -> None:
    """Remove a changed file's bytecode, because Python compares only file size and whole seconds."""
    cached = getattr(module, "__cached__", None)
    if cached:
        with contextlib.suppress(OSError):
            Path(cached).unlink()


def reloaded_text(modules: Iterable[str]) -> str:
    """Return the line that lists the *modules* that were imported again after changes to their files."""
    return f"🔄 Reloading changed modules: {', '.join(modules)}"
