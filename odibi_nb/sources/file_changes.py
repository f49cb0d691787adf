"""Replace files in one step each, and record the writer."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import hashlib
import os
import uuid
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from odibi_nb.core.process.state_files import read_regular
from odibi_nb.core.runlog.lock_owner import clock_time, identity

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

NOTE = "registry_writer.json"
MAX_NOTE = 1 << 16


class Writing(NamedTuple):
    """The new content of a file, and the content that it must have now; None for a new file."""

    path: Path
    before: bytes | None
    after: bytes


class _Writer(msgspec.Struct, frozen=True, kw_only=True):
    """Person, process and time of the last edit, and digests of the files that it wrote."""

    user: str
    host: str
    pid: int
    at: str
    files: dict[str, str]


def replace_files(writings: Sequence[Writing]) -> bool:
    """Replace all files, or none if another program has changed one of them since it was read.

    All new contents are on the disk before the first file is replaced, so only a kill between two of the
    replacements can leave one file new and another one old. No file is ever torn.

    Raises:
        OSError: if a file cannot be written. Files that were replaced before are restored.
    """
    ready: list[tuple[Path, Writing]] = []
    done: list[Writing] = []
    try:
        for writing in writings:
            ready.append((_beside(writing.path), writing))
            _write(ready[-1][0], writing)
        if any(_current(writing.path) != writing.before for writing in writings):
            return False
        for new, writing in ready:
            new.replace(writing.path)
            done.append(writing)
    except OSError:
        for writing in done:
            _restore(writing)
        raise
    finally:
        for new, _ in ready:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
    return True


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")


def _write(new: Path, writing: Writing) -> None:
    """Write the new content to the disk, with the mode of the file that it will replace.

    Raises:
        OSError: if the file is read-only. The folder's rights alone would let it be replaced.
    """
    mode = None if writing.before is None else writing.path.stat().st_mode
    if mode is not None and not mode & 0o222:
        raise PermissionError(errno.EACCES, f"{writing.path.name} is read-only")
    with new.open("xb") as file:
        file.write(writing.after)
        file.flush()
        os.fsync(file.fileno())
    if mode is not None:
        new.chmod(mode & 0o7777)


def _current(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _restore(writing: Writing) -> None:
    with contextlib.suppress(OSError):
        if writing.before is None:
            writing.path.unlink()
        else:
            back = _beside(writing.path)
            _write(back, writing._replace(after=writing.before))
            back.replace(writing.path)


def note_writer(state_dir: Path, writings: Sequence[Writing]) -> None:
    """Note this process as the last writer of the files. The note only serves messages."""
    if not writings:
        return
    user, host = identity()
    files = {str(writing.path): _digest(writing.after) for writing in writings}
    writer = _Writer(user=user, host=host, pid=os.getpid(), at=clock_time(), files=files)
    with contextlib.suppress(OSError):
        (state_dir / NOTE).write_bytes(msgspec.json.encode(writer))


def last_writer(state_dir: Path, path: Path, data: bytes) -> str:
    """Name the last writer of *path*, whose content is *data*, for the message of a conflict."""
    writer = None
    with contextlib.suppress(msgspec.MsgspecError, ValueError, RecursionError):
        writer = msgspec.json.decode(read_regular(state_dir / NOTE, MAX_NOTE) or b"", type=_Writer)
    if writer is not None and writer.files.get(str(path)) == _digest(data):
        who = f"{writer.user} on {writer.host} (process {writer.pid}) at {writer.at}"
        return f"{path.name} was last written by {who}"
    try:
        changed = dt.datetime.fromtimestamp(path.stat().st_mtime, dt.timezone.utc)
    except (OSError, ValueError, OverflowError):
        return f"{path.name} was last written by another program"
    program = "another program, such as an editor or git,"
    return f"{path.name} was last written by {program} at {changed:%Y-%m-%d %H:%M:%S} UTC"


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
