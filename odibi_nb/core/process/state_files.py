"""Reading and moving files of a project's state folder, which may hold anything.

A crash, a full disk, another version or a person may have left a torn file, a folder in its place or a
pipe. None of that stops a run.
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
    """Return the content of a file, at most *most* bytes; None if there is nothing to read.

    A pipe or device in its place is not opened: reading it could wait for ever.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with path.open("rb") as file:
            return file.read(most)
    except (OSError, ValueError):
        return None


def is_in_the_way(path: Path) -> bool:
    """Return True if something other than a regular file has the place of one."""
    try:
        return not stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False


def make_folder(state_dir: Path, folder: Path) -> None:
    """Make *folder*, and move away what is not one and has its place.

    Raises:
        OSError: if it cannot be made.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except FileExistsError:
        if not is_in_the_way(folder) and not folder.is_file():
            raise
        set_aside(state_dir, folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def set_aside(state_dir: Path, path: Path) -> str:
    """Move *path* into the state folder's ``set_aside``, where nothing reads it; return its new place.

    "" if it cannot be moved.
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
