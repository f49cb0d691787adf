"""Registry rows in JSON, TOML and CSV files."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi_nb.core.text.bounded_files import MAX_REGISTRY, MAX_TOML_REGISTRY, read_bounded
from odibi_nb.core.text.json import decode_config
from odibi_nb.errors import RegistryError
from odibi_nb.sources.row_formats.csv_rows import CsvRows
from odibi_nb.sources.row_formats.json_rows import JsonRows
from odibi_nb.sources.row_formats.row_format import decoded_row
from odibi_nb.sources.row_formats.toml_rows import TomlRows
from odibi_nb.sources.upsert import canonical_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from odibi_nb.core.protocols import Row
    from odibi_nb.sources.row_formats.row_format import RowFormat

FORMATS: Mapping[str, RowFormat] = {".json": JsonRows(), ".toml": TomlRows(), ".csv": CsvRows()}
"""Suffix to the format of a file."""


def read_rows(path: Path | str, defaults: Mapping[str, Any] | None = None) -> list[Row]:
    """Return the registry rows of a file: ``.json``, ``.toml`` or ``.csv``.

    JSON has an array of objects, TOML a table ``[[transformation]]`` for each row, CSV a header.
    `inputs`, `constants` and `outputs` are returned as Python objects, even if the file has JSON text. An
    empty CSV cell is None. Column names may have any case, and may be the aliases of the seed's query.

    Args:
        path: the file, in UTF-8, with or without a byte order mark.
        defaults: values for rows that omit a column or leave it empty.

    Raises:
        RegistryError: with all problems of the file, each with its place.
    """
    path = Path(path)
    file_format = format_of(path)
    rows, problems = file_format.read(decoded_text(registry_bytes(path), str(path)))
    if problems:
        raise RegistryError(str(path), problems)
    for row in rows:
        for name, value in (defaults or {}).items():
            if row.get(name) is None or row[name] == "":
                row[name] = value
    return rows


def registry_bytes(path: Path) -> bytes:
    """Return the content of a registry file.

    Raises:
        RegistryError: if it cannot be read, or is too large.
    """
    is_toml = path.suffix.lower() == ".toml"
    most = MAX_TOML_REGISTRY if is_toml else MAX_REGISTRY
    try:
        return read_bounded(path, most, "keep the rows in a folder of files, or in a table")
    except OSError as exc:
        raise RegistryError(str(path), [f"cannot be read: {exc.strerror}"]) from exc
    except ValueError as exc:
        raise RegistryError(str(path), [str(exc)]) from exc


def read_plain_rows(path: Path | str) -> list[Row]:
    """Return the rows of a ``.json`` or ``.csv`` file as they are, whatever their columns.

    Raises:
        RegistryError: if the file cannot be read, or is malformed.
    """
    path = Path(path)
    text = decoded_text(registry_bytes(path), str(path))
    if path.suffix.lower() == ".csv":
        return [*csv.DictReader(io.StringIO(text, newline=""), restkey="")]
    try:
        rows = decode_config(text)
    except ValueError as exc:
        raise RegistryError(str(path), [str(exc)]) from exc
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise RegistryError(str(path), ["expected an array of objects"])
    return rows


def write_rows(path: Path | str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write registry rows so that `read_rows` returns the same rows.

    The suffix determines the format, as in `read_rows`. JSON columns may be text or objects: JSON and TOML
    files get their values, a CSV file JSON text.

    Raises:
        RegistryError: if the file cannot be written.
    """
    path = Path(path)
    # Malformed JSON text is kept, so that the user can correct it.
    text = format_of(path).write([decoded_row(canonical_names(row), "")[0] for row in rows])
    try:
        path.write_bytes(text.encode())
    except OSError as exc:
        raise RegistryError(str(path), [f"cannot be written: {exc.strerror}"]) from exc


def format_of(path: Path) -> RowFormat:
    """Return the format of the file *path*.

    Raises:
        RegistryError: if it has another suffix.
    """
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        expected = "expected a file .json, .toml or .csv"
        raise RegistryError(str(path), [f"{expected}, found {suffix or 'no suffix'!r}"])
    return FORMATS[suffix]


def decoded_text(data: bytes, name: str) -> str:
    """Return the text of the file *name*, without a byte order mark.

    Raises:
        RegistryError: if the file is not in UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = data[: exc.start].count(b"\n") + 1
        problem = f"is not UTF-8: byte 0x{data[exc.start]:02x} in line {line}; save it as UTF-8"
        raise RegistryError(name, [problem]) from exc
