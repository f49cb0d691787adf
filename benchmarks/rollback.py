"""Cost of a rollback, against bare restores of the same tables."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from benchmarks.figures import compared
from benchmarks.project import Project, RowsInMemory, row
from benchmarks.timing import seconds_of, side_by_side
from benchmarks.work import table_of_ten
from odibi_nb.core.model.tables import TableName
from odibi_nb.wiring import default_adapters

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.figures import Figure

LAYERS = ("Bronze", "Silver_1", "Gold_1")


def rollback(folder: Path, tables: int, turns: int) -> Iterator[Figure]:
    """A rollback of a run over many tables, against ``DeltaTable.restore`` of each table in a loop.

    Each turn rolls back the rollback of the turn before, so that it changes every table. Ours is the
    lock, the run log, the commits and files of each table, the check of all of them, one restore each
    with its journal and run log, and the result. The baseline opens each table and restores the
    version before its newest, in one thread: no checks, no log.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        row(number, "table_of_ten", layer=LAYERS[number % 3], outputs=[{"table": f"l.t{number}"}])
        for number in range(tables)
    ]
    sinks = default_adapters().sinks
    project = Project(folder, RowsInMemory(rows), LAYERS)
    project.adapters = dataclasses.replace(project.adapters, sinks=sinks)
    for _ in range(2):
        project.orchestrator().run().raise_for_status()
    newest = ["last"]

    def ours() -> float:
        results = []
        seconds = seconds_of(lambda: results.append(project.orchestrator().rollback(newest[0])))
        result = results[0].raise_for_status()
        assert len(result.transformations) == tables
        newest[0] = result.run_id
        return seconds

    names = [TableName.parse(f"l.t{number}") for number in range(tables)]
    lake = folder / "bare"
    for name in names:
        for _ in range(2):
            _write(lake / name.path)

    def bare() -> float:
        return seconds_of(lambda: [_restore(lake / name.path) for name in names])

    rolled_back, restored = side_by_side([ours, bare], turns)
    yield compared(
        f"rollback of {tables:,} tables",
        rolled_back,
        restored,
        peer="DeltaTable.restore in a loop",
        at_most=4.0,
        rows=(tables, tables),
    )


def _write(path: Path) -> None:
    from deltalake import write_deltalake

    write_deltalake(str(path), table_of_ten(), mode="overwrite")


def _restore(path: Path) -> None:
    from deltalake import DeltaTable

    table = DeltaTable(str(path))
    table.restore(table.version() - 1)
