"""``run``, ``retry``, ``plan``, ``status`` and ``panel``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.commands.opening import confirmation, open_project, opened
from odibi_nb.core.planning.selection import exactly
from odibi_nb.core.text.toml import decode_toml
from odibi_nb.errors import ConfigurationError
from odibi_nb.settings import load_settings
from odibi_nb.views.json_documents import plan_document, status_document

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from odibi_nb.api import GenericProjectOrchestrator
    from odibi_nb.commands.face import Face
    from odibi_nb.core.model.results import RunResult
    from odibi_nb.core.planning.plan import RunPlan
    from odibi_nb.core.planning.stale_plan import ProjectStatus
    from odibi_nb.core.protocols import View
    from odibi_nb.views.json_documents import PlanDocument, StatusDocument

BODY = "the cell's body"
"""Name of the text below a cell magic, for messages."""


def run(arguments: argparse.Namespace, face: Face) -> Any:
    """Run a project with the cell's TOML overrides. With ``--background``, return the new run."""
    options = _run_options(arguments, face)
    orchestrator = open_to_run(arguments, face)
    confirm = confirmation(orchestrator, face, yes=arguments.yes, action="run")
    job = getattr(arguments, "job", "")
    if job:
        result = orchestrator.run_for_job(job, **options, confirm=confirm)
    else:
        result = started(arguments, face, orchestrator, lambda p: p.run(**options, confirm=confirm))
    return _or_reason(arguments, result)


def _or_reason(arguments: argparse.Namespace, result: Any) -> Any:
    """Return *result*. If nothing ran, return the reason instead, unless the console shows it already."""
    if arguments.background or result.run_id:
        return result
    return "\n".join(result.warnings) if arguments.log_level is None else ""


def retry(arguments: argparse.Namespace, face: Face) -> Any:
    """Retry the unfinished rows of a run. If nothing is left to retry, return the reason."""
    options = _run_options(arguments, face)
    orchestrator = open_to_run(arguments, face)
    confirm = confirmation(orchestrator, face, yes=arguments.yes, action="run")
    options |= {"only_failed": arguments.only_failed, "confirm": confirm}
    result = started(arguments, face, orchestrator, lambda p: p.retry(arguments.run_id, **options))
    return _or_reason(arguments, result)


def open_to_run(arguments: argparse.Namespace, face: Face) -> GenericProjectOrchestrator:
    """Open the requested project with the views and settings of a run."""
    settings = load_settings()
    log_level = settings.resolve("log_level", arguments.log_level).value
    views: Sequence[View]
    if not arguments.background:
        views, log_level = face.views(_ui(arguments), log_level)
    elif face.background is None:
        why = "works in a notebook; in a shell leave it out, and end the line with &"
        raise ConfigurationError("--background", [why])
    else:
        views, log_level = (), "CRITICAL"
    orchestrator = open_project(
        arguments,
        views=views,
        log_level=log_level,
        save_logs=bool(settings.resolve("save_logs", arguments.save_logs).value),
    )
    face.opened(orchestrator)
    return orchestrator


def started(
    arguments: argparse.Namespace,
    face: Face,
    orchestrator: GenericProjectOrchestrator,
    act: Callable[[GenericProjectOrchestrator], RunResult],
) -> Any:
    """Return the result of *act*, or with ``--background`` the run that was started."""
    if not arguments.background:
        return act(orchestrator)
    assert face.background is not None
    return face.background(orchestrator, act, _ui(arguments))


def _ui(arguments: argparse.Namespace) -> str:
    return str(load_settings().resolve("ui", arguments.ui, default="auto").value)


def _run_options(arguments: argparse.Namespace, face: Face) -> dict[str, Any]:
    return {
        **_options(arguments, overrides_from(face.body)),
        "on_error": arguments.on_error,
        "run_timeout_seconds": arguments.run_timeout,
        "keep_cached": arguments.keep_cached,
        "atomic": arguments.atomic,
        "force": arguments.force,
        "part": arguments.part,
    }


def panel(arguments: argparse.Namespace, face: Face) -> Any:
    """Open a panel to run projects by point and click."""
    if face.panel is None:
        why = "needs a notebook with widgets: use odibi plan and odibi run here"
        raise ConfigurationError("panel", [why])
    return face.panel(arguments.project, arguments.env, arguments.engine, arguments.manifest)


def plan(arguments: argparse.Namespace, face: Face) -> RunPlan | PlanDocument:
    """Plan a run. Writes nothing."""
    with opened(arguments) as orchestrator:
        found = orchestrator.plan(**_options(arguments, overrides_from(face.body)))
    return plan_document(found) if arguments.json else found


def status(arguments: argparse.Namespace, face: Face) -> ProjectStatus | StatusDocument:
    """Show the state of each row: fresh, stale or unknown, and why. Writes nothing."""
    del face
    with opened(arguments) as orchestrator:
        found = orchestrator.status(
            target_layers=arguments.layers,
            select=selected(arguments),
            exclude=arguments.exclude,
        )
    return status_document(found) if arguments.json else found


def _options(arguments: argparse.Namespace, overrides: dict[str, dict[str, Any]]) -> dict[str, Any]:
    options: dict[str, Any] = {
        "target_layers": arguments.layers,
        "select": selected(arguments),
        "exclude": arguments.exclude,
        "stale": getattr(arguments, "stale", None),
        "max_workers": arguments.workers,
        "schedule": arguments.schedule,
        "timeout_seconds": arguments.timeout,
        "overrides": overrides,
    }
    if arguments.retries is not None:
        options["retry"] = {"max_retries": arguments.retries}
    return options


def selected(arguments: argparse.Namespace) -> list[str]:
    """Return the selectors of ``--select`` and ``--only``."""
    return [*(arguments.select or ()), *map(exactly, arguments.only or ())]


def overrides_from(body: str) -> dict[str, dict[str, Any]]:
    """Read constants by transformation id from TOML: ``[SILVER_001]``, then ``drop_nulls = false``.

    Raises:
        ConfigurationError: if the text is not TOML, or a key is outside a table.
    """
    if not body.strip():
        return {}
    # People write "[SILVER_001] drop_nulls = false" on one line, but TOML requires two.
    lines = [
        line.replace("] ", "]\n", 1) if line.lstrip().startswith("[") else line
        for line in body.splitlines()
    ]
    try:
        tables = decode_toml("\n".join(lines))
    except ValueError as exc:
        raise ConfigurationError(BODY, [f"is not TOML: {exc}"]) from exc
    return only_tables(tables)


def only_tables(body: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the decoded TOML of a cell's body, in which each transformation has a table.

    Raises:
        ConfigurationError: if a key is outside a table.
    """
    loose = [name for name, value in body.items() if not isinstance(value, dict)]
    if loose:
        names = ", ".join(map(repr, loose))
        raise ConfigurationError(
            BODY, [f"write {names} below the header of a transformation, such as [SILVER_001]"]
        )
    return body
