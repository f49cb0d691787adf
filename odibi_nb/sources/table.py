"""The TransformationRegistry as a Delta table of the lake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from odibi_nb.core.decoding import utc_now
from odibi_nb.core.transformation import OPTIONAL_COLUMNS, SEED_COLUMNS, enabled_from
from odibi_nb.errors import DataError, Problem, RegistryError, did_you_mean
from odibi_nb.sources.changes import KEY, STAMPS, checked_rows, compare

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from odibi_nb.core.protocols import Row

Columns = list[tuple[str, str]]
_KINDS = {"enabled": "int", "step": "int", **dict.fromkeys(STAMPS, "timestamp")}
_OURS = (*SEED_COLUMNS, *OPTIONAL_COLUMNS)


class Table(Protocol):
    """A Delta table that may not be there; a column's kind is as in `odibi_nb.core.records`.

    Everything raises DataError, with the reason in one line, if it cannot be done.
    """

    def types(self) -> Mapping[str, str] | None:
        """Its columns; None if there is no table."""

    def select(
        self, columns: Columns, refine: Callable[[Any], Any] = lambda frame: frame
    ) -> list[Row]:
        """Rows, with those of *columns* that it has; *refine* is for frames with comparisons."""

    def append(self, rows: Sequence[Row], columns: Columns) -> None:
        """Append *rows*; the table is made, or gets the columns that it lacks, also without rows."""

    def merge(self, rows: Sequence[Row], columns: Columns, keys: Sequence[str]) -> None:
        """Update the rows whose *keys* are there and insert the others, in one commit."""


class TableRegistry:
    """A Delta table with the registry's columns, found in any case.

    Only the seed's twelve are required; those of `OPTIONAL_COLUMNS` are read where they exist.
    Reading never creates anything.
    """

    def __init__(self, table: Table, name: str, *, hint: str = "") -> None:
        """Nothing is read yet.

        Args:
            table: the table.
            name: what messages call it.
            hint: what else might be meant, for the message that the table is not there.
        """
        self.name = name
        self._table = table
        self._hint = hint

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
        counts: dict[tuple[str, str], int] = {}
        for row in self.export():
            place = str(row["project"]), str(row["environment"])
            counts[place] = counts.get(place, 0) + bool(enabled_from(row["enabled"]))
        return [(*place, count) for place, count in sorted(counts.items())]

    def export(self, project: str | None = None, env: str | None = None) -> list[Row]:
        """Rows as they are stored, of one or all projects and environments, ordered.

        Raises:
            RegistryError: if they cannot be read.
        """
        try:
            return self._rows(self._columns(), project, env)
        except DataError as exc:
            raise RegistryError(self.name, [str(exc)]) from exc

    def create(self, all_columns: bool = False) -> list[str]:
        """Create the table, or add the columns it lacks; what was done, one line each.

        The seed's twelve columns stand in the seed's order, so that an INSERT without column names
        works; *all_columns* adds those of `OPTIONAL_COLUMNS` behind them.

        Raises:
            RegistryError: if that cannot be done.
        """
        wanted = _with_kinds(_OURS if all_columns else SEED_COLUMNS)
        try:
            types = self._table.types()
            known = {name.lower() for name in types or ()}
            missing = [(name, kind) for name, kind in wanted if name not in known]
            if missing:
                self._table.append([], missing)
            if types is not None and "enabled" in dict(missing):
                self._enable_all()
        except DataError as exc:
            raise RegistryError(self.name, [str(exc)]) from exc
        names = [name for name, _ in missing]
        if types is None:
            return [f"created table {self.name}: {', '.join(names)}"]
        return [f"added column {name} to table {self.name}" for name in names]

    def upsert(self, rows: Iterable[Mapping[str, Any]]) -> tuple[int, int, int]:
        """Insert or update *rows*, all or none, in one commit; (inserted, updated, unchanged).

        A row is the same as another if project, environment and transformation_id are. Columns
        that a row leaves out stay as they are, or get their default. JSON columns take text or
        Python objects. `created_at` and `updated_at` are set here, where the table has them. Of two
        who change one row at the same time, the later one's row is kept.

        Raises:
            RegistryError: with everything that is wrong with any row; nothing has been written.
        """
        columns = self._columns()
        wanted = checked_rows(rows, columns, self.name)
        try:
            changes = compare(wanted, self._rows(columns))
            now = utc_now()
            stamps = dict.fromkeys(STAMPS, now)
            changed = [{**stamps, **row} for row in changes.inserts]
            changed += [{**old, **new, "updated_at": now} for old, new in changes.updates]
            if changed:
                names = [n for n in columns if n in KEY or any(n in row for row in changed)]
                self._merge(changed, {name: columns[name] for name in names})
        except DataError as exc:
            raise RegistryError(self.name, [str(exc)]) from exc
        return len(changes.inserts), len(changes.updates), changes.unchanged

    def _columns(self) -> dict[str, str]:
        """Those of our columns that the table has, lower-case, to their spelling.

        Raises:
            RegistryError: if there is no table, or it lacks some of the seed's columns.
        """
        try:
            types = self._table.types()
        except DataError as exc:
            raise RegistryError(self.name, [str(exc)]) from exc
        if types is None:
            text = "there is no such table; `odibi registry init` creates it, "
            text += f"`odibi registry import FILE` fills it{self._hint}"
            raise RegistryError(self.name, [text])
        spelled = {name.lower(): name for name in types}
        spare = [name for name in spelled if name not in _OURS]
        missing = [
            Problem("", f"column {name!r} is missing{did_you_mean(name, spare)}")
            for name in SEED_COLUMNS
            if name not in spelled
        ]
        if missing:
            raise RegistryError(self.name, missing)
        return {name: spelled[name] for name in _OURS if name in spelled}

    def _rows(
        self, columns: Mapping[str, str], project: str | None = None, env: str | None = None
    ) -> list[Row]:
        """Rows, with *columns*' lower-case names; the few that a registry has are chosen here."""
        kinds = [(spelled, _KINDS.get(name, "string")) for name, spelled in columns.items()]

        def refine(frame: Any) -> Any:
            return frame if env is None else frame.where(frame[columns["environment"]] == env)

        names = {spelled: name for name, spelled in columns.items()}
        found = [
            {names[spelled]: value for spelled, value in row.items()}
            for row in self._table.select(kinds, refine)
        ]
        rows = [
            row
            for row in found
            if (project is None or str(row["project"]).lower() == project.lower())
            and (env is None or row["environment"] == env)
        ]
        order = KEY if project is None or env is None else ("transformation_id",)
        return sorted(rows, key=lambda row: [str(row[name]) for name in order])

    def _merge(self, rows: Sequence[Row], columns: Mapping[str, str]) -> None:
        """All values as text: the table's own types take them, whatever they are."""
        values = [{columns[n]: _text(v) for n, v in row.items() if n in columns} for row in rows]
        kinds = [(spelled, "string") for spelled in columns.values()]
        self._table.merge(values, kinds, [columns[name] for name in KEY])

    def _enable_all(self) -> None:
        """The rows of a table that had no `enabled` are enabled, as in a database."""
        names = {name.lower(): name for name in self._table.types() or ()}
        columns = {name: names[name] for name in (*KEY, "enabled")}
        rows = [{**row, "enabled": 1} for row in self._rows(columns)]
        if rows:
            self._merge(rows, columns)


def _with_kinds(names: Sequence[str]) -> Columns:
    return [(name, _KINDS.get(name, "string")) for name in names]


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return str(int(value) if isinstance(value, bool) else value)
