"""Compare a frame's columns with a table's, and convert them where no value changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.concatenation import NO_DATA
from odibi_nb.engines.output_rules import columns_apart, columns_differ, retyped
from odibi_nb.engines.pandas.frames import pyarrow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odibi_nb.core.model.transformation import Output

_TYPE_NAMES = {
    "int64": "bigint",
    "int32": "int",
    "int16": "smallint",
    "int8": "tinyint",
    "bool": "boolean",
    "date32[day]": "date",
    "timestamp[us, tz=UTC]": "timestamp",
    "timestamp[us]": "timestamp_ntz",
}


def type_name(kind: Any) -> str:
    """Return Delta's name for the Arrow type *kind*, for messages."""
    return _TYPE_NAMES.get(str(kind), str(kind).replace("decimal128", "decimal"))


def fit(data: Any, schema: Any, output: Output) -> tuple[Any, bool]:
    """Convert *data* to the types and the column order of *schema*; also return True if columns differ.

    Types change only where no value changes. A column without values takes any type. Numbers, decimals
    and times take another type of their kind that holds them exactly (pandas turns whole numbers with
    nulls into floats).

    Raises:
        DataError: listing the differences, if columns differ and ``schema_mode`` is not "merge", or
            if a column's values do not fit the table's type.
    """
    added, missing, changed = columns_apart(data.column_names, schema.names)
    columns = {}
    for name in schema.names:
        if name in data.column_names:
            kind = schema.field(name).type
            columns[name] = _same_values(data[name], kind, data.schema.field(name))
            if columns[name] is None:
                found = type_name(data.schema.field(name).type)
                changed.append(retyped(name, type_name(kind), found))
    if changed or ((added or missing) and output.schema_mode != "merge"):
        raise columns_differ(output, _typed(added, data.schema), _typed(missing, schema), changed)
    columns.update({name: data[name] for name in added})
    return pyarrow().table(columns), bool(added or missing)


def _typed(names: Sequence[str], schema: Any) -> list[tuple[str, str]]:
    return [(name, type_name(schema.field(name).type)) for name in names]


def with_missing(data: Any, schema: Any) -> Any:
    """Add the columns of *schema* that *data* lacks, all null, in *schema*'s order and with its metadata."""
    pa = pyarrow()
    fields = [*schema, *(field for field in data.schema if field.name not in schema.names)]
    columns = [
        data[f.name] if f.name in data.column_names else pa.nulls(data.num_rows, f.type)
        for f in fields
    ]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))


def schema_of(table: Any) -> Any:
    """Return the Arrow schema of the Delta *table*."""
    return pyarrow().schema(table.schema().to_arrow())


def as_kind(column: Any, kind: Any) -> Any:
    """Return *column*, whose type is a guess, as *kind*; None if a value does not fit *kind*."""
    pa = pyarrow()
    if column.type == kind:
        return column
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), kind)])
    if not pa.types.is_nested(kind):
        return None
    try:
        return pa.chunked_array([pa.array(column.to_pylist(), kind)])
    except (pa.ArrowException, TypeError, ValueError):
        return None


def _same_values(column: Any, kind: Any, field: Any) -> Any:
    """Return *column* as *kind*, or None if that would change a value or its meaning."""
    pa = pyarrow()
    types = pa.types
    is_guess = field.metadata and NO_DATA.encode() in field.metadata
    if column.type == kind or column.null_count == len(column) or is_guess:
        return as_kind(column, kind)

    def is_number(t: Any) -> bool:
        return bool(types.is_integer(t) or types.is_floating(t))

    alike = (is_number, types.is_decimal, types.is_timestamp)
    if not any(test(column.type) and test(kind) for test in alike):
        return None
    try:
        return column.cast(kind)
    except pa.ArrowException:
        return None
