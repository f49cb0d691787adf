"""Allow one run of a project and environment at a time on all machines that share a lake.

`RunLock` sees the runs of one state folder. The lease is a row of a table in the lake, which machines change
under the optimistic concurrency of the table: of two changes at the same time, one commits, and the other
one looks again. The run that holds the lease renews it every `BEAT_SECONDS`, in a commit.

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

from odibi_nb.core.model.log_columns import START_COLUMNS
from odibi_nb.core.process.process_identity import is_running
from odibi_nb.core.runlog.lock_owner import decode_owner, this_process
from odibi_nb.core.text.json import as_json, decode_json
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

    Attributes:
        lost: the run that has taken the lease from this run; "" while this run has it.
        overrode: the run from which this run has taken the lease with *force*, and its id; two empty
            texts if it took none.
    """

    def __init__(
        self, tables: RunStateTables, project: str, env: str, run_id: str, part: str = ""
    ) -> None:
        self.tables = tables
        self.project = project
        self.env = lease_env(env, part)
        self.run_id = run_id
        self.lost = ""
        self.overrode = ("", "")
        self._where = f"project {project!r}, env {env!r}"
        self._owner = as_json(msgspec.to_builtins(this_process(run_id, locked=False)))
        self._pid = os.getpid()
        self._mutex = threading.RLock()
        self._renewed = _Moment()
        self._cancels: SimpleQueue[str] = SimpleQueue()
        self._untidy = False

    def acquire(
        self,
        *,
        force: bool,
        say: Callable[[str], None],
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        """Take the lease.

        Raises:
            RunLockedError: if another run holds it and *force* is False; the message names the run.
            DataError: if the lease cannot be read or written. Nothing may run then.
        """
        seen = self._take(force=force)
        if seen is None:
            return
        say(
            f"⏳ {_named(seen)} holds the lease of this environment: watching for {TAKEOVER_SECONDS:g} s "
            "whether it lives (--force takes its place at once)"
        )
        begun = time.monotonic()
        while time.monotonic() - begun <= TAKEOVER_SECONDS:
            wait(POLL_SECONDS)
            now = self.tables.lease(self.project, self.env)
            if now is None or not now["run_id"]:
                break
            if _token(now) != _token(seen):
                raise self._refusal(now)
        found = self._take(unchanged=_token(seen))
        if found is not None:
            raise self._refusal(found)

    def _take(self, *, force: bool = False, unchanged: Any = None) -> Row | None:
        """Take the lease and return None, or return the lease of the run that holds it.

        Args:
            force: take the lease from a run that lives, too.
            unchanged: take the lease if its token is this one.
        """
        moment = _Moment()
        held: list[Row] = []
        overrode = ("", "")

        def decide(row: Row | None) -> Mapping[str, Any] | None:
            nonlocal overrode
            held.clear()
            overrode = ("", "")
            if row is not None and row["run_id"] and _token(row) != unchanged:
                if not (_is_dead(row) or force):
                    held.append(row)
                    return None
                if not _is_dead(row):
                    overrode = (_named(row), str(row["run_id"]))
            return self._values(row)

        _held.add(self.run_id)  # before another thread of this process reads the lease
        try:
            self._change(decide)
        except BaseException:
            _held.discard(self.run_id)
            raise
        if held:
            _held.discard(self.run_id)
            return held[0]
        self._renewed, self.overrode = moment, overrode
        return None

    def _values(self, row: Row | None, run_id: str | None = None) -> dict[str, Any]:
        """Return the row of this run, with a counter that is greater than the one of *row*."""
        beat = 1 + int((row or {}).get("beat") or 0)
        self._untidy = self._untidy or beat % TIDY_BEATS == 0
        own = self.run_id if run_id is None else run_id
        return {"run_id": own, "owner": self._owner if own else "", "beat": beat, "cancels": ""}

    def _change(self, decide: Callable[[Row | None], Mapping[str, Any] | None]) -> None:
        try:
            self.tables.change_lease(self.project, self.env, decide)
        except DataError as exc:
            remedy = (
                "one run at a time cannot be ensured: mend the access to the table, or set "
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
        """Return the reason why this run may go on no longer; "" if it may. Renew an old lease first.

        Raises:
            DataError: if the lease is old and cannot be renewed, so that its holder is unknown.
        """
        if not self.lost and self._renewed.age() > VALID_SECONDS and self._pid == os.getpid():
            self._renew(older=VALID_SECONDS)
        return self.lost and f"{self.lost} has taken the place of this run"

    def _renew(self, older: float = 0.0) -> None:
        """Renew the lease if it is *older* than a number of seconds, and collect the requests to cancel."""
        with self._mutex:
            if self.lost or self._pid != os.getpid() or self._renewed.age() < older:
                return  # another thread has just renewed it
            moment, found = _Moment(), [""]
            asked: list[str] = []

            def decide(row: Row | None) -> Mapping[str, Any]:
                # A table that was dropped has no row: this run takes the lease of the new table.
                if row is not None and row["run_id"] != self.run_id:
                    found[0] = _named(row) if row["run_id"] else "another run"
                    raise _LostError
                asked[:] = _ids((row or {}).get("cancels"))
                return self._values(row)

            try:
                self._change(decide)
            except _LostError:
                self.lost = found[0]
                return
            self._renewed = moment
            for name in asked:
                self._cancels.put(name)
            untidy, self._untidy = self._untidy, False
            if untidy:
                self.tables.tidy()

    def take_cancels(self) -> list[str]:
        """Return the requests of other machines since the last call: row ids, or "" for the run."""
        taken = []
        with contextlib.suppress(Empty):
            while True:
                taken.append(self._cancels.get_nowait())
        return taken

    def note_start(self, start: Mapping[str, Any], planned: Mapping[str, Any]) -> None:
        """Store the start of this run and its planned rows, so that other machines can complete its log."""
        row = {
            "run_id": self.run_id,
            "project": self.project,
            "env": self.env,
            "run_number": start["run_number"],
            "start_time": start["timestamp"],
            "start": as_json(dict(start)),
            "plan": as_json(dict(planned)),
        }
        self.tables.note_start({name: row[name] for name, _ in START_COLUMNS})

    def release(self) -> None:
        """Give the lease back. A failure leaves it to `TAKEOVER_SECONDS`."""
        if self._pid != os.getpid():
            return
        _held.discard(self.run_id)
        if self.lost:
            return

        def decide(row: Row | None) -> Mapping[str, Any] | None:
            own = row is not None and row["run_id"] == self.run_id
            return self._values(row, run_id="") if own else None

        with contextlib.suppress(OdibiError):
            self._change(decide)
            if self._untidy:
                self.tables.tidy()

    def _refusal(self, row: Row) -> RunLockedError:
        what = (
            f"{_named(row)} is going on, on another machine; wait for it, or end it: "
            f"odibi cancel {row['run_id']}"
        )
        return RunLockedError(
            self._where, [f"{what}; or take its place: odibi run --force (force=True)"]
        )


def lease_env(env: str, part: str) -> str:
    """Return the environment under which the tables know the runs of a *part* of a job."""
    return f"{env} / {part}" if part else env


class _LostError(Exception):
    """The lease belongs to another run."""


class _Moment:
    """A moment, whose age never is less than the real time since then.

    Some clocks stop while the machine sleeps, and the wall clock may be set back: the greatest counts.
    """

    def __init__(self) -> None:
        self._clocks = _clocks()

    def age(self) -> float:
        """Return the seconds since this moment."""
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
    done = threading.Event()
    heart = threading.Thread(target=lease.beat_on, args=(done,), name="odibi-lease", daemon=True)
    heart.start()
    try:
        yield
    finally:
        done.set()
        heart.join()
        lease.release()


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
        return {
            **{name: row[name] for name in ("run_id", "owner", "beat")},
            "cancels": as_json(cancels),
        }

    tables.change_lease(project, env, decide)
    return asked


def holder(tables: RunStateTables, project: str, env: str) -> Owner | None:
    """Return the run that holds the lease and is not known to be dead, and its process; None without one."""
    row = tables.lease(project, env)
    if row is None or not row["run_id"] or _is_dead(row):
        return None
    return decode_owner(str(row["owner"] or "").encode())


def _token(row: Row) -> tuple[str, int]:
    return str(row["run_id"] or ""), int(row["beat"] or 0)


def _named(row: Row) -> str:
    owner = decode_owner(str(row["owner"] or "").encode())
    if owner is None:
        return f"run {row['run_id']}"
    return f"run {owner.run_id} (process {owner.pid} on {owner.host}, by {owner.user}, since {owner.since})"


def _is_dead(row: Row) -> bool:
    """Return True if the process of the run in *row* has certainly ended."""
    owner = decode_owner(str(row["owner"] or "").encode())
    if owner is None:
        return False
    running = is_running(owner)
    if running and owner.pid == os.getpid():
        return owner.run_id not in _held
    return running is False


def _ids(text: Any) -> list[str]:
    """Return the row ids in the column ``cancels``; none if another version wrote something else."""
    try:
        found = decode_json(text) if text else []
    except ValueError:
        return []
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []
