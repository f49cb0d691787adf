"""``projects``, ``history``, ``compare`` and ``cancel``."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from odibi_nb.commands.opening import found_manifests, open_in, opened
from odibi_nb.commands.watching import folders_going_on, runs_away
from odibi_nb.core.model.events import Status
from odibi_nb.core.model.log_columns import PROVENANCE_COLUMNS, RECORD_COLUMNS, RUN_COLUMNS
from odibi_nb.core.model.manifest import shown_path
from odibi_nb.core.runlog import journal
from odibi_nb.core.runlog.compare_runs import COLUMNS, compare_runs
from odibi_nb.core.runlog.history import past_attempts, past_runs
from odibi_nb.core.runlog.recovery import journaled_states
from odibi_nb.core.runlog.run_grid import run_grid
from odibi_nb.core.runlog.run_lease import BEAT_SECONDS
from odibi_nb.core.runlog.shared_runs import open_runs_elsewhere
from odibi_nb.errors import ConfigurationError, OdibiError, did_you_mean
from odibi_nb.views.json_documents import HistoryDocument, log_entries
from odibi_nb.views.records import Records
from odibi_nb.views.run.run_comparison import RunComparison
from odibi_nb.views.run.run_history import RunHistory
from odibi_nb.wiring import make_frame

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

    from odibi_nb.api import GenericProjectOrchestrator
    from odibi_nb.commands.face import Face
    from odibi_nb.core.model.manifest import ProjectManifest

PROJECT_COLUMNS = ("project", "envs", "layers", "last run", "status", "manifest")
HISTORY_COLUMNS = (
    "run_id",
    "retry_of",
    "rollback_of",
    "status",
    "start_time",
    "duration_seconds",
    "transformations",
    "succeeded",
    "failed",
    "skipped",
    "unchanged",
    "layers",
    "user",
)


def projects(arguments: argparse.Namespace, face: Face) -> Records:
    """List every project found from here, with its environments, layers and last run."""
    del face
    manifests, errors = found_manifests()
    rows = [_project_row(manifest, look=not arguments.no_history) for manifest in manifests]
    rows += [{"project": "(cannot be read)", "manifest": str(error)} for error in errors]
    return Records("Projects", PROJECT_COLUMNS, rows, make_frame)


def _project_row(manifest: ProjectManifest, *, look: bool) -> dict[str, Any]:
    last: dict[str, Any] = {}
    for env in manifest.environments if look else ():
        try:
            found = _last_run(manifest, env)
        except (OdibiError, OSError):
            continue  # an unreachable environment has no last run to show
        if found and (not last or found["start_time"] > last["start_time"]):
            last = found
    return {
        "project": manifest.project,
        "envs": ", ".join(manifest.environments),
        "layers": ", ".join(manifest.layer_order),
        "last run": last.get("start_time"),
        "status": f"{last['status']} ({last['env']})" if last else None,
        "manifest": shown_path(manifest.path),
    }


def _last_run(manifest: ProjectManifest, env: str) -> dict[str, Any]:
    if manifest.environment(env).auth_provider or "://" in (manifest.environment(env).lake or ""):
        return {}  # a list of projects should not query remote places
    with closing(open_in(manifest, env)) as orchestrator:
        runs = past_runs(orchestrator.sinks(), 1, manifest.project, env)
    return runs[0] if runs else {}


def history(arguments: argparse.Namespace, face: Face) -> Records | HistoryDocument:
    """Show the last runs as a grid, or the run log of one run."""
    with opened(arguments) as orchestrator:
        sinks, place = orchestrator.sinks(), (orchestrator.project, orchestrator.env)
        where = f"{orchestrator.project} · env {orchestrator.env}"
        if arguments.run is None:
            runs = _runs(orchestrator, arguments.limit)
            if arguments.json:
                return HistoryDocument(
                    project=orchestrator.project, env=orchestrator.env, runs=log_entries(runs)
                )
            rest = tuple(name for name, _ in RUN_COLUMNS if name not in HISTORY_COLUMNS)
            grid = run_grid(sinks, runs, orchestrator.manifest.layer_order)
            given = [("--project", arguments.project), ("--env", arguments.env)]
            options = [word for option, value in given if value for word in (option, value)]
            return RunHistory(
                f"Runs of {where}",
                HISTORY_COLUMNS,
                runs,
                make_frame,
                rest,
                grid,
                lambda run_id: face.spell(["show", run_id, *options]),
            )
        run_id = arguments.run
        if run_id == "last":
            newest = past_runs(sinks, 1, *place)
            run_id = newest[0]["run_id"] if newest else run_id
        rows = past_attempts(sinks, [run_id])
        if not rows:
            known = [run["run_id"] for run in past_runs(sinks, 200, *place)]
            raise ConfigurationError(
                where, [f"no run {run_id!r} in its log{did_you_mean(run_id, known)}"]
            )
        if arguments.json:
            return HistoryDocument(
                project=orchestrator.project,
                env=orchestrator.env,
                run_id=run_id,
                attempts=log_entries(rows),
            )
        order = {name: number for number, name in enumerate(orchestrator.manifest.layer_order)}
        rows.sort(key=lambda row: order.get(row["layer"], len(order)))
        columns = tuple(name for name, _ in RECORD_COLUMNS if name not in PROVENANCE_COLUMNS)
        title = f"Run {run_id} of {where}"
        return Records(title, columns, rows, make_frame, PROVENANCE_COLUMNS)


def _runs(orchestrator: GenericProjectOrchestrator, limit: int) -> list[dict[str, Any]]:
    """Return the unfinished runs of all machines, then the newest runs in the log."""
    where = orchestrator.project, orchestrator.env
    sinks, tables = orchestrator.sinks(), orchestrator.run_state()
    unended = [] if tables is None else open_runs_elsewhere(tables, *where, sinks)
    return [*unended, *past_runs(sinks, limit, *where)][:limit]


def compare(arguments: argparse.Namespace, face: Face) -> RunComparison:
    """Compare two runs: the results of each transformation in both, and the differences."""
    del face
    with opened(arguments) as orchestrator:
        where = orchestrator.project, orchestrator.env
        try:
            found = compare_runs(orchestrator.sinks(), *where, arguments.run_a, arguments.run_b)
        except LookupError as exc:
            raise ConfigurationError("compare", [str(exc.args[0])]) from exc
    title = f"Runs of {orchestrator.project} · env {orchestrator.env}"
    return RunComparison(title, COLUMNS, found.rows, make_frame, (), found.runs)


def cancel(arguments: argparse.Namespace, face: Face) -> str:
    """Cancel a run in progress. A second request blocks writes; a third abandons running rows."""
    del face
    chosen = folders_going_on(arguments)
    names = [folder.name for folder in chosen]
    if elsewhere := _cancelled_elsewhere(arguments, names):
        return elsewhere
    if arguments.run_id:
        chosen = [folder for folder in chosen if folder.name == arguments.run_id]
        if not chosen:
            listed = f"; running: {', '.join(names) or 'none'}"
            hint = did_you_mean(arguments.run_id, names) or listed
            raise ConfigurationError("cancel", [f"run {arguments.run_id!r} is not running{hint}"])
    if not chosen:
        raise ConfigurationError("cancel", ["nothing is running"])
    if len(chosen) > 1:
        run_names = ", ".join(folder.name for folder in chosen)
        raise ConfigurationError("cancel", [f"name the run: {run_names}"])
    run, row = chosen[0], arguments.transformation or ""
    if row:
        _check_transformation(run, row)
    journal.request_cancel(run, row)
    if run not in journal.live_runs(run.parent.parent):
        raise ConfigurationError("cancel", [f"run {run.name} has ended already"])
    return f"asked {_target(row)} {run.name} to end"


def _target(row: str) -> str:
    return f"transformation {row} of run" if row else "run"


def _cancelled_elsewhere(arguments: argparse.Namespace, here: list[str]) -> str:
    """Ask a run on another machine to end, and return the answer; "" if no other machine has such a run."""
    if (here and not arguments.run_id) or arguments.run_id in here:
        return ""
    row = arguments.transformation or ""
    away = [run for run, _ in runs_away(arguments)]
    if len(away) > 1:
        names = ", ".join(run.run_id for run in away)
        raise ConfigurationError("cancel", [f"name the run: {names}"])
    for run in away:
        if run.cancel(row):
            return (
                f"asked {_target(row)} {run.run_id} on {run.owner.host} to end: it checks for "
                f"requests every {BEAT_SECONDS:g} s"
            )
    return ""


def _check_transformation(run: Path, name: str) -> None:
    """Raise ConfigurationError if the transformation is unknown or has ended."""
    states = journaled_states(run)
    if not states:
        return  # written by an older version, or still starting: the run itself reports it
    status = states.get(name)
    if status is None:
        why = f"has no transformation {name!r}{did_you_mean(name, states)}"
        raise ConfigurationError("cancel", [f"run {run.name} {why}"])
    if status not in ("WAITING", Status.RUNNING.value):
        raise ConfigurationError(
            "cancel", [f"transformation {name} of run {run.name} has ended: {status}"]
        )
