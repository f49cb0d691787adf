"""Delta tables through a Spark session, for rows of plain values: the registry's and the run log's.

For what only Spark reaches: the tables of a catalog, and storage to which the session alone has the
keys. It works on classic Spark, Spark Connect and Sail alike.

No value ever stands in SQL text: frames are compared with values, and rows come from views.
``spark.sql(…, args=…)`` would bind them as well, but on Spark 4.2 the parser of Delta 4.4 loses them.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import logging
import uuid
from typing import TYPE_CHECKING, Any

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
from odibi_nb.storage.spark_names import identifier_at, identifier_of, own_catalog

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from odibi_nb.core.protocols import Row
    from odibi_nb.storage.row_table import Choice, Columns, Merge, RowQuery, TextMerge

SMALL_FILES = 50
SMALL_BYTES = 16 * 1024 * 1024
_TYPES = {"string": "string", "timestamp": "timestamp", "double": "double", "int": "bigint"}
# delta-rs, through which pandas rows and people's scripts read, cannot read deletion vectors.
_PROPERTIES = {"delta.enableDeletionVectors": "false"}
_BEFORE = "odibi_before_"
_CHANGED = "odibi_nb: a row has changed since it was read"
_UTC = dt.timezone.utc
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=_UTC)

_logger = logging.getLogger(__name__)


class SparkRowTable(RowTable):
    """A Delta table that a Spark session reaches, and that may not be there yet.

    Columns are pairs of name and kind: ``string``, ``timestamp`` (UTC), ``double`` or ``int``. Where
    a table has other types it keeps them. Every method raises DataError with Spark's reason, in one
    line.
    """

    def __init__(
        self, session: Callable[[], Any], shown: str, *, path: str = "", name: str = ""
    ) -> None:
        """Nothing is looked at yet.

        Args:
            session: gives the Spark session; called when it is first needed.
            shown: what messages call the table.
            path: path or URL of the table.
            name: for a table without *path*, ``schema.table`` in the session's own catalog, or
                ``catalog.schema.table``.
        """
        self.shown = shown
        self._session = session
        self._path = path
        self._parts = name

    @functools.cached_property
    def _name(self) -> str:
        """The table in SQL: its full name, as anybody may change the session's current catalog."""
        own = own_catalog(self._session())
        if self._path:
            return identifier_at(self._path, own)
        return identifier_of(TableName(tuple(self._parts.split("."))), own)

    def types(self) -> Mapping[str, str] | None:
        """Its columns, as it spells them, and their types; None if there is no table."""
        with self._as_data_errors("read"):
            frame = self._frame()
            return None if frame is None else _types_of(frame)

    def select(self, columns: Columns | Choice, query: RowQuery = ALL_ROWS) -> list[Row]:
        """Rows of the table, with those of *columns* that it has."""
        with self._as_data_errors("read"):
            return self._rows(columns, query)

    def append(self, rows: Sequence[Row], columns: Columns) -> None:
        """Append *rows* in one commit; the table is made, or gets the columns that it lacks.

        Without *rows* only that happens. Where another writer makes or changes the table at the same
        time, it is tried again.
        """
        with self._as_data_errors("written"):
            for attempt in tries(_came_second):
                with attempt:
                    frame = self._frame()
                    types = {} if frame is None else _types_of(frame)
                    self._append(self._of(rows, columns, types), new=frame is None)

    def merge(
        self, columns: Columns | Choice, decide: Callable[[Sequence[Row]], Merge | None]
    ) -> None:
        """Read the rows, let *decide* say what to do to them, and do it in one commit.

        Spark reads the table again when it merges: a row that is no longer as *decide* got it ends the
        statement, and *decide* is asked again.
        """
        with self._as_data_errors("written"):
            for attempt in tries(_came_second):
                with attempt:
                    merge = decide(self._rows(columns, ALL_ROWS))
                    if merge is not None:
                        self._merge(merge)

    def compact(self) -> None:
        """Make one of the table's many small files, if there are many; a failure is only logged.

        OPTIMIZE changes no rows, so appends of other runs do not conflict with it; where it conflicts
        with another OPTIMIZE, one of the two gives way.
        """
        spark = self._session()
        try:
            detail = spark.sql(f"DESCRIBE DETAIL {self._name}").collect()[0]
            many = detail["numFiles"] >= SMALL_FILES
            if many and detail["sizeInBytes"] < SMALL_BYTES * detail["numFiles"]:
                spark.sql(f"OPTIMIZE {self._name}").collect()
        except Exception as exc:  # noqa: BLE001  Sail has neither statement; and see the docstring
            _logger.info("%s was not compacted: %s", self.shown, _reason(exc))

    def _rows(self, columns: Columns | Choice, query: RowQuery) -> list[Row]:
        frame = self._frame()
        if frame is None:
            raise TableNotFoundError(self.shown, "there is no such table")
        types = _types_of(frame)
        columns, spelled = chosen(columns, types), query.spelled(types)
        if spelled is None:
            return []
        found = spelling([name for name, _ in columns], types)
        named = [(name, kind, found[name]) for name, kind in columns]
        read = [_read_as(backticked(column), kind, types[column]) for _, kind, column in named]
        values = _refined(frame, spelled).selectExpr(*read).collect()
        times = [kind == "timestamp" and types[column] == "timestamp" for _, kind, column in named]
        names = [name for name, _, _ in named]
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
        """All of the table, or None if there is none."""
        spark = self._session()
        try:
            if self._path:
                frame = spark.read.format("delta").load(self._path)
            else:
                frame = spark.read.table(self._name)
            frame.schema  # noqa: B018  Connect looks for the table only now
        except Exception as exc:
            if is_no_table(exc) or is_no_schema(exc):
                return None
            raise
        return frame

    def _of(self, rows: Sequence[Row], columns: Columns, types: Mapping[str, str]) -> Any:
        """A frame of *rows*, with the table's names and *types* where it has the columns."""
        names = spelling([name for name, _ in columns], types)
        ddl = ", ".join(f"{backticked(name)} {_TYPES[kind]}" for name, kind in columns)
        values = [tuple(row.get(name) for name, _ in columns) for row in rows]
        frame = self._session().createDataFrame(values, ddl)
        return frame.selectExpr(
            *(
                f"CAST({backticked(name)} AS {types.get(names.get(name, name), _TYPES[kind])})"
                f" AS {backticked(names.get(name, name))}"
                for name, kind in columns
            )
        )

    def _append(self, frame: Any, *, new: bool) -> None:
        # A cluster would spread even ten rows over all of its cores, each with a file of its own.
        writer = frame.coalesce(1).write.format("delta").mode("append")
        writer = writer.option("mergeSchema", "true")
        if new:
            writer = writer.options(**_PROPERTIES)
        if self._path:
            writer.save(self._path)
            return
        try:
            writer.saveAsTable(self._name)
        except Exception as exc:
            if not is_no_schema(exc):
                raise
            # Only now: where the schema is there, nobody needs the right to make one.
            schema = self._name.rpartition(".")[0]
            self._session().sql(f"CREATE SCHEMA IF NOT EXISTS {schema}").collect()
            writer.saveAsTable(self._name)

    def _merge(self, decided: Merge) -> None:
        spark, view, types = self._session(), f"odibi_{uuid.uuid4().hex}", self.types() or {}
        merge = decided.spelled(types).as_text()
        same = " AND ".join(f"t.{backticked(key)} <=> s.{backticked(key)}" for key in merge.keys)
        written = [str(name) for name in merge.columns if name not in merge.keys]
        compared = [name for name in written if any(name in old for old in _read(merge))]
        unchanged = " AND ".join(
            [
                "s.odibi_there = 1",
                *(f"t.{backticked(n)} <=> s.{backticked(_BEFORE + n)}" for n in compared),
            ]
        )
        guarded, others = written[0], written[1:]
        sets = [
            f"t.{backticked(guarded)} = {_or_end(f'{unchanged} AND s.odibi_gone = 0', guarded)}"
        ]
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
            with contextlib.suppress(Exception):  # the merge is committed, whatever becomes of it
                spark.catalog.dropTempView(view)

    def _source(self, merge: TextMerge, compared: Sequence[str], types: Mapping[str, str]) -> Any:
        """The rows of *merge*, each with its values as they were read, in the table's *types*."""
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
        """Turn what Spark raises into one message."""
        try:
            yield
        except Exception as exc:
            if not is_spark_error(exc) and not isinstance(exc, (OSError, ValueError)):
                raise
            raise DataError(f"{self.shown} cannot be {verb}: {_reason(exc)}") from exc


def _read(merge: TextMerge) -> list[Row]:
    """The rows of *merge* as they were read."""
    return [*(old for old, _ in merge.upserts if old is not None), *merge.deletes]


def _or_end(condition: str, name: str) -> str:
    """SQL for the source's value of *name* if *condition* holds; else it ends the statement."""
    return f"CASE WHEN {condition} THEN s.{backticked(name)} ELSE raise_error('{_CHANGED}') END"


def _came_second(exc: BaseException) -> bool:
    """Whether another writer changed the table, or made it, meanwhile."""
    return is_conflict(exc) or "ALREADY_EXISTS" in str(exc) or _CHANGED in str(exc)


def _refined(frame: Any, query: RowQuery) -> Any:
    """The rows that *query* wants; ordered only to find the first: whoever gets all orders them."""
    for name, texts in query.equal.items():
        frame = frame.where(frame[name].isin(list(texts)))
    if query.limit is None:
        return frame
    order = [frame[name] for name in query.order]
    first = [
        column.desc_nulls_last() if query.descending else column.asc_nulls_first()
        for column in order
    ]
    return frame.orderBy(*first).limit(query.limit)


def _types_of(frame: Any) -> dict[str, str]:
    return {field.name: field.dataType.simpleString() for field in frame.schema.fields}


def _read_as(column: str, kind: str, type_: str) -> str:
    """A column such that its values mean the same in every time zone."""
    if kind != "timestamp":
        return column
    if type_ == "timestamp":
        return f"unix_micros({column}) AS {column}"
    return f"CAST({column} AS string) AS {column}"


def _reason(exc: BaseException) -> str:
    short = short_spark_error(str(exc))
    return redact_text(str(short).replace("\n", "; ") or type(exc).__name__)[:500]
