"""Tables that capture writes instead of doing them, for ``load`` and ``try``."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from odibi_nb.core.model.query_tables import DIALECTS, keys_read, tables_in
from odibi_nb.core.model.tables import MOST_PARTS, TableName, table_key
from odibi_nb.core.protocols import (
    ConvertingEngine,
    Portion,
    TableEngine,
    WatchingEngine,
    native_frame,
    watch_tables,
)
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from odibi_nb.core.model.attempt_control import AttemptControl
    from odibi_nb.core.model.checks import Rule
    from odibi_nb.core.model.table_change import TableChange
    from odibi_nb.core.model.transformation import Output
    from odibi_nb.core.protocols import DataFrame, Measure, RehearsingEngine, Watch, WriteInfo
    from odibi_nb.core.rehearsal.past_inputs import PastInputs


@dataclass(frozen=True, slots=True)
class CapturedWrite:
    """A captured write: the frame, as the table would return it, and its output."""

    frame: DataFrame
    output: Output


class CapturedWrites(TableEngine, ConvertingEngine, WatchingEngine):
    """A `TableEngine` that reads from *tables* and captures all writes.

    A table reads as if its captured writes had been done. A write that the engine refuses raises the same
    error here.

    Args:
        tables: the engine.
        portion: how much of a table, file or query a read returns.
        past: versions at which to read the tables; None for the newest ones.
    """

    cannot_cache = "nothing is cached while a row is tried"

    def __init__(
        self,
        tables: RehearsingEngine,
        portion: Portion | None = None,
        past: PastInputs | None = None,
    ) -> None:
        self.tables = tables
        self.past = past
        self.portion = portion or Portion()
        self.name = tables.name
        self.writes: list[CapturedWrite] = []
        self._given: list[DataFrame] = []
        self._lock = threading.Lock()

    def spark_session(self) -> Any:
        return self.tables.spark_session()

    def attempt_scope(
        self, info: WriteInfo, tables: Sequence[str], control: AttemptControl
    ) -> AbstractContextManager[None]:
        return self.tables.attempt_scope(info, tables, control)

    def read(self, table: TableName) -> DataFrame:
        """Read *table* as if its captured writes had been done."""
        written = self.written_to(table.key)
        if written:
            return self.tables.take(self.state(written), Portion())
        then = self._at_its_version(table)
        if then is not None:
            return self._part(then)
        if self.portion:
            return self._held(self.tables.read_portion(table, self.portion))
        return self.tables.read(table)

    def state(self, written: list[CapturedWrite]) -> DataFrame:
        """Return the content of a table after *written*, the captured writes to it."""
        frame: DataFrame | None = None
        for write in written:
            table = TableName.parse(write.output.table)
            if write.output.mode == "overwrite":
                frame = write.frame
                continue
            if frame is None and self.tables.exists(table):
                frame = self._at_its_version(table)
                frame = self.tables.read(table) if frame is None else frame
            frame = (
                write.frame
                if frame is None
                else self.tables.combined(frame, write.frame, write.output)
            )
        return frame

    def _at_its_version(self, table: TableName) -> DataFrame | None:
        """Return *table* as a past attempt read it, without captured writes; None for the newest version."""
        version = None if self.past is None else self.past.version_of(table)
        return None if self.past is None or version is None else self.past.read(table, version)

    def changes(self) -> dict[str, TableChange]:
        """Return the changes that the writes would make, by table in the order of the first writes."""
        partial = bool(self.portion)
        found = {}
        for key in dict.fromkeys(table_key(write.output.table) for write in self.writes):
            written = self.written_to(key)
            frame, output = written[-1].frame, written[-1].output
            if len(written) > 1:
                frame = self.state(written)
                output = msgspec.structs.replace(output, mode="overwrite", schema_mode="overwrite")
            found[output.table] = self.tables.changes(frame, output, partial=partial)
        return found

    def query(self, sql: str) -> DataFrame:
        """Return the rows of a SELECT over the lake's tables.

        Raises:
            DataError: if the query names a table with captured writes.
        """
        written = {table_key(write.output.table) for write in self.writes}
        names, _ = keys_read(sql, self.tables.name, written)
        for write in self.writes:
            if table_key(write.output.table) in names:
                raise DataError(
                    f"the query names {write.output.table}, whose new rows are captured and not in "
                    "the lake: read it with context.read() instead"
                )
        if self.past is None:
            return self._part(self.tables.query(sql))
        tables, _ = tables_in(sql, DIALECTS.get(self.tables.name, self.tables.name))
        keys = {TableName(parts).key for parts in tables or () if len(parts) <= MOST_PARTS}
        return self._part(self.past.query(sql, keys))

    def read_file(
        self,
        location: str,
        *,
        format: str,
        schema: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> DataFrame:
        return self._part(
            self.tables.read_file(location, format=format, schema=schema, options=options)
        )

    def write(self, frame: DataFrame, output: Output, info: WriteInfo) -> int | None:
        """Capture *frame*, and return its number of rows.

        Raises:
            DataError: if the engine's `write` would raise it.
        """
        del info
        prepared = self.tables.prepared(frame, output)
        with self._lock:
            self.writes.append(CapturedWrite(prepared, output))
        return self.tables.row_count(prepared)

    def exists(self, table: TableName) -> bool:
        """Return True if *table* exists or has captured writes."""
        if self.written_to(table.key):
            return True
        then = None if self.past is None else self.past.existed(table)
        return self.tables.exists(table) if then is None else then

    def check_writable(self) -> None:
        """Do nothing: no table is written."""

    def is_frame(self, value: object) -> bool:
        return self.tables.is_frame(value)

    def native(self, frame: DataFrame, name: str) -> DataFrame:
        return native_frame(self.tables, frame, name)

    def watch(self, tables: Sequence[TableName]) -> Watch:
        """Watch *tables* of the engine, which captured writes do not change."""
        return watch_tables(self.tables, tables)

    def row_count(self, frame: DataFrame) -> int | None:
        return self.tables.row_count(frame)

    def schema(self, frame: DataFrame) -> dict[str, str]:
        return self.tables.schema(frame)

    def measure(self, frame: DataFrame, rules: Sequence[Rule]) -> list[Measure]:
        return self.tables.measure(frame, rules)

    def split(self, frame: DataFrame, rules: Sequence[Rule]) -> tuple[DataFrame, DataFrame]:
        return self.tables.split(frame, rules)

    def cache(self, table: TableName, *, keep: bool = False) -> None:
        """Do nothing: a rehearsal reads each table once."""

    def close(self) -> None:
        """Release the captured writes, and the frames that were read."""
        self.writes.clear()
        self._given.clear()

    def written_to(self, key: str) -> list[CapturedWrite]:
        """Return the writes to the table with this key, in order."""
        return [write for write in self.writes if table_key(write.output.table) == key]

    def _part(self, frame: DataFrame) -> DataFrame:
        return self._held(self.tables.take(frame, self.portion)) if self.portion else frame

    def _held(self, frame: DataFrame) -> DataFrame:
        """Hold *frame* as long as this object lives, because Spark's views of it do not hold it."""
        self._given.append(frame)
        return frame
