"""Delta tables through a Spark session, with rows of plain values, for the registry and the run log.

This adapter serves tables that only Spark can reach: tables of a catalog, and tables in storage
for which only the session has the keys. It works on classic Spark, Spark Connect and Sail.

SQL text never contains values: frames are compared with values, and rows come from views.
``spark.sql(…, args=…)`` could also bind values, but on Spark 4.2 the parser of Delta 4.4 loses them.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import logging
import uuid
from typing import TYPE_CHECKING, Any, ClassVar

from odibi_nb.core.model.tables import TableName
from odibi_nb.core.text.redaction import redact_text
from odibi_nb.core.text.spark_errors import (
    is_conflict,
    is_no_schema,
    is_no_table,
    is_spark_error,
    short_spark_error,
)
from odibi_nb.core.text.sql_text import backticked
from odibi_nb.errors import DataError, TableNotFoundError
from odibi_nb.storage.row_table import ALL_ROWS, RowTable, chosen, spelling, tries
from odibi_nb.storage.spark_names import (
    SAIL_CATALOG,
    for_jvm,
    identifier_at,
    identifier_of,
    own_catalog,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from odibi_nb.core.protocols import Row
    from odibi_nb.storage.row_table import Choice, Merge, RowQuery, TextMerge
    from odibi_nb.storage.row_values import Columns

SMALL_FILES = 50
SMALL_BYTES = 16 * 1024 * 1024
_TYPES = {"string": "string", "timestamp": "timestamp", "double": "double", "int": "bigint"}
# delta-rs, with which pandas rows and users' scripts read, cannot read deletion vectors.
_PROPERTIES = {"delta.enableDeletionVectors": "false"}
_BEFORE = "odibi_before_"
_CHANGED = "odibi_nb: a row has changed since it was read"
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)

_logger = logging.getLogger(__name__)


class SparkRowTable(RowTable):
    """A Delta table that a Spark session can reach. Columns of other types keep their types."""

    compacted_every: ClassVar[int] = 8
    """`compact` runs a job of half a second to count the files, and the end of a short run waits for it."""

    def __init__(
        self,
        session: Callable[[], Any],
        shown: str,
        *,
        path: str = "",
        name: str = "",
        properties: Mapping[str, str] | None = None,
    ) -> None:
        """Store the arguments. Nothing is read yet.

        Args:
            session: returns the Spark session; called on first use.
            shown: the table's name in messages.
            path: path or URL of the table.
            name: for a table without *path*, ``schema.table`` in the session's own catalog, or
                ``catalog.schema.table``.
            properties: further table properties of a table that this object creates.
        """
        self.shown = shown
        self._session = session
        self._path = path
        self._parts = name
        self._properties = {**_PROPERTIES, **(properties or {})}

    @functools.cached_property
    def _name(self) -> str:
        """Return the table's full name in SQL, because any code may change the session's current catalog."""
        own = own_catalog(self._session())
        if self._path:
            return identifier_at(self._path, own)
        return identifier_of(TableName(tuple(self._parts.split("."))), own)

    @functools.cached_property
    def _location(self) -> str:
        sail = own_catalog(self._session()) == SAIL_CATALOG
        return self._path if sail else for_jvm(self._path)

    def types(self) -> Mapping[str, str] | None:
        with self._as_data_errors("read"):
            frame = self._frame()
            return None if frame is None else _types_of(frame)

    def select(self, columns: Columns | Choice, query: RowQuery = ALL_ROWS) -> list[Row]:
        with self._as_data_errors("read"):
            return self._rows(self._existing(), columns, query)

    def append(self, rows: Sequence[Row], columns: Columns) -> None:
        """Append *rows* in one commit. If another writer changes the table meanwhile, try again."""
        with self._as_data_errors("written"):
            for attempt in tries(_came_second):
                with attempt:
                    frame = self._frame()
                    types = {} if frame is None else _types_of(frame)
                    self._append(self._of(rows, columns, types), new=frame is None)

    def merge(
        self, columns: Columns | Choice, decide: Callable[[Sequence[Row]], Merge | None]
    ) -> None:
        """Read the rows, call *decide* with them, and commit the merge that it returns.

        Spark reads the table again when it merges. If a row differs from the one that *decide* got, the
        statement fails and *decide* is called again.
        """
        with self._as_data_errors("written"):
            for attempt in tries(_came_second):
                with attempt:
                    frame = self._existing()
                    merge = decide(self._rows(frame, columns, ALL_ROWS))
                    if merge is not None:
                        self._merge(merge, _types_of(frame))

    def compact(self) -> None:
        """Compact the table's small files if it has many. A failure is only logged.

        OPTIMIZE changes no rows, so it does not conflict with appends of other runs. If two runs call it
        at the same time, one of the two statements may fail.
        """
        spark = self._session()
        try:
            detail = spark.sql(f"DESCRIBE DETAIL {self._name}").collect()[0]
            many = detail["numFiles"] >= SMALL_FILES
            if many and detail["sizeInBytes"] < SMALL_BYTES * detail["numFiles"]:
                spark.sql(f"OPTIMIZE {self._name}").collect()
        except Exception as exc:  # noqa: BLE001  Sail lacks both statements, and failures are only logged
            _logger.info("%s was not compacted: %s", self.shown, _reason(exc))

    def tidy(self) -> None:
        """Remove the files of earlier versions that are older than the table's properties require."""
        try:
            self._session().sql(f"VACUUM {self._name}").collect()
        except Exception as exc:  # noqa: BLE001  Sail lacks the statement, and failures are only logged
            _logger.info("%s was not tidied: %s", self.shown, _reason(exc))

    def _existing(self) -> Any:
        """Return a frame of the whole table, or raise TableNotFoundError."""
        frame = self._frame()
        if frame is None:
            raise TableNotFoundError(self.shown, "the table does not exist")
        return frame

    def _rows(self, frame: Any, columns: Columns | Choice, query: RowQuery) -> list[Row]:
        types = _types_of(frame)
        columns, spelled = chosen(columns, types), query.spelled(types)
        if spelled is None:
            return []
        names = [name for name, _ in columns]
        found = spelling(names, types)
        read = [_read_as(found[name], kind, types[found[name]]) for name, kind in columns]
        values = _refined(frame, spelled).selectExpr(*read).collect()
        times = [kind == types[found[name]] == "timestamp" for name, kind in columns]
        rows = [
            {
                name: _EPOCH + dt.timedelta(microseconds=value)
                if time and value is not None
                else value
                for name, value, time in zip(names, row, times, strict=True)
            }
            for row in values
        ]
        return query.ordered_rows(query.folded_rows(rows))

    def _frame(self) -> Any:
        """Return a frame of the whole table, or None if it does not exist."""
        spark = self._session()
        try:
            if self._path:
                frame = spark.read.format("delta").load(self._location)
            else:
                frame = spark.read.table(self._name)
            frame.schema  # noqa: B018  Spark Connect looks for the table only at this point
        except Exception as exc:
            if is_no_table(exc) or is_no_schema(exc):
                return None
            raise
        return frame

    def _of(self, rows: Sequence[Row], columns: Columns, types: Mapping[str, str]) -> Any:
        """Return a frame of *rows*, with the stored table's spelling and *types* for its columns."""
        names = spelling([name for name, _ in columns], types)
        ddl = ", ".join(f"{backticked(name)} {_TYPES[kind]}" for name, kind in columns)
        values = [tuple(row.get(name) for name, _ in columns) for row in rows]
        frame = self._session().createDataFrame(values, ddl)
        own = [(name, names.get(name, name), kind) for name, kind in columns]
        return frame.selectExpr(
            *(
                f"CAST({backticked(name)} AS {types.get(to, _TYPES[kind])}) AS {backticked(to)}"
                for name, to, kind in own
            )
        )

    def _append(self, frame: Any, *, new: bool) -> None:
        # Without it, a cluster would spread ten rows over all of its cores, with one file for each.
        writer = frame.coalesce(1).write.format("delta").mode("append")
        writer = writer.option("mergeSchema", "true")
        if new:
            writer = writer.options(**self._properties)
        if self._path:
            writer.save(self._location)
            return
        try:
            writer.saveAsTable(self._name)
        except Exception as exc:
            if not is_no_schema(exc):
                raise
            # Only on failure: a user of an existing schema does not need the right to create one.
            schema = self._name.rpartition(".")[0]
            self._session().sql(f"CREATE SCHEMA IF NOT EXISTS {schema}").collect()
            writer.saveAsTable(self._name)

    def _merge(self, decided: Merge, types: Mapping[str, str]) -> None:
        """Write all changes of *decided* in one MERGE, or raise if a row is no longer as it was read.

        Each row of the source has the values to write, and in ``odibi_before_*`` the values as they were read.
        ``odibi_there`` is 1 if the row was read, and ``odibi_gone`` is 1 if it is to be deleted. For a table with
        the key ``id`` and the column ``layer``, the statement is in short::

            MERGE INTO t USING s ON t.id <=> s.id
            WHEN MATCHED AND s.odibi_gone = 1 AND <t is as it was read> THEN DELETE
            WHEN MATCHED THEN UPDATE SET t.layer = <s.layer, or raise_error if t is not as it was read>
            WHEN NOT MATCHED THEN INSERT (id, layer) VALUES (<s.id, or raise_error if it was there>, s.layer)

        An error inside the statement is the only way to commit nothing.
        """
        spark, view = self._session(), f"odibi_{uuid.uuid4().hex}"
        merge = decided.spelled(types).as_text()
        same = " AND ".join(f"t.{backticked(key)} <=> s.{backticked(key)}" for key in merge.keys)
        written = [str(name) for name in merge.columns if name not in merge.keys]
        read = [*(old for old, _ in merge.upserts if old is not None), *merge.deletes]
        compared = [name for name in written if any(name in old for old in read)]
        same_values = [f"t.{backticked(n)} <=> s.{backticked(_BEFORE + n)}" for n in compared]
        unchanged = " AND ".join(["s.odibi_there = 1", *same_values])
        guarded, others = written[0], written[1:]
        checked = _or_end(f"{unchanged} AND s.odibi_gone = 0", guarded)
        sets = [f"t.{backticked(guarded)} = {checked}"]
        sets += [f"t.{backticked(name)} = s.{backticked(name)}" for name in others]
        key, rest = merge.keys[0], [*merge.keys[1:], *written]
        values = [_or_end("s.odibi_there = 0", key), *(f"s.{backticked(name)}" for name in rest)]
        delete = f"WHEN MATCHED AND s.odibi_gone = 1 AND {unchanged} THEN DELETE "
        self._source(merge, compared, types).createOrReplaceTempView(view)
        try:
            spark.sql(
                f"MERGE INTO {self._name} AS t USING {view} AS s ON {same} "
                f"{delete if merge.deletes else ''}"
                f"WHEN MATCHED THEN UPDATE SET {', '.join(sets)} "
                f"WHEN NOT MATCHED THEN INSERT ({', '.join(map(backticked, (key, *rest)))}) "
                f"VALUES ({', '.join(values)})"
            ).collect()
        finally:
            with contextlib.suppress(Exception):  # the merge is committed even if this fails
                spark.catalog.dropTempView(view)

    def _source(self, merge: TextMerge, compared: Sequence[str], types: Mapping[str, str]) -> Any:
        """Return the rows of *merge*, each with its values as they were read, in the table's *types*."""
        types = {**types, **{_BEFORE + name: types[name] for name in compared if name in types}}
        columns = [(name, "string") for name in (*merge.columns, *(_BEFORE + n for n in compared))]
        columns += [("odibi_there", "int"), ("odibi_gone", "int")]
        triples = [(old, new, 0) for old, new in merge.upserts]
        triples += [(old, old, 1) for old in merge.deletes]
        rows = [
            {
                **new,
                **{_BEFORE + name: value for name, value in (old or {}).items()},
                "odibi_there": int(old is not None),
                "odibi_gone": gone,
            }
            for old, new, gone in triples
        ]
        return self._of(rows, columns, types)

    @contextlib.contextmanager
    def _as_data_errors(self, verb: str) -> Iterator[None]:
        """Convert Spark's errors to DataError, with the reason in one line."""
        try:
            yield
        except Exception as exc:
            if not is_spark_error(exc) and not isinstance(exc, (OSError, ValueError)):
                raise
            raise DataError(f"{self.shown} cannot be {verb}: {_reason(exc)}") from exc


def _or_end(condition: str, name: str) -> str:
    """Return SQL for the source's value of *name* that raises an error unless *condition* holds."""
    return f"CASE WHEN {condition} THEN s.{backticked(name)} ELSE raise_error('{_CHANGED}') END"


def _came_second(exc: BaseException) -> bool:
    """Return True if another writer created or changed the table first."""
    return is_conflict(exc) or "ALREADY_EXISTS" in str(exc) or _CHANGED in str(exc)


def _refined(frame: Any, query: RowQuery) -> Any:
    """Return the rows of *query*. Only a query with a limit is ordered here; otherwise the caller sorts."""
    for name, texts in query.equal.items():
        frame = frame.where(frame[name].isin(list(texts)))
    if query.limit is None:
        return frame
    columns = [frame[name] for name in query.order]
    order = [c.desc_nulls_last() if query.descending else c.asc_nulls_first() for c in columns]
    return frame.orderBy(*order).limit(query.limit)


def _types_of(frame: Any) -> dict[str, str]:
    return {field.name: field.dataType.simpleString() for field in frame.schema.fields}


def _read_as(column: str, kind: str, type_: str) -> str:
    """Return SQL for a column whose values do not depend on the session's time zone."""
    quoted = backticked(column)
    if kind != "timestamp":
        return quoted
    if type_ == "timestamp":
        return f"unix_micros({quoted}) AS {quoted}"
    return f"CAST({quoted} AS string) AS {quoted}"


def _reason(exc: BaseException) -> str:
    short = short_spark_error(str(exc))
    return redact_text(str(short).replace("\n", "; ") or type(exc).__name__)[:500]
