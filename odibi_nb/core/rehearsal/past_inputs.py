"""Tables as a past attempt read them, and the inputs whose past content cannot be read."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
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
from odibi_nb.errors import DataError, EngineError, TableNotFoundError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping

    from odibi_nb.core.protocols import DataFrame, TableEngine, VersionedEngine
    from odibi_nb.core.rehearsal.past_attempts import PastAttempt


_UNVERSIONED = " has no known version in the log (a view, or it did not exist): it may differ"


@dataclass(eq=False, repr=False)
class PastInputs:
    """Versions at which a rehearsal reads tables.

    A table that the attempt did not read, for example because it failed first, is read at its version
    from when the attempt began.

    Attributes:
        engine: engine whose tables keep their versions.
        tables: the versions by table.
        began: start of the attempt.
        unreadable: the message of each version that cannot be read any more, by table.
    """

    engine: VersionedEngine
    tables: Mapping[str, TableVersion | UnversionedTable]
    began: dt.datetime | None
    unreadable: dict[str, str] = field(default_factory=dict, init=False)
    _found: dict[str, int | None] = field(default_factory=dict, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

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
        if isinstance(self.tables.get(table.key), TableVersion):
            return True
        commits = self.engine.commits(table)
        if self.began is None or not commits or commits[-1].version > 0:
            return None
        return commits[-1].at is None or commits[-1].at <= self.began

    def read(self, table: TableName, version: int) -> DataFrame:
        """Return all rows of *table* at *version*.

        Raises:
            DataError: if the version cannot be read; `unreadable` then has the message.
        """
        try:
            return self.engine.read_version(table, version)
        except DataError as exc:
            self.unreadable[table.key] = str(exc)
            raise

    def query(self, sql: str, keys: set[str]) -> DataFrame:
        """Return the rows of a SELECT over the tables with *keys*, as the attempt read them.

        Raises:
            DataError: if the query is wrong, or a version cannot be read.
        """
        found = {key: self.version_of(TableName.parse(key)) for key in sorted(keys)}
        versions = {key: version for key, version in found.items() if version is not None}
        return self.engine.query_versions(sql, versions)

    def _look_up(self, table: TableName) -> int | None:
        known = self.tables.get(table.key)
        if known is None or isinstance(known, UnversionedTable):
            return self._at_the_start(table)
        now = self.engine.versions([table]).get(table.key)
        if now is not None and known.table_id and now.table_id not in {"", known.table_id}:
            message = (
                f"{table} was created again since, so that its version {known.version} is gone"
            )
            self.unreadable[table.key] = message
            raise DataError(message)
        return known.version

    def _at_the_start(self, table: TableName) -> int | None:
        began = self.began
        if began is None:
            return None
        if self.existed(table) is False:
            message = f"{table} did not exist when the attempt began"
            raise TableNotFoundError(str(table), message)
        commits = self.engine.commits(table)
        before = [commit.version for commit in commits if commit.at and commit.at <= began]
        return max(before, default=None)


def check_versions(engine: TableEngine) -> None:
    """Raise EngineError if *engine* cannot read tables at earlier versions."""
    if not hasattr(type(engine), "read_version"):
        raise EngineError(f"the {engine.name} engine cannot read earlier versions of tables")


def not_as_they_were(
    attempt: PastAttempt, fingerprint: Callable[[str], FileRead | None]
) -> list[str]:
    """Return a line for each input of *attempt* that may differ from what it read.

    *fingerprint* returns the present fingerprint of a file, as the log spells it; None if unknown.
    """
    lines = []
    for read in attempt.reads or ():
        if isinstance(read, FileRead):
            lines.append(_file_line(read, fingerprint(read.file)))
        elif isinstance(read, ConnectionRead):
            what = read.table or "a query"
            lines.append(f"{what} of database {read.connection} has no versions: read as it is now")
        else:
            tables = read.tables if isinstance(read, QueryRead) else (read,)
            unknown = [table for table in tables if isinstance(table, UnversionedTable)]
            lines += [f"{table.table}{_UNVERSIONED}" for table in unknown]
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
