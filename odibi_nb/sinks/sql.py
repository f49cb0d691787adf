"""The run log in an SQL database, through SQLAlchemy."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.log_columns import RECORD_COLUMNS, RUN_COLUMNS, RUN_TABLE
from odibi_nb.core.protocols import BaseLogSink
from odibi_nb.errors import DataError, TableNotFoundError
from odibi_nb.storage.database import Database, bound, ensure_table, find_table
from odibi_nb.storage.row_values import restored_rows, stored_rows, unique_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import sqlalchemy as sa
    from sqlalchemy.sql.type_api import TypeEngine

    from odibi_nb.core.protocols import Row
    from odibi_nb.storage.database import FoundTable
    from odibi_nb.storage.row_values import Columns

_RECORD_KEY = ("run_id", "transformation_id", "attempt")
_RUN_KEY = ("run_id",)
_IDS_A_QUERY = 500
# Together below SQL Server's limit for an index, 900 bytes.
_KEY_LENGTHS = {"run_id": 100, "transformation_id": 255}


class SqlLogSink(BaseLogSink):
    """A table of attempts, and beside it the table ``TransformationRun`` of runs.

    Tables are made when the first record is written, and widened if they lack columns. A record
    whose run, transformation and attempt are there already is not written again.
    """

    def __init__(
        self,
        url: str,
        table: str = "TransformationRunLog",
        schema: str | None = None,
        folder: Path | None = None,
        timeout: float = 5.0,
    ) -> None:
        """Nothing is connected to yet.

        Args:
            url: an SQLAlchemy URL.
            table: the attempts' table.
            schema: of both tables, where it is not the connection's own.
            folder: where a relative path of an SQLite file starts: the manifest's folder.
            timeout: seconds to wait for a locked SQLite file, or for a server to answer.
        """
        self._database = Database(url, folder, timeout)
        self._table = table
        self._schema = schema
        self.name = f"{table} in {self._database.shown}"

    def write(self, records: list[Row]) -> None:
        """Insert those of *records* that are not there yet, in one transaction.

        Raises:
            DataError: if the database cannot take them; nothing has been written.
            EngineNotAvailableError: if its driver is not installed.
        """
        if not records:
            return
        rows = {
            unique_key(row): {**row, **dict(zip(_RECORD_KEY, unique_key(row), strict=True))}
            for row in stored_rows(records, RECORD_COLUMNS)
        }
        with self._open(create=True) as connection:
            table = self._ensured(connection, self._table, RECORD_COLUMNS, _RECORD_KEY)
            there = set()
            for run_id in {run_id for run_id, _, _ in rows}:
                query = _select(table, _RECORD_KEY).where(table.columns["run_id"] == run_id)
                there |= {unique_key(row) for row in _fetched(connection, query, RECORD_COLUMNS)}
            _insert(connection, table, [row for key, row in rows.items() if key not in there])

    def write_run(self, record: Row) -> None:
        """Insert the record of a run that ended, unless it is there already.

        Raises:
            DataError: if the database cannot take it.
            EngineNotAvailableError: if its driver is not installed.
        """
        rows = stored_rows([record], RUN_COLUMNS)
        with self._open(create=True) as connection:
            table = self._ensured(connection, RUN_TABLE, RUN_COLUMNS, _RUN_KEY)
            query = _select(table, _RUN_KEY).where(table.columns["run_id"] == rows[0]["run_id"])
            if connection.execute(query).first() is None:
                _insert(connection, table, rows)

    def written(self, run_id: str) -> set[tuple[str, int]]:
        """(transformation_id, attempt) that the table has of *run_id*.

        Raises:
            DataError: if the database cannot be read.
            EngineNotAvailableError: if its driver is not installed.
        """

        def of_run(table: sa.Table) -> sa.Select[Any]:
            return _select(table, _RECORD_KEY).where(table.columns["run_id"] == run_id)

        rows = self._read(self._table, RECORD_COLUMNS, of_run)
        return {(row["transformation_id"], row["attempt"]) for row in rows}

    def runs(self, limit: int) -> list[Row]:
        """The newest *limit* runs, newest first; none while there is no table.

        Raises:
            DataError: if the database cannot be read.
            EngineNotAvailableError: if its driver is not installed.
        """

        def newest(table: sa.Table) -> sa.Select[Any]:
            import sqlalchemy as sa

            order = [table.columns[name].desc() for name in ("start_time", "run_id")]
            if "run_number" in table.columns:  # a table of an older version has none
                order.insert(0, sa.func.coalesce(table.columns["run_number"], 0).desc())
            return _select(table).order_by(*order).limit(limit)

        return self._read(RUN_TABLE, RUN_COLUMNS, newest)

    def attempts(self, run_ids: Sequence[str]) -> list[Row]:
        """The records of the given runs, oldest first; none while there is no table.

        Raises:
            DataError: if the database cannot be read.
            EngineNotAvailableError: if its driver is not installed.
        """
        rows: list[Row] = []
        for start in range(0, len(run_ids), _IDS_A_QUERY):
            some = list(run_ids[start : start + _IDS_A_QUERY])

            def of_runs(table: sa.Table, some: list[str] = some) -> sa.Select[Any]:
                return _select(table).where(table.columns["run_id"].in_(some))

            rows += self._read(self._table, RECORD_COLUMNS, of_runs)
        rows.sort(
            key=lambda row: (
                str(row["start_time"] or ""),
                row["transformation_id"] or "",
                row["attempt"],
            )
        )
        return rows

    def _read(
        self, name: str, columns: Columns, query_of: Callable[[sa.Table], sa.Select[Any]]
    ) -> list[Row]:
        """The rows of a query over the table called *name*, whose keys are there; else none."""
        try:
            with self._open() as connection:
                table = _as_table(find_table(connection, name, self._schema), columns, self._schema)
                if "run_id" not in table.columns:
                    return []
                return _fetched(connection, query_of(table), columns)
        except TableNotFoundError:
            return []

    @contextlib.contextmanager
    def _open(self, *, create: bool = False) -> Iterator[sa.Connection]:
        try:
            with self._database.begin(create=create) as connection:
                yield connection
        except TableNotFoundError:
            raise
        except DataError as exc:
            raise DataError(f"run log {self.name}: {exc}") from exc

    def _ensured(
        self, connection: sa.Connection, name: str, columns: Columns, key: tuple[str, ...]
    ) -> sa.Table:
        ensure_table(connection, name, self._schema, new_columns(columns), key)
        return _as_table(find_table(connection, name, self._schema), columns, self._schema)


def _as_table(found: FoundTable, columns: Columns, schema: str | None) -> sa.Table:
    """What the database has of *columns*, under our names."""
    import sqlalchemy as sa

    ours = {name for name, _ in columns}
    return sa.Table(
        found.name,
        sa.MetaData(),
        *(
            sa.Column(n, kind, key=n.lower())
            for n, kind in found.columns.items()
            if n.lower() in ours
        ),
        schema=schema,
    )


def new_columns(columns: Columns) -> list[sa.Column[Any]]:
    """*columns* as they are created in a database, of whichever kind."""
    import sqlalchemy as sa
    from sqlalchemy.dialects import mysql

    mysqls = ("mysql", "mariadb")  # their own defaults hold 64 kB, and whole seconds
    kinds: dict[str, TypeEngine[Any]] = {
        "string": sa.UnicodeText().with_variant(mysql.LONGTEXT(), *mysqls),
        "timestamp": sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), *mysqls),
        "double": sa.Double(),
        "int": sa.BigInteger(),
    }
    lengths = {name: sa.Unicode(length) for name, length in _KEY_LENGTHS.items()}
    return [sa.Column(name, lengths.get(name, kinds[kind])) for name, kind in columns]


def _select(table: sa.Table, names: Sequence[str] = ()) -> sa.Select[Any]:
    import sqlalchemy as sa

    return sa.select(*(table.columns[name] for name in names or table.columns.keys()))


def _fetched(connection: sa.Connection, query: sa.Select[Any], columns: Columns) -> list[Row]:
    names = [str(column.key) for column in query.selected_columns]
    rows = [dict(zip(names, row, strict=True)) for row in connection.execute(query)]
    return restored_rows(rows, columns)


def _insert(connection: sa.Connection, table: sa.Table, rows: list[Row]) -> None:
    import sqlalchemy as sa

    if rows:
        values = [
            {key: bound(row[key], column.type) for key, column in table.columns.items()}
            for row in rows
        ]
        connection.execute(sa.insert(table), values)
