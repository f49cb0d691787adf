"""The TransformationRegistry in a table of the lake, of a Spark session's catalog, or of a database."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from odibi_nb.core.model.transformation import SEED_COLUMNS
from odibi_nb.core.text.clock import utc_now
from odibi_nb.errors import DataError, RegistryError, TableNotFoundError
from odibi_nb.sources.stored_registry import HOW_TO_MAKE, StoredRegistry
from odibi_nb.sources.upsert import (
    COLUMNS,
    KEY,
    STAMPS,
    Changes,
    canonical_names,
    require_columns,
)
from odibi_nb.storage.row_table import Merge, RowQuery

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from odibi_nb.core.protocols import Row
    from odibi_nb.sources.upsert import Edit
    from odibi_nb.storage.row_table import RowTable
    from odibi_nb.storage.row_values import Columns

_KINDS = {"enabled": "int", "step": "int", **dict.fromkeys(STAMPS, "timestamp")}
_REQUIRED = ("transformation_id", "project", "environment", "layer", "module", "function")
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


class TableRegistry(StoredRegistry):
    """A table with the registry's columns, whose names may have any case.

    Only the seed's twelve columns are required. The columns of `OPTIONAL_COLUMNS` are read if they exist.
    Reading never creates anything. If the library for the table is not installed, every method raises
    EngineNotAvailableError.
    """

    def __init__(self, table: RowTable, name: str, *, hint: str = "", made: str = "") -> None:
        """Store the arguments. Nothing is read yet.

        Args:
            table: the table.
            name: its name in messages.
            hint: a suggestion to add to the message that the table does not exist.
            made: its name in the lines that `create` returns; *name* by default.
        """
        self.name = name
        self._table = table
        self._hint = hint
        self._made = made or name

    def export(self, project: str | None = None, env: str | None = None) -> list[Row]:
        query = RowQuery(
            equal={} if env is None else {"environment": [env]},
            folded={} if project is None else {"project": project},
            order=KEY if project is None or env is None else ("transformation_id",),
        )
        with self._clear():
            return self._table.select(self._columns, query)

    def create(self, all_columns: bool = False) -> list[str]:
        """Create the table, or add its missing columns. Return one line for each change.

        The seed's twelve columns are in the seed's order, so that an INSERT without column names works.
        *all_columns* adds the columns of `OPTIONAL_COLUMNS` after them.
        """
        names = COLUMNS if all_columns else SEED_COLUMNS
        with self._clear():
            types = self._table.types()
            known = {name.lower() for name in types or ()}
            missing = [name for name in names if name not in known]
            if missing:
                self._table.append([], _with_kinds(missing))
            if types is not None and "enabled" in missing:
                self._enable_all()
        if types is None:
            return [f"created table {self._made}: {', '.join(missing)}"]
        return [f"added column {name} to table {self._made}" for name in missing]

    def change(self, edit: Edit, *, write: bool = True) -> Changes:
        given = {name for row in edit.rows for name in canonical_names(row)}
        columns: list[str] = []
        changes = Changes()

        def choose(names: Collection[str]) -> Columns:
            own = [name.lower() for name in names if name.lower() in given - {*COLUMNS}]
            chosen = [*self._columns(names), *_with_kinds(own)]
            columns[:] = [name for name, _ in chosen]
            return chosen

        def decide(found: Sequence[Row]) -> Merge | None:
            nonlocal changes
            changes = edit.changes(found, columns, self.name)
            return _merge_of(changes, columns) if changes else None

        with self._clear():
            if write:
                self._table.merge(choose, decide)
            else:
                decide(self._table.select(choose))
        return changes

    def _columns(self, names: Collection[str]) -> Columns:
        """Return the registry's columns that a table with columns *names* has.

        Raises:
            RegistryError: if it lacks any of the seed's columns.
        """
        known = {name.lower() for name in names}
        require_columns(known, known - {*COLUMNS}, self.name)
        return _with_kinds(name for name in COLUMNS if name in known)

    def _census_rows(self) -> list[Row]:
        with self._clear():
            return self._table.select(self._census_columns)

    def _census_columns(self, names: Collection[str]) -> Columns:
        self._columns(names)
        return _with_kinds(("project", "environment", "enabled"))

    def _enable_all(self) -> None:
        """Enable the rows of a table that had no `enabled` column and gave it no default value."""

        def decide(found: Sequence[Row]) -> Merge | None:
            rows = [row for row in found if row["enabled"] is None]
            changes = Changes(updates=[(row, {"enabled": 1}) for row in rows])
            return _merge_of(changes, (*KEY, "enabled")) if changes else None

        self._table.merge(_with_kinds((*KEY, "enabled")), decide)

    @contextlib.contextmanager
    def _clear(self) -> Iterator[None]:
        """Convert the table's errors to RegistryError, with a message that has the next step."""
        try:
            yield
        except TableNotFoundError as exc:
            raise RegistryError(self.name, [f"{exc}; {HOW_TO_MAKE}{self._hint}"]) from exc
        except DataError as exc:
            raise RegistryError(self.name, [str(exc)]) from exc


def registry_in_database(
    url: str,
    table: str = "TransformationRegistry",
    schema: str | None = None,
    folder: Path | None = None,
    timeout: float = 5.0,
) -> TableRegistry:
    """Return the registry in a table of any database that SQLAlchemy supports. Nothing is connected yet.

    Args:
        url: an SQLAlchemy URL.
        table: the table's name.
        schema: the table's schema, if it is not the connection's own.
        folder: start of a relative path of an SQLite file: the manifest's folder.
        timeout: seconds to wait for a locked SQLite file, or for a server to answer.
    """
    from odibi_nb.storage.database import Database
    from odibi_nb.storage.sql_table import SqlLayout, SqlRowTable

    database = Database(url, folder, timeout)
    layout = SqlLayout(
        key=("transformation_id", "project", "environment"),
        lengths=_LENGTHS,
        types={"enabled": "SmallInteger", "step": "Integer"},
        required=frozenset({*_REQUIRED, "enabled"}),
        defaults={"enabled": "1"},
    )
    stored = SqlRowTable(database, table, schema, layout)
    return TableRegistry(stored, f"{table} in {database.shown}", made=table)


def _merge_of(changes: Changes, columns: Collection[str]) -> Merge:
    """Return *changes* as a merge for a table with *columns*, with the time stamps set."""
    now = utc_now()
    stamps = {name: now for name in STAMPS if name in columns}
    stamp = {name: now for name in ("updated_at",) if name in columns}
    return Merge(
        keys=KEY,
        inserts=tuple({**stamps, **row} for row in changes.inserts),
        updates=tuple((old, {**new, **stamp}) for old, new in changes.updates),
        deletes=tuple(changes.deletes),
        uncompared=frozenset(STAMPS),
    )


def _with_kinds(names: Iterable[str]) -> Columns:
    return [(name, _KINDS.get(name, "string")) for name in names]
