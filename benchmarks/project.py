"""Projects to measure: the real core on a real journal, with rows and tables in memory."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from typing import TYPE_CHECKING

from benchmarks.timing import seconds_of
from odibi_nb.core.protocols import BaseLogSink
from odibi_nb.core.running.orchestrator import Orchestrator
from odibi_nb.wiring import default_adapters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from odibi_nb.core.protocols import RegistrySource

NAME, ENV = "Benchmark", "qat"


class NoLog(BaseLogSink):
    """A run log sink that does nothing."""

    name = "nothing"

    def write(self, records: list[dict[str, Any]]) -> None:
        """Forget them."""


class RowsInMemory:
    """A registry whose rows are already here."""

    name = "memory"

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.rows = rows

    def fetch(self, _project: str, _env: str) -> Sequence[Mapping[str, Any]]:
        """All of them."""
        return self.rows

    def census(self) -> list[tuple[str, str, int]]:
        """Not known."""
        return []


class TablesInMemory:
    """Tables in a dict; a frame is a list. Only what the benchmarks' functions need."""

    name = "pandas"
    cannot_cache = "tables are in memory"

    def __init__(self) -> None:
        self.tables: dict[str, list[int]] = {"raw.x": [1]}

    def spark_session(self) -> None:
        pass

    def attempt_scope(self, _info, _tables, _control) -> contextlib.nullcontext[None]:
        return contextlib.nullcontext()

    def read(self, table) -> list[int]:
        return self.tables[table.key]

    def write(self, frame, output, _info) -> int:
        self.tables[output.table.lower()] = frame
        return len(frame)

    def check_writable(self) -> None:
        pass

    def is_frame(self, value) -> bool:
        return isinstance(value, list)

    def row_count(self, frame) -> int:
        return len(frame)

    def schema(self, _frame) -> dict[str, str]:
        return {}

    def close(self) -> None:
        pass


def row(number: int, function: str, *, layer: str = "Silver_1", **columns: Any) -> dict[str, Any]:
    """A registry row as a database hands it over: JSON columns are text."""
    values = {"inputs": [], "constants": {}, "outputs": [], **columns}
    return {
        "transformation_id": f"{layer.upper()}_{number:05d}",
        "project": NAME,
        "environment": ENV,
        "layer": layer,
        "entity_1": f"Plant {number % 7}",
        "entity_2": f"Asset {number % 31}",
        "module": "benchmarks.work",
        "function": function,
        "enabled": 1,
        **{name: json.dumps(value) for name, value in values.items()},
    }


class Project:
    """A project in *folder* whose registry and log sink are given.

    Args:
        folder: gets the manifest, and the state with the journals.
        registry: where the rows come from.
        layers: the manifest's layer order.
        make_sink: makes a new sink of the run log for each run.
        tables: instead of the engine's, on a lake in *folder*.
        engine: the rows'.
    """

    def __init__(
        self,
        folder: Path,
        registry: RegistrySource | RowsInMemory,
        layers: Sequence[str] = ("Silver_1",),
        make_sink: Callable[[], BaseLogSink] = NoLog,
        tables: TablesInMemory | None = None,
        engine: str = "pandas",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.manifest = folder / "manifest.json"
        self.manifest.write_text(json.dumps({"project": NAME, "layer_order": layers}))
        self.engine = engine
        adapters = default_adapters()
        self.adapters = dataclasses.replace(
            adapters,
            engine=adapters.engine if tables is None else lambda _name, _place: tables,
            registry=lambda _place: registry,
            sinks=lambda _place: [make_sink()],
        )

    def orchestrator(self) -> Orchestrator:
        """Return the orchestrator that `run_project` would make, with these adapters."""
        return Orchestrator(NAME, ENV, self.manifest, engine=self.engine, adapters=self.adapters)

    def run(self, workers: int) -> float:
        """Seconds of one whole run: manifest, plan, lock, journal, workers, events, run log, result.

        Raises:
            RuntimeError: if a row failed, so that the time means nothing.
        """
        results = []
        seconds = seconds_of(lambda: results.append(self.orchestrator().run(max_workers=workers)))
        results[0].raise_for_status()
        return seconds
