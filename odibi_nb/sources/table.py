"""The TransformationRegistry as a Delta table of the lake."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.transformation import OPTIONAL_COLUMNS, SEED_COLUMNS, enabled_from
from odibi_nb.core.text.structs import utc_now
from odibi_nb.errors import DataError, Problem, RegistryError, did_you_mean
from odibi_nb.sources.upsert import KEY, STAMPS, Changes, Edit
from odibi_nb.storage.row_table import Merge

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from odibi_nb.core.protocols import Row
    from odibi_nb.storage.row_table import Columns, RowTable

_KINDS = {"enabled": "int", "step": "int", **dict.fromkeys(STAMPS, "timestamp")}
_OURS = (*SEED_COLUMNS, *OPTIONAL_COLUMNS)


class TableRegistry:
    """A Delta table with the registry's columns, found in any case.

    Only the seed's twelve are required; those of `OPTIONAL_COLUMNS` are read where they exist.
    Reading never creates anything.
    """

    def __init__(self, table: RowTable, name: str, *, hint: str = "") -> None:
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
        Python objects. `created_at` and `updated_at` are set here, where the table has them.

        Raises:
            RegistryError: with everything that is wrong with any row; nothing has been written.
        """
        changes = self.change(Edit(rows=tuple(rows)))
        return len(changes.inserts), len(changes.updates), len(changes.unchanged)

    def change(self, edit: Edit, *, write: bool = True) -> Changes:
        """Apply *edit*, all of it or nothing, in one commit; return what it changed.

        Without *write*, only work out what it would change. The commit is made only to the very version of the table that was read and compared with the
        rows that the edit was decided on, so that no other edit gets lost.

        Raises:
            RegistryError: with everything that is wrong with any row, or with what another writer
                changed; nothing has been written.
        """
        columns = self._columns()
        done = Changes()

        def decide(found: Sequence[Row]) -> Merge | None:
            nonlocal done
            done = edit.changes(self._plain(found, columns), columns, self.name)
            return _merge_of(done, columns) if done and write else None

        try:
            self._table.merge(self._kinds(columns), decide)
        except DataError as exc:
            raise RegistryError(self.name, [str(exc)]) from exc
        return done

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

        def refine(frame: Any) -> Any:
            return frame if env is None else frame.where(frame[columns["environment"]] == env)

        rows = [
            row
            for row in self._plain(self._table.select(self._kinds(columns), refine), columns)
            if (project is None or str(row["project"]).lower() == project.lower())
            and (env is None or row["environment"] == env)
        ]
        order = KEY if project is None or env is None else ("transformation_id",)
        return sorted(rows, key=lambda row: [str(row[name]) for name in order])

    @staticmethod
    def _kinds(columns: Mapping[str, str]) -> Columns:
        return [(spelled, _KINDS.get(name, "string")) for name, spelled in columns.items()]

    @staticmethod
    def _plain(found: Iterable[Row], columns: Mapping[str, str]) -> list[Row]:
        """Rows by the lower-case names of their columns."""
        names = {spelled: name for name, spelled in columns.items()}
        return [{names[spelled]: value for spelled, value in row.items()} for row in found]

    def _enable_all(self) -> None:
        """The rows of a table that had no `enabled` are enabled, as in a database."""
        names = {name.lower(): name for name in self._table.types() or ()}
        columns = {name: names[name] for name in (*KEY, "enabled")}

        def decide(found: Sequence[Row]) -> Merge | None:
            rows = [row for row in self._plain(found, columns) if row["enabled"] is None]
            changes = Changes(updates=[(row, {"enabled": 1}) for row in rows])
            return _merge_of(changes, columns) if changes else None

        self._table.merge(self._kinds(columns), decide)


def _merge_of(changes: Changes, columns: Mapping[str, str]) -> Merge:
    """All values as text: the table's own types take them, whatever they are."""
    now = utc_now()
    stamps = dict.fromkeys(STAMPS, now)
    pairs: list[tuple[Row | None, Row]] = [(None, {**stamps, **row}) for row in changes.inserts]
    pairs += [(old, {**old, **new, "updated_at": now}) for old, new in changes.updates]
    set_ = {name for _, new in changes.updates for name in (*new, "updated_at")}
    set_ |= {name for _, new in pairs[: len(changes.inserts)] for name in new}
    if changes.deletes:  # whatever of a row has changed, it is not removed
        set_ |= {name for name in columns if name not in STAMPS}
    names = [name for name in columns if name in KEY or name in set_]
    kept = {name: columns[name] for name in names}

    def spelled(row: Row) -> Row:
        return {column: _text(row.get(name)) for name, column in kept.items()}

    def compared(row: Row) -> Row:
        return {c: _text(row.get(n)) for n, c in kept.items() if n not in STAMPS}

    return Merge(
        columns=tuple(kept.values()),
        keys=tuple(columns[name] for name in KEY),
        upserts=tuple((None if old is None else compared(old), spelled(new)) for old, new in pairs),
        deletes=tuple(compared(row) for row in changes.deletes),
    )


def _with_kinds(names: Sequence[str]) -> Columns:
    return [(name, _KINDS.get(name, "string")) for name in names]


def _text(value: Any) -> str | None:
    if value is None:
        return None
    return str(int(value) if isinstance(value, bool) else value)
