"""What keeps a Delta table fast to which many runs append little, through delta-rs."""

from __future__ import annotations

import logging
import time
from typing import Any

CHECKPOINT_VERSIONS = 10
SMALL_FILES = 20
SMALL_BYTES = 16 * 1024 * 1024
CLAIM_SECONDS = 600
KEPT_HOURS = 168
"""Replaced files are kept for a week, for readers that still use them."""
_COMPACTION = "odibi_nb/compaction"
"""The application whose transaction numbers say when a compaction began."""
_COMPACTED = "odibi_nb/compacted"
"""The one whose number is that of the last compaction that ended."""

_logger = logging.getLogger(__name__)


def checkpoint(table: Any, before: int) -> None:
    """Now and then write a checkpoint, so that opening stays fast; a failure is not the write's."""
    if table.version() // CHECKPOINT_VERSIONS > before // CHECKPOINT_VERSIONS:
        try:
            table.create_checkpoint()
        except Exception:
            _logger.warning("the run log got no checkpoint; writing goes on", exc_info=True)


def compact(table: Any) -> None:
    """Make one of the table's many small files, if there are many.

    That changes no rows, so appends of other runs do not conflict with it. Where another run is at
    it already, this one leaves it alone.
    """
    if not _has_many_small_files(table):
        return
    claim = _claimed(table)
    if claim is not None:
        table.optimize.compact()
        # In vain where partitions keep the files apart: then the next waits as if this had not ended.
        if not _has_many_small_files(table):
            # Not in the compaction's own commit: delta-rs leaves transactions out of it.
            _commit_number(table, _COMPACTED, claim)
        table.create_checkpoint()
        table.vacuum(retention_hours=KEPT_HOURS, enforce_retention_duration=True, dry_run=False)


def _claimed(table: Any) -> int | None:
    """The number of a compaction that is ours to do, and nobody else's meanwhile; None if none is.

    delta-rs lets two compactions of the same files both succeed, and every row is then there twice. So
    a commit says first who does it: it has to be the very next one, and to come after the last
    compaction has ended, or a while after it began.
    """
    from deltalake.exceptions import CommitFailedError

    now = int(time.time())
    last, ended = (table.transaction_version(name) for name in (_COMPACTION, _COMPACTED))
    # A claim of the future was made under a wrong clock, and keeps nobody waiting until then.
    if last != ended and 0 <= now - (last or 0) < CLAIM_SECONDS:
        return None
    if now in (last, ended):  # one number for two would let a third believe that both have ended
        return None
    try:
        _commit_number(table, _COMPACTION, now, max_commit_retries=0)
    except CommitFailedError:
        return None
    return now


def _commit_number(table: Any, application: str, number: int, **options: int) -> None:
    """Commit no rows, but the number of a compaction that begins or has ended."""
    import pyarrow as pa
    from deltalake import CommitProperties, Transaction, write_deltalake

    nothing = pa.schema(table.schema().to_arrow()).empty_table()
    properties = CommitProperties(app_transactions=[Transaction(application, number)], **options)
    write_deltalake(table, nothing, mode="append", commit_properties=properties)


def _has_many_small_files(table: Any) -> bool:
    import pyarrow as pa

    sizes = pa.table(table.get_add_actions()).column("size_bytes").to_pylist()
    return len([size for size in sizes if size < SMALL_BYTES]) >= SMALL_FILES
