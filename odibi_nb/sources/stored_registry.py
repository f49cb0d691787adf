"""The part of a registry that is the same for every kind of store."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from typing import TYPE_CHECKING

from odibi_nb.core.model.transformation import enabled_from
from odibi_nb.core.protocols import EditableRegistry
from odibi_nb.sources.upsert import Edit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from odibi_nb.core.protocols import Row
    from odibi_nb.sources.upsert import Changes

HOW_TO_MAKE = "`odibi registry init` creates it, `odibi registry import FILE` fills it"
"""The next step if a registry does not exist."""


class StoredRegistry(EditableRegistry):
    """A registry that an `Edit` changes, all of it or nothing."""

    name = ""

    def fetch(self, project: str, env: str) -> list[Row]:
        return self.export(project, env)

    def census(self) -> list[tuple[str, str, int]]:
        counts: Counter[tuple[str, str]] = Counter()
        for row in self._census_rows():
            place = str(row["project"]), str(row["environment"])
            counts[place] += bool(enabled_from(row["enabled"]))
        return [(*place, count) for place, count in sorted(counts.items())]

    def _census_rows(self) -> list[Row]:
        """Return the project, environment and `enabled` of all rows."""
        return self.export()

    def upsert(self, rows: Iterable[Mapping[str, object]]) -> tuple[int, int, int]:
        """Insert or update *rows*, all or none, in one commit. Return (inserted, updated, unchanged).

        Two rows are the same row if their project, environment and transformation_id agree. Columns that a
        row omits keep their values, or get their default in a new row. JSON columns take text or Python
        objects. ``created_at`` and ``updated_at`` are set here if the registry has them.

        Raises:
            RegistryError: with all problems of all rows. Nothing is written then.
        """
        changes = self.change(Edit(rows=tuple(rows)))
        return len(changes.inserts), len(changes.updates), len(changes.unchanged)

    @abstractmethod
    def change(self, edit: Edit, *, write: bool = True) -> Changes:
        """Apply *edit* in one commit, and return the changes. Without *write*, only compute them.

        The commit succeeds only on the rows from which the changes were computed, so that no other edit is
        lost.

        Raises:
            RegistryError: with all problems of all rows, or with all changes by other writers that conflict
                with the edit. Nothing is written then.
        """
