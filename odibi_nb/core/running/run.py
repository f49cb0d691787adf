"""One run of a plan: its journal, run log, contexts, cache and result."""

from __future__ import annotations

import contextlib
import platform
import sys
import time
from dataclasses import dataclass
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.engine import Engine
from odibi_nb.core.model.events import DONE, EventType, RunStatus, Status
from odibi_nb.core.model.readable_places import allowed_places
from odibi_nb.core.model.reserved_places import reserved_in
from odibi_nb.core.model.results import RunResult
from odibi_nb.core.process.interrupts import interrupts_as_requests
from odibi_nb.core.process.private_files import private_tree
from odibi_nb.core.protocols import shadowed_tables
from odibi_nb.core.runlog import journal as journals
from odibi_nb.core.runlog.journal_lines import planned_line
from odibi_nb.core.runlog.lock_owner import locks_folder
from odibi_nb.core.runlog.record import run_record
from odibi_nb.core.runlog.shared_runs import ends_leases
from odibi_nb.core.runlog.writer import RunLogWriter
from odibi_nb.core.running.atomic import TakenBack, take_back_run
from odibi_nb.core.running.context import ExecutionContext, transformation_logger
from odibi_nb.core.running.coordinator import ABANDON, TransformationRunner
from odibi_nb.core.running.event_bus import EventBus
from odibi_nb.core.running.inbox import EventEmitted, LogFlushed
from odibi_nb.core.running.kept_failures import FAILURES
from odibi_nb.core.running.layer_cache import LayerCache
from odibi_nb.core.running.plugins import find_plugins
from odibi_nb.core.running.run_folders import Presence
from odibi_nb.core.text.clock import utc_now
from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.json import as_json
from odibi_nb.core.text.redaction import error_text
from odibi_nb.errors import DataError
from odibi_nb.version import __version__

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from odibi_nb.core.model.options import RunOptions
    from odibi_nb.core.model.results import TransformationResult
    from odibi_nb.core.planning.plan import PlannedRow, RunPlan
    from odibi_nb.core.planning.row_freshness import Freshness
    from odibi_nb.core.protocols import Adapters, BaseLogSink, Place, TableEngine, View
    from odibi_nb.core.runlog.run_lease import RunLease
    from odibi_nb.core.runlog.run_lock import RunLock
    from odibi_nb.core.running.hooks import HookManager
    from odibi_nb.core.running.inbox import Message

SHOWN_NAMES = 5
VERSIONED = ("pandas", "pyarrow", "deltalake", "duckdb", "sqlalchemy", "pyspark")


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRun:
    """A plan that can run, with the parts of the project that the run uses.

    Attributes:
        plan: the plan, without problems.
        options: the options of the run.
        place: manifest, environment, engine, state folder and session.
        hooks: the listeners.
        views: the views of the run.
        sinks: the sinks of the run log.
        adapters: the adapters, which make the DataFrames of the result.
        tables: returns the engine with a given name.
        spark_session: returns the session that rows get; None if no engine has one.
        cache_plan: layer to the tables to cache after it.
        save_logs: also write the captured logs to a file.
        code: returns the hash of a row's code, "" if it is unclear, and stores its text and the
            row's configuration under the given ``config_hash``.
        look_again: returns the verdict on a row during the run with an id; None if all rows run.
        retry_of: the run that this one retries; None for a new run.
        rollback_of: the run that this one rolls back; None for a usual run.
        texts: lines to show before the run starts.
    """

    plan: RunPlan
    options: RunOptions
    place: Place
    hooks: HookManager
    views: Sequence[View]
    sinks: Sequence[BaseLogSink]
    adapters: Adapters
    tables: Callable[[str], TableEngine]
    spark_session: Callable[[], Any]
    cache_plan: Mapping[str, tuple[str, ...]]
    save_logs: bool
    code: Callable[[PlannedRow, str], str]
    look_again: Callable[[PlannedRow, str], Freshness] | None
    retry_of: str | None = None
    rollback_of: str | None = None
    texts: tuple[str, ...] = ()


def run_facts(place: Place, run_id: str) -> dict[str, Any]:
    """Return the facts of every event of a run."""
    return {
        "run_id": run_id,
        "project": place.manifest.project,
        "env": place.env,
        "engine": place.engine,
    }


def begin_facts(prepared: PreparedRun, number: int) -> dict[str, Any]:
    """Return the facts of run_start, in addition to the facts of every event."""
    plan = prepared.plan
    return {
        "layers": list(plan.layers),
        "transformations": len(plan.rows),
        "options": prepared.options.recorded(),
        "plan_hash": plan.plan_hash(),
        "versions": as_json({**package_versions(), "functions": plan.source_hashes()}),
        "retry_of": prepared.retry_of,
        "rollback_of": prepared.rollback_of,
        "run_number": number,
    }


def take_lease(lease: RunLease, prepared: PreparedRun, number: int) -> None:
    """Take the lease for a run in the commit that stores its start and its plan for other machines.

    Raises:
        RunLockedError: if another run has begun since this one looked at the lease.
        DataError: if the lease cannot be written.
    """
    facts = {**run_facts(prepared.place, lease.run_id), **begin_facts(prepared, number)}
    start = {"event": EventType.RUN_START.value, **facts, "timestamp": utc_now()}
    lease.take(start, planned_line(prepared.plan))


class RunExecution:
    """One run of a prepared plan, under *lock*.

    Args:
        prepared: the plan, with the parts of the project that the run uses.
        lock: the run's lock, which also has the run's id.
        number: the run's number, greater than the numbers of all earlier runs.
        reloaded: modules that were reloaded for this run.
    """

    def __init__(
        self, prepared: PreparedRun, lock: RunLock, number: int, reloaded: Sequence[str] = ()
    ) -> None:
        self.prepared, self.plan = prepared, prepared.plan
        self.place, self.options = prepared.place, prepared.options
        self.lock, self.number, self.run_id = lock, number, lock.run_id
        self.reloaded = reloaded
        manifest = self.place.manifest
        self.facts = run_facts(self.place, self.run_id)
        self.journal = journals.Journal(
            journals.runs_folder(self.place.state_dir) / self.run_id,
            number=number,
            project=manifest.project,
            env=self.place.env,
        )
        self.events = EventBus(
            facts=self.facts,
            hooks=self.prepared.hooks,
            journal=self.journal,
            views=self.prepared.views,
        )
        self.inbox: SimpleQueue[Message] = SimpleQueue()
        self.runner = self._make_runner()
        self.lost = ""
        self._shared = shared_by_rows(self.place)
        self.presence = Presence(manifest.folder, manifest.path, self.journal)

    def run(self) -> RunResult:
        """Run the plan and write its log.

        From before the first event until the log is closed, an interrupt is a request to end the run.
        """
        self._keep_private()
        complete = False
        try:
            with interrupts_as_requests(self.runner.cancel, patience=ABANDON):
                try:
                    result, complete = self._run()
                finally:
                    self.journal.close(complete=complete)
        finally:
            self.journal.close(complete=complete)  # again, if an interrupt ended the first
        self._keep_private()
        journals.prune(self.place.state_dir)
        return result

    def _keep_private(self) -> None:
        for folder in (self.journal.folder, locks_folder(self.place.state_dir)):
            private_tree(folder)

    def _run(self) -> tuple[RunResult, bool]:
        """Return the result, and True if every sink has the complete log."""
        self._load_plugins()
        self.events.run_log = RunLogWriter(
            run_id=self.run_id,
            sinks=self.prepared.sinks,
            journal=self.journal,
            on_flushed=lambda sink, count: self.inbox.put(LogFlushed(sink, count)),
            replaced=self._replaced,
        )
        self.events.tell(lambda view: view.on_plan(self.plan))
        begin = begin_facts(self.prepared, self.number)
        started, clock = utc_now(), time.monotonic()
        self.events.publish(EventType.RUN_START, begin)
        self.journal.append(planned_line(self.plan))
        if self.reloaded:
            self.events.publish(EventType.MODULES_RELOADED, {"modules": [*self.reloaded]})
        if overrode := self._overrode():
            self.events.warn(
                f"replaced {overrode}, which ends as soon as it notices this; a write that "
                "it has begun can still be committed"
            )
        for notice in self.plan.notices:
            if self.prepared.retry_of is None and self.prepared.rollback_of is None:
                self.events.say("WARNING", f"⚠️ {notice}")
            else:  # the result of a retry or rollback must show it, too
                self.events.warn(notice)
        count = len(self.plan.rows)
        facts = {"transformations": count, "count": count}  # the original's key, and ours
        self.events.publish(EventType.CONFIGS_LOADED, facts)
        self.events.say("INFO", f"\n🎯 Running layers: {list(self.plan.layers)}\n")
        results = self.runner.run()
        return self._end(begin, started, time.monotonic() - clock, results)

    def _overrode(self) -> str:
        lease = self.lock.lease
        return self.lock.overrode or ("" if lease is None else lease.overrode[0])

    def _end(
        self,
        begin: dict[str, Any],
        started: dt.datetime,
        duration: float,
        results: dict[str, TransformationResult],
    ) -> tuple[RunResult, bool]:
        status = _run_status(results.values(), cancelled=self.runner.cancel_level > 0)
        lost = self.lost or self.presence.lost()
        if not lost and status is RunStatus.SUCCESS:
            lost = self._overridden() or self._replaced()
        if lost:
            status = RunStatus.FAILED
            self.events.warn(lost)
        ended = utc_now()
        self.runner.read_waiting()
        self._warn_of_threads()
        self._warn_of_shadowed()
        taken_back = TakenBack() if status is RunStatus.SUCCESS else self._take_back(started)
        record = run_record(
            {**self.facts, **begin, "timestamp": started},
            status=status.value,
            end_time=ended,
            records=self.events.records,
            warnings=self.events.warnings,
            duration_seconds=duration,
        )
        self.journal.append({"event": "run_record", "run_record": record})
        problems = self.events.run_log.close(record)
        for problem in problems:
            self.events.warn(problem)
        if self.lock.lease is not None:
            self.lock.lease.logged = not problems and ends_leases(self.prepared.sinks)
        self.runner.read_waiting()
        result = RunResult(
            run_id=self.run_id,
            status=status,
            project=self.place.manifest.project,
            env=self.place.env,
            engine=self.place.engine,
            layers_executed=self.runner.layers.executed,
            start_time=started,
            end_time=ended,
            duration_seconds=duration,
            transformations=results,
            warnings=self.events.warnings,
            records=self.events.records,
            retry_of=self.prepared.retry_of,
            rollback_of=self.prepared.rollback_of,
            rolled_back=taken_back.tables,
            not_rolled_back=tuple(table for table, _ in taken_back.left),
            log_path=self._save_logs(results) if self.prepared.save_logs else None,
            leaked_threads=len(self.runner.given_up),
            to_frame_with=self.prepared.adapters.frame,
        )
        facts = {
            "status": status.value,
            "layers_executed": result.layers_executed,
            "duration_seconds": duration,
            "counts": result.counts(),
            "warnings": [*self.events.warnings],
        }
        self.events.publish(EventType.RUN_END, facts)
        FAILURES.note(result)
        return result, not problems

    def _take_back(self, started: dt.datetime) -> TakenBack:
        """Take back the writes of an atomic run; do nothing for another run.

        This happens before the journal gets the run's record. If the process dies first, the next start
        finds no record, and takes the rest back.
        """
        if not self.options.atomic:
            return TakenBack()
        try:
            self.lock.beat()
            who = self.lock.check() or self.lock.replaced_by
            if who or self.lost:  # the other run may have read these tables
                why = self.lost or f"another run has replaced this run: {who}"
                self.events.warn(
                    f"atomic: nothing was rolled back: {why}: roll back run {self.run_id}"
                )
                return TakenBack()
            taken_back = self._taken_back(started)
            if taken_back and self.runner.given_up:  # their threads may have committed since
                again = self._taken_back(started)
                tables = dict.fromkeys([*taken_back.tables, *again.tables])
                taken_back = TakenBack(tuple(tables), again.left)
        except Exception as exc:  # noqa: BLE001  the run must end, and its log must have the rest
            text = f"atomic: not rolled back: {error_text(exc)}: roll back run {self.run_id}"
            self.events.warn(text)
            return TakenBack()
        self.events.warn(f"atomic: {taken_back.text()}")
        return taken_back

    def _taken_back(self, started: dt.datetime) -> TakenBack:
        return take_back_run(
            self.run_id,
            self.events.records,
            self.place,
            self.prepared.tables(self.place.engine),
            since=started,
            declared=self._declared_outputs,
        )

    def _declared_outputs(self) -> dict[str, list[str]]:
        return {
            name: [target.table for target in row.transformation.targets]
            for name, row in self.plan.rows.items()
        }

    def _warn_of_shadowed(self) -> None:
        """Warn of names under which the user's own SQL would read the tables of another lake."""
        if self.runner.cancel_level or self.runner.given_up:
            return  # the session may not answer
        for name in sorted({row.engine for row in self.plan.rows.values()}):
            for text in shadowed_tables(self.prepared.tables(name)):
                self.events.warn(text)

    def _warn_of_threads(self) -> None:
        names = [attempt.row.id for attempt in self.runner.given_up]
        if names:
            shown = ", ".join(names[:SHOWN_NAMES]) + (" …" if len(names) > SHOWN_NAMES else "")
            self.events.warn(
                f"{counted(len(names), 'abandoned transformation')} with a running thread: {shown}; the "
                "context refuses its reads and writes, and the thread ends with the process"
            )

    def _make_runner(self) -> TransformationRunner:
        look_again = self.prepared.look_again
        return TransformationRunner(
            plan=self.plan,
            events=self.events,
            inbox=self.inbox,
            make_context=self._context,
            on_error=self.options.on_error,
            timeout_seconds=self.options.run_timeout_seconds,
            finish_layer=self._layer_cache(),
            poll_cancel=self._cancel_requests,
            poll_revoked=self._overridden,
            code=self.prepared.code,
            look_again=None if look_again is None else lambda row: look_again(row, self.run_id),
        )

    def _cancel_requests(self) -> list[str]:
        found = self.journal.take_cancel_requests()
        return found if self.lock.lease is None else [*found, *self.lock.lease.take_cancels()]

    def _overridden(self) -> str:
        """Return the reason why the run must end (a lost lock or folder), or "" to continue."""
        who = self.lock.beat()
        if who:
            return f"{who} has replaced this run"
        if self.lost:
            return ""
        self.lost = self.presence.lost()
        return self.lost

    def _replaced(self) -> str:
        """Return which run has replaced this one; "" if none has, as far as is known.

        A machine that slept has an old lease, so this looks again: the other run may have taken back what
        this one wrote, and has completed its log.
        """
        with contextlib.suppress(DataError):  # a lease that cannot be renewed has no known holder
            if why := self.lock.check():
                return why
        who = self.lock.replaced_by
        return f"{who} has replaced this run" if who else ""

    def _context(self, row: PlannedRow, attempt: int) -> ExecutionContext:
        context = make_context(
            self.place,
            self._shared,
            row,
            self.prepared.tables(row.engine),
            hooks=self.prepared.hooks,
            spark=self.prepared.spark_session(),
            run_id=self.run_id,
            attempt=attempt,
            repairs=tuple(self.options.repairs),
        )
        # The facts come from the row: facts that hold the context would form a circle with it, and the data
        # that a function has left in the context would stay until the garbage collector runs.
        facts = partial(self._event_facts, row, attempt)
        context.hooks = self.prepared.hooks.bound_to(facts, self._emit_later)
        context.control.fence = self.lock.check
        return context

    def _event_facts(self, row: PlannedRow, attempt: int) -> dict[str, Any]:
        """Return the facts that complete the payload of an event that *row*'s function emits."""
        transformation = row.transformation
        return {
            "run_id": self.run_id,
            "project": transformation.project,
            "env": transformation.environment,
            "layer": transformation.layer,
            "engine": row.engine,
            "timestamp": utc_now(),
            "transformation_id": row.id,
            "plant": transformation.entity_1,
            "asset": transformation.entity_2,
            "attempt": attempt,
        }

    def _emit_later(self, event: str, payload: dict[str, Any]) -> None:
        """Deliver a transformation's event on the coordinator's thread, before its end event."""
        self.inbox.put(EventEmitted(event, payload))

    def _layer_cache(self) -> Callable[[str], None] | None:
        """Return the function that caches tables after a layer; None without a cache plan."""
        tables = self.prepared.cache_plan
        if self.options.cache_plan is not None:
            tables = {layer: tuple(named) for layer, named in self.options.cache_plan.items()}
        if not tables:
            return None
        return LayerCache(
            tables=tables,
            engine=lambda: self.prepared.tables(self.place.engine),
            keep=self.options.keep_cached,
            post=self.inbox.put,
        ).fill

    # -- plug-ins and saved logs ---------------------------------------------------------------

    def _load_plugins(self) -> None:
        """Let the plug-ins of installed packages register listeners."""
        for entry in find_plugins():
            try:
                entry.load()(self.prepared.hooks)
            except KeyboardInterrupt:  # most likely from the user
                raise
            except BaseException as exc:  # noqa: BLE001  a plug-in must not end a run
                self.events.warn(f"plug-in {entry.name} failed: {error_text(exc)}")

    def _save_logs(self, results: dict[str, TransformationResult]) -> str | None:
        path = self.place.state_dir / "logs" / f"{self.run_id}.log"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("w", encoding="utf-8") as file:
                path.chmod(0o600)
                for name, result in results.items():
                    seconds = result.duration_seconds or 0.0
                    file.write(f"== {name} {result.status.value} {seconds:.1f}s {result.reason}\n")
                    file.writelines(f"{part}\n" for part in (result.log, result.traceback) if part)
        except OSError as exc:
            self.events.warn(f"logs were not saved: {exc}")
            return None
        self.events.say("INFO", f"🪶 Logs saved to {path}")
        return str(path)


def shared_by_rows(place: Place) -> dict[str, Any]:
    """Return the arguments of `ExecutionContext` that are the same for all rows of *place*."""
    return {
        "parameters": place.manifest.parameters,
        "locations": place.config.locations,
        "folder": str(place.manifest.folder),
        "allowed": allowed_places(place.manifest, place.config),
        "connections": place.config.connections,
        "reserved": reserved_in(place.manifest, place.config),
    }


def make_context(
    place: Place,
    shared: Mapping[str, Any],
    row: PlannedRow,
    tables: TableEngine,
    *,
    hooks: HookManager,
    spark: Any,
    run_id: str = "",
    attempt: int = 1,
    repairs: tuple[str, ...] = (),
) -> ExecutionContext:
    """Return the context for the function of *row*. *shared* is what `shared_by_rows` returns for *place*."""
    transformation = row.transformation
    return ExecutionContext(
        engine=Engine(row.engine),
        project=transformation.project,
        env=transformation.environment,
        spark=spark,
        sql_provider=place.session.sql_provider,
        logger=transformation_logger(row.id),
        hooks=hooks,
        extras={
            "plant": transformation.entity_1,
            "asset": transformation.entity_2,
            "layer": transformation.layer,
        },
        run_id=run_id,
        transformation_id=row.id,
        attempt=attempt,
        repairs=repairs,
        tables=tables,
        checks=row.checks,
        # Where the function writes by itself, only it knows in which modes.
        outputs=() if transformation.output_problems else transformation.targets,
        **shared,
    )


def _run_status(results: Iterable[TransformationResult], *, cancelled: bool) -> RunStatus:
    found = {result.status for result in results}
    if found <= DONE:
        return RunStatus.SUCCESS
    if cancelled or (found & {Status.CANCELLED, Status.ABANDONED} and Status.FAILED not in found):
        return RunStatus.CANCELLED
    return RunStatus.FAILED


def package_versions() -> dict[str, str]:
    """Return the versions of Python, of this package, and of the loaded libraries."""
    loaded = {
        name: getattr(sys.modules[name], "__version__", "")
        for name in VERSIONED
        if name in sys.modules
    }
    return {"python": platform.python_version(), "odibi_nb": __version__, **loaded}
