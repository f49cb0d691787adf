"""Compute the effect of a write to a Delta table without writing, for the Spark engine."""

from __future__ import annotations

import contextlib
import functools
import operator
import shutil
import tempfile
import uuid
import weakref
from typing import TYPE_CHECKING, Any

from odibi_nb.core.protocols import TableDetails
from odibi_nb.core.text.sql_text import backticked
from odibi_nb.engines import output_rules, table_compare
from odibi_nb.engines.delta.details import COMMITS_LOOKED_AT, last_write
from odibi_nb.engines.optional_imports import reason
from odibi_nb.engines.spark import writes as spark_writes
from odibi_nb.engines.spark.connection import SAIL
from odibi_nb.engines.spark.dialect import SparkDialect
from odibi_nb.engines.spark.empty_columns import decided
from odibi_nb.engines.spark.frames import fit, storable, types_of, with_missing
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from odibi_nb.core.model.table_change import TableChange
    from odibi_nb.core.model.transformation import Output
    from odibi_nb.core.protocols import Portion
    from odibi_nb.engines.spark.connection import Connection
    from odibi_nb.engines.spark.delta_target import DeltaTarget

MAX_EXACT = 200_000
"""Highest number of rows for which distinct values are counted, which shuffles every column."""
_SEED = 0
"""A fixed seed, so that the same table always gives the same sample."""
_NOT_HERE = ("NOT_SUPPORTED", "NOT_IMPLEMENTED", "not supported", "not implemented")


def take(frame: Any, portion: Portion) -> Any:
    """Return *portion* of *frame* as a plan. A limit ends the read early; a fraction does not."""
    if portion.fraction is not None:
        frame = frame.sample(fraction=portion.fraction, seed=_SEED)
    return frame if portion.limit is None else frame.limit(portion.limit)


def kept(connection: Connection, frame: Any) -> Any:
    """Compute *frame* once, now, so that later actions return the same rows without the work.

    The rows live as long as a DataFrame that uses them: in the executors of a JVM, or in files on Sail.
    If Spark cannot store them (Databricks' serverless compute), return *frame* itself.
    """
    if connection.kind == SAIL:
        folder = tempfile.mkdtemp(prefix="odibi-")
        try:
            frame.write.mode("overwrite").parquet(folder)
            found = connection.spark.read.schema(frame.schema).parquet(folder)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        # DataFrames derived from this one refer to its plan, not to this object.
        weakref.finalize(found._plan, shutil.rmtree, folder, ignore_errors=True)  # noqa: SLF001
        return found
    try:
        return frame.localCheckpoint(eager=True)
    except Exception as exc:
        if isinstance(exc, AttributeError) or any(word in str(exc) for word in _NOT_HERE):
            return frame
        raise


def compute(frame: Any) -> None:
    """Compute every value of *frame* without storing it."""
    frame.write.format("noop").mode("overwrite").save()


def fitted(target: DeltaTarget, frame: Any, output: Output, schema: Any) -> Any:
    """Return *frame* with the columns and types that it would have in the table.

    *schema* is the table's schema, or None if the table does not exist yet.

    Raises:
        DataError: if the table cannot take the frame.
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
    return frame if output.mode == "merge" else with_missing(frame, schema)


def combined(before: Any, frame: Any, output: Output) -> Any:
    """Append or merge *frame* into *before*; in keys null equals null, as in a Delta merge."""
    if output.mode == "merge":
        lacking = [name for name in before.columns if name not in frame.columns]
        present = before.selectExpr(*_renamed(output), *map(backticked, lacking))
        written = frame.selectExpr(*_renamed(output))
        before = before.join(written, _same_keys(before, written, output), "left_anti")
        if lacking:  # a merge does not change these columns
            joined = frame.join(present, _same_keys(frame, present, output), "left")
            frame = joined.select(*map(backticked, [*frame.columns, *lacking]))
    return before.unionByName(frame, allowMissingColumns=True)


def _renamed(output: Output) -> list[str]:
    return [f"{backticked(key)} AS odibi_key_{i}" for i, key in enumerate(output.keys)]


def _same_keys(frame: Any, renamed: Any, output: Output) -> Any:
    pairs = [
        frame[backticked(key)].eqNullSafe(renamed[f"odibi_key_{i}"])
        for i, key in enumerate(output.keys)
    ]
    return functools.reduce(operator.and_, pairs)


def changes(
    target: DeltaTarget, frame: Any, output: Output, schema: Any, *, partial: bool
) -> TableChange:
    """Return the changes that a write of the prepared *frame* would make to the table.

    *schema* is the table's schema, or None if the table does not exist yet.

    Raises:
        DataError: if table or frame cannot be read.
    """
    data = fitted(target, frame, output, schema)
    present = None if schema is None else target.frame()
    return compare(target.connection.spark, present, data, output, partial=partial)


def details(target: DeltaTarget, schema: Any) -> TableDetails:
    """Read the details of a table through Spark, which also counts its rows from the log."""
    commits: list[dict[str, Any]] = []
    with contextlib.suppress(Exception):  # Sail has no history; the other details remain
        commits = target.history(COMMITS_LOOKED_AT)
    return TableDetails(
        rows=int(target.frame().count()),
        columns=types_of(schema),
        version=int(commits[0]["version"]) if commits else None,
        **last_write(commits),
    )


def compare(
    spark: Any, before: Any, after: Any, output: Output, *, partial: bool = False
) -> TableChange:
    """Return the changes that a write of *after* to *output* would make to a table that holds *before*.

    Args:
        spark: the session of both DataFrames.
        before: a DataFrame, or None if the table does not exist yet.
        after: a DataFrame; it has the types of *before*, unless the write replaces them.
        output: the table and the mode of the write.
        partial: True if *after* was computed from parts of the inputs.

    Raises:
        DataError: if one of the DataFrames cannot be read.
    """
    with temporary_views(spark, before, after) as (present, written):
        sides = table_compare.Sides(
            dialect=SparkDialect(spark),
            written=written,
            present="" if before is None else present,
            types_written=types_of(after.schema),
            types_present={} if before is None else types_of(before.schema),
            max_exact=MAX_EXACT,
        )
        try:
            return table_compare.compare(sides, output, partial=partial)
        except Exception as exc:
            raise DataError(
                f"{output.table}: cannot be compared with what would be written: {reason(exc)}"
            ) from exc


@contextlib.contextmanager
def temporary_views(spark: Any, *frames: Any) -> Iterator[list[str]]:
    """Create a temporary view of each DataFrame, not of None, for the block; yield a name for each."""
    names = [f"odibi_{uuid.uuid4().hex}" for _ in frames]
    try:
        for name, frame in zip(names, frames, strict=True):
            if frame is not None:
                frame.createOrReplaceTempView(name)
        yield names
    finally:
        for name in names:
            with contextlib.suppress(Exception):  # if the session has ended, its views have, too
                spark.catalog.dropTempView(name)
