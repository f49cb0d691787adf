"""Make journals, logs and locks readable by their owner only.

They contain the output of functions, their errors and the constants of their rows. A file has the
mode 0600 and a folder 0700, even if an earlier version made it readable by all users.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING

from odibi_nb.core.process.state_files import make_folder

if TYPE_CHECKING:
    from pathlib import Path

OWN_FOLDERS = ("runs", "locks", "logs", "code")
DEFAULT_NAME = ".odibi"


def private_state(state_dir: Path) -> None:
    """Create the state folder of a project and make its content private.

    If the folder existed before and its name is not `DEFAULT_NAME`, it may hold files of other
    programs. Then only odibi's own folders in it become private.

    Raises:
        OSError: if the folder cannot be created.
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
    """Remove all rights of other users from *path*. Return True if it had any.

    On systems without file modes, do nothing.
    """
    with contextlib.suppress(OSError):  # the path belongs to another user, or is gone
        mode = path.lstat().st_mode
        if not stat.S_ISLNK(mode) and mode & 0o077 and os.name == "posix":
            path.chmod(stat.S_IMODE(mode) & 0o700)
            return True
    return False
