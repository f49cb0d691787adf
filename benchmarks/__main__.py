"""Print the table of all figures.

Each figure's method is in the docstring of the function that yields it. Only the ratios are comparable:
the times of both sides depend on the machine and its other work.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.diff import data_diff
from benchmarks.figures import table
from benchmarks.frames import frames
from benchmarks.imports import imports
from benchmarks.live import first_picture, live_run, saved_notebooks
from benchmarks.log import many_runs, run_log
from benchmarks.planning import plan
from benchmarks.provenance import recording, versions
from benchmarks.rollback import rollback
from benchmarks.rows import growth, no_op_rows
from benchmarks.spark import (
    jobs_beside_a_pool,
    log_through_spark,
    sail_beside_jvm,
    short_beside_long,
    unavailable,
)
from benchmarks.stale import unchanged_run
from benchmarks.ticks import bytes_per_tick

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.figures import Figure

SHOWN_VERSIONS = (
    "kedro",
    "deltalake",
    "sqlalchemy",
    "msgspec",
    "ipykernel",
    "plotly",
    "pyspark",
    "pysail",
)


def main() -> None:
    """Measure, name each measurement on standard error, then print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick",
        action="store_true",
        help="smaller sizes, fewer turns; the limits are for full sizes",
    )
    parser.add_argument(
        "--diff-rows",
        type=int,
        default=2_000_000,
        help="rows of the compared table; 20 million: 2 GB",
    )
    arguments = parser.parse_args()
    quick = arguments.quick
    figures = []
    with tempfile.TemporaryDirectory() as folder:
        for figure in _figures(Path(folder), quick=quick, diff_rows=arguments.diff_rows):
            print(f"… {figure.name}", file=sys.stderr, flush=True)
            figures.append(figure)
    print(_machine() + ("; quick: the limits are for full sizes" if quick else ""))
    print(table(figures))


def _figures(folder: Path, *, quick: bool, diff_rows: int) -> Iterator[Figure]:
    if quick:
        yield from no_op_rows(folder / "rows", 500, 3)
        yield from growth(folder / "growth", 200, 2_000, 3)
        yield from run_log(folder / "log", 200, 2)
        yield from many_runs(folder / "many", 20, 100, 3)
        yield from plan(folder / "plan", 1_000, 3)
        yield from recording(folder / "recording", 50, 5)
        yield from versions(folder / "versions", 100, 3)
        yield from rollback(folder / "rollback", 100, 2)
        yield from data_diff(folder / "diff", 200_000, 3)
        yield from unchanged_run(folder / "stale", 100)
        yield from imports(3)
        yield from _live(folder / "live", 300, 2)
        yield from _spark(folder / "spark", 1)
    else:
        yield from no_op_rows(folder / "rows", 1_000, 7)
        yield from growth(folder / "growth", 1_000, 20_000, 5)
        yield from run_log(folder / "log", 1_000, 5)
        yield from many_runs(folder / "many", 50, 1_000, 9)
        yield from plan(folder / "plan", 10_000, 7)
        yield from recording(folder / "recording", 50, 41)
        yield from versions(folder / "versions", 1_000, 5)
        yield from rollback(folder / "rollback", 1_000, 5)
        yield from data_diff(folder / "diff", diff_rows, 5)
        yield from unchanged_run(folder / "stale", 1_000)
        yield from imports(15)
        yield from _live(folder / "live", 2_000, 5)
        yield from _spark(folder / "spark", 5)


def _live(folder: Path, rows: int, turns: int) -> Iterator[Figure]:
    yield from live_run(folder / "run", rows, turns)
    yield from bytes_per_tick("widgets", rows)
    yield from bytes_per_tick("plotly", min(rows, 500))
    yield from saved_notebooks(folder / "saved", {20: 100, rows: 300})
    yield from first_picture(folder / "first", turns)
    yield from frames(folder / "frames", rows)


def _spark(folder: Path, turns: int) -> Iterator[Figure]:
    missing = unavailable()
    if missing is not None:
        yield missing
        return
    yield from jobs_beside_a_pool(folder / "jobs", turns)
    yield from short_beside_long(folder / "short", turns)
    yield from log_through_spark(folder / "log", 300, turns)
    yield from sail_beside_jvm(folder / "example", turns)


def _machine() -> str:
    """Return the machine and the libraries of the measurement."""
    versions = {name: _version(name) for name in SHOWN_VERSIONS}
    known = [f"{name} {version}" for name, version in versions.items() if version]
    return f"Python {platform.python_version()}, {os.cpu_count()} CPUs, {', '.join(known)}"


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


if __name__ == "__main__":
    main()
