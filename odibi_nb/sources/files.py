"""Registry rows in JSON and CSV files."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from odibi_nb.core.model.transformation import (
    ALIASES,
    JSON_COLUMNS,
    OPTIONAL_COLUMNS,
    SEED_COLUMNS,
    python_hint,
)
from odibi_nb.core.text.json import TwinKeyError, as_json, decode_config
from odibi_nb.errors import Problem, RegistryError, did_you_mean
from odibi_nb.sources.upsert import canonical_names, columns_twice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from odibi_nb.core.protocols import Row

_COLUMNS = (*SEED_COLUMNS, *OPTIONAL_COLUMNS)
_KNOWN = frozenset((*_COLUMNS, *ALIASES))


def read_rows(path: Path | str, defaults: Mapping[str, Any] | None = None) -> list[Row]:
    """Return registry rows from a ``.json`` file (an array of objects) or a ``.csv`` file with a header.

    `inputs`, `constants` and `outputs` are returned as Python objects, even if the file has JSON text. An
    empty CSV cell is None. Column names may have any case, and may be the aliases of the seed's query.

    Args:
        path: the file, in UTF-8, with or without a byte order mark.
        defaults: values for rows that omit a column or leave it empty.

    Raises:
        RegistryError: with all problems of the file, each with its place.
    """
    path = Path(path)
    text = _read_text(path)
    if _suffix(path) == ".json":
        rows, problems = _json_rows(text)
    else:
        rows, problems = _csv_rows(text)
    if problems:
        raise RegistryError(str(path), problems)
    for row in rows:
        for name, value in (defaults or {}).items():
            if row.get(name) is None or row[name] == "":
                row[name] = value
    return rows


def write_rows(path: Path | str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write registry rows so that `read_rows` returns the same rows.

    The suffix determines the format, as in `read_rows`. JSON columns may be text or objects: a JSON file
    gets JSON values, a CSV file JSON text.

    Raises:
        RegistryError: if the file cannot be written.
    """
    path = Path(path)
    prepared = [_opened(canonical_names(row)) for row in rows]
    if _suffix(path) == ".json":
        text = msgspec.json.format(as_json(prepared), indent=2) + "\n"
    else:
        text = _csv_text(prepared)
    try:
        path.write_bytes(text.encode())
    except OSError as exc:
        raise RegistryError(str(path), [f"cannot be written: {exc.strerror}"]) from exc


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in (".json", ".csv"):
        raise RegistryError(
            str(path), [f"expected a file .json or .csv, found {suffix or 'no suffix'!r}"]
        )
    return suffix


def _read_text(path: Path) -> str:
    _suffix(path)
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise RegistryError(str(path), [f"cannot be read: {exc.strerror}"]) from exc
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data[: exc.start].count(b"\n") + 1
        raise RegistryError(
            str(path), [f"is not UTF-8: byte 0x{data[exc.start]:02x} in line {line}"]
        ) from exc


def _json_rows(text: str) -> tuple[list[Row], list[Problem]]:
    try:
        decoded = decode_config(text)
    except ValueError as exc:
        return [], [Problem("", f"{exc}{python_hint(text, list)}")]
    if not isinstance(decoded, list):
        return [], [Problem("$", f"expected an array of objects, found {decoded!r:.60}")]
    rows: list[Row] = []
    problems: list[Problem] = []
    for i, item in enumerate(decoded):
        if not isinstance(item, dict):
            problems.append(Problem(f"$[{i}]", f"expected an object, found {item!r:.60}"))
            continue
        problems += _unknown(item, f"$[{i}]")
        problems += [Problem(f"$[{i}]", text) for text in columns_twice(item)]
        row, found = _decoded(item, f"$[{i}].")
        rows.append(row)
        problems += found
    return rows, problems


def _csv_rows(text: str) -> tuple[list[Row], list[Problem]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Row] = []
    problems: list[Problem] = []
    try:
        header = [name.strip() for name in next(reader, [])]
        problems += _check_header(header)
        if problems:
            return [], problems
        for line, cells in _numbered(reader):
            if len(cells) != len(header):
                problems.append(
                    Problem(
                        f"line {line}",
                        f"expected {len(header)} cells, as the header has, found {len(cells)}",
                    )
                )
                continue
            row, found = _decoded(
                {name: cell or None for name, cell in zip(header, cells, strict=True)},
                f"line {line}, column ",
            )
            rows.append(row)
            problems += found
    except csv.Error as exc:
        problems.append(Problem(f"line {reader.line_num}", str(exc)))
    return rows, problems


def _numbered(reader: Any) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is not blank, with its first line: a cell may span several lines."""
    line = reader.line_num + 1
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield line, cells
        line = reader.line_num + 1


def _check_header(header: Sequence[str]) -> list[Problem]:
    folded = {name.lower() for name in header}
    if not _KNOWN & folded:
        return [
            Problem(
                "line 1",
                f"expected a header with the registry's columns, found {','.join(header)!r:.60}",
            )
        ]
    return [
        *_unknown(header, "line 1"),
        *(Problem("line 1", text) for text in columns_twice(header)),
    ]


def _unknown(names: Iterable[str], where: str) -> list[Problem]:
    return [
        Problem(where, f"unknown column {name!r}{did_you_mean(name, _COLUMNS)}")
        for name in names
        if name.lower() not in _KNOWN
    ]


def _decoded(item: Mapping[str, Any], where: str) -> tuple[Row, list[Problem]]:
    """Return *item* by the registry's names, with JSON text decoded. *where* is a prefix for problems."""
    row = canonical_names(item)
    problems = []
    for name in JSON_COLUMNS:
        value = row.get(name)
        if not isinstance(value, str):
            continue
        try:
            row[name] = decode_config(value) if value.strip() else None
        except TwinKeyError:
            continue  # the text keeps both keys, and a plan reports them
        except ValueError as exc:
            hint = python_hint(value, JSON_COLUMNS[name])
            problems.append(Problem(f"{where}{name}", f"{exc}{hint}"))
    return row, problems


def _opened(row: Row) -> Row:
    """Return *row* with its JSON text decoded. Malformed text is kept, so that the user can correct it."""
    return _decoded(row, "")[0]


def _csv_text(rows: Sequence[Row]) -> str:
    given = {name for row in rows for name in row}
    names = [name for name in _COLUMNS if name in SEED_COLUMNS or name in given]
    names += sorted(given - set(names))
    file = io.StringIO(newline="")
    writer = csv.writer(file)
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(name, row.get(name)) for name in names])
    return file.getvalue()


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in JSON_COLUMNS and not isinstance(value, str):
        return as_json(value)
    if isinstance(value, bool):
        return str(int(value))
    return value if isinstance(value, str) else str(value)
