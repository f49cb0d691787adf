"""Compute and check the changes of registry rows, and detect conflicts with other writers, before a write."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.transformation import (
    ALIASES,
    JSON_COLUMNS,
    OPTIONAL_COLUMNS,
    SEED_COLUMNS,
    enabled_from,
    parse_columns,
    row_columns,
)
from odibi_nb.core.text.json import TwinKeyError, as_json, decode_config, decode_json
from odibi_nb.core.text.redaction import redact, shown
from odibi_nb.errors import Problem, RegistryError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from odibi_nb.core.protocols import Row

COLUMNS = (*SEED_COLUMNS, *OPTIONAL_COLUMNS)
"""The columns of the registry, in its order."""

KEY = ("project", "environment", "transformation_id")
"""The columns that identify a row. Projects are compared without case."""

STAMPS = ("created_at", "updated_at")
"""Columns that the write itself sets, never from the rows."""

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Changes:
    """The changes that a write makes to a registry.

    Attributes:
        inserts: the new rows.
        updates: pairs of the current row and the columns to set.
        deletes: the rows to remove, as they are now.
        unchanged: the rows that already agree, as they are now.
    """

    inserts: list[Row] = field(default_factory=list)
    updates: list[tuple[Row, Row]] = field(default_factory=list)
    deletes: list[Row] = field(default_factory=list)
    unchanged: list[Row] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Return True if the write changes any row."""
        return bool(self.inserts or self.updates or self.deletes)

    def by_place(self) -> dict[tuple[str, str], Changes]:
        """Group the changes by (project, environment), sorted."""
        groups: dict[tuple[str, str], Changes] = {}

        def at(row: Row) -> Changes:
            place = str(row["project"]).strip(), str(row["environment"]).strip()
            return groups.setdefault(place, Changes())

        for row in self.inserts:
            at(row).inserts.append(row)
        for update in self.updates:
            at(update[0]).updates.append(update)
        for row in self.deletes:
            at(row).deletes.append(row)
        for row in self.unchanged:
            at(row).unchanged.append(row)
        return dict(sorted(groups.items()))


@dataclass(frozen=True, slots=True)
class Edit:
    """Rows, or parts of rows, to write, and the rows that the editor had read before.

    Attributes:
        rows: the wanted rows. An existing row keeps the columns that its wanted row omits.
        read: the rows as they were when the edit was decided. A write refuses an edit whose rows
            have changed since. None: the edit was decided without reading, and always applies.
        delete: the rows to remove, as they were read.
    """

    rows: tuple[Mapping[str, Any], ...] = ()
    read: tuple[Row, ...] | None = None
    delete: tuple[Row, ...] = ()

    def changes(self, existing: Iterable[Row], columns: Collection[str], source: str) -> Changes:
        """Compute the changes that make *existing* agree with the edit.

        Args:
            existing: the current rows of the table.
            columns: the columns of the table, in lower case.
            source: the name of the table in messages.

        Raises:
            RegistryError: with all problems of all rows, or with every row that another writer has changed
                since it was read.
        """
        now = {row_key(row): row for row in existing}
        before = {row_key(row): row for row in self.read or ()}
        wanted_rows = checked_rows(self.rows, columns, source, {**before, **now})
        changes = compare(wanted_rows, now)
        if self.read is not None:
            conflicts = [*_conflicts(wanted_rows, now, before)]
            conflicts += _changed_before_deletion(self.delete, now)
            if conflicts:
                raise RegistryError(source, [*conflicts, Problem("", TRY_AGAIN)])
        changes.deletes.extend(now[row_key(row)] for row in self.delete if row_key(row) in now)
        return changes


TRY_AGAIN = (
    "another writer came first, and this edit wrote nothing: check the rows and repeat the edit"
)
"""The last problem of an edit that conflicts with another writer's."""


def row_key(row: Mapping[str, Any]) -> Key:
    """Return a key that is equal for rows of the same transformation, even if a database pads text."""
    project, env, id_ = (str(row[name]).strip() for name in KEY)
    return project.lower(), env, id_


def canonical_names(row: Mapping[str, Any]) -> Row:
    """Return *row* with lower-case names. An alias of the seed's query replaces a column that it lacks."""
    folded = {name.lower(): value for name, value in row.items()}
    return {
        ALIASES.get(name, name): value
        for name, value in folded.items()
        if ALIASES.get(name) not in folded
    }


def columns_twice(names: Iterable[str]) -> list[str]:
    """Describe the columns that *names* contain more than once, in another case or under an alias."""
    spelled: dict[str, list[str]] = {}
    for name in names:
        spelled.setdefault(ALIASES.get(name.lower(), name.lower()), []).append(name)
    return [
        f"column {name!r} occurs twice: as {' and '.join(map(repr, names))}"
        for name, names in spelled.items()
        if len(names) > 1
    ]


def require_columns(names: Collection[str], spare: Collection[str], source: str) -> None:
    """Check that *names*, the lower-case columns of the table *source*, contain all of the seed's columns.

    *spare* are the columns that may be a misspelled column of the seed.

    Raises:
        RegistryError: with a problem for each missing column.
    """
    missing = [
        Problem("", f"column {name!r} is missing{did_you_mean(name, spare)}")
        for name in SEED_COLUMNS
        if name not in names
    ]
    if missing:
        raise RegistryError(source, missing)


def checked_rows(
    rows: Iterable[Mapping[str, Any]],
    columns: Collection[str],
    source: str,
    existing: Mapping[Key, Row],
) -> list[Row]:
    """Return *rows* in the form that a table with *columns* (lower-case names) stores.

    JSON values become compact JSON text, `enabled` 1 or 0, blank text None. The check of a row includes the
    columns that it omits, from its row in *existing*, but ignores problems that the existing row has already.

    Raises:
        RegistryError: with all problems of all rows.
    """
    problems: list[Problem] = []
    stored: list[Row] = []
    seen: dict[Key, int] = {}
    for number, raw in enumerate(rows, start=1):
        names = [name for name in canonical_names(raw) if name not in STAMPS]
        values = row_columns(raw)
        key = row_key(values) if values.keys() >= set(KEY) else None
        old = None if key is None else existing.get(key)
        problems += [Problem(f"row number {number}", text) for text in columns_twice(raw)]
        problems += _problems_of(values, names, old, number)
        if key is not None:
            first = seen.setdefault(key, number)
            if first != number:
                where = f"row {key[2]!r} (rows {first} and {number})"
                problems.append(Problem(where, "occurs twice"))
        row = {name: _stored(name, values.get(name)) for name in names}
        if row.get("enabled", 1) is None:
            del row["enabled"]
        stored.append(row)
    problems = [*_check_columns(stored, columns), *problems]
    if problems:
        raise RegistryError(source, problems)
    return [{name: value for name, value in row.items() if name in columns} for row in stored]


def _problems_of(
    values: Row, names: Iterable[str], old: Row | None, number: int
) -> Iterable[Problem]:
    """Return the problems that *values* for the columns *names* add to the row *old*."""
    # Text with a duplicate key is decoded: a write would store it, but a plan refuses it.
    values = {n: decode_json(x) if _has_twins(n, x) else x for n, x in values.items()}
    if old is None:
        return parse_columns(values, number)[1]
    before = row_columns(old)
    emptied = {name for name in names if name not in values and name != "enabled"}
    after = {name: value for name, value in before.items() if name not in emptied} | values
    problems = parse_columns(after, number)[1]
    if not problems:
        return ()
    known = {*parse_columns(before, number)[1]}
    return [problem for problem in problems if problem not in known]


def _has_twins(name: str, value: Any) -> bool:
    if name in JSON_COLUMNS and isinstance(value, str):
        try:
            decode_config(value)
        except ValueError as exc:
            return isinstance(exc, TwinKeyError)
    return False


def rows_with_twins(rows: Iterable[Mapping[str, Any]]) -> list[Problem]:
    """Return the problems of rows with a duplicate JSON key: a write would store it, but a plan refuses it."""
    return [
        problem
        for number, row in enumerate(rows, 1)
        if any(_has_twins(name, value) for name, value in row_columns(row).items())
        for problem in parse_columns(row_columns(row), number)[1]
    ]


def compare(rows: Iterable[Row], existing: Mapping[Key, Row]) -> Changes:
    """Return the changes that make *existing* agree with *rows*. Omitted columns keep their values."""
    changes = Changes()
    for row in rows:
        old = existing.get(row_key(row))
        if old is None:
            given = {name: value for name, value in row.items() if value is not None}
            changes.inserts.append({"enabled": 1, **given})
            continue
        new = {
            name: value
            for name, value in row.items()
            if name not in KEY and not _same(name, old.get(name), value)
        }
        if new:
            changes.updates.append((old, new))
        else:
            changes.unchanged.append(old)
    return changes


def _conflicts(
    wanted_rows: Iterable[Row], now: Mapping[Key, Row], read: Mapping[Key, Row]
) -> Iterable[Problem]:
    """Yield the wanted columns whose current value is neither the wanted value nor the one that was read."""
    for row in wanted_rows:
        before, after = read.get(row_key(row)), now.get(row_key(row))
        where = f"row {row_key(row)[2]!r}"
        if before is None and after is None:
            continue
        if after is None:
            yield Problem(where, "was deleted after it was read")
            continue
        for name, value in row.items():
            current = after.get(name)
            if name in KEY or _same(name, current, value):
                continue
            if before is None:
                message = f"was added by another writer after it was found missing: {name} is "
                found = shown(_decoded(current) if name in JSON_COLUMNS else current)
                yield Problem(f"{where}, {name}", f"{message}{found}{_when(after)}")
            elif not _same(name, before.get(name), current):
                yield Problem(f"{where}, {name}", _changed(before.get(name), after, name))


def _changed_before_deletion(rows: Iterable[Row], now: Mapping[Key, Row]) -> Iterable[Problem]:
    for row, after in ((row, now.get(row_key(row))) for row in rows):
        if after is None:
            continue
        for name in COLUMNS:
            if name not in STAMPS and not _same(name, row.get(name), after.get(name)):
                where = f"row {row_key(row)[2]!r}, {name}"
                yield Problem(where, _changed(row.get(name), after, name))


def _changed(before: Any, after: Row, name: str) -> str:
    now_held = after.get(name)
    if name in JSON_COLUMNS:
        before, now_held = _decoded(before), _decoded(now_held)
    was, now = _difference(before, now_held)
    return f"was changed after it was read: it was {was}, it is now {now}{_when(after)}"


def _difference(before: Any, after: Any) -> tuple[str, str]:
    """Return both values, shortened. Long values begin shortly before their first difference."""
    was, now = shown(before), shown(after)
    if was != now:
        return was, now
    left, right = str(redact(before)), str(redact(after))
    same = sum(1 for _ in itertools.takewhile(lambda x: x[0] == x[1], zip(left, right)))  # noqa: B905
    start = max(0, same - 10)
    return f"…{shown(left[start:])}", f"…{shown(right[start:])}"


def _when(row: Row) -> str:
    """Return the time of a row's last change, or "" if the table does not store it."""
    changed = row.get("updated_at")
    return "" if changed is None else f" (changed {changed})"


def _check_columns(rows: Iterable[Row], columns: Collection[str]) -> list[Problem]:
    given = dict.fromkeys(name for row in rows for name, value in row.items() if value is not None)
    return [
        Problem(
            "",
            f"the table has no column {name!r}; `odibi registry init --all-columns` adds it"
            if name in COLUMNS
            else f"unknown column {name!r}{did_you_mean(name, columns)}",
        )
        for name in given
        if name not in columns
    ]


def _stored(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "enabled":
        return int(bool(enabled_from(value)))
    if name in JSON_COLUMNS:
        return value if isinstance(value, str) else as_json(value)
    return value


def _same(name: str, old: Any, new: Any) -> bool:
    if name == "enabled":
        return enabled_from(old) == enabled_from(new)
    if name in JSON_COLUMNS:
        # As texts, because 1 equals true and 1.0 in Python.
        one, other = (as_json(_decoded(value), canonical=True) for value in (old, new))
        return one == other
    return ("" if old is None else str(old).strip()) == ("" if new is None else str(new).strip())


def _decoded(value: Any) -> Any:
    try:
        return decode_config(value) if isinstance(value, (str, bytes)) else value
    except ValueError:
        return value
