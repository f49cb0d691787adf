"""The embedded engine: pandas DataFrames over Delta tables, without Java."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.tables import TableName, redact_url
from odibi_nb.core.protocols import (
    Change,
    ComparingEngine,
    DiffingEngine,
    ListingEngine,
    RehearsingEngine,
    RetryingEngine,
    VersionedEngine,
    WatchingEngine,
)
from odibi_nb.engines.delta import details as delta_details
from odibi_nb.engines.delta import restore as delta_restore
from odibi_nb.engines.delta import tables as delta_tables
from odibi_nb.engines.delta import versions as delta_versions
from odibi_nb.engines.delta.appends import Appends
from odibi_nb.engines.delta.unshared_files import files_at
from odibi_nb.engines.delta.watch import newest_commit
from odibi_nb.engines.delta.writes import TableWrite, commit, without_earlier, write_lock
from odibi_nb.engines.lake import Lake
from odibi_nb.engines.optional_imports import reason
from odibi_nb.engines.pandas import rehearsal as pandas_rehearsal
from odibi_nb.engines.pandas import version_diff
from odibi_nb.engines.pandas.content_hash import content_hash
from odibi_nb.engines.pandas.frames import from_arrow, to_arrow
from odibi_nb.engines.pandas.in_memory import PandasInMemory
from odibi_nb.engines.pandas.query import Limits, select
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from odibi_nb.core.model.attempt_control import AttemptControl
    from odibi_nb.core.model.provenance import TableCommit, TableVersion
    from odibi_nb.core.model.rollback import Outlook
    from odibi_nb.core.model.table_change import TableChange
    from odibi_nb.core.model.table_diff import TableDiff
    from odibi_nb.core.model.transformation import Output
    from odibi_nb.core.protocols import Portion, TableAt, TableDetails, Watch, WriteInfo
    from odibi_nb.engines.delta.unshared_files import VersionFiles


class PandasEngine(
    PandasInMemory,
    RehearsingEngine,
    WatchingEngine,
    RetryingEngine,
    VersionedEngine,
    ComparingEngine,
    DiffingEngine,
    ListingEngine,
):
    """The `TableEngine` of pandas: tables are Delta tables below *lake*.

    Args:
        lake: an absolute local path, or a URL.
        storage_options: delta-rs's options for *lake*.
    """

    def __init__(self, lake: str, storage_options: Mapping[str, str] | None = None) -> None:
        self._lake = Lake(lake)
        self._storage_options = dict(storage_options or {})
        self.limits: Limits | None = None
        self._cached: dict[str, tuple[TableVersion, Any]] = {}
        self._appends = Appends()

    def spark_session(self) -> None:
        """Return None: this engine has no Spark session."""

    def attempt_scope(
        self, info: WriteInfo, tables: Sequence[str], control: AttemptControl
    ) -> AbstractContextManager[None]:
        """Return an empty context: a thread cannot be killed, and its reads and writes end soon."""
        del info, tables, control
        return contextlib.nullcontext()

    def read(self, table: TableName) -> Any:
        """Return all of *table* as a DataFrame that the caller may change; timestamps are in UTC."""
        return from_arrow(self._arrow(table), str(table))

    def query(self, sql: str) -> Any:
        """Run one SELECT (DuckDB's SQL) over the lake's tables, and nothing else."""
        return from_arrow(select(sql, self._arrow, self.limits), "the query's result")

    def write(self, frame: Any, output: Output, info: WriteInfo) -> int:
        table = TableName.parse(output.table)
        uri = self._lake.uri(table)
        data = to_arrow(frame, output.table)
        delta_tables.check_output(data, output)
        write = TableWrite(uri=uri, output=output, info=info, storage_options=self._storage_options)
        with self._changing(table):
            commit(write, data, self._appends)
        return int(data.num_rows)

    @contextlib.contextmanager
    def _changing(self, table: TableName) -> Iterator[None]:
        """Hold the table's write lock for the block, and then remove the table from the cache."""
        with write_lock(self._lake.uri(table)):
            try:
                yield
            finally:
                self._cached.pop(table.path, None)

    def same_content(self, frame: Any, output: Output) -> tuple[TableVersion | None, str]:
        table = TableName.parse(output.table)
        digest = content_hash(to_arrow(frame, output.table), output)
        if not digest:
            return None, ""
        uri = self._lake.uri(table)
        with write_lock(uri):
            found = delta_versions.version_with(uri, table.key, self._storage_options, digest)
        return found, digest

    def take_back(self, output: Output, info: WriteInfo) -> None:
        table = TableName.parse(output.table)
        uri = self._lake.uri(table)
        write = TableWrite(uri=uri, output=output, info=info, storage_options=self._storage_options)
        with self._changing(table):
            without_earlier(write, self._appends)

    def exists(self, table: TableName) -> bool:
        uri = self._lake.uri(table)
        delta_tables.check_path(uri)
        try:
            return delta_tables.is_table(uri, self._storage_options)
        except Exception as exc:
            raise DataError(f"{table}: {redact_url(uri)} cannot be checked: {reason(exc)}") from exc

    def tables(self) -> list[TableName]:
        return self._lake.table_names()

    def watch(self, tables: Sequence[TableName]) -> Watch:
        return self._lake.watch(tables, self._newest_commit)

    def _newest_commit(self, table: TableName) -> tuple[float, float] | Change:
        try:
            return newest_commit(self._opened(table))
        except Exception:  # noqa: BLE001  the next read of the table raises with the cause
            return Change.UNKNOWN

    def outlook(self, table: TableName, version: int, *, restores: int) -> Outlook:
        where = self._lake.uri(table), str(table), self._storage_options
        return delta_restore.outlook(*where, version, restores=restores)

    def restore(self, table: TableName, restores: int, info: WriteInfo, *, expected: int) -> int:
        where = self._lake.uri(table), str(table), self._storage_options
        with self._changing(table):
            return delta_restore.restore(*where, info, restores=restores, expected=expected)

    def drop(self, table: TableName, *, expected: int) -> None:
        uri = self._lake.uri(table)
        with write_lock(uri):
            delta_restore.drop(uri, str(table), expected=expected)
            self._cached.pop(table.path, None)

    def check_writable(self) -> None:
        self._lake.check_writable()

    def cache(self, table: TableName, *, keep: bool = False) -> None:
        """Load *table* into memory for later reads and queries, until this engine writes to it or closes."""
        del keep  # this engine has no session that could keep the table
        with write_lock(self._lake.uri(table)):
            self._cached[table.path] = self._scan(table)

    def versions(self, tables: Sequence[TableName]) -> dict[str, TableVersion]:
        return delta_versions.newest_versions(tables, self._lake.uri, self._storage_options)

    def committed_at(self, table: TableName, version: int) -> dt.datetime | None:
        return delta_versions.committed_at(self._lake.uri(table), version)

    def commits(self, table: TableName, *, down_to: int = 0) -> list[TableCommit]:
        uri = self._lake.uri(table)
        return delta_versions.commits_of(uri, table.key, self._storage_options, down_to)

    def read_version(self, table: TableName, version: int) -> Any:
        return from_arrow(self._at(table, version)[1], str(table))

    def query_versions(self, sql: str, versions: Mapping[str, int]) -> Any:
        return self.query_newest(sql, versions)[0]

    def read_newest(self, table: TableName) -> tuple[Any, TableVersion]:
        version, rows = self._newest(table)
        return from_arrow(rows, str(table)), version

    def query_newest(
        self, sql: str, versions: Mapping[str, int]
    ) -> tuple[Any, tuple[TableVersion, ...]]:
        found: dict[str, tuple[TableVersion, Any]] = {}

        def rows_of(table: TableName) -> Any:
            if table.key not in found:
                number = versions.get(table.key)
                found[table.key] = (
                    self._newest(table) if number is None else self._at(table, number)
                )
            return found[table.key][1]

        rows = select(sql, rows_of, self.limits)
        frame = from_arrow(rows, "the query's result")
        return frame, tuple(version for version, _ in found.values())

    def close(self) -> None:
        """Drop all cached tables."""
        self._cached.clear()

    def read_portion(self, table: TableName, portion: Portion) -> Any:
        """Read *portion* of *table*. A limit ends the read early; a fraction only saves memory."""
        rows = pandas_rehearsal.scan_portion(self._existing(table), str(table), portion)
        return from_arrow(rows, str(table))

    def take(self, frame: Any, portion: Portion) -> Any:
        return pandas_rehearsal.take(frame, portion)

    def prepared(self, frame: Any, output: Output) -> Any:
        return pandas_rehearsal.prepared(frame, output, self._open_for(output))

    def combined(self, before: Any, frame: Any, output: Output) -> Any:
        return pandas_rehearsal.combined(before, frame, output)

    def changes(self, frame: Any, output: Output, *, partial: bool) -> TableChange:
        return pandas_rehearsal.changes(frame, output, self._open_for(output), partial=partial)

    def diff(
        self, before: TableAt | None, after: TableAt | None, keys: Sequence[str] = ()
    ) -> TableDiff:
        sides = version_diff.sides_of(before, after)
        return version_diff.diff(sides, version_diff.unshared_parts(sides), keys)

    def files_of(self, table: TableName, version: int | None) -> VersionFiles:
        """Return the data files of *table* at a version, or at the newest one.

        Raises:
            TableNotFoundError: if the table does not exist.
            DataError: if the version does not exist.
        """
        found = files_at(self._lake.uri(table), str(table), version, self._storage_options)
        if found is None:
            raise self._lake.not_found(table)
        return found

    def details(self, table: TableName) -> TableDetails | None:
        delta = self._opened(table)
        return None if delta is None else delta_details.details(delta)

    def _open_for(self, output: Output) -> Any:
        uri = self._lake.uri(TableName.parse(output.table))
        return delta_tables.open_table(uri, output.table, self._storage_options, writing=True)

    def _opened(self, table: TableName) -> Any:
        return delta_tables.open_table(self._lake.uri(table), str(table), self._storage_options)

    def _arrow(self, table: TableName) -> Any:
        return self._newest(table)[1]

    def _newest(self, table: TableName) -> tuple[TableVersion, Any]:
        return self._cached.get(table.path) or self._scan(table)

    def _scan(self, table: TableName) -> tuple[TableVersion, Any]:
        delta = self._existing(table)
        rows = delta_tables.scan(delta, str(table))
        return delta_versions.version_of(delta, table.key), rows

    def _at(self, table: TableName, version: int) -> tuple[TableVersion, Any]:
        cached = self._cached.get(table.path)
        if cached is not None and cached[0].version == version:
            return cached
        uri, name = self._lake.uri(table), str(table)
        delta = delta_versions.table_at(uri, name, version, self._storage_options)
        if delta is None:
            raise self._lake.not_found(table)
        try:
            rows = delta_tables.scan(delta, name)
        except DataError as exc:
            raise delta_versions.files_gone(name, version, exc) from exc
        return delta_versions.version_of(delta, table.key), rows

    def _existing(self, table: TableName) -> Any:
        delta = self._opened(table)
        if delta is None:
            raise self._lake.not_found(table)
        return delta
