"""Runs on a JVM session: parallel rows, cancelling exactly one, caching, and both engines in one run."""

import json
import os
import signal
import sys
import threading
import time

import pandas as pd
import pytest
from engines.contract import INFO, table
from engines.parallel_rows import ParallelRows, long_job, runs, small
from fakes import row, statuses
from spark_sessions import connect, make, rows_of
from spark_sessions import engine as make_engine

from odibi_nb.core.model.attempt_control import AttemptControl
from odibi_nb.engines.pandas.engine import PandasEngine
from odibi_nb.errors import TableNotFoundError

PANDAS = json.dumps({"engine": "pandas", "retry": 0})
PROPERTIES = (
    "spark.scheduler.pool",
    "spark.jobGroup.id",
    "spark.job.description",
    "spark.job.tags",
)


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    """The JVM session of all these tests."""
    return connect("classic", tmp_path_factory.mktemp("spark"))


@pytest.fixture
def engine(connection, tmp_path):
    """An engine over an empty lake."""
    return make_engine(connection, tmp_path)


@pytest.fixture
def run(engine, tmp_path):
    """Runs rows; see `runs`."""
    return runs(engine, tmp_path)


class TestParallelRows(ParallelRows):
    """Several rows at once, on a JVM."""

    def running(self, spark):
        """Return the running jobs."""
        return spark.sparkContext.statusTracker().getActiveJobsIds()


@pytest.fixture
def spark(connection):
    """The session."""
    return connection.spark


def test_pool_group_and_tag_are_the_attempts_own(engine, spark):
    """Spark's local properties are set during an attempt and removed after it, so that the thread's
    next attempt has its own.
    """
    context = spark.sparkContext
    with engine.attempt_scope(INFO, (), AttemptControl()):
        found = [context.getLocalProperty(name) for name in PROPERTIES]
        assert found[0] == found[2] == "odibi T_001"
        assert found[1] == found[3] == "odibi run-1 T_001 2"
    assert [context.getLocalProperty(name) for name in PROPERTIES] == [None] * 4


def test_python_functions_run_in_this_python(spark):
    """Spark's Python workers are the Python of the process, also in an environment that is not activated."""
    from pyspark.sql.functions import udf

    [found] = spark.range(1).select(udf(lambda _: sys.executable, "string")("id")).collect()
    assert found[0] == sys.executable


def test_an_interrupt_ends_the_jobs(engine, spark):
    """A trial on the main thread that is interrupted stops computing."""
    tracker, begun = spark.sparkContext.statusTracker(), []

    def stop():
        while not begun:
            begun.extend(tracker.getActiveJobsIds())
        os.kill(os.getpid(), signal.SIGINT)

    pysparks = signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a kernel
    try:
        threading.Thread(target=stop, daemon=True).start()
        with pytest.raises(KeyboardInterrupt), engine.attempt_scope(INFO, (), AttemptControl()):
            long_job(spark).collect()
    finally:
        signal.signal(signal.SIGINT, pysparks)
    deadline = time.monotonic() + 30
    while tracker.getActiveJobsIds():
        assert time.monotonic() < deadline
    assert [tracker.getJobInfo(job).status for job in begun] == ["FAILED"]
    assert spark.range(3).count() == 3


def test_both_engines_work_in_one_run(run, engine):
    """A pandas row reads the table of a Spark row, and a Spark row the table of that pandas row."""
    seen = []

    def spark_row(spark):
        return make(spark, [{"k": 1}, {"k": 2}])

    def pandas_row(inputs, context):
        seen.append(context.spark is not None)
        frame = context.read(inputs[0])
        return frame.assign(k=frame["k"] * 10)

    def by_name(inputs, spark):
        return spark.table(inputs[0]).selectExpr("k + 1 AS k")

    result = run(
        row("A", spark_row, outputs=[{"table": "silver.a"}]),
        row(
            "B",
            pandas_row,
            inputs=["silver.a"],
            outputs=[{"table": "silver.b"}],
            constants=PANDAS,
        ),
        row("C", by_name, inputs=["silver.b"], outputs=[{"table": "silver.c"}]),
    )
    assert statuses(result) == dict.fromkeys("ABC", "SUCCESS")
    assert seen == [True]
    assert rows_of(engine.read(table("silver.c"))) == [{"k": 11}, {"k": 21}]
    assert (result.transformations["C"].rows_out, result.transformations["B"].rows_in) == (2, 2)


def test_tables_that_functions_save_stand_in_the_lake(run, engine):
    """``saveAsTable`` makes a Delta table below the lake's root, which both engines read."""

    def saves(spark):
        make(spark, [{"k": 1}]).write.mode("overwrite").saveAsTable("silver.saved")

    run(row("A", saves, outputs=[{"table": "silver.saved"}])).raise_for_status()
    assert rows_of(engine.read(table("silver.saved"))) == [{"k": 1}]
    assert list(PandasEngine(engine._lake.root).read(table("silver.saved"))["k"]) == [1]


def test_a_wrong_column_is_said_once_and_shortly(run):
    """An AnalysisException is not retried; its message is Spark's reason with its suggestion."""

    def wrong(spark):
        return make(spark, [{"temperature": 1}]).select("temperatur")

    result = run(row("A", wrong, constants='{"retry": 3}', outputs=[{"table": "silver.a"}]))
    failed = result.transformations["A"]
    assert (failed.status, failed.attempts, failed.error_type) == (
        "FAILED",
        1,
        "AnalysisException",
    )
    assert failed.error_message.endswith("\ndid you mean: temperature")
    assert failed.error_message.count("\n") == 1


CACHE_PLAN = {"cache_plan": {"Silver_1": ["silver.a"]}}


def in_memory(frame):
    """Return True if Spark takes the frame's rows from memory."""
    return "InMemory" in frame._jdf.queryExecution().withCachedData().toString()


def test_tables_of_the_cache_plan_are_cached_until_the_run_ends(run, engine, spark):
    """Tables in the cache plan are in memory for later rows, under any name, until the run's end."""
    found = []

    def look(inputs, context, spark):
        frames = [context.read(inputs[0]), spark.table(inputs[0])]
        found.extend(map(in_memory, frames))
        assert [len(frame.collect()) for frame in frames] == [2, 2]

    result = run(
        small("A"),
        row("B", look, layer="Gold_1", inputs=["silver.a"]),
        manifest=CACHE_PLAN,
    )
    result.raise_for_status()
    assert found == [True, True]
    assert not in_memory(engine.read(table("silver.a")))
    with pytest.raises(TableNotFoundError):
        engine.cache(table("silver.nope"))


def test_what_is_cached_is_never_out_of_date(run, engine, spark):
    """With keep_cached the table stays in memory after the run, until a row of either engine writes it."""
    rows = [small("A"), row("B", lambda: None, layer="Gold_1")]
    run(*rows, manifest=CACHE_PLAN, keep_cached=True).raise_for_status()
    assert in_memory(spark.table("silver.a"))
    outputs = [{"table": "silver.a", "mode": "append"}]
    seen = []

    def look(inputs, spark):
        seen.append(sorted(row["k"] for row in spark.table(inputs[0]).collect()))

    run(
        row("C", lambda: pd.DataFrame({"k": [3]}), outputs=outputs, constants=PANDAS),
        row("D", look, layer="Gold_1", inputs=["silver.a"]),
    ).raise_for_status()
    assert seen == [[1, 2, 3]]
    assert not in_memory(spark.table("silver.a"))
