"""Tables of the session's catalog: the contract by pandas over Spark, and so Spark's part of it."""

import pytest
from engines.contract import INFO, NOON, EngineContract, table
from engines.leases import Leases
from engines.pandas_rows import PandasRows
from engines.restored_tables import NAME, ROLLBACK, RestoredTables
from engines.retried_writes import RetriedWrites, by
from engines.two_catalogs import TwoCatalogs
from engines.versioned import Versioned
from plans import plan_of, planned
from real_project import make_project, registry_row
from spark_sessions import connect, make, place, rows_of
from thorough import TIMES

from odibi_nb import GenericProjectOrchestrator
from odibi_nb.core.model.transformation import Output
from odibi_nb.core.protocols import Change, Portion, Session
from odibi_nb.core.rehearsal.captured_writes import CapturedWrites
from odibi_nb.core.rehearsal.project_watch import ProjectWatch
from odibi_nb.engines.lake import CatalogLake, Lake
from odibi_nb.engines.pandas import on_spark as pandas_on_spark
from odibi_nb.engines.pandas.frames import from_arrow
from odibi_nb.engines.pandas.on_spark import PandasOnSpark
from odibi_nb.engines.spark import appends as spark_appends
from odibi_nb.engines.spark import catalog as spark_catalog
from odibi_nb.engines.spark import restore as spark_restore
from odibi_nb.engines.spark.connection import SAIL, Connection
from odibi_nb.engines.spark.engine import SparkEngine
from odibi_nb.errors import DataError, EngineError
from odibi_nb.wiring import catalog_of, lake_root, rights_to_write


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    """The JVM session of all these tests."""
    return connect("classic", tmp_path_factory.mktemp("spark"))


@pytest.fixture
def spark_engine(connection):
    """An engine over a catalog that has no tables in it."""
    spark = connection.spark

    def clean():
        for schema in ("silver", "bronze", "config_driven"):
            spark.sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE").collect()
        for one in spark.sql("SHOW TABLES IN default").collect():
            spark.sql(f"DROP TABLE IF EXISTS default.`{one.tableName}`").collect()
        spark_catalog._known.pop(spark, None)  # what other tests have told it is gone

    clean()
    yield SparkEngine(lambda: connection, CatalogLake())
    clean()


class TestPandas(PandasRows):
    """The parts of the contract that depend on paths and names, by pandas over a Spark session.

    The rest does not depend on where a table stands, and each test costs seconds.
    """

    put, get, key_of_sums = EngineContract.put, EngineContract.get, EngineContract.key_of_sums
    merged_first = (None, None, None)  # the session's history has no metrics of this commit
    test_round_trip = EngineContract.test_a_table_is_read_as_it_was_written
    test_case = EngineContract.test_names_of_tables_have_no_case
    test_missing_table = EngineContract.test_a_missing_table_is_a_table_not_found
    test_overwrite = EngineContract.test_overwrite_replaces_all_rows
    test_arrow_tables = EngineContract.test_an_arrow_table_is_a_frame
    test_watching = EngineContract.test_it_notices_that_a_table_is_written
    test_append = EngineContract.test_append_adds_rows
    test_merge = EngineContract.test_merge_takes_null_for_equal_to_null
    test_schema_mode_merge = EngineContract.test_schema_mode_merge_adds_columns
    test_schema_mode_overwrite = EngineContract.test_schema_mode_overwrite_replaces_the_columns
    test_partitions = EngineContract.test_tables_are_partitioned_as_asked
    test_query = EngineContract.test_a_query_sees_the_lakes_tables
    test_query_of_a_missing_table = EngineContract.test_a_query_of_a_missing_table_says_which
    test_missing_table_to_cache = EngineContract.test_a_missing_table_cannot_be_cached
    test_newest_versions = Versioned.test_the_newest_versions_come_in_one_pass
    test_commits = Versioned.test_commits_tell_who_made_them
    test_earlier_version = Versioned.test_an_earlier_version_can_be_read
    test_query_at_versions = Versioned.test_a_query_reads_tables_at_their_versions
    test_created_again = Versioned.test_a_table_that_was_created_again_is_another
    test_told_versions = Versioned.test_a_write_tells_its_versions
    newest = Versioned.newest

    def drop(self, engine):
        """Drop the table."""
        engine.spark_session().sql("DROP TABLE silver.t").collect()

    @pytest.fixture
    def engine(self, spark_engine):
        return PandasOnSpark(spark_engine)

    def test_names_have_one_to_three_parts(self, engine):
        """A name that the session's catalog cannot have is refused in one message."""
        self.put(engine, [{"n": 0}], "plain")
        assert self.get(engine, "plain") == [{"n": 0}]
        with pytest.raises(DataError, match=r"plant\.silver\.t: .*single-part namespace"):
            self.put(engine, [{"n": 2}], "plant.silver.t")

    def test_tables_are_the_catalogs(self, engine, spark_engine, connection):
        """A written table is in the catalog, with its rows in both engines. Its schema is created."""
        assert self.put(engine, [{"n": 1}, {"n": 2}]) == 2
        assert connection.spark.catalog.tableExists("silver.t")
        assert rows_of(spark_engine.read(table("silver.t"))) == [{"n": 1}, {"n": 2}]

    def test_a_table_that_is_too_large_is_refused(self, engine, monkeypatch):
        """A table that would fill the driver's memory is not read. The message has an alternative."""
        monkeypatch.setattr(pandas_on_spark, "MOST_ROWS", 2)
        self.put(engine, [{"n": 1}, {"n": 2}])
        assert self.get(engine) == [{"n": 1}, {"n": 2}]
        self.put(engine, [{"n": 1}, {"n": 2}, {"n": 3}])
        with pytest.raises(DataError, match=r"more than 2 rows, .* engine 'spark'"):
            engine.read(table("silver.t"))

    def test_a_write_can_be_rehearsed(self, engine):
        """A try reports its changes, also for a part of the rows. The table does not change."""
        self.put(engine, [{"k": 1, "v": 1.0}, {"k": 2, "v": None}, {"k": 3, "v": 3.0}])
        captured = CapturedWrites(engine, Portion(limit=2))
        assert len(captured.read(table("silver.t"))) == 2
        captured = CapturedWrites(engine)
        frame = captured.read(table("silver.t")).assign(v=[1.0, None, 4.0])
        captured.write(frame, Output(table="silver.t", keys=("k",)), INFO)
        change = captured.changes()["silver.t"]
        assert (change.added, change.removed, change.changed, change.unchanged) == (0, 0, 1, 2)
        details = engine.details(table("silver.t"))
        assert (details.rows, details.version, details.run_id) == (3, 0, INFO.run_id)
        assert engine.details(table("silver.none")) is None

    @pytest.mark.filterwarnings("ignore:.*copy keyword")  # pyspark's toPandas, with pandas 3
    def test_sparks_before_4_give_the_same(self, engine, spark_engine):
        """Without Arrow from Spark, frames come through pandas, and times and nulls are equal."""
        self.put(engine, [{"n": 1, "t": NOON, "s": "é"}, {"n": 2, "t": None, "s": None}])
        frame = spark_engine.read(table("silver.t"))
        by_pandas = from_arrow(pandas_on_spark._arrow_by_pandas(frame), "t")
        assert self.rows(by_pandas) == self.get(engine)


def test_sail_has_no_catalog_that_stays(tmp_path):
    """A lake in Sail's catalog is refused: its tables would end with the session."""
    sail = Connection(spark=None, kind=SAIL, own=True, why="Sail in this process")
    with pytest.raises(DataError, match="Sail's catalog ends with the session"):
        SparkEngine(lambda: sail, CatalogLake()).check_writable()


@pytest.mark.parametrize(
    ("lake", "catalog"),
    [
        ("catalog", ""),
        ("catalog:main", "main"),
        (None, None),
        ("./catalog", None),
        ("s3://b/l", None),
    ],
)
def test_the_manifest_says_who_keeps_the_tables(tmp_path, lake, catalog):
    """``catalog`` is the session's catalog, ``catalog:NAME`` another one. Any other value is a folder or URL."""
    assert catalog_of(place(tmp_path, lake=lake)) == catalog


def test_databricks_writes_urls_with_one_slash(tmp_path):
    """``dbfs:/lake`` is a URL, not a folder beside the manifest."""
    assert lake_root(place(tmp_path, lake="dbfs:/lake")) == "dbfs:///lake"
    assert lake_root(place(tmp_path, lake="dbfs:///lake")) == "dbfs:///lake"


def test_of_a_view_nobody_can_tell_whether_it_was_written(spark_engine, connection):
    """A row whose output is a view, or a table of another format, gets no warning about a missing output."""
    connection.spark.sql("CREATE SCHEMA IF NOT EXISTS silver").collect()
    connection.spark.sql("CREATE VIEW silver.v AS SELECT 1 AS x").collect()
    connection.spark.sql("CREATE TABLE silver.p USING parquet AS SELECT 1 AS x").collect()
    names = [table(name) for name in ("silver.v", "silver.p", "silver.none")]
    watch = spark_engine.watch(names)
    assert [watch(name) for name in names] == [Change.UNKNOWN, Change.UNKNOWN, Change.ABSENT]


def test_a_projects_tables_in_a_catalog_are_watched(spark_engine, connection):
    """A try reports that the function wrote another row's table by SQL, and ignores older writes."""
    spark = connection.spark
    spark.sql("CREATE SCHEMA IF NOT EXISTS silver").collect()
    for name in ("a", "b"):
        spark.sql(f"CREATE TABLE silver.{name} USING delta AS SELECT 1 AS x").collect()
    plan = plan_of(planned("A", writes=["silver.a"]), planned("B", writes=["silver.b", "silver.c"]))
    one = table("silver.b")
    while spark_engine.watch([one])(one) is not Change.SAME:
        pass  # the tables are younger than a second
    watch = ProjectWatch(plan, "A", spark_engine, "config_driven.TransformationRunLog")
    spark.sql("INSERT INTO silver.a VALUES (2)").collect()
    (moved,) = watch.moved()
    assert (moved.name, moved.version, moved.run_id) == ("silver.a", 1, None)
    assert watch.unknown == 0


def test_the_first_values_replace_a_tables_types(spark_engine, tmp_path):
    """An overwritten table takes the types of its first values. An append is refused with a remedy."""
    path, how = tmp_path / "a.csv", Output(table="silver.t")
    path.write_text("id,v\n")
    spark_engine.write(spark_engine.read_file(str(path), format="csv"), how, INFO)
    path.write_text("id,v\n1,2.5\n")
    frame = spark_engine.read_file(str(path), format="csv")
    with pytest.raises(DataError, match=r'columns without values.*"schema"'):
        spark_engine.write(frame, Output(table="silver.t", mode="append"), INFO)
    spark_engine.write(frame, how, INFO)
    assert rows_of(spark_engine.read(table("silver.t"))) == [{"id": 1, "v": 2.5}]


class TestRetries:
    """Retried appends to a catalog's tables: taken back by delta-rs, which reaches their files here.

    As above, the part of the contract to which that makes a difference.
    """

    odd = "%20=x"
    removes_files = RetriedWrites.removes_files
    append, values, another = RetriedWrites.append, RetriedWrites.values, RetriedWrites.another
    others_write_after = RetriedWrites.others_write_after
    append_partition = RetriedWrites.append_partition
    get = EngineContract.get
    test_again = RetriedWrites.test_a_retried_append_takes_the_place_of_the_first
    test_several_times = RetriedWrites.test_an_attempt_may_append_several_times
    test_others_stay = RetriedWrites.test_what_others_appended_meanwhile_stays
    test_partitions = RetriedWrites.test_retried_appends_to_partitions
    test_repairs = RetriedWrites.test_a_run_that_repairs_others_replaces_their_appends

    @pytest.fixture(autouse=True)
    def _spark(self, connection):
        self.spark = connection.spark

    @pytest.fixture
    def engine(self, spark_engine):
        return spark_engine

    def make(self, rows, columns=None):
        """A DataFrame."""
        return make(self.spark, rows, columns)

    def rows(self, frame):
        """The rows of a DataFrame."""
        return rows_of(frame)


class TestOutOfReach:
    """Retried appends to tables whose files only the session reaches, as in Unity Catalog."""

    @pytest.fixture
    def engine(self, spark_engine, monkeypatch):
        """An engine whose tables delta-rs does not find."""
        monkeypatch.setattr(spark_appends, "_by_delta_rs", lambda target: None)
        return spark_engine

    @pytest.fixture
    def append(self, engine, connection):
        """Appends a row to silver.t."""

        def append(n, info, mode="append"):
            engine.write(
                make(connection.spark, [{"n": n}]), Output(table="silver.t", mode=mode), info
            )

        return append

    @pytest.fixture
    def values(self, connection):
        """Gives the values in silver.t."""
        return lambda: sorted(row["n"] for row in connection.spark.table("silver.t").collect())

    def test_what_cannot_be_taken_back_is_refused_before_it_doubles(
        self, engine, append, values, connection
    ):
        """The next attempt, and a retry of the run, find the append in the history and write nothing.

        The message has the statement that takes it back, as long as no other writer has committed since. Then
        both go on.
        """
        append(0, by(row="other"))
        append(1, by(1))
        restore = r"RESTORE TABLE `spark_catalog`\.`silver`\.`t` TO VERSION AS OF 1"
        again = by(1, "run-2", repairs=("run-1",))
        for info in (by(2), again):
            with pytest.raises(DataError, match=rf"attempt 1 of run run-1, version 2.*{restore}"):
                append(2, info)
        append(7, by(row="other"))
        with pytest.raises(DataError, match="cannot be taken back") as refused:
            append(2, again)
        assert "RESTORE" not in str(refused.value)
        assert values() == [0, 1, 7]
        connection.spark.sql("RESTORE TABLE silver.t TO VERSION AS OF 1").collect()
        append(3, again)
        append(4, again)
        assert values() == [0, 3, 4]

    def test_what_is_not_there_any_more_stops_nobody(self, append, values):
        """The retry ignores rows that were replaced since, and rows of other runs."""
        append(1, by(1))
        append(9, by(row="other"), mode="overwrite")
        append(2, by(2))
        append(3, by(1, "run-2"))
        append(4, by(2, "run-3"))
        assert values() == [2, 3, 4, 9]


@pytest.fixture
def empty_catalog(spark_engine):
    """The session's catalog, without tables."""


FUNCTIONS = """
def strays(context, inputs, constants, outputs):
    context.spark.sql(constants["says"])
    return context.spark.range(constants["rows"])


def reads(context, inputs, constants, outputs):
    return context.read({"sql": "SELECT count(*) AS n FROM silver.t"})
"""


class TestTwoCatalogs(TwoCatalogs):
    """Another catalog is current, in this process's session."""

    def test_a_row_that_changes_the_catalog_redirects_no_one(
        self, connection, spark_engine, other, tmp_path
    ):
        """A row's ``USE`` does not change where the row, later rows and the log write.

        The user's own catalog is current again afterwards.
        """
        strays = {"retry": 0, "rows": 3, "says": f"USE {other}.silver"}
        rows = [
            registry_row("A", "Bronze", "strays", constants=strays, outputs=["silver.t"]),
            registry_row("B", "Silver_1", "reads", inputs=["silver.t"], outputs=["bronze.n"]),
        ]
        lake = {
            "lake": "catalog:spark_catalog",
            "engine": "spark",
            "registry": "sqlite:///registry.db",
        }
        folder = make_project(tmp_path, rows, functions=FUNCTIONS, environments={"qat": lake})
        project = GenericProjectOrchestrator(
            "Plant One",
            manifest_path=folder / "manifest.json",
            auth_provider=lambda **given: {"spark": connection.spark},
        )
        assert project.run()["status"] == "success"
        spark = connection.spark
        assert (spark.catalog.currentCatalog(), spark.catalog.currentDatabase()) == (other, "")
        assert spark.table(f"{other}.silver.t").collect()[0]["n"] == -1
        assert spark.sql("SELECT n FROM spark_catalog.bronze.n").collect()[0]["n"] == 3
        assert spark.table("spark_catalog.config_driven.TransformationRunLog").count() == 2


ROWS = """
def load(context, constants, outputs):
    return context.spark.range(constants["rows"]).selectExpr("id AS x")


def double(context, inputs, constants):
    if constants["rows"] > 6:
        raise ValueError("too many rows")
    return context.read(inputs[0]).limit(constants["rows"])
"""


if TIMES > 1:  # it takes half a minute; a usual run restores the tables of `TestRestore`

    def test_a_whole_run_in_a_catalog_is_rolled_back(connection, empty_catalog, tmp_path):
        """A rollback, and an atomic run that fails, restore tables with names of two and of three parts."""
        tables = ["bronze.x", "spark_catalog.silver.x"]
        rows = [
            registry_row("B1", "Bronze", "load", [], {"rows": 5}, tables[:1]),
            registry_row("S1", "Silver_1", "double", tables[:1], {"rows": 5}, tables[1:]),
        ]
        config = {
            "engine": "spark",
            "registry": "sqlite:///registry.db",
            "lake": "catalog:spark_catalog",
        }
        folder = make_project(tmp_path, rows, functions=ROWS, environments={"qat": config})
        project = GenericProjectOrchestrator(
            "Plant One",
            manifest_path=folder / "manifest.json",
            log_level="CRITICAL",
            auth_provider=lambda **_: {"spark": connection.spark},
        )

        def counts():
            return [connection.spark.table(name).count() for name in tables]

        both = ("B1", "S1")
        project.run().raise_for_status()
        project.run(overrides={name: {"rows": 3} for name in both}).raise_for_status()
        assert counts() == [3, 3]
        restored = [*project.rollback().raise_for_status().transformations]
        assert restored == ["rollback spark_catalog.silver.x", "rollback bronze.x"]
        assert counts() == [5, 5]
        result = project.run(overrides={name: {"rows": 7} for name in both}, atomic=True)
        assert (result.status.value, result.rolled_back) == ("failed", ("bronze.x",))
        assert counts() == [5, 5]


def test_a_catalog_that_is_not_there_is_said(connection):
    """A misspelt catalog ends in one message that names the manifest's setting."""
    engine = SparkEngine(lambda: connection, CatalogLake("nope"))
    with pytest.raises(EngineError, match=r"lake 'catalog:nope': .* cannot use the catalog 'nope'"):
        engine.check_writable()


def test_doctor_names_missing_schemas_and_a_catalog_that_cannot_be_used(
    spark_engine, connection, tmp_path
):
    """The schemas of the tables that a run would write are looked up by name; nothing is created."""
    frame = make(connection.spark, [{"n": 0}])
    spark_engine.write(frame, Output(table="silver.t"), INFO)
    here = place(tmp_path, session=Session(spark=connection.spark), lake="catalog:spark_catalog")
    rights = rights_to_write(here, ["silver.t", "Nowhere.x", "nowhere.y", "plain"])
    assert (rights.new_schemas, rights.missing, rights.unknown) == (("nowhere",), (), ())
    assert not connection.spark.catalog.databaseExists("nowhere")
    elsewhere = place(tmp_path, session=Session(spark=connection.spark), lake="catalog:nope")
    with pytest.raises(EngineError, match="'nope'"):
        rights_to_write(elsewhere, ["silver.t"])


class TestRestore(RestoredTables):
    """Restores by Spark's SQL, which has no condition of its own."""

    @pytest.fixture(autouse=True)
    def _spark(self, connection):
        self.spark = connection.spark

    @pytest.fixture
    def engine(self, spark_engine):
        """An engine over the session's catalog."""
        return spark_engine

    def make(self, rows):
        """A DataFrame."""
        return make(self.spark, rows)

    def values(self, engine):
        """The numbers."""
        return sorted(row["n"] for row in engine.read(NAME).collect())

    def test_rows_that_come_between_check_and_restore_stay(self, engine, monkeypatch):
        """If RESTORE overwrites a newer commit, the commit is brought back, and the restore fails."""
        self.put(engine, 1)
        self.put(engine, 2)
        now = self.version(engine)
        restoring = spark_restore._restore
        foreign = iter([9])

        def overtaken(spark, target, version):
            for number in foreign:
                self.put(engine, number, mode="append", run="")
            restoring(spark, target, version)

        monkeypatch.setattr(spark_restore, "_restore", overtaken)
        with monkeypatch.context() as patched:  # the other writer needs no lock of this process
            patched.setattr("odibi_nb.engines.spark.engine.write_lock", lambda _: NoLock())
            with pytest.raises(DataError, match="another writer changed the table"):
                engine.restore(NAME, now - 1, ROLLBACK, expected=now)
        assert self.values(engine) == [2, 9]


class NoLock:
    """A lock that is always granted."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


def test_deletion_vectors_are_restored_by_the_session(connection, tmp_path):
    """In a lake of folders, Spark restores what delta-rs cannot: rows that a deletion vector hides."""
    engine = SparkEngine(lambda: connection, Lake(str(tmp_path / "lake")))
    spark = connection.spark
    path = engine._lake.uri(NAME)
    writer = spark.range(5).withColumnRenamed("id", "n").repartition(1).write.format("delta")
    writer.option("delta.enableDeletionVectors", "true").save(path)
    spark.sql(f"DELETE FROM delta.`{path}` WHERE n > 2").collect()
    assert engine.versions([NAME])[NAME.key].version == 1
    assert engine.outlook(NAME, 1, restores=0).problem == ""
    engine.restore(NAME, 0, ROLLBACK, expected=1)
    assert engine.read(NAME).count() == 5


class TestLease(Leases):
    """The lease of a shared environment in the session's catalog."""

    @pytest.fixture
    def lease_place(self, spark_engine):
        """A name in a schema that does not exist."""
        return {"name": "config_driven.lease"}
