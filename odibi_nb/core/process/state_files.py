"""Read and move files of a project's state folder, whatever the folder holds.

A crash, a full disk, another version or a person may leave a torn file, or a folder or pipe in place
of a file. None of these stops a run.
"""

from __future__ import annotations

import contextlib
import os
import stat
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

SET_ASIDE = "set_aside"


def read_regular(path: Path, most: int = -1) -> bytes | None:
    """Return at most *most* bytes of a regular file; None if *path* is not one or is unreadable.

    A pipe or device in its place is not opened, because reading it could wait forever.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with path.open("rb") as file:
            return file.read(most)
    except (OSError, ValueError):
        return None


def is_in_the_way(path: Path) -> bool:
    """Return True if *path* exists and is not a regular file."""
    try:
        return not stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def make_folder(state_dir: Path, folder: Path) -> None:
    """Create *folder*. If a file has its place, move that away first.

    Raises:
        OSError: if the folder cannot be created.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        if not is_in_the_way(folder) and not folder.is_file():
            raise
        set_aside(state_dir, folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def set_aside(state_dir: Path, path: Path) -> str:
    """Move *path* into ``set_aside`` in the state folder, which odibi never reads.

    Return the new path; "" if it cannot be moved.
    """
    folder = state_dir / SET_ASIDE
    target = folder / path.name
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.path.lexists(target):
            target = folder / f"{path.name}.{uuid.uuid4().hex[:6]}"
        path.rename(target)
        return str(target)
    return ""
