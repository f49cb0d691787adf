"""The journal: every event of a run, on local disk, before anybody else hears of it.

One folder a run, ``<state>/runs/<run_id>/``::

    journal.jsonl   one JSON object a line: an event's payload, with its run log ``record``; and what
                    transformations print, as ``output`` lines
    incomplete      there until every sink has the run's log: which run it is, and whose (`Mark`)
    complete        what becomes of ``incomplete`` then
    owner.lock      held by the process that runs, where the operating system locks files. It only
                    tells whether a process lives that cannot be seen from here: some versions of
                    filelock remove the file with the lock, and a forked child keeps it locked
    overridden      which run has taken this one's place by force
    cancel.*        requests of other processes or cells: a transformation's id, or nothing for all

The runs of a version that made no marks are incomplete while they have an ``owner.lock``.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import uuid
from typing import TYPE_CHECKING, Any

import filelock
import msgspec

from odibi_nb.core.process.process_identity import Process, current_process, is_running
from odibi_nb.core.process.state_files import is_in_the_way, make_folder, read_regular, set_aside
from odibi_nb.core.runlog.journal_lines import read_line
from odibi_nb.core.runlog.lock_owner import locks_work, owned_runs
from odibi_nb.core.text.object_text import safe_str

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEPT_RUNS = 100
OUTPUT = "output"
"""The ``event`` of a line that a transformation printed."""
MOST_MARKED = 1 << 16
MOST_LINE = 1 << 26
"""A line that is longer is none of ours."""
_encoder = msgspec.json.Encoder(enc_hook=safe_str)
_written: set[Path] = set()
"""The folders of the runs whose journals this process writes."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """Which run has a folder.

    Attributes:
        number: of the run, greater than those of all before it: no clock orders runs.
        process: whose run it is; None where that is unknown.
        left: whether that process has left it, though it may go on.
    """

    number: int = 0
    project: str = ""
    env: str = ""
    process: Process | None = None
    left: bool = False


class Journal:
    """Appends events to a run's journal; safe to call from several threads.

    Losing the disk never stops a run: `error` says what happened, once.
    """

    def __init__(self, folder: Path, *, number: int = 0, project: str = "", env: str = "") -> None:
        self.folder = folder
        self.error: str | None = None
        self._mutex = threading.Lock()
        self._torn = False
        self._dirty = False
        self._pid = os.getpid()
        self._closed = False
        make_folder(folder.parent.parent, folder.parent)
        folder.mkdir(parents=True, exist_ok=True)
        self._owner = filelock.FileLock(str(folder / "owner.lock"))
        if locks_work(folder):
            self._owner.acquire(timeout=5)
        self._mark = Mark(number=number, project=project, env=env, process=current_process())
        try:
            _write_mark(folder / "incomplete", self._mark)
        except OSError:  # a full disk has a place for a file with nothing in it
            (folder / "incomplete").touch()
        self._file = os.open(
            folder / "journal.jsonl", os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600
        )
        _written.add(folder)

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

    def is_gone(self) -> bool:
        """Return True if the run's folder has been removed or renamed."""
        try:
            (self.folder / "journal.jsonl").stat()
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:  # a share that does not answer for a while is still there
            return False
        return False

    def close(self, *, complete: bool) -> None:
        """Let go of the run; *complete* says that every sink has all of it.

        A forked child, which inherits the journal, leaves it to its parent.
        """
        if self._closed or self._pid != os.getpid():
            return
        self.sync()
        with contextlib.suppress(OSError):  # it may be closed, where an interrupt ended this before
            os.close(self._file)
        _written.discard(self.folder)
        try:
            if complete:
                mark_complete(self.folder)
            else:  # this process may live long, but not for this run
                left = msgspec.structs.replace(self._mark, left=True)
                with contextlib.suppress(OSError):
                    _write_mark(self.folder / "incomplete", left)
        finally:
            self._owner.release(force=True)
            if complete:  # where an open file cannot be removed, it can be now
                with contextlib.suppress(OSError):
                    (self.folder / "owner.lock").unlink()
            self._closed = True


def mark_complete(folder: Path) -> None:
    """Say that every sink has the run's log: it is never looked at again for recovery."""
    with contextlib.suppress(OSError):
        (folder / "owner.lock").unlink()
    with contextlib.suppress(OSError):
        (folder / "incomplete").replace(folder / "complete")
    if not (folder / "complete").exists():
        with contextlib.suppress(OSError):  # of a version that made no marks
            _write_mark(folder / "complete", Mark())


def _write_mark(path: Path, mark: Mark) -> None:
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(msgspec.json.encode(mark))
    new.replace(path)


def read_mark(folder: Path) -> Mark:
    """Return what a run's folder says of it; an empty mark if it says nothing."""
    for name in ("incomplete", "complete"):
        content = read_regular(folder / name, MOST_MARKED)
        if content is not None:
            try:
                return msgspec.json.decode(content, type=Mark)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                return Mark()
    return Mark()


def runs_folder(state_dir: Path) -> Path:
    """Where the runs of a project have their folders."""
    return state_dir / "runs"


def run_folders(state_dir: Path) -> list[Path]:
    """Return the folders of all runs, in the order in which the runs began."""
    numbered = [
        (read_mark(folder).number, folder.name, folder)
        for folder in runs_folder(state_dir).glob("*/")
    ]
    return [folder for _, _, folder in sorted(numbered)]


def last_number(state_dir: Path) -> int:
    """Return the greatest number of the runs here; 0 if there are none."""
    return max((read_mark(f).number for f in runs_folder(state_dir).glob("*/")), default=0)


def read_journal(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's journal; what a crash, a full disk or another version made unreadable is left out."""
    return read_counted(folder)[0]


def read_counted(folder: Path) -> tuple[list[dict[str, Any]], int]:
    """The lines of a run's journal that can be read, and the number of those that cannot."""
    path = folder / "journal.jsonl"
    lines: list[dict[str, Any]] = []
    unreadable = 0
    if is_in_the_way(path) or not path.exists():
        return lines, unreadable
    with contextlib.suppress(OSError), path.open("rb") as file:
        while raw := file.readline(MOST_LINE):
            if raw.endswith(b"\n") or len(raw) < MOST_LINE:
                line = read_line(raw) if raw.strip() else {}
            else:
                line = None
                while raw and not raw.endswith(b"\n"):
                    raw = file.readline(MOST_LINE)
            if line:
                lines.append(line)
            unreadable += line is None
    return lines, unreadable


def read_on(folder: Path, start: int, most: int = 1 << 20) -> tuple[list[bytes], int]:
    """The lines of a journal that is being written, from byte *start* on, and where the next one begins.

    No more than *most* bytes are read, unless a single line is longer; the next call goes on from there.
    """
    if is_in_the_way(folder / "journal.jsonl"):
        return [], start
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
    return [folder for folder in run_folders(state_dir) if _is_open(folder)]


def any_open_run(state_dir: Path) -> bool:
    """Return True if `open_runs` would find one, reading no file."""
    return any(_is_open(folder) for folder in runs_folder(state_dir).glob("*/"))


def _is_open(folder: Path) -> bool:
    if os.path.lexists(folder / "incomplete"):
        return True
    return os.path.lexists(folder / "owner.lock") and not os.path.lexists(folder / "complete")


@contextlib.contextmanager
def taken_over(folder: Path) -> Iterator[bool]:
    """Hold the run of a dead process inside the block, and yield True; yield False while it goes on.

    Where its process can be seen from here, that decides. Elsewhere the operating system's lock does,
    or, where it locks no files, the owners' files.
    """
    mark = read_mark(folder)
    process = mark.process
    running = False if mark.left else None if process is None else is_running(process)
    if running and process is not None and process.pid == os.getpid():
        running = folder in _written
    if running:
        yield False
        return
    path = folder / "owner.lock"
    lock = filelock.FileLock(str(path))
    try:
        if locks_work(folder):
            if not is_in_the_way(path):  # a folder in its place is held by nobody
                lock.acquire(timeout=0)
        elif running is None and folder.name in owned_runs(folder.parent.parent):
            yield False
            return
    except (filelock.Timeout, OSError):
        if running is None:
            yield False
            return
    try:
        yield True
    finally:
        if lock.is_locked:
            lock.release(force=True)


def live_runs(state_dir: Path) -> list[Path]:
    """Folders of the runs that go on now, in this process or another."""
    live = []
    for folder in open_runs(state_dir):
        with taken_over(folder) as dead:
            if not dead:
                live.append(folder)
    return live


def set_run_aside(folder: Path) -> str:
    """Move away the folder of a run of which nothing can be read; its new place, or ""."""
    return set_aside(folder.parent.parent, folder)


def prune(state_dir: Path, keep: int = KEPT_RUNS) -> None:
    """Remove the folders of all but the newest *keep* complete runs."""
    complete = [folder for folder in run_folders(state_dir) if not _is_open(folder)]
    for folder in complete[:-keep]:
        shutil.rmtree(folder, ignore_errors=True)


def request_cancel(folder: Path, transformation_id: str = "") -> None:
    """Ask whoever runs the run in *folder* to cancel it, or one of its transformations."""
    name = uuid.uuid4().hex
    new = folder / f"{name}.new"  # the run sees a request only once it is whole
    new.write_text(transformation_id + "\n", encoding="utf-8")
    new.replace(folder / f"cancel.{name}")


def take_cancel_requests(folder: Path) -> list[str]:
    """The requests since the last call: transformation ids, "" for the whole run."""
    requests = []
    try:
        found = [path for path in folder.iterdir() if path.name.startswith("cancel")]
    except OSError:
        return []
    for path in found:  # "cancel" alone is of an older version
        content = read_regular(path, MOST_MARKED)
        try:
            path.unlink()
        except OSError:  # what cannot be removed would be heard again and again
            continue
        requests += (content or b"").decode(errors="replace").split("\n")[:-1]
    return requests
