"""The commits of a Delta table, each read from its own file in ``_delta_log``.

``DeltaTable.history()`` reads the same files, but numbers the commits downwards from the newest version
that it finds. If another writer has committed since the table was opened, these numbers are wrong
(deltalake 1.1 to 1.6). The name of a commit's file is its version and never changes.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from odibi_nb.core.text.json import decode_json
from odibi_nb.engines.optional_imports import require

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_WHOLE_TABLE = ("WRITE", "CREATE", "REPLACE")
_FILE_ACTIONS = frozenset({"add", "remove", "cdc"})
_NO_DATA = frozenset({"commitInfo", "txn", "domainMetadata"})
"""Actions that change neither rows nor schema. Unknown actions count as changes."""
_INFO = b'{"commitInfo"'
_CHANGES_FILES = b'"dataChange":true'
"""Text that no JSON string can contain, because its quotes would be escaped there."""


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit of a table.

    Attributes:
        version: the table's version after it.
        info: its ``commitInfo``, with the keys of the writer's own metadata.
        added: paths of the added files, as the log spells them.
        removed: paths of the removed files.
        masked: paths of the files added with a deletion vector, which hides some of their rows.
        changes_data: False if the commit only rewrites files or removes old ones.
        rows: number of rows of each added file; None if its statistics do not have it.
    """

    version: int
    info: Mapping[str, Any]
    added: frozenset[str]
    removed: frozenset[str]
    masked: frozenset[str]
    changes_data: bool = True
    rows: Mapping[str, int | None] = field(default_factory=dict)

    @property
    def is_append(self) -> bool:
        """True if the commit is a write that appended rows."""
        parameters = self.info.get("operationParameters") or {}
        mode = self.info.get("mode", parameters.get("mode"))
        return mode in {"Append", "append"} and "takes_back" not in self.info

    @property
    def moves_rows(self) -> bool:
        """True if the added files may contain rows of the removed files."""
        if not self.added or "rewrites" in self.info:
            return bool(self.added)
        operation = str(self.info.get("operation"))
        parameters = self.info.get("operationParameters") or {}
        part = parameters.get("predicate") not in (None, "", "[]")
        return part or not operation.startswith(_WHOLE_TABLE)


def commit_metadata(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a commit's information merged with the writer's own metadata.

    delta-rs stores this metadata as further keys, Spark as JSON text in ``userMetadata``.
    """
    text = entry.get("userMetadata")
    if isinstance(text, str) and text.startswith("{"):
        with contextlib.suppress(ValueError):
            own_entries = decode_json(text)
            if isinstance(own_entries, dict):
                return {**entry, **own_entries}
    return dict(entry)


def restored_version(info: Mapping[str, Any]) -> int | None:
    """Return the version that the commit with *info* restored; None if it restored none, or by time.

    A rollback that removed all rows restored `BEFORE_CREATION`.
    """
    parameters = info.get("operationParameters") or {}
    is_restore = info.get("operation") == "RESTORE"
    found = info.get("restores") or (parameters.get("version") if is_restore else None)
    return int(str(found)) if re.fullmatch(r"-1|\d{1,18}", str(found)) else None


class DeltaLog:
    """The log of one table; it reads each commit only once.

    Args:
        uri: path or URL of the table.
        storage_options: delta-rs's options for *uri*.
    """

    def __init__(self, uri: str, storage_options: Mapping[str, str]) -> None:
        self._folder = local_folder(uri)
        if self._folder is None:
            self._files = file_system(uri, storage_options)
        self._read: dict[int, Commit] = {}

    def commits(self, version: int) -> Iterator[Commit]:
        """Yield the commits from *version* down to the oldest one in the log, newest first."""
        for number in range(version, -1, -1):
            if number not in self._read:
                text = self.text(number)
                if text is None:  # log cleanup removed it; a checkpoint has its actions
                    return
                self._read[number] = _commit(number, text)
            yield self._read[number]

    def actions(self, version: int) -> Iterator[list[dict[str, Any]]]:
        """Yield the actions of each commit, from *version* down to the oldest one in the log."""
        for number in range(version, -1, -1):
            text = self.text(number)
            if text is None:
                return
            yield list(_actions(text))

    def text(self, version: int) -> bytes | None:
        """Return the content of a commit's file; None if it does not exist."""
        name = f"_delta_log/{version:020}.json"
        with contextlib.suppress(FileNotFoundError):
            if self._folder is not None:
                with open(f"{self._folder}/{name}", "rb") as file:  # noqa: PTH123  a Path would take half of the time
                    return file.read()
            with self._files.open_input_stream(name) as file:
                return bytes(file.read())
        return None


def file_system(uri: str, storage_options: Mapping[str, str]) -> Any:
    """Return Arrow's file system of the files below *uri*, as delta-rs reaches them."""
    handler = require("deltalake.fs", "the pandas engine").DeltaStorageHandler
    files = require("pyarrow.fs", "the pandas engine").PyFileSystem
    return files(handler(uri, dict(storage_options) or None))


def local_folder(uri: str) -> Path | None:
    """Return the folder of this machine at *uri*; None for another storage."""
    if uri.startswith("file://"):
        return Path(unquote(uri.removeprefix("file://")))
    return None if "://" in uri else Path(uri)


def _commit(version: int, text: bytes) -> Commit:
    info: dict[str, Any] = {}
    removed, masked = set(), set()
    rows: dict[str, int | None] = {}
    for action in _actions(text):
        if "commitInfo" in action:
            info = commit_metadata(action["commitInfo"])
        elif "add" in action:
            path = action["add"]["path"]
            rows[path] = _row_count(action["add"])
            if action["add"].get("deletionVector"):
                masked.add(path)
        elif "remove" in action:
            removed.add(action["remove"]["path"])
    return Commit(
        version,
        info,
        frozenset(rows),
        frozenset(removed),
        frozenset(masked),
        changes_data(text),
        rows,
    )


def info_in(text: bytes) -> Mapping[str, Any]:
    """Return the information of the commit with this *text*, without a look at its files."""
    line = text.partition(b"\n")[0]
    if not line.startswith(_INFO):  # delta-rs and Spark write it first
        line = next((one for one in text.split(b"\n") if one.startswith(_INFO)), b"")
    return commit_metadata(decode_json(line)["commitInfo"]) if line else {}


def _actions(text: bytes) -> Iterator[dict[str, Any]]:
    for line in text.split(b"\n"):
        if line.strip():
            action = json.loads(line)
            if isinstance(action, dict):
                yield action


def _row_count(add: Mapping[str, Any]) -> int | None:
    """Return the number of rows in an added file, without the rows that its deletion vector hides."""
    with contextlib.suppress(ValueError, TypeError, AttributeError, KeyError):
        count = int(json.loads(add["stats"])["numRecords"])
        return count - int((add.get("deletionVector") or {}).get("cardinality", 0))
    return None


def changes_data(text: bytes) -> bool:
    """Return False if the commit with this *text* only rewrites files or removes old ones.

    OPTIMIZE and compaction mark each of their files so, and VACUUM commits no files. A change of the
    schema or of the properties, and a RESTORE, are changes, as is anything unknown.
    """
    if _CHANGES_FILES in text:
        return True
    try:
        return any(_changes_data(name, body) for a in _actions(text) for name, body in a.items())
    except (ValueError, AttributeError):
        return True


def _changes_data(name: str, action: Mapping[str, Any]) -> bool:
    if name in _FILE_ACTIONS:
        return action.get("dataChange") is not False
    if name == "commitInfo":
        return action.get("operation") == "RESTORE"
    return name not in _NO_DATA


def table_id_in(text: bytes) -> str:
    """Return the table's id in the commit with this *text*; "" if the commit does not set it."""
    if b'"metaData"' not in text:
        return ""
    return next((str(a["metaData"].get("id") or "") for a in _actions(text) if "metaData" in a), "")


def commit_time(info: Mapping[str, Any]) -> dt.datetime | None:
    """Return the time (UTC) in a commit's information, or None."""
    for name in ("inCommitTimestamp", "timestamp"):
        with contextlib.suppress(KeyError, TypeError, ValueError, OverflowError, OSError):
            return dt.datetime.fromtimestamp(int(info[name]) / 1000, dt.timezone.utc)
    return None
