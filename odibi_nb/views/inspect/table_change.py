"""The changes that a write would make to a table, as text and as HTML."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.tables import redact
from odibi_nb.core.text.counts import counted
from odibi_nb.views.escaping import escape
from odibi_nb.views.html_parts import folded, head
from odibi_nb.views.records import Records
from odibi_nb.views.run.gantt import shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from odibi_nb.core.model.table_change import (
        ChangedRow,
        ColumnChange,
        ColumnNumbers,
        TableChange,
    )

MAX_VALUE = 60
MAX_COLUMNS = 20
_ARROW = "→"
_NUMBERS = ("nulls", "distinct", "lowest", "highest", "mean")
"""The attributes of `ColumnNumbers`, and the columns that show them."""


def change_text(change: TableChange) -> str:
    """Return the change in lines: counts, columns, samples, numbers, preview."""
    parts = [_head(change), *(f"  · {note}" for note in change.notes)]
    if change.columns:
        parts.append(f"  columns: {', '.join(map(column_text, change.columns))}")
    parts += [f"  {line}" for table in _tables(change) for line in str(table).splitlines()]
    return "\n".join(parts)


def change_html(change: TableChange) -> str:
    """Return the change as HTML. Tables of added, removed or changed rows are open, the others folded."""
    notes = "".join(f"<li>{escape(note)}</li>" for note in change.notes)
    columns = "".join(f"<li>column {escape(column_text(c))}</li>" for c in change.columns)
    listed = f"<ul style='margin:0'>{notes}{columns}</ul>" if notes or columns else ""
    tables = "".join(
        folded(
            table.title,
            replace(table, title="")._repr_html_(),
            is_open=table.title.startswith(("added", "removed", "changed")),
        )
        for table in _tables(change)
    )
    return head(_head(change)) + listed + tables


def _head(change: TableChange) -> str:
    keys = ", ".join(change.compared_by)
    how = f"compared by {keys}" if change.compared_by else "whole rows compared"
    comparison = f"; {how}" if change.unchanged is not None and change.mode != "append" else ""
    return f"{change.summary()} ({change.mode}{comparison})"


def column_text(change: ColumnChange) -> str:
    """Return a column that differs: a sign for the kind of change, the name and the types."""
    if change.before is None:
        return f"+ {change.name} ({change.after})"
    if change.after is None:
        return f"- {change.name} ({change.before})"
    return f"~ {change.name} ({change.before} {_ARROW} {change.after})"


def _tables(change: TableChange) -> list[Records]:
    found = [
        *samples("added", change.added, change.added_rows),
        *samples("removed", change.removed, change.removed_rows),
    ]
    if change.changed_rows:
        where = ", ".join(f"{name} {count:,}" for name, count in change.changed_columns.items())
        shown = len(change.changed_rows)
        title = f"changed rows ({shown} of {change.changed:,}; in columns: {where})"
        found.append(changed_records(title, change.changed_rows))
    numbers = _numbers(change)
    if numbers:
        title = "columns: the table as it is, and what would be written"
        found.append(Records(title, ("column", *_NUMBERS), numbers))
    if change.preview:
        title = f"preview ({len(change.preview)} of {counted(change.rows_written, 'row')})"
        found.append(records(title, change.preview))
    return found


def records(title: str, rows: Iterable[dict[str, Any]]) -> Records:
    """Return rows of a table, shortened and without secrets, below a title."""
    shown = [{name: value_text(value) for name, value in redact(row).items()} for row in rows]
    names: Sequence[str] = [*shown[0]] if shown else []
    more = len(names) - MAX_COLUMNS
    if more > 0:
        title = f"{title}, {counted(more, 'more column')} not shown"
    return Records(title, tuple(names[:MAX_COLUMNS]), shown)


def samples(word: str, count: int | None, rows: Sequence[dict[str, Any]]) -> Iterator[Records]:
    """Yield the table of some of the *count* added or removed rows, unless it is empty."""
    if rows:
        yield records(f"{word} rows ({len(rows)} of {count:,})", rows)


def changed_records(title: str, changed_rows: Iterable[ChangedRow]) -> Records:
    """Return changed rows below a title: one line for each changed value, without secrets."""
    rows = []
    for row in changed_rows:
        key = ", ".join(f"{name}={value_text(value)}" for name, value in redact(row.key).items())
        for name, pair in row.columns.items():
            before, after = (value_text(redact({name: value})[name]) for value in pair)
            rows.append({"key": key, "column": name, "before": before, "after": after})
    return Records(title, ("key", "column", "before", "after"), rows)


def _numbers(change: TableChange) -> list[dict[str, Any]]:
    rows = []
    for name, (before, after) in change.numbers.items():
        secret = redact({name: "x"})[name] != "x"
        numbers = {one: _pair(before, after, one, secret=secret) for one in _NUMBERS}
        rows.append({"column": name, **numbers})
    return rows


def _pair(
    before: ColumnNumbers | None, after: ColumnNumbers | None, attribute: str, *, secret: bool
) -> str:
    """Return one number of both sides, or a single value if they agree."""
    sides = ["–" if n is None else value_text(getattr(n, attribute)) for n in (before, after)]
    if secret and attribute in {"lowest", "highest"}:
        return "***"
    if before is None:
        return sides[1]
    return sides[0] if sides[0] == sides[1] else f"{sides[0]} {_ARROW} {sides[1]}"


def value_text(value: Any) -> str:
    """Return a table's value, shortened to `MAX_VALUE` characters. Null is ""."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    text = f"{value:.10g}" if isinstance(value, float) else str(value)
    return shortened(text, MAX_VALUE)
