"""The tables in which machines that share an environment see each other's runs, beside the run log."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.log_columns import LEASE_COLUMNS, START_COLUMNS
from odibi_nb.errors import TableNotFoundError
from odibi_nb.storage.row_table import Merge, RowQuery
from odibi_nb.storage.row_values import restored_rows, stored_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from odibi_nb.core.protocols import Row
    from odibi_nb.storage.row_table import RowTable

LEASE_PROPERTIES = {
    "delta.logRetentionDuration": "interval 1 days",
    "delta.deletedFileRetentionDuration": "interval 1 hours",
}
"""Properties of the lease's table, whose few rows change with every beat of a run."""
STARTS_LOOKED_AT = 200
"""Number of newest starts among which a run that died is looked for."""
_KEYS = ("project", "env")


class TableRunState:
    """The lease of each project and environment in one table, and the starts of runs in another.

    The first write creates a table. Every write is one commit.
    """

    def __init__(self, starts: RowTable, lease: RowTable) -> None:
        """Store the tables. Nothing is read yet."""
        self._starts = starts
        self._lease = lease

    def lease(self, project: str, env: str) -> Row | None:
        """Return the lease of *project* and *env*, or None."""
        query = RowQuery(equal={"project": [project], "env": [env]})
        with contextlib.suppress(TableNotFoundError):
            return next(iter(self._lease.select(LEASE_COLUMNS, query)), None)
        return None

    def change_lease(
        self, project: str, env: str, decide: Callable[[Row | None], Mapping[str, Any] | None]
    ) -> None:
        """Call *decide* with the lease, and commit the values that it returns, or nothing for None."""

        def changes(rows: Sequence[Row]) -> Merge | None:
            own = [row for row in rows if (row["project"], row["env"]) == (project, env)]
            old = own[0] if own else None
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

    def note_start(self, row: Row) -> None:
        """Append a run that begins."""
        self._starts.append(stored_rows([row], START_COLUMNS), START_COLUMNS)

    def starts(self, project: str, env: str, but: Collection[str]) -> list[Row]:
        """Return the newest runs that have begun, oldest first, without the runs in *but*."""
        equal: dict[str, Sequence[str]] = {"project": [project], "env": [env]}
        newest = RowQuery(
            equal=equal, order=("run_number", "run_id"), descending=True, limit=STARTS_LOOKED_AT
        )
        with contextlib.suppress(TableNotFoundError):
            found = self._starts.select([("run_id", "string")], newest)
            ids = sorted({row["run_id"] for row in found if row["run_id"]} - {*but})
            if not ids:
                return []
            query = RowQuery(equal={**equal, "run_id": ids}, order=("run_number", "run_id"))
            by_id = {
                row["run_id"]: row
                for row in restored_rows(self._starts.select(START_COLUMNS, query), START_COLUMNS)
            }
            return [*by_id.values()]
        return []

    def tidy(self) -> None:
        """Remove the files of earlier versions of the lease, and compact the starts."""
        self._lease.tidy()
        self._starts.compact()
