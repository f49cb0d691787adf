"""Restore Delta tables by Spark's SQL, where delta-rs cannot: in catalogs, and with newer features.

RESTORE has no condition. So this module checks the version before and after it. If another
writer committed in between, it restores that writer's version and raises an error.
"""

from __future__ import annotations

import contextlib
import json
import threading
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.provenance import BEFORE_CREATION
from odibi_nb.core.model.rollback import Outlook
from odibi_nb.core.model.tables import table_key
from odibi_nb.engines.delta.appends import metadata
from odibi_nb.engines.delta.log import commit_metadata, restored_version
from odibi_nb.engines.delta.restore import APPEND_ONLY, changed_since, restored
from odibi_nb.engines.optional_imports import reason
from odibi_nb.engines.spark.connection import CLASSIC, SAIL
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from odibi_nb.core.protocols import WriteInfo
    from odibi_nb.engines.spark.delta_target import DeltaTarget

SAIL_CANNOT = "Sail cannot restore it: choose another Spark for the environment, or --engine pandas"
_USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"
_setting = threading.Lock()
"""Held while the session's own setting has the metadata of one restore."""


def outlook(target: DeltaTarget, *, restores: int) -> Outlook:
    """Return the effect of restoring a table, without writing; see `VersionedEngine.outlook`.

    Spark does not know the rows of files without a scan, so their numbers are unknown.
    """
    if target.connection.kind == SAIL:
        return Outlook(problem=SAIL_CANNOT)
    try:
        detail = target.detail()
    except Exception as exc:  # noqa: BLE001  Spark raises errors of many kinds
        return Outlook(problem=reason(exc))
    properties = detail["properties"] or {}
    if str(properties.get("delta.appendOnly")).lower() == "true":
        return Outlook(problem=APPEND_ONLY)
    return Outlook(problem="" if restores == BEFORE_CREATION else _missing(target, restores))


def _missing(target: DeltaTarget, restores: int) -> str:
    """Return the reason why the version *restores* cannot be read completely; "" if it can."""
    spark = target.connection.spark
    try:
        before = {*target.frame(restores).inputFiles()}
        back = sorted(before - {*target.frame().inputFiles()})
    except Exception as exc:  # noqa: BLE001  see above
        return f"version {restores} cannot be read ({reason(exc)})"
    try:
        if back:  # Spark looks for each of the paths, and opens none
            spark.read.format("binaryFile").load(back).schema  # noqa: B018  Connect asks only now
    except Exception as exc:  # noqa: BLE001  see above
        if "PATH_NOT_FOUND" in str(exc) or "FileNotFound" in str(exc):
            return f"files of version {restores} were removed: {reason(exc)}"
        # A catalog may refuse paths. RESTORE itself refuses a version whose files are gone.
    return ""


def restore(target: DeltaTarget, info: WriteInfo, *, restores: int, expected: int) -> int:
    """Restore a table, and return the new version's number; the caller must hold its `write_lock`.

    Raises:
        DataError: if the newest version is not *expected*, or the version cannot be restored.
    """
    if target.connection.kind == SAIL:
        raise DataError(f"{target.name}: {SAIL_CANNOT}")
    now = _newest(target)
    if now != expected:
        raise changed_since(target.name, expected, now)
    info.check()
    mark = metadata(info)
    try:
        if restores == BEFORE_CREATION:
            _empty(target, {**mark, "restores": str(BEFORE_CREATION)})
        else:
            with _marked(target, mark) as spark:
                _restore(spark, target, restores)
    except Exception as exc:
        now = _newest(target)
        if now != expected:
            raise changed_since(target.name, expected, now) from exc
        why = f"version {restores} cannot be restored: {reason(exc)}"
        raise DataError(f"{target.name}: {why}") from exc
    made = _newest(target)
    ours = made if made == expected + 1 else _own_version(target, mark, restores, made - expected)
    if ours != expected + 1:
        raise _overtaken(target, expected, ours, made)
    info.wrote(restored(table_key(target.name), expected))
    return ours


def _own_version(target: DeltaTarget, mark: dict[str, str], restores: int, count: int) -> int:
    """Return the version of our restore among the newest *count* commits; 0 if it is not there."""
    rows = target.history(count)
    return max((int(row["version"]) for row in rows if _is(row, mark, restores)), default=0)


def _overtaken(target: DeltaTarget, expected: int, ours: int, made: int) -> DataError:
    """Bring back the commits that came between the check and our version, and return the error.

    If others have also committed after it, their rows and ours are mixed, and only a person can choose
    the version to restore.
    """
    if ours == made:
        _restore(target.connection.spark, target, made - 1)
    if ours in (0, made):
        return changed_since(target.name, expected, made)
    return DataError(
        f"{target.name}: this rollback's version {ours} undid commits that others made at the same "
        f"moment, from version {expected + 1} on, and others have committed since: check the table's "
        "history, and restore the missing rows"
    )


def _is(row: dict[str, Any], mark: dict[str, str], restores: int) -> bool:
    """Return True if *row* of a table's history is the commit of our restore."""
    found = commit_metadata(row)
    if found.get("rolls_back"):
        return all(found.get(name) == value for name, value in mark.items())
    return row["operation"] == "RESTORE" and restored_version(found) == restores


def _restore(spark: Any, target: DeltaTarget, version: int) -> None:
    spark.sql(f"RESTORE TABLE {target.identifier} TO VERSION AS OF {int(version)}").collect()


def _empty(target: DeltaTarget, mark: dict[str, str]) -> None:
    """Remove all rows in one commit that carries *mark*; a DELETE without rows would commit nothing."""
    writer = target.frame().limit(0).write.format("delta").mode("overwrite")
    target.save(writer.option("userMetadata", json.dumps(mark)))


def _newest(target: DeltaTarget) -> int:
    try:
        return int(target.history(1)[0]["version"])
    except Exception as exc:
        raise DataError(f"{target.name}: its history cannot be read: {reason(exc)}") from exc


@contextlib.contextmanager
def _marked(target: DeltaTarget, mark: dict[str, str]) -> Iterator[Any]:
    """Return a session whose commits carry *mark*, because RESTORE has no option for it.

    On classic Spark it is a copy of the session, so that no other commit of the user gets the mark.
    """
    spark, text = target.connection.spark, json.dumps(mark)
    copy = _copy(spark) if target.connection.kind == CLASSIC else None
    if copy is not None:
        copy.conf.set(_USER_METADATA, text)
        yield copy
        return
    with _setting:
        with contextlib.suppress(Exception):  # serverless may refuse it: RESTORE names its version
            spark.conf.set(_USER_METADATA, text)
        try:
            yield spark
        finally:
            with contextlib.suppress(Exception):
                spark.conf.unset(_USER_METADATA)


def _copy(spark: Any) -> Any:
    with contextlib.suppress(Exception):  # not every platform lets Python reach it
        return type(spark)(spark.sparkContext, spark._jsparkSession.cloneSession())  # noqa: SLF001
    return None


def drop(target: DeltaTarget, *, expected: int) -> None:
    """Drop a table of a catalog.

    Raises:
        DataError: if the newest version is not *expected*.
    """
    now = _newest(target)
    if now != expected:
        raise changed_since(target.name, expected, now)
    target.connection.spark.sql(f"DROP TABLE {target.identifier}").collect()
