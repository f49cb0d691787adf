"""Names for completion: projects, environments, layers, transformations and runs.

Read from files beside the manifests and remembered while those do not change; never from a registry,
a lake, Spark or the network, and without importing what a user wrote.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from odibi_nb.core.model.manifest import ProjectManifest, find_manifest, manifest_paths
from odibi_nb.core.process.state_files import is_in_the_way, read_regular
from odibi_nb.core.runlog.journal import open_runs, read_mark, runs_folder
from odibi_nb.errors import ManifestError, OdibiError
from odibi_nb.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable

MOST_HEAD = 1 << 24
"""A journal's first line, with the hashes of all functions, is not longer."""
READ_RUNS = 3
"""Transformations are those of so many newest runs of a project and environment."""


class _Line(msgspec.Struct):
    """What is looked at of a journal's line."""

    project: str | None = None
    env: str | None = None
    timestamp: str = ""
    transformation_id: str | None = None


_decoder = msgspec.json.Decoder(_Line)


class _Head(NamedTuple):
    """Whose run it is, and its place among the others: its number, then when it began."""

    project: str | None = None
    env: str | None = None
    begun: tuple[int, str] = (0, "")


class LocalNames:
    """The names that stand in files here, each file read again only when it has changed.

    No method raises for what is wrong with a file: it has no names then.
    """

    def __init__(self) -> None:
        self._manifests: dict[Path, tuple[tuple[int, int], ProjectManifest | None]] = {}
        self._heads: dict[Path, _Head] = {}
        self._ids: dict[Path, tuple[tuple[int, int], tuple[str, ...]]] = {}
        self._planned: dict[tuple[str, str], tuple[str, ...]] = {}

    def remember(self, project: str, env: str, ids: Iterable[str]) -> None:
        """Keep the ids of a plan, which is in no file."""
        known = self._planned.get((project, env), ())
        self._planned[project, env] = tuple(dict.fromkeys((*ids, *known)))

    def manifests(self, project: str = "", path: str = "") -> list[ProjectManifest]:
        """The manifest that is meant; where that is not clear, all that are found from here."""
        settings = _settings()
        with contextlib.suppress(ManifestError, OSError):
            if path:
                return [find_manifest("", path)]
        found = [self._manifest(one) for one in manifest_paths(settings.project_dirs())]
        readable = [manifest for manifest in found if manifest is not None]
        name = project or settings.get("project")
        named = [m for m in readable if name and m.project.casefold() == name.casefold()]
        if name and not named:  # by its folder's name, as the commands understand it
            with contextlib.suppress(ManifestError, OSError):
                named = [find_manifest(name, folders=settings.project_dirs())]
        return named or readable

    def transformations(self, manifests: Iterable[ProjectManifest], env: str) -> list[str]:
        """Ids of the newest runs and of plans made here, sorted; of any environment if *env* has none."""
        for environment in dict.fromkeys((env, "")):
            ids: dict[str, None] = {}
            for manifest in manifests:
                for (project, planned), names in self._planned.items():
                    if project == manifest.project and environment in (planned, ""):
                        ids.update(dict.fromkeys(names))
                for folder in self._runs(manifest, environment)[:READ_RUNS]:
                    ids.update(dict.fromkeys(self._ids_of(folder)))
            if ids:
                return sorted(ids)
        return []

    def runs(
        self, manifests: Iterable[ProjectManifest], env: str, *, unfinished: bool = False
    ) -> list[str]:
        """Ids of past runs, newest first; with *unfinished*, only those that may still go on."""
        folders: set[Path] = set()
        for manifest in manifests:
            found = set(self._runs(manifest, env))
            folders |= found & set(open_runs(_state_dir(manifest))) if unfinished else found
        newest = sorted(folders, key=lambda folder: self._head(folder).begun, reverse=True)
        return [folder.name for folder in newest]

    def _manifest(self, path: Path) -> ProjectManifest | None:
        stamp = _stamp(path)
        known = self._manifests.get(path)
        if known is None or known[0] != stamp:
            try:
                manifest = ProjectManifest.from_json(path)
            except ManifestError:
                manifest = None
            known = self._manifests[path] = stamp, manifest
        return known[1]

    def _runs(self, manifest: ProjectManifest, env: str) -> list[Path]:
        """Folders of the runs of a project, and of *env* unless it is "", newest first."""
        folder = runs_folder(_state_dir(manifest))
        try:
            with os.scandir(folder) as entries:
                heads = {folder / entry.name: self._head(folder / entry.name) for entry in entries}
        except OSError:
            return []
        mine = [
            path
            for path, head in heads.items()
            if head.project == manifest.project and env in (head.env, "")
        ]
        return sorted(mine, key=lambda path: heads[path].begun, reverse=True)

    def _head(self, folder: Path) -> _Head:
        """What the first line of its journal says, which never changes."""
        head = self._heads.get(folder)
        if head is None:
            head = _Head()
            path = folder / "journal.jsonl"
            with contextlib.suppress(OSError, msgspec.MsgspecError, ValueError, RecursionError):
                if is_in_the_way(path):
                    return head
                with path.open("rb") as file:
                    line = _decoder.decode(file.readline(MOST_HEAD))
                begun = read_mark(folder).number, line.timestamp
                head = self._heads[folder] = _Head(line.project, line.env, begun)
        return head

    def _ids_of(self, folder: Path) -> tuple[str, ...]:
        path = folder / "journal.jsonl"
        stamp = _stamp(path)
        known = self._ids.get(folder)
        if known is None or known[0] != stamp:
            ids: dict[str, None] = {}
            for raw in (read_regular(path) or b"").splitlines():
                with contextlib.suppress(msgspec.MsgspecError, ValueError, RecursionError):
                    if name := _decoder.decode(raw).transformation_id:
                        ids[name] = None
            known = self._ids[folder] = stamp, tuple(ids)
        return known[1]


def _settings() -> Settings:
    try:
        return load_settings()
    except OdibiError:
        return Settings()


def _state_dir(manifest: ProjectManifest) -> Path:
    return Path(_settings().get("state_dir") or manifest.folder / ".odibi")


def _stamp(path: Path) -> tuple[int, int]:
    """What changes when the file does."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
