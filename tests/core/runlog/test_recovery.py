"""Runs that died: how they are found, completed and ordered, whatever is left of them."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import threading

import msgspec
import pytest
from fakes import MemorySink, row, statuses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from thorough import THOROUGH, examples

from odibi_nb.core.process.process_identity import current_process, is_running
from odibi_nb.core.runlog import history
from odibi_nb.core.runlog.attempt_logs import known_ids, last_failed, newest_attempts
from odibi_nb.core.runlog.journal import (
    Journal,
    Mark,
    live_runs,
    open_runs,
    prune,
    read_mark,
    request_cancel,
    run_folders,
    take_cancel_requests,
)
from odibi_nb.core.runlog.recovery import (
    dead_runs,
    journaled_run,
    newest_dead_run,
    recover,
    unfinished_atomic_runs,
)
from odibi_nb.core.running import run as executions
from odibi_nb.core.running.hooks import HookManager
from odibi_nb.core.text.clock import utc_now
from odibi_nb.notebook.local_names import LocalNames

DEAD = "20260101-000000-dead00"
START = {
    "event": "run_start",
    "run_id": DEAD,
    "project": "P",
    "env": "qat",
    "engine": "pandas",
    "timestamp": "2026-01-01T00:00:00Z",
    "layers": ["Silver_1"],
    "transformations": 2,
    "options": "{}",
    "plan_hash": "",
    "versions": "{}",
}
PLANNED = {"event": "planned", "rows": [{"transformation_id": "A"}, {"transformation_id": "B"}]}
BEGUN = {**START, "event": "transform_start", "transformation_id": "A", "attempt": 1}
ENDED = {
    **BEGUN,
    "event": "transform_success",
    "record": {
        "transformation_id": "A",
        "project": "P",
        "env": "qat",
        "run_id": DEAD,
        "attempt": 1,
        "status": "SUCCESS",
        "start_time": "2026-01-01T00:00:00Z",
        "end_time": "2026-01-01T00:00:01Z",
    },
}
LINES = [START, PLANNED, BEGUN, ENDED]


def left(project, content, *, mark=None, name=DEAD):
    """Leave the folder of a run that died, with *content* as its journal; a callable makes it."""
    folder = project.state_dir / "runs" / name
    folder.mkdir(parents=True)
    if callable(content):
        content(folder / "journal.jsonl")
    elif content is not None:
        (folder / "journal.jsonl").write_bytes(content)
    if mark is None:
        (folder / "owner.lock").touch()
    else:
        (folder / "incomplete").write_bytes(mark)
    return folder


def journal_of(*lines):
    return b"".join(msgspec.json.encode(line) + b"\n" for line in lines)


def without(line, *names):
    return {name: value for name, value in line.items() if name not in names}


READABLE = {
    "another version's fields": journal_of(
        *({**line, "new_field": {"a": 1}, "schema": 9} for line in LINES)
    ),
    "only what says whose run it is": journal_of(
        {"event": "run_start", "project": "P", "env": "qat"}, without(ENDED, "timestamp")
    ),
    "a torn end": journal_of(*LINES) + b'{"event": "transform_st',
    "a torn beginning": journal_of(*LINES)[40:],
    "binary in between": journal_of(START) + bytes(range(256)) + b"\n" + journal_of(ENDED),
    "no Unicode": journal_of(START) + b'{"event":"output","line":"\xff"}\n' + journal_of(ENDED),
    "other types": journal_of(
        {**START, "timestamp": 7, "layers": "x", "transformations": "two", "options": [1]},
        {"event": "planned", "rows": "none"},
        {"event": "planned", "rows": [1, {"transformation_id": 7}, {"transformation_id": "B"}]},
        {"event": "flushed", "sink": 5, "records": "many"},
        {"event": "flushed"},
        {"event": "transform_start"},
        {"event": "transform_start", "transformation_id": ["A"]},
        {"event": "transform_success", "record": {"transformation_id": ["A"], "status": 1}},
        {"event": "run_record", "run_record": "ended"},
        ENDED,
    ),
    "times of no calendar": journal_of(
        {**START, "timestamp": "yesterday"},
        {**ENDED, "record": {**ENDED["record"], "start_time": "25:61", "end_time": 10**30}},
    ),
    "numbers beyond 64 bits": journal_of(START).replace(
        b'"transformations":2', b'"transformations":' + b"9" * 40
    )
    + journal_of({**ENDED, "attempt": -1}),
    "deep nesting": journal_of(START) + b"[" * 200_000 + b"\n" + journal_of(ENDED),
    "a huge line": journal_of(START)
    + b'{"event":"output","line":"'
    + b"x" * 3_000_000
    + b'"}\n'
    + journal_of(ENDED),
    "no line's end": journal_of(START, ENDED).rstrip(b"\n"),
    "lines that are no objects": b"null\n[]\n7\n\n" + journal_of(START, ENDED),
}
UNREADABLE = {
    "no journal": None,
    "an empty journal": b"",
    "zeros, as after a power failure": b"\0" * 5000,
    "binary": bytes(range(256)) * 40,
    "a torn first line": journal_of(START)[:30],
    "fields missing": journal_of({"event": "run_start"}, {"event": "transform_start"}),
    "a folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a broken link": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path),
}


@pytest.mark.parametrize("shape", READABLE)
def test_whatever_can_be_read_of_a_dead_run_is_logged(project, shape, capsys):
    """A journal of another version, or damaged, is completed with what can be read; the next run runs."""
    p = project(row("A", lambda: None), row("B", lambda: None))
    left(p, READABLE[shape])
    assert p.run(log_level="WARNING")["status"] == "success"
    found = {r["transformation_id"]: r["status"] for r in p.sink.records if r["run_id"] == DEAD}
    assert found["A"] == "SUCCESS"
    assert [r["status"] for r in p.sink.run_records if r["run_id"] == DEAD] == ["failed"]
    assert capsys.readouterr().out.count(DEAD) == 1
    assert p.run(log_level="WARNING")["status"] == "success"
    assert DEAD not in capsys.readouterr().out
    assert [r["run_id"] for r in p.sink.run_records].count(DEAD) == 1


MARKS = [None, b"", b"\xff\0", b'{"number": "x"}', b'{"left": true}']
UNREADABLE_AND_MARKED = [
    (shape, mark)
    for number, shape in enumerate(UNREADABLE)
    for turn, mark in enumerate(MARKS)
    if THOROUGH or (number + turn) % len(MARKS) < 2  # each shape twice, and each mark four times
]


@pytest.mark.parametrize(("shape", "mark"), UNREADABLE_AND_MARKED)
def test_a_run_of_which_nothing_can_be_read_is_set_aside(project, shape, mark, capsys):
    """A run whose journal says nothing stops no other run: it is named once, and kept elsewhere."""
    p = project(row("A", lambda: None))
    left(p, UNREADABLE[shape], mark=mark)
    assert p.run(log_level="WARNING")["status"] == "success"
    said = capsys.readouterr().out
    assert f"run {DEAD} had died, and its log cannot be completed" in said
    assert (p.state_dir / "set_aside" / DEAD).is_dir()
    assert p.run(log_level="WARNING")["status"] == "success"
    assert DEAD not in capsys.readouterr().out


def test_unreadable_lines_are_counted(project, capsys):
    """Recovery reports the number of unreadable lines of a journal."""
    p = project(row("A", lambda: None))
    left(p, journal_of(START) + b"{\n\xff\n" + journal_of(ENDED))
    p.run(log_level="WARNING")
    assert "2 lines of its journal could not be read" in capsys.readouterr().out


def test_a_record_that_cannot_be_read_costs_no_other(project):
    """After a lost line, recovery asks the sink for its records, because counts are unreliable."""
    other = {**ENDED, "transformation_id": "B"}
    other["record"] = {**ENDED["record"], "transformation_id": "B"}
    p = project(row("A", lambda: None), row("B", lambda: None))
    flushed = {"event": "flushed", "sink": "memory", "records": 1}
    left(p, journal_of(START) + b'{"event": torn\n' + journal_of(flushed, other))
    p.run()
    found = {r["transformation_id"]: r["status"] for r in p.sink.records if r["run_id"] == DEAD}
    assert found["B"] == "SUCCESS"


@settings(max_examples=examples(15), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_journal_never_raises(data, tmp_path_factory):
    """Runs, logs, completion and cancel skip any unreadable values and bytes of a journal."""
    from fakes import FakeProject

    values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
        ),
        max_leaves=4,
    )
    # With another name in these the run is another project's, whose next run completes it.
    named = values.filter(lambda value: not isinstance(value, str))
    lines = []
    for line in LINES:
        changed = {
            n: data.draw(named if n in {"project", "env"} else values)
            if data.draw(st.integers(0, 6)) == 0
            else v
            for n, v in line.items()
        }
        lines.append(
            json.dumps(changed).encode()[: data.draw(st.sampled_from([None, 40, -1]))] + b"\n"
        )
    p = FakeProject(tmp_path_factory.mktemp("damaged"), [row("A", lambda: None)])
    left(p, b"".join(lines) + data.draw(st.binary(max_size=20)))
    place = (p.state_dir, "P", "qat")
    newest_attempts(*place, "A")
    known_ids(*place)
    last_failed(*place)
    live_runs(p.state_dir)
    names, manifest = LocalNames(), p.orchestrator().manifest
    names.transformations([manifest], "qat")
    names.runs([manifest], "qat", unfinished=True)
    assert p.run()["status"] == "success"
    assert open_runs(p.state_dir) == []


PLACES = {
    "binary": lambda path: path.write_bytes(b"\xff\0\x80"),
    "empty": lambda path: path.write_bytes(b""),
    "wrong types": lambda path: path.write_text('{"pid": "one", "run_id": 7}'),
    "a list": lambda path: path.write_text("[" * 100_000),
    "a folder": lambda path: path.mkdir(),
    "a full folder": lambda path: (path / "x").mkdir(parents=True),
    "a pipe": os.mkfifo,
    "a broken link": lambda path: path.symlink_to("nowhere"),
}


@pytest.mark.parametrize("shape", PLACES)
@pytest.mark.parametrize("suffix", [".json", ".lock"])
def test_whatever_has_the_place_of_a_lock(project, shape, suffix, monkeypatch):
    """A lock or owner's file that is damaged, or no file, stops no run."""
    from odibi_nb.core.runlog import run_lock as locks

    monkeypatch.setattr(locks, "BEAT_SECONDS", 0.02)
    monkeypatch.setattr(locks, "WATCH_SECONDS", 0.01)
    p = project(row("A", lambda: None))
    with locks.run_lock(p.state_dir, "P", "qat", "r"):
        (path,) = (p.state_dir / "locks").glob("*.lock")
    PLACES[shape](path.with_suffix(suffix))
    assert p.run()["status"] == "success"
    assert p.run()["status"] == "success"


@pytest.mark.parametrize("folder", ["runs", "locks"])
def test_a_file_in_the_place_of_a_folder_is_moved_away(project, folder):
    """If a file has the place of a state folder, the run moves it away and runs."""
    p = project(row("A", lambda: None))
    p.state_dir.mkdir()
    (p.state_dir / folder).write_text("mine")
    assert p.run()["status"] == "success"
    assert (p.state_dir / "set_aside" / folder).read_text() == "mine"


@pytest.mark.parametrize("name", ["cancel", "cancel.1", "overridden"])
@pytest.mark.parametrize("shape", ["binary", "a folder", "a pipe"])
def test_whatever_is_in_the_folder_of_a_run_that_goes_on(project, name, shape):
    """Requests and notices that are damaged, or no files, do not end a run with a traceback."""
    p = project(row("A", lambda: None), row("B", lambda: None))

    def spoil(payload):
        PLACES[shape](p.state_dir / "runs" / payload["run_id"] / name)

    hooks = HookManager()
    hooks.register("run_start", spoil)
    assert p.run(hooks=hooks)["status"] in ("success", "cancelled")
    assert p.run()["status"] == "success"


def test_no_request_is_lost_between_its_writing_and_its_reading(tmp_path):
    """Requests that are written while others are read are all read, once."""
    folder = tmp_path / "runs" / "r"
    folder.mkdir(parents=True)
    writers = [
        threading.Thread(target=lambda i=i: [request_cancel(folder, f"{i}-{n}") for n in range(50)])
        for i in range(4)
    ]
    taken = []
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        taken += take_cancel_requests(folder)
    taken += take_cancel_requests(folder)
    assert sorted(taken) == sorted(f"{i}-{n}" for i in range(4) for n in range(50))


# Who lives

KILLED = """
import os, sys, time
sys.path[:0] = {path!r}
from pathlib import Path
from fakes import FakeProject, row

def dies():
    if {fork}:
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
    os.write(1, b"running" + bytes([10]))  # past what captures a row's output
    time.sleep(60)

rows = [
    row("A", dies, outputs=[{{"table": "t.A"}}]),
    row("B", lambda: None, inputs=["t.A"]),
]
FakeProject(Path(sys.argv[1]), rows).run()
"""


@pytest.mark.parametrize("fork", [False, True])
def test_after_sigkill_and_a_cancel_the_run_is_still_completed(project, fork, tmp_path):
    """A killed run is found however often others looked for it, and though a child of it lives."""
    p = project(row("A", lambda: None), row("B", lambda: None))
    code = KILLED.format(path=[*sys.path], fork=fork)
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as child:
        assert child.stdout.readline() == "running\n"
        (killed,) = live_runs(p.state_dir)
        os.kill(child.pid, signal.SIGKILL)
        try:
            child.wait()
            for _ in range(3):  # as `odibi cancel` looks
                assert live_runs(p.state_dir) == []
            assert open_runs(p.state_dir) == [killed]
            result = p.run()
        finally:
            if fork:
                os.killpg(child.pid, signal.SIGKILL)
    assert result["status"] == "success"
    found = {
        r["transformation_id"]: r["status"] for r in p.sink.records if r["run_id"] == killed.name
    }
    assert found == {"A": "ABANDONED", "B": "ABANDONED"}
    assert [r["run_id"] for r in p.sink.run_records] == [killed.name, result.run_id]


def test_a_child_that_ends_does_not_end_its_parents_run(project):
    """A child that a row forks, and that ends as processes do, leaves the run its lock and journal."""
    refused = []

    def forks():
        child = os.fork()
        if child == 0:
            import gc

            held.release()
            gc.collect()
            os._exit(0)
        os.waitpid(child, 0)
        assert [f.name for f in live_runs(p.state_dir)] == [f.name for f in open_runs(p.state_dir)]
        from odibi_nb.core.runlog.run_lock import RunLock
        from odibi_nb.errors import RunLockedError

        try:
            RunLock(p.state_dir, "P", "qat", "other").acquire(force=False, say=print)
        except RunLockedError:
            refused.append(True)

    held = None

    class View:
        def on_plan(self, plan):
            nonlocal held
            import inspect

            frames = (f.frame.f_locals for f in inspect.stack())
            held = next(f["lock"] for f in frames if "lock" in f and hasattr(f["lock"], "beat"))

        def on_event(self, event):
            pass

        on_output = on_message = lambda self, *_: None

    p = project(row("A", forks))
    assert statuses(p.run(views=[View()])) == {"A": "SUCCESS"}
    assert refused == [True]


def test_a_process_is_known_by_more_than_its_number():
    """A process that has ended is distinguished from a new one with its number; another host's is unknown."""
    me = current_process()
    assert is_running(me)
    assert is_running(msgspec.structs.replace(me, started="1")) is False
    assert is_running(msgspec.structs.replace(me, pid=2**22 + 1)) is False
    assert is_running(msgspec.structs.replace(me, host="elsewhere")) is None
    assert is_running(msgspec.structs.replace(me, space="")) is None


def test_a_zombie_has_ended():
    """A killed process whose parent has not collected it counts as dead."""
    with subprocess.Popen([sys.executable, "-c", "print(1)"], stdout=subprocess.PIPE) as child:
        from odibi_nb.core.process.process_identity import _state_and_start

        _, started = _state_and_start(child.pid)
        process = msgspec.structs.replace(current_process(), pid=child.pid, started=started)
        assert child.stdout.read() == b"1\n"
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert is_running(process) is False


# Clocks


class Clock:
    """A clock that is wrong by `ahead`."""

    def __init__(self):
        self.ahead = dt.timedelta()

    def __call__(self):
        return dt.datetime.now(dt.timezone.utc) + self.ahead


@pytest.fixture
def clock(monkeypatch):
    clock, real = Clock(), utc_now
    for name, module in list(sys.modules.items()):
        if name.startswith("odibi_nb.") and getattr(module, "utc_now", None) is real:
            monkeypatch.setattr(module, "utc_now", clock)
    return clock


@pytest.mark.parametrize("years", [30, -30])
def test_a_clock_that_was_wrong_once_orders_no_runs(project, clock, years):
    """After a run under a wrong clock, the last run is the one that began last, here and in the log."""
    fail = [True]

    def fails_first():
        if fail[0]:
            raise KeyError("first")

    p = project(row("A", lambda: None), row("B", fails_first))
    before = p.run()
    clock.ahead = dt.timedelta(days=365 * years)
    wrong = p.run()
    clock.ahead = dt.timedelta()
    assert [f.name for f in run_folders(p.state_dir)] == [before.run_id, wrong.run_id]
    retried = p.orchestrator().retry("last")
    assert retried.retry_of == wrong.run_id
    fail[0] = False
    last = p.run()
    p.sink.run_records.sort(key=lambda run: run["start_time"])  # as sinks do that know no numbers
    runs = history.past_runs([p.sink], 10, "P", "qat")
    assert [r["run_id"] for r in runs] == [last.run_id, retried.run_id, wrong.run_id, before.run_id]
    nothing = p.orchestrator().retry("last")
    assert nothing.retry_of == last.run_id
    assert "have succeeded" in nothing.warnings[-1]
    prune(p.state_dir, keep=1)
    assert [f.name for f in run_folders(p.state_dir)] == [last.run_id]


def test_runs_of_older_versions_are_placed_among_the_others(clock):
    """Records without a number are placed by their time; those of the future come last."""
    now = clock()

    def run(name, hours, number=None):
        return {"run_id": name, "start_time": now + dt.timedelta(hours=hours), "run_number": number}

    runs = [
        run("old", -9),
        run("first", -8, 1),
        run("between", -7),
        run("wrong", 999, 2),
        run("second", -6, 3),
        run("newest", -1),
        run("of the future", 99),
        {"run_id": "timeless", "start_time": None},
    ]
    names = [r["run_id"] for r in history.newest_first(runs)]
    assert names == [
        "newest",
        "second",
        "wrong",
        "between",
        "first",
        "old",
        "timeless",
        "of the future",
    ]


def test_a_clock_that_jumps_in_a_run_changes_no_duration(project, clock):
    """A run lasts as long as it lasts, whatever the clock does meanwhile."""

    def jump():
        clock.ahead = dt.timedelta(days=-1)

    p = project(row("A", jump))
    result = p.run()
    (record,) = p.sink.run_records
    assert 0 <= record["duration_seconds"] < 60
    assert 0 <= result.duration_seconds < 60


def test_a_run_with_the_numbers_of_the_log_only(project):
    """A run on a new machine goes on from the numbers of the log."""
    p = project(row("A", lambda: None))
    p.run()
    import shutil

    shutil.rmtree(p.state_dir)
    p.run()
    assert [r["run_number"] for r in p.sink.run_records] == [1, 2]


# One run at a time


ATOMIC = {**START, "options": '{"atomic": true}'}
RUN_RECORD = {"event": "run_record", "run_record": {"run_id": DEAD, "status": "success"}}


class Down(MemorySink):
    """A sink that can be written and not read."""

    def has_run(self, run_id):
        raise OSError("the log cannot be read")


def recovered(project, *sinks, of="P", notes=None):
    return recover(project.state_dir, of, "qat", sinks, notes)


def test_a_run_of_another_project_is_left_to_its_next_run(project):
    """Recovery completes the runs of its own project and environment, whether their journals can be read or not."""
    p = project()
    folders = [
        left(p, journal_of(*LINES)),
        left(p, b"", mark=msgspec.json.encode(Mark(project="P", env="qat")), name="empty"),
    ]
    assert recovered(p, p.sink, of="Q") == []
    assert dead_runs(p.state_dir, "Q", "qat") == []
    assert sorted(open_runs(p.state_dir)) == folders
    assert {run.run_id for run in recovered(p, p.sink)} == {DEAD, "empty"}
    assert open_runs(p.state_dir) == []


def test_a_sink_that_does_not_take_the_log_gets_it_later(project):
    """A run stays open until each sink has its log: the next recovery writes what is missing."""
    p = project()
    left(p, journal_of(*LINES))
    down = MemorySink(failures=1)
    (run,) = recovered(p, p.sink, down)
    assert run.text().endswith("1 ended, 1 ABANDONED: B; memory: OSError: the sink is down")
    assert len(open_runs(p.state_dir)) == 1
    (run,) = recovered(p, p.sink, down)
    assert run.problems == ()
    assert open_runs(p.state_dir) == []
    assert [len(sink.run_records) for sink in (p.sink, down)] == [1, 1]
    assert [len(sink.records) for sink in (p.sink, down)] == [2, 2]


def test_a_sink_that_cannot_be_read_is_named(project):
    """If a sink cannot tell whether it has a run, the run stays open, and the reason is shown."""
    p = project()
    left(p, journal_of(*LINES))
    (run,) = recovered(p, Down())
    assert run.problems == ("memory: OSError: the log cannot be read",)
    assert len(open_runs(p.state_dir)) == 1


def test_a_run_that_died_after_its_end_is_logged_once(project):
    """A run whose process died after it had ended keeps its own record, and is not written twice."""
    p = project()
    left(p, journal_of(*LINES, RUN_RECORD))
    p.sink.write_run({"run_id": DEAD})
    (run,) = recovered(p, p.sink, notes={DEAD: "a note"})
    assert (run.finished, run.abandoned, run.problems) == (1, (), ())
    assert p.sink.run_records == [{"run_id": DEAD}]


def test_the_log_of_a_run_that_another_machine_completed_is_complete(project):
    """A run whose log another machine has completed is marked, and not reported."""
    p = project()
    left(p, journal_of(*LINES))
    p.sink.write_run({"run_id": DEAD})
    assert recovered(p, p.sink) == []
    assert open_runs(p.state_dir) == []


def test_only_atomic_runs_that_did_not_end_are_taken_back(project):
    """Writes are taken back for an atomic run that died, and not for one that had ended, or is not atomic."""
    p = project()
    left(p, journal_of(ATOMIC, PLANNED, BEGUN), name="20260101-000000-died00")
    left(p, journal_of(ATOMIC, RUN_RECORD), name="20260102-000000-ended0")
    left(p, journal_of({**ATOMIC, "options": "torn {"}), name="20260103-000000-damage")
    left(p, journal_of({**ATOMIC, "options": "[]"}), name="20260104-000000-usual0")
    found = unfinished_atomic_runs(p.state_dir, "P", "qat")
    assert [run["run_id"] for run, _ in found] == ["20260101-000000-died00"]
    assert [record["status"] for record in found[0][1]] == ["ABANDONED", "ABANDONED"]
    assert unfinished_atomic_runs(p.state_dir, "Q", "qat") == []


def test_the_mark_names_the_project_of_a_journal_that_lost_its_first_line(project):
    """A run is completed although no line names its project, if its mark does; its time is its folder's."""
    p = project()
    lines = journal_of({"event": "output", "transformation_id": "A", "line": "x"})
    mark = msgspec.json.encode(Mark(number=4, project="P", env="qat"))
    left(p, lines, mark=mark, name="mine")
    run, _, read, unreadable = journaled_run(p.state_dir / "runs" / "mine")
    assert (run["project"], run["run_number"], len(read), unreadable) == ("P", 4, 1, 0)
    assert newest_dead_run(p.state_dir, "P", "qat")[0]["run_id"] == "mine"
    assert newest_dead_run(p.state_dir, "Q", "qat") is None
    (result,) = recovered(p, p.sink)
    assert result.run_id == "mine"
    assert p.sink.run_records[0]["start_time"] is not None


def test_a_journal_that_names_no_project_has_no_records(project):
    """Without a project, a run has lines and no records."""
    folder = left(project(), journal_of({"event": "output", "line": "x"}))
    assert journaled_run(folder)[0] == {}
    assert journaled_run(folder)[1] == []


# The folders of a run


@pytest.mark.parametrize("what", ["removed", "renamed", "state removed", "made again"])
@pytest.mark.parametrize("last", [False, True])
def test_a_run_whose_folder_is_gone_does_not_end_green(tmp_path, what, last):
    """When the project's or state's folder is removed or renamed in a run, the run fails and says so."""
    import shutil

    from fakes import FakeProject

    folder, calls = tmp_path / "project", []

    def moves(context):
        if what == "renamed":
            folder.rename(tmp_path / "elsewhere")
        else:
            shutil.rmtree(folder if what != "state removed" else folder / ".odibi")
        if what == "made again":  # as a write of a table does
            (folder / "lake").mkdir(parents=True)
        while not last and not context.cancelled:
            threading.Event().wait(0.01)

    p = FakeProject(folder, [row("A", moves), row("B", lambda: calls.append(1), layer="Gold_1")])
    result = p.run(max_workers=1)
    assert result["status"] == "failed"
    assert "was removed or renamed during the run" in result.warnings[-1]
    assert last or calls == []


def test_journals_are_marked_until_they_are_complete(tmp_path):
    """A run's mark says which run it is and whose; it becomes another when the log is complete."""
    journal = Journal(tmp_path / "runs" / "r", number=7, project="P", env="qat")
    assert live_runs(tmp_path) == open_runs(tmp_path) == [journal.folder]
    assert read_mark(journal.folder).process == current_process()
    journal.close(complete=False)
    assert (live_runs(tmp_path), open_runs(tmp_path)) == ([], [journal.folder])
    again = Journal(tmp_path / "runs" / "r", number=7)
    again.close(complete=True)
    again.close(complete=False)
    assert open_runs(tmp_path) == []
    assert read_mark(journal.folder).number == 7
    assert sorted(path.name for path in journal.folder.iterdir()) == ["complete", "journal.jsonl"]
    assert executions.journals.last_number(tmp_path) == 7
