"""The start and end events of a run's layers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from odibi_nb.core.model.events import DONE, EventType

if TYPE_CHECKING:
    from collections.abc import Mapping

    from odibi_nb.core.model.results import TransformationResult
    from odibi_nb.core.planning.plan import RunPlan
    from odibi_nb.core.running.event_bus import EventBus


class LayerEvents:
    """Publisher of the layers' events. Each event is published once.

    ``rows``      {layer: its rows}
    ``begun``     {layer: clock at its first row's start}
    ``executed``  layers with at least one started row, in the order of their end
    """

    def __init__(self, plan: RunPlan, events: EventBus) -> None:
        self.events = events
        self.rows = plan.by_layer()
        self.begun: dict[str, float] = {}
        self.executed: list[str] = []
        self._ended: set[str] = set()
        self._count = len(plan.rows)

    def begin(self, layer: str) -> None:
        """Publish the start of *layer*, unless the layer has begun already."""
        if layer in self.begun:
            return
        self.begun[layer] = time.monotonic()
        facts = {"layer": layer, "transformations": len(self.rows[layer])}
        self.events.publish(EventType.LAYER_START, facts)
        if layer.casefold() == "bronze":
            self.events.publish(EventType.BRONZE_START, facts)

    def end_all(self, results: Mapping[str, TransformationResult]) -> None:
        """End all layers that have begun, even if their gates are closed. All rows have ended."""
        for layer in [*self.begun]:
            if layer not in self._ended:
                self.end(layer, results)

    def end(self, layer: str, results: Mapping[str, TransformationResult]) -> None:
        """Publish the end of *layer*, unless none of its rows was started."""
        rows = [results[row.id] for row in self.rows[layer]]
        if rows and layer not in self.begun:
            return
        self.begin(layer)
        self._ended.add(layer)
        if any(result.attempts for result in rows):
            self.executed.append(layer)
        failed = [r.transformation_id for r in rows if r.status not in DONE]
        facts = {
            "layer": layer,
            "status": "failed" if failed else "success",
            "duration_seconds": time.monotonic() - self.begun[layer],
            "transformations": len(rows),
            "failed": failed,
        }
        if layer.casefold() == "bronze":
            self.events.publish(EventType.BRONZE_END, facts)
        self.events.publish(EventType.LAYER_END, facts)
        # The batch of the last layer is written with the record of the run, which ends now.
        if rows and len(results) < self._count:
            self.events.run_log.flush()
