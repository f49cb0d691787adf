"""Names of tables in a Spark session, and its current catalog and schema, which belong to its user.

One session has one current catalog and schema for all threads, and anything may change them: a row's
function, the next cell. So tables are always addressed by their full names, whatever is current. Only
a function's own SQL needs the lake's catalog to be current; while rows run it is, and afterwards the
session has again what it had before.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import weakref
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.tables import DEFAULT_SCHEMA
from odibi_nb.core.text.redaction import redact_text
from odibi_nb.core.text.spark_errors import short_spark_error
from odibi_nb.core.text.sql_text import backticked
from odibi_nb.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from odibi_nb.core.model.tables import TableName

SESSION_CATALOG = "spark_catalog"
"""The catalog that every Spark session of the JVM has."""
SAIL_CATALOG = "sail"


_PARTS = 2
"""Of a table's name without its catalog."""


def identifier_of(table: TableName, catalog: str = "") -> str:
    """*table* in SQL, in *catalog*; in the session's current one if that is empty."""
    parts = table.parts if len(table.parts) > 1 else (DEFAULT_SCHEMA, *table.parts)
    full = (catalog, *parts) if catalog and len(parts) <= _PARTS else parts
    return ".".join(map(backticked, full))


def identifier_at(path: str, own: str) -> str:
    """The Delta table at a path or URL in SQL, whatever catalog is current.

    A path is looked up in the current catalog, and not every catalog knows Delta's: that of the session
    does. Sail has none of that name, and Databricks finds paths whatever is current.

    Args:
        path: where the table stands.
        own: the session's `own_catalog`.
    """
    elsewhere = own in {"", SAIL_CATALOG} or (own != SESSION_CATALOG and _on_databricks())
    return f"{'' if elsewhere else f'{SESSION_CATALOG}.'}delta.{backticked(path)}"


def _on_databricks() -> bool:
    return "DATABRICKS_RUNTIME_VERSION" in os.environ or "databricks.connect" in sys.modules


class _Borrowed:
    """What a session had before rows ran in it, and which rows do: an engine's id for each."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.by: list[int] = []
        self.catalog = ""
        self.schema = ""


_borrowed: weakref.WeakKeyDictionary[Any, _Borrowed] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def _of(spark: Any) -> _Borrowed:
    with _lock:
        return _borrowed.setdefault(spark, _Borrowed())


def own_catalog(spark: Any) -> str:
    """The catalog that the session's owner has made current, also while rows run in it; or ""."""
    state = _of(spark)
    with state.lock:
        return state.catalog if state.by else _catalog(spark)


def check_catalog(spark: Any, catalog: str) -> None:
    """Raise EngineError if the session has no such catalog."""
    try:
        spark.sql(f"SHOW SCHEMAS IN {backticked(catalog)} LIKE {DEFAULT_SCHEMA!r}").collect()
    except Exception as exc:
        raise EngineError(
            f"lake 'catalog:{catalog}': the Spark session cannot use the catalog {catalog!r}: "
            f"{_reason(exc)}; correct 'lake' in the manifest, or ask for the right to use the catalog"
        ) from exc


@contextlib.contextmanager
def borrowed(spark: Any, catalog: str, engine: object) -> Iterator[None]:
    """Let *catalog* (empty: none) be the session's current one inside, and what it had afterwards.

    Of several rows at once, the last to end gives back.
    """
    state, by = _of(spark), id(engine)
    with state.lock:
        if not state.by:
            state.catalog, state.schema = _catalog(spark), _schema(spark)
        state.by.append(by)
        try:
            use(spark, catalog)
        except BaseException:
            state.by.remove(by)
            raise
    try:
        yield
    finally:
        with state.lock:
            if by in state.by:
                state.by.remove(by)
                _give_back(spark, state)


def give_back(spark: Any, engine: object) -> None:
    """Give the session back although rows of *engine* still run: nobody waits for them any more."""
    state = _of(spark)
    with state.lock:
        if id(engine) in state.by:
            state.by = [by for by in state.by if by != id(engine)]
            _give_back(spark, state)


def use(spark: Any, catalog: str) -> None:
    """Make *catalog* current, unless it is or is empty."""
    if not catalog or _catalog(spark) == catalog:
        return
    try:
        spark.catalog.setCurrentCatalog(catalog)
    except Exception as exc:
        raise EngineError(f"the catalog {catalog!r} cannot be used: {_reason(exc)}") from exc


def _give_back(spark: Any, state: _Borrowed) -> None:
    if state.by:
        return
    with contextlib.suppress(Exception):  # a session that is gone has nothing to get back
        if not state.schema and _schema(spark):  # only another catalog lets go of a schema
            spark.catalog.setCurrentCatalog(SESSION_CATALOG)
        if state.catalog and _catalog(spark) != state.catalog:
            spark.catalog.setCurrentCatalog(state.catalog)
        if state.schema and _schema(spark) != state.schema:
            spark.catalog.setCurrentDatabase(state.schema)


def _catalog(spark: Any) -> str:
    with contextlib.suppress(Exception):  # Sparks before 3.4 have one only
        return str(spark.catalog.currentCatalog())
    return ""


def _schema(spark: Any) -> str:
    with contextlib.suppress(Exception):  # a catalog may have none
        return str(spark.catalog.currentDatabase())
    return ""


def _reason(exc: BaseException) -> str:
    return redact_text(" ".join(str(short_spark_error(str(exc))).split()))[:400]
