"""The journal: every event of a run, on local disk, before anybody else hears of it.

One folder a run, ``<state>/runs/<run_id>/``::

    journal.jsonl   one JSON object a line: an event's payload, with its run log ``record``; and what
                    transformations print, as ``output`` lines
    owner.lock      held by the process that runs; gone when the run's log is complete. Where the
                    operating system does not lock files, a run is alive while an `Owner` names it
    overridden      which run has taken this one's place by force
    cancel          a request of another process or cell: a transformation's id, or nothing for all
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import filelock
import msgspec

from odibi_nb.core.owners import locks_work, owned_runs

if TYPE_CHECKING:
    from collections.abc import Iterator

KEPT_RUNS = 100
OUTPUT = "output"
"""The ``event`` of a line that a transformation printed."""
_encoder = msgspec.json.Encoder(enc_hook=str)
_decoder = msgspec.json.Decoder()


class Journal:
    """Appends events to a run's journal; safe to call from several threads.

    Losing the disk never stops a run: `error` says what happened, once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.error: str | None = None
        self._mutex = threading.Lock()
        self._torn = False
        self._dirty = False
        folder.mkdir(parents=True, exist_ok=True)
        self._owner = filelock.FileLock(str(folder / "owner.lock"))
        if locks_work(folder):
            self._owner.acquire(timeout=5)
        else:
            Path(self._owner.lock_file).touch()
        self._file = os.open(
            folder / "journal.jsonl", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o644
        )

    def append(self, line: dict[str, Any]) -> None:
        """Write one line, at once, to the operating system (`sync` brings it to the disk)."""
        data = _encoder.encode(line) + b"\n"
        with self._mutex:
            if self._torn:
                data = b"\n" + data
            try:
                written = os.write(self._file, data)
                self._torn = written < len(data)
                self._dirty = True
            except OSError as exc:
                self._torn = True
                self.error = self.error or f"{self.folder / 'journal.jsonl'}: {exc.strerror}"

    def sync(self) -> None:
        """Wait until what was appended is on the disk."""
        with self._mutex:
            dirty, self._dirty = self._dirty, False
        if dirty:
            with contextlib.suppress(OSError):
                os.fsync(self._file)

    def close(self, *, complete: bool) -> None:
        """Let go of the run; *complete* says that every sink has all of it."""
        self.sync()
        os.close(self._file)
        release(self._owner, complete=complete)


def release(owner: filelock.BaseFileLock, *, complete: bool) -> None:
    """Let go of a run's folder; with *complete* it is never looked at again for recovery."""
    if complete:
        with contextlib.suppress(OSError):
            Path(owner.lock_file).unlink()
    owner.release()
    if complete:  # where an open file cannot be removed, it can be now
        Path(owner.lock_file).unlink(missing_ok=True)


def runs_folder(state_dir: Path) -> Path:
    """Where the runs of a project have their folders."""
    return state_dir / "runs"


def read_journal(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's journal; what a crash or a full disk tore is left out."""
    lines = []
    try:
        data = (folder / "journal.jsonl").read_bytes()
    except OSError:
        return []
    for line in data.split(b"\n"):
        with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError):
            if line:
                lines.append(_decoder.decode(line))
    return [line for line in lines if isinstance(line, dict)]


def read_on(folder: Path, start: int, most: int = 1 << 20) -> tuple[list[bytes], int]:
    """The lines of a journal that is being written, from byte *start* on, and where the next one begins.

    No more than *most* bytes are read, unless a single line is longer; the next call goes on from there.
    """
    try:
        with (folder / "journal.jsonl").open("rb") as file:
            file.seek(start)
            data = file.read(most)
            if len(data) == most:
                data += file.readline()
    except OSError:
        return [], start
    *lines, torn = data.split(b"\n")
    return lines, start + len(data) - len(torn)


def open_runs(state_dir: Path) -> list[Path]:
    """Folders of the runs whose log is not complete: running now, or dead; oldest first."""
    found = [lock.parent for lock in runs_folder(state_dir).glob("*/owner.lock")]
    return sorted(found, key=lambda folder: folder.name)


@contextlib.contextmanager
def taken_over(folder: Path) -> Iterator[filelock.BaseFileLock | None]:
    """Hold the run of a dead process; None while its owner is alive.

    The operating system frees the lock when its owner dies, however it dies.
    """
    owner = filelock.FileLock(str(folder / "owner.lock"))
    try:
        if locks_work(folder):
            owner.acquire(timeout=0)
        elif folder.name in owned_runs(folder.parent.parent):
            yield None
            return
    except (filelock.Timeout, OSError):
        yield None
        return
    try:
        yield owner
    finally:
        if owner.is_locked:
            owner.release()


def live_runs(state_dir: Path) -> list[Path]:
    """Folders of the runs that go on now, in this process or another."""
    live = []
    for folder in open_runs(state_dir):
        with taken_over(folder) as owner:
            if owner is None:
                live.append(folder)
    return live


def prune(state_dir: Path, keep: int = KEPT_RUNS) -> None:
    """Remove the folders of all but the newest *keep* complete runs."""
    complete = sorted(
        folder
        for folder in runs_folder(state_dir).glob("*/")
        if not (folder / "owner.lock").exists()
    )
    for folder in complete[:-keep]:
        shutil.rmtree(folder, ignore_errors=True)


def request_cancel(folder: Path, transformation_id: str = "") -> None:
    """Ask whoever runs the run in *folder* to cancel it, or one of its transformations."""
    with (folder / "cancel").open("a", encoding="utf-8") as file:
        file.write(transformation_id + "\n")


def take_cancel_requests(folder: Path) -> list[str]:
    """The requests since the last call: transformation ids, "" for the whole run."""
    path = folder / "cancel"
    taken = folder / "cancel.taken"
    try:
        path.replace(taken)
    except OSError:
        return []
    return taken.read_text(encoding="utf-8").split("\n")[:-1]
