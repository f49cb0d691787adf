"""Results of a run and of each of its transformations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.events import RunStatus, Status
from odibi_nb.core.model.log_columns import RECORD_COLUMNS
from odibi_nb.core.model.rich_display import RichDisplay
from odibi_nb.errors import RunFailedError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence

    from odibi_nb.core.model.check_result import CheckResult
    from odibi_nb.core.model.failure_place import FailurePlace
    from odibi_nb.core.model.provenance import InputRead, OutputWritten

MAPPING_KEYS = (
    "run_id",
    "status",
    "project",
    "env",
    "layers_executed",
    "duration_seconds",
    "transformations",
    "warnings",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformationResult:
    """Result of one transformation.

    Attributes:
        attempts: number of started attempts.
        start_time: start of the first attempt (UTC).
        duration_seconds: time from the start of the first attempt to the end, waits included.
        reason: why the transformation did not succeed, in one line; "" after success.
        error: the exception of the last attempt. For the newest failures of a run (see
            `odibi_nb.core.running.kept_failures.KEPT`), the result keeps its traceback, which holds
            the variables of the stack frames.
        traceback: text of the exception's traceback, from the user's code on.
        log: the text that the last attempt printed and logged.
        checks: results of the last attempt's data checks.
        inputs_read: inputs of the last attempt, with the versions of the tables.
        outputs_written: the tables that the last attempt wrote, with their versions.
        why: why a ``--stale`` run had the transformation, or why it ended UNCHANGED; "" in other runs.
        failed_at: the line of the user's code at which it failed; None without one.
        unusual: in a past run, a line for each value that differs much from earlier runs.
    """

    transformation_id: str
    layer: str
    module: str
    function: str
    engine: str
    plant: str | None
    asset: str | None
    status: Status
    attempts: int = 0
    start_time: dt.datetime | None = None
    end_time: dt.datetime | None = None
    duration_seconds: float | None = None
    rows_in: int | None = None
    rows_out: int | None = None
    reason: str = ""
    error_type: str | None = None
    error_message: str | None = None
    error: BaseException | None = field(default=None, repr=False, compare=False)
    traceback: str = field(default="", repr=False)
    log: str = field(default="", repr=False)
    checks: tuple[CheckResult, ...] = ()
    inputs_read: tuple[InputRead, ...] = ()
    outputs_written: tuple[OutputWritten, ...] = ()
    why: str = ""
    failed_at: FailurePlace | None = None
    unusual: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RunResult(RichDisplay, Mapping[str, Any]):
    """Result of a run; also a read-only mapping with the keys `MAPPING_KEYS`, as in the seed.

    Attributes:
        status: ``success``, ``failed`` or ``cancelled``.
        layers_executed: layers in which at least one transformation started, in order.
        transformations: transformation id to its result, in the run's order.
        warnings: problems outside the transformations, such as failures of listeners, sinks or views.
        records: the run log's records of this run, one for each finished attempt.
        retry_of: id of the run that this run retries; None if it is not a retry.
        rollback_of: id of the run that this run rolls back; None if it is not a rollback.
        rolled_back: tables that this atomic run took back because it did not succeed.
        not_rolled_back: tables that it could not take back.
        log_path: path of the captured logs, if the run saved them (``save_logs``).
    """

    run_id: str
    status: RunStatus
    project: str
    env: str
    engine: str
    layers_executed: list[str]
    start_time: dt.datetime
    end_time: dt.datetime
    duration_seconds: float
    transformations: dict[str, TransformationResult]
    warnings: list[str]
    records: list[dict[str, Any]] = field(default_factory=list, repr=False)
    retry_of: str | None = None
    rollback_of: str | None = None
    rolled_back: tuple[str, ...] = ()
    not_rolled_back: tuple[str, ...] = ()
    log_path: str | None = None
    leaked_threads: int = 0
    to_frame_with: Callable[[Sequence[str], Sequence[dict[str, Any]]], Any] | None = field(
        default=None, repr=False
    )

    def __getitem__(self, key: str) -> Any:
        if key not in MAPPING_KEYS:
            raise KeyError(key)
        value = getattr(self, key)
        return value.value if isinstance(value, RunStatus) else value

    def __iter__(self) -> Iterator[str]:
        return iter(MAPPING_KEYS)

    def __len__(self) -> int:
        return len(MAPPING_KEYS)

    def counts(self) -> dict[str, int]:
        """Return the number of transformations for each status, in order of `Status`, without zeros."""
        found = Counter(t.status for t in self.transformations.values())
        return {status.value: found[status] for status in Status if found[status]}

    def failures(self) -> list[TransformationResult]:
        """Return the transformations that failed or were abandoned."""
        return [
            t
            for t in self.transformations.values()
            if t.status in (Status.FAILED, Status.ABANDONED)
        ]

    def summary(self) -> str:
        """Return one line about the run, and one more line for each failed transformation."""
        counts = ", ".join(f"{n} {status.lower()}" for status, n in self.counts().items())
        if not self.run_id:
            return "\n".join(self.warnings)
        lines = [
            f"run {self.run_id} of {self.project!r} env {self.env} {self.status.value}: {counts}"
        ]
        lines += [
            f"  {t.transformation_id} ({t.module}.{t.function}): {t.reason}"
            for t in self.failures()
        ]
        return "\n".join(lines)

    def raise_for_status(self) -> RunResult:
        """Return the result itself.

        Raises:
            RunFailedError: if the run did not succeed.
        """
        if self.status is not RunStatus.SUCCESS:
            raise RunFailedError(self)
        return self

    def to_frame(self, *, attempts: bool = False) -> Any:
        """Return a pandas DataFrame with the columns of the run log, the seed's ten first.

        It has one row for each transformation, in the run's order. If *attempts* is True, it has one
        row for each finished attempt.
        """
        if self.to_frame_with is None:
            raise TypeError("this result has no DataFrame library: read its records")
        records = self.records
        if not attempts:
            last = {record["transformation_id"]: record for record in records}
            records = [last[name] for name in self.transformations if name in last]
        columns = list(records[0]) if records else [name for name, _ in RECORD_COLUMNS]
        return self.to_frame_with(columns, records)

    def __repr__(self) -> str:
        return f"<RunResult: {self.summary()}>"
