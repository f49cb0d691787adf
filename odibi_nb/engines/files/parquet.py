"""Read Parquet files without changing types or values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.engines.optional_imports import require
from odibi_nb.engines.pandas.frames import from_arrow, pyarrow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from odibi_nb.engines.files.discovery import FoundFile

_OWN_READER = frozenset({"columns", "filters"})


def is_plain(options: Mapping[str, Any]) -> bool:
    """Return True if this reader supports all *options*; other options need pandas' own reader."""
    rest = set(options) - _OWN_READER
    return not rest or (rest == {"engine"} and options["engine"] in {"auto", "pyarrow"})


def read(found_file: FoundFile, options: Mapping[str, Any]) -> Any:
    """Read *found_file* into a pandas DataFrame with the file's types.

    INT96, Spark's default type for times, counts nanoseconds. They are read as microseconds, because 64
    bits of nanoseconds end in 2262 and wrap around to 1677.
    """
    parquet = require("pyarrow.parquet", found_file.shown)
    given = {name: value for name, value in options.items() if name in _OWN_READER}
    given["coerce_int96_timestamp_unit"] = "us"
    if found_file.system is None:
        table = parquet.read_table(found_file.path, **given)
    else:
        with found_file.open(unpack=False) as file:
            table = parquet.read_table(file, **given)
    return _with_index(from_arrow(_as_spark_reads(table), found_file.shown, exact=True), table)


def _as_spark_reads(table: Any) -> Any:
    """Convert unsigned 64-bit numbers in *table* to decimals, and cut times to microseconds."""
    pa = pyarrow()
    for i, field in enumerate(table.schema):
        target = field.type
        if pa.types.is_uint64(target):
            target = pa.decimal128(20, 0)
        elif pa.types.is_timestamp(target) and target.unit == "ns":
            target = pa.timestamp("us", target.tz)
        if target != field.type:
            column = table.column(i).cast(target, safe=not pa.types.is_timestamp(target))
            table = table.set_column(i, field.with_type(target), column)
    return table


def _with_index(frame: Any, table: Any) -> Any:
    """Restore in *frame* the index that it had when pandas wrote the file."""
    levels = (table.schema.pandas_metadata or {}).get("index_columns", ())
    names = [name for name in levels if isinstance(name, str) and name in frame.columns]
    if not names:
        return frame
    frame = frame.set_index(names)
    shown = [None if name.startswith("__index_level_") else name for name in names]
    return frame.set_axis(frame.index.set_names(shown), axis=0)
