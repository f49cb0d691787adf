"""Contract of all sinks of the run log."""

from __future__ import annotations

import datetime as dt
import enum
import random

import pytest
from log_records import START, record, run
from spark_sessions import connect

from odibi_nb.core.model.log_columns import RECORD_COLUMNS, RUN_COLUMNS
from odibi_nb.core.protocols import BaseLogSink
from odibi_nb.sinks.csv import CsvLogSink
from odibi_nb.sinks.table import TableLogSink, log_in_database, log_in_lake
from odibi_nb.storage.spark_table import SparkRowTable

AWKWARD = [
    "Dämpfer µ 漢字 🚀",
    "quote \" and ' and , and ;",
    "line\nline\r\nline\rline\ttab",
    "=1+1",
    "+1",
    "-1",
    "@SUM(A1)",
    "'",
    "'=quoted",
    "\t=1",
    "",
    " ",
    "\\' OR 1=1 --",
    "x" * 10_000_000,
]


@pytest.fixture(scope="module")
def sail(tmp_path_factory):
    """A session on Sail, for all of the tests."""
    return connect("sail", tmp_path_factory.mktemp("spark")).spark


def spark_sink(spark, lake):
    """A run log below *lake*, through a Spark session."""
    log, runs = (SparkRowTable(lambda: spark, "the log", path=f"{lake}/{name}") for name in "lr")
    return TableLogSink(log, runs, f"run log in {lake}", in_lake=True)


@pytest.fixture(params=["delta", "sail", "sqlite", "postgresql", "csv"])
def make_sink(request, tmp_path):
    """Make a new sink on one place with every call, so that it has no memory."""
    if request.param == "delta":
        return lambda: log_in_lake(str(tmp_path / "lake"))
    if request.param == "sail":
        table = request.getfixturevalue("sail")
        return lambda: spark_sink(table, tmp_path / "lake")
    if request.param == "csv":
        return lambda: CsvLogSink(tmp_path / "logs/log.csv")
    if request.param == "sqlite":
        return lambda: log_in_database("sqlite:///logs/log.db", folder=tmp_path)
    url = request.getfixturevalue("postgres_url")
    return lambda: log_in_database(url)


def test_records_come_back(make_sink):
    """A record is read with the same values and types, in the columns' order."""
    records = [record("A"), record("B", 2), record("C", run_id="run-2")]
    make_sink().write(records)
    found = make_sink().attempts(["run-1"])
    assert found == records[:2]
    assert [list(r) for r in found] == [[name for name, _ in RECORD_COLUMNS]] * 2
    assert {type(value) for value in found[0].values()} == {
        str,
        float,
        int,
        dt.datetime,
        type(None),
    }
    assert found[0]["start_time"].tzinfo is dt.timezone.utc


def test_runs_come_back(make_sink):
    """Runs are read as written, newest first, and at most the requested number."""
    days = [run(f"run-{n}", start_time=START + dt.timedelta(days=n)) for n in (2, 1, 3)]
    for one in days:
        make_sink().write_run(one)
    assert make_sink().runs(10) == [days[2], days[0], days[1]]
    assert make_sink().runs(1) == [days[2]]


def test_the_last_batch_and_the_run_are_written_at_once_or_not_at_all(make_sink):
    """A sink that can write records and run together writes both or neither."""
    make_sink().write([record("A"), record("B")])
    wrote = make_sink().write_last([record("C")], run())
    assert wrote == (not isinstance(make_sink(), CsvLogSink) and make_sink().in_lake)
    assert make_sink().written("run-1") == {(name, 1) for name in ("ABC" if wrote else "AB")}
    assert [one["run_id"] for one in make_sink().runs(5)] == (["run-1"] if wrote else [])


def test_several_batches(make_sink):
    """Each batch is added, and records of several runs are read at once, oldest first."""
    sink = make_sink()
    later = START + dt.timedelta(seconds=1)
    sink.write([record("A"), record("B", start_time=later)])
    sink.write([record("A", run_id="run-2", start_time=later + dt.timedelta(days=1))])
    found = make_sink().attempts(["run-1", "run-2", "run-3"])
    assert [(r["run_id"], r["transformation_id"]) for r in found] == [
        ("run-1", "A"),
        ("run-1", "B"),
        ("run-2", "A"),
    ]


def test_the_measures_are_those_of_the_records(make_sink):
    """Seconds and rows of a transformation's successes are the same from the database as from the records."""
    chance = random.Random(7)
    written = [
        record(
            f"T{chance.randrange(4)}",
            attempt,
            f"run-{attempt % 3}",
            status=chance.choice(["SUCCESS", "SUCCESS", "FAILED"]),
            duration_seconds=chance.choice([None, chance.uniform(0, 9)]),
            rows_out=chance.choice([None, 0, chance.randrange(10**12)]),
        )
        for attempt in range(60)
    ]
    sink = make_sink()
    sink.write(written[:40])
    sink.write(written[40:])

    def plain(measures):
        return sorted((name, sorted(seconds), sorted(rows)) for name, seconds, rows in measures)

    for runs in (["run-0"], ["run-0", "run-2"], ["run-9"], []):
        found = plain(make_sink().measures(runs))
        assert found == plain(BaseLogSink.measures(make_sink(), runs))
        assert bool(found) == ("run-0" in runs)


def test_nothing_there(make_sink):
    """An empty log has no runs and no attempts, and reading creates nothing."""
    sink = make_sink()
    assert (sink.runs(5), sink.attempts(["run-1"]), sink.attempts([]), sink.written("run-1")) == (
        [],
        [],
        [],
        set(),
    )


def test_nothing_to_write(make_sink, tmp_path):
    """An empty batch does nothing at all."""
    make_sink().write([])
    assert list(tmp_path.iterdir()) == []


def test_written(make_sink):
    """`written` names the stored records of a run, so that a repeated batch leaves each record once."""
    batch = [
        record("A"),
        record("A", 2),
        record("B"),
        record("C", 0, status="SKIPPED", start_time=None),
    ]
    make_sink().write(batch[:2])
    sink = make_sink()
    assert sink.written("run-1") == {("A", 1), ("A", 2)}
    assert sink.written("run-2") == set()
    sink.write(
        [r for r in batch if (r["transformation_id"], r["attempt"]) not in sink.written("run-1")]
    )
    assert make_sink().written("run-1") == {("A", 1), ("A", 2), ("B", 1), ("C", 0)}
    found = make_sink().attempts(["run-1"])
    assert sorted((r["transformation_id"], r["attempt"]) for r in found) == [
        ("A", 1),
        ("A", 2),
        ("B", 1),
        ("C", 0),
    ]


@pytest.mark.parametrize("text", AWKWARD, ids=lambda text: repr(text)[:20])
def test_any_text(make_sink, text):
    """Any text is read unchanged, in every column."""
    wanted = record(error_message=text, project=text, plant=text, host=text)
    make_sink().write([wanted, record("T2")])
    make_sink().write_run(run(warnings=text, options=text))
    assert make_sink().attempts(["run-1"]) == [wanted, record("T2")]
    assert make_sink().runs(5) == [run(warnings=text, options=text)]


def test_text_that_no_place_holds(make_sink):
    """A NUL and half surrogate pairs are replaced: a log never fails because of an error's text."""
    make_sink().write([record(error_message="a\0b\ud800c")])
    assert make_sink().attempts(["run-1"]) == [record(error_message="a\ufffdb?c")]


@pytest.mark.parametrize("id_", ["O'Brien", "a' OR '1'='1", 'a"b', "a\\", "%_", "ü;--", "'", "=1"])
def test_ids_are_data(make_sink, id_):
    """Ids with quotes and other SQL in them are found, and match no other id."""
    sink = make_sink()
    sink.write([record(id_, run_id=id_), record()])
    sink.write_run(run(id_))
    assert sink.written(id_) == {(id_, 1)}
    assert sink.attempts([id_]) == [record(id_, run_id=id_)]
    assert sink.runs(1)[0]["run_id"] == id_
    assert sink.written("x' OR '1'='1") == set()
    assert sink.attempts(["run-1"]) == [record()]


def test_values_of_other_types(make_sink):
    """Enumerations are stored as their values, objects as JSON text, local times as UTC. Foreign keys are left out."""

    class Status(str, enum.Enum):
        SUCCESS = "SUCCESS"

    east = dt.timezone(dt.timedelta(hours=5, minutes=30))
    given = record(status=Status.SUCCESS, start_time=START.astimezone(east), extra=1)
    make_sink().write([given])
    make_sink().write_run(run(options={"a": [1]}))
    assert make_sink().attempts(["run-1"]) == [record()]
    assert make_sink().runs(1)[0]["options"] == '{"a":[1]}'


def test_what_is_missing_is_none(make_sink):
    """A record needs only its key."""
    make_sink().write([{"run_id": "run-1", "transformation_id": "A", "attempt": 1}])
    [found] = make_sink().attempts(["run-1"])
    assert {name for name, value in found.items() if value is not None} == {
        "run_id",
        "transformation_id",
        "attempt",
    }


def test_many_records(make_sink):
    """A log handles thousands of records and of run ids."""
    records = [record(f"T{n:04}", run_id=f"run-{n % 700}") for n in range(2_000)]
    make_sink().write(records)
    found = make_sink().attempts([f"run-{n}" for n in range(700)])
    assert sorted(r["transformation_id"] for r in found) == [
        r["transformation_id"] for r in records
    ]


def test_name(make_sink):
    """A sink's name has its place, without a password."""
    name = make_sink().name
    assert "log" in name.lower()
    assert "***@" in name or "@" not in name


def test_runs_are_ordered_by_their_numbers_also_in_a_log_of_an_older_version(
    make_sink, monkeypatch
):
    """A table without numbers is widened. Then runs are ordered without a clock, at any limit."""
    from odibi_nb.sinks import csv, table

    old = tuple(column for column in RUN_COLUMNS if column[0] != "run_number")
    with monkeypatch.context() as older:
        for module in (csv, table):
            older.setattr(module, "RUN_COLUMNS", old)
        make_sink().write_run(run("of the future", start_time=START.replace(year=2099)))
        assert [r["run_id"] for r in make_sink().runs(1)] == ["of the future"]
    assert [r["run_number"] for r in make_sink().runs(1)] == [None]
    sink = make_sink()
    sink.write_run(run("wrong", run_number=1, start_time=START.replace(year=2098)))
    sink.write_run(run("last", run_number=3, start_time=START.replace(year=1970)))
    sink.write_run(run("before", run_number=2))
    names = ["last", "before", "wrong", "of the future"]
    for found in (sink.runs(4), make_sink().runs(4)):
        assert [r["run_id"] for r in found] == names
        assert [r["run_number"] for r in found] == [3, 2, 1, None]
    assert [r["run_id"] for r in make_sink().runs(1)] == ["last"]


def test_a_log_of_an_older_version_takes_the_columns_of_provenance(make_sink, monkeypatch):
    """A log without the newer columns is widened. Its old records stay, without values in them."""
    from odibi_nb.sinks import csv, table

    newer = ("inputs_read", "outputs_written", "code_hash")
    old = tuple(column for column in RECORD_COLUMNS if column[0] not in newer)
    with monkeypatch.context() as older:
        for module in (csv, table):
            older.setattr(module, "RECORD_COLUMNS", old)
        make_sink().write([record("A")])
    (found,) = make_sink().attempts(["run-1"])
    assert [found[name] for name in newer] == [None, None, None]
    make_sink().write([record("B")])
    assert make_sink().attempts(["run-1"])[1] == record("B")
    assert make_sink().attempts(["run-1"])[0] == {**record("A"), **dict.fromkeys(newer)}
