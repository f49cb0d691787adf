"""Whether a frame's columns are a table's, and making them so where no value changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.engines.pandas_frames import pyarrow
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odibi_nb.core.transformation import Output

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
    """What messages call the Arrow type *kind*: Delta's own name for it."""
    return _TYPE_NAMES.get(str(kind), str(kind).replace("decimal128", "decimal"))


def fit(data: Any, schema: Any, output: Output) -> tuple[Any, bool]:
    """*data* in the types and the order of columns of *schema*, and whether columns differ.

    Types are changed where no value changes: a column without values takes any type, numbers and
    decimals take another one that holds them exactly (pandas makes floats of whole numbers with
    nulls).

    Raises:
        DataError: listing the differences, if columns differ and ``schema_mode`` is not "merge", or
            if a column's values do not fit the table's type.
    """
    spelling = {name.casefold(): name for name in schema.names}
    known = [spelling.get(name.casefold()) for name in data.column_names]
    added = [n for n, found in zip(data.column_names, known, strict=True) if found is None]
    missing = [name for name in schema.names if name not in known]
    changed = [
        f"{n!r} (the table spells it {found!r})"
        for n, found in zip(data.column_names, known, strict=True)
        if found not in {None, n}
    ]
    columns = {}
    for name in schema.names:
        if name in data.column_names:
            kind = schema.field(name).type
            columns[name] = _same_values(data[name], kind)
            if columns[name] is None:
                found = type_name(data.schema.field(name).type)
                changed.append(f"{name!r} ({type_name(kind)} in the table, {found} in the frame)")
    if changed or ((added or missing) and output.schema_mode != "merge"):
        parts = [
            *_listed("added", added, data.schema),
            *_listed("missing", missing, schema),
            *([f"changed {', '.join(changed)}"] if changed else []),
        ]
        raise DataError(
            f"{output.table}: the frame's columns are not the table's: {'; '.join(parts)}. "
            + _advice(output, changed)
        )
    columns.update({name: data[name] for name in added})
    return pyarrow().table(columns), bool(added or missing)


def _listed(what: str, names: Sequence[str], schema: Any) -> list[str]:
    shown = ", ".join(f"{name!r} ({type_name(schema.field(name).type)})" for name in names)
    return [f"{what} {shown}"] if names else []


def _advice(output: Output, changed: Sequence[str]) -> str:
    if changed:
        keep = "Convert the changed columns in the function"
    else:
        keep = 'In the outputs, "schema_mode": "merge" adds columns and leaves missing ones null'
    mode = "" if output.mode == "overwrite" else '"mode": "overwrite" and '
    return f'{keep}; {mode}"schema_mode": "overwrite" replaces the table, columns and all'


def _same_values(column: Any, kind: Any) -> Any:
    """*column* as *kind*, or None if that would change a value or its meaning."""
    pa = pyarrow()
    types = pa.types
    if column.type == kind:
        return column
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), kind)])

    def is_number(t: Any) -> bool:
        return bool(types.is_integer(t) or types.is_floating(t))

    alike = (is_number, types.is_decimal, types.is_timestamp)
    if not any(test(column.type) and test(kind) for test in alike):
        return None
    try:
        return column.cast(kind)
    except pa.ArrowException:
        return None
