"""Processes that a row starts: they end when they are told to, and write nothing twice."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import sys
import threading
import types
from concurrent.futures import ProcessPoolExecutor

import pytest
from fakes import row, statuses
from lazily import duckdb
from thorough import examples

from odibi_nb.core.process.forks import Children
from odibi_nb.core.process.late_imports import import_late
from odibi_nb.core.running.capture import CapturedLog, captured, routed_output

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing can be forked here"),
    pytest.mark.filterwarnings("ignore:This process:DeprecationWarning"),
]


# Python 3.12's tracker of semaphores reports a collection of garbage in the middle of its own work.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_pools_of_processes_end(project, method):
    """A row's pools end with their block, however their workers are started: SIGTERM ends a worker."""
    context = multiprocessing.get_context(method)

    def pool():
        with context.Pool(2) as workers:
            print(workers.map(abs, [-1, -2]))

    def executor():
        with ProcessPoolExecutor(2, mp_context=context) as workers:
            print([*workers.map(abs, [-1, -2])])

    result = project(row("A", pool), row("B", executor)).run()
    assert statuses(result) == {"A": "SUCCESS", "B": "SUCCESS"}
    assert {t.log for t in result.transformations.values()} == {"[1, 2]"}


def test_a_forked_process_has_the_signal_handlers_of_before(project):
    """In a forked process signals do what they did before the run; a run's requests are the run's."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    def fn():
        inside = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        assert inside != before
        if os.fork() == 0:
            found = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
            os._exit(found == before)
        assert os.waitstatus_to_exitcode(os.wait()[1]) == 1

    result = project(row("A", fn)).run()
    assert statuses(result) == {"A": "SUCCESS"}


@pytest.mark.parametrize(
    ("leave", "code"),
    [(lambda: None, 0), (lambda: exit(7), 7), (lambda: 1 / 0, 1)],
    ids=["returns", "exits", "raises"],
)
def test_a_forked_process_that_comes_back(project, leave, code):
    """A child that returns from the row's function ends there: it is no second run of the row."""
    ended = []

    def fn():
        child = os.fork()
        if child == 0:
            print("the child's")
            return leave()
        ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        print("the parent's")
        return None

    result = project(row("A", fn)).run()
    assert statuses(result) == {"A": "SUCCESS"}
    assert ended == [code]
    lines = result.transformations["A"].log.splitlines()
    assert {"the child's", "the parent's"} <= set(lines)
    assert ("ZeroDivisionError: division by zero" in lines) == (code == 1)


def test_a_worker_that_is_ended_as_it_is_forked(project):
    """A signal that reaches a child before it has the handlers of before the run is not lost."""

    def fn():
        for _ in range(examples(12)):
            child = os.fork()
            if child == 0:
                signal.pause()
            os.kill(child, signal.SIGTERM)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM

    assert statuses(project(row("A", fn)).run()) == {"A": "SUCCESS"}


def test_a_forked_process_leaves_garbage_to_its_parent(project):
    """A child does not close what its parent has dropped: DuckDB's threads are not there to be joined."""

    class Cycle:
        def __init__(self):
            self.itself = self
            self.connection = duckdb.connect()
            self.connection.execute("SELECT sum(range) FROM range(1000000)").fetchall()

    ended = []

    def fn():
        gc.disable()
        try:
            Cycle()
            child = os.fork()
            if child == 0:
                gc.collect()
                os._exit(0)
            ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        finally:
            gc.enable()

    assert statuses(project(row("A", fn)).run()) == {"A": "SUCCESS"}
    assert ended == [0]


def test_a_forked_process_can_import_what_the_run_was_importing(project, tmp_path, monkeypatch):
    """A fork waits for the run's late import on another thread: in the child it would never end."""
    (tmp_path / "slow_library.py").write_text(
        "import time, test_forks_state\ntest_forks_state.begun.set()\ntime.sleep(0.3)\n"
    )
    state = types.ModuleType("test_forks_state")
    state.begun = threading.Event()
    monkeypatch.setitem(sys.modules, state.__name__, state)
    monkeypatch.syspath_prepend(tmp_path)
    ended = []

    def fork():
        state.begun.wait(10)
        child = os.fork()
        if child == 0:
            signal.alarm(10)  # else it waits for ever
            import_late("slow_library")
            os._exit(0)
        ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    rows = row("A", lambda: import_late("slow_library")), row("B", fork)
    try:
        assert statuses(project(*rows).run()) == {"A": "SUCCESS", "B": "SUCCESS"}
    finally:
        sys.modules.pop("slow_library", None)
    assert ended == [0]


def test_a_log_that_is_opened_again_hears_its_forked_processes(tmp_path):
    """A child never writes to a pipe that is closed: its number may be that of another file by then."""
    log, files = CapturedLog(), []
    with routed_output():
        for i in range(2):
            with captured(log):
                child = os.fork()
                if child == 0:
                    print("child", i, flush=True)
                    os._exit(0)
                os.waitpid(child, 0)
            files += [open(tmp_path / f"{i}{j}", "w+b", buffering=0) for j in range(4)]  # noqa: SIM115, PTH123
    assert log.text() == "child 0\nchild 1"
    for file in files:
        with file:
            assert file.read() == b""


def test_a_process_without_its_parent_does_not_wait_for_it():
    """A forked process whose run was killed can still print without blocking."""
    heard, said = os.pipe()
    parent = os.fork()
    if parent == 0:
        with routed_output(), captured(CapturedLog()):
            me = os.getpid()
            if os.fork() == 0:
                signal.alarm(10)
                while os.getppid() == me:
                    os.sched_yield()
                for _ in range(100):
                    print("x" * 10_000)
                os.write(said, b"ended")
            os._exit(0)
    os.close(said)
    os.waitpid(parent, 0)
    assert os.read(heard, 10) == b"ended"
    os.close(heard)


def test_a_part_of_a_line_is_sent_once_by_the_child_that_wrote_it():
    """A child sends what is left of its line when it ends; its own child does not repeat it, and a long line is cut."""
    heard = []
    pipe = Children(heard.append)
    child = os.fork()
    if child == 0:
        pipe.in_child()
        pipe.send("a part")
        grandchild = os.fork()
        if grandchild == 0:
            pipe.in_child()
            pipe.send("a line\n")
            pipe.close()
            os._exit(0)
        os.waitpid(grandchild, 0)
        pipe.send(" of a line" + "x" * (1 << 21))
        pipe.close()
        os._exit(0)
    assert not pipe.send("the parent's")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    pipe.close()
    text = "".join(heard)
    assert text.startswith("a line\na part of a line")
    assert text.count("x") == 1 << 21
