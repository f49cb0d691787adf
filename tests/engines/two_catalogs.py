"""Contract of every kind of JVM session when the current catalog is not the lake's."""

import uuid

import pytest
from engines.contract import INFO, table
from spark_sessions import engine as make_engine
from spark_sessions import make, rows_of

from odibi_nb.core.model.attempt_control import AttemptControl
from odibi_nb.core.model.transformation import Output
from odibi_nb.engines.lake import CatalogLake
from odibi_nb.engines.spark.engine import SparkEngine
from odibi_nb.storage.row_table import Merge
from odibi_nb.storage.spark_table import SparkRowTable


class TwoCatalogs:
    """The test; needs the fixtures `connection` and `empty_catalog`, whose catalog has no tables."""

    @pytest.fixture
    def other(self, connection):
        """A second catalog with a table silver.t, too. It is the session's current catalog."""
        spark, other = connection.spark, f"other_{uuid.uuid4().hex}"
        name = f"spark.sql.catalog.{other}"
        spark.conf.set(name, "org.apache.spark.sql.execution.datasources.v2.jdbc.JDBCTableCatalog")
        spark.conf.set(f"{name}.url", f"jdbc:derby:memory:{other};create=true")
        spark.conf.set(f"{name}.driver", "org.apache.derby.iapi.jdbc.AutoloadedDriver")
        for statement in (
            f"CREATE SCHEMA {other}.silver",
            f"CREATE TABLE {other}.silver.t (n bigint)",
            f"INSERT INTO {other}.silver.t VALUES (-1)",
        ):
            spark.sql(statement).collect()
        spark.catalog.setCurrentCatalog(other)
        yield other
        spark.catalog.setCurrentCatalog("spark_catalog")

    @pytest.mark.parametrize("lake", ["catalog:spark_catalog", "folder"])
    def test_the_current_catalog_redirects_nothing(
        self, connection, empty_catalog, other, tmp_path, lake
    ):
        """Tables, queries and the run log are the lake's for any current catalog, which stays current."""
        spark = connection.spark
        if lake == "folder":
            engine = make_engine(connection, tmp_path)
            log = {"path": str(tmp_path / "lake/logs/log")}
        else:
            engine = SparkEngine(lambda: connection, CatalogLake("spark_catalog"))
            log = {"name": "spark_catalog.bronze.log"}
        name = table("silver.t")
        assert not engine.exists(name)
        for n in (1, 2):
            engine.write(make(spark, [{"n": n}]), Output(table="silver.t", mode="append"), INFO)
        engine.write(
            make(spark, [{"n": 2}, {"n": 3}]),
            Output(table="silver.t", mode="merge", keys=("n",)),
            INFO,
        )
        frame, query = engine.read(name), engine.query("SELECT n + 1 AS n FROM silver.t AS silver")
        with engine.attempt_scope(INFO, ["silver.t"], AttemptControl()):
            assert spark.catalog.currentCatalog() == "spark_catalog"
            assert [row["n"] for row in spark.table("silver.t").sort("n").collect()] == [1, 2, 3]
            spark.sql(f"USE {other}.silver").collect()  # as a row's own code may
            engine.write(make(spark, [{"n": 4}]), Output(table="silver.t", mode="append"), INFO)
            assert engine.query("SELECT count(*) AS n FROM silver.t").collect()[0]["n"] == 4
        assert spark.catalog.currentCatalog() == other
        assert [row["n"] for row in rows_of(frame)] == [1, 2, 3, 4]
        assert [row["n"] for row in rows_of(query)] == [2, 3, 4, 5]
        assert engine.exists(name)
        assert engine.details(name).rows == 4
        columns = (("k", "string"), ("v", "string"))
        rows = SparkRowTable(lambda: spark, "the log", **log)
        rows.append([{"k": "a", "v": "1"}], columns)
        change = ({"k": "a", "v": "1"}, {"v": "2"})
        rows.merge(columns, lambda _: Merge(keys=("k",), updates=(change,)))
        rows.compact()
        assert rows.select(columns) == [{"k": "a", "v": "2"}]
        engine.close()
        assert spark.catalog.currentCatalog() == other
        assert spark.table(f"{other}.silver.t").collect()[0]["n"] == -1
