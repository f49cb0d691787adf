"""Decode and validate the lines of a journal.

Another version, a torn write or a damaged disk may leave any content in a journal. All readers of
journals use this module, so that they need no checks of their own.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import msgspec

from odibi_nb.core.model.log_columns import RECORD_COLUMNS, RUN_COLUMNS
from odibi_nb.core.text.clock import as_time

if TYPE_CHECKING:
    from collections.abc import Iterable

    from odibi_nb.core.planning.plan import RunPlan
    from odibi_nb.core.protocols import Row

_TEXTS = (
    "run_id",
    "project",
    "env",
    "engine",
    "layer",
    "sink",
    "line",
    "log",
    "traceback",
    "options",
    "plan_hash",
    "versions",
    "retry_of",
    "rollback_of",
    "schedule",
)
_NUMBERS = ("attempt", "records", "transformations", "run_number", "workers")
PLANNED = "planned"
"""The event of the line that names the rows of a run."""
PLANNED_FACTS = ("plant", "asset", "function", "module", "layer", "engine", "config_hash")
"""The facts of each row, next to its id, that the journal stores before any row starts.

A program that watches the run forecasts its end from the expected seconds, the upstream rows, workers and schedule.
"""
_LARGEST = 1e300
_decoder = msgspec.json.Decoder()


def planned_line(plan: RunPlan) -> Row:
    """Return the journal line that names all rows of *plan*, because some rows may never start."""
    names = ("transformation_id", *PLANNED_FACTS)
    rows = [
        {
            **{name: getattr(facts, name) for name in names},
            "expected_seconds": row.expected_seconds,
            "upstream": row.upstream,
        }
        for row in plan.rows.values()
        for facts in [row.facts(0)]
    ]
    return {"event": PLANNED, "rows": rows, "workers": plan.workers, "schedule": plan.schedule}


def planned_rows(lines: Iterable[Row]) -> dict[str, Row]:
    """Return the rows of `planned_line` in the *lines* of a journal, by id; {} without that line."""
    rows: list[Row] = next((x.get("rows") or [] for x in lines if x.get("event") == PLANNED), [])
    return {row["transformation_id"]: row for row in rows}


def read_line(raw: bytes | str) -> Row | None:
    """Decode a line of a journal. Return None if the line is unreadable.

    A value of the wrong type becomes None. A line with a damaged event, transformation or record is
    unreadable, because it could be mistaken for a different line.
    """
    try:
        line = _decoder.decode(raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if not isinstance(line, dict) or not isinstance(line.get("event"), str):
        return None
    if not isinstance(line.get("transformation_id"), (str, type(None))):
        return None
    for name in _TEXTS:
        if not isinstance(line.get(name), (str, type(None))):
            line[name] = None
    for name in _NUMBERS:
        if name in line:
            line[name] = _number(line[name])
    line["timestamp"] = readable_time(line.get("timestamp"))
    line["layers"] = _texts_in(line.get("layers"))
    return line if _with_records(line) else None


def _with_records(line: Row) -> bool:
    """Decode the records in *line*, in place. Return False if one of them is damaged."""
    if line.get("record"):
        record = fitting(line["record"], RECORD_COLUMNS)
        if not (record.get("transformation_id") and record.get("status")):
            return False
        if record["attempt"] is None:
            record["attempt"] = 1
        line["record"] = record
    if line.get("run_record"):
        line["run_record"] = fitting(line["run_record"], RUN_COLUMNS)
        if not (line["run_record"]["run_id"] and line["run_record"]["status"]):
            return False
    if "rows" in line:
        rows = line["rows"] if isinstance(line["rows"], list) else []
        line["rows"] = [planned for row in rows if (planned := _planned(row))]
    return True


def _planned(row: Any) -> Row | None:
    if not isinstance(row, dict) or not isinstance(row.get("transformation_id"), str):
        return None
    seconds = _fitting("double", row.get("expected_seconds"))
    return {
        "transformation_id": row["transformation_id"],
        **{name: _fitting("string", row.get(name)) for name in PLANNED_FACTS},
        "expected_seconds": seconds if seconds is not None and seconds >= 0 else None,
        "upstream": _texts_in(row.get("upstream")),
    }


def _texts_in(value: Any) -> list[str]:
    return [x for x in value if isinstance(x, str)] if isinstance(value, list) else []


def _number(value: Any) -> int | None:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and 0 <= value < 2**63 else None


def readable_time(value: Any) -> str | None:
    """Return *value* if it is the text of a time with a zone, else None."""
    try:
        time = as_time(value) if isinstance(value, str) else None
        return value if time is not None and time.utcoffset() is not None else None
    except (ValueError, OverflowError):
        return None


def fitting(record: Any, columns: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Return the *columns* of a *record* from JSON. A value of the wrong type becomes None."""
    found = record if isinstance(record, dict) else {}
    return {name: _fitting(kind, found.get(name)) for name, kind in columns}


def _fitting(kind: str, value: Any) -> Any:
    if kind == "string":
        return value if isinstance(value, str) else None
    if kind == "timestamp":
        return _time(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if kind == "int":
        return value if isinstance(value, int) and abs(value) < 2**63 else None
    return float(value) if abs(value) < _LARGEST else None


def _time(value: Any) -> dt.datetime | None:
    try:
        time = as_time(value) if isinstance(value, str) else None
        if time is None:
            return None
        zoned = time if time.tzinfo is not None else time.replace(tzinfo=dt.timezone.utc)
        return zoned.astimezone(dt.timezone.utc)
    except (ValueError, OverflowError):
        return None
