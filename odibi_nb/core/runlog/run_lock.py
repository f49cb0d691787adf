"""One run of a project and environment at a time.

Three things say who runs. The run writes its name and process into a file and renews that every few
seconds (`Owner`). The operating system's lock on another file ends with the process that holds it; but
a network share may not know such locks, or not pass them on to other hosts, and a child that the
process has forked keeps the lock alive, or gives it back. So, where the process can be seen from here,
that decides. A new run takes over

- where the last owner's process has ended, if the system locks files there;
- where it gets the system's lock and the last owner, on this host, held it: that one is dead, unless
  its process is seen to run;
- otherwise, when the last owner's file has not changed for as long as `BEAT_SECONDS` times
  `MISSED_BEATS` while we watched. No two clocks are compared: neither hosts that disagree about
  the time nor a clock that jumps end a lock;
- at once with *force*. What was overridden notices, revokes what it runs and ends as cancelled; a
  write that it has begun cannot be stopped any more.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import time
from typing import TYPE_CHECKING, TypeVar

import filelock
import msgspec

from odibi_nb.core.model.manifest import plain_slug
from odibi_nb.core.process.interrupts import InterruptsHeldBack
from odibi_nb.core.process.private_files import OWN_FOLDERS, private_state
from odibi_nb.core.process.process_identity import Process, current_process, is_running
from odibi_nb.core.process.state_files import is_in_the_way, make_folder, read_regular, set_aside
from odibi_nb.core.runlog.journal import runs_folder
from odibi_nb.core.runlog.lock_owner import (
    MOST_BYTES,
    clock_time,
    decode_owner,
    identity,
    locks_folder,
    locks_work,
    read_owner,
    this_process,
    write_owner,
)
from odibi_nb.errors import RunLockedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from odibi_nb.core.runlog.lock_owner import Owner

Result = TypeVar("Result")

BEAT_SECONDS = 5.0
MISSED_BEATS = 12
WATCH_SECONDS = 0.25
SILENT_SECONDS = 1.0
"""A lock without an owner's file is being taken or released; only after so long something is wrong."""
_held: set[str] = set()
"""The runs of this process that hold a lock."""


class RunLock:
    """The lock of a project and environment.

    One thread takes and releases it; the heartbeat and the run's coordinator call `beat`.

    Attributes:
        run_id: the run that has it.
        overrode: whom this run has taken the lock from with *force*; "" if nobody.
    """

    def __init__(self, state_dir: Path, project: str, env: str, run_id: str) -> None:
        folder = locks_folder(state_dir)
        make_folder(state_dir, folder)
        # Names that look alike once they are plain are still different ones.
        exact = _digest(f"{project}\0{env}".encode())
        path = folder / f"{plain_slug(project)[:50]}-{plain_slug(env)[:50]}-{exact}.lock"
        self.run_id = run_id
        self.where = f"project {project!r}, env {env!r}"
        self.overrode = ""
        self._state_dir = state_dir
        self._file = path.with_suffix(".json")
        self._places = (path, self._file)
        # Not of one thread: the heartbeat takes it once the run that was overridden has ended.
        self._system = (
            filelock.FileLock(str(path), thread_local=False) if locks_work(folder) else None
        )
        self._me = this_process(run_id, locked=False)
        self._written = 0
        self._next_beat = 0.0
        self._lost = ""
        self._reported = False
        self._mutex = threading.Lock()

    def acquire(
        self,
        *,
        force: bool,
        say: Callable[[str], None],
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        """Take the lock.

        Raises:
            RunLockedError: if another run holds it, and *force* is not given; says which.
        """
        for place in self._places:
            if is_in_the_way(place) and (moved := set_aside(self._state_dir, place)):
                say(f"⚠️ {place} is no file: it was moved to {moved}")
        if force:
            self._take_system_lock()
            last = self._content()
            if last is not None:
                owner = decode_owner(last)
                if not self._is_dead(owner):
                    self.overrode = str(owner or "another run")
                    self._tell(owner)
        else:
            last = self._free_to_take(say, wait)
        _held.add(self._me.run_id)  # before another thread reads the name
        try:
            self._take_file(last, force=force)
        except BaseException:
            _held.discard(self._me.run_id)
            raise

    def _free_to_take(
        self, say: Callable[[str], None], wait: Callable[[float], object]
    ) -> bytes | None:
        """Return what the owner's file holds once its run has ended, or was silent for long enough.

        Raises:
            RunLockedError: if it is going on.
        """
        first = self._content()
        claimed = self._claim(first).exists()
        begun = time.monotonic()
        patience = BEAT_SECONDS * MISSED_BEATS
        announced = False
        while True:
            mine = self._take_system_lock() or self._system is None
            last = self._content()
            owner = decode_owner(last)
            if (mine and last is None) or self._is_dead(owner):
                return last
            if last is not None and last != first:
                raise self._refusal(owner)
            if not mine and owner is not None and is_running(owner):
                raise self._refusal(owner)
            waited = time.monotonic() - begun
            if waited > patience:
                break
            if not announced and (last is not None or waited > SILENT_SECONDS):
                announced = True
                say(
                    f"⏳ {owner or 'Another run'} has left a lock: watching for {patience:g} s "
                    "whether it lives (--force takes its place at once)"
                )
            wait(WATCH_SECONDS)
        if claimed and last is not None:  # whoever made it has not gone on for as long as that
            self._claim(last).unlink(missing_ok=True)
        return last

    def _is_dead(self, owner: Owner | None) -> bool:
        """Return True if the owner's run is certain to have ended.

        Where the system locks no files, only silence tells: two that find it dead could not be told
        apart from one that begins a moment after the other.
        """
        if owner is None or self._system is None:
            return False
        running = is_running(owner)
        if running and owner.pid == os.getpid():
            return owner.run_id not in _held
        if running is None:
            return self._me.locked and owner.locked and owner.host == identity()[1]
        return not running

    def beat(self) -> str:
        """Say that this run lives, if it is time to; who has overridden it, or "" (and so only once)."""
        with self._mutex:
            self._renew()
            reported, self._reported = self._reported, bool(self._lost)
            return "" if reported else self._lost

    def beat_on(self, done: threading.Event) -> None:
        """Say that this run lives until *done*: also while it plans, or something keeps its coordinator."""
        while not done.wait(min(1.0, BEAT_SECONDS)):
            with self._mutex:
                if not done.is_set():
                    self._renew()

    def _renew(self) -> None:
        if self._lost or self._me.pid != os.getpid():
            return
        # Whoever was overridden may have ended.
        if not self._me.locked and self._system is not None and self._take_system_lock():
            self._next_beat = 0.0
        with contextlib.suppress(OSError):
            if self._file.stat().st_mtime_ns == self._written and (
                time.monotonic() < self._next_beat
            ):
                return
        self._lost = self._overridden()
        if not self._lost:
            # A full disk ends no run; the next beat may come through.
            with contextlib.suppress(OSError):
                self._write()

    def release(self) -> None:
        """Let go of it. A forked child, which inherits the lock, leaves it to its parent."""
        if self._me.pid != os.getpid():
            return
        _held.discard(self._me.run_id)
        try:
            owner = read_owner(self._file)
            if owner is not None and owner.run_id == self._me.run_id:
                with contextlib.suppress(OSError):
                    self._file.unlink()
        finally:
            if self._system is not None:
                # Some versions of filelock do so as well. Of two that then hold the lock of two files,
                # the owner's file lets one begin.
                if self._me.locked:
                    with contextlib.suppress(OSError):
                        self._places[0].unlink()
                self._system.release(force=True)

    def _overridden(self) -> str:
        """Who has our place now; or had it, if that run has ended already."""
        owner = read_owner(self._file)
        if owner is not None and owner.run_id != self._me.run_id:
            return str(owner)
        notice = read_regular(_notice(self._state_dir, self._me.run_id), MOST_BYTES)
        return "" if notice is None else notice.decode(errors="replace") or "another run"

    def _tell(self, owner: Owner | None) -> None:
        """Leave word for the run that is overridden; we may have ended when it looks."""
        if owner is not None:
            with contextlib.suppress(OSError):
                notice = _notice(self._state_dir, owner.run_id)
                notice.write_text(str(self._me), encoding="utf-8")

    def _take_system_lock(self) -> bool:
        """Whether the operating system gives us its lock."""
        if self._system is None:
            return False
        if not self._me.locked:
            try:
                self._system.acquire(timeout=0)
            except filelock.Timeout:
                return False
            self._me = msgspec.structs.replace(self._me, locked=True)
        return True

    def _content(self) -> bytes | None:
        """What the owner's file holds, nothing if it cannot be read; None if there is none."""
        content = read_regular(self._file, MOST_BYTES)
        return b"" if content is None and os.path.lexists(self._file) else content

    def _claim(self, last: bytes | None) -> Path:
        return self._file if last is None else self._file.with_suffix(f".{_digest(last)}.claim")

    def _take_file(self, last: bytes | None, *, force: bool) -> None:
        """Put our name in place of *last*; of several runs that try this, only one does."""
        if force:
            self._write()
            return
        # Whoever makes the claim, and then still finds what it found before, has the right to go on.
        claim = self._claim(last)
        if not _made(claim):
            raise self._refusal(read_owner(self._file))
        try:
            if last is not None and self._content() != last:
                raise self._refusal(read_owner(self._file))
            self._write()
        finally:
            if last is not None:
                claim.unlink()

    def _write(self) -> None:
        self._next_beat = time.monotonic() + BEAT_SECONDS
        self._me = msgspec.structs.replace(self._me, beat=self._me.beat + 1, at=clock_time())
        write_owner(self._file, self._me)
        self._written = self._file.stat().st_mtime_ns

    def _refusal(self, owner: Owner | None) -> RunLockedError:
        if owner is None:
            what = "another run is going on; wait for it, or end it: odibi cancel"
        else:
            what = f"{owner} is going on; wait for it, or end it: odibi cancel {owner.run_id}"
        return RunLockedError(
            self.where, [f"{what}; or take its place: odibi run --force (force=True)"]
        )


def _made(claim: Path) -> bool:
    """Make *claim*, once it is certain that whoever made it before us was killed; False if it was not."""
    name = msgspec.json.encode(current_process())
    for _ in range(2):
        try:
            with claim.open("xb") as file:
                file.write(name if claim.suffix == ".claim" else b"")
        except FileExistsError:
            try:
                maker = msgspec.json.decode(read_regular(claim, MOST_BYTES) or b"", type=Process)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                return False
            if is_running(maker) is not False:
                return False
            claim.unlink(missing_ok=True)
        else:
            return True
    return False


def _notice(state_dir: Path, run_id: str) -> Path:
    return runs_folder(state_dir) / run_id / "overridden"


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=4).hexdigest()


@contextlib.contextmanager
def run_lock(
    state_dir: Path,
    project: str,
    env: str,
    run_id: str,
    *,
    force: bool = False,
    say: Callable[[str], None] = lambda _: None,
    wait: Callable[[float], object] = time.sleep,
) -> Iterator[RunLock]:
    """Hold the lock of *project* and *env* inside the block; call `RunLock.beat` meanwhile.

    Args:
        state_dir: where journals and locks are.
        project: the project.
        env: the environment.
        run_id: who asks.
        force: take it from whoever has it.
        say: told when taking over takes a while.
        wait: waits for seconds, or raises what ends the waiting.

    Raises:
        RunLockedError: if another run holds it; says which, and what to do.
    """
    lock = RunLock(state_dir, project, env, run_id)
    try:
        lock.acquire(force=force, say=say, wait=wait)
        yield lock
    finally:
        lock.release()


def exclusively(
    state_dir: Path,
    project: str,
    env: str,
    run_id: str,
    do: Callable[[RunLock, InterruptsHeldBack], Result],
    *,
    force: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> Result:
    """Call *do* while no other run of *project* and *env* goes on, and return its result.

    Whatever is decided for a run, from the runs before it, its plan and its tables, is decided in here.
    An interrupt neither ends taking nor releasing the lock halfway; *do* opens for interrupts what it
    wants to have interrupted.

    Raises:
        RunLockedError: as `run_lock`.
    """
    folders = [*(state_dir / name for name in OWN_FOLDERS), state_dir]
    made = [path for path in folders if not path.exists()]
    try:
        private_state(state_dir)
        return _exclusively(state_dir, project, env, run_id, do, force=force, say=say)
    finally:
        for path in made:  # a run that did not begin leaves nothing behind
            with contextlib.suppress(OSError):
                path.rmdir()


def _exclusively(
    state_dir: Path,
    project: str,
    env: str,
    run_id: str,
    do: Callable[[RunLock, InterruptsHeldBack], Result],
    *,
    force: bool,
    say: Callable[[str], None],
) -> Result:
    with (
        InterruptsHeldBack() as interrupts,
        run_lock(
            state_dir, project, env, run_id, force=force, say=say, wait=interrupts.sleep
        ) as lock,
    ):
        done = threading.Event()
        heart = threading.Thread(
            target=lock.beat_on, args=(done,), name="odibi-heartbeat", daemon=True
        )
        heart.start()
        try:
            return do(lock, interrupts)
        finally:
            done.set()
            heart.join()
