"""From a selection to the rows of a plan that it means, and what must come before what among them."""

from __future__ import annotations

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
    from odibi_nb.core.planning.dependencies import Edges
    from odibi_nb.core.planning.planner import Planner


def selected_edges(planner: Planner, found: Edges) -> dict[str, set[str]]:
    """The edges among the rows that are selected and whose layer is run; `wrong` without the others."""
    request = planner.request
    population = _population(planner, found)
    chosen = select(population, request.select, request.exclude)
    inside = select(population, request.within)
    planner.problems += [*chosen.problems, *inside.problems]
    planner.notices += dict.fromkeys((*chosen.notices, *inside.notices))
    wanted = chosen.ids & inside.ids
    running = {layer.casefold() for layer in request.layers}
    for name, row in population.rows.items():
        if name not in wanted:
            planner.elsewhere[name] = "it is not selected"
        elif row.layer.casefold() not in running:
            planner.elsewhere[name] = "its layer is not run"
    ids = wanted - planner.elsewhere.keys()
    if not ids and not planner.problems and not request.lenient:
        text = selection_text(request.select, request.exclude)
        among = f" in {', '.join(request.layers)}" if wanted else ""
        planner.problems.append(Problem("", f"{text} selects nothing{among}"))
    for name in [name for name in planner.wrong if name not in ids]:
        problem = planner.wrong.pop(name)[0]
        planner.notices.append(f"row {name!r}, which is not selected, is malformed: {problem}")
    return passed_over(found.upstream, ids & planner.rows.keys())


def _population(planner: Planner, found: Edges) -> Population:
    """All rows there are, also those that cannot be parsed, so that nobody wonders where they are."""
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
        upstream=found.upstream,
        layers=planner.looked_at,
        engines=ENGINES,
        disabled=frozenset(planner.disabled),
        labels={
            label: entity
            for entity, label in planner.manifest.entity_labels.items()
            if entity in ENTITIES
        },
        states=planner.request.states,
    )
