"""Costs of runs on Spark: beside a thread pool, with and without pools, on a JVM and on Sail."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from benchmarks import work
from benchmarks.figures import Figure, compared
from benchmarks.log import LAYERS, commits
from benchmarks.project import Project, RowsInMemory, row
from benchmarks.timing import seconds_of, side_by_side
from odibi_nb.errors import EngineError
from odibi_nb.sinks.table import TableLogSink
from odibi_nb.storage.spark_table import SparkRowTable

if TYPE_CHECKING:
    from collections.abc import Iterator

JOBS = 8
HEAD_START = 1.0
"""Seconds that the long row has had when the short ones begin."""
EXAMPLE = Path(__file__).parent.parent / "notebooks/projects/energy_efficiency"
KINDS: dict[str, dict[str, str]] = {"Sail": {"remote": "sail"}, "JVM": {}}


def jobs_beside_a_pool(folder: Path, turns: int) -> Iterator[Figure]:
    """Eight independent Spark jobs: as rows of a run, on a thread pool written by hand, one by one.

    All on one JVM session with the same number of threads. A job adds up hashes, on one task, and keeps
    a core busy; "and written" overwrites a Delta table with its result as well. Ours is everything that
    a run does, with its journal; its run log goes nowhere.
    """
    workers = JOBS
    counted = Project(folder / "counted", _rows("spark_job"), engine="spark")
    written = Project(folder / "written", _rows("spark_table", outputs=True), engine="spark")
    counted.run(workers)  # starts the session that the others use
    spark = _session()
    call, save = partial(work.spark_job, spark), partial(_saved, spark, folder / "by hand")
    ours, pool, each, ours_written, pool_written = side_by_side(
        [
            partial(counted.run, workers),
            partial(_on_a_pool, call, workers),
            partial(_one_by_one, call),
            partial(written.run, workers),
            partial(_on_a_pool, save, workers),
        ],
        turns,
    )
    n = f"{JOBS} Spark jobs"
    yield compared(n, ours, pool, peer="thread pool", at_most=1.05)
    yield compared(n, ours, each, peer="one after the other")
    yield compared(f"{n}, each written", ours_written, pool_written, peer="thread pool")


def short_beside_long(folder: Path, turns: int) -> Iterator[Figure]:
    """Seven short rows beside a long one of many tasks: the median short row, with a pool each.

    The short ones begin when the long one has all cores. Without: the same rows in one pool, which
    serves them first come, first served, as Spark does unless it is configured to be fair. (From 4.2 on,
    its default pool is fair if the scheduler is, as in the sessions that we start.)
    """
    contestants = []
    for pools in (True, False):
        rows = [
            row(0, "spark_tasks", constants={"tasks": 200, "pools": pools, "after": 0}),
            *(
                row(i, "spark_tasks", constants={"tasks": 2, "pools": pools, "after": HEAD_START})
                for i in range(1, JOBS)
            ),
        ]
        project = Project(folder / str(pools), RowsInMemory(rows), engine="spark")
        contestants.append(partial(_median_short, project))
    ours, without = side_by_side(contestants, turns)
    name = "7 short rows beside a long one: the median short one"
    yield compared(name, ours, without, peer="without our pools", at_most=1.0)


def log_through_spark(folder: Path, rows: int, turns: int) -> Iterator[Figure]:
    """Rows that sleep for 10 ms, in three layers: with the run log through a JVM session, and without.

    As in `log.run_log`, but its Delta tables are written by Spark, as where only a session reaches them.
    """
    spark = _session()
    registry = RowsInMemory([row(i, "sleep", layer=LAYERS[i % len(LAYERS)]) for i in range(rows)])

    def sink(lake: Path) -> TableLogSink:
        log, runs = (
            SparkRowTable(lambda: spark, name, path=str(lake / name)) for name in ("log", "runs")
        )
        return TableLogSink(log, runs, "the run log", in_lake=True)

    logged = Project(folder / "on", registry, LAYERS, lambda: sink(folder / "lake"))
    unlogged = Project(folder / "off", registry, LAYERS)
    on, off = side_by_side([partial(p.run, 16) for p in (logged, unlogged)], turns)
    name = f"{rows:,} rows × 10 ms, 3 layers, run log through Spark"
    yield compared(name, on, off, peer="without run log")
    Project(folder / "once", registry, LAYERS, lambda: sink(folder / "new lake")).run(16)
    from deltalake import DeltaTable

    versions = [DeltaTable(str(folder / "new lake" / n)).version() + 1 for n in ("log", "runs")]
    yield commits("commits of that run through Spark", *versions)


def sail_beside_jvm(folder: Path, turns: int) -> Iterator[Figure]:
    """The example project in a new process each: until the first row has ended, and all of it.

    Counted from before odibi_nb is imported, so that starting Spark is part of it.
    """
    measured: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for turn in range(turns):
        for kind, settings in KINDS.items():
            measured[kind].append(_example(folder / f"{kind}-{turn}", settings))
    for what, name in (("first", "first row of the example"), ("whole", "the example project")):
        sail, jvm = ([took[what] for took in measured[kind]] for kind in KINDS)
        yield compared(f"Sail: {name}", sail, jvm, peer="JVM")


def unavailable() -> Figure | None:
    """Return the reason why this cannot be measured here, as a line of the table; None if it can."""
    try:
        from odibi_nb.engines.spark import jvm as spark_jvm

        spark_jvm.check_versions()
        spark_jvm.check_java()
    except EngineError as exc:
        return Figure(name="Spark", ours="–", baseline=f"not measured: {exc}")
    return None


def _rows(function: str, *, outputs: bool = False) -> RowsInMemory:
    return RowsInMemory(
        [
            row(i, function, outputs=[{"table": f"silver.t{i}"}] if outputs else [])
            for i in range(JOBS)
        ]
    )


def _session() -> Any:
    from pyspark.sql import SparkSession

    return SparkSession.active()


def _saved(spark: Any, folder: Path) -> None:
    """A job's table, written as a notebook would; each thread writes its own."""
    frame = work.spark_table(spark)
    name = threading.current_thread().name.rpartition("_")[2]
    frame.write.format("delta").mode("overwrite").save(str(folder / name))


def _on_a_pool(call: Any, workers: int) -> float:
    def run() -> None:
        with ThreadPoolExecutor(workers) as pool:
            for future in [pool.submit(call) for _ in range(JOBS)]:
                future.result()

    return seconds_of(run)


def _one_by_one(call: Any) -> float:
    return seconds_of(lambda: [call() for _ in range(JOBS)])


def _median_short(project: Project) -> float:
    result = project.orchestrator().run(max_workers=JOBS)
    result.raise_for_status()
    _long, *short = sorted(result.transformations.values(), key=lambda row: row.transformation_id)
    return median(row.duration_seconds for row in short) - HEAD_START


def _example(folder: Path, settings: dict[str, str]) -> dict[str, float]:
    ignored = shutil.ignore_patterns("lake", "registry.db", ".odibi", "__pycache__")
    shutil.copytree(EXAMPLE, folder, ignore=ignored)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["environments"]["qat"]["spark"] = settings
    (folder / "manifest.json").write_text(json.dumps(manifest))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.spark_example", str(folder)],
        check=True,
        capture_output=True,
        text=True,
    )
    took: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return took
