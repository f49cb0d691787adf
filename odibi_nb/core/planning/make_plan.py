"""Join the manifest and the registry rows into a plan."""

from __future__ import annotations

import contextlib
import gc
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.core.planning.dependencies import find_dependencies
from odibi_nb.core.planning.graph import depths, in_order, remaining
from odibi_nb.core.planning.plan import PlanRequest, RunPlan
from odibi_nb.core.planning.planner import Planner
from odibi_nb.core.planning.row_problems import RowResolver, ordered_layers, step_problems
from odibi_nb.core.planning.selected_rows import all_rows, selected_rows
from odibi_nb.core.planning.selection import selection_text
from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.structs import is_number
from odibi_nb.errors import Problem, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from odibi_nb.core.model.manifest import ProjectManifest


UNKNOWN_SECONDS = 1.0
"""The duration of a row without history, for the computation of ranks."""


@contextlib.contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Disable garbage collection during a call.

    A plan of many rows creates hundreds of thousands of objects and no garbage. Scanning them
    repeatedly, together with all other objects of a notebook, takes a third of the time.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@_no_garbage_collection()
def make_plan(
    manifest: ProjectManifest, rows: Iterable[Mapping[str, Any]], request: PlanRequest
) -> RunPlan:
    """Join *manifest* and registry *rows* (enabled or not) into a plan, without running any row.

    This resolves the functions of the rows, which imports their modules. The plan lists all
    problems.
    """
    planner = Planner(manifest, request)
    for number, raw in enumerate(rows, 1):
        planner.add(raw, number)
    not_run = {*planner.disabled, *planner.elsewhere}
    found = find_dependencies(
        planner.rows, planner.looked_at, not_run, planner.hint, request.engine
    )
    selected = (selected_rows if request.selects else all_rows)(planner, found)
    edges, planner.elsewhere = selected.edges, selected.elsewhere
    planner.problems += selected.problems
    planner.notices += selected.notices
    order = _order(planner, edges)
    resolver = RowResolver(manifest, request)
    planner.planned = {
        name: resolver.resolve(
            planner.rows[name],
            reads=found.reads[name],
            upstream=tuple(sorted(order.edges[name])),
            depth=order.depth[name],
            rank=order.rank[name],
        )
        for name in edges
    }
    planner.problems += [*resolver.problems, *found.problems(edges)]
    planner.notices += resolver.notices
    planner.notices += [
        f"row {name!r}: its query cannot be parsed, so any name in it counts as a table it reads: {why}"
        for name, why in found.unclear.items()
        if name in edges
    ]
    planner.notices += planner.query_notes(edges, found.unclear)
    _note_the_unused(planner)
    planner.problems += [
        Problem("", f"transformations wait for each other: {' -> '.join(cycle)}")
        for cycle in order.cycles
    ]
    ordered = {name: planner.planned[name] for name in order.listed}
    if not order.cycles:
        planner.problems += step_problems(manifest, ordered)
    layers = {layer.casefold() for layer in request.layers}
    running = {row.layer for row in planner.planned.values()}
    return RunPlan(
        project=manifest.project,
        env=request.env,
        engine=request.engine,
        source=request.source,
        layers=tuple(x for x in request.layers if x in running or not request.selects),
        rows=ordered,
        disabled=tuple(name for name, layer in planner.disabled.items() if layer in layers),
        problems=tuple(dict.fromkeys(planner.problems)),
        notices=tuple(planner.notices),
        selection=selection_text(request.select, request.exclude),
        cycle=order.cycles[0] if order.cycles else (),
        ordered_by_step=ordered_layers(manifest),
    )


def _note_the_unused(planner: Planner) -> None:
    for name in planner.request.overrides:
        if name in planner.planned or (planner.request.lenient and name in planner.elsewhere):
            continue
        if name in planner.disabled:
            hint = ": it is disabled"
        elif name in planner.elsewhere:
            hint = f": {planner.elsewhere[name]}"
        else:
            hint = planner.hint(name)
        message = f"no transformation {name!r} in this run{hint}"
        planner.problems.append(Problem(f"overrides.{name}", message))
    for layer, count in planner.lost_layers.values():
        hint = did_you_mean(layer, planner.manifest.layer_order)
        planner.notices.append(
            f"{counted(count, 'row')} of layer {layer!r} never {'runs' if count == 1 else 'run'}: layer_order does not name it{hint}"
        )


@dataclass(frozen=True)
class _Order:
    """The order of the rows of a plan.

    Attributes:
        edges: the ids that each id needs, without cycles.
        cycles: the ids of each cycle that was removed.
        depth: the number of rows in the longest chain that must run before each id.
        rank: the place of each id in the order in which ready rows start.
        listed: the ids layer by layer, upstream ids first.
    """

    edges: Mapping[str, set[str]]
    cycles: list[tuple[str, ...]]
    depth: Mapping[str, int]
    rank: Mapping[str, int]
    listed: list[str]


def _order(planner: Planner, edges: dict[str, set[str]]) -> _Order:
    rows, expected = planner.rows, planner.request.expected
    order, edges, cycles = in_order(edges)
    depth = depths(order, edges)
    left = remaining(order, edges, {name: expected.get(name, UNKNOWN_SECONDS) for name in order})
    position = {layer: i for i, layer in enumerate(planner.request.layers)}

    def first_to_start(name: str) -> tuple[Any, ...]:
        priority: Any = rows[name].constants.get("priority")
        urgent = -priority if is_number(priority) else 0
        return (urgent, -left[name], depth[name], name)

    return _Order(
        edges=edges,
        cycles=cycles,
        depth=depth,
        rank={name: i for i, name in enumerate(sorted(order, key=first_to_start))},
        listed=sorted(order, key=lambda name: (position[rows[name].layer], depth[name], name)),
    )


def no_rows_message(project: str, env: str, census: list[tuple[str, str, int]]) -> str:
    """Return the message for a registry without rows of *project* and *env*.

    Args:
        project: the project's name.
        env: the environment.
        census: project, environment and number of enabled rows, for the whole registry.
    """
    own = [(found, n) for name, found, n in census if name.casefold() == project.casefold()]
    if own:
        known = ", ".join(f"{found} ({n} enabled)" for found, n in sorted(own))
        hint = did_you_mean(env, [found for found, _ in own])
        return f"no rows for project {project!r} in env {env!r}{hint}; it has rows for: {known}"
    quoted = shlex.quote(project) if "'" in project else f"'{project}'"
    projects = sorted({name for name, _, _ in census})
    hint = did_you_mean(project, projects)
    known = f"; it has rows for: {', '.join(map(repr, projects))}" if projects else ""
    return (
        f"no rows for project {project!r}{hint}{known}. Load some: "
        f"odibi registry import FILE {quoted} --env {shlex.quote(env)}"
    )
