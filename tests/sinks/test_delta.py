"""The run log in Delta tables."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest
from deltalake import DeltaTable, QueryBuilder, write_deltalake
from fork_server import processes
from log_records import record, run
from thorough import THOROUGH

from odibi_nb.core.model.log_columns import RECORD_COLUMNS, RUN_COLUMNS
from odibi_nb.errors import DataError, EngineNotAvailableError
from odibi_nb.sinks.table import MANY_BATCHES, log_in_lake
from odibi_nb.storage import delta_upkeep
from odibi_nb.storage.delta_table import DeltaRowTable
from odibi_nb.storage.delta_upkeep import SMALL_FILES
from odibi_nb.storage.spark_table import SparkRowTable

SEED = [name for name, _ in RECORD_COLUMNS[:10]]


@pytest.fixture
def lake(tmp_path) -> str:
    """An empty lake."""
    return str(tmp_path / "lake")


def log_path(lake: str) -> str:
    """The place of the seed's table."""
    return f"{lake}/config_driven/transformationrunlog"


def test_tables(lake):
    """Attempts and runs are two tables of the lake, beside each other, with explicit types."""
    sink = log_in_lake(lake)
    sink.write([record(plant=None)])
    sink.write_run(run())
    fields = {f.name: f.type.type for f in DeltaTable(log_path(lake)).schema().fields}
    assert list(fields) == [name for name, _ in RECORD_COLUMNS]
    kinds = {"string": "string", "timestamp": "timestamp", "double": "double", "int": "long"}
    assert fields == {name: kinds[kind] for name, kind in RECORD_COLUMNS}
    assert DeltaTable.is_deltatable(f"{lake}/config_driven/transformationrun")


def test_other_name(lake):
    """For another table of attempts, the table of runs is in the same schema."""
    sink = log_in_lake(lake + "/", table="Ops.Log")
    sink.write_run(run())
    assert DeltaTable.is_deltatable(f"{lake}/ops/transformationrun")
    with pytest.raises(DataError, match="is not a table name"):
        log_in_lake(lake, table="../log")


def test_one_commit(lake):
    """A batch is one commit."""
    log_in_lake(lake).write([record(f"T{n}") for n in range(100)])
    assert DeltaTable(log_path(lake)).version() == 0
    log_in_lake(lake).write([record()])
    assert DeltaTable(log_path(lake)).version() == 1


def test_the_seeds_table(lake):
    """A table with the seed's ten columns is widened, and its old rows stay."""
    old = {name: record()[name] for name in SEED}
    types = {
        "start_time": pa.timestamp("us", "UTC"),
        "end_time": pa.timestamp("us", "UTC"),
        "duration_seconds": pa.float64(),
    }
    schema = pa.schema([(name, types.get(name, pa.string())) for name in SEED])
    write_deltalake(log_path(lake), pa.Table.from_pylist([old], schema=schema))
    sink = log_in_lake(lake)
    assert (sink.written("run-1"), sink.attempts(["run-1"])) == (set(), [])
    sink.write([record()])
    assert sink.attempts(["run-1"]) == [record()]
    query = QueryBuilder().register("log", DeltaTable(log_path(lake)))
    [count] = (
        query.execute("SELECT count(*) AS n FROM log WHERE run_id IS NULL")
        .read_all()
        .column("n")
        .to_pylist()
    )
    assert count == 1


def test_other_types(lake):
    """A table whose columns have other types keeps them, and readers get our types."""
    types = {
        "start_time": pa.string(),
        "end_time": pa.timestamp("us"),
        "duration_seconds": pa.float32(),
        "attempt": pa.int32(),
    }
    schema = pa.schema(
        [(name, types.get(name, pa.string())) for name in (*SEED, "run_id", "attempt")]
    )
    write_deltalake(log_path(lake), schema.empty_table())
    sink = log_in_lake(lake)
    sink.write([record(duration_seconds=1.5)])
    assert sink.attempts(["run-1"]) == [record(duration_seconds=1.5)]
    fields = {f.name: f.type.type for f in DeltaTable(log_path(lake)).schema().fields}
    assert [fields[name] for name in types] == ["string", "timestamp_ntz", "float", "integer"]


def test_refused(lake):
    """A table that refuses the records does not change, and the error is one line."""
    write_deltalake(log_path(lake), pa.table({"transformation_id": pa.array([1], pa.int64())}))
    with pytest.raises(
        DataError, match=r"run log config_driven\.TransformationRunLog in .* cannot be written: "
    ) as caught:
        log_in_lake(lake).write([record("A")])
    assert "\n" not in str(caught.value)
    assert DeltaTable(log_path(lake)).version() == 0


def test_unreadable(lake, tmp_path):
    """A lake that cannot be reached is one clear error."""
    (tmp_path / "lake").write_text("a file")
    with pytest.raises(DataError, match="cannot be written"):
        log_in_lake(lake).write([record()])
    assert "s3cret" not in log_in_lake("abfss://user:s3cret@host/lake").name


def test_many_small_files_become_one_when_a_run_ends(lake):
    """At a run's end the log's many small files become one without a loss. A few files are left alone."""
    sink = log_in_lake(lake)
    for n in range(SMALL_FILES - 1):
        sink.write([record(f"T{n:03}")])
    assert list(Path(log_path(lake), "_delta_log").glob("*.checkpoint.parquet"))
    sink.write_run(run("run-0"))
    assert len(DeltaTable(log_path(lake)).file_uris()) == SMALL_FILES - 1
    sink.write([record("last")])
    sink.write_run(run())
    assert len(DeltaTable(log_path(lake)).file_uris()) == 1
    assert len(sink.written("run-1")) == SMALL_FILES
    assert [one["run_id"] for one in sink.runs(5)] == ["run-1", "run-0"]


def test_runs_become_one_file_too(lake):
    """The table of runs is compacted as the log is, and keeps its columns."""
    sink = log_in_lake(lake)
    for n in range(SMALL_FILES):
        sink.write_run(run(f"run-{n}"))
    table = DeltaTable(f"{lake}/config_driven/transformationrun")
    assert len(table.file_uris()) == 1
    assert [f.name for f in table.schema().fields] == [name for name, _ in RUN_COLUMNS]
    assert len(sink.runs(100)) == SMALL_FILES


def test_the_next_compaction_waits_for_files_not_for_time(lake, monkeypatch):
    """A table with many small files is compacted again only after the end of the compaction before."""
    seconds = iter(range(1_000, 9_000))
    monkeypatch.setattr(delta_upkeep, "SMALL_FILES", 5)
    monkeypatch.setattr(delta_upkeep, "time", SimpleNamespace(time=lambda: next(seconds)))
    sink = log_in_lake(lake)
    for n in range(30):
        sink.write_run(run(f"run-{n}"))
        table = DeltaTable(f"{lake}/config_driven/transformationrun")
        assert len(table.file_uris()) <= 5
    assert len(sink.runs(100)) == 30


def test_files_that_partitions_keep_apart_are_not_compacted_at_every_run(lake, monkeypatch):
    """A table of runs with many partitions is not compacted again and again without a gain."""
    monkeypatch.setattr(delta_upkeep, "SMALL_FILES", 3)
    monkeypatch.setattr(delta_upkeep, "time", SimpleNamespace(time=iter(range(100, 200)).__next__))
    uri = f"{lake}/config_driven/transformationrun"
    first = pa.table({"run_id": ["first"], "project": ["P"], "env": ["e"]})
    write_deltalake(uri, first, partition_by=["run_id"])
    for n in range(8):
        log_in_lake(lake).write_run(run(f"run-{n}"))
    claims = [h for h in DeltaTable(uri).history() if h["operation"] == "WRITE"]
    assert len(claims) <= 1 + 8 + 1  # one compaction was tried
    assert len(log_in_lake(lake).runs(100)) == 9


def test_a_compaction_that_has_not_ended_keeps_others_away(lake, monkeypatch):
    """During another process's compaction, no other process compacts the table, nor for a while after it was killed."""
    now = [1_000]
    monkeypatch.setattr(delta_upkeep, "SMALL_FILES", 5)
    monkeypatch.setattr(delta_upkeep, "time", SimpleNamespace(time=lambda: now[0]))
    sink = log_in_lake(lake)
    for n in range(4):
        sink.write_run(run(f"run-{n}"))
    uri = f"{lake}/config_driven/transformationrun"
    assert delta_upkeep._claimed(DeltaTable(uri)) == 1_000  # and is killed
    for n in range(4, 8):
        now[0] += 1
        sink.write_run(run(f"run-{n}"))
    assert len(DeltaTable(uri).file_uris()) >= 8
    now[0] += delta_upkeep.CLAIM_SECONDS
    sink.write_run(run("run-8"))
    assert len(DeltaTable(uri).file_uris()) == 1
    assert len(sink.runs(100)) == 9


def test_a_log_that_cannot_be_compacted_is_whole(lake, caplog):
    """If compacting fails, as without its files, the run's record is stored and no message appears."""
    sink = log_in_lake(lake)
    for n in range(SMALL_FILES):
        sink.write([record(f"T{n:03}")])
    Path(DeltaTable(log_path(lake)).file_uris()[0].removeprefix("file://")).unlink()
    sink.write_run(run())
    assert sink.runs(5) == [run()]
    assert "was not compacted" in caplog.text


def _end_runs(lake: str, worker: int, runs: int) -> None:
    sink = log_in_lake(lake)
    for n in range(runs):
        sink.write([record(f"T{n}", run_id=f"run-{worker}")])
        sink.write_run(run(f"run-{worker}-{n}"))


def test_runs_that_end_at_once(lake):
    """Runs of several processes that write and compact at the same time lose nothing."""
    sink = log_in_lake(lake)
    for n in range(SMALL_FILES - 3):
        sink.write([record(f"T{n}")])
    workers = [processes().Process(target=_end_runs, args=(lake, n, 5)) for n in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 3
    assert len(log_in_lake(lake).runs(100)) == 15
    assert len(log_in_lake(lake).attempts([f"run-{n}" for n in range(3)])) == SMALL_FILES + 12
    assert len(DeltaTable(log_path(lake)).file_uris()) < SMALL_FILES


def _append(lake: str, worker: int, batches: int) -> None:
    sink = log_in_lake(lake)
    for n in range(batches):
        sink.write([record(f"T{n}", run_id=f"run-{worker}")])


def test_four_processes(lake):
    """Processes that append to one new table at once lose nothing."""
    workers = [processes().Process(target=_append, args=(lake, n, 10)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0] * 4
    found = log_in_lake(lake).attempts([f"run-{n}" for n in range(4)])
    assert sorted((r["run_id"], r["transformation_id"]) for r in found) == sorted(
        (f"run-{worker}", f"T{n}") for worker in range(4) for n in range(10)
    )


def test_reading_does_not_break_the_exit(lake):
    """A process that ends right after reading the log ends with code 0."""
    log_in_lake(lake).write([record()])
    log_in_lake(lake).write_run(run())
    code = (
        "import sys; from odibi_nb.sinks.table import log_in_lake as S; s = S(sys.argv[1]); "
        "assert s.runs(1) and s.attempts(['run-1']) and s.written('run-1')"
    )
    for _ in range(3 if THOROUGH else 1):
        assert subprocess.run([sys.executable, "-c", code, lake], check=False).returncode == 0


def test_missing_library(lake, monkeypatch):
    """Without deltalake, the error names the extra that installs it."""
    monkeypatch.setitem(sys.modules, "deltalake", None)
    monkeypatch.setitem(sys.modules, "deltalake.exceptions", None)
    with pytest.raises(EngineNotAvailableError) as caught:
        log_in_lake(lake).write([record()])
    assert caught.value.extra == "pandas"


def test_a_clock_that_was_wrong_once_keeps_no_compaction_waiting(lake, monkeypatch):
    """A claim to compact with a time in the future blocks no process. A recent one does."""
    log_in_lake(lake).write_run(run())
    real, table = time.time, DeltaTable(f"{lake}/config_driven/transformationrun")
    monkeypatch.setattr(delta_upkeep.time, "time", lambda: real() + 10**9)
    assert delta_upkeep._claimed(table)
    monkeypatch.setattr(delta_upkeep.time, "time", real)
    table.update_incremental()
    assert delta_upkeep._claimed(table)
    table.update_incremental()
    assert not delta_upkeep._claimed(table)


def test_expired_commits_are_removed_when_files_become_one(lake, monkeypatch):
    """The table's own log stays small: a later compaction removes entries after Delta's retention of a month."""
    monkeypatch.setattr(delta_upkeep, "SMALL_FILES", 21)
    sink = log_in_lake(lake)
    for n in range(20):
        sink.write_run(run(f"run-{n}"))
    commits = Path(lake, "config_driven/transformationrun/_delta_log")
    long_ago = time.time() - 40 * 24 * 3600
    for path in commits.iterdir():
        os.utime(path, (long_ago, long_ago))
    before = {path.name for path in commits.glob("*.json")}
    sink.write_run(run("run-20"))
    assert len(before) == 20
    assert len(before & {path.name for path in commits.glob("*.json")}) <= 1
    assert len(log_in_lake(lake).runs(100)) == 21


def test_the_end_of_a_run_waits_for_no_compaction(lake, monkeypatch):
    """A run checks the files after its first batch, while rows run, and at its end only after many writes."""
    looks = []
    monkeypatch.setattr(DeltaRowTable, "compact", lambda self: looks.append(self))
    sink = log_in_lake(lake)
    for batches, at_the_end in ((0, 2), (1, 0), (2, 0), (MANY_BATCHES + 1, 2)):
        for n in range(batches):
            sink.write([record(f"T{n}", run_id=f"run-{batches}")])
        before = len(looks)
        assert before == (2 if batches else 0), "both tables"
        sink.write_run(run(f"run-{batches}"))
        assert len(looks) - before == at_the_end
        looks.clear()


def test_where_a_look_at_the_files_takes_a_job_only_each_eighth_run_looks(lake, monkeypatch):
    """Through Spark, counting the files takes half a second. A run of many writes counts them at its end."""
    looks = []
    monkeypatch.setattr(DeltaRowTable, "compact", lambda self: looks.append(self))
    monkeypatch.setattr(DeltaRowTable, "compacted_every", SparkRowTable.compacted_every)

    def one(number, batches=1):
        looks.clear()
        sink = log_in_lake(lake)  # each run is a process of its own
        sink.runs(1)
        for n in range(batches):
            sink.write([record(f"T{n}", run_id=f"run-{number}")])
        sink.write_run({**run(f"run-{number}"), "run_number": number})
        return len(looks)

    assert [number for number in range(1, 18) if one(number)] == [1, 9, 17]
    assert one(18, MANY_BATCHES + 1) == 2


def test_a_log_without_a_new_commit_is_not_listed_again(tmp_path, monkeypatch):
    """A sink that looks again and again, as `watch` does, lists the log only after a commit."""
    listed = []
    listing = DeltaTable.update_incremental
    monkeypatch.setattr(
        DeltaTable, "update_incremental", lambda table: listed.append(1) or listing(table)
    )
    other, sink = log_in_lake(str(tmp_path)), log_in_lake(str(tmp_path))
    other.write([record("A")])
    assert sink.written("run-1") == {("A", 1)}
    assert sink.written("run-1") == {("A", 1)}
    assert listed == []
    other.write([record("B")])
    assert sink.written("run-1") == {("A", 1), ("B", 1)}
    assert listed == [1]
