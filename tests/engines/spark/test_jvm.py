"""The Spark engine on a JVM: the contract of all engines, and its own behaviour."""

import contextlib
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake
from engines.contract import INFO, EngineContract, table
from engines.leases import Leases
from engines.rehearsal import RehearsalBasics, SparkRehearsal
from engines.retried_writes import RetriedWrites
from engines.spark_behaviour import SparkBehaviour
from engines.spark_diff import SparkDiff
from engines.version_differences import found
from engines.versioned import VersionedPaths
from spark_sessions import connect, make, rows_of
from spark_sessions import engine as make_engine

from odibi_nb.core.model.transformation import Output
from odibi_nb.core.protocols import TableAt, WriteInfo
from odibi_nb.engines.pandas.engine import PandasEngine
from odibi_nb.engines.spark import version_diff as spark_diff
from odibi_nb.engines.spark.connection import Connection
from odibi_nb.errors import DataError
from odibi_nb.storage.spark_table import SparkRowTable


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    """The JVM session of all these tests."""
    return connect("classic", tmp_path_factory.mktemp("spark"))


@pytest.fixture
def engine(connection, tmp_path):
    """An engine over an empty lake."""
    return make_engine(connection, tmp_path)


class TestContract(RetriedWrites, VersionedPaths, EngineContract):
    """The contract by Spark on a JVM."""

    odd = "%20=x"

    @contextlib.contextmanager
    def others(self, engine, tmp_path):
        """Append in this process after each step: Delta's JVM writers replace commits of other processes.

        On a local disk only, where they look whether a version's file is there and then rename their own.
        """
        values = []

        def step():
            values.append(1000 + len(values))
            rows = pa.table({"n": pa.array(values[-1:], pa.int64())})
            write_deltalake(self.uri_of(engine), rows, mode="append")

        yield values, step

    @pytest.fixture(autouse=True)
    def _spark(self, connection):
        self.spark = connection.spark

    def make(self, rows, columns=None):
        """A DataFrame."""
        return make(self.spark, rows, columns)

    def rows(self, frame):
        """The rows of a DataFrame."""
        return rows_of(frame)

    def without_rows(self, frame):
        """The DataFrame's columns alone."""
        return frame.limit(0)


class TestBehaviour(SparkBehaviour):
    """Spark's own behaviour, on a JVM."""

    def test_reads_at_one_version_come_from_memory(self, engine, spark):
        """The newest version of a cached table is read from memory, also by its name. An older version is not."""
        for value in (1, 2):
            frame = make(spark, [{"n": value}])
            engine.write(frame, Output(table="silver.t"), INFO)
        engine.cache(table("silver.t"))
        pinned, found = engine.read_newest(table("silver.t"))
        older = engine.read_version(table("silver.t"), 0)

        def in_memory(frame):
            return "InMemoryTableScan" in frame._jdf.queryExecution().executedPlan().toString()

        named = engine.query("SELECT n FROM silver.t")
        assert [in_memory(frame) for frame in (pinned, named, older)] == [True, True, False]
        write_deltalake(engine._lake.uri(table("silver.t")), pa.table({"n": [3]}), mode="overwrite")
        engine.cached.forget_changed()
        assert (rows_of(pinned), found.version) == ([{"n": 2}], 1)
        assert rows_of(older) == [{"n": 1}]
        assert rows_of(engine.read_newest(table("silver.t"))[0]) == [{"n": 3}]

    def test_what_cannot_be_taken_back_is_refused(self, engine, spark):
        """A retried append to a partition with a name that only Spark can write changes nothing."""

        def append(attempt):
            info = WriteInfo(run_id="run-1", transformation_id="T_001", attempt=attempt)
            how = Output(table="silver.t", mode="append", partition_by=("p",))
            engine.write(make(spark, [{"n": attempt, "p": "é"}]), how, info)

        append(1)
        with pytest.raises(
            DataError, match="p=é, a folder name that only Spark can write; remove them"
        ):
            append(2)
        assert rows_of(engine.read(table("silver.t"))) == [{"n": 1, "p": "é"}]


def test_workers_of_python_functions_are_this_python(connection):
    """A function that a row's module defines finds the libraries that the module found."""
    assert connection.spark.sparkContext.pythonExec == sys.executable


class TestRehearsal(SparkRehearsal, RehearsalBasics):
    """The contract for `load` and `try`, on a JVM."""

    def process(self):
        """The JVM."""
        return self.spark._jvm.java.lang.ProcessHandle.current().pid()


def test_far_times_are_written_as_microseconds_by_every_session(connection, tmp_path):
    """A foreign session that writes INT96 writes microseconds for us, and INT96 again later."""
    setting = "spark.sql.parquet.outputTimestampType"
    assert connection.spark.conf.get(setting) == "TIMESTAMP_MICROS"
    connection.spark.conf.set(setting, "INT96")
    try:
        foreign = Connection(connection.spark, "classic", own=False, why="the active session")
        engine = make_engine(foreign, tmp_path)
        rows = connection.spark.sql("SELECT 1L AS id, TIMESTAMP'9999-12-31 00:00:00Z' AS until")
        engine.write(rows, Output(table="silver.t"), INFO)
        assert connection.spark.conf.get(setting) == "INT96"
    finally:
        connection.spark.conf.set(setting, "TIMESTAMP_MICROS")
    (file,) = (tmp_path / "lake" / "silver" / "t").glob("*.parquet")
    assert pq.read_metadata(file).schema.column(1).physical_type == "INT64"
    assert pandas_of(engine).read(table("silver.t"))["until"][0].year == 9999


def pandas_of(engine):
    """The pandas engine over the same lake."""
    return PandasEngine(engine._lake.root)


class TestDiff(SparkDiff):
    """Comparisons by Spark itself, and of tables with the features that only Spark writes."""

    def test_deletion_vectors_and_renamed_columns_are_compared_by_files(self, engine):
        """A comparison applies deletion vectors, and a recreated column has no old values."""
        spark = engine.connection.spark
        target = engine._target(table("silver.t"))
        features = {
            "delta.enableDeletionVectors": "true",
            "delta.columnMapping.mode": "name",
            "delta.minReaderVersion": "3",
            "delta.minWriterVersion": "7",
        }
        rows = spark.range(100).selectExpr("id", "id * 2 AS v", "concat('a %', id % 3) AS p")
        writer = rows.coalesce(1).write.format("delta").partitionBy("p").options(**features)
        writer.save(target.path)
        for statement in (
            "DELETE FROM {} WHERE id IN (3, 50)",
            "UPDATE {} SET v = -1 WHERE id = 4",
            "ALTER TABLE {} DROP COLUMN v",
            "ALTER TABLE {} ADD COLUMN v BIGINT",
        ):
            spark.sql(statement.format(target.identifier)).collect()
        for old, new, wanted in (
            (0, 1, (0, 2, 0, {})),
            (1, 2, (0, 0, 1, {"v": 1})),
            (0, 2, (0, 2, 1, {"v": 1})),
            (2, 4, (0, 0, 98, {"v": 98})),
        ):
            sides = [TableAt(engine=engine, table=table("silver.t"), version=v) for v in (old, new)]
            diff = engine.diff(sides[0], sides[1], ["id"])
            assert found(diff) == wanted
            assert (diff.files_read is None) == (new == 4)
            frames = tuple(engine.read_version(table("silver.t"), v) for v in (old, new))
            by_spark = spark_diff.diff(engine.connection, "silver.t", frames, (old, new), ["id"])
            assert found(by_spark) == wanted
            assert by_spark.rows.changed_rows == diff.rows.changed_rows


def test_a_path_is_a_folder_of_this_machine_whatever_the_default_file_system_is(
    connection, tmp_path
):
    """On Databricks and on clusters, a path without a scheme is DBFS or HDFS: files, tables, queries, logs."""
    spark, elsewhere = connection.spark, tmp_path / "dbfs"
    elsewhere.mkdir()
    settings = {
        "fs.defaultFS": "viewfs://dbfs/",
        "fs.viewfs.mounttable.dbfs.linkMergeSlash": elsewhere.as_uri(),
    }
    for name, value in settings.items():
        spark.conf.set(name, value)
    try:
        home = tmp_path / "a lake &x=1"
        home.mkdir()
        engine = make_engine(connection, home)
        (home / "in.csv").write_text("n\n1\n2\n")
        frame = engine.read_file(str(home / "in.csv"), format="csv")
        engine.write(frame, Output(table="silver.t"), INFO)
        engine.write(make(spark, [{"n": 3}]), Output(table="silver.t", mode="append"), INFO)
        assert sorted(row["n"] for row in rows_of(engine.query("SELECT n FROM silver.t"))) == [
            1,
            2,
            3,
        ]
        assert PandasEngine(str(home / "lake")).read(table("silver.t"))["n"].sum() == 6
        log = SparkRowTable(lambda: spark, "the log", path=str(home / "lake" / "logs" / "log"))
        log.append([{"n": 1}], [("n", "int")])
        assert (home / "lake" / "logs" / "log" / "_delta_log").is_dir()
        with pytest.raises(DataError, match="no such file"):
            engine.read_file(str(home / "no.csv"), format="csv")
        assert [*elsewhere.iterdir()] == []
    finally:
        for name in settings:
            spark.conf.unset(name)


class TestLease(Leases):
    """The lease of a shared environment through a JVM, at a path."""

    @pytest.fixture
    def lease_place(self, tmp_path):
        """A path."""
        return {"path": str(tmp_path / "lease")}
