"""Names for completion: projects, environments, layers, transformations and runs.

The names come from files beside the manifests and are cached until those files change. Completion
never reads a registry, a lake, Spark or the network, and never imports user code.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from odibi_nb.core.model.manifest import ProjectManifest, find_manifest, manifest_paths
from odibi_nb.core.process.state_files import is_in_the_way, read_regular
from odibi_nb.core.process.state_folder import state_folder
from odibi_nb.core.runlog.journal import open_runs, read_mark, runs_folder
from odibi_nb.errors import ManifestError, OdibiError
from odibi_nb.settings import Settings, load_settings

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MOST_HEAD = 1 << 24
"""Maximum length in bytes of a journal's first line, which holds the hashes of all functions."""
READ_RUNS = 3
"""Number of newest runs per project and environment whose transformation ids are offered."""


class _Line(msgspec.Struct):
    """The fields of a journal's line that completion needs."""

    project: str | None = None
    env: str | None = None
    timestamp: str = ""
    transformation_id: str | None = None


_decoder = msgspec.json.Decoder(_Line)


class _Head(NamedTuple):
    """Project and environment of a run, and its sort key: its number, then its start."""

    project: str | None = None
    env: str | None = None
    begun: tuple[int, str] = (0, "")


class LocalNames:
    """The names found in local files. Each file is read again only after it has changed.

    No method raises for a bad file; such a file has no names.
    """

    def __init__(self) -> None:
        self._manifests: dict[Path, tuple[tuple[int, int], ProjectManifest | None]] = {}
        self._heads: dict[Path, _Head] = {}
        self._ids: dict[Path, tuple[tuple[int, int], tuple[str, ...]]] = {}
        self._planned: dict[tuple[str, str], tuple[str, ...]] = {}

    def remember(self, project: str, env: str, ids: Iterable[str]) -> None:
        """Store the ids of a plan, because no file contains them."""
        known = self._planned.get((project, env), ())
        self._planned[project, env] = tuple(dict.fromkeys((*ids, *known)))

    def manifests(self, project: str = "", path: str = "") -> list[ProjectManifest]:
        """Return the requested manifest, or all manifests found from here if the request is unclear."""
        settings = _settings()
        with contextlib.suppress(ManifestError, OSError):
            if path:
                return [find_manifest("", path)]
        found = [self._manifest(one) for one in manifest_paths(settings.project_dirs())]
        readable = [manifest for manifest in found if manifest is not None]
        name = project or settings.get("project")
        named = [m for m in readable if name and m.project.casefold() == name.casefold()]
        if name and not named:  # by its folder's name, which the commands accept too
            with contextlib.suppress(ManifestError, OSError):
                named = [find_manifest(name, folders=settings.project_dirs())]
        return named or readable

    def transformations(self, manifests: Iterable[ProjectManifest], env: str) -> list[str]:
        """Return the ids of the newest runs and of plans made here, sorted.

        If *env* has none, return the ids of all environments.
        """
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
        """Return the ids of past runs, newest first. With *unfinished*, leave out ended runs."""
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
        """Return a project's run folders, newest first. *env* restricts them unless it is ""."""
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
        """Return the facts in the first line of the run's journal, which never changes."""
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
    return state_folder(manifest.folder, _settings().get("state_dir"))


def _stamp(path: Path) -> tuple[int, int]:
    """Return the file's modification time and size to detect changes; zeros if it is missing."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size
