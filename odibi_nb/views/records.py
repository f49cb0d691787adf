"""A small table that a command returns: shown as text in a terminal, as HTML in a notebook."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from odibi_nb.views.escaping import escape
from odibi_nb.views.html_parts import MAX_RECORDS, beginning_of, signed, table, table_row
from odibi_nb.views.status_style import RUN_STYLES, STATUS_STYLES

MAX_WIDTH = 60
_STATUSES = STATUS_STYLES | RUN_STYLES


@dataclass(frozen=True, slots=True, repr=False)
class Records(Sequence[dict[str, Any]]):
    """Rows with the same columns, and a title. ``str`` has all rows, ``repr`` and HTML the first ones.

    Attributes:
        frame_with: makes a DataFrame from columns and rows; None without a DataFrame library.
        only_in_frame: more columns, too wide to show, which only the DataFrame has.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[dict[str, Any]]
    frame_with: Callable[[Sequence[str], Sequence[dict[str, Any]]], Any] | None = field(
        default=None, repr=False, compare=False
    )
    only_in_frame: tuple[str, ...] = ()

    def __getitem__(self, index: Any) -> Any:
        """Return rows by number or slice. Any other *index* is for the DataFrame: a name, a condition."""
        return self.rows[index] if isinstance(index, (int, slice)) else self.to_frame()[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def to_frame(self) -> Any:
        """Return the rows as a pandas DataFrame."""
        if self.frame_with is None:
            raise TypeError("these records have no DataFrame library: use them as a list")
        return self.frame_with((*self.columns, *self.only_in_frame), self.rows)

    def __str__(self) -> str:
        return self._text(self.rows)

    def __repr__(self) -> str:
        more = len(self.rows) - MAX_RECORDS
        rest = f"\n… and {more:,} more" if more > 0 else ""
        return f"{self._text(self.rows[:MAX_RECORDS])}{rest}"

    def _text(self, rows: Sequence[dict[str, Any]]) -> str:
        if not rows:
            return f"{self.title}: none"
        cells = [[cell_text(row.get(c)) for c in self.columns] for row in rows]
        return "\n".join([self.title, *text_table(self.columns, cells)])

    def _repr_html_(self) -> str:
        if not self.rows:
            return f"<p>{escape(self.title)}: none</p>"
        td = " style='text-align:left;white-space:pre-wrap'"
        rows = [
            table_row((_cell_html(c, row.get(c)) for c in self.columns), td)
            for row in self.rows[:MAX_RECORDS]
        ]
        more = len(self.rows) - MAX_RECORDS
        if more > 0:
            rows.append(table_row([f"… and {more:,} more"], f" colspan={len(self.columns)}"))
        top = f"<table><caption style='text-align:left'>{escape(self.title)}</caption>"
        th = "scope='col' style='text-align:left'"
        return table(map(escape, self.columns), rows, top=top, th=th)


def _cell_html(column: str, value: Any) -> str:
    """Return a value as HTML. A status has its sign and colour."""
    text = escape(beginning_of(cell_text(value)))
    style = _STATUSES.get(value) if column.startswith("status") and isinstance(value, str) else None
    return text if style is None else signed(style, text)


def text_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table: the names of the columns, a rule, and the rows."""
    cells = [list(columns), *map(list, rows)]
    widths = [min(MAX_WIDTH, max(len(line[i]) for line in cells)) for i in range(len(columns))]
    last = max((i for i in range(len(widths)) if any(line[i] for line in cells[1:])), default=0)
    widths[last] = max(len(line[last]) for line in cells)
    lines = [
        "  ".join(
            cell[:width].ljust(width) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in cells
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return lines


def cell_text(value: Any) -> str:
    """Return a value in one line. A time has its UTC offset; None and NaN are empty."""
    if value is None:
        return ""
    if isinstance(value, dt.datetime):
        zone = f"{value:%z}" if value.tzinfo is not None else ""
        shown = "" if not zone else " UTC" if zone == "+0000" else f" {zone[:3]}:{zone[3:]}"
        return f"{value:%Y-%m-%d %H:%M:%S}{shown}"
    if isinstance(value, float):
        return "" if value != value else f"{value:.2f}"  # noqa: PLR0124  NaN: no value
    return " ".join(str(value).split())
