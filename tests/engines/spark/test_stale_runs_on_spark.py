"""Runs of stale rows on Spark: the same generated changes as on pandas, and unchanged outputs."""

from __future__ import annotations

import datetime as dt
import sys

import pytest
from engines.contract import INFO
from spark_sessions import connect
from spark_sessions import engine as make_engine
from stale_project import StaleProject, mutations
from thorough import TIMES, examples

from odibi_nb.core.model.transformation import Output
from odibi_nb.errors import DataError

OUT = Output(table="silver.x", skip_unchanged=True)
KINDS = ["sail"] if TIMES == 1 else ["sail", "classic"]
"""A generated case takes seconds on the JVM, so that a usual run tries some changes by name there."""


@pytest.fixture(scope="module", params=["sail"])
def connection(request, tmp_path_factory):
    """The session of these tests: Sail, which needs no JVM, or the JVM's."""
    return connect(request.param, tmp_path_factory.mktemp("spark"))


@pytest.fixture
def clean_modules():
    """Forget the modules that a project imports."""
    before, path = set(sys.modules), list(sys.path)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if name.partition(".")[0] == "flow":
            del sys.modules[name]


@pytest.mark.parametrize("connection", KINDS, indirect=True)
def test_no_generated_change_leads_to_a_wrong_skip_on_spark(connection, tmp_path, clean_modules):
    """After any change, each row with a different result runs, and hardly any other row."""
    project = StaleProject(tmp_path, "spark", lambda **_: {"spark": connection.spark})
    project.change_row("S3", inputs=["bronze.a"])
    wrong, needless, total = mutations(
        project, examples(2 if connection.kind == "sail" else 3), without=("change_query",)
    )
    assert wrong == []
    assert len(needless) <= 0.05 * total, needless


@pytest.mark.parametrize("connection", ["classic"], indirect=True)
def test_what_runs_and_what_does_not_on_the_jvm(connection, tmp_path, clean_modules):
    """In a chain of three rows a RESTORE and a changed helper make rows stale, and a compaction does not."""
    project = StaleProject(tmp_path, "spark", lambda **_: {"spark": connection.spark})
    project.off = project.rows.keys() - {"B1", "S1", "G1"}
    project.register()
    project.run().raise_for_status()
    for change, rows in (("optimize", set()), ("change_helper", {"S1"}), ("restore_table", {"S1"})):
        assert getattr(project, change)() == rows
        ran, unchanged = project.ran()
        assert ran == (project.below(rows) & {"S1", "G1"}), change
        assert unchanged == set()


def test_equal_rows_are_found_whatever_their_order(connection, tmp_path):
    """The hash depends on values to the microsecond, nulls, duplicates and types, and not on the order."""
    engine, spark = make_engine(connection, tmp_path), connection.spark
    schema = "k int, s string, z string, t timestamp, n array<int>"
    time = dt.datetime(2026, 1, 1, 12, 0, 0, 1)
    rows = [(1, "a", None, time, [1, None]), (2, None, "b", None, None), (2, None, "b", None, [])]

    def same(rows, schema=schema):
        return engine.same_content(spark.createDataFrame(rows, schema), OUT)[0] is not None

    assert not same(rows)
    engine.write(spark.createDataFrame(rows, schema), OUT, INFO)
    assert same(rows[::-1])
    later = time.replace(microsecond=2)
    assert not same([(1, "a", None, later, [1, None]), *rows[1:]])
    assert not same([(1, None, "a", time, [1, None]), *rows[1:]])
    assert not same([(1, "a", None, time, [None, 1]), *rows[1:]])
    assert not same([*rows, rows[0]])
    with pytest.raises(DataError, match="changed 'k'"):
        same(rows, schema.replace("k int", "k long"))
