"""Cost of the run log for rows that take time, and the number of its commits."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import work
from benchmarks.figures import Figure, compared
from benchmarks.project import ENV, NAME, Project, RowsInMemory, row
from benchmarks.timing import seconds_of, side_by_side
from odibi_nb.core.model.tables import TableName
from odibi_nb.core.runlog.history import past_attempts, past_runs
from odibi_nb.sinks.table import log_in_lake

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from odibi_nb.core.protocols import BaseLogSink

WORKERS = 16
LAYERS = ("Bronze", "Silver_1", "Gold_1")
SHOWN_RUNS = 20
TABLES = ("config_driven.TransformationRunLog", "config_driven.TransformationRun")


def run_log(folder: Path, rows: int, turns: int) -> Iterator[Figure]:
    """Rows that sleep for 10 ms, in three layers: with the Delta run log, without, and on a bare pool.

    "Without" is the same run with a sink that does nothing (the journal stays: it is part of every
    run). The pool sleeps as often, and waits at the end of each layer too. The Delta tables are the
    same in all turns, so the log is appended to, and read for the durations of past runs.

    One more run in a new lake counts the commits to both tables: of attempts and of runs.
    """
    per_layer = [rows // len(LAYERS) + (i < rows % len(LAYERS)) for i in range(len(LAYERS))]
    registry = RowsInMemory(
        [
            row(i, "sleep", layer=layer)
            for layer, count in zip(LAYERS, per_layer, strict=True)
            for i in range(count)
        ]
    )
    lake = str(folder / "lake")
    logged = Project(folder / "on", registry, LAYERS, lambda: log_in_lake(lake))
    unlogged = Project(folder / "off", registry, LAYERS)
    on, off, pool = side_by_side(
        [partial(logged.run, WORKERS), partial(unlogged.run, WORKERS), partial(_pool, per_layer)],
        turns,
    )
    name = f"{rows:,} rows × 10 ms, 3 layers, Delta log"
    yield compared(name, on, off, peer="without run log", at_most=1.1)
    yield compared(name, on, pool, peer="ThreadPoolExecutor")
    yield _commits(folder, registry)


def many_runs(folder: Path, few: int, many: int, turns: int) -> Iterator[Figure]:
    """A run, a plan and a look at the history after *many* runs within minutes, against after *few*.

    Two projects have three rows that do nothing, and a Delta log each. Every run, plan and history opens
    its project and its log again. The projects take turns, and every turn adds a run to both.
    """
    old, new = _Runs(folder / "many"), _Runs(folder / "few")
    for project, count in ((old, many), (new, few)):
        for _ in range(count):
            project.run()
    for what in ("run", "plan", "history"):
        after_many, after_few = side_by_side([getattr(old, what), getattr(new, what)], turns)
        name = f"{what} after {many:,} runs"
        yield compared(name, after_many, after_few, peer=f"after {few:,} runs", at_most=1.3)


class _Runs:
    """A small project with the three operations that are measured."""

    def __init__(self, folder: Path) -> None:
        self._lake = str(folder / "lake")
        registry = RowsInMemory([row(i, "nothing") for i in range(3)])
        self._project = Project(folder, registry, ("Silver_1",), self._sink)

    def _sink(self) -> BaseLogSink:
        return log_in_lake(self._lake)

    def run(self) -> float:
        return self._project.run(2)

    def plan(self) -> float:
        return seconds_of(lambda: self._project.orchestrator().plan())

    def history(self) -> float:
        def look() -> None:
            sinks = [self._sink()]
            newest = past_runs(sinks, SHOWN_RUNS, NAME, ENV)[0]
            past_attempts(sinks, [newest["run_id"]])

        return seconds_of(look)


def _commits(folder: Path, registry: RowsInMemory) -> Figure:
    from deltalake import DeltaTable

    lake = folder / "new lake"
    Project(folder / "commits", registry, LAYERS, lambda: log_in_lake(str(lake))).run(WORKERS)
    attempts, runs = (
        DeltaTable(str(lake / TableName.parse(table).path)).version() + 1 for table in TABLES
    )
    return commits("commits of that run", attempts, runs)


def commits(name: str, attempts: int, runs: int) -> Figure:
    """Return the number of commits of a run of `LAYERS` to both tables of its log."""
    extra = attempts + runs - len(LAYERS)
    return Figure(
        name=f"{name} ({attempts} of attempts, {runs} of runs)",
        ours=f"{attempts + runs} commits",
        baseline=f"{len(LAYERS)} layers",
        ratio=f"layers {extra:+d}",
        wanted="≤ layers +3",
        holds=extra <= 3,
    )


def _pool(layers: list[int]) -> float:
    def run() -> None:
        with ThreadPoolExecutor(WORKERS) as pool:
            for count in layers:
                for future in [pool.submit(work.sleep) for _ in range(count)]:
                    future.result()

    return seconds_of(run)
