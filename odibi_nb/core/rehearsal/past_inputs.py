"""Tables as a past attempt read them, and the inputs whose past content cannot be read."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from odibi_nb.core.model.provenance import (
    ConnectionRead,
    FileRead,
    QueryRead,
    TableVersion,
    UnversionedTable,
)
from odibi_nb.core.model.tables import TableName
from odibi_nb.core.text.counts import counted
from odibi_nb.errors import DataError, TableNotFoundError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping

    from odibi_nb.core.protocols import DataFrame, TableEngine
    from odibi_nb.core.rehearsal.past_attempts import PastAttempt


_UNVERSIONED = " has no known version in the log (a view, or it did not exist): it may differ"


class PastInputs:
    """Versions at which a rehearsal reads tables.

    A table that the attempt did not read, for example because it failed first, is read at its version
    from when the attempt began.

    Args:
        engine: engine whose tables keep their versions.
        tables: the versions by table.
        began: start of the attempt.

    Attributes:
        unreadable: the message of each version that cannot be read any more, by table.
    """

    def __init__(
        self,
        engine: TableEngine,
        tables: Mapping[str, TableVersion | UnversionedTable],
        began: dt.datetime | None,
    ) -> None:
        self._engine = engine
        self._tables = tables
        self._began = began
        self._found: dict[str, int | None] = {}
        self._lock = threading.Lock()
        self.unreadable: dict[str, str] = {}

    def version_of(self, table: TableName) -> int | None:
        """Return the version at which to read *table*; None for the newest one.

        Raises:
            DataError: if the table was created again since.
        """
        with self._lock:
            if table.key not in self._found:
                self._found[table.key] = self._look_up(table)
            return self._found[table.key]

    def existed(self, table: TableName) -> bool | None:
        """Return True if *table* existed when the attempt began; None if that is unknown."""
        if isinstance(self._tables.get(table.key), TableVersion):
            return True
        commits = self._engine.commits(table)  # type: ignore[attr-defined]
        if self._began is None or not commits or commits[-1].version > 0:
            return None
        return bool(commits[-1].at is None or commits[-1].at <= self._began)

    def read(self, table: TableName, version: int) -> DataFrame:
        """Return all rows of *table* at *version*.

        Raises:
            DataError: if the version cannot be read; `unreadable` then has the message.
        """
        return self._readable(table.key, lambda: self._engine.read_version(table, version))  # type: ignore[attr-defined]

    def query(self, sql: str, keys: set[str]) -> DataFrame:
        """Return the rows of a SELECT over tables as the attempt read them.

        Args:
            sql: the query.
            keys: keys of the tables that it reads.

        Raises:
            DataError: if the query is wrong, or a version cannot be read.
        """
        found = {key: self.version_of(TableName.parse(key)) for key in sorted(keys)}
        versions = {key: version for key, version in found.items() if version is not None}
        return self._engine.query_versions(sql, versions)  # type: ignore[attr-defined]

    def _readable(self, key: str, read: Callable[[], DataFrame]) -> DataFrame:
        try:
            return read()
        except DataError as exc:
            self.unreadable[key] = str(exc)
            raise

    def _look_up(self, table: TableName) -> int | None:
        known = self._tables.get(table.key)
        if known is None or isinstance(known, UnversionedTable):
            return self._at_the_start(table)
        now = self._engine.versions([table]).get(table.key)  # type: ignore[attr-defined]
        if now is not None and known.table_id and now.table_id not in {"", known.table_id}:
            message = (
                f"{table} was created again since, so that its version {known.version} is gone"
            )
            self.unreadable[table.key] = message
            raise DataError(message)
        return known.version

    def _at_the_start(self, table: TableName) -> int | None:
        if self._began is None:
            return None
        if self.existed(table) is False:
            message = f"{table} did not exist when the attempt began"
            raise TableNotFoundError(str(table), message)
        commits = self._engine.commits(table)  # type: ignore[attr-defined]
        began = self._began
        before = [commit.version for commit in commits if commit.at and commit.at <= began]
        return max(before, default=None)


def keeps_versions(engine: TableEngine) -> bool:
    """Return True if *engine* can read tables at earlier versions."""
    return hasattr(type(engine), "read_version")


def not_as_they_were(
    attempt: PastAttempt, fingerprint: Callable[[str], FileRead | None]
) -> list[str]:
    """Return a line for each input of *attempt* that may differ from what it read.

    Args:
        attempt: a past attempt.
        fingerprint: returns the present fingerprint of a file, as the log spells it; None if unknown.
    """
    lines = []
    for read in attempt.reads or ():
        if isinstance(read, FileRead):
            lines.append(_file_line(read, fingerprint(read.file)))
        elif isinstance(read, ConnectionRead):
            what = read.table or "a query"
            lines.append(f"{what} of database {read.connection} has no versions: read as it is now")
        elif isinstance(read, UnversionedTable):
            lines.append(f"{read.table}{_UNVERSIONED}")
        elif isinstance(read, QueryRead):
            lines += [
                f"{table.table}{_UNVERSIONED}"
                for table in read.tables
                if isinstance(table, UnversionedTable)
            ]
    return lines


def _file_line(then: FileRead, now: FileRead | None) -> str:
    name = f"file {then.file}"
    if now is None or (now.size is None and now.modified is None):
        return f"{name} has no versions, and may have changed: read as it is now"
    if difference(then, now):
        return f"⚠️ {name} HAS CHANGED since ({difference(then, now)}): not reproducible"
    return f"{name} has no versions; size and time are as they were"


def difference(then: FileRead, now: FileRead) -> str:
    """Return what differs between two fingerprints of a file, in words; "" if nothing does."""
    found = []
    if then.count != now.count:
        found.append(f"{then.count or 1:,} → {counted(now.count or 1, 'file')}")
    if then.size != now.size:
        found.append(f"{then.size or 0:,} → {now.size or 0:,} bytes")
    if not found and (then.modified, then.listing) != (now.modified, now.listing):
        found.append("a different modification time")
    if not found and then.etag and now.etag and then.etag != now.etag:
        found.append("replaced by a file of equal size and time")
    return ", ".join(found)
