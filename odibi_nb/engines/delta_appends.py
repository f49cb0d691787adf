"""Appends that a retry cannot double.

What a row appends to a table counts once, however often the row is tried:

- Each append is one commit. It names run, transformation and attempt, and carries a Delta ``txn``
  action: run and transformation are its application id, attempt and number of the append its
  version. So a function may append to a table as often as it likes.
- When an attempt appends to a table for the first time, what earlier attempts of its row appended
  there in this run is taken back first, by a commit that removes exactly their files. The table
  never has the rows of two attempts, and what others appended meanwhile stays. Between the two
  commits, and if the process dies there, it is as if the row had not run.
- Skipping the second append instead would keep the rows of the attempt that failed, which may have
  read other data, or cut the same data into other batches: some rows would be lost, some double.
- A run that repairs others (`WriteInfo.repairs`) takes back what they appended for its rows, also
  where their process was killed before it could log it. Any other run's appends are its own.
- A commit whose answer got lost is found again by its ``txn``, not done twice.

A merge is done again: rows with equal keys are updated, so nothing doubles; rows that only the first
attempt had stay. An overwrite replaces whatever was there.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from odibi_nb.core.decoding import decode_json
from odibi_nb.engines.libraries import reason, require
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from odibi_nb.core.protocols import WriteInfo

KEPT_FOR = {"delta.setTransactionRetentionDuration": "interval 30 days"}
"""A property of the tables we make: without it their ``txn`` entries would grow with every run."""

_REWRITES = frozenset({"OPTIMIZE", "MERGE", "UPDATE", "DELETE"})
"""Commits that may move rows from one file to another."""
_FIRST_LOOK = 50
_BITS = 20
"""Of a ``txn`` version, for the number of the append; the attempt stands above them."""


class Appended(NamedTuple):
    """What an attempt appended to a table, in so many commits."""

    run_id: str
    attempt: int
    commits: int

    def __str__(self) -> str:
        return f"attempt {self.attempt} of run {self.run_id}"


class Appends:
    """What the attempts of this process have appended; used under the table's write lock.

    A row is tried again by the process that tried it first, so this knows all of a run's appends.
    """

    def __init__(self) -> None:
        self._last: dict[tuple[str, str, str], Appended] = {}

    def earlier(self, uri: str, table: Any, info: WriteInfo) -> list[Appended]:
        """What the row's earlier attempts, in this run and those it repairs, left in the Delta *table*."""
        last = self._last.get((uri, info.run_id, info.transformation_id))
        if last is not None:
            return [last] if last.attempt != info.attempt and last.commits else []
        found = []
        for run_id in info.repairs:
            version = _landed_version(table, run_id, info)
            attempt, count = version >> _BITS, version & (1 << _BITS) - 1
            if count:
                found.append(Appended(run_id, attempt, count))
        return found

    def knows(self, uri: str, info: WriteInfo) -> bool:
        """Whether the row has appended to the table in this run, or taken back what others did."""
        return (uri, info.run_id, info.transformation_id) in self._last

    def count(self, uri: str, info: WriteInfo) -> int:
        """How often this attempt has appended to the table so far."""
        last = self._last.get((uri, info.run_id, info.transformation_id))
        return last.commits if last is not None and last.attempt == info.attempt else 0

    def note(self, uri: str, info: WriteInfo, count: int) -> None:
        """This attempt has appended *count* times, and no other attempt's rows are in the table."""
        last = Appended(info.run_id, info.attempt, count)
        self._last[uri, info.run_id, info.transformation_id] = last


def appended_by(table: Any, run_id: str, info: WriteInfo) -> list[Appended]:
    """What the last attempt of the row in another run appended, by the *table*'s history.

    For tables whose writer keeps no ``txn``.
    """
    wanted = {"run_id": run_id, "transformation_id": info.transformation_id}
    found = [commit_metadata(entry) for entry in table.history() if _appends(entry)]
    attempts = [int(said["attempt"]) for said in found if wanted.items() <= said.items()]
    last = max(attempts, default=0)
    return [Appended(run_id, last, attempts.count(last))] if attempts else []


def metadata(info: WriteInfo) -> dict[str, str]:
    """What a commit says of who made it."""
    return {
        "run_id": info.run_id,
        "transformation_id": info.transformation_id,
        "attempt": str(info.attempt),
    }


def commit_metadata(entry: dict[str, Any]) -> dict[str, Any]:
    """What an entry of a table's history says of who made it: delta-rs's keys, or Spark's text."""
    text = entry.get("userMetadata")
    if isinstance(text, str) and text.startswith("{"):
        with contextlib.suppress(ValueError):
            return {**entry, **decode_json(text)}
    return entry


def transaction(info: WriteInfo, count: int) -> Any:
    """The ``txn`` action of an attempt's *count*-th append to a table."""
    return _transaction(info.run_id, info.transformation_id, info.attempt, count)


def landed(table: Any, info: WriteInfo, count: int) -> bool:
    """Whether the attempt's *count*-th append is in the Delta *table*."""
    return _landed_version(table, info.run_id, info) == info.attempt << _BITS | count


def transaction_key(info: WriteInfo, count: int) -> tuple[str, int]:
    """Application id and version of the ``txn`` action of an attempt's *count*-th append."""
    return _application_id(info.run_id, info.transformation_id), info.attempt << _BITS | count


def _transaction(run_id: str, transformation_id: str, attempt: int, count: int) -> Any:
    name, now = _application_id(run_id, transformation_id), int(time.time() * 1000)
    library = require("deltalake", "the pandas engine")
    return library.Transaction(name, attempt << _BITS | count, now)


def _landed_version(table: Any, run_id: str, info: WriteInfo) -> int:
    return table.transaction_version(_application_id(run_id, info.transformation_id)) or 0


def _application_id(run_id: str, transformation_id: str) -> str:
    return f"odibi_nb/{run_id}/{transformation_id}"


def take_back(
    table: Any,
    name: str,
    appended: Sequence[Appended],
    info: WriteInfo,
    at: Callable[[int], Any],
) -> None:
    """Remove from the Delta *table* what earlier attempts appended, in one commit.

    Args:
        table: the table as it is now.
        name: what messages call it.
        appended: what to remove.
        info: who does it.
        at: version to the table as it was then.

    Raises:
        DataError: if their rows cannot be told from others' any more; the table is as it was.
    """
    commits = [commit for one in appended for commit in _commits(table, name, one, info)]
    live, paths = _paths(table), []
    for version, rewritten in commits:
        added = _paths(at(version)) - (_paths(at(version - 1)) if version else set())
        if not added <= live and (rewritten or added & live):
            why = "the table's files were rewritten since"
            raise DataError(_refusal(name, f"version {version}", why))
        paths += sorted(added & live)
    odd = next((path for path in paths if not path.isascii()), None)
    if (
        odd is not None
    ):  # Spark writes such paths as they are, delta-rs only encoded: no file's name
        why = f"they stand in {odd.rpartition('/')[0]}, a name that only Spark writes so"
        raise DataError(_refusal(name, ", ".join(map(str, appended)), why))
    if not paths:
        return  # somebody has replaced all of the table since
    library = require("deltalake", "the pandas engine")
    properties = library.CommitProperties(
        custom_metadata={**metadata(info), "takes_back": ", ".join(map(str, appended))},
        app_transactions=[
            transaction(info, 0),
            *(
                _transaction(one.run_id, info.transformation_id, one.attempt + 1, 0)
                for one in appended
                if one.run_id != info.run_id
            ),
        ],
    )
    versions = [version for version, _ in commits]
    try:
        _remove(table, name, paths, versions, properties)
    except library.exceptions.CommitFailedError:
        raise
    except library.exceptions.DeltaError as exc:
        raise DataError(_refusal(name, f"versions {versions}", reason(exc))) from exc


def _refusal(name: str, which: str, why: str) -> str:
    return (
        f"{name}: the rows of an earlier attempt ({which}) cannot be taken back: {why}; "
        "remove them by hand, then run again"
    )


def _commits(table: Any, name: str, one: Appended, info: WriteInfo) -> list[tuple[int, bool]]:
    """Version of each of an attempt's appends, and whether files may have been rewritten since."""
    wanted = {**metadata(info), "run_id": one.run_id, "attempt": str(one.attempt)}
    limit = _FIRST_LOOK
    while True:
        history = table.history(limit)
        rewritten, found = False, []
        for entry in history:
            if wanted.items() <= commit_metadata(entry).items() and _appends(entry):
                found.append((entry["version"], rewritten))
            rewritten = rewritten or entry.get("operation") in _REWRITES
        if len(found) >= one.commits:
            return found
        if len(history) < limit:
            raise DataError(_refusal(name, str(one), "the table's log does not go back to them"))
        limit *= 4


def _appends(entry: dict[str, Any]) -> bool:
    mode = (entry.get("operationParameters") or {}).get("mode")
    mode = commit_metadata(entry).get("mode", mode)
    return mode in {"Append", "append"} and "takes_back" not in entry


def _paths(table: Any) -> set[str]:
    arrow = require("pyarrow", "the pandas engine")
    return set(arrow.table(table.get_add_actions())["path"].to_pylist())


def _remove(table: Any, name: str, paths: list[str], versions: list[int], properties: Any) -> None:
    """Remove the files from the table, in one commit."""
    actions = require("deltalake.transaction", "the pandas engine")
    if hasattr(actions, "RemoveAction"):
        now = int(time.time() * 1000)
        table.create_write_transaction(
            # delta-rs encodes what it is given, and gives it back encoded.
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
        raise DataError(_refusal(name, f"version {first}", why))
    if first == 0:
        table.delete(commit_properties=properties)
    else:
        table.restore(first - 1, commit_properties=properties)
