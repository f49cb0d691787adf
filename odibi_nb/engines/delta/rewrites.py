"""Rewrite all rows of a Delta table if delta-rs cannot write to the table as it is.

Two cases need a rewrite. First, a column without any value has a guessed type, and its first values
determine the real type. Second, a merge by delta-rs converts times that Spark wrote as INT96 to
nanoseconds, so that 9999-12-31 would become a day in 1816.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from odibi_nb.concatenation import NO_DATA
from odibi_nb.core.text.sql_text import double_quoted
from odibi_nb.engines.delta.appends import metadata
from odibi_nb.engines.delta.left_files import check_removable
from odibi_nb.engines.delta.log import local_folder
from odibi_nb.engines.delta.schema import as_kind, schema_of
from odibi_nb.engines.delta.tables import deltalake, query_builder, scan
from odibi_nb.engines.optional_imports import require
from odibi_nb.engines.pandas.frames import pyarrow

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from odibi_nb.core.protocols import WriteInfo

_FIRST_YEAR, _LAST_YEAR = 1678, 2261
"""First and last whole year that fit into 64 bits of nanoseconds."""


def is_guess(metadata: Any) -> bool:
    """Return True if a column's *metadata* marks its type as a guess; Sail stores the mark as JSON."""
    mark = NO_DATA.encode()
    return any(mark in key or mark in value for key, value in (metadata or {}).items())


def decided(table: Any, offered: Any) -> Any:
    """Return the schema of the Delta *table*, with *offered*'s types for columns without any value.

    Without such columns, return the schema of the table unchanged.
    """
    schema = schema_of(table)
    fields = []
    for field in schema:
        at = offered.get_field_index(field.name)
        new = field if at < 0 else offered.field(at)
        is_open = is_guess(field.metadata) and not is_guess(new.metadata)
        if is_open and new.type != field.type and _takes(table, field.name, new.type):
            fields.append(pyarrow().field(field.name, new.type))
        else:
            fields.append(field)
    found = pyarrow().schema(fields)
    return schema if found == schema else found


def _takes(table: Any, name: str, kind: Any) -> bool:
    """Return True if the column can change to *kind*: its values are all null, or nested and empty."""
    if pyarrow().types.is_nested(kind):
        return as_kind(scan(table, name)[name], kind) is not None
    count = f"SELECT count({double_quoted(name)}) FROM t"
    found = query_builder(table).execute(count).read_all()
    return not pyarrow().table(found).column(0)[0].as_py()


def rewritten(table: Any, name: str, schema: Any, info: WriteInfo) -> None:
    """Write all rows of *table* in the types of *schema*, in one commit, for the attempt of *info*.

    Raises:
        DataError: if its files cannot be read, or would stay in the table.
        Exception: delta-rs's CommitFailedError if another writer has committed since the table was
            opened.
    """
    check_removable(table, name)
    pa = pyarrow()
    rows = scan(table, name)
    columns = [as_kind(rows[field.name], field.type) for field in schema]
    deltalake().write_deltalake(
        table,
        pa.Table.from_arrays(columns, schema=schema),
        mode="overwrite",
        schema_mode="overwrite",
        partition_by=list(table.metadata().partition_columns) or None,
        # No retry after another writer's commit: its rows would have another schema.
        commit_properties=deltalake().CommitProperties(
            max_commit_retries=0,
            # `Commit.moves_rows` looks for the last key.
            custom_metadata={**metadata(info), "rewrites": "all rows"},
        ),
    )


def loses_times(table: Any) -> bool:
    """Return True if a merge by delta-rs would change times in *table*."""
    schema = schema_of(table)
    names = [name for field in schema for name in _times(field.type, field.name)]
    if not names:
        return False
    return any(_has_int96(table, path) for path in _far_files(table, names))


def _times(kind: Any, name: str) -> Iterator[str]:
    types = pyarrow().types
    if types.is_timestamp(kind):
        yield name
    elif types.is_struct(kind):
        for i in range(kind.num_fields):
            yield from _times(kind.field(i).type, f"{name}.{kind.field(i).name}")
    elif types.is_nested(kind):
        yield f"{name}.*"  # has no statistics


def _far_files(table: Any, names: list[str]) -> list[str]:
    """Return the files that have, or may have, times outside the range of nanoseconds."""
    actions = pyarrow().table(table.get_add_actions(flatten=True))
    return [
        str(action["path"])
        for action in actions.to_pylist()
        if any(_may_be_far(action, name) for name in names)
    ]


def _may_be_far(action: Mapping[str, Any], name: str) -> bool:
    low, high = action.get(f"min.{name}"), action.get(f"max.{name}")
    if low is None and high is None:
        nothing = action.get(f"null_count.{name}")
        return nothing is None or nothing != action.get("num_records")
    return low is None or high is None or low.year < _FIRST_YEAR or high.year > _LAST_YEAR


def _has_int96(table: Any, path: str) -> bool:
    parquet = require("pyarrow.parquet", "the pandas engine")
    folder = local_folder(table.table_uri)
    if folder is not None:
        schema = parquet.read_metadata(folder / unquote(path)).schema
    else:
        from deltalake.fs import DeltaStorageHandler
        from pyarrow import fs

        system = fs.PyFileSystem(DeltaStorageHandler.from_table(table._table))  # noqa: SLF001
        with system.open_input_file(path) as file:
            schema = parquet.read_metadata(file).schema
    return any(schema.column(i).physical_type == "INT96" for i in range(len(schema.names)))
