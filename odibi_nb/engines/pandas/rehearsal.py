"""Compute the effect of a write to a Delta table without writing, for the pandas engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.engines import table_compare
from odibi_nb.engines.delta import tables as delta_tables
from odibi_nb.engines.delta.rewrites import decided
from odibi_nb.engines.delta.schema import fit, type_name
from odibi_nb.engines.delta.writes import partitions
from odibi_nb.engines.optional_imports import reason, require
from odibi_nb.engines.pandas.dialect import DuckDialect
from odibi_nb.engines.pandas.frames import from_arrow, plain, pyarrow, to_arrow
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from odibi_nb.core.model.table_change import TableChange
    from odibi_nb.core.model.transformation import Output
    from odibi_nb.core.protocols import Portion

MAX_EXACT = 1_000_000
"""Highest number of rows for which distinct values are counted, not estimated."""
_SEED = 0
"""A fixed seed, so that the same table always gives the same sample."""


def scan_portion(table: Any, name: str, portion: Portion) -> Any:
    """Read *portion* of the Delta *table*'s rows as an Arrow table, and stop once it has enough.

    Raises:
        DataError: if its files cannot be read.
    """
    pa = pyarrow()
    kept, count = [], 0
    try:
        builder = delta_tables.query_builder(table)
        pushed = portion.limit is not None and portion.fraction is None
        reader = builder.execute(
            f"SELECT * FROM t LIMIT {portion.limit}" if pushed else "SELECT * FROM t"
        )
        schema = table.schema().to_arrow()
        choose = _chooser(portion)
        for batch in reader:
            part = choose(delta_tables.as_stored(batch, schema))
            kept.append(part)
            count += part.num_rows
            if portion.limit is not None and count >= portion.limit:
                break
    except Exception as exc:
        raise DataError(f"{name}: its files cannot be read: {reason(exc)}") from exc
    rows = pa.concat_tables(kept) if kept else plain(pa.schema(schema).empty_table())
    return rows if portion.limit is None else rows.slice(0, portion.limit)


def _chooser(portion: Portion) -> Any:
    """Return a function that selects *portion*'s fraction of an Arrow table; it ignores the limit."""
    if portion.fraction is None:
        return lambda table: table
    chance = require("numpy", "the pandas engine").random.default_rng(_SEED)
    return lambda table: table.filter(
        pyarrow().array(chance.random(table.num_rows) < portion.fraction)
    )


def take(frame: Any, portion: Portion) -> Any:
    """Return a copy of *portion* of the DataFrame *frame*."""
    if portion.fraction is not None:
        chance = require("numpy", "the pandas engine").random.default_rng(_SEED)
        frame = frame[chance.random(len(frame)) < portion.fraction]
    return frame.copy() if portion.limit is None else frame.head(portion.limit).copy()


def prepared(frame: Any, output: Output, table: Any) -> Any:
    """Return a copy of *frame* with the columns and types that it would have in *table*.

    *table* is None if it does not exist yet.

    Raises:
        DataError: if the table cannot take the frame.
    """
    return from_arrow(_fitted(to_arrow(frame.copy(), output.table), output, table), output.table)


def _fitted(data: Any, output: Output, table: Any) -> Any:
    """Return the Arrow table *data* with the columns and types that it would have in *table*."""
    delta_tables.check_output(data, output)
    if table is None or output.schema_mode == "overwrite":
        return data
    partitions(table, output)
    data = fit(data, schema := decided(table, data.schema), output)[0]
    if output.mode == "merge":
        return data
    for name in schema.names:
        if name not in data.column_names:  # allowed by schema_mode "merge": written as null
            nothing = pyarrow().nulls(data.num_rows, schema.field(name).type)
            data = data.append_column(name, nothing)
    return data


def combined(before: Any, frame: Any, output: Output) -> Any:
    """Append or merge *frame* into *before*; in keys null equals null, as in a Delta merge."""
    pd = require("pandas", "the pandas engine")
    if output.mode == "merge":
        keys = list(output.keys)
        found = before[keys].merge(frame[keys], on=keys, how="left", indicator=True)["_merge"]
        lacking = [name for name in before.columns if name not in frame.columns]
        frame = frame.merge(before[[*keys, *lacking]], on=keys, how="left")
        before = before[(found == "left_only").to_numpy()]
    return pd.concat([before, frame], ignore_index=True)


def changes(frame: Any, output: Output, table: Any, *, partial: bool) -> TableChange:
    """Return the changes that a write of the prepared *frame* would make to *table*.

    *table* is None if it does not exist yet.
    """
    data = _fitted(to_arrow(frame, output.table), output, table)
    present = None if table is None else delta_tables.scan(table, output.table)
    return compare(present, data, output, partial=partial)


def compare(before: Any, after: Any, output: Output, *, partial: bool = False) -> TableChange:
    """Return the changes that a write of *after* to *output* would make to a table that holds *before*.

    Args:
        before: an Arrow table, or None if the table does not exist yet.
        after: an Arrow table; it has the types of *before*, unless the write replaces them.
        output: the table and the mode of the write.
        partial: True if *after* was computed from parts of the inputs.
    """
    duckdb = require("duckdb", "comparing tables")
    with duckdb.connect(":memory:") as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_external_access = false")
        connection.register("written", after)
        if before is not None:
            connection.register("present", before)
        sides = table_compare.Sides(
            dialect=DuckDialect(connection),
            written="written",
            present="" if before is None else "present",
            types_written=_types(after),
            types_present={} if before is None else _types(before),
            max_exact=MAX_EXACT,
        )
        return table_compare.compare(sides, output, partial=partial)


def _types(table: Any) -> dict[str, str]:
    return {field.name: type_name(field.type) for field in table.schema}
