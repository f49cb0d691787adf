"""A hash of rows in the table's newest commit identifies a write that would change nothing."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pandas as pd
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from engines.contract import INFO

from odibi_nb.core.model.transformation import Output
from odibi_nb.engines.pandas.engine import PandasEngine

OUT = Output(table="silver.x", skip_unchanged=True)
TIMES = [dt.datetime(2026, 1, day, tzinfo=dt.timezone.utc) for day in (1, 2, 3)]


def frame(**changes):
    """A frame with most types."""
    columns = {
        "k": pd.array([1, 2, None], dtype="Int64"),
        "x": [0.1, float("nan"), 3.0],
        "t": TIMES,
        "s": ["a", None, "c"],
        "n": [[1, 2], None, []],
    }
    return pd.DataFrame({**columns, **changes})


@pytest.fixture
def engine(tmp_path):
    """An engine whose table ``silver.x`` holds `frame`."""
    engine = PandasEngine(str(tmp_path))
    write(engine, frame())
    return engine


def write(engine, data, output=OUT):
    """Write with the hash, as the runner does."""
    _, digest = engine.same_content(data, output)
    assert digest
    engine.write(data, output, dataclasses.replace(INFO, content_hash=digest))


def test_equal_rows_in_another_order_are_the_same_content(engine):
    """The version with the same rows is returned, so that no write is needed."""
    version, _ = engine.same_content(frame().iloc[::-1], OUT)
    assert version is not None
    assert version.version == 0


@pytest.mark.parametrize(
    "other",
    [
        frame(k=pd.array([1, 2, 3], dtype="Int64")),
        frame(x=[0.1, float("nan"), 3.0000000000000004]),
        frame(s=["a", "c", None]),
        frame(n=[[2, 1], None, []]),
        frame(n=[[1, 2], [], None]),
        frame(k=[1.0, 2.0, None]),
        pd.concat([frame(), frame()[:1]], ignore_index=True),
        frame()[:2],
        frame().rename(columns={"s": "z"}),
        frame(more=[1, 2, 3]),
    ],
    ids=[
        "value",
        "last bit",
        "place",
        "nested",
        "null",
        "type",
        "twice",
        "fewer",
        "name",
        "column",
    ],
)
def test_any_difference_is_another_content(engine, other):
    """The hash depends on exact values, duplicates, columns, types and nulls."""
    assert engine.same_content(other, OUT)[0] is None


def test_a_foreign_write_or_restore_is_not_taken_for_what_was_there(engine, tmp_path):
    """Only the newest commit that changed data counts as the table's content."""
    path = tmp_path / "silver" / "x"
    DeltaTable(path).optimize.compact()
    assert engine.same_content(frame(), OUT)[0] is not None
    write_deltalake(path, pa.Table.from_pandas(frame().head(1)), mode="append")
    assert engine.same_content(frame(), OUT)[0] is None
    DeltaTable(path).restore(0)
    assert engine.same_content(frame(), OUT)[0] is None
    write(engine, frame())
    assert engine.same_content(frame(), OUT)[0] is not None
    assert engine.same_content(frame(), Output(table="silver.x", partition_by=("s",)))[0] is None
