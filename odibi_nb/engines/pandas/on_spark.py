"""The pandas engine for tables that only a Spark session can reach, as in Unity Catalog.

Tables are read and written through the session as Arrow. The driver holds the whole table in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.core.protocols import (
    DiffingEngine,
    RehearsingEngine,
    VersionedEngine,
    WatchingEngine,
)
from odibi_nb.engines import output_rules
from odibi_nb.engines.pandas import rehearsal as pandas_rehearsal
from odibi_nb.engines.pandas.frames import from_arrow, pyarrow, to_arrow
from odibi_nb.engines.pandas.in_memory import PandasInMemory
from odibi_nb.engines.spark import rehearsal as spark_rehearsal
from odibi_nb.engines.spark.frames import to_spark
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from odibi_nb.core.model.attempt_control import AttemptControl
    from odibi_nb.core.model.provenance import TableCommit, TableVersion, UnversionedTable
    from odibi_nb.core.model.rollback import Outlook
    from odibi_nb.core.model.table_change import TableChange
    from odibi_nb.core.model.table_diff import TableDiff
    from odibi_nb.core.model.tables import TableName
    from odibi_nb.core.model.transformation import Output
    from odibi_nb.core.protocols import Portion, TableAt, TableDetails, Watch, WriteInfo
    from odibi_nb.engines.spark.engine import SparkEngine

MOST_ROWS = 5_000_000
"""Highest number of rows that a read may return, because all users share the driver's memory."""


class PandasOnSpark(
    PandasInMemory, RehearsingEngine, WatchingEngine, VersionedEngine, DiffingEngine
):
    """The `TableEngine` of pandas over the tables of *spark*.

    Each read raises DataError if the rows are too many for the driver, see `MOST_ROWS`.
    """

    cannot_cache = "pandas reads them through Spark each time"

    def __init__(self, spark: SparkEngine) -> None:
        self._spark = spark

    def spark_session(self) -> Any:
        return self._spark.spark_session()

    def attempt_scope(
        self, info: WriteInfo, tables: Sequence[str], control: AttemptControl
    ) -> AbstractContextManager[None]:
        """Return Spark's scope: reads and writes of a revoked attempt are cancelled."""
        return self._spark.attempt_scope(info, tables, control)

    def read(self, table: TableName) -> Any:
        """Return all of *table* as a DataFrame that the caller may change; timestamps are in UTC."""
        return _to_pandas(self._spark.read(table), str(table))

    def query(self, sql: str) -> Any:
        """Run one SELECT (Spark's SQL) over the catalog's tables.

        Raises:
            DataError: if the query is wrong, or its result is too large for the driver.
            TableNotFoundError: if the query names a table that does not exist.
        """
        return _to_pandas(self._spark.query(sql), "the query's result")

    def write(self, frame: Any, output: Output, info: WriteInfo) -> int:
        data = to_arrow(frame, output.table)
        output_rules.check_output(data.column_names, output)
        self._spark.write(to_spark(self.spark_session(), data), output, info)
        return int(data.num_rows)

    def versions(self, tables: Sequence[TableName]) -> dict[str, TableVersion]:
        return self._spark.versions(tables)

    def committed_at(self, table: TableName, version: int) -> dt.datetime | None:
        return self._spark.committed_at(table, version)

    def commits(self, table: TableName, *, down_to: int = 0) -> list[TableCommit]:
        return self._spark.commits(table, down_to=down_to)

    def read_version(self, table: TableName, version: int) -> Any:
        return _to_pandas(self._spark.read_version(table, version), str(table))

    def query_versions(self, sql: str, versions: Mapping[str, int]) -> Any:
        return _to_pandas(self._spark.query_versions(sql, versions), "the query's result")

    def read_newest(self, table: TableName) -> tuple[Any, TableVersion | None]:
        frame, version = self._spark.read_newest(table)
        return _to_pandas(frame, str(table)), version

    def query_newest(
        self, sql: str, versions: Mapping[str, int]
    ) -> tuple[Any, tuple[TableVersion | UnversionedTable, ...]]:
        frame, found = self._spark.query_newest(sql, versions)
        return _to_pandas(frame, "the query's result"), found

    def outlook(self, table: TableName, version: int, *, restores: int) -> Outlook:
        return self._spark.outlook(table, version, restores=restores)

    def restore(self, table: TableName, restores: int, info: WriteInfo, *, expected: int) -> int:
        return self._spark.restore(table, restores, info, expected=expected)

    def drop(self, table: TableName, *, expected: int) -> None:
        self._spark.drop(table, expected=expected)

    def exists(self, table: TableName) -> bool:
        return self._spark.exists(table)

    def watch(self, tables: Sequence[TableName]) -> Watch:
        return self._spark.watch(tables)

    def check_writable(self) -> None:
        """Raise EngineError, with a remedy, if no session is available."""
        self._spark.check_writable()

    def cache(self, table: TableName, *, keep: bool = False) -> None:
        """Cache nothing (see `cannot_cache`); raise TableNotFoundError if *table* does not exist."""
        del keep
        self._spark.read(table)

    def close(self) -> None:
        """Close the Spark engine that this engine uses, which drops its cached tables."""
        self._spark.close()

    def read_portion(self, table: TableName, portion: Portion) -> Any:
        """Read *portion* of *table*; a limit ends the read early."""
        return _to_pandas(spark_rehearsal.take(self._spark.read(table), portion), str(table))

    def take(self, frame: Any, portion: Portion) -> Any:
        return pandas_rehearsal.take(frame, portion)

    def prepared(self, frame: Any, output: Output) -> Any:
        data = to_arrow(frame, output.table)
        output_rules.check_output(data.column_names, output)
        prepared = self._spark.prepared(to_spark(self.spark_session(), data), output)
        return _to_pandas(prepared, output.table)

    def combined(self, before: Any, frame: Any, output: Output) -> Any:
        return pandas_rehearsal.combined(before, frame, output)

    def changes(self, frame: Any, output: Output, *, partial: bool) -> TableChange:
        data = to_spark(self.spark_session(), to_arrow(frame, output.table))
        return self._spark.changes(data, output, partial=partial)

    @property
    def on_session(self) -> SparkEngine:
        """The Spark engine that reads and writes the tables."""
        return self._spark

    def diff(
        self, before: TableAt | None, after: TableAt | None, keys: Sequence[str] = ()
    ) -> TableDiff:
        return self._spark.diff(before, after, keys)

    def details(self, table: TableName) -> TableDetails | None:
        return self._spark.details(table)


def _to_pandas(frame: Any, name: str) -> Any:
    few = frame.limit(MOST_ROWS + 1)
    rows = few.toArrow() if hasattr(few, "toArrow") else _arrow_by_pandas(few)
    if rows.num_rows > MOST_ROWS:
        raise DataError(
            f"{name}: more than {MOST_ROWS:,} rows, too many for pandas on the driver: give the row "
            "the engine 'spark' (constants.engine), or a query that selects fewer"
        )
    return from_arrow(rows, name)


def _arrow_by_pandas(frame: Any) -> Any:
    """Convert a frame of Spark before version 4, whose naive times are in the session's time zone."""
    from pyspark.sql import types

    rows, pa = frame.toPandas(), pyarrow()
    for field in frame.schema.fields:
        if isinstance(field.dataType, types.TimestampType):
            zone = frame.sparkSession.conf.get("spark.sql.session.timeZone")
            rows[field.name] = rows[field.name].dt.tz_localize(zone).dt.tz_convert("UTC")
    return pa.Table.from_pandas(rows, preserve_index=False)
