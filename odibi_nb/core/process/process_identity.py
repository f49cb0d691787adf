"""Which process did something, and whether that one still runs.

File locks do not answer this: a child that a run forked keeps the run's lock when the run is killed,
and lets go of it when the child ends while the run goes on.
"""

from __future__ import annotations

import os
import socket
import sys
from functools import lru_cache
from pathlib import Path

import msgspec

_START = 19
"""The start's place among the fields of ``/proc/PID/stat`` after the name."""


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A process, such that no other one is taken for it.

    Attributes:
        pid: its number, which another process may have later.
        host: the name of its machine.
        space: the boot of that machine and the space of its process numbers; "" where unknown.
        started: when it began, in the system's own count; "" where unknown.
    """

    pid: int
    host: str
    space: str = ""
    started: str = ""


def current_process() -> Process:
    """This process."""
    pid = os.getpid()
    state, started = _state_and_start(pid)
    del state
    return Process(pid=pid, host=socket.gethostname(), space=_space(), started=started)


def is_running(process: Process) -> bool | None:
    """Return True or False where that is certain, and None for a process that cannot be seen from here."""
    if not process.space or (process.host, process.space) != (socket.gethostname(), _space()):
        return None
    state, started = _state_and_start(process.pid)
    if not state:  # none, or one of another user that /proc hides
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
    """The state's letter and the start of a process; two empty texts if there is none, or no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError):
        return "", ""
    fields = stat.rpartition(")")[2].split()  # the name before it may hold spaces and brackets
    return (fields[0], fields[_START]) if len(fields) > _START else ("", "")
