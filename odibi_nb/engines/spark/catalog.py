"""The lake's tables under their names in a session's catalog, so that SQL and ``spark.table`` find them.

They are external tables: the catalog only knows where they stand, and forgetting one leaves its
files. Sail's names have case, so a table is known there as each query spells it.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.tables import DEFAULT_SCHEMA, TableName, redact_url
from odibi_nb.core.text.sql_text import backticked, spark_literal
from odibi_nb.engines.lake import CatalogLake
from odibi_nb.engines.spark.session import CLASSIC, SAIL
from odibi_nb.errors import EngineError
from odibi_nb.storage.spark_names import SESSION_CATALOG, own_catalog

if TYPE_CHECKING:
    from collections.abc import Iterable

    from odibi_nb.engines.lake import Lake
    from odibi_nb.engines.spark.session import Connection

ALL_AT_ONCE = 200
"""A lake of more tables is not shown whole: each of them takes milliseconds."""
_PARTS = 2


class _Known:
    """What a session's catalog has been told: names to URIs."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.schemas: dict[str, str] = {}
        self.tables: dict[tuple[str, ...], str] = {}


_known: weakref.WeakKeyDictionary[Any, _Known] = weakref.WeakKeyDictionary()


class SparkCatalog:
    """The catalog of one session, for one lake.

    Attributes:
        name: what it is called in SQL; empty where the lake's tables are not shown in it.
    """

    def __init__(self, connection: Connection, lake: Lake) -> None:
        self._spark = connection.spark
        self._lake = lake
        self._has_case = connection.kind == SAIL
        self._can_move = connection.kind != SAIL
        self._own_default = connection.kind == CLASSIC
        self._told = not isinstance(lake, CatalogLake) and (
            connection.own or _is_in_memory(connection.spark)
        )
        self._known = _known.setdefault(connection.spark, _Known())
        own = own_catalog(connection.spark) if self._has_case else SESSION_CATALOG
        self.name = own if self._told else ""

    def _full(self, *parts: str) -> str:
        """A name in this catalog, whichever is the current one."""
        return ".".join(map(backticked, (self.name, *parts) if self.name else parts))

    def show(self, names: Iterable[str]) -> None:
        """Make the tables of these names known, and the schemas of those that are yet to come.

        Raises:
            EngineError: if the catalog has another table under one of the names.
        """
        if not self._told:
            return
        for name in names:
            table = TableName.parse(name)
            if len(table.parts) <= _PARTS:
                self._show(table)

    def show_all(self) -> None:
        """Make all tables of a lake known, unless it is too large for that."""
        tables = self._lake.tables() if self._told else []
        if len(tables) <= ALL_AT_ONCE:
            for parts in tables:
                # A table that cannot be known is only missed when somebody names it.
                with contextlib.suppress(Exception):
                    self._show(TableName(parts))

    def _show(self, table: TableName) -> None:
        parts = table.parts if len(table.parts) == _PARTS else (DEFAULT_SCHEMA, *table.parts)
        key = parts if self._has_case else tuple(part.lower() for part in parts)
        uri = self._lake.uri(table)
        known = self._known
        with known.lock:
            if known.tables.get(key) == uri:
                return
            self._show_schema(key[0], uri.rpartition("/")[0])
            if not self._is_there(table):
                return
            name = self._full(*key)
            if key in known.tables:
                self._forget(key, name)
            self._add(name, uri)
            known.tables[key] = uri

    def _add(self, name: str, uri: str) -> None:
        """Add a table, unless it is there: a Connect server's catalog is that of all its sessions."""
        what = f"{name} USING delta LOCATION {spark_literal(uri)}"
        if self._has_case:  # Sail's catalog is the session's own
            self._spark.sql(f"CREATE TABLE IF NOT EXISTS {what}").collect()
            return
        try:
            self._spark.sql(f"CREATE TABLE {what}").collect()
        except Exception as exc:
            if "ALREADY_EXISTS" not in str(exc):
                raise
            place = self._place_of(name)
            if place is not None and _bare(place) != _bare(uri):
                raise EngineError(
                    f"Spark's catalog has a table {name.replace('`', '').removeprefix(self.name + '.')} at {redact_url(place)}, which "
                    f"is not this lake's at {redact_url(uri)}: if it is another lake's, forget it "
                    f'there: spark.sql("DROP TABLE {name}") leaves the files of a table with a location'
                ) from exc

    def _place_of(self, name: str) -> str | None:
        rows = self._spark.sql(f"DESCRIBE TABLE EXTENDED {name}").collect()
        return next((row["data_type"] for row in rows if row["col_name"] == "Location"), None)

    def _show_schema(self, schema: str, uri: str) -> None:
        """Let what functions save as tables of *schema* stand in the lake, too."""
        known = self._known.schemas.get(schema)
        if known == uri:
            return
        place = spark_literal(uri)
        default = schema == DEFAULT_SCHEMA and self._own_default
        if self._can_move and (known is not None or default):
            self._spark.sql(f"ALTER SCHEMA {self._full(schema)} SET LOCATION {place}").collect()
        else:
            self._spark.sql(
                f"CREATE SCHEMA IF NOT EXISTS {self._full(schema)} LOCATION {place}"
            ).collect()
        self._known.schemas[schema] = uri

    def _forget(self, key: tuple[str, ...], name: str) -> None:
        """Forget a table of another lake; never one whose files would go with it."""
        if self._spark.catalog.getTable(name).tableType != "EXTERNAL":
            raise EngineError(
                f"the Spark session has a table {'.'.join(key)} of another lake, with data of its "
                "own: restart the kernel, or stop the session"
            )
        self._spark.sql(f"DROP TABLE {name}").collect()
        del self._known.tables[key]

    def _is_there(self, table: TableName) -> bool:
        return self._lake.has(table) is not False


def _bare(place: str) -> str:
    """A location without what only tells that it is a local path."""
    path = place.removeprefix("file:").rstrip("/")
    return f"/{path.lstrip('/')}" if path.startswith("/") else path


def make_schema(spark: Any, identifier: str) -> None:
    """Make the schema that the table *identifier* is to stand in, unless it is there."""
    schema = identifier.rpartition(".")[0]
    if not spark.catalog.databaseExists(schema):
        spark.sql(f"CREATE SCHEMA IF NOT EXISTS {schema}").collect()


def _is_in_memory(spark: Any) -> bool:
    """Whether the session's catalog ends with it, so that nobody else finds our names in it."""
    with contextlib.suppress(Exception):
        return bool(spark.conf.get("spark.sql.catalogImplementation", "") == "in-memory")
    return False
