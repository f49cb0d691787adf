"""Find files: local paths, folders, globs, and URLs of any file system that fsspec supports."""

from __future__ import annotations

import contextlib
import glob
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.tables import longest_prefix, redact_url
from odibi_nb.engines.optional_imports import reason, require
from odibi_nb.errors import DataError, EngineNotAvailableError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

LocationOptions = Mapping[str, Mapping[str, Any]]
_AZURE = {"abfs", "abfss", "az", "adl"}
_PACKED = {".gz", ".bz2", ".zip", ".xz", ".zst"}
_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class FoundFile:
    """One file (or a folder that is read as a whole).

    Attributes:
        path: the path in its file system.
        shown: its name in messages, without passwords.
        system: the fsspec file system; None for a local path.
    """

    path: str
    shown: str
    system: Any = None

    @property
    def suffix(self) -> str:
        """The suffix of its name in lower case, without the suffix of a compression."""
        return _suffix(self.path)

    @property
    def packed(self) -> bool:
        """True if its suffix is that of a compressed file."""
        return PurePosixPath(self.path).suffix.lower() in _PACKED

    def open(self, *, unpack: bool) -> AbstractContextManager[Any]:
        """Open the file as bytes. With *unpack*, decompress it if an fsspec file system reads it."""
        if self.system is None:
            return Path(self.path).open("rb")
        opened: AbstractContextManager[Any] = self.system.open(
            self.path, "rb", compression="infer" if unpack else None
        )
        return opened

    def is_empty(self) -> bool:
        """Return True if the file has no bytes."""
        if self.system is None:
            path = Path(self.path)
            return path.is_file() and path.stat().st_size == 0
        with contextlib.suppress(Exception):  # if it cannot be reached, it may have bytes
            return bool(self.system.size(self.path) == 0)
        return False


def options_of(location: str, location_options: LocationOptions) -> Mapping[str, Any]:
    """Return the storage options of the longest prefix of *location* in *location_options*."""
    prefix = longest_prefix(location, location_options)
    return {} if prefix is None else location_options[prefix]


def find_files(
    location: str, suffixes: Sequence[str], storage_options: Mapping[str, Any]
) -> list[FoundFile]:
    """Find the files at *location*, sorted: one file, the files of a folder, or the matches of a glob.

    Args:
        location: a path or URL.
        suffixes: suffixes of the files to take from a folder. Names that start with "_" or "." are
            always skipped.
        storage_options: options for fsspec.

    Raises:
        DataError: if *location* has no such file.
        EngineNotAvailableError: if the library for this kind of URL is not installed.
    """
    shown = redact_url(location)
    try:
        if "://" in location:
            places = _remote(location, shown, suffixes, storage_options)
        else:
            places = _local(location, suffixes)
    except OSError as exc:
        raise DataError(f"{shown}: cannot be read: {exc.strerror or reason(exc)}") from exc
    if not places:
        raise DataError(f"{shown}: no {'/'.join(suffixes)} file is there")
    return places


def _local(location: str, suffixes: Sequence[str]) -> list[FoundFile]:
    path = Path(location)
    if path.is_dir():
        inside = list(path.iterdir())
        names = _wanted([str(p) for p in inside if p.is_file()], suffixes)
        if not names and ".parquet" in suffixes and any("=" in p.name for p in inside):
            return [FoundFile(location, location)]  # partitioned into folders: one data set
        return [FoundFile(name, name) for name in names]
    if path.exists():
        return [FoundFile(location, location)]
    if _WILD.search(location):
        return [FoundFile(n, n) for n in sorted(glob.glob(location)) if Path(n).is_file()]  # noqa: PTH207
    beside = os.listdir(path.parent) if path.parent.is_dir() else []  # noqa: PTH208  names are enough
    hint = did_you_mean(path.name, beside)
    raise DataError(f"{location}: no such file{hint}")


def _remote(
    location: str, shown: str, suffixes: Sequence[str], storage_options: Mapping[str, Any]
) -> list[FoundFile]:
    system, path = file_system(location, shown, storage_options)
    names: list[str] | None = None
    try:
        if _WILD.search(path):
            names = sorted(system.glob(path))
        elif system.isdir(path):
            names = _wanted(system.ls(path, detail=False), suffixes)
        elif system.exists(path):
            names = [path]
    except OSError:
        raise
    except Exception as exc:
        raise DataError(f"{shown}: cannot be read: {reason(exc)}") from exc
    if names is None:
        raise DataError(f"{shown}: no such file")
    scheme = shown.partition("://")[0]
    return [FoundFile(n, f"{scheme}://{n.lstrip('/')}", system) for n in names]


def file_system(location: str, shown: str, storage_options: Mapping[str, Any]) -> tuple[Any, str]:
    """Return the fsspec file system of the URL *location*, and its path there.

    Raises:
        DataError: if no such file system is known, or it cannot be reached; names *shown*.
        EngineNotAvailableError: if the library for this kind of URL is not installed.
    """
    protocol = location.partition("://")[0]
    extra = "azure" if protocol in _AZURE else "pandas"
    fsspec_core = require("fsspec.core", shown, extra)
    try:
        system, path = fsspec_core.url_to_fs(location, **storage_options)
    except ImportError as exc:
        if protocol in _AZURE:
            raise EngineNotAvailableError(shown, "azure", "adlfs") from exc
        raise DataError(f"{shown}: {reason(exc)}") from exc
    except ValueError as exc:
        if protocol in _AZURE and protocol in str(exc):
            raise EngineNotAvailableError(shown, "azure", "adlfs") from exc
        raise DataError(
            f"{shown}: no file system is known for {protocol}:// ({reason(exc)}); the manifest's "
            "'locations' can map it to a folder or to another URL"
        ) from exc
    except Exception as exc:
        raise DataError(f"{shown}: cannot be reached: {reason(exc)}") from exc
    return system, path


def _wanted(names: Sequence[str], suffixes: Sequence[str]) -> list[str]:
    return sorted(
        name
        for name in names
        if PurePosixPath(name).name[:1] not in {"_", "."} and _suffix(name) in suffixes
    )


def _suffix(path: str) -> str:
    name = PurePosixPath(path.replace("\\", "/")).name.lower()
    stem, dot, suffix = name.rpartition(".")
    if dot + suffix in _PACKED:
        suffix = stem.rpartition(".")[2]
    return f".{suffix}"
