"""Compare a table with the result of a write, in SQL of either engine: counts, samples and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.table_change import ColumnNumbers, TableChange
from odibi_nb.core.model.table_diff import SAMPLES
from odibi_nb.core.text.counts import counted
from odibi_nb.engines.comparison_parts import (
    FLOAT_DIGITS,
    INFINITY,
    changed_rows,
    column_changes,
    near,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from odibi_nb.core.model.table_change import ColumnChange, Row
    from odibi_nb.core.model.transformation import Output
    from odibi_nb.engines.comparison_parts import Dialect

PREVIEW_ROWS = 10
_NUMBERS = ("tinyint", "smallint", "int", "bigint", "float", "double", "halffloat", "decimal")
_NESTED = ("array", "list", "large_list", "fixed_size_list", "map", "struct", "binary", "variant")
_HERE = "__odibi_here"
_CUT = "the inputs were cut, so rows that are missing do not count as removed"
_CANNOT = "the inputs were cut, and the output has no keys, so rows cannot be compared"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """The rows to write and the rows of the table, under two names in the SQL of one engine.

    Attributes:
        dialect: the engine's SQL.
        written, present: the names; *present* is "" if the table does not exist yet.
        types_written, types_present: column to type name, as Delta spells it.
        max_exact: the highest number of rows for which distinct values are counted, not estimated.
    """

    dialect: Dialect
    written: str
    present: str
    types_written: Mapping[str, str]
    types_present: Mapping[str, str]
    max_exact: int


def compare(sides: Sides, output: Output, *, partial: bool = False) -> TableChange:
    """Return the changes that a write of one side would make to a table that holds the other.

    Null equals null. Floats are equal if they differ only by rounding, as sums in another order do:
    they must agree to 9 digits, or to 5 in single precision. Every other value equals only itself.
    If the output has keys, rows are added, removed or changed. If not, whole rows are added or
    removed, and duplicates count.

    Args:
        sides: both sides. The written side has the table's types, unless the write replaces them.
        output: the table and the mode of the write.
        partial: True if the written rows were computed from parts of the inputs.
    """
    count, numbers = _numbers(sides, sides.written, sides.types_written)
    names = [*sides.types_written]
    facts: dict[str, Any] = {
        "table": output.table,
        "mode": output.mode,
        "keys": output.keys,
        "rows_before": None,
        "rows_written": count,
        "preview": _dicts(
            names, sides.dialect.rows(f"SELECT * FROM {sides.written} LIMIT {PREVIEW_ROWS}")
        ),
        "changed_columns": {},
    }
    if not sides.present:
        both: Any = {name: (None, n) for name, n in numbers.items()}
        notes = _estimated(sides, count)
        return TableChange(**facts, numbers=both, notes=tuple(notes))
    before, old = _numbers(sides, sides.present, sides.types_present)
    comparison = _Comparison(sides, (before, count), output, partial=partial)
    facts |= {"rows_before": before, **comparison.facts(facts["preview"])}
    return TableChange(
        **facts,
        columns=_columns(sides, output),
        numbers={n: (old.get(n), numbers.get(n)) for n in dict.fromkeys([*numbers, *old])},
        notes=(*comparison.notes, *_estimated(sides, max(before, count))),
    )


class _Comparison:
    """A comparison of the rows of *sides*; *counts* are their numbers of rows, before and after."""

    def __init__(
        self, sides: Sides, counts: tuple[int, int], output: Output, *, partial: bool
    ) -> None:
        self.sides, self.dialect = sides, sides.dialect
        self.output, self.partial = output, partial
        self.before, self.after = counts
        self.notes: list[str] = []
        self.shared = [name for name in sides.types_written if name in sides.types_present]
        self.keys = self._usable_keys() if output.mode != "append" else []

    def facts(self, preview: list[Row]) -> dict[str, Any]:
        """Return the fields of `TableChange` that describe rows."""
        if self.output.mode == "append":
            return {
                "added": self.after,
                "removed": 0,
                "changed": 0,
                "unchanged": self.before,
                "added_rows": tuple(preview[:SAMPLES]),
            }
        if self.partial:
            self.notes.append(_CUT if self.keys else _CANNOT)
        if self.keys:
            return self._by_keys()
        return {} if self.partial or not self.shared else self._whole_rows()

    def _usable_keys(self) -> list[str]:
        keys = list(self.output.keys)
        lacking = [name for name in keys if name not in self.shared]
        if lacking:
            self.notes.append(f"key column {lacking[0]!r} is not in both: whole rows are compared")
            return []
        names = ", ".join(map(self._q, keys))
        merges = self.output.mode == "merge"
        found = {"present": self.sides.present, "written": self.sides.written}
        for side in [] if not keys else ["written"] if merges else [*found]:
            twice = self._one(
                f"SELECT count(*) FROM (SELECT {names} FROM {found[side]} "
                f"GROUP BY {names} HAVING count(*) > 1) AS twice"
            )
            if twice:
                self.notes.append(
                    f"{counted(twice, 'key comes', 'keys come')} ({', '.join(keys)}) more than once in the {side} data: "
                    "whole rows are compared"
                )
                return []
        return keys

    def _by_keys(self) -> dict[str, Any]:
        written, present = self.sides.written, self.sides.present
        on = " AND ".join(f"a.{self._q(k)} IS NOT DISTINCT FROM b.{self._q(k)}" for k in self.keys)
        others = [name for name in self.shared if name not in self.keys]
        differs = {name: self._differs(name) for name in others}
        changed_if = " OR ".join(differs.values()) or "false"
        inexact = " OR ".join(self._differs(name, exactly=True) for name in others) or "false"
        a_is, b_is = f"a.{_HERE} IS NOT NULL", f"b.{_HERE} IS NOT NULL"
        tests = [f"NOT ({b_is})", f"NOT ({a_is})", f"{a_is} AND {b_is}"]
        tests += [f"{tests[2]} AND ({t})" for t in (changed_if, inexact, *differs.values())]
        counts = ", ".join(f"coalesce(count_if({test}), 0) AS n{i}" for i, test in enumerate(tests))
        added, removed, matched, changed, differing, *each = self.dialect.rows(
            f"SELECT {counts} FROM (SELECT *, true AS {_HERE} FROM {written}) AS a "
            f"FULL OUTER JOIN (SELECT *, true AS {_HERE} FROM {present}) AS b ON {on}"
        )[0]
        if differing > changed:
            self.notes.append(
                f"{counted(differing - changed, 'row differs', 'rows differ')} only by the rounding of floats: unchanged"
            )
        facts: dict[str, Any] = {
            "compared_by": tuple(self.keys),
            "added": added,
            "changed": changed,
            "unchanged": matched - changed,
            "changed_columns": {n: c for n, c in zip(differs, each, strict=True) if c},
        }
        if added:
            facts["added_rows"] = self._samples(
                self.sides.types_written, f"FROM {written} AS a ANTI JOIN {present} AS b ON {on}"
            )
        if changed:
            pairs = f"{written} AS a JOIN {present} AS b ON {on} WHERE {changed_if}"
            facts["changed_rows"] = changed_rows(self.dialect, pairs, self.keys, differs)
        if self.output.mode == "merge":
            return facts | {"removed": 0, "unchanged": self.before - changed}
        if not self.partial:
            facts["removed"] = removed
        if removed and not self.partial:
            facts["removed_rows"] = self._samples(
                self.sides.types_present, f"FROM {present} AS a ANTI JOIN {written} AS b ON {on}"
            )
        return facts

    def _whole_rows(self) -> dict[str, Any]:
        mine = ", ".join(map(self._comparable, self.shared))
        written = f"SELECT {mine} FROM {self.sides.written}"
        present = f"SELECT {mine} FROM {self.sides.present}"
        facts: dict[str, Any] = {}
        for what, more, less in (("added", written, present), ("removed", present, written)):
            rows = f"FROM ({more} EXCEPT ALL {less}) AS {what}"
            facts[what] = self._one(f"SELECT count(*) {rows}")
            if facts[what]:
                order = ", ".join(str(i + 1) for i in range(len(self.shared)))
                found = self.dialect.rows(f"SELECT * {rows} ORDER BY {order} LIMIT {SAMPLES}")
                facts[f"{what}_rows"] = tuple(_dicts(self.shared, found))
        return facts | {"unchanged": self.after - facts["added"]}

    def _differs(self, name: str, *, exactly: bool = False) -> str:
        a, b = f"a.{self._q(name)}", f"b.{self._q(name)}"
        digits = self._digits(name)
        if digits and not exactly:
            return (
                f"({a} IS DISTINCT FROM {b} AND NOT {near(a, b, self.sides.types_written[name])})"
            )
        if self._same_type(name):
            kind = self.sides.types_written[name]
            a, b = self.dialect.comparable(a, kind), self.dialect.comparable(b, kind)
            return f"{a} IS DISTINCT FROM {b}"
        return f"CAST({a} AS STRING) IS DISTINCT FROM CAST({b} AS STRING)"

    def _comparable(self, name: str) -> str:
        column = self._q(name)
        digits = self._digits(name)
        if digits:
            finite = f"abs({column}) < {INFINITY}"
            # Sail prints a column with an infinity wrongly, even in rows that CASE excludes.
            number = f"CASE WHEN {finite} THEN {column} + 0.0 ELSE 0.0 END"
            text = self.dialect.scientific(number, digits)
            return f"CASE WHEN {finite} THEN CAST({text} AS DOUBLE) ELSE {column} END AS {column}"
        if self._same_type(name):
            text = self.dialect.comparable(column, self.sides.types_written[name])
            return f"{text} AS {column}"
        return f"CAST({column} AS STRING) AS {column}"

    def _digits(self, name: str) -> int:
        """Return the number of digits to compare in a column of floats; 0 for an exact comparison."""
        if not self._same_type(name):
            return 0
        return FLOAT_DIGITS.get(self.sides.types_written[name], 0)

    def _same_type(self, name: str) -> bool:
        return self.sides.types_written[name] == self.sides.types_present[name]

    def _samples(self, types: Mapping[str, str], source: str) -> tuple[Row, ...]:
        order = ", ".join(f"a.{self._q(k)}" for k in self.keys)
        found = self.dialect.rows(f"SELECT a.* {source} ORDER BY {order} LIMIT {SAMPLES}")
        return tuple(_dicts([*types], found))

    def _q(self, name: str) -> str:
        return self.dialect.quoted(name)

    def _one(self, sql: str) -> int:
        return int(self.dialect.rows(sql)[0][0])


def _dicts(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> list[Row]:
    return [dict(zip(names, row, strict=True)) for row in rows]


def _estimated(sides: Sides, rows: int) -> list[str]:
    return ["distinct values are estimates"] if rows > sides.max_exact else []


def _columns(sides: Sides, output: Output) -> tuple[ColumnChange, ...]:
    """List the columns that the write would add, remove, or give another type."""
    # A merge keeps the columns that the frame lacks.
    kept = sides.types_present if output.mode == "merge" else {}
    return column_changes(sides.types_present, {**kept, **sides.types_written})


def _numbers(
    sides: Sides, name: str, types: Mapping[str, str]
) -> tuple[int, dict[str, ColumnNumbers]]:
    """Return the number of rows of the side called *name*, and the numbers of each column."""
    rows = int(sides.dialect.rows(f"SELECT count(*) FROM {name}")[0][0])
    distinct = "count(DISTINCT {})" if rows <= sides.max_exact else "approx_count_distinct({})"
    numbers = []
    for column, kind in types.items():
        quoted, flat = sides.dialect.quoted(column), not kind.startswith(_NESTED)
        numbers += [
            f"count({quoted})",
            distinct.format(quoted) if flat else "0",
            f"CAST(min({quoted}) AS STRING)" if flat else "NULL",
            f"CAST(max({quoted}) AS STRING)" if flat else "NULL",
            f"avg(CAST({quoted} AS DOUBLE))" if kind.startswith(_NUMBERS) else "NULL",
        ]
    named = ", ".join(f"{value} AS n{i}" for i, value in enumerate(numbers))
    found = sides.dialect.rows(f"SELECT {named} FROM {name}")[0]
    return rows, {
        column: ColumnNumbers(
            nulls=rows - found[5 * i],
            distinct=found[5 * i + 1],
            lowest=found[5 * i + 2],
            highest=found[5 * i + 3],
            mean=found[5 * i + 4],
        )
        for i, column in enumerate(types)
    }
