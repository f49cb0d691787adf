"""Ready-made Bronze functions for rows that only load files or tables.

A row with ``module`` ``odibi_nb.ingest`` and one of the functions below needs no code. The functions
take their arguments from ``constants`` and return a DataFrame, which the runner writes to the row's
``outputs``. In addition to the orchestrator's own constants, all functions accept:

``rename``
    old to new column name.
``columns``
    the columns to keep, in this order, by their new names.
``add``
    new column to its constant value, such as the name of the site.

The functions that load files also accept:

``source``
    a path, a URL, or a list of them; the environment's ``locations`` apply.
``schema``
    column to type name (as in Spark's DDL), by the column names of the file. A column of type
    ``string`` keeps every text of the file, including NA and null. In a number column that the schema
    does not name, the texts NA, NULL, nan and similar become missing values.
``options``
    options of the engine's reader: for pandas, the keyword arguments of ``read_csv`` and so on.
"""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi_nb.concatenation import one_after_the_other, one_after_the_other_on_spark
from odibi_nb.core.model.engine import Engine
from odibi_nb.core.model.provenance import ConnectionRead
from odibi_nb.core.model.readable_places import URL_REFUSAL
from odibi_nb.core.model.tables import redact_url
from odibi_nb.core.model.transformation import RESERVED_CONSTANTS
from odibi_nb.core.protocols import native_frame
from odibi_nb.core.running.context import TableUse
from odibi_nb.core.running.provenance import text_hash
from odibi_nb.core.text.json import as_json
from odibi_nb.core.text.sql_text import backticked
from odibi_nb.errors import DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from odibi_nb.core.running.context import ExecutionContext

Constants = dict[str, Any]
MOST_ON_SPARK = 5_000_000
"""Maximum number of database rows that Spark's driver loads."""

_SHAPE: dict[str, type | tuple[type, ...]] = {"rename": dict, "columns": list, "add": dict}
_FILE: dict[str, type | tuple[type, ...]] = {
    "source": (str, list),
    "schema": dict,
    "options": dict,
    **_SHAPE,
}
_SQL: dict[str, type | tuple[type, ...]] = {
    "connection": str,
    "url": str,
    "table": str,
    "query": str,
    "params": dict,
    **_SHAPE,
}
_KINDS = {dict: "an object", list: "a list", str: "text", (str, list): "text or a list"}


def load_csv(inputs: Any, constants: Constants, outputs: Any, context: ExecutionContext) -> Any:
    """Load CSV files.

    Raises:
        DataError: if a constant is wrong, or a file is missing or malformed.
    """
    del inputs, outputs
    return _load("load_csv", "csv", constants, context)


def load_json(inputs: Any, constants: Constants, outputs: Any, context: ExecutionContext) -> Any:
    """Load JSON files: arrays of records, or one record per line (``.jsonl``, ``.ndjson``).

    Raises:
        DataError: if a constant is wrong, or a file is missing or malformed.
    """
    del inputs, outputs
    return _load("load_json", "json", constants, context)


def load_parquet(inputs: Any, constants: Constants, outputs: Any, context: ExecutionContext) -> Any:
    """Load Parquet files.

    Raises:
        DataError: if a constant is wrong, or a file is missing or malformed.
    """
    del inputs, outputs
    return _load("load_parquet", "parquet", constants, context)


def load_excel(inputs: Any, constants: Constants, outputs: Any, context: ExecutionContext) -> Any:
    """Load one sheet per workbook. ``options`` can name the sheet: ``{"sheet_name": "May"}``.

    Cells with an error, such as ``#DIV/0!``, become gaps, and the row's log names them.

    Raises:
        DataError: if a constant is wrong, or a file is missing or malformed.
    """
    del inputs, outputs
    return _load("load_excel", "excel", constants, context)


def load_delta(inputs: Any, constants: Constants, outputs: Any, context: ExecutionContext) -> Any:
    """Load Delta tables by their paths or URLs, inside the lake or not.

    Raises:
        DataError: if a constant is wrong, or a path has no Delta table.
    """
    del inputs, outputs
    return _load("load_delta", "delta", constants, context)


def load_file(inputs: Any, constants: Constants, outputs: Any, context: ExecutionContext) -> Any:
    """Load files in the format of the constant ``format``, or else of their suffix.

    Raises:
        DataError: if a constant is wrong, or a file is missing or malformed.
    """
    del inputs, outputs
    return _load("load_file", None, constants, context)


def load_sql(inputs: Any, constants: Constants, outputs: Any, context: ExecutionContext) -> Any:
    """Load a table of a database, or the result of a query.

    Constants: ``connection`` (a name in the environment's ``connections``) or ``url``; ``table``
    (``name`` or ``schema.name``) or ``query`` (one SELECT) with ``params`` for its ``:names``.
    The transaction is rolled back, so a query cannot change the database. On Spark, the driver loads
    the rows, at most `MOST_ON_SPARK` of them. Exact decimals become floats if floats hold them exactly.

    Raises:
        DataError: if a constant is wrong, or the database raises an error.
        EngineNotAvailableError: if SQLAlchemy or the database's driver is not installed.
    """
    del inputs, outputs
    given = _checked("load_sql", constants, _SQL)
    url = _url(given, context)
    if ("table" in given) == ("query" in given):
        raise DataError("load_sql: give either the constant 'table' or 'query'")
    from odibi_nb.storage.sql_frames import SqlSource

    on_spark = context.engine is Engine.SPARK
    source = SqlSource(url, Path(context.folder or "."), MOST_ON_SPARK if on_spark else None)
    context.control.check()
    name = given.get("table", "query")
    context.logger.info("  → Reading from %s", name)
    if "query" in given:
        frame = source.query(given["query"], given.get("params", {}))
    else:
        frame = source.table(given["table"])
    types = {str(column): str(dtype) for column, dtype in frame.dtypes.items()}
    context.reads.append(TableUse(name, len(frame), types))
    context.provenance.read(_database_read(given))
    if on_spark and context.tables is not None:
        frame = native_frame(context.tables, frame, name)
    return _shaped("load_sql", frame, given, context)


def _database_read(given: Constants) -> ConnectionRead:
    query = given.get("query")
    return ConnectionRead(
        connection=given.get("connection") or redact_url(str(given.get("url"))),
        table=str(given.get("table") or ""),
        query_hash="" if query is None else text_hash(query + as_json(given.get("params", {}))),
    )


def _load(
    function: str, format: str | None, constants: Constants, context: ExecutionContext
) -> Any:
    known = _FILE if format else {**_FILE, "format": str}
    given = _checked(function, constants, known)
    if not given.get("source"):
        raise DataError(f"{function}: the constant 'source' is missing: the path or URL to load")
    sources = [given["source"]] if isinstance(given["source"], str) else given["source"]
    frames = [
        context.read_file(
            str(source),
            format=format or given.get("format"),
            schema=given.get("schema"),
            options=given.get("options"),
        )
        for source in sources
    ]
    return _shaped(function, _together(frames, context), given, context)


def _checked(
    function: str, constants: Constants, known: Mapping[str, type | tuple[type, ...]]
) -> Constants:
    """Check *constants*, and return the function's own that have a value."""
    given = {name: v for name, v in constants.items() if v is not None}
    for name, value in given.items():
        if name not in known and name not in RESERVED_CONSTANTS:
            hint = did_you_mean(name, known) or f": it knows {', '.join(known)}"
            raise DataError(f"{function}: unknown constant {name!r}{hint}")
        if name in known and not isinstance(value, known[name]):
            raise DataError(
                f"{function}: constant {name!r} must be {_KINDS[known[name]]}, found {value!r:.60}"
            )
    return {name: value for name, value in given.items() if name in known}


def _together(frames: Sequence[Any], context: ExecutionContext) -> Any:
    """Concatenate *frames*, and match their columns by name."""
    if len(frames) == 1:
        return frames[0]
    if context.engine is Engine.SPARK:
        return one_after_the_other_on_spark(frames)
    return one_after_the_other(frames)


def _shaped(function: str, frame: Any, given: Constants, context: ExecutionContext) -> Any:
    """Apply ``rename``, ``columns`` and ``add`` to *frame*, and check that a table can take it."""
    names = [str(name) for name in frame.columns]
    rename, keep, add = given.get("rename", {}), given.get("columns"), given.get("add", {})
    keep = None if keep is None else [str(name) for name in keep]  # in JSON, 2023 is a number
    renamed = [*_renamed(function, rename, names)]
    twice = [name for name, times in Counter(renamed).items() if times > 1]
    if rename and twice:
        raise DataError(f"{function}: rename would give two columns the name {min(twice)!r}")
    _check_known(function, "columns", keep or (), renamed)
    kept = set(renamed if keep is None else keep)
    for name, value in add.items():
        if name in kept:
            raise DataError(f"{function}: add would replace the column {name!r}")
        if not isinstance(value, (str, int, float, bool, type(None))):
            raise DataError(f"{function}: add gives {name!r} {value!r:.60}, which is not one value")
    change = _changed_on_spark if context.engine is Engine.SPARK else _changed_on_pandas
    frame = change(frame, renamed if rename else None, keep, add)
    problems = [*_name_problems(list(frame.columns))]
    if context.engine is Engine.PANDAS and not problems:
        problems = [*_value_problems(frame, in_query=function == "load_sql")]
    if problems:
        raise DataError(f"{function}: {'; '.join(problems)}")
    return frame


def _renamed(function: str, rename: Mapping[str, Any], names: Sequence[str]) -> Iterator[str]:
    """Yield the new name of each of the columns *names*."""
    _check_known(function, "rename", rename, names)
    for name in names:
        new = rename.get(name, name)
        if not isinstance(new, str):
            raise DataError(f"{function}: rename gives {name!r} {new!r:.60}, which is not text")
        yield new


def _name_problems(names: Sequence[str]) -> Iterator[str]:
    """Yield problems of column *names* that no table takes, in words for a row without code."""
    if not names:
        yield 'the file has no records, and so no columns: "schema" can name them'
    seen: dict[str, str] = {}
    for name in names:
        if not name.strip():
            yield f'a column has the name {name!r}: give it another by "rename"'
        other = seen.get(name.casefold())
        seen.setdefault(name.casefold(), name)
        if other is not None:
            yield (
                f"two columns are called {other!r} and {name!r}, which are the same name in a table: "
                'give one another name by "rename", or leave one out by "columns"'
            )


def _value_problems(frame: Any, *, in_query: bool) -> Iterator[str]:
    """Yield problems of values in *frame* that no table takes, in words for a row without code.

    With *in_query* the values come from a query, so the advice is a cast and not a schema.
    """
    for name, dtype in frame.dtypes.items():
        if str(dtype).startswith("decimal256"):
            found: str | None = _TOO_PRECISE
        elif str(dtype).startswith("timedelta"):
            found = "holds durations, for which tables have no type"
        else:
            found = _mixture(frame[name]) if str(dtype) == "object" else None
        if found and in_query:
            yield f'column {name!r} {found}: cast it in a "query", such as CAST({name} AS VARCHAR(50))'
        elif found:
            fix = json.dumps({name: "string"}, ensure_ascii=False)
            yield f'column {name!r} {found}: give "schema": {fix}'


def _mixture(values: Any) -> str | None:
    """Return the reason why a table cannot hold *values* in one column; None if it can."""
    samples: dict[type, Any] = {}
    for value in values:
        if type(value) not in samples:
            samples[type(value)] = value
    groups: dict[str, Any] = {}
    for kind, value in samples.items():
        is_nan = isinstance(value, float) and value != value  # noqa: PLR0124
        if not is_nan and kind.__name__ not in {"NoneType", "NAType", "NaTType"}:
            groups.setdefault(_GROUPS.get(kind.__name__, kind.__name__), value)
    if len(groups) > 1:
        shown = ", ".join(f"{value!r:.40}" for value in groups.values())
        return f"mixes {' and '.join(groups)} ({shown})"
    if int in samples and float in samples and _largest(values) > _EXACT_IN_FLOAT:
        return f"holds {_largest(values)} and fractions: as a float it would be rounded"
    number = samples.get(float)
    if Decimal in samples and number is not None and number == number:  # noqa: PLR0124
        return f"mixes exact decimals and floats ({samples[Decimal]}, {number})"
    return _without_a_type(values, samples, groups)


def _without_a_type(
    values: Any, samples: Mapping[type, Any], groups: Mapping[str, Any]
) -> str | None:
    """Return the reason if tables have no type for *values*, of which *samples* has one for each type."""
    for group in ("time of day", "duration", "UUID"):
        if group in groups:
            return f"holds a {group} ({groups[group]}), for which tables have no type"
    for kind, value in samples.items():
        if isinstance(value, Decimal) and _digits(values) > _MOST_DIGITS:
            return _TOO_PRECISE
        if kind.__name__ not in _GROUPS and kind.__module__.partition(".")[0] in _DRIVERS:
            return f"holds values of the type {kind.__name__} ({value!s:.40}), for which tables have no type"
    return None


def _digits(values: Any) -> int:
    """Return the number of digits that a column of all decimals in *values* needs."""
    whole = scale = 0
    for value in values:
        exponent = value.as_tuple().exponent if isinstance(value, Decimal) else None
        if isinstance(exponent, int):
            scale = max(scale, -exponent)
            whole = max(whole, value.adjusted() + 1)
    return whole + scale


def _largest(values: Any) -> int:
    """Return the largest absolute value of the whole numbers in *values*; 0 without any."""
    return max((abs(value) for value in values if type(value) is int), default=0)


_EXACT_IN_FLOAT = 2**53
_MOST_DIGITS = 38
_TOO_PRECISE = "holds decimals of more than 38 digits"
_DRIVERS = ("ipaddress", "psycopg", "psycopg2", "asyncpg", "sqlalchemy", "dateutil", "oracledb")
"""Modules with types of database values that tables do not have."""
_GROUPS = {
    "str": "text",
    "int": "numbers",
    "float": "numbers",
    "FloatText": "numbers",
    "Decimal": "numbers",
    "bool": "booleans",
    "datetime": "times",
    "Timestamp": "times",
    "date": "dates",
    "time": "time of day",
    "timedelta": "duration",
    "Timedelta": "duration",
    "UUID": "UUID",
    "dict": "objects",
    "list": "lists",
    "ndarray": "lists",
}
"""Name of a Python type to the word for its values in messages."""


def _check_known(function: str, parameter: str, given: Any, names: Sequence[str]) -> None:
    known = set(names)
    for name in given:
        if name not in known:
            hint = did_you_mean(str(name), names) or f": the columns are {', '.join(names)}"
            raise DataError(f"{function}: {parameter} names the unknown column {name!r}{hint:.300}")


def _changed_on_pandas(
    frame: Any, renamed: Sequence[str] | None, keep: list[str] | None, add: Mapping[str, Any]
) -> Any:
    """Rename all columns, select columns, and add columns with constant values."""
    if renamed is not None:
        frame = frame.set_axis(renamed, axis=1)
    if keep is not None:
        frame = frame[keep].copy(deep=False)
    for name, value in add.items():
        frame[name] = value
    return frame


def _changed_on_spark(
    frame: Any, renamed: Sequence[str] | None, keep: list[str] | None, add: Mapping[str, Any]
) -> Any:
    """Do the same as `_changed_on_pandas`, with a Spark frame."""
    from pyspark.sql import functions as sf

    if renamed is not None:
        frame = frame.toDF(*renamed)
    if keep is not None:
        frame = frame.select(*map(backticked, keep))
    for name, value in add.items():
        # The same types as in a table that pandas writes.
        kind = {type(None): "string", int: "bigint"}.get(type(value))
        column = sf.lit(value)
        frame = frame.withColumn(name, column if kind is None else column.cast(kind))
    return frame


def _url(given: Constants, context: ExecutionContext) -> str:
    if ("connection" in given) == ("url" in given):
        raise DataError("load_sql: give either the constant 'connection' or 'url'")
    if "url" in given:
        if context.allowed is not None:
            raise DataError(f"load_sql: {URL_REFUSAL}")
        return str(given["url"])
    name, known = given["connection"], context.connections
    if name not in known:
        hint = did_you_mean(name, known) or f": it has {', '.join(known) or 'none'}"
        raise DataError(f"load_sql: the environment has no connection {name!r}{hint}")
    return str(known[name])
