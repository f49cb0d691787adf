"""Reads and writes of an attempt so far, with the versions of the data."""

from __future__ import annotations

import hashlib
import threading
from typing import TYPE_CHECKING

import msgspec

from odibi_nb.core.model.provenance import (
    ConnectionRead,
    FileRead,
    OutputWritten,
    QueryRead,
    TableVersion,
    UnversionedTable,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odibi_nb.core.model.provenance import InputRead


def text_hash(text: str) -> str:
    """Return the hash of a query's text, as 16 hex digits."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Provenance:
    """The inputs and outputs of one attempt; any of its threads may add to them.

    A table has one version for the whole attempt: that of its first read. After the attempt has written
    the table itself, the next read gets the newest version, and keeps that.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pins: dict[str, TableVersion] = {}
        self._inputs: dict[tuple[str, ...], InputRead] = {}
        self._outputs: dict[str, OutputWritten] = {}

    @property
    def inputs_read(self) -> tuple[InputRead, ...]:
        """The distinct inputs, in the order of their first reads."""
        with self._lock:
            return tuple(self._inputs.values())

    @property
    def outputs_written(self) -> tuple[OutputWritten, ...]:
        """The written tables, in the order of the first writes."""
        with self._lock:
            return tuple(self._outputs.values())

    def pinned(self, key: str) -> TableVersion | None:
        """Return the version at which the attempt reads the table with this key; None if undecided."""
        return self._pins.get(key)

    def pins(self) -> dict[str, int]:
        """Return the versions at which the attempt reads tables, by key."""
        with self._lock:
            return {key: version.version for key, version in self._pins.items()}

    def pin(self, found: TableVersion) -> TableVersion:
        """Let the attempt read a table at the *found* version, unless a version is already decided.

        Returns:
            The version at which the attempt reads the table.
        """
        with self._lock:
            return self._pins.setdefault(found.table, found)

    def read(self, found: InputRead) -> None:
        """Add an input, unless the attempt has read it before, or reads what it wrote itself."""
        with self._lock:
            if not (isinstance(found, TableVersion) and self._wrote(found)):
                self._inputs.setdefault(_key(found), found)

    def read_query(
        self, name: str, sql: str, tables: Sequence[TableVersion | UnversionedTable]
    ) -> None:
        """Add a query with the text *sql*, and the *tables* that it read."""
        self.read(QueryRead(query=name, sql_hash=text_hash(sql), tables=tuple(tables)))

    def wrote(self, written: OutputWritten) -> None:
        """Add a commit. Several commits to a table count as one, from the first to the last version."""
        with self._lock:
            before = self._outputs.get(written.table)
            self._outputs[written.table] = written if before is None else _both(before, written)
            self._pins.pop(written.table, None)

    def _wrote(self, found: TableVersion) -> bool:
        own = self._outputs.get(found.table)
        return own is not None and own.version == found.version


def _both(first: OutputWritten, then: OutputWritten) -> OutputWritten:
    return msgspec.structs.replace(
        then,
        previous_version=first.previous_version,
        rows=_sum(first.rows, then.rows),
        added=_sum(first.added, then.added),
        changed=_sum(first.changed, then.changed),
        removed=_sum(first.removed, then.removed),
        unchanged=first.unchanged and then.unchanged,
    )


def _sum(first: int | None, then: int | None) -> int | None:
    return None if first is None or then is None else first + then


def _key(found: InputRead) -> tuple[str, ...]:
    if isinstance(found, FileRead):
        return "file", found.file
    if isinstance(found, QueryRead):
        return "query", found.query, found.sql_hash
    if isinstance(found, ConnectionRead):
        return "connection", found.connection, found.table, found.query_hash
    return "table", found.table
