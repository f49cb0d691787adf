"""The Python interface: the seed's public names, with the adapters of this package.

A notebook's first cell imports these names, so the orchestrator and all that it needs are imported when
one of them is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import closing
    from pathlib import Path

    from odibi_nb.core.model.manifest import ProjectManifest
    from odibi_nb.core.model.results import RunResult
    from odibi_nb.core.model.rollback import RollbackPlan
    from odibi_nb.core.planning.stale_plan import ProjectStatus
    from odibi_nb.core.protocols import BaseLogSink
    from odibi_nb.core.running.hooks import HookManager
    from odibi_nb.project_orchestrator import GenericProjectOrchestrator
    from odibi_nb.views.inspect.diff import Diff

__all__ = [
    "GenericProjectOrchestrator",
    "ProjectManifest",
    "TransformationRunnerFromConfig",
    "diff",
    "read_table",
    "report",
    "rollback",
    "run_project",
    "show",
    "status",
    "watch",
]


def __getattr__(name: str) -> Any:
    """Import the classes of other modules when they are first asked for here."""
    if name not in ("GenericProjectOrchestrator", "ProjectManifest"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from odibi_nb import project_orchestrator

    value = getattr(project_orchestrator, name)
    globals()[name] = value
    return value


def _opened(project: str, env: str, **keywords: Any) -> closing[GenericProjectOrchestrator]:
    """Open a project for a ``with`` block, which closes it."""
    from contextlib import closing

    from odibi_nb.project_orchestrator import GenericProjectOrchestrator

    return closing(GenericProjectOrchestrator(project, env, **keywords))


def run_project(
    project: str,
    env: str = "qat",
    target_layers: Sequence[str] | None = None,
    cache_plan: Mapping[str, Sequence[str]] | None = None,
    manifest_path: Path | str | None = None,
    log_level: str = "WARNING",
    save_logs: bool = False,
    auth_provider: Callable[..., Any] | None = None,
    engine: str | None = None,
    hooks: HookManager | None = None,
    log_sink: BaseLogSink | None = None,
    **options: Any,
) -> RunResult:
    """Run the rows of a project, in the layer order of its manifest.

    Args:
        project: the project's name.
        env: the environment.
        target_layers: run only these layers, in the manifest's order.
        cache_plan: layer to the tables to cache after it; the manifest's cache plan if None.
        manifest_path: path of the manifest; if None, the manifest is found by the project's name.
        log_level: level of the console: ``DEBUG``, ``INFO``, ``WARNING``, ``ERROR``.
        save_logs: also write the captured logs of the run to a file.
        auth_provider: called with ``env``, ``repo_path``, ``logger_metadata``; returns a dict with
            ``spark`` and ``sql_provider``.
        engine: ``pandas`` or ``spark``; if None, the engine of the settings or the environment, else
            ``spark``.
        hooks: listeners of this run.
        log_sink: sink of the run log, instead of the environment's Delta table.
        **options: `repo_path`, and the fields of `odibi_nb.core.model.options.RunOptions`:
            ``select``, ``exclude``, ``stale``, ``max_workers``, ``on_error``, ``schedule``, ``retry``,
            ``timeout_seconds``, ``run_timeout_seconds``, ``overrides``, ``repairs``,
            ``keep_cached``, ``atomic``, ``force``, ``confirm``.

    Returns:
        The result of the run, also a mapping with ``status``, ``layers_executed``,
        ``duration_seconds`` … A failed transformation is part of the result and raises no exception:
        see `RunResult.raise_for_status`.

    Raises:
        ConfigurationError: if the manifest, the registry or an option is wrong; nothing has run.
    """
    from odibi_nb.project_orchestrator import GenericProjectOrchestrator

    return GenericProjectOrchestrator(
        project,
        env,
        manifest_path=manifest_path,
        log_level=log_level,
        save_logs=save_logs,
        auth_provider=auth_provider,
        engine=engine,
        hooks=hooks,
        log_sink=log_sink,
    ).run(target_layers=target_layers, cache_plan=cache_plan, **options)


def rollback(
    project: str, run_id: str = "last", env: str = "qat", *, dry_run: bool = False, **keywords: Any
) -> RunResult | RollbackPlan:
    """Restore the tables that a run wrote to their versions before that run.

    Args:
        project: the project's name.
        run_id: id of the run; ``last`` for the newest run that is not a rollback. Later retries of the run
            are rolled back with it.
        env: the environment.
        dry_run: return the plan, and write nothing.
        **keywords: ``select``, ``force``, ``drop``, ``confirm``, ``repo_path``, as in
            `Orchestrator.rollback`, and arguments of `GenericProjectOrchestrator`, such as
            `manifest_path` or `engine`.

    Returns:
        The result of the rollback, which is a run of its own; with *dry_run* its plan.

    Raises:
        ConfigurationError: if the run does not exist, or a table cannot be rolled back; nothing has been
            restored. The message has all problems.
    """
    named = ("select", "force", "drop", "confirm", "repo_path")
    options = {name: keywords.pop(name) for name in named if name in keywords}
    with _opened(project, env, **keywords) as opened:
        if not dry_run:
            return opened.rollback(run_id, **options)
        for name in ("confirm", "repo_path"):
            options.pop(name, None)
        return opened.rollback_plan(run_id, **options)


def status(project: str, env: str = "qat", **keywords: Any) -> ProjectStatus:
    """Return the state of each row of a project: fresh, stale or unknown, and why. Writes nothing.

    Args:
        project: the project's name.
        env: the environment.
        **keywords: further arguments of `GenericProjectOrchestrator`, such as `manifest_path` or
            `engine`.

    Raises:
        ConfigurationError: if the manifest or the registry is wrong.
    """
    with _opened(project, env, **keywords) as opened:
        return opened.status()


def show(project: str, run_id: str = "last", env: str = "qat", **keywords: Any) -> RunResult:
    """Return the result of a past run, from its journal or the run log. Writes nothing.

    Args:
        project: the project's name.
        run_id: id of the run; ``last`` for the newest run that has ended.
        env: the environment.
        **keywords: further arguments of `GenericProjectOrchestrator`, such as `manifest_path` or
            `engine`.

    Returns:
        The result with its transformations and their logs. The exceptions themselves are gone.

    Raises:
        ConfigurationError: if the run does not exist.
    """
    from odibi_nb.core.runlog.past_run import find_past_run, result_of
    from odibi_nb.core.runlog.unusual import with_unusual
    from odibi_nb.errors import ConfigurationError
    from odibi_nb.wiring import make_frame

    with _opened(project, env, **keywords) as opened:
        where = opened.state_dir, opened.sinks(), opened.project, opened.env
        try:
            result = result_of(find_past_run(*where, run_id), make_frame)
        except LookupError as exc:
            raise ConfigurationError("show", [str(exc.args[0])]) from exc
        return with_unusual(result, opened.usual(before=result.run_id))


def report(
    project: str,
    run_id: str = "last",
    env: str = "qat",
    *,
    out: Path | str | None = None,
    format: Literal["html", "md"] = "html",
    force: bool = False,
    **keywords: Any,
) -> Path:
    """Write the report of a run to one file, and return its path.

    Args:
        project: the project's name.
        run_id: id of the run; ``last`` for the newest run that has ended.
        env: the environment.
        out: the file; by default ``report-RUN_ID.html`` or ``.md`` in the working directory.
        format: ``html`` for a page, ``md`` for a pull request.
        force: also replace a file that is not a report, or that was changed.
        **keywords: further arguments of `GenericProjectOrchestrator`, such as `manifest_path`.

    Raises:
        ConfigurationError: if there is no such run, or the file cannot be written or replaced.
    """
    from odibi_nb.reporting import find_report, save_report

    with _opened(project, env, **keywords) as opened:
        found = find_report(opened, run_id)
    return save_report(found, out, format, force=force).path


def watch(project: str, run_id: str = "last", env: str = "qat", **keywords: Any) -> RunResult:
    """Print the progress of a run of this or another process or machine until it ends.

    An interrupt ends only the output, not the run. A run that has already ended prints nothing.

    Args:
        project: the project's name.
        run_id: id of the run; ``last`` for the newest one.
        env: the environment.
        **keywords: further arguments of `GenericProjectOrchestrator`, such as `manifest_path`.

    Returns:
        The result of the run, as `show` returns it.

    Raises:
        ConfigurationError: if the run does not exist.
    """
    from odibi_nb.core.runlog.followed_run import FollowedRun, runs_going_on
    from odibi_nb.core.runlog.run_elsewhere import runs_elsewhere
    from odibi_nb.views.run.console import ThrottledConsole

    with _opened(project, env, **keywords) as opened:
        where = opened.project, opened.env
        found = [FollowedRun(one.folder) for one in runs_going_on(opened.state_dir, *where)]
        if not found:
            found += runs_elsewhere(opened.run_state(), opened.sinks(), *where, opened.state_dir)
        for run in [run for run in found if run_id in ("last", run.run_id)][-1:]:
            console = ThrottledConsole("INFO")
            if note := run.note():
                console.on_message("INFO", f"⏳ {note}")
            run.show_in(console)
            run.follow()
            run_id = run.run_id
    return show(project, run_id, env, **keywords)


class TransformationRunnerFromConfig:
    """Runner of one layer of a project, with the seed's signature.

    Args:
        sql_provider: reads the TransformationRegistry; the environment's registry if None.
        project: the project's name.
        env: the environment.
        log_level: level of the console.
        max_workers: maximum number of transformations at a time in `run_parallel`.
        layer: the layer.
        engine: ``pandas`` or ``spark``; if None, as in `run_project`.
        hooks: listeners.
        log_sink: sink of the run log, instead of the default.
        spark: the Spark session; needs *sql_provider*.
        **keywords: further arguments of `GenericProjectOrchestrator`, such as `manifest_path`.
    """

    def __init__(
        self,
        sql_provider: Any = None,
        project: str = "",
        env: str = "qat",
        log_level: str = "ERROR",
        max_workers: int | None = None,
        layer: str = "Silver_1",
        engine: str | None = None,
        hooks: HookManager | None = None,
        log_sink: BaseLogSink | None = None,
        spark: Any = None,
        **keywords: Any,
    ) -> None:
        from odibi_nb.project_orchestrator import GenericProjectOrchestrator

        if sql_provider is not None:
            session = {"spark": spark, "sql_provider": sql_provider}
            keywords["auth_provider"] = lambda **_: session
        self.layer = layer
        self.max_workers = max_workers
        self.orchestrator = GenericProjectOrchestrator(
            project,
            env,
            log_level=log_level,
            engine=engine,
            hooks=hooks,
            log_sink=log_sink,
            **keywords,
        )

    def run_all(self) -> RunResult:
        """Run the layer's transformations one at a time."""
        return self.orchestrator.run(target_layers=[self.layer], max_workers=1)

    def run_parallel(self) -> RunResult:
        """Run the layer's transformations in parallel, as far as their dependencies allow."""
        return self.orchestrator.run(target_layers=[self.layer], max_workers=self.max_workers)


def read_table(
    project: str,
    table: str,
    env: str = "qat",
    *,
    version: int | None = None,
    run: str | None = None,
    **keywords: Any,
) -> Any:
    """Read a table of the project's lake as a DataFrame of the project's engine.

    Args:
        project: the project's name.
        table: ``schema.table``.
        env: the environment.
        version: version of the table to read; the newest one if None.
        run: id of a run, or ``last``, instead of a version: read the version that the run wrote, or else
            the version that it read.
        **keywords: further arguments of `GenericProjectOrchestrator`, such as `manifest_path` or
            `engine`.

    Raises:
        TableNotFoundError: if the table does not exist.
        DataError: if the version does not exist any more.
        ConfigurationError: if *run* neither wrote nor read the table.
    """
    from odibi_nb.core.model.provenance import UnversionedTable
    from odibi_nb.core.model.tables import TableName
    from odibi_nb.core.running.context import get_current_context

    name = TableName.parse(table)
    context = get_current_context()
    if context is not None:  # a transformation calls this: no version is compared later
        context.provenance.read(UnversionedTable(table=name.key))
    with _opened(project, env, **keywords) as opened:
        if run is not None:
            from odibi_nb.core.rehearsal.past_attempts import version_in_run

            version = version_in_run(opened, name, run)
        tables: Any = opened.tables(opened.engine)
        return tables.read(name) if version is None else tables.read_version(name, version)


def diff(
    project: str,
    *words: str,
    env: str = "qat",
    other_env: str | None = None,
    keys: Sequence[str] = (),
    select: Sequence[str] = (),
    exclude: Sequence[str] = (),
    **keywords: Any,
) -> Diff:
    """Compare the data of tables. Writes nothing.

    Args:
        project: the project's name.
        *words: a table (its last data change); two versions, such as ``"silver.x@3", "silver.x@5"``; or
            ``"last"`` or a run's id (each table that the run wrote), and tables. With *other_env*,
            tables; without words, the tables of all rows.
        env: the environment.
        other_env: a second environment, whose tables are the later side.
        keys: columns that identify a row; if empty, the keys of the row's output. Without any, whole
            rows are compared.
        select: only tables that these rows write.
        exclude: leave out the tables that these rows write.
        **keywords: further arguments of `GenericProjectOrchestrator`, such as `manifest_path` or
            `engine`.

    Returns:
        The differences: `tables` maps a table's name to its numbers and samples. `str` has one line
        for each table.

    Raises:
        ConfigurationError: if a word is not a table, version or run.
        DataError: if the table or its version cannot be read.
    """
    from odibi_nb.comparing import What, compare
    from odibi_nb.project_orchestrator import GenericProjectOrchestrator

    envs = [env, *([] if other_env is None else [other_env])]
    projects = [GenericProjectOrchestrator(project, name, **keywords) for name in envs]
    what = What(words=words, keys=tuple(keys), select=tuple(select), exclude=tuple(exclude))
    try:
        return compare(projects[0], what, *projects[1:])
    finally:
        for opened in projects:
            opened.close()
