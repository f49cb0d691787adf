"""Appends that a retry cannot double.

A table keeps the appends of one attempt of a row, however often the row is retried:

- Each append is one commit. The commit names run, transformation and attempt, and carries a Delta
  ``txn`` action. Run and transformation form the application id of this action; attempt and number
  of the append form its version. So a function may append to a table several times.
- Before an attempt appends to a table for the first time, it takes back the appends of the row's
  earlier attempts: one commit removes exactly their files. The table never has the rows of two
  attempts, and it keeps the rows that others appended. Between the two commits, and if the process
  dies between them, the table looks as if the row had not run.
- Only the table's log decides which files to remove. Each commit is read from its own file
  (`odibi_nb.engines.delta.log`) and must name run, transformation and attempt itself. The counts
  that this process remembers only save a read of the log.
- The commit that takes appends back succeeds only at the version that this process has read.
  delta-rs would not notice that another writer has moved the rows to another file since then.
- A retry cannot just skip its append, because the table would then keep the rows of the failed attempt.
  That attempt may have read other data, or cut the same data into other batches, so some rows would
  be lost and others doubled.
- A run that repairs other runs (`WriteInfo.repairs`) also takes back their appends for its rows, even
  if their process was killed before it could log them. It leaves the appends of all other runs.
- Each of its appends also ends the repaired runs by their ``txn`` actions: the commit of a machine that was
  frozen, and wakes after the retry, conflicts with them and is not made.
- If a commit succeeded but its response was lost, the retry finds the commit and does not repeat it.

A retry repeats a merge. It updates rows with equal keys, so no row doubles; rows that only the first
attempt had remain. A retry of an overwrite replaces the whole table.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import tenacity

from odibi_nb.core.model.provenance import OutputWritten
from odibi_nb.core.model.tables import table_key
from odibi_nb.engines.delta.errors import is_conflict, why_refused
from odibi_nb.engines.delta.left_files import why_files_stay
from odibi_nb.engines.delta.log import DeltaLog
from odibi_nb.engines.delta.row_counts import total
from odibi_nb.engines.delta.versions import is_by
from odibi_nb.engines.optional_imports import reason, require
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from odibi_nb.core.model.transformation import Output
    from odibi_nb.core.protocols import WriteInfo
    from odibi_nb.engines.delta.log import Commit
    from odibi_nb.engines.delta.row_counts import RowCounts

KEPT_FOR = {"delta.setTransactionRetentionDuration": "interval 30 days"}
"""Property of the tables that we create, which limits the age of ``txn`` entries: every run adds some."""

_BITS = 20
"""Low bits of a ``txn`` version that hold the number of the append; the higher bits hold the attempt."""
_ENDED = 1 << 62
"""The ``txn`` version of a run that a retry has repaired: it has no append, and makes none."""
_TRIES = 100
"""Number of tries to remove earlier appends; a try fails if another writer commits first."""
_MOST_PAUSE = 0.05
"""Longest pause between two of these tries, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A requested write: output and author."""

    output: Output
    info: WriteInfo

    @property
    def only_once(self) -> bool:
        """True for an append in a run, which a retry must not repeat; only runs retry writes."""
        return self.output.mode == "append" and bool(self.info.run_id)

    def wrote(
        self,
        version: int | None,
        previous: int | None,
        rows: int | None,
        table_id: str,
        counts: RowCounts,
    ) -> None:
        """Report a commit to the attempt: versions after and before it, written rows and all its counts."""
        self.info.wrote(
            OutputWritten(
                table=table_key(self.output.table),
                mode=self.output.mode,
                version=version,
                previous_version=previous,
                rows=rows,
                table_id=table_id,
                **counts._asdict(),
            )
        )


class Appends:
    """Counts of the appends by attempts of this process; use them under the table's write lock."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str], tuple[int, int]] = {}

    def count(self, key: str, info: WriteInfo) -> int:
        """Return the number of appends that this attempt has made to the table so far."""
        return self._count(key, info) or 0

    def is_alone(self, key: str, info: WriteInfo) -> bool:
        """Return True if no earlier attempt of the row can still have rows in the table."""
        if self._count(key, info) is not None:
            return True
        return info.attempt <= 1 and not info.repairs

    def note(self, key: str, info: WriteInfo, count: int) -> None:
        """Record that this attempt has appended *count* times, and that earlier ones have no rows."""
        self._counts[key, info.run_id, info.transformation_id] = (info.attempt, count)

    def _count(self, key: str, info: WriteInfo) -> int | None:
        found = self._counts.get((key, info.run_id, info.transformation_id))
        return found[1] if found is not None and found[0] == info.attempt else None


@dataclass(frozen=True, slots=True)
class Append:
    """An append by an earlier attempt, which a retry replaces: one commit.

    Attributes:
        commit: the commit.
        left: paths of its files that are still in the table.
        moved: a later commit that may have moved rows of its other files; None without one.
    """

    commit: Commit
    left: tuple[str, ...]
    moved: Commit | None


def attempt_of(info: Mapping[str, Any]) -> str:
    """Return the name, in messages and commits, of the attempt that made the commit with *info*."""
    return f"attempt {info.get('attempt')} of run {info.get('run_id')}"


def is_earlier(found: Mapping[str, Any], info: WriteInfo) -> bool:
    """Return True if the commit information *found* names an attempt that *info*'s attempt replaces."""
    if found.get("transformation_id") != info.transformation_id:
        return False
    if found.get("run_id") == info.run_id:
        return str(found.get("attempt")) != str(info.attempt)
    return found.get("run_id") in info.repairs


def metadata(info: WriteInfo) -> dict[str, str]:
    """Return the metadata that names the author of a commit: run, transformation and attempt."""
    own = {
        "run_id": info.run_id,
        "transformation_id": info.transformation_id,
        "attempt": str(info.attempt),
    }
    more = {"rolls_back": info.rolls_back, "content_hash": info.content_hash}
    return {**own, **{name: text for name, text in more.items() if text}}


def transactions(info: WriteInfo, count: int) -> list[Any]:
    """Build the ``txn`` actions of an attempt's *count*-th append to a table.

    The first one is the attempt's own. The others end the repaired runs for this table: if such a run has
    frozen in its commit and wakes now, the commit conflicts with them.
    """
    library = require("deltalake", "the pandas engine")
    now = int(time.time() * 1000)
    ended = [(_application_id(run_id, info), _ENDED) for run_id in info.repairs]
    return [
        library.Transaction(name, version, now)
        for name, version in (transaction_key(info, count), *ended)
    ]


def landed(table: Any, info: WriteInfo, count: int) -> bool:
    """Return True if the attempt's *count*-th append is in the Delta *table*."""
    name, version = transaction_key(info, count)
    return bool(table.transaction_version(name) == version)


def transaction_key(info: WriteInfo, count: int) -> tuple[str, int]:
    """Return application id and version of the ``txn`` action of an attempt's *count*-th append."""
    return _application_id(info.run_id, info), info.attempt << _BITS | count


def _application_id(run_id: str, info: WriteInfo) -> str:
    return f"odibi_nb/{run_id}/{info.transformation_id}"


def _known_counts(table: Any, info: WriteInfo) -> dict[str, int]:
    """Map each run to the number of appends by the row's last attempt in it.

    The numbers come from the table's ``txn`` entries. A run without an entry is left out: it has
    appended nothing, or it appended on Sail, which writes no ``txn`` entries.
    """
    counts = {}
    for run_id in (info.run_id, *info.repairs):
        version = table.transaction_version(_application_id(run_id, info))
        if version is not None:
            counts[run_id] = version & (1 << _BITS) - 1
    return counts


def take_back(
    open_table: Callable[[], Any], name: str, info: WriteInfo, storage_options: Mapping[str, str]
) -> None:
    """Remove the rows that earlier attempts appended to a Delta table, in one commit.

    Commit nothing if the table has no such rows.

    Args:
        open_table: opens the table as it is now, or returns None if it does not exist.
        name: the table's name in messages.
        info: the attempt that writes.
        storage_options: the options with which *open_table* opens the table.

    Raises:
        DataError: if these rows can no longer be separated from others, or other writers keep
            changing the table. The table is unchanged.
        RevokedError: if the attempt has been revoked.
    """
    logs: list[DeltaLog] = []  # shared by all tries, so that each commit is read once

    def once() -> None:
        table = open_table()
        if table is not None:
            logs[:] = logs or [DeltaLog(table.table_uri, storage_options)]
            _take_back(table, logs[0], name, info)

    retrying = tenacity.Retrying(
        stop=tenacity.stop_after_attempt(_TRIES),
        wait=tenacity.wait_random(0, _MOST_PAUSE),
        retry=tenacity.retry_if_exception(is_conflict),
        reraise=True,
    )
    try:
        retrying(once)
    except Exception as exc:
        if not is_conflict(exc):
            raise
        why = f"other writers kept changing the table ({reason(exc)})"
        raise cannot_take_back(name, "in this run or in the runs that it repairs", why) from exc


def _take_back(table: Any, log: DeltaLog, name: str, info: WriteInfo) -> None:
    found = _earlier(table, log, name, info)
    for one in found:
        if one.moved is not None:
            why = f"the table's files were rewritten since, in version {one.moved.version}"
            raise cannot_take_back(name, f"version {one.commit.version}", why)
    left = [one for one in found if one.left]
    paths = [path for one in left for path in one.left]
    if not paths:
        return  # another writer has removed or replaced these rows since
    attempts = ", ".join(dict.fromkeys(attempt_of(one.commit.info) for one in left))
    odd = next((path for path in paths if not path.isascii()), None)
    if odd is not None:  # Spark writes such paths unencoded; delta-rs always encodes them
        why = f"they are in {odd.rpartition('/')[0]}, a folder name that only Spark can write"
        raise cannot_take_back(name, attempts, why)
    library = require("deltalake", "the pandas engine")
    properties = library.CommitProperties(
        custom_metadata={**metadata(info), "takes_back": attempts},
        app_transactions=transactions(info, 0),
        max_commit_retries=0,  # see the module's docstring
    )
    info.check()
    before = int(table.version())
    try:
        _remove(table, name, paths, [one.commit.version for one in left], properties)
    except library.exceptions.DeltaError as exc:
        if is_conflict(exc):
            raise
        refused = why_refused(exc, table)
        raise cannot_take_back(name, attempts, refused.why if refused else reason(exc)) from exc
    info.wrote(
        OutputWritten(
            table=table_key(name),
            mode="append",
            version=before + 1,
            previous_version=before,
            rows=0,
            table_id=str(table.metadata().id),
            added=0,
            changed=0,
            removed=_rows_of_others(left, info),
        )
    )


def _rows_of_others(appends: Sequence[Append], info: WriteInfo) -> int | None:
    """Return the rows that the table loses against its version before this run, if they are known.

    That version has no rows of the run's own earlier attempts.
    """
    return total(
        one.commit.rows.get(path)
        for one in appends
        if one.commit.info.get("run_id") != info.run_id
        for path in one.left
    )


def cannot_take_back(name: str, which: str, why: str) -> DataError:
    """Build the error for an append to a table that still has rows of earlier attempts."""
    return DataError(
        f"{name}: the rows of an earlier attempt ({which}) cannot be taken back: {why}; "
        "remove them by hand, then run the row in a new run, as a retry would look for them again; "
        "nothing was written"
    )


def _earlier(table: Any, log: DeltaLog, name: str, info: WriteInfo) -> list[Append]:
    """Find the appends of the row's earlier attempts, newest first.

    Earlier attempts are those in this run and in the runs that it repairs.
    """
    earlier_runs = {*info.repairs, *([info.run_id] if info.attempt > 1 else [])}
    left_to_find = {run: n for run, n in _known_counts(table, info).items() if run in earlier_runs}
    unknown = earlier_runs - {run for run, count in left_to_find.items() if count}
    newest: dict[str, tuple[Commit, bool]] = {}
    found: list[Append] = []
    oldest = table.version() + 1
    restored = False
    for commit in log.commits(table.version()):
        oldest = commit.version
        # A RESTORE brings back rows that an earlier commit took back.
        if not restored and _is_settled(commit, info, earlier_runs):
            return found
        restored = restored or commit.info.get("operation") == "RESTORE"
        if commit.is_append and is_earlier(commit.info, info):
            found.append(_append(commit, newest))
            run_id = str(commit.info.get("run_id"))
            left_to_find[run_id] = left_to_find.get(run_id, 0) - 1
        if not unknown and all(count <= 0 for count in left_to_find.values()):
            return found
        for path in commit.added:
            newest.setdefault(path, (commit, True))
        for path in commit.removed:
            newest.setdefault(path, (commit, False))
    lost = [f"run {run}" for run, count in left_to_find.items() if count > 0]
    if oldest > 0 and lost:
        raise cannot_take_back(name, ", ".join(lost), "the table's log does not go back to them")
    return found


def _is_settled(commit: Commit, info: WriteInfo, earlier_runs: Collection[str]) -> bool:
    """Return True if the table had no rows of earlier attempts right after *commit*."""
    found = commit.info
    if is_by(found, info):
        return commit.is_append or "takes_back" in found
    same_row = found.get("transformation_id") == info.transformation_id
    return same_row and "takes_back" in found and found.get("run_id") in earlier_runs


def _append(commit: Commit, newest: Mapping[str, tuple[Commit, bool]]) -> Append:
    """Build the Append of *commit*.

    *newest* maps a path to the newest later commit that added or removed the file, and to True if that
    commit added it.
    """
    left, moved = [], None
    for path in sorted(commit.added):
        last, added = newest.get(path, (commit, True))
        if (added and path in last.masked) or (not added and last.moves_rows):
            moved = last
        elif added:
            left.append(path)
    return Append(commit, tuple(left), moved)


def _remove(table: Any, name: str, paths: list[str], versions: list[int], properties: Any) -> None:
    """Remove the files from the table, in one commit."""
    actions = require("deltalake.transaction", "the pandas engine")
    if hasattr(actions, "RemoveAction"):
        now = int(time.time() * 1000)
        table.create_write_transaction(
            # delta-rs encodes these paths itself.
            [actions.RemoveAction(unquote(path), True, now) for path in paths],
            "append",
            table.schema(),
            partition_by=list(table.metadata().partition_columns),
            commit_properties=properties,
        )
        return
    first = min(versions)
    if why := why_files_stay(table):
        raise cannot_take_back(name, f"version {first}", why)
    if table.version() - first + 1 > len(versions):
        why = "other writers have committed since, and deltalake before 1.6.6 cannot remove single files"
        raise cannot_take_back(name, f"version {first}", why)
    if first == 0:
        table.delete(commit_properties=properties)
    else:
        table.restore(first - 1, commit_properties=properties)
