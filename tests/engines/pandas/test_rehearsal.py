"""The changes that a write would make to a Delta table, and reading only the requested rows."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from engines.rehearsal import INFO, ROWS, TABLE, RehearsalContract
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from odibi_nb.core.model.tables import TableName
from odibi_nb.core.model.transformation import Output
from odibi_nb.core.protocols import Portion
from odibi_nb.core.rehearsal.captured_writes import CapturedWrites
from odibi_nb.engines.pandas.engine import PandasEngine
from odibi_nb.engines.pandas.rehearsal import compare
from odibi_nb.errors import DataError


@pytest.fixture
def engine(tmp_path):
    """An engine over an empty lake."""
    return PandasEngine(str(tmp_path / "lake"))


class TestContract(RehearsalContract):
    """The contract on pandas."""

    def make(self, rows, columns=None):
        """A DataFrame."""
        return pd.DataFrame(rows, columns=columns)

    def rows(self, frame):
        """The rows of a DataFrame."""
        return frame.to_dict("records")


@pytest.fixture
def filled(engine):
    """The engine with the table silver.x: ids 1 to 4."""
    engine.write(pd.DataFrame(ROWS), Output(table="silver.x"), INFO)
    return engine


def test_frames_are_the_callers_own(filled):
    """Changing a frame after it was written or read changes no captured write."""
    captured = CapturedWrites(filled)
    frame = filled.read(TABLE)
    captured.write(frame, Output(table="silver.x"), INFO)
    frame["s"] = "changed after the write"
    found = captured.read(TABLE)
    assert list(found["s"]) == list("abcd")
    found["id"] = 0
    assert list(captured.read(TABLE)["id"]) == [1, 2, 3, 4]


def test_values_of_no_type_are_refused(filled):
    """A frame that no table can store fails in a try as in a run."""
    wrong = filled.read(TABLE).assign(v=pd.Timedelta("1s"))
    for tables in (filled, CapturedWrites(filled)):
        with pytest.raises(DataError, match="total_seconds"):
            tables.write(wrong, Output(table="silver.x"), INFO)


def test_infinite_and_huge_floats_equal_themselves(filled):
    """Comparing infinities works with and without keys, in spite of the rounding."""
    values = [0.1 + 0.2, None, float("inf"), 1e300]
    filled.write(pd.DataFrame({"id": [1, 2, 3, 4], "v": values}), Output(table="silver.f"), INFO)
    again = pd.DataFrame({"id": [1, 2, 3, 4], "v": [0.3, None, float("inf"), 1e300]})
    other = again.assign(v=[0.3001, 0.0, float("-inf"), 1e301])
    for keys in ((), ("id",)):
        for frame, unchanged in ((again, 4), (other, 0)):
            captured = CapturedWrites(filled)
            captured.write(frame, Output(table="silver.f", keys=keys), INFO)
            assert captured.changes()["silver.f"].unchanged == unchanged


def test_details_name_the_writer_not_the_upkeep(filled, tmp_path):
    """Compacting a table's files does not count as writing it."""
    filled.write(filled.read(TABLE), Output(table="silver.x", mode="append"), INFO)
    DeltaTable(str(tmp_path / "lake" / "silver" / "x")).optimize.compact()
    assert filled.details(TABLE).run_id == "r1"
    assert filled.details(TABLE).rows == 8


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A lake with a table of five million rows."""
    lake = tmp_path_factory.mktemp("large")
    n = 5_000_000
    rows = pa.table({"id": np.arange(n), "v": np.random.default_rng(1).random(n)})
    write_deltalake(str(lake / "bronze" / "big"), rows)
    return lake


def bytes_read():
    """Return the number of bytes that this process has read."""
    fields = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(fields["rchar"])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux counts bytes read")
def test_a_limit_does_not_read_it_all(large):
    """A thousand of five million rows cost a fraction of the table's bytes."""
    size = sum(f.stat().st_size for f in (large / "bronze" / "big").glob("*.parquet"))
    before = bytes_read()
    frame = PandasEngine(str(large)).read_portion(
        TableName.parse("bronze.big"), Portion(limit=1000)
    )
    assert len(frame) == 1000
    assert bytes_read() - before < size / 3


def test_a_sample_is_the_same_each_time(large):
    """The same fraction of the same table gives the same rows, about as many as asked for."""
    engine, table = PandasEngine(str(large)), TableName.parse("bronze.big")
    first, second = (engine.read_portion(table, Portion(fraction=0.001)) for _ in range(2))
    assert first.equals(second)
    assert 4_000 < len(first) < 6_000
    assert first["id"].max() > 4_900_000
    few = engine.read_portion(table, Portion(fraction=0.001, limit=10))
    assert few.equals(first.head(10))


cells = st.one_of(st.none(), st.integers(0, 3))
tables = st.lists(st.tuples(cells, cells), max_size=8)


def arrow(rows):
    """An Arrow table of (k, v) pairs."""
    columns = {"k": [k for k, _ in rows], "v": [v for _, v in rows]}
    return pa.table(columns, schema=pa.schema([("k", pa.int64()), ("v", pa.int64())]))


@settings(max_examples=examples(25))
@given(before=tables, after=tables)
def test_whole_rows_are_compared_as_multisets(before, after):
    """Added and removed rows equal a plain count, with any nulls and repeats."""
    found = compare(arrow(before), arrow(after), Output(table="t"))
    old, new = Counter(before), Counter(after)
    assert found.added == (new - old).total()
    assert found.removed == (old - new).total()
    assert found.unchanged == (new & old).total()


@settings(max_examples=examples(25))
@given(before=st.dictionaries(cells, cells), after=st.dictionaries(cells, cells))
def test_rows_are_compared_by_key(before, after):
    """Added, removed, changed and unchanged rows equal a comparison by dictionaries."""
    found = compare(
        arrow([*before.items()]), arrow([*after.items()]), Output(table="t", keys=("k",))
    )
    both = before.keys() & after.keys()
    assert found.added == len(after.keys() - before.keys())
    assert found.removed == len(before.keys() - after.keys())
    assert found.changed == sum(before[k] != after[k] for k in both)
    assert found.unchanged == sum(before[k] == after[k] for k in both)
