"""The run log in CSV files."""

from __future__ import annotations

import csv
import io
import os
import signal

import pandas as pd
import pytest
from log_records import record, run
from real_project import make_project

from odibi_nb import run_project
from odibi_nb.core.model.log_columns import RECORD_COLUMNS, RUN_COLUMNS
from odibi_nb.errors import DataError, ManifestError
from odibi_nb.sinks.csv import CsvLogSink
from odibi_nb.sinks.table import log_in_lake


@pytest.fixture
def path(tmp_path):
    """The place of the log."""
    return tmp_path / "log.csv"


def test_files(path):
    """Attempts and runs are two files with headers, which any CSV reader can read."""
    sink = CsvLogSink(path)
    sink.write([record(error_message="two\nlines"), record("B")])
    sink.write([record("C")])
    sink.write_run(run())
    frame = pd.read_csv(path)
    assert list(frame.columns) == [name for name, _ in RECORD_COLUMNS]
    assert list(frame["transformation_id"]) == ["T1", "B", "C"]
    assert list(pd.read_csv(path.with_name("log_runs.csv")).columns) == [
        name for name, _ in RUN_COLUMNS
    ]


@pytest.mark.parametrize(
    "text", ["=cmd|' /C calc'!A0", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "'=1"]
)
def test_no_formulas(path, text):
    """A spreadsheet takes no text for a formula, in any column. Numbers stay numbers."""
    CsvLogSink(path).write([record(text, error_message=text, project=text, rows_in=-1)])
    [_, cells] = csv.reader(io.StringIO(path.read_bytes().decode(), newline=""))
    row = dict(zip([name for name, _ in RECORD_COLUMNS], cells, strict=True))
    assert [row[name] for name in ("transformation_id", "error_message", "project")] == [
        f"'{text}"
    ] * 3
    assert row["rows_in"] == "-1"


def test_none_and_empty(path):
    """None is an empty cell, and empty text is not None."""
    CsvLogSink(path).write([record(asset=None, plant="")])
    [found] = CsvLogSink(path).attempts(["run-1"])
    assert (found["asset"], found["plant"]) == (None, "")


def test_torn_file(path):
    """A torn last line costs only that line."""
    sink = CsvLogSink(path)
    sink.write([record("A"), record("B")])
    path.write_bytes(path.read_bytes()[:-20])
    assert sink.written("run-1") == {("A", 1)}
    sink.write([record("B")])
    assert sink.written("run-1") == {("A", 1), ("B", 1)}


def test_edited_file(path):
    """Cells that an editor made unreadable are None. The other cells of the row are read."""
    sink = CsvLogSink(path)
    sink.write([record()])
    path.write_text(
        "\ufeff"
        + path.read_text()
        .replace("45.2,", "45;2,")
        .replace("2025-01-15T10:30:00.123456+00:00", "15.01.2025")
    )
    [found] = sink.attempts(["run-1"])
    assert (found["duration_seconds"], found["start_time"], found["status"]) == (
        None,
        None,
        "SUCCESS",
    )
    sink.write([record("B")])
    assert sink.written("run-1") == {("T1", 1), ("B", 1)}


def test_no_regular_file(path):
    """A pipe in place of the log is an error at once, and no wait for another program."""
    os.mkfifo(path)
    for use in (lambda sink: sink.write([record("A")]), lambda sink: sink.attempts(["r"])):
        with pytest.raises(DataError, match=r"log\.csv is not a file"):
            use(CsvLogSink(path))


def test_foreign_file(path):
    """A file with other columns is refused by name, and left as it is."""
    path.write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="has other columns than these records"):
        CsvLogSink(path).write([record()])
    assert path.read_text() == "a,b\n1,2\n"
    assert CsvLogSink(path).attempts(["run-1"]) == []


def test_no_folder(tmp_path):
    """A place that cannot be written or read is one clear error."""
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"run log .* cannot be written"):
        CsvLogSink(tmp_path / "file/log.csv").write([record()])
    (tmp_path / "log.csv").mkdir()
    with pytest.raises(DataError, match=r"run log .* cannot be read"):
        CsvLogSink(tmp_path / "log.csv").written("run-1")


def test_full_disk(path):
    """If a batch does not fit on the disk, the file has none of it."""
    resource = pytest.importorskip("resource")
    sink = CsvLogSink(path)
    sink.write([record("A")])
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, limits[1]))
    try:
        with pytest.raises(DataError, match="File too large"):
            sink.write([record("B"), record("C")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before


def test_limit_of_the_csv_module(path):
    """Reading a huge message does not change the limits of other code."""
    CsvLogSink(path).write([record(error_message="x" * 200_000)])
    before = csv.field_size_limit()
    assert len(CsvLogSink(path).attempts(["run-1"])[0]["error_message"]) == 200_000
    assert csv.field_size_limit() == before


def test_the_manifest_chooses_it(tmp_path):
    """`log_csv` writes a run's log to a file beside the manifest, too. A URL is refused before anything runs."""
    log = {"lake": str(tmp_path / "lake"), "log_csv": "logs/attempts.csv"}
    environment = {"engine": "pandas", "registry": "sqlite:///registry.db", **log}
    home = make_project(tmp_path, environments={"qat": environment})
    result = run_project("Plant One", manifest_path=home / "manifest.json", log_level="CRITICAL")
    kept = CsvLogSink(home / "logs/attempts.csv")
    assert [found["run_id"] for found in kept.runs(5)] == [result.run_id]
    lake = log_in_lake(log["lake"])
    in_order = sorted(kept.attempts([result.run_id]), key=lambda row: row["transformation_id"])
    wanted = sorted(lake.attempts([result.run_id]), key=lambda row: row["transformation_id"])
    assert in_order == wanted
    assert wanted

    make_project(tmp_path, environments={"qat": {**environment, "log_csv": "s3://u:pw@b/log.csv"}})
    with pytest.raises(
        ManifestError,
        match=r"must be a file on this machine, found .* - at \$\.environments\.qat\.log_csv",
    ) as caught:
        run_project("Plant One", manifest_path=home / "manifest.json", log_level="CRITICAL")
    assert "pw" not in str(caught.value)
    assert len(kept.runs(5)) == 1
