"""The example project on Spark gives the same tables as on pandas."""

import json
import math
import shutil

import pytest
from example.test_energy_efficiency import PROJECT
from spark_sessions import connect, settings_of
from thorough import THOROUGH

from odibi_nb import run_project

TOLERANCE = 1e-9
"""Relative: the engines add the same numbers in another order."""


def copy_of_the_project(folder, spark):
    """The project, and an environment with this ``spark``."""
    ignored = shutil.ignore_patterns("lake", "registry.db", ".odibi", "__pycache__")
    shutil.copytree(PROJECT, folder, ignore=ignored)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["environments"]["qat"]["spark"] = spark
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def run(folder, engine):
    """One run."""
    return run_project(
        "Energy Efficiency", env="qat", engine=engine, manifest_path=str(folder / "manifest.json")
    )


def tables(folder):
    """Every table of the run's lake but the run log, by deltalake alone: sorted rows."""
    import pyarrow as pa
    from deltalake import DeltaTable, QueryBuilder

    found = {}
    for log in sorted((folder / "lake").glob("*/*/_delta_log")):
        schema, name = log.parent.parts[-2:]
        if schema != "config_driven":
            delta = DeltaTable(str(log.parent))
            rows = pa.table(QueryBuilder().register("t", delta).execute("SELECT * FROM t"))
            found[f"{schema}.{name}"] = sorted(rows.to_pylist(), key=in_order)
    return found


def in_order(row):
    """Return a row's sort key: its exact values."""
    return [str(value) for value in row.values() if not isinstance(value, float)]


def same(one, other):
    """Return True if two values are equal, floats within `TOLERANCE`. NaN, which is pandas' null, is null."""
    one, other = (None if isinstance(v, float) and math.isnan(v) else v for v in (one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=TOLERANCE, abs_tol=1e-9)
    return one == other


@pytest.fixture(scope="module")
def on_pandas(tmp_path_factory):
    """The tables of a run on pandas."""
    folder = copy_of_the_project(tmp_path_factory.mktemp("pandas") / "energy_efficiency", {})
    run(folder, "pandas").raise_for_status()
    return tables(folder)


LONG = pytest.mark.skipif(not THOROUGH, reason="takes minutes: ODIBI_TEST_THOROUGH=1 runs it")


@pytest.mark.parametrize("kind", ["classic", pytest.param("connect", marks=LONG), "sail"])
def test_every_table_equals_pandas(kind, on_pandas, tmp_path):
    """Every row of the registry runs on Spark, and every table is the one that pandas makes."""
    connect(kind, tmp_path)
    folder = copy_of_the_project(tmp_path / "energy_efficiency", settings_of(kind))
    result = run(folder, "spark")
    result.raise_for_status()
    assert {t.engine for t in result.transformations.values()} == {"spark"}
    found = tables(folder)
    assert found.keys() == on_pandas.keys()
    for name, rows in on_pandas.items():
        assert len(found[name]) == len(rows), name
        for ours, theirs in zip(found[name], rows, strict=True):
            assert ours.keys() == theirs.keys(), name
            assert {k: v for k, v in ours.items() if not same(v, theirs[k])} == {}, name
    exercise_2()


def exercise_2():
    """The seed's Exercise 2 works unchanged on the session after the run."""
    from pyspark.sql import SparkSession

    spark = SparkSession.getActiveSession()
    logs = spark.sql("""
    SELECT
        transformation_id,
        function,
        status,
        duration_seconds,
        error_message
    FROM config_driven.TransformationRunLog
    WHERE project = 'Energy Efficiency'
    ORDER BY start_time DESC
    LIMIT 10
""")
    rows = logs.collect()
    assert len(rows) == 10
    assert rows[0]["function"] == "query"
    assert {row["status"] for row in rows} == {"SUCCESS"}
