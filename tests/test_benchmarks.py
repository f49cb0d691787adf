"""Each benchmark runs, at a size too small for a meaningful figure."""

from __future__ import annotations

import pytest

from benchmarks.diff import data_diff
from benchmarks.imports import imports
from benchmarks.log import run_log
from benchmarks.planning import plan
from benchmarks.provenance import recording, versions
from benchmarks.rollback import rollback
from benchmarks.rows import growth, no_op_rows
from benchmarks.stale import unchanged_run
from benchmarks.ticks import bytes_per_tick


@pytest.mark.parametrize(
    "figures",
    [
        lambda folder: no_op_rows(folder, 5, 1),
        lambda folder: growth(folder, 2, 5, 1),
        lambda folder: run_log(folder, 5, 1),
        lambda folder: plan(folder, 5, 1),
        lambda folder: unchanged_run(folder, 4),
        lambda folder: rollback(folder, 3, 1),
        lambda folder: data_diff(folder, 20_000, 1),
        lambda folder: recording(folder, 2, 1),
        lambda folder: versions(folder, 2, 1),
        lambda _folder: imports(1),
        lambda _folder: bytes_per_tick("widgets", 100),
        lambda _folder: bytes_per_tick("plotly", 100),
    ],
    ids=[
        "rows",
        "growth",
        "log",
        "plan",
        "stale",
        "rollback",
        "diff",
        "recording",
        "versions",
        "imports",
        "ticks-widgets",
        "ticks-plotly",
    ],
)
def test_a_benchmark_yields_figures(tmp_path, figures):
    """Each measured tool has figures with a name and a value, or is left out if it is not installed."""
    found = list(figures(tmp_path))
    assert found
    assert all(figure.name and figure.ours for figure in found)
