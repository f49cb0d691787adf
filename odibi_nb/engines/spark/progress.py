"""Progress of an attempt's Spark jobs, from Spark's own task counts, without a callback per task."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.events import Progress

if TYPE_CHECKING:
    from collections.abc import Iterable


class GroupProgress:
    """The tasks of a job group on classic Spark.

    Args:
        context: the SparkContext.
        group: the job group.
    """

    def __init__(self, context: Any, group: str) -> None:
        self._context = context
        self._group = group
        self._ended: dict[int, int] = {}

    def __call__(self) -> Progress | None:
        """Return finished and total tasks of all jobs so far; None before the first job."""
        tracker = self._context.statusTracker()
        done = total = 0
        for job in tracker.getJobIdsForGroup(self._group):
            if job not in self._ended:
                info = tracker.getJobInfo(job)
                if info is None:
                    continue
                stages = [s for s in map(tracker.getStageInfo, info.stageIds) if s is not None]
                tasks = sum(stage.numTasks for stage in stages)
                if info.status == "RUNNING":
                    done += sum(min(stage.numCompletedTasks, stage.numTasks) for stage in stages)
                    total += tasks
                    continue
                self._ended[job] = tasks  # saves later requests for this job
            done += self._ended[job]
            total += self._ended[job]
        return Progress(done, total) if total else None


class OperationProgress:
    """The tasks of the operations that one thread starts on a Connect session.

    The server reports them about every two seconds, on the thread that waits for the operation.
    """

    def __init__(self, spark: Any) -> None:
        self._spark = spark
        self._thread = threading.get_ident()
        self._counts: dict[str | None, tuple[int, int]] = {}

    def begin(self) -> None:
        """Listen to the operations that this thread starts from now on; needs a client of 4.0 or later."""
        register = getattr(self._spark, "registerProgressHandler", None)
        if register is not None:
            self._thread = threading.get_ident()
            register(self._note)

    def end(self) -> None:
        """Stop listening."""
        with contextlib.suppress(Exception):  # the handler may not be registered
            self._spark.removeProgressHandler(self._note)

    def __call__(self) -> Progress | None:
        """Return finished and total tasks of all operations so far; None before the first report."""
        counts = [*self._counts.values()]
        total = sum(tasks for _, tasks in counts)
        return Progress(sum(done for done, _ in counts), total) if total else None

    def _note(
        self,
        stages: Iterable[Any] | None,
        inflight_tasks: int,
        operation_id: str | None,
        done: bool,
    ) -> None:
        del inflight_tasks
        if threading.get_ident() != self._thread:
            return
        known = [*(stages or ())]
        total = sum(stage.num_tasks for stage in known)
        ended = total if done else sum(stage.num_completed_tasks for stage in known)
        if total:
            self._counts[operation_id] = (min(ended, total), total)
