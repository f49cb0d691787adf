"""Keep the file descriptors 0, 1 and 2, which a row may close or redirect.

If descriptor 1 is closed, the next file that any thread opens gets its number, and whatever is printed
goes into that file, such as a table's. So during a run ``os.close`` opens the null device there instead,
and the descriptor is put back after the row.

After each row only descriptors that the row may have changed through Python are compared with their files.
A library that calls the C functions ``close`` or ``dup2`` itself is noticed at the end of the run, or as soon
as a child process would not inherit the descriptor any more. A comparison takes a system call for each
descriptor, during which other threads run: 10 µs and more for each row.
"""

from __future__ import annotations

import contextlib
import os
import sys
from dataclasses import dataclass

if sys.platform != "win32":
    import fcntl

_plain_close, _plain_dup2 = os.close, os.dup2
_changes = 0
"""The number of times that rows have closed or redirected a standard descriptor."""
_NUMBERS = (0, 1, 2)
_ABOVE = 10
"""Copies get numbers from here on, so that they are not taken for standard descriptors."""


@dataclass(slots=True)
class StandardFiles:
    """Copies of the open descriptors among 0, 1 and 2: number to the copy and the identity of its file."""

    copies: dict[int, tuple[int, tuple[int, int] | None]]
    _inherited: list[bool | None]
    _seen: int

    @classmethod
    def now(cls) -> StandardFiles:
        """Copy the descriptors. Call `close` when the copies are not needed any more."""
        copies: dict[int, tuple[int, tuple[int, int] | None]] = {}
        if sys.platform != "win32":
            for number in _NUMBERS:
                with contextlib.suppress(OSError):
                    copy = fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, _ABOVE)
                    copies[number] = copy, _identity(copy)
        return cls(copies, _are_inherited(), _changes)

    def may_differ(self) -> bool:
        """Return False if Python has closed and redirected none since the last `put_back`. Takes 1 µs."""
        return self._seen != _changes or self._inherited != _are_inherited()

    def put_back(self, *, exactly: bool) -> None:
        """Open closed descriptors again; with *exactly*, also take back redirected ones.

        A descriptor is redirected if a child process would inherit it. Otherwise the number belongs to a
        file that was opened after the row closed the descriptor, and that file must keep it.
        """
        changes, differ = _changes, False
        for number, (copy, wanted) in self.copies.items():
            found = _identity(number)
            # A row may have closed the copies, too.
            if found == wanted or _identity(copy) != wanted:
                continue
            if found is None or (exactly and os.get_inheritable(number)):
                with contextlib.suppress(OSError):
                    _plain_dup2(copy, number, inheritable=bool(self._inherited[number]))
            else:
                differ = True
        if not differ:
            self._seen = changes

    def close(self) -> None:
        """Close the copies."""
        for copy, wanted in self.copies.values():
            if _identity(copy) == wanted:  # else the number belongs to another file by now
                _plain_close(copy)


def watch_numbers() -> None:
    """Let ``os.close`` leave no standard number free, and ``os.dup2`` count, until `stop_watching`."""
    os.close, os.dup2 = _close, _dup2


def stop_watching() -> None:
    """Let ``os.close`` close standard descriptors again."""
    if os.close is _close:
        os.close = _plain_close
    if os.dup2 is _dup2:
        os.dup2 = _plain_dup2


def _close(fd: int) -> None:
    if fd not in _NUMBERS or _identity(fd) is None:
        _plain_close(fd)
        return
    null = os.open(os.devnull, os.O_RDWR)
    _dup2(null, fd)
    _plain_close(null)


def _dup2(fd: int, fd2: int, inheritable: bool = True) -> int:  # as Python's own
    global _changes  # noqa: PLW0603  the descriptors are the process's
    try:
        return _plain_dup2(fd, fd2, inheritable)
    finally:
        _changes += fd2 in _NUMBERS


def _are_inherited() -> list[bool | None]:
    """Return for each standard number whether a child process inherits it; None if it is closed."""
    return [_is_inherited(number) for number in _NUMBERS]


def _is_inherited(number: int) -> bool | None:
    try:
        return os.get_inheritable(number)
    except OSError:
        return None


def _identity(number: int) -> tuple[int, int] | None:
    try:
        found = os.fstat(number)
    except OSError:
        return None
    return found.st_dev, found.st_ino
