"""The Spark engine on Sail, without a JVM: the contract of all engines, and its own behaviour."""

import contextlib
import json

import pandas as pd
import pytest
from deltalake import DeltaTable
from engines.cache_plans import passed_over
from engines.contract import EngineContract
from engines.leases import Leases
from engines.loaded_files import FirstValues
from engines.rehearsal import RehearsalContract, SparkRehearsal
from engines.restored_tables import NAME, RestoredTables
from engines.retried_writes import RetriedWrites, by
from engines.spark_behaviour import SparkBehaviour
from engines.spark_diff import SparkDiff
from engines.versioned import VersionedPaths
from real_project import default_rows, make_project, registry_row
from spark_sessions import connect, make, rows_of
from spark_sessions import engine as make_engine

from odibi_nb import GenericProjectOrchestrator, TransformationRunnerFromConfig
from odibi_nb.core.model.tables import TableName
from odibi_nb.core.model.transformation import Output
from odibi_nb.engines.lake import Lake
from odibi_nb.engines.pandas.engine import PandasEngine
from odibi_nb.engines.spark import appends as spark_appends
from odibi_nb.engines.spark import catalog as spark_catalog
from odibi_nb.engines.spark.connect import connected, sail_url
from odibi_nb.engines.spark.engine import SparkEngine
from odibi_nb.errors import DataError
from odibi_nb.sources.table import registry_in_database

FEATURES = ["clustering", "domainMetadata"]


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    """The Sail session of all these tests."""
    return connect("sail", tmp_path_factory.mktemp("spark"))


@pytest.fixture
def engine(connection, tmp_path):
    """An engine over an empty lake."""
    return make_engine(connection, tmp_path)


class TestRestore(RestoredTables):
    """Sail has no RESTORE: delta-rs restores the tables of its lake."""

    @pytest.fixture(autouse=True)
    def _spark(self, connection):
        self.spark = connection.spark

    def make(self, rows):
        """A DataFrame."""
        return make(self.spark, rows)

    def values(self, engine):
        """The numbers."""
        return sorted(row["n"] for row in engine.read(NAME).collect())


class TestContract(RetriedWrites, VersionedPaths, EngineContract):
    """The contract by Spark on Sail."""

    rounds, pause = 3, 0.01
    key_of_sums = "k"  # Sail only knows it without its table

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


def test_a_cache_plan_is_passed_over_in_one_line(engine, tmp_path, capsys):
    """If the platform cannot cache, the run reports this once for the layer, and continues."""
    passed_over(engine, tmp_path, capsys, "Sail does not keep cached tables")


class TestBehaviour(FirstValues, SparkBehaviour):
    """Spark's own behaviour, on Sail."""


class TestRehearsal(SparkRehearsal, RehearsalContract):
    """The contract for `load` and `try`, on Sail."""


def test_an_sql_provider_gets_the_active_session(connection, tmp_path):
    """TransformationRunnerFromConfig(sql_provider=…) hands over the active session, as the seed does."""
    environment = {"engine": "spark", "spark": {"remote": "sail"}}
    home, asked = make_project(tmp_path, environments={"qat": environment}), []

    class Provider:
        def read(self, *, spark, **_):
            asked.append(spark)
            return [{"entity_2": None, **row} for row in default_rows()]

    keywords = {"project": "Plant One", "manifest_path": home / "manifest.json"}
    runner = TransformationRunnerFromConfig(Provider(), **keywords)
    assert runner.orchestrator.plan().engine == "spark"
    assert asked == [connection.spark]
    assert runner.orchestrator.spark.range(1).count() == 1


@pytest.mark.parametrize("reached", [True, False])
def test_appends_to_a_lake_at_a_url_count_once(connection, tmp_path, monkeypatch, reached):
    """In a lake at a URL, delta-rs takes appends back, or refuses the retry before it writes."""
    engine = SparkEngine(lambda: connection, Lake(f"file://{tmp_path}/lake"), (), {})

    def append(n, info):
        frame = make(connection.spark, [{"n": n}])
        engine.write(frame, Output(table="silver.t", mode="append"), info)

    append(0, by(row="other"))
    append(1, by(1))
    append(7, by(row="other"))
    if not reached:
        monkeypatch.setattr(spark_appends, "_by_delta_rs", lambda target: None)
    for attempt, info in enumerate((by(2), by(1, "run-2", repairs=("run-1",))), 2):
        refusal = pytest.raises(DataError, match="Sail does not show a table's history")
        with contextlib.nullcontext() if reached else refusal:
            append(attempt, info)
    found = rows_of(engine.read(TableName.parse("silver.t")))
    assert [row["n"] for row in found] == ([0, 3, 7] if reached else [0, 1, 7])


def test_a_feature_that_sail_cannot_write_is_said(connection, tmp_path):
    """The message names table and feature, and the error is not retried."""
    log = tmp_path / "lake/silver/t/_delta_log"
    log.mkdir(parents=True)
    log_lines = [
        {"protocol": {"minReaderVersion": 1, "minWriterVersion": 7, "writerFeatures": FEATURES}},
        {
            "metaData": {
                "id": "11111111-1111-1111-1111-111111111112",
                "format": {"provider": "parquet", "options": {}},
                "schemaString": '{"type":"struct","fields":[{"name":"n","type":"long","nullable":true,"metadata":{}}]}',
                "partitionColumns": [],
                "configuration": {},
                "createdTime": 1,
            }
        },
    ]
    (log / f"{0:020}.json").write_text("\n".join(map(json.dumps, log_lines)))
    engine = make_engine(connection, tmp_path)
    for mode in ("append", "overwrite"):
        with pytest.raises(
            DataError, match=r"silver\.t: .* liquid clustering .* Sail cannot write"
        ):
            engine.write(
                make(connection.spark, [{"n": 1}]), Output(table="silver.t", mode=mode), by(1)
            )


def test_a_retry_on_another_engine_takes_the_place_of_sails_append(connection, tmp_path):
    """Sail's appends have no txn. A retry on pandas still finds them, and a retry on Sail finds those of pandas."""
    sail, other = make_engine(connection, tmp_path), PandasEngine(str(tmp_path / "lake"))
    how = Output(table="silver.t", mode="append")
    sail.write(make(connection.spark, [{"n": 1}]), how, by(1))
    other.write(pd.DataFrame({"n": [7]}), how, by(row="other"))
    other.write(pd.DataFrame({"n": [2]}), how, by(1, "run-2", repairs=("run-1",)))
    name = TableName.parse("silver.t")
    assert sorted(other.read(name)["n"]) == [2, 7]
    sail.write(make(connection.spark, [{"n": 3}]), how, by(1, "run-3", repairs=("run-2", "run-1")))
    assert sorted(other.read(name)["n"]) == [3, 7]


class TestDiff(SparkDiff):
    """Comparisons by Spark itself."""


SPARK_ROWS = """
def load(spark, constants):
    return spark.range(constants["rows"]).selectExpr("id AS x")


def double(inputs, context):
    return context.read(inputs[0]).selectExpr("x * 2 AS x")


def broken(inputs, context):
    raise KeyError("no column")
"""


def test_a_run_is_rolled_back_and_an_atomic_one_takes_itself_back(connection, tmp_path):
    """A rollback undoes rows of Spark by their commits, downstream tables first, as for pandas."""
    load = registry_row("B1", "Bronze", "load", constants={"rows": 3}, outputs=["bronze.x"])
    double = registry_row("S1", "Silver_1", "double", ["bronze.x"], outputs=["silver.x"])
    spark = {"engine": "spark", "registry": "sqlite:///registry.db", "lake": str(tmp_path / "lake")}
    folder = make_project(
        tmp_path, [load, double], functions=SPARK_ROWS, environments={"qat": spark}
    )
    project = GenericProjectOrchestrator(
        "Plant One",
        manifest_path=folder / "manifest.json",
        log_level="CRITICAL",
        auth_provider=lambda **_: {"spark": connection.spark},
    )

    def values(table):
        path = tmp_path / "lake" / table.replace(".", "/")
        return sorted(DeltaTable(str(path)).to_pyarrow_table()["x"].to_pylist())

    project.run().raise_for_status()
    project.run(overrides={"B1": {"rows": 5}}).raise_for_status()
    result = project.rollback().raise_for_status()
    assert [*result.transformations] == ["rollback silver.x", "rollback bronze.x"]
    assert (values("bronze.x"), values("silver.x")) == ([0, 1, 2], [0, 2, 4])
    broken = registry_row("S1", "Silver_1", "broken", ["bronze.x"], outputs=["silver.x"])
    registry_in_database("sqlite:///registry.db", folder=folder).upsert([broken])
    result = project.run(overrides={"B1": {"rows": 5}}, atomic=True)
    assert (result.status.value, result.rolled_back) == ("failed", ("bronze.x",))
    assert values("bronze.x") == [0, 1, 2]


@pytest.fixture(params=["the user's", "the URL's"])
def project_on_sail(request, connection, tmp_path):
    """A project with a query, on a session that this package did not open as one on Sail; its session, too."""
    load = registry_row("B1", "Bronze", "load", constants={"rows": 5}, outputs=["bronze.x"])
    query = {"sql": "SELECT x * 2 AS y FROM bronze.x WHERE x < :most", "most": 2}
    double = registry_row("S1", "Silver_1", "query", constants=query, outputs=["silver.y"])
    config = {
        "engine": "spark",
        "registry": "sqlite:///registry.db",
        "lake": str(tmp_path / "lake"),
    }
    given = {}
    if request.param == "the user's":
        session = connected(sail_url(), {})
        given = {"auth_provider": lambda **_: {"spark": session}}
    else:
        config["spark"] = {"remote": sail_url()}
        session = None
    folder = make_project(
        tmp_path,
        [load, {**double, "module": "odibi_nb.sql"}],
        functions=SPARK_ROWS,
        environments={"qat": config},
    )
    project = GenericProjectOrchestrator(
        "Plant One", manifest_path=folder / "manifest.json", log_level="CRITICAL", **given
    )
    yield project, session
    if session is not None:
        session.stop()


def test_sail_is_recognized_behind_any_connect_session(project_on_sail, tmp_path):
    """A query finds the lake's tables, in a session that the user opened or the manifest's URL names."""
    project, session = project_on_sail
    project.run().raise_for_status()
    table = DeltaTable(str(tmp_path / "lake" / "silver" / "y")).to_pyarrow_table()
    assert sorted(table["y"].to_pylist()) == [0, 2]
    if session is None:
        return
    other = tmp_path / "other"
    session.range(9).selectExpr("id AS x").write.format("delta").save(str(other))
    session.sql("DROP TABLE bronze.x").collect()
    session.sql(f"CREATE TABLE bronze.x USING delta LOCATION '{other}'").collect()
    del spark_catalog._known[session]
    result = project.run(select=["S1"])
    assert "but this lake has it at" in result.transformations["S1"].reason


class TestLease(Leases):
    """The lease of a shared environment, through Sail."""

    @pytest.fixture
    def lease_place(self, tmp_path):
        """A path."""
        return {"path": str(tmp_path / "lease")}
