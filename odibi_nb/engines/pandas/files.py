"""Read files and folders into DataFrames, strictly: malformed content raises an error."""

from __future__ import annotations

import contextlib
import csv
import datetime as dt
import inspect
import io
import itertools
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from odibi_nb.concatenation import one_after_the_other
from odibi_nb.core.model.tables import redact_url
from odibi_nb.core.text.redaction import redact
from odibi_nb.engines.delta.tables import open_table, scan
from odibi_nb.engines.files import encodings, excel, json, parquet
from odibi_nb.engines.files.discovery import FoundFile, find_files
from odibi_nb.engines.files.text_columns import MISSING, settle, settle_text
from odibi_nb.engines.optional_imports import load_installed, reason, require
from odibi_nb.engines.pandas.convert import Misfit, convert, parse_types
from odibi_nb.engines.pandas.frames import EXACT_IN_FLOAT, from_arrow, with_columns
from odibi_nb.errors import DataError, EngineNotAvailableError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

SUFFIXES = {
    "csv": (".csv", ".tsv", ".txt"),
    "json": (".json", ".jsonl", ".ndjson"),
    "parquet": (".parquet", ".pq"),
    "excel": (".xlsx", ".xlsm", ".xls"),
    "delta": (),
}
"""The formats, with the suffixes of the files that are read from a folder."""

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
_WORDS = (
    (r"^Error tokenizing data\. C error: ", ""),
    (r"Expected (\d+) fields in line (\d+), saw (\d+)", r"line \2 has \3 fields, expected \1"),
    (r"EOF inside string starting at row \d+", "a quote that opens a field is never closed"),
    (r"^Excel file format cannot be determined.*", "it is not a workbook"),
    (r"^File is not a zip file$", "it is not a workbook"),
    (
        r"^Usecols do not match columns, columns expected but not found: (.*)",
        r"the option usecols names unknown columns: \1",
    ),
)
"""Patterns of pandas' messages, and plainer words for them."""
_SHIFTS_LINES = {"skiprows", "header", "names", "comment", "skip_blank_lines", "lineterminator"}
_SHOWN_VALUE = 60
_DATES_STAY_TEXT = 3  # the first pandas that leaves dates alone with dtype=False


def read_file(
    location: str,
    format: str,
    schema: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Any:
    """Read a file, the files of a folder or glob (sorted by name), or a Delta table.

    In a CSV file, a row with fewer fields than the header gets missing values.

    Args:
        location: a path, or a URL that fsspec (for Delta: delta-rs) supports.
        format: ``csv``, ``json`` (an array of records, or one per line), ``parquet``, ``excel``,
            ``delta``.
        schema: column to type name, one of `odibi_nb.engines.pandas.convert.TYPE_NAMES`. Other
            columns get the types that the reader finds.
        options: keyword arguments of pandas' reader; for Delta ``version``.
        storage_options: for the location, from the environment's `location_options`.

    Raises:
        DataError: if *location* does not exist or is malformed, an option is unknown, or a value does
            not fit its type. The message names location, column, value and line.
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
        return _with_types(frame, types, FoundFile(location, shown), given, "delta")
    frames = []
    for found_file in find_files(location, SUFFIXES[format], storage_options or {}):
        read_options = _with_encoding(found_file, format, given)
        frame = _with_text_names(_read(found_file, format, types, read_options), found_file)
        frames.append(_with_types(frame, types, found_file, read_options, format))
    # The types of columns in files without rows do not matter.
    full = [frame for frame in frames if len(frame)] or frames[:1]
    return _settled(one_after_the_other(full), format, types, given)


def _settled(frame: Any, format: str, types: Mapping[str, str], options: Mapping[str, Any]) -> Any:
    """Find the types of the columns of *frame* that no schema names. *frame* has the rows of all files."""
    dtype = options.get("dtype")
    by_pandas = format == "json" and not json.is_plain(options)
    if format == "parquet" or by_pandas or (dtype is not None and not isinstance(dtype, dict)):
        return frame
    known = {*types, *(dtype or {})}
    missing, columns = _missing(format, options), {}
    if format == "csv" and any(name is not None for name in frame.index.names):
        levels = frame.index.names  # these become columns later, so they get types like columns
        plain = _settled(frame.reset_index(), format, types, {**options, "dtype": dtype})
        return plain.set_index(list(levels))
    for i, (name, found) in enumerate(frame.dtypes.items()):
        if name not in known and _is_open(found):
            series = frame.iloc[:, i]
            is_text = format == "csv"
            columns[i] = (
                settle_text(series, options, missing) if is_text else settle(series, missing)
            )
    return with_columns(frame, columns)


def _is_open(dtype: Any) -> bool:
    """Return True for text and objects, whose type is still to be found."""
    return str(dtype) in {"object", "str", "string"}


def _missing(format: str, options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the words that mean a gap in a column of numbers; none for JSON, which has null."""
    return () if format == "json" or options.get("keep_default_na") is False else MISSING


def _with_encoding(found_file: FoundFile, format: str, options: dict[str, Any]) -> dict[str, Any]:
    """Add the encoding that the file's first bytes show to *options*."""
    if format not in {"csv", "json"} or options.get("encoding"):
        return options
    with contextlib.suppress(Exception), _opened(found_file, options) as file:
        found = encodings.encoding_of(file.read(encodings.LONGEST_MARK))
        return {**options, "encoding": found} if found else options
    return options  # the reader raises with the cause


def _opened(found_file: FoundFile, options: Mapping[str, Any]) -> Any:
    """Open a file for its uncompressed bytes."""
    packing = options.get("compression", "infer")
    packing = packing.get("method", "infer") if isinstance(packing, dict) else packing
    local = require("fsspec.implementations.local", found_file.shown).LocalFileSystem
    return (found_file.system or local()).open(found_file.path, "rb", compression=packing)


def _with_text_names(frame: Any, found_file: FoundFile) -> Any:
    """Convert the column names of *frame* to text: names in a workbook may be years and dates."""
    names: list[str] = []
    for name in frame.columns:
        if isinstance(name, tuple):
            raise DataError(
                f"{found_file.shown}: its columns have several names each, such as {name!r:.60}: give the "
                'option "header" one row'
            )
        names.append(_text_name(name))
    return frame if names == list(frame.columns) else frame.set_axis(_unique(names), axis=1)


def _text_name(name: Any) -> str:
    if isinstance(name, dt.datetime):
        is_day = name.time() == dt.time(0)
        return name.date().isoformat() if is_day else name.isoformat(sep=" ")
    return str(name)


def _unique(names: Sequence[str]) -> list[str]:
    """Number the duplicates in *names*, as pandas does."""
    counts: dict[str, int] = {}
    taken, unique = set(names), []
    for name in names:
        number = counts.get(name, 0)
        new = name
        while number and new in taken:
            new, number = f"{name}.{number}", number + 1
        counts[name] = max(number, 1)
        taken.add(new)
        unique.append(new)
    return unique


def _check_options(
    format: str, options: Mapping[str, Any], types: Mapping[str, str], shown: str
) -> None:
    known = {"version"}
    if format != "delta":
        known = {*inspect.signature(_reader(format, shown)).parameters} - _NOT_DATA
    for name in options:
        if name not in known:
            if name in _NOT_DATA:
                raise DataError(
                    f"{shown}: option {name!r} is refused, because it does not describe the file's data"
                )
            hint = did_you_mean(name, known)
            raise DataError(f"{shown}: unknown option {name!r} for {format}{hint}")
    if types and "dtype" in options:
        raise DataError(f"{shown}: give either 'schema' or the option 'dtype', not both")


def _reader(format: str, shown: str) -> Any:
    return getattr(require("pandas", shown), f"read_{format}")


def _read_delta(
    location: str, shown: str, options: Mapping[str, Any], storage_options: Mapping[str, str]
) -> Any:
    table = open_table(location, shown, storage_options, version=options.get("version"))
    if table is None:
        raise DataError(f"{shown}: no Delta table found")
    return from_arrow(scan(table, shown), shown, exact=True)


def _read(
    found_file: FoundFile, format: str, types: Mapping[str, str], options: dict[str, Any]
) -> Any:
    """Read the file's columns, without converting the columns of *types* yet."""
    pd = require("pandas", found_file.shown)
    if format == "excel":
        load_installed("openpyxl", "xlrd")
        excel.check_extent(found_file, options)
    frame = _call_reader(found_file, format, types, options)
    if not isinstance(frame, pd.DataFrame):
        raise DataError(
            f"{found_file.shown}: the options give a {type(frame).__name__}, not one table: {options!r:.100}"
        )
    if not len(frame.columns) and found_file.is_empty():
        raise DataError(f"{found_file.shown}: the file is empty")
    if format == "csv" and "index_col" not in options and not _counts_rows(frame.index):
        raise DataError(f"{found_file.shown}: its rows have more fields than its header")
    if format == "json" and not json.is_plain(options):
        _check_digits(frame, types, found_file)
    return frame


def _call_reader(
    found_file: FoundFile, format: str, types: Mapping[str, str], options: dict[str, Any]
) -> Any:
    given = {**_defaults(found_file, format, options), **options}
    try:
        if format == "parquet" and parquet.is_plain(options):
            return parquet.read(found_file, options)
        if format == "json" and json.is_plain(options):
            return _read_json(found_file, types, given)
        if format == "csv":
            given = {**given, **_gaps(options)}
        reader = _reader(format, found_file.shown)
        if found_file.system is None:
            return reader(found_file.path, **given)
        with found_file.open(unpack=format in {"csv", "json"}) as file:
            return reader(file, **given)
    except ImportError as exc:
        if format == "excel" and "openpyxl" in str(exc):
            raise EngineNotAvailableError(found_file.shown, "excel", "openpyxl") from exc
        raise DataError(f"{found_file.shown}: {reason(exc)}") from exc
    except DataError:
        raise
    except Exception as exc:
        raise DataError(f"{found_file.shown}: {_reason(exc, found_file, format, given)}") from exc


def _read_json(found_file: FoundFile, types: Mapping[str, str], options: Mapping[str, Any]) -> Any:
    pd = require("pandas", found_file.shown)
    with _opened(found_file, options) as file:
        encoding = options.get("encoding") or "utf-8"
        text = file.read().decode(encoding, options.get("encoding_errors") or "strict")
    if not text.strip():
        raise DataError(f"{found_file.shown}: the file is empty")
    written = any(kind == "string" or kind.startswith("decimal") for kind in types.values())
    lines = bool(options["lines"])
    texts = {name for name, kind in types.items() if kind == "string"}
    columns = json.parse(text, lines=lines, most=options.get("nrows"), written=written, texts=texts)
    series = {name: pd.Series(values, dtype=object) for name, values in columns.items()}
    return pd.DataFrame(series)


def _gaps(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options for pandas so that only empty fields, and words from *options*, mean a gap."""
    if options.get("keep_default_na") is not None or options.get("na_filter") is False:
        return {}
    given, dtype = options.get("na_values"), options.get("dtype")
    typed = list(dtype) if isinstance(dtype, dict) else []
    if not typed and not isinstance(given, dict):
        return {"keep_default_na": False, "na_values": ["", *_listed(given)]}
    words = given if isinstance(given, dict) else dict.fromkeys(typed, _listed(given))
    named = {name: ["", *_listed(found)] for name, found in words.items()}
    for name in typed:
        named[name] = [*named.get(name, [""]), *MISSING]
    return {"keep_default_na": False, "na_values": named}


def _listed(given: Any) -> list[Any]:
    if given is None:
        return []
    return list(given) if isinstance(given, (list, tuple)) else [given]


def _counts_rows(index: Any) -> bool:
    """Return True if *index* only counts rows; pandas makes another one from columns without a name."""
    is_range = isinstance(index, require("pandas", "a file").RangeIndex)
    return not len(index) or bool(is_range and index.start == 0 and index.step == 1)


def _defaults(found_file: FoundFile, format: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the default options for pandas' reader, which keep it from guessing types."""
    if format == "csv":
        dtype = options.get("dtype")
        named = {**dtype} if isinstance(dtype, dict) else {}
        defaults: dict[str, Any] = {"dtype": defaultdict(lambda: str, named) if named else str}
        if found_file.suffix == ".tsv" and "delimiter" not in options:
            defaults["sep"] = "\t"
        return defaults
    if format == "json":
        lines = found_file.suffix in {".jsonl", ".ndjson"}
        defaults = {"dtype": False, "precise_float": True, "lines": lines}
        pandas_version = require("pandas", found_file.shown).__version__
        if int(pandas_version.partition(".")[0]) < _DATES_STAY_TEXT:
            defaults["convert_dates"] = False
        return defaults
    if format == "excel":
        # Cells have types: text that looks like a number stays text, and so does "NA".
        return {"dtype": object, "keep_default_na": False, "na_values": [""]}
    return {}


def _check_digits(frame: Any, types: Mapping[str, str], found_file: FoundFile) -> None:
    """Raise DataError if pandas' reader has turned large whole numbers with gaps into floats."""
    for name, kind in types.items():
        is_float = name in frame.columns and frame[name].dtype.kind == "f"
        if is_float and kind in {"int", "bigint"} and frame[name].abs().max() >= EXACT_IN_FLOAT:
            raise DataError(
                f"{found_file.shown}, column {name!r}: its numbers have more digits than pandas' "
                "reader keeps in a column with gaps: leave out the options that only this reader has"
            )


def _reason(exc: Exception, found_file: FoundFile, format: str, options: Mapping[str, Any]) -> str:
    """Describe the problem of a file for users who see the file and not the code."""
    if found_file.is_empty():
        return "the file is empty"
    if isinstance(exc, UnicodeDecodeError):
        where = f"byte 0x{exc.object[exc.start]:02x} at position {exc.start}"
        return f"it is not {exc.encoding} text ({where}); {encodings.advice(options)}"
    text = reason(exc)
    if format == "json" and "trailing" in text and not options.get("lines"):
        return f'{text}; the option {{"lines": true}} is for a record per line'
    for found, words in _WORDS:
        text = re.sub(found, words, text)
    return text


def _with_types(
    frame: Any,
    types: Mapping[str, str],
    found_file: FoundFile,
    options: Mapping[str, Any],
    format: str,
) -> Any:
    pd = require("pandas", found_file.shown)
    places = {name: i for i, name in enumerate(frame.columns)}
    missing, columns = _missing(format, options), {}
    for column, kind in types.items():
        if column not in places:
            if format == "json" and not len(frame):
                frame = frame.assign(**{column: pd.Series([], dtype=object)})
                places[column] = len(places)
            else:
                raise no_column(found_file.shown, column, places)
        try:
            at = places[column]
            columns[at] = convert(frame.iloc[:, at], kind, options, missing)
        except Misfit as misfit:
            raise DataError(_describe(misfit, column, kind, found_file, options, format)) from None
    return with_columns(frame, columns)


def no_column(shown: str, column: str, names: Collection[str]) -> DataError:
    """Build the error for a *column* of a schema that the file *shown*, with the columns *names*, lacks."""
    hint = did_you_mean(column, names) or f": it has {', '.join(names)}"
    return DataError(f"{shown}: no column {column!r}, which schema names{hint:.300}")


def _describe(
    misfit: Misfit,
    column: str,
    kind: str,
    found_file: FoundFile,
    options: Mapping[str, Any],
    format: str,
) -> str:
    where, value = f"row {misfit.position + 1}", misfit.value
    found = _csv_record(misfit.position, found_file, options) if format == "csv" else None
    if found is not None:
        where, value = f"line {found[0]}", found[1].get(column, value)
    shown = repr(redact(value, column))
    shown = shown if len(shown) <= _SHOWN_VALUE else shown[: _SHOWN_VALUE - 3] + "..."
    advice = ""
    if kind in {"timestamp", "date"}:
        advice = (
            "; if it is not ISO 8601, give its format in the option date_format, such as '%d/%m/%Y'"
        )
    return (
        f"{found_file.shown}, column {column!r}, {where}: {shown} does not fit type {kind}{advice}"
    )


def _csv_record(
    position: int, found_file: FoundFile, options: Mapping[str, Any]
) -> tuple[int, dict[str, str]] | None:
    """Return the first line of a CSV record and its fields; None if options shift the records."""
    if found_file.packed or not _SHIFTS_LINES.isdisjoint(options):
        return None
    tab = "\t" if found_file.suffix == ".tsv" else ","
    separator = options.get("sep", options.get("delimiter", tab))
    if not isinstance(separator, str) or len(separator) != 1:
        return None
    with found_file.open(unpack=False) as file:
        text = io.TextIOWrapper(file, options.get("encoding") or "utf-8-sig", "replace", newline="")
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
