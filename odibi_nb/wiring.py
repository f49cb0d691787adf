"""The one module that chooses the adapters of a run."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.manifest import DEFAULT_LAKE, RegistryConfig
from odibi_nb.core.model.reserved_places import lease_table, log_tables
from odibi_nb.core.model.tables import DEFAULT_SCHEMA, TableName, redact_url
from odibi_nb.core.process.compute import has_databricks_session, is_databricks
from odibi_nb.core.process.state_folder import MOUNTS
from odibi_nb.core.protocols import Adapters
from odibi_nb.engines.optional_imports import check_installed
from odibi_nb.errors import DataError, ManifestError, Problem
from odibi_nb.settings import load_settings
from odibi_nb.views.run.console import ConsoleView

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from odibi_nb.core.protocols import (
        BaseLogSink,
        EditableRegistry,
        Place,
        RegistrySource,
        Row,
        RunStateTables,
        TableEngine,
    )
    from odibi_nb.engines.pandas.query import Limits
    from odibi_nb.engines.spark.engine import SparkEngine
    from odibi_nb.listeners.notify.notifier import RunNotifier
    from odibi_nb.sources.file_registry import FileRegistry
    from odibi_nb.storage.catalog_rights import CatalogRights
    from odibi_nb.storage.delta_table import DeltaRowTable
    from odibi_nb.storage.row_table import RowTable
    from odibi_nb.storage.spark_table import SparkRowTable

CATALOG = "catalog"
_REGISTRY_ENDS = (".json", ".toml", ".csv", "/")
"""Ends of the names of registry files and folders."""
_PARTS = 2
"""Number of parts of a table's name without its catalog."""


def default_adapters() -> Adapters:
    """Return the adapters that come with the package."""
    return Adapters(
        engine=make_engine,
        registry=make_registry,
        sinks=make_sinks,
        console=ConsoleView,
        frame=make_frame,
        notifier=make_notifier,
        run_state=make_run_state,
    )


def lake_root(place: Place) -> str:
    """Return the root of the embedded lake: a URL, or a folder beside the manifest."""
    # Databricks also writes URLs of its own file system with one slash.
    lake = re.sub(r"^dbfs:/(?!/)", "dbfs:///", place.config.lake or DEFAULT_LAKE)
    return lake if "://" in lake else str((place.manifest.folder / lake).absolute())


def catalog_of(place: Place) -> str | None:
    """Return the catalog of the tables: "" for the session's own, None if the tables are in a lake."""
    word, _, catalog = (place.config.lake or DEFAULT_LAKE).partition(":")
    return catalog.strip() if word == CATALOG and not catalog.startswith("//") else None


def make_engine(name: str, place: Place) -> TableEngine:
    """Return the engine *name*, ``pandas`` or ``spark``. Spark starts when it is first needed.

    Raises:
        EngineNotAvailableError: if a library that it needs is not installed.
    """
    engine: PandasEngine | PandasOnSpark | SparkEngine
    if name == "spark":
        engine = _spark_engine(place)
    elif catalog_of(place) is not None:
        check_installed("the pandas engine", "pandas", "pandas", "pyarrow")
        from odibi_nb.engines.pandas.on_spark import PandasOnSpark

        engine = PandasOnSpark(_spark_engine(place))
    else:
        check_installed("the pandas engine", "pandas", "pandas", "pyarrow", "deltalake")
        from odibi_nb.engines.pandas.engine import PandasEngine

        engine = PandasEngine(lake_root(place), place.config.storage_options)
        engine.limits = _query_limits()
    engine.location_options = _location_options(place)
    return engine


def _query_limits() -> Limits:
    from odibi_nb.engines.pandas.query import Limits, default_memory

    settings = load_settings()
    megabytes = settings.get("query_memory_mb")
    memory = default_memory() if megabytes is None else megabytes * 2**20
    return Limits(memory, settings.get("query_threads"))


def _location_options(place: Place) -> dict[str, dict[str, Any]]:
    """Map URL prefixes to storage options: the options of the environment, and of the lake."""
    config = place.config
    own: dict[str, dict[str, Any]] = {}
    if config.storage_options and catalog_of(place) is None:
        own[lake_root(place)] = dict(config.storage_options)
    return {**own, **config.location_options}


def _spark_engine(place: Place) -> SparkEngine:
    check_installed("the Spark engine", "spark", "pyspark")
    from odibi_nb.engines.lake import CatalogLake, Lake
    from odibi_nb.engines.spark.engine import SparkEngine
    from odibi_nb.engines.spark.session import connect

    catalog = catalog_of(place)
    lake = Lake(lake_root(place)) if catalog is None else CatalogLake(catalog)
    spelled = [*map(str, log_tables(place.config.run_log)), *map(str, _registry_table(place))]
    keys = place.config.storage_options
    # Without keys, no library may search for some: it would ask the machine's metadata service.
    reached = bool(keys) if isinstance(lake, CatalogLake) else not only_spark_reaches(place)
    engine = SparkEngine(lambda: connect(place), lake, spelled, dict(keys) if reached else None)
    engine.project_folder = place.manifest.folder
    return engine


def only_spark_reaches(place: Place) -> bool:
    """Return True if only a Spark session can open the lake's tables.

    Only the session can open the tables of a catalog. With a Databricks session, the manifest may have no
    keys for a lake at a URL; then only the session has them. Everywhere else delta-rs opens the tables with
    the environment's keys. It needs no session and commits within milliseconds, where Spark takes a quarter
    of a second or more.
    """
    if catalog_of(place) is not None:
        return True
    keys = place.config.storage_options
    on_databricks = has_databricks_session() or place.config.spark.get("remote") == "databricks"
    return "://" in lake_root(place) and not keys and on_databricks


def _registry_files(place: Place) -> FileRegistry | None:
    """Return the environment's registry if it is a file or a folder of files beside the manifest."""
    config = place.config.registry
    if not isinstance(config, str) or ":" in config:  # a URL, perhaps a malformed one
        return None
    if not config.lower().endswith(_REGISTRY_ENDS):
        return None
    from odibi_nb.sources.file_registry import FileRegistry

    return FileRegistry(place.manifest.folder, config, place.state_dir)


def _registry_table(place: Place) -> list[TableName]:
    """Return the lake table that is the environment's registry, or an empty list.

    Raises:
        ManifestError: if the environment names no file, table or URL.
    """
    config = place.config.registry
    if config is None or _registry_files(place) is not None:
        return []
    if isinstance(config, RegistryConfig) and config.url is not None:
        return []
    if isinstance(config, str):
        # A text that is not a table name is a URL, perhaps a malformed one with a password in it.
        return [] if "://" in config else _table_named(config)
    name = f"{config.schema}.{config.table}" if config.schema else config.table
    found = _table_named(name)
    if not found:
        message = f"has no 'url', and {name!r} is not a table of the lake: expected 'schema.table'"
        raise _refused(place, "registry", message)
    return found


def _refused(place: Place, key: str, message: str) -> ManifestError:
    """Return the error that the environment's *key* cannot be used."""
    where = f"$.environments.{place.env}.{key}"
    return ManifestError(str(place.manifest.path or "manifest"), [Problem(where, message)])


def _table_named(name: str) -> list[TableName]:
    try:
        return [TableName.parse(name)]
    except DataError:
        return []


def _table_in_session(
    place: Place, table: TableName, shown: str, properties: Mapping[str, str] | None = None
) -> SparkRowTable:
    """Return *table* of the lake, opened by the Spark session that a run would use."""
    check_installed("the Spark session", "spark", "pyspark")
    from odibi_nb.engines.spark.session import connect
    from odibi_nb.storage.spark_table import SparkRowTable

    catalog = catalog_of(place)
    if catalog is None:
        uri = f"{lake_root(place)}/{table.path}"
        return SparkRowTable(lambda: connect(place).spark, shown, path=uri, properties=properties)
    parts = table.parts if len(table.parts) > 1 else (DEFAULT_SCHEMA, *table.parts)
    full = (catalog, *parts) if catalog and len(parts) <= len(("schema", "table")) else parts
    return SparkRowTable(
        lambda: connect(place).spark, shown, name=".".join(full), properties=properties
    )


def _table_of_files(
    place: Place,
    table: TableName,
    needed_for: str,
    shown: str = "",
    properties: Mapping[str, str] | None = None,
) -> DeltaRowTable:
    """Return *table* of the lake, opened by delta-rs."""
    check_installed(needed_for, "pandas", "pyarrow", "deltalake")
    from odibi_nb.storage.delta_table import DeltaRowTable

    uri, options = f"{lake_root(place)}/{table.path}", place.config.storage_options
    return DeltaRowTable(uri, options, shown, properties=properties)


def _shown_lake(place: Place) -> str:
    return redact_url(
        (place.config.lake or "") if catalog_of(place) is not None else lake_root(place)
    )


def spark_session(place: Place) -> str:
    """Describe the Spark session that a run would use, and the reason. Starts no session.

    Raises:
        EngineError: if something is missing; the message names the remedy.
    """
    check_installed("the Spark engine", "spark", "pyspark")
    from odibi_nb.engines.spark.session import planned

    return planned(place)


def rights_to_write(place: Place, tables: Iterable[str]) -> CatalogRights | None:
    """Return the schemas and rights that writes to *tables* need in the catalog of the lake.

    Return None if the lake is no catalog, or if no running session can list them. Starts no session, writes
    nothing.

    Raises:
        EngineError: if the session may not use the catalog; the message contains the ``GRANT`` to ask for.
    """
    catalog = catalog_of(place)
    if catalog is None or "pyspark" not in sys.modules:
        return None
    from odibi_nb.engines.spark.session import existing
    from odibi_nb.storage.catalog_rights import catalog_rights

    found = existing(place)  # a session of our own may be of another kind, and would have to start
    if found is None:
        return None

    keys = [TableName.parse(table).key.split(".") for table in tables]
    return catalog_rights(found.spark, catalog, {key[0] for key in keys if len(key) == _PARTS})


def make_registry(place: Place) -> RegistrySource:
    """Return the TransformationRegistry of the SQL provider, else of the environment.

    A provider reads tables. If the manifest's registry is a file, the file is read.

    Raises:
        ManifestError: if neither exists.
    """
    provider = place.session.sql_provider
    if provider is not None and _registry_files(place) is None:
        from odibi_nb.sources.provider import ProviderRegistry

        config = place.config.registry
        named = [str(table) for table in _registry_table(place)] or ["TransformationRegistry"]
        table = config.table if isinstance(config, RegistryConfig) else named[0]
        return ProviderRegistry(provider, _session_for_provider(place), table)
    # A running session reads every table that Spark made, whatever its Delta features. But a plan
    # does not justify starting a session.
    through_spark = place.engine == "spark" and _session_runs(place)
    return editable_registry(place, through_spark=through_spark)


def _session_for_provider(place: Place) -> Any:
    """Return the Spark session for the SQL provider, as in the seed: the given or the active one."""
    if place.session.spark is not None or "pyspark" not in sys.modules:
        return place.session.spark
    from odibi_nb.engines.spark.session import active_session

    return active_session()


def registry_needs_start(place: Place) -> bool:
    """Return True if reading the registry would start a Spark session."""
    in_session = bool(_registry_table(place)) and only_spark_reaches(place)
    return in_session and place.session.sql_provider is None and not _session_runs(place)


def _session_runs(place: Place) -> bool:
    if "pyspark" not in sys.modules:
        return False
    from odibi_nb.engines.spark.session import runs

    return runs(place)


def editable_registry(place: Place, *, through_spark: bool = False) -> EditableRegistry:
    """Return the environment's registry: a file or folder, or a table of a database or of the lake.

    Raises:
        ManifestError: if the manifest names no registry.
    """
    config = place.config.registry
    if config is None:
        raise _refused(
            place,
            "registry",
            "is not set: give a file such as 'registry.json', an SQLAlchemy URL such as "
            "'sqlite:///registry.db', a table of the lake such as 'config_driven.TransformationRegistry', or "
            "pass auth_provider",
        )
    files = _registry_files(place)
    if files is not None:
        return files
    for table in _registry_table(place):
        return _lake_registry(
            place, table, through_spark=through_spark or only_spark_reaches(place)
        )
    check_installed("an SQL registry", "sql", "sqlalchemy")
    from odibi_nb.sources.table import registry_in_database

    if isinstance(config, str):
        config = RegistryConfig(url=config)
    folder = place.manifest.folder
    return registry_in_database(config.url or "", config.table, config.schema, folder)


def _lake_registry(place: Place, table: TableName, *, through_spark: bool) -> EditableRegistry:
    from odibi_nb.sources.table import TableRegistry

    name = f"{table} in {_shown_lake(place)}"
    is_file = table.parts[-1].lower() in {"db", "sqlite", "sqlite3"}
    hint = f"; for a database, write 'sqlite:///{table}'" if is_file else ""
    if (place.manifest.folder / str(table)).is_dir():
        hint = f"; for the folder of files, write '{table}/'"
    if through_spark:
        return TableRegistry(_table_in_session(place, table, "the table"), name, hint=hint)
    return TableRegistry(_table_of_files(place, table, "a registry in the lake"), name, hint=hint)


def read_table_beside_registry(place: Place, name: str) -> list[Row]:
    """Return all rows of the table *name*: in the registry's database or lake, or at a URL.

    Args:
        place: the project and environment.
        name: a table, ``name`` or ``schema.name``; or an SQLAlchemy URL with the table after ``#``.

    Raises:
        DataError: if the table cannot be read.
        ManifestError: if the registry is in a file, so that no database is known.
    """
    config, (url, _, table) = place.config.registry, name.partition("#")
    if "://" not in url:
        table = name
        url = (config.url if isinstance(config, RegistryConfig) else config) or ""
    if _registry_files(place) is not None and "://" not in url:
        message = f"is a file; give {name!r} with its database: 'URL#{name}'"
        raise _refused(place, "registry", message)
    if "://" in url:
        return _all_rows(_table_of_database(place, url, table))
    parsed = TableName.parse(table)
    if only_spark_reaches(place):
        return _all_rows(_table_in_session(place, parsed, f"table {parsed}"))
    return _all_rows(_table_of_files(place, parsed, "a table of the lake"))


def _table_of_database(place: Place, url: str, table: str) -> RowTable:
    check_installed("a table of a database", "sql", "sqlalchemy")
    from odibi_nb.storage.database import Database
    from odibi_nb.storage.sql_table import SqlLayout, SqlRowTable

    schema, _, name = table.rpartition(".")
    database = Database(url, place.manifest.folder)
    layout = SqlLayout(key=(), lengths={})
    return SqlRowTable(database, name, schema or None, layout, f"{table} in {database.shown}")


def _all_rows(table: RowTable) -> list[Row]:
    return table.select(lambda names: [(name, "string") for name in names])


def make_sinks(place: Place) -> Sequence[BaseLogSink]:
    """Return the sinks of the run log: lake tables, and a database and a CSV file if configured.

    Raises:
        ManifestError: if the CSV file is a URL.
    """
    config = place.config
    sinks = [_spark_log(place) if only_spark_reaches(place) else _delta_log(place)]
    if config.log_url:
        check_installed("the SQL run log", "sql", "sqlalchemy")
        from odibi_nb.sinks.table import log_in_database

        sinks.append(log_in_database(config.log_url, folder=place.manifest.folder))
    if config.log_csv:
        sinks.append(_csv_log(place, config.log_csv))
    return sinks


def _csv_log(place: Place, path: str) -> BaseLogSink:
    from odibi_nb.sinks.csv import CsvLogSink

    if "://" in path:
        message = f"must be a file on this machine, found {redact_url(path)!r}"
        raise _refused(place, "log_csv", message)
    return CsvLogSink(place.manifest.folder / path)


def _delta_log(place: Place) -> BaseLogSink:
    check_installed("the run log", "pandas", "pyarrow", "deltalake")
    from odibi_nb.sinks.table import log_in_lake

    config = place.config
    return log_in_lake(lake_root(place), config.run_log, config.storage_options)


def _spark_log(place: Place) -> BaseLogSink:
    from odibi_nb.sinks.table import TableLogSink

    log, runs = log_tables(place.config.run_log)
    name = f"{log} in {_shown_lake(place)}"
    log_table, run_table = (_table_in_session(place, t, f"run log {name}") for t in (log, runs))
    return TableLogSink(log_table, run_table, name, in_lake=True)


def make_notifier(place: Place) -> RunNotifier:
    """Return the notifier for the channels of the environment."""
    from odibi_nb.listeners.notify.notifier import RunNotifier

    return RunNotifier(place)


def is_shared(place: Place) -> bool:
    """Return True if several machines may run the environment at the same time.

    A folder of this machine is not shared, and neither is a catalog that only this machine's Spark has.
    """
    if place.config.shared is not None:
        return place.config.shared
    if catalog_of(place) is not None:
        remote = place.config.spark.get("remote") or place.config.spark.get("spark.remote")
        return has_databricks_session() or (bool(remote) and remote != "sail")
    root = lake_root(place)
    if "://" in root:
        return not root.startswith(("file:", "memory:"))
    return is_databricks() and any(Path(root).is_relative_to(mount) for mount in MOUNTS)


def make_run_state(place: Place) -> RunStateTables | None:
    """Return the tables in which machines see each other's runs; None if the environment is not shared."""
    if not is_shared(place):
        return None
    from odibi_nb.sinks.run_state import LEASE_PROPERTIES, TableRunState

    lease = lease_table(place.config.run_log)
    shown = f"{lease} in {_shown_lake(place)}"
    if only_spark_reaches(place):
        return TableRunState(_table_in_session(place, lease, shown, LEASE_PROPERTIES))
    return TableRunState(_table_of_files(place, lease, "the run log", shown, LEASE_PROPERTIES))


def make_frame(columns: Sequence[str], rows: Sequence[Row]) -> Any:
    """Return *rows* as a pandas DataFrame. It has *columns* even if there are no rows."""
    check_installed("a DataFrame", "pandas", "pandas")
    import pandas as pd

    return pd.DataFrame.from_records(rows, columns=list(columns))
