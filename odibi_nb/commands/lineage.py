"""``lineage``: the graph around a transformation, with the last statuses. Writes nothing."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING

from odibi_nb.commands.opening import opened
from odibi_nb.core.runlog.history import run_chain
from odibi_nb.errors import ConfigurationError, OdibiError, did_you_mean
from odibi_nb.views.plan.lineage import Lineage

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Mapping

    from odibi_nb.api import GenericProjectOrchestrator
    from odibi_nb.commands.face import Face
    from odibi_nb.core.planning.plan import RunPlan


def lineage(arguments: argparse.Namespace, face: Face) -> Lineage | str:
    """Show the upstream and downstream rows of a transformation, or all rows."""
    del face
    with opened(arguments) as orchestrator:
        plan = orchestrator.plan() if arguments.id is None else orchestrator.plan_with(arguments.id)
        states, run = _states(orchestrator)
    subject = "all transformations"
    if arguments.id is not None:
        plan = _around(plan, arguments.id, arguments.up, arguments.down)
        subject = arguments.id
    as_of = f" · as of run {run}" if run else ""
    title = f"lineage of {subject} · {orchestrator.project} · env {orchestrator.env}{as_of}"
    found = Lineage(title=title, plan=plan, states=states)
    return found.mermaid if arguments.mermaid else found


def _states(orchestrator: GenericProjectOrchestrator) -> tuple[Mapping[str, str] | None, str]:
    """Return the rows' statuses after the last run and the runs that it retried, and its id.

    Without a run, or if the run log cannot be read, return None and "".
    """
    try:
        chain = run_chain(orchestrator.sinks(), orchestrator.project, orchestrator.env, "last")
    except (LookupError, OdibiError, OSError):
        return None, ""
    return chain.states(), chain.runs[-1]["run_id"]


def _around(plan: RunPlan, name: str, up: int | None, down: int | None) -> RunPlan:
    """Reduce the plan to *name* and the rows at most *up* steps before or *down* steps after it."""
    if name not in plan.rows:
        hint = did_you_mean(name, plan.rows)
        raise ConfigurationError(plan.source, [f"no transformation {name!r}{hint}"])
    before = {row.id: row.upstream for row in plan.rows.values()}
    after: dict[str, list[str]] = defaultdict(list)
    for row in plan.rows.values():
        for other in row.upstream:
            after[other].append(row.id)
    near = _reached(name, before, up) | _reached(name, after, down)
    return replace(plan, rows={key: row for key, row in plan.rows.items() if key in near})


def _reached(name: str, edges: Mapping[str, Iterable[str]], steps: int | None) -> set[str]:
    """Return *name* and the rows at most *steps* edges away from it."""
    found, newest = {name}, {name}
    while newest and steps != 0:
        newest = {other for one in newest for other in edges.get(one, ())} - found
        found |= newest
        steps = None if steps is None else steps - 1
    return found
