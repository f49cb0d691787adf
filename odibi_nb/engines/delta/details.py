"""Facts about a Delta table from its log: number of rows, columns, time and author of the last write."""

from __future__ import annotations

import datetime as dt
from typing import Any

from odibi_nb.core.protocols import TableDetails
from odibi_nb.engines.delta.log import commit_metadata
from odibi_nb.engines.delta.row_counts import rows_by_file, total
from odibi_nb.engines.delta.schema import schema_of, type_name

COMMITS_LOOKED_AT = 20
_UPKEEP = frozenset({"OPTIMIZE", "VACUUM START", "VACUUM END"})


def details(table: Any) -> TableDetails:
    """Read the details of delta-rs's *table* from its log."""
    return TableDetails(
        rows=total(rows_by_file(table).values()),
        columns={field.name: type_name(field.type) for field in schema_of(table)},
        version=table.version(),
        **last_write(table.history(COMMITS_LOOKED_AT)),
    )


def last_write(commits: list[dict[str, Any]]) -> dict[str, Any]:
    """Return time, run and transformation of the newest write in *commits*.

    Commits that only compact or clean up files are not writes.
    """
    newest: dict[str, Any] = next((c for c in commits if c.get("operation") not in _UPKEEP), {})
    newest = commit_metadata(newest)
    stamp = newest.get("timestamp")
    if isinstance(stamp, int):  # milliseconds; pyspark returns a local time
        stamp = dt.datetime.fromtimestamp(stamp / 1000, dt.timezone.utc)
    return {
        "modified_at": None if stamp is None else stamp.astimezone(dt.timezone.utc),
        "run_id": newest.get("run_id"),
        "transformation_id": newest.get("transformation_id"),
    }
