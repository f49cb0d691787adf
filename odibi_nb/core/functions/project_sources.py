"""Source texts of a project's modules, as they were loaded."""

from __future__ import annotations

import hashlib
import sys
import sysconfig
import types
from functools import cache, lru_cache
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from odibi_nb.core.functions.module_source import ModuleSource
from odibi_nb.core.functions.modules import ModuleLoader, is_one_of, module_of
from odibi_nb.core.functions.sibling_modules import INSTALLED, NEVER_OURS, origin_of, plain_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, ModuleType

_parsed: dict[tuple[str, str, bool], ModuleSource] = {}
# (module, hash of its text) to the parsed text
_read: dict[str, tuple[tuple[int, int, int, int], bytes]] = {}
# path to the state of the file and its bytes; a plan of many rows asks for few files


class UnclearSourceError(LookupError):
    """The source of a module that counts cannot be known; the message contains the reason."""


class ProjectSources:
    """Sources of the modules that a project's functions can reach, for one plan.

    A module counts unless it is installed, or belongs to Python or to this package.

    Args:
        loader: the loader of the project's modules.
        prefixes: the manifest's ``transformation_modules``, which count even if they are installed.
    """

    def __init__(self, loader: ModuleLoader, prefixes: Sequence[str] = ()) -> None:
        self.loader = loader
        self.prefixes = tuple(prefixes)
        self._found: dict[str, ModuleSource | None] = {}
        self._locations: dict[str, list[str]] = {}

    def loaded(self, module: str) -> ModuleType | None:
        """Return the loaded module that the project's code calls *module*."""
        return sys.modules.get(self.loader.real_name(module))

    def find(self, module: str) -> ModuleSource | None:
        """Return the source of *module*; None if it does not count or does not exist.

        Raises:
            UnclearSourceError: if the module counts, but its text is not known for certain.
        """
        if module not in self._found:
            self._found[module] = self._find(module)
        return self._found[module]

    def everything(self) -> list[ModuleSource]:
        """Return all modules beside the manifest, for code that can load any of them."""
        folder = self.loader.folder
        names = {
            module_of(path, folder)
            for path in folder.rglob("*.py")
            if all(part.isidentifier() for part in path.relative_to(folder).with_suffix("").parts)
        }
        return [source for name in sorted(names) if (source := self.find(name)) is not None]

    def _find(self, module: str) -> ModuleSource | None:
        top = module.partition(".")[0]
        if not module or top in NEVER_OURS:
            return None
        loaded = self.loaded(module)
        path, locations = self._place(module, loaded)
        self._locations[module] = locations
        if path is None:
            folder = self.loader.folder
            if any(Path(place).is_relative_to(folder) for place in locations):
                return ModuleSource(module, "", is_package=True)
            return None
        if not self._counts(module, path):
            return None
        if path.suffix != ".py":
            # Compiled code: its bytes stand for all of it.
            digest = hashlib.blake2b(_bytes_of(path), digest_size=16).hexdigest()
            return ModuleSource(module, f"compiled = {digest!r}")
        return _parse(module, self._text(path, loaded), is_package=path.stem == "__init__")

    def _place(self, module: str, loaded: ModuleType | None) -> tuple[Path | None, list[str]]:
        """Return the file of *module*, and the folders of its submodules."""
        if loaded is not None and getattr(loaded, "__file__", None):
            origin = origin_of(loaded)
            return origin, [*getattr(loaded, "__path__", ())]
        parent, _, _ = module.rpartition(".")
        if parent:
            self.find(parent)
            where = self._locations.get(parent, [])
        else:
            where = [str(self.loader.folder), *sys.path]
        spec = PathFinder.find_spec(module, where) if where else None
        if spec is None:
            return None, []
        inside = [*(spec.submodule_search_locations or ())]
        return (Path(spec.origin) if spec.has_location and spec.origin else None), inside

    def _counts(self, module: str, path: Path) -> bool:
        if is_one_of(module, self.prefixes):
            return True
        if path.is_relative_to(self.loader.folder):
            return INSTALLED.isdisjoint(path.relative_to(self.loader.folder).parts)
        return INSTALLED.isdisjoint(path.parts) and not any(
            path.is_relative_to(place) for place in _python_folders()
        )

    def _text(self, path: Path, loaded: ModuleType | None) -> bytes:
        """Return the text of *path* that the process has loaded, or would load."""
        if loaded is None:
            return _bytes_of(path)
        if not isinstance(loaded, types.ModuleType):
            raise UnclearSourceError(f"module {path.stem} replaces itself by another object")
        text = ModuleLoader.loaded_text(loaded.__name__)
        if text is None:
            text = _bytes_of(path)
        if not _is_code_of(loaded, text, path):
            name = plain_name(loaded.__name__)
            raise UnclearSourceError(f"module {name} in memory differs from its file")
        return text


@cache
def _python_folders() -> tuple[Path, ...]:
    paths = sysconfig.get_paths()
    return tuple({Path(paths[name]).resolve() for name in ("stdlib", "platstdlib")})


def _bytes_of(path: Path) -> bytes:
    """Return the content of *path*, which is read again if size, time or inode changed.

    Raises:
        UnclearSourceError: if the file cannot be read.
    """
    try:
        found = path.stat()
        state = (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino)
        known = _read.get(str(path))
        if known is None or known[0] != state:
            known = _read[str(path)] = (state, path.read_bytes())
    except OSError as exc:
        raise UnclearSourceError(f"{path.name} cannot be read: {exc.strerror}") from exc
    return known[1]


def _parse(module: str, data: bytes, *, is_package: bool) -> ModuleSource:
    key = module, hashlib.blake2b(data, digest_size=16).hexdigest(), is_package
    if key not in _parsed:
        try:
            text = data.decode("utf-8-sig")
            _parsed[key] = ModuleSource(module, text, is_package)
        except (SyntaxError, ValueError, RecursionError) as exc:
            raise UnclearSourceError(f"module {module} cannot be parsed: {exc}") from exc
    return _parsed[key]


def _is_code_of(module: ModuleType, text: bytes, path: Path) -> bool:
    """Return True if the loaded functions and classes of *module* have the code of *text*."""
    try:
        compiled = _codes_of(text, str(path))
    except (SyntaxError, ValueError):
        return False
    own = [
        value.__code__
        for holder in (module, *(v for v in vars(module).values() if isinstance(v, type)))
        for value in [*vars(holder).values()]
        if isinstance(value, types.FunctionType)
        and value.__module__ == module.__name__
        and value.__code__.co_filename == str(path)
    ]
    return all(code in compiled for code in own)


@lru_cache(maxsize=256)
def _codes_of(text: bytes, path: str) -> frozenset[CodeType]:
    """Return the code of *text* and of all functions and classes in it."""
    waiting = [compile(text, path, "exec", dont_inherit=True)]
    found: set[CodeType] = set()
    while waiting:
        one = waiting.pop()
        found.add(one)
        waiting += [const for const in one.co_consts if isinstance(const, types.CodeType)]
    return frozenset(found)
