"""Keep Python's import system usable while rows run.

A row may clear ``sys.path``, or remove finders from ``sys.meta_path``. Then the imports of all other rows
would fail, and those of the notebook. `ImportState` adds missing entries again. Entries that a row adds
stay, because Spark and other libraries add folders. Until the entries are back, `LastFinder` finds modules.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec

_LISTS = ("path", "meta_path", "path_hooks")


def search_path() -> list[str]:
    """Return the entries of ``sys.path`` that Python searches. It skips entries that are no text."""
    places: list[Any] = sys.path
    return [place for place in places if isinstance(place, str)]


@dataclass(frozen=True, slots=True)
class ImportState:
    """The lists that Python's import system searches, with their entries at one time."""

    modules: dict[str, Any]
    lists: tuple[list[Any], ...]
    entries: tuple[list[Any], ...]

    @classmethod
    def now(cls) -> ImportState:
        """Return the present state."""
        lists = tuple(getattr(sys, name) for name in _LISTS)
        return cls(sys.modules, lists, tuple([*kept] for kept in lists))

    def put_back(self) -> None:
        """Put back the lists themselves, and their missing entries."""
        if sys.modules is not self.modules:
            sys.modules = self.modules
        for name, kept, entries in zip(_LISTS, self.lists, self.entries, strict=True):
            found = getattr(sys, name, None)
            if found is kept and kept == entries:  # nearly always
                continue
            present = found if isinstance(found, list) else []
            if found is not kept or any(entry not in present for entry in entries):
                kept[:] = [*entries, *(entry for entry in present if entry not in entries)]
                setattr(sys, name, kept)
                _forget_failures()


def _forget_failures() -> None:
    """Let Python search folders again for which it found no finder, because there were no hooks."""
    for place, finder in sys.path_importer_cache.copy().items():
        if finder is None:
            del sys.path_importer_cache[place]


class LastFinder:
    """Finder of modules in the folders that ``sys.path`` had before the run, and has no more."""

    def __init__(self) -> None:
        self._path = [*sys.path]

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: object = None
    ) -> ModuleSpec | None:
        """Return the spec of a top-level module; None if it is not in a missing folder."""
        del target
        if path is not None or sys.path[: len(self._path)] == self._path:
            return None
        missing = [place for place in self._path if place not in sys.path]
        return PathFinder.find_spec(fullname, missing) if missing else None
