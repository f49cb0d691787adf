"""Reading files and folders into DataFrames, strictly: what is malformed is an error, not data."""

from __future__ import annotations

import csv
import inspect
import itertools
from typing import TYPE_CHECKING, Any

from odibi_nb.core.decoding import decode_json
from odibi_nb.core.tables import redact_url
from odibi_nb.engines.delta_tables import open_table, scan
from odibi_nb.engines.libraries import reason, require
from odibi_nb.engines.pandas_convert import Misfit, convert, parse_types
from odibi_nb.engines.pandas_frames import from_arrow
from odibi_nb.engines.places import Place, find_places
from odibi_nb.errors import DataError, EngineNotAvailableError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SUFFIXES = {
    "csv": (".csv", ".tsv", ".txt"),
    "json": (".json", ".jsonl", ".ndjson"),
    "parquet": (".parquet", ".pq"),
    "excel": (".xlsx", ".xlsm", ".xls"),
    "delta": (),
}
"""The formats, and which files of a folder are meant."""

_NOT_DATA = {
    "filepath_or_buffer",
    "path_or_buf",
    "path",
    "io",
    "chunksize",
    "iterator",
    "filesystem",
    "kwargs",
    "storage_options",
}
_SHIFTS_LINES = {"skiprows", "header", "names", "comment", "skip_blank_lines", "lineterminator"}
_SHOWN_VALUE = 60
_EXACT_IN_FLOAT = 2**53
_DATES_STAY_TEXT = 3  # the first pandas that leaves dates alone when told dtype=False


def read_file(
    location: str,
    format: str,
    schema: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Any:
    """The rows of a file, of a folder's or a glob's files (sorted by name), or of a Delta table.

    Args:
        location: a path, or a URL that fsspec (for Delta: delta-rs) knows.
        format: ``csv``, ``json`` (an array of records, or one per line), ``parquet``, ``excel``,
            ``delta``.
        schema: column to type name, one of `pandas_convert.TYPE_NAMES`; columns that it does not
            name get the types that the reader finds.
        options: keyword arguments of pandas' reader; for Delta ``version``. In CSV a row with fewer fields than the header has missing values.
        storage_options: for the location, from the environment's `location_options`.

    Raises:
        DataError: if nothing is there, it is malformed, an option is unknown, or a value does not
            fit its type; names location, column, value and line.
        EngineNotAvailableError: if a library that the format or location needs is not installed.
    """
    shown = redact_url(location)
    if format not in SUFFIXES:
        hint = did_you_mean(format, SUFFIXES) or f": one of {', '.join(SUFFIXES)}"
        raise DataError(f"{shown}: unknown format {format!r}{hint}")
    types = parse_types(schema or {}, shown)
    given = dict(options or {})
    _check_options(format, given, types, shown)
    if format == "delta":
        frame = _read_delta(location, shown, given, storage_options or {})
        return _with_types(frame, types, Place(location, shown), given, "delta")
    places = find_places(location, SUFFIXES[format], storage_options or {})
    frames = [_with_types(_read(p, format, types, given), types, p, given, format) for p in places]
    if len(frames) == 1:
        return frames[0]
    # Columns of files without rows have no types that could matter.
    full = [frame for frame in frames if len(frame)] or frames[:1]
    return require("pandas", shown).concat(full, ignore_index=True)


def _check_options(
    format: str, options: Mapping[str, Any], types: Mapping[str, str], shown: str
) -> None:
    known = {"version"} if format == "delta" else set(_parameters(format, shown))
    for name in options:
        if name not in known:
            if name in _NOT_DATA:
                raise DataError(
                    f"{shown}: option {name!r} cannot be given: it does not describe data"
                )
            hint = did_you_mean(name, known)
            raise DataError(f"{shown}: unknown option {name!r} for {format}{hint}")
    if types and "dtype" in options:
        raise DataError(f"{shown}: give either 'schema' or the option 'dtype', not both")


def _reader(format: str, shown: str) -> Any:
    return getattr(require("pandas", shown), f"read_{format}")


def _parameters(format: str, shown: str) -> list[str]:
    names = inspect.signature(_reader(format, shown)).parameters
    return [name for name in names if name not in _NOT_DATA]


def _read_delta(
    location: str, shown: str, options: Mapping[str, Any], storage_options: Mapping[str, str]
) -> Any:
    table = open_table(location, shown, storage_options, version=options.get("version"))
    if table is None:
        raise DataError(f"{shown}: no Delta table is there")
    return from_arrow(scan(table, shown), shown)


def _read(place: Place, format: str, types: Mapping[str, str], options: dict[str, Any]) -> Any:
    """The file as pandas reads it, with the columns of *types* not yet converted."""
    given = options
    options = {**_defaults(place, format, types, given), **given}
    frame = _call_reader(place, format, options)
    if format == "csv":
        again = _lost_digits(frame, types)
        if again:
            dtypes = {**options.get("dtype", {}), **dict.fromkeys(again, str)}
            frame = _call_reader(place, format, {**options, "dtype": dtypes})
    pd = require("pandas", place.shown)
    if not isinstance(frame, pd.DataFrame):
        raise DataError(
            f"{place.shown}: the options give a {type(frame).__name__}, not one table: {given!r:.100}"
        )
    if not len(frame.columns) and place.is_empty():
        raise DataError(f"{place.shown}: the file is empty")
    if format == "csv" and "index_col" not in options and not _counts_rows(frame.index):
        raise DataError(f"{place.shown}: its rows have more fields than its header")
    # Cells of a workbook have types: text that looks like a number stays text.
    return frame.infer_objects() if options.get("dtype") is object else frame


def _call_reader(place: Place, format: str, options: dict[str, Any]) -> Any:
    reader = _reader(format, place.shown)
    try:
        if place.system is None:
            return reader(place.path, **options)
        with place.open(unpack=format in {"csv", "json"}) as file:
            return reader(file, **options)
    except ImportError as exc:
        raise _missing(exc, place, format) from exc
    except Exception as exc:
        raise DataError(f"{place.shown}: {_reason(exc, place, format, options)}") from exc


def _counts_rows(index: Any) -> bool:
    """Whether pandas made *index*; it makes another one of columns that have no name."""
    is_range = isinstance(index, require("pandas", "a file").RangeIndex)
    return not len(index) or bool(is_range and index.start == 0 and index.step == 1)


def _defaults(
    place: Place, format: str, types: Mapping[str, str], options: Mapping[str, Any]
) -> dict[str, Any]:
    """What pandas is told unless the options say otherwise: above all, not to guess."""
    if format == "csv":
        as_text = [name for name, kind in types.items() if _needs_text(kind, options)]
        defaults: dict[str, Any] = {"dtype": dict.fromkeys(as_text, str)} if as_text else {}
        if place.suffix == ".tsv" and "delimiter" not in options:
            defaults["sep"] = "\t"
        if {"engine", "sep", "delimiter", "skipfooter"}.isdisjoint(options):
            defaults["low_memory"] = False  # one type per column, not one per chunk
        return defaults
    if format == "json":
        lines = place.suffix in {".jsonl", ".ndjson"}
        defaults = {"dtype": False, "precise_float": True, "lines": lines}
        if int(require("pandas", place.shown).__version__.partition(".")[0]) < _DATES_STAY_TEXT:
            defaults["convert_dates"] = False
        return defaults
    return {"dtype": object} if format == "excel" else {}


def _needs_text(kind: str, options: Mapping[str, Any]) -> bool:
    """Whether a column must not be read as numbers; text is slow to read."""
    if kind in {"timestamp", "date"}:
        return bool(options.get("date_format"))
    return kind == "string" or kind.startswith("decimal")


def _lost_digits(frame: Any, types: Mapping[str, str]) -> list[str]:
    """Columns of whole numbers that pandas read as floats, because of gaps, and thereby changed."""
    return [
        name
        for name, kind in types.items()
        if kind in {"int", "bigint"}
        and name in frame.columns
        and frame[name].dtype.kind == "f"
        and frame[name].abs().max() >= _EXACT_IN_FLOAT
    ]


def _missing(exc: ImportError, place: Place, format: str) -> Exception:
    if format == "excel" and "openpyxl" in str(exc):
        return EngineNotAvailableError(place.shown, "excel", "openpyxl")
    return DataError(f"{place.shown}: {reason(exc)}")


def _reason(exc: Exception, place: Place, format: str, options: Mapping[str, Any]) -> str:
    if place.is_empty():
        return "the file is empty"
    if isinstance(exc, UnicodeDecodeError):
        return f"{reason(exc)}; an option such as encoding='latin-1' says how text is written"
    if format == "json" and not place.packed:
        with place.open(unpack=False) as file:
            return _json_reason(file, lines=bool(options["lines"])) or reason(exc)
    return reason(exc)


def _json_reason(file: Any, *, lines: bool) -> str | None:
    """What is wrong with JSON, where it stands; None if it is well-formed."""
    for number, text in enumerate(file if lines else [file.read()], 1):
        try:
            if text.strip():
                decode_json(text)
        except ValueError as exc:
            hint = '; the option {"lines": true} is for a record per line'
            is_lines = not lines and "trailing" in str(exc)
            return f"line {number}: {exc}" if lines else f"{exc}{hint if is_lines else ''}"
    return None


def _with_types(
    frame: Any, types: Mapping[str, str], place: Place, options: Mapping[str, Any], format: str
) -> Any:
    pd = require("pandas", place.shown)
    for column, kind in types.items():
        if column not in frame.columns:
            if format == "json" and not len(frame):
                frame[column] = convert(pd.Series([], name=column, dtype=object), kind, options)
                continue
            known = [str(name) for name in frame.columns]
            hint = did_you_mean(column, known) or f": it has {', '.join(known)}"
            raise DataError(f"{place.shown}: no column {column!r}, which schema names{hint:.300}")
        try:
            frame[column] = convert(frame[column], kind, options)
        except Misfit as misfit:
            raise DataError(_describe(misfit, column, kind, place, options, format)) from None
    return frame


def _describe(
    misfit: Misfit,
    column: str,
    kind: str,
    place: Place,
    options: Mapping[str, Any],
    format: str,
) -> str:
    where, value = f"row {misfit.position + 1}", misfit.value
    found = _csv_record(misfit.position, place, options) if format == "csv" else None
    if found is not None:
        where, value = f"line {found[0]}", found[1].get(column, value)
    shown = repr(value)
    shown = shown if len(shown) <= _SHOWN_VALUE else shown[: _SHOWN_VALUE - 3] + "..."
    advice = ""
    if kind in {"timestamp", "date"}:
        advice = (
            "; if it is not ISO 8601, the option date_format (such as '%d/%m/%Y') says what it is"
        )
    return f"{place.shown}, column {column!r}, {where}: {shown} does not fit type {kind}{advice}"


def _csv_record(
    position: int, place: Place, options: Mapping[str, Any]
) -> tuple[int, dict[str, str]] | None:
    """The line on which a CSV record begins, and its fields; None if options move the records."""
    if place.packed or not _SHIFTS_LINES.isdisjoint(options):
        return None
    tab = "\t" if place.suffix == ".tsv" else ","
    separator = options.get("sep", options.get("delimiter", tab))
    if not isinstance(separator, str) or len(separator) != 1:
        return None
    with place.open(unpack=False) as file:
        text = (line.decode(options.get("encoding") or "utf-8-sig", "replace") for line in file)
        reader = csv.reader(text, delimiter=separator, quotechar=options.get("quotechar", '"'))
        records = _records(reader)
        _, header = next(records, (0, []))
        found = next(itertools.islice(records, position, None), None)
    return None if found is None else (found[0], dict(zip(header, found[1], strict=False)))


def _records(reader: Any) -> Iterator[tuple[int, list[str]]]:
    before = 0
    for record in reader:
        if record:
            yield before + 1, record
        before = reader.line_num
