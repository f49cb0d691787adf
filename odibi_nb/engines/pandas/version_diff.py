"""Compare two versions of Delta tables in DuckDB, in two passes over the files that they do not share.

The first pass sums the hashes of the rows in buckets, by key if keys are given. The second pass reads the
rows of the buckets whose sums differ, and compares their values. So the memory depends on the number of differing
rows, not on the size of the files. DuckDB reads local Parquet files by itself if they have exactly the table's columns. It gets the rows of other
files as Arrow batches.
"""

from __future__ import annotations

import contextlib
import tempfile
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.table_diff import SAMPLES, RowDifference, TableDiff
from odibi_nb.core.text.sql_text import double_quoted, literal
from odibi_nb.engines.comparison_parts import column_changes
from odibi_nb.engines.delta.unshared_files import unshared
from odibi_nb.engines.optional_imports import reason, require
from odibi_nb.engines.pandas.dialect import DuckDialect
from odibi_nb.engines.row_difference import (
    COPIES,
    compared,
    difference,
    shared_columns,
    spelled,
)
from odibi_nb.errors import DataError, OdibiError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

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
_BUCKET, _SIGN = "__odibi_bucket", "__odibi_sign"
"""Columns in addition to the table's, with names that the table's columns do not have."""
_SIDES = ("before", "after")
_SETTINGS = (
    f"SET memory_limit = '{MEMORY}B'",
    "SET preserve_insertion_order = false",
    "SET perfect_ht_threshold = 17",  # the buckets are places of an array, not keys to look up
    "SET TimeZone = 'UTC'",
    "SET enable_external_access = false",
    "SET python_enable_replacements = false",
)
_IF_KNOWN = (
    "SET disable_parquet_prefetching = true",
    "SET enable_external_file_cache = false",
)
"""Settings that only some versions of DuckDB have. Whole columns of local files in memory cost a fifth of the time."""


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
    files = _parquet_files(parts)
    if any(files.values()):
        with contextlib.suppress(Exception):  # the other way of reading raises the cause
            return _compared(parts, files, keys)
    try:
        return _compared(parts, {}, keys)
    except OdibiError:
        raise
    except Exception as exc:
        why = reason(exc)
        if any(word in str(exc) for word in _GONE):
            why = f"{FILES_GONE} (VACUUM removes the files of old versions): {why}"
        versions = " and ".join(f"v{part.version}" for part in parts if part is not None)
        raise DataError(f"{_name(parts)}: {versions} cannot be compared: {why}") from exc


def _parquet_files(parts: Sides) -> dict[str, list[str]]:
    """Return the files of each side that DuckDB can read by itself, which takes half the time."""
    found: dict[str, list[str]] = {}
    for name, part in zip(_SIDES, parts, strict=True):
        with contextlib.suppress(Exception):  # in doubt delta-rs and Arrow read them
            paths = None if part is None else part.parquet_files()
            # In a path with one of these DuckDB would look for other files.
            if paths and not any(letter in path for path in paths for letter in "*?[]{}"):
                found[name] = paths
    return found


def _compared(parts: Sides, files: Mapping[str, list[str]], keys: Sequence[str]) -> RowDifference:
    """Compare the rows in a new in-memory database. DuckDB reads *files* itself, and no other file."""
    duckdb = require("duckdb", "comparing versions")
    allowed = ", ".join(literal(path) for paths in files.values() for path in paths)
    with (
        tempfile.TemporaryDirectory(prefix="odibi-diff-") as spilled,
        duckdb.connect(":memory:", config={"temp_directory": spilled}) as connection,
    ):
        for statement in (f"SET allowed_paths = [{allowed}]", *_SETTINGS):
            connection.execute(statement)
        for statement in _IF_KNOWN:
            with contextlib.suppress(Exception):
                connection.execute(statement)
        return _Comparison(connection, parts, files).rows(keys)


class _Rows:
    """The rows of one side, for two passes. A small number of rows stays in memory after the first pass."""

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
    """A comparison of two sides in a DuckDB *connection*, which reads *files* itself."""

    def __init__(self, connection: Any, parts: Sides, files: Mapping[str, list[str]]) -> None:
        self.connection = connection
        self.parts = dict(zip(_SIDES, parts, strict=True))
        self.streams = {
            n: _Rows(part) for n, part in self.parts.items() if part is not None and n not in files
        }
        self.relations = {n: n for n in _SIDES} | {n: _reading(paths) for n, paths in files.items()}
        before, after = parts
        self.types: dict[str, Mapping[str, str]] = {
            name: {} if side is None else side.types()
            for name, side in zip(_SIDES, (before or after, after or before), strict=True)
        }
        self.shared = shared_columns(self.types["before"], self.types["after"])
        self.sql = DuckDialect(connection)

    def rows(self, keys: Sequence[str]) -> RowDifference:
        """Return the difference between the rows."""
        present = [n for n, part in self.parts.items() if part is not None and not part.is_empty]
        if len(present) < len(_SIDES) or not self.shared:
            return self._one_sided(present, keys)
        named = [name for name in spelled(keys, self.shared) if name in self.shared]
        buckets = self._differing_buckets(named or [*self.shared])
        self._find_differing(buckets, named or [*self.shared])
        return difference(self.sql, self.shared, keys)

    def _differing_buckets(self, by: Sequence[str]) -> list[int]:
        """Return the buckets whose rows differ. Rows with equal values *by* these columns share a bucket."""
        for name in _SIDES:
            hashed = _row_hash(self.shared)
            with self._registered(name):
                self.connection.execute(
                    f"CREATE TEMP TABLE sums_{name} AS SELECT {_bucket_of(by)} AS {_BUCKET}, "
                    # 63 bits: DuckDB adds BIGINT faster than the numbers of 128 bits that hold all 64.
                    f"sum(CAST({hashed} >> 1 AS BIGINT)) AS h FROM ({self._selected(name)}) GROUP BY ALL"
                )
        found = self.sql.rows(
            f"SELECT {_BUCKET} FROM sums_before FULL JOIN sums_after "
            f"USING ({_BUCKET}) WHERE sums_before.h IS DISTINCT FROM sums_after.h"
        )
        return [int(bucket) for (bucket,) in found]

    def _selected(self, name: str) -> str:
        columns = ", ".join(compared(self.sql, self.types[name], self.shared))
        return f"SELECT {columns} FROM {self.relations[name]}"

    def _find_differing(self, buckets: Sequence[int], by: Sequence[str]) -> None:
        """Read the rows of *buckets*, and sum their copies by value."""
        bits = bytearray(b"0" * _BUCKETS)
        for bucket in buckets:
            bits[bucket] = ord("1")
        names = ", ".join(map(double_quoted, self.shared))
        candidates = " UNION ALL ".join(
            f"SELECT {names}, {sign} AS {_SIGN} FROM ({self._selected(name)}) "
            # A join would build its table of the rows, whose number DuckDB cannot know. Filtered by the keys
            # alone, it reads the other columns of Parquet files only where a bucket differs.
            f"WHERE get_bit('{bits.decode()}'::BIT, CAST({_bucket_of(by)} AS INTEGER)) = 1"
            for name, sign in zip(_SIDES, (-1, 1), strict=True)
        )
        with self._registered(*_SIDES):
            self.connection.execute(
                f"CREATE TEMP TABLE {self.sql.differing} AS "
                f"SELECT {names}, CAST(sum({_SIGN}) AS BIGINT) AS {COPIES} FROM ({candidates}) "
                f"GROUP BY {names} HAVING sum({_SIGN}) <> 0"
            )
        self.streams.clear()  # and the rows that they keep

    def _one_sided(self, present: Sequence[str], keys: Sequence[str]) -> RowDifference:
        """Count the rows of each present side, if the sides share no column or one is missing, with samples."""
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
            return int(self.sql.rows(f"SELECT count(*) FROM {self.relations[name]}")[0][0])

    def _first(self, name: str) -> tuple[dict[str, Any], ...]:
        columns = [*(self.shared or self.types[name])]
        listed = ", ".join(map(double_quoted, columns))
        with self._registered(name):
            found = self.sql.rows(f"SELECT {listed} FROM {self.relations[name]} LIMIT {SAMPLES}")
        return tuple(dict(zip(columns, row, strict=True)) for row in found)

    @contextlib.contextmanager
    def _registered(self, *names: str) -> Iterator[None]:
        """Let SQL read the rows of the named sides, once each."""
        with contextlib.ExitStack() as stack:
            for name in self.streams.keys() & {*names}:
                self.connection.register(name, stack.enter_context(self.streams[name].opened()))
                stack.callback(self.connection.unregister, name)
            yield


def _row_hash(types: Mapping[str, str]) -> str:
    """Return SQL for the hash of a row; *types* map its columns to their types.

    DuckDB (1.4 to 2.0) has one hash for NULL and for an empty list or map, at any depth; their texts differ.
    """
    nested = [name for name, kind in types.items() if "<" in kind]
    texts = [f"CAST({double_quoted(name)} AS VARCHAR)" for name in nested]
    return f"hash({', '.join([*map(double_quoted, types), *texts])})"


def _bucket_of(columns: Iterable[str]) -> str:
    """Return SQL for the bucket of a row; in two bytes, so that DuckDB counts in an array."""
    hashed = f"hash({', '.join(map(double_quoted, columns))})"
    return f"CAST({hashed} & {_BUCKETS - 1} AS USMALLINT)"


def _reading(paths: Sequence[str]) -> str:
    """Return SQL for the rows of Parquet files."""
    listed = ", ".join(map(literal, paths))
    return f"read_parquet([{listed}], hive_partitioning = false)"
