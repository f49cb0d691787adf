"""Tables and queries of SQL databases as pandas DataFrames. Nothing is ever written to the database."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.read_only_query import why_refused
from odibi_nb.core.model.sql_parameters import for_sqlalchemy
from odibi_nb.core.process.late_imports import import_late
from odibi_nb.core.running.context import get_current_context
from odibi_nb.errors import DataError, TableNotFoundError
from odibi_nb.storage.database import Database, find_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_LARGEST = 2**63 - 1
_EXACT_IN_FLOAT = 2**53
_PART_ROWS = 10_000


class SqlSource:
    """A read-only database. Numbers of exact types become floats if that changes no value.

    Args:
        url: its SQLAlchemy URL.
        folder: start of a relative SQLite path.
        most_rows: the largest number of rows that it returns; None for any number.
    """

    def __init__(self, url: str, folder: Path, most_rows: int | None = None) -> None:
        self._database = Database(url, folder)
        self._most_rows = most_rows

    def table(self, name: str) -> Any:
        """Return all rows of the table or view called *name*, ``table`` or ``schema.table``.

        Raises:
            TableNotFoundError: if it does not exist.
            DataError: if the database cannot be reached, or the table has more than *most_rows* rows.
        """
        return self._read(lambda connection: _select_all(connection, name), {})

    def query(self, sql: str, parameters: Mapping[str, Any]) -> Any:
        """Return the rows of one SELECT, with *parameters* bound to its ``:names``.

        Raises:
            DataError: if *sql* is not one SELECT, if the database refuses it, or if it returns more than
                *most_rows* rows.
        """
        refused = why_refused(sql, self._database.dialect, alone=self._database.takes_one_statement)
        if refused:
            raise DataError(f"{self._database.shown}: {refused}")

        def statement(_: Any) -> Any:
            import sqlalchemy as sa

            return sa.text(for_sqlalchemy(sql, self._database.dialect))

        return self._read(statement, parameters)

    def _read(self, statement: Callable[[Any], Any], parameters: Mapping[str, Any]) -> Any:
        try:
            with self._database.reading() as connection:
                result = connection.execute(statement(connection), dict(parameters))
                columns, rows = list(result.keys()), self._rows(result)
        except TableNotFoundError as exc:
            raise TableNotFoundError(exc.table, f"{self._database.shown}: {exc}") from exc
        except DataError as exc:
            raise DataError(f"{self._database.shown}: {exc}") from exc
        pd = import_late("pandas")

        frame = pd.DataFrame.from_records(rows, columns=columns)
        for i in range(len(columns)):
            if frame.dtypes.iloc[i].kind in "Of":  # of objects, or of floats
                exact = _exact([row[i] for row in rows])
                if exact is not None:
                    frame.isetitem(i, exact)
        return frame

    def _rows(self, result: Any) -> list[tuple[Any, ...]]:
        """Fetch the rows of *result* in batches, so that a revoked attempt can end between two of them."""
        context = get_current_context()
        rows: list[tuple[Any, ...]] = []
        while part := result.fetchmany(_PART_ROWS):
            if context is not None:
                context.control.check()
            rows += [tuple(row) for row in part]
            if self._most_rows is not None and len(rows) > self._most_rows:
                raise DataError(
                    f"more than {self._most_rows:,} rows, too many for the driver's memory: load "
                    "fewer, for example with 'query' and 'params'"
                )
        return rows


def _select_all(connection: Any, name: str) -> Any:
    import sqlalchemy as sa

    schema, _, table = name.rpartition(".")
    found = find_table(connection, table, schema or None)
    columns: list[Any] = [sa.column(column) for column in found.columns]
    return sa.select(*columns).select_from(sa.table(found.name, schema=schema or None))


def _exact(values: list[Any]) -> Any:
    """Return *values* as a column if pandas' own conversion would be unsuitable or wrong, else None.

    Decimals become floats unless that changes a value. Whole numbers with gaps remain whole numbers.
    """
    pd = import_late("pandas")

    if any(isinstance(v, Decimal) for v in values):
        floats = [float(v) if isinstance(v, Decimal) else v for v in values]
        same = (
            not isinstance(v, Decimal) or v.is_nan() or Decimal(repr(f)) == v
            for v, f in zip(values, floats, strict=True)
        )
        return pd.Series(floats, dtype=_dtype(floats)) if all(same) else None
    whole = [v for v in values if type(v) is int]  # a boolean does not count
    if whole and len(whole) == len([v for v in values if v is not None]):
        return pd.array(values, dtype="Int64") if max(map(abs, whole)) <= _LARGEST else None
    return pd.Series(values, dtype=object) if _dtype(values) is object else None


def _dtype(values: list[Any]) -> type | None:
    """Return the type ``object`` for whole numbers beside floats that pandas would round, else None."""
    has_floats = any(isinstance(v, float) for v in values)
    large = has_floats and any(type(v) is int and abs(v) > _EXACT_IN_FLOAT for v in values)
    return object if large else None
