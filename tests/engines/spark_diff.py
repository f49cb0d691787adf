"""Contract of comparing versions by Spark itself. A subclass's module gives ``connection``."""

from __future__ import annotations

import datetime as dt
import decimal
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from engines.version_differences import expected, found

from odibi_nb.core.model.table_change import ColumnChange
from odibi_nb.engines.spark.version_diff import diff

SCHEMA = pa.schema(
    [
        ("k", pa.int64()),
        ("s", pa.string()),
        ("f", pa.float64()),
        ("g", pa.float32()),
        ("d", pa.decimal128(10, 2)),
        ("t", pa.timestamp("us", "UTC")),
        ("a", pa.struct([("k", pa.float64()), ("y", pa.string())])),
        ("b", pa.list_(pa.int64())),
    ]
)


def row(k, s='it\'s `x` "y"', f=1.5, **others):
    at = dt.datetime(2026, 3, 29, 2, 30, tzinfo=dt.timezone.utc)
    usual = {"g": 0.5, "d": decimal.Decimal("1.10"), "t": at, "a": {"k": 0.0, "y": None}, "b": [1]}
    return {"k": k, "s": s, "f": f, **usual, **others}


BEFORE = [row(1), row(2, f=math.nan), row(3), row(3), row(None), row(5, f=-0.0), row(6), row(7)]
AFTER = [
    row(1),
    row(2, f=math.nan),
    row(3),
    row(None, s=None),
    row(5, f=0.0),
    row(6, f=1.5 + 1e-14, t=None),
    row(7, d=decimal.Decimal("3.00"), g=math.inf, a={"k": -0.0, "y": "z"}, b=[1, None]),
    row(8),
    row(8),
]


class SparkDiff:
    """Comparisons of two DataFrames."""

    @pytest.fixture
    def frame(self, connection, tmp_path):
        """Makes a DataFrame of rows in files, as a table's are."""

        def make(rows, schema=SCHEMA):
            path = tmp_path / f"{len([*tmp_path.iterdir()])}.parquet"
            pq.write_table(pa.Table.from_pylist(rows, schema), path)
            return connection.spark.read.parquet(str(path))

        return make

    @pytest.mark.parametrize("keys", [(), ("k",), ("k", "s")])
    def test_spark_finds_each_difference(self, connection, frame, keys):
        """Nulls, NaN, both zeros, duplicates and nested values count as in SQL; the numbers are exact."""
        frames = (frame(BEFORE), frame(AFTER))
        diffed = diff(connection, "silver.x", frames, (3, 4), keys)
        assert found(diffed) == expected(BEFORE, AFTER, SCHEMA.names, keys)
        assert "read as a whole" in diffed.notes[0]
        if keys == ("k",):
            assert diffed.rows.largest == {"f": pytest.approx(1e-14, rel=0.1), "d": 1.9}
            assert [r["k"] for r in diffed.rows.added_rows] == [8, 8]
            assert diffed.rows.changed_rows[0].columns == {"s": (BEFORE[4]["s"], None)}

    def test_spark_compares_the_columns_that_both_have(self, connection, frame):
        """Numbers of another type are compared as numbers; new and lost columns are named."""
        narrow = pa.schema([("k", pa.int32()), ("v", pa.float32()), ("old", pa.string())])
        wide = pa.schema([("k", pa.int64()), ("v", pa.float64()), ("new", pa.string())])
        frames = (
            frame([{"k": 1, "v": 0.5, "old": "x"}, {"k": 2, "v": 0.5, "old": "x"}], narrow),
            frame([{"k": 1, "v": 0.5, "new": None}, {"k": 2, "v": 1.0, "new": "y"}], wide),
        )
        diffed = diff(connection, "silver.x", frames, (3, 4), ["k"])
        assert found(diffed) == (0, 0, 1, {"v": 1})
        assert ColumnChange(name="old", before="string", after=None) in diffed.columns
        assert {change.name for change in diffed.columns} == {"k", "v", "old", "new"}
        created = diff(connection, "silver.x", (None, frames[1]), (None, 0), ["k"])
        assert (created.added, created.removed, created.changed) == (2, 0, 0)
