"""``watch`` and ``show``: a run in progress, and a past run."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.commands.opening import found_manifests, open_in, open_manifest, open_project, opened
from odibi_nb.core.process.state_folder import state_folder
from odibi_nb.core.runlog.followed_run import FollowedRun
from odibi_nb.core.runlog.history import LAST
from odibi_nb.core.runlog.journal import live_runs, read_mark, run_folders
from odibi_nb.core.runlog.past_run import ended_run_in, find_past_run, result_of
from odibi_nb.core.runlog.run_elsewhere import runs_elsewhere
from odibi_nb.core.runlog.unusual import with_unusual
from odibi_nb.errors import ConfigurationError, OdibiError
from odibi_nb.settings import load_settings
from odibi_nb.views.json_documents import HistoryDocument, log_entries
from odibi_nb.views.run.shown_run import ShownRun
from odibi_nb.wiring import make_frame

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from odibi_nb.commands.face import Face
    from odibi_nb.core.runlog.past_run import PastRun
    from odibi_nb.core.runlog.run_elsewhere import RunElsewhere
    from odibi_nb.core.runlog.unusual import Usual


def watch(arguments: argparse.Namespace, face: Face) -> Any:
    """Follow a run in progress until it ends, then show it. If it has ended already, show it at once.

    Watching has no effect on the run, and neither has stopping to watch it.
    """
    folder = _going_on(arguments)
    run = _elsewhere(arguments) if folder is None else FollowedRun(folder)
    if run is None:
        return show(arguments, face)
    if note := run.note():
        face.say(f"⏳ {note}")
    ui = str(load_settings().resolve("ui", arguments.ui, default="auto").value)
    run.usual = lambda: _usual(arguments, run.project, run.env)
    return Watched(run.run_id, face.watch(run, ui))


def runs_away(arguments: argparse.Namespace) -> Iterator[tuple[RunElsewhere, str]]:
    """Yield each run in progress on another machine, with its environment.

    Look only at the requested project, or at the only project found from here, because each look may cost
    requests to a remote lake.
    """
    named = arguments.project or arguments.manifest
    manifests = [open_manifest(arguments)] if named else found_manifests()[0]
    for manifest in manifests if len(manifests) == 1 else ():
        for env in manifest.environments:
            orchestrator = open_in(manifest, env)
            try:
                tables = orchestrator.run_state()
                if tables is None:
                    continue
                where = orchestrator.project, env, orchestrator.state_dir
                for run in runs_elsewhere(tables, orchestrator.sinks(), *where):
                    if arguments.run_id in (None, LAST, run.run_id):
                        yield run, env
            except OdibiError:
                if named:
                    raise
            finally:
                orchestrator.close()


def _elsewhere(arguments: argparse.Namespace) -> RunElsewhere | None:
    """Return the requested run if another machine runs it now."""
    found = [run for run, env in runs_away(arguments) if arguments.env in (None, env)]
    return max(found, key=lambda run: run.run_id, default=None)


@dataclass(frozen=True, slots=True)
class Watched:
    """The end of watching a run. *status* is "" if the run is still in progress."""

    run_id: str
    status: str

    @property
    def exit_code(self) -> int:
        """Exit code: 1 if the run ended without success, otherwise 0."""
        return 0 if self.status in ("", "success") else 1

    def __str__(self) -> str:
        return f"run {self.run_id}: {self.status or 'still in progress'}"


def show(arguments: argparse.Namespace, face: Face) -> ShownRun | HistoryDocument:
    """Show a past run."""
    del face
    run_id = arguments.run_id
    try:
        found = None if run_id == LAST else _journaled(arguments, run_id)
        found = _logged(arguments, run_id) if found is None else found
    except LookupError as exc:
        raise ConfigurationError("show", [str(exc.args[0])]) from exc
    result = result_of(found, make_frame)
    if getattr(arguments, "json", False):
        return HistoryDocument(
            project=result.project,
            env=result.env,
            run_id=result.run_id,
            runs=log_entries([found.run]),
            attempts=log_entries(found.records),
        )
    usual = _usual(arguments, result.project, result.env, before=result.run_id)
    return ShownRun(with_unusual(result, usual))


def _usual(
    arguments: argparse.Namespace, project: str, env: str, before: str = ""
) -> Mapping[str, Usual]:
    """Return the usual time and rows of each transformation; nothing if the run log cannot be read."""
    named = argparse.Namespace(**vars(arguments) | {"project": project, "env": env})
    try:
        orchestrator = open_project(named)
    except (OdibiError, OSError):
        return {}
    try:
        return orchestrator.usual(before)
    except Exception:  # noqa: BLE001  a run is shown, with a log that can be read or without one
        return {}
    finally:
        orchestrator.close()


def folders_going_on(arguments: argparse.Namespace) -> list[Path]:
    """Return the folders of runs in progress, of the requested project or of all projects found from here."""
    return sorted(folder for state in _states(arguments) for folder in live_runs(state))


def _going_on(arguments: argparse.Namespace) -> Path | None:
    """Return the folder of the requested run if it is in progress; for ``last``, of the newest such run."""
    named = open_manifest(arguments).project if arguments.project or arguments.manifest else ""
    found = []
    for folder in folders_going_on(arguments):
        mark = read_mark(folder)
        if (not named or mark.project == named) and arguments.env in (None, mark.env):
            found.append(folder)
    if arguments.run_id != LAST:
        found = [folder for folder in found if folder.name == arguments.run_id]
    return max(found, key=lambda folder: folder.name, default=None)


def _logged(arguments: argparse.Namespace, run_id: str) -> PastRun:
    with opened(arguments) as orchestrator:
        where = orchestrator.state_dir, orchestrator.sinks(), orchestrator.project, orchestrator.env
        return find_past_run(*where, run_id)


def _journaled(arguments: argparse.Namespace, run_id: str) -> PastRun | None:
    """Return the past run *run_id* from the journals found from here; None if none has it."""
    for state in _states(arguments):
        for folder in run_folders(state):
            if folder.name == run_id:
                mark = read_mark(folder)
                if arguments.env in (None, mark.env):
                    return ended_run_in(folder, mark.project, mark.env)
    return None


def _states(arguments: argparse.Namespace) -> list[Path]:
    """Return the state folders of the requested project, or of all projects found from here."""
    if arguments.project or arguments.manifest:
        manifests = [open_manifest(arguments)]
    else:
        manifests, _ = found_manifests()
    given = load_settings().get("state_dir")
    return [*dict.fromkeys(state_folder(manifest.folder, given) for manifest in manifests)]
