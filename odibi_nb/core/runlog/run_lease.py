"""Allow one run of a project and environment at a time on all machines that share a lake.

`RunLock` sees the runs of one state folder. The lease is a row of a table in the lake, which machines change
under the optimistic concurrency of the table: of two changes at the same time, one commits, and the other
one looks again. A run takes the lease in the same commit that stores its start and its planned rows, and only
if the lease is as it was when the run began to plan. It renews the lease every `BEAT_SECONDS`, in a commit.
Its record in the run log ends the lease, so a short run costs one commit.

- A run takes over the lease of another run if it has seen no renewal for `TAKEOVER_SECONDS`, or if the
  process of the other run certainly has ended. It compares a counter, never the clocks of two machines.
- A run that could not renew its lease for `VALID_SECONDS` renews it before its next read or write. If another
  run has taken it over, that read or write is refused. `VALID_SECONDS` is shorter than `TAKEOVER_SECONDS`, so
  a run notices even if its heartbeat starves, or if the machine sleeps.
- *force* takes the lease at once. The overridden run notices this at its next renewal.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import msgspec

from odibi_nb.core.runlog.journal_lines import read_line
from odibi_nb.core.runlog.lock_owner import decode_owner, has_ended, this_process
from odibi_nb.core.runlog.record import json_list
from odibi_nb.core.text.json import as_json
from odibi_nb.errors import DataError, OdibiError, RunLockedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from odibi_nb.core.protocols import Row, RunStateTables
    from odibi_nb.core.runlog.lock_owner import Owner

BEAT_SECONDS = 30.0
VALID_SECONDS = 120.0
TAKEOVER_SECONDS = 180.0
POLL_SECONDS = 3.0
TIDY_BEATS = 100
"""Number of changes of a lease after which the files of its earlier versions are removed."""
_held: set[str] = set()
"""The runs of this process that hold a lease."""


class RunLease:
    """The lease of one run.

    Args:
        tables: the tables that the machines share.
        part: the part of a job that the run runs.
        ended: returns True if the run log has the record of the run with an id.

    Attributes:
        row: the lease as this run has seen it; None if it does not exist.
        logged: True if the log of this run is complete, for every machine. Its record then ends the lease.
        complete: ids of earlier runs whose log is complete.
        lost: the run that has taken the lease from this run; "" while this run has it.
        overrode: the run from which this run has taken the lease with *force*, and its id; two
            empty texts if it took the lease from no run.
    """

    def __init__(
        self,
        tables: RunStateTables,
        project: str,
        env: str,
        run_id: str,
        part: str = "",
        ended: Callable[[str], bool] = lambda _run_id: False,
    ) -> None:
        self.tables = tables
        self.project = project
        self.env = lease_env(env, part)
        self.run_id = run_id
        self.row: Row | None = None
        self.logged = False
        self.complete: set[str] = set()
        self.lost = ""
        self.overrode = ("", "")
        self._ended = ended
        self._texts = {"start": "", "plan": ""}
        self._taken = self._released = False
        self._where = f"project {project!r}, env {env!r}"
        self._owner = as_json(msgspec.to_builtins(this_process(run_id, locked=False)))
        self._pid = os.getpid()
        self._beat = 0
        self._mutex = threading.RLock()
        self._renewed = _Moment()
        self._cancels: SimpleQueue[str] = SimpleQueue()
        self._tidying: threading.Thread | None = None

    def acquire(
        self,
        *,
        force: bool,
        say: Callable[[str], None],
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        """Check that this run may take the lease. With *force*, take it even from a live run.

        Raises:
            RunLockedError: if another run holds it and *force* is False; the message names the run.
            DataError: if the lease cannot be read or written. Nothing may run then.
        """
        seen = self._held_by(self._look())
        if seen is None:
            return
        if force:
            self._take(force=True)
            return
        say(
            f"⏳ {_named(seen)} holds the lease of this environment: waiting {TAKEOVER_SECONDS:g} s "
            "to see whether it is alive (--force replaces it at once)"
        )
        begun = time.monotonic()
        while time.monotonic() - begun <= TAKEOVER_SECONDS:
            wait(POLL_SECONDS)
            now = self._held_by(self._look())
            if now is None:
                return
            if lease_token(now) != lease_token(seen):
                raise self._refusal(now)

    def take(
        self, start: Mapping[str, Any] | None = None, planned: Mapping[str, Any] | None = None
    ) -> None:
        """Take the lease, and store the start of this run and its planned rows with it, in one commit.

        From the start, other machines can complete the log of this run.

        Raises:
            RunLockedError: if another run has taken the lease since `acquire`.
            DataError: if the lease cannot be written. Nothing may run then.
        """
        if start is not None:
            texts = {"start": start, "plan": planned}
            self._texts = {name: as_json(dict(text or {})) for name, text in texts.items()}
        self._take()

    def _take(self, *, force: bool = False) -> None:
        def decide(row: Row | None) -> Mapping[str, Any]:
            if not (force or self._is_unchanged(row)):
                self.row = row
                raise _LostError
            if force and (held := self._held_by(row)) is not None:
                self.overrode = (_named(held), str(held["run_id"]))
                self.row = held
            unended = as_json(self._unended(row))
            return {**self._values(row), **self._texts, "unended": unended}

        with self._mutex:
            moment = _Moment()
            _held.add(self.run_id)  # before another thread of this process reads the lease
            try:
                self._change(decide)
            except BaseException as exc:
                if not self._taken:
                    _held.discard(self.run_id)
                if isinstance(exc, _LostError):
                    raise self._refusal(self.row) from None
                raise
            self._renewed, self._taken = moment, True
            self._tidy_now_and_then()

    def _look(self) -> Row | None:
        with self._remedied():
            self.row = self.tables.lease(self.project, self.env)
        return self.row

    def _held_by(self, row: Row | None) -> Row | None:
        """Return the lease *row*; None if no run holds it, or if the run that holds it has certainly ended."""
        if row is None or not row["run_id"] or _is_dead(row):
            return None
        if not self._ended(str(row["run_id"])):
            return row
        self.complete.add(str(row["run_id"]))
        return None

    def _is_unchanged(self, row: Row | None) -> bool:
        """Return True if no other run has taken the lease since this run read or took it."""
        if self._taken:
            return row is None or row["run_id"] == self.run_id
        return lease_token(row) == lease_token(self.row)

    def _unended(self, row: Row | None) -> list[Row]:
        known = self.complete | {self.run_id}
        return [one for one in begun_runs(row or {}) if _run_id_of(one) not in known]

    def _values(self, row: Row | None) -> dict[str, Any]:
        """Return the row of this run, with a counter greater than the counter of *row*."""
        self._beat = 1 + int((row or {}).get("beat") or 0)
        return {"run_id": self.run_id, "owner": self._owner, "beat": self._beat, "cancels": ""}

    def _change(self, decide: Callable[[Row | None], Mapping[str, Any] | None]) -> None:
        with self._remedied():
            self.tables.change_lease(self.project, self.env, decide)

    @contextlib.contextmanager
    def _remedied(self) -> Iterator[None]:
        """Add the remedy to an error of the table."""
        try:
            yield
        except DataError as exc:
            remedy = (
                "one run at a time cannot be ensured: fix the access to the table, or set "
                f'"shared": false for env {self.env!r} if no other machine runs it'
            )
            raise DataError(f"the lease of {self._where}: {exc}: {remedy}") from exc

    def beat_on(self, done: threading.Event) -> None:
        """Renew the lease until *done*. A failed renewal is tried again at the next beat."""
        while not done.wait(BEAT_SECONDS):
            if self.lost:
                return
            with contextlib.suppress(OdibiError):
                self._renew()

    def check(self) -> str:
        """Return the reason why this run may no longer continue; "" if it may. Renew an old lease first.

        Raises:
            DataError: if the lease is old and cannot be renewed, so that its holder is unknown.
        """
        if self._released:
            return "this run has ended"
        if not self.lost and self._renewed.age() > VALID_SECONDS and self._pid == os.getpid():
            self._renew(older=VALID_SECONDS)
        return self.lost and f"{self.lost} has replaced this run"

    def _renew(self, older: float = 0.0) -> None:
        """Renew the lease if it is *older* than a number of seconds, and collect the requests to cancel."""
        with self._mutex:
            if not self._taken or self.lost or self._pid != os.getpid():
                return
            if self._renewed.age() < older:
                return  # another thread has renewed it meanwhile
            moment, found = _Moment(), [""]
            asked: list[str] = []

            def decide(row: Row | None) -> Mapping[str, Any]:
                # A table that was dropped has no row: this run takes the lease of the new table.
                if row is None:
                    return {**self._values(row), **self._texts}
                if row["run_id"] != self.run_id:
                    found[0] = _named(row) if row["run_id"] else "another run"
                    raise _LostError
                asked[:] = _ids(row["cancels"])
                return self._values(row)

            try:
                self._change(decide)
            except _LostError:
                self.lost = found[0]
                return
            self._renewed = moment
            for name in asked:
                self._cancels.put(name)
            self._tidy_now_and_then()

    def _tidy_now_and_then(self) -> None:
        """Remove the remains of earlier changes, on a thread: a VACUUM may take longer than the lease is valid."""
        if self._beat % TIDY_BEATS == 0:
            self._tidying = threading.Thread(
                target=self.tables.tidy, name="odibi-lease-tidy", daemon=True
            )
            self._tidying.start()

    def take_cancels(self) -> list[str]:
        """Return the requests of other machines since the last call: row ids, or "" for the run."""
        taken = []
        with contextlib.suppress(Empty):
            while True:
                taken.append(self._cancels.get_nowait())
        return taken

    def release(self) -> None:
        """End the lease. If the log is not complete, give the lease back in a commit that keeps the start.

        A failure leaves the lease to `TAKEOVER_SECONDS`.
        """
        if self._pid != os.getpid():
            return
        _held.discard(self.run_id)
        taken, self._released = self._taken, True
        if not taken or self.lost:
            return

        def decide(row: Row | None) -> Mapping[str, Any] | None:
            if row is None or row["run_id"] != self.run_id:
                return None
            unended = self._unended(row) + ([dict(self._texts)] if self._texts["start"] else [])
            ended = {"run_id": "", "owner": "", "start": "", "plan": ""}
            return {**self._values(row), **ended, "unended": as_json(unended)}

        if not self.logged:
            with contextlib.suppress(OdibiError):
                self._change(decide)

    def _refusal(self, row: Row | None) -> RunLockedError:
        if row is None or self._held_by(row) is None:
            what = "another run has begun and ended while this one planned: start this one again"
            return RunLockedError(self._where, [what])
        what = (
            f"{_named(row)} is in progress on another machine; wait for it, or watch it: odibi watch {row['run_id']}; "
            f"or end it: odibi cancel {row['run_id']}"
        )
        force = "or take its place: odibi run --force (force=True)"
        return RunLockedError(self._where, [f"{what}; {force}"])


def lease_env(env: str, part: str) -> str:
    """Return the environment under which the tables know the runs of a *part* of a job."""
    return f"{env} / {part}" if part else env


def is_part_of(name: str, env: str) -> bool:
    """Return True if *name* is `lease_env` of *env*, with any part."""
    return name == env or name.startswith(lease_env(env, "-")[:-1])


class _LostError(Exception):
    """The lease belongs to another run."""


class _Moment:
    """A point in time. Its `age` is never less than the real time since then.

    Some clocks stop while the machine sleeps, and the wall clock may be set back, so `age` is the greatest
    of them.
    """

    def __init__(self) -> None:
        self._clocks = _clocks()

    def age(self) -> float:
        """Return the seconds since this point in time."""
        pairs = zip(_clocks(), self._clocks, strict=True)
        return max(now - then for now, then in pairs)


def _clocks() -> tuple[float, ...]:
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    asleep = () if boot is None else (time.clock_gettime(boot),)
    return (time.monotonic(), time.time(), *asleep)


@contextlib.contextmanager
def held_lease(
    lease: RunLease | None,
    *,
    force: bool,
    say: Callable[[str], None],
    wait: Callable[[float], object],
) -> Iterator[None]:
    """Hold *lease* inside the block, and renew it from a thread of its own; without a lease, do nothing."""
    if lease is None:
        yield
        return
    lease.acquire(force=force, say=say, wait=wait)
    try:
        with beating(lease.beat_on, "odibi-lease"):
            yield
    finally:
        lease.release()


@contextlib.contextmanager
def beating(beat_on: Callable[[threading.Event], None], thread: str) -> Iterator[None]:
    """Call *beat_on* on a *thread* of its own inside the block. Its argument is set at the end."""
    done = threading.Event()
    heart = threading.Thread(target=beat_on, args=(done,), name=thread, daemon=True)
    heart.start()
    try:
        yield
    finally:
        done.set()
        heart.join()


def request_cancel(
    tables: RunStateTables, project: str, env: str, run_id: str, transformation_id: str = ""
) -> bool:
    """Ask the run *run_id* on another machine to end, or one of its rows. Return False if it has ended."""
    asked = False

    def decide(row: Row | None) -> Mapping[str, Any] | None:
        nonlocal asked
        asked = row is not None and row["run_id"] == run_id
        if row is None or not asked:
            return None
        cancels = [*_ids(row["cancels"]), transformation_id]
        # The counter stays: a request is no sign of life of the run.
        own = {name: row[name] for name in ("run_id", "owner", "beat")}
        return {**own, "cancels": as_json(cancels)}

    tables.change_lease(project, env, decide)
    return asked


def holder(row: Row | None) -> Owner | None:
    """Return the run that holds the lease *row* and is not known to be dead, and its process; None without one."""
    if row is None or not row["run_id"] or _is_dead(row):
        return None
    return _owner_of(row)


def begun_runs(row: Row) -> list[Row]:
    """Return ``start`` and ``plan`` of each run that the lease *row* contains, the newest last."""
    runs = [one for one in json_list(row.get("unended")) if isinstance(one, dict)]
    own = {name: row.get(name) for name in ("start", "plan")}
    return [*runs, *([own] if own["start"] else [])]


def _run_id_of(begun: Row) -> str:
    start = read_line(str(begun.get("start") or ""))
    return str((start or {}).get("run_id") or "")


def lease_token(row: Row | None) -> tuple[str, int]:
    """Return a value that changes with each renewal and each new holder of the lease *row*."""
    return ("", 0) if row is None else (str(row["run_id"] or ""), int(row["beat"] or 0))


def _named(row: Row) -> str:
    owner = _owner_of(row)
    if owner is None:
        return f"run {row['run_id']}"
    return f"run {owner.run_id} (process {owner.pid} on {owner.host}, by {owner.user}, since {owner.since})"


def _is_dead(row: Row) -> bool:
    """Return True if the process of the run in *row* has certainly ended."""
    owner = _owner_of(row)
    return owner is not None and has_ended(owner, _held) is True


def _owner_of(row: Row) -> Owner | None:
    return decode_owner(str(row["owner"] or "").encode())


def _ids(text: Any) -> list[str]:
    """Return the row ids in the column ``cancels``; none if another version wrote a different form."""
    return [item for item in json_list(text) if isinstance(item, str)]
