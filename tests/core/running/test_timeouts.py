"""Timeouts of attempts, layers and runs, and what a thread that goes on can still do: nothing."""

from __future__ import annotations

import sys
import threading

import pytest
from fakes import row, statuses

from odibi_nb.core.running.hooks import HookManager


@pytest.fixture
def hold():
    """Event for which hanging functions wait. It is set at the end, so that threads end soon after their test."""
    event = threading.Event()
    yield event
    event.set()


def out(name):
    return [{"table": f"t.{name}"}]


def late(hold, errors, how):
    """A function that hangs, and then writes in one way or another."""

    def writes(context):
        hold.wait(20)
        try:
            context.write([1], "t.A")
        except BaseException as exc:
            errors.append(type(exc).__name__)
            raise

    def reads(context):
        hold.wait(20)
        try:
            context.read("t.x")
        except BaseException as exc:
            errors.append(type(exc).__name__)
            raise

    def returns():
        hold.wait(20)
        return [1]

    return {"writes": writes, "reads": reads, "returns": returns}[how]


@pytest.mark.parametrize("how", ["writes", "reads", "returns"])
def test_a_timed_out_transformation_can_do_nothing_more(project, hold, how):
    """Writes, reads and returned frames after a timeout are refused; the table is not created."""
    errors = []
    p = project(
        row("A", late(hold, errors, how), constants={"timeout_seconds": 0.1}, outputs=out("A"))
    )
    result = p.run()
    assert statuses(result) == {"A": "FAILED"}
    assert result.transformations["A"].error_type == "TimeoutError"
    threads = [t for t in threading.enumerate() if t.name.startswith("odibi-worker")]
    hold.set()
    for thread in threads:
        thread.join(10)
    assert errors == ([] if how == "returns" else ["RevokedError"])
    assert p.tables.tables == {}


def test_threads_that_go_on_are_counted_and_named(project, hold):
    """A run says how many threads of given-up transformations still run, and whose they are."""
    rows = [
        row(name, lambda: hold.wait(20), constants={"timeout_seconds": 0.1}) for name in ("A", "B")
    ]
    result = project(*rows, row("C", lambda: None)).run(max_workers=3)
    assert result.leaked_threads == 2
    (warning,) = result.warnings
    assert warning.startswith("2 abandoned transformations with a running thread: ")
    assert "A, B" in warning or "B, A" in warning


def test_a_thread_that_ended_after_all_is_not_counted(project, hold):
    """If the thread of a timed-out transformation ends while the run is in progress, nothing is left to tell of."""
    workers = []

    def hangs():
        workers.append(threading.get_ident())
        hold.wait(20)

    def sees_it_end():
        hold.set()
        while sys._current_frames()[workers[0]].f_code.co_name != "_work":  # it waits for a job
            threading.Event().wait(0.01)

    result = project(
        row("A", hangs, constants={"timeout_seconds": 0.1, "priority": 1}), row("B", sees_it_end)
    ).run(max_workers=1)
    assert statuses(result) == {"A": "FAILED", "B": "SUCCESS"}
    assert (result.leaked_threads, result.warnings) == (0, [])


def test_the_nearest_timeout_counts(project, hold):
    """A row's own timeout comes before its layer's, and that before the run's for each attempt."""
    manifest = {"layers": {"Bronze": {"timeout_seconds": 0.2}, "Gold_1": {"timeout_seconds": 50}}}
    rows = [
        row("layer", lambda: hold.wait(20), layer="Bronze"),
        row("own", lambda: hold.wait(20), layer="Gold_1", constants={"timeout_seconds": 0.3}),
        row("argument", lambda: hold.wait(20), layer="Silver_1"),
        row("enough", lambda: None, layer="Gold_1"),
    ]
    result = project(*rows, manifest=manifest).run(timeout_seconds=0.1, max_workers=4)
    reasons = {name: t.reason for name, t in result.transformations.items()}
    assert reasons == {
        "layer": "TimeoutError: ran longer than timeout_seconds=0.2",
        "own": "TimeoutError: ran longer than timeout_seconds=0.3",
        "argument": "TimeoutError: ran longer than timeout_seconds=0.1",
        "enough": "",
    }


def test_the_run_has_a_timeout_too(project, hold):
    """After run_timeout_seconds what runs is FAILED, what waits is SKIPPED with the reason, and the run ends."""
    errors = []
    p = project(
        row("A", late(hold, errors, "writes"), constants={"priority": 1}),
        row("B", lambda: None),
        row("C", lambda: None, layer="Gold_1"),
    )
    result = p.run(max_workers=1, run_timeout_seconds=0.2)
    assert result["status"] == "failed"
    assert statuses(result) == {"A": "FAILED", "B": "SKIPPED", "C": "SKIPPED"}
    reason = "the run ran longer than run_timeout_seconds=0.2"
    assert result.transformations["A"].reason == f"TimeoutError: {reason}"
    assert result.transformations["C"].reason == reason
    assert result.layers_executed == ["Silver_1"]
    assert sorted(r["transformation_id"] for r in p.sink.records) == ["A", "B", "C"]
    assert len(p.sink.run_records) == 1


def test_a_run_timeout_ends_each_layer_once(project, hold):
    """When the run's time is up, each layer that began ends once: also one without rows, which has ended before."""
    hooks, ended = HookManager(), []
    hooks.register("layer_end", lambda payload: ended.append(payload["layer"]))
    rows = [row("B", lambda: None, layer="Bronze"), row("G", lambda: hold.wait(20), layer="Gold_1")]
    project(*rows).run(hooks=hooks, run_timeout_seconds=0.2)
    assert ended == ["Bronze", "Silver_1", "Gold_1"]


def test_a_run_timeout_ends_a_backoff(project):
    """A row that waits for its next attempt when the run's time is up is not tried again."""

    def down():
        raise OSError("down")

    result = project(row("A", down, constants={"retry": {"base_delay": 60}})).run(
        run_timeout_seconds=0.2
    )
    assert statuses(result) == {"A": "SKIPPED"}
    assert result.transformations["A"].attempts == 1


def test_a_run_timeout_does_not_wait_for_a_cache(project, hold):
    """Work after a layer that hangs does not keep the run from ending."""
    p = project(row("A", lambda: None, outputs=out("A")), row("B", lambda: None, layer="Gold_1"))
    p.tables.cache = lambda table, keep: hold.wait(20)
    result = p.run(run_timeout_seconds=0.3, cache_plan={"Silver_1": ["t.A"]})
    assert statuses(result) == {"A": "SUCCESS", "B": "SKIPPED"}


def test_a_run_that_ends_in_time_has_no_timeout(project):
    """A run within its time is not disturbed."""
    result = project(row("A", lambda: None)).run(run_timeout_seconds=600)
    assert result["status"] == "success"
