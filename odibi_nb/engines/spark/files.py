"""Read files and folders with Spark, with the same rows and types as in the pandas engine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.tables import redact_url
from odibi_nb.core.text.spark_errors import is_no_table
from odibi_nb.core.text.sql_text import backticked
from odibi_nb.engines.files import encodings
from odibi_nb.engines.files.text_columns import WIDEST
from odibi_nb.engines.optional_imports import reason
from odibi_nb.engines.pandas import files as pandas_files
from odibi_nb.engines.pandas.convert import parse_types
from odibi_nb.engines.pandas.frames import to_arrow
from odibi_nb.engines.spark import text_columns
from odibi_nb.engines.spark.connection import SAIL
from odibi_nb.engines.spark.frames import to_spark, types_of
from odibi_nb.errors import DataError, did_you_mean
from odibi_nb.storage.spark_names import for_jvm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from odibi_nb.engines.spark.connection import Connection

_ALIASES = {
    "delimiter": "sep",
    "quotechar": "quote",
    "escapechar": "escape",
    "na_values": "nullValue",
}
"""pandas' option names to Spark's names for the same options."""
_OF_FILES = {"recursiveFileLookup", "pathGlobFilter", "modifiedBefore", "modifiedAfter"}
_OF_TEXT = {
    *_OF_FILES,
    "encoding",
    "multiLine",
    "lineSep",
    "dateFormat",
    "timestampFormat",
    "timestampNTZFormat",
    "locale",
    "samplingRatio",
}
_CSV = {
    *_OF_TEXT,
    "sep",
    "quote",
    "escape",
    "comment",
    "nullValue",
    "nanValue",
    "emptyValue",
    "ignoreLeadingWhiteSpace",
    "ignoreTrailingWhiteSpace",
    "maxColumns",
    "maxCharsPerColumn",
    "charToEscapeQuoteEscaping",
    "unescapedQuoteHandling",
    "positiveInf",
    "negativeInf",
}
_JSON = {
    *_OF_TEXT,
    "allowComments",
    "allowSingleQuotes",
    "allowUnquotedFieldNames",
    "allowNumericLeadingZeros",
    "allowBackslashEscapingAnyCharacter",
    "primitivesAsString",
    "prefersDecimal",
    "dropFieldIfAllNull",
}
_OPTIONS = {
    "csv": _CSV,
    "json": _JSON,
    "parquet": {*_OF_FILES, "mergeSchema", "datetimeRebaseMode", "int96RebaseMode"},
    "delta": {"version", "versionAsOf", "timestampAsOf"},
}
_TIMES = {"timestamp", "date"}
_NUMBERS = {"tinyint", "smallint", "int", "bigint", "float", "double"}
_WIDE = {"int": "bigint", "smallint": "bigint", "tinyint": "bigint", "float": "double"}


def read_file(
    connection: Connection,
    location: str,
    format: str,
    schema: Mapping[str, str] | None = None,
    options: Mapping[str, Any] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Any:
    """Read a file, the files of a folder or glob, or a Delta table.

    pandas on this machine reads workbooks, JSON files that begin with a UTF-16 or UTF-32 mark, and on
    Sail all files except Delta tables. Sail's own readers have other rules: its Parquet reader returns
    null for unsigned 64-bit numbers. Spark reads the rows of all other files on the first action.

    Args:
        connection: the session.
        location: a path or URL that Spark supports.
        format: ``csv``, ``json`` (an array of records, or one per line), ``parquet``, ``excel``,
            ``delta``.
        schema: column to type name, as in the pandas engine. Other columns get the types that are
            found in the file; text that looks like a time stays text.
        options: options of Spark's reader, also under pandas' names for the same options.
        storage_options: options of the location, for files that pandas reads.

    Raises:
        DataError: if *location* does not exist or is malformed, or an option is unknown.
    """
    shown = redact_url(location)
    if format not in pandas_files.SUFFIXES:
        hint = did_you_mean(format, pandas_files.SUFFIXES)
        raise DataError(f"{shown}: unknown format {format!r}{hint}")
    foreign = _foreign_encoding(location, format, options or {})
    if (
        format == "excel"
        or (format == "json" and foreign)  # Spark cannot read lines of UTF-16
        or (connection.kind == SAIL and format != "delta")
    ):
        frame = pandas_files.read_file(location, format, schema, options, storage_options)
        return from_pandas(connection, frame, shown)
    types = parse_types(schema or {}, shown)
    given = _options(format, options or {}, shown)
    if foreign:
        given = {"encoding": foreign.upper(), "multiLine": "true", **given}
    _check_there(location, shown)
    try:
        place = location if connection.kind == SAIL else for_jvm(location)
        return _read(connection.spark, place, format, types, given)
    except DataError:
        raise
    except Exception as exc:
        what = "no such file" if is_no_table(exc) else reason(exc)
        raise DataError(f"{shown}: {what}") from exc


def from_pandas(connection: Connection, frame: Any, name: str) -> Any:
    """Convert a pandas DataFrame to a Spark DataFrame with the types that the pandas engine stores."""
    table = to_arrow(frame, name, of_file=True)
    try:
        return to_spark(connection.spark, table)
    except Exception as exc:
        raise DataError(f"{name}: {reason(exc)}") from exc


def _options(format: str, options: Mapping[str, Any], shown: str) -> dict[str, str]:
    known = {name.lower(): name for name in _OPTIONS[format]}
    given: dict[str, str] = {}
    for name, value in options.items():
        if name == "skip_blank_lines" and value is True:
            continue  # Spark always does
        if name == "lines" and format == "json":
            given["multiLine"] = str(not value).lower()
            continue
        found = known.get(_ALIASES.get(name, name).lower())
        if found is None:
            hint = did_you_mean(name, known.values())
            raise DataError(
                f"{shown}: unknown option {name!r} for {format} on Spark{hint}; a row that needs "
                'pandas\' reader can have "engine": "pandas" in its constants'
            )
        given[found] = str(value).lower() if isinstance(value, bool) else str(value)
    if "version" in given:
        given["versionAsOf"] = given.pop("version")
    return given


def _check_there(location: str, shown: str) -> None:
    """Raise DataError for a missing local file, with the most similar name as a hint."""
    path = Path(location)
    if "://" in location or path.exists() or not path.parent.is_dir():
        return
    if any(character in path.name for character in "*?["):
        return
    hint = did_you_mean(path.name, os.listdir(path.parent))  # noqa: PTH208  names are enough
    raise DataError(f"{shown}: no such file{hint}")


def _read(
    spark: Any, location: str, format: str, types: Mapping[str, str], options: dict[str, str]
) -> Any:
    name = location.lower()
    if format == "csv":
        if ".tsv" in name:
            options.setdefault("sep", "\t")
        quote = options.get("quote", '"')
        if quote:  # Spark's default is a backslash, with which "say ""hi""" would keep its quotes
            options.setdefault("escape", quote)
        return _read_csv(spark, location, types, options)
    if format == "json":
        lines = name.endswith((".jsonl", ".ndjson", ".jsonl.gz", ".ndjson.gz"))
        options.setdefault("multiLine", str(not lines).lower())
        options["mode"] = "FAILFAST"
        return _read_json(spark, location, types, options)
    frame = spark.read.format(format).options(**options).load(location)
    return _with_types(frame, types, _shown(location), plain=False)


def _shown(location: str) -> str:
    """Return *location* as the user spelled it, without secrets."""
    return redact_url(location).removeprefix("file://")


def _foreign_encoding(location: str, format: str, options: Mapping[str, Any]) -> str | None:
    """Return the encoding that the first bytes of a local file show; None for UTF-8."""
    path = Path(location)
    if format not in {"csv", "json"} or options.get("encoding") or not path.is_file():
        return None
    with path.open("rb") as file:
        found = encodings.encoding_of(file.read(encodings.LONGEST_MARK))
    return None if found == "utf-8-sig" else found  # Spark skips that mark


def _read_csv(spark: Any, location: str, types: Mapping[str, str], options: dict[str, str]) -> Any:
    """Read CSV twice: now to find the types that the pandas engine would find, and on an action."""
    shown = _shown(location)

    def reader() -> Any:
        return spark.read.format("csv").option("header", "true").options(**options)

    found = reader().load(location).columns
    # A column without a name gets pandas' name for it, so that it is the same with both engines.
    names = [f"Unnamed: {i}" if n == f"_c{i}" else n for i, n in enumerate(found)]
    _check_named(types, names, shown)
    by_spark = {n: kind for n, kind in types.items() if not text_columns.is_converted_here(kind)}
    schema = ", ".join(f"{backticked(n)} {by_spark.get(n, 'string')}" for n in names)
    frame = (
        reader()
        .option("mode", "FAILFAST")
        .option("enforceSchema", "true")
        .schema(schema)
        .load(location)
    )
    kinds = text_columns.kinds_of(frame, [name for name in names if name not in types])
    return frame.selectExpr(
        *(
            backticked(name)
            if name in by_spark
            else text_columns.converted(name, types.get(name) or kinds[name], shown)
            for name in names
        )
    )


def _read_json(spark: Any, location: str, types: Mapping[str, str], options: dict[str, str]) -> Any:
    """Read JSON twice, first to find its columns, so that numbers never become floats in text columns."""

    def reader() -> Any:
        return spark.read.format("json").options(**options)

    frame = reader().load(location)
    found = types_of(frame.schema)
    if not found and types:  # without records, only the schema names columns
        return spark.createDataFrame(
            [], ", ".join(f"{backticked(n)} {k}" for n, k in types.items())
        )
    exact = {name: text_columns.read_as(kind) for name, kind in types.items()}
    exact_types = {name: exact.get(name) or kind for name, kind in found.items()}
    if exact_types != found:
        wide = ", ".join(f"{backticked(name)} {kind}" for name, kind in exact_types.items())
        frame = reader().schema(wide).load(location)
    texts = [name for name, kind in found.items() if kind == "string" and name not in types]
    kept = {**types, **dict.fromkeys(_without_values(frame, texts), text_columns.NO_VALUES)}
    kept.update(
        {n: f"decimal({WIDEST},0)" for n, k in found.items() if _is_wide(k) and n not in kept}
    )
    return _with_types(frame, kept, _shown(location), plain=True)


def _is_wide(kind: str) -> bool:
    """Return True for the decimals that Spark infers for whole numbers beyond 64 bits."""
    return kind.startswith("decimal(") and kind.endswith(",0)")


def _without_values(frame: Any, names: list[str]) -> list[str]:
    """Return the columns of *names* that are always null."""
    if not names:
        return []
    facts = [f"count({backticked(name)}) AS n{i}" for i, name in enumerate(names)]
    counts = frame.selectExpr(*facts).collect()[0]
    return [name for name, count in zip(names, counts, strict=True) if not count]


def _with_types(frame: Any, types: Mapping[str, str], shown: str, *, plain: bool) -> Any:
    found = types_of(frame.schema)
    _check_named(types, list(found), shown)
    columns = []
    for name, kind in found.items():
        usual = _WIDE.get(kind, kind) if plain else kind
        declared = types.get(name, usual)
        misfit = f"{shown}, column {name!r}: {kind} does not fit type {declared}"
        if kind == "boolean" and declared not in {"boolean", "string"}:
            raise DataError(misfit)
        if kind in _TIMES and _is_number(declared):
            raise DataError(f"{misfit}: a time has no number without a unit and a first day")
        if declared in _TIMES and _is_number(kind):
            raise DataError(f"{misfit}: a number has no unit and no first day")
        same = declared == kind
        columns.append(
            backticked(name) if same else text_columns.recast(name, kind, declared, shown)
        )
    return frame if columns == [backticked(n) for n in found] else frame.selectExpr(*columns)


def _is_number(kind: str) -> bool:
    return kind in _NUMBERS or kind.startswith("decimal")


def _check_named(types: Mapping[str, str], names: list[str], shown: str) -> None:
    for column in types:
        if column not in names:
            raise pandas_files.no_column(shown, column, names)
