"""Convert pandas DataFrames to Arrow tables that every Delta reader can read, and back."""

from __future__ import annotations

import datetime as dt
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from odibi_nb.concatenation import NO_DATA
from odibi_nb.engines.optional_imports import reason, require
from odibi_nb.engines.output_rules import check_names
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

EXACT_IN_FLOAT = 2**53
"""Up to this number, a float of 64 bits holds every whole number."""
MAX_PRECISION = 38
"""Highest number of digits of a decimal."""
_IN_CODE = "convert the column, for example with .astype(str)"
_NESTED_MIXTURE = (
    "its lists or dictionaries mix dates, times, numbers, text or bytes, which would be changed to one "
    "type: convert them to one type"
)
_ADVICE = {
    "duration": "store seconds: .dt.total_seconds()",
    "extension<pandas.period": "convert it: .dt.to_timestamp()",
    "time": "store it as text: .astype(str)",
    "struct<>": "a dictionary without keys has no columns",
}


def pyarrow() -> Any:
    """Return the Arrow library.

    Raises:
        EngineNotAvailableError: if it is not installed.
    """
    return require("pyarrow", "the pandas engine")


def is_pandas(value: object) -> bool:
    """Return True if *value* is a pandas DataFrame."""
    pandas = sys.modules.get("pandas")
    return pandas is not None and isinstance(value, pandas.DataFrame)


def is_arrow(value: object) -> bool:
    """Return True if *value* is an Arrow table or record batch."""
    arrow = sys.modules.get("pyarrow")
    return arrow is not None and isinstance(value, (arrow.Table, arrow.RecordBatch))


def as_arrow_table(value: Any) -> Any:
    """Return *value*, an Arrow table or record batch, as a table."""
    arrow = pyarrow()
    return value if isinstance(value, arrow.Table) else arrow.Table.from_batches([value])


def from_arrow_exactly(table: Any, name: str) -> Any:
    """Convert an Arrow *table* to a pandas DataFrame from which `to_arrow` returns the same table.

    The columns keep Arrow's types. pandas' own types would change whole numbers with nulls, maps and
    decimals.

    Raises:
        DataError: naming the table by *name*, if this version of pandas cannot hold its values.
    """
    pd = require("pandas", "the pandas engine")
    table = as_arrow_table(table)
    _check_names(table.column_names, name)  # pandas might reject bad names with its own error
    try:
        return table.to_pandas(ignore_metadata=True, types_mapper=pd.ArrowDtype)
    except (pyarrow().ArrowException, NotImplementedError, TypeError) as exc:
        raise DataError(f"{name}: pandas {pd.__version__} cannot hold it: {reason(exc)}") from exc


def from_arrow(table: Any, name: str, *, exact: bool = False) -> Any:
    """Convert an Arrow *table* to a pandas DataFrame that the caller may change.

    Columns get pandas' usual types. Timestamps are ``datetime64`` in UTC, dates and decimals are
    Python objects. Whole numbers with nulls become floats, as usual in pandas; if a float cannot hold
    them exactly, they become ``Int64``. Maps, and nested values that pandas would change, get Arrow's
    dtype.

    Args:
        table: the rows.
        name: the table's name in messages.
        exact: if True, keep the type of every column, see `held`.

    Raises:
        DataError: naming the table by *name*, if this version of pandas cannot hold its values.
    """
    pd = require("pandas", "the pandas engine")
    table = plain(table, name)
    try:
        frame = table.to_pandas(ignore_metadata=True)
    except pyarrow().ArrowException as exc:  # before pandas 2: years after 2262
        raise DataError(f"{name}: pandas {pd.__version__} cannot hold it: {reason(exc)}") from exc
    # pandas turns lists of whole numbers with gaps into floats, and maps into lists of pairs.
    return with_columns(
        frame,
        {
            i: _exactly(frame.iloc[:, i], column)
            for i, column in enumerate(table.columns)
            if (exact and not _is_usual(column))
            or _loses_digits(column)
            or pyarrow().types.is_nested(column.type)
        },
    )


def with_columns(frame: Any, columns: Mapping[int, Any]) -> Any:
    """Replace the *columns* at these positions of *frame* by pandas Series or Arrow arrays, see `held`.

    All columns are replaced at once, because each single replacement would copy all other columns.
    """
    if not columns:
        return frame
    pa, pd = pyarrow(), require("pandas", "the pandas engine")
    arrays = {i: c for i, c in columns.items() if isinstance(c, (pa.Array, pa.ChunkedArray))}
    usual = {i: array for i, array in arrays.items() if _is_usual(array)}
    rest = [i for i in range(len(frame.columns)) if i not in columns]
    # pandas 2.2 warns about a part without columns: the labels of the others might lose their type.
    parts = [frame.iloc[:, rest].set_axis(rest, axis=1)] if rest else []
    if usual:
        table = pa.Table.from_arrays([*usual.values()], names=[*map(str, usual)])
        parts.append(table.to_pandas(ignore_metadata=True).set_axis([*usual], axis=1))
    parts += [
        (held(column) if i in arrays else column).rename(i)
        for i, column in columns.items()
        if i not in usual
    ]
    for part in parts:
        part.index = frame.index
    changed = pd.concat(parts, axis=1).loc[:, [*range(len(frame.columns))]]
    return changed.set_axis(frame.columns, axis=1)


def _is_usual(array: Any) -> bool:
    """Return True if the Arrow *array* keeps type and values when pandas converts it."""
    types, kind = pyarrow().types, array.type
    if types.is_integer(kind) or types.is_boolean(kind):
        return not array.null_count
    is_text = types.is_string(kind) or types.is_large_string(kind)
    return bool(types.is_floating(kind) or (is_text and array.null_count < len(array)))


def held(array: Any) -> Any:
    """Convert an Arrow *array* to a pandas Series from which `to_arrow` makes the same array.

    Use pandas' own types where they keep type and values, pandas' nullable types for whole numbers and
    booleans with gaps, and Arrow's types for decimals and the rest.
    """
    pa, pd = pyarrow(), require("pandas", "the pandas engine")
    if pa.types.is_integer(array.type) or pa.types.is_boolean(array.type):
        return _exactly(None, array)
    try:
        series = pa.table({"": array}).to_pandas(ignore_metadata=True)[""]
    except pa.ArrowException:  # before pandas 2: years after 2262
        series = pd.Series(array.to_pylist(), dtype=object)
    return _exactly(series, array)


def _exactly(series: Any, array: Any) -> Any:
    """Return *series*, which pandas made from the Arrow *array*, or a Series that keeps its type."""
    pa, pd = pyarrow(), require("pandas", "the pandas engine")
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    types, kind = pa.types, array.type
    if types.is_null(kind):
        return pd.Series([None] * len(array), dtype=object)
    if types.is_integer(kind) or types.is_boolean(kind):
        values = array.fill_null(0 if types.is_integer(kind) else False)  # a float would round
        values = values.to_numpy(zero_copy_only=False).copy()
        if not array.null_count:
            return pd.Series(values)
        nullable = pd.arrays.IntegerArray if types.is_integer(kind) else pd.arrays.BooleanArray
        return pd.Series(nullable(values, array.is_null().to_numpy(zero_copy_only=False).copy()))
    is_text = types.is_string(kind) or types.is_large_string(kind)
    if is_text and array.null_count == len(array):
        return pd.Series([None] * len(array), dtype="string")  # as objects, its type would be lost
    foreign = types.is_decimal(kind) or (
        not (is_text or types.is_primitive(kind)) and not _says_all(series, array)
    )
    if foreign or (types.is_date(kind) and array.null_count == len(array)):
        return pd.Series(pd.arrays.ArrowExtensionArray(pa.chunked_array([array])))
    return series


def _says_all(series: Any, array: Any) -> bool:
    """Return True if Arrow converts *series* back to *array*: pandas turns lists with gaps into floats."""
    pa = pyarrow()
    try:
        again = pa.array(series, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return False
    if again.type != array.type:
        return False
    chunks = array if isinstance(array, pa.ChunkedArray) else pa.chunked_array([array])
    return bool(pa.chunked_array([again]).equals(chunks))


def plain(table: Any, name: str = "the table") -> Any:
    """Convert the columns of the Arrow *table* to Delta's types, where Delta has one.

    Raises:
        DataError: naming *table* by *name* and the column, if a value does not fit Delta's type.
    """
    pa = pyarrow()
    fields = [field.with_type(delta_type(field.type)) for field in table.schema]
    if pa.schema(fields) == table.schema:
        return table
    columns = []
    for column, field in zip(table.columns, fields, strict=True):
        try:
            columns.append(cast(column, field.type))
        except pa.ArrowException as exc:
            raise DataError(
                f"{name}, column {field.name!r}: {column.type} values cannot be stored as "
                f"{field.type}: {reason(exc)}; convert the column where it is created"
            ) from exc
    return pa.table(columns, schema=pa.schema(fields, metadata=table.schema.metadata))


def cast(array: Any, kind: Any) -> Any:
    """Cast the Arrow *array* to *kind*; times lose nanoseconds, which Delta tables cannot store.

    Raises:
        pyarrow.ArrowException: if any other value would change.
    """
    micros = _in_micros(array.type)
    if micros != array.type:
        array = array.cast(micros, safe=False)  # a division by 1,000: nothing overflows
    return array.cast(kind)


def _in_micros(kind: Any) -> Any:
    """Return *kind* with microseconds instead of nanoseconds, at any depth."""
    pa = pyarrow()
    is_nanos = pa.types.is_timestamp(kind) and kind.unit == "ns"
    return pa.timestamp("us", kind.tz) if is_nanos else _with_inner(kind, _in_micros)


def _with_inner(kind: Any, change: Callable[[Any], Any]) -> Any:
    """Return the nested type *kind* with changed inner types, or *kind* itself if it is not nested."""
    pa = pyarrow()
    types = pa.types
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = change(kind.value_type)
        return kind if inner == kind.value_type else pa.list_(inner)
    if types.is_map(kind):
        return pa.map_(change(kind.key_type), change(kind.item_type))
    if types.is_struct(kind):
        fields = [kind.field(i) for i in range(kind.num_fields)]
        return pa.struct([pa.field(field.name, change(field.type)) for field in fields])
    return kind


def _loses_digits(column: Any) -> bool:
    pa = pyarrow()
    if not pa.types.is_int64(column.type) or not 0 < column.null_count < len(column):
        return False
    limits = require("pyarrow.compute", "the pandas engine").min_max(column).as_py()
    return bool(max(-limits["min"], limits["max"]) > EXACT_IN_FLOAT)


def delta_type(kind: Any) -> Any:
    """Return the Arrow type in which Delta stores values of *kind*, or *kind* if Delta has none."""
    pa = pyarrow()
    types = pa.types
    if types.is_timestamp(kind):
        return pa.timestamp("us", "UTC")
    if types.is_dictionary(kind):
        return delta_type(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return pa.list_(delta_type(kind.value_type))
    if types.is_map(kind) or types.is_struct(kind):
        return _with_inner(kind, delta_type)
    stored = {
        "null": pa.string(),
        "large_string": pa.string(),
        "string_view": pa.string(),
        "large_binary": pa.binary(),
        "binary_view": pa.binary(),
        "uint8": pa.int16(),
        "uint16": pa.int32(),
        "uint32": pa.int64(),
        "uint64": pa.int64(),
        "halffloat": pa.float32(),
        "date64[ms]": pa.date32(),
    }
    return stored.get(str(kind), kind)


def to_arrow(frame: Any, table: str, *, of_file: bool = False) -> Any:
    """Convert *frame* to an Arrow table whose types Delta and all its readers support.

    Named index levels become columns; an unnamed index that only counts rows is dropped. Time
    stamps without a zone are UTC. Python decimals become ``decimal(38, s)``. A field without values
    has a guessed type and carries `NO_DATA` in its metadata.

    Args:
        frame: the rows.
        table: the frame's name in messages.
        of_file: True if *frame* was read from a file. Messages then suggest a schema, not code.

    Raises:
        DataError: naming *table*, the column and a remedy, if a column has no such type.
    """
    pa = pyarrow()
    columns = [*_index_columns(frame, table)]
    columns += [(name, frame.iloc[:, i]) for i, name in enumerate(frame.columns)]
    _check_names([name for name, _ in columns], table)
    arrays, fields = [], []
    for name, series in columns:
        remedy = f'give "schema": {{"{name}": "string"}}' if of_file else ""
        array, is_guess = _to_array(series, f"{table}, column {name!r}", remedy)
        arrays.append(array)
        fields.append(pa.field(name, array.type, metadata={NO_DATA: "true"} if is_guess else None))
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _index_columns(frame: Any, table: str) -> Iterator[tuple[Any, Any]]:
    pd = require("pandas", "the pandas engine")
    index = frame.index
    if all(name is None for name in index.names):
        counts = isinstance(index, pd.RangeIndex) or pd.api.types.is_integer_dtype(index.dtype)
        if counts or not len(index):
            return
    if any(name is None for name in index.names):
        raise DataError(
            f"{table}: the frame's {type(index).__name__} has no name, so it cannot be a column: "
            "name it (frame.index.name = ...), or drop it with frame.reset_index(drop=True)"
        )
    for i, name in enumerate(index.names):
        yield name, index.get_level_values(i).to_series()


def _check_names(names: list[Any], table: str) -> None:
    check_names(
        names,
        table,
        rename=": rename the columns, for example frame.columns = [str(c) for c in frame.columns]",
        besides=" (an index level counts as a column)",
    )


def _to_array(series: Any, place: str, remedy: str) -> tuple[Any, bool]:
    """Convert *series* to a type that tables support; also return True if the type is a guess."""
    pa = pyarrow()
    try:
        array = pa.array(series, from_pandas=True)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as exc:
        raise DataError(f"{place}: {_why_not(series, exc, remedy)}") from exc
    kind = array.type
    if not is_uniform(*_objects(series, kind)):
        nested = pa.types.is_nested(kind)
        why = _NESTED_MIXTURE if nested else _why_not(series, None, remedy)
        raise DataError(f"{place}: {why}")
    refused = _refused(kind)
    if refused is not None:
        advice = next((a for start, a in _ADVICE.items() if refused.startswith(start)), None)
        raise DataError(
            f"{place}: a table cannot store {series.dtype} values ({refused}); "
            + (remedy or advice or _IN_CODE)
        )
    target = delta_type(kind)
    if series.dtype == object and pa.types.is_decimal(kind):
        # Later values may need more precision than these.
        target = pa.decimal128(MAX_PRECISION, kind.scale)
    try:
        return cast(array, target), _is_guess(kind)
    except pa.ArrowException as exc:
        raise DataError(f"{place}: {reason(exc)}") from exc


def _objects(series: Any, kind: Any) -> tuple[Any, Any]:
    """Return the Python objects in *series*, without the missing ones, and their type in Arrow."""
    if series.dtype == object:
        return series.dropna(), kind
    if pyarrow().types.is_dictionary(kind) and series.dtype == "category":
        categories = series.cat.categories
        return (categories if categories.dtype == object else ()), kind.value_type
    return (), kind


def _is_guess(kind: Any) -> bool:
    """Return True if *kind* is, or contains at any depth, the type of values that are all missing."""
    types = pyarrow().types
    return bool(types.is_null(kind)) or any(map(_is_guess, _children(kind)))


def _children(kind: Any) -> list[Any]:
    types = pyarrow().types
    if types.is_struct(kind):
        return [kind.field(i).type for i in range(kind.num_fields)]
    if types.is_map(kind):
        return [kind.key_type, kind.item_type]
    return [kind.value_type] if types.is_list(kind) or types.is_large_list(kind) else []


def is_uniform(values: Iterable[Any], kind: Any) -> bool:
    """Return True if Arrow has changed none of *values*, which must not include missing ones.

    Arrow cuts the time off datetimes among dates. It reads numbers among dates as days since 1970,
    numbers among datetimes as microseconds, and booleans among numbers as numbers. In lists and
    dictionaries it does the same, except that it refuses booleans among numbers.
    """
    if pyarrow().types.is_nested(kind):
        changes = _changes_within(kind)
        return changes is None or not any(map(changes, values))
    return not any(map(_is_odd_in(kind), set(map(type, values))))


def _changes_within(kind: Any) -> Callable[[Any], bool] | None:
    """Return a predicate for Python values that Arrow changes in type *kind*; None if it changes none."""
    types = pyarrow().types
    if types.is_struct(kind):
        fields = [kind.field(i) for i in range(kind.num_fields)]
        found = {field.name: _changes_within(field.type) for field in fields}
        inner = {name: changes for name, changes in found.items() if changes is not None}
        return (lambda value: _any_of(inner, value)) if inner else None
    if types.is_list(kind) or types.is_large_list(kind):
        changes = _changes_within(kind.value_type)
        return (
            None
            if changes is None
            else lambda value: value is not None and any(map(changes, value))
        )
    if types.is_date(kind) or types.is_timestamp(kind) or types.is_binary(kind):
        is_odd = _is_odd_in(kind)
        return lambda value: not is_missing(value) and is_odd(type(value))
    return None


def _any_of(inner: Mapping[str, Callable[[Any], bool]], value: Any) -> bool:
    return isinstance(value, dict) and any(
        changes(value.get(name)) for name, changes in inner.items()
    )


def is_missing(value: Any) -> bool:
    """Return True for None, NaN and pandas' missing values, which Arrow reads as missing."""
    is_nan = isinstance(value, float) and value != value  # noqa: PLR0124  nothing else is not itself
    return is_nan or type(value).__name__ in {"NoneType", "NaTType", "NAType"}


def _is_odd_in(kind: Any) -> Callable[[type], bool]:
    """Return a predicate for Python types whose values Arrow changes in a column of type *kind*."""
    types = pyarrow().types
    if types.is_date(kind):
        return lambda one: issubclass(one, (dt.datetime, *_numbers()))
    if types.is_timestamp(kind):
        return lambda one: issubclass(one, _numbers())
    if types.is_binary(kind):
        return lambda one: issubclass(one, str)
    if types.is_integer(kind) or types.is_floating(kind):
        return lambda one: issubclass(one, (bool, require("numpy", "the pandas engine").bool_))
    return lambda _: False


def _numbers() -> tuple[type, ...]:
    np = require("numpy", "the pandas engine")
    return (int, Decimal, float, np.number, np.bool_)


def _refused(kind: Any) -> str | None:
    """Return the first type in *kind*, at any depth, that tables do not support; None without one."""
    pa = pyarrow()
    types = pa.types
    if isinstance(kind, pa.BaseExtensionType) or types.is_struct(kind):
        children = [kind.field(i).type for i in range(kind.num_fields)]
        if isinstance(kind, pa.BaseExtensionType) or not children:
            return str(kind)
    elif types.is_map(kind):
        children = [kind.key_type, kind.item_type]
    elif types.is_nested(kind) or types.is_dictionary(kind):
        children = [kind.value_type]
    elif types.is_duration(kind) or types.is_time(kind) or types.is_interval(kind):
        return str(kind)
    else:
        return str(kind) if types.is_decimal256(kind) else None
    return next((found for found in map(_refused, children) if found is not None), None)


def _why_not(series: Any, error: BaseException | None, remedy: str) -> str:
    samples: dict[str, Any] = {}
    for value in series.dropna():
        samples.setdefault(type(value).__name__, value)
    if len(samples) > 1:
        shown = ", ".join(f"{kind} ({value!r:.40})" for kind, value in list(samples.items())[:3])
        return f"it mixes values of different types: {shown}; {remedy or _IN_CODE}"
    because = f": {reason(error)}" if error is not None else ""
    also = f"; {remedy}" if remedy else ""
    return f"its values ({series.dtype}, {', '.join(samples)}) cannot be stored{because}{also}"
