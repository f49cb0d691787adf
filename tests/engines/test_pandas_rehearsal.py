"""What a write would do to a Delta table, and reading no more of one than is asked for."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from odibi_nb.core.captured_writes import CapturedWrites
from odibi_nb.core.protocols import Portion, RehearsingEngine, WriteInfo
from odibi_nb.core.tables import TableName
from odibi_nb.core.transformation import Output
from odibi_nb.engines.arrow_compare import compare
from odibi_nb.engines.pandas import PandasEngine
from odibi_nb.errors import DataError

INFO = WriteInfo(run_id="r1", transformation_id="T1", attempt=1)
TABLE = TableName.parse("silver.x")


def fingerprint(folder: Path) -> dict[str, str]:
    """Every file below *folder*, and the hash of what is in it."""
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    return {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


@pytest.fixture
def engine(tmp_path):
    """An engine with the table silver.x: ids 1 to 4."""
    engine = PandasEngine(str(tmp_path / "lake"))
    frame = pd.DataFrame({"id": [1, 2, 3, 4], "v": [1.0, None, 3.0, 4.0], "s": list("abcd")})
    engine.write(frame, Output(table="silver.x"), INFO)
    return engine


def would_change(engine, frame, **output):
    """What writing *frame* to silver.x would change."""
    captured = CapturedWrites(engine)
    captured.write(frame, Output(table="silver.x", **output), INFO)
    return captured.changes()["silver.x"]


def test_the_pandas_engine_can_rehearse(engine):
    """It has all that load, try and explain need."""
    assert isinstance(engine, RehearsingEngine)


def test_with_keys_rows_are_added_removed_and_changed(engine):
    """By keys, a row is told to have changed, in which columns, from what to what."""
    frame = engine.read(TABLE)
    frame.loc[0, "v"] = 9.0
    frame = pd.concat([frame.drop(index=1), pd.DataFrame({"id": [7], "v": [0.5], "s": ["z"]})])
    change = would_change(engine, frame, keys=("id",))
    assert (change.added, change.removed, change.changed, change.unchanged) == (1, 1, 1, 2)
    assert change.compared_by == ("id",)
    assert change.added_rows == ({"id": 7, "v": 0.5, "s": "z"},)
    assert change.removed_rows == ({"id": 2, "v": None, "s": "b"},)
    (row,) = change.changed_rows
    assert (row.key, row.columns) == ({"id": 1}, {"v": (1.0, 9.0)})
    assert change.changed_columns == {"v": 1}
    assert change.summary() == "silver.x: 1 added, 1 removed, 1 changed, 2 unchanged"


def test_without_keys_whole_rows_are_compared_as_often_as_they_come(engine):
    """Null equals null; a row that comes twice is there twice."""
    frame = engine.read(TABLE)
    change = would_change(engine, pd.concat([frame, frame.iloc[[1]]]))
    assert (change.added, change.removed, change.changed, change.unchanged) == (1, 0, None, 4)
    assert change.added_rows == ({"id": 2, "v": None, "s": "b"},)


def test_floats_that_differ_by_rounding_are_equal(engine):
    """Sums in another order differ in the last digits: with and without keys that is no change."""
    values = [0.1 + 0.2, None, float("inf"), 1e300]
    engine.write(pd.DataFrame({"id": [1, 2, 3, 4], "v": values}), Output(table="silver.f"), INFO)
    again = pd.DataFrame({"id": [1, 2, 3, 4], "v": [0.3, None, float("inf"), 1e300]})
    for keys in ((), ("id",)):
        captured = CapturedWrites(engine)
        captured.write(again, Output(table="silver.f", keys=keys), INFO)
        change = captured.changes()["silver.f"]
        assert change.unchanged == 4
        captured.writes.clear()
        other = again.assign(v=[0.3001, 0.0, float("-inf"), 1e301])
        captured.write(other, Output(table="silver.f", keys=keys), INFO)
        assert captured.changes()["silver.f"].unchanged == 0
    assert change.notes == ("1 rows differ only by the rounding of floats: unchanged",)


def test_a_merge_removes_nothing(engine):
    """Rows that a merge does not name stay as they are."""
    frame = pd.DataFrame({"id": [1, 5], "v": [1.5, 5.0], "s": ["a", "e"]})
    change = would_change(engine, frame, mode="merge", keys=("id",))
    assert (change.added, change.removed, change.changed, change.unchanged) == (1, 0, 1, 3)


def test_an_append_only_adds(engine):
    """All rows of an append are added, also those that are there already."""
    change = would_change(engine, engine.read(TABLE), mode="append")
    assert (change.added, change.removed, change.unchanged) == (4, 0, 4)


def test_keys_that_come_twice_are_no_keys(engine):
    """Where the keys do not tell rows apart, whole rows are compared, and that is said."""
    frame = engine.read(TABLE)
    change = would_change(engine, pd.concat([frame, frame.iloc[[0]]]), keys=("id",))
    assert change.compared_by == ()
    assert change.added == 1
    assert "1 keys (id) come more than once in what is written" in change.notes[0]


def test_columns_that_come_go_and_change_are_told(engine):
    """Added, removed and retyped columns stand beside the rows."""
    frame = engine.read(TABLE).drop(columns="s").assign(v=["1", "2", "3", "4"], new=1)
    change = would_change(engine, frame, schema_mode="overwrite", keys=("id",))
    assert {c.name: (c.before, c.after) for c in change.columns} == {
        "v": ("double", "string"),
        "s": ("string", None),
        "new": (None, "bigint"),
    }
    assert change.changed == 4


def test_what_a_write_refuses_its_rehearsal_refuses(engine):
    """A try fails where the run would: other columns, keys that come twice, values of no type."""
    frame = engine.read(TABLE)
    twice = pd.concat([frame, frame])
    for wrong, output in (
        (frame.assign(new=1), {}),
        (twice, {"mode": "merge", "keys": ("id",)}),
        (frame.assign(v=pd.Timedelta("1s")), {}),
    ):
        messages = []
        for tables in (engine, CapturedWrites(engine)):
            with pytest.raises(DataError) as refused:
                tables.write(wrong, Output(table="silver.x", **output), INFO)
            messages.append(str(refused.value))
        assert messages[0] == messages[1]


def test_a_cut_input_removes_nothing(engine):
    """Of a part of the inputs it cannot be told what would be removed."""
    captured = CapturedWrites(engine, Portion(limit=2))
    captured.write(captured.read(TABLE), Output(table="silver.x", keys=("id",)), INFO)
    change = captured.changes()["silver.x"]
    assert (change.added, change.removed, change.changed, change.unchanged) == (0, None, 0, 2)
    assert "the inputs were cut" in change.notes[0]
    captured.writes.clear()
    captured.write(captured.read(TABLE), Output(table="silver.x"), INFO)
    assert captured.changes()["silver.x"].added is None


def test_later_reads_see_captured_writes(engine, tmp_path):
    """A table reads as the captured writes would have left it; the lake is as it was."""
    before = fingerprint(tmp_path)
    captured = CapturedWrites(engine)
    more = pd.DataFrame({"id": [4, 5], "v": [0.0, 5.0], "s": ["x", "e"]})
    captured.write(more, Output(table="silver.x", mode="merge", keys=("id",)), INFO)
    more.loc[0, "s"] = "changed after the write"
    found = captured.read(TABLE).sort_values("id")
    assert list(found["s"]) == ["a", "b", "c", "x", "e"]
    captured.write(more, Output(table="silver.x", mode="append"), INFO)
    assert len(captured.read(TABLE)) == 7
    captured.write(more, Output(table="silver.new"), INFO)
    assert captured.exists(TableName.parse("Silver.New"))
    own = captured.read(TableName.parse("silver.new"))
    own["id"] = 0
    assert list(captured.read(TableName.parse("silver.new"))["id"]) == [4, 5]
    assert captured.changes()["silver.new"].rows_before is None
    change = captured.changes()["silver.x"]  # 4 was changed by the merge: a whole row for another
    assert (change.added, change.removed) == (4, 1)
    assert fingerprint(tmp_path) == before


def test_a_query_over_a_captured_table_is_refused(engine):
    """SQL sees the lake only, so a query that would miss captured rows says so."""
    captured = CapturedWrites(engine)
    assert len(captured.query("SELECT * FROM silver.x")) == 4
    captured.write(engine.read(TABLE), Output(table="silver.x"), INFO)
    with pytest.raises(DataError, match=r"names silver\.x, whose new rows are captured"):
        captured.query("SELECT count(*) FROM Silver.X")


def test_details_come_from_the_log(engine):
    """Rows, columns, version, and who wrote it, without reading a row."""
    details = engine.details(TABLE)
    assert (details.rows, details.version, details.run_id) == (4, 0, "r1")
    assert details.columns == {"id": "bigint", "v": "double", "s": "string"}
    assert details.transformation_id == "T1"
    assert details.modified_at.tzinfo is not None
    assert engine.details(TableName.parse("silver.none")) is None


def test_details_name_the_writer_not_the_upkeep(engine, tmp_path):
    """Compacting a table's files is not writing it."""
    engine.write(engine.read(TABLE), Output(table="silver.x", mode="append"), INFO)
    DeltaTable(str(tmp_path / "lake" / "silver" / "x")).optimize.compact()
    assert engine.details(TABLE).run_id == "r1"
    assert engine.details(TABLE).rows == 8


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A lake with a table of five million rows."""
    lake = tmp_path_factory.mktemp("large")
    n = 5_000_000
    rows = pa.table({"id": np.arange(n), "v": np.random.default_rng(1).random(n)})
    write_deltalake(str(lake / "bronze" / "big"), rows)
    return lake


def bytes_read():
    """How many bytes this process has read so far."""
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


@settings(max_examples=25, deadline=None)
@given(before=tables, after=tables)
def test_whole_rows_are_compared_as_multisets(before, after):
    """Added and removed rows are what plain counting finds, whatever the nulls and repeats."""
    found = compare(arrow(before), arrow(after), Output(table="t"))
    old, new = Counter(before), Counter(after)
    assert found.added == (new - old).total()
    assert found.removed == (old - new).total()
    assert found.unchanged == (new & old).total()


@settings(max_examples=25, deadline=None)
@given(before=st.dictionaries(cells, cells), after=st.dictionaries(cells, cells))
def test_rows_are_compared_by_key(before, after):
    """Added, removed, changed and unchanged rows are what dictionaries say."""
    found = compare(
        arrow([*before.items()]), arrow([*after.items()]), Output(table="t", keys=("k",))
    )
    both = before.keys() & after.keys()
    assert found.added == len(after.keys() - before.keys())
    assert found.removed == len(before.keys() - after.keys())
    assert found.changed == sum(before[k] != after[k] for k in both)
    assert found.unchanged == sum(before[k] == after[k] for k in both)
