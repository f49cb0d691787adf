"""Add the lake's tables to a session's catalog, so that SQL and ``spark.table`` find them by name.

They are external tables: the catalog only stores their location, and dropping one keeps its files. Sail's
names are case-sensitive, so on Sail a table is added under each spelling that queries use.
"""

from __future__ import annotations

import contextlib
import re
import threading
import weakref
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.tables import DEFAULT_SCHEMA, TableName, redact_url
from odibi_nb.core.text.sql_text import backticked, spark_literal
from odibi_nb.engines.lake import CatalogLake
from odibi_nb.engines.spark.connection import CLASSIC, SAIL
from odibi_nb.errors import EngineError
from odibi_nb.storage.spark_names import SESSION_CATALOG, for_jvm, own_catalog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from odibi_nb.engines.lake import Lake
    from odibi_nb.engines.spark.connection import Connection

ALL_AT_ONCE = 200
"""Highest number of tables to add at once; each takes milliseconds, so larger lakes add none."""
_PARTS = 2
_IN_SAIL = "sail"
"""Name of Sail's catalog that ends with its session. A user can set up others, such as Unity Catalog."""


class _Known:
    """The schemas and tables that were added to a session's catalog: names to URIs."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.schemas: dict[str, str] = {}
        self.tables: dict[tuple[str, ...], str] = {}


_known: weakref.WeakKeyDictionary[Any, _Known] = weakref.WeakKeyDictionary()


class SparkCatalog:
    """The catalog of one session, for one lake.

    Attributes:
        name: the catalog's name in SQL; empty if the lake's tables are not added to it.
        foreign: a message for each name under which `show_all` has found another lake's table.
    """

    def __init__(self, connection: Connection, lake: Lake) -> None:
        self._spark = connection.spark
        self._lake = lake
        self._has_case = connection.kind == SAIL
        self._own_default = connection.kind == CLASSIC
        self._own = connection.own
        own = own_catalog(connection.spark) if self._has_case else SESSION_CATALOG
        self._told = not isinstance(lake, CatalogLake) and (
            connection.own or own == _IN_SAIL or _is_in_memory(connection.spark)
        )
        self._known = _known.setdefault(connection.spark, _Known())
        self.name = own if self._told else ""
        self.foreign: list[str] = []

    def _full(self, *parts: str) -> str:
        """Return a full name in this catalog, independent of the current catalog."""
        return ".".join(map(backticked, (self.name, *parts) if self.name else parts))

    def show(self, names: Iterable[str]) -> None:
        """Add the tables with these names; for tables that do not exist yet, add the schema.

        Raises:
            EngineError: if the catalog has another table under one of the names.
        """
        if not self._told:
            return
        for name in names:
            table = TableName.parse(name)
            if len(table.parts) <= _PARTS:
                self._show(table)

    def hide(self, table: TableName) -> None:
        """Remove a table whose files were deleted from the catalog, if it was added."""
        with self._known.lock:
            for key in [key for key in self._known.tables if TableName(key).path == table.path]:
                self._spark.sql(f"DROP TABLE IF EXISTS {self._full(*key)}").collect()
                del self._known.tables[key]

    def show_all(self) -> None:
        """Add all tables of the lake, unless it has too many."""
        tables = self._lake.tables() if self._told else []
        foreign = []
        for parts in tables if len(tables) <= ALL_AT_ONCE else ():
            # Another table that cannot be added only matters to a query that names it.
            with contextlib.suppress(Exception):
                try:
                    self._show(TableName(parts))
                except EngineError as exc:
                    foreign.append(str(exc))
        self.foreign = foreign

    def _show(self, table: TableName) -> None:
        parts = table.parts if len(table.parts) == _PARTS else (DEFAULT_SCHEMA, *table.parts)
        key = parts if self._has_case else tuple(part.lower() for part in parts)
        uri = self._lake.uri(table)
        known = self._known
        with known.lock:
            if known.tables.get(key) == uri:
                return
            self._show_schema(key[0], uri.rpartition("/")[0])
            if self._lake.has(table) is False:
                return
            name = self._full(*key)
            if key in known.tables:
                self._forget(key, name)
            self._add(name, uri)
            known.tables[key] = uri

    def _add(self, name: str, uri: str) -> None:
        """Add a table unless it exists: all sessions of a Connect server share one catalog."""
        what = f"{name} USING delta LOCATION {spark_literal(self._spelled(uri))}"
        if self._has_case and self._own:  # Sail's catalog is the session's own
            self._spark.sql(f"CREATE TABLE IF NOT EXISTS {what}").collect()
            return
        try:
            self._spark.sql(f"CREATE TABLE {what}").collect()
        except Exception as exc:
            if not re.search("already[ _]exists", str(exc), re.IGNORECASE):
                raise
            place = self._place_of(name)
            if place is not None and _bare(place) != _bare(uri):
                raise EngineError(
                    f"Spark's catalog has a table {name.replace('`', '').removeprefix(self.name + '.')} at {redact_url(place)}, but "
                    f"this lake has it at {redact_url(uri)}: if the catalog's table is another lake's, remove it "
                    f'with spark.sql("DROP TABLE {name}"), which keeps the files of a table with a location'
                ) from exc

    def _spelled(self, uri: str) -> str:
        """Return *uri* as the session must spell it."""
        return uri if self._has_case else for_jvm(uri)

    def _place_of(self, name: str) -> str | None:
        rows = self._spark.sql(f"DESCRIBE TABLE EXTENDED {name}").collect()
        return next((row["data_type"] for row in rows if row["col_name"] == "Location"), None)

    def _show_schema(self, schema: str, uri: str) -> None:
        """Set the location of *schema* so that tables saved by functions are also in the lake."""
        known = self._known.schemas.get(schema)
        if known == uri:
            return
        place = spark_literal(self._spelled(uri))
        default = schema == DEFAULT_SCHEMA and self._own_default
        if not self._has_case and (known is not None or default):
            change = f"ALTER SCHEMA {self._full(schema)} SET LOCATION {place}"
        else:
            change = f"CREATE SCHEMA IF NOT EXISTS {self._full(schema)} LOCATION {place}"
        self._spark.sql(change).collect()
        self._known.schemas[schema] = uri

    def _forget(self, key: tuple[str, ...], name: str) -> None:
        """Drop a table of another lake; raise EngineError if that would delete its files."""
        if self._spark.catalog.getTable(name).tableType != "EXTERNAL":
            raise EngineError(
                f"the Spark session has a table {'.'.join(key)} of another lake, with data of its "
                "own: restart the kernel, or stop the session"
            )
        self._spark.sql(f"DROP TABLE {name}").collect()
        del self._known.tables[key]


def _bare(place: str) -> str:
    """Return a location without its ``file:`` prefix and trailing slashes."""
    path = place.removeprefix("file:").rstrip("/")
    return f"/{path.lstrip('/')}" if path.startswith("/") else path


def make_schema(spark: Any, identifier: str) -> None:
    """Create the schema of the table *identifier*, unless it exists."""
    schema = identifier.rpartition(".")[0]
    if not spark.catalog.databaseExists(schema):
        spark.sql(f"CREATE SCHEMA IF NOT EXISTS {schema}").collect()


def _is_in_memory(spark: Any) -> bool:
    """Return True if the catalog is in the session's memory, so that no other session finds our tables."""
    with contextlib.suppress(Exception):
        return bool(spark.conf.get("spark.sql.catalogImplementation", "") == "in-memory")
    return False
