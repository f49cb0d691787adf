"""Open and scan Delta tables through delta-rs, and check data before it is written."""

from __future__ import annotations

import os
import re
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.tables import redact_url
from odibi_nb.core.running.stopping import stoppable
from odibi_nb.core.text.counts import counted
from odibi_nb.engines import output_rules
from odibi_nb.engines.optional_imports import reason, require
from odibi_nb.engines.pandas.frames import plain, pyarrow
from odibi_nb.errors import DataError, RevokedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from odibi_nb.core.model.transformation import Output

_UNSAFE = re.compile(r"[%#?\[\]^|]")


def deltalake() -> Any:
    """Return the delta-rs library.

    Raises:
        EngineNotAvailableError: if it is not installed.
    """
    return require("deltalake", "the pandas engine")


def check_path(path: str) -> None:
    """Reject a local path at which delta-rs would write files that it cannot find again.

    Raises:
        DataError: naming the character that causes this.
    """
    found = None if "://" in path else _UNSAFE.search(path)
    if found:
        raise DataError(f"{path}: the path of a Delta table must not have {found[0]!r} in it")


def open_table(
    uri: str,
    name: str,
    storage_options: Mapping[str, str],
    *,
    version: int | None = None,
    writing: bool = False,
) -> Any:
    """Return the Delta table at *uri*, or None if *uri* does not exist.

    Args:
        uri: a local path or a URL.
        name: the table's name in messages.
        storage_options: delta-rs's options for *uri*.
        version: an older version of the table.
        writing: if True, ignore files that an unfinished first write has left at *uri*.

    Raises:
        DataError: if *uri* holds something else, or the table cannot be read.
    """
    check_path(uri)
    shown = redact_url(uri)
    lib = deltalake()
    is_local = "://" not in uri
    if is_local and not _is_folder(Path(uri)):
        # delta-rs 1.1.0 would create the folder, and panic if a file is in the way.
        _check_nothing_there(Path(uri), name, writing=writing)
        return None
    try:
        return lib.DeltaTable(uri, version=version, storage_options=dict(storage_options) or None)
    except Exception as exc:
        if is_local:
            _check_nothing_there(Path(uri), name, writing=writing)
        if isinstance(exc, lib.exceptions.TableNotFoundError):
            return None
        raise DataError(f"{name}: {shown} cannot be read: {reason(exc)}") from exc


def is_table(uri: str, storage_options: Mapping[str, str]) -> bool:
    """Return True if a Delta table exists at *uri*."""
    lib = deltalake()
    return bool(lib.DeltaTable.is_deltatable(uri, storage_options=dict(storage_options) or None))


_DATA_FILE = re.compile(r"\.parquet(?:#[0-9]{1,9})?$")
"""With the number that delta-rs adds to the names of files that it has not finished."""


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except PermissionError:
        return False


def _check_nothing_there(path: Path, name: str, *, writing: bool) -> None:
    try:
        entries = os.listdir(path)  # noqa: PTH208  names are enough
    except FileNotFoundError:
        return
    except NotADirectoryError as exc:
        raise DataError(f"{name}: {path} cannot be a table: a file is in the way") from exc
    except OSError as exc:
        raise DataError(f"{name}: {path} cannot be read: {exc.strerror}") from exc
    if writing:
        entries = [e for e in entries if not _DATA_FILE.search(e) and "=" not in e]
    if entries and "_delta_log" not in entries:
        raise DataError(f"{name}: {path} exists, but it is not a Delta table")


_QUERY = (
    "SET datafusion.execution.target_partitions = 1",
    # For Spark's INT96 times. The default, nanoseconds, would turn the year 9999 into 1816.
    "SET datafusion.execution.parquet.coerce_int96 = 'us'",
)


def query_builder(table: Any) -> Any:
    """Return delta-rs's query engine over the Delta *table*, called ``t``."""
    # Not DeltaTable.to_pandas: a process that exits right after it sometimes aborts.
    builder = deltalake().QueryBuilder()
    for statement in _QUERY:
        builder.execute(statement).read_all()
    builder.register("t", table)
    return builder


def scan(table: Any, name: str) -> Any:
    """Return all rows of the Delta *table* as an Arrow table; the rows of one file keep their order.

    Raises:
        DataError: if its files cannot be read.
    """
    try:
        found = _all_of(query_builder(table).execute("SELECT * FROM t"))
        return as_stored(found, table.schema().to_arrow())
    except RevokedError:
        raise
    except Exception as exc:
        raise DataError(f"{name}: its files cannot be read: {reason(exc)}") from exc


def _all_of(reader: Any) -> Any:
    """Read all rows of *reader* batch by batch, so that a revoked attempt ends between two batches."""
    stopped, batches = threading.Event(), []
    with stoppable(stopped.set):
        for batch in reader:
            if stopped.is_set():
                raise DataError("the scan was stopped")  # `stoppable` raises RevokedError instead
            batches.append(batch)
    return require("arro3.core", "the pandas engine").Table.from_batches(
        batches, schema=reader.schema
    )


def as_stored(found: Any, schema: Any) -> Any:
    """Convert the query engine's table or batch *found* to an Arrow table of *schema*.

    The query engine returns text as views, which need pyarrow 16. Older runtimes of Databricks have an
    older pyarrow and must keep it, because Spark needs it. Columns are found by name: delta-rs 1.1
    returns partition columns last, whatever their place in the schema.
    """
    columns = [found.column(field.name).cast(field.type) for field in schema]
    return plain(pyarrow().table(type(found).from_arrays(columns, schema=schema)))


def check_output(data: Any, output: Output) -> None:
    """Check that the Arrow table *data* can be written as *output* demands, without the existing table.

    Raises:
        DataError: if the data cannot be written so.
    """
    output_rules.check_output(data.column_names, output)
    _check_partitions(data, output)
    if output.mode == "merge":
        _check_unique(data, output)


def _check_partitions(data: Any, output: Output) -> None:
    """Reject columns whose values delta-rs does not read back as they were, or cannot write."""
    types = pyarrow().types
    for name in output.partition_by:
        kind = data.schema.field(name).type
        if types.is_nested(kind) or types.is_binary(kind):
            raise DataError(
                f"{output.table}: partition_by names column {name!r} of type {kind}; the values of "
                "partitions are stored as text, which does not hold such values"
            )
    if output.partition_by and set(output.partition_by) >= set(data.column_names):
        raise DataError(
            f"{output.table}: partition_by names all columns of the frame, and a file needs at least "
            "one other column"
        )


def _check_unique(data: Any, output: Output) -> None:
    compute = require("pyarrow.compute", "the pandas engine")
    keys = list(output.keys)
    try:
        data = with_one_zero(data, keys)
        counts = data.group_by(keys).aggregate([([], "count_all")])
    except pyarrow().ArrowException as exc:
        raise DataError(
            f"{output.table}: {', '.join(keys)} cannot be merge keys: {reason(exc)}"
        ) from exc
    twice = counts.filter(compute.greater(counts["count_all"], 1))
    if twice.num_rows:
        shown = twice.slice(0, output_rules.SAMPLES).to_pylist()
        samples = [[row[name] for name in (*keys, "count_all")] for row in shown]
        raise output_rules.keys_come_twice(
            output, counted(twice.num_rows, "key comes", "keys come"), samples
        )


def with_one_zero(data: Any, keys: Sequence[str]) -> Any:
    """Replace -0.0 in the columns *keys* of the Arrow table *data* by 0.0.

    They are the same key, but neither groups nor merges of delta-rs 1.1 take them for it.
    """
    pa, compute = pyarrow(), require("pyarrow.compute", "the pandas engine")
    for i, field in enumerate(data.schema):
        if field.name in keys and pa.types.is_floating(field.type):
            zero = pa.scalar(0.0, field.type)
            data = data.set_column(i, field, compute.add(data.column(i), zero))
    return data
