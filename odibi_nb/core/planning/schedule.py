"""Decide which row may start next, from upstream rows, layers, steps, ranks and limits.

This module uses no threads and no clock.
"""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING, NamedTuple

from odibi_nb.core.model.tables import table_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from odibi_nb.core.planning.plan import PlannedRow, RunPlan

NO_LIMIT = 1 << 30


class Gate(NamedTuple):
    """A node between the rows that must end first and the rows that may start after them.

    *part* is None if the gate waits for a whole layer. It is a number if the gate waits for a step
    of the layer, and the key of a table if it waits for the rows of the layer that use the table.
    """

    layer: str
    part: int | str | None = None


class Schedule:
    """The order of a plan's rows, consumed as they end.

    ``queues``  {layer: heap of (rank, id)}: the rows that may start now
    ``limits``  {layer: the number of its rows that may run at a time}
    ``_waits``  {row or gate: the number of rows and gates that it waits for}
    ``_after``  {row or gate: the rows and gates that wait for it}, without the gate of a row's layer,
                which waits for all its rows. So most rows need no list here: 20,000 lists would be
                searched for garbage again and again.
    """

    def __init__(self, plan: RunPlan, *, gates: bool, limits: Mapping[str, int]) -> None:
        self.plan = plan
        self.limits = limits
        self.queues: dict[str, list[tuple[int, str]]] = {layer: [] for layer in plan.layers}
        self._waits: dict[str | Gate, int] = {}
        self._after: dict[str | Gate, list[str | Gate]] = {}
        before: list[Gate] = []
        for layer, rows in plan.by_layer().items():
            gate = Gate(layer)
            self._let_wait(gate, *before)
            self._waits[gate] += len(rows)
            for row in rows:
                self._let_wait(row.id, *row.upstream, *before)
            self._add_steps(layer, rows)
            before = [gate] if gates else []
        if not gates:
            self._keep_order_of_tables()
        self._free = [node for node, count in self._waits.items() if not count]

    def _let_wait(self, node: str | Gate, *before: str | Gate) -> None:
        """Let *node* wait for each of *before*."""
        self._waits[node] = self._waits.get(node, 0) + len(before)
        for other in before:
            self._after.setdefault(other, []).append(node)

    def _add_steps(self, layer: str, rows: list[PlannedRow]) -> None:
        """Add a gate between successive steps if the manifest orders the layer by steps."""
        steps: dict[int, list[str]] = {}
        for row in rows:
            step = self.plan.step_of(row)
            if step is not None:
                steps.setdefault(step, []).append(row.id)
        for number, following in itertools.pairwise(sorted(steps)):
            gate = Gate(layer, number)
            self._let_wait(gate, *steps[number])
            for name in steps[following]:
                self._let_wait(name, gate)

    def _keep_order_of_tables(self) -> None:
        """Make the writers of a table wait for the rows of earlier layers that read or write it.

        Gates between layers have the same effect. Without either, a row could read data that a
        later layer wrote too early, or an overwrite could remove rows that a later layer appended.
        """
        layers = self.plan.by_layer()
        written = {
            row.id: {table_key(target.table) for target in row.transformation.targets}
            for row in self.plan.rows.values()
        }
        writer_after: set[str] = set()
        used: dict[str, set[str]] = {}
        for layer in reversed(layers):  # a table needs a gate only if a later layer writes it
            keys = {key for row in layers[layer] for key in (*row.reads, *written[row.id])}
            used[layer] = keys & writer_after
            writer_after |= {key for row in layers[layer] for key in written[row.id]}
        before: dict[str, list[Gate]] = {}
        for layer, rows in layers.items():
            for row in rows:
                for key in written[row.id]:
                    self._let_wait(row.id, *before.get(key, ()))
                for key in used[layer].intersection((*row.reads, *written[row.id])):
                    self._let_wait(Gate(layer, key), row.id)
            for key in used[layer]:
                before.setdefault(key, []).append(Gate(layer, key))

    def released(self) -> tuple[str | Gate, ...]:
        """Return the rows and gates that wait for nothing more. Each is returned once."""
        free, self._free = self._free, []
        return tuple(free)

    def done(self, node: str | Gate) -> None:
        """Mark a row as ended, or a gate as opened. The nodes after it may be released."""
        gates = () if isinstance(node, Gate) else (Gate(self.plan.rows[node].layer),)
        for other in (*self._after.pop(node, ()), *gates):
            self._waits[other] -= 1
            if not self._waits[other]:
                self._free.append(other)

    def queue(self, row: PlannedRow) -> None:
        """Queue *row*. It may start as soon as its layer has room."""
        heapq.heappush(self.queues[row.layer], (row.rank, row.id))

    def take(self, running_in: Mapping[str, int]) -> PlannedRow | None:
        """Remove and return the queued row of best rank whose layer has room.

        *running_in* is the number of rows that run in each layer. Return None if no row may start.
        """
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
        """Remove *row* from the queue. Return False if it was not queued."""
        heap = self.queues[row.layer]
        if (row.rank, row.id) not in heap:
            return False
        heap.remove((row.rank, row.id))
        heapq.heapify(heap)
        return True

    def withdraw_all(self) -> list[PlannedRow]:
        """Empty the queue and return its rows, best rank first."""
        names = sorted(entry for heap in self.queues.values() for entry in heap)
        for heap in self.queues.values():
            heap.clear()
        return [self.plan.rows[name] for _, name in names]
