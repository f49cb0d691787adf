"""A plan's dependency graph before it is drawn: nodes with their texts, and edges."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from odibi_nb.core.text.counts import counted
from odibi_nb.views.status_style import RETRYING, STATUS_STYLES, WAITING, style_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from odibi_nb.core.planning.plan import PlannedRow, RunPlan
    from odibi_nb.views.run.row_state import RowState

MAX_NODES = 150
"""Largest number of rows that are drawn one by one. Larger plans are drawn as layers, to be readable."""
PROBLEM_SIGN = "⚠"
Edge = tuple[str, str]
"""A dependency: the node that must end first, and the node that waits for it."""


class Node(NamedTuple):
    """A box: a transformation, or a whole layer in a graph of layers.

    Attributes:
        lines: the text in the box; the first line is the name.
        status: a key of `STATUS_STYLES` or WAITING; "" if the graph shows no run.
        problems: the plan's problems with it.
        tooltip: the lines of the tooltip.
    """

    id: str
    layer: str
    lines: tuple[str, ...]
    tooltip: tuple[str, ...]
    status: str = ""
    problems: tuple[str, ...] = ()

    @property
    def sign(self) -> str:
        """Return the sign before the name: the problem sign, the sign of the status, or ""."""
        if self.problems:
            return PROBLEM_SIGN
        return style_of(self.status).sign if self.status else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Graph:
    """The content of a picture of the dependencies.

    Attributes:
        layers: the layers that have nodes, in order.
        nodes: by id, layer by layer.
        edges: each with the number of dependencies that it represents; they are free of cycles.
        circle: the edges of a cycle of waiting transformations. An edge that would close a cycle is not in
            `edges`.
        legend: the signs in use, with the number of their nodes and their meaning.
        label: the picture in words.
        note: a remark on simplifications of the picture; "" without any.
    """

    layers: tuple[str, ...]
    nodes: Mapping[str, Node]
    edges: Mapping[Edge, int]
    circle: tuple[Edge, ...] = ()
    legend: tuple[str, ...] = ()
    label: str = ""
    note: str = ""


def graph_of(plan: RunPlan, states: Mapping[str, str] | None = None) -> Graph:
    """Return the graph of a plan's rows, or of its layers if it has more than `MAX_NODES` rows.

    Args:
        plan: its rows and the edges between them are drawn, so ``dataclasses.replace(plan, rows=…)``
            draws a part of it.
        states: id to a status of a run (a `Status` value, ``WAITING`` or ``RETRYING``). A row without a
            state is waiting. None draws no run.
    """
    rows = plan.rows
    edges = [(up, name) for name, row in rows.items() for up in row.upstream if up in rows]
    problems = problems_by_row(plan)
    for name in dict.fromkeys(plan.cycle):
        if name in rows:
            problems[name].append(("", "waits for itself, by way of others"))
    steps = plan.steps()
    nodes = {}
    for name, row in rows.items():
        messages = tuple(message for _, message in problems.get(name, ()))
        status = "" if states is None else _known(states.get(name, WAITING))
        nodes[name] = _node(row, messages, status, steps.get(row.layer, ()))
    present = {row.layer for row in rows.values()}
    # Along a cycle, each row waits for the next one.
    circle = tuple(
        (up, name) for name, up in itertools.pairwise(plan.cycle) if up in rows and name in rows
    )
    layers = tuple(layer for layer in plan.layers if layer in present)
    return _graph(plan.project, layers, nodes, edges, circle)


def graph_of_rows(
    project: str, rows: Sequence[RowState], upstream: Mapping[str, Sequence[str]]
) -> Graph:
    """Return the graph of a run's rows, or of its layers if it has more than `MAX_NODES` rows.

    Args:
        project: the project's name.
        rows: the rows of a run, in the plan's order.
        upstream: id to the ids of its upstream rows. An edge that would close a circle is left out.
    """
    names = {row.id for row in rows}
    asked = [(up, row.id) for row in rows for up in upstream.get(row.id, ()) if up in names]
    nodes = {row.id: _run_node(row) for row in rows}
    layers = tuple(dict.fromkeys(row.layer for row in rows))
    return _graph(project, layers, nodes, _open(dict.fromkeys(asked), ()))


def _graph(
    project: str,
    layers: tuple[str, ...],
    nodes: Mapping[str, Node],
    edges: Sequence[Edge],
    circle: tuple[Edge, ...] = (),
) -> Graph:
    """Return the graph of rows, or of their layers if there are more than `MAX_NODES`."""
    legend = _legend(nodes.values())
    parts = [
        counted(len(nodes), "transformation"),
        counted(len(edges), "dependency", "dependencies"),
    ]
    parts += [text[2:] for text in legend]
    graph = Graph(
        layers=layers,
        nodes=nodes,
        edges=dict.fromkeys([*edges, *_open(circle, edges)], 1),
        circle=circle,
        legend=legend,
        label=f"Dependency graph of {project}: {', '.join(parts)}",
    )
    return graph if len(nodes) <= MAX_NODES else _by_layer(graph)


def _run_node(row: RowState) -> Node:
    function = row.function.rpartition(".")[2]
    return Node(
        id=row.id,
        layer=row.layer,
        lines=(row.id, f"{function} · {row.engine}"),
        tooltip=(
            row.id,
            f"{row.function} · {row.engine}",
            row.status,
            *([row.error] if row.error else []),
        ),
        status=_known(row.status),
    )


def _open(circle: Iterable[Edge], edges: Iterable[Edge]) -> list[Edge]:
    """Return the edges of *circle* that can be added to *edges* without closing a cycle."""
    after: dict[str, list[str]] = defaultdict(list)
    for up, name in edges:
        after[up].append(name)

    def leads(start: str, end: str) -> bool:
        seen, todo = {start}, [start]
        while todo:
            for name in after[todo.pop()]:
                if name not in seen:
                    seen.add(name)
                    todo.append(name)
        return end in seen

    joined = []
    for up, name in circle:
        if not leads(name, up):
            after[up].append(name)
            joined.append((up, name))
    return joined


def _known(status: str) -> str:
    """Return *status*. A status without a style counts as waiting."""
    return status if status in STATUS_STYLES else WAITING


def problems_by_row(plan: RunPlan) -> defaultdict[str, list[tuple[str, str]]]:
    """Map ids to the problems of their rows: the place in the row, and the message.

    A row's problem is located at ``row 'ID'`` or inside it. The place of the row itself is "".
    """
    ids = {f"row {name!r}": name for name in plan.rows}
    found: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    for where, message in plan.problems:
        row = where
        while row and row not in ids:
            row = row.rpartition(", ")[0]
        if row:
            found[ids[row]].append((where[len(row) + 2 :], message))
    return found


def _node(row: PlannedRow, problems: tuple[str, ...], status: str, steps: Sequence[int]) -> Node:
    """Return the box of *row*. *steps* are the steps that order its layer."""
    transformation = row.transformation
    if row.fn is None and not problems:
        problems = ("its function was not found",)
    tooltip = [row.id, transformation.qualified_function, f"{row.layer} · {row.engine}"]
    if status:
        tooltip.append(f"{style_of(status).sign} {status.lower()}")
    tooltip += [f"{PROBLEM_SIGN} {text}" for text in problems]
    if row.upstream:
        tooltip.append(f"after {', '.join(row.upstream)}")
    below, step = [transformation.function, row.engine], transformation.step
    if steps and step is not None:
        before = [x for x in steps if x < step]
        wait = f", after all rows of step {before[-1]}" if before else ""
        tooltip.append(f"step {step}{wait}")
        below.insert(0, f"step {step}")
    return Node(
        id=row.id,
        layer=row.layer,
        lines=(row.id, " · ".join(below)),
        tooltip=tuple(tooltip),
        status=status,
        problems=problems,
    )


def _legend(nodes: Collection[Node]) -> tuple[str, ...]:
    """Count the nodes of each status, and the nodes with a problem, each with its sign."""
    counts = Counter(node.status for node in nodes if node.status)
    wrong = sum(bool(node.problems) for node in nodes)
    return (
        *(
            f"{style_of(status).sign} {counts[status]:,} {status.lower()}"
            for status in (*STATUS_STYLES, WAITING)
            if counts[status]
        ),
        *([f"{PROBLEM_SIGN} {wrong:,} with a problem"] if wrong else []),
    )


def _by_layer(graph: Graph) -> Graph:
    """Return the same graph with one node per layer. Each edge has the number of its dependencies."""
    members: dict[str, list[Node]] = {layer: [] for layer in graph.layers}
    for node in graph.nodes.values():
        members[node.layer].append(node)
    between: Counter[Edge] = Counter()
    for up, name in graph.edges:
        between[graph.nodes[up].layer, graph.nodes[name].layer] += 1
    nodes = {
        layer: _layer_node(layer, rows, between[layer, layer]) for layer, rows in members.items()
    }
    return Graph(
        layers=graph.layers,
        nodes=nodes,
        edges={edge: count for edge, count in between.items() if edge[0] != edge[1]},
        legend=graph.legend,
        label=graph.label,
        note=(
            f"{counted(len(graph.nodes), 'transformation')} are too many for one picture: drawn as their "
            "layers, with the number of dependencies between them."
        ),
    )


def _layer_node(layer: str, rows: list[Node], inside: int) -> Node:
    size = counted(len(rows), "transformation")
    among = (f"{counted(inside, 'dependency', 'dependencies')} inside",) if inside else ()
    lines = (layer, size, *among, *_legend(rows))
    wrong = sum(bool(node.problems) for node in rows)
    problems = (f"{wrong:,} with a problem",) if wrong else ()
    return Node(layer, layer, lines, lines, _worst({node.status for node in rows}), problems)


def _worst(statuses: set[str]) -> str:
    """Return the most urgent of *statuses*; "" without any."""
    order = ("FAILED", "ABANDONED", "CANCELLED", "SKIPPED", RETRYING, "RUNNING", WAITING)
    return next((status for status in (*order, "SUCCESS", "UNCHANGED") if status in statuses), "")
