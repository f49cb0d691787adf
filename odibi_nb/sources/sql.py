"""The TransformationRegistry in an SQL database, through SQLAlchemy."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.transformation import OPTIONAL_COLUMNS, SEED_COLUMNS, enabled_from
from odibi_nb.core.text.structs import utc_now
from odibi_nb.errors import (
    DataError,
    Problem,
    RegistryError,
    TableNotFoundError,
    did_you_mean,
)
from odibi_nb.sources.upsert import KEY, Edit
from odibi_nb.storage.database import Database, bound, ensure_table, find_table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    import sqlalchemy as sa

    from odibi_nb.core.protocols import Row
    from odibi_nb.sources.upsert import Changes
    from odibi_nb.storage.database import FoundTable

_HINT = "`odibi registry init` creates it, `odibi registry import FILE` fills it"

# The key's lengths add up to less than SQL Server's limit for an index, 900 bytes.
_LENGTHS = {
    "transformation_id": 100,
    "project": 200,
    "environment": 50,
    "layer": 100,
    "entity_1": 200,
    "entity_2": 200,
    "entity_3": 200,
    "module": 300,
    "function": 200,
    "transformation_group_id": 100,
}
_ROW_LOCKS = frozenset({"postgresql", "mysql", "mariadb", "oracle"})
"""Databases that know SELECT … FOR UPDATE."""
_REQUIRED = frozenset(
    {"transformation_id", "project", "environment", "layer", "module", "function"}
)


class SqlRegistry:
    """A table TransformationRegistry in any database that SQLAlchemy knows.

    Tables and columns are found in any case. Only the seed's twelve columns are required; those
    of `OPTIONAL_COLUMNS` are read where they exist. Reading never creates anything.
    """

    def __init__(
        self,
        url: str,
        table: str = "TransformationRegistry",
        schema: str | None = None,
        folder: Path | None = None,
        timeout: float = 5.0,
    ) -> None:
        """Nothing is connected to yet.

        Args:
            url: an SQLAlchemy URL.
            table: the table's name.
            schema: the table's schema, where it is not the connection's own.
            folder: where a relative path of an SQLite file starts: the manifest's folder.
            timeout: seconds to wait for a locked SQLite file, or for a server to answer.
        """
        self._database = Database(url, folder, timeout)
        self._table = table
        self._schema = schema

    @property
    def name(self) -> str:
        """Table and URL, without password."""
        return f"{self._table} in {self._database.shown}"

    def fetch(self, project: str, env: str) -> list[Row]:
        """Rows of *project* (compared without case) and *env*, enabled or not, ordered by id.

        Keys are the lower-case names of the columns that exist.

        Raises:
            RegistryError: if they cannot be read.
            EngineNotAvailableError: if the database's driver is not installed.
        """
        return self.export(project, env)

    def census(self) -> list[tuple[str, str, int]]:
        """(project, environment, number of enabled rows), sorted.

        Raises:
            RegistryError: if they cannot be read.
            EngineNotAvailableError: if the database's driver is not installed.
        """
        with self._open() as connection:
            found = self._found(connection)
            rows = _fetched(connection, census_select(found.name, _readable(found), self._schema))
        counts: dict[tuple[str, str], int] = {}
        for row in rows:
            place = str(row["project"]), str(row["environment"])
            # Counted here: databases do not agree on whether a boolean is a number.
            counts[place] = counts.get(place, 0) + row["row_count"] * bool(
                enabled_from(row["enabled"])
            )
        return [(*place, count) for place, count in sorted(counts.items())]

    def export(self, project: str | None = None, env: str | None = None) -> list[Row]:
        """Rows as they are stored, of one or all projects and environments, ordered.

        Raises:
            RegistryError: if they cannot be read.
            EngineNotAvailableError: if the database's driver is not installed.
        """
        with self._open() as connection:
            found = self._found(connection)
            columns = _readable(found)
            select = registry_select(
                found.name, columns, self._schema, project, env, _json_columns(found)
            )
            return _fetched(connection, select)

    def create(self, all_columns: bool = False) -> list[str]:
        """Create the table, or add the columns it lacks; what was done, one line each.

        The seed's twelve columns stand in the seed's order, so that an INSERT without column names
        works; *all_columns* adds those of `OPTIONAL_COLUMNS` behind them.

        Raises:
            RegistryError: if that cannot be done.
            EngineNotAvailableError: if the database's driver is not installed.
        """
        names = (*SEED_COLUMNS, *OPTIONAL_COLUMNS) if all_columns else SEED_COLUMNS
        with self._open(create=True) as connection:
            columns = [_new_column(name) for name in names]
            key = ("transformation_id", "project", "environment")
            return ensure_table(connection, self._table, self._schema, columns, key)

    def upsert(self, rows: Iterable[Mapping[str, Any]]) -> tuple[int, int, int]:
        """Insert or update *rows*, all or none; (inserted, updated, unchanged).

        A row is the same as another if project, environment and transformation_id are. Columns
        that a row leaves out stay as they are, or get their default. JSON columns take text or
        Python objects. `created_at` and `updated_at` are set here, where the table has them.

        Raises:
            RegistryError: with everything that is wrong with any row; nothing has been written.
            EngineNotAvailableError: if the database's driver is not installed.
        """
        changes = self.change(Edit(rows=tuple(rows)))
        return len(changes.inserts), len(changes.updates), len(changes.unchanged)

    def change(self, edit: Edit, *, write: bool = True) -> Changes:
        """Apply *edit*, all of it or nothing, in one transaction; return what it changed.

        Without *write*, only work out what it would change. Only columns whose value changes are written. The rows are locked, read and compared with
        those that the edit was decided on, so that no other edit gets lost.

        Raises:
            RegistryError: with everything that is wrong with any row, or with what another writer
                changed; nothing has been written.
            EngineNotAvailableError: if the database's driver is not installed.
        """
        with self._open() as connection:
            if write:
                _begin_to_write(connection)
            found = self._found(connection)
            columns = list(found.columns)
            select = registry_select(
                found.name, columns, self._schema, as_text=_json_columns(found)
            )
            if write:
                select = _locking(select, connection.dialect.name)
            rows = _fetched(connection, select)
            changes = edit.changes(rows, [name.lower() for name in columns], self.name)
            if write:
                _apply(connection, found, self._schema, changes)
        return changes

    @contextlib.contextmanager
    def _open(self, *, create: bool = False) -> Iterator[sa.Connection]:
        try:
            with self._database.begin(create=create) as connection:
                if connection.dialect.name == "sqlite":
                    _lower_all_letters(connection)
                yield connection
        except TableNotFoundError as exc:
            raise RegistryError(self.name, [f"{exc}; {_HINT}"]) from exc
        except DataError as exc:
            raise RegistryError(self.name, [str(exc)]) from exc

    def _found(self, connection: sa.Connection) -> FoundTable:
        """The table, with all of the seed's columns."""
        found = find_table(connection, self._table, self._schema)
        columns = [name.lower() for name in found.columns]
        spare = [name for name in columns if name not in (*SEED_COLUMNS, *OPTIONAL_COLUMNS)]
        missing = [
            Problem("", f"column {name!r} is missing{did_you_mean(name, spare)}")
            for name in SEED_COLUMNS
            if name not in columns
        ]
        if missing:
            raise RegistryError(self.name, missing)
        return found


def _readable(found: FoundTable) -> list[str]:
    """The names of those columns that we read, as they are spelled."""
    ours = (*SEED_COLUMNS, *OPTIONAL_COLUMNS)
    return [name for name in found.columns if name.lower() in ours]


def _json_columns(found: FoundTable) -> list[str]:
    """The names of the columns whose type is JSON."""
    import sqlalchemy as sa

    return [name for name, kind in found.columns.items() if isinstance(kind, sa.JSON)]


def registry_select(
    table: str,
    columns: Sequence[str],
    schema: str | None = None,
    project: str | None = None,
    env: str | None = None,
    as_text: Collection[str] = (),
) -> sa.Select[Any]:
    """The query for the rows of *project* and *env*, or of all where None; *columns* as spelled.

    Columns *as_text* come as their text: a driver that decodes JSON keeps one of two equal keys.
    """
    import sqlalchemy as sa

    # Columns without types: what the driver gives is what parse_row wants, and it is the fastest.
    source = sa.table(table, *map(sa.column, columns), schema=schema)
    by_name = {column.name.lower(): column for column in source.columns}
    one_place = project is not None and env is not None
    order = ("transformation_id",) if one_place else KEY
    shown = [
        sa.cast(column, sa.Text).label(name) if name in as_text else column
        for name, column in source.columns.items()
    ]
    query = sa.select(*shown).order_by(*(by_name[name] for name in order))
    if project is not None:
        given = sa.func.lower(sa.bindparam("project", project, sa.Unicode))
        query = query.where(sa.func.lower(by_name["project"]) == given)
    if env is not None:
        query = query.where(by_name["environment"] == sa.bindparam("env", env, sa.Unicode))
    return query


def census_select(table: str, columns: Sequence[str], schema: str | None = None) -> sa.Select[Any]:
    """The query for (project, environment, enabled, row_count)."""
    import sqlalchemy as sa

    source = sa.table(table, *map(sa.column, columns), schema=schema)
    by_name = {column.name.lower(): column for column in source.columns}
    groups = [by_name[name] for name in ("project", "environment", "enabled")]
    return sa.select(*groups, sa.func.count().label("row_count")).group_by(*groups)


def _begin_to_write(connection: sa.Connection) -> None:
    """Let one edit after the other read and write."""
    kind = connection.dialect.name
    if kind == "sqlite":  # its driver begins a transaction only at the first write, after the read
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    elif (
        kind == "postgresql"
    ):  # two new rows of one key wait for each other, also without a primary key
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('odibi_nb registry'))")


def _locking(query: sa.Select[Any], kind: str) -> sa.Select[Any]:
    """*query* so that no other transaction changes its rows until this one ends."""
    if kind == "mssql":
        (table,) = query.get_final_froms()
        return query.with_hint(table, "WITH (UPDLOCK, HOLDLOCK)", "mssql")
    return query.with_for_update() if kind in _ROW_LOCKS else query


def _fetched(connection: sa.Connection, query: sa.Select[Any]) -> list[Row]:
    result = connection.execute(query)
    names = [name.lower() for name in result.keys()]  # noqa: SIM118  a Result is no mapping
    return [dict(zip(names, row)) for row in result]  # noqa: B905  strict costs a tenth here


def _lower_all_letters(connection: sa.Connection) -> None:
    """SQLite's own LOWER knows only ASCII; projects are compared without case in every alphabet."""
    driver: Any = connection.connection.dbapi_connection
    driver.create_function(
        "lower",
        1,
        lambda value: value.lower() if isinstance(value, str) else value,
        deterministic=True,
    )


def _new_column(name: str) -> sa.Column[Any]:
    import sqlalchemy as sa

    if name == "enabled":
        return sa.Column(name, sa.SmallInteger, nullable=False, server_default=sa.text("1"))
    if name == "step":
        return sa.Column(name, sa.Integer)
    if name in ("created_at", "updated_at"):
        return sa.Column(name, sa.DateTime(timezone=True))
    kind = sa.Unicode(_LENGTHS[name]) if name in _LENGTHS else sa.UnicodeText()
    return sa.Column(name, kind, nullable=name not in _REQUIRED)


def _apply(
    connection: sa.Connection, found: FoundTable, schema: str | None, changes: Changes
) -> None:
    import sqlalchemy as sa

    columns = [sa.Column(name, kind) for name, kind in found.columns.items()]
    table = sa.Table(found.name, sa.MetaData(), *columns, schema=schema)
    by_name = {column.name.lower(): column for column in columns}
    now = utc_now()

    def values(row: Row) -> Row:
        return {by_name[n].name: bound(v, by_name[n].type) for n, v in row.items() if n in by_name}

    if changes.inserts:
        stamps = dict.fromkeys(("created_at", "updated_at"), now)
        names = dict.fromkeys(name for row in changes.inserts for name in row)
        connection.execute(
            sa.insert(table),
            [values({**dict.fromkeys(names), **stamps, **row}) for row in changes.inserts],
        )
    for old in changes.deletes:
        same = [by_name[name] == old[name] for name in KEY]
        connection.execute(sa.delete(table).where(*same))
    for old, new in changes.updates:
        same = [by_name[name] == old[name] for name in KEY]
        connection.execute(sa.update(table).where(*same).values(values({**new, "updated_at": now})))
