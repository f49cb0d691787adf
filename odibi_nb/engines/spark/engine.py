"""The Spark engine: DataFrames of a Spark session over the lake's Delta tables.

It runs on classic Spark, on Spark Connect (which includes Databricks' serverless and shared compute) and
on Sail. Only pools, job groups and caching need a JVM; without a JVM the engine does without them.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.provenance import FileRead, TableVersion, UnversionedTable
from odibi_nb.core.model.query_tables import shown_sql
from odibi_nb.core.model.tables import TableName, redact_url
from odibi_nb.core.process.compute import Kind, find_compute
from odibi_nb.core.protocols import (
    Change,
    ComparingEngine,
    ConvertingEngine,
    DiffingEngine,
    FingerprintingEngine,
    ListingEngine,
    RehearsingEngine,
    RetryingEngine,
    VersionedEngine,
    WatchingEngine,
)
from odibi_nb.core.text.spark_errors import is_no_table, missing_table
from odibi_nb.core.text.sql_text import backticked
from odibi_nb.engines.delta import details as delta_details
from odibi_nb.engines.delta import restore as delta_restore
from odibi_nb.engines.delta import versions as delta_versions
from odibi_nb.engines.delta.appends import Appends, Request
from odibi_nb.engines.delta.tables import check_path, open_table
from odibi_nb.engines.delta.unshared_files import files_at
from odibi_nb.engines.delta.writes import write_lock
from odibi_nb.engines.files.discovery import options_of
from odibi_nb.engines.files.fingerprints import fingerprint
from odibi_nb.engines.lake import CatalogLake
from odibi_nb.engines.optional_imports import check_installed, reason
from odibi_nb.engines.pandas import version_diff
from odibi_nb.engines.pandas.frames import from_arrow_exactly, is_arrow, is_pandas, to_arrow
from odibi_nb.engines.spark import checks as spark_checks
from odibi_nb.engines.spark import files as spark_files
from odibi_nb.engines.spark import query as spark_query
from odibi_nb.engines.spark import rehearsal as spark_rehearsal
from odibi_nb.engines.spark import restore as spark_restore
from odibi_nb.engines.spark import version_diff as spark_diff
from odibi_nb.engines.spark import versions as spark_versions
from odibi_nb.engines.spark import writes as spark_writes
from odibi_nb.engines.spark.appends import without_earlier
from odibi_nb.engines.spark.by_value import send_by_value, workers_lack_the_folder
from odibi_nb.engines.spark.cache import SparkCache
from odibi_nb.engines.spark.catalog import SparkCatalog, make_schema
from odibi_nb.engines.spark.connection import SAIL
from odibi_nb.engines.spark.content_hash import same_rows
from odibi_nb.engines.spark.delta_target import DeltaTarget
from odibi_nb.engines.spark.file_times import in_microseconds
from odibi_nb.engines.spark.frames import is_spark, storable, to_spark, types_of
from odibi_nb.engines.spark.jobs import ClassicJobs, ConnectJobs, attempt_scope
from odibi_nb.engines.spark.session import forget
from odibi_nb.engines.spark.session_loss import why_lost
from odibi_nb.errors import DataError, EngineNotAvailableError, OdibiError, TableNotFoundError
from odibi_nb.storage import spark_names
from odibi_nb.storage.spark_names import identifier_at, identifier_of

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from odibi_nb.core.model.attempt_control import AttemptControl
    from odibi_nb.core.model.checks import Rule
    from odibi_nb.core.model.provenance import TableCommit
    from odibi_nb.core.model.rollback import Outlook
    from odibi_nb.core.model.table_change import TableChange
    from odibi_nb.core.model.table_diff import TableDiff
    from odibi_nb.core.model.transformation import Output
    from odibi_nb.core.protocols import Measure, Portion, TableAt, TableDetails, Watch, WriteInfo
    from odibi_nb.engines.delta.unshared_files import VersionFiles
    from odibi_nb.engines.files.discovery import LocationOptions
    from odibi_nb.engines.lake import Lake
    from odibi_nb.engines.spark.connection import Connection
    from odibi_nb.engines.spark.writes import Written

MOST_BYTES_HERE = 4 * 2**30
"""Largest size of changed files that this process compares; Spark compares larger ones."""


class SparkEngine(
    RehearsingEngine,
    WatchingEngine,
    RetryingEngine,
    VersionedEngine,
    ComparingEngine,
    FingerprintingEngine,
    DiffingEngine,
    ListingEngine,
    ConvertingEngine,
):
    """The `TableEngine` of Spark: tables are Delta tables below *lake*.

    Args:
        connect: returns the session; called once, on first use.
        lake: the lake with the tables.
        spelled: tables from other writers, such as the run log, in the usual spelling, because Sail's
            names are case-sensitive.
        storage_options: delta-rs's options for the lake; None if only Spark reaches it.
    """

    name = "spark"
    location_options: LocationOptions = {}  # noqa: RUF012  replaced, never changed
    """Storage options by URL prefix, for files that pandas reads; Spark has its own in its settings."""
    project_folder: Path | None = None
    """Folder with the project's modules, whose functions a remote session's workers need by value."""

    def __init__(
        self,
        connect: Callable[[], Connection],
        lake: Lake,
        spelled: Sequence[str] = (),
        storage_options: Mapping[str, str] | None = None,
    ) -> None:
        self._connect = connect
        self._storage_options = storage_options
        self._lake = lake
        self._spelled = tuple(spelled)
        self._lock = threading.RLock()
        self._connection: Connection | None = None
        self._own = ""
        self._catalog: SparkCatalog | None = None
        self._cache: SparkCache | None = None
        self._appends = Appends()
        self._ids: dict[str, str] = {}
        self._counts: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()

    @property
    def connection(self) -> Connection:
        """The session with its kind and origin; the first access opens it."""
        with self._lock:
            if self._connection is None:
                connection = self._connect()
                _check_lake(connection, self._lake)
                self._own = spark_names.own_catalog(connection.spark)
                if isinstance(self._lake, CatalogLake) and self._lake.catalog:
                    spark_names.check_catalog(connection.spark, self._lake.catalog)
                self._catalog = SparkCatalog(connection, self._lake)
                self._show_all(self._catalog)
                self._cache = SparkCache(connection)
                self._connection = connection
            return self._connection

    @property
    def catalog(self) -> SparkCatalog:
        """The session's catalog, which maps names to tables."""
        _ = self.connection
        assert self._catalog is not None
        return self._catalog

    @property
    def cached(self) -> SparkCache:
        """The tables that are cached in the cluster's memory."""
        _ = self.connection
        assert self._cache is not None
        return self._cache

    @property
    def cannot_cache(self) -> str:
        """The reason why tables cannot be cached: Spark Connect does not guarantee to keep them.

        It is "" before a session exists, because reading this property must not start one.
        """
        connection = self._connection
        if connection is None or not connection.is_connect:
            return ""
        kind = "Sail" if connection.kind == SAIL else "Spark Connect"
        return f"{kind} does not keep cached tables"

    def spark_session(self) -> Any:
        return self.connection.spark

    @contextlib.contextmanager
    def attempt_scope(
        self, info: WriteInfo, tables: Sequence[str], control: AttemptControl
    ) -> Iterator[None]:
        """Add the row's tables to the catalog, and cancel its jobs when *control* is revoked."""
        connection, spark = self.connection, self.connection.spark
        jobs = ConnectJobs(spark, info) if connection.is_connect else ClassicJobs(spark, info)
        with (
            attempt_scope(jobs, control, self._why_lost),
            spark_names.borrowed(spark, self._home, self),
        ):
            self.catalog.show(tables)
            self.cached.forget_changed()
            if self.project_folder is not None and workers_lack_the_folder(connection):
                send_by_value(self.project_folder)
            yield

    def _why_lost(self, error: BaseException) -> str | None:
        lost = why_lost(self.connection, error)
        if lost is not None:
            forget(self.connection)
        return lost

    @property
    def _home(self) -> str:
        """The catalog in which SQL finds the lake's tables; empty if SQL cannot find them by name."""
        if isinstance(self._lake, CatalogLake):
            return self._lake.catalog or self._own
        return self.catalog.name

    def read(self, table: TableName) -> Any:
        """Return all of *table* as a DataFrame, which Spark reads on the first action."""
        target = self._target(table)
        if self._lake.has(table) is False:
            raise self._lake.not_found(table)
        try:
            frame = target.frame()
            frame.schema  # noqa: B018  Connect resolves the table only now
        except Exception as exc:
            if is_no_table(exc):
                raise self._lake.not_found(table) from exc
            raise DataError(f"{table}: cannot be read: {reason(exc)}") from exc
        return self._counted(frame, target)

    def _counted(self, frame: Any, target: DeltaTarget, version: int | None = None) -> Any:
        rows = spark_writes.rows_in_table(target, version)
        if rows is not None:
            self._counts[frame] = rows
        return frame

    @property
    def _file_options(self) -> Mapping[str, str] | None:
        """delta-rs's options for the files of the lake's tables; None if only Spark reaches them."""
        if isinstance(self._lake, CatalogLake):
            return None
        return {} if self._lake.is_local else self._storage_options

    def versions(self, tables: Sequence[TableName]) -> dict[str, TableVersion]:
        found: dict[str, TableVersion] = {}
        if (options := self._file_options) is not None:
            found = delta_versions.newest_versions(tables, self._lake.uri, options)
            if self._lake.is_local:  # needs no session
                return found
        tables = [table for table in tables if table.key not in found]
        targets = {table.key: self._target(table) for table in tables}
        return {**found, **spark_versions.newest_versions(targets)}

    def committed_at(self, table: TableName, version: int) -> dt.datetime | None:
        if not self._lake.is_local:
            return None
        return delta_versions.committed_at(self._lake.uri(table), version)

    def commits(self, table: TableName, *, down_to: int = 0) -> list[TableCommit]:
        if (options := self._file_options) is not None:
            return delta_versions.commits_of(self._lake.uri(table), table.key, options, down_to)
        if not self.exists(table):
            return []
        return spark_versions.commits_of(self._target(table), table.key, down_to)

    def read_version(self, table: TableName, version: int) -> Any:
        if self._lake.has(table) is False:
            raise self._lake.not_found(table)
        target = self._target(table)
        try:
            frame = target.frame(version)
            frame.schema  # noqa: B018  Connect resolves the table only now
        except Exception as exc:
            if self._schema(target, table) is None:
                raise self._lake.not_found(table) from exc
            raise DataError(f"{table}: version {version} cannot be read: {reason(exc)}") from exc
        return self._counted(frame, target, version)

    def query_versions(self, sql: str, versions: Mapping[str, int]) -> Any:
        full, unmarked = spark_query.at_versions(sql, versions)
        lost = sorted(unmarked & set(versions))
        if lost:
            raise DataError(
                f"the query cannot read {', '.join(lost)} at a given version: it names a version "
                f"itself, or cannot be parsed - in: {shown_sql(sql)}"
            )
        return self._queried(sql, full)

    def read_newest(self, table: TableName) -> tuple[Any, TableVersion | None]:
        newest = self._newest_for_read(table)
        if newest is not None:
            with contextlib.suppress(DataError):  # Databricks: not with row filters and masks
                return self.read_version(table, newest.version), newest
        return self.read(table), None

    def query_newest(
        self, sql: str, versions: Mapping[str, int]
    ) -> tuple[Any, tuple[TableVersion | UnversionedTable, ...]]:
        tables = self._tables_of(sql)
        found = {table.key: self._newest_for_read(table) for table in tables}
        pinned = {
            key: versions.get(key, newest.version)
            for key, newest in found.items()
            if newest is not None
        }
        full, unmarked = spark_query.at_versions(sql, pinned)
        try:
            frame = self._queried(sql, full)
        except DataError:
            if full == sql or not versions.keys().isdisjoint(found):
                raise
            # Nothing but the versions may be the cause; else this raises for the row's own text.
            frame, unmarked = self._queried(sql, sql), frozenset(found)
        return frame, tuple(
            UnversionedTable(table=key)
            if newest is None or key in unmarked
            else TableVersion(table=key, version=pinned[key], table_id=newest.table_id)
            for key, newest in found.items()
        )

    def _tables_of(self, sql: str) -> list[TableName]:
        """Return the tables of the lake that the query *sql* names, without temporary views."""
        names = [TableName.parse(name) for name in spark_query.lake_tables(sql, self._lake)]
        distinct = {table.key: table for table in names}
        return [
            table
            for table in distinct.values()
            if len(table.parts) > 1 or not self._is_temporary(table.parts[0])
        ]

    def _newest_for_read(self, table: TableName) -> TableVersion | None:
        """Return the newest version of *table* as fast as possible; None if it is not known."""
        if not isinstance(self._lake, CatalogLake):
            return self.versions([table]).get(table.key)
        target = self._target(table)
        number = spark_versions.newest_number(target)
        if number is None:
            return None
        table_id = self._id_of(target, table)
        return TableVersion(table=table.key, version=number, table_id=table_id)

    def _id_of(self, target: DeltaTarget, table: TableName) -> str:
        # An outdated id can only make equal data look different.
        if table.key not in self._ids:
            self._ids[table.key] = spark_versions.id_of(target)
        return self._ids[table.key]

    def query(self, sql: str) -> Any:
        """Return a DataFrame of one SELECT (Spark's SQL) over the lake's tables."""
        return self._queried(sql, sql)

    def _queried(self, sql: str, full: str) -> Any:
        """Run *full*, which is *sql* with versions; messages keep the row's own text."""
        is_sail = self.connection.kind == SAIL
        shown = spark_query.checked(sql, None if is_sail else self._lake)
        self.catalog.show(spark_query.lake_tables(sql, self._lake))
        spark, home = self.connection.spark, self._home
        try:
            if home and not is_sail:  # Sail's own catalog is always current
                full = spark_query.in_catalog(full, home, self._is_temporary)
            with spark_names.borrowed(spark, home, self):
                frame = spark.sql(full)
                frame.schema  # noqa: B018  Connect analyzes the query only now
        except OdibiError:
            raise
        except Exception as exc:
            missing = missing_table(exc)
            if missing is not None:
                raise self._lake.not_found(spark_query.in_full(missing, sql)) from exc
            raise DataError(f"the query failed: {reason(exc)} - in: {shown}") from exc
        return frame

    def _is_temporary(self, name: str) -> bool:
        with contextlib.suppress(Exception):  # the name is not a table or view
            return bool(self.connection.spark.catalog.getTable(backticked(name)).isTemporary)
        return False

    def shadowed(self) -> list[str]:
        """Return a message for each table of the lake whose name belongs to another lake's table in the catalog.

        Queries of the engine are refused there. The session's own ``spark.sql`` reads the other table.
        """
        if self._catalog is None:
            return []
        with contextlib.suppress(Exception):  # a session that has ended reads no table
            self._show_all(self._catalog)
        return [f"spark.sql and spark.table read another table: {x}" for x in self._catalog.foreign]

    def _show_all(self, catalog: SparkCatalog) -> None:
        catalog.show_all()
        with contextlib.suppress(Exception):  # a query that names the table raises the error
            catalog.show(name for name in self._spelled if self._lake.has(TableName.parse(name)))

    def read_file(
        self,
        location: str,
        *,
        format: str,
        schema: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        """Read a file, folder, glob or Delta table; see `odibi_nb.engines.spark.files.read_file`."""
        storage_options = options_of(location, self.location_options)
        return spark_files.read_file(
            self.connection, location, format, schema, options, storage_options
        )

    def fingerprint(self, location: str) -> FileRead:
        options = options_of(location, self.location_options)
        if "://" in location and not options:  # only Spark has credentials, and it shows no times
            return FileRead(file=redact_url(location))
        return fingerprint(location, options)

    def write(self, frame: Any, output: Output, info: WriteInfo) -> int | None:
        table = TableName.parse(output.table)
        target = self._target(table)
        spark = self.connection.spark
        frame = storable(frame, output.table, spark.conf.get("spark.sql.session.timeZone"))
        request = Request(output=output, info=info)
        if target.path is None and not self.exists(table):
            make_schema(spark, target.identifier)
        with self._changing(target), in_microseconds(self.connection):
            written = spark_writes.write(
                target, frame, lambda: self._schema(target, table), request, self._appends
            )
        self._tell(written, target, table, request)
        self.catalog.show([output.table])
        return written.rows

    @contextlib.contextmanager
    def _changing(self, target: DeltaTarget) -> Iterator[None]:
        """Hold the table's write lock for the block, and then remove the table from the cache."""
        with write_lock(target.key):
            try:
                yield
            finally:
                self.cached.forget(target.key)

    def _tell(
        self, written: Written, target: DeltaTarget, table: TableName, request: Request
    ) -> None:
        """Report the version of its commit to the attempt."""
        table_id = ""
        if written.version is not None:
            newest = self.versions([table]).get(table.key) if self._lake.is_local else None
            table_id = newest.table_id if newest is not None else self._id_of(target, table)
        request.wrote(written.version, written.previous, written.rows, table_id, written.counts)

    def same_content(self, frame: Any, output: Output) -> tuple[TableVersion | None, str]:
        """Compare the rows with the table's newest version; see `ComparingEngine`.

        Spark computes *frame* once here and once more for the write. The two results can differ, so the
        write does not store this hash.
        """
        table = TableName.parse(output.table)
        newest = self.versions([table]).get(table.key)
        target = self._target(table)
        if newest is None or not spark_writes.is_partitioned_by(target, output):
            return None, ""
        time_zone = self.connection.spark.conf.get("spark.sql.session.timeZone")
        frame = storable(frame, output.table, time_zone)
        with in_microseconds(self.connection):
            fitted = spark_rehearsal.fitted(target, frame, output, self._schema(target, table))
            same = same_rows(fitted, self.read_version(table, newest.version))
        return (newest if same else None), ""

    def take_back(self, output: Output, info: WriteInfo) -> None:
        table = TableName.parse(output.table)
        target = self._target(table)
        if self._appends.is_alone(target.key, info) or not self.exists(table):
            return
        with self._changing(target):
            without_earlier(target, info, self._appends)

    def outlook(self, table: TableName, version: int, *, restores: int) -> Outlook:
        place = self._restored_by_delta_rs(table)
        if place is not None:
            return delta_restore.outlook(*place, version, restores=restores)
        return spark_restore.outlook(self._target(table), restores=restores)

    def restore(self, table: TableName, restores: int, info: WriteInfo, *, expected: int) -> int:
        """Restore *table*, and return the new version's number.

        delta-rs restores it in one conditional commit if it can. If only the session can, the condition
        is checked before and after: see `odibi_nb.engines.spark.restore`.

        Raises:
            DataError: if the table was changed since version *expected*, or cannot be restored.
            RevokedError: if the attempt has been revoked.
        """
        place = self._restored_by_delta_rs(table)
        target = self._target(table)
        with self._changing(target):
            if place is not None:
                return delta_restore.restore(*place, info, restores=restores, expected=expected)
            return spark_restore.restore(target, info, restores=restores, expected=expected)

    def drop(self, table: TableName, *, expected: int) -> None:
        target = self._target(table)
        with write_lock(target.key):
            if target.path is None:
                spark_restore.drop(target, expected=expected)
            else:
                delta_restore.drop(target.path, str(table), expected=expected)
                self.catalog.hide(table)
            self.cached.forget(target.key)

    def _restored_by_delta_rs(self, table: TableName) -> tuple[str, str, dict[str, str]] | None:
        """Return place, name and options of a table that delta-rs can restore; None for any other table."""
        options = self._file_options
        if options is None:
            return None
        place = self._lake.uri(table), str(table), dict(options)
        if self.connection.kind == SAIL:
            return place
        with contextlib.suppress(Exception):  # Spark may read a table that delta-rs cannot open
            found = open_table(*place)
            return place if found is None or not delta_restore.beyond_delta_rs(found) else None
        return None

    def exists(self, table: TableName) -> bool:
        return self._schema(self._target(table), table) is not None

    def check_writable(self) -> None:
        """Check that a local lake can be written, and start the session if necessary."""
        self._lake.check_writable()
        _ = self.connection

    def is_frame(self, value: object) -> bool:
        """Return True for a Spark DataFrame of any kind of session, and for a pandas or Arrow table."""
        return is_spark(value) or is_pandas(value) or is_arrow(value)

    def native(self, frame: Any, name: str) -> Any:
        if is_spark(frame):
            return frame
        frame = from_arrow_exactly(frame, name) if is_arrow(frame) else frame
        data = to_arrow(frame, name)
        try:
            return to_spark(self.connection.spark, data)
        except Exception as exc:
            raise DataError(f"{name}: Spark cannot hold it: {reason(exc)}") from exc

    def tables(self) -> list[TableName]:
        return self._lake.table_names()

    def watch(self, tables: Sequence[TableName]) -> Watch:
        return self._lake.watch(tables, self._newest_commit)

    def _newest_commit(self, table: TableName) -> tuple[float, float] | Change:
        """Return the times of the newest commit and of now; a Change for views and other formats."""
        try:
            found = spark_writes.newest_commit(self._target(table))
            if found is None and not self.exists(table):
                return Change.ABSENT
        except Exception:  # noqa: BLE001  the next read of the table raises with the cause
            found = None
        return Change.UNKNOWN if found is None else found

    def row_count(self, frame: Any) -> int | None:
        """Return the number of rows of *frame* if it is known; None if Spark would have to count them."""
        return self._counts.get(frame)

    def schema(self, frame: Any) -> dict[str, str]:
        """Map each column to the name of its type."""
        return types_of(frame.schema)

    def measure(self, frame: Any, rules: Sequence[Rule]) -> list[Measure]:
        return spark_checks.measure(frame, rules)

    def split(self, frame: Any, rules: Sequence[Rule]) -> tuple[Any, Any]:
        return spark_checks.split(frame, rules)

    def cache(self, table: TableName, *, keep: bool = False) -> None:
        """Cache *table* in the cluster's memory until a write to it; without *keep*, at most until `close`."""
        self.read(table)
        target = self._target(table)
        with write_lock(target.key):
            self.cached.keep(target, stays=keep)

    def read_portion(self, table: TableName, portion: Portion) -> Any:
        """Read *portion* of *table* immediately; a limit ends the read early.

        Raises:
            TableNotFoundError: if the table does not exist.
            DataError: if the table cannot be read.
        """
        frame = self.read(table)
        try:
            return self.take(frame, portion)
        except Exception as exc:
            raise DataError(f"{table}: cannot be read: {reason(exc)}") from exc

    def take(self, frame: Any, portion: Portion) -> Any:
        """Compute *portion* of *frame* immediately; return *frame* itself if the portion is everything."""
        return self._kept(spark_rehearsal.take(frame, portion)) if portion else frame

    def prepared(self, frame: Any, output: Output) -> Any:
        """Compute *frame* immediately, and return it with the columns and types of *output*'s table."""
        table = TableName.parse(output.table)
        target = self._target(table)
        fitted = spark_rehearsal.fitted(target, frame, output, self._schema(target, table))
        found = self._kept(fitted)
        if found is fitted:  # nothing was computed yet: raise errors of the plan now, not later
            spark_rehearsal.compute(fitted)
        if output.mode == "merge":
            spark_writes.check_unique(found, output)
        return found

    def _kept(self, frame: Any) -> Any:
        kept = spark_rehearsal.kept(self.connection, frame)
        if kept is not frame:
            self._counts[kept] = int(kept.count())
        return kept

    def combined(self, before: Any, frame: Any, output: Output) -> Any:
        return spark_rehearsal.combined(before, frame, output)

    def changes(self, frame: Any, output: Output, *, partial: bool) -> TableChange:
        table = TableName.parse(output.table)
        target = self._target(table)
        schema = self._schema(target, table)
        return spark_rehearsal.changes(target, frame, output, schema, partial=partial)

    def diff(
        self, before: TableAt | None, after: TableAt | None, keys: Sequence[str] = ()
    ) -> TableDiff:
        """Return the differences between two versions, or tables of two lakes; see `DiffingEngine`.

        If delta-rs reaches the files, and few of them changed, DuckDB compares them here. Otherwise
        Spark reads both sides.
        """
        found = self._diff_here(before, after, keys)
        if found is not None:
            return found
        one = after or before
        assert one is not None
        frames = self._frame_at(before), self._frame_at(after)
        versions = before.version if before else None, after.version if after else None
        return spark_diff.diff(self.connection, str(one.table), frames, versions, keys)

    def _diff_here(
        self, before: TableAt | None, after: TableAt | None, keys: Sequence[str]
    ) -> TableDiff | None:
        """Compare the files in this process; return None if Spark should compare the versions."""
        try:
            check_installed("comparing versions", "pandas", "duckdb", "deltalake", "pyarrow")
            sides = version_diff.sides_of(before, after)
        except TableNotFoundError:
            raise
        except (EngineNotAvailableError, DataError):
            return None
        parts = version_diff.unshared_parts(sides)
        if sum(part.size for part in parts if part is not None) > MOST_BYTES_HERE:
            return None
        try:
            return version_diff.diff(sides, parts, keys)
        except DataError as exc:  # such as a Delta feature that delta-rs does not know
            if version_diff.FILES_GONE in str(exc):  # Spark cannot read them, either
                raise
            return None

    def _frame_at(self, at: TableAt | None) -> Any:
        if at is None:
            return None
        engine = getattr(at.engine, "on_session", at.engine)
        if not isinstance(engine, SparkEngine):
            raise DataError(
                f"{at.table}: its environment has another engine: compare both with --engine spark"
            )
        if at.version is None:
            return engine.read(at.table)
        return engine.read_version(at.table, at.version)

    def files_of(self, table: TableName, version: int | None) -> VersionFiles | None:
        """Return the data files of *table* at a version, or at the newest one, read by delta-rs.

        Return None if only Spark reaches them.

        Raises:
            TableNotFoundError: if the table does not exist.
            DataError: if the version cannot be read.
        """
        options = self._file_options
        if options is None:
            return None
        found = files_at(self._lake.uri(table), str(table), version, options)
        if found is None:
            raise self._lake.not_found(table)
        return found

    def details(self, table: TableName) -> TableDetails | None:
        """Read the details of *table* from its Delta log; return None if it does not exist.

        A local table needs no Spark session.
        """
        if self._lake.has(table) is False:
            return None
        log = spark_writes.log_at(self._lake.uri(table)) if self._lake.is_local else None
        if log is not None:
            return delta_details.details(log)
        target = self._target(table)
        schema = self._schema(target, table)
        return None if schema is None else spark_rehearsal.details(target, schema)

    def close(self) -> None:
        """Drop the cached tables of the run; the session stays open for the next run."""
        if self._cache is not None:
            self._cache.end_run()
        if self._connection is not None:
            spark_names.give_back(self._connection.spark, self)
        if self._catalog is not None:
            # Add the tables that pandas rows and the run log have created since.
            self._show_all(self._catalog)

    def _target(self, table: TableName) -> DeltaTarget:
        connection = self.connection
        if isinstance(self._lake, CatalogLake):
            identifier, path = identifier_of(table, self._home), None
        else:
            path = self._lake.uri(table)
            check_path(path)
            identifier = identifier_at(path, self._own)
        return DeltaTarget(connection, str(table), identifier, path, self._storage_options)

    def _schema(self, target: DeltaTarget, table: TableName) -> Any:
        """Return the table's schema, or None if it does not exist."""
        if self._lake.has(table) is False:
            return None
        try:
            return target.frame().schema
        except Exception as exc:
            if is_no_table(exc):
                return None
            raise DataError(f"{table}: cannot be checked: {reason(exc)}") from exc


def _check_lake(connection: Connection, lake: Lake) -> None:
    """Raise DataError for a lake that the session could not reach, or would look for elsewhere."""
    root = lake.root
    kind = find_compute().kind
    if kind in {Kind.SERVERLESS, Kind.CONNECT} and not connection.own and lake.is_local:
        raise DataError(
            f"lake {root}: is a folder of this machine, which the Spark of {str(find_compute()).split(',')[0]} "
            "cannot reach: name a catalog ('catalog:main'), a volume with the engine pandas, or a URL"
        )
    if connection.kind == SAIL and isinstance(lake, CatalogLake):
        raise DataError(
            "lake 'catalog': Sail's catalog ends with the session: choose a folder or URL for 'lake', or "
            "another Spark"
        )
    if connection.kind == SAIL and lake.is_local and Path(root).as_uri() != f"file://{root}":
        raise DataError(
            f"lake {root}: Sail cannot keep tables in a path with blanks or characters that URLs do "
            "not have: choose another 'lake', or another Spark"
        )
