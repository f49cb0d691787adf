"""What a write would do to a Delta table, without doing it: for the Spark engine."""

from __future__ import annotations

import contextlib
import functools
import operator
import shutil
import tempfile
import weakref
from typing import TYPE_CHECKING, Any

from odibi_nb.core.protocols import TableDetails
from odibi_nb.engines import output_rules
from odibi_nb.engines.delta.details import COMMITS_LOOKED_AT, last_write
from odibi_nb.engines.spark import compare as spark_compare
from odibi_nb.engines.spark import writes as spark_writes
from odibi_nb.engines.spark.empty_columns import decided
from odibi_nb.engines.spark.frames import fit, storable, types_of, with_missing
from odibi_nb.engines.spark.session import SAIL
from odibi_nb.storage.spark_names import quoted

if TYPE_CHECKING:
    from odibi_nb.core.model.table_change import TableChange
    from odibi_nb.core.model.transformation import Output
    from odibi_nb.core.protocols import Portion
    from odibi_nb.engines.spark.session import Connection
    from odibi_nb.engines.spark.writes import DeltaTarget

_SEED = 0
"""The same table gives the same sample."""
_NOT_HERE = ("NOT_SUPPORTED", "NOT_IMPLEMENTED", "not supported", "not implemented")


def take(frame: Any, portion: Portion) -> Any:
    """*portion* of *frame*, as a plan: a limit ends reading, a fraction does not."""
    if portion.fraction is not None:
        frame = frame.sample(fraction=portion.fraction, seed=_SEED)
    return frame if portion.limit is None else frame.limit(portion.limit)


def kept(connection: Connection, frame: Any) -> Any:
    """*frame* computed once, here and now: whoever asks again gets the same rows without the work.

    On the JVM its executors keep the rows for as long as a DataFrame of them lives, on Sail files do.
    A Spark that can keep nothing (Databricks' serverless compute) gives *frame* itself.
    """
    if connection.kind == SAIL:
        folder = tempfile.mkdtemp(prefix="odibi-")
        try:
            frame.write.mode("overwrite").parquet(folder)
            found = connection.spark.read.schema(frame.schema).parquet(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        # DataFrames that are made of this one hold its plan, not itself.
        weakref.finalize(found._plan, shutil.rmtree, folder, ignore_errors=True)  # noqa: SLF001
        return found
    try:
        return frame.localCheckpoint(eager=True)
    except Exception as exc:
        if isinstance(exc, AttributeError) or any(word in str(exc) for word in _NOT_HERE):
            return frame
        raise


def compute(frame: Any) -> None:
    """Compute every value of *frame*, and forget them."""
    frame.write.format("noop").mode("overwrite").save()


def fitted(target: DeltaTarget, frame: Any, output: Output, schema: Any) -> Any:
    """*frame* with the columns and types that it would have in the table of *schema*, if any.

    Raises:
        DataError: if the table cannot take it.
    """
    spark = target.connection.spark
    frame = storable(frame, output.table, spark.conf.get("spark.sql.session.timeZone"))
    output_rules.check_output(frame.columns, output)
    if schema is None or output.schema_mode == "overwrite":
        return frame
    spark_writes.check_partitions(target, output)
    log = None if target.path is None else spark_writes.log_at(target.path)
    schema = decided(target, log, frame, schema)
    frame = fit(frame, schema, output)[0]
    if output.mode == "merge":
        return frame
    return with_missing(frame, schema)


def combined(before: Any, frame: Any, output: Output) -> Any:
    """*before* after an append or merge of *frame*: null equals null in keys, as in a table."""
    if output.mode == "merge":
        lacking = [name for name in before.columns if name not in frame.columns]
        present = before.selectExpr(*_renamed(output), *map(quoted, lacking))
        written = frame.selectExpr(*_renamed(output))
        before = before.join(written, _same_keys(before, written, output), "left_anti")
        if lacking:  # a merge leaves them as they are
            joined = frame.join(present, _same_keys(frame, present, output), "left")
            frame = joined.select(*map(quoted, [*frame.columns, *lacking]))
    return before.unionByName(frame, allowMissingColumns=True)


def _renamed(output: Output) -> list[str]:
    return [f"{quoted(key)} AS odibi_key_{i}" for i, key in enumerate(output.keys)]


def _same_keys(frame: Any, renamed: Any, output: Output) -> Any:
    pairs = [
        frame[quoted(key)].eqNullSafe(renamed[f"odibi_key_{i}"])
        for i, key in enumerate(output.keys)
    ]
    return functools.reduce(operator.and_, pairs)


def changes(
    target: DeltaTarget, frame: Any, output: Output, schema: Any, *, partial: bool
) -> TableChange:
    """What writing the prepared *frame* to the table of *schema* (None: not there yet) would change.

    Raises:
        DataError: if table or frame cannot be read.
    """
    data = fitted(target, frame, output, schema)
    present = None if schema is None else target.frame()
    return spark_compare.compare(target.connection.spark, present, data, output, partial=partial)


def details(target: DeltaTarget, schema: Any) -> TableDetails:
    """What Spark finds in a table's log; counting its rows is answered from there, too."""
    commits: list[dict[str, Any]] = []
    with contextlib.suppress(Exception):  # Sail cannot; the rest is worth having
        sql = f"DESCRIBE HISTORY {target.identifier} LIMIT {COMMITS_LOOKED_AT}"
        commits = [row.asDict() for row in target.connection.spark.sql(sql).collect()]
    return TableDetails(
        rows=int(target.frame().count()),
        columns=types_of(schema),
        version=int(commits[0]["version"]) if commits else None,
        **last_write(commits),
    )
