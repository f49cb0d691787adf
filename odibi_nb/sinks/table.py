"""The run log in two tables of the lake, of a Spark session's catalog, or of a database."""

from __future__ import annotations

import contextlib
import math
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from odibi_nb.core.model.log_columns import OUTCOME_COLUMNS, RECORD_COLUMNS, RUN_COLUMNS, RUN_TABLE
from odibi_nb.core.model.reserved_places import log_tables
from odibi_nb.core.model.tables import redact_url
from odibi_nb.core.protocols import BaseLogSink
from odibi_nb.errors import TableNotFoundError
from odibi_nb.storage.row_table import RowQuery
from odibi_nb.storage.row_values import restored_rows, stored_rows

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from odibi_nb.core.protocols import Measures, Row
    from odibi_nb.storage.row_table import RowTable
    from odibi_nb.storage.row_values import Columns

_RECORD_KEY = ("run_id", "transformation_id", "attempt")
_MEASURED = (("duration_seconds", "double"), ("rows_out", "int"))
_KEY_COLUMNS = tuple(column for column in RECORD_COLUMNS if column[0] in _RECORD_KEY)
# Their sum is below SQL Server's limit for an index, 900 bytes.
KEY_LENGTHS = {"run_id": 100, "transformation_id": 255}
MANY_BATCHES = 8
"""Number of batches after which a run looks at its tables' files again."""


class TableLogSink(BaseLogSink):
    """A table of attempts, and beside it a table of runs.

    Every write is one commit. The first record creates the tables. A write adds missing
    columns, as in the seed's table. Columns of other types keep their types. If a table cannot be read or
    written, a method raises DataError and the table is unchanged. If the library for the tables is not
    installed, it raises EngineNotAvailableError.
    """

    def __init__(self, log: RowTable, runs: RowTable, name: str, *, in_lake: bool = False) -> None:
        """Store the arguments. Nothing is read or written yet.

        Args:
            log: the attempts' table.
            runs: the runs' table.
            name: the name of both in messages.
            in_lake: True if the tables are in the lake. Two threads may write them at the same time.
        """
        self.name = name
        self.in_lake = in_lake
        self._log = log
        self._runs = runs
        self._batches: int | None = None  # since this run looked at the files; None: it has not
        self._newest = 0
        """The greatest run number that `runs` has read last: a counter that all writers of the tables share."""

    def write(self, records: list[Row]) -> None:
        """Append *records* in one commit. After the first batch of a run, compact the tables if that is due.

        Listing the files takes a while, through Spark a job for each table. After the first batch, other rows
        usually still run, so nothing waits for the compaction. At the end of the run, the user would wait.
        """
        if not records:
            return
        self._log.append(stored_rows(records, RECORD_COLUMNS), RECORD_COLUMNS)
        if self._batches is None:
            self._compact()
        else:
            self._batches += 1

    def write_run(self, record: Row) -> None:
        """Append the record of a run that ended. Compact the tables, unless the run has done so and wrote little afterwards."""
        self._runs.append(stored_rows([record], RUN_COLUMNS), RUN_COLUMNS)
        self._end_run()

    def write_last(self, records: list[Row], run_record: Row) -> bool:
        """Append the last batch and the run's record in two commits at the same time, if the tables allow it."""
        if not (records and self.in_lake):
            return False
        with ThreadPoolExecutor(1, "odibi-run-log-runs") as thread:
            runs = stored_rows([run_record], RUN_COLUMNS)
            second = thread.submit(self._runs.append, runs, RUN_COLUMNS)
            self._log.append(stored_rows(records, RECORD_COLUMNS), RECORD_COLUMNS)
            second.result()
        self._end_run()
        return True

    def _end_run(self) -> None:
        many = (self._batches or 0) >= MANY_BATCHES
        if self._batches is None or many:
            self._compact(in_any_case=many)
        self._batches = None

    def _compact(self, *, in_any_case: bool = False) -> None:
        for table in (self._log, self._runs):
            if in_any_case or self._newest % table.compacted_every == 0:
                table.compact()
        self._batches = 0

    def written(self, run_id: str) -> set[tuple[str, int]]:
        rows = self._records({"run_id": [run_id]}, _KEY_COLUMNS)
        return {(row["transformation_id"], row["attempt"] or 0) for row in rows}

    def runs(self, limit: int) -> list[Row]:
        # Runs of a table of an older version have no number, and come after all runs that have one.
        newest = RowQuery(
            order=("run_number", "start_time", "run_id"), descending=True, limit=limit
        )
        rows = restored_rows(self._runs.existing_rows(RUN_COLUMNS, newest), RUN_COLUMNS)
        self._newest = max((row.get("run_number") or 0 for row in rows), default=0)
        return [row for row in rows if row["run_id"]]  # a foreign table of this name lacks ids

    def has_run(self, run_id: str) -> bool:
        query = RowQuery(equal={"run_id": [run_id]})
        return bool(self._runs.existing_rows([("run_id", "string")], query))

    def attempts(self, run_ids: Sequence[str]) -> list[Row]:
        return sorted(self._records({"run_id": run_ids}, RECORD_COLUMNS), key=_age)

    def outcomes(self, run_ids: Sequence[str]) -> list[Row]:
        return sorted(self._records({"run_id": run_ids}, OUTCOME_COLUMNS), key=_age)

    def measures(self, run_ids: Sequence[str]) -> list[Measures]:
        if not run_ids:
            return []
        successes = {"run_id": run_ids, "status": ["SUCCESS"]}
        with contextlib.suppress(TableNotFoundError):
            found = self._log.grouped("transformation_id", _MEASURED, successes)
            return [(name, seconds, rows) for name, (seconds, rows) in found]
        return []

    def successes(self, project: str, env: str, names: Collection[str]) -> list[Row]:
        """Return the records of all successes of the transformations *names*, oldest first."""
        equal = {
            "transformation_id": sorted(names),
            "project": [project],
            "env": [env],
            "status": ["SUCCESS"],
        }
        return sorted(self._records(equal, RECORD_COLUMNS), key=_age)

    def _records(self, equal: Mapping[str, Sequence[str]], columns: Columns) -> list[Row]:
        """Return the records that `RowQuery.equal` chooses; none if a column has no texts."""
        if not all(equal.values()):
            return []
        return restored_rows(self._log.existing_rows(columns, RowQuery(equal=equal)), columns)


def log_in_lake(
    lake: str,
    table: str = "config_driven.TransformationRunLog",
    storage_options: Mapping[str, str] | None = None,
) -> TableLogSink:
    """Return the run log in Delta tables that delta-rs can reach.

    Args:
        lake: root folder or URL of the lake.
        table: the attempts' table; its schema is a folder of the lake, as in the engines.
        storage_options: for *lake*, in the form that its storage expects.

    Raises:
        DataError: if *table* is not a valid table name.
    """
    from odibi_nb.storage.delta_table import DeltaRowTable

    log, runs = log_tables(table)
    name = f"{log} in {redact_url(lake)}"

    def stored(path: str) -> DeltaRowTable:
        uri = f"{lake.rstrip('/')}/{path}"
        return DeltaRowTable(uri, storage_options, f"run log {name}", keep_open=True)

    return TableLogSink(stored(log.path), stored(runs.path), name, in_lake=True)


def log_in_database(
    url: str,
    table: str = "TransformationRunLog",
    schema: str | None = None,
    folder: Path | None = None,
    timeout: float = 5.0,
) -> TableLogSink:
    """Return the run log in a database. A record or run that exists already is not written again.

    Args:
        url: an SQLAlchemy URL.
        table: the attempts' table; the table of runs is always ``TransformationRun``.
        schema: the schema of both tables, if it is not the connection's own.
        folder: start of a relative path of an SQLite file: the manifest's folder.
        timeout: seconds to wait for a locked SQLite file, or for a server to answer.
    """
    from odibi_nb.storage.database import Database
    from odibi_nb.storage.sql_table import SqlLayout, SqlRowTable

    database = Database(url, folder, timeout)
    name = f"{table} in {database.shown}"

    def stored(table_name: str, key: tuple[str, ...]) -> SqlRowTable:
        layout = SqlLayout(key=key, lengths=KEY_LENGTHS)
        return SqlRowTable(database, table_name, schema, layout, f"run log {name}")

    return TableLogSink(stored(table, _RECORD_KEY), stored(RUN_TABLE, ("run_id",)), name)


def _age(record: Row) -> tuple[float, str, int]:
    """Return a sort key that orders records by their start, with records without a start last."""
    start = record["start_time"]
    seconds = math.inf if start is None else start.timestamp()
    return seconds, record["transformation_id"] or "", record["attempt"] or 0
