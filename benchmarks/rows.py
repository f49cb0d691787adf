"""Cost of a row whose function does nothing: the core alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import kedro_peer, work
from benchmarks.figures import compared
from benchmarks.project import Project, RowsInMemory, TablesInMemory, row
from benchmarks.timing import seconds_of, side_by_side
from odibi_nb.sinks.table import log_in_lake

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.figures import Figure

WORKERS = 4


def no_op_rows(folder: Path, rows: int, turns: int) -> Iterator[Figure]:
    """No-op rows in one layer, against Kedro's ThreadRunner and a bare thread pool.

    Ours is everything that `run_project` does: reading the manifest, planning from rows in memory
    (JSON text in their columns), locking, journal with fsync, hooks, console at WARNING, run log,
    result. "journal" hands the run log to a sink that does nothing; "Delta log" writes the real
    Delta tables, and first reads the durations of the last five runs from them. The rows with input
    and output do what Kedro's usual node does: read a table in memory, return it, have it written.

    Kedro is only its runner's call (see `kedro_peer`), the pool only submitting and waiting. All use
    the same number of threads, and take turns. The limits are against Kedro's usual node, which has
    an output; the table also shows the ratio to its cheapest node, which has no output.
    """
    plain = RowsInMemory([row(i, "nothing") for i in range(rows)])
    passing = RowsInMemory(
        [
            row(i, "pass_on", inputs=["raw.x"], outputs=[{"table": f"silver.t{i}"}])
            for i in range(rows)
        ]
    )
    lake = str(folder / "lake")
    projects = [
        Project(folder / "journal", plain),
        Project(folder / "delta", plain, make_sink=lambda: log_in_lake(lake)),
        Project(folder / "passing", passing, tables=TablesInMemory()),
    ]
    contestants = [partial(project.run, WORKERS) for project in projects]
    contestants.append(partial(_pool, rows))
    if kedro_peer.INSTALLED:
        contestants += [
            kedro_peer.thread_runner(rows, WORKERS, outputs=outputs) for outputs in (True, False)
        ]
    journal, delta, passed, pool, *peers = side_by_side(contestants, turns)
    kedro, cheapest = peers or (None, None)
    n, each = f"{rows:,} no-op rows", (rows, rows)
    passing_n = f"{rows:,} rows with input and output, journal"
    yield compared(f"{n}, journal", journal, kedro, peer="kedro", at_most=0.25, rows=each)
    yield compared(passing_n, passed, kedro, peer="kedro", at_most=0.25, rows=each)
    yield compared(f"{n}, Delta log", delta, kedro, peer="kedro", at_most=1.0, rows=each)
    if cheapest:
        for name, ours in ((f"{n}, journal", journal), (f"{n}, Delta log", delta)):
            yield compared(name, ours, cheapest, peer="kedro, nodes without output", rows=each)
    yield compared(f"{n}, journal", journal, pool, peer="ThreadPoolExecutor", rows=each)


def growth(folder: Path, few: int, many: int, turns: int) -> Iterator[Figure]:
    """Cost of a no-op row among *many* rows, against among *few*; runs as in `no_op_rows`, with journal."""
    projects = [
        Project(folder / str(n), RowsInMemory([row(i, "nothing") for i in range(n)]))
        for n in (few, many)
    ]
    small, large = side_by_side([partial(p.run, WORKERS) for p in projects], turns)
    yield compared(
        f"growth: a row of {many:,}",
        large,
        small,
        peer=f"a row of {few:,}",
        at_most=1.2,
        rows=(many, few),
    )


def _pool(rows: int) -> float:
    def run() -> None:
        with ThreadPoolExecutor(WORKERS) as pool:
            for future in [pool.submit(work.nothing) for _ in range(rows)]:
                future.result()

    return seconds_of(run)
