"""One run of a project and environment at a time."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import signal
import subprocess
import sys
import threading

import msgspec
import pytest
from fakes import row, statuses

from odibi_nb.core.runlog import run_lock as locks
from odibi_nb.core.runlog.lock_owner import (
    identity,
    locks_work,
    read_owner,
    this_process,
    write_owner,
)
from odibi_nb.core.runlog.run_lock import RunLock, run_lock
from odibi_nb.errors import ConfigurationError, RunLockedError


@pytest.fixture
def quick(monkeypatch):
    """Dead runs are distinguished from live ones within a third of a second."""
    monkeypatch.setattr(locks, "BEAT_SECONDS", 0.05)
    monkeypatch.setattr(locks, "MISSED_BEATS", 6)
    monkeypatch.setattr(locks, "WATCH_SECONDS", 0.01)


@pytest.fixture
def share(monkeypatch, quick):
    """A network share that does not lock files."""
    import fcntl

    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)


def owner_file(folder):
    """The file that tells who runs."""
    (path,) = (folder / "locks").glob("*.json")
    return path


@contextlib.contextmanager
def beating(lock):
    """Let *lock* beat inside the block, as a run's coordinator does; what its beats said."""
    done, said = threading.Event(), []

    def beats():
        while not done.wait(0.01):
            said.append(lock.beat())

    thread = threading.Thread(target=beats)
    thread.start()
    try:
        yield said
    finally:
        done.set()
        thread.join()


def left_by(folder, **facts):
    """Files that a run of another host left behind."""
    with run_lock(folder, "P", "qat", "gone"):
        path = owner_file(folder)
    owner = this_process("gone", locked=True)
    write_owner(path, msgspec.structs.replace(owner, host="elsewhere", **facts))
    return path


def test_a_second_run_is_told_who_runs(tmp_path):
    """While a run goes on, another one ends in one message: which run, where, since when, what to do."""
    with (
        run_lock(tmp_path, "P", "qat", "first"),
        pytest.raises(RunLockedError) as excinfo,
        run_lock(tmp_path, "P", "qat", "second"),
    ):
        pass
    owner = this_process("first", locked=True)
    text = str(excinfo.value)
    assert text.startswith(
        f"project 'P', env 'qat': run first (process {os.getpid()} on {owner.host}, "
        f"by {owner.user}, since "
    )
    assert " UTC, last sign of life " in text
    assert text.endswith(
        "wait for it, or end it: odibi cancel first; or watch it: odibi watch first; "
        "or take its place: odibi run --force (force=True)"
    )


def test_a_lock_ends_with_its_run(tmp_path):
    """After a run, however it ended, the next one may start."""
    for error in (None, KeyError, None):
        try:
            with run_lock(tmp_path, "P", "qat", "r"):
                if error:
                    raise error
        except KeyError:
            pass


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (("日本", "qat"), ("中国", "qat")),
        (("A B", "qat"), ("A-B", "qat")),
        (("P", "a-b"), ("P", "a_b")),
        (("P", "qat"), ("P", "prod")),
        (("a", "b-c"), ("a-b", "c")),
    ],
)
def test_projects_whose_names_look_alike_do_not_wait_for_each_other(tmp_path, one, two):
    """The lock is of one project and environment, however alike names are once they are plain."""
    with run_lock(tmp_path, *one, "r1"), run_lock(tmp_path, *two, "r2"):
        pass


@pytest.mark.parametrize("name", ["a/b", "..", "x" * 300, "nul\0", "O'Brien & Co"])
def test_any_name_can_be_locked(tmp_path, name):
    """A project's or environment's name does not lead the lock out of its folder."""
    with run_lock(tmp_path, name, name, "r"):
        assert {path.parent for path in tmp_path.rglob("*.lock")} == {tmp_path / "locks"}


def test_two_runs_in_two_threads(project):
    """The second of two runs at a time is refused, and the first is not disturbed."""
    begun, done, errors = threading.Event(), threading.Event(), []

    def holds():
        begun.set()
        done.wait(10)

    p = project(row("A", holds))

    def second():
        begun.wait(10)
        try:
            p.run()
        except ConfigurationError as exc:
            errors.append(exc)
        finally:
            done.set()

    thread = threading.Thread(target=second)
    thread.start()
    result = p.run()
    thread.join()
    assert result["status"] == "success"
    assert [type(e) for e in errors] == [RunLockedError]


# Taking over


HOLDER = """
import sys
from pathlib import Path
from odibi_nb.core.runlog.run_lock import run_lock

with run_lock(Path(sys.argv[1]), "P", "qat", "first"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_killed_process_leaves_a_free_lock(tmp_path):
    """After SIGKILL of its owner the lock is free at once, without any watching."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(RunLockedError, match=rf"run first \(process {holder.pid} on "):
            run_lock(tmp_path, "P", "qat", "second").__enter__()
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    said = []
    with run_lock(tmp_path, "P", "qat", "second", say=said.append) as lock:
        assert (said, lock.overrode) == ([], "")
        assert read_owner(owner_file(tmp_path)).run_id == "second"
    assert not list((tmp_path / "locks").glob("*.json"))


def test_force_takes_the_place_of_a_run_which_notices(tmp_path):
    """With force a run starts beside another one, says whose place it took, and that one learns of it, once."""
    first, second = (RunLock(tmp_path, "P", "qat", name) for name in ("first", "second"))
    first.acquire(force=False, say=print)
    assert first.beat() == ""
    second.acquire(force=True, say=print)
    assert second.overrode.startswith("run first (process ")
    assert first.beat().startswith("run second (process ")
    assert first.beat() == ""
    assert second.beat() == ""
    with pytest.raises(RunLockedError, match="run second"):
        run_lock(tmp_path, "P", "qat", "third").__enter__()
    first.release()
    assert read_owner(owner_file(tmp_path)).run_id == "second"
    second.beat()
    assert read_owner(owner_file(tmp_path)).locked
    with pytest.raises(RunLockedError, match="run second"):
        run_lock(tmp_path, "P", "qat", "third").__enter__()
    second.release()
    with run_lock(tmp_path, "P", "qat", "third") as third:
        assert third.overrode == ""


def test_a_forced_run_that_has_not_got_the_systems_lock_yet_is_not_taken_for_dead(tmp_path, quick):
    """Between the end of the overridden run and its own next beat, a forced run keeps its place."""
    first, second = (RunLock(tmp_path, "P", "qat", name) for name in ("first", "second"))
    first.acquire(force=False, say=print)
    second.acquire(force=True, say=print)
    first.release()
    third = RunLock(tmp_path, "P", "qat", "third")
    with beating(second), pytest.raises(RunLockedError, match="run second"):
        third.acquire(force=False, say=print)
    third.release()
    second.release()


@pytest.mark.parametrize("year", ["1970", "2026", "2099"])
def test_a_dead_owner_on_another_host_is_taken_over(tmp_path, quick, year):
    """A lock of another host that shows no sign of life while we watch is taken over, whatever its clock said."""
    left_by(tmp_path, since=f"{year}-01-01 00:00:00 UTC", at=f"{year}-01-01 00:00:00 UTC", beat=9)
    said = []
    with run_lock(tmp_path, "P", "qat", "second", say=said.append):
        assert read_owner(owner_file(tmp_path)).run_id == "second"
    assert len(said) == 1
    assert "run gone (process" in said[0]
    assert "on elsewhere" in said[0]


@pytest.mark.parametrize("year", ["1970", "2099"])
def test_a_living_owner_on_another_host_is_not(tmp_path, quick, year):
    """A lock of another host that is renewed while we watch stays its own, whatever its clock says."""
    path = left_by(tmp_path)
    owner = read_owner(path)

    def renew(_):
        at = f"{year}-01-01 00:00:00 UTC"
        write_owner(path, msgspec.structs.replace(owner, beat=owner.beat + 1, at=at))

    with pytest.raises(RunLockedError, match="on elsewhere"):
        run_lock(tmp_path, "P", "qat", "second", say=renew).__enter__()
    assert read_owner(path).host == "elsewhere"


def test_a_run_that_ends_while_it_is_watched_makes_room(tmp_path, quick):
    """If the owner on another host ends while we watch, we begin."""
    path = left_by(tmp_path)
    with run_lock(tmp_path, "P", "qat", "second", say=lambda _: path.unlink()) as lock:
        assert lock.overrode == ""


# Where the operating system locks no files


def test_on_a_share_without_locks_a_living_run_is_seen_by_its_beats(tmp_path, share):
    """Without working file locks, a run that renews its file keeps others out; a silent one does not."""
    first, second = (RunLock(tmp_path, "P", "qat", name) for name in ("first", "second"))
    first.acquire(force=False, say=print)
    with beating(first) as said, pytest.raises(RunLockedError, match="run first"):
        second.acquire(force=False, say=print)
    second.acquire(force=False, say=print)
    assert first.beat().startswith("run second")
    assert set(said) == {""}
    first.release()
    assert second.beat() == ""
    second.release()
    assert not list((tmp_path / "locks").glob("*.json"))


def test_of_many_that_take_over_one_gets_it(tmp_path, share):
    """Of eight runs that find a dead owner at the same time, exactly one takes its place."""
    with run_lock(tmp_path, "P", "qat", "gone"):
        content, path = owner_file(tmp_path).read_bytes(), owner_file(tmp_path)
    path.write_bytes(content)
    together, got, refused = threading.Barrier(8), [], []

    def take(name):
        lock = RunLock(tmp_path, "P", "qat", name)
        together.wait()
        try:
            lock.acquire(force=False, say=lambda _: None)
            got.append(name)
        except RunLockedError:
            refused.append(name)

    threads = [threading.Thread(target=take, args=(f"r{i}",)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(got), len(refused)) == (1, 7)
    assert read_owner(path).run_id == got[0]


def test_a_file_that_says_nothing_is_watched_like_any_other(tmp_path, share):
    """A crash while the lock is taken does not keep later runs out forever."""
    with run_lock(tmp_path, "P", "qat", "first"):
        path = owner_file(tmp_path)
    path.write_bytes(b"")
    said = []
    with run_lock(tmp_path, "P", "qat", "second", say=said.append):
        assert read_owner(path).run_id == "second"
    assert said[0].startswith("⏳ Another run holds the lock")


def test_a_project_runs_on_a_share_without_locks(project, share):
    """Runs, their journals and the recovery of dead ones work where the system locks no files."""
    p = project(row("A", lambda: None))
    dead = p.state_dir / "runs" / "20260101-000000-dead00"
    dead.mkdir(parents=True)
    (dead / "owner.lock").touch()
    facts = {"event": "run_start", "run_id": dead.name, "project": "P", "env": "qat"}
    (dead / "journal.jsonl").write_bytes(
        msgspec.json.encode(
            {**facts, "timestamp": "2026-01-01T00:00:00Z", "engine": "pandas", "layers": []}
            | {"transformations": 1, "options": "{}", "plan_hash": "", "versions": "{}"}
        )
        + b"\n"
    )
    assert p.run()["status"] == "success"
    assert p.run()["status"] == "success"
    assert [r["status"] for r in p.sink.run_records] == ["failed", "success", "success"]
    assert not list((p.state_dir / "runs").glob("*/owner.lock"))


# In a run


def test_a_run_whose_place_was_taken_ends_as_cancelled(project):
    """`force=True` ends the other run: its row is revoked and names who took its place; both say so."""
    begun, results = threading.Event(), {}

    def first_waits(context):
        if begun.is_set():
            return
        begun.set()
        while not context.should_stop():
            threading.Event().wait(0.01)
        context.write([1], "t.late")

    p = project(row("A", first_waits), row("B", lambda: None, step=1))

    def second():
        begun.wait(10)
        results["second"] = p.run(force=True)

    thread = threading.Thread(target=second)
    thread.start()
    first = p.run(max_workers=1)
    thread.join()
    taken = results["second"]
    assert taken["status"] == "success"
    assert taken.warnings[0].startswith(f"replaced run {first.run_id} (process ")
    assert first["status"] == "cancelled"
    assert statuses(first)["A"] == "CANCELLED"
    assert first.transformations["A"].reason.startswith(f"run {taken.run_id} (process")
    assert first.transformations["A"].reason.endswith("has replaced this run")
    assert "t.late" not in p.tables.tables
    assert p.run()["status"] == "success"


# What is decided under the lock


def test_of_two_retries_at_once_one_appends(project):
    """Two retries of one run that begin together append once: the chain is read under the lock."""
    fail, tries = [True], []

    def appends(context):
        if fail[0]:
            raise KeyError("first")
        return [context.run_id]

    p = project(row("A", appends, outputs=[{"table": "t.all", "mode": "append"}]))
    p.run()
    fail[0] = False
    together = threading.Barrier(2)

    def retry():
        orchestrator = p.orchestrator()
        together.wait()
        try:
            tries.append(len(orchestrator.retry("last").transformations))
        except RunLockedError:
            tries.append("refused")

    threads = [threading.Thread(target=retry) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(str, tries)) in (["0", "1"], ["1", "refused"])
    assert len(p.tables.tables["t.all"]) == 1


@pytest.mark.parametrize("act", ["run", "retry"])
def test_plans_and_chains_are_made_under_the_lock(project, act):
    """While a run goes on, another one reads neither the registry nor the run log to decide anything."""
    p = project(row("A", lambda: None))
    p.run()
    orchestrator = p.orchestrator()
    read = []
    orchestrator._planner.plan = lambda *_: read.append("plan")
    orchestrator._planner.chain = lambda *_, **__: read.append("chain")
    orchestrator._recovery = lambda: read.append("recover")
    with (
        run_lock(p.state_dir, "P", "qat", "other"),
        pytest.raises(RunLockedError, match="run other"),
    ):
        getattr(orchestrator, act)()
    assert read == []


def test_force_ends_no_run_for_a_plan_with_problems(project):
    """With force, a run whose plan has problems replaces no other run."""
    p = project(row("A", lambda: None), row("B", lambda: None, module="nowhere"))
    holder = RunLock(p.state_dir, "P", "qat", "holder")
    holder.acquire(force=False, say=print)
    with pytest.raises(ConfigurationError, match="nowhere"):
        p.run(force=True)
    assert holder.beat() == ""
    holder.release()


def test_a_run_that_plans_for_long_keeps_its_lock(project, share):
    """A run renews its file while it plans or waits for a listener, so no other run thinks it dead."""
    p = project(row("A", lambda: None))
    orchestrator, refused = p.orchestrator(), []
    plan = orchestrator._planner.plan

    def plans(*arguments):
        with pytest.raises(RunLockedError):
            run_lock(p.state_dir, "P", "qat", "other").__enter__()
        refused.append(True)
        return plan(*arguments)

    orchestrator._planner.plan = plans
    assert orchestrator.run()["status"] == "success"
    assert refused == [True]


# Interrupts


@contextlib.contextmanager
def interrupted_at(number, files):
    """Send SIGINT at the *number*-th line that runs in one of *files*; how many lines ran."""
    count = [0]

    def trace(frame, event, _argument):
        if not frame.f_code.co_filename.endswith(files):
            return None
        if event == "line":
            count[0] += 1
            if count[0] == number:
                signal.raise_signal(signal.SIGINT)
        return trace

    before = sys.gettrace()
    gc.collect()
    gc.freeze()  # the next of these blocks need not look through all that other tests left
    gc.disable()  # what ends garbage of other tests is none of these lines
    sys.settrace(trace)
    try:
        yield count
    finally:
        sys.settrace(before)
        gc.enable()


@pytest.fixture
def _python_handles_sigint():
    """Python's own handler, whatever a Spark session of this process has set before."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_python_handles_sigint")
def test_an_interrupt_anywhere_leaves_the_lock_free(project):
    """■ at any line of taking and releasing the lock and the journal: the next run of this process runs."""
    files = (
        "core/runlog/run_lock.py",
        "core/runlog/journal.py",
        "core/process/interrupts.py",
        "core/runlog/lock_owner.py",
        "contextlib.py",
    )
    p = project(row("A", lambda: None))
    with interrupted_at(0, files) as count:
        p.run()
    interrupted = 0
    for number in range(1, count[0] + 1, count[0] // 16):
        try:
            with interrupted_at(number, files):
                p.run()
        except KeyboardInterrupt:
            interrupted += 1
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        assert not list((p.state_dir / "locks").glob("*.json")), number
        with run_lock(p.state_dir, "P", "qat", f"next-{number}"):
            pass
    assert interrupted
    assert p.run()["status"] == "success"
    from odibi_nb.core.runlog.journal import open_runs

    assert open_runs(p.state_dir) == []


def test_an_interrupt_in_planning_ends_it_at_once(project):
    """Planning is interrupted where it is; what then lets go of the lock is not."""
    p = project(row("A", lambda: None))
    orchestrator = p.orchestrator()

    def plans(*_):
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("went on")

    orchestrator._planner.plan = plans
    with pytest.raises(KeyboardInterrupt):
        orchestrator.run()
    assert p.run()["status"] == "success"


def test_an_interrupt_ends_the_watching_of_a_lock(tmp_path):
    """While a run watches another host's lock for a minute, one interrupt ends that."""
    path = left_by(tmp_path)

    def interrupt(_):
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        locks.exclusively(tmp_path, "P", "qat", "second", lambda *_: None, say=interrupt)
    assert read_owner(path).host == "elsewhere"
    path.unlink()
    with run_lock(tmp_path, "P", "qat", "third"):
        pass


def test_a_claim_of_a_killed_run_keeps_nobody_out(tmp_path, quick):
    """A run that was killed while it took another's place is as dead as that one."""
    path = left_by(tmp_path)
    claim = path.with_suffix(f".{locks._digest(path.read_bytes())}.claim")
    killed = msgspec.structs.replace(locks.current_process(), started="1")
    claim.write_bytes(msgspec.json.encode(killed))
    with run_lock(tmp_path, "P", "qat", "second"):
        assert read_owner(path).run_id == "second"
    assert not claim.exists()


def test_a_lock_that_this_process_has_forgotten_is_free(tmp_path):
    """An owner's file of this process, for a run that it does not run any more, refuses nothing."""
    with run_lock(tmp_path, "P", "qat", "gone"):
        content, path = owner_file(tmp_path).read_bytes(), owner_file(tmp_path)
    path.write_bytes(content)
    said = []
    with run_lock(tmp_path, "P", "qat", "next", say=said.append):
        assert said == []


# Taking what others left


def forgotten(folder):
    """The owner's file of a run of this process that it does not run any more."""
    with run_lock(folder, "P", "qat", "gone"):
        content, path = owner_file(folder).read_bytes(), owner_file(folder)
    path.write_bytes(content)
    return path


def claim_of(path):
    return path.with_suffix(f".{locks._digest(path.read_bytes())}.claim")


def test_force_replaces_no_run_that_has_ended(tmp_path):
    """With force, a run that finds the file of a dead one has replaced nothing."""
    forgotten(tmp_path)
    with run_lock(tmp_path, "P", "qat", "second", force=True) as lock:
        assert lock.overrode == ""


def test_force_replaces_a_run_that_cannot_be_read(tmp_path):
    """With force, an owner's file without a readable owner counts as another run, which gets no notice."""
    path = forgotten(tmp_path)
    path.write_bytes(b"torn {")
    with run_lock(tmp_path, "P", "qat", "second", force=True) as lock:
        assert lock.overrode == "another run"
    assert not (tmp_path / "runs").exists()


def test_a_run_that_others_are_taking_over_is_left_to_them(tmp_path):
    """Of two runs that find a dead owner, the one without the claim is refused, readable or not."""
    path = forgotten(tmp_path)
    for content in (msgspec.json.encode(locks.current_process()), b"torn {"):
        claim_of(path).write_bytes(content)
        with pytest.raises(RunLockedError, match="run gone"):
            run_lock(tmp_path, "P", "qat", "second").__enter__()
        assert claim_of(path).read_bytes() == content


def test_the_claim_of_a_killed_run_is_replaced_at_once(tmp_path):
    """A run that was killed while it took over a dead one keeps no other run out."""
    path = forgotten(tmp_path)
    claim = claim_of(path)
    killed = msgspec.structs.replace(locks.current_process(), started="1")
    claim.write_bytes(msgspec.json.encode(killed))
    with run_lock(tmp_path, "P", "qat", "second"):
        assert read_owner(path).run_id == "second"
    assert not claim.exists()


def test_a_full_disk_leaves_the_file_of_the_dead_run(tmp_path, monkeypatch):
    """If the owner's file cannot be written, the claim is given back, and the next run takes over."""
    path = forgotten(tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as disk, pytest.raises(OSError, match="No space"):
        disk.setattr(type(path), "write_bytes", full)
        run_lock(tmp_path, "P", "qat", "second").__enter__()
    assert [*path.parent.glob("*.claim")] == []
    assert read_owner(path).run_id == "gone"
    with run_lock(tmp_path, "P", "qat", "third"):
        pass


def test_a_change_of_an_unreadable_file_is_a_sign_of_life(tmp_path):
    """A run that renews a file which this version cannot read keeps its place."""
    path = forgotten(tmp_path)
    path.write_bytes(b"of another version: 1")

    def renew(_seconds):
        path.write_bytes(b"of another version: 2")

    with pytest.raises(RunLockedError, match="another run is in progress; wait for it, or end it"):
        run_lock(tmp_path, "P", "qat", "second", wait=renew).__enter__()


def test_a_process_without_a_user_is_somebodys(monkeypatch):
    """If the system has no name for the user, as in some containers, the owner is unknown."""

    def nameless():
        raise KeyError("uid not found")

    identity.cache_clear()
    try:
        with monkeypatch.context() as container:
            container.setattr("getpass.getuser", nameless)
            assert this_process("r", locked=False).user == "unknown"
    finally:
        identity.cache_clear()


def test_windows_locks_files_everywhere(tmp_path, monkeypatch):
    """On Windows no file need be locked to know that files can be."""
    with monkeypatch.context() as windows:
        windows.setattr("sys.platform", "win32")
        assert locks_work(tmp_path / "missing")
    assert not locks_work(tmp_path / "missing")
