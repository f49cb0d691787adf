"""Allow one run of a project and environment at a time.

The owner of the lock is found in three ways:

- The run writes its id and process into a file, and renews the file every few seconds (`Owner`).
- The run holds the operating system's lock on another file. This lock ends with the process. But a
  network share may not support such locks, or may not pass them on to other hosts. A child that the
  process has forked may keep the lock or release it.
- If the process can be seen from here, its state decides.

A new run takes over the lock

- if the last owner's process has ended, and the system locks files in this folder;
- if the new run gets the system's lock, and the last owner held it on this host. The last owner is
  then dead, unless its process can be seen to run;
- otherwise, if the last owner's file does not change for `BEAT_SECONDS` times `MISSED_BEATS` while
  the new run watches it. This compares no two clocks, so neither hosts with different times nor a
  clock that jumps can end a lock;
- immediately with *force*. The overridden run notices this, revokes its rows and ends as cancelled.
  A write that it has begun cannot be stopped.
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
    has_ended,
    identity,
    locks_folder,
    locks_work,
    read_owner,
    this_process,
    write_owner,
)
from odibi_nb.core.runlog.run_lease import beating, held_lease
from odibi_nb.errors import RunLockedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from odibi_nb.core.runlog.lock_owner import Owner
    from odibi_nb.core.runlog.run_lease import RunLease

Result = TypeVar("Result")

BEAT_SECONDS = 5.0
MISSED_BEATS = 12
WATCH_SECONDS = 0.25
SLOW_LOOK_SECONDS = 0.05
WAIT_PER_LOOK = 30
SLOWEST_LOOK_SECONDS = 15.0
"""After a slow look at the files, a run waits 30 times as long, at most 15 s. Others wait 60 s for a sign of life."""
SILENT_SECONDS = 1.0
"""The time for which a lock may have no owner's file: a run is taking or releasing it."""
_held: set[str] = set()
"""The runs of this process that hold a lock."""


class RunLock:
    """The lock of a project and environment.

    One thread takes and releases the lock. The run's coordinator calls `beat`, and the heartbeat
    thread runs `beat_on`.

    Attributes:
        run_id: the run that takes the lock.
        overrode: the owner from which this run has taken the lock with *force*; "" if it took none.
        lease: the lease of the run if other machines may run the environment, too; else None.
    """

    def __init__(self, state_dir: Path, project: str, env: str, run_id: str) -> None:
        folder = locks_folder(state_dir)
        make_folder(state_dir, folder)
        # Different names may have the same slug.
        exact = _digest(f"{project}\0{env}".encode())
        path = folder / f"{plain_slug(project)[:50]}-{plain_slug(env)[:50]}-{exact}.lock"
        self.run_id = run_id
        self.where = f"project {project!r}, env {env!r}"
        self.overrode = ""
        self.lease: RunLease | None = None
        self._state_dir = state_dir
        self._file = path.with_suffix(".json")
        self._places = (path, self._file)
        # Not thread-local: the heartbeat thread takes it once the overridden run has ended.
        self._system = (
            filelock.FileLock(str(path), thread_local=False) if locks_work(folder) else None
        )
        self._me = this_process(run_id, locked=False)
        self._written = 0
        self._next_beat = 0.0
        self._next_look = 0.0
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
            RunLockedError: if another run holds the lock and *force* is False. The message names
                the run.
        """
        for place in self._places:
            if is_in_the_way(place) and (moved := set_aside(self._state_dir, place)):
                say(f"⚠️ {place} is not a file, so it was moved to {moved}")
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
        """Wait until the lock is free, and return the content of the owner's file.

        The lock is free if its run has ended, or has not renewed the file for long enough.

        Raises:
            RunLockedError: if the run still lives.
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
                    f"⏳ {owner or 'Another run'} holds the lock: waiting {patience:g} s "
                    "for a sign of life (--force takes the lock at once)"
                )
            wait(WATCH_SECONDS)
        if claimed and last is not None:  # the run that made the claim did not go on in this time
            self._claim(last).unlink(missing_ok=True)
        return last

    def _is_dead(self, owner: Owner | None) -> bool:
        """Return True if the owner's run has certainly ended.

        If the system locks no files, return False, so that only missing renewals end the lock. Without the
        system's lock, two runs that find the owner dead at the same time cannot be distinguished
        from two runs that begin one after the other.
        """
        if owner is None or self._system is None:
            return False
        ended = has_ended(owner, _held)
        if ended is None:
            return self._me.locked and owner.locked and owner.host == identity()[1]
        return ended

    def beat(self) -> str:
        """Renew the owner's file if it is time to.

        Return the run that has overridden this run, but only once; else "".
        """
        with self._mutex:
            self._renew()
            if not self._lost and self.lease is not None:
                self._lost = self.lease.lost
            reported, self._reported = self._reported, bool(self._lost)
            return "" if reported else self._lost

    @property
    def replaced_by(self) -> str:
        """The run that has overridden this run, as far as `beat` has seen; "" if none has."""
        return self._lost

    def check(self) -> str:
        """Return the reason why this run may read and write no more; "" if it may.

        Raises:
            DataError: if other machines may run the environment, and the lease cannot be renewed.
        """
        return "" if self.lease is None else self.lease.check()

    def beat_on(self, done: threading.Event) -> None:
        """Renew the owner's file until *done*, even while the run plans or its coordinator is busy."""
        while not done.wait(min(1.0, BEAT_SECONDS)):
            with self._mutex:
                if not done.is_set():
                    self._renew()

    def _renew(self) -> None:
        begun = time.monotonic()
        if self._lost or self._me.pid != os.getpid() or begun < self._next_look:
            return
        try:
            self._look_and_write()
        finally:  # on a slow file system, look less often
            took = time.monotonic() - begun
            if took > SLOW_LOOK_SECONDS:
                self._next_look = begun + min(SLOWEST_LOOK_SECONDS, WAIT_PER_LOOK * took)

    def _look_and_write(self) -> None:
        # The overridden run may have ended.
        if not self._me.locked and self._system is not None and self._take_system_lock():
            self._next_beat = 0.0
        with contextlib.suppress(OSError):
            if self._file.stat().st_mtime_ns == self._written and (
                time.monotonic() < self._next_beat
            ):
                return
        self._lost = self._overridden()
        if not self._lost:
            # A full disk does not end the run. The next beat may succeed.
            with contextlib.suppress(OSError):
                self._write()

    def release(self) -> None:
        """Release the lock. A forked child inherits the lock, but only the parent releases it."""
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
                # Some versions of filelock remove the file, too. Two runs may then hold locks on two
                # files of this name, and the owner's file lets only one of them begin.
                if self._me.locked:
                    with contextlib.suppress(OSError):
                        self._places[0].unlink()
                self._system.release(force=True)

    def _overridden(self) -> str:
        """Return the run that has overridden this run, even if it has ended already; else ""."""
        owner = read_owner(self._file)
        if owner is not None and owner.run_id != self._me.run_id:
            return str(owner)
        notice = read_regular(_notice(self._state_dir, self._me.run_id), MOST_BYTES)
        return "" if notice is None else notice.decode(errors="replace") or "another run"

    def _tell(self, owner: Owner | None) -> None:
        """Leave a notice for the overridden run, because this run may end before the overridden run checks."""
        if owner is not None:
            with contextlib.suppress(OSError):
                notice = _notice(self._state_dir, owner.run_id)
                if is_in_the_way(notice):
                    set_aside(self._state_dir, notice)
                notice.write_text(str(self._me), encoding="utf-8")

    def _take_system_lock(self) -> bool:
        """Return True if this run gets or has the operating system's lock."""
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
        """Return the content of the owner's file: b"" if it is unreadable, None if it is missing."""
        content = read_regular(self._file, MOST_BYTES)
        return b"" if content is None and os.path.lexists(self._file) else content

    def _claim(self, last: bytes | None) -> Path:
        return self._file if last is None else self._file.with_suffix(f".{_digest(last)}.claim")

    def _take_file(self, last: bytes | None, *, force: bool) -> None:
        """Replace *last*, the content of the owner's file, with this run.

        If several runs try this, only one succeeds.
        """
        if force:
            self._write()
            return
        # A run may go on if it makes the claim and then still finds the content unchanged.
        claim = self._claim(last)
        if not _made(claim):
            raise self._refusal(read_owner(self._file))
        try:
            if last is not None and self._content() != last:
                raise self._refusal(read_owner(self._file))
            self._write()
        except OSError:
            if last is None:  # the empty file would look like another run that takes the lock
                claim.unlink(missing_ok=True)
            raise
        finally:
            if last is not None:
                claim.unlink()

    def _write(self) -> None:
        self._next_beat = time.monotonic() + BEAT_SECONDS
        self._me = msgspec.structs.replace(self._me, beat=self._me.beat + 1, at=clock_time())
        write_owner(self._file, self._me)
        self._written = self._file.stat().st_mtime_ns

    def _refusal(self, owner: Owner | None) -> RunLockedError:
        force = "or take its place: odibi run --force (force=True)"
        if owner is None:
            what = "another run is in progress; wait for it, or end it: odibi cancel"
            return RunLockedError(self.where, [f"{what}; {force}"])
        name = owner.run_id
        what = f"{owner} is in progress; wait for it, or end it: odibi cancel {name}"
        watch = f"or watch it: odibi watch {name}"
        return RunLockedError(
            self.where, [f"{what}; {watch}; {force}"], name, str(owner), self._state_dir
        )


def _made(claim: Path) -> bool:
    """Create the file *claim*. Return False if another process may hold the claim.

    A claim whose process was certainly killed is replaced.
    """
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
    """Hold the lock of *project* and *env* inside the block. The block must call `RunLock.beat`.

    With *force*, the run takes the lock from a run that holds it. *say* gets messages, for example that
    taking the lock will take a while. *wait* waits for a number of seconds, or raises an exception that ends
    the waiting.

    Raises:
        RunLockedError: if another run holds the lock. The message names the run and the remedy.
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
    lease: RunLease | None = None,
) -> Result:
    """Call *do* while this run holds the lock of *project* and *env*, and return the result of *do*.

    *do* makes all decisions of a run that depend on earlier runs, its plan and its tables. An
    interrupt cannot stop this function halfway through taking or releasing the lock. *do* lets
    interrupts through where it can be interrupted. If there is a *lease*, the run holds it as well.

    Raises:
        RunLockedError: as in `run_lock`, or if a run of another machine holds the lease.
        DataError: if the lease cannot be read or written.
    """
    folders = [*(state_dir / name for name in OWN_FOLDERS), state_dir]
    made = [path for path in folders if not path.exists()]
    try:
        private_state(state_dir)
        with (
            InterruptsHeldBack() as interrupts,
            run_lock(
                state_dir, project, env, run_id, force=force, say=say, wait=interrupts.sleep
            ) as lock,
        ):
            lock.lease = lease
            with (
                beating(lock.beat_on, "odibi-heartbeat"),
                held_lease(lease, force=force, say=say, wait=interrupts.sleep),
            ):
                return do(lock, interrupts)
    finally:
        for path in made:  # a run that did not begin leaves no empty folders
            with contextlib.suppress(OSError):
                path.rmdir()
