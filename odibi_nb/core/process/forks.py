"""Prepare the processes that a transformation forks, and forward their output to the parent.

A forked process has one thread, a copy of every lock in its current state, and the run's signal
handlers. If a worker of ``multiprocessing.Pool`` takes SIGTERM for a request to cancel, it never ends,
and its pool waits forever. A forked process must not write to a notebook kernel's sockets either. So
a child of a transformation gets back the signal handlers from before the run, and sends its output
and logs through a pipe to its parent.

Processes that are spawned, or come from a fork server, inherit none of this. They write to the
terminal or the kernel's own output, as they do without a run.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import traceback
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_getpid = os.getpid
"""A row may replace ``os.getpid``. Its run would take itself for a forked child, and end."""
DRAIN_SECONDS = 5.0
_PIECE = 4096  # POSIX: writes up to PIPE_BUF are atomic, so they do not mix with other writes
_LONGEST_REST = 1 << 20
_MARK = b"\x00\x00the attempt has ended\x00\x00\n"


def at_fork(**hooks: Callable[[], object]) -> None:
    """Register *hooks* with ``os.register_at_fork``. Windows has none, and does not fork."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(**hooks)


def leave_garbage_to_the_parent() -> None:
    """Keep the garbage collector of this child away from the objects of the parent.

    Finalizers of libraries join threads that do not exist in the child. DuckDB's finalizer ends the
    process with SIGSEGV (measured with 2.0.1). A pool then waits forever for the dead worker's task.
    """
    gc.freeze()


@contextlib.contextmanager
def forked_children_end_here() -> Iterator[None]:
    """End a process that is forked inside the block when it leaves the block.

    Such a process is a copy of the run, and it would write the row's tables a second time.
    """
    parent, failed = _getpid(), None
    try:
        yield
    except BaseException as exc:
        if _getpid() == parent:
            raise
        failed = exc
    if _getpid() != parent:
        _end_child(failed)


def _end_child(failed: BaseException | None) -> NoReturn:
    code = 0 if failed is None else 1
    if isinstance(failed, SystemExit) and isinstance(failed.code, int | None):
        code = failed.code or 0
    elif failed is not None:
        traceback.print_exception(type(failed), failed, failed.__traceback__)
    with contextlib.suppress(Exception):
        sys.stdout.flush()
    os._exit(code)


class Children:
    """The pipe from the forked processes of one attempt to their parent.

    Args:
        heard: called with the output of a child, in the parent, on a separate thread.
    """

    def __init__(self, heard: Callable[[str], object]) -> None:
        self._read, self._write = os.pipe()
        self._heard = heard
        self._is_child = False
        self._unsent = ""
        self._drained = threading.Event()
        threading.Thread(target=self._listen, name="odibi-forked-output", daemon=True).start()

    def send(self, text: str) -> bool:
        """Send *text* to the parent. Return False if this process is the parent."""
        if not self._is_child:
            return False
        lines, end, self._unsent = (self._unsent + text).rpartition("\n")
        self._put(lines + end)
        return True

    def flush(self) -> None:
        """Send the remaining part of a line."""
        if self._is_child and self._unsent:
            text, self._unsent = self._unsent, ""
            self._put(text)

    def in_child(self) -> None:
        """Note that this process is a child now."""
        if not self._is_child:
            with contextlib.suppress(OSError):
                # With its own reader, a child would wait for itself once the parent is gone.
                os.close(self._read)
        self._is_child = True
        self._unsent = ""

    def close(self) -> None:
        """Wait until `heard` has received all output so far. It also receives later output."""
        if self._is_child:
            self.flush()
            return
        with contextlib.suppress(OSError):
            os.write(self._write, _MARK)
        with contextlib.suppress(OSError):
            os.close(self._write)
        self._drained.wait(DRAIN_SECONDS)

    def _put(self, text: str) -> None:
        data = text.encode("utf-8", "surrogatepass")
        with contextlib.suppress(OSError):  # the parent is gone and reads no more output
            for start in range(0, len(data), _PIECE):
                os.write(self._write, data[start : start + _PIECE])

    def _listen(self) -> None:
        rest = b""
        with open(self._read, "rb", buffering=0) as pipe:  # noqa: PTH123  a descriptor, no path
            while data := pipe.read(1 << 16):
                rest += data
                ended = _MARK in rest
                *lines, rest = rest.replace(_MARK, b"").split(b"\n")
                if len(rest) > _LONGEST_REST:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    self._heard(line.decode("utf-8", "replace") + "\n")
                if ended:
                    self._say(rest)
                    rest = b""
                    self._drained.set()
        self._say(rest)
        self._drained.set()

    def _say(self, rest: bytes) -> None:
        if rest:
            self._heard(rest.decode("utf-8", "replace"))
