"""The plan of a rollback: the tables that a run wrote, and the versions to restore."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from odibi_nb.core.model.provenance import BEFORE_CREATION


class Outlook(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Effect of restoring a table, from metadata.

    Attributes:
        problem: reason why the table cannot be restored; "" if it can.
        rows_removed: number of rows in the files that the restore takes out of the table, if known.
        rows_restored: number of rows in the files that it brings back, if known.
        no_drop: reason why the table cannot be dropped; "" if it can.
    """

    problem: str = ""
    rows_removed: int | None = None
    rows_restored: int | None = None
    no_drop: str = ""


ROW_PREFIX = "rollback "
"""Start of the ids of a rollback's rows, before the table. A row of the registry may be named like a table."""
EMPTY, DROP, RESTORE, NOTHING = "empty", "drop", "restore", "nothing"
"""The actions of a rollback on a table."""


class TableRollback(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One table of a rollback.

    Attributes:
        table: name of the table.
        version: newest version of the table; None if it does not exist.
        restores: version to restore; `BEFORE_CREATION` if the run created the table.
        action: ``restore``, ``empty``, ``drop``, or ``nothing`` if no commit of the run is in effect.
        writers: ids of the run's rows that wrote the table.
        layer: layer of these rows; "" if it is unknown.
        step: order among the tables of a layer: lower steps come first.
        others: commits by others since the run wrote the table, each in words.
        problem: reason why the table cannot be restored; "" if it can.
        rows_removed: see `Outlook`.
        rows_restored: see `Outlook`.
        note: a remark about this table for the user.
    """

    table: str
    version: int | None = None
    restores: int | None = None
    action: str = RESTORE
    writers: tuple[str, ...] = ()
    layer: str = ""
    step: int = 0
    others: tuple[str, ...] = ()
    problem: str = ""
    rows_removed: int | None = None
    rows_restored: int | None = None
    note: str = ""

    @property
    def row_id(self) -> str:
        """Id of the row that restores the table, in the rollback's run."""
        return f"{ROW_PREFIX}{self.table}"

    @property
    def writes(self) -> bool:
        """True if the rollback changes the table."""
        return self.action != NOTHING

    def what(self) -> str:
        """Return the action in words."""
        if self.action == NOTHING:
            return self.note or "nothing to do"
        target = "" if self.restores in (None, BEFORE_CREATION) else f" to v{self.restores}"
        rows = _signed(self.rows_removed, "−") + _signed(self.rows_restored, "+")
        return f"{self.action}{target}{rows}"


def _signed(rows: int | None, sign: str) -> str:
    return "" if rows is None else f" {sign}{rows:,}"


@dataclass(frozen=True, slots=True, kw_only=True)
class RollbackPlan:
    """The tables of a rollback, downstream tables first.

    Attributes:
        run_ids: the run to roll back, and its retries.
        tables: all tables that these runs wrote.
        problems: reasons why the rollback may not begin; empty if it may.
    """

    project: str
    env: str
    run_ids: tuple[str, ...]
    tables: tuple[TableRollback, ...]
    problems: tuple[str, ...] = ()

    @property
    def run_id(self) -> str:
        """The run to roll back."""
        return self.run_ids[0]

    @property
    def to_write(self) -> tuple[TableRollback, ...]:
        """The tables that the rollback changes."""
        return tuple(table for table in self.tables if table.writes)
