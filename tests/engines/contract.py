"""Contract of all engines. An engine's tests subclass `EngineContract` and give its `engine`.

Frames are made and looked at through two functions that the subclass overrides, so that the same
tests run with pandas and with Spark.
"""

import contextlib
import datetime as dt
from pathlib import Path

import pyarrow as pa
import pytest

from odibi_nb.core.model.attempt_control import AttemptControl
from odibi_nb.core.model.query_tables import DIALECTS
from odibi_nb.core.model.read_only_query import why_refused
from odibi_nb.core.model.sql_parameters import bind
from odibi_nb.core.model.tables import TableName
from odibi_nb.core.model.transformation import Output
from odibi_nb.core.protocols import Change, WriteInfo
from odibi_nb.errors import DataError, TableNotFoundError

UTC = dt.timezone.utc
INFO = WriteInfo(run_id="run-1", transformation_id="T_001", attempt=2)
NOON = dt.datetime(2024, 1, 2, 12, tzinfo=UTC)


def table(name):
    """The parsed name."""
    return TableName.parse(name)


def attempt(engine, *tables):
    """Return the context around an attempt that reads or writes *tables*, if *engine* has one."""
    scope = getattr(engine, "attempt_scope", None)
    return scope(INFO, tables, AttemptControl()) if scope else contextlib.nullcontext()


class EngineContract:
    """The tests; *self.make* and *self.rows* are the engine's own."""

    key_of_sums = "s.k"
    """How a query names the column that two tables are joined USING."""

    def make(self, rows, columns=None):
        """A frame of the engine from a list of dicts."""
        raise NotImplementedError

    def rows(self, frame):
        """A frame's rows as sorted dicts, nulls as None, timestamps as aware datetimes."""
        raise NotImplementedError

    def without_rows(self, frame):
        """The frame's columns alone."""
        return frame.head(0)

    def put(self, engine, rows, output="silver.t", **how):
        """Write rows."""
        return engine.write(self.make(rows), Output(table=output, **how), INFO)

    def get(self, engine, name="silver.t"):
        """Read rows."""
        return self.rows(engine.read(table(name)))

    def test_a_table_is_read_as_it_was_written(self, engine):
        """Numbers, text, booleans, dates, timestamps and nulls survive a round trip."""
        rows = [
            {"n": 1, "x": 1.5, "s": "é", "b": True, "d": dt.date(2024, 1, 2), "t": NOON},
            {"n": 2, "x": None, "s": None, "b": False, "d": None, "t": None},
        ]
        self.put(engine, rows)
        assert self.get(engine) == rows

    def test_names_of_tables_have_no_case(self, engine):
        """A table is found under its name in any case."""
        self.put(engine, [{"n": 1}], "Silver.Clean_Sensors")
        assert self.get(engine, "SILVER.clean_sensors") == [{"n": 1}]
        assert engine.exists(table("silver.CLEAN_sensors"))

    def test_names_have_one_to_three_parts(self, engine):
        """A table may be in the default schema, in a schema, or in a catalog's schema."""
        for n, name in enumerate(("plain", "silver.t", "plant.silver.t")):
            self.put(engine, [{"n": n}], name)
        assert [self.get(engine, name) for name in ("plain", "silver.t", "plant.silver.t")] == [
            [{"n": 0}],
            [{"n": 1}],
            [{"n": 2}],
        ]

    def test_a_missing_table_is_a_table_not_found(self, engine):
        """Reading a missing table raises an error that names it."""
        assert not engine.exists(table("silver.nope"))
        with pytest.raises(TableNotFoundError) as caught:
            engine.read(table("silver.nope"))
        assert caught.value.table == "silver.nope"

    @pytest.mark.parametrize("leftovers", [(), (".00000000000000000000.json.tmp", "_commits/x")])
    def test_what_a_broken_off_first_write_leaves_is_no_table(self, engine, leftovers):
        """Data files and a log without a commit are not a table. An attempt finds none, and writes it."""
        one = table("silver.t")
        log = Path(engine._lake.uri(one)) / "_delta_log"
        log.mkdir(parents=True)
        (log.parent / "part-0.snappy.parquet").write_bytes(b"half a file")
        for name in leftovers:
            (log / name).parent.mkdir(exist_ok=True)
            (log / name).touch()
        assert not engine.exists(one)
        assert one not in engine.tables()
        with pytest.raises(TableNotFoundError, match=r"silver\.t"):
            engine.read(one)
        with attempt(engine, "silver.t"):
            assert self.put(engine, [{"k": 1}], mode="append") == 1
        with attempt(engine, "silver.t"):
            assert self.get(engine) == [{"k": 1}]

    def test_overwrite_replaces_all_rows(self, engine):
        """After an overwrite the table has only the new rows."""
        self.put(engine, [{"n": 1}, {"n": 2}])
        self.put(engine, [{"n": 3}])
        assert self.get(engine) == [{"n": 3}]

    def test_append_adds_rows(self, engine):
        """After an append the table has old and new rows. The first append creates it."""
        self.put(engine, [{"n": 1}], mode="append")
        self.put(engine, [{"n": 1}, {"n": 2}], mode="append")
        assert self.get(engine) == [{"n": 1}, {"n": 1}, {"n": 2}]

    def test_merge_updates_and_inserts(self, engine):
        """A merge replaces the rows with existing keys and adds the others."""
        keys = {"mode": "merge", "keys": ("a", "b")}
        self.put(engine, [{"a": 1, "b": "x", "v": 1}, {"a": 1, "b": "y", "v": 2}], **keys)
        self.put(engine, [{"a": 1, "b": "y", "v": 20}, {"a": 2, "b": "y", "v": 3}], **keys)
        assert self.get(engine) == [
            {"a": 1, "b": "x", "v": 1},
            {"a": 1, "b": "y", "v": 20},
            {"a": 2, "b": "y", "v": 3},
        ]

    def test_merge_takes_null_for_equal_to_null(self, engine):
        """A key that is null matches the row whose key is null, and no other."""
        self.put(engine, [{"a": "x", "v": 1}, {"a": None, "v": 2}])
        rows = [{"a": None, "v": 20}, {"a": "y", "v": 3}]
        self.put(engine, rows, mode="merge", keys=("a",))
        assert self.get(engine) == [
            {"a": "x", "v": 1},
            {"a": "y", "v": 3},
            {"a": None, "v": 20},
        ]

    def test_merge_refuses_keys_that_come_twice(self, engine):
        """Two rows of the frame with one key are an error that shows the key; nothing is written."""
        self.put(engine, [{"a": 7, "v": 1}])
        with pytest.raises(DataError, match=r"silver\.t: .*\(a\).*a=7"):
            self.put(engine, [{"a": 7, "v": 2}, {"a": 7, "v": 3}], mode="merge", keys=("a",))
        assert self.get(engine) == [{"a": 7, "v": 1}]

    def test_merge_needs_its_keys_in_the_frame(self, engine):
        """A key that the frame does not have is an error with a suggestion."""
        with pytest.raises(DataError, match=r"'sensor_ids'.*did you mean 'sensor_id'"):
            self.put(engine, [{"sensor_id": 1}], mode="merge", keys=("sensor_ids",))
        with pytest.raises(DataError, match="needs 'keys'"):
            self.put(engine, [{"sensor_id": 1}], mode="merge")

    @pytest.mark.parametrize("mode", ["overwrite", "append", "merge"])
    def test_other_columns_are_refused(self, engine, mode):
        """Added and missing columns are listed, with what to put into outputs; nothing is written."""
        keys = ("k",) if mode == "merge" else ()
        self.put(engine, [{"k": 1, "old": "x"}])
        with pytest.raises(DataError) as caught:
            self.put(engine, [{"k": 1, "new": 2.5}], mode=mode, keys=keys)
        text = str(caught.value)
        assert text.startswith("silver.t: ")
        assert "added 'new' (double)" in text
        assert "missing 'old' (string)" in text
        assert '"schema_mode": "merge"' in text
        assert '"schema_mode": "overwrite"' in text
        assert self.get(engine) == [{"k": 1, "old": "x"}]

    @pytest.mark.parametrize("mode", ["overwrite", "append"])
    def test_other_types_are_refused(self, engine, mode):
        """A column whose values do not fit the table's type is listed with both types."""
        self.put(engine, [{"k": 1}])
        with pytest.raises(DataError, match=r"changed 'k' \(bigint in the table, string in the fr"):
            self.put(engine, [{"k": "x"}], mode=mode, schema_mode="merge")
        assert self.get(engine) == [{"k": 1}]

    def test_schema_mode_merge_adds_columns(self, engine):
        """Appending with schema_mode merge adds columns, and missing ones are null."""
        self.put(engine, [{"k": 1, "old": "x"}])
        self.put(engine, [{"k": 2, "new": 2.5}], mode="append", schema_mode="merge")
        assert self.get(engine) == [
            {"k": 1, "old": "x", "new": None},
            {"k": 2, "old": None, "new": 2.5},
        ]

    def test_schema_mode_merge_works_for_merges(self, engine):
        """Merging with schema_mode merge adds columns and leaves the values of missing ones."""
        self.put(engine, [{"k": 1, "old": "x"}])
        rows = [{"k": 1, "new": 1.5}, {"k": 2, "new": 2.5}]
        self.put(engine, rows, mode="merge", keys=("k",), schema_mode="merge")
        assert self.get(engine) == [
            {"k": 1, "old": "x", "new": 1.5},
            {"k": 2, "old": None, "new": 2.5},
        ]

    def test_schema_mode_overwrite_replaces_the_columns(self, engine):
        """An overwrite with schema_mode overwrite gives the table the frame's columns."""
        self.put(engine, [{"k": 1, "old": "x"}])
        self.put(engine, [{"k": "a"}], schema_mode="overwrite")
        assert self.get(engine) == [{"k": "a"}]

    def test_schema_mode_overwrite_needs_mode_overwrite(self, engine):
        """Replacing the columns while keeping the rows is an error."""
        with pytest.raises(DataError, match="needs mode 'overwrite', found 'append'"):
            self.put(engine, [{"k": 1}], mode="append", schema_mode="overwrite")

    def test_a_frame_without_rows_makes_a_table(self, engine):
        """No rows still give a table with the frame's columns, which later rows fit."""
        empty = self.without_rows(self.make([{"k": 1, "t": NOON}]))
        engine.write(empty, Output(table="silver.t"), INFO)
        assert engine.exists(table("silver.t"))
        assert self.get(engine) == []
        self.put(engine, [{"k": 1, "t": NOON}], mode="append")
        assert self.get(engine) == [{"k": 1, "t": NOON}]

    def test_tables_are_partitioned_as_asked(self, engine):
        """partition_by is honoured when a table is created, nulls and odd characters included."""
        rows = [{"k": 1, "p": "a/b c"}, {"k": 2, "p": None}]
        self.put(engine, rows, partition_by=("p",))
        self.put(engine, [{"k": 3, "p": "x"}], mode="append")
        assert self.get(engine) == [*rows, {"k": 3, "p": "x"}]

    def test_a_query_sees_the_lakes_tables(self, engine):
        """SELECTs may name several tables, with aliases, in any case, with joins and WITH."""
        self.put(engine, [{"k": 1, "v": 10}, {"k": 2, "v": 20}], "silver.a")
        self.put(engine, [{"k": 1, "w": "x"}], "gold.b")
        sql = f"""
            WITH sums AS (SELECT k, sum(v) AS v FROM Silver.A GROUP BY k)
            SELECT {self.key_of_sums}, s.v, b.w FROM sums s LEFT JOIN GOLD.b AS b USING (k) ORDER BY k
        """
        assert self.rows(engine.query(sql)) == [
            {"k": 1, "v": 10, "w": "x"},
            {"k": 2, "v": 20, "w": None},
        ]

    def test_parameters_have_the_values_and_types_of_the_row(self, engine):
        """A SQL row's parameters reach the engine unchanged, whatever a text holds."""
        odd = "it's \\n ${env:HOME} \\ ü\n'; DROP TABLE silver.t --"
        self.put(engine, [{"k": 1, "v": odd, "d": NOON.date()}, {"k": 2, "v": "x", "d": None}])
        values = {"odd": odd, "day": "2024-01-02", "half": 0.5, "on": True, "one": -1, "no": None}
        sql = """
            SELECT k, :odd = v AS same, :odd AS odd, :half AS half, :on AS "on", 1-:one AS two
            FROM silver.t
            WHERE d >= :day AND v IN (:all) AND k IN :all_k AND k NOT IN (:none) AND :no IS NULL
        """
        values |= {"all": ["y", odd], "all_k": [1, 2], "none": []}
        dialect = DIALECTS[engine.name]
        sql = sql if dialect == "duckdb" else sql.replace('"on"', "`on`")
        bound = bind(sql, values, dialect)
        assert bound.problems == ()
        assert self.rows(engine.query(bound.text)) == [
            {"k": 1, "same": True, "odd": odd, "half": 0.5, "on": True, "two": 2}
        ]
        assert why_refused(bound.text, dialect) == ""

    def test_a_query_of_a_missing_table_says_which(self, engine):
        """A query that names a table that is not there raises the error of a read."""
        with pytest.raises(DataError, match=r"silver\.nope"):
            engine.query("SELECT * FROM silver.nope")

    def test_a_wrong_query_is_one_error(self, engine):
        """The engine reports a wrong query in one line."""
        self.put(engine, [{"k": 1}])
        for sql in ("SELECT nope FROM silver.t", "SELEC 1"):
            with pytest.raises(DataError) as caught:
                engine.query(sql)
            assert "\n" not in str(caught.value)

    def test_cached_tables_are_seen_anew_after_a_write(self, engine):
        """A cached table is read from memory until the engine writes to it."""
        self.put(engine, [{"k": 1}])
        engine.cache(table("silver.t"))
        assert self.get(engine) == [{"k": 1}]
        self.put(engine, [{"k": 2}], mode="append")
        assert self.get(engine) == [{"k": 1}, {"k": 2}]
        engine.close()

    def test_a_missing_table_cannot_be_cached(self, engine):
        """Caching a missing table raises a TableNotFoundError."""
        with pytest.raises(TableNotFoundError):
            engine.cache(table("silver.nope"))

    def test_frames_are_known(self, engine):
        """is_frame is True only for frames. schema gives every column a type's name."""
        frame = self.make([{"k": 1, "s": "x"}])
        assert engine.is_frame(frame)
        assert not engine.is_frame([{"k": 1}])
        assert list(engine.schema(frame)) == ["k", "s"]
        assert all(isinstance(name, str) for name in engine.schema(frame).values())

    def test_an_arrow_table_is_a_frame(self, engine):
        """An Arrow table is written with its values and types, whole numbers with gaps as such."""
        data = pa.table(
            {"k": pa.array([1, 2, None]), "s": ["x", None, "y"], "b": [True, None, False]}
        )
        assert engine.is_frame(data)
        own = engine.native(data, "silver.t")
        assert list(engine.schema(own)) == ["k", "s", "b"]
        engine.write(own, Output(table="silver.t"), INFO)
        rows = self.get(engine)
        assert len(rows) == 3
        for expected in data.to_pylist():
            assert expected in rows
        assert engine.details(table("silver.t")).columns["k"] in {"bigint", "int64", "long"}
        engine.write(engine.native(data.to_batches()[0], "t"), Output(table="silver.t"), INFO)
        assert len(self.get(engine)) == 3

    def test_it_notices_that_a_table_is_written(self, engine):
        """A watched table is absent, as it was, or written: by the engine, or by anyone else."""
        one = table("silver.t")
        watch = engine.watch([one])
        assert watch(one) is Change.ABSENT
        self.put(engine, [{"k": 1}])
        assert watch(one) is Change.WRITTEN
        # Where only times can be compared, a commit has to be a second old, and a slow answer counts
        # as time: each look is a watch of its own.
        looks = (engine.watch([one])(one) for _ in range(1000))
        assert Change.SAME in looks
        watch = engine.watch([one])
        self.put(engine, [{"k": 2}], mode="append")
        assert watch(one) is Change.WRITTEN

    def test_csv_is_read_with_its_schema(self, engine, tmp_path):
        """A CSV file's columns get the types that the schema names; zeros in front stay."""
        path = tmp_path / "a.csv"
        path.write_text("id,n,x,t\n007,1,1.5,2024-01-02 12:00:00\n008,,,\n")
        types = {"id": "string", "n": "bigint", "x": "double", "t": "timestamp"}
        frame = engine.read_file(str(path), format="csv", schema=types)
        assert self.rows(frame) == [
            {"id": "007", "n": 1, "x": 1.5, "t": NOON},
            {"id": "008", "n": None, "x": None, "t": None},
        ]

    def test_a_missing_file_is_a_data_error(self, engine, tmp_path):
        """Reading a missing file raises an error that names it."""
        with pytest.raises(DataError, match=r"nope\.csv"):
            engine.read_file(str(tmp_path / "nope.csv"), format="csv")
