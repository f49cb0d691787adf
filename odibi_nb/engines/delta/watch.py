"""Noticing that a table was written, by anyone, without asking before each attempt what it costs to ask.

A folder of this machine is looked at before and after. Elsewhere a look costs a request, or a query of
Spark's: there only the newest commit is looked at, afterwards, and its time compared with the start.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi_nb.core.protocols import Change

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from odibi_nb.core.model.tables import TableName
    from odibi_nb.core.protocols import Watch

Mark = tuple[int, ...]
_DIGITS = 20
_COARSE_MS = 1000
"""Some storages keep whole seconds, so that a commit can look older than it is."""


def log_mark(table: str) -> Mark | None:
    """What changes when the Delta table in the folder *table* is written; None if there is none.

    Its version, and its newest commit's file: a table that was made anew may have the version it had.
    """
    log = Path(table) / "_delta_log"
    newest = ""
    try:
        with os.scandir(log) as entries:
            for entry in entries:
                name = entry.name
                if name[:_DIGITS].isdigit() and name[_DIGITS:] == ".json" and name > newest:
                    newest = name
    except OSError:
        return None
    if not newest:
        return None
    try:
        found = os.stat(log / newest)  # noqa: PTH116  the log's own spelling is enough
    except OSError:
        return (int(newest[:_DIGITS]),)
    return int(newest[:_DIGITS]), found.st_mtime_ns, found.st_ino


def has_commits(log: str | Path) -> bool:
    """Whether the folder *log*, a table's ``_delta_log``, has a commit or a checkpoint of commits.

    A first write that was broken off can leave the folder without either: that is no table yet.
    """
    try:
        with os.scandir(log) as entries:
            return any(
                name[:_DIGITS].isdigit() and name[_DIGITS:].startswith((".json", ".checkpoint."))
                for name in (entry.name for entry in entries)
            )
    except OSError:
        return False


def watch_folders(tables: Sequence[TableName], place: Callable[[TableName], str]) -> Watch:
    """Watch *tables* in folders of this machine, each at its *place*."""
    before = {table.key: log_mark(place(table)) for table in tables}

    def change(table: TableName) -> Change:
        now, then = log_mark(place(table)), before.get(table.key)
        if now is None:
            return Change.ABSENT if then is None else Change.REMOVED
        return Change.SAME if now == then else Change.WRITTEN

    return change


def watch_commits(newest: Callable[[TableName], tuple[float, float] | Change]) -> Watch:
    """Watch tables by the time of their newest commit.

    Args:
        newest: table to the milliseconds of its newest commit, and of now on the clock that told them;
            or what has become of the table, where it has no commits that can be read.
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
    """The milliseconds of the newest commit of delta-rs's *table*, and of now; None is no table."""
    if table is None:
        return Change.ABSENT
    commits = table.history(1)
    at = commits[0].get("timestamp") if commits else None
    return Change.UNKNOWN if at is None else (float(at), time.time() * 1000)
