"""Which row may start when: upstream, layers, steps, ranks and limits. No threads, no clock."""

from __future__ import annotations

import graphlib
import heapq
import itertools
from typing import TYPE_CHECKING, NamedTuple

from odibi_nb.core.model.tables import table_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from odibi_nb.core.planning.plan import PlannedRow, RunPlan

NO_LIMIT = 1 << 30


class Gate(NamedTuple):
    """Stands between what must have ended and what may start then.

    *part* is None for a whole layer, or a step of it, or the key of a table that its rows use.
    """

    layer: str
    part: int | str | None = None


class Schedule:
    """The order of a plan's rows, consumed as they end.

    ``sorter``  what may come next (`graphlib`); told of every row and gate that ended, however it ended
    ``queues``  {layer: heap of (rank, id)}: rows that may start now
    ``limits``  {layer: how many of its rows may run at a time}
    """

    def __init__(self, plan: RunPlan, *, gates: bool, limits: Mapping[str, int]) -> None:
        self.plan = plan
        self.limits = limits
        self.queues: dict[str, list[tuple[int, str]]] = {layer: [] for layer in plan.layers}
        self.sorter: graphlib.TopologicalSorter[str | Gate] = graphlib.TopologicalSorter()
        before: list[Gate] = []
        for layer, rows in plan.by_layer().items():
            gate = Gate(layer)
            self.sorter.add(gate, *before, *(row.id for row in rows))
            for row in rows:
                self.sorter.add(row.id, *row.upstream, *before)
            self._add_steps(layer, rows)
            before = [gate] if gates else []
        if not gates:
            self._keep_order_of_tables()
        self.sorter.prepare()

    def _add_steps(self, layer: str, rows: list[PlannedRow]) -> None:
        """Where the manifest orders the layer by steps, let a step start when the one before has ended."""
        steps: dict[int, list[str]] = {}
        for row in rows:
            step = self.plan.step_of(row)
            if step is not None:
                steps.setdefault(step, []).append(row.id)
        for number, following in itertools.pairwise(sorted(steps)):
            gate = Gate(layer, number)
            self.sorter.add(gate, *steps[number])
            for name in steps[following]:
                self.sorter.add(name, gate)

    def _keep_order_of_tables(self) -> None:
        """Let a row write a table when all rows of earlier layers that read or write it have ended.

        With gates they have. Without, a row would read what is written too early, or an overwrite
        take away what a later layer has appended.
        """
        layers = self.plan.by_layer()
        written = {
            row.id: {table_key(target.table) for target in row.transformation.targets}
            for row in self.plan.rows.values()
        }
        writer_after: set[str] = set()
        used: dict[str, set[str]] = {}
        for layer in reversed(layers):  # only tables that a later layer writes need a gate
            keys = {key for row in layers[layer] for key in (*row.reads, *written[row.id])}
            used[layer] = keys & writer_after
            writer_after |= {key for row in layers[layer] for key in written[row.id]}
        before: dict[str, list[Gate]] = {}
        for layer, rows in layers.items():
            for row in rows:
                for key in written[row.id]:
                    self.sorter.add(row.id, *before.get(key, ()))
                for key in used[layer].intersection((*row.reads, *written[row.id])):
                    self.sorter.add(Gate(layer, key), row.id)
            for key in used[layer]:
                before.setdefault(key, []).append(Gate(layer, key))

    def released(self) -> tuple[str | Gate, ...]:
        """Rows and gates with nothing before them any more; each is returned once."""
        return self.sorter.get_ready() if self.sorter.is_active() else ()

    def done(self, node: str | Gate) -> None:
        """A row ended, or a gate was opened: what stands behind it may be released."""
        self.sorter.done(node)

    def queue(self, row: PlannedRow) -> None:
        """*row* may start as soon as there is room."""
        heapq.heappush(self.queues[row.layer], (row.rank, row.id))

    def take(self, running_in: Mapping[str, int]) -> PlannedRow | None:
        """The queued row of best rank whose layer has room, given how many run in each layer."""
        free = [
            (heap[0], layer)
            for layer, heap in self.queues.items()
            if heap and running_in[layer] < self.limits.get(layer, NO_LIMIT)
        ]
        if not free:
            return None
        _, layer = min(free)
        return self.plan.rows[heapq.heappop(self.queues[layer])[1]]

    def withdraw(self, row: PlannedRow) -> bool:
        """Take *row* out of the queue; whether it was in it."""
        heap = self.queues[row.layer]
        if (row.rank, row.id) not in heap:
            return False
        heap.remove((row.rank, row.id))
        heapq.heapify(heap)
        return True

    def withdraw_all(self) -> list[PlannedRow]:
        """Empty the queue; what was in it, best rank first."""
        names = sorted(entry for heap in self.queues.values() for entry in heap)
        for heap in self.queues.values():
            heap.clear()
        return [self.plan.rows[name] for _, name in names]
