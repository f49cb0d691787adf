"""One run of a project and environment at a time.

Two things say who runs. The operating system's lock on a file ends with the process that holds it,
however it ends; but a network share may not know such locks, or not pass them on to other hosts. So
the run also writes its name into a file and renews that every few seconds (`Owner`). A new run takes
over

- where it gets the system's lock and the last owner, on this host, held it: that one is dead;
- otherwise, when the last owner's file has not changed for as long as `BEAT_SECONDS` times
  `MISSED_BEATS` while we watched. No two clocks are compared: neither hosts that disagree about
  the time nor a clock that jumps end a lock;
- at once with *force*. What was overridden notices, revokes what it runs and ends as cancelled; a
  write that it has begun cannot be stopped any more.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from typing import TYPE_CHECKING

import filelock
import msgspec

from odibi_nb.core.journal import runs_folder
from odibi_nb.core.manifest import plain_slug
from odibi_nb.core.owners import (
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

    from odibi_nb.core.owners import Owner

BEAT_SECONDS = 5.0
MISSED_BEATS = 12
WATCH_SECONDS = 0.25


class RunLock:
    """The lock of a project and environment; one thread uses it.

    Attributes:
        overrode: whom this run has taken the lock from with *force*; "" if nobody.
    """

    def __init__(self, state_dir: Path, project: str, env: str, run_id: str) -> None:
        folder = locks_folder(state_dir)
        folder.mkdir(parents=True, exist_ok=True)
        # Names that look alike once they are plain are still different ones.
        exact = _digest(f"{project}\0{env}".encode())
        path = folder / f"{plain_slug(project)[:50]}-{plain_slug(env)[:50]}-{exact}.lock"
        self.where = f"project {project!r}, env {env!r}"
        self.overrode = ""
        self._state_dir = state_dir
        self._file = path.with_suffix(".json")
        self._system = filelock.FileLock(str(path)) if locks_work(folder) else None
        self._me = this_process(run_id, locked=False)
        self._written = 0
        self._next_beat = 0.0
        self._lost = False

    def acquire(self, *, force: bool, say: Callable[[str], None]) -> None:
        """Take the lock.

        Raises:
            RunLockedError: if another run holds it, and *force* is not given; says which.
        """
        mine = self._take_system_lock()
        last = self._content()
        owner = decode_owner(last)
        if self._system is not None and not mine and not force:
            raise self._refusal(owner)
        dead = mine and owner is not None and owner.locked and owner.host == identity()[1]
        if last is not None and not dead:
            if force:
                self.overrode = str(owner or "another run")
                self._tell(owner)
            else:
                last = self._after_silence(last, say)
        self._take_file(last, force=force)

    def beat(self) -> str:
        """Say that this run lives, if it is time to; who has overridden it, or "" (and so only once)."""
        if self._lost:
            return ""
        if not self._me.locked and self._system is not None and self._take_system_lock():
            self._next_beat = 0.0  # whoever was overridden has ended
        with contextlib.suppress(OSError):
            if self._file.stat().st_mtime_ns == self._written and (
                time.monotonic() < self._next_beat
            ):
                return ""
        if who := self._overridden():
            self._lost = True
            return who
        with contextlib.suppress(
            OSError
        ):  # a full disk ends no run; the next beat may come through
            self._write()
        return ""

    def release(self) -> None:
        """Let go of it."""
        owner = read_owner(self._file)
        if owner is not None and owner.run_id == self._me.run_id:
            with contextlib.suppress(OSError):
                self._file.unlink()
        if self._system is not None:
            self._system.release()

    def _overridden(self) -> str:
        """Who has our place now; or had it, if that run has ended already."""
        owner = read_owner(self._file)
        if owner is not None and owner.run_id != self._me.run_id:
            return str(owner)
        try:
            return _notice(self._state_dir, self._me.run_id).read_text(encoding="utf-8")
        except OSError:
            return ""

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
        try:
            self._system.acquire(timeout=0)
        except filelock.Timeout:
            return False
        self._me = msgspec.structs.replace(self._me, locked=True)
        return True

    def _content(self) -> bytes | None:
        """What stands in the owner's file; None if there is none."""
        try:
            return self._file.read_bytes()
        except FileNotFoundError:
            return None

    def _after_silence(self, last: bytes, say: Callable[[str], None]) -> bytes | None:
        """Watch the owner's file for as long as only the dead are silent; what stands in it then.

        Raises:
            RunLockedError: if it was renewed meanwhile.
        """
        patience = BEAT_SECONDS * MISSED_BEATS
        say(
            f"⏳ {decode_owner(last) or 'Another run'} has left a lock: watching for {patience:g} s "
            "whether it lives (--force takes its place at once)"
        )
        until = time.monotonic() + patience
        while time.monotonic() < until:
            found = self._content()
            if found is None:
                return None
            if found != last:
                raise self._refusal(decode_owner(found))
            time.sleep(WATCH_SECONDS)
        return last

    def _take_file(self, last: bytes | None, *, force: bool) -> None:
        """Put our name in place of *last*; of several runs that try this, only one does."""
        if force:
            self._write()
            return
        # Whoever makes the claim, and then still finds what it found before, has the right to go on.
        claim = self._file if last is None else self._file.with_suffix(f".{_digest(last)}.claim")
        try:
            claim.touch(exist_ok=False)
        except FileExistsError:
            raise self._refusal(read_owner(self._file)) from None
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
) -> Iterator[RunLock]:
    """Hold the lock of *project* and *env* inside the block; call `RunLock.beat` meanwhile.

    Args:
        state_dir: where journals and locks are.
        project: the project.
        env: the environment.
        run_id: who asks.
        force: take it from whoever has it.
        say: told when taking over takes a while.

    Raises:
        RunLockedError: if another run holds it; says which, and what to do.
    """
    lock = RunLock(state_dir, project, env, run_id)
    try:
        lock.acquire(force=force, say=say)
        yield lock
    finally:
        lock.release()
