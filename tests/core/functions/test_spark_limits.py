"""The plan names what Spark Connect or serverless compute refuses, before a row fails on it."""

from __future__ import annotations

import functools
import importlib.util
import os

import pytest
from real_project import make_project, registry_row

from odibi_nb.api import GenericProjectOrchestrator
from odibi_nb.core.functions.spark_limits import (
    CONNECT,
    SERVERLESS,
    notices,
    refused_uses,
    session_limits,
)

SOURCE = """
import functools

def helper(spark):
    return spark.sparkContext.parallelize([1])

def rows(spark, inputs, context):
    frame = context.read(inputs[0])
    helper(spark)
    return frame.rdd.toDF()

def cached(spark, inputs, context):
    spark.conf.set("spark.sql.shuffle.partitions", 8)
    spark.conf.set("spark.executor.memory", "1g")
    return context.read(inputs[0]).cache()

def fine(inputs, context, store):
    store.persist(inputs)
    @functools.cache
    def once():
        return 1
    return context.read(inputs[0]).where("x > 1")
"""


@pytest.fixture
def module(tmp_path):
    """A module of the user's, with functions for Spark."""
    path = tmp_path / "spark_functions.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("spark_functions", path)
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture(autouse=True)
def _own_machine(monkeypatch):
    for name in ("SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED", "DATABRICKS_RUNTIME_VERSION"):
        monkeypatch.delenv(name, raising=False)


def uses(fn, limits):
    return [refused.use for refused in refused_uses(fn, limits)]


def test_connect_has_no_context_and_no_rdds(module):
    """SparkContext and rdd are named, also in a function of the module that the row's function calls."""
    assert sorted(uses(module.rows, CONNECT)) == ["rdd", "sparkContext"]
    assert uses(module.cached, CONNECT) == []


def test_serverless_compute_refuses_caches_and_most_settings(module):
    """cache() and settings outside the documented list are named; documented settings are not."""
    assert sorted(uses(module.cached, SERVERLESS)) == [
        ".cache()",
        "spark.conf.set('spark.executor.memory')",
    ]


def test_names_of_other_things_are_not_named(module):
    """functools.cache, and a store's persist(x), are no uses of Spark."""
    assert uses(module.fine, SERVERLESS) == []
    assert sorted(uses(module.rows, SERVERLESS)) == ["rdd", "sparkContext"]


def test_a_function_without_source_is_not_judged():
    """Without source text there is no notice."""
    assert refused_uses(functools.partial(len), SERVERLESS) == []


def test_a_notice_names_row_use_and_remedy(module):
    """One line a row and use; rows that share a function have a line each."""
    lines = notices({"S1": module.cached, "S2": module.cached}, SERVERLESS)
    assert len(lines) == 4
    assert lines[0].startswith("row 'S1': its function uses ")
    assert "leave it out" in lines[0]
    assert notices({"S1": module.rows}, "") == []


def test_which_sessions_have_limits(monkeypatch):
    """A remote of the manifest, a session of Connect, and pyspark's variables mean Connect."""
    connect = type("SparkSession", (), {"__module__": "pyspark.sql.connect.session"})()
    assert session_limits(None, None) == ""
    assert session_limits("sc://host", None) == CONNECT
    assert session_limits(None, connect) == CONNECT
    monkeypatch.setitem(os.environ, "SPARK_REMOTE", "sc://host")
    assert session_limits(None, None) == CONNECT
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "client.5")
    assert session_limits(None, None) == SERVERLESS


def test_a_plan_names_them_before_anything_starts(tmp_path, monkeypatch):
    """A plan for a remote session has the notices, and connects to nothing."""
    functions = (
        "def rows(spark, constants):\n    return spark.sparkContext.emptyRDD().toDF('x int')\n"
    )
    rows = [registry_row("B1", "Bronze", "rows", outputs=["bronze.x"])]
    remote = {"engine": "spark", "registry": "sqlite:///registry.db", "lake": "catalog"}
    remote["spark"] = {"remote": "sc://127.0.0.1:9"}
    make_project(tmp_path, rows, functions=functions, environments={"qat": remote})
    monkeypatch.chdir(tmp_path)
    plan = GenericProjectOrchestrator("Plant One").plan()
    assert [*plan.problems] == []
    assert any("'B1'" in line and "sparkContext" in line for line in plan.notices)
