"""The run log through a Spark session."""

from __future__ import annotations

import threading

import pytest
from deltalake import DeltaTable
from log_records import START, record, run
from spark_sessions import connect

from odibi_nb.core.model.log_columns import RECORD_COLUMNS
from odibi_nb.core.runlog.history import greatest_number, past_runs
from odibi_nb.errors import DataError
from odibi_nb.sinks.table import TableLogSink, log_in_lake
from odibi_nb.storage import spark_table
from odibi_nb.storage.spark_table import SparkRowTable

SEED = ", ".join(
    f"{name} {'double' if name == 'duration_seconds' else 'string'}"
    for name, _ in RECORD_COLUMNS[:10]
)


@pytest.fixture(scope="module", params=["sail", "classic"])
def spark(request, tmp_path_factory):
    """A session whose times are not UTC."""
    spark = connect(request.param, tmp_path_factory.mktemp("spark")).spark
    before = spark.conf.get("spark.sql.session.timeZone")
    spark.conf.set("spark.sql.session.timeZone", "America/St_Johns")
    yield spark
    spark.conf.set("spark.sql.session.timeZone", before)


@pytest.fixture
def named(spark, tmp_path):
    """A run log whose tables have a name and no path, in a schema that does not exist yet."""
    schema = f"logs_{tmp_path.name}".replace("-", "_")
    log, runs = (
        SparkRowTable(lambda: spark, "the log", name=f"{schema}.{n}") for n in ("log", "run")
    )
    yield TableLogSink(log, runs, schema), f"{schema}.log"
    spark.sql(f"DROP SCHEMA IF EXISTS {schema} CASCADE").collect()


def is_sail(spark):
    """Return True if the session has no JVM."""
    return type(spark).__module__.startswith("pyspark.sql.connect")


def at(spark, lake):
    """A run log below *lake*, at the place of `log_in_lake`."""
    folder = f"{lake}/config_driven"
    log, runs = (
        SparkRowTable(lambda: spark, "the log", path=f"{folder}/transformationrun{name}")
        for name in ("log", "")
    )
    return TableLogSink(log, runs, "the log")


def test_tables_of_a_catalog(spark, named):
    """Tables with only a name are created with their schema, and have the written records."""
    sink, name = named
    assert (sink.runs(5), sink.attempts(["run-1"]), sink.written("run-1")) == ([], [], set())
    sink.write([record(), record("T2", 2, status="FAILED")])
    sink.write_run(run())
    assert sink.attempts(["run-1"]) == [record(), record("T2", 2, status="FAILED")]
    assert sink.measures(["run-1"]) == [("T1", [45.2], [0])]
    assert sink.runs(5) == [run()]
    assert spark.table(name).columns == [column for column, _ in RECORD_COLUMNS]


def test_both_writers_of_one_log(spark, tmp_path):
    """delta-rs reads and appends to a session's records, and a session to those of delta-rs. A batch is one commit."""
    lake = str(tmp_path)
    sink = at(spark, lake)
    sink.write([record(f"T{n}") for n in range(9)])
    other = log_in_lake(lake)
    other.write([record("U")])
    sink.write([record("V")])
    sink.write_run(run())
    wanted = [*(record(f"T{n}") for n in range(9)), record("U"), record("V")]
    assert sink.attempts(["run-1"]) == other.attempts(["run-1"]) == wanted
    assert sink.runs(2) == other.runs(2) == [run()]
    table = DeltaTable(f"{lake}/config_driven/transformationrunlog")
    assert (table.version(), len(table.file_uris())) == (2, 3)


def test_the_seeds_table(spark, tmp_path):
    """A table with the seed's ten columns, times as text, is widened and keeps its types."""
    path = f"{tmp_path}/config_driven/transformationrunlog"
    spark.createDataFrame([], SEED).write.format("delta").save(path)
    sink = at(spark, str(tmp_path))
    assert (sink.written("run-1"), sink.attempts(["run-1"])) == (set(), [])
    sink.write([record(start_time=None, end_time=None)])
    assert sink.attempts(["run-1"]) == [record(start_time=None, end_time=None)]
    types = dict(spark.read.format("delta").load(path).dtypes)
    assert (types["start_time"], types["attempt"]) == ("string", "bigint")


def test_two_that_make_the_table_at_once(spark, tmp_path):
    """Two runs that both create the table lose no record."""
    start = threading.Barrier(2)

    def work(name):
        start.wait(60)
        at(spark, str(tmp_path)).write([record(run_id=name)])

    threads = [threading.Thread(target=work, args=(name,)) for name in ("run-1", "run-2")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = at(spark, str(tmp_path)).attempts(["run-1", "run-2"])
    assert sorted(one["run_id"] for one in found) == ["run-1", "run-2"]


def test_many_small_files_become_one_when_a_run_ends(spark, tmp_path, monkeypatch):
    """OPTIMIZE runs at a run's end if the session supports it. Without it, as on Sail, nothing is lost."""
    monkeypatch.setattr(spark_table, "SMALL_FILES", 5)
    other = log_in_lake(str(tmp_path))
    for n in range(5):
        other.write([record(f"T{n}")])
    sink = at(spark, str(tmp_path))
    sink.write_run(run())
    files = DeltaTable(f"{tmp_path}/config_driven/transformationrunlog").file_uris()
    assert len(files) == (5 if is_sail(spark) else 1)
    assert len(sink.written("run-1")) == 5


def test_a_clock_that_was_ahead_orders_no_runs(spark, tmp_path):
    """For every reader of the log, the newest run is the one with the greatest number, independent of clocks."""
    ahead = START.replace(year=9999)
    for number, begun in ((1, START), (2, ahead), (3, START)):
        at(spark, str(tmp_path)).write_run(
            run(f"run-{number}", run_number=number, start_time=begun, project="P", env="qat")
        )
    for sink in (at(spark, str(tmp_path)), log_in_lake(str(tmp_path))):
        found = past_runs([sink], 2, "P", "qat")
        assert [(r["run_id"], r["start_time"]) for r in found] == [
            ("run-3", START),
            ("run-2", ahead),
        ]
        assert greatest_number([sink]) == 3


def test_what_cannot_be_written_is_one_line(spark, tmp_path):
    """A table that refuses the records does not change. The error has the table and the reason in one line."""
    path = f"{tmp_path}/config_driven/transformationrunlog"
    spark.sql("SELECT array(1) AS transformation_id").write.format("delta").save(path)
    with pytest.raises(DataError, match="the log cannot be written: ") as caught:
        at(spark, str(tmp_path)).write([record()])
    assert "\n" not in str(caught.value)
    assert DeltaTable(path).version() == 0
