"""The TransformationRegistry in a table: of the lake, of a Spark session's catalog, or of a database."""

from __future__ import annotations

import contextlib
from collections import Counter
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.transformation import OPTIONAL_COLUMNS, SEED_COLUMNS, enabled_from
from odibi_nb.core.text.clock import utc_now
from odibi_nb.errors import DataError, Problem, RegistryError, TableNotFoundError, did_you_mean
from odibi_nb.sources.upsert import KEY, STAMPS, Changes, Edit, canonical_names
from odibi_nb.storage.row_table import Merge, RowQuery

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from odibi_nb.core.protocols import Row
    from odibi_nb.storage.row_table import Columns, RowTable

_KINDS = {"enabled": "int", "step": "int", **dict.fromkeys(STAMPS, "timestamp")}
_OURS = (*SEED_COLUMNS, *OPTIONAL_COLUMNS)
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


class TableRegistry:
    """A table with the registry's columns, found in any case.

    Only the seed's twelve are required; those of `OPTIONAL_COLUMNS` are read where they exist.
    Reading never creates anything. Where the library that reaches the table is not installed, every
    method raises EngineNotAvailableError.
    """

    def __init__(self, table: RowTable, name: str, *, hint: str = "", made: str = "") -> None:
        """Nothing is read yet.

        Args:
            table: the table.
            name: what messages call it.
            hint: what else might be meant, for the message that the table is not there.
            made: what `create` calls it; its name by default.
        """
        self.name = name
        self._table = table
        self._hint = hint
        self._made = made or name

    def fetch(self, project: str, env: str) -> list[Row]:
        """Rows of *project* (compared without case) and *env*, enabled or not, ordered by id.

        Keys are the lower-case names of the columns that exist.

        Raises:
            RegistryError: if they cannot be read.
        """
        return self.export(project, env)

    def census(self) -> list[tuple[str, str, int]]:
        """(project, environment, number of enabled rows), sorted.

        Raises:
            RegistryError: if they cannot be read.
        """
        with self._clear():
            rows = self._table.select(self._census_columns)
        counts: Counter[tuple[str, str]] = Counter()
        for row in rows:
            counts[str(row["project"]), str(row["environment"])] += bool(
                enabled_from(row["enabled"])
            )
        return [(*place, count) for place, count in sorted(counts.items())]

    def export(self, project: str | None = None, env: str | None = None) -> list[Row]:
        """Rows as they are stored, of one or all projects and environments, ordered.

        Raises:
            RegistryError: if they cannot be read.
        """
        query = RowQuery(
            equal={} if env is None else {"environment": [env]},
            folded={} if project is None else {"project": project},
            order=KEY if project is None or env is None else ("transformation_id",),
        )
        with self._clear():
            return self._table.select(self._columns, query)

    def create(self, all_columns: bool = False) -> list[str]:
        """Create the table, or add the columns it lacks; what was done, one line each.

        The seed's twelve columns stand in the seed's order, so that an INSERT without column names
        works; *all_columns* adds those of `OPTIONAL_COLUMNS` behind them.

        Raises:
            RegistryError: if that cannot be done.
        """
        names = _OURS if all_columns else SEED_COLUMNS
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

    def upsert(self, rows: Iterable[Mapping[str, Any]]) -> tuple[int, int, int]:
        """Insert or update *rows*, all or none, in one commit; (inserted, updated, unchanged).

        A row is the same as another if project, environment and transformation_id are. Columns
        that a row leaves out stay as they are, or get their default. JSON columns take text or
        Python objects. ``created_at`` and ``updated_at`` are set here, where the table has them.

        Raises:
            RegistryError: with everything that is wrong with any row; nothing has been written.
        """
        changes = self.change(Edit(rows=tuple(rows)))
        return len(changes.inserts), len(changes.updates), len(changes.unchanged)

    def change(self, edit: Edit, *, write: bool = True) -> Changes:
        """Apply *edit*, all of it or nothing, in one commit; return what it changed.

        Without *write*, only work out what it would change. The commit is made only to the rows that
        the edit's changes were worked out on, so that no other edit gets lost.

        Raises:
            RegistryError: with everything that is wrong with any row, or with what another writer
                changed; nothing has been written.
        """
        given = {name for row in edit.rows for name in canonical_names(row)}
        columns: list[str] = []
        changes = Changes()

        def choose(names: Collection[str]) -> Columns:
            own = [name.lower() for name in names if name.lower() in given - {*_OURS}]
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
        """Those of our columns that a table with columns *names* has.

        Raises:
            RegistryError: if it lacks some of the seed's columns.
        """
        known = {name.lower() for name in names}
        spare = [name for name in known if name not in _OURS]
        missing = [
            Problem("", f"column {name!r} is missing{did_you_mean(name, spare)}")
            for name in SEED_COLUMNS
            if name not in known
        ]
        if missing:
            raise RegistryError(self.name, missing)
        return _with_kinds(name for name in _OURS if name in known)

    def _census_columns(self, names: Collection[str]) -> Columns:
        self._columns(names)
        return _with_kinds(("project", "environment", "enabled"))

    def _enable_all(self) -> None:
        """Enable the rows of a table that had no `enabled`, where the table has not done it itself."""

        def decide(found: Sequence[Row]) -> Merge | None:
            rows = [row for row in found if row["enabled"] is None]
            changes = Changes(updates=[(row, {"enabled": 1}) for row in rows])
            return _merge_of(changes, (*KEY, "enabled")) if changes else None

        self._table.merge(_with_kinds((*KEY, "enabled")), decide)

    @contextlib.contextmanager
    def _clear(self) -> Iterator[None]:
        """Turn what the table raises into a message that says what to do."""
        try:
            yield
        except TableNotFoundError as exc:
            make = "`odibi registry init` creates it, `odibi registry import FILE` fills it"
            raise RegistryError(self.name, [f"{exc}; {make}{self._hint}"]) from exc
        except DataError as exc:
            raise RegistryError(self.name, [str(exc)]) from exc


def registry_in_database(
    url: str,
    table: str = "TransformationRegistry",
    schema: str | None = None,
    folder: Path | None = None,
    timeout: float = 5.0,
) -> TableRegistry:
    """The registry in a table of any database that SQLAlchemy knows; nothing is connected to yet.

    Args:
        url: an SQLAlchemy URL.
        table: the table's name.
        schema: the table's schema, where it is not the connection's own.
        folder: where a relative path of an SQLite file starts: the manifest's folder.
        timeout: seconds to wait for a locked SQLite file, or for a server to answer.
    """
    from odibi_nb.storage.database import Database
    from odibi_nb.storage.sql_table import Layout, SqlRowTable

    database = Database(url, folder, timeout)
    layout = Layout(
        key=("transformation_id", "project", "environment"),
        lengths=_LENGTHS,
        types={"enabled": "SmallInteger", "step": "Integer"},
        required=frozenset({*_REQUIRED, "enabled"}),
        defaults={"enabled": "1"},
    )
    stored = SqlRowTable(database, table, schema, layout)
    return TableRegistry(stored, f"{table} in {database.shown}", made=table)


def _merge_of(changes: Changes, columns: Collection[str]) -> Merge:
    """What *changes* do to a table that has *columns*."""
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
