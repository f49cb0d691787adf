"""Order, depth and length of a graph of ids. The graph maps each id to the ids that it needs."""

from __future__ import annotations

import graphlib
import itertools
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_CYCLES = 10
"""The most cycles that a plan reports; a user repairs only a few at a time."""

Edges = dict[str, set[str]]


def in_order(edges: Edges) -> tuple[list[str], Edges, list[tuple[str, ...]]]:
    """Return the ids in topological order, the edges without cycles, and the cycles.

    A cycle is a tuple of ids, each of which needs the next. The smallest id comes first and again
    last. Equal edges give equal cycles.
    """
    order = _from_the_first(edges)
    if len(order) == len(edges):
        return order, edges, []
    left = {name: set(edges[name]) for name in sorted(edges)}
    cycles: list[tuple[str, ...]] = []
    while len(cycles) < MAX_CYCLES:
        graph = {name: sorted(needed) for name, needed in left.items()}
        try:
            return list(graphlib.TopologicalSorter(graph).static_order()), left, cycles
        except graphlib.CycleError as exc:
            found: list[str] = exc.args[1]  # each id is needed by the next
            for needed, name in itertools.pairwise(found):
                left[name].discard(needed)
            cycles.append(_least_first(found[:0:-1]))
    return list(left), {name: set() for name in left}, cycles


def _from_the_first(edges: Edges) -> list[str]:
    """Return the ids in topological order, without the ids that are in a cycle or need one that is.

    `graphlib` takes three times as long, because it makes an object for each id.
    """
    missing = {name: len(needed) for name, needed in edges.items()}
    needed_by: dict[str, list[str]] = defaultdict(list)
    for name, needed in edges.items():
        for other in needed:
            needed_by[other].append(name)
    order = [name for name, count in missing.items() if not count]
    for name in order:  # the loop adds to the list
        for other in needed_by.get(name, ()):
            missing[other] -= 1
            if not missing[other]:
                order.append(other)
    return order


def _least_first(cycle: Sequence[str]) -> tuple[str, ...]:
    start = cycle.index(min(cycle))
    return (*cycle[start:], *cycle[:start], cycle[start])


def passed_over(edges: Edges, chosen: set[str]) -> Edges:
    """Return the edges between the ids *chosen*, in the order of *edges*.

    If a chosen id needs another chosen id only through ids that are not chosen, the result has a
    direct edge between the two.
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
    """Return *needed*, with each id that is not chosen replaced by the chosen ids *behind* it."""
    return set[str]().union(*(behind.get(name, {name}) for name in needed))


def depths(order: Sequence[str], edges: Mapping[str, set[str]]) -> dict[str, int]:
    """Return the number of ids in the longest chain that must come before each id."""
    depth: dict[str, int] = {}
    for name in order:
        depth[name] = 1 + max(map(depth.__getitem__, edges[name]), default=-1)
    return depth


def remaining(
    order: Sequence[str], edges: Mapping[str, set[str]], seconds: Mapping[str, float]
) -> dict[str, float]:
    """Return the seconds from each id's start to the end of the longest chain that needs it."""
    behind: dict[str, float] = defaultdict(float)
    left: dict[str, float] = {}
    for name in reversed(order):
        left[name] = behind[name] + seconds[name]
        for other in edges[name]:
            behind[other] = max(behind[other], left[name])
    return left
