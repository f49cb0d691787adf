"""Folders and files that only their owner can read: journals, logs and locks.

What functions print, the errors they fail with and the constants of their rows are in them. A file is
0600 and a folder 0700, also one that an earlier version made for everybody.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from odibi_nb.core.process.state_files import make_folder

if TYPE_CHECKING:
    from pathlib import Path

OWN_FOLDERS = ("runs", "locks", "logs")
DEFAULT_NAME = ".odibi"


def private_state(state_dir: Path) -> None:
    """Make the folder of a project's state, and what is in it, private.

    A folder with another name than `DEFAULT_NAME` that was there before may be somebody's for other
    things, too: then only what we keep in it is made private.

    Raises:
        OSError: if it cannot be made.
    """
    if not state_dir.exists():
        state_dir.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            state_dir.mkdir(mode=0o700)
    if state_dir.name == DEFAULT_NAME:
        _restrict(state_dir)
        for path in state_dir.glob("*.log"):
            _restrict(path)
    for name in OWN_FOLDERS:
        folder = state_dir / name
        make_folder(state_dir, folder)
        if _restrict(folder):
            private_tree(folder)


def private_tree(folder: Path) -> None:
    """Make *folder* and everything in it private."""
    _restrict(folder)
    for path in folder.rglob("*"):
        _restrict(path)


def _restrict(path: Path) -> bool:
    """Take all others' rights away; whether there were any. Where files have no modes, nothing happens."""
    with contextlib.suppress(OSError):  # another user's, or gone meanwhile
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & 0o077 and os.name == "posix":
            path.chmod(stat.S_IMODE(mode) & 0o700)
            return True
    return False
