"""The commits of a Delta table, each read from its own file in ``_delta_log``.

``DeltaTable.history()`` reads the same files, but numbers the commits downwards from the newest version
that it finds. If another writer has committed since the table was opened, these numbers are wrong
(deltalake 1.1 to 1.6). The name of a commit's file is its version and never changes.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.core.text.json import decode_json
from odibi_nb.engines.optional_imports import require

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_WHOLE_TABLE = ("WRITE", "CREATE", "REPLACE")


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit of a table.

    Attributes:
        version: the table's version after it.
        info: its ``commitInfo``, with the keys of the writer's own metadata.
        added: paths of the added files, as the log spells them.
        removed: paths of the removed files.
        masked: paths of the files added with a deletion vector, which hides some of their rows.
    """

    version: int
    info: Mapping[str, Any]
    added: frozenset[str]
    removed: frozenset[str]
    masked: frozenset[str]

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
        handler = require("deltalake.fs", "the pandas engine").DeltaStorageHandler
        filesystem = require("pyarrow.fs", "the pandas engine").PyFileSystem
        self._files = filesystem(handler(uri, dict(storage_options) or None))
        self._read: dict[int, Commit] = {}

    def commits(self, version: int) -> Iterator[Commit]:
        """Yield the commits from *version* down to the oldest one in the log, newest first."""
        for number in range(version, -1, -1):
            if number not in self._read:
                try:
                    with self._files.open_input_stream(f"_delta_log/{number:020}.json") as file:
                        text = file.read().decode("utf-8")
                except FileNotFoundError:  # log cleanup removed it; a checkpoint has its actions
                    return
                self._read[number] = _commit(number, text)
            yield self._read[number]


def _commit(version: int, text: str) -> Commit:
    info: dict[str, Any] = {}
    added, removed, masked = set(), set(), set()
    for line in text.split("\n"):  # splitlines() also splits at U+2028, which JSON text may have
        action = json.loads(line) if line.strip() else {}
        if "commitInfo" in action:
            info = commit_metadata(action["commitInfo"])
        elif "add" in action:
            added.add(action["add"]["path"])
            if action["add"].get("deletionVector"):
                masked.add(action["add"]["path"])
        elif "remove" in action:
            removed.add(action["remove"]["path"])
    return Commit(version, info, frozenset(added), frozenset(removed), frozenset(masked))
