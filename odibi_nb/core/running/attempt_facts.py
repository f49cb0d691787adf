"""What is told of a row: the facts of its events, and its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.results import TransformationResult
from odibi_nb.core.text.object_text import safe_str
from odibi_nb.core.text.redaction import error_message, plain_text, redact_text
from odibi_nb.core.text.spark_errors import is_spark_error, short_spark_error
from odibi_nb.core.text.terminal_text import readable

if TYPE_CHECKING:
    import datetime as dt

    from odibi_nb.core.model.events import Status
    from odibi_nb.core.planning.plan import PlannedRow
    from odibi_nb.core.running.worker import AttemptEnded


def row_facts(row: PlannedRow, attempt: int) -> dict[str, Any]:
    """What every transform event says of its row."""
    transformation = row.transformation
    return {
        "layer": transformation.layer,
        "engine": row.engine,
        "transformation_id": transformation.transformation_id,
        "module": transformation.module,
        "function": transformation.function,
        "plant": transformation.entity_1,
        "asset": transformation.entity_2,
        "attempt": attempt,
        "input_tables": list(row.reads),
        "output_tables": [output.table for output in transformation.targets],
        "error_type": None,
        "error_message": None,
        "rows_in": None,
        "rows_out": None,
        "checks": [],
    }


def ended_facts(ended: AttemptEnded, status: Status, reason: str | None = None) -> dict[str, Any]:
    """What an event says of an attempt that ended."""
    attempt, error = ended.attempt, ended.error
    return {
        **row_facts(attempt.row, attempt.number),
        "status": status.value,
        "start_time": attempt.start_time,
        "end_time": ended.end_time,
        "duration_seconds": ended.duration_seconds,
        "rows_in": attempt.context.rows_in,
        "rows_out": attempt.context.rows_out,
        "checks": [result.payload() for result in attempt.context.check_results],
        "error_type": type(error).__name__ if error is not None else None,
        "error_message": reason or (_said(error) if error is not None else None),
    }


def _said(error: BaseException) -> str:
    """What an error says; of one of Spark's, what is wrong and what it suggests."""
    if not is_spark_error(error):
        return error_message(error)
    try:
        # Of all of it: what matters can stand below pages of the JVM's frames.
        text = redact_text(readable(plain_text(str(short_spark_error(safe_str(error))))))
    except Exception:  # noqa: BLE001  it asks the JVM for its text, which may be gone
        text = ""
    return text or error_message(error)


def unstarted_facts(
    row: PlannedRow, attempt: int, status: Status, now: dt.datetime, reason: str
) -> dict[str, Any]:
    """What an event says of a row that was not started (again)."""
    return {
        **row_facts(row, attempt),
        "status": status.value,
        "start_time": now,
        "end_time": now,
        "duration_seconds": 0.0,
        "error_message": reason,
        "reason": reason,
    }


def ended_result(
    ended: AttemptEnded,
    status: Status,
    first_start: tuple[dt.datetime, float],
    reason: str | None = None,
) -> TransformationResult:
    """The result of a row whose last attempt ended; *first_start* is (time, monotonic clock)."""
    attempt, error = ended.attempt, ended.error
    message = _said(error) if error is not None else None
    error_type = type(error).__name__ if error is not None else None
    return row_result(
        attempt.row,
        status,
        attempts=attempt.number,
        start_time=first_start[0],
        end_time=ended.end_time,
        duration_seconds=attempt.started + ended.duration_seconds - first_start[1],
        rows_in=attempt.context.rows_in,
        rows_out=attempt.context.rows_out,
        reason=reason or (f"{error_type}: {message}" if error_type else ""),
        error_type=error_type,
        error_message=message,
        error=error,
        traceback=ended.traceback,
        log=attempt.log.text(),
        checks=tuple(attempt.context.check_results),
    )


def row_result(row: PlannedRow, status: Status, **facts: Any) -> TransformationResult:
    """A result of *row* with *facts* of `TransformationResult`."""
    transformation = row.transformation
    return TransformationResult(
        transformation_id=transformation.transformation_id,
        layer=transformation.layer,
        module=transformation.module,
        function=transformation.function,
        engine=row.engine,
        plant=transformation.entity_1,
        asset=transformation.entity_2,
        status=status,
        **facts,
    )
