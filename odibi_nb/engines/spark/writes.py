"""Write a Spark DataFrame to a Delta table in one commit, and count the written rows."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import json
import uuid
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.spark_errors import is_conflict
from odibi_nb.core.text.sql_text import backticked
from odibi_nb.engines import output_rules
from odibi_nb.engines.delta.appends import KEPT_FOR, Request, metadata, transaction_key
from odibi_nb.engines.delta.errors import SAIL_ITSELF, why_refused
from odibi_nb.engines.delta.log import DeltaLog
from odibi_nb.engines.delta.row_counts import (
    UNKNOWN,
    RowCounts,
    row_counts,
    rows_after,
    rows_before,
)
from odibi_nb.engines.delta.versions import newest_number
from odibi_nb.engines.spark import versions as spark_versions
from odibi_nb.engines.spark.appends import without_earlier
from odibi_nb.engines.spark.connection import SAIL
from odibi_nb.engines.spark.empty_columns import decided, retype
from odibi_nb.engines.spark.frames import fit, with_missing
from odibi_nb.errors import DataError, RevokedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from odibi_nb.core.model.transformation import Output
    from odibi_nb.engines.delta.appends import Appends
    from odibi_nb.engines.spark.delta_target import DeltaTarget

_CONFLICT_TRIES = 10
_LOOK_BACK = 20


@dataclass(frozen=True, slots=True)
class Written:
    """A successful write: the number of rows, and the versions after and before it, if they are known.

    *counts* are the added, changed and removed rows.
    """

    rows: int | None = None
    version: int | None = None
    previous: int | None = None
    counts: RowCounts = UNKNOWN


def write(
    target: DeltaTarget,
    frame: Any,
    schema: Callable[[], Any],
    request: Request,
    appends: Appends,
) -> Written:
    """Write *frame*, and return the facts of the commit from the table's log.

    Args:
        target: the table; the caller must hold its `write_lock`.
        frame: a DataFrame from `storable`.
        schema: called before each try; returns the table's schema, or None if it does not exist.
        request: output and author of the write.
        appends: the appends by attempts of this process.

    Raises:
        DataError: if the table cannot take the frame, or other writers keep changing the table.
        RevokedError: if the attempt has been revoked.
    """
    output = request.output
    output_rules.check_output(frame.columns, output)
    if output.mode == "merge":
        check_unique(frame, output)
    number = appends.count(target.key, request.info) + 1
    conflict: Exception | None = None
    created = False
    for _ in range(_CONFLICT_TRIES):
        try:
            present = schema()
            if request.only_once and present is not None:
                without_earlier(target, request.info, appends)
            elif request.only_once and target.path is None:
                created = True
                _make(target, frame, output)
                present = schema()
            request.info.check()
            written = _once(target, frame, present, request, number)
        except (DataError, RevokedError):
            raise
        except Exception as exc:
            if not is_conflict(exc):
                _raise_if_refused(target, exc)
                raise
            conflict = exc
        else:
            break
    else:
        raise output_rules.kept_changing(output, conflict)
    if request.only_once:
        appends.note(target.key, request.info, number)
    return replace(written, previous=None) if created else written


def _raise_if_refused(target: DeltaTarget, exc: Exception) -> None:
    """Raise DataError if Sail cannot write the table at all; the JVM's Delta has its own message."""
    refused = why_refused(exc, None, SAIL_ITSELF) if target.connection.kind == SAIL else None
    if refused is not None:
        raise DataError(f"{target.name}: nothing was written: {refused}") from exc


def _once(target: DeltaTarget, frame: Any, schema: Any, request: Request, number: int) -> Written:
    output, differs, retyped = request.output, False, False
    before = _newest_number(target)
    if schema is not None:
        if output.schema_mode == "overwrite":
            check_partitions(target, output)
        else:
            frame, differs, retyped = _fitted(target, frame, schema, request)
        if output.mode == "merge":
            return _merge(target, frame, output, before, differs=differs)
    mark = json.dumps({**metadata(request.info), "mode": output.mode, "write": uuid.uuid4().hex})
    writer = frame.write.format("delta").option("userMetadata", mark)
    writer = writer.mode("overwrite" if output.mode == "overwrite" else "append")
    if request.only_once and target.connection.kind != SAIL:
        name, version = transaction_key(request.info, number)
        writer = writer.option("txnAppId", name).option("txnVersion", str(version))
    if schema is None or output.schema_mode == "overwrite":
        writer = _as_new(target, writer, output)
    if schema is not None and (retyped or output.schema_mode == "overwrite"):
        writer = writer.option("overwriteSchema", "true")
    if retyped:
        writer = writer.partitionBy(*_partitions(target) or ())
    if differs:
        writer = writer.option("mergeSchema", "true")
    _save(target, writer, mark, only_once=request.only_once)
    return _written(target, mark, before, output.mode, creates=schema is None)


def _make(target: DeltaTarget, frame: Any, output: Output) -> None:
    """Create a table without rows in a catalog, unless it exists.

    If an append creates a catalog's table, Delta (4.4) stores neither ``userMetadata`` nor ``txn``, and
    a retry could not find the append.
    """
    writer = frame.limit(0).write.format("delta").mode("ignore")
    target.save(_as_new(target, writer, output))


def _save(target: DeltaTarget, writer: Any, mark: str, *, only_once: bool) -> None:
    try:
        target.save(writer)
    except Exception:
        # If the error came after the commit, a second append would double the rows.
        commits = _newest_commits(target) if only_once else []
        if not any(commit.get("userMetadata") == mark for commit in commits):
            raise


def _fitted(
    target: DeltaTarget, frame: Any, schema: Any, request: Request
) -> tuple[Any, bool, bool]:
    """Convert *frame* for the table; also return whether columns differ, and whether types change."""
    output, log = request.output, log_at(target.path)
    decided_schema = decided(target, log, frame, schema)
    frame, differs = fit(frame, decided_schema, output)
    check_partitions(target, output)
    if decided_schema is schema:
        return frame, differs, False
    if log is None and output.mode == "overwrite":
        return with_missing(frame, decided_schema), False, True
    retype(target, log, decided_schema, request.info)
    return frame, differs, False


def _as_new(target: DeltaTarget, writer: Any, output: Output) -> Any:
    """Add the options to *writer* that only matter when it creates a table."""
    if output.partition_by:
        writer = writer.partitionBy(*output.partition_by)
    if target.connection.kind != SAIL:
        # Pandas rows read through delta-rs, which cannot read deletion vectors.
        properties = {**KEPT_FOR, "delta.enableDeletionVectors": "false"}
        writer = writer.options(**properties)
    return writer


def _newest_number(target: DeltaTarget) -> int | None:
    """Return the newest version of a table on this machine; None elsewhere, where that costs requests."""
    return None if target.path is None or "://" in target.path else newest_number(target.path)


def _merge(
    target: DeltaTarget, frame: Any, output: Output, before: int | None, *, differs: bool
) -> Written:
    """Update the rows whose keys the table has, and insert the others; null equals null."""
    view = f"odibi_merge_{uuid.uuid4().hex}"
    if before is None:
        before = spark_versions.newest_number(target)
    same = " AND ".join(f"t.{backticked(key)} <=> s.{backticked(key)}" for key in output.keys)
    evolving = "WITH SCHEMA EVOLUTION " if differs else ""
    frame.createOrReplaceTempView(view)
    try:
        done = target.connection.spark.sql(
            f"MERGE {evolving}INTO {target.identifier} AS t USING {view} AS s ON {same} "
            "WHEN MATCHED THEN UPDATE SET * WHEN NOT MATCHED THEN INSERT *"
        ).collect()
    finally:
        with contextlib.suppress(Exception):  # the merge may be committed already
            target.connection.spark.catalog.dropTempView(view)
    commit = _merged(target, before) or {}
    version = commit.get("version")
    previous = version if version is None else version - 1
    counts = row_counts(commit, "merge", None, None)
    is_counted = done and "num_affected_rows" in done[0].asDict()
    rows = int(done[0]["num_affected_rows"]) if is_counted else _rows_merged(target)
    return Written(rows, version, previous, counts)


def _merged(target: DeltaTarget, before: int | None) -> dict[str, Any] | None:
    """Return the commit of the last merge; None if several writers have merged since *before*.

    Spark stores no author in the commit of a MERGE.
    """
    if before is None:
        return None
    with contextlib.suppress(Exception):  # the merge is committed
        merges = [
            commit
            for commit in _newest_commits(target)
            if commit["version"] > before and commit.get("operation") == "MERGE"
        ]
        return merges[0] if len(merges) == 1 else None
    return None


def _rows_merged(target: DeltaTarget) -> int | None:
    """Count the rows that the newest commit updated and inserted; Sail's result also counts copied rows."""
    log = log_at(target.path)
    commits = log.history(1) if log is not None else []
    metrics = commits[0].get("operationMetrics") or {} if commits else {}
    counts = [metrics.get(f"numTargetRows{what}") for what in ("Updated", "Inserted")]
    return None if None in counts else sum(int(count) for count in counts if count is not None)


def check_unique(frame: Any, output: Output) -> None:
    """Raise DataError if several rows of a *frame* to merge have the same keys."""
    groups = frame.groupBy(*map(backticked, output.keys)).count()
    count = groups.columns[-1]
    twice = groups.filter(f"{backticked(count)} > 1").limit(output_rules.SAMPLES + 1).collect()
    if twice:
        shown = twice[: output_rules.SAMPLES]
        how_many = (
            counted(len(twice), "key comes", "keys come")
            if len(shown) == len(twice)
            else f"more than {len(shown)} keys come"
        )
        raise output_rules.keys_come_twice(output, how_many, shown)


def check_partitions(target: DeltaTarget, output: Output) -> None:
    """Raise DataError if *output* would partition the table differently without replacing it."""
    if not output.partition_by or output.schema_mode == "overwrite":
        return
    now = _partitions(target)
    if now is not None and now != list(output.partition_by):
        raise output_rules.partitioned_otherwise(output, now)


def is_partitioned_by(target: DeltaTarget, output: Output) -> bool:
    """Return True if a write of *output* leaves the partition columns of its table as they are."""
    declared = list(output.partition_by)
    if not declared and output.schema_mode != "overwrite":
        return True
    return _partitions(target) == declared


def _partitions(target: DeltaTarget) -> list[str] | None:
    """Return the table's partition columns; None if they are unknown."""
    log = log_at(target.path)
    if log is not None:
        return list(log.metadata().partition_columns)
    if target.connection.kind != SAIL:
        with contextlib.suppress(Exception):  # a view, or a table of another format
            return [*target.detail()["partitionColumns"]]
    return None


def _written(
    target: DeltaTarget, mark: str, before: int | None, mode: str, *, creates: bool
) -> Written:
    """Return the rows and the versions of the commit with *mark*.

    Args:
        target: the table.
        mark: the commit's ``userMetadata``.
        before: the table's version before the first commit of the write, if it is known.
        mode: mode of the write.
        creates: True if the table did not exist. Spark may store no mark in a commit that creates one.
    """
    commits = _newest_commits(target)
    commit = next((one for one in commits if one.get("userMetadata") == mark), {})
    rows = (commit.get("operationMetrics") or {}).get("numOutputRows")
    version = commit.get("version")
    if version is None and creates and spark_versions.newest_number(target) == 0:
        version = 0
    previous = version - 1 if version else None
    if previous is not None and before is not None:
        previous = min(previous, before)
    count = None if rows is None else int(rows)
    replaced = 0 if creates else None
    if mode == "overwrite" and previous is not None:
        log = log_at(target.path, previous)
        earlier = [one for one in commits if one["version"] <= previous]
        replaced = rows_after(earlier, _replaces_all) if log is None else rows_before(log, mode)
    return Written(count, version, previous, row_counts(commit, mode, count, replaced))


def _replaces_all(commit: Mapping[str, Any]) -> bool:
    """Return True if *commit* wrote all rows of the table: as its first one, or as an overwrite by `write`.

    Overwrites by other programs may replace a part.
    """
    if commit["version"] == 0:
        return True
    with contextlib.suppress(TypeError, ValueError):
        return bool(json.loads(commit.get("userMetadata") or "")["mode"] == "overwrite")
    return False


def _newest_commits(target: DeltaTarget) -> list[dict[str, Any]]:
    """Return the information of the table's newest commits, newest first, as far as it can be read."""
    number = _newest_number(target)
    if number is not None:
        with contextlib.suppress(Exception):
            newest = itertools.islice(DeltaLog(str(target.path), {}).commits(number), _LOOK_BACK)
            return [{**one.info, "version": one.version} for one in newest]
    return spark_versions.history(target, _LOOK_BACK)


def rows_in_table(target: DeltaTarget, version: int | None = None) -> int | None:
    """Return the number of rows by the table's log; None if the log cannot be read without Spark."""
    log = log_at(target.path, version)
    if log is None:
        return None
    with contextlib.suppress(Exception):
        return int(log.count())
    return None


def version_of(target: DeltaTarget) -> int | None:
    """Return the table's newest version; None if it is unknown."""
    log = log_at(target.path)
    return spark_versions.newest_number(target) if log is None else int(log.version())


def newest_commit(target: DeltaTarget) -> tuple[float, float] | None:
    """Return the times of the table's newest commit and of now, in milliseconds of the session's clock.

    Return None if no commits can be read, as for a view, for another format than Delta, or on Sail.
    """
    sql = f"DESCRIBE HISTORY {target.identifier} LIMIT 1"
    times = ("unix_millis(timestamp) AS at", "unix_millis(current_timestamp()) AS now")
    if target.connection.kind != SAIL:
        with contextlib.suppress(Exception):
            (row,) = target.connection.spark.sql(sql).selectExpr(*times).collect()
            return float(row["at"]), float(row["now"])
    return None


def log_at(path: str | None, version: int | None = None) -> Any:
    """Open a local table through delta-rs, which takes milliseconds; return None if that fails."""
    if path is None or "://" in path or importlib.util.find_spec("deltalake") is None:
        return None
    from deltalake import DeltaTable

    with contextlib.suppress(Exception):  # Spark may support features that delta-rs does not
        return DeltaTable(path, version=version)
    return None
