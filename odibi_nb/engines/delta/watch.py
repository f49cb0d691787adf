"""Detect that any writer has written a table, without an expensive check before each attempt.

A table in a folder of this machine is checked at the start and again later. Elsewhere a check costs a
request or a Spark query, so only the later check reads the newest commit, and compares its time with
the start.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

from odibi_nb.core.protocols import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from odibi_nb.core.model.tables import TableName
    from odibi_nb.core.protocols import Watch

Mark = tuple[int, ...]
DIGITS = 20
"""Digits of a version in the name of a commit's file or of a checkpoint's."""
_COARSE_MS = 1000
"""Tolerance: some storages store whole seconds, so that a commit can look older than it is."""


def log_mark(table: str) -> Mark | None:
    """Return a mark of the Delta table in the folder *table* that each write changes.

    The mark is the version plus time and inode of the newest commit's file, because a table that was
    dropped and created again may have the same version. It is None if the table does not exist.
    """
    log = f"{table}/_delta_log"
    newest = newest_name(log)
    if not newest:
        return None
    version = int(newest[:DIGITS])
    return version, *(commit_mark(log, version) or ())


def commit_mark(log: str, version: int) -> tuple[int, int] | None:
    """Return time and inode of a commit's file in the folder *log*; None if only a checkpoint has the version."""
    try:
        found = os.stat(f"{log}/{version:020}.json")  # noqa: PTH116  a Path would take half of the time
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino


def newest_name(log: str, *, checkpoints: bool = False) -> str:
    """Return the greatest name in the folder *log* of a commit's file, or of a checkpoint's; "" without."""
    newest = ""
    try:
        with os.scandir(log) as entries:
            for entry in entries:
                name = entry.name
                if name > newest and name[:DIGITS].isdigit():
                    kind = name[DIGITS:]
                    if kind == ".json" or (checkpoints and kind.startswith(".checkpoint.")):
                        newest = name
    except OSError:
        return ""
    return newest


def has_commits(log: str | Path) -> bool:
    """Return True if the folder *log*, a table's ``_delta_log``, has a commit or a checkpoint.

    An unfinished first write can leave the folder without either. The table does not exist then.
    """
    try:
        with os.scandir(log) as entries:
            return any(
                name[:DIGITS].isdigit() and name[DIGITS:].startswith((".json", ".checkpoint."))
                for name in (entry.name for entry in entries)
            )
    except OSError:
        return False


class FolderWatch:
    """The `VersionWatch` of *tables* in folders of this machine; *place* returns the folder of each."""

    def __init__(self, tables: Sequence[TableName], place: Callable[[TableName], str]) -> None:
        self._place = place
        self._before = {table.key: log_mark(place(table)) for table in tables}

    def __call__(self, table: TableName, /) -> Change:
        now, then = log_mark(self._place(table)), self._before.get(table.key)
        if now is None:
            return Change.ABSENT if then is None else Change.REMOVED
        return Change.SAME if now == then else Change.WRITTEN

    def version_before(self, table: TableName) -> int | None:
        """Return the version of *table* before the attempt; None if it did not exist."""
        then = self._before.get(table.key)
        return None if then is None else then[0]


def watch_commits(newest: Callable[[TableName], tuple[float, float] | Change]) -> Watch:
    """Watch tables by the time of their newest commit.

    Args:
        newest: returns the time of a table's newest commit and the present time of the same clock, in
            milliseconds. If no commit can be read, it returns a Change.
    """
    began = time.monotonic()

    def change(table: TableName) -> Change:
        found = newest(table)
        if isinstance(found, Change):
            return found
        at, now = found
        start = now - (time.monotonic() - began) * 1000
        return Change.WRITTEN if at >= start - _COARSE_MS else Change.SAME

    return change


def newest_commit(table: Any) -> tuple[float, float] | Change:
    """Return the time of the newest commit of delta-rs's *table* and the present, in milliseconds.

    Return a Change if the table does not exist (*table* is None), or if its newest commit has no time.
    """
    if table is None:
        return Change.ABSENT
    commits = table.history(1)
    at = commits[0].get("timestamp") if commits else None
    return Change.UNKNOWN if at is None else (float(at), time.time() * 1000)
