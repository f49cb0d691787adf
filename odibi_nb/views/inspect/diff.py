"""The differences between versions of tables, as text, as HTML, as a DataFrame and as JSON."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.tables import redact
from odibi_nb.core.text.counts import counted
from odibi_nb.views.html_parts import MAX_ITEMS, block, first_of, folded, head, pre
from odibi_nb.views.inspect.table_change import changed_records, column_text, samples, value_text
from odibi_nb.views.json_documents import (
    ChangedRowEntry,
    ColumnDiffEntry,
    DiffDocument,
    TableDiffEntry,
)
from odibi_nb.views.records import Records

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from odibi_nb.core.model.table_diff import TableDiff

_FEWEST_FOLDED = 2
"""Number of equal tables from which on they are one line."""
COLUMNS = ("table", "before", "after", "added", "changed", "removed", "columns", "note")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Diff:
    """The differences between two states of tables, one `TableDiff` each.

    Attributes:
        title: the compared states.
        tables: table name to its differences.
        failures: table name to the reason why it cannot be compared.
        notes: facts about the comparison.
        frame_with: makes a DataFrame of columns and rows; None without a DataFrame library.
        with_equal: True if the text has a line for each equal table; otherwise it only counts them.
    """

    title: str
    tables: Mapping[str, TableDiff]
    failures: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    frame_with: Callable[[Sequence[str], Sequence[dict[str, Any]]], Any] | None = None
    with_equal: bool = False

    @property
    def exit_code(self) -> int:
        """Exit code: 1 if a table cannot be compared, otherwise 0."""
        return int(bool(self.failures))

    def to_frame(self) -> Any:
        """Return one row for each table as a pandas DataFrame."""
        rows = [*map(_row, self.tables.values())]
        rows += [
            {"table": name, "note": f"cannot be compared: {why}"}
            for name, why in self.failures.items()
        ]
        return Records(self.title, COLUMNS, rows, self.frame_with).to_frame()

    def document(self) -> DiffDocument:
        """Return the differences as the document of ``--json``."""
        return DiffDocument(
            title=self.title,
            tables=tuple(map(_entry, self.tables.values())),
            failures=dict(self.failures),
            notes=self.notes,
        )

    def __str__(self) -> str:
        lines = [self.title, *(f"  · {note}" for note in self.notes)]
        is_alone = len(self.tables) == 1 and not self.failures
        shown, equal = self._parted()
        for diff in [*shown, *equal] if self.with_equal else shown:
            lines.append(f"  {_title(diff)}")
            lines += [f"      · {note}" for note in _notes(diff)]
            if is_alone:
                lines += [f"      column {column_text(change)}" for change in diff.columns]
                texts = (str(table) for table in _details(diff))
                lines += [f"    {line}" for text in texts for line in text.splitlines()]
        if equal and not self.with_equal:
            lines.append(f"  {_unchanged(equal)}: --all lists them")
        lines += [f"  ✖ {name}: cannot be compared: {why}" for name, why in self.failures.items()]
        if not self.tables and not self.failures:
            lines.append("  no tables")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        parts = [head(self.title), *map(pre, first_of(self.notes))]
        is_alone = len(self.tables) == 1
        shown, equal = self._parted()
        for diff in shown[:MAX_ITEMS]:
            notes = [*_notes(diff), *(f"column {column_text(c)}" for c in diff.columns)]
            html = "".join(map(pre, first_of(notes)))
            html += "".join(table._repr_html_() for table in _details(diff))
            parts.append(folded(_title(diff), html or pre("no differences"), is_open=is_alone))
        more = len(shown) - MAX_ITEMS
        if more > 0:
            parts.append(pre(f"… and {counted(more, 'more table')}: to_frame() has all"))
        if equal:
            html = "".join(map(pre, first_of([_line(diff) for diff in equal])))
            parts.append(folded(_unchanged(equal), html, is_open=self.with_equal))
        parts += [pre(f"✖ {n}: cannot be compared: {why}") for n, why in self.failures.items()]
        if not self.tables and not self.failures:
            parts.append(pre("no tables"))
        return block(*parts)

    def _parted(self) -> tuple[list[TableDiff], list[TableDiff]]:
        """Return the tables to show one by one, and the equal tables to fold. A single equal table is not folded."""
        equal = [diff for diff in self.tables.values() if not diff]
        if len(equal) < _FEWEST_FOLDED:
            return [*self.tables.values()], []
        return [diff for diff in self.tables.values() if diff], equal


def _unchanged(equal: Sequence[TableDiff]) -> str:
    return f"= {counted(len(equal), 'table')} did not change"


def _line(diff: TableDiff) -> str:
    return "\n".join([_title(diff), *(f"    · {note}" for note in _notes(diff))])


def _title(diff: TableDiff) -> str:
    return f"{'≠' if diff else '='} {diff.summary()}"


def _notes(diff: TableDiff) -> list[str]:
    return [*diff.notes, *diff.rows.notes]


def _row(diff: TableDiff) -> dict[str, Any]:
    return {
        "table": diff.table,
        "before": diff.before,
        "after": diff.after,
        "added": diff.added,
        "changed": diff.changed,
        "removed": diff.removed,
        "columns": ", ".join(map(column_text, diff.columns)),
        "note": "; ".join(_notes(diff)),
    }


def _details(diff: TableDiff) -> list[Records]:
    """Return the changed columns and the samples as tables."""
    rows = diff.rows
    found = []
    if rows.changed_columns:
        listed = [
            {"column": n, "rows": count, "largest difference": value_text(rows.largest.get(n))}
            for n, count in rows.changed_columns.items()
        ]
        found.append(Records("changed columns", ("column", "rows", "largest difference"), listed))
    if rows.changed_rows:
        title = f"changed rows ({len(rows.changed_rows)} of {diff.changed:,})"
        found.append(changed_records(title, rows.changed_rows))
    found += samples("added", diff.added, rows.added_rows)
    found += samples("removed", diff.removed, rows.removed_rows)
    return found


def _entry(diff: TableDiff) -> TableDiffEntry:
    rows = diff.rows
    return TableDiffEntry(
        table=diff.table,
        before=diff.before,
        after=diff.after,
        added=diff.added,
        removed=diff.removed,
        changed=diff.changed,
        compared_by=rows.compared_by,
        columns=tuple(
            ColumnDiffEntry(column=c.name, before=c.before, after=c.after) for c in diff.columns
        ),
        changed_columns=dict(rows.changed_columns),
        largest={
            name: value.total_seconds() if isinstance(value, dt.timedelta) else value
            for name, value in rows.largest.items()
        },
        added_rows=tuple(map(redact, rows.added_rows)),
        removed_rows=tuple(map(redact, rows.removed_rows)),
        changed_rows=tuple(
            ChangedRowEntry(
                key=redact(row.key),
                before=redact({name: pair[0] for name, pair in row.columns.items()}),
                after=redact({name: pair[1] for name, pair in row.columns.items()}),
            )
            for row in rows.changed_rows
        ),
        files_read=diff.files_read,
        files_shared=diff.files_shared,
        notes=tuple(_notes(diff)),
    )
