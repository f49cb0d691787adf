"""Checkpoints and compaction for Delta tables with many small appends, through delta-rs."""

from __future__ import annotations

import logging
import time
from typing import Any

CHECKPOINT_VERSIONS = 10
SMALL_FILES = 20
SMALL_BYTES = 16 * 1024 * 1024
CLAIM_SECONDS = 600
KEPT_HOURS = 168
"""Hours for which replaced files are kept (a week), because readers may still use them."""
_COMPACTION = "odibi_nb/compaction"
"""The application id whose transaction number is the time at which the last compaction began."""
_COMPACTED = "odibi_nb/compacted"
"""The application id whose transaction number is that of the last compaction that ended."""

_logger = logging.getLogger(__name__)


def no_hooks() -> Any:
    """Return the options of a commit after which delta-rs does no maintenance.

    After each commit, delta-rs would look at every file of the table's log to find expired ones. With 1,300
    files that takes longer than the commit. `checkpoint` and `compact` do the same more rarely.
    """
    from deltalake import PostCommitHookProperties

    return PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


def checkpoint(table: Any, before: int) -> None:
    """Write a checkpoint every `CHECKPOINT_VERSIONS` versions to keep opening fast. Only log a failure."""
    if table.version() // CHECKPOINT_VERSIONS > before // CHECKPOINT_VERSIONS:
        try:
            table.create_checkpoint()
        except Exception:
            _logger.warning(
                "no checkpoint of the run log was written; the run continues", exc_info=True
            )


def compact(table: Any) -> None:
    """Compact the table's small files if it has many.

    A compaction changes no rows, so it does not conflict with appends of other runs. If another run
    already compacts the table, this one does nothing.
    """
    if not _has_many_small_files(table):
        return
    claim = _claimed(table)
    if claim is not None:
        table.optimize.compact()
        # Partitions may keep the files apart. Such a compaction is not marked as ended: the next one waits.
        if not _has_many_small_files(table):
            # A commit of its own: delta-rs leaves transactions out of the compaction's commit.
            _commit_number(table, _COMPACTED, claim)
        table.create_checkpoint()
        table.cleanup_metadata()
        table.vacuum(retention_hours=KEPT_HOURS, enforce_retention_duration=True, dry_run=False)


TIDIED_HOURS = 1
"""Hours for which `tidy` keeps the files of earlier versions: readers of a few rows are done by then."""


def tidy(table: Any) -> None:
    """Shorten the log of a table with few rows that change often, and remove its replaced files."""
    table.create_checkpoint()
    table.cleanup_metadata()
    table.vacuum(retention_hours=TIDIED_HOURS, enforce_retention_duration=False, dry_run=False)


def _claimed(table: Any) -> int | None:
    """Claim the next compaction of the table, and return its number; None if this run must not compact.

    delta-rs lets two compactions of the same files both succeed, which duplicates every row. So a run first
    commits a claim. The claim must be the very next version of the table, and must come after the last
    compaction has ended, or `CLAIM_SECONDS` after it began.
    """
    from deltalake.exceptions import CommitFailedError

    now = int(time.time())
    last, ended = (table.transaction_version(name) for name in (_COMPACTION, _COMPACTED))
    # A claim in the future comes from a wrong clock, and must not block compactions until then.
    if last != ended and 0 <= now - (last or 0) < CLAIM_SECONDS:
        return None
    if now in (last, ended):  # a shared number would let a third run believe that both have ended
        return None
    try:
        _commit_number(table, _COMPACTION, now, max_commit_retries=0)
    except CommitFailedError:
        return None
    return now


def _commit_number(table: Any, application: str, number: int, **options: int) -> None:
    """Commit the number of a compaction that begins or has ended, without rows."""
    import pyarrow as pa
    from deltalake import CommitProperties, Transaction, write_deltalake

    nothing = pa.schema(table.schema().to_arrow()).empty_table()
    properties = CommitProperties(app_transactions=[Transaction(application, number)], **options)
    write_deltalake(
        table,
        nothing,
        mode="append",
        commit_properties=properties,
        post_commithook_properties=no_hooks(),
    )


def _has_many_small_files(table: Any) -> bool:
    import pyarrow as pa

    sizes = pa.table(table.get_add_actions()).column("size_bytes").to_pylist()
    return len([size for size in sizes if size < SMALL_BYTES]) >= SMALL_FILES
