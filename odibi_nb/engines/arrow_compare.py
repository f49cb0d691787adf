"""A table beside what a write would make of it, both as Arrow tables; by DuckDB."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.core.changes import ChangedRow, ColumnChange, ColumnNumbers, TableChange
from odibi_nb.engines.libraries import require
from odibi_nb.engines.pandas_frames import pyarrow
from odibi_nb.engines.table_schema import type_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odibi_nb.core.transformation import Output

SAMPLES = 5
PREVIEW_ROWS = 10
MAX_EXACT = 1_000_000
"""Of more rows distinct values are estimated."""
_FLOAT_DIGITS = {"double": 9, "float": 5}
_CUT = "the inputs were cut, so rows that are missing do not count as removed"


def compare(before: Any, after: Any, output: Output, *, partial: bool = False) -> TableChange:
    """What writing *after* as *output* says would change in a table that holds *before*.

    Null equals null. Floats are equal if they agree but for rounding, as sums in another order do:
    to 9 digits, or 5 of single precision; every other value equals only itself. With the output's keys rows are added,
    removed or changed; without, whole rows are added or removed, however often each comes.

    Args:
        before: an Arrow table, or None if there is no table yet.
        after: an Arrow table with the types of *before*, where they are to stay.
        output: where and how *after* would be written.
        partial: *after* was made of parts of its inputs.
    """
    facts: dict[str, Any] = {
        "table": output.table,
        "mode": output.mode,
        "keys": output.keys,
        "rows_before": None if before is None else before.num_rows,
        "rows_written": after.num_rows,
        "preview": after.slice(0, PREVIEW_ROWS).to_pylist(),
        "changed_columns": {},
    }
    duckdb = require("duckdb", "comparing tables")
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_external_access = false")
        connection.register("written", after)
        if before is None:
            numbers: Any = {
                name: (None, n) for name, n in _numbers(connection, "written", after).items()
            }
            return TableChange(**facts, numbers=numbers)
        connection.register("present", before)
        comparison = _Comparison(connection, before, after, output, partial=partial)
        return TableChange(
            **{**facts, **comparison.rows()},
            columns=_columns(before, after, output),
            numbers=_both_numbers(connection, before, after),
            notes=tuple(comparison.notes),
        )


class _Comparison:
    """Compares the rows of the views ``present`` and ``written`` of *connection*."""

    def __init__(
        self, connection: Any, before: Any, after: Any, output: Output, *, partial: bool
    ) -> None:
        self.connection = connection
        self.before, self.after, self.output, self.partial = before, after, output, partial
        self.notes: list[str] = []
        self.shared = [name for name in after.column_names if name in before.column_names]
        self.keys = self._usable_keys()

    def rows(self) -> dict[str, Any]:
        """The facts of `TableChange` about rows."""
        if self.output.mode == "append":
            return {
                "added": self.after.num_rows,
                "removed": 0,
                "changed": 0,
                "unchanged": self.before.num_rows,
                "added_rows": tuple(self.after.slice(0, SAMPLES).to_pylist()),
            }
        if self.partial:
            self.notes.append(_CUT)
        if self.keys:
            return self._by_keys()
        return {} if self.partial or not self.shared else self._whole_rows()

    def _usable_keys(self) -> list[str]:
        keys = list(self.output.keys)
        lacking = [name for name in keys if name not in self.shared]
        if lacking:
            self.notes.append(f"key column {lacking[0]!r} is not in both: whole rows are compared")
            return []
        sides = ["written"] if self.output.mode == "merge" else ["present", "written"]
        for side in sides if keys else ():
            names = ", ".join(map(_quoted, keys))
            twice = self._one(
                f"SELECT count(*) FROM (SELECT {names} FROM {side} GROUP BY ALL HAVING count(*) > 1)"
            )
            if twice:
                self.notes.append(
                    f"{twice:,} keys ({', '.join(keys)}) come more than once in what is {side}: "
                    "whole rows are compared"
                )
                return []
        return keys

    def _by_keys(self) -> dict[str, Any]:
        on = " AND ".join(f"a.{_quoted(k)} IS NOT DISTINCT FROM b.{_quoted(k)}" for k in self.keys)
        others = [name for name in self.shared if name not in self.keys]
        differs = {name: self._differs(name) for name in others}
        changed_if = " OR ".join(differs.values()) or "false"
        inexact = " OR ".join(self._differs(name, exactly=True) for name in others) or "false"
        added = f"FROM written a ANTI JOIN present b ON {on}"
        removed = f"FROM present b ANTI JOIN written a ON {on}"
        both = f"FROM written a JOIN present b ON {on}"
        tests = (changed_if, inexact, *differs.values())
        sums = ", ".join(f"coalesce(count_if({test}), 0)" for test in tests)
        matched, changed, differing, *each = self._all(f"SELECT count(*), {sums} {both}")[0]
        if differing > changed:
            self.notes.append(
                f"{differing - changed:,} rows differ only by the rounding of floats: unchanged"
            )
        facts: dict[str, Any] = {
            "compared_by": tuple(self.keys),
            "added": self._one(f"SELECT count(*) {added}"),
            "changed": changed,
            "unchanged": matched - changed,
            "added_rows": self._samples("a", added),
            "changed_rows": self._changed_rows(f"{both} WHERE {changed_if}", others),
            "changed_columns": {n: c for n, c in zip(differs, each, strict=True) if c},
        }
        if self.output.mode == "merge":
            facts |= {"removed": 0, "unchanged": self.before.num_rows - changed}
        elif not self.partial:
            facts |= {
                "removed": self._one(f"SELECT count(*) {removed}"),
                "removed_rows": self._samples("b", removed),
            }
        return facts

    def _whole_rows(self) -> dict[str, Any]:
        mine = ", ".join(map(self._comparable, self.shared))
        added = f"(SELECT {mine} FROM written EXCEPT ALL SELECT {mine} FROM present)"
        removed = f"(SELECT {mine} FROM present EXCEPT ALL SELECT {mine} FROM written)"
        count = self._one(f"SELECT count(*) FROM {added}")
        return {
            "added": count,
            "removed": self._one(f"SELECT count(*) FROM {removed}"),
            "unchanged": self.after.num_rows - count,
            "added_rows": self._rows(f"SELECT * FROM {added} ORDER BY ALL LIMIT {SAMPLES}"),
            "removed_rows": self._rows(f"SELECT * FROM {removed} ORDER BY ALL LIMIT {SAMPLES}"),
        }

    def _differs(self, name: str, *, exactly: bool = False) -> str:
        column = _quoted(name)
        digits = self._digits(name)
        if digits and not exactly:
            apart = f"abs(a.{column} - b.{column})"
            larger = f"greatest(abs(a.{column}), abs(b.{column}))"
            near = f"coalesce(isfinite({apart}) AND {apart} <= {larger} * 1e-{digits}, false)"
            return f"(a.{column} IS DISTINCT FROM b.{column} AND NOT {near})"
        if self._same_type(name):
            return f"a.{column} IS DISTINCT FROM b.{column}"
        return f"a.{column}::VARCHAR IS DISTINCT FROM b.{column}::VARCHAR"

    def _comparable(self, name: str) -> str:
        column = _quoted(name)
        digits = self._digits(name)
        if digits:
            return f"format('{{:.{digits - 1}e}}', {column} + 0.0)::DOUBLE AS {column}"
        return column if self._same_type(name) else f"{column}::VARCHAR AS {column}"

    def _digits(self, name: str) -> int:
        """To how many digits a column of floats is compared; 0 where it is compared exactly."""
        if not self._same_type(name):
            return 0
        return _FLOAT_DIGITS.get(str(self.after.schema.field(name).type), 0)

    def _same_type(self, name: str) -> bool:
        return bool(self.before.schema.field(name).type == self.after.schema.field(name).type)

    def _samples(self, alias: str, source: str) -> tuple[dict[str, Any], ...]:
        order = ", ".join(f"{alias}.{_quoted(k)}" for k in self.keys)
        return self._rows(f"SELECT {alias}.* {source} ORDER BY {order} LIMIT {SAMPLES}")

    def _changed_rows(self, source: str, others: Sequence[str]) -> tuple[ChangedRow, ...]:
        if not others:
            return ()
        key = ", ".join(f"a.{_quoted(k)}" for k in self.keys)
        pairs = ", ".join(f"b.{_quoted(n)}, a.{_quoted(n)}" for n in others)
        flags = ", ".join(self._differs(n) for n in others)
        found = self._arrow(
            f"SELECT {key}, {pairs}, {flags} {source} ORDER BY {key} LIMIT {SAMPLES}"
        )
        rows = []
        for values in zip(*(column.to_pylist() for column in found.columns), strict=True):
            k, n = len(self.keys), len(others)
            sides, differ = values[k : k + 2 * n], values[k + 2 * n :]
            columns = {
                name: (sides[2 * i], sides[2 * i + 1]) for i, name in enumerate(others) if differ[i]
            }
            rows.append(
                ChangedRow(key=dict(zip(self.keys, values[:k], strict=True)), columns=columns)
            )
        return tuple(rows)

    def _rows(self, sql: str) -> tuple[dict[str, Any], ...]:
        return tuple(self._arrow(sql).to_pylist())

    def _arrow(self, sql: str) -> Any:
        return self.connection.sql(sql).to_arrow_table()

    def _all(self, sql: str) -> Any:
        return self.connection.execute(sql).fetchall()

    def _one(self, sql: str) -> int:
        return int(self._all(sql)[0][0])


def _columns(before: Any, after: Any, output: Output) -> tuple[ColumnChange, ...]:
    """The columns that the table would gain, lose, or have with another type."""
    had = {field.name: type_name(field.type) for field in before.schema}
    has = {field.name: type_name(field.type) for field in after.schema}
    if output.mode == "merge":  # columns that the frame lacks stay as they are
        has = {**had, **has}
    return tuple(
        ColumnChange(name=name, before=had.get(name), after=has.get(name))
        for name in dict.fromkeys([*had, *has])
        if had.get(name) != has.get(name)
    )


def _both_numbers(
    connection: Any, before: Any, after: Any
) -> dict[str, tuple[ColumnNumbers | None, ColumnNumbers | None]]:
    old, new = _numbers(connection, "present", before), _numbers(connection, "written", after)
    return {name: (old.get(name), new.get(name)) for name in dict.fromkeys([*new, *old])}


def _numbers(connection: Any, view: str, table: Any) -> dict[str, ColumnNumbers]:
    """Each column of *view*, which shows the Arrow *table*, in numbers."""
    types = pyarrow().types
    exact = table.num_rows <= MAX_EXACT
    distinct = "count(DISTINCT {})" if exact else "approx_count_distinct({})"
    wanted = []
    for field in table.schema:
        name, kind = _quoted(field.name), field.type
        number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)
        flat = not types.is_nested(kind) and not types.is_binary(kind)
        wanted += [
            distinct.format(name) if flat else "NULL",
            f"min({name})::VARCHAR" if flat else "NULL",
            f"max({name})::VARCHAR" if flat else "NULL",
            f"avg({name})::DOUBLE" if number else "NULL",
        ]
    values = connection.execute(f"SELECT {', '.join(wanted)} FROM {view}").fetchone()
    return {
        name: ColumnNumbers(
            nulls=table[name].null_count,
            distinct=values[4 * i] or 0,
            lowest=values[4 * i + 1],
            highest=values[4 * i + 2],
            mean=values[4 * i + 3],
        )
        for i, name in enumerate(table.column_names)
    }


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
