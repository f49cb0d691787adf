"""Restore a Delta table to an earlier version through delta-rs: one commit, or none.

The commit succeeds only if the table's newest version is still the one that the caller decided on. The
check is Delta's own: two writers cannot commit the same version (deltalake 1.1 to 1.6).

delta-rs restores some tables wrongly instead of refusing them, so this module refuses them itself:

- It compares files by their paths. Versions that differ only in deletion vectors have equal paths.
- It removes rows of append-only tables.
- It does not maintain what some writer features demand, such as row tracking.
"""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from odibi_nb.core.model.provenance import BEFORE_CREATION, OutputWritten
from odibi_nb.core.model.rollback import Outlook
from odibi_nb.core.model.tables import redact_url, table_key
from odibi_nb.engines.delta.appends import metadata
from odibi_nb.engines.delta.errors import (
    DELTA_RS,
    feature_name,
    is_conflict,
    unsupported_features,
    why_refused,
)
from odibi_nb.engines.delta.left_files import why_files_stay
from odibi_nb.engines.delta.log import file_system
from odibi_nb.engines.delta.row_counts import rows_by_file, total
from odibi_nb.engines.delta.schema import schema_of
from odibi_nb.engines.delta.tables import deltalake, open_table
from odibi_nb.engines.delta.watch import log_mark
from odibi_nb.engines.optional_imports import reason
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from odibi_nb.core.protocols import WriteInfo

_RESTORED_BY_DELTA_RS = frozenset(
    {
        "appendOnly",
        "invariants",
        "checkConstraints",
        "changeDataFeed",
        "generatedColumns",
        "timestampNtz",
        "vacuumProtocolCheck",
    }
)
_PLAIN_WRITER, _FEATURE_WRITER = 4, 7
"""Up to the first protocol version, tables have only the features above; the second one lists them."""
SHOWN_FILES = 3
APPEND_ONLY = "the table is append-only (delta.appendOnly), and a restore would remove rows"


def why_not(table: Any) -> str:
    """Return the reason why delta-rs must not restore *table*; "" if it may."""
    if str((table.metadata().configuration or {}).get("delta.appendOnly")).lower() == "true":
        return APPEND_ONLY
    others = beyond_delta_rs(table)
    return _only_spark(others) if others else why_files_stay(table)


def _only_spark(features: str) -> str:
    return (
        f"the table uses {features}, which {DELTA_RS.name} cannot restore: roll it back with --engine "
        "spark"
    )


def beyond_delta_rs(table: Any) -> str:
    """Return the features of *table* that delta-rs would not respect, for a message; "" without any."""
    protocol = table.protocol()
    if protocol.min_writer_version <= _PLAIN_WRITER:
        return ""
    features = {*(protocol.writer_features or ()), *(protocol.reader_features or ())}
    if protocol.min_writer_version < _FEATURE_WRITER:
        features = {f"writer version {protocol.min_writer_version}"}
    return ", ".join(sorted(map(feature_name, features - _RESTORED_BY_DELTA_RS)))


def outlook(
    uri: str, name: str, storage_options: Mapping[str, str], version: int, *, restores: int
) -> Outlook:
    """Return the effect of restoring a table at *version* to the version *restores*, without writing.

    Args:
        uri: path or URL of the table.
        name: the table's name in messages.
        storage_options: delta-rs's options for *uri*.
        version: the table's newest version.
        restores: the version to restore, or `BEFORE_CREATION`.
    """
    try:
        now = open_table(uri, name, storage_options, version=version)
    except DataError as exc:
        features = unsupported_features(exc)
        problem = _only_spark(features) if features else str(exc).removeprefix(f"{name}: ")
        return Outlook(problem=problem, no_drop=_no_drop(uri))
    if now is None:
        return Outlook(problem="the table does not exist")
    if problem := why_not(now):
        return Outlook(problem=problem, no_drop=_no_drop(uri))
    files = rows_by_file(now)
    if restores == BEFORE_CREATION:
        rows = total(files.values())
        return Outlook(rows_removed=rows, rows_restored=0, no_drop=_no_drop(uri))
    return _outlook(uri, name, storage_options, files, restores)


def _outlook(
    uri: str,
    name: str,
    storage_options: Mapping[str, str],
    files: Mapping[str, int | None],
    restores: int,
) -> Outlook:
    """Return the effect of restoring a table with *files* to the version *restores*."""
    try:
        before = rows_by_file(open_table(uri, name, storage_options, version=restores))
    except Exception as exc:  # noqa: BLE001  delta-rs raises errors of many kinds
        return Outlook(problem=f"version {restores} is no longer in its log ({reason(exc)})")
    back = sorted(before.keys() - files.keys())
    missing = _missing(uri, storage_options, back)
    if missing:
        more = f" and {len(missing) - SHOWN_FILES} more" if len(missing) > SHOWN_FILES else ""
        shown = ", ".join(missing[:SHOWN_FILES])
        return Outlook(problem=f"files of version {restores} were removed: {shown}{more}")
    gone = files.keys() - before.keys()
    return Outlook(
        rows_removed=total(map(files.get, gone)), rows_restored=total(map(before.get, back))
    )


def restore(
    uri: str,
    name: str,
    storage_options: Mapping[str, str],
    info: WriteInfo,
    *,
    restores: int,
    expected: int,
) -> int:
    """Restore a table in one commit, and return the new version's number; see `VersionedEngine.restore`.

    Raises:
        DataError: if the newest version is not *expected*, or delta-rs cannot restore the table.
            Nothing was written.
    """
    table = open_table(uri, name, storage_options)
    if table is None:
        raise DataError(f"{name}: the table does not exist: nothing was restored")
    if table.version() != expected:
        raise changed_since(name, expected, table.version())
    if problem := why_not(table):
        raise DataError(f"{name}: {problem}: nothing was restored")
    properties = deltalake().CommitProperties(
        custom_metadata={**metadata(info), "restores": str(restores)}, max_commit_retries=0
    )
    info.check()
    try:
        if restores == BEFORE_CREATION:
            _empty(table, properties)
        else:
            table.restore(restores, commit_properties=properties)
    except Exception as exc:
        if is_conflict(exc):
            raise changed_since(name, expected) from exc
        refused = why_refused(exc, table)
        why = refused.why if refused else reason(exc)
        raise DataError(f"{name}: version {restores} cannot be restored: {why}") from exc
    info.wrote(restored(table_key(name), expected, str(table.metadata().id)))
    return expected + 1


def restored(key: str, expected: int, table_id: str = "") -> OutputWritten:
    """Return what the run log records of a restore of the table at version *expected*."""
    return OutputWritten(
        table=key,
        mode="restore",
        version=expected + 1,
        previous_version=expected,
        table_id=table_id,
    )


def changed_since(name: str, expected: int, found: int | None = None) -> DataError:
    """Build the error for a table that another writer changed after the caller read its version."""
    now = "" if found is None else f", is {found} now"
    return DataError(
        f"{name}: another writer changed the table (its version was {expected}{now}): nothing was "
        "restored"
    )


def drop(uri: str, name: str, *, expected: int) -> None:
    """Delete a table in a folder of this machine.

    Raises:
        DataError: if the newest version is not *expected*, or the table is not on this machine.
            Nothing was deleted.
    """
    if why := _no_drop(uri):
        raise DataError(f"{name}: {why}")
    folder = Path(uri)
    # A writer that commits after this rename fails: it finds no log. So the check comes after it.
    aside = folder.with_name(f".{folder.name}.dropped-{uuid.uuid4().hex[:8]}")
    try:
        folder.rename(aside)
    except OSError as exc:
        raise DataError(f"{name}: {folder} cannot be removed: {exc.strerror}") from exc
    mark = log_mark(str(aside))
    if mark is None or mark[0] != expected:
        aside.rename(folder)
        raise changed_since(name, expected, mark[0] if mark else None)
    shutil.rmtree(aside, ignore_errors=True)


def _no_drop(uri: str) -> str:
    """Return the reason why a table cannot be dropped; "" if it can."""
    return f"{redact_url(uri)} is not on this machine, so it cannot be dropped" * ("://" in uri)


def _empty(table: Any, properties: Any) -> None:
    """Remove all rows in one commit. A DELETE would commit nothing if the table has no files."""
    schema = schema_of(table)
    deltalake().write_deltalake(
        table, schema.empty_table(), mode="overwrite", commit_properties=properties
    )


def _missing(uri: str, storage_options: Mapping[str, str], paths: Sequence[str]) -> list[str]:
    """Return the *paths* that no longer exist.

    Depending on its version, delta-rs returns paths as the log spells them, or decoded.
    """
    if not paths:
        return []
    spelled = [*dict.fromkeys(name for path in paths for name in (path, unquote(path)))]
    if "://" not in uri:
        found = {name for name in spelled if (Path(uri) / name).exists()}
    else:
        infos = file_system(uri, storage_options).get_file_info(spelled)
        found = {info.path for info in infos if info.is_file}
    return [path for path in paths if not {path, unquote(path)} & found]
