"""A registry in a table of the lake is created, filled, edited and run with the commands."""

from __future__ import annotations

import json

import pytest
from real_project import FUNCTIONS, default_rows
from spark_sessions import QUICK, connect

from odibi_nb import run_project
from odibi_nb.commands import Face, execute, parse
from odibi_nb.engines.spark import session as spark_session
from odibi_nb.engines.spark.session import stop_own
from odibi_nb.errors import ConfigurationError

TABLE = "config_driven.TransformationRegistry"
ON_SPARK = """


def load_on_spark(constants, spark):
    return spark.range(constants["rows"]).selectExpr("id AS x")


def double_by_name(inputs, spark):
    return spark.table(inputs[0]).selectExpr("x * 2 AS x")
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Makes the project: project(environment); the folder."""
    home = tmp_path / "projects" / "plant_one"
    home.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)

    def make(**environment):
        content = {
            "project": "Plant One",
            "layer_order": ["Bronze", "Silver_1"],
            "environments": {"qat": {"registry": TABLE, **environment}},
        }
        (home / "manifest.json").write_text(json.dumps(content))
        (home / "plant_functions.py").write_text(FUNCTIONS + ON_SPARK)
        return home

    return make


def do(line, body=""):
    """Run a command."""
    return execute(parse(line.split()), Face(body=body))


def fill(folder, rows):
    """Create the registry, and import *rows*."""
    done = do("registry init")
    assert done.startswith(f"{TABLE} in ")
    assert "created table" in done
    (folder / "rows.json").write_text(json.dumps(rows))
    [counts] = do(f"registry import {folder / 'rows.json'}")
    assert counts["inserted"] == len(rows)


def edit_and_run(engine):
    """Register a row, disable another one, and enable it again. The next run obeys each change."""
    assert do("register", "[B1]\nconstants = {rows = 5}\n").updated == ("B1",)
    do("disable S1")
    first = run_project("Plant One", engine=engine).raise_for_status()
    assert [*first.transformations] == ["B1"]
    do("enable S1")
    second = run_project("Plant One", engine=engine).raise_for_status()
    assert [*second.transformations] == ["B1", "S1"]
    assert second.transformations["S1"].rows_out == 5
    runs = do("history")
    assert [run["run_id"] for run in runs] == [second.run_id, first.run_id]
    with pytest.raises(ConfigurationError, match="no transformation 'S2'"):
        do("disable S2")


def test_on_pandas(project):
    """delta-rs reads and writes the registry. It needs only the lake."""
    folder = project(engine="pandas")
    fill(folder, default_rows())
    edit_and_run("pandas")
    assert "2 rows" in str([row["value"] for row in do("doctor")])
    assert (folder / "lake/config_driven/transformationregistry/_delta_log").is_dir()
    assert not list(folder.glob("*.db"))


def rows_on_spark():
    """The rows, with functions for Spark."""
    load, double = default_rows()
    return [{**load, "function": "load_on_spark"}, {**double, "function": "double_by_name"}]


def test_on_sail(project, tmp_path):
    """A running session reads it. Without a session, a plan starts none."""
    stop_own()
    folder = project(engine="spark", spark={"remote": "sail"})
    fill(folder, rows_on_spark())
    assert len(do("plan").rows) == 2
    connect("sail", tmp_path)
    edit_and_run("spark")


def test_in_a_catalog(project, tmp_path):
    """Registry, tables and run log in a catalog that only the session reaches; SQL finds them all."""
    spark = connect("classic", tmp_path).spark
    folder = project(engine="spark", lake="catalog", spark=QUICK)
    try:
        do("registry init")
        do("register", json.dumps(rows_on_spark()[:1]))
        row = (
            "'S1', 'Plant One', 'qat', 'Silver_1', NULL, NULL, 'plant_functions', 'double_by_name'"
        )
        more = """'["bronze.x"]', '{}', '[{"table": "silver.x"}]', 1"""
        spark.sql(f"INSERT INTO {TABLE} VALUES ({row}, {more})").collect()
        result = run_project("Plant One").raise_for_status()
        assert result.transformations["S1"].rows_out == 3
        assert [run["run_id"] for run in do("history")] == [result.run_id]
        log = spark.sql(
            "SELECT transformation_id, function, status FROM config_driven.TransformationRunLog "
            "WHERE project = 'Plant One' ORDER BY start_time DESC LIMIT 10"
        ).collect()
        assert [tuple(row) for row in log] == [
            ("S1", "double_by_name", "SUCCESS"),
            ("B1", "load_on_spark", "SUCCESS"),
        ]
        commits = spark.sql("DESCRIBE HISTORY config_driven.TransformationRunLog").collect()
        assert len(commits) <= 2  # one for each layer
        assert not (folder / "lake").exists()
    finally:
        for schema in ("bronze", "silver", "config_driven"):
            spark.sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE").collect()


def test_doctor_starts_no_session(project):
    """`doctor` does not check a registry that needs a session, and reports this."""
    pytest.importorskip("pyspark")
    stop_own()
    project(engine="spark", lake="catalog:main", spark=QUICK)
    found = {row["check"]: row["value"] for row in do("doctor")}
    assert found["registry"] == "not checked: that would start a session"
    assert found["lake"].startswith("catalog main: not checked")
    assert spark_session._own == {}


@pytest.mark.parametrize(
    ("registry", "message"),
    [
        ("registry/x.db", "not a database URL; expected dialect://"),
        ({"table": "a.b.c.d"}, "has no 'url', and 'a.b.c.d' is not a table of the lake"),
        (None, "such as 'config_driven.TransformationRegistry'"),
    ],
)
def test_what_is_no_registry(project, registry, message):
    """A registry that is neither a URL nor a table's name is refused in one message."""
    project(engine="pandas", registry=registry)
    with pytest.raises(ConfigurationError) as wrong:
        do("plan")
    assert message in str(wrong.value)


def test_a_file_is_no_table(project):
    """The message about a file's name without its URL proposes the URL."""
    project(engine="pandas", registry="registry.db")
    with pytest.raises(ConfigurationError, match=r"for a database, write 'sqlite:///registry\.db'"):
        do("plan")
