"""The run log's rows: one record for each ended attempt, and one for each run."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.log_columns import RECORD_COLUMNS
from odibi_nb.core.runlog.lock_owner import identity
from odibi_nb.core.text.clock import as_time
from odibi_nb.core.text.json import as_json, decode_json

if TYPE_CHECKING:
    import datetime as dt

    from odibi_nb.core.protocols import BaseLogSink, Row

_JSON = ("checks", "inputs_read", "outputs_written")
"""Columns that store JSON text, or None if they have nothing."""


def make_record(facts: dict[str, Any]) -> Row:
    """Build a run log record from the facts of an event, in the order of `RECORD_COLUMNS`.

    Unknown values are None.
    """
    record = {name: facts.get(name) for name, _ in RECORD_COLUMNS}
    record["user"], record["host"] = identity()
    for name in _JSON:
        record[name] = as_json(record[name]) if record[name] else None
    return record


def run_record(
    start: Row,
    *,
    status: str,
    end_time: dt.datetime,
    records: list[Row],
    warnings: list[str],
    duration_seconds: float | None = None,
) -> Row:
    """Build the record of a run from its run_start payload and its attempts' records.

    A clock that jumps does not change *duration_seconds*. If it is None, the duration is the
    difference between end and start.
    """
    final = Counter({r["transformation_id"]: r["status"] for r in records}.values())
    begun = required_time(start["timestamp"])
    user, host = identity()
    return {
        "run_id": start["run_id"],
        "project": start["project"],
        "env": start["env"],
        "status": status,
        "start_time": begun,
        "end_time": end_time,
        "duration_seconds": (
            max(0.0, (end_time - begun).total_seconds())
            if duration_seconds is None
            else duration_seconds
        ),
        "engine": start["engine"],
        "layers": ", ".join(start.get("layers") or []),
        "transformations": start.get("transformations"),
        "succeeded": final["SUCCESS"],
        "failed": final["FAILED"],
        "skipped": final["SKIPPED"],
        "cancelled": final["CANCELLED"],
        "options": start.get("options"),
        "plan_hash": start.get("plan_hash"),
        "versions": start.get("versions"),
        "warnings": as_json(warnings) if warnings else None,
        "user": user,
        "host": host,
        "retry_of": start.get("retry_of"),
        "run_number": start.get("run_number"),
        "rollback_of": start.get("rollback_of"),
        "unchanged": final["UNCHANGED"],
    }


def json_object(text: Any) -> dict[str, Any]:
    """Return the JSON object in a column of a record; {} if the column holds none."""
    try:
        found = decode_json(text or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def json_list(text: Any) -> list[Any]:
    """Return the JSON array in a column of a record; [] if the column holds none."""
    try:
        found = decode_json(text or "[]")
    except ValueError:
        return []
    return found if isinstance(found, list) else []


def function_hashes(run: Row) -> dict[str, Any]:
    """Return the hash of the source of each function, from the record of *run*, by the function's key."""
    found = json_object(run.get("versions")).get("functions")
    return found if isinstance(found, dict) else {}


def unwritten(sink: BaseLogSink, run_id: str, records: list[Row]) -> list[Row]:
    """Return the *records* that *sink* does not have yet."""
    written = sink.written(run_id)
    return [r for r in records if (r["transformation_id"], r["attempt"]) not in written]


def sink_name(sink: BaseLogSink) -> str:
    """Return the name of *sink* in journals and warnings."""
    return sink.name or type(sink).__name__


def required_time(value: Any) -> dt.datetime:
    """Return *value* from JSON as a time. It must not be None."""
    time = as_time(value)
    assert time is not None
    return time
