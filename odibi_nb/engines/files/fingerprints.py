"""Fingerprints of files, which show without a read that files have changed.

Equal fingerprints of a file, a folder or a pattern mean equal data. If a storage reports neither a time
nor an entity tag, its fingerprints prove nothing.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import glob
import hashlib
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.provenance import FileRead
from odibi_nb.core.model.tables import DELTA_LOG, redact_url
from odibi_nb.engines.files.discovery import file_system

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_WILD = re.compile(r"[*?\[]")
_ETAGS = ("ETag", "etag", "e_tag", "md5", "content_md5", "md5Hash", "checksum")
_TIMES = ("mtime", "LastModified", "last_modified", "updated", "modified", "created")
_WEB = ("http://", "https://")
_MOUNTS = ("/dbfs/", "/Volumes/", "/Workspace/")
"""Folders of Databricks that are mounted: a file may have another inode there in each process."""
_MOST_FILES = 100_000
_HASH_DIGITS = 16


def fingerprint(location: str, storage_options: Mapping[str, Any]) -> FileRead:
    """Return the fingerprint of a file, or of all files of a folder or pattern, at any depth.

    If *location* cannot be checked, or has too many files for that, the fingerprint has only its
    name.

    Args:
        location: a path or URL.
        storage_options: options for fsspec.
    """
    shown = redact_url(location)
    with contextlib.suppress(Exception):  # the read of the file raises with the cause
        if location.startswith("file://"):
            location = location.removeprefix("file://")
        if location.startswith(_WEB):
            return FileRead(file=shown)  # the time and tag that a server reports prove nothing
        if "://" in location:
            return _remote(location, shown, storage_options)
        if not location.startswith("dbfs:"):
            return _local(location, shown)
    return FileRead(file=shown)


def _local(location: str, shown: str) -> FileRead:
    path = Path(location)
    if path.is_dir():
        log = path / DELTA_LOG  # every change of a Delta table adds a file to it
        return _together(shown, _below(str(log if log.is_dir() else path)))
    if not path.exists() and _WILD.search(location):
        found = sorted(glob.glob(location))  # noqa: PTH207  as the reader finds them
        return _together(shown, [_entry(name, name) for name in found if Path(name).is_file()])
    return _entry(location, shown)


def _below(folder: str) -> list[FileRead]:
    """Return the fingerprints of all files below *folder*, with paths relative to it, sorted."""
    found = []
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = os.path.join(place, name)  # noqa: PTH118  os.walk gives text
            found.append(_entry(path, os.path.relpath(path, folder)))
            if len(found) > _MOST_FILES:
                raise OverflowError(folder)
    return found


def _entry(path: str, name: str) -> FileRead:
    state = Path(path).stat()
    return FileRead(
        file=name,
        size=state.st_size,
        modified=state.st_mtime_ns,
        etag="" if path.startswith(_MOUNTS) else f"{state.st_ino:x}-{state.st_ctime_ns:x}",
    )


def _remote(location: str, shown: str, storage_options: Mapping[str, Any]) -> FileRead:
    system, path = file_system(location, shown, storage_options)
    with contextlib.suppress(Exception):  # a listing from before the last change proves nothing
        system.invalidate_cache()
    if _WILD.search(path):
        infos = system.glob(path, detail=True)
    else:
        info = system.info(path)
        if info.get("type") != "directory":
            return _entry_of(info, shown)
        infos = system.find(path, detail=True)
    files = [_entry_of(info, str(info.get("name", ""))) for _, info in sorted(infos.items())]
    return _together(shown, files)


def _entry_of(info: Mapping[str, Any], name: str) -> FileRead:
    size = info.get("size")
    etags = (info.get(name) for name in _ETAGS)
    times = (_nanoseconds(info.get(name)) for name in _TIMES)
    return FileRead(
        file=name,
        size=None if size is None else int(size),
        modified=next((time for time in times if time is not None), None),
        etag=next((str(etag).strip('"') for etag in etags if etag), ""),
    )


def _nanoseconds(value: Any) -> int | None:
    """Return a time of a storage, in nanoseconds since 1970; None if it is not a time."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = dt.datetime.fromisoformat(value.replace("Z", "+00:00"))
    if isinstance(value, dt.datetime):
        zoned = value if value.tzinfo else value.replace(tzinfo=dt.timezone.utc)
        since = zoned - dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
        return (since.days * 86_400 + since.seconds) * 10**9 + since.microseconds * 1000
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return int(value * 10**9)
    return None


def _together(shown: str, files: list[FileRead]) -> FileRead:
    """Return one fingerprint of several files. Without a time or tag of one, it has no listing."""
    provable = all(one.modified is not None or one.etag for one in files)
    sizes = [one.size for one in files]
    return FileRead(
        file=shown,
        count=len(files),
        size=None if None in sizes else sum(size for size in sizes if size is not None),
        modified=max((one.modified for one in files if one.modified is not None), default=None),
        listing=_listing(files) if provable else "",
    )


def _listing(files: Iterable[FileRead]) -> str:
    digest = hashlib.sha256()
    for one in files:
        line = f"{one.file}\0{one.size}\0{one.modified}\0{one.etag}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:_HASH_DIGITS]
