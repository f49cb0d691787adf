"""``load``, ``try``, ``debug`` and ``log``."""

from __future__ import annotations

import shlex
import time
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from odibi_nb.commands.opening import confirmation, open_project
from odibi_nb.core.model.events import Status
from odibi_nb.core.protocols import Portion
from odibi_nb.core.rehearsal.past_attempts import attempt_in
from odibi_nb.core.runlog.attempt_logs import known_ids, last_failed, newest_attempts
from odibi_nb.core.runlog.history import LAST, past_attempts, past_runs
from odibi_nb.core.running.failure_frames import frames_of, headline
from odibi_nb.core.running.failure_place import place_of
from odibi_nb.core.running.held_memory import held_bytes, size_text
from odibi_nb.core.running.kept_failures import FAILURES, KEPT, KEPT_BYTES, Failure
from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.spark_errors import is_spark_error, trace_apart
from odibi_nb.debugging import load_transformation, try_transformation
from odibi_nb.errors import ConfigurationError, did_you_mean
from odibi_nb.views.inspect.failure import FailureReport
from odibi_nb.views.run.attempt_log import AttemptLogs

if TYPE_CHECKING:
    import argparse

    from odibi_nb.api import GenericProjectOrchestrator
    from odibi_nb.commands.face import Face
    from odibi_nb.core.runlog.attempt_logs import AttemptLog
    from odibi_nb.debugging import LoadedTransformation
    from odibi_nb.views.inspect.trial import Trial

LOG_LINES = 40
FOLLOW_SECONDS = 0.3
RUNS_LOOKED_AT = 50
_WHY_NOT = (
    "the cause is a later change to its code, its constants, or an input without versions it failed"
)
_LATE = "the function itself succeeded: Spark finds such an error only when the rows are written; "


def load(arguments: argparse.Namespace, face: Face) -> LoadedTransformation:
    """Load a transformation's inputs and the other arguments of its function. Writes nothing."""
    del face
    orchestrator = open_project(arguments)
    return load_transformation(orchestrator, arguments.id, _portion(arguments), run=arguments.run)


def try_out(arguments: argparse.Namespace, face: Face) -> Trial:
    """Call the cell's or the module's function as a run would. Write nothing without ``--write``."""
    orchestrator = open_project(arguments)
    if arguments.write:
        confirmation(orchestrator, face, yes=arguments.yes, action="write to")
    elif orchestrator.config.protected:
        face.say(
            f"⚠️ env {orchestrator.env!r} of {orchestrator.project!r} is protected, and `try` calls the function "
            "there: it captures writes through the context, but no other effect of the function"
        )
    return try_transformation(
        orchestrator,
        arguments.id,
        face.body,
        _portion(arguments),
        write=arguments.write,
        run=arguments.run,
    )


def _portion(arguments: argparse.Namespace) -> Portion | None:
    return Portion(limit=arguments.limit, fraction=arguments.sample) or None


def debug(arguments: argparse.Namespace, face: Face) -> FailureReport | str:
    """Report why a transformation failed, with its frames if they are still in memory."""
    del face
    if arguments.forget:
        return forget_failures()
    if arguments.run is not None:
        return _replayed(arguments)
    failure = kept_failure(arguments)
    if failure is not None:
        return _report(failure)
    return _report_from_log(open_project(arguments), arguments.id)


def _replayed(arguments: argparse.Namespace) -> FailureReport | str:
    """Call a failed transformation again on the inputs that it read in a run, and report its failure.

    Nothing is written. The failure's variables are in memory then, for the debugger.
    """
    trial = replay_failure(arguments)
    failure = None if trial.error is None else kept_failure(arguments)
    if failure is None:
        return not_reproduced(trial)
    report = _report(failure)
    return replace(report, note="; ".join([*trial.inputs_of, report.note]))


def not_reproduced(trial: Trial) -> str:
    """Return the message for a failed transformation that now succeeds on the inputs of its run."""
    how = "ran without an error" if trial.error is None else "was quit in the debugger"
    return "\n".join([f"{trial.transformation_id} {how}", *trial.inputs_of, _WHY_NOT])


def replay_failure(arguments: argparse.Namespace) -> Trial:
    """Call a transformation again, as it is now, on the inputs that it read when it failed in a run."""
    orchestrator = open_project(arguments)
    place = (orchestrator.state_dir, orchestrator.project, orchestrator.env)
    name = (last_failed(*place) or LAST) if arguments.id == LAST else arguments.id
    past = attempt_in(orchestrator, name, arguments.run, failed=True)
    return try_transformation(orchestrator, name, run=past.run_id)


def forget_failures() -> str:
    """Release all failures that this process keeps, and return their number and size."""
    kept, size = len(FAILURES.newest_first()), size_text(FAILURES.held())
    FAILURES.clear()
    return f"released {counted(kept, 'failure')}, {size}: `debug` still has their logs"


def kept_failure(arguments: argparse.Namespace) -> Failure | None:
    """Return the newest failure in this process that matches the arguments; None without one."""
    for failure in FAILURES.newest_first():
        here = arguments.project in {None, failure.project} and arguments.env in {None, failure.env}
        if here and arguments.id in {LAST, failure.transformation_id}:
            return failure
    return None


def _report(failure: Failure) -> FailureReport:
    trace, folded = trace_apart(failure.traceback)
    name, frames = failure.transformation_id, frames_of(failure.error)
    place = place_of(failure.error)
    late = is_spark_error(failure.error) and all(frame.library for frame in frames)
    return FailureReport(
        transformation_id=name,
        run_id=failure.run_id,
        headline=_with_hint(headline(failure.error), place.hint if place else ""),
        frames=() if late else tuple(frames),
        traceback="" if late else trace,
        jvm_trace=folded,
        log=_tail(failure.log),
        note=f"{_LATE if late else ''}its inputs: %odibi load {shlex.quote(name)}; {kept_text(failure)}",
    )


def kept_text(failure: Failure) -> str:
    """Return a text about the size of a failure's variables, and how long they stay in memory."""
    size = size_text(held_bytes(failure.error))
    return (
        f"its variables ({size}) stay in memory until the row succeeds, or until you run "
        f"%odibi debug --forget; only the newest {KEPT} failures are kept, up to "
        f"{size_text(KEPT_BYTES).removeprefix('about ')}"
    )


def _report_from_log(orchestrator: GenericProjectOrchestrator, name_or_last: str) -> FailureReport:
    place = (orchestrator.state_dir, orchestrator.project, orchestrator.env)
    name = last_failed(*place) if name_or_last == LAST else name_or_last
    attempts = newest_attempts(*place, name) if name else []
    failed = [a for a in attempts if a.status == Status.FAILED.value]
    if not failed or failed[-1] is not attempts[-1]:
        raise ConfigurationError(
            f"debug {name_or_last}", [_nothing_failed(orchestrator, name_or_last, attempts)]
        )
    last = failed[-1]
    name = shlex.quote(last.transformation_id)
    trace, folded = trace_apart(last.traceback)
    return FailureReport(
        transformation_id=last.transformation_id,
        run_id=last.run_id,
        headline=_with_hint(last.error, last.hint),
        traceback=trace,
        jvm_trace=folded,
        log=_tail(last.log),
        note="the process that ran it has ended, so its variables are gone; in a notebook, "
        f"%odibi load {name} gets its inputs, and %odibi debug {name} --run {last.run_id} calls it "
        "on them again and opens the debugger",
    )


def _nothing_failed(
    orchestrator: GenericProjectOrchestrator, name_or_last: str, attempts: list[AttemptLog]
) -> str:
    where = f"{orchestrator.project!r}, env {orchestrator.env}"
    if name_or_last == LAST:
        return f"no transformation of {where} has failed in the stored runs"
    if attempts:
        return f"its last attempt, in run {attempts[-1].run_id}, is {attempts[-1].status}"
    return _unknown(orchestrator, name_or_last)


def _unknown(orchestrator: GenericProjectOrchestrator, name: str, run_id: str | None = None) -> str:
    known = known_ids(orchestrator.state_dir, orchestrator.project, orchestrator.env, run_id)
    runs = f"run {run_id}" if run_id else "the stored runs"
    return f"no attempt of {name!r} in {runs}{did_you_mean(name, known)}"


def _with_hint(error: str, hint: str) -> str:
    return f"{error}\n{hint}" if hint else error


def _tail(log: str) -> str:
    return "\n".join(log.splitlines()[-LOG_LINES:])


def log(arguments: argparse.Namespace, face: Face) -> AttemptLogs | None:
    """Show the output and log of a transformation, from its newest run or from the given one."""
    orchestrator = open_project(arguments)
    run_id = None if arguments.run == LAST else arguments.run
    if arguments.follow:
        _follow(orchestrator, arguments.id, run_id, face)
        return None
    found = newest_attempts(
        orchestrator.state_dir, orchestrator.project, orchestrator.env, arguments.id, run_id
    )
    if not found:
        recorded = _recorded(orchestrator, arguments.id, run_id)
        raise ConfigurationError(
            f"log {arguments.id}", [recorded or _unknown(orchestrator, arguments.id, run_id)]
        )
    return AttemptLogs(tuple(found))


def _recorded(orchestrator: GenericProjectOrchestrator, name: str, run_id: str | None) -> str:
    """Describe an attempt whose journal is elsewhere: the run log has its status, not its output."""
    with closing(orchestrator):
        sinks, ids = orchestrator.sinks(), [run_id] if run_id else []
        if not ids:
            runs = past_runs(sinks, RUNS_LOOKED_AT, orchestrator.project, orchestrator.env)
            ids = [run["run_id"] for run in runs]
        rows = [r for r in past_attempts(sinks, ids) if r["transformation_id"] == name]
    if not rows:
        return ""
    row: dict[str, Any] = rows[-1]
    return (
        f"it ended {row['status']} in run {row['run_id']} on host {row['host']}; that host keeps its "
        "output, for the last 100 runs"
    )


def _follow(
    orchestrator: GenericProjectOrchestrator, name: str, run_id: str | None, face: Face
) -> None:
    """Show the transformation's output as it appears, until the attempt has ended."""
    printed_lines = 0
    while True:
        found = newest_attempts(
            orchestrator.state_dir, orchestrator.project, orchestrator.env, name, run_id
        )
        if not found:
            raise ConfigurationError(f"log {name}", [_unknown(orchestrator, name, run_id)])
        lines = AttemptLogs(tuple(found)).lines()
        for line in lines[printed_lines:]:
            face.say(line)
        printed_lines = len(lines)
        if found[-1].status != Status.RUNNING.value:
            return
        time.sleep(FOLLOW_SECONDS)
