"""Cost of a comparison of two versions, against one scan of the files that they do not share."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from benchmarks.figures import Figure, compared
from benchmarks.timing import seconds_of, side_by_side
from odibi_nb.core.model.tables import TableName
from odibi_nb.core.protocols import TableAt
from odibi_nb.engines.delta.unshared_files import files_at, unshared
from odibi_nb.engines.pandas.engine import PandasEngine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = 20
CHANGED_FILES = 2
VERSIONS = (FILES - 1, FILES)
CHANGED_SHARE = 10_000
"""One row of so many is changed."""
MOST_MEMORY = 1_000
TABLE = TableName.parse("silver.readings")
ONE_DIFF = """
import sys
from pathlib import Path
from benchmarks.diff import diff
print(diff(sys.argv[1]).counts())
# Not ru_maxrss: it keeps the size of the process that started this one.
print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024)
"""


def data_diff(folder: Path, rows: int, turns: int) -> Iterator[Figure]:
    """`engine.diff` by keys of a table in 20 files, of which an UPDATE has rewritten two.

    One of 10,000 rows is changed. The baseline lists the files of both versions, reads the files that the
    versions do not share once, as Arrow batches, and does nothing with them. Both run in turns in
    one process. The memory is the peak of a process that only compares, with all its libraries.
    """
    lake = folder / "lake"
    _make(lake, rows)

    def scan() -> None:
        uri = str(lake / TABLE.path)
        before, after = (files_at(uri, "readings", version, {}) for version in VERSIONS)
        assert before is not None
        assert after is not None
        for part in unshared(before, after):
            with part.opened() as reader:
                for _ in reader:
                    pass

    compare, baseline = side_by_side(
        [lambda: seconds_of(lambda: diff(str(lake))), lambda: seconds_of(scan)], turns
    )
    name = f"diff of {rows:,} rows, {rows // CHANGED_SHARE:,} changed in {CHANGED_FILES} files"
    yield compared(
        name, compare, baseline, peer="listing, one scan of the changed files", at_most=1.2
    )
    command = [sys.executable, "-c", ONE_DIFF, str(lake)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    peak = int(printed[-1])
    yield Figure(
        name=f"peak memory of a diff of {rows:,} rows",
        ours=f"{peak:,} MB",
        baseline="–",
        wanted=f"≤ {MOST_MEMORY:,} MB",
        holds=peak <= MOST_MEMORY,
    )


def diff(lake: str) -> object:
    """Compare the two versions, by keys.

    Raises:
        AssertionError: if the result is wrong.
    """
    engine = PandasEngine(lake)
    at = [TableAt(engine=engine, table=TABLE, version=version) for version in VERSIONS]
    found = engine.diff(at[0], at[1], ["id"])
    expected = (found.rows_after or 0) // CHANGED_SHARE
    assert (found.added, found.removed, found.changed) == (0, 0, expected)
    assert found.files_shared == FILES - CHANGED_FILES
    return found


def _make(lake: Path, rows: int) -> None:
    """Write a version with `FILES` files, and one with some of them rewritten."""
    uri = str(lake / TABLE.path)
    each = rows // FILES
    chance = np.random.default_rng(1)
    for number in range(FILES):
        write_deltalake(uri, _rows(chance, number * each, each), mode="append")
    table = DeltaTable(uri)
    step = CHANGED_SHARE * CHANGED_FILES // FILES
    table.update(
        updates={"value": "value + 1"},
        predicate=f"id < {CHANGED_FILES * each} AND id % {step} = 0",
    )


def _rows(chance: np.random.Generator, first: int, count: int) -> pa.Table:
    sites = np.array([f"site {i}" for i in range(500)])
    return pa.table(
        {
            "id": np.arange(first, first + count),
            "site": sites[chance.integers(0, 500, count)],
            "measured_at": pa.array(
                np.arange(first, first + count) * 1_000_000, pa.timestamp("us", "UTC")
            ),
            "value": chance.random(count),
            "quality": chance.integers(0, 4, count),
            "note": np.char.add("reading ", chance.integers(0, 10**6, count).astype(str)),
        }
    )
