"""The table in which machines that share an environment see each other's runs, beside the run log."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.log_columns import LEASE_COLUMNS
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


class TableRunState:
    """The lease of each project and environment, in one table.

    The first write creates the table. Every write is one commit.
    """

    def __init__(self, lease: RowTable) -> None:
        """Store the table. Nothing is read yet."""
        self._lease = lease

    def lease(self, project: str, env: str) -> Row | None:
        """Return the lease of *project* and *env*, or None."""
        query = RowQuery(equal={"project": [project], "env": [env]})
        with contextlib.suppress(TableNotFoundError):
            return next(iter(self._lease.select(LEASE_COLUMNS, query)), None)
        return None

    def leases(self, project: str, env: str) -> list[Row]:
        """Return the lease of *project* and *env*, and the leases of the parts of jobs that run it."""
        query = RowQuery(equal={"project": [project]})
        with contextlib.suppress(TableNotFoundError):
            rows = self._lease.select(LEASE_COLUMNS, query)
            return [row for row in rows if is_part_of(str(row["env"]), env)]
        return []

    def change_lease(
        self, project: str, env: str, decide: Callable[[Row | None], Mapping[str, Any] | None]
    ) -> None:
        """Call *decide* with the lease, and commit the columns that it returns, or nothing for None."""

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
        """Remove the files of earlier versions of the lease."""
        self._lease.tidy()
