"""What a Delta table's log says of it: how many rows, which columns, who wrote it last."""

from __future__ import annotations

import datetime as dt
from typing import Any

from odibi_nb.core.protocols import TableDetails
from odibi_nb.engines.delta.log import commit_metadata
from odibi_nb.engines.delta.schema import schema_of, type_name
from odibi_nb.engines.pandas.frames import pyarrow

COMMITS_LOOKED_AT = 20
_UPKEEP = frozenset({"OPTIMIZE", "VACUUM START", "VACUUM END"})


def details(table: Any) -> TableDetails:
    """What the log of delta-rs's *table* says."""
    return TableDetails(
        rows=_row_count(table),
        columns={field.name: type_name(field.type) for field in schema_of(table)},
        version=table.version(),
        **last_write(table.history(COMMITS_LOOKED_AT)),
    )


def last_write(commits: list[dict[str, Any]]) -> dict[str, Any]:
    """When and by whom the newest of *commits* was made that is one; compacting files is none."""
    newest: dict[str, Any] = next((c for c in commits if c.get("operation") not in _UPKEEP), {})
    newest = commit_metadata(newest)
    stamp = newest.get("timestamp")
    if isinstance(stamp, int):  # milliseconds; pyspark gives a local time
        stamp = dt.datetime.fromtimestamp(stamp / 1000, dt.timezone.utc)
    return {
        "modified_at": None if stamp is None else stamp.astimezone(dt.timezone.utc),
        "run_id": newest.get("run_id"),
        "transformation_id": newest.get("transformation_id"),
    }


def _row_count(table: Any) -> int | None:
    """The rows by the statistics of its files; None where a file has none."""
    actions = pyarrow().table(table.get_add_actions(flatten=True))
    if not actions.num_rows:
        return 0
    if "num_records" not in actions.column_names:
        return None
    counts = actions["num_records"].to_pylist()
    return None if None in counts else sum(counts)
