"""Identify a process, and find out whether that process still runs.

File locks cannot show this. If a run is killed, a child that it forked keeps the run's lock. If the
child ends first, it may release the lock while the run continues.
"""

from __future__ import annotations

import os
import socket
import sys
from functools import lru_cache
from pathlib import Path

import msgspec

_START = 19
"""Index of the start time among the fields of ``/proc/PID/stat`` after the name."""


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """The unique identity of a process.

    Attributes:
        pid: the process id, which the system may give to another process later.
        host: the name of the machine.
        space: the boot id of the machine and the process's PID namespace; "" if unknown.
        started: the start time in the system's own units; "" if unknown.
    """

    pid: int
    host: str
    space: str = ""
    started: str = ""


def current_process() -> Process:
    """Return the identity of this process."""
    pid = os.getpid()
    _, started = _state_and_start(pid)
    return Process(pid=pid, host=socket.gethostname(), space=_space(), started=started)


def is_running(process: Process) -> bool | None:
    """Return True or False if that is certain; None if the process cannot be seen from here."""
    if not process.space or (process.host, process.space) != (socket.gethostname(), _space()):
        return None
    state, started = _state_and_start(process.pid)
    if not state:  # no such process, or /proc hides it because it belongs to another user
        return None if _may_exist(process.pid) else False
    return state not in "ZX" and started == process.started


def _may_exist(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


@lru_cache(maxsize=1)
def _space() -> str:
    if sys.platform != "linux":
        return ""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _state_and_start(pid: int) -> tuple[str, str]:
    """Return the state letter and the start time of a process; two empty texts if unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return "", ""
    fields = stat.rpartition(")")[2].split()  # the name before ")" may hold spaces and brackets
    return (fields[0], fields[_START]) if len(fields) > _START else ("", "")
