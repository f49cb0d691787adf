"""Runs survive their machines, which share a lake and nothing else."""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import random
import shutil
import signal
import time
from collections import Counter

import pytest
import shared_run
from deltalake import DeltaTable, write_deltalake
from lake_project import Lake
from real_project import registry_row
from thorough import TIMES

from odibi_nb import GenericProjectOrchestrator, run_project
from odibi_nb.commands import Face, execute, parse
from odibi_nb.core.protocols import BaseLogSink
from odibi_nb.core.runlog import run_elsewhere as run_elsewhere_module
from odibi_nb.core.runlog import run_lease
from odibi_nb.core.runlog.run_elsewhere import runs_elsewhere
from odibi_nb.errors import ConfigurationError, DataError, RunLockedError
from odibi_nb.sinks.run_state import TableRunState
from odibi_nb.sinks.table import log_in_lake
from odibi_nb.sources.table import registry_in_database
from odibi_nb.storage.delta_table import DeltaRowTable
from odibi_nb.views.run.state import RunState

KILLS = 25 if TIMES > 1 else 1
"""Pairs of clusters to kill."""
FUNCTIONS = """
import os, time
import pandas as pd


def add(constants, context):
    return pd.DataFrame({"x": [constants["value"]]})


def slow(constants, context):
    context.write(pd.DataFrame({"x": [constants["value"]]}), context_output)
    while os.path.exists(constants["flag"]) and not context.should_stop():
        time.sleep(0.01)


context_output = {"table": "bronze.slow", "mode": "append"}
"""


def rows_of(flag):
    def appends(name, function, table, **constants):
        row = registry_row(name, "Bronze", function, constants={"retry": 0, **constants})
        return {**row, "outputs": [{"table": table, "mode": "append"}]}

    return [
        appends("ADD", "add", "bronze.added", value=1),
        appends("SLOW", "slow", "bronze.slow", value=2, flag=str(flag)),
        {**appends("LATE", "add", "bronze.late", value=3), "layer": "Silver_1"},
    ]


class SharedLake:
    """A project on one lake, run by clusters that share only the lake."""

    def __init__(self, folder, monkeypatch):
        self.flag = folder / "wait"
        self.folder = folder
        environment = {"engine": "pandas", "registry": "sqlite:///registry.db", "shared": True}
        self.lake = Lake(folder, rows_of(self.flag), environments={"qat": environment})
        (self.lake.home / "plant_functions.py").write_text(FUNCTIONS)
        monkeypatch.setenv("ODIBI_STATE_DIR", str(folder / "here" / "state"))
        for name in ("BEAT_SECONDS", "VALID_SECONDS", "TAKEOVER_SECONDS", "POLL_SECONDS"):
            monkeypatch.setattr(run_lease, name, getattr(run_lease, name))
        shared_run.quick_lease()
        self.children = []

    def start(self, name, call="run_project", **keywords):
        """Begin a run on the cluster *name*."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["shared_run"])
        reader, writer = context.Pipe(duplex=False)
        home = self.folder / name
        home.mkdir(exist_ok=True)
        keywords = {"project": "Plant One", "manifest_path": self.lake.path, **keywords}
        arguments = (name, str(home), writer, call, keywords)
        child = context.Process(target=shared_run.on_cluster, args=arguments)
        child.start()
        writer.close()
        self.children.append(child)
        return Cluster(child, reader, home)

    def run(self, call=run_project, **options):
        """Run in the test's process. `said` has the console's lines."""
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            result = call("Plant One", manifest_path=self.lake.path, log_level="WARNING", **options)
        self.said = output.getvalue().splitlines()
        return result

    def values(self, table):
        return self.lake.values(table)

    def log(self):
        return log_in_lake(str(self.lake.home / "lake"))

    def statuses(self, run_id):
        return {r["transformation_id"]: r["status"] for r in self.log().attempts([run_id])}

    def command(self, *words):
        return str(execute(parse([*words, "--manifest", str(self.lake.path)]), Face()))


def retry(project, manifest_path, log_level):
    opened = GenericProjectOrchestrator(project, manifest_path=manifest_path, log_level=log_level)
    return opened.retry()


class Cluster:
    """A process with a home of its own, and its messages."""

    def __init__(self, child, reader, home):
        self.child, self.reader, self.home = child, reader, home

    def wait_for(self, event, row=""):
        """Wait for an event. Return its run's id."""
        while True:
            told = self.reader.recv()
            if told[0] == event and row in ("", told[2]):
                return told[1]

    def end(self):
        """Wait for the end. Return the last message."""
        last = None
        with contextlib.suppress(EOFError, OSError):
            while True:
                last = self.reader.recv()
        self.child.join()
        return last

    def dies(self, *, keep_state=False):
        """Kill the process and delete its disk. With *keep_state*, delete only files that were open, as a mount does."""
        opened = shared_run.kill(self.child.pid) if self.child.is_alive() else []
        self.child.join()
        if keep_state:
            for path in opened:
                if path.is_relative_to(self.home):
                    path.write_bytes(b"")
        else:
            shutil.rmtree(self.home, ignore_errors=True)


@pytest.fixture
def shared(tmp_path, monkeypatch):
    lake = SharedLake(tmp_path, monkeypatch)
    yield lake
    for child in lake.children:
        if child.is_alive():
            child.kill()
        child.join()


def test_compute_that_dies(shared):
    """The run of a machine that is lost with its disk is ABANDONED, reported once, and can be retried from anywhere.

    What it had finished stays; what it had appended is taken back before it is appended again.
    """
    shared.flag.touch()
    cluster = shared.start("one")
    run_id = cluster.wait_for("transform_start", "SLOW")
    while not DeltaTable.is_deltatable(shared.lake.uri("bronze.slow")):
        time.sleep(0.01)
    assert run_id in shared.command("history")
    cluster.dies()
    shared.flag.unlink()
    result = shared.run(retry)
    assert result.retry_of == run_id
    assert result["status"] == "success"
    told = [text for text in shared.said if run_id in text and "died" in text]
    assert len(told) == 1
    assert shared.statuses(run_id)["LATE"] == "ABANDONED"
    assert shared.statuses(run_id)["SLOW"] == "ABANDONED"
    for table in ("bronze.added", "bronze.slow", "bronze.late"):
        assert len(shared.values(table)) == 1
    shared.run()
    assert not [text for text in shared.said if "died" in text]


def test_two_clusters_at_once(shared):
    """Of two clusters that start at the same time, exactly one runs. The other one names it."""
    shared.flag.touch()
    clusters = [shared.start(name) for name in ("one", "two")]
    told = [cluster.reader.recv() for cluster in clusters]
    while not any(one[0] == "error" for one in told):
        told = [
            t if t[0] == "error" else c.reader.recv() for t, c in zip(told, clusters, strict=True)
        ]
    shared.flag.unlink()
    refused = next(i for i, one in enumerate(told) if one[0] == "error")
    assert told[refused][1] == "RunLockedError"
    ended = clusters[1 - refused].end()
    assert ended[0] == "result"
    assert ended[2] == "success"
    assert ended[1] in told[refused][2]
    assert shared.values("bronze.added") == [1]


def test_a_mount_that_shows_files_on_close(shared):
    """A dead run with an empty journal is completed from the lake, and reported once."""
    shared.flag.touch()
    cluster = shared.start("here")
    run_id = cluster.wait_for("transform_start", "SLOW")
    cluster.dies(keep_state=True)
    shared.flag.unlink()
    shared.run()
    told = [text for text in shared.said if run_id in text and "died" in text]
    assert len(told) == 1
    assert shared.statuses(run_id)["LATE"] == "ABANDONED"


def test_cancel_from_another_machine(shared):
    """`cancel` reaches a run on another machine, through the lake."""
    shared.flag.touch()
    cluster = shared.start("one")
    run_id = cluster.wait_for("transform_start", "SLOW")
    assert run_id in shared.command("cancel", run_id, "--transformation", "SLOW")
    cluster.wait_for("transform_cancelled", "SLOW")
    assert cluster.end() == ("result", run_id, "cancelled")


def test_watching_from_another_machine(shared, monkeypatch):
    """`watch` shows the plan of a run on another machine, each row as the log gets it, and the end."""
    shared.flag.touch()
    cluster = shared.start("one")
    run_id = cluster.wait_for("transform_start", "SLOW")
    project = GenericProjectOrchestrator("Plant One", manifest_path=shared.lake.path)
    where = project.project, project.env, project.state_dir
    (run,) = runs_elsewhere(project.run_state(), project.sinks(), *where)
    assert run.run_id == run_id
    seen = RunState()
    run.show_in(seen)
    run.read()
    now = seen.snapshot()
    assert now.live
    assert [row.id for row in now.rows] == ["ADD", "SLOW", "LATE"]
    states = {row.id: row.status for row in now.rows}
    assert states["LATE"] == "WAITING"
    shared.flag.unlink()
    assert run.follow(lambda _seconds: time.sleep(0.05)) == "success"
    ended = {row.id: row for row in seen.snapshot().rows}
    assert {row.status for row in ended.values()} == {"SUCCESS"}
    assert ended["ADD"].rows_out == 1
    assert ended["SLOW"].duration_seconds > 0
    assert run.past().run["status"] == "success"
    assert cluster.end() == ("result", run_id, "success")


def test_a_part_of_a_job_on_another_machine(shared):
    """`history` shows the run of one part of a job on another machine, and `cancel` reaches its row."""
    shared.flag.touch()
    cluster = shared.start("one", part="SLOW", select=["SLOW"])
    run_id = cluster.wait_for("transform_start", "SLOW")
    assert run_id in shared.command("history")
    assert run_id in shared.command("cancel", "--transformation", "SLOW")
    assert cluster.end() == ("result", run_id, "cancelled")


def test_the_watch_command_from_another_machine(shared, monkeypatch):
    """The command says that it reads the log, of which machine, and how late; a killed run is interrupted."""
    monkeypatch.setattr(run_elsewhere_module, "LOOK_SECONDS", 0.05)
    shared.flag.touch()
    cluster = shared.start("one")
    run_id = cluster.wait_for("transform_start", "SLOW")
    cluster.dies()
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        assert shared.command("watch", run_id) == f"run {run_id}: interrupted"
    assert f"run {run_id} is on another machine" in output.getvalue()
    assert "this is its run log in the lake, up to 5.05 s late" in output.getvalue()


def test_a_starved_run_stops_before_its_next_write(shared):
    """A run whose heartbeat was late, and which was taken over, writes nothing more."""
    shared.flag.touch()
    cluster = shared.start("one")
    run_id = cluster.wait_for("transform_start", "SLOW")
    while not DeltaTable.is_deltatable(shared.lake.uri("bronze.slow")):
        time.sleep(0.01)
    os.kill(cluster.child.pid, signal.SIGSTOP)
    shared.flag.unlink()
    taker = shared.run()
    assert taker["status"] == "success"
    written = shared.lake.version("bronze.slow"), shared.lake.version("bronze.late")
    os.kill(cluster.child.pid, signal.SIGCONT)
    assert cluster.end()[2] in ("cancelled", "failed")
    assert (shared.lake.version("bronze.slow"), shared.lake.version("bronze.late")) == written
    assert Counter(run["run_id"] for run in shared.log().runs(10))[run_id] == 1
    keys = [(r["transformation_id"], r["attempt"]) for r in shared.log().attempts([run_id])]
    assert len(keys) == len({*keys})


def woken_after_a_retry(shared, **freeze):
    """Freeze a run, retry it from here, and wake it: it has not succeeded. Return its last message."""
    cluster = shared.start("one", **freeze)
    cluster.wait_for("frozen")
    assert shared.run(retry)["status"] == "success"
    os.kill(cluster.child.pid, signal.SIGCONT)
    ended = cluster.end()
    assert ended[2] in ("cancelled", "failed"), ended
    return ended


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("frozen", ["late", "slow"])
def test_a_run_that_is_frozen_in_a_commit(shared, exists, frozen):
    """A run that freezes right before its commit, is taken over and retried, and then wakes adds no second rows."""
    before = [0]
    if exists:
        shared.run()
        before = [len(shared.values(f"bronze.{frozen}"))]
    ended = woken_after_a_retry(shared, freeze=frozen)
    assert len(shared.values(f"bronze.{frozen}")) == before[0] + 1
    assert Counter(run["run_id"] for run in shared.log().runs(10))[ended[1]] == 1


@pytest.mark.parametrize("table", ["late", "slow"])
def test_a_run_that_is_frozen_after_a_commit(shared, table):
    """A run that freezes after its commit, is taken over and retried, and then wakes has failed, and its log stays.

    The retry has taken back the rows and appended its own, also where the frozen run had only its end left.
    """
    ended = woken_after_a_retry(shared, freeze_after=table)
    assert len(shared.values(f"bronze.{table}")) == 1
    assert Counter(run["run_id"] for run in shared.log().runs(10))[ended[1]] == 1
    keys = [(r["transformation_id"], r["attempt"]) for r in shared.log().attempts([ended[1]])]
    assert len(keys) == len({*keys})


@pytest.mark.parametrize("hours", [-5, 5])
def test_clusters_with_clocks_apart(shared, hours):
    """A cluster whose clock is wrong by hours loses no lease, and the order of runs is that of their numbers."""
    shared.flag.touch()
    cluster = shared.start("one", hours=hours)
    run_id = cluster.wait_for("transform_start", "SLOW")
    with pytest.raises(RunLockedError, match=run_id):
        shared.run()
    cluster.dies()
    shared.flag.unlink()
    result = shared.run(retry)
    assert (result.retry_of, result["status"]) == (run_id, "success")
    third = shared.start("two", hours=-hours).end()
    assert third[2] == "success"
    wrong = shared.start("three", hours=hours).end()
    newest = [wrong[1], third[1], result.run_id, run_id]
    assert [run["run_id"] for run in shared.log().runs(10)] == newest


def test_an_overwrite_that_is_frozen_in_its_commit(shared):
    """A frozen run that wakes after the next run replaces nothing, also where it would have made the table."""
    *rows, late = rows_of(shared.flag)
    registry = registry_in_database("sqlite:///registry.db", folder=shared.lake.home)
    registry.upsert([*rows, {**late, "outputs": [{"table": "bronze.late"}]}])
    cluster = shared.start("one", freeze="late")
    cluster.wait_for("frozen")
    assert shared.run()["status"] == "success"
    version = shared.lake.version("bronze.late")
    os.kill(cluster.child.pid, signal.SIGCONT)
    assert cluster.end()[2] in ("cancelled", "failed")
    assert shared.lake.version("bronze.late") == version


def test_a_lease_whose_file_cannot_be_read(shared):
    """Nothing runs, and one message names the table and the setting that does without it."""
    shared.run()
    for path in shared.lake.home.glob("lake/config_driven/transformationrunlease/*.parquet"):
        path.write_bytes(b"not parquet")
    with pytest.raises(DataError, match=r'the lease of .*"shared": false') as caught:
        shared.run()
    assert len(str(caught.value).splitlines()) == 1
    assert shared.values("bronze.added") == [1]


def test_a_lease_that_is_no_lease(shared):
    """A row of the lease that names no run holds nothing."""
    shared.run()
    table = shared.lake.uri("config_driven.transformationrunlease")
    frame = DeltaTable(table).to_pandas().assign(owner="{", beat=None, unended="{", start="[")
    write_deltalake(table, frame, mode="overwrite")
    assert shared.run()["status"] == "success"


def test_a_vacuumed_run_log(shared):
    """A run goes on, and the next ones know it, if the log's tables are vacuumed and compacted meanwhile."""
    shared.flag.touch()
    cluster = shared.start("one")
    run_id = cluster.wait_for("transform_start", "SLOW")
    for name in ("transformationrunlog", "transformationrun", "transformationrunlease"):
        uri = shared.lake.uri(f"config_driven.{name}")
        if DeltaTable.is_deltatable(uri):
            DeltaTable(uri).optimize.compact()
            DeltaTable(uri).vacuum(0, dry_run=False, enforce_retention_duration=False)
            DeltaTable(uri).create_checkpoint()
            DeltaTable(uri).cleanup_metadata()
    with pytest.raises(RunLockedError, match=run_id):
        shared.run()
    shared.flag.unlink()
    assert cluster.end() == ("result", run_id, "success")
    assert shared.statuses(run_id) == dict.fromkeys(("ADD", "SLOW", "LATE"), "SUCCESS")
    assert shared.run()["status"] == "success"


def test_a_third_machine_without_state(shared):
    """`history` and `retry last` know a run that a second machine has reported dead, with its rows."""
    shared.flag.touch()
    first = shared.start("one")
    run_id = first.wait_for("transform_start", "SLOW")
    first.dies()
    second = shared.start("two", "retry")
    retried = second.wait_for("transform_start", "SLOW")
    second.dies()
    shared.flag.unlink()
    told = shared.command("history")
    assert run_id in told
    assert retried in told
    result = shared.run(retry)
    assert (result.retry_of, result["status"]) == (retried, "success")
    for table in ("bronze.added", "bronze.slow", "bronze.late"):
        assert len(shared.values(table)) == 1
    assert shared.statuses(run_id)["LATE"] == shared.statuses(retried)["LATE"] == "ABANDONED"


def test_a_lake_that_is_read_only_for_a_while(shared):
    """A run whose lake refuses writes writes nothing more without its lease, and is in the log once it can be."""
    shared.flag.touch()
    cluster = shared.start("one", refuse=str(shared.folder / "refuse"))
    run_id = cluster.wait_for("transform_start", "SLOW")
    while not DeltaTable.is_deltatable(shared.lake.uri("bronze.slow")):
        time.sleep(0.01)
    (shared.folder / "refuse").touch()
    cluster.wait_for("refused")
    shared.flag.unlink()
    cluster.wait_for("transform_failure", "LATE")
    (shared.folder / "refuse").unlink()
    last = cluster.end()
    assert last[:2] == ("result", run_id)
    result = shared.run(retry)
    assert result["status"] == "success"
    for table in ("bronze.added", "bronze.slow", "bronze.late"):
        assert len(shared.values(table)) == 1
    assert Counter(run["run_id"] for run in shared.log().runs(10))[run_id] == 1


def test_a_live_run_is_not_taken_over(shared):
    """A run that renews its lease keeps it, and the other machine is refused with its name."""
    shared.flag.touch()
    cluster = shared.start("one")
    run_id = cluster.wait_for("transform_start", "SLOW")
    with pytest.raises(RunLockedError, match=run_id):
        shared.run()
    shared.flag.unlink()
    assert cluster.end() == ("result", run_id, "success")


def test_a_lease_that_is_dropped_in_a_run(shared):
    """If the table of the lease is dropped, the run makes it again and continues."""
    shared.flag.touch()
    cluster = shared.start("one")
    run_id = cluster.wait_for("transform_start", "SLOW")
    lease = shared.lake.uri("config_driven.transformationrunlease")
    shutil.rmtree(lease)
    while not DeltaTable.is_deltatable(lease) or DeltaTable(lease).version() == 0:
        time.sleep(0.01)
    with pytest.raises(RunLockedError, match=run_id):
        shared.run()
    shared.flag.unlink()
    assert cluster.end() == ("result", run_id, "success")


def test_many_kills_of_whole_compute(shared):
    """Two clusters at a time are killed with their disks at random moments of a run or retry; then one retry ends it.

    Each append is in its table once, no row is lost, and each dead run is in the log once and was told once.
    """
    shared.flag.touch()  # until the last retry, no run can succeed
    events, cluster = [], shared.start("first")
    cluster.wait_for("run_start")
    cluster.dies()
    for number in range(KILLS):
        pair = [shared.start(f"{number}{name}", "retry") for name in "ab"]
        begun = None
        while begun is None or time.monotonic() < begun:
            for cluster in pair:
                while cluster.reader.poll(0.005):
                    try:
                        events.append(cluster.reader.recv())
                    except EOFError:
                        break
                    if events[-1][0] == "run_start":
                        begun = begun or time.monotonic() + random.uniform(0, 0.3)
                if begun is None and not any(cluster.child.is_alive() for cluster in pair):
                    begun = time.monotonic()
        for cluster in pair:
            cluster.dies()
    shared.flag.unlink()
    assert shared.run(retry)["status"] == "success"
    events += [("said", "", text) for text in shared.said]
    for table in ("bronze.added", "bronze.slow", "bronze.late"):
        assert len(shared.values(table)) == 1
    runs = Counter(run["run_id"] for run in shared.log().runs(500))
    assert set(runs.values()) == {1}
    assert {run_id for event, run_id, _ in events if event == "run_start"} <= {*runs}
    said = [text for event, _, text in events if event == "said" and "had died" in text]
    told = Counter(text.partition("run ")[2].partition(" ")[0] for text in said)
    assert set(told.values()) <= {1}
    records = shared.log().attempts([*runs])
    keys = Counter((r["run_id"], r["transformation_id"], r["attempt"]) for r in records)
    assert set(keys.values()) == {1}
    print(f"{2 * KILLS + 1} kills, {len(runs)} runs in the log, {len(told)} dead runs told")


def test_a_run_that_has_ended_on_another_machine(shared):
    """The record of a run in the log ends its lease: the next machine begins at once, and nothing had died."""
    ended = shared.start("one").end()
    assert ended[0] == "result"
    assert shared.run()["status"] == "success"
    assert not [text for text in shared.said if ended[1] in text]
    assert ended[1] in shared.command("history")
    with pytest.raises(ConfigurationError, match="is not running"):
        shared.command("cancel", ended[1])


def test_a_log_that_other_machines_cannot_read(shared):
    """If a run's log is not in the lake, its lease ends with a commit, and the run is not told as dead."""
    kept = []

    class Elsewhere(BaseLogSink):
        """A log on the disk of a machine."""

        def write(self, records):
            pass

        def write_run(self, record):
            kept.append(record)

        def runs(self, limit):
            return kept[-limit:]

    for _ in range(2):
        assert shared.run(log_sink=Elsewhere())["status"] == "success"
        assert not [text for text in shared.said if "watching" in text or "died" in text]
    lease = TableRunState(
        DeltaRowTable(shared.lake.uri("config_driven.transformationrunlease"))
    ).lease("Plant One", "qat")
    assert lease["run_id"] == ""


def test_the_cost_of_a_shared_environment(shared, monkeypatch):
    """A short run costs one commit of its own, and none where only this machine runs the environment."""
    monkeypatch.setattr(run_lease, "BEAT_SECONDS", 600)
    shared.run()
    lease = shared.lake.home / "lake" / "config_driven" / "transformationrunlease"
    before = DeltaTable(str(lease)).version()
    shared.run()
    assert DeltaTable(str(lease)).version() == before + 1
    manifest = json.loads(shared.lake.path.read_text())
    del manifest["environments"]["qat"]["shared"]
    shared.lake.path.write_text(json.dumps(manifest))
    shared.run()
    assert DeltaTable(str(lease)).version() == before + 1
