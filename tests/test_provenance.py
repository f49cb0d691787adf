"""Data in the run log: versions read and written, and reads that stay at one version."""

import json
import os
import shlex
import shutil
import threading

import pandas as pd
import pytest
from deltalake import DeltaTable, write_deltalake
from real_project import make_project, registry_row

from odibi_nb import run_project
from odibi_nb.cli import main
from odibi_nb.core.model.provenance import FileRead, TableVersion
from odibi_nb.core.runlog.journal import run_folders
from odibi_nb.core.running.context import ExecutionContext
from odibi_nb.engines.pandas.engine import PandasEngine
from odibi_nb.views.records import Records

FUNCTIONS = """
import contextlib

import pandas as pd
from deltalake import write_deltalake

from odibi_nb.errors import TableNotFoundError


def write_behind(place, *values):
    write_deltalake(place, pd.DataFrame({"x": values}), mode="overwrite")


def load(context, constants):
    frame = context.read("data/readings.csv")
    return frame if not constants.get("folder") else context.read({"path": "data/", "format": "csv"})


def twice(context, constants):
    first = context.read("bronze.x")
    write_behind(constants["place"], 7, 8, 9)
    second = context.read("Bronze.X")
    counted = context.read({"sql": "SELECT count(*) AS n FROM bronze.x", "name": "how many"})
    assert list(first["x"]) == list(second["x"])
    assert int(counted["n"][0]) == len(first)
    return first


def own(context):
    before = context.read("silver.own")
    context.write(before.assign(x=before["x"] + 1), "silver.own")
    after = context.read("silver.own")
    assert list(after["x"]) == [value + 1 for value in before["x"]]


def by_itself(constants):
    write_behind(constants["place"], 1, 2)


def without(context):
    assert not context.table_exists("silver.later")
    assert context.table_exists("bronze.x")
    with contextlib.suppress(TableNotFoundError):
        context.read("Silver.later")
    return context.read("bronze.x")


def broken(context, constants):
    context.read("bronze.x")
    raise ConnectionError("gone") if constants.get("retry") else KeyError("nothing")
"""


@pytest.fixture
def home(tmp_path):
    """A project whose lake has bronze.x and silver.own, and a file to load."""
    (tmp_path / "projects/plant_one/data").mkdir(parents=True)
    (tmp_path / "projects/plant_one/data/readings.csv").write_text("x\n1\n2\n")
    lake = tmp_path / "projects/plant_one/lake"
    for name in ("bronze/x", "silver/own"):
        write_deltalake(lake / name, pd.DataFrame({"x": [1, 2]}))
    return tmp_path


def run(home, *rows, **options):
    """Run these rows on pandas. Return the result."""
    environments = {
        "qat": {"engine": "pandas", "registry": "sqlite:///registry.db", "lake": "lake"}
    }
    folder = make_project(home, list(rows), functions=FUNCTIONS, environments=environments)
    return run_project("Plant One", manifest_path=folder / "manifest.json", **options)


def row(name, function, *outputs, **constants):
    """A row of Silver."""
    return registry_row(name, "Silver_1", function, outputs=outputs, constants=constants)


def logged(result, name, column):
    """Return a decoded column of a row's record."""
    (record,) = [r for r in result.records if r["transformation_id"] == name]
    return json.loads(record[column] or "[]")


def test_an_attempt_has_one_version_of_a_table(home):
    """All reads of the attempt, queries too, are at the recorded version, also after another writer's commit."""
    place = str(home / "projects/plant_one/lake/bronze/x")
    result = run(home, row("S1", "twice", "silver.x", place=place)).raise_for_status()
    table_id = DeltaTable(place).metadata().id
    read = {"table": "bronze.x", "version": 0, "table_id": table_id}
    table, query = logged(result, "S1", "inputs_read")
    assert table == read
    assert (query["query"], query["tables"]) == ("how many", [read])
    (written,) = logged(result, "S1", "outputs_written")
    assert (written["table"], written["version"], written["rows"]) == ("silver.x", 0, 2)
    assert "previous_version" not in written
    assert result.transformations["S1"].inputs_read[0] == TableVersion(**read)


def test_a_function_reads_what_it_wrote(home):
    """After its own write, a read has the new rows. The input keeps the version from before, the output has both."""
    result = run(home, row("S1", "own")).raise_for_status()
    (read,) = logged(result, "S1", "inputs_read")
    (written,) = logged(result, "S1", "outputs_written")
    assert (read["table"], read["version"]) == ("silver.own", 0)
    assert (written["previous_version"], written["version"]) == (0, 1)


def test_what_a_function_writes_itself_is_recorded(home):
    """An output that the function changed without its context has its versions in the log."""
    place = str(home / "projects/plant_one/lake/silver/own")
    result = run(home, row("S1", "by_itself", "silver.own", place=place)).raise_for_status()
    (written,) = logged(result, "S1", "outputs_written")
    assert (written["table"], written["previous_version"], written["version"]) == (
        "silver.own",
        0,
        1,
    )


def test_a_question_whether_a_table_is_there_is_a_read(home):
    """The log keeps the question for a missing table, so that the row runs again when the table exists."""
    result = run(home, row("S1", "without", "silver.x")).raise_for_status()
    missing, there = logged(result, "S1", "inputs_read")
    assert missing == {"table": "silver.later"}
    assert (there["table"], there["version"]) == ("bronze.x", 0)


def test_failed_attempts_record_what_they_read(home):
    """The log has the inputs of each failed attempt, like its event."""
    result = run(home, row("S1", "broken", "silver.x", retry={"max_retries": 1, "base_delay": 0}))
    found = [json.loads(r["inputs_read"])[0]["table"] for r in result.records]
    assert found == ["bronze.x", "bronze.x"]
    assert [r["outputs_written"] for r in result.records] == [None, None]


def test_files_have_fingerprints(home):
    """A file's fingerprint has size, time and tag, a folder's the number of its files and a hash of their list."""
    result = run(home, row("S1", "load", "silver.x", folder=True)).raise_for_status()
    file, folder = logged(result, "S1", "inputs_read")
    state = (home / "projects/plant_one/data/readings.csv").stat()
    assert (file["file"], file["size"]) == ("data/readings.csv", 6)
    assert file["modified"] == state.st_mtime_ns
    assert file["etag"]
    assert (folder["file"], folder["count"], folder["size"]) == ("data/", 1, 6)
    assert folder["listing"]


@pytest.mark.parametrize("change", ["content", "name", "another"])
def test_a_change_of_files_changes_the_fingerprint(tmp_path, change):
    """New bytes of the same size and time, another name, or one more file change the fingerprint."""
    engine, file = PandasEngine(str(tmp_path / "lake")), tmp_path / "in/a.csv"
    file.parent.mkdir()
    file.write_text("x\n1\n")
    places = [str(file), str(file.parent), f"{file.parent}/*.csv"]
    before = [engine.fingerprint(place) for place in places]
    assert before == [engine.fingerprint(place) for place in places]
    if change == "content":
        times = file.stat()
        file.write_text("x\n2\n")
        os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    elif change == "name":
        file.rename(file.with_name("b.csv"))
    else:
        file.with_name("b.csv").write_text("x\n3\n")
    changed = [engine.fingerprint(p) != b for p, b in zip(places, before, strict=True)]
    assert changed == [change != "another", True, True]
    assert engine.fingerprint("memory://nowhere/x") == FileRead(file="memory://nowhere/x")


def test_threads_of_an_attempt_agree(tmp_path):
    """Threads that read a table for the first time at once get the same version."""
    engine = PandasEngine(str(tmp_path))
    place = str(tmp_path / "s/t")
    write_deltalake(place, pd.DataFrame({"x": [0]}))
    context = ExecutionContext(engine="pandas", project="P", env="qat", tables=engine)
    found, stop = [], threading.Event()

    def write():
        while not stop.is_set():
            write_deltalake(place, pd.DataFrame({"x": [1]}), mode="append")

    def read():
        found.append(len(context.read("s.t")))

    writer = threading.Thread(target=write)
    writer.start()
    readers = [threading.Thread(target=read) for _ in range(6)]
    for one in readers:
        one.start()
    for one in readers:
        one.join()
    stop.set()
    writer.join()
    assert len(set(found)) == 1
    assert found[0] == context.provenance.inputs_read[0].version + 1


def test_people_do_not_read_these_columns(home, monkeypatch, capsys):
    """The history of a run shows the row without them. Its DataFrame and its JSON have them."""
    run(home, row("S2", "own")).raise_for_status()
    monkeypatch.chdir(home)
    capsys.readouterr()
    assert main(["history", "--run", "last"]) == 0
    shown = capsys.readouterr().out
    assert "S2" in shown
    assert "silver.own" not in shown
    assert main(["history", "--run", "last", "--json"]) == 0
    (attempt,) = json.loads(capsys.readouterr().out)["attempts"]
    assert attempt["inputs_read"][0]["table"] == "silver.own"
    records = Records("t", ("a",), [{"a": 1, "b": 2}], lambda names, _: names, ("b",))
    assert (records.to_frame(), "2" in str(records)) == (("a", "b"), False)


def test_nonsense_in_these_columns_harms_nothing(home, monkeypatch, capsys):
    """Invalid values of another program or of a torn write in these columns end neither plan,
    history, retry nor a run.
    """
    run(home, row("S1", "broken", "silver.x"), row("S2", "own"))
    folder = home / "projects/plant_one"
    log = str(folder / "lake/config_driven/transformationrunlog")
    texts = iter(['{"table": ', '[1, null, {"table": 3}]'])
    frame = DeltaTable(log).to_pyarrow_table().to_pandas()
    for column in ("inputs_read", "outputs_written", "code_hash"):
        frame[column] = [next(texts, "[[[[") for _ in range(len(frame))]
    write_deltalake(log, frame, mode="overwrite")
    monkeypatch.chdir(home)
    for line in ("history", "history --run last", "plan 'Plant One'", "retry last"):
        assert main(shlex.split(line)) in {0, 1}
    assert "Traceback" not in capsys.readouterr().err


def test_runs_of_an_older_version_are_recovered(home):
    """A journal without these facts completes the log of its run, with empty columns."""
    run(home, row("S2", "own"))
    state = home / "projects/plant_one/.odibi"
    (folder,) = run_folders(state)
    lines = [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]
    names = ("inputs_read", "outputs_written", "code_hash")
    for line in lines:
        for part in (line, line.get("record") or {}):
            for name in names:
                part.pop(name, None)
    ended = [line for line in lines if line["event"] not in {"run_end", "flushed"}]
    (folder / "journal.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in ended))
    (folder / "complete").rename(folder / "incomplete")
    shutil.rmtree(home / "projects/plant_one/lake/config_driven")
    result = run(home, row("S2", "own")).raise_for_status()
    log = DeltaTable(str(home / "projects/plant_one/lake/config_driven/transformationrunlog"))
    rows = {r["run_id"]: r for r in log.to_pyarrow_table().to_pylist()}
    assert len(rows) == 2
    old = rows.pop(folder.name)
    assert [old[name] for name in names] == [None, None, None]
    assert json.loads(rows[result.run_id]["inputs_read"])[0]["version"] == 1
