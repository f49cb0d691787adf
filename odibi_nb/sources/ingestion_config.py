"""Convert rows of the original framework's IngestionSourceConfig to registry rows of Bronze."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.transformation import INGEST_MODULE, enabled_from
from odibi_nb.core.text.json import decode_config
from odibi_nb.core.text.redaction import shown
from odibi_nb.errors import Problem, RegistryError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from odibi_nb.core.protocols import Row

TABLE = "IngestionSourceConfig"
COLUMNS = (
    "source_id",
    "project",
    "source_name",
    "source_type",
    "source_path_or_query",
    "file_format",
    "is_autoloader",
    "source_options",
    "connection_config",
    "secret_config_id",
    "environment",
    "created_at",
    "updated_at",
)
"""Columns of the original's table."""
OWN_COLUMNS = ("target_table", "enabled")
"""Columns that a table may have in addition: the Bronze table's name, and a switch."""
_REQUIRED = ("source_id", "source_type")
_LOADERS = {
    "csv": "load_csv",
    "json": "load_json",
    "parquet": "load_parquet",
    "delta": "load_delta",
}
_BY_FILE = frozenset({"adls", "local", *_LOADERS})
_READER_DEFAULTS = {"header": "true", "inferschema": "true"}
"""Spark's options that `odibi_nb.ingest` always sets, and that pandas does not know."""
_COLUMN = re.compile(
    r"\s{0,9}(?:`([^`]{1,300})`|([^\s`,]{1,300}))\s{1,9}"
    r"([A-Za-z]\w{0,40}(?:\(\s{0,9}\d{1,9}\s{0,9}(?:,\s{0,9}\d{1,9}\s{0,9})?\))?)\s{0,9}(?:,|$)"
)


@dataclass(slots=True)
class Conversion:
    """The result of a conversion.

    Attributes:
        rows: the registry rows.
        left_out: sentences about sources without a counterpart.
        notes: sentences about keys that the rows need in the manifest.
    """

    rows: list[Row] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _NoCounterpartError(Exception):
    """A source needs a function of the project. The message has the reason."""


def converted(
    sources: Iterable[Mapping[str, Any]], where: str, defaults: Mapping[str, str], layer: str
) -> Conversion:
    """Convert the rows *sources* of an IngestionSourceConfig.

    Args:
        sources: the rows, with column names in any case.
        where: name of their table or file in messages.
        defaults: `project` and `environment` of rows that name none.
        layer: the layer of the new rows.

    Raises:
        RegistryError: with all problems of all rows.
    """
    done = Conversion()
    problems: list[Problem] = []
    for number, raw in enumerate(sources, 1):
        source = {name.lower(): value for name, value in raw.items() if value not in (None, "")}
        name = str(source.get("source_id", "")).strip()
        place = f"source {name!r}" if name else f"row number {number}"
        found = [*_wrong(source, raw), *_opened(source)]
        if found:
            problems += [Problem(place, text) for text in found]
            continue
        try:
            done.rows.append(_registry_row(source, name, defaults, layer, done.notes))
        except _NoCounterpartError as exc:
            done.left_out.append(f"{name}: {exc}")
    if problems:
        raise RegistryError(where, problems)
    done.notes[:] = dict.fromkeys(done.notes)
    return done


def _wrong(source: Row, raw: Mapping[str, Any]) -> list[str]:
    known = (*COLUMNS, *OWN_COLUMNS)
    wrong = [f"has no {name}" for name in _REQUIRED if not str(source.get(name, "")).strip()]
    if wrong and not {*known} & {name.lower() for name in raw}:
        return [f"has no column of {TABLE}: {', '.join(list(raw)[:5])}"]
    wrong += [
        f"unknown column {name!r}{did_you_mean(name, known)}"
        for name in source
        if name not in known
    ]
    if enabled_from(source.get("enabled", 1)) is None:
        wrong.append(f"enabled: expected 0 or 1, found {shown(source['enabled'])}")
    return wrong


def _opened(source: Row) -> list[str]:
    """Decode the JSON columns of *source* in place, and return their problems."""
    wrong = []
    for name in ("source_options", "connection_config"):
        value = source.get(name, {})
        try:
            opened = decode_config(value) if isinstance(value, (str, bytes)) else value
        except ValueError as exc:
            wrong.append(f"{name}: {exc}")
            continue
        if not isinstance(opened, dict):
            wrong.append(f"{name}: expected an object, found {shown(opened)}")
        source[name] = opened
    return wrong


def _registry_row(
    source: Row, name: str, defaults: Mapping[str, str], layer: str, notes: list[str]
) -> Row:
    function, constants = _load(source, notes)
    table = source.get("target_table") or f"bronze.{_slug(name)}"
    return {
        "transformation_id": name,
        "project": str(source.get("project") or defaults["project"]),
        "environment": str(source.get("environment") or defaults["environment"]),
        "layer": layer,
        "module": INGEST_MODULE,
        "function": function,
        "inputs": [],
        "constants": constants,
        "outputs": [{"table": str(table), "mode": "overwrite"}],
        "enabled": int(bool(enabled_from(source.get("enabled", 1)))),
    }


def _slug(name: str) -> str:
    text = re.sub(r"^src[-_]", "", name.lower())
    return re.sub(r"\W+", "_", text).strip("_") or "source"


def _load(source: Row, notes: list[str]) -> tuple[str, Row]:
    """Return the function of `odibi_nb.ingest` and its constants."""
    kind = str(source["source_type"]).strip().lower()
    if kind == "sql":
        return "load_sql", _sql_constants(source, notes)
    if kind not in _BY_FILE:
        raise _NoCounterpartError(f"source_type {kind!r} needs a function of your own")
    if enabled_from(source.get("is_autoloader")):
        message = (
            "Auto Loader needs a function with spark.readStream and trigger(availableNow=True)"
        )
        raise _NoCounterpartError(message)
    batch = _batch(source["source_options"])
    by_kind = kind if kind in _LOADERS else ""
    given = source.get("file_format") or batch.get("format") or by_kind
    file_format = str(given).strip().lower()
    constants: Row = {"source": _location(source, kind, notes)}
    if file_format not in _LOADERS:
        constants["format"] = file_format
    schema = _schema(batch.get("schema"))
    if schema:
        constants["schema"] = schema
    options = {
        key: value
        for key, value in (batch.get("options") or {}).items()
        if _READER_DEFAULTS.get(key.lower()) != str(value).lower()
    }
    if options:
        constants["options"] = options
        notes.append("options of Spark's readers are kept; a pandas row needs pandas' names")
    return _LOADERS.get(file_format, "load_file"), constants


def _batch(options: Row) -> Row:
    """Return the options of the batch reader; the original stores them under the name of its engine."""
    engine = options.get(str(options.get("engine", "databricks")), options)
    batch = engine.get("batch", {}) if isinstance(engine, dict) else {}
    return batch if isinstance(batch, dict) else {}


def _location(source: Row, kind: str, notes: list[str]) -> str:
    connection = source["connection_config"]
    path = str(connection.get("object_name") or source.get("source_path_or_query") or "").strip()
    if not path:
        raise _NoCounterpartError("neither connection_config.object_name nor a path is given")
    container = str(connection.get("storage_unit") or "").strip()
    if "://" in path or kind == "local" or not container:
        return path
    notes.append(
        f'the manifest\'s locations must lead "adls://{container}" to its URL or folder, such as '
        f"abfss://{container}@ACCOUNT.dfs.core.windows.net"
    )
    return f"adls://{container}/{path.lstrip('/')}"


def _sql_constants(source: Row, notes: list[str]) -> Row:
    connection = source["connection_config"]
    name = str(source.get("secret_config_id") or connection.get("database") or "source")
    notes.append(f"the manifest's connections must have {name!r}, an SQLAlchemy URL")
    query = str(source.get("source_path_or_query") or connection.get("table") or "").strip()
    if not query:
        raise _NoCounterpartError("neither a query nor connection_config.table is given")
    what = "query" if re.search(r"\s", query) else "table"
    return {"connection": name, what: query}


def _schema(given: Any) -> Row:
    """Return column to type from a JSON object or the text of a Spark schema, such as ``a INT, b STRING``."""
    if isinstance(given, dict):
        return {str(name): str(kind) for name, kind in given.items()}
    text = str(given or "").strip()
    if not text:
        return {}
    found, end = {}, 0
    while end < len(text) and (column := _COLUMN.match(text, end)):
        found[column[1] or column[2]] = column[3].lower().replace(" ", "")
        end = column.end()
    if end != len(text):
        raise _NoCounterpartError(f"the schema {shown(text)} is not a list of columns and types")
    return found


def rows_in_order(sources: Sequence[Row]) -> list[Row]:
    """Return *sources* in the order of their ids, because a table has none."""
    return sorted(
        sources, key=lambda row: str({k.lower(): v for k, v in row.items()}.get("source_id"))
    )
