"""Appends on Spark that a retry cannot double; complements `odibi_nb.engines.delta.appends`.

No Spark statement removes exactly the files of one commit: DELETE does not support ``_metadata``, and
RESTORE also removes rows that others append after the read of the history. So delta-rs takes back
appends wherever it reaches the table's files. If only the session reaches the table, as in Unity
Catalog, and its history has an append to take back, the retry raises before it writes.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from odibi_nb.engines.delta.appends import attempt_of, cannot_take_back, is_earlier, take_back
from odibi_nb.engines.delta.log import commit_metadata, local_folder
from odibi_nb.engines.optional_imports import reason
from odibi_nb.engines.spark.connection import SAIL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from odibi_nb.core.protocols import WriteInfo
    from odibi_nb.engines.delta.appends import Appends
    from odibi_nb.engines.spark.delta_target import DeltaTarget

_REPLACED = ("CREATE OR REPLACE TABLE", "REPLACE TABLE", "TRUNCATE")


def without_earlier(target: DeltaTarget, info: WriteInfo, appends: Appends) -> None:
    """Remove rows of the row's earlier attempts from the table.

    Raises:
        DataError: if they cannot be removed. Nothing was written.
        RevokedError: if the attempt has been revoked.
    """
    if appends.is_alone(target.key, info):
        return
    info.check()
    open_table = _by_delta_rs(target)
    if open_table is not None:
        take_back(open_table, target.name, info, target.storage_options or {})
    else:
        _refuse_others(target, info)
    appends.note(target.key, info, 0)


def _by_delta_rs(target: DeltaTarget) -> Callable[[], Any] | None:
    """Return a function that opens the table with delta-rs; None if delta-rs cannot reach it."""
    found = _place(target)
    if found is None or (target.storage_options is None and local_folder(found[0]) is None):
        return None
    place, identity = found

    def open_table() -> Any:
        from deltalake import DeltaTable

        return DeltaTable(place, storage_options=dict(target.storage_options or {}) or None)

    # delta-rs may not be installed, lack credentials, or not support a feature of the table.
    with contextlib.suppress(Exception):
        table = open_table()
        # A path of another machine may belong to another table on this machine.
        return open_table if identity in {None, str(table.metadata().id)} else None
    return None


def _place(target: DeltaTarget) -> tuple[str, str | None] | None:
    """Return a table's path or URL and, in a catalog, its id; None if they are unknown."""
    if target.path is not None:
        return target.path, None
    with contextlib.suppress(Exception):  # a catalog may hide the location
        row = target.detail()
        place = str(row["location"])
        if local_folder(place) is None:
            return place, str(row["id"])
        path = place.removeprefix("file:")
        return (path if Path(path).exists() else unquote(path)), str(row["id"])
    return None


def _refuse_others(target: DeltaTarget, info: WriteInfo) -> None:
    """Raise DataError if rows of earlier attempts may be in a table that only Spark can reach."""
    if target.connection.kind == SAIL:
        why = "Sail does not show a table's history, and deltalake does not reach the table"
        raise cannot_take_back(target.name, "if there are any", why)
    try:
        history = [*map(commit_metadata, target.history())]
    except Exception as exc:
        why = f"the table's history cannot be read ({reason(exc)})"
        raise cannot_take_back(target.name, "if there are any", why) from exc
    found = [
        entry
        for entry in _in_effect(history)
        if entry.get("mode") == "append" and is_earlier(entry, info)
    ]
    if not found:
        return
    first = min(int(entry["version"]) for entry in found)
    versions = ", ".join(str(entry["version"]) for entry in reversed(found))
    attempts = ", ".join(dict.fromkeys(attempt_of(entry) for entry in reversed(found)))
    why = "only the Spark session reaches the table, and Spark cannot remove just their files"
    if first and all(is_earlier(entry, info) for entry in history if entry["version"] >= first):
        why += (
            " (as no other writer has written since, RESTORE TABLE "
            f"{target.identifier} TO VERSION AS OF {first - 1} does it; then a retry continues)"
        )
    raise cannot_take_back(target.name, f"{attempts}, version {versions}", why)


def _in_effect(history: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield, newest first, the commits whose rows may be in the table.

    Skip the commits that a later RESTORE has undone, and end at a commit that replaces all rows.
    """
    newest = None
    for entry in sorted(history, key=lambda entry: -int(entry["version"])):
        if newest is not None and int(entry["version"]) > newest:
            continue
        yield entry
        parameters = entry.get("operationParameters") or {}
        operation = str(entry.get("operation"))
        if operation == "RESTORE" and str(parameters.get("version") or "").isdigit():
            newest = int(parameters["version"])
        elif _replaces(operation, parameters):
            return


def _replaces(operation: str, parameters: Mapping[str, Any]) -> bool:
    """Return True if a commit with *operation* and *parameters* replaces all rows of the table."""
    if operation.startswith(_REPLACED):
        return True
    whole = parameters.get("predicate") in (None, "", "[]") and not any(
        "dynamic" in name.lower() for name in parameters
    )
    return whole and (
        (operation == "WRITE" and parameters.get("mode") == "Overwrite") or operation == "DELETE"
    )
