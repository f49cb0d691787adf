"""What can happen in a run, and how it can end."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class EventType(str, Enum):
    """The events of a run, in the seed's names and ours. Journal, hooks and views get each of them.

    ``modules_reloaded``      *modules*: names of the modules that were imported again for the run because
                              their files had changed. Published after ``run_start``, if there are any.
    ``run_cancel_requested``  *level*: 1, the run starts nothing new; 2, it also revokes the running rows; 3,
                              it waits for nothing. *running*: how many rows run. *reason*: why.
                              Published for each request to end the whole run.
    """

    RUN_START = "run_start"
    RUN_END = "run_end"
    RUN_CANCEL_REQUESTED = "run_cancel_requested"
    MODULES_RELOADED = "modules_reloaded"
    BRONZE_START = "bronze_start"
    BRONZE_END = "bronze_end"
    LAYER_START = "layer_start"
    LAYER_END = "layer_end"
    CONFIGS_LOADED = "configs_loaded"
    TRANSFORM_START = "transform_start"
    TRANSFORM_RETRY = "transform_retry"
    TRANSFORM_SUCCESS = "transform_success"
    TRANSFORM_FAILURE = "transform_failure"
    TRANSFORM_SKIPPED = "transform_skipped"
    TRANSFORM_CANCELLED = "transform_cancelled"
    LOG_FLUSHED = "log_flushed"


class Status(str, Enum):
    """How a transformation stands. `RUNNING` only in flight; the others are final."""

    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CANCELLED = "CANCELLED"
    ABANDONED = "ABANDONED"


class RunStatus(str, Enum):
    """How a run ended."""

    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED: dict[EventType, Status] = {
    EventType.TRANSFORM_RETRY: Status.FAILED,
    EventType.TRANSFORM_SUCCESS: Status.SUCCESS,
    EventType.TRANSFORM_FAILURE: Status.FAILED,
    EventType.TRANSFORM_SKIPPED: Status.SKIPPED,
    EventType.TRANSFORM_CANCELLED: Status.CANCELLED,
}
"""Events that end an attempt, and the status each leaves in the run log."""

FINAL = frozenset(ENDED) - {EventType.TRANSFORM_RETRY}
"""Events that end a transformation."""


class Progress(NamedTuple):
    """How far an attempt's work is, as its engine counts it: *done* of *total* tasks, as far as known."""

    done: int
    total: int

    @property
    def share(self) -> float:
        """The part that is done, from 0 to 1."""
        return min(1.0, self.done / self.total) if self.total > 0 else 0.0

    def __str__(self) -> str:
        return f"{int(100 * self.share)} %"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """One thing that happened in a run.

    Attributes:
        type: what happened.
        payload: the facts, as hooks get them: JSON-like, with `event`, `run_id`, `project`, `env`,
            `layer`, `engine` and `timestamp` always there.
        progress: how far the attempt is that has started, asked while it runs, from any thread; None
            where nobody knows.
    """

    type: EventType
    payload: dict[str, Any]
    progress: Callable[[], Progress | None] | None = None
