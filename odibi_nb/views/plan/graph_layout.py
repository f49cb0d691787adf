"""Positions of the boxes and lines of a layered graph: columns from left to right, with few crossings.

This is Sugiyama's method. An edge across several columns gets a slot in each of them, so that no line
crosses a box. The slots of a column are ordered, and then levelled, by the mean position of their neighbours.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right, insort
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from odibi_nb.views.plan.graph import Graph

MAX_COLUMN = 25
"""Largest number of boxes in a column; more boxes get several columns beside each other."""
SWEEPS = 12
STRAIGHT = 4.0
"""Weight of the link between two passing slots, relative to a link that ends at a box: keeps lines level."""
STILL = 0.02
"""Weight with which a slot without neighbours keeps its position against slots that have some."""


class Slot(NamedTuple):
    """A place in a column: a node's box, or room for passing lines that leave node *id*."""

    id: str
    column: int
    passing: bool = False


@dataclass(frozen=True, slots=True)
class GraphLayout:
    """The positions of all slots.

    Attributes:
        columns: the slots of each column, top to bottom.
        layer_of: the layer of each column.
        y: slot to the middle of its height, from 0 downwards.
        links: pairs of slots in neighbouring columns that a line joins.
        height: the height of the whole layout.
    """

    columns: tuple[tuple[Slot, ...], ...]
    layer_of: tuple[str, ...]
    y: Mapping[Slot, float]
    links: tuple[tuple[Slot, Slot], ...]
    height: float


def laid_out(graph: Graph, box: float, gap: float, line: float) -> GraphLayout:
    """Lay out *graph* with boxes *box* high, *gap* between them, and *line* of height for passing lines."""
    column_of, layer_of = _columns(graph)
    links = _links(graph, column_of)
    columns: list[list[Slot]] = [[] for _ in layer_of]
    for name, column in column_of.items():
        columns[column].append(Slot(name, column))
    for slot in sorted({slot for link in links for slot in link if slot.passing}):
        columns[slot.column].append(slot)
    left, right = _sides(links)
    ordered = _ordered(columns, left, right)
    heights = {slot: line if slot.passing else box for column in ordered for slot in column}
    y = _levelled(ordered, left, right, heights, gap)
    top = min((y[slot] - heights[slot] / 2 for slot in y), default=0.0)
    y = {slot: middle - top for slot, middle in y.items()}
    height = max((y[slot] + heights[slot] / 2 for slot in y), default=0.0)
    return GraphLayout(tuple(map(tuple, ordered)), tuple(layer_of), y, tuple(links), height)


def _columns(graph: Graph) -> tuple[dict[str, int], list[str]]:
    """Map nodes to columns, and return each column's layer. A node is right of nodes that it waits for."""
    before: dict[str, list[str]] = defaultdict(list)
    for up, name in graph.edges:
        if graph.nodes[up].layer == graph.nodes[name].layer:
            before[name].append(up)
    depth: dict[str, int] = {}

    def depth_of(name: str) -> int:
        if name not in depth:
            depth[name] = 1 + max(map(depth_of, before[name]), default=-1)
        return depth[name]

    steps: dict[tuple[str, int], list[str]] = defaultdict(list)
    for name, node in graph.nodes.items():
        steps[node.layer, depth_of(name)].append(name)
    column_of: dict[str, int] = {}
    layer_of: list[str] = []
    position = {layer: i for i, layer in enumerate(graph.layers)}
    for layer, step in sorted(steps, key=lambda key: (position[key[0]], key[1])):
        names = steps[layer, step]
        parts = -(-len(names) // MAX_COLUMN)
        size = -(-len(names) // parts)
        for start in range(0, len(names), size):
            column_of.update(dict.fromkeys(names[start : start + size], len(layer_of)))
            layer_of.append(layer)
    return column_of, layer_of


def _links(graph: Graph, column_of: Mapping[str, int]) -> list[tuple[Slot, Slot]]:
    """Return the lines between neighbouring columns. Lines that leave the same node share their slots."""
    links: dict[tuple[Slot, Slot], None] = {}
    for up, name in graph.edges:
        before = Slot(up, column_of[up])
        for column in range(column_of[up] + 1, column_of[name]):
            room = Slot(up, column, passing=True)
            links[before, room] = None
            before = room
        links[before, Slot(name, column_of[name])] = None
    return list(links)


Neighbours = dict[Slot, list[Slot]]


def _sides(links: Iterable[tuple[Slot, Slot]]) -> tuple[Neighbours, Neighbours]:
    left: Neighbours = defaultdict(list)
    right: Neighbours = defaultdict(list)
    for a, b in links:
        right[a].append(b)
        left[b].append(a)
    return left, right


def _ordered(columns: list[list[Slot]], left: Neighbours, right: Neighbours) -> list[list[Slot]]:
    """Return the columns in the order with the fewest crossings that alternating sweeps find."""
    best, fewest = columns, _crossings(columns, right)
    for sweep in range(SWEEPS):
        if not fewest:
            break
        forth = sweep % 2 == 0
        order = range(1, len(columns)) if forth else range(len(columns) - 2, -1, -1)
        columns = list(columns)
        for column in order:
            beside = columns[column - 1 if forth else column + 1]
            columns[column] = _by_means(columns[column], beside, left if forth else right)
        crossings = _crossings(columns, right)
        if crossings < fewest:
            best, fewest = columns, crossings
    return best


def _by_means(column: list[Slot], beside: list[Slot], neighbours: Neighbours) -> list[Slot]:
    """Sort *column* by the mean place of the neighbours in *beside*. A slot without any keeps its place."""
    place = {slot: (i + 0.5) / len(beside) for i, slot in enumerate(beside)}
    means = {}
    for i, slot in enumerate(column):
        near = [place[other] for other in neighbours[slot]]
        means[slot] = sum(near) / len(near) if near else (i + 0.5) / len(column)
    return sorted(column, key=means.__getitem__)


def _crossings(columns: Sequence[Sequence[Slot]], right: Neighbours) -> int:
    count = 0
    for column, beside in itertools.pairwise(columns):
        place = {slot: i for i, slot in enumerate(beside)}
        ends: list[int] = []
        for slot in column:
            mine = sorted(place[other] for other in right[slot])
            count += sum(len(ends) - bisect_right(ends, end) for end in mine)
            for end in mine:
                insort(ends, end)
    return count


def _levelled(
    columns: Sequence[Sequence[Slot]],
    left: Neighbours,
    right: Neighbours,
    heights: Mapping[Slot, float],
    gap: float,
) -> dict[Slot, float]:
    """Return a height for each slot: the mean of its neighbours' heights, as far as its column has room."""
    y: dict[Slot, float] = {}
    for column in columns:
        stacked = _offsets(column, heights, gap)
        y.update((slot, at - stacked[-1] / 2) for slot, at in zip(column, stacked, strict=True))
    for sweep in range(SWEEPS):
        both = sweep >= SWEEPS - 2  # the last sweep in each direction uses neighbours on both sides
        forth = sweep % 2 == 0
        for column in columns if forth else reversed(columns):
            targets, weights = [], []
            for slot in column:
                near = [*(left[slot] if forth or both else ())]
                near += right[slot] if not forth or both else ()
                pulls = [STRAIGHT if slot.passing and other.passing else 1.0 for other in near]
                weights.append(sum(pulls) or STILL)
                drawn = sum(y[other] * pull for other, pull in zip(near, pulls, strict=True))
                targets.append(drawn / weights[-1] if near else y[slot])
            offsets = _offsets(column, heights, gap)
            free = [want - offset for want, offset in zip(targets, offsets, strict=True)]
            for slot, level, offset in zip(column, _rising(free, weights), offsets, strict=True):
                y[slot] = level + offset
    return y


def _offsets(column: Sequence[Slot], heights: Mapping[Slot, float], gap: float) -> list[float]:
    """Return the middles of the slots when they are stacked as closely as possible, the first at 0."""
    steps = (
        (heights[a] + heights[b]) / 2 + (gap / 2 if a.passing and b.passing else gap)
        for a, b in itertools.pairwise(column)
    )
    return [0.0, *itertools.accumulate(steps)][: len(column)]


def _rising(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """Return the non-decreasing numbers nearest to *values* (least squares): pool adjacent violators."""
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        mean, total, count = value, weight, 1
        while pools and pools[-1][0] > mean:
            above, heavy, many = pools.pop()
            mean = (above * heavy + mean * total) / (heavy + total)
            total, count = heavy + total, many + count
        pools.append((mean, total, count))
    return [mean for mean, _, count in pools for _ in range(count)]
