"""The worker threads of a run, and the attempts that they run."""

from __future__ import annotations

import contextvars
import math
import queue
import threading
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from odibi_nb.core.model.tables import is_location, table_key
from odibi_nb.core.process.forks import forked_children_end_here
from odibi_nb.core.running.capture import CapturedLog, captured
from odibi_nb.core.running.check_evaluation import judge_tables, raise_for_failed
from odibi_nb.core.running.context import ExecutionContext, current_context
from odibi_nb.core.running.failure_frames import (
    failure_message,
    spark_traceback,
    trace_outside,
    user_lines,
    user_trace,
)
from odibi_nb.core.running.failure_place import place_of
from odibi_nb.core.running.returned import (
    check_written,
    record_own_writes,
    take_back_earlier,
    watch_outputs,
    write_returned,
)
from odibi_nb.core.text.clock import utc_now
from odibi_nb.core.text.json import own_copy
from odibi_nb.core.text.name_lists import some_of
from odibi_nb.core.text.object_text import readable_error
from odibi_nb.core.text.redaction import error_text, last_lines, shown_text
from odibi_nb.core.text.spark_errors import is_spark_error
from odibi_nb.errors import DataError, RevokedError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    from odibi_nb.core.model.attempt_facts import AttemptFacts
    from odibi_nb.core.model.events import Status
    from odibi_nb.core.model.failure_place import FailurePlace
    from odibi_nb.core.planning.plan import PlannedRow
    from odibi_nb.core.planning.row_freshness import Freshness

MAX_TRACEBACK = 50_000
MOST_NAMES = 5
"""Most upstream rows that the reason of an unchanged row names."""


@dataclass(slots=True, kw_only=True)
class Attempt:
    """One start of one transformation, made by the coordinator and run by a worker.

    Attributes:
        row: the row that runs.
        facts: the facts at the start.
        context: the context of the row's function, which counts the attempt's reads and writes.
        log: the captured log of the attempt.
        started: the monotonic clock at the start.
        deadline: the monotonic clock at the row's timeout; infinite without one.
        code: returns the hash of the row's code.
        look_again: returns the verdict on the row; None if the row runs in any case.
        code_hash: the hash of the code that runs, as soon as it is known.
        why: the reasons why a ``--stale`` run runs the row, as soon as it has looked at the row again.
    """

    row: PlannedRow
    facts: AttemptFacts
    context: ExecutionContext
    log: CapturedLog
    started: float
    deadline: float = math.inf
    code: Callable[[PlannedRow, str], str] = lambda _row, _hash: ""
    look_again: Callable[[PlannedRow], Freshness] | None = None
    code_hash: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptEnded:
    """The end of an attempt. *error* is None for a success.

    *confirmed* is the record of the row's last success, if the row did not run because nothing that
    it reads has changed since.
    """

    attempt: Attempt
    end_time: dt.datetime
    duration_seconds: float
    error: BaseException | None = None
    traceback: str = ""
    failed_at: FailurePlace | None = None
    confirmed: Mapping[str, Any] | None = None

    def facts(self, status: Status, reason: str = "") -> AttemptFacts:
        """Return the facts of the ended attempt. *reason* explains why it was cancelled, if it was."""
        context, error = self.attempt.context, self.error
        return msgspec.structs.replace(
            self.attempt.facts,
            status=status,
            end_time=self.end_time,
            duration_seconds=self.duration_seconds,
            rows_in=context.rows_in,
            rows_out=context.rows_out,
            checks=tuple(context.check_results),
            inputs_read=context.provenance.inputs_read,
            outputs_written=context.provenance.outputs_written,
            code_hash=self.attempt.code_hash or None,
            error_type=None if error is None else type(error).__name__,
            error_message=None if error is None else failure_message(error),
            failed_at=self.failed_at,
            reason=reason,
            why=self.attempt.why or self.attempt.facts.why,
        )


def run_attempt(attempt: Attempt) -> AttemptEnded:
    """Call the row's function and write its return value. Never raises.

    If the row is still fresh after its upstream rows have run, do not call its function.
    """
    error: BaseException | None = None
    confirmed = _confirmed(attempt)
    if confirmed is None:
        error = _run(attempt)
    return AttemptEnded(
        attempt=attempt,
        end_time=utc_now(),
        duration_seconds=time.monotonic() - attempt.started,
        error=error,
        traceback=user_traceback(error) if error is not None else "",
        failed_at=None if error is None else place_of(error),
        confirmed=confirmed,
    )


def _run(attempt: Attempt) -> BaseException | None:
    """Call the row's function, and return its exception if it raises one."""
    try:
        attempt.code_hash = _code_hash(attempt)
        with captured(attempt.log), current_context(attempt.context), _engine_scope(attempt):
            _call(attempt)
    except BaseException as exc:  # noqa: BLE001  a worker without an answer would hang the run
        return readable_error(exc)
    return None


def _confirmed(attempt: Attempt) -> Mapping[str, Any] | None:
    """Return the record of the row's last success if the row is fresh now; None if it must run."""
    if attempt.look_again is None:
        return None
    try:
        verdict = attempt.look_again(attempt.row)
    except Exception:  # noqa: BLE001  in doubt the row runs
        return None
    attempt.why = verdict.why or _unchanged(attempt.row)
    return None if verdict.reasons else verdict.success


def _unchanged(row: PlannedRow) -> str:
    """Return the reason why a row whose upstream rows ran need not run itself."""
    upstream = f" (upstream: {some_of(row.upstream, MOST_NAMES)})" if row.upstream else ""
    return f"nothing that it reads has changed{upstream}"


def _code_hash(attempt: Attempt) -> str:
    try:
        return attempt.code(attempt.row, attempt.facts.config_hash)
    except Exception:  # noqa: BLE001  a row runs even if its code cannot be compared later
        return ""


def _engine_scope(attempt: Attempt) -> AbstractContextManager[None]:
    context, transformation = attempt.context, attempt.row.transformation
    assert context.tables is not None
    inputs = [
        item if isinstance(item, str) else item.get("table") for item in transformation.inputs
    ]
    tables = [name for name in inputs if name and not is_location(name)]
    tables += [target.table for target in transformation.targets]
    return context.tables.attempt_scope(context.write_info(), tables, context.control)


def _call(attempt: Attempt) -> None:
    """Call the row's function and write what it returns, in this order.

    1. Take back what earlier attempts of the row have appended.
    2. Note the versions of its outputs.
    3. Call the function, and write its return value to the outputs.
    4. Record the function's own writes, even if it has failed.
    5. Refuse a success that has not written all outputs; then judge the written tables.

    The function's own exceptions and the refusals are raised unchanged.
    """
    row, context = attempt.row, attempt.context
    transformation = row.transformation
    available = {
        # Copies, because the function may change them, and no other attempt may see that.
        "inputs": own_copy(transformation.inputs),
        "constants": own_copy(transformation.constants),
        "outputs": own_copy(transformation.outputs),
        "spark": context.spark,
        "env": context.env,
        "context": context,
    }
    assert row.fn is not None
    take_back_earlier(transformation, context)
    watch = watch_outputs(transformation, context)
    try:
        with forked_children_end_here():
            returned = row.fn(**{name: available[name] for name in row.keywords})
        refused = write_returned(returned, transformation, context)
    finally:
        record_own_writes(transformation, context, watch, attempt.facts.start_time)
    check_written(refused, transformation, context, watch, required=row.outputs_required)
    if context.checks and context.tables is not None:
        through_context = {table_key(use.name) for use in context.writes}
        results = judge_tables(
            transformation.targets, through_context, context.checks, context.tables
        )
        context.check_results += results
        raise_for_failed(results, "the table has been written")


def user_traceback(error: BaseException) -> str:
    """Return the traceback from the user's code on, as text.

    For a Spark error, see `spark_traceback`. Return "" for an error of this package that has no frame of
    the user's code, such as a refused return value.
    """
    if is_spark_error(error):
        return shown_text(spark_traceback(error), MAX_TRACEBACK)
    if isinstance(error, (DataError, RevokedError)) and trace_outside(error) is None:
        return ""
    trace = user_trace(error)
    try:
        lines = user_lines(error, trace)
    except BaseException:  # noqa: BLE001  a broken exception class must not cost the traceback
        lines = [*traceback.format_tb(trace), f"{error_text(error)}\n"]
    return last_lines("".join(lines), MAX_TRACEBACK)


@dataclass(slots=True)
class WorkerPool:
    """At most *size* daemon threads that run jobs, plus one for each thread that was given up.

    The pool does not use concurrent.futures, which joins its threads at interpreter exit: one stuck
    transformation would keep a kernel from ending.
    """

    size: int
    _jobs: queue.SimpleQueue[tuple[contextvars.Context, Callable[[], None]] | None] = field(
        default_factory=queue.SimpleQueue
    )
    _threads: int = 0

    def submit(self, job: Callable[[], None]) -> None:
        """Run *job* on a worker, with the caller's context variables."""
        if self._threads < self.size:
            self._threads += 1
            name = f"odibi-worker-{self._threads}"
            threading.Thread(target=self._work, name=name, daemon=True).start()
        self._jobs.put((contextvars.copy_context(), job))

    def give_up_one(self) -> None:
        """Let another thread take the place of a worker that hangs."""
        self.size += 1

    def close(self) -> None:
        """Let the threads end when they have no more jobs. Does not wait."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            context, run = job
            context.run(run)
            del job, context, run  # a waiting worker must not keep the context of an ended row
