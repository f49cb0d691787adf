"""Write to Delta tables through delta-rs: one commit per write."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from odibi_nb.core.model.tables import redact_url
from odibi_nb.core.text.sql_text import double_quoted
from odibi_nb.engines.delta.appends import (
    KEPT_FOR,
    Request,
    landed,
    metadata,
    take_back,
    transactions,
)
from odibi_nb.engines.delta.errors import is_conflict, why_refused
from odibi_nb.engines.delta.left_files import check_removable
from odibi_nb.engines.delta.rewrites import decided, loses_times, rewritten
from odibi_nb.engines.delta.row_counts import NOTHING, UNKNOWN, row_counts, rows_before
from odibi_nb.engines.delta.schema import fit, schema_of, with_missing
from odibi_nb.engines.delta.tables import deltalake, is_table, open_table, with_one_zero
from odibi_nb.engines.delta.versions import own_commit
from odibi_nb.engines.optional_imports import reason
from odibi_nb.engines.output_rules import kept_changing, partitioned_otherwise
from odibi_nb.errors import DataError, RevokedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from odibi_nb.core.model.transformation import Output
    from odibi_nb.engines.delta.appends import Appends

_MAX_COMMIT_RETRIES = 50
_CONFLICT_TRIES = 10

_locks: dict[str, threading.Lock] = {}
"""One lock per table, so that writers of this process wait for each other instead of conflicting."""


def write_lock(uri: str) -> threading.Lock:
    """Return the lock to hold during a write to the table at *uri*."""
    return _locks.setdefault(uri, threading.Lock())


@dataclass(frozen=True, slots=True, kw_only=True)
class TableWrite(Request):
    """A write to the table at *uri*; *storage_options* are delta-rs's options for *uri*."""

    uri: str
    storage_options: Mapping[str, str] = field(repr=False)  # it has secrets

    def table(self) -> Any:
        """Open the table as it is now; return None if it does not exist."""
        return open_table(self.uri, self.output.table, self.storage_options, writing=True)


def commit(write: TableWrite, data: Any, appends: Appends) -> None:
    """Write the Arrow table *data* in one commit; the caller must hold the table's `write_lock`.

    First take back the appends of earlier attempts of the same row; see
    `odibi_nb.engines.delta.appends`. If another process commits first, retry on the new version.

    Raises:
        DataError: if the table cannot take the data. The data was not written.
        RevokedError: if the attempt has been revoked.
    """
    if write.output.mode == "merge":
        data = with_one_zero(data, write.output.keys)
    number = appends.count(write.uri, write.info) + 1
    conflict: Exception | None = None
    before = _Before()
    without_earlier(write, appends)
    for _ in range(_CONFLICT_TRIES):
        table = write.table()
        try:
            write.info.check()
            before = _before(table, write.output.mode)
            written = _write(write, table, data, number)
            _tell(write, written, int(data.num_rows), before)
        except (DataError, RevokedError):
            raise
        except Exception as exc:
            if write.only_once and _has_landed(write, number):
                _tell(write, table, int(data.num_rows), before)
                break
            created = table is None and is_table(write.uri, write.storage_options)
            if not created and not is_conflict(exc):
                raise _failed(write, table, exc) from exc
            conflict = exc
        else:
            break
    else:
        raise kept_changing(write.output, conflict)
    if write.only_once:
        appends.note(write.uri, write.info, number)


class _Before(NamedTuple):
    """Version and rows of a table before a write, if they are known."""

    version: int | None = None
    rows: int | None = None


def _before(table: Any, mode: str) -> _Before:
    version = None if table is None else int(table.version())
    return _Before(version, rows_before(table, mode))


def _tell(write: TableWrite, table: Any, rows: int, before: _Before) -> None:
    """Report the version of its commit to the attempt; *table* is the one that was written, None if it is new."""
    committed, counts = None, UNKNOWN
    with contextlib.suppress(Exception):  # the commit has succeeded
        committed = own_commit(write.uri, table, write.info, write.storage_options, before.version)
    version, found, table_id = committed or (None, {}, "")
    previous = version - 1 if version else None
    if committed is not None:
        replaced = before.rows if before.version == previous else None
        counts = row_counts(found, write.output.mode, rows, replaced)
    write.wrote(version, previous, rows, table_id, counts)


def without_earlier(write: TableWrite, appends: Appends) -> None:
    """Remove rows of the row's earlier attempts from the table; errors and lock as for `commit`."""
    if write.only_once and not appends.is_alone(write.uri, write.info):
        take_back(write.table, write.output.table, write.info, write.storage_options)
        appends.note(write.uri, write.info, 0)


def _failed(write: TableWrite, table: Any, exc: Exception) -> DataError:
    name, refused = write.output.table, why_refused(exc, table)
    if refused is not None:
        return DataError(f"{name}: nothing was written: {refused}")
    return DataError(f"{name}: writing to {redact_url(write.uri)} failed: {reason(exc)}")


def _has_landed(write: TableWrite, number: int) -> bool:
    """Return True if the append was committed although it raised an error."""
    try:
        table = write.table()
        return table is not None and landed(table, write.info, number)
    except Exception:  # noqa: BLE001  the caller reports the first error
        return False


def _write(write: TableWrite, table: Any, data: Any, number: int) -> Any:
    """Write *data* to *table*; if *table* is None, create it. *number* counts the appends of the attempt.

    Return delta-rs's table after the write, or None if the write created it.
    """
    made = {"mode": write.output.mode} if table is None else {}  # else the commit has it
    properties = deltalake().CommitProperties(
        custom_metadata={**metadata(write.info), **made},
        max_commit_retries=_MAX_COMMIT_RETRIES,
        app_transactions=transactions(write.info, number) if write.only_once else None,
    )
    if table is not None:
        if write.output.mode != "append" or write.output.schema_mode == "overwrite":
            check_removable(table, write.output.table)
        table = _made_ready(write, table, data)
    if table is None:
        _create(write, data, properties)
    elif write.output.mode == "merge":
        _merge(table, data, write.output, properties)
    else:
        _add_or_replace(table, data, write.output, properties)
    return table


def _made_ready(write: TableWrite, table: Any, data: Any) -> Any:
    """Return the table. If an append or merge could not use its types or times, rewrite it first."""
    if write.output.mode == "overwrite" or write.output.schema_mode == "overwrite":
        return table
    schema = decided(table, data.schema)
    fit(data, schema, write.output)  # raises before the rewrite if the data does not fit
    is_merge = write.output.mode == "merge"
    if schema == schema_of(table) and not (is_merge and loses_times(table)):
        return table
    before, table_id = int(table.version()), str(table.metadata().id)
    rewritten(table, write.output.table, schema, write.info)
    write.wrote(before + 1, before, 0, table_id, NOTHING)
    return write.table()


def _create(write: TableWrite, data: Any, properties: Any) -> None:
    deltalake().write_deltalake(
        write.uri,
        data,
        mode="error",  # refused if another process has made the table: the caller then looks at it
        partition_by=list(write.output.partition_by) or None,
        configuration=KEPT_FOR,
        storage_options=dict(write.storage_options) or None,
        commit_properties=properties,
    )


def _add_or_replace(table: Any, data: Any, output: Output, properties: Any) -> None:
    partition_by = partitions(table, output)
    schema_mode = output.schema_mode
    if schema_mode != "overwrite":
        schema = decided(table, data.schema)
        data, differs = fit(data, schema, output)
        schema_mode = "merge" if differs else None
        if schema != schema_of(table):
            data, schema_mode = with_missing(data, schema), "overwrite"
    deltalake().write_deltalake(
        table,
        data,
        mode=output.mode,
        schema_mode=schema_mode,
        partition_by=partition_by,
        commit_properties=properties,
    )


def partitions(table: Any, output: Output) -> list[str] | None:
    """Return the new partition columns, or None to keep the present ones.

    Raises:
        DataError: if the columns change, and *output* does not replace the table's schema.
    """
    now, asked = list(table.metadata().partition_columns), list(output.partition_by)
    if asked == now or (not asked and output.schema_mode != "overwrite"):
        return None
    if output.schema_mode != "overwrite":
        raise partitioned_otherwise(output, now)
    return asked


def _merge(table: Any, data: Any, output: Output, properties: Any) -> None:
    """Update the rows whose keys the table has, and insert the others; null equals null."""
    partitions(table, output)
    data, differs = fit(data, schema_of(table), output)
    sets = {double_quoted(name): f"source.{double_quoted(name)}" for name in data.column_names}
    same = " AND ".join(
        # With "=", every version of delta-rs joins by hash. It is correct if no key is null.
        f"(target.{key} {'IS NOT DISTINCT FROM' if nulls else '='} source.{key})"
        for key, nulls in ((double_quoted(k), data[k].null_count) for k in output.keys)
    )
    merger = table.merge(
        data,
        same,
        source_alias="source",
        target_alias="target",
        merge_schema=differs,
        commit_properties=properties,
    )
    merger.when_matched_update(sets).when_not_matched_insert(sets).execute()
