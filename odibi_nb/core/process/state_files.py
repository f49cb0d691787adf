"""Read, write and move files of a project's state folder, whatever the folder holds.

A crash, a full disk, another version or a person may leave a torn file, or a folder or pipe in place
of a file. None of these stops a run. A mount of an object store may refuse to rename over a file or to append to one.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import uuid
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


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


def replace_file(path: Path, content: bytes, new: Path) -> None:
    """Write the new content to the file *new*, and replace *path* by it with `move_file`.

    Raises:
        OSError: if the file cannot be written.
    """
    new.write_bytes(content)
    move_file(new, path)


def move_file(path: Path, target: Path) -> None:
    """Move *path* over *target*, atomically if the file system can rename over a file.

    If it cannot, copy and remove. Readers of the state folder ignore incomplete files.

    Raises:
        OSError: if the file cannot be moved.
    """
    try:
        path.replace(target)
    except OSError:
        target.write_bytes(path.read_bytes())
        path.unlink()


def open_at_end(path: Path) -> int:
    """Open a file to append to it, and return the descriptor. Only one process may write to the file.

    If the file does not exist, create it for its owner only. Some file systems refuse O_APPEND. A pipe
    in its place is refused: to open it could wait forever, and so could a write.

    Raises:
        OSError: if the file cannot be opened, or is a pipe.
    """
    flags = os.O_CREAT | os.O_WRONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        opened = os.open(path, flags | os.O_APPEND, 0o600)
    except OSError:
        opened = os.open(path, flags, 0o600)
        os.lseek(opened, 0, os.SEEK_END)
    if stat.S_ISFIFO(os.fstat(opened).st_mode):
        os.close(opened)
        raise OSError(errno.EINVAL, "Is a pipe", str(path))
    return opened


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
        set_aside(state_dir, folder)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


def set_aside(state_dir: Path, path: Path) -> str:
    """Move *path* into ``set_aside`` in the state folder, which odibi never reads.

    Return the new path; "" if it cannot be moved.
    """
    folder = state_dir / "set_aside"
    target = folder / path.name
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if os.path.lexists(target):
            target = folder / f"{path.name}.{uuid.uuid4().hex[:6]}"
        path.rename(target)
        return str(target)
    return ""
