"""One attempt on a Spark session: its own pool, its own tag, and an end when it is cancelled.

A Spark job belongs to whoever started it by what is set on the thread: a pool and a job group on
classic Spark, tags there and on Spark Connect. They are set when an attempt begins on a worker's
thread and taken away when it ends, because the next attempt on that thread is another one's.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, Protocol

from odibi_nb.core.running.stopping import stop_until
from odibi_nb.engines.spark.progress import GroupProgress, OperationProgress
from odibi_nb.errors import EngineError, RevokedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from odibi_nb.core.model.attempt_control import AttemptControl
    from odibi_nb.core.model.events import Progress
    from odibi_nb.core.protocols import WriteInfo

CANCEL_SECONDS = 5.0
_LOCAL = ("spark.scheduler.pool", "spark.jobGroup.id", "spark.job.description", "spark.job.tags")


class Jobs(Protocol):
    """The jobs of one attempt."""

    def begin(self) -> None:
        """Whatever this thread starts from now on belongs to them."""

    def progress(self) -> Progress | None:
        """How far they are, where Spark tells; from any thread."""

    def cancel(self) -> None:
        """End those that run."""

    def end(self) -> None:
        """This thread starts no more of them."""


class ClassicJobs:
    """Jobs on a SparkContext: a FAIR pool for each transformation, a group and a tag per attempt."""

    def __init__(self, spark: Any, info: WriteInfo) -> None:
        self._context = spark.sparkContext
        self._pool = f"odibi {info.transformation_id}"
        self._tag = _tag(info)
        self.progress = GroupProgress(self._context, self._tag)

    def begin(self) -> None:
        """Name pool, group and tag on this thread."""
        context = self._context
        context.setLocalProperty(_LOCAL[0], self._pool)
        context.setJobGroup(self._tag, self._pool, interruptOnCancel=False)
        # Jobs of a broadcast have a group of their own, but keep the tag.
        context.addJobTag(self._tag)

    def cancel(self) -> None:
        """Cancel the group, and the jobs with the tag."""
        self._context.cancelJobGroup(self._tag)
        self._context.cancelJobsWithTag(self._tag)

    def end(self) -> None:
        """Take everything from this thread."""
        for name in _LOCAL:
            self._context.setLocalProperty(name, None)


class ConnectJobs:
    """Operations on a Connect session, by tag."""

    def __init__(self, spark: Any, info: WriteInfo) -> None:
        self._spark = spark
        self._tag = _tag(info)
        self.progress = OperationProgress(spark)

    def begin(self) -> None:
        """Set the tag on this thread."""
        self._spark.addTag(self._tag)
        self.progress.begin()

    def cancel(self) -> None:
        """Interrupt what has the tag."""
        self._spark.interruptTag(self._tag)

    def end(self) -> None:
        """Take the tag from this thread."""
        self.progress.end()
        self._spark.removeTag(self._tag)


def _tag(info: WriteInfo) -> str:
    """The attempt's name; Spark allows no commas in it."""
    return f"odibi {info.run_id} {info.transformation_id} {info.attempt}".replace(",", "_")


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether *error* is an interrupt, or what pyspark made of one while it tidied up."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__context__
    return False


def _cancel_beside(jobs: Jobs) -> None:
    """Cancel *jobs* on another thread: this one's connection to the JVM waits for an answer still."""
    one = threading.Thread(target=_cancelled, args=(jobs,), name="odibi-spark-cancel", daemon=True)
    one.start()
    one.join(CANCEL_SECONDS)


def _cancelled(jobs: Jobs) -> None:
    with contextlib.suppress(Exception):  # the session may be gone, and its jobs with it
        jobs.cancel()


@contextlib.contextmanager
def attempt_scope(
    jobs: Jobs, control: AttemptControl, why_lost: Callable[[BaseException], str | None]
) -> Iterator[None]:
    """An attempt's part of its thread: inside, its jobs are *jobs*, and end when it is revoked.

    Args:
        jobs: of the attempt.
        control: tells when it is revoked.
        why_lost: what to tell if an error came because the session is gone; else None.

    Raises:
        RevokedError: instead of what Spark raises where its jobs were cancelled.
        EngineError: instead of what Spark raises where the session is gone.
    """
    ended = threading.Event()

    def revoked() -> None:
        # What a function does next, after a job of it was cancelled, starts a new job.
        arguments = (jobs.cancel, ended)
        threading.Thread(
            target=stop_until, args=arguments, name="odibi-spark-cancel", daemon=True
        ).start()

    try:
        jobs.begin()
        control.on_revoke(revoked)
        control.measure_progress(jobs.progress)
        yield
    except KeyboardInterrupt:  # of what is tried out on the main thread
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
        with contextlib.suppress(Exception):  # a session that is gone has nothing set any more
            jobs.end()
