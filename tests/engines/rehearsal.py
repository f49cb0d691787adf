"""Contract of all engines for `load` and `try`.

A subclass gives ``make``, ``rows``, and a fixture ``engine`` over an empty lake at ``tmp_path/lake``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from deltalake import write_deltalake
from spark_sessions import make, rows_of

from odibi_nb.core.model.tables import TableName
from odibi_nb.core.model.transformation import Output
from odibi_nb.core.protocols import Portion, RehearsingEngine, WriteInfo
from odibi_nb.core.rehearsal.captured_writes import CapturedWrites
from odibi_nb.engines.spark.rehearsal import compare
from odibi_nb.errors import DataError, TableNotFoundError

INFO = WriteInfo(run_id="r1", transformation_id="T1", attempt=1)
TABLE = TableName.parse("silver.x")
ROWS = [
    {"id": 1, "v": 1.0, "s": "a"},
    {"id": 2, "v": None, "s": "b"},
    {"id": 3, "v": 3.0, "s": "c"},
    {"id": 4, "v": 4.0, "s": "d"},
]
VALUES = (1.1, 0.0, 3.1, float("inf"))


def fingerprint(folder):
    """Return every file below *folder*, with the hash of its bytes."""
    files = sorted(f for f in folder.rglob("*") if f.is_file())
    return {str(f): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


class RehearsalBasics:
    """The part of the contract for a `RehearsingEngine` with slow queries."""

    def make(self, rows, columns=None):
        """A frame of the engine."""
        raise NotImplementedError

    def rows(self, frame):
        """A frame's rows as dicts, sorted."""
        raise NotImplementedError

    @pytest.fixture
    def lake(self, engine, tmp_path):
        """The engine's lake has the table silver.x with ids 1 to 4, which the tests must not change."""
        engine.write(self.make(ROWS), Output(table="silver.x"), INFO)
        before = fingerprint(tmp_path / "lake")
        yield tmp_path / "lake"
        assert fingerprint(tmp_path / "lake") == before

    def change(self, engine, rows, columns=None, **output):
        """Return the change that writing *rows* to silver.x would make."""
        captured = CapturedWrites(engine)
        captured.write(self.make(rows, columns), Output(table="silver.x", **output), INFO)
        return captured.changes()["silver.x"]

    def test_details_come_from_the_log(self, engine, lake):
        """Rows, columns, version and writer of a table are known without reading a row."""
        details = engine.details(TABLE)
        assert (details.rows, details.version, details.run_id) == (4, 0, "r1")
        assert details.columns == {"id": "bigint", "v": "double", "s": "string"}
        assert details.transformation_id == "T1"
        assert details.modified_at.tzinfo is not None
        assert engine.details(TableName.parse("silver.none")) is None


class RehearsalContract(RehearsalBasics):
    """The whole contract of a `RehearsingEngine`."""

    def test_without_keys_whole_rows_are_compared_as_often_as_they_come(self, engine, lake):
        """Null equals null, and duplicate rows count as often as they occur."""
        change = self.change(engine, [*ROWS, ROWS[1]])
        assert (change.added, change.removed, change.changed, change.unchanged) == (1, 0, None, 4)
        assert change.added_rows == ({"id": 2, "v": None, "s": "b"},)

    def test_floats_that_differ_by_rounding_are_equal(self, engine, lake):
        """Sums in another order differ in the last digits. With and without keys this is no change."""
        third = ROWS[2]["v"]
        near = [*ROWS[:2], {**ROWS[2], "v": third + 1e-15 * third}, ROWS[3]]
        far = [{**row, "v": value} for row, value in zip(ROWS, VALUES, strict=True)]
        for keys in ((), ("id",)):
            assert self.change(engine, near, keys=keys).unchanged == 4
            assert self.change(engine, far, keys=keys).unchanged == 0
        notes = self.change(engine, near, keys=("id",)).notes
        assert notes == ("1 row differs only by the rounding of floats: unchanged",)

    def test_a_merge_removes_nothing_and_an_append_only_adds(self, engine, lake):
        """A merge keeps rows that it does not name. An append adds all its rows."""
        rows = [{"id": 1, "v": 1.5, "s": "a"}, {"id": 5, "v": 5.0, "s": "e"}]
        change = self.change(engine, rows, mode="merge", keys=("id",))
        assert (change.added, change.removed, change.changed, change.unchanged) == (1, 0, 1, 3)
        change = self.change(engine, ROWS, mode="append")
        assert (change.added, change.removed, change.unchanged) == (4, 0, 4)
        assert len(change.added_rows) == 4

    def test_keys_that_come_twice_are_no_keys(self, engine, lake):
        """If the keys are not unique, whole rows are compared, and a note reports it."""
        change = self.change(engine, [*ROWS, ROWS[0]], keys=("id",))
        assert (change.compared_by, change.added) == ((), 1)
        assert "1 key comes (id) more than once in the written data" in change.notes[0]

    def test_columns_that_come_go_and_change_are_told(self, engine, lake):
        """The change lists added, removed and retyped columns beside the rows."""
        rows = [{"id": row["id"], "v": str(row["v"]), "new": 1} for row in ROWS]
        change = self.change(engine, rows, schema_mode="overwrite", keys=("id",))
        assert {c.name: (c.before, c.after) for c in change.columns} == {
            "v": ("double", "string"),
            "s": ("string", None),
            "new": (None, "bigint"),
        }
        assert change.changed == 1  # the null that became text

    def test_what_a_write_refuses_its_rehearsal_refuses(self, engine, lake):
        """A try fails if the run would: for other columns, and for duplicate keys."""
        for rows, output in (
            ([{**row, "new": 1} for row in ROWS], {}),
            ([*ROWS, ROWS[0]], {"mode": "merge", "keys": ("id",)}),
        ):
            messages = []
            for tables in (engine, CapturedWrites(engine)):
                with pytest.raises(DataError) as refused:
                    tables.write(self.make(rows), Output(table="silver.x", **output), INFO)
                messages.append(str(refused.value))
            assert messages[0] == messages[1]

    def test_a_sample_is_the_same_each_time(self, engine, lake):
        """The same fraction of the same table gives the same rows; a limit cuts it further."""
        rows = [{"id": i, "v": float(i), "s": ""} for i in range(2_000)]
        frame = self.make(rows)
        first, second = (self.rows(engine.take(frame, Portion(fraction=0.1))) for _ in "12")
        assert first == second
        assert 100 < len(first) < 300
        assert len(self.rows(engine.take(frame, Portion(fraction=0.1, limit=10)))) == 10

    def test_later_reads_see_captured_writes(self, engine, lake):
        """Reading a table includes the captured writes, which never reach the lake."""
        captured = CapturedWrites(engine)
        some = self.make([{"id": 4, "s": "x"}, {"id": 5, "s": "e"}])
        merge = Output(table="silver.x", mode="merge", keys=("id",), schema_mode="merge")
        captured.write(some, merge, INFO)
        found = self.rows(captured.read(TABLE))
        assert [row["s"] for row in sorted(found, key=lambda row: row["id"])] == list("abcxe")
        kept = next(row for row in found if row["id"] == 4)
        assert kept["v"] == 4.0  # the merge did not name it
        append = Output(table="silver.x", mode="append")
        captured.write(self.make([{"id": 4, "v": 4.0, "s": "y"}]), append, INFO)
        assert len(self.rows(captured.read(TABLE))) == 6
        change = captured.changes()[
            "silver.x"
        ]  # 4 was changed by the merge: a whole row for another
        assert (change.added, change.removed) == (3, 1)
        captured.write(some, Output(table="silver.new"), INFO)
        assert captured.exists(TableName.parse("Silver.New"))
        assert len(self.rows(captured.read(TableName.parse("silver.new")))) == 2
        change = captured.changes()["silver.new"]
        assert (change.rows_before, change.rows_written) == (None, 2)
        with pytest.raises(DataError, match=r"names silver\.x, whose new rows are captured"):
            captured.query("SELECT count(*) FROM Silver.X")
        with pytest.raises(TableNotFoundError):
            captured.read(TableName.parse("silver.none"))

    def test_with_keys_rows_are_added_removed_and_changed(self, engine, lake):
        """With keys, a changed row is listed with its columns, and their values before and after."""
        assert isinstance(engine, RehearsingEngine)
        rows = [{**ROWS[0], "v": 9.0}, *ROWS[2:], {"id": 7, "v": 0.5, "s": "z"}]
        change = self.change(engine, rows, keys=("id",))
        assert (change.added, change.removed, change.changed, change.unchanged) == (1, 1, 1, 2)
        assert (change.rows_before, change.rows_written) == (4, 4)
        assert change.compared_by == ("id",)
        assert change.added_rows == ({"id": 7, "v": 0.5, "s": "z"},)
        assert change.removed_rows == ({"id": 2, "v": None, "s": "b"},)
        (row,) = change.changed_rows
        assert (row.key, row.columns) == ({"id": 1}, {"v": (1.0, 9.0)})
        assert change.changed_columns == {"v": 1}
        before, after = change.numbers["v"]
        assert (before.nulls, before.distinct, before.lowest, before.mean) == (1, 3, "1.0", 8 / 3)
        assert (after.nulls, after.distinct, after.highest) == (0, 4, "9.0")
        assert sorted(row["id"] for row in change.preview) == [1, 3, 4, 7]

    def test_a_cut_input_removes_nothing(self, engine, lake):
        """With a part of the inputs, removed rows are unknown."""
        captured = CapturedWrites(engine, Portion(limit=2))
        frame = captured.read(TABLE)
        assert captured.row_count(frame) == 2
        captured.write(frame, Output(table="silver.x", keys=("id",)), INFO)
        change = captured.changes()["silver.x"]
        assert (change.added, change.removed, change.changed, change.unchanged) == (0, None, 0, 2)
        assert "the inputs were cut, so rows that are missing" in change.notes[0]
        captured.writes.clear()
        captured.write(captured.read(TABLE), Output(table="silver.x"), INFO)
        change = captured.changes()["silver.x"]
        assert (change.added, change.unchanged) == (None, None)
        assert change.notes == (
            "the inputs were cut, and the output has no keys, so rows cannot be compared",
        )


class SparkRehearsal:
    """Spark's own part of the contract. A subclass's module gives ``connection``."""

    @pytest.fixture(autouse=True)
    def _spark(self, spark):
        self.spark = spark

    @pytest.fixture
    def spark(self, connection):
        """The session."""
        return connection.spark

    def make(self, rows, columns=None):
        """A DataFrame."""
        return make(self.spark, rows, columns)

    def rows(self, frame):
        """The rows of a DataFrame."""
        return rows_of(frame)

    def test_rows_are_computed_once(self, engine, spark, lake):
        """Counts, samples, preview and the frame have the same rows, even if the query is random or
        depends on the time.
        """
        captured = CapturedWrites(engine)
        frame = spark.range(3).selectExpr("id", "rand() AS v", "uuid() AS s")
        captured.write(frame, Output(table="silver.x", keys=("id",)), INFO)
        change = captured.changes()["silver.x"]
        seen = {row["s"] for row in change.preview}
        assert seen == {row["s"] for row in self.rows(captured.writes[0].frame)}
        assert {row.columns["s"][1] for row in change.changed_rows} < seen
        assert captured.row_count(captured.writes[0].frame) == 3

    @pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux counts bytes read")
    def test_a_limit_does_not_read_it_all(self, engine, spark, tmp_path):
        """A thousand of a million rows in ten files cost a fraction of the table's bytes."""
        folder = tmp_path / "lake" / "bronze" / "big"
        chance = np.random.default_rng(1)
        for i in range(10):
            rows = {"id": np.arange(100_000) + i * 100_000, "v": chance.random(100_000)}
            write_deltalake(str(folder), pa.table(rows), mode="append")
        size = sum(file.stat().st_size for file in folder.glob("*.parquet"))
        table = TableName.parse("bronze.big")
        engine.read_portion(table, Portion(limit=1))  # what is read once for all: classes, the log
        before = self.bytes_read()
        frame = engine.read_portion(table, Portion(limit=1_000))
        assert (frame.count(), engine.row_count(frame)) == (1_000, 1_000)
        assert frame.collect() == frame.collect()
        assert self.bytes_read() - before < size / 3

    def bytes_read(self):
        """Return the number of bytes that Spark's process has read."""
        fields = Path(f"/proc/{self.process()}/io").read_text().splitlines()
        return int(dict(line.split(": ") for line in fields)["rchar"])

    def process(self):
        """Spark's process."""
        return "self"

    def test_a_write_raises_what_computing_its_rows_raises(self, engine, spark, lake):
        """Errors are raised at the write, as in a run, and not at the comparison."""
        wrong = spark.range(3).selectExpr("id", "CAST(concat('x', id) AS double) AS v", "'' AS s")
        with pytest.raises(Exception, match=r"(?i)cast"):
            CapturedWrites(engine).write(wrong, Output(table="silver.x"), INFO)

    def test_lists_maps_and_times_can_be_compared(self, engine, spark, lake):
        """Types without an order, and times that Python has in local time, are compared, too."""
        sql = (
            "SELECT id, array(id) AS l, map('a', id) AS m, named_struct('f', id) AS st, "
            "timestamp'2024-01-02 03:04:05Z' AS t, CAST(id AS decimal(5,1)) AS d "
            "FROM VALUES {} AS t(id)"
        )
        info = {"table": "silver.nested", "schema_mode": "overwrite"}
        captured = CapturedWrites(engine)
        captured.write(spark.sql(sql.format("(1), (2)")), Output(**info), INFO)
        nested = captured.writes[0].frame
        for keys in ((), ("id",)):
            after = spark.sql(sql.format("(2), (3)"))
            change = compare(spark, nested, after, Output(**info, keys=keys))
            assert (change.added, change.removed, change.unchanged) == (1, 1, 1)
            assert change.added_rows[0]["t"].isoformat() == "2024-01-02T03:04:05+00:00"
