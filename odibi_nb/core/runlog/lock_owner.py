"""The owner's file, which names the run that holds the lock of a project and environment.

The run renews the file while it lives. The path is
``<state>/locks/<project>-<env>-<digest>.json``.
"""

from __future__ import annotations

import getpass
import os
import socket
import sys
import tempfile
from functools import lru_cache
from typing import TYPE_CHECKING

import msgspec

from odibi_nb.core.process.compute import find_compute
from odibi_nb.core.process.process_identity import Process, current_process, is_running
from odibi_nb.core.process.state_files import read_regular, replace_file
from odibi_nb.core.text.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

MOST_BYTES = 1 << 16
"""The most bytes of an owner's file."""


class Owner(Process, frozen=True, kw_only=True):
    """A run and its process: the content of an owner's file.

    Attributes:
        since: the start of the run, as wall clock time for messages.
        at: the last renewal of the file, as wall clock time for messages.
        beat: the number of renewals of the file.
        locked: True if the run holds the operating system's lock.
    """

    run_id: str
    user: str
    since: str
    at: str
    beat: int = 0
    locked: bool = True

    def __str__(self) -> str:
        return (
            f"run {self.run_id} (process {self.pid} on {self.host}, by {self.user}, "
            f"since {self.since}, last sign of life {self.at})"
        )


@lru_cache(maxsize=1)
def identity() -> tuple[str, str]:
    """Return (user, host) of this process. On Databricks the user is the workspace's, not the driver's."""
    user = find_compute().user
    if not user:
        try:
            user = getpass.getuser()
        except (KeyError, OSError):
            user = "unknown"
    return user, socket.gethostname()


def this_process(run_id: str, *, locked: bool) -> Owner:
    """Return this process as the owner of a run that begins now."""
    user, _ = identity()
    now = clock_time()
    process = msgspec.structs.asdict(current_process())
    return Owner(run_id=run_id, user=user, since=now, at=now, locked=locked, **process)


def clock_time() -> str:
    """Return the current time in the format of owners' files."""
    return f"{utc_now():%Y-%m-%d %H:%M:%S} UTC"


def locks_folder(state_dir: Path) -> Path:
    """Return the folder of the locks of a project's environments."""
    return state_dir / "locks"


def read_owner(path: Path) -> Owner | None:
    """Return the owner in the file *path*; None if the file is missing or unreadable."""
    return decode_owner(read_regular(path, MOST_BYTES))


def decode_owner(content: bytes | None) -> Owner | None:
    """Return the owner in the *content* of a file; None if the content is unreadable."""
    try:
        return msgspec.json.decode(content or b"", type=Owner)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None


def write_owner(path: Path, owner: Owner) -> None:
    """Replace the file *path*.

    Raises:
        OSError: if the file cannot be written.
    """
    replace_file(path, msgspec.json.encode(owner), path.with_suffix(f".{owner.run_id}.new"))


def has_ended(owner: Owner, held: Collection[str]) -> bool | None:
    """Return True if the run of *owner* has certainly ended, False if it lives, None if neither is known.

    *held* has the runs of this process that hold what *owner* owns.
    """
    running = is_running(owner)
    if running and owner.pid == os.getpid():
        return owner.run_id not in held
    return None if running is None else not running


def owned_runs(state_dir: Path) -> set[str]:
    """Return the ids of the runs in all owners' files, whether the run lives or not."""
    owners = (read_owner(path) for path in locks_folder(state_dir).glob("*.json"))
    return {owner.run_id for owner in owners if owner is not None}


def locks_work(folder: Path) -> bool:
    """Return True if the operating system locks files in *folder*. Some network shares do not."""
    if sys.platform == "win32":
        return True
    import fcntl

    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
