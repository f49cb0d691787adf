"""The example project on stand-ins for Databricks: all rows, and the tables that pandas makes on disk."""

from __future__ import annotations

import json
import uuid

import pytest
from example.test_on_spark import copy_of_the_project, in_order, on_pandas, run, same, tables
from guarded_catalog import GuardedCatalog
from serverless import VERSION, make_serverless
from spark_sessions import QUICK, connect, settings_of
from thorough import THOROUGH

from odibi_nb import GenericProjectOrchestrator
from odibi_nb.core.process.compute import VERSION_VARIABLE
from odibi_nb.engines.spark import catalog as spark_catalog
from odibi_nb.engines.spark.connect import connected
from odibi_nb.wiring import editable_registry

__all__ = ["on_pandas"]  # a fixture
pytestmark = pytest.mark.skipif(not THOROUGH, reason="takes minutes: ODIBI_TEST_THOROUGH=1 runs it")


def in_pandas(folder, layer):
    """Let the rows of *layer* run on pandas, whatever the run's engine is."""
    path = folder / "registry.json"
    rows = json.loads(path.read_text("utf-8"))
    for row in rows:
        if row["layer"] == layer:
            row["constants"] = {**row.get("constants", {}), "engine": "pandas"}
    path.write_text(json.dumps(rows))
    return rows


def check_equal(found, wanted):
    """Check that each table of *wanted* has equal rows in *found*, floats within a tolerance."""
    assert found.keys() == wanted.keys()
    for name, rows in wanted.items():
        assert len(found[name]) == len(rows), name
        for ours, theirs in zip(found[name], rows, strict=True):
            assert {k: v for k, v in ours.items() if not same(v, theirs[k])} == {}, name


def rows_in(catalog, name):
    """The sorted rows of a table, times aware."""
    rows = catalog.spark.table(f"{catalog.name}.{name}").toArrow().to_pylist()
    return sorted(rows, key=in_order)


@pytest.fixture
def serverless(tmp_path, monkeypatch):
    """A foreign session of serverless compute, its stub, and two Delta catalogs. The second one is current."""
    from odibi_nb.engines.spark import session as spark_session

    connect("connect", tmp_path)
    own = dict(spark_session._own)
    spark = connected(settings_of("connect")["remote"], {})
    names = [f"{name}_{uuid.uuid4().hex[:8]}" for name in ("main", "other")]
    main, other = (GuardedCatalog(spark, name, tmp_path) for name in names)
    spark.catalog.setCurrentCatalog(other.name)
    stub = make_serverless(spark)
    monkeypatch.setenv(VERSION_VARIABLE, VERSION)
    yield spark, stub, main, other
    for catalog in (main, other):
        catalog.drop()
    spark_catalog._known.pop(spark, None)
    spark.stop()
    spark_session._own.update(own)


def test_on_serverless_compute_with_two_catalogs(on_pandas, serverless, tmp_path):
    """Registry, log, tables, a retry and a rollback are in the catalog that the manifest names, and nowhere else.

    Files of the workspace are pandas' there; nothing asks the session for what it refuses.
    """
    spark, stub, main, other = serverless
    folder = copy_of_the_project(tmp_path / "energy_efficiency", {})
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    registry = "config_driven.TransformationRegistry"
    lake = {"engine": "spark", "lake": f"catalog:{main.name}", "registry": registry}
    manifest["environments"]["qat"].update(lake)
    manifest["layers"]["Bronze"] = {"retry": {"max_retries": 0}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    rows = in_pandas(folder, "Bronze")
    project = GenericProjectOrchestrator(
        "Energy Efficiency",
        manifest_path=folder / "manifest.json",
        auth_provider=lambda **given: {"spark": spark},
    )
    store = editable_registry(project.place())
    store.create()
    store.upsert(rows)
    sensors = folder / "data" / "sensors.csv"
    sensors.rename(tmp_path / "sensors.csv")
    assert project.run()["status"] == "failed"
    (tmp_path / "sensors.csv").rename(sensors)
    retried = project.retry("last")
    retried.raise_for_status()
    assert 0 < len(retried.transformations) < len(rows)
    found = {name: rows_in(main, name) for name in on_pandas}
    check_equal(found, on_pandas)
    assert stub.refused == []
    project.run(select="GOLD_002").raise_for_status()
    project.rollback("last").raise_for_status()
    history = spark.sql(f"DESCRIBE HISTORY {main.name}.gold.daily_energy LIMIT 1").collect()
    assert history[0]["operation"] == "RESTORE"
    assert rows_in(main, "gold.daily_energy") == found["gold.daily_energy"]
    log = f"SELECT run_id FROM {main.name}.config_driven.TransformationRun"
    assert len(spark.sql(log).collect()) == 4
    assert spark.catalog.currentCatalog() == other.name
    assert spark.sql(f"SHOW SCHEMAS IN {other.name}").collect() == []
    assert not (folder / "lake").exists()


@pytest.mark.parametrize("engines", ["pandas", "spark", "pandas and spark"])
def test_where_a_path_without_a_scheme_is_dbfs(on_pandas, tmp_path, engines):
    """Rows of pandas, of Spark, or of both use one lake on the driver's disk, and DBFS stays empty."""
    spark, dbfs = connect("classic", tmp_path).spark, tmp_path / "dbfs"
    dbfs.mkdir()
    settings = {
        "fs.defaultFS": "viewfs://dbfs/",
        "fs.viewfs.mounttable.dbfs.linkMergeSlash": dbfs.as_uri(),
    }
    folder = copy_of_the_project(tmp_path / "energy_efficiency", QUICK)
    if engines == "pandas and spark":
        in_pandas(folder, "Silver_1")
    for name, value in settings.items():
        spark.conf.set(name, value)
    try:
        result = run(folder, engines.split()[-1]).raise_for_status()
    finally:
        for name in settings:
            spark.conf.unset(name)
    assert {t.engine for t in result.transformations.values()} == set(engines.split(" and "))
    check_equal(tables(folder), on_pandas)
    assert [*dbfs.iterdir()] == []
