"""Importing the modules that registry rows name: beside the manifest, fresh, and the right ones."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import sys
import threading
import time
import zipimport
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from odibi_nb.core.redaction import redact_text
from odibi_nb.core.transformation import INGEST_MODULE
from odibi_nb.errors import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

_NEVER_PURGED = frozenset({"__main__", "odibi_nb"})


class FunctionNotFoundError(LookupError):
    """A row names a module or function that is not there; the message says what to do."""


def import_module(module: str) -> ModuleType:
    """Import *module*.

    Raises:
        FunctionNotFoundError: if there is no such module, or importing it fails, or it is there only
            because another project of this process has it.
    """
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as exc:
        if exc.name and (module == exc.name or module.startswith(exc.name + ".")):
            hint = did_you_mean(module, [INGEST_MODULE, *_modules_here()])
            raise FunctionNotFoundError(
                f"no module {module!r}{hint}: it must stand beside the manifest or be installed"
            ) from exc
        if exc.name:
            raise FunctionNotFoundError(
                f"module {module!r} needs {exc.name!r}, which is not installed"
            ) from exc
        raise _failed(module, exc) from exc
    except (Exception, SystemExit) as exc:
        raise _failed(module, exc) from exc
    owner = ModuleLoader.lender_of(module)
    if owner is not None:
        raise FunctionNotFoundError(
            f"no module {module!r}: it must stand beside the manifest or be installed; "
            f"the project in {owner} has one, which is not this project's"
        )
    return imported


def _failed(module: str, exc: BaseException) -> FunctionNotFoundError:
    why = " ".join(redact_text(str(exc)).split())
    return FunctionNotFoundError(
        f"importing module {module!r} failed: {type(exc).__name__}: {why}{_place_of(exc)}"
    )


def _place_of(exc: BaseException) -> str:
    if isinstance(exc, SyntaxError) and exc.filename:
        return f" ({exc.filename}, line {exc.lineno})"
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f" ({trace.tb_frame.f_code.co_filename}, line {trace.tb_lineno})" if trace else ""


def _modules_here() -> list[str]:
    """Names of the modules beside the manifest that was prepared last, and one level deeper."""
    folder = Path(sys.path[0])
    if folder not in ModuleLoader.folders:
        return []
    return sorted(
        ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__")
        for pattern in ("*.py", "*/*.py")
        for path in folder.glob(pattern)
    )


class ModuleLoader:
    """Makes the modules beside a manifest importable, fresh, and this project's own.

    Modules are loaded anew when their file has changed since, or when the name was taken by
    another project's module. Installed packages are left alone.
    """

    folders: ClassVar[set[Path]] = set()
    """The folders of all projects of this process."""

    _lent: ClassVar[set[Path]] = set()
    # those of them that are on sys.path for no other reason
    _importing: ClassVar[Path | None] = None
    # the project that imports now

    _lock: ClassVar[Any] = threading.RLock()
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
            outer, ModuleLoader._importing = ModuleLoader._importing, self.folder
            try:
                yield self.prepare()
            finally:
                ModuleLoader._importing = outer
                sys.dont_write_bytecode = before
                self.remember()

    @classmethod
    def lender_of(cls, module: str) -> Path | None:
        """The folder of the other project without which *module* could not be imported; None if there is none.

        Folders stay on ``sys.path``: functions of a run in the background import when they like.
        """
        origin, top = _origin_of(module), module.partition(".")[0]
        if cls._importing is None or origin is None or _is_beside(origin, top, cls._importing):
            return None
        return next((folder for folder in cls._lent if _is_beside(origin, top, folder)), None)

    def prepare(self) -> list[str]:
        """Put the folder first on ``sys.path``; the modules that will be loaded anew."""
        with self._lock:
            root = str(self.folder)
            if self.folder not in self.folders and not _is_on_path(self.folder):
                self._lent.add(self.folder)
            self.folders.add(self.folder)
            if root in sys.path:
                sys.path.remove(root)
            sys.path.insert(0, root)
            _forget_listings()
            stale = self._stale()
            self._prepared_ns = time.time_ns()
            for name in stale:
                _forget_bytecode(sys.modules.pop(name, None))
                self._loaded.pop(name, None)
            return sorted(stale)

    def _stale(self) -> set[str]:
        """Names of this project's that are taken by another project, or whose file has changed."""
        tops = self._names()
        gone: set[str] = set()
        for name, module in list(sys.modules.items()):
            top = name.partition(".")[0]
            if top not in tops:
                continue
            origin = _origin(module)
            if origin is None:
                continue
            if _is_beside(origin, top, self.folder):
                known, looks = self._loaded.get(name, (None, None))
                changed = known is module and (looks is None or looks != _looks(origin))
            else:
                changed = any(_is_beside(origin, top, folder) for folder in self.folders)
            if changed:
                gone.add(top)
        # A package is only consistent as a whole: one changed file reloads all of it; but what somebody
        # else has below a name without a file, such as ``tests``, is not ours to forget.
        return {
            name for name in [*sys.modules] if name.partition(".")[0] in gone and self._ours(name)
        }

    def _ours(self, name: str) -> bool:
        """Whether the module comes from the folder of any project."""
        origin, top = _origin_of(name), name.partition(".")[0]
        return origin is not None and any(_is_beside(origin, top, f) for f in self.folders)

    def remember(self) -> None:
        """Note which files this project's modules came from, once they are imported."""
        with self._lock:
            tops = self._names()
            for name, module in list(sys.modules.items()):
                top = name.partition(".")[0]
                known, _ = self._loaded.get(name, (None, None))
                if top not in tops or known is module:
                    continue
                origin = _origin(module)
                if origin is not None and _is_beside(origin, top, self.folder):
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
    return any(Path(place or ".").resolve() == folder.resolve() for place in sys.path)


def _origin_of(name: str) -> Path | None:
    module = sys.modules.get(name)
    return None if module is None else _origin(module)


def _origin(module: ModuleType) -> Path | None:
    """The module's file, or the one folder of a package without one."""
    file = getattr(module, "__file__", None)
    if file:
        return Path(str(file))
    try:
        places = [*getattr(module, "__path__", ())]
    except KeyError:  # of a package whose parent somebody has forgotten
        return None
    return Path(str(places[0])) if len(places) == 1 else None


def _is_beside(origin: Path, top: str, folder: Path) -> bool:
    """Whether *origin* belongs to the module or package called *top* that stands in *folder*."""
    return folder in origin.parents and origin.relative_to(folder).parts[0] in (top, f"{top}.py")


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
