"""Events and statuses of a run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable


class EventType(str, Enum):
    """Events of a run, under the seed's names and ours. Journal, hooks and views get all of them.

    ``modules_reloaded``      *modules*: names of the modules that the run imported again because their
                              files had changed. Published after ``run_start``, if *modules* is not empty.
    ``transform_unchanged``   A row of a ``--stale`` run did not run, because its upstream rows wrote no new
                              data for it.
    ``run_cancel_requested``  *level*: at 1 the run starts no more rows, at 2 it also revokes the running
                              rows, at 3 it waits for nothing. *running*: number of running rows.
                              *reason*: the reason of the request. Published for each request to end the
                              whole run.
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
    TRANSFORM_UNCHANGED = "transform_unchanged"
    LOG_FLUSHED = "log_flushed"


class Status(str, Enum):
    """Status of a transformation. `RUNNING` is temporary, and the others are final.

    A row ends as `UNCHANGED` if a ``--stale`` run finds at its turn that it need not run.
    """

    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    SKIPPED = "SKIPPED"
    CANCELLED = "CANCELLED"
    ABANDONED = "ABANDONED"
    UNCHANGED = "UNCHANGED"


DONE = frozenset({Status.SUCCESS, Status.UNCHANGED})
"""Statuses of a row whose outputs are as they should be, so that its dependants may run."""


class RunStatus(str, Enum):
    """Status of a finished run."""

    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDED: dict[EventType, Status] = {
    EventType.TRANSFORM_RETRY: Status.FAILED,
    EventType.TRANSFORM_SUCCESS: Status.SUCCESS,
    EventType.TRANSFORM_FAILURE: Status.FAILED,
    EventType.TRANSFORM_SKIPPED: Status.SKIPPED,
    EventType.TRANSFORM_CANCELLED: Status.CANCELLED,
    EventType.TRANSFORM_UNCHANGED: Status.UNCHANGED,
}
"""Events that end an attempt, each with the attempt's status in the run log."""


class Progress(NamedTuple):
    """Progress of an attempt: *done* of the *total* tasks that its engine knows so far."""

    done: int
    total: int

    @property
    def share(self) -> float:
        """Fraction of the tasks that are done, from 0 to 1."""
        return min(1.0, self.done / self.total) if self.total > 0 else 0.0

    def __str__(self) -> str:
        return f"{int(100 * self.share)} %"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvent:
    """One event of a run.

    Attributes:
        type: type of the event.
        payload: facts of the event, as hooks get them. They are JSON-like, and always include `event`,
            `run_id`, `project`, `env`, `layer`, `engine` and `timestamp`.
        progress: function that returns the progress of the started attempt. Any thread may call it
            while the attempt runs. None if the progress is unknown.
    """

    type: EventType
    payload: dict[str, Any]
    progress: Callable[[], Progress | None] | None = None
