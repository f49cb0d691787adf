"""Tables whose writes are kept, not done: what ``load`` and ``try`` work on."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from odibi_nb.core.model.query_tables import keys_read
from odibi_nb.core.model.tables import TableName, table_key
from odibi_nb.core.protocols import Portion, native_frame, watch_tables
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from odibi_nb.core.model.attempt_control import AttemptControl
    from odibi_nb.core.model.checks import Rule
    from odibi_nb.core.model.table_change import TableChange
    from odibi_nb.core.model.transformation import Output
    from odibi_nb.core.protocols import DataFrame, Measure, RehearsingEngine, Watch, WriteInfo


@dataclass(frozen=True, slots=True)
class CapturedWrite:
    """A write that was not done: the frame as the table would give it back, and where it belongs."""

    frame: DataFrame
    output: Output


class CapturedWrites:
    """A `TableEngine` that reads from *tables* and keeps what is written to itself.

    A table that was written reads as it would be then. What an engine refuses to write is refused
    here, with the same message.

    Args:
        tables: the engine.
        portion: what reads give of the lake's tables, and of files and queries.
    """

    def __init__(self, tables: RehearsingEngine, portion: Portion | None = None) -> None:
        self.tables = tables
        self.portion = portion or Portion()
        self.name = tables.name
        self.cannot_cache = "nothing is kept while a row is tried out"
        self.writes: list[CapturedWrite] = []
        self._given: list[DataFrame] = []
        self._lock = threading.Lock()

    def spark_session(self) -> Any:
        """The engine's."""
        return self.tables.spark_session()

    def attempt_scope(
        self, info: WriteInfo, tables: Sequence[str], control: AttemptControl
    ) -> AbstractContextManager[None]:
        """The engine's."""
        return self.tables.attempt_scope(info, tables, control)

    def read(self, table: TableName) -> DataFrame:
        """*table* as the writes so far would have left it."""
        written = self.written_to(table.key)
        if written:
            return self.tables.take(self.state(written), Portion())
        if self.portion:
            return self._held(self.tables.read_portion(table, self.portion))
        return self.tables.read(table)

    def state(self, written: list[CapturedWrite]) -> DataFrame:
        """All that a table would hold after *written*, the writes to it."""
        frame: DataFrame | None = None
        for write in written:
            table = TableName.parse(write.output.table)
            if write.output.mode == "overwrite":
                frame = write.frame
                continue
            if frame is None and self.tables.exists(table):
                frame = self.tables.read(table)
            frame = (
                write.frame
                if frame is None
                else self.tables.combined(frame, write.frame, write.output)
            )
        return frame

    def changes(self) -> dict[str, TableChange]:
        """Table to what the writes to it would change, in the order of the first writes."""
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
        """The rows of a SELECT over the lake's tables.

        Raises:
            DataError: if it names a table that was written meanwhile.
        """
        written = {table_key(write.output.table) for write in self.writes}
        names, _ = keys_read(sql, self.tables.name, written)
        for write in self.writes:
            if table_key(write.output.table) in names:
                raise DataError(
                    f"the query names {write.output.table}, whose new rows are captured and not in "
                    "the lake: read it with context.read() instead"
                )
        return self._part(self.tables.query(sql))

    def read_file(
        self,
        location: str,
        *,
        format: str,
        schema: Mapping[str, str] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> DataFrame:
        """The rows of a file or folder."""
        return self._part(
            self.tables.read_file(location, format=format, schema=schema, options=options)
        )

    def write(self, frame: DataFrame, output: Output, info: WriteInfo) -> int | None:
        """Keep *frame*; the rows it has.

        Raises:
            DataError: if the engine's `write` would.
        """
        del info
        prepared = self.tables.prepared(frame, output)
        with self._lock:
            self.writes.append(CapturedWrite(prepared, output))
        return self.tables.row_count(prepared)

    def exists(self, table: TableName) -> bool:
        """Whether *table* is there, or was written."""
        return bool(self.written_to(table.key)) or self.tables.exists(table)

    def check_writable(self) -> None:
        """Nothing: nothing is written."""

    def is_frame(self, value: object) -> bool:
        """Whether *value* is a frame that `write` takes."""
        return self.tables.is_frame(value)

    def native(self, frame: DataFrame, name: str) -> DataFrame:
        """*frame* as one of the engine's own."""
        return native_frame(self.tables, frame, name)

    def watch(self, tables: Sequence[TableName]) -> Watch:
        """The engine's: what is captured moves no table."""
        return watch_tables(self.tables, tables)

    def row_count(self, frame: DataFrame) -> int | None:
        """How many rows *frame* has, where that is known."""
        return self.tables.row_count(frame)

    def schema(self, frame: DataFrame) -> dict[str, str]:
        """Column to type name."""
        return self.tables.schema(frame)

    def measure(self, frame: DataFrame, rules: Sequence[Rule]) -> list[Measure]:
        """What each of *rules* is judged by."""
        return self.tables.measure(frame, rules)

    def split(self, frame: DataFrame, rules: Sequence[Rule]) -> tuple[DataFrame, DataFrame]:
        """The rows that keep all of *rules*, and those that break one."""
        return self.tables.split(frame, rules)

    def cache(self, table: TableName, *, keep: bool = False) -> None:
        """Nothing: whoever tries something out reads each table once."""

    def close(self) -> None:
        """Forget what was written, and read."""
        self.writes.clear()
        self._given.clear()

    def written_to(self, key: str) -> list[CapturedWrite]:
        """The writes to the table with this key, in order."""
        return [write for write in self.writes if table_key(write.output.table) == key]

    def _part(self, frame: DataFrame) -> DataFrame:
        return self._held(self.tables.take(frame, self.portion)) if self.portion else frame

    def _held(self, frame: DataFrame) -> DataFrame:
        """*frame*, which stays as long as this: Spark's views of it do not hold it."""
        self._given.append(frame)
        return frame
