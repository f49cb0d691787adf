"""The run log in Delta tables, written by delta-rs."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

import tenacity

from odibi_nb.core.model.log_columns import RECORD_COLUMNS, RUN_COLUMNS
from odibi_nb.core.model.reserved_places import log_tables
from odibi_nb.core.model.tables import redact_url
from odibi_nb.core.protocols import BaseLogSink
from odibi_nb.errors import DataError, EngineNotAvailableError
from odibi_nb.storage.delta_upkeep import checkpoint, compact
from odibi_nb.storage.row_values import restored_rows, stored_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from odibi_nb.core.protocols import Row
    from odibi_nb.storage.row_values import Columns

COMMIT_TRIES = 50
SCHEMA_TRIES = 10

_logger = logging.getLogger(__name__)


class DeltaLogSink(BaseLogSink):
    """A Delta table of attempts, and beside it the table ``TransformationRun`` of runs.

    Every write is one commit. A table that lacks columns, such as the seed's, is widened; one
    whose columns have other types keeps them. When a run ends, many small files become one, so that
    reading stays fast.
    """

    def __init__(
        self,
        lake: str,
        table: str = "config_driven.TransformationRunLog",
        storage_options: dict[str, str] | None = None,
    ) -> None:
        """Nothing is read or written yet.

        Args:
            lake: root folder or URL of the lake.
            table: the attempts' table; a schema stands for a folder, as in the engines.
            storage_options: for *lake*, as its storage wants them.

        Raises:
            DataError: if *table* is not a table's name.
        """
        log, runs = log_tables(table)
        self.name = f"{log} in {redact_url(lake)}"
        self._log = f"{lake.rstrip('/')}/{log.path}"
        self._runs = f"{lake.rstrip('/')}/{runs.path}"
        self._options = storage_options
        self._tables: dict[str, Any] = {}

    def write(self, records: list[Row]) -> None:
        """Append *records* in one commit.

        Raises:
            DataError: if the table cannot take them; it is as it was.
        """
        if records:
            self._append(self._log, records, RECORD_COLUMNS)

    def write_run(self, record: Row) -> None:
        """Append the record of a run that ended, and compact both tables if that is due.

        Raises:
            DataError: if the table cannot take it; it is as it was.
        """
        self._append(self._runs, [record], RUN_COLUMNS)
        for uri in (self._log, self._runs):
            self._compact(uri)

    def written(self, run_id: str) -> set[tuple[str, int]]:
        """(transformation_id, attempt) that the table has of *run_id*.

        Raises:
            DataError: if the table cannot be read.
        """
        key: Columns = (("transformation_id", "string"), ("attempt", "int"))
        rows = self._select(self._log, key, ("run_id", [run_id]))
        return {(row["transformation_id"], row["attempt"] or 0) for row in rows}

    def runs(self, limit: int) -> list[Row]:
        """The newest *limit* runs, newest first; none while there is no table.

        Raises:
            DataError: if the table cannot be read.
        """
        newest = f'"start_time" DESC, "run_id" DESC LIMIT {int(limit)}'
        with self._clear("read"):
            table = self._open(self._runs)
        if table is not None and "run_number" in {field.name for field in table.schema().fields}:
            newest = f'coalesce("run_number", 0) DESC, {newest}'
        return self._select(self._runs, RUN_COLUMNS, tail=f"ORDER BY {newest}")

    def attempts(self, run_ids: Sequence[str]) -> list[Row]:
        """The records of the given runs, oldest first; none while there is no table.

        Raises:
            DataError: if the table cannot be read.
        """
        if not run_ids:
            return []
        order = 'ORDER BY "start_time", "transformation_id", "attempt"'
        return self._select(self._log, RECORD_COLUMNS, ("run_id", run_ids), order)

    def durations(self, run_ids: Sequence[str]) -> list[tuple[str, float]]:
        """(transformation_id, median seconds of its successes in these runs).

        Raises:
            DataError: if the table cannot be read.
        """
        with self._clear("read"):
            table = self._open(self._log)
            if table is None or not run_ids:
                return []
            from deltalake import QueryBuilder

            query = (
                "SELECT transformation_id, median(duration_seconds) FROM log"
                f" WHERE run_id IN ({', '.join(map(_literal, run_ids))}) AND status = 'SUCCESS'"
                " GROUP BY transformation_id"
            )
            found = QueryBuilder().register("log", table).execute(query).read_all()
            return list(zip(*(column.to_pylist() for column in found.columns), strict=True))

    def _append(self, uri: str, records: list[Row], columns: Columns) -> None:
        with self._clear("written"):
            rows = stored_rows(records, columns)
            for attempt in tenacity.Retrying(
                stop=tenacity.stop_after_attempt(SCHEMA_TRIES),
                wait=tenacity.wait_random_exponential(multiplier=0.05, max=1),
                retry=tenacity.retry_if_exception(_came_second),
                reraise=True,
            ):
                with attempt:
                    self._append_once(uri, rows, columns)

    def _append_once(self, uri: str, rows: list[Row], columns: Columns) -> None:
        from deltalake import CommitProperties, write_deltalake

        table = self._open(uri)
        before = table.version() if table is not None else 0
        write_deltalake(
            uri if table is None else table,
            _arrow_table(rows, columns, table),
            mode="append",
            schema_mode="merge",
            storage_options=self._options,
            commit_properties=CommitProperties(max_commit_retries=COMMIT_TRIES),
        )
        if table is not None:
            checkpoint(table, before)

    def _compact(self, uri: str) -> None:
        """Make one of many small files; a failure leaves the table as it was, and is only logged."""
        try:
            with self._clear("compacted"):
                table = self._open(uri)
                if table is not None:
                    compact(table)
        except DataError:
            _logger.warning("the run log could not be compacted, but it is whole", exc_info=True)

    def _open(self, uri: str) -> Any:
        """The DeltaTable at *uri*, or None if there is none."""
        from deltalake import DeltaTable
        from deltalake.exceptions import TableNotFoundError

        # Reading a table's log takes long; a table that was opened before only reads what is new.
        table = self._tables.pop(uri, None)
        try:
            if table is None:
                table = DeltaTable(uri, storage_options=self._options)
            else:
                table.update_incremental()
        except TableNotFoundError:
            return None
        self._tables[uri] = table
        return table

    def _select(
        self,
        uri: str,
        columns: Columns,
        only: tuple[str, Sequence[str]] | None = None,
        tail: str = "",
    ) -> list[Row]:
        """*columns* of the rows in which a column has one of some values; missing columns are None."""
        with self._clear("read"):
            table = self._open(uri)
            if table is None:
                return []
            from deltalake import QueryBuilder

            known = {field.name for field in table.schema().fields}
            names = [name for name, _ in columns if name in known]
            where = ""
            if only is not None:
                column, values = only
                if column not in known:
                    return []
                where = f'WHERE "{column}" IN ({", ".join(map(_literal, values))})'
            wanted = ", ".join(f'"{name}"' for name in names)
            # Not to_pandas or to_pyarrow_table: a process that ends after those may abort.
            query = QueryBuilder().register("log", table)
            result = query.execute(f"SELECT {wanted} FROM log {where} {tail}").read_all()
            values_of = [column.to_pylist() for column in result.columns]
            rows = [dict(zip(names, row, strict=True)) for row in zip(*values_of, strict=True)]
            return restored_rows(rows, columns)

    @contextlib.contextmanager
    def _clear(self, verb: str) -> Iterator[None]:
        """Turn what the libraries raise into one message."""
        try:
            import pyarrow as pa
            from deltalake.exceptions import DeltaError
        except ImportError as exc:
            raise EngineNotAvailableError(f"the run log {self.name}", "pandas", exc.name) from exc
        try:
            yield
        except BaseException as exc:
            ours = isinstance(exc, (DeltaError, OSError, ValueError, pa.ArrowException))
            # What Rust code panics with is no Exception, and would end the run log's thread.
            if not ours and type(exc).__name__ != "PanicException":
                raise
            reason = " ".join(str(exc).split())[:500]
            raise DataError(f"run log {self.name} cannot be {verb}: {reason}") from exc


def _came_second(exc: BaseException) -> bool:
    """Whether another process made or widened the table meanwhile: then start over."""
    from deltalake.exceptions import CommitFailedError, DeltaError

    made = isinstance(exc, DeltaError) and "already exists" in str(exc)
    return made or isinstance(exc, CommitFailedError)


def _arrow_table(rows: list[Row], columns: Columns, table: Any) -> Any:
    """*rows* with explicit types: the existing table's where it has them, else the record's own."""
    import pyarrow as pa

    kinds = {
        "string": pa.string(),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "double": pa.float64(),
        "int": pa.int64(),
    }
    schema = pa.schema([(name, kinds[kind]) for name, kind in columns])
    arrow = pa.Table.from_pylist(rows, schema=schema)
    if table is None:
        return arrow
    existing = {field.name: field.type for field in pa.schema(table.schema().to_arrow())}
    return arrow.cast(
        pa.schema([(field.name, existing.get(field.name, field.type)) for field in schema])
    )


def _literal(text: str) -> str:
    """An SQL literal; the query engine knows no escape but the doubled quote."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'"
