"""The run log in CSV files, for a spreadsheet."""

from __future__ import annotations

import csv
import io
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.log_columns import RECORD_COLUMNS, RUN_COLUMNS
from odibi_nb.core.protocols import BaseLogSink
from odibi_nb.errors import DataError
from odibi_nb.storage.row_values import restored_rows, stored_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odibi_nb.core.protocols import Row
    from odibi_nb.storage.row_values import Columns

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_LARGEST_CELL = 2**31 - 1
_limit_lock = threading.Lock()


class CsvLogSink(BaseLogSink):
    """A CSV file of attempts, and beside it ``<stem>_runs.csv`` of runs, in UTF-8 with a header.

    Use it from one process at a time. When `write` returns, the whole batch is on disk. If it raises, no
    part of the batch is in the file.

    A spreadsheet can open the files safely. A cell that it would take for a formula gets a leading
    apostrophe. So does a cell that begins with an apostrophe, and a cell with empty text, because None
    is an empty cell. `runs` and `attempts` remove the apostrophe again.
    """

    def __init__(self, path: Path | str) -> None:
        """Use *path* for the attempts. The first record creates the file and its folder."""
        self._log = Path(path)
        self._runs = self._log.with_name(f"{self._log.stem}_runs{self._log.suffix or '.csv'}")
        self.name = str(self._log)

    def write(self, records: list[Row]) -> None:
        if records:
            _append(self._log, records, RECORD_COLUMNS)

    def write_run(self, record: Row) -> None:
        _append(self._runs, [record], RUN_COLUMNS)

    def written(self, run_id: str) -> set[tuple[str, int]]:
        return {(row["transformation_id"], row["attempt"] or 0) for row in self.attempts([run_id])}

    def runs(self, limit: int) -> list[Row]:
        rows = _read(self._runs, RUN_COLUMNS)
        rows.sort(
            key=lambda row: (
                row.get("run_number") or 0,
                str(row["start_time"] or ""),
                row["run_id"] or "",
            ),
            reverse=True,
        )
        return rows[:limit]

    def attempts(self, run_ids: Sequence[str]) -> list[Row]:
        """Return the records of the given runs, in the file's order, or an empty list without a file.

        Raises:
            DataError: if the file cannot be read.
        """
        asked = set(run_ids)
        return [row for row in _read(self._log, RECORD_COLUMNS) if row["run_id"] in asked]


def _append(path: Path, records: list[Row], columns: Columns) -> None:
    names = [name for name, _ in columns]
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    _check_regular(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _widen(path, columns)
        # One unbuffered write: a process that is killed leaves all of the batch or nothing.
        with path.open("ab", buffering=0) as file:
            size = file.seek(0, os.SEEK_END)
            if size:
                _check_header(path, names)
                if not _ends_line(path):
                    text.write("\r\n")
            else:
                writer.writerow(names)
            for row in stored_rows(records, columns):
                writer.writerow([_cell(row[name]) for name in names])
            try:
                _write_all(file.fileno(), text.getvalue().encode())
                os.fsync(file.fileno())
            except OSError:
                file.truncate(size)
                raise
    except OSError as exc:
        raise DataError(f"run log {path} cannot be written: {exc.strerror}") from exc


def _widen(path: Path, columns: Columns) -> None:
    """Add the columns that a file of an older version lacks, and replace the file in one step."""
    names = [name for name, _ in columns]
    found = _header(path)
    if not found or not set(found) < set(names):
        return
    lines = _lines_of(path)
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(names)
    for line in lines[1:]:
        if len(line) == len(found):
            cells = dict(zip(found, line, strict=True))
            writer.writerow([cells.get(name, "") for name in names])
    new = path.with_name(f"{path.name}.new")
    new.write_bytes(text.getvalue().encode())
    new.replace(path)


def _check_regular(path: Path) -> None:
    """Raise DataError for a pipe or device, because to open it could wait forever."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise DataError(f"run log {path} is not a file")


def _header(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            return file.readline().rstrip("\r\n").split(",")
    except FileNotFoundError:
        return []


def _write_all(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _check_header(path: Path, names: list[str]) -> None:
    found = _header(path)
    if found != names:
        raise DataError(
            f"run log {path} has other columns than these records "
            f"({', '.join(sorted(set(names) ^ set(found))) or 'in another order'}): move the file away"
        )


def _ends_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        return str(value.isoformat()) if hasattr(value, "isoformat") else repr(value)
    return f"'{value}" if not value or value.startswith(("'", *_FORMULA)) else value


def _read(path: Path, columns: Columns) -> list[Row]:
    """Return the file's rows without lines that do not fit the header, torn by a crash or an editor."""
    _check_regular(path)
    try:
        lines = _lines_of(path)
    except FileNotFoundError:
        return []
    except OSError as exc:
        raise DataError(f"run log {path} cannot be read: {exc.strerror}") from exc
    header = lines[0] if lines else []
    rows = [
        {name: _value(cell) for name, cell in zip(header, line, strict=True)}
        for line in lines[1:]
        if len(line) == len(header)
    ]
    return restored_rows(rows, columns)


def _value(cell: str) -> str | None:
    return cell.removeprefix("'") if cell else None


def _lines_of(path: Path) -> list[list[str]]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        text = file.read()
    # An error message may exceed the module's default limit, which applies to the whole process.
    with _limit_lock:
        before = csv.field_size_limit(_LARGEST_CELL)
        try:
            return list(csv.reader(io.StringIO(text, newline="")))
        finally:
            csv.field_size_limit(before)
