"""Compare the rows of two versions of a table, in SQL of either engine.

The comparison starts from the *differing* rows: each row that the sides do not have equally often, with
the number of its copies after minus before. Rows that both sides have equally often cancel out. That is
why files that both versions share need not be read: the result is the same with and without them, also
for duplicate rows and duplicate keys. For the same reason keys are paired among the differing rows only.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING

from odibi_nb.core.model.table_diff import SAMPLES, RowDifference
from odibi_nb.engines.comparison_parts import INFINITY, changed_rows, near

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from odibi_nb.core.model.table_change import Row
    from odibi_nb.engines.comparison_parts import Dialect

COPIES = "__odibi_n"
"""Column of differing rows: the number of copies after minus the number before; never 0."""
_TWINS = "__odibi_twins"
_INTEGERS = ("tinyint", "smallint", "int", "bigint")
_FLOATS = ("float", "double")
_TIMES = ("timestamp", "timestamp_ntz", "date")
_MOST_DIGITS = 38


def shared_columns(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str]:
    """Map each column of both sides to the type in which it is compared, ``string`` if types differ."""
    return {
        name: kind if before[name] == kind else _common(before[name], kind)
        for name, kind in after.items()
        if name in before
    }


def _common(one: str, other: str) -> str:
    """Return a type that holds the numbers of both types, or ``string``."""
    both = [one, other]
    if all(kind in _INTEGERS for kind in both):
        return "bigint"
    if all(kind in (*_INTEGERS, *_FLOATS) for kind in both):
        return "double"
    sizes = [re.fullmatch(r"decimal\((\d+), ?(\d+)\)", kind) for kind in both]
    if all(sizes):
        digits = [(int(m[1]), int(m[2])) for m in sizes if m]
        scale = max(s for _, s in digits)
        whole = max(p - s for p, s in digits)
        if whole + scale <= _MOST_DIGITS:
            return f"decimal({whole + scale}, {scale})"
    return "string"


def compared(dialect: Dialect, types: Mapping[str, str], shared: Mapping[str, str]) -> list[str]:
    """Return SQL that selects the *shared* columns of a side whose columns have *types*."""
    found = []
    for name, kind in shared.items():
        column = dialect.quoted(name)
        value = dialect.comparable(column, kind)
        if types[name] != kind:
            value = f"CAST({column} AS {kind.upper()})"
        found.append(f"{value} AS {column}")
    return found


def spelled(keys: Sequence[str], shared: Collection[str]) -> list[str]:
    """Return *keys*, each once, as the columns are spelled; case does not matter, as in Delta."""
    names = {name.casefold(): name for name in shared}
    return [*dict.fromkeys(names.get(key.casefold(), key) for key in keys)]


def difference(dialect: Dialect, shared: Mapping[str, str], keys: Sequence[str]) -> RowDifference:
    """Return the difference that follows from the dialect's differing rows.

    Args:
        dialect: the engine's SQL; its differing rows have the *shared* columns and `COPIES`.
        shared: column to its type.
        keys: columns that identify a row; none to compare whole rows.
    """
    keys = spelled(keys, shared)
    lacking = [name for name in keys if name not in shared]
    if lacking:
        note = f"key column {lacking[0]!r} is not on both sides: whole rows are compared"
        return _whole_rows(dialect, shared, (note,))
    if not keys:
        return _whole_rows(dialect, shared, ())
    return _Keyed(dialect, shared, keys).difference()


def _whole_rows(
    dialect: Dialect, shared: Mapping[str, str], notes: tuple[str, ...]
) -> RowDifference:
    added, removed = _totals(dialect)
    return RowDifference(
        added=added,
        removed=removed,
        added_rows=_samples(dialect, shared, f"{COPIES} > 0", added),
        removed_rows=_samples(dialect, shared, f"{COPIES} < 0", removed),
        notes=notes,
    )


def _totals(dialect: Dialect) -> tuple[int, int]:
    sums = (f"coalesce(sum(CASE WHEN {COPIES} {sign} 0 THEN {COPIES} END), 0)" for sign in "><")
    added, removed = dialect.rows(f"SELECT {', '.join(sums)} FROM {dialect.differing} AS d")[0]
    return int(added), -int(removed)


def _samples(
    dialect: Dialect,
    shared: Mapping[str, str],
    condition: str,
    count: int,
    source: str = "",
    order: Sequence[str] = (),
) -> tuple[Row, ...]:
    """Return at most `SAMPLES` of *count* rows, in order; a row that comes twice appears twice."""
    if not count:
        return ()
    columns = [f"a.{dialect.quoted(name)}" for name in shared]
    listed = ", ".join([*columns, f"a.{COPIES}"])
    sorted_by = ", ".join([f"a.{dialect.quoted(name)}" for name in order] or columns)
    found = dialect.rows(
        f"SELECT {listed} FROM {source or dialect.differing} AS a WHERE {condition} "
        f"ORDER BY {sorted_by} LIMIT {SAMPLES}"
    )
    rows = [dict(zip(shared, row, strict=False)) for row in found for _ in range(abs(row[-1]))]
    return tuple(rows[:SAMPLES])


class _Keyed:
    """A comparison by keys."""

    def __init__(self, dialect: Dialect, shared: Mapping[str, str], keys: Sequence[str]) -> None:
        self.dialect, self.shared, self.keys = dialect, shared, [*keys]
        self.others = [name for name in shared if name not in keys]
        names = ", ".join(map(dialect.quoted, keys))
        self.marked = dialect.kept(
            "marked",
            f"SELECT *, sum(abs({COPIES})) OVER (PARTITION BY {names}, {COPIES} > 0) AS {_TWINS} "
            f"FROM {dialect.differing} AS d",
        )
        on = " AND ".join(
            f"a.{q} IS NOT DISTINCT FROM b.{q}" for q in map(dialect.quoted, self.keys)
        )
        self.pairs = (
            f"(SELECT * FROM {self.marked} AS x WHERE {COPIES} = 1 AND {_TWINS} = 1) AS a "
            f"JOIN (SELECT * FROM {self.marked} AS y WHERE {COPIES} = -1 AND {_TWINS} = 1) AS b "
            f"ON {on}"
        )
        self.on = on

    def difference(self) -> RowDifference:
        """Return the whole difference."""
        added, removed = _totals(self.dialect)
        changed, rounded, columns, largest = self._pairs()
        differs = {name: self._flag(name) for name in self.others}
        return RowDifference(
            added=added - changed,
            removed=removed - changed,
            changed=changed,
            compared_by=tuple(self.keys),
            changed_columns=columns,
            largest=largest,
            added_rows=self._alone(1, added - changed),
            removed_rows=self._alone(-1, removed - changed),
            changed_rows=changed_rows(self.dialect, self.pairs, self.keys, differs)
            if changed
            else (),
            notes=tuple(self._notes(rounded)),
        )

    def _notes(self, rounded: int) -> list[str]:
        names = ", ".join(map(self.dialect.quoted, self.keys))
        twins = self.dialect.rows(
            f"SELECT count(*) FROM (SELECT {names} FROM {self.marked} AS m WHERE {_TWINS} > 1 "
            f"GROUP BY {names}) AS twins"
        )[0][0]
        notes = []
        if twins:
            listed = ", ".join(self.keys)
            notes.append(
                f"{twins:,} key{'s' * (twins != 1)} ({listed}) with several differing rows: their rows "
                "count as added and removed"
            )
        if rounded:
            rows = "changed row differs" if rounded == 1 else "changed rows differ"
            notes.append(f"{rounded:,} {rows} only by the rounding of floats")
        return notes

    def _pairs(self) -> tuple[int, int, dict[str, int], dict[str, float | dt.timedelta]]:
        """Return the pairs: all, the pairs that differ by rounding only, and counts and sizes by column."""
        others = self.others
        measured = [name for name in others if self._is_measured(name)]
        flags = [f"{self._flag(name)} AS d{i}" for i, name in enumerate(others)]
        flags += [f"{self._near_flag(name)} AS r{i}" for i, name in enumerate(others)]
        flags += [f"{self._distance(name)} AS m{i}" for i, name in enumerate(measured)]
        beyond = " OR ".join(f"(d{i} = 1 AND r{i} IS NULL)" for i in range(len(others)))
        values = ["count(*)", f"count(CASE WHEN {beyond or 'false'} THEN 1 END)"]
        values += [f"count(d{i})" for i in range(len(others))]
        values += [f"max(m{i})" for i in range(len(measured))]
        listed = ", ".join(f"{value} AS n{i}" for i, value in enumerate(values))
        found = self.dialect.rows(
            f"SELECT {listed} FROM (SELECT {', '.join([*flags, '1 AS one'])} FROM {self.pairs}) AS f"
        )[0]
        counts, distances = found[2 : 2 + len(others)], found[2 + len(others) :]
        columns = {name: int(n) for name, n in zip(others, counts, strict=True) if n}
        largest: dict[str, float | dt.timedelta] = {}
        for name, value in zip(measured, distances, strict=True):
            if value and name in columns:
                is_time = self.shared[name] in _TIMES
                largest[name] = dt.timedelta(seconds=value) if is_time else float(value)
        return int(found[0]), int(found[0]) - int(found[1]), columns, largest

    def _is_measured(self, name: str) -> bool:
        kind = self.shared[name]
        return kind in (*_INTEGERS, *_FLOATS, *_TIMES) or kind.startswith("decimal")

    def _distance(self, name: str) -> str:
        a, b = self._both(name)
        if self.shared[name] in _TIMES:
            apart = f"abs({self.dialect.seconds(a)} - {self.dialect.seconds(b)})"
        else:
            apart = f"abs(CAST({a} AS DOUBLE) - CAST({b} AS DOUBLE))"
        return f"CASE WHEN {apart} < {INFINITY} THEN {apart} END"

    def _both(self, name: str) -> tuple[str, str]:
        column = self.dialect.quoted(name)
        return f"a.{column}", f"b.{column}"

    def _flag(self, name: str) -> str:
        """Return SQL that is 1 if a pair differs in a column, otherwise null."""
        a, b = self._both(name)
        # Sail 0.7 fails if a bare IS DISTINCT FROM is a column: it takes it for never null.
        return f"CASE WHEN {a} IS DISTINCT FROM {b} THEN 1 END"

    def _near_flag(self, name: str) -> str:
        """Return SQL that is 1 if a pair differs at most by the rounding of floats, otherwise null."""
        kind = self.shared[name]
        if kind not in _FLOATS:
            return "CAST(NULL AS INT)"
        return f"CASE WHEN {near(*self._both(name), kind)} THEN 1 END"

    def _alone(self, sign: int, count: int) -> tuple[Row, ...]:
        """Return samples of the rows on one side that have no partner on the other side."""
        mine, other = (">", "<") if sign > 0 else ("<", ">")
        source = (
            f"(SELECT a.* FROM (SELECT * FROM {self.marked} AS x WHERE {COPIES} {mine} 0) AS a "
            f"ANTI JOIN (SELECT * FROM {self.marked} AS y WHERE {COPIES} {other} 0 AND {_TWINS} = 1) "
            f"AS b ON {self.on} AND a.{_TWINS} = 1)"
        )
        return _samples(self.dialect, self.shared, "true", count, source, self.keys)
