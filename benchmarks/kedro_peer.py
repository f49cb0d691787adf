"""Kedro's ThreadRunner, as the peer of our runs."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.timing import seconds_of

if TYPE_CHECKING:
    from collections.abc import Callable

INSTALLED = importlib.util.find_spec("kedro") is not None


def _give(x: int) -> int:
    return x


def _take(x: int) -> None:
    del x


def thread_runner(nodes: int, workers: int, *, outputs: bool) -> Callable[[], float]:
    """A contestant: the seconds of one ``ThreadRunner(max_workers=workers).run(pipeline, catalog)``.

    The pipeline has *nodes* independent nodes that read the same MemoryDataset. With *outputs* each
    gives it to a MemoryDataset of its own: the usual node, whose cost in Kedro grows with the number
    of nodes. Without, no node returns a value, which is Kedro's cheapest node. The creation of pipeline
    and catalog does not count, Kedro has no hooks, and it logs only warnings.
    """
    os.environ["KEDRO_LOGGING_CONFIG"] = str(Path(__file__).with_name("kedro_logging.yml"))
    from kedro.io import DataCatalog, MemoryDataset
    from kedro.pipeline import node, pipeline
    from kedro.runner import ThreadRunner

    graph = pipeline(
        [
            node(_give, "x", f"out_{i}", name=f"node_{i}")
            if outputs
            else node(_take, "x", None, name=f"node_{i}")
            for i in range(nodes)
        ]
    )

    def run() -> float:
        catalog = DataCatalog({"x": MemoryDataset(1)})
        return seconds_of(lambda: ThreadRunner(max_workers=workers).run(graph, catalog))

    return run
