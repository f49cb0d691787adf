"""A plan's dependency graph as Mermaid text, for Markdown pages. Every value is escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odibi_nb.views.plan.graph import graph_of
from odibi_nb.views.status_style import STATUS_STYLES, style_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from odibi_nb.core.planning.plan import RunPlan
    from odibi_nb.views.plan.graph import Graph, Node

_PLAIN = frozenset(" _-.,/·")


def graph_mermaid(plan: RunPlan, states: Mapping[str, str] | None = None) -> str:
    """Return the graph that `graph_svg` draws as a Mermaid ``flowchart``.

    Args:
        plan: the plan to draw.
        states: id to a status, to show the progress of a run.
    """
    return mermaid_of(graph_of(plan, states))


def mermaid_of(graph: Graph) -> str:
    """Return *graph* as a Mermaid ``flowchart``."""
    names = {name: f"n{i}" for i, name in enumerate(graph.nodes)}
    lines = ["flowchart LR"]
    for i, layer in enumerate(graph.layers):
        lines.append(f'  subgraph L{i}["{_escaped(layer)}"]')
        for name, node in graph.nodes.items():
            if node.layer == layer:
                first, *rest = node.lines
                head = f"{node.sign} {first}" if node.sign else first
                text = "<br/>".join(map(_escaped, (head, *rest)))
                lines.append(f'    {names[name]}["{text}"]')
        lines.append("  end")
    for (up, name), count in graph.edges.items():
        arrow = f"-->|{count}|" if graph.note else "-->"
        lines.append(f"  {names[up]} {arrow} {names[name]}")
    lines += [f"  {names[up]} -. circle .-> {names[name]}" for up, name in graph.circle]
    lines += _classes(graph.nodes.values(), names)
    return "\n".join(lines) + "\n"


def _classes(nodes: Iterable[Node], names: Mapping[str, str]) -> Iterator[str]:
    """Yield the styles of nodes with a status and of nodes with a problem."""
    groups: dict[tuple[str, str], list[str]] = {}
    for node in nodes:
        if node.status:
            key = node.status.lower(), f"stroke:{style_of(node.status).colour},stroke-width:3px"
            groups.setdefault(key, []).append(names[node.id])
        if node.problems:
            key = "problem", f"stroke:{STATUS_STYLES['FAILED'].colour},stroke-dasharray:5 3"
            groups.setdefault(key, []).append(names[node.id])
    for (group, style), members in groups.items():
        yield f"  classDef {group} {style}"
        yield f"  class {','.join(members)} {group}"


def _escaped(text: str) -> str:
    """Return *text* with Mermaid's character codes for all characters that could be syntax."""
    return "".join(
        c if c.isalnum() or c in _PLAIN or ord(c) > 0xFF else f"#{ord(c)};"  # noqa: PLR2004
        for c in text.replace("\n", " ")
    )
