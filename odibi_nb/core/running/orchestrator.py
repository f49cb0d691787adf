"""The orchestrator: opens a project, and plans, runs and retries it."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from odibi_nb.core.functions.registry import ProjectModules
from odibi_nb.core.model.engine import ENGINES, Engine
from odibi_nb.core.model.events import RunStatus
from odibi_nb.core.model.manifest import find_manifest, shown_path
from odibi_nb.core.model.options import RunOptions
from odibi_nb.core.model.transformation import parse_columns, row_columns, row_id
from odibi_nb.core.planning.stale_plan import ProjectStatus, nothing_stale
from odibi_nb.core.process.state_folder import state_folder
from odibi_nb.core.protocols import Place, Session
from odibi_nb.core.rollback.preparing import (
    Wanted,
    plan_of_rollback,
    raise_for_problems,
    raise_if_rolled_back,
)
from odibi_nb.core.runlog.history import (
    LAST,
    RUNS_SEARCHED,
    greatest_number,
    newest_first,
    past_runs,
)
from odibi_nb.core.runlog.journal import last_number
from odibi_nb.core.runlog.recovery import dead_runs
from odibi_nb.core.runlog.retry_run import Repair, options_of
from odibi_nb.core.runlog.run_lease import RunLease, lease_env
from odibi_nb.core.runlog.run_lock import exclusively
from odibi_nb.core.runlog.shared_runs import has_ended, open_runs_elsewhere
from odibi_nb.core.runlog.unusual import usual_now
from odibi_nb.core.running.atomic import check_atomic
from odibi_nb.core.running.authentication import authenticated, named_provider
from odibi_nb.core.running.capture import routed_output
from odibi_nb.core.running.context import transformation_logger
from odibi_nb.core.running.event_bus import GuardedViews
from odibi_nb.core.running.hooks import HookManager
from odibi_nb.core.running.open_adapters import OpenAdapters
from odibi_nb.core.running.project_planner import ProjectPlanner
from odibi_nb.core.running.rollback_run import nothing_to_roll_back, rollback_run_plan, texts_of
from odibi_nb.core.running.run import PreparedRun, RunExecution, take_lease
from odibi_nb.core.running.run_recovery import RunRecovery
from odibi_nb.core.text.clock import utc_now
from odibi_nb.errors import ConfigurationError, OdibiError, PlanError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from odibi_nb.core.model.results import RunResult
    from odibi_nb.core.model.rollback import RollbackPlan
    from odibi_nb.core.planning.plan import PlannedRow, RunPlan
    from odibi_nb.core.process.interrupts import InterruptsHeldBack
    from odibi_nb.core.protocols import (
        Adapters,
        BaseLogSink,
        Notifier,
        Row,
        RunStateTables,
        TableEngine,
        View,
    )
    from odibi_nb.core.runlog.run_lock import RunLock
    from odibi_nb.core.runlog.unusual import Usual
    from odibi_nb.core.running.context import TransformationLogger

DEFAULT_ENGINE = "spark"


class Orchestrator:
    """A project opened in an environment, to plan, run and retry it.

    Args:
        project: the project's name.
        env: the environment.
        manifest_path: path of the manifest; if None, the manifest is found by the project's name.
        log_level: level of the console: ``DEBUG``, ``INFO``, ``WARNING``, ``ERROR``.
        save_logs: also write the captured logs of the run to a file.
        auth_provider: called with ``env``, ``repo_path``, ``logger_metadata``; returns a dict with
            ``spark`` and ``sql_provider``.
        engine: ``pandas`` or ``spark``; if None, the engine of the environment, else ``spark``.
        hooks: the listeners of the runs.
        log_sink: sink of the run log, instead of the default.
        adapters: the adapters, which make engines, registry, sinks and console.
        views: further views of the runs.
        state_dir: folder of journals and locks; if None, see `state_folder`.
        project_dirs: further folders to search for manifests.

    Raises:
        ManifestError: if no usable manifest is found, or the environment is unknown.
    """

    def __init__(
        self,
        project: str,
        env: str = "qat",
        manifest_path: Path | str | None = None,
        log_level: str = "WARNING",
        save_logs: bool = False,
        auth_provider: Callable[..., Any] | None = None,
        engine: str | Engine | None = None,
        hooks: HookManager | None = None,
        log_sink: BaseLogSink | None = None,
        *,
        adapters: Adapters,
        views: Sequence[View] = (),
        state_dir: Path | str | None = None,
        project_dirs: Iterable[str] = (),
    ) -> None:
        self.manifest = find_manifest(project, manifest_path, project_dirs)
        self.project = self.manifest.project
        self.env = env
        self.config = self.manifest.environment(env)
        self.engine = self._checked_engine(self.engine_name(engine))
        self._engine_given = engine is not None
        self.save_logs = save_logs
        self.auth_provider = auth_provider
        self.hooks = hooks if hooks is not None else HookManager()
        self.log_sink = log_sink
        self.adapters = adapters
        self.state_dir = state_folder(self.manifest.folder, state_dir)
        self.session: Session | None = None
        self._repo_path: str | None = None
        self._modules = ProjectModules(self.manifest.folder)
        self._open = OpenAdapters(
            lambda name: self.adapters.engine(name, self.place()), self._make_sinks
        )
        self.cancel_with: Callable[[str | None], None] | None = None
        self._notifier: Notifier | None = None
        self.views: list[View] = [adapters.console(log_level), *views]
        self._say = GuardedViews(views=self.views).say
        self._planner = ProjectPlanner(
            place=self.place,
            registry=adapters.registry,
            modules=self._modules,
            tables=self.tables,
            sinks=self.sinks,
            say=self._say,
        )

    def engine_name(self, argument: Any) -> Any:
        """Return the engine: *argument*, else the environment's, else ``spark``, as in the seed."""
        return argument or self.config.engine or DEFAULT_ENGINE

    def with_settings(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the options of a run. A subclass can add its settings for missing options."""
        return options

    @property
    def layer_order(self) -> tuple[str, ...]:
        """The layers of the manifest, in order."""
        return self.manifest.layer_order

    @property
    def cache_plan(self) -> dict[str, tuple[str, ...]]:
        """The cache plan of the manifest: layer to tables."""
        plan = dict(self.manifest.cache_plan)
        for layer, config in self.manifest.layers.items():
            if config.cache_tables:
                plan[layer] = (*plan.get(layer, ()), *config.cache_tables)
        return plan

    @property
    def spark(self) -> Any:
        """The Spark session; None before `bootstrap`. The Spark engine starts it if necessary.

        Raises:
            EngineError: if the engine cannot get a session.
        """
        if self.session is None:
            return None
        if self.session.spark is None and self.engine == Engine.SPARK.value:
            return self.tables(self.engine).spark_session()
        return self.spark_session()

    @property
    def sql_provider(self) -> Any:
        """The SQL provider from ``auth_provider``; None before `bootstrap`."""
        return None if self.session is None else self.session.sql_provider

    @property
    def reloaded(self) -> tuple[str, ...]:
        """The modules that the last plan imported again, because their files had changed."""
        return self._planner.reloaded

    @property
    def logger(self) -> TransformationLogger:
        """A standard logger that also accepts the seed's ``log("info", message)``."""
        return transformation_logger(self.project)

    # -- the seed's steps ----------------------------------------------------------------------

    def bootstrap(self, repo_path: str | None = None) -> Session:
        """Get the Spark session and SQL provider from ``auth_provider``, once for each *repo_path*.

        Raises:
            ConfigurationError: if the provider raises, or does not return a dict.
        """
        if self.session is not None and repo_path == self._repo_path:
            return self.session
        self._say(
            "INFO", f"⚙️ Bootstrapping environment for {self.project.upper()} (env={self.env})"
        )
        provider = self.auth_provider or self._named_provider()
        self._repo_path = repo_path
        if provider is None:
            self.session = Session()
        else:
            self.session = authenticated(
                provider, project=self.project, env=self.env, repo_path=repo_path
            )
        self._say("INFO", "Environment bootstrapped")
        return self.session

    def run_bronze_layer(self, **options: Any) -> RunResult:
        """Run only the layer named Bronze."""
        bronze = [layer for layer in self.layer_order if layer.casefold() == "bronze"]
        if not bronze:
            raise PlanError(str(self.manifest.path), ["layer_order has no layer 'Bronze'"])
        return self.run(**{**options, "target_layers": bronze})

    def run_silver_gold_layers(self, **options: Any) -> RunResult:
        """Run all layers, or the layers in ``target_layers``, except Bronze."""
        requested = self.manifest.select_layers(options.get("target_layers"))
        layers = [layer for layer in requested if layer.casefold() != "bronze"]
        if not layers:
            raise PlanError(str(self.manifest.path), ["the manifest has no layer except Bronze"])
        return self.run(**{**options, "target_layers": layers})

    # -- plans -------------------------------------------------------------------------------------

    def plan(self, **options: Any) -> RunPlan:
        """Return the plan that `run` would execute with the same options. Writes nothing.

        Raises:
            ConfigurationError: if an option is wrong or the registry cannot be read. Problems of rows
                are in the plan and are not raised.
        """
        return self._planner.plan(self._chosen(options))

    def plan_with(self, transformation_id: str) -> RunPlan:
        """Return the plan of all layers, which includes this transformation even if it is disabled.

        Raises:
            ConfigurationError: if the registry cannot be read. Problems of rows are in the plan and are
                not raised.
        """

        def enable(rows: list[Row]) -> list[Row]:
            return [_enabled(row) if row_id(row) == transformation_id else row for row in rows]

        return self.plan_changed(enable)

    def plan_changed(self, change: Callable[[list[Row]], list[Row]]) -> RunPlan:
        """Return the plan of all layers with the registry's rows as *change* returns them.

        Raises:
            ConfigurationError: if the registry cannot be read. Problems of rows are in the plan and are
                not raised.
        """
        return self._planner.plan(RunOptions(), change=change)

    # -- runs and retries --------------------------------------------------------------------------

    def run(self, *, repo_path: str | None = None, **options: Any) -> RunResult:
        """Run the project with *options*, the fields of `RunOptions`.

        Raises:
            ConfigurationError: if the manifest, the registry or an option is wrong; nothing has run.
                The failure of a transformation is not raised: see `RunResult.raise_for_status`.
        """
        chosen = self._chosen(options)
        self._say("INFO", f"🚀 Starting pipeline: {self.project} (env={self.env})\n")
        self._say("INFO", f"📋 Loaded manifest from {shown_path(self.manifest.path)}")
        self._confirm(chosen)
        self.bootstrap(repo_path)

        return self._exclusively(chosen, lambda: self._prepare_new(chosen))

    def _prepare_new(self, chosen: RunOptions) -> PreparedRun | RunResult:
        plan = self._planner.plan(chosen).raise_for_problems()
        if chosen.stale and not plan.rows:
            return nothing_stale(plan)
        return self._prepare(plan, chosen)

    def status(self, **options: Any) -> ProjectStatus:
        """Return the state of each row: fresh, stale or unknown, and why. Writes nothing.

        The *options* are the fields of `RunOptions` that choose rows.

        Raises:
            ConfigurationError: as `plan`.
        """
        chosen = replace(self._chosen(options), stale=False)
        plan, reader = self._planner.judged(chosen)
        return ProjectStatus(
            project=self.project,
            env=self.env,
            rows=plan.rows,
            verdicts=reader.judge(),
            problems=tuple(map(str, plan.problems)),
            to_frame_with=self.adapters.frame,
        )

    def retry(
        self,
        run_id: str = LAST,
        *,
        only_failed: bool = False,
        repo_path: str | None = None,
        **overrides: Any,
    ) -> RunResult:
        """Run the unsuccessful rows of a run again, and the rows that depend on them.

        The options of that run apply again. If the run has been retried before, this continues from its
        last retry: a row that succeeded in any of them does not run again.

        Args:
            run_id: id of the run; ``last`` for the newest.
            only_failed: run only rows that FAILED or were ABANDONED, not the rows that waited for them.
            repo_path: passed to ``auth_provider``.
            **overrides: `RunOptions` that replace the options of that run; ``select`` and ``exclude``
                choose among the rows to run.

        Returns:
            The result of the run, with its `retry_of`. If no row needs to run, a success without
            transformations, whose last warning gives the reason.

        Raises:
            ConfigurationError: as `run`. Also if the run does not exist, or if its options had a secret
                and *overrides* does not repeat it, because the log stores no secrets.
        """
        chosen = self._chosen(overrides)
        self._confirm(chosen)
        self.bootstrap(repo_path)
        given = {name: value for name, value in overrides.items() if value is not None}
        before = self.engine
        try:
            return self._exclusively(
                chosen, lambda: self._prepare_retry(run_id, given, only_failed)
            )
        finally:
            self.engine = before

    def run_for_job(self, job: str, **options: Any) -> RunResult:
        """Run the project for *job*, or retry its last run for *job* if that did not succeed.

        A scheduler that repairs a run, or tries a task again, keeps the id of its run. So the rows that have
        succeeded do not run again.

        Raises:
            ConfigurationError: as `run` and `retry`.
        """
        self.bootstrap()
        last = self._last_run_for(job, str(options.get("part") or ""))
        if last is None or last["status"] == RunStatus.SUCCESS.value:
            return self.run(job=job, **options)
        return self.retry(str(last["run_id"]), job=job, **options)

    def _last_run_for(self, job: str, part: str) -> Row | None:
        """Return the record of the newest run for *job*, on any machine, whether it ended or not."""
        tables, runs = self.run_state(), []
        if tables is not None:
            env = lease_env(self.env, part)
            runs += open_runs_elsewhere(tables, self.project, env, self.sinks())
        runs += [run for run, _ in dead_runs(self.state_dir, self.project, self.env)]
        runs += past_runs(self.sinks(), RUNS_SEARCHED, self.project, self.env)
        own = [run for run in runs if options_of(run).get("job") == job]
        return next(iter(newest_first(own)), None)

    def _prepare_retry(
        self, run_id: str, given: Mapping[str, Any], only_failed: bool
    ) -> PreparedRun | RunResult:
        """Prepare a retry, or return its result if no row needs to run."""
        try:
            chain = self._planner.chain(run_id, to_its_end=True)
        except LookupError as exc:
            raise ConfigurationError("retry", [str(exc.args[0])]) from exc
        raise_if_rolled_back(chain, self.sinks(), self.project, self.env)
        repair = Repair(chain=chain, only_failed=only_failed, given=given)
        if not self._engine_given:
            self.engine = self._checked_engine(repair.engine)
        options = self._chosen(repair.options())
        plan = self._planner.plan(options, repair)
        if not plan.rows and not plan.problems:
            return repair.nothing(plan)
        plan = repair.checked(plan).raise_for_problems()
        overrides = {n: c for n, c in options.overrides.items() if n in plan.rows}
        options = replace(options, overrides=overrides)
        return self._prepare(plan, options, repair)

    # -- rollbacks ---------------------------------------------------------------------------------

    def rollback_plan(
        self,
        run_id: str = LAST,
        *,
        select: Sequence[str] | str = (),
        force: bool = False,
        drop: bool = False,
    ) -> RollbackPlan:
        """Return the plan that `rollback` would execute with the same arguments. Writes nothing.

        Raises:
            ConfigurationError: if the run does not exist, or *select* is wrong. Problems of tables are in
                the plan and are not raised.
        """
        self.bootstrap()
        request = Wanted(run_id=run_id, select=select, force=force, drop=drop)
        return self._rollback_plan(request)

    def rollback(
        self,
        run_id: str = LAST,
        *,
        select: Sequence[str] | str = (),
        force: bool = False,
        drop: bool = False,
        confirm: str | bool = "",
        repo_path: str | None = None,
    ) -> RunResult:
        """Restore the tables that a run wrote to their versions before that run.

        The rollback is a run of its own, with a row for each table. Downstream tables come first. Each
        table is restored in one commit, and only if no writer has changed it since the plan.

        Args:
            run_id: id of the run; ``last`` for the newest run that is not a rollback. Later retries of
                the run are rolled back with it.
            select: roll back only the tables of these rows, in the grammar of `RunOptions.select`.
            force: also undo later writes of others to these tables.
            drop: drop the tables that the run created, instead of emptying them.
            confirm: as in `RunOptions`.
            repo_path: passed to ``auth_provider``.

        Returns:
            The result of the rollback, with its `rollback_of`. If no table needs to change, a success
            without transformations, whose last warning gives the reason.

        Raises:
            ConfigurationError: if the run does not exist, or a table cannot be rolled back; nothing has
                been restored. The message has all problems.
        """
        chosen = self._chosen({"confirm": confirm})
        self._confirm(chosen)
        self.bootstrap(repo_path)
        request = Wanted(run_id=run_id, select=select, force=force, drop=drop)
        return self._exclusively(chosen, lambda: self._prepare_rollback(request))

    def _prepare_rollback(self, request: Wanted) -> PreparedRun | RunResult:
        """Prepare a rollback, or return its result if no table needs to change."""
        found = self._rollback_plan(request)
        raise_for_problems(found)
        plan = rollback_run_plan(found, self.engine, self.layer_order)
        if not plan.rows:
            return nothing_to_roll_back(found, plan)
        prepared = self._prepare(plan, RunOptions(select=request.selection))
        return replace(
            prepared,
            cache_plan={},
            rollback_of=found.run_id,
            texts=tuple(texts_of(found)),
        )

    def _rollback_plan(self, request: Wanted) -> RollbackPlan:
        return plan_of_rollback(
            request,
            self.place(),
            self.tables(self.engine),
            self.sinks(),
            dead=dead_runs(self.state_dir, self.project, self.env),
            declared=self._declared_outputs,
        )

    def _declared_outputs(self) -> dict[str, list[str]]:
        """Return the tables that the registry's rows write, by id; {} if the registry cannot be read."""
        try:
            rows = [*self.adapters.registry(self.place()).fetch(self.project, self.env)]
        except OdibiError:
            return {}
        parsed = (parse_columns(row_columns(row), n)[0] for n, row in enumerate(rows, 1))
        return {
            row.transformation_id: [target.table for target in row.targets]
            for row in parsed
            if row is not None
        }

    # -- recovery and cancel -----------------------------------------------------------------------

    def _recovery(self) -> RunRecovery:
        return RunRecovery(
            place=self.place(),
            tables=self.tables,
            sinks=self.sinks,
            declared_outputs=self._declared_outputs,
            notifier=self._notifier,
            say=self._say,
        )

    def cancel(self, transformation_id: str | None = None) -> bool:
        """Request the end of the current run, or of one of its transformations, from any thread.

        Return True if a run is in progress. For repeated requests, see `TransformationRunner.cancel`.
        """
        cancel = self.cancel_with
        if cancel is not None:
            cancel(transformation_id)
        return cancel is not None

    # -- the lock around a run ---------------------------------------------------------------------

    def _exclusively(
        self, chosen: RunOptions, decide: Callable[[], PreparedRun | RunResult]
    ) -> RunResult:
        """Call *decide* and run the plan that it returns, under the lock that excludes other runs.

        For a retry, *decide* reads which rows of the last run failed. Without the lock, another run could
        change that before this run begins.
        """
        run_id = f"{utc_now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"
        where = (self.state_dir, self.project, self.env, run_id)
        try:
            if chosen.force:  # take the lock of another run only if this one can begin
                found = decide()
                if not isinstance(found, PreparedRun):
                    return self._nothing(found)
            if self.config.notify and self.adapters.notifier is not None:
                self._notifier = self.adapters.notifier(self.place())
            result = exclusively(
                *where,
                lambda lock, interrupts: self._under_lock(lock, interrupts, decide),
                lease=self.lease(run_id, chosen.part),
                force=chosen.force,
                say=lambda text: self._say("WARNING", text),
            )
            self._finish_notifying(result.warnings)
        except OSError as exc:
            remedy = "name another folder with ODIBI_STATE_DIR, or as state_dir in odibi.toml"
            what = f"cannot be used: {exc}: {remedy}"
            raise ConfigurationError(str(self.state_dir), [what]) from exc
        else:
            return result
        finally:
            self._finish_notifying([])  # a run that was interrupted or did not begin
            self.cancel_with = None
            self._planner.close()
            self.close()
            self._modules.remember()

    def _finish_notifying(self, warnings: list[str]) -> None:
        """Let the notifier send the rest, and add the unsent messages to *warnings*.

        The run has released its lock, so a slow receiver does not delay the next run.
        """
        notifier, self._notifier = self._notifier, None
        for text in notifier.finish() if notifier is not None else ():
            warnings.append(text)
            self._say("WARNING", f"⚠️ {text}")

    def run_state(self) -> RunStateTables | None:
        """Return the tables with the runs of other machines, or None if only this machine runs the environment."""
        return self.adapters.run_state(self.place())

    def lease(self, run_id: str, part: str = "") -> RunLease | None:
        """Return the lease that the run *run_id* needs; None if no other machine runs the environment."""
        tables = self.run_state()
        if tables is None:
            return None
        where = tables, self.project, self.env, run_id, part
        return RunLease(*where, lambda other: has_ended(self.sinks(), other))

    def _under_lock(
        self,
        lock: RunLock,
        interrupts: InterruptsHeldBack,
        decide: Callable[[], PreparedRun | RunResult],
    ) -> RunResult:
        with interrupts.let_through():
            self._recovery().recover(lock.lease)
            if self._notifier is not None:
                self._notifier.deliver()
            found = decide()
            if isinstance(found, PreparedRun):
                number = 1 + max(last_number(self.state_dir), self._greatest_logged_number())
        if not isinstance(found, PreparedRun):
            return self._nothing(found)
        interrupts.raise_pending()
        if lock.lease is not None:
            take_lease(lock.lease, found, number)
        for text in found.texts:
            self._say("INFO", text)
        reloaded = self._planner.take_reloaded()
        with self._modules.running(), routed_output():
            run = RunExecution(found, lock, number, reloaded)
            self.cancel_with = run.runner.cancel
            return run.run()

    def _nothing(self, result: RunResult) -> RunResult:
        for text in result.warnings:  # only to the console: other views have no run
            self.views[0].on_message("WARNING", f"⚠️ {text}")
        return result

    def _prepare(
        self, plan: RunPlan, chosen: RunOptions, repair: Repair | None = None
    ) -> PreparedRun:
        for name in sorted({row.engine for row in plan.rows.values()}):
            self.tables(name).check_writable()
        if chosen.atomic:
            check_atomic(plan, self.place(), self.tables)
        freshness = self._planner.freshness
        return PreparedRun(
            plan=plan,
            options=chosen,
            place=self.place(),
            hooks=self.hooks,
            views=[*self.views, *([self._notifier] if self._notifier else [])],
            sinks=self.sinks(),
            adapters=self.adapters,
            tables=self.tables,
            spark_session=self.spark_session,
            cache_plan=self.cache_plan,
            save_logs=self.save_logs,
            code=self._planner.code.noted,
            look_again=None if freshness is None else freshness.look_again,
            retry_of=repair.run_id if repair else None,
            texts=() if repair is None else tuple(repair.texts(plan, chosen)),
        )

    def _greatest_logged_number(self) -> int:
        try:
            return greatest_number(self.sinks())
        except Exception:  # noqa: BLE001  the journals have numbers, too
            return 0

    # -- the project's place, log and options ---------------------------------------------------

    def place(self) -> Place:
        """Return the place of this project, for adapters."""
        return Place(
            manifest=self.manifest,
            env=self.env,
            config=self.config,
            state_dir=self.state_dir,
            session=self.session or self.bootstrap(),
            engine=self.engine,
        )

    def sinks(self) -> Sequence[BaseLogSink]:
        """Return the sinks of the run log."""
        return self._open.sinks()

    def usual(self, before: str = "") -> Mapping[str, Usual]:
        """Return the usual time and rows of each transformation, from the run log: *before* a run, or now.

        This opens the log a second time, so a view may call it on its own thread during a run. The result is
        empty if the sink was passed as an object, because such a sink serves only the run.
        """
        if self.log_sink is not None:
            return {}
        sinks = self._make_sinks()
        try:
            return usual_now(sinks, self.project, self.env, before)
        finally:
            for sink in sinks:
                sink.close()

    def _make_sinks(self) -> Sequence[BaseLogSink]:
        return [self.log_sink] if self.log_sink else self.adapters.sinks(self.place())

    def _chosen(self, keywords: Mapping[str, Any]) -> RunOptions:
        """Check the options, and spell the layers of the cache plan as the manifest does."""
        options = RunOptions.from_keywords(self.with_settings(keywords))
        self.manifest.select_layers(options.target_layers)
        if not options.cache_plan:
            return options
        self.manifest.select_layers([*options.cache_plan], "cache_plan")
        by_fold = {layer.casefold(): layer for layer in self.layer_order}
        plan = {by_fold[layer.casefold()]: tables for layer, tables in options.cache_plan.items()}
        return replace(options, cache_plan=plan)

    def has_code_of(self, row: PlannedRow, record: Mapping[str, Any]) -> bool:
        """Return True if *row* of the last plan has the code and configuration of the attempt with *record*."""
        return self._planner.has_code_of(row, record)

    def _confirm(self, options: RunOptions) -> None:
        if (
            self.config.protected
            and options.confirm is not True
            and options.confirm != self.project
        ):
            raise ConfigurationError(
                f"env {self.env!r} of {self.project!r}",
                ["is protected: confirm with the project's name, or pass --yes in a script"],
            )

    def module_name(self, module: str) -> str:
        """Return the name in ``sys.modules`` of the module that rows call *module*."""
        return self._modules.real_name(module)

    # -- parts of the run ----------------------------------------------------------------------

    def tables(self, engine: str) -> TableEngine:
        """Return the table engine *engine*, which is made at its first use."""
        return self._open.engine(engine)

    def spark_session(self) -> Any:
        """Return the Spark session for transformations: the provider's, else the engine's, or None."""
        session = self.session or self.bootstrap()
        if session.spark is not None:
            return session.spark
        return self._open.spark_session()

    def close(self) -> None:
        """Close the engines and sinks. The next run opens new ones."""
        self._open.close()

    def _named_provider(self) -> Callable[..., Any] | None:
        name = self.config.auth_provider
        if not name:
            return None
        with self._modules.importing():
            return named_provider(self.manifest, self.env, name)

    def _checked_engine(self, engine: str | Engine) -> str:
        name = engine.value if isinstance(engine, Engine) else str(engine).lower()
        if name not in ENGINES:
            hint = did_you_mean(name, ENGINES) or ": expected 'pandas' or 'spark'"
            raise ConfigurationError("engine", [f"unknown engine {engine!r}{hint}"])
        return name


def _enabled(row: Row) -> Row:
    others = {name: value for name, value in row.items() if name.lower() != "enabled"}
    return {**others, "enabled": 1}
