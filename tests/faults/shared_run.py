"""Runs on "clusters": processes with a home, a state folder and an identity of their own, on one lake.

Stands in a module of its own because a fork server imports it, and what it needs, once.
"""

from __future__ import annotations

import datetime as dt
import io
import os
import signal
import sys
import threading
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import deltalake  # imported before the fork, so that each process starts at once
import duckdb  # noqa: F401
import pandas as pd  # noqa: F401
import pyarrow as pa  # noqa: F401
import pyarrow.pandas_compat  # noqa: F401
import sqlalchemy.dialects.sqlite  # noqa: F401

import odibi_nb.api
import odibi_nb.engines.pandas.engine
import odibi_nb.sinks.run_state
import odibi_nb.sinks.table
import odibi_nb.sources.table
import odibi_nb.storage.delta_table
import odibi_nb.storage.sql_table  # noqa: F401
from odibi_nb.core.process import process_identity
from odibi_nb.core.runlog import run_lease
from odibi_nb.core.text import clock


def quick_lease() -> None:
    """Let a lease be renewed and taken over in fractions of a second."""
    run_lease.BEAT_SECONDS = 0.2
    run_lease.VALID_SECONDS = 0.8
    run_lease.TAKEOVER_SECONDS = 1.5
    run_lease.POLL_SECONDS = 0.05


def set_clock(hours: float) -> None:
    """Let the wall clock of this process be wrong by a number of hours."""
    real, now = time.time, dt.datetime

    class Clock(dt.datetime):
        @classmethod
        def now(cls, zone=None):
            return now.now(zone) + dt.timedelta(hours=hours)

    time.time = lambda: real() + 3600 * hours
    clock.dt = SimpleNamespace(**{**vars(dt), "datetime": Clock})


def refuse_commits(flag: str, tell) -> None:
    """Refuse all of this process's commits while the file *flag* exists, as a lake does that is read-only."""

    def refusing(real):
        def commit(*values, **keywords):
            if Path(flag).exists():
                tell()
                raise deltalake.exceptions.DeltaError("Read-only file system (os error 30)")
            return real(*values, **keywords)

        return commit

    deltalake.write_deltalake = refusing(deltalake.write_deltalake)
    deltalake.DeltaTable.merge = refusing(deltalake.DeltaTable.merge)


def freeze_at_commit(table: str, tell, *, after: bool) -> None:
    """Stop this process with SIGSTOP right before or *after* it commits to *table* for the first time."""
    real = deltalake.write_deltalake
    left, resumed = [1], threading.Event()
    signal.signal(signal.SIGCONT, lambda *_: resumed.set())

    def stop():
        left.pop()
        tell()
        os.kill(os.getpid(), signal.SIGSTOP)
        resumed.wait()  # the signal stops this thread a moment later

    def write(place, *values, **keywords):
        uri = str(getattr(place, "table_uri", place))
        ours = uri.rstrip("/").endswith(table) and left
        if ours and not after:
            stop()
        done = real(place, *values, **keywords)
        if ours and after:
            stop()
        return done

    deltalake.write_deltalake = write


class Told(io.StringIO):
    """A stream that sends the printed text."""

    def __init__(self, pipe) -> None:
        super().__init__()
        self._pipe = pipe

    def write(self, text: str) -> int:
        if text.strip():
            self._pipe.send(("said", "", text))
        return len(text)


def on_cluster(name: str, home: str, pipe, call: str, keywords: dict) -> None:
    """Call a function of `odibi_nb` on a cluster; send each event, each message and the end through *pipe*.

    *keywords* are the function's, but for four: ``hours`` by which the cluster's clock is wrong, ``freeze`` and
    ``freeze_after``, the table before or after whose commit the process stops, and ``refuse``, a file during whose
    existence no commit succeeds.
    """
    if flag := keywords.pop("refuse", ""):
        refuse_commits(flag, lambda: pipe.send(("refused", "", "")))
    set_clock(keywords.pop("hours", 0))
    for key in ("freeze", "freeze_after"):
        if table := keywords.pop(key, ""):
            tell = partial(pipe.send, ("frozen", "", ""))
            freeze_at_commit(table, tell, after=key == "freeze_after")
    os.environ.update(HOME=home, ODIBI_STATE_DIR=f"{home}/state")
    quick_lease()
    process_identity._space = lambda: name  # no other cluster can see this process
    import odibi_nb
    from odibi_nb import GenericProjectOrchestrator, HookManager

    def retry(**keywords):
        return GenericProjectOrchestrator(**keywords).retry()

    hooks = HookManager()

    def told(payload):
        row = payload.get("transformation_id", "")
        pipe.send((payload["event"], payload["run_id"], row))

    hooks.register("*", told)
    sys.stdout = sys.stderr = Told(pipe)
    act = retry if call == "retry" else odibi_nb.run_project
    try:
        result = act(hooks=hooks, log_level="WARNING", **keywords)
    except odibi_nb.OdibiError as exc:
        pipe.send(("error", type(exc).__name__, str(exc)))
    else:
        pipe.send(("result", result.run_id, result.status.value))
    pipe.close()


def kill(pid: int) -> list[Path]:
    """Kill a process like a machine that vanishes. Return its open files."""
    folder = Path(f"/proc/{pid}/fd")
    opened = []
    os.kill(pid, signal.SIGSTOP)
    for link in folder.iterdir():
        try:
            opened.append(link.readlink())
        except OSError:
            continue
    os.kill(pid, signal.SIGKILL)
    return opened
