"""Run an attempt on a Spark session with its own pool and tag, and cancel its jobs if it is revoked.

Settings of the thread link a Spark job to its attempt: a pool and a job group on classic Spark, and
tags on classic Spark and Spark Connect. They are set on a worker's thread when an attempt begins, and
removed when it ends, because the next attempt on that thread belongs to another row.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from odibi_nb.core.running.stopping import stop_until
from odibi_nb.engines.spark.progress import GroupProgress, OperationProgress
from odibi_nb.errors import EngineError, RevokedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from odibi_nb.core.model.attempt_control import AttemptControl
    from odibi_nb.core.protocols import WriteInfo

CANCEL_SECONDS = 5.0
_LOCAL = ("spark.scheduler.pool", "spark.jobGroup.id", "spark.job.description", "spark.job.tags")


class ClassicJobs:
    """Jobs on a SparkContext: a FAIR pool for each transformation, a group and a tag per attempt."""

    def __init__(self, spark: Any, info: WriteInfo) -> None:
        self._context = spark.sparkContext
        self._pool = f"odibi {info.transformation_id}"
        self._tag = _tag(info)
        self.progress = GroupProgress(self._context, self._tag)

    def begin(self) -> None:
        """Set pool, group and tag on this thread."""
        context = self._context
        context.setLocalProperty(_LOCAL[0], self._pool)
        context.setJobGroup(self._tag, self._pool, interruptOnCancel=False)
        # Jobs of a broadcast have their own group, but inherit the tag.
        context.addJobTag(self._tag)

    def cancel(self) -> None:
        """Cancel the group, and the jobs with the tag."""
        self._context.cancelJobGroup(self._tag)
        self._context.cancelJobsWithTag(self._tag)

    def end(self) -> None:
        """Remove pool, group and tag from this thread."""
        for name in _LOCAL:
            self._context.setLocalProperty(name, None)


class ConnectJobs:
    """Operations on a Connect session, identified by a tag."""

    def __init__(self, spark: Any, info: WriteInfo) -> None:
        self._spark = spark
        self._tag = _tag(info)
        self.progress = OperationProgress(spark)

    def begin(self) -> None:
        """Set the tag on this thread."""
        self._spark.addTag(self._tag)
        self.progress.begin()

    def cancel(self) -> None:
        """Interrupt the operations with the tag."""
        self._spark.interruptTag(self._tag)

    def end(self) -> None:
        """Remove the tag from this thread."""
        self.progress.end()
        self._spark.removeTag(self._tag)


def _tag(info: WriteInfo) -> str:
    """Return the attempt's tag, without commas, which Spark does not allow."""
    return f"odibi {info.run_id} {info.transformation_id} {info.attempt}".replace(",", "_")


def _is_interrupt(error: BaseException | None) -> bool:
    """Return True if *error* is an interrupt, or pyspark raised it while it handled an interrupt."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False


def _cancel_beside(jobs: ClassicJobs | ConnectJobs) -> None:
    """Cancel *jobs* on another thread: this thread's connection to the JVM still waits for a response."""

    def cancel() -> None:
        with contextlib.suppress(Exception):  # the session may have ended, with its jobs
            jobs.cancel()

    one = threading.Thread(target=cancel, name="odibi-spark-cancel", daemon=True)
    one.start()
    one.join(CANCEL_SECONDS)


@contextlib.contextmanager
def attempt_scope(
    jobs: ClassicJobs | ConnectJobs,
    control: AttemptControl,
    why_lost: Callable[[BaseException], str | None],
) -> Iterator[None]:
    """Assign the jobs that the block starts to an attempt, and cancel them if it is revoked.

    Args:
        jobs: the attempt's jobs.
        control: the attempt's control, which reports a revocation.
        why_lost: returns a message if the session has ended and caused the error; else None.

    Raises:
        RevokedError: replaces Spark's error if the attempt was revoked.
        EngineError: replaces Spark's error if the session has ended.
    """
    ended = threading.Event()

    def revoked() -> None:
        # Cancel repeatedly: the function may go on after a cancelled job and start another.
        arguments = (jobs.cancel, ended)
        threading.Thread(
            target=stop_until, args=arguments, name="odibi-spark-cancel", daemon=True
        ).start()

    try:
        jobs.begin()
        control.on_revoke(revoked)
        control.measure_progress(jobs.progress)
        yield
    except KeyboardInterrupt:  # a rehearsal runs on the main thread
        _cancel_beside(jobs)
        raise
    except Exception as exc:
        if _is_interrupt(exc):
            _cancel_beside(jobs)
            raise KeyboardInterrupt from exc
        if control.reason is not None and not isinstance(exc, RevokedError):
            raise RevokedError(control.reason) from exc
        lost = why_lost(exc)
        if lost is not None:
            raise EngineError(lost) from exc
        raise
    finally:
        ended.set()
        control.measure_progress(None)
        with contextlib.suppress(Exception):  # if the session has ended, nothing is left to remove
            jobs.end()
