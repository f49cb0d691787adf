"""Columns of a Delta table that never had a value: the first values give them their type, on Spark.

See `delta_rewrites` for the pandas engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.engines.pandas_frames import delta_type, pyarrow
from odibi_nb.engines.spark_frames import is_guess
from odibi_nb.errors import DataError
from odibi_nb.spark_names import quoted

if TYPE_CHECKING:
    from odibi_nb.engines.spark_writes import DeltaTarget

_VALUES = {"array": "size({}) > 0", "map": "size({}) > 0"}
"""When a nested column has a value, apart from what is empty."""


def decided(target: DeltaTarget, frame: Any, schema: Any) -> Any:
    """The table's *schema* in which columns that never had a value have *frame*'s types.

    *schema* itself if there are none.
    """
    from pyspark.sql.types import StructType

    ours = {field.name: field for field in frame.schema.fields}
    open_ones = {
        field.name: ours[field.name]
        for field in schema.fields
        if is_guess(field)
        and field.name in ours
        and not is_guess(ours[field.name])
        and ours[field.name].dataType != field.dataType
    }
    taken = {name: f for name, f in open_ones.items() if not _has_values(target, name, f)}
    if not taken:
        return schema
    return StructType([taken.get(field.name, field) for field in schema.fields])


def _has_values(target: DeltaTarget, name: str, field: Any) -> bool:
    condition = _VALUES.get(field.dataType.typeName(), "{} IS NOT NULL").format(quoted(name))
    return bool(target.frame().filter(condition).limit(1).count())


def retype(target: DeltaTarget, log: Any, schema: Any) -> None:
    """Write all rows of the table whose *log* is delta-rs's anew, in the types of Spark's *schema*.

    Raises:
        DataError: if there is no such log: Spark has no write that fails if another writer was first.
    """
    if log is None:
        raise DataError(
            f"{target.name}: columns that had no values get types now, which Spark cannot change in a "
            'catalog or at a URL: replace the table once ("mode": "overwrite", "schema_mode": '
            '"overwrite"), or name the types in the "schema" of what loads the rows'
        )
    from pyspark.sql.pandas.types import to_arrow_type

    from odibi_nb.engines.delta_rewrites import rewritten
    from odibi_nb.engines.table_schema import schema_of

    pa, theirs = pyarrow(), {field.name: field for field in schema.fields}
    now = schema_of(log)
    fields = []
    for field in now:
        wanted = theirs.get(field.name)
        if wanted is None or is_guess(wanted) or not field.metadata:
            fields.append(field)
        else:
            kind = delta_type(to_arrow_type(wanted.dataType))
            fields.append(field if kind == field.type else pa.field(field.name, kind))
    rewritten(log, target.name, pa.schema(fields))
