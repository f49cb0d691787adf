"""The journal: a file on local disk to which a run writes every event first.

Each run has a folder ``<state>/runs/<run_id>/``::

    journal.jsonl   one JSON object a line: the payload of an event, with its run log ``record``;
                    the output of transformations has ``output`` lines
    incomplete      the `Mark` of the run and its process, until every sink has the run's log
    complete        the same file, renamed once every sink has the run's log
    owner.lock      locked by the process of the run if the operating system locks files. The lock
                    decides only if the process cannot be seen from here: some versions of filelock
                    remove the file with the lock, and a forked child keeps the file locked
    overridden      the run that has taken the place of this run by force
    cancel.*        requests of other processes or cells to cancel one transformation, named by its
                    id, or the run if the file names none

Older versions wrote no marks. Their runs are incomplete while they have an ``owner.lock``.
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
from odibi_nb.core.process.state_files import (
    is_in_the_way,
    make_folder,
    move_file,
    open_at_end,
    read_regular,
    replace_file,
    set_aside,
)
from odibi_nb.core.runlog.journal_lines import read_line
from odibi_nb.core.runlog.lock_owner import locks_work, owned_runs
from odibi_nb.core.text.object_text import safe_str

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEPT_RUNS = 100
OUTPUT = "output"
"""The ``event`` of a journal line that holds output of a transformation."""
MOST_MARKED = 1 << 16
MOST_LINE = 1 << 26
"""The most bytes of a journal line. A longer line was not written by odibi."""
MOST_HELD = 1 << 16
"""The most bytes of lines that wait for the next write."""
_encoder = msgspec.json.Encoder(enc_hook=safe_str)
_written: set[Path] = set()
"""The folders of the runs whose journals this process writes."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """The run that a folder belongs to.

    Attributes:
        number: the run's number, greater than the number of every earlier run. Runs are ordered by
            it, because a clock may be wrong.
        process: the process of the run; None if it is unknown.
        left: True if the process has left the run. The process itself may continue.
    """

    number: int = 0
    project: str = ""
    env: str = ""
    process: Process | None = None
    left: bool = False


class Journal:
    """Writer of a run's journal, safe to call from several threads.

    A disk error never stops a run. `error` holds the first error.
    """

    def __init__(self, folder: Path, *, number: int = 0, project: str = "", env: str = "") -> None:
        self.folder = folder
        self.error: str | None = None
        self._mutex = threading.Lock()
        self._held: list[bytes] = []
        self._size_held = 0
        self._torn = False
        self._dirty = False
        self._pid = os.getpid()
        self._closed = False
        self._seen = False
        make_folder(folder.parent.parent, folder.parent)
        folder.mkdir(parents=True, exist_ok=True)
        self._owner = filelock.FileLock(str(folder / "owner.lock"))
        if locks_work(folder):
            self._owner.acquire(timeout=5)
        self._mark = Mark(number=number, project=project, env=env, process=current_process())
        try:
            _write_mark(folder / "incomplete", self._mark)
        except OSError:  # a full disk still takes an empty file
            (folder / "incomplete").touch()
        try:
            self._file = open_at_end(folder / "journal.jsonl")
        except OSError:  # a run that cannot begin must not look like one that died
            self._owner.release(force=True)
            shutil.rmtree(folder, ignore_errors=True)
            raise
        _written.add(folder)

    def append(self, line: dict[str, Any]) -> None:
        """Write one line to the operating system immediately. `sync` writes it to the disk."""
        data = _encoder.encode(line) + b"\n"
        with self._mutex:
            self._write([*self._held, data])

    def hold(self, line: dict[str, Any]) -> None:
        """Keep one line for the next write, because a write for each line takes longer."""
        data = _encoder.encode(line) + b"\n"
        with self._mutex:
            self._held.append(data)
            self._size_held += len(data)
            if self._size_held > MOST_HELD:
                self._write(self._held)

    def flush(self) -> None:
        """Write the lines that are held."""
        if not self._held:
            return
        with self._mutex:
            if self._held:
                self._write(self._held)

    def _write(self, lines: list[bytes]) -> None:
        """Write *lines*, which contain the held ones. Call it under the lock."""
        data = b"".join([b"\n", *lines] if self._torn else lines)
        self._held, self._size_held = [], 0
        try:
            written = os.write(self._file, data)
            self._torn = written < len(data)
            self._dirty = True
        except OSError as exc:
            self._torn = True
            self.error = self.error or f"{self.folder / 'journal.jsonl'}: {exc.strerror}"

    def sync(self) -> None:
        """Wait until all appended lines are on the disk."""
        self.flush()
        with self._mutex:
            dirty, self._dirty = self._dirty, False
        if dirty:
            with contextlib.suppress(OSError):
                os.fsync(self._file)

    def take_cancel_requests(self) -> list[str]:
        """Return the requests of other processes since the last call, and note whether the journal exists."""
        requests, names = _requests_in(self.folder)
        self._seen = "journal.jsonl" in names
        return requests

    def is_gone(self) -> bool:
        """Return True if the run's folder has been removed or renamed.

        A listing by `take_cancel_requests` answers the next call: on a mount each look at a file is a request.
        """
        seen, self._seen = self._seen, False
        if seen:
            return False
        try:
            (self.folder / "journal.jsonl").stat()
        except OSError as exc:  # a share that does not answer for a while still exists
            return isinstance(exc, (FileNotFoundError, NotADirectoryError))
        return False

    def close(self, *, complete: bool) -> None:
        """Close the journal and release the run.

        A forked child inherits the journal, but only the parent closes it.

        Args:
            complete: True if every sink has the run's whole log.
        """
        if self._closed or self._pid != os.getpid():
            return
        self.sync()
        with contextlib.suppress(OSError):  # it is closed if an interrupt ended an earlier call
            os.close(self._file)
        _written.discard(self.folder)
        try:
            if complete:
                mark_complete(self.folder)
            else:  # this process may live long, but it no longer runs this run
                left = msgspec.structs.replace(self._mark, left=True)
                with contextlib.suppress(OSError):
                    _write_mark(self.folder / "incomplete", left)
        finally:
            self._owner.release(force=True)
            if complete:  # some systems cannot remove the file before it is closed
                with contextlib.suppress(OSError):
                    (self.folder / "owner.lock").unlink()
            self._closed = True


def mark_complete(folder: Path) -> None:
    """Mark that every sink has the run's log. Recovery then ignores the run."""
    with contextlib.suppress(OSError):
        (folder / "owner.lock").unlink()
    with contextlib.suppress(OSError):
        move_file(folder / "incomplete", folder / "complete")
    if not (folder / "complete").exists():
        with contextlib.suppress(OSError):  # the run of an older version, which wrote no marks
            _write_mark(folder / "complete", Mark())


def _write_mark(path: Path, mark: Mark) -> None:
    replace_file(path, msgspec.json.encode(mark), path.with_name(f"{path.name}.new"))


def read_mark(folder: Path) -> Mark:
    """Return the mark in a run's folder; an empty mark if it has none that can be read."""
    found = (read_regular(folder / name, MOST_MARKED) for name in ("incomplete", "complete"))
    content = next((one for one in found if one is not None), b"")
    try:
        return msgspec.json.decode(content, type=Mark)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return Mark()


def runs_folder(state_dir: Path) -> Path:
    """Return the folder that holds the folders of a project's runs."""
    return state_dir / "runs"


def run_folders(state_dir: Path) -> list[Path]:
    """Return the folders of all runs, in the order in which the runs began."""
    folders = runs_folder(state_dir).glob("*/")
    return sorted(folders, key=lambda folder: (read_mark(folder).number, folder.name))


def last_number(state_dir: Path) -> int:
    """Return the greatest number of the runs in *state_dir*; 0 if it has no runs."""
    return max((read_mark(f).number for f in runs_folder(state_dir).glob("*/")), default=0)


def read_journal(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's journal, without the lines that cannot be read.

    A crash, a full disk or another version may leave such lines.
    """
    return read_counted(folder)[0]


def read_counted(folder: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the readable lines of a run's journal, and the number of unreadable lines."""
    path = folder / "journal.jsonl"
    lines: list[dict[str, Any]] = []
    unreadable = 0
    if is_in_the_way(path):
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
    """Return the whole lines of a growing journal from byte *start*, and the start of the next line.

    One call reads at most *most* bytes, unless a single line is longer. Pass the returned start to
    the next call.
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
    """Return the folders of the runs whose log is not complete, oldest first.

    Such a run is running now, or its process died.
    """
    return [folder for folder in run_folders(state_dir) if _is_open(folder)]


def any_open_run(state_dir: Path) -> bool:
    """Return True if `open_runs` would find a run. This reads no file."""
    return any(_is_open(folder) for folder in runs_folder(state_dir).glob("*/"))


def _is_open(folder: Path) -> bool:
    if os.path.lexists(folder / "incomplete"):
        return True
    return os.path.lexists(folder / "owner.lock") and not os.path.lexists(folder / "complete")


@contextlib.contextmanager
def taken_over(folder: Path) -> Iterator[bool]:
    """Hold the run of a dead process inside the block and yield True. Yield False if the run lives.

    If the process of the run can be seen from here, its state decides. If not, the lock of the
    operating system decides, or the owners' files if the system locks no files.
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
    unmarked = os.path.lexists(path) and not os.path.lexists(folder / "incomplete")
    lock = filelock.FileLock(str(path))
    try:
        if locks_work(folder):
            if not is_in_the_way(path):  # no process can hold a folder in place of the file
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
            if unmarked:
                _keep_unmarked(folder)


def _keep_unmarked(folder: Path) -> None:
    """Add a mark to an open run of an older version, because only its lock shows that it is open.

    filelock 3.21 to 3.29 remove the file of a lock that is released.
    """
    if not os.path.lexists(folder / "complete"):
        with contextlib.suppress(OSError):  # the folder may be gone, or read-only
            os.close(os.open(folder / "owner.lock", os.O_CREAT | os.O_WRONLY, 0o600))


def live_runs(state_dir: Path) -> list[Path]:
    """Return the folders of the runs that run now, in this process or another."""
    live = []
    for folder in open_runs(state_dir):
        with taken_over(folder) as dead:
            if not dead:
                live.append(folder)
    return live


def set_run_aside(folder: Path) -> str:
    """Move away the folder of an unreadable run. Return its new path; "" if it cannot be moved."""
    return set_aside(folder.parent.parent, folder)


def prune(state_dir: Path, keep: int = KEPT_RUNS) -> None:
    """Remove the folders of all but the newest *keep* complete runs."""
    complete = [folder for folder in run_folders(state_dir) if not _is_open(folder)]
    for folder in complete[:-keep]:
        shutil.rmtree(folder, ignore_errors=True)


def request_cancel(folder: Path, transformation_id: str = "") -> None:
    """Ask the process of the run in *folder* to cancel the run, or one of its transformations."""
    name = uuid.uuid4().hex
    text = f"{transformation_id}\n".encode()
    # The run sees a request only once it is whole.
    replace_file(folder / f"cancel.{name}", text, folder / f"{name}.new")


def take_cancel_requests(folder: Path) -> list[str]:
    """Return the requests since the last call: transformation ids, or "" for the whole run."""
    return _requests_in(folder)[0]


def _requests_in(folder: Path) -> tuple[list[str], list[str]]:
    """Remove the requests in *folder*. Return their ids, and the names of all files before."""
    requests: list[str] = []
    try:
        names = os.listdir(folder)  # noqa: PTH208  names are enough
    except OSError:
        return [], []
    # An older version named the file "cancel".
    for path in [folder / name for name in names if name.startswith("cancel")]:
        content = read_regular(path, MOST_MARKED)
        try:
            path.unlink()
        except OSError:  # a request that cannot be removed would be read again with every call
            continue
        requests += (content or b"").decode(errors="replace").split("\n")[:-1]
    return requests, names
