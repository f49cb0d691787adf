"""Facts of one attempt: the single source of its event payloads, run log record and result."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

from odibi_nb.core.model.check_result import CheckResult
from odibi_nb.core.model.events import EventType, Status
from odibi_nb.core.model.failure_place import FailurePlace
from odibi_nb.core.model.provenance import InputRead, OutputWritten
from odibi_nb.core.model.results import TransformationResult


class AttemptFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Facts of one attempt of one row, while it runs or after its end.

    Attributes:
        transformation_id: the row's id.
        layer: the row's layer, as the manifest spells it.
        module: the module that the row names.
        function: the function that the row names.
        engine: ``pandas`` or ``spark``.
        plant: the row's ``entity_1``.
        asset: the row's ``entity_2``.
        config_hash: 16 hex digits that change with the row's configuration. Only in the run log.
        attempt: number of the attempt, from 1; 0 for a row that was never started.
        input_tables: keys of the tables that the row reads.
        output_tables: names of the tables that the row writes.
        status: RUNNING until the attempt ends. While it is RUNNING, its payload has neither status nor
            times.
        started: False for a row that was not started, or not restarted for a retry.
        start_time: start of the attempt (UTC).
        end_time: end of the attempt (UTC).
        duration_seconds: duration of the attempt, measured by the monotonic clock.
        rows_in: number of rows read, if the engine counts them.
        rows_out: number of rows written, if the engine counts them.
        checks: results of the data checks.
        inputs_read: the tables, files, queries and databases that the attempt read.
        outputs_written: the tables that the attempt wrote.
        code_hash: hash of the function and of all project code that it can reach; None if unknown. Only
            in the run log.
        error_type: name of the exception's class.
        error_message: the exception's message without secrets.
        reason: why the row was cancelled, skipped or not started; "" otherwise. Payload and record
            show it as their ``error_message``.
        why: why a ``--stale`` run has the row, or why the row ended `UNCHANGED`; "" in other runs. Not in
            the run log.
        failed_at: the line of the user's code at which the attempt failed. Not in the run log.
    """

    transformation_id: str
    layer: str
    module: str
    function: str
    engine: str
    plant: str | None
    asset: str | None
    config_hash: str
    attempt: int
    input_tables: tuple[str, ...] = ()
    output_tables: tuple[str, ...] = ()
    status: Status = Status.RUNNING
    started: bool = True
    start_time: dt.datetime | None = None
    end_time: dt.datetime | None = None
    duration_seconds: float | None = None
    rows_in: int | None = None
    rows_out: int | None = None
    checks: tuple[CheckResult, ...] = ()
    inputs_read: tuple[InputRead, ...] = ()
    outputs_written: tuple[OutputWritten, ...] = ()
    code_hash: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    reason: str = ""
    why: str = ""
    failed_at: FailurePlace | None = None

    def payload(self, event: EventType) -> dict[str, Any]:
        """Return the attempt's part of *event*'s payload, as the plain dict of the seed."""
        payload: dict[str, Any] = {
            "layer": self.layer,
            "engine": self.engine,
            "transformation_id": self.transformation_id,
            "module": self.module,
            "function": self.function,
            "plant": self.plant,
            "asset": self.asset,
            "attempt": self.attempt,
            "input_tables": [*self.input_tables],
            "output_tables": [*self.output_tables],
            "error_type": self.error_type,
            "error_message": self.reason or self.error_message,
            "rows_in": self.rows_in,
            "rows_out": self.rows_out,
            "checks": [check.payload() for check in self.checks],
            "inputs_read": msgspec.to_builtins(self.inputs_read),
            "outputs_written": msgspec.to_builtins(self.outputs_written),
            "why": self.why,
        }
        if self.status is not Status.RUNNING:
            payload["status"] = self.status.value
            payload["start_time"] = self.start_time
            payload["end_time"] = self.end_time
            payload["duration_seconds"] = self.duration_seconds
        if not self.started:
            payload["reason"] = self.reason
        if event in {EventType.TRANSFORM_FAILURE, EventType.TRANSFORM_RETRY}:
            payload["failed_at"] = msgspec.to_builtins(self.failed_at)
        if event is EventType.TRANSFORM_FAILURE:
            payload["error"] = payload["error_message"]  # the original framework's key
        return payload

    def result(
        self,
        *,
        attempts: int,
        start_time: dt.datetime | None,
        duration_seconds: float | None,
        error: BaseException | None = None,
        traceback: str = "",
        log: str = "",
    ) -> TransformationResult:
        """Return the result of the row. This attempt must be its last one.

        Args:
            attempts: number of started attempts.
            start_time: start of the first attempt.
            duration_seconds: time since the start of the first attempt.
            error: the exception of this attempt.
            traceback: the exception's traceback as text.
            log: the text that this attempt printed and logged.
        """
        failure = f"{self.error_type}: {self.error_message}" if self.error_type else ""
        return TransformationResult(
            transformation_id=self.transformation_id,
            layer=self.layer,
            module=self.module,
            function=self.function,
            engine=self.engine,
            plant=self.plant,
            asset=self.asset,
            status=self.status,
            attempts=attempts,
            start_time=start_time,
            end_time=self.end_time,
            duration_seconds=duration_seconds,
            rows_in=self.rows_in,
            rows_out=self.rows_out,
            reason=self.reason or failure,
            error_type=self.error_type,
            error_message=self.error_message,
            error=error,
            traceback=traceback,
            log=log,
            checks=self.checks,
            inputs_read=self.inputs_read,
            outputs_written=self.outputs_written,
            why=self.why,
            failed_at=self.failed_at,
        )
