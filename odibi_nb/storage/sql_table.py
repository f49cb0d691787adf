"""Tables of SQL databases through SQLAlchemy, with rows of plain values, for the registry and the run log."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from odibi_nb.errors import DataError, TableNotFoundError
from odibi_nb.storage.database import bound, ensure_table, find_table
from odibi_nb.storage.row_table import ALL_ROWS, RowQuery, RowTable, chosen, spelling
from odibi_nb.storage.row_values import restored_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    import sqlalchemy as sa
    from sqlalchemy.sql.type_api import TypeEngine

    from odibi_nb.core.protocols import Row
    from odibi_nb.storage.database import Database, FoundTable
    from odibi_nb.storage.row_table import Choice, Merge
    from odibi_nb.storage.row_values import Columns

_VALUES_A_QUERY = 500
_ROW_LOCKS = frozenset({"postgresql", "mysql", "mariadb", "oracle"})
"""Databases that support SELECT … FOR UPDATE."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SqlLayout:
    """The definition of a new table, beyond the kinds of its columns.

    Attributes:
        key: the primary key. A row whose key exists already is not appended again.
        lengths: text column to its length in characters; other text columns have no limit.
        types: column to the name of its SQLAlchemy type, if that is not the type of its kind.
        required: columns that are never NULL in a new table.
        defaults: column to SQL for its default value.
    """

    key: tuple[str, ...]
    lengths: Mapping[str, int]
    types: Mapping[str, str] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    defaults: Mapping[str, str] = field(default_factory=dict)


class SqlRowTable(RowTable):
    """A table in any database that SQLAlchemy supports. Its name is found in any case."""

    def __init__(
        self, database: Database, table: str, schema: str | None, layout: SqlLayout, shown: str = ""
    ) -> None:
        """Store the arguments. Nothing is connected yet.

        Args:
            database: the database of the table.
            table: its name.
            schema: its schema, if that is not the connection's own.
            layout: its definition, for a table that does not exist yet.
            shown: the table's name in messages; empty if a caller adds it.
        """
        self._database = database
        self._table = table
        self._schema = schema
        self._layout = layout
        self._shown = shown

    def types(self) -> Mapping[str, str] | None:
        try:
            with self._open() as connection:
                found = self._found(connection)
        except TableNotFoundError:
            return None
        return {name: type(kind).__name__ for name, kind in found.columns.items()}

    def select(self, columns: Columns | Choice, query: RowQuery = ALL_ROWS) -> list[Row]:
        with self._open() as connection:
            found = self._found(connection)
            names = _names(columns, found)
            spelled = query.spelled(found.columns)
            if spelled is None:
                return []
            if spelled.folded and connection.dialect.name == "sqlite":
                _lower_all_letters(connection)
            parts = _parts(spelled)
            rows: list[Row] = []
            for part in parts:
                rows += _fetched(connection, self._query(found, names, part), names)
            return rows if len(parts) == 1 else query.ordered_rows(rows)

    def append(self, rows: Sequence[Row], columns: Columns) -> None:
        """Append the *rows* whose key does not exist yet, in one transaction."""
        key, new = self._layout.key, new_columns(columns, self._layout)
        with self._open(create=True) as connection:
            ensure_table(connection, self._table, self._schema, new, key)
            if rows:
                found = self._found(connection)
                by_key = {_key_of(row, columns, key): row for row in rows}
                starts = {first for first, *_ in by_key}
                for known in self._keys(connection, found, starts, columns):
                    by_key.pop(known, None)
                filled = [{**row, **dict(zip(key, k, strict=True))} for k, row in by_key.items()]
                _insert(connection, _table_of(found, self._schema), filled)

    def merge(
        self, columns: Columns | Choice, decide: Callable[[Sequence[Row]], Merge | None]
    ) -> None:
        """Lock and read the rows, call *decide* with them, and write its merge in the same transaction.

        Only the values that change are written.
        """
        with self._open() as connection:
            _begin_to_write(connection)
            found = self._found(connection)
            names = _names(columns, found)
            # All writers lock in the same order, so that one waits for the other without a deadlock.
            in_order = RowQuery(order=self._layout.key).spelled(found.columns) or ALL_ROWS
            query = _locking(self._query(found, names, in_order), connection.dialect.name)
            merge = decide(_fetched(connection, query, names))
            if merge is not None:
                _apply(connection, _table_of(found, self._schema), merge.spelled(found.columns))

    def _found(self, connection: sa.Connection) -> FoundTable:
        return find_table(connection, self._table, self._schema)

    def _query(
        self, found: FoundTable, names: Mapping[str, str], query: RowQuery
    ) -> sa.Select[Any]:
        import sqlalchemy as sa

        as_text = [name for name, kind in found.columns.items() if isinstance(kind, sa.JSON)]
        return select_of(found.name, names.values(), query, self._schema, as_text)

    def _keys(
        self,
        connection: sa.Connection,
        found: FoundTable,
        starts: Collection[Any],
        columns: Columns,
    ) -> Iterator[tuple[Any, ...]]:
        """Yield the existing keys that begin with one of *starts*."""
        key = self._layout.key
        kinds = tuple((name, kind) for name, kind in columns if name in key)
        names = _names(kinds, found)
        for start in starts:
            query = RowQuery(equal={key[0]: [start]}).spelled(found.columns)
            if query is not None:
                rows = _fetched(connection, self._query(found, names, query), names)
                yield from (_key_of(row, columns, key) for row in restored_rows(rows, kinds))

    @contextlib.contextmanager
    def _open(self, *, create: bool = False) -> Iterator[sa.Connection]:
        try:
            with self._database.begin(create=create) as connection:
                yield connection
        except TableNotFoundError:
            raise
        except DataError as exc:
            raise DataError(f"{self._shown}: {exc}" if self._shown else str(exc)) from exc


def select_of(
    table: str,
    columns: Collection[str],
    query: RowQuery,
    schema: str | None = None,
    as_text: Collection[str] = (),
) -> sa.Select[Any]:
    """Return the SELECT for *columns* of the rows of *query*, with all names in the table's spelling.

    Columns *as_text* are read as text: a driver that decodes JSON keeps only one of two equal keys.
    """
    import sqlalchemy as sa

    needed = dict.fromkeys((*columns, *query.equal, *query.folded, *query.order))
    # Columns without types: readers expect the driver's own values, and this is the fastest way.
    source = sa.table(table, *map(sa.column, needed), schema=schema).columns
    select = sa.select(
        *(
            sa.cast(source[name], sa.Text).label(name) if name in as_text else source[name]
            for name in columns
        )
    )
    for name, text in query.folded.items():
        given = sa.func.lower(sa.bindparam(name, text, sa.Unicode))
        select = select.where(sa.func.lower(source[name]) == given)
    for name, texts in query.equal.items():
        if len(texts) == 1:
            select = select.where(source[name] == sa.bindparam(name, texts[0], sa.Unicode))
        else:
            among = sa.bindparam(name, list(texts), sa.Unicode, expanding=True)
            select = select.where(source[name].in_(among))
    for name in query.order:
        if query.descending:  # not every database supports NULLS LAST
            select = select.order_by(sa.case((source[name].is_(None), 1), else_=0))
        select = select.order_by(source[name].desc() if query.descending else source[name])
    return select if query.limit is None else select.limit(query.limit)


def new_columns(columns: Columns, layout: SqlLayout) -> list[sa.Column[Any]]:
    """Return the definitions of *columns* for a new table, for every kind of database."""
    import sqlalchemy as sa
    from sqlalchemy.dialects import mysql

    mysqls = ("mysql", "mariadb")  # their default types are limited to 64 kB and to whole seconds
    kinds: dict[str, TypeEngine[Any]] = {
        "string": sa.UnicodeText().with_variant(mysql.LONGTEXT(), *mysqls),
        "timestamp": sa.DateTime(timezone=True).with_variant(mysql.DATETIME(fsp=6), *mysqls),
        "double": sa.Double(),
        "int": sa.BigInteger(),
    }
    own = {name: sa.Unicode(length) for name, length in layout.lengths.items()}
    own |= {name: getattr(sa, type_)() for name, type_ in layout.types.items()}
    return [
        sa.Column(
            name,
            own.get(name, kinds[kind]),
            nullable=name not in layout.required,
            server_default=sa.text(layout.defaults[name]) if name in layout.defaults else None,
        )
        for name, kind in columns
    ]


def _names(columns: Columns | Choice, found: FoundTable) -> dict[str, str]:
    """Map the *columns* that the table has to its spelling."""
    return spelling([name for name, _ in chosen(columns, found.columns)], found.columns)


def _parts(query: RowQuery) -> list[RowQuery]:
    """Split *query* into queries with at most `_VALUES_A_QUERY` values for a column."""
    for name, texts in query.equal.items():
        if len(texts) > _VALUES_A_QUERY:
            return [
                replace(query, equal={**query.equal, name: texts[start : start + _VALUES_A_QUERY]})
                for start in range(0, len(texts), _VALUES_A_QUERY)
            ]
    return [query]


def _key_of(row: Row, columns: Columns, key: Sequence[str]) -> tuple[Any, ...]:
    """Return the values of *key*, with "" or 0 for None, because a primary key cannot be NULL."""
    blank = {name: 0 if kind == "int" else "" for name, kind in columns}
    return tuple(blank[name] if row.get(name) is None else row[name] for name in key)


def _fetched(
    connection: sa.Connection, query: sa.Select[Any], names: Mapping[str, str]
) -> list[Row]:
    return [dict(zip(names, row)) for row in connection.execute(query)]  # noqa: B905  strict costs 10 % here


def _begin_to_write(connection: sa.Connection) -> None:
    """Make two concurrent edits wait for each other, from the read to the write."""
    kind = connection.dialect.name
    if kind == "sqlite":  # its driver begins a transaction only at the first write, after the read
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    elif kind == "postgresql":
        # Two new rows with the same key wait for each other, even without a primary key.
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('odibi_nb registry'))")


def _locking(query: sa.Select[Any], kind: str) -> sa.Select[Any]:
    """Return *query* with locks that keep other transactions from changing its rows until this one ends."""
    if kind == "mssql":
        (table,) = query.get_final_froms()
        return query.with_hint(table, "WITH (UPDLOCK, HOLDLOCK)", "mssql")
    return query.with_for_update() if kind in _ROW_LOCKS else query


def _lower_all_letters(connection: sa.Connection) -> None:
    """Replace SQLite's LOWER, which folds only ASCII, so that texts compare without case in any alphabet."""
    driver: Any = connection.connection.dbapi_connection

    def lower(value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    driver.create_function("lower", 1, lower, deterministic=True)


def _table_of(found: FoundTable, schema: str | None) -> sa.Table:
    import sqlalchemy as sa

    columns = [sa.Column(name, kind) for name, kind in found.columns.items()]
    return sa.Table(found.name, sa.MetaData(), *columns, schema=schema)


def _insert(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Insert *rows*. Their names match the table's columns in any case."""
    import sqlalchemy as sa

    given = dict.fromkeys(name for row in rows for name in row)
    names = spelling(given, table.columns.keys())
    if rows:
        values = [
            {
                column: bound(row.get(name), table.columns[column].type)
                for name, column in names.items()
            }
            for row in rows
        ]
        connection.execute(sa.insert(table), values)


def _apply(connection: sa.Connection, table: sa.Table, merge: Merge) -> None:
    import sqlalchemy as sa

    columns = table.columns

    def same(row: Row) -> list[Any]:
        return [columns[name] == row[name] for name in merge.keys]

    _insert(connection, table, merge.inserts)
    for row in merge.deletes:
        connection.execute(sa.delete(table).where(*same(row)))
    for old, new in merge.updates:
        values = {name: bound(value, columns[name].type) for name, value in new.items()}
        connection.execute(sa.update(table).where(*same(old)).values(values))
