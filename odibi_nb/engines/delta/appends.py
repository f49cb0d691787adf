"""Appends that a retry cannot double.

What a row appends to a table counts once, however often the row is tried:

- Each append is one commit. It names run, transformation and attempt, and carries a Delta ``txn``
  action: run and transformation are its application id, attempt and number of the append its
  version. So a function may append to a table as often as it likes.
- When an attempt appends to a table for the first time, the appends of earlier attempts of its row
  are taken back first, by a commit that removes exactly their files. The table never has the rows of
  two attempts, and what others appended stays. Between the two commits, and if the process dies
  there, it is as if the row had not run.
- Which files those are, only the table's log tells: each commit is read from its own file
  (`odibi_nb.engines.delta.log`) and must name run, transformation and attempt itself. What this process remembers only
  saves a look.
- The commit that takes back lands at the version that was looked at, or not at all: delta-rs does not
  notice that another writer has moved the rows to another file meanwhile.
- Skipping the second append instead would keep the rows of the attempt that failed, which may have
  read other data, or cut the same data into other batches: some rows would be lost, some double.
- A run that repairs others (`WriteInfo.repairs`) takes back what they appended for its rows, also
  where their process was killed before it could log it. Any other run's appends are its own.
- A commit whose answer got lost is found again, not done twice.

A merge is done again: rows with equal keys are updated, so nothing doubles; rows that only the first
attempt had stay. An overwrite replaces whatever was there.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import tenacity

from odibi_nb.engines.delta.errors import is_conflict, why_refused
from odibi_nb.engines.delta.log import DeltaLog
from odibi_nb.engines.optional_imports import reason, require
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from odibi_nb.core.protocols import WriteInfo
    from odibi_nb.engines.delta.log import Commit

KEPT_FOR = {"delta.setTransactionRetentionDuration": "interval 30 days"}
"""A property of the tables we make: without it their ``txn`` entries would grow with every run."""

_BITS = 20
"""Of a ``txn`` version, for the number of the append; the attempt stands above them."""
_TRIES = 100
"""What earlier attempts appended is only removed while no other writer commits."""
_MOST_PAUSE = 0.05
"""Seconds before the next of these tries."""


class Appends:
    """How often the attempts of this process have appended; used under the table's write lock."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str], tuple[int, int]] = {}

    def count(self, key: str, info: WriteInfo) -> int:
        """How often this attempt has appended to the table so far."""
        return self._count(key, info) or 0

    def is_alone(self, key: str, info: WriteInfo) -> bool:
        """Whether no earlier attempt of the row can have rows in the table any more."""
        if self._count(key, info) is not None:
            return True
        return info.attempt <= 1 and not info.repairs

    def note(self, key: str, info: WriteInfo, count: int) -> None:
        """This attempt has appended *count* times, and earlier ones' rows are not in the table."""
        self._counts[key, info.run_id, info.transformation_id] = (info.attempt, count)

    def _count(self, key: str, info: WriteInfo) -> int | None:
        found = self._counts.get((key, info.run_id, info.transformation_id))
        return found[1] if found is not None and found[0] == info.attempt else None


@dataclass(frozen=True, slots=True)
class Append:
    """An append of an attempt that a retry takes the place of: one commit.

    Attributes:
        commit: the commit.
        left: those of its files that are in the table.
        moved: the commit that may have moved rows of its other files elsewhere.
    """

    commit: Commit
    left: tuple[str, ...]
    moved: Commit | None

    @property
    def attempt(self) -> str:
        """What messages and commits call the attempt."""
        return attempt_of(self.commit.info)


def attempt_of(info: Mapping[str, Any]) -> str:
    """What messages and commits call the attempt that a commit's information names."""
    return f"attempt {info.get('attempt')} of run {info.get('run_id')}"


def is_earlier(found: Mapping[str, Any], info: WriteInfo) -> bool:
    """Whether a commit's information names an attempt that *info*'s takes the place of."""
    if found.get("transformation_id") != info.transformation_id:
        return False
    if found.get("run_id") == info.run_id:
        return str(found.get("attempt")) != str(info.attempt)
    return found.get("run_id") in info.repairs


def metadata(info: WriteInfo) -> dict[str, str]:
    """What a commit says of who made it."""
    return {
        "run_id": info.run_id,
        "transformation_id": info.transformation_id,
        "attempt": str(info.attempt),
    }


def transaction(info: WriteInfo, count: int) -> Any:
    """The ``txn`` action of an attempt's *count*-th append to a table."""
    name, version = transaction_key(info, count)
    library = require("deltalake", "the pandas engine")
    return library.Transaction(name, version, int(time.time() * 1000))


def landed(table: Any, info: WriteInfo, count: int) -> bool:
    """Whether the attempt's *count*-th append is in the Delta *table*."""
    name, version = transaction_key(info, count)
    return bool(table.transaction_version(name) == version)


def transaction_key(info: WriteInfo, count: int) -> tuple[str, int]:
    """Application id and version of the ``txn`` action of an attempt's *count*-th append."""
    return _application_id(info.run_id, info), info.attempt << _BITS | count


def _application_id(run_id: str, info: WriteInfo) -> str:
    return f"odibi_nb/{run_id}/{info.transformation_id}"


def _known_counts(table: Any, info: WriteInfo) -> dict[str, int]:
    """Run to the number of appends by the row's last attempt in it, by the table's ``txn`` entries.

    Runs without an entry are not in it: they have appended nothing, or on Sail, which writes none.
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
    """Remove from a Delta table what earlier attempts appended, in one commit, if anything.

    Args:
        open_table: opens the table as it is now; gives None if there is none.
        name: what messages call it.
        info: who does it.
        storage_options: what *open_table* opens it with.

    Raises:
        DataError: if their rows cannot be told from others' any more, or other writers keep changing
            the table; it is as it was.
        RevokedError: if nobody waits for the write any more.
    """
    logs: list[DeltaLog] = []  # what was read of it is not read again

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
        raise cannot_take_back(name, "in this run or those that it repairs", why) from exc


def _take_back(table: Any, log: DeltaLog, name: str, info: WriteInfo) -> None:
    found = _earlier(table, log, name, info)
    for one in found:
        if one.moved is not None:
            why = f"the table's files were rewritten since, in version {one.moved.version}"
            raise cannot_take_back(name, f"version {one.commit.version}", why)
    left = [one for one in found if one.left]
    paths = [path for one in left for path in one.left]
    if not paths:
        return  # somebody has removed or replaced them since
    attempts = ", ".join(dict.fromkeys(one.attempt for one in left))
    odd = next((path for path in paths if not path.isascii()), None)
    if odd is not None:  # Spark writes such paths as they are, delta-rs only encoded
        why = f"they stand in {odd.rpartition('/')[0]}, a name that only Spark writes so"
        raise cannot_take_back(name, attempts, why)
    library = require("deltalake", "the pandas engine")
    properties = library.CommitProperties(
        custom_metadata={**metadata(info), "takes_back": attempts},
        app_transactions=[transaction(info, 0)],
        max_commit_retries=0,  # see the module's docstring
    )
    info.check()
    try:
        _remove(table, name, paths, [one.commit.version for one in left], properties)
    except library.exceptions.DeltaError as exc:
        if is_conflict(exc):
            raise
        refused = why_refused(exc, table)
        raise cannot_take_back(name, attempts, refused.why if refused else reason(exc)) from exc


def cannot_take_back(name: str, which: str, why: str) -> DataError:
    """The refusal to append to a table that has rows of earlier attempts."""
    return DataError(
        f"{name}: the rows of an earlier attempt ({which}) cannot be taken back: {why}; "
        "remove them by hand, then run the row in a new run, as a retry would look for them again; "
        "nothing was written"
    )


def _earlier(table: Any, log: DeltaLog, name: str, info: WriteInfo) -> list[Append]:
    """The appends of the row's earlier attempts, in this run and those it repairs, newest first."""
    earlier_runs = {*info.repairs, *([info.run_id] if info.attempt > 1 else [])}
    left_to_find = {run: n for run, n in _known_counts(table, info).items() if run in earlier_runs}
    unknown = earlier_runs - {run for run, count in left_to_find.items() if count}
    newest: dict[str, tuple[Commit, bool]] = {}
    found: list[Append] = []
    oldest = table.version() + 1
    restored = False
    for commit in log.commits(table.version()):
        oldest = commit.version
        # A RESTORE brings back what was taken back before it.
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
    """Whether no earlier attempt has rows in the table as it was after *commit*."""
    found = commit.info
    if found.get("transformation_id") != info.transformation_id:
        return False
    if found.get("run_id") == info.run_id and str(found.get("attempt")) == str(info.attempt):
        return commit.is_append or "takes_back" in found
    return "takes_back" in found and found.get("run_id") in earlier_runs


def _append(commit: Commit, newest: Mapping[str, tuple[Commit, bool]]) -> Append:
    """An append, given the *newest* later commit of each file and whether that added it."""
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
            # delta-rs encodes the paths that it is given.
            [actions.RemoveAction(unquote(path), True, now) for path in paths],
            "append",
            table.schema(),
            partition_by=list(table.metadata().partition_columns),
            commit_properties=properties,
        )
        return
    first = min(versions)
    if table.version() - first + 1 > len(versions):
        why = "others have written since, and this deltalake, older than 1.6.6, removes no single files"
        raise cannot_take_back(name, f"version {first}", why)
    if first == 0:
        table.delete(commit_properties=properties)
    else:
        table.restore(first - 1, commit_properties=properties)
