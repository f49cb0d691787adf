"""Versions and commits of Delta tables, and their earlier content.

A table in a folder of this machine is read without delta-rs: its newest version is the greatest
number in its log, and the newest commits show if they changed data. That takes a tenth of a
millisecond, where opening the table takes several. Facts that the log no longer has are unknown.
"""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.provenance import TableCommit, TableVersion
from odibi_nb.engines.delta.log import (
    DeltaLog,
    changes_data,
    commit_time,
    info_in,
    local_folder,
    restored_version,
    table_id_in,
)
from odibi_nb.engines.delta.row_counts import total
from odibi_nb.engines.delta.tables import deltalake, open_table
from odibi_nb.engines.delta.watch import DIGITS, commit_mark, newest_name
from odibi_nb.engines.optional_imports import reason
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from odibi_nb.core.model.tables import TableName
    from odibi_nb.core.protocols import WriteInfo
    from odibi_nb.engines.delta.log import Commit

_MOST_READ = 200
"""Number of commits to read in search of a fact, before delta-rs opens the table, or it is unknown."""
_THREADS = 8
_MOST_KNOWN = 20_000


@dataclass(frozen=True, slots=True)
class _Newest:
    """Facts about a table at one version. *mark* identifies the file of that commit."""

    version: int
    mark: tuple[int, int]
    table_id: str
    data_version: int | None


_known: dict[str, _Newest] = {}
"""Path of a table to its last known facts, so that later calls only read new commits."""


def newest_versions(
    tables: Sequence[TableName],
    place: Callable[[TableName], str],
    storage_options: Mapping[str, str],
) -> dict[str, TableVersion]:
    """Return the newest version of each of *tables* that exists and can be read, by key.

    Args:
        tables: the tables.
        place: returns a table's path or URL.
        storage_options: delta-rs's options for URLs.
    """
    distinct = {table.key: table for table in tables}

    def newest(table: TableName) -> TableVersion | None:
        with contextlib.suppress(Exception):  # a read of the table raises the cause
            return newest_version(place(table), table.key, storage_options)
        return None

    found = each(newest, distinct.values(), at_once=any("://" in place(t) for t in tables))
    return {version.table: version for version in found if version is not None}


def each(
    look: Callable[[TableName], TableVersion | None],
    tables: Iterable[TableName],
    *,
    at_once: bool,
) -> list[TableVersion | None]:
    """Call *look* with each of *tables*; with several at once if the calls wait for requests."""
    if not at_once:
        return [look(table) for table in tables]
    with ThreadPoolExecutor(_THREADS, "odibi-versions") as pool:
        return [*pool.map(look, tables)]


def newest_version(uri: str, key: str, storage_options: Mapping[str, str]) -> TableVersion | None:
    """Return the newest version of the Delta table at *uri*; None if no table is there.

    Raises:
        DataError: if the table cannot be read.
    """
    folder = local_folder(uri)
    if folder is not None:
        return _in_folder(str(folder), key)
    table = open_table(uri, key, storage_options)
    if table is None:
        return None
    version = int(table.version())
    return TableVersion(
        table=key,
        version=version,
        data_version=_data_version(DeltaLog(uri, storage_options), version),
        table_id=str(table.metadata().id),
    )


def version_with(uri: str, key: str, storage_options: Mapping[str, str], content: str) -> Any:
    """Return the newest version of the table at *uri* if its data has the hash *content*; else None.

    The hash is in the metadata of the newest commit that changed data.
    """
    newest = newest_version(uri, key, storage_options)
    if newest is None or newest.data_version is None:
        return None
    commit = next(DeltaLog(uri, storage_options).commits(newest.data_version), None)
    known = commit is not None and commit.info.get("content_hash") == content
    return newest if known else None


def version_of(table: Any, key: str) -> TableVersion:
    """Return the version of delta-rs's opened *table*, without reading its log again."""
    return TableVersion(table=key, version=int(table.version()), table_id=str(table.metadata().id))


def _data_version(log: DeltaLog, version: int) -> int | None:
    for commit in itertools.islice(log.commits(version), _MOST_READ):
        if commit.changes_data:
            return commit.version
    return None


def _in_folder(path: str, key: str) -> TableVersion | None:
    log = os.path.join(path, "_delta_log")  # noqa: PTH118  a Path would take half of the time
    version = _newest_number(log)
    if version is None:
        return None
    mark = commit_mark(log, version)
    known = _known.get(path)
    if mark is None or known is None or (known.version, known.mark) != (version, mark):
        known = _looked_at(path, log, version, mark, known)
        if mark is not None:
            if len(_known) > _MOST_KNOWN:
                _known.clear()
            _known[path] = known
    return TableVersion(
        table=key,
        version=version,
        data_version=known.data_version,
        table_id=known.table_id,
    )


def newest_number(path: str) -> int | None:
    """Return the newest version of the Delta table in the folder *path*; None if it has none."""
    return _newest_number(os.path.join(path, "_delta_log"))  # noqa: PTH118  see `_in_folder`


def _newest_number(log: str) -> int | None:
    """Return the greatest version with a commit or a checkpoint in the folder *log*; None without."""
    newest = newest_name(log, checkpoints=True)
    return int(newest[:DIGITS]) if newest else None


def _looked_at(
    path: str, log: str, version: int, mark: tuple[int, int] | None, before: _Newest | None
) -> _Newest:
    """Read commits, newest first, until the table's id and its newest data change are known."""
    table_id, data_version = "", None
    if before is not None and (
        before.version >= version or commit_mark(log, before.version) != before.mark
    ):
        before = None  # the table was dropped and made again
    for number in range(version, max(-1, version - _MOST_READ), -1):
        if before is not None and number == before.version:
            table_id = table_id or before.table_id
            data_version = before.data_version if data_version is None else data_version
            break
        try:
            text = Path(f"{log}/{number:020}.json").read_bytes()
        except OSError:  # log cleanup removed it
            break
        if data_version is None and changes_data(text):
            data_version = number
        table_id = table_id or table_id_in(text)
        if table_id and data_version is not None:
            break
    return _Newest(
        version, mark or (0, 0), table_id or _id_by_delta_rs(path, version), data_version
    )


def _id_by_delta_rs(path: str, version: int) -> str:
    """Return the table's id from its checkpoint; "" if delta-rs cannot read it."""
    if importlib.util.find_spec("deltalake") is not None:
        with contextlib.suppress(Exception):
            return str(deltalake().DeltaTable(path, version=version).metadata().id)
    return ""


def committed_at(uri: str, version: int) -> dt.datetime | None:
    """Return the time of a commit by its own words; None if it is not in a folder of this machine, or has none."""
    text = None if local_folder(uri) is None else DeltaLog(uri, {}).text(version)
    return None if text is None else commit_time(info_in(text))


def own_commit(
    uri: str,
    table: Any,
    info: WriteInfo,
    storage_options: Mapping[str, str],
    before: int | None = None,
) -> tuple[int, Mapping[str, Any], str] | None:
    """Return version and information of the newest commit of *info*'s attempt, and the table's id after it.

    Return None if the commit is not found. Other writers may have committed before and after it.

    Args:
        uri: path or URL of the table.
        table: delta-rs's table that was written to; None if the commit created it.
        info: the attempt.
        storage_options: delta-rs's options for *uri*.
        before: the table's version before the write; None without a table.
    """
    log = DeltaLog(uri, storage_options)
    # A write leaves its table at the version that it made, so that the first look finds the commit.
    version = 0 if table is None else int(table.version())
    text = None if version == before else log.text(version)
    found = {} if text is None else info_in(text)
    if not is_by(found, info):
        for commit in itertools.islice(log.commits(_newest_of(uri, storage_options)), _MOST_READ):
            if is_by(commit.info, info):
                version, found = commit.version, commit.info
                break
        else:
            return None
    if table is not None:
        return version, found, str(table.metadata().id)
    return version, found, "" if text is None else table_id_in(text)


def _newest_of(uri: str, storage_options: Mapping[str, str]) -> int:
    folder = local_folder(uri)
    newest = _newest_number(f"{folder}/_delta_log") if folder is not None else None
    return int(open_table(uri, uri, storage_options).version()) if newest is None else newest


def is_by(found: Mapping[str, Any], info: WriteInfo) -> bool:
    """Return True if the commit information *found* names *info*'s attempt."""
    return (
        found.get("run_id") == info.run_id
        and found.get("transformation_id") == info.transformation_id
        and str(found.get("attempt")) == str(info.attempt)
    )


def table_at(uri: str, name: str, version: int, storage_options: Mapping[str, str]) -> Any:
    """Open the Delta table at *uri* at *version*; return None if no table is there.

    Raises:
        DataError: if the table has no such version, or it cannot be read.
    """
    try:
        table = open_table(uri, name, storage_options, version=version)
    except DataError as exc:
        raise _no_version(uri, name, version, storage_options, exc) from exc
    if table is not None and int(table.version()) != version:
        raise _no_version(uri, name, version, storage_options, None)
    return table


def _no_version(
    uri: str, name: str, version: int, storage_options: Mapping[str, str], exc: Exception | None
) -> DataError:
    newest = None
    with contextlib.suppress(Exception):
        newest = newest_version(uri, name, storage_options)
    if newest is not None and version > newest.version:
        return DataError(f"{name} has no version {version}: its newest is {newest.version}")
    why = reason(exc) if exc is not None else "the log no longer has it"
    return DataError(f"{name}: version {version} cannot be read: {why}")


def files_gone(name: str, version: int, exc: Exception) -> DataError:
    """Build the error for a version whose files cannot be read; VACUUM removes the files of old versions."""
    why = reason(exc)
    if "not found" in why or "FileNotFound" in why or "NoSuchKey" in why:
        why = f"its files are gone (VACUUM removes the files of old versions): {why}"
    return DataError(f"{name}: version {version} cannot be read: {why}")


def commits_of(
    uri: str, key: str, storage_options: Mapping[str, str], down_to: int = 0
) -> list[TableCommit]:
    """Return the commits of the Delta table at *uri*, newest first, down to a version.

    The list ends where log cleanup has removed the older commits. It is empty if no table is there.

    Raises:
        DataError: if the log cannot be read.
    """
    newest = newest_version(uri, key, storage_options)
    if newest is None:
        return []
    log = DeltaLog(uri, storage_options)
    found: list[Commit] = []
    try:
        for commit in log.commits(newest.version):
            if commit.version < down_to and _has_all_rows(found):
                break
            if commit.version < down_to - _MOST_READ:
                break
            found.append(commit)
    except Exception as exc:
        raise DataError(f"{key}: its log cannot be read: {reason(exc)}") from exc
    return _table_commits(key, found, down_to)


def _has_all_rows(commits: Sequence[Commit]) -> bool:
    """Return True if *commits* have the number of rows of every file that they removed."""
    removed = {path for commit in commits for path in commit.removed}
    return removed <= {path for commit in commits for path in commit.added}


def _table_commits(key: str, commits: Sequence[Commit], down_to: int) -> list[TableCommit]:
    rows: dict[str, int | None] = {}
    found = []
    for commit in reversed(commits):
        removed = [rows.get(path) for path in commit.removed]
        rows.update(commit.rows)
        if commit.version >= down_to:
            found.append(
                TableCommit(
                    table=key,
                    version=commit.version,
                    rows_added=total(commit.rows.values()),
                    rows_removed=total(removed),
                    changes_data=commit.changes_data,
                    **author_of(commit.info),
                )
            )
    return found[::-1]


def author_of(info: Mapping[str, Any]) -> dict[str, Any]:
    """Return time, operation and author of a commit, from its information."""
    attempt = str(info.get("attempt", ""))
    return {
        "at": commit_time(info),
        "operation": str(info.get("operation") or ""),
        "run_id": str(info.get("run_id") or ""),
        "transformation_id": str(info.get("transformation_id") or ""),
        "attempt": int(attempt) if attempt.isdecimal() else 0,
        "restores": restored_version(info),
        "rolls_back": str(info.get("rolls_back") or ""),
    }
