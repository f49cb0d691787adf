"""On Spark, give columns of a Delta table without any value the type of their first values.

See `odibi_nb.engines.delta.rewrites` for the pandas engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.core.text.sql_text import backticked
from odibi_nb.engines.delta.rewrites import decided as decided_by_log
from odibi_nb.engines.delta.rewrites import rewritten
from odibi_nb.engines.delta.schema import schema_of
from odibi_nb.engines.pandas.frames import delta_type, pyarrow
from odibi_nb.engines.spark.frames import is_guess
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from odibi_nb.core.protocols import WriteInfo
    from odibi_nb.engines.spark.delta_target import DeltaTarget


def decided(target: DeltaTarget, log: Any, frame: Any, schema: Any) -> Any:
    """Return the table's *schema*, with *frame*'s types for columns without any value.

    Without such columns, return *schema* itself.

    Args:
        target: the table.
        log: delta-rs's table; None if delta-rs cannot open it. Sail needs the log, because it does not
            read the column metadata of other writers.
        frame: the rows to write.
        schema: Spark's schema of the table.
    """
    from pyspark.sql.types import StructType

    ours = {field.name: field for field in frame.schema.fields}
    other = {
        field.name: ours[field.name]
        for field in schema.fields
        if field.name in ours
        and not is_guess(ours[field.name])
        and ours[field.name].dataType.simpleString() != field.dataType.simpleString()
    }
    if not other:
        return schema
    names = _by_spark(target, schema, other) if log is None else _by_log(log, other)
    if not names:
        return schema
    return StructType([other[f.name] if f.name in names else f for f in schema.fields])


def _by_spark(target: DeltaTarget, schema: Any, other: Mapping[str, Any]) -> set[str]:
    """Return the columns of *other* that have a guessed type and no value."""
    guesses = {field.name for field in schema.fields if is_guess(field)}
    return {
        name
        for name in other
        if name in guesses
        and not target.frame().filter(f"{backticked(name)} IS NOT NULL").limit(1).count()
    }


def _by_log(log: Any, other: Mapping[str, Any]) -> set[str]:
    """Like `_by_spark`, but through delta-rs, which also checks nested values."""
    before, after = schema_of(log), decided_by_log(log, _arrow_schema(other))
    return {field.name for field in after if before.field(field.name).type != field.type}


def _arrow_schema(fields: Mapping[str, Any]) -> Any:
    from pyspark.sql.pandas.types import to_arrow_type

    pa = pyarrow()
    return pa.schema(
        [(name, delta_type(to_arrow_type(field.dataType))) for name, field in fields.items()]
    )


def retype(target: DeltaTarget, log: Any, schema: Any, info: WriteInfo) -> None:
    """Rewrite all rows of the table in the types of Spark's *schema*, through delta-rs's *log*.

    Raises:
        DataError: if *log* is None. Spark could overwrite another writer's commit, because it has no
            write that fails if another writer was first.
    """
    if log is None:
        raise DataError(
            f"{target.name}: columns without values would get types now, and Spark cannot change types "
            'in a catalog or at a URL: replace the table once ("mode": "overwrite", "schema_mode": '
            '"overwrite"), or name the types in the "schema" of the row that loads the data'
        )
    decided_schema = _arrow_schema({f.name: f for f in schema.fields if not is_guess(f)})
    rewritten(log, target.name, decided_by_log(log, decided_schema), info)
