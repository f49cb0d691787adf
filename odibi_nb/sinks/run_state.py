"""The table in which machines that share an environment see each other's runs, beside the run log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.log_columns import LEASE_COLUMNS
from odibi_nb.core.protocols import RunStateTables
from odibi_nb.core.runlog.run_lease import is_part_of
from odibi_nb.errors import TableNotFoundError
from odibi_nb.storage.row_table import Merge, RowQuery

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from odibi_nb.core.protocols import Row
    from odibi_nb.storage.row_table import RowTable

LEASE_PROPERTIES = {
    "delta.checkpointInterval": "10",
    "delta.logRetentionDuration": "interval 1 days",
    "delta.deletedFileRetentionDuration": "interval 1 hours",
}
"""Properties of the lease's table, whose few rows change with every beat of a run."""
_KEYS = ("project", "env")


class TableRunState(RunStateTables):
    """The lease of each project and environment, in one table.

    The first write creates the table. Every write is one commit.
    """

    def __init__(self, lease: RowTable) -> None:
        """Store the table. Nothing is read yet."""
        self._lease = lease

    def lease(self, project: str, env: str) -> Row | None:
        query = RowQuery(equal={"project": [project], "env": [env]})
        return next(iter(self._lease.existing_rows(LEASE_COLUMNS, query)), None)

    def leases(self, project: str, env: str) -> list[Row]:
        rows = self._lease.existing_rows(LEASE_COLUMNS, RowQuery(equal={"project": [project]}))
        return [row for row in rows if is_part_of(str(row["env"]), env)]

    def change_lease(
        self, project: str, env: str, decide: Callable[[Row | None], Mapping[str, Any] | None]
    ) -> None:
        def changes(rows: Sequence[Row]) -> Merge | None:
            own = (row for row in rows if (row["project"], row["env"]) == (project, env))
            old = next(own, None)
            new = decide(old)
            if new is None:
                return None
            row = {"project": project, "env": env, **new}
            if old is None:
                return Merge(keys=_KEYS, inserts=(row,))
            return Merge(keys=_KEYS, updates=((old, row),))

        try:
            self._lease.merge(LEASE_COLUMNS, changes)
        except TableNotFoundError:
            self._lease.append([], LEASE_COLUMNS)
            self._lease.merge(LEASE_COLUMNS, changes)

    def tidy(self) -> None:
        self._lease.tidy()
