"""Rows in CSV with a header. An edit writes only the lines of the rows that change."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any, NamedTuple

from odibi_nb.core.model.transformation import JSON_COLUMNS, SEED_COLUMNS
from odibi_nb.core.text.json import as_json
from odibi_nb.errors import Problem
from odibi_nb.sources.row_formats.row_format import (
    KNOWN,
    Revision,
    RowFormat,
    column_of,
    decoded_row,
    unknown_columns,
)
from odibi_nb.sources.upsert import COLUMNS, columns_twice

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from odibi_nb.core.protocols import Row


class _Record(NamedTuple):
    """The cells of a record, and the lines of the text that it takes, counted from 0."""

    cells: list[str]
    first: int
    end: int

    @property
    def blank(self) -> bool:
        """True if the record contains no row."""
        return not any(cell.strip() for cell in self.cells)


class CsvRows(RowFormat):
    """Rows in CSV, with JSON text in the JSON columns. Cells may have line ends of any kind."""

    def read(self, text: str) -> tuple[list[Row], list[Problem]]:
        rows: list[Row] = []
        problems: list[Problem] = []
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            header = [name.strip() for name in next(reader, [])]
            problems += _check_header(header)
            if problems:
                return [], problems
            for record in _records(reader):
                cells, line = record.cells, record.first + 1
                if record.blank:
                    continue
                if len(cells) != len(header):
                    message = f"expected {len(header)} cells, as the header has, found {len(cells)}"
                    problems.append(Problem(f"line {line}", message))
                    continue
                row, found = decoded_row(
                    {name: cell or None for name, cell in zip(header, cells, strict=True)},
                    f"line {line}, column ",
                )
                rows.append(row)
                problems += found
        except csv.Error as exc:
            problems.append(Problem(f"line {reader.line_num}", str(exc)))
        return rows, problems

    def lines(self, text: str) -> list[int]:
        return [record.first + 1 for record in _all_records(text)[1:] if not record.blank]

    def write(self, rows: Sequence[Row]) -> str:
        """Return the text of *rows*: the seed's columns, then the others that any row has."""
        given = {name for row in rows for name in row}
        names = [name for name in COLUMNS if name in SEED_COLUMNS or name in given]
        names += sorted(given - set(names))
        return "".join(
            [_line(names), *(_line([_cell(name, row.get(name)) for name in names]) for row in rows)]
        )

    def revise(self, text: str, revision: Revision) -> str:
        """Return *text* with *revision* applied. Lines of other rows stay, unless a column is added."""
        header, *records = _all_records(text)
        lines = [*io.StringIO(text, newline="")]  # as the reader counts them
        ending = "\r\n" if lines[0].endswith("\r\n") else "\n"
        columns = [column_of(name.strip()) for name in header.cells]
        rows = (*revision.updates.values(), *revision.inserts)
        given = {name for row in rows for name, value in row.items() if value is not None}
        added = [name for name in COLUMNS if name in given and name not in columns]
        pieces = ["".join(lines[header.first : header.end])]
        if added:
            pieces = [_line([*header.cells, *added], ending)]
        number = 0
        for record in records:
            whole = "".join(lines[record.first : record.end])
            if record.blank:
                pieces.append(whole)
                continue
            if number not in revision.deletes:
                changed = revision.updates.get(number)
                cells = _revised_cells(record.cells, [*columns, *added], changed or {})
                pieces.append(_line(cells, ending) if changed or added else whole)
            number += 1
        if revision.inserts and not pieces[-1].endswith(("\n", "\r")):
            pieces.append(ending)
        pieces += [
            _line([_cell(name, row.get(name)) for name in (*columns, *added)], ending)
            for row in revision.inserts
        ]
        return "".join(pieces)


def _revised_cells(cells: list[str], columns: list[str], changed: Row) -> list[str]:
    padded = [*cells, *[""] * (len(columns) - len(cells))]
    return [
        _cell(name, changed[name]) if name in changed else cell
        for name, cell in zip(columns, padded, strict=True)
    ]


def _records(reader: Any) -> Iterator[_Record]:
    """Yield each record with its lines: a cell may span several lines."""
    first = reader.line_num
    for cells in reader:
        yield _Record(cells, first, reader.line_num)
        first = reader.line_num


def _all_records(text: str) -> list[_Record]:
    return [*_records(csv.reader(io.StringIO(text, newline=""), strict=True))]


def _check_header(header: Sequence[str]) -> list[Problem]:
    folded = {name.lower() for name in header}
    if not KNOWN & folded:
        found = ",".join(header)
        message = f"expected a header with the registry's columns, found {found!r:.60}"
        return [Problem("line 1", message)]
    return [
        *unknown_columns(header, "line 1"),
        *(Problem("line 1", text) for text in columns_twice(header)),
    ]


def _line(cells: Sequence[str], ending: str = "\r\n") -> str:
    file = io.StringIO(newline="")
    csv.writer(file, lineterminator=ending).writerow(cells)
    return file.getvalue()


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in JSON_COLUMNS and not isinstance(value, str):
        return as_json(value)
    if isinstance(value, bool):
        return str(int(value))
    return value if isinstance(value, str) else str(value)
