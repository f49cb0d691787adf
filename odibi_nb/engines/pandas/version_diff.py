"""Compare two versions of Delta tables in DuckDB, in two passes over the files that they do not share.

The first pass sums the hashes of the rows in buckets. The second pass reads the rows of the buckets whose
sums differ, and compares their values. So the memory follows the differing rows, not the files.
"""

from __future__ import annotations

import contextlib
import tempfile
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.table_diff import SAMPLES, RowDifference, TableDiff
from odibi_nb.core.text.sql_text import double_quoted
from odibi_nb.engines.delta.unshared_files import unshared
from odibi_nb.engines.optional_imports import reason, require
from odibi_nb.engines.row_difference import (
    COPIES,
    Dialect,
    column_changes,
    compared,
    difference,
    shared_columns,
    spelled,
)
from odibi_nb.errors import DataError, OdibiError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from odibi_nb.core.protocols import TableAt
    from odibi_nb.engines.delta.unshared_files import VersionFiles

    Sides = tuple[VersionFiles | None, VersionFiles | None]

MEMORY = 512 * 2**20
"""Bytes that DuckDB may use; rows beyond it go to a temporary folder."""
FILES_GONE = "files of a version are gone"
MOST_KEPT = 160 * 2**20
"""Bytes of each side's rows that stay in memory between the two passes."""
_GONE = ("not found", "No such file", "FileNotFound", "NoSuchKey")
_BUCKETS = 2**16
_BUCKET, _HASH, _SIGN = "__odibi_bucket", "__odibi_hash", "__odibi_sign"
"""Columns beside those of the table, which may be called anything."""
_SIDES = ("before", "after")
_SETTINGS = (
    f"SET memory_limit = '{MEMORY}B'",
    "SET preserve_insertion_order = false",
    "SET TimeZone = 'UTC'",
    "SET enable_external_access = false",
    "SET python_enable_replacements = false",
)


def sides_of(before: TableAt | None, after: TableAt | None) -> Sides:
    """Return the files of both sides.

    Raises:
        TableNotFoundError: if a table does not exist.
        DataError: if a version does not exist, or only a Spark session reaches the files of a side.
    """
    return _files(before), _files(after)


def _files(at: TableAt | None) -> VersionFiles | None:
    if at is None:
        return None
    reach = getattr(at.engine, "files_of", None)
    found: VersionFiles | None = None if reach is None else reach(at.table, at.version)
    if found is None:
        raise DataError(
            f"{at.table}: only a Spark session reaches its files: compare it with --engine spark"
        )
    return found


def unshared_parts(sides: Sides) -> Sides:
    """Reduce both sides to the files that they do not share, if they are versions of one table."""
    before, after = sides
    if before is None or after is None or before.uri != after.uri:
        return sides
    try:
        return unshared(before, after)
    except Exception:  # noqa: BLE001  a log that cannot be understood: the whole versions still can
        return sides


def diff(sides: Sides, parts: Sides, keys: Sequence[str]) -> TableDiff:
    """Return the differences between two sides, at least one of which exists.

    Args:
        sides: all files before and after; None if the table does not exist on that side.
        parts: the files to read, from `unshared_parts`.
        keys: columns that identify a row.

    Raises:
        DataError: if a version cannot be read.
    """
    before, after = sides
    notes: tuple[str, ...] = ()
    try:
        rows = _rows(parts, keys)
    except DataError as exc:
        if parts == sides:
            raise
        parts, notes = sides, (f"both versions were read as a whole: {exc}",)
        rows = _rows(parts, keys)
    types = [None if side is None else side.types() for side in sides]
    read = [len(part.files) for part in parts if part is not None and part.files is not None]
    return TableDiff(
        table=_name(sides),
        before=None if before is None else before.version,
        after=None if after is None else after.version,
        rows_before=None if before is None else before.rows,
        rows_after=None if after is None else after.rows,
        columns=() if types[0] is None or types[1] is None else column_changes(types[0], types[1]),
        rows=rows,
        files_read=sum(read) if read else None,
        files_shared=after.total - read[-1] if read and after is not None else None,
        notes=notes,
    )


def _name(sides: Sides) -> str:
    return next((side.name for side in reversed(sides) if side is not None), "")


def _rows(parts: Sides, keys: Sequence[str]) -> RowDifference:
    try:
        with tempfile.TemporaryDirectory(prefix="odibi-diff-") as spilled:
            duckdb = require("duckdb", "comparing versions")
            with duckdb.connect(":memory:", config={"temp_directory": spilled}) as connection:
                for statement in _SETTINGS:
                    connection.execute(statement)
                return _Comparison(connection, parts).rows(keys)
    except OdibiError:
        raise
    except Exception as exc:
        why = reason(exc)
        if any(word in str(exc) for word in _GONE):
            why = f"{FILES_GONE} (VACUUM removes the files of old versions): {why}"
        versions = " and ".join(f"v{part.version}" for part in parts if part is not None)
        raise DataError(f"{_name(parts)}: {versions} cannot be compared: {why}") from exc


class _Rows:
    """The rows of one side, for two passes. Few rows stay in memory, and are read from files only once."""

    def __init__(self, part: VersionFiles) -> None:
        self.part = part
        self._schema: Any = None
        self._kept: list[Any] = []
        self._has_all = False

    @contextlib.contextmanager
    def opened(self) -> Iterator[Any]:
        """Open the rows for one pass, and yield an Arrow reader."""
        reader_of = require("pyarrow", "comparing versions").RecordBatchReader.from_batches
        if self._has_all:
            yield reader_of(self._schema, self._kept)
            return
        with self.part.opened() as reader:
            self._schema = reader.schema
            yield reader_of(reader.schema, self._keeping(reader))

    def _keeping(self, reader: Any) -> Iterator[Any]:
        kept, size = [], 0
        for batch in reader:
            size += batch.nbytes
            if size <= MOST_KEPT:
                kept.append(batch)
            else:
                kept.clear()
            yield batch
        self._kept, self._has_all = kept, size <= MOST_KEPT


class _Comparison:
    """A comparison of two sides in a DuckDB *connection*."""

    def __init__(self, connection: Any, parts: Sides) -> None:
        self.connection = connection
        self.parts = dict(zip(_SIDES, parts, strict=True))
        self.streams = {n: _Rows(part) for n, part in self.parts.items() if part is not None}
        before, after = parts
        self.types: dict[str, Mapping[str, str]] = {}
        for name, part, other in (("before", before, after), ("after", after, before)):
            side = part or other
            self.types[name] = {} if side is None else side.types()
        self.shared = shared_columns(self.types["before"], self.types["after"])
        self.sql = DuckDialect(connection)

    def rows(self, keys: Sequence[str]) -> RowDifference:
        """Return the difference between the rows."""
        present = [n for n, part in self.parts.items() if part is not None and not part.is_empty]
        if len(present) < len(_SIDES) or not self.shared:
            return self._one_sided(present, keys)
        for name in _SIDES:
            with self._registered(name):
                self.connection.execute(
                    f"CREATE TEMP TABLE sums_{name} AS SELECT {_BUCKET}, count(*) AS n, "
                    f"sum({_HASH}) AS h FROM ({self._hashed(name)}) GROUP BY {_BUCKET}"
                )
        found = self.sql.rows(
            f"SELECT {_BUCKET} FROM sums_before FULL JOIN sums_after "
            f"USING ({_BUCKET}) WHERE sums_before.n IS DISTINCT FROM sums_after.n "
            "OR sums_before.h IS DISTINCT FROM sums_after.h"
        )
        self._find_differing([int(bucket) for (bucket,) in found])
        return difference(self.sql, self.shared, keys)

    def _hashed(self, name: str) -> str:
        names = ", ".join(map(double_quoted, self.shared))
        columns = ", ".join(compared(self.sql, self.types[name], self.shared))
        return (
            f"SELECT *, {_HASH} & {_BUCKETS - 1} AS {_BUCKET} FROM "
            f"(SELECT *, hash({names}) AS {_HASH} FROM (SELECT {columns} FROM {name}))"
        )

    def _find_differing(self, buckets: Sequence[int]) -> None:
        """Read the rows of *buckets*, and sum their copies by value."""
        bits = bytearray(b"0" * _BUCKETS)
        for bucket in buckets:
            bits[bucket] = ord("1")
        names = ", ".join(map(double_quoted, self.shared))
        start = "CREATE TEMP TABLE candidates AS"
        for name, sign in zip(_SIDES, (-1, 1), strict=True):
            with self._registered(name):
                self.connection.execute(
                    f"{start} SELECT {names}, {sign} AS {_SIGN} FROM ({self._hashed(name)}) "
                    # A join would build its table of the rows: DuckDB cannot know how many there are.
                    f"WHERE get_bit('{bits.decode()}'::BIT, CAST({_BUCKET} AS INTEGER)) = 1"
                )
            start = "INSERT INTO candidates"
        self.streams.clear()  # and the rows that they keep
        self.connection.execute(
            f"CREATE TEMP TABLE {self.sql.differing} AS "
            f"SELECT {names}, CAST(sum({_SIGN}) AS BIGINT) AS {COPIES} FROM candidates "
            f"GROUP BY {names} HAVING sum({_SIGN}) <> 0"
        )
        self.connection.execute("DROP TABLE candidates")

    def _one_sided(self, present: Sequence[str], keys: Sequence[str]) -> RowDifference:
        """Count rows that have nothing on the other side to be compared with, and show the first ones."""
        counts, samples = {}, {}
        for name in present:
            part = self.parts[name]
            assert part is not None
            counts[name] = self._count(name) if part.rows is None else part.rows
            samples[name] = self._first(name)
        keys = spelled(keys, self.shared)
        notes = [
            f"key column {key!r} is not on both sides" for key in keys if key not in self.shared
        ]
        if not self.shared:
            notes = ["the sides have no column in common: rows cannot be compared"]
        return RowDifference(
            added=counts.get("after", 0),
            removed=counts.get("before", 0),
            compared_by=() if notes else tuple(keys),
            added_rows=samples.get("after", ()),
            removed_rows=samples.get("before", ()),
            notes=tuple(notes[:1]),
        )

    def _count(self, name: str) -> int:
        with self._registered(name):
            return int(self.sql.rows(f"SELECT count(*) FROM {name}")[0][0])

    def _first(self, name: str) -> tuple[dict[str, Any], ...]:
        columns = [*(self.shared or self.types[name])]
        listed = ", ".join(map(double_quoted, columns))
        with self._registered(name):
            found = self.sql.rows(f"SELECT {listed} FROM {name} LIMIT {SAMPLES}")
        return tuple(dict(zip(columns, row, strict=True)) for row in found)

    @contextlib.contextmanager
    def _registered(self, *names: str) -> Iterator[None]:
        """Let SQL read the rows of the named sides, once each."""
        with contextlib.ExitStack() as stack:
            for name in names:
                self.connection.register(name, stack.enter_context(self.streams[name].opened()))
                stack.callback(self.connection.unregister, name)
            yield


class DuckDialect(Dialect):
    """DuckDB's SQL, over a *connection*."""

    differing = "differing"

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query, through Arrow: its times do not depend on the local time zone."""
        found = self._connection.sql(sql).to_arrow_table()
        return list(zip(*(column.to_pylist() for column in found.columns), strict=True))

    def quoted(self, name: str) -> str:
        """Quote the name of a column."""
        return double_quoted(name)

    def seconds(self, column: str) -> str:
        """Return a call of DuckDB's ``epoch``."""
        return f"epoch({column})"
