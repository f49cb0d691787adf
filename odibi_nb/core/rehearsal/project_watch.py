"""Watch the tables of a project while the user tries a function, to find uncaptured writes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odibi_nb.core.model.checks import quarantine_of
from odibi_nb.core.model.tables import TableName, table_key
from odibi_nb.core.protocols import Change, watch_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from odibi_nb.core.planning.plan import RunPlan
    from odibi_nb.core.protocols import RehearsingEngine

AT_ONCE = 8
MOST = 300
"""Maximum number of tables to check, because a check can cost a query. The row's tables come first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved:
    """A table that has changed.

    Attributes:
        name: the table's name.
        removed: True if the table no longer exists.
        version: the table's new version; None if unknown.
        run_id: the run that wrote the table last; None if another writer did, such as the function.
    """

    name: str
    removed: bool = False
    version: int | None = None
    run_id: str | None = None


class ProjectWatch:
    """A watch on the tables that a plan's rows name, and on all tables of a lake on this machine.

    Args:
        plan: the project's plan of all layers.
        transformation_id: the transformation whose function the user tries.
        tables: the engine.
        log: the table of the run log. Its schema is not watched: other runs write to it all the time.

    Attributes:
        unknown: after `moved`, the number of tables that could not be checked.
    """

    def __init__(
        self, plan: RunPlan, transformation_id: str, tables: RehearsingEngine, log: str
    ) -> None:
        self._engine = tables
        self._log = _schema(TableName.parse(log).key)
        named = [n for n in _tables_of(plan, transformation_id) if _schema(n.key) != self._log]
        found: dict[str, TableName] = {}
        for name in [*named, *self._listed()]:
            found.setdefault(name.key, name)
        self._names: Sequence[TableName] = [*found.values()]
        self._watch = watch_tables(tables, self._names)
        self.unknown = 0

    def moved(self) -> list[Moved]:
        """Return the tables that have changed, and set `unknown`."""
        asked = self._names[:MOST]
        with ThreadPoolExecutor(AT_ONCE) as pool:  # in a remote lake each check is a query
            found = [*pool.map(self._watch, asked)]
        self.unknown = len(self._names) - len(asked) + found.count(Change.UNKNOWN)
        changed = {Change.WRITTEN, Change.REMOVED}
        pairs = [*zip(asked, found, strict=True)]
        known = {name.key for name in self._names}
        pairs += [(name, Change.WRITTEN) for name in self._listed() if name.key not in known]
        return [self._moved(name, change) for name, change in pairs if change in changed]

    def _listed(self) -> list[TableName]:
        """Return all tables of a lake on this machine, except the run log's schema."""
        tables = getattr(self._engine, "tables", list)
        return [name for name in tables() if _schema(name.key) != self._log]

    def _moved(self, name: TableName, change: Change) -> Moved:
        if change is Change.REMOVED:
            return Moved(name=str(name), removed=True)
        try:
            details = self._engine.details(name)
        except Exception:  # noqa: BLE001  the details are optional
            details = None
        if details is None:
            return Moved(name=str(name))
        return Moved(name=str(name), version=details.version, run_id=details.run_id)


def _tables_of(plan: RunPlan, first: str) -> Iterator[TableName]:
    """Yield the tables that the rows of *plan* write, then the tables that they read.

    Both begin with the tables of the row *first*.
    """
    rows = [plan.rows[first], *(row for name, row in plan.rows.items() if name != first)]
    for row in rows:
        for target in row.transformation.targets:
            yield TableName.parse(target.table)
    for row in rows:
        yield from map(TableName.parse, row.reads)
        for target in row.transformation.targets:
            if row.checks:
                yield TableName.parse(quarantine_of(target.table))


def _schema(key: str) -> str:
    return table_key(key).rpartition(".")[0]
