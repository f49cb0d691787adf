"""Full names of tables in a Spark session, and the session's current catalog and schema.

All threads of a session share one current catalog and schema, and any code may change them: a row's
function, the next cell. So tables are always addressed by their full names. Only the SQL of a row's
function needs the lake's catalog to be current. While rows run, it is current; afterwards the session's
own catalog and schema are restored.
"""

from __future__ import annotations

import contextlib
import threading
import weakref
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.tables import DEFAULT_SCHEMA
from odibi_nb.core.process.compute import has_databricks_session
from odibi_nb.core.text.redaction import redact_text
from odibi_nb.core.text.spark_errors import short_spark_error
from odibi_nb.core.text.sql_text import backticked
from odibi_nb.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from odibi_nb.core.model.tables import TableName

SESSION_CATALOG = "spark_catalog"
"""The catalog that every Spark session of the JVM has."""
SAIL_CATALOG = "sail"


_PARTS = 2
"""Number of parts of a table's name without its catalog."""


def identifier_of(table: TableName, catalog: str = "") -> str:
    """Return *table* in SQL, in *catalog*. An empty *catalog* means the session's current one."""
    parts = table.parts if len(table.parts) > 1 else (DEFAULT_SCHEMA, *table.parts)
    full = (catalog, *parts) if catalog and len(parts) <= _PARTS else parts
    return ".".join(map(backticked, full))


def for_jvm(location: str) -> str:
    """Return *location* with the scheme ``file`` if it is an absolute path of this machine.

    A path without a scheme belongs to the session's default file system: DBFS on Databricks, HDFS on a
    cluster. The path is not percent-encoded, because Hadoop takes it as it is.
    """
    if "://" in location or not PurePath(location).is_absolute():
        return location
    path = PurePath(location).as_posix()
    return f"file://{path}" if path.startswith("/") else f"file:///{path}"


def identifier_at(path: str, own: str) -> str:
    """Return the Delta table at a path or URL in SQL, independent of the current catalog.

    Spark looks a path up in the current catalog, which may not support Delta tables. The session's catalog
    does, so its name goes first. Sail has no catalog of that name, and Databricks finds paths from any
    catalog.

    Args:
        path: the path or URL of the table.
        own: the session's `own_catalog`.
    """
    elsewhere = own in {"", SAIL_CATALOG} or (own != SESSION_CATALOG and has_databricks_session())
    place = path if own == SAIL_CATALOG else for_jvm(path)
    return f"{'' if elsewhere else f'{SESSION_CATALOG}.'}delta.{backticked(place)}"


class _Borrowed:
    """The catalog and schema of a session before rows ran in it, and the engine id of each running row."""

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
    """Return the catalog that the session's owner made current, even while rows run in it, or ""."""
    state = _of(spark)
    with state.lock:
        return state.catalog if state.by else _catalog(spark)


def check_catalog(spark: Any, catalog: str) -> None:
    """Raise EngineError if the session cannot use *catalog*."""
    try:
        spark.sql(f"SHOW SCHEMAS IN {backticked(catalog)} LIKE {DEFAULT_SCHEMA!r}").collect()
    except Exception as exc:
        raise EngineError(
            f"lake 'catalog:{catalog}': the Spark session cannot use the catalog {catalog!r}: "
            f"{_reason(exc)}; correct 'lake' in the manifest, or ask for the right to use the catalog"
        ) from exc


def missing_schemas(spark: Any, catalog: str, schemas: Iterable[str]) -> list[str]:
    """Return the *schemas* that *catalog* does not have. Writes nothing.

    Args:
        spark: the session.
        catalog: name of the catalog; "" for the session's current one.
        schemas: names of schemas.

    Raises:
        EngineError: if the session has no right to use the catalog or to check a schema.
    """
    if catalog:
        check_catalog(spark, catalog)
    missing = []
    for schema in schemas:
        name = ".".join(backticked(part) for part in (catalog, schema) if part)
        try:
            if not spark.catalog.databaseExists(name):
                missing.append(schema)
        except Exception as exc:
            raise EngineError(f"the schema {name} cannot be checked: {_reason(exc)}") from exc
    return missing


@contextlib.contextmanager
def borrowed(spark: Any, catalog: str, engine: object) -> Iterator[None]:
    """Make *catalog* the session's current one inside the block, and restore the previous one afterwards.

    An empty *catalog* changes nothing. If several rows run at once, the last one to end restores it.
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
    """Restore the session's catalog and schema although abandoned rows of *engine* still run."""
    state = _of(spark)
    with state.lock:
        if id(engine) in state.by:
            state.by = [by for by in state.by if by != id(engine)]
            _give_back(spark, state)


def use(spark: Any, catalog: str) -> None:
    """Make *catalog* current, unless it is empty or already current."""
    if not catalog or _catalog(spark) == catalog:
        return
    try:
        spark.catalog.setCurrentCatalog(catalog)
    except Exception as exc:
        raise EngineError(f"the catalog {catalog!r} cannot be used: {_reason(exc)}") from exc


def _give_back(spark: Any, state: _Borrowed) -> None:
    if state.by:
        return
    with contextlib.suppress(Exception):  # a stopped session has nothing to restore
        if not state.schema and _schema(spark):  # only a change of catalog unsets a schema
            spark.catalog.setCurrentCatalog(SESSION_CATALOG)
        if state.catalog and _catalog(spark) != state.catalog:
            spark.catalog.setCurrentCatalog(state.catalog)
        if state.schema and _schema(spark) != state.schema:
            spark.catalog.setCurrentDatabase(state.schema)


def _catalog(spark: Any) -> str:
    with contextlib.suppress(Exception):  # Spark before 3.4 has only one catalog
        return str(spark.catalog.currentCatalog())
    return ""


def _schema(spark: Any) -> str:
    with contextlib.suppress(Exception):  # a catalog may have no schema
        return str(spark.catalog.currentDatabase())
    return ""


def _reason(exc: BaseException) -> str:
    return redact_text(" ".join(str(short_spark_error(str(exc))).split()))[:400]
