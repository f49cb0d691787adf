"""Graphs of ids, where each id maps to those it needs: in which order, how deep, how long."""

from __future__ import annotations

import graphlib
import itertools
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_CYCLES = 10
"""Nobody mends more at a time."""

Edges = dict[str, set[str]]


def in_order(edges: Edges) -> tuple[list[str], Edges, list[tuple[str, ...]]]:
    """The ids, each after what it needs; the edges; and the cycles, which those edges are without.

    A cycle is the ids along it, each waiting for the next; the least of them comes first and last.
    Equal edges have equal cycles.
    """
    try:
        return list(graphlib.TopologicalSorter(edges).static_order()), edges, []
    except graphlib.CycleError:
        pass
    left = {name: set(edges[name]) for name in sorted(edges)}
    cycles: list[tuple[str, ...]] = []
    while len(cycles) < MAX_CYCLES:
        graph = {name: sorted(needed) for name, needed in left.items()}
        try:
            return list(graphlib.TopologicalSorter(graph).static_order()), left, cycles
        except graphlib.CycleError as exc:
            found: list[str] = exc.args[1]  # each is needed by the next
            for needed, name in itertools.pairwise(found):
                left[name].discard(needed)
            cycles.append(_least_first(found[:0:-1]))
    return list(left), {name: set() for name in left}, cycles


def _least_first(cycle: Sequence[str]) -> tuple[str, ...]:
    start = cycle.index(min(cycle))
    return (*cycle[start:], *cycle[:start], cycle[start])


def passed_over(edges: Edges, chosen: set[str]) -> Edges:
    """The edges among *chosen*, in the order of *edges*; ids that are not chosen are passed over.

    What needs a chosen id through others that are not chosen needs it still.
    """
    order, acyclic, _ = in_order(edges)
    behind: dict[str, set[str]] = {}
    for name in order:
        if name not in chosen:
            behind[name] = _chosen_before(acyclic[name], behind)
    return {
        name: _chosen_before(needed, behind) - {name}
        for name, needed in edges.items()
        if name in chosen
    }


def _chosen_before(needed: set[str], behind: Mapping[str, set[str]]) -> set[str]:
    """The chosen ones of *needed*, and for each other one those *behind* it."""
    found: set[str] = set()
    for name in needed:
        found |= behind.get(name, {name})
    return found


def depths(order: Sequence[str], edges: Mapping[str, set[str]]) -> dict[str, int]:
    """How many ids must come before each, one after the other."""
    depth: dict[str, int] = {}
    for name in order:
        depth[name] = 1 + max(map(depth.__getitem__, edges[name]), default=-1)
    return depth


def remaining(
    order: Sequence[str], edges: Mapping[str, set[str]], seconds: Mapping[str, float]
) -> dict[str, float]:
    """Seconds from each id's start to the end of the longest chain behind it."""
    behind: dict[str, float] = defaultdict(float)
    left: dict[str, float] = {}
    for name in reversed(order):
        left[name] = behind[name] + seconds[name]
        for other in edges[name]:
            behind[other] = max(behind[other], left[name])
    return left
