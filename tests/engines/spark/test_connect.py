"""The Spark engine on Spark's own Connect server: a part of the contract, and cancel of one row."""

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from engines.cache_plans import passed_over
from engines.contract import INFO, EngineContract
from engines.leases import Leases
from engines.parallel_rows import ParallelRows, runs
from engines.restored_tables import NAME, RestoredTables
from engines.spark_diff import SparkDiff
from engines.two_catalogs import TwoCatalogs
from engines.versioned import Versioned
from fakes import row
from real_project import make_project, registry_row
from serverless import make_serverless
from spark_sessions import connect, make, rows_of, settings_of
from spark_sessions import engine as make_engine

from odibi_nb import run_project
from odibi_nb.core.model.transformation import Output
from odibi_nb.engines.lake import CatalogLake
from odibi_nb.engines.spark import catalog as spark_catalog
from odibi_nb.engines.spark.connect import connected, is_sail
from odibi_nb.engines.spark.connection import CONNECT, Connection
from odibi_nb.engines.spark.engine import SparkEngine
from odibi_nb.errors import EngineError


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    """The session of all these tests."""
    return connect("connect", tmp_path_factory.mktemp("spark"))


@pytest.fixture
def engine(connection, tmp_path):
    """An engine over an empty lake."""
    return make_engine(connection, tmp_path)


class TestContract:
    """A part of the contract of all engines, kept behind a Connect server.

    Only what Sail, which is a Connect server too, does in another way: each test costs seconds.
    """

    put, get, key_of_sums = EngineContract.put, EngineContract.get, EngineContract.key_of_sums
    test_round_trip = EngineContract.test_a_table_is_read_as_it_was_written
    test_missing_table = EngineContract.test_a_missing_table_is_a_table_not_found
    test_merge = EngineContract.test_merge_takes_null_for_equal_to_null
    test_schema_mode_merge = EngineContract.test_schema_mode_merge_adds_columns
    test_query = EngineContract.test_a_query_sees_the_lakes_tables
    test_query_of_a_missing_table = EngineContract.test_a_query_of_a_missing_table_says_which
    test_wrong_query = EngineContract.test_a_wrong_query_is_one_error
    test_versions = Versioned.test_a_query_reads_tables_at_their_versions
    test_pinned = Versioned.test_a_frame_keeps_the_version_that_was_read
    newest = Versioned.newest

    @pytest.fixture(autouse=True)
    def _spark(self, connection):
        self.spark = connection.spark

    def make(self, rows, columns=None):
        """A DataFrame."""
        return make(self.spark, rows, columns)

    def rows(self, frame):
        """The rows of a DataFrame."""
        return rows_of(frame)


class TestRestore(RestoredTables):
    """Restores in a catalog behind Spark Connect, whose session has the metadata of a restore."""

    test_a_table_is_emptied_and_dropped = None  # as on a session of this process

    @pytest.fixture
    def engine(self, connection, empty_catalog):
        """An engine over the server's catalog."""
        self.spark = connection.spark
        return SparkEngine(lambda: connection, CatalogLake())

    def make(self, rows):
        """A DataFrame."""
        return make(self.spark, rows)

    def values(self, engine):
        """The numbers."""
        return sorted(row["n"] for row in engine.read(NAME).collect())


@pytest.fixture
def empty_catalog(connection):
    """The server's catalog, without tables and without cached metadata of other tests."""

    def clean():
        for schema in ("silver", "bronze", "logs", "config_driven"):
            connection.spark.sql(f"DROP SCHEMA IF EXISTS spark_catalog.{schema} CASCADE").collect()
        spark_catalog._known.pop(connection.spark, None)

    clean()
    yield
    clean()


class TestTwoCatalogs(TwoCatalogs):
    """Another catalog is current behind a Connect server, which resolves queries late."""


class TestParallelRows(ParallelRows):
    """Several rows at once, behind a Connect server."""

    def running(self, spark):
        """Return the running operations, which can be interrupted."""
        return spark.interruptAll()


def test_a_cache_plan_is_passed_over_in_one_line(engine, tmp_path, capsys):
    """Spark Connect may drop cached tables: the run reports this once for the layer, and continues."""
    passed_over(engine, tmp_path, capsys, "Spark Connect does not keep cached tables")


def test_a_server_of_spark_is_not_taken_for_sail(connection):
    """The server behind a session's URL decides its kind."""
    assert connection.kind == "connect"
    assert not is_sail(connection.spark)


def test_another_sessions_tables_are_not_taken_for_ours(connection, engine, tmp_path):
    """A server has one catalog for all sessions: another lake's table of the same name is refused."""
    url = settings_of("connect")["remote"]
    other = Connection(connected(url, {}), CONNECT, own=True, why="a test")
    theirs = make_engine(other, tmp_path / "theirs")
    how = Output(table="silver.shared")
    engine.write(make(connection.spark, [{"k": 1}]), how, INFO)
    with pytest.raises(EngineError, match=r"has a table silver\.shared at .*DROP TABLE"):
        theirs.write(make(other.spark, [{"k": 2}]), how, INFO)
    with pytest.raises(EngineError, match="but this lake has it at"):
        theirs.query("SELECT * FROM silver.shared")
    assert rows_of(engine.query("SELECT * FROM silver.shared")) == [{"k": 1}]
    other.spark.sql("DROP TABLE `silver`.`shared`")
    assert rows_of(theirs.query("SELECT * FROM silver.shared")) == [{"k": 2}]
    other.spark.stop()


def test_a_run_warns_of_a_table_whose_name_belongs_to_another_lake(connection, engine, tmp_path):
    """The user's own SQL would read the other table without a word: the run names the table, both places and the remedy.

    The table of this lake need not be Spark's: another row or library writes it in the run.
    """
    engine.write(make(connection.spark, [{"k": 1}]), Output(table="silver.both"), INFO)
    other = Connection(connected(settings_of("connect")["remote"], {}), CONNECT, own=True, why="")
    place = tmp_path / "theirs" / "lake" / "silver" / "both"

    def work(spark):
        write_deltalake(place, pa.table({"k": [2]}), mode="overwrite")

    result = runs(make_engine(other, tmp_path / "theirs"), tmp_path)(row("A", work))
    assert other.spark.sql("SELECT * FROM silver.both").collect() == [(1,)]
    (warning,) = result.warnings
    assert warning.startswith("spark.sql and spark.table read another table: ")
    for part in ("table silver.both at ", f"{tmp_path}/lake/silver/both", str(place), "DROP TABLE"):
        assert part in warning
    other.spark.sql("DROP TABLE silver.both").collect()
    again = runs(make_engine(other, tmp_path / "theirs"), tmp_path)(row("A", work))
    assert again.warnings == []
    assert other.spark.sql("SELECT * FROM silver.both").collect() == [(2,)]
    other.spark.stop()


class TestDiff(SparkDiff):
    """Comparisons by Spark itself."""


FUNCTIONS = """
import plant_helpers
from pyspark.sql.functions import udf


def scaled(spark):
    times = udf(lambda n: plant_helpers.scale(n), "long")
    return spark.range(3).select(times("id").alias("x"))
"""


def test_functions_of_a_projects_modules_reach_the_servers_workers(connection, tmp_path):
    """The workers cannot import two projects' modules with the same names."""
    homes = {}
    for name, factor in (("one", 10), ("two", 100)):
        environment = {"engine": "spark", "registry": "sqlite:///registry.db"}
        environment["spark"] = settings_of("connect")
        homes[name] = make_project(
            tmp_path / name,
            [registry_row("B1", "Bronze", "scaled", outputs=["bronze.x"])],
            functions=FUNCTIONS,
            environments={"qat": environment},
        )
        helpers = f"FACTOR = {factor}\n\n\ndef scale(n):\n    return n * FACTOR\n"
        (homes[name] / "plant_helpers.py").write_text(helpers)
    for name, expected in (("one", [0, 10, 20]), ("two", [0, 100, 200]), ("one", [0, 10, 20])):
        path = homes[name] / "manifest.json"
        result = run_project("Plant One", manifest_path=path, log_level="CRITICAL")
        assert result["status"] == "success", result.transformations["B1"].reason
        found = DeltaTable(homes[name] / "lake" / "bronze" / "x").to_pyarrow_table()
        assert sorted(found["x"].to_pylist()) == expected


def test_serverless_compute_refuses_caches_settings_and_files_of_the_driver(connection, tmp_path):
    """The stand-in for serverless compute refuses the same calls with Databricks' errors, and all else works."""
    (tmp_path / "in.csv").write_text("n\n1\n")
    spark = connected(settings_of("connect")["remote"], {})
    stub = make_serverless(spark)
    refused = {
        "PERSIST": lambda: spark.range(1).cache(),
        "CONFIG_NOT_AVAILABLE": lambda: spark.conf.set(
            "spark.sql.join.preferSortMergeJoin", "false"
        ),
        "GLOBAL TEMPORARY": lambda: spark.range(1).createOrReplaceGlobalTempView("v"),
        "file: is not supported": lambda: spark.read.csv((tmp_path / "in.csv").as_uri()).schema,
    }
    try:
        for text, act in refused.items():
            with pytest.raises(Exception, match=text):
                act()
        spark.conf.set("spark.sql.session.timeZone", "UTC")
        assert spark.createDataFrame([("file:/x",)], "s string").collect()[0]["s"] == "file:/x"
    finally:
        spark.stop()
    assert len(stub.refused) == len(refused)


class TestLease(Leases):
    """The lease of a shared environment behind a Connect server: at a path, and in the server's catalog."""

    @pytest.fixture(params=["path", "catalog"])
    def lease_place(self, request, tmp_path, empty_catalog):
        """A path, or a name in a schema that does not exist."""
        if request.param == "path":
            return {"path": str(tmp_path / "lease")}
        return {"name": "spark_catalog.logs.lease"}
