"""Narrow a plan to the selected rows, and keep the dependencies between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odibi_nb.core.model.engine import ENGINES
from odibi_nb.core.model.transformation import tags_from
from odibi_nb.core.planning.graph import passed_over
from odibi_nb.core.planning.selection import (
    ENTITIES,
    Population,
    Selectable,
    select,
    selection_text,
)
from odibi_nb.errors import Problem

if TYPE_CHECKING:
    from odibi_nb.core.planning.dependencies import Dependencies
    from odibi_nb.core.planning.planner import Planner


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedRows:
    """The rows of a plan, with the problems and notices of the selection.

    Attributes:
        edges: the ids that each row of the plan needs.
        problems: the problems of the selection and of the selected rows that are malformed.
        notices: notes for the user that do not prevent the run.
        elsewhere: the reason why a row does not run, by id.
    """

    edges: dict[str, set[str]]
    problems: list[Problem]
    notices: list[str]
    elsewhere: dict[str, str]


def all_rows(planner: Planner, dependencies: Dependencies) -> SelectedRows:
    """Return all rows of *planner*, for a plan without a selection."""
    return SelectedRows(
        edges=dependencies.upstream,
        problems=[problem for problems in planner.wrong.values() for problem in problems],
        notices=[],
        elsewhere=planner.elsewhere,
    )


def selected_rows(planner: Planner, dependencies: Dependencies) -> SelectedRows:
    """Return the selected rows of *planner* whose layer is run, without changing *planner*."""
    request = planner.request
    population = _population(planner, dependencies)
    chosen = select(population, request.select, request.exclude)
    inside = select(population, request.within)
    problems = [*chosen.problems, *inside.problems]
    notices = [*dict.fromkeys((*chosen.notices, *inside.notices))]
    selected = chosen.ids & inside.ids
    running = {layer.casefold() for layer in request.layers}
    elsewhere = dict(planner.elsewhere)
    for name, row in population.rows.items():
        if name not in selected:
            elsewhere[name] = "it is not selected"
        elif row.layer.casefold() not in running:
            elsewhere[name] = "its layer is not run"
    ids = selected - elsewhere.keys()
    if not ids and not problems and not request.lenient:
        text = selection_text(request.select, request.exclude)
        among = f" in {', '.join(request.layers)}" if selected else ""
        problems.append(Problem("", f"{text} selects nothing{among}"))
    for name, wrong in planner.wrong.items():
        if name in ids:
            problems += wrong
        else:
            notices.append(f"row {name!r}, which is not selected, is malformed: {wrong[0]}")
    edges = passed_over(dependencies.upstream, ids & planner.rows.keys())
    return SelectedRows(edges=edges, problems=problems, notices=notices, elsewhere=elsewhere)


def _population(planner: Planner, dependencies: Dependencies) -> Population:
    """Return all rows that can be selected, including the rows that cannot be parsed."""
    rows = {
        name: Selectable(
            layer=row.layer,
            module=row.module,
            function=row.function,
            engine=str(row.constants.get("engine", planner.request.engine)).lower(),
            tags=tags_from(row.constants),
            entities=(row.entity_1, row.entity_2, row.entity_3),
        )
        for name, row in planner.rows.items()
    }
    for name, columns in planner.malformed.items():
        layer, module, function = (str(columns.get(c, "")) for c in ("layer", "module", "function"))
        entities = tuple(None if columns.get(c) is None else str(columns[c]) for c in ENTITIES)
        lost = Selectable(layer, module, function, planner.request.engine, (), entities)
        rows.setdefault(name, lost)
    return Population(
        rows=rows,
        upstream=dependencies.upstream,
        layers=planner.looked_at,
        engines=ENGINES,
        disabled=frozenset(planner.disabled),
        labels={
            label: entity
            for entity, label in planner.manifest.entity_labels.items()
            if entity in ENTITIES
        },
        states=planner.request.states,
        freshness=planner.request.freshness,
    )
