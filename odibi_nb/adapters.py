"""Which implementations a run gets: the one place where adapters are chosen."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from odibi_nb.core.manifest import RegistryConfig
from odibi_nb.core.protocols import Adapters
from odibi_nb.core.tables import TableName
from odibi_nb.errors import EngineNotAvailableError, ManifestError, Problem
from odibi_nb.sinks.rows import RUN_TABLE
from odibi_nb.views.bundles import result_bundle
from odibi_nb.views.console import ConsoleView
from odibi_nb.views.plan_html import plan_html

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odibi_nb.core.protocols import BaseLogSink, Place, RegistrySource, Row, TableEngine
    from odibi_nb.engines.spark import SparkEngine
    from odibi_nb.sources.sql import SqlRegistry

CATALOG = "catalog"
DEFAULT_LAKE = "lake"


def default_adapters() -> Adapters:
    """The implementations that come with the package."""
    return Adapters(
        engine=make_engine,
        registry=make_registry,
        sinks=make_sinks,
        console=ConsoleView,
        frame=make_frame,
        result_bundle=result_bundle,
        plan_html=plan_html,
    )


def lake_root(place: Place) -> str:
    """The root of the embedded lake: a URL, or a folder beside the manifest."""
    lake = place.config.lake or DEFAULT_LAKE
    return lake if "://" in lake else str((place.manifest.folder / lake).absolute())


def catalog_of(place: Place) -> str | None:
    """The catalog that keeps the tables, empty for the session's own; None where a lake does."""
    word, _, catalog = (place.config.lake or DEFAULT_LAKE).partition(":")
    return catalog.strip() if word == CATALOG and not catalog.startswith("//") else None


def make_engine(name: str, place: Place) -> TableEngine:
    """The engine called *name*, ``pandas`` or ``spark``; Spark starts when it is first needed.

    Raises:
        EngineNotAvailableError: if a library that it needs is not installed.
    """
    if name == "spark":
        return _spark_engine(place)
    if catalog_of(place) is not None:
        require("the pandas engine", "pandas", "pandas", "pyarrow")
        from odibi_nb.engines.pandas_on_spark import PandasOnSpark

        return PandasOnSpark(_spark_engine(place))
    require("the pandas engine", "pandas", "pandas", "pyarrow", "deltalake")
    from odibi_nb.engines.pandas import PandasEngine

    return PandasEngine(lake_root(place), place.config.storage_options)


def _spark_engine(place: Place) -> SparkEngine:
    require("the Spark engine", "spark", "pyspark")
    from odibi_nb.engines.lake import CatalogLake, Lake
    from odibi_nb.engines.spark import SparkEngine
    from odibi_nb.engines.spark_session import connect

    catalog = catalog_of(place)
    lake = Lake(lake_root(place)) if catalog is None else CatalogLake(catalog)
    log = TableName.parse(place.config.run_log)
    spelled = [str(log), str(TableName((*log.parts[:-1], RUN_TABLE)))]
    return SparkEngine(lambda: connect(place), lake, spelled)


def spark_session(place: Place) -> str:
    """Which Spark session a run would use, and why, for people; starts nothing.

    Raises:
        EngineError: if something is missing; says what to do.
    """
    require("the Spark engine", "spark", "pyspark")
    from odibi_nb.engines.spark_session import planned

    return planned(place)


def make_registry(place: Place) -> RegistrySource:
    """The TransformationRegistry: the provider's, else the environment's.

    Raises:
        ManifestError: if neither is there.
    """
    provider = place.session.sql_provider
    if provider is not None:
        from odibi_nb.sources.provider import ProviderRegistry

        config = place.config.registry
        table = config.table if isinstance(config, RegistryConfig) else "TransformationRegistry"
        return ProviderRegistry(provider, place.session.spark, table)
    return sql_registry(place)


def sql_registry(place: Place) -> SqlRegistry:
    """The environment's registry database.

    Raises:
        ManifestError: if the manifest names none.
    """
    config = place.config.registry
    if config is None:
        where = Problem(
            f"$.environments.{place.env}.registry",
            "is not set: give an SQLAlchemy URL such as 'sqlite:///registry.db', or pass auth_provider",
        )
        raise ManifestError(str(place.manifest.path or "manifest"), [where])
    require("an SQL registry", "sql", "sqlalchemy")
    from odibi_nb.sources.sql import SqlRegistry

    if isinstance(config, str):
        config = RegistryConfig(url=config)
    return SqlRegistry(config.url, config.table, config.schema, place.manifest.folder)


def make_sinks(place: Place) -> Sequence[BaseLogSink]:
    """The run log: a Delta table in the lake, and a database if the environment names one."""
    require("the run log", "pandas", "pyarrow", "deltalake")
    from odibi_nb.sinks.delta import DeltaLogSink

    config = place.config
    sinks: list[BaseLogSink] = [
        DeltaLogSink(lake_root(place), config.run_log, config.storage_options)
    ]
    if config.log_url:
        require("the SQL run log", "sql", "sqlalchemy")
        from odibi_nb.sinks.sql import SqlLogSink

        sinks.append(SqlLogSink(config.log_url, folder=place.manifest.folder))
    return sinks


def make_frame(columns: Sequence[str], rows: Sequence[Row]) -> Any:
    """A pandas DataFrame of *rows*, with *columns* even if there are none."""
    require("a DataFrame", "pandas", "pandas")
    import pandas as pd

    return pd.DataFrame.from_records(rows, columns=list(columns))


def require(needed_for: str, extra: str, *libraries: str) -> None:
    """Make sure that *libraries* can be imported, without importing them.

    Raises:
        EngineNotAvailableError: naming the first that is missing, and the extra that installs it.
    """
    for library in libraries:
        if importlib.util.find_spec(library) is None:
            raise EngineNotAvailableError(needed_for, extra, library)
