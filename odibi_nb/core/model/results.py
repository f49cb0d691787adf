"""How a run and each of its transformations ended."""

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
    """How one transformation ended.

    Attributes:
        attempts: how often it was started; 0 if never.
        start_time: UTC, of the first attempt.
        duration_seconds: from the first attempt's start to the end, waits included.
        reason: why it did not succeed, in one line; "" if it did.
        error: the exception of the last attempt. Its traceback, and with it the variables of the frames,
            is alive for the newest failures of a run (see `failures.KEPT`) until the result is let go.
        traceback: its text, from the user's code on.
        log: what the last attempt printed and logged.
        checks: how the data checks of its last attempt ended.
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


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class RunResult(RichDisplay, Mapping[str, Any]):
    """How a run ended; also a read-only mapping of `MAPPING_KEYS`, as in the seed.

    Attributes:
        status: ``success``, ``failed`` or ``cancelled``.
        layers_executed: layers of which at least one transformation started, in order.
        transformations: by id, in the run's order.
        warnings: what went wrong beside the transformations: listeners, sinks, views.
        records: the run log's records of this run, one per ended attempt.
        retry_of: the run that this one goes on from, if it is a retry.
        log_path: where the captured logs were saved, with ``save_logs``.
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
        """How many transformations ended in which status, in order of `Status`; no zeros."""
        found = Counter(t.status for t in self.transformations.values())
        return {status.value: found[status] for status in Status if found[status]}

    def failures(self) -> list[TransformationResult]:
        """The transformations that failed or were abandoned."""
        return [
            t
            for t in self.transformations.values()
            if t.status in (Status.FAILED, Status.ABANDONED)
        ]

    def summary(self) -> str:
        """One line, and one more per failed transformation."""
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
        """A pandas DataFrame: the run log's columns, the seed's ten first.

        One row per transformation, in the run's order; with *attempts*, one per ended attempt.
        """
        if self.to_frame_with is None:
            raise TypeError("this result was made without a DataFrame library")
        records = self.records
        if not attempts:
            last = {record["transformation_id"]: record for record in records}
            records = [last[name] for name in self.transformations if name in last]
        columns = list(records[0]) if records else [name for name, _ in RECORD_COLUMNS]
        return self.to_frame_with(columns, records)

    def __repr__(self) -> str:
        return f"<RunResult: {self.summary()}>"
