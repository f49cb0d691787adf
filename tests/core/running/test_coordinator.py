"""The coordinator: order, failures, retries, timeouts, cancel."""

from __future__ import annotations

import queue
import signal
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from fakes import FakeProject, MemorySink, row, statuses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from thorough import THOROUGH, examples

from odibi_nb.core.model.events import EventType
from odibi_nb.core.model.retry import RetryPolicy
from odibi_nb.core.running.coordinator import TransformationRunner
from odibi_nb.core.running.hooks import HookManager


def out(name):
    return [{"table": f"t.{name}"}]


def works(calls, name):
    def fn(constants):
        calls.append(name)

    return fn


@st.composite
def graphs(draw):
    count = draw(st.integers(1, 9))
    names = [f"n{i}" for i in range(count)]
    edges = {names[i]: [names[j] for j in range(i) if draw(st.booleans())] for i in range(count)}
    failing = draw(st.sets(st.sampled_from(names)))
    layers = sorted(draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)))
    return edges, failing, dict(zip(names, layers, strict=True))


@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(graph=graphs(), workers=st.integers(1, 4), schedule=st.sampled_from(["layers", "graph"]))
def test_any_graph_ends(graph, workers, schedule, tmp_path_factory):
    """Each row ends exactly once; it runs iff all its upstream rows succeeded, and after them."""
    from fakes import FakeProject

    edges, failing, layers = graph
    calls, lock, peak, running = [], threading.Lock(), [0], [0]

    def make(name):
        def fn():
            with lock:
                running[0] += 1
                peak[0] = max(peak[0], running[0])
                calls.append(name)
            with lock:
                running[0] -= 1
            if name in failing:
                raise KeyError(name)

        return fn

    order = ["Bronze", "Silver_1", "Gold_1"]
    rows = [
        row(n, make(n), layer=order[layers[n]], inputs=[f"t.{d}" for d in deps], outputs=out(n))
        for n, deps in edges.items()
    ]
    project = FakeProject(tmp_path_factory.mktemp("graph"), rows)
    hooks, ended = HookManager(), []
    for event in ("transform_success", "transform_failure", "transform_skipped"):
        hooks.register(event, lambda p: ended.append(p["transformation_id"]))
    result = project.run(hooks=hooks, max_workers=workers, schedule=schedule)
    assert sorted(ended) == sorted(edges)
    found = statuses(result)
    assert peak[0] <= workers
    for name, upstream in edges.items():
        ran = all(found[u] == "SUCCESS" for u in upstream)
        assert found[name] == (("FAILED" if name in failing else "SUCCESS") if ran else "SKIPPED")
        assert calls.count(name) == int(ran)
        assert all(calls.index(u) < calls.index(name) for u in upstream if ran)
    if schedule == "layers":
        ran_layers = [layers[n] for n in calls]
        assert ran_layers == sorted(ran_layers)
    assert {r["transformation_id"] for r in project.sink.records} == set(edges)


def test_a_run_that_is_abandoned_before_its_first_row_ends_each_row_once(project):
    """Three cancels before a row could start: each row is CANCELLED once, in events and in the log."""
    p = project(row("A", lambda: None), row("B", lambda: None))
    hooks, ended = HookManager(), []
    orchestrator = p.orchestrator(hooks=hooks)
    hooks.register("run_start", lambda _: [orchestrator.cancel() for _ in range(3)])
    hooks.register(
        "transform_cancelled", lambda payload: ended.append(payload["transformation_id"])
    )
    assert statuses(orchestrator.run()) == {"A": "CANCELLED", "B": "CANCELLED"}
    assert sorted(ended) == ["A", "B"]
    assert sorted(r["transformation_id"] for r in p.sink.records) == ["A", "B"]


@pytest.mark.parametrize("seconds", [0, 1e-9])
def test_an_empty_inbox_is_read_at_once(seconds):
    """A read that must not wait returns: on Python 3.10 a queue's own time-out of 0 may wait for ever."""
    tries = 50_000 if sys.version_info < (3, 11) else 1_000  # about one in 20,000 waits

    def read():
        for _ in range(tries):
            runner = SimpleNamespace(inbox=queue.SimpleQueue())
            assert TransformationRunner._next_message(runner, seconds) is None

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    reader.join(30)
    assert not reader.is_alive()


def test_dependants_of_a_failure_are_skipped_with_the_reason(project):
    """With on_error=continue, dependants of a failed row are SKIPPED and say why; others go on."""

    def bad():
        raise KeyError("no such column")

    calls = []
    result = project(
        row("A", bad, outputs=out("A")),
        row("B", works(calls, "B"), inputs=["t.a"]),
        row("C", works(calls, "C")),
        row("D", works(calls, "D"), layer="Gold_1", inputs=["t.A"]),
    ).run()
    assert statuses(result) == {"A": "FAILED", "B": "SKIPPED", "C": "SUCCESS", "D": "SKIPPED"}
    assert result.transformations["B"].reason == "upstream A failed"
    assert result["status"] == "failed"
    assert calls == ["C"]


def test_on_error_stop_starts_nothing_new(project):
    """With on_error=stop, nothing starts after the first failure; what did not start is SKIPPED."""

    def bad():
        raise KeyError("x")

    calls = []
    rows = [row("A", bad), *(row(f"B{i}", works(calls, i)) for i in range(5))]
    result = project(*rows).run(max_workers=1, on_error="stop")
    assert statuses(result) == {"A": "FAILED", **{f"B{i}": "SKIPPED" for i in range(5)}}
    assert result.transformations["B0"].reason == "the run stopped after A failed"


def test_retries_are_counted_and_recorded(project):
    """A transient error is retried; each attempt is a record, the last one decides."""
    tries = []

    def flaky():
        tries.append(1)
        if len(tries) < 3:
            raise OSError("network")

    hooks, events = HookManager(), []
    hooks.register("*", lambda p: events.append((p["event"], p.get("attempt"))))
    p = project(row("A", flaky, constants={"retry": {"base_delay": 0.01, "jitter": 0}}))
    result = p.run(hooks=hooks)
    assert result.transformations["A"].attempts == 3
    assert [(r["attempt"], r["status"]) for r in p.sink.records] == [
        (1, "FAILED"),
        (2, "FAILED"),
        (3, "SUCCESS"),
    ]
    names = [e for e, _ in events if e.startswith("transform")]
    assert names == ["transform_start", "transform_retry"] * 2 + [
        "transform_start",
        "transform_success",
    ]
    assert len(result.to_frame()) == 1 + 1
    assert len(result.to_frame(attempts=True)) == 1 + 3


@pytest.mark.parametrize(
    "error", [KeyError("x"), TypeError("x"), ImportError("x"), SystemExit(3), MemoryError()]
)
def test_what_a_retry_cannot_mend_is_final(project, error):
    """Errors of the never_retry list, their subclasses too, end a row at its first attempt."""

    def bad():
        raise error

    result = project(row("A", bad, constants={"retry": {"base_delay": 60}})).run()
    assert result.transformations["A"].attempts == 1
    assert result.transformations["A"].error_type == type(error).__name__


@pytest.mark.parametrize(
    ("policy", "error", "attempts"),
    [
        ({"retry_on": ["OSError"]}, ConnectionError("x"), 2),
        ({"retry_on": ["OSError"]}, ValueError("x"), 1),
        ({"retry_on": ["KeyError"]}, KeyError("x"), 2),
        ({"retry_on": ["OSError"], "never_retry": ["FileNotFoundError"]}, FileNotFoundError(), 1),
        ({"retry_on": ["FileNotFoundError"], "never_retry": ["OSError"]}, FileNotFoundError(), 2),
        ({"never_retry": ["OSError"]}, ConnectionError("x"), 1),
        ({"never_retry": ["OSError"]}, KeyError("x"), 2),
        ({"never_retry": []}, KeyError("x"), 2),
    ],
)
@pytest.mark.parametrize("level", ["run", "layer", "row"])
def test_which_errors_are_tried_again(tmp_path, policy, error, attempts, level):
    """retry_on and never_retry may stand at run, layer or row; the nearest class of an error counts."""

    def bad():
        raise error

    policy = {"max_retries": 1, "base_delay": 0, "jitter": 0, **policy}
    manifest = {"layers": {"Silver_1": {"retry": policy if level == "layer" else {}}}}
    constants = {"retry": policy} if level == "row" else {}
    p = FakeProject(tmp_path, [row("A", bad, constants=constants)], manifest)
    result = p.run(retry=policy if level == "run" else {})
    assert result.transformations["A"].attempts == attempts


def test_a_row_over_its_layer_over_the_run(tmp_path):
    """Each level replaces only what it names of the level above."""
    manifest = {"layers": {"Silver_1": {"retry": {"base_delay": 7, "jitter": 7}}}}
    p = FakeProject(
        tmp_path, [row("A", works([], "A"), constants={"retry": {"jitter": 3}})], manifest
    )
    plan = p.orchestrator().plan(retry={"base_delay": 1, "max_delay": 9, "retry_on": ["OSError"]})
    policy = plan.rows["A"].retry
    assert (policy.base_delay, policy.max_delay, policy.jitter) == (7, 9, 3)
    assert policy.retry_on == ("OSError",)


@given(st.integers(1, 100), st.floats(0, 1))
def test_waits_double_up_to_the_longest(failures, part):
    """The wait doubles with each failure, up to max_delay, plus a random part of up to jitter."""
    policy = RetryPolicy(base_delay=2, max_delay=60, jitter=1)
    wait = policy.delay(failures, part)
    assert wait == min(60, 2 * 2.0 ** min(failures - 1, 30)) + part
    assert RetryPolicy(base_delay=0, jitter=0).delay(failures, part) == 0


def test_a_timeout_is_tried_again_only_where_the_policy_says_so(project):
    """With retry_on_timeout an attempt that ran out of time is followed by another; its own writes fail."""
    hold, late, calls = threading.Event(), [], []

    def slow_once(context):
        calls.append(context.attempt)
        if context.attempt == 1:
            hold.wait(20)
            try:
                context.write([1], "t.a")
            except Exception as exc:
                late.append(type(exc).__name__)
                raise
            finally:
                hold.clear()
        else:
            context.write([2], "t.a")

    policy = {"base_delay": 0, "jitter": 0, "retry_on_timeout": True}
    constants = {"timeout_seconds": 0.3, "retry": policy}
    p = project(row("A", slow_once, outputs=out("a"), constants=constants))
    result = p.run(max_workers=1)
    assert statuses(result) == {"A": "SUCCESS"}
    assert [(r["attempt"], r["status"], r["error_type"]) for r in p.sink.records] == [
        (1, "FAILED", "TimeoutError"),
        (2, "SUCCESS", None),
    ]
    assert result.leaked_threads == 1
    hold.set()
    while hold.is_set():
        threading.Event().wait(0.01)
    assert late == ["RevokedError"]
    assert p.tables.tables["t.a"] == [2]


def test_a_timeout_is_final_by_default(project):
    """Without retry_on_timeout, an attempt that ran out of time is the last, also with retries left."""
    hold = threading.Event()
    constants = {"timeout_seconds": 0.2, "retry": {"base_delay": 0, "jitter": 0}}
    result = project(row("A", lambda: hold.wait(20), constants=constants)).run()
    hold.set()
    assert statuses(result) == {"A": "FAILED"}
    assert result.transformations["A"].attempts == 1


def test_timeouts_end_when_no_retry_is_left(project):
    """retry_on_timeout counts towards max_retries."""
    hold = threading.Event()
    policy = {"max_retries": 1, "base_delay": 0, "jitter": 0, "retry_on_timeout": True}
    constants = {"timeout_seconds": 0.2, "retry": policy}
    result = project(row("A", lambda: hold.wait(20), constants=constants)).run(max_workers=1)
    hold.set()
    assert statuses(result) == {"A": "FAILED"}
    assert result.transformations["A"].attempts == result.leaked_threads == 2


def test_a_waiting_retry_keeps_no_worker(project):
    """While a row waits for its retry, others run on its worker."""
    calls = []

    def flaky():
        calls.append("flaky")
        if calls.count("flaky") == 1:
            raise OSError("later")

    rows = [row("A", flaky, constants={"retry": {"base_delay": 0.3, "jitter": 0}})]
    rows += [row(f"B{i}", works(calls, i)) for i in range(3)]
    result = project(*rows).run(max_workers=1)
    assert result["status"] == "success"
    assert calls == ["flaky", 0, 1, 2, "flaky"]


def test_cancel_ends_a_backoff_at_once(project):
    """A cancel does not wait for a retry that is due in a minute."""

    def bad():
        raise OSError("down")

    hooks = HookManager()
    p = project(
        row("A", bad, constants={"retry": {"base_delay": 60}}), row("B", inputs=["t.x"], fn=bad)
    )
    hooks.register("transform_retry", lambda payload: request(p))
    result = p.run(hooks=hooks)
    assert statuses(result)["A"] == "CANCELLED"
    assert result["status"] == "cancelled"


def request(project, name=""):
    from odibi_nb.core.runlog.journal import live_runs, request_cancel

    request_cancel(live_runs(project.state_dir)[0], name)


def test_the_first_cancel_drains(project):
    """After one cancel, what runs ends normally and what waits is CANCELLED."""
    gate = threading.Event()
    hooks = HookManager()
    p = project(row("A", lambda: gate.wait(10)), row("B", lambda: None))

    def cancelled(payload):
        gate.set()

    hooks.register("transform_start", lambda payload: request(p))
    hooks.register("transform_cancelled", cancelled)
    result = p.run(hooks=hooks, max_workers=1)
    assert statuses(result) == {"A": "SUCCESS", "B": "CANCELLED"}
    assert result["status"] == "cancelled"


def test_the_second_cancel_revokes_and_the_third_abandons(project):
    """A revoked transformation may not write any more; one that hangs is ABANDONED."""
    started, late = threading.Event(), []
    hold = threading.Event()

    def stubborn(context):
        started.set()
        hold.wait(20)
        try:
            context.write([1], "t.late")
        except Exception as exc:
            late.append(type(exc).__name__)

    p = project(row("A", stubborn))

    def ask():
        started.wait(10)
        for _ in range(3):
            request(p)

    requests, hooks = [], HookManager()
    hooks.register("run_cancel_requested", requests.append)
    thread = threading.Thread(target=ask)
    thread.start()
    result = p.run(hooks=hooks)
    thread.join()
    assert statuses(result) == {"A": "ABANDONED"}
    assert result.leaked_threads == 1
    assert [(x["level"], x["running"], x["reason"]) for x in requests] == [
        (level, 1, "the run was cancelled") for level in (1, 2, 3)
    ]
    hold.set()
    for _ in range(100):
        if late:
            break
        threading.Event().wait(0.05)
    assert late == ["RevokedError"]
    assert "t.late" not in p.tables.tables


def test_one_transformation_can_be_cancelled(project):
    """Cancelling one waiting row ends it alone; its dependants are SKIPPED."""
    gate = threading.Event()
    hooks = HookManager()
    p = project(
        row("A", lambda: gate.wait(10), constants={"priority": 1}),
        row("B", lambda: None, outputs=out("B")),
        row("C", lambda: None, inputs=["t.b"]),
        row("D", lambda: None),
    )
    hooks.register(
        "transform_start", lambda payload: request(p, "B"), filters={"transformation_id": "A"}
    )
    hooks.register("transform_cancelled", lambda payload: gate.set())
    result = p.run(hooks=hooks, max_workers=1)
    assert statuses(result) == {"A": "SUCCESS", "B": "CANCELLED", "C": "SKIPPED", "D": "SUCCESS"}


def reading(gate):
    """A function that reads from when *gate* opens until that is refused."""

    def fn(context):
        gate.wait(10)
        while True:
            context.read("t.x")

    return fn


def test_a_running_transformation_can_be_cancelled_alone(project):
    """A cancelled running row ends at its next call through its context; the other rows continue."""
    gate = threading.Event()
    p = project(
        row("A", reading(gate), outputs=out("A")),
        row("B", lambda: None, inputs=["t.a"]),
        row("C", lambda: None),
    )
    p.tables.tables["t.x"] = []
    orchestrator = p.orchestrator()
    orchestrator.hooks.register(
        "transform_start",
        lambda _: (orchestrator.cancel("A"), gate.set()),
        filters={"transformation_id": "A"},
    )
    result = orchestrator.run(max_workers=2)
    assert statuses(result) == {"A": "CANCELLED", "B": "SKIPPED", "C": "SUCCESS"}
    assert result.transformations["A"].reason == "cancelled"
    assert result.transformations["B"].reason == "upstream A cancelled"
    assert result["status"] == "cancelled"
    assert result.leaked_threads == 0


def test_one_that_asks_and_returns_was_cancelled(project):
    """A transformation that asks `context.should_stop()` and returns early is CANCELLED, not a SUCCESS."""

    def loop(context):
        while not context.should_stop():
            threading.Event().wait(0.01)

    p = project(row("A", loop, outputs=out("A")), row("B", lambda: None, inputs=["t.a"]))
    orchestrator = p.orchestrator()
    orchestrator.hooks.register(
        "transform_start", lambda _: orchestrator.cancel("A"), filters={"transformation_id": "A"}
    )
    result = orchestrator.run()
    assert statuses(result) == {"A": "CANCELLED", "B": "SKIPPED"}
    assert result.transformations["A"].reason == "cancelled"
    assert p.sink.records[0]["error_message"] == "cancelled"


@pytest.mark.parametrize("look", [lambda c: c.cancelled, repr, lambda c: vars(c.control), None])
def test_looking_at_cancelled_decides_nothing(project, look):
    """A cancelled transformation that still finishes its work ends the same way, whether it checks for it or not."""
    gate = threading.Event()

    def work(context):
        gate.wait(10)
        if look is not None:
            look(context)

    p = project(row("A", work))
    orchestrator = p.orchestrator()
    orchestrator.hooks.register("transform_start", lambda _: (orchestrator.cancel("A"), gate.set()))
    assert statuses(orchestrator.run()) == {"A": "SUCCESS"}


def test_one_that_ends_before_it_hears_of_its_cancel_succeeded(project):
    """A cancel that comes too late changes nothing: what was done was done."""
    gate = threading.Event()
    p = project(row("A", lambda: gate.wait(10)))
    orchestrator = p.orchestrator()
    orchestrator.hooks.register("transform_start", lambda _: (orchestrator.cancel("A"), gate.set()))
    assert statuses(orchestrator.run()) == {"A": "SUCCESS"}


def test_one_that_does_not_listen_is_abandoned_alone(project):
    """The second cancel of one transformation waits for it no more; others go on."""
    hold = threading.Event()
    p = project(row("A", lambda: hold.wait(20)), row("B", lambda: None))
    orchestrator = p.orchestrator()
    orchestrator.hooks.register(
        "transform_start",
        lambda _: (orchestrator.cancel("A"), orchestrator.cancel("A")),
        filters={"transformation_id": "A"},
    )
    result = orchestrator.run(max_workers=1)
    hold.set()
    assert statuses(result) == {"A": "ABANDONED", "B": "SUCCESS"}
    assert "it did not end when it was cancelled" in result.transformations["A"].reason
    assert result["status"] == "cancelled"
    assert result.leaked_threads == 1


def test_a_backoff_of_one_transformation_ends_at_once(project):
    """A cancel of a row that waits for its retry ends only that row, with its attempts so far."""

    def bad():
        raise OSError("down")

    p = project(row("A", bad, constants={"retry": {"base_delay": 60}}), row("B", lambda: None))
    orchestrator = p.orchestrator()
    orchestrator.hooks.register("transform_retry", lambda _: orchestrator.cancel("A"))
    result = orchestrator.run()
    assert statuses(result) == {"A": "CANCELLED", "B": "SUCCESS"}
    assert result.transformations["A"].attempts == 1
    assert [
        (r["attempt"], r["status"]) for r in p.sink.records if r["transformation_id"] == "A"
    ] == [
        (1, "FAILED"),
        (2, "CANCELLED"),
    ]


def test_one_that_was_not_released_yet_can_be_cancelled(project):
    """A row that waits for its upstream is CANCELLED when its turn comes, not started."""
    calls = []
    p = project(
        row("A", works(calls, "A"), outputs=out("A")),
        row("B", works(calls, "B"), inputs=["t.a"], layer="Gold_1"),
    )
    orchestrator = p.orchestrator()
    orchestrator.hooks.register("run_start", lambda _: orchestrator.cancel("B"))
    assert statuses(orchestrator.run()) == {"A": "SUCCESS", "B": "CANCELLED"}
    assert calls == ["A"]


def test_what_cannot_be_cancelled_is_said(project, capsys):
    """A cancel of a row that has ended, or of none, changes nothing and says so."""
    p = project(row("A", lambda: None, outputs=out("A")), row("B", lambda: None, inputs=["t.a"]))
    orchestrator = p.orchestrator(log_level="WARNING")
    orchestrator.hooks.register(
        "transform_start",
        lambda _: (orchestrator.cancel("A"), orchestrator.cancel("BB")),
        filters={"transformation_id": "B"},
    )
    assert orchestrator.run()["status"] == "success"
    said = capsys.readouterr().out
    assert "A cannot be cancelled: it has ended, SUCCESS" in said
    assert "this run has no transformation 'BB'" in said


def test_a_cancelled_row_that_runs_out_of_time_is_abandoned(project):
    """A cancelled row that does not end before its timeout is ABANDONED, and not retried."""
    hold = threading.Event()
    constants = {"timeout_seconds": 0.3, "retry": {"retry_on_timeout": True, "base_delay": 0}}
    p = project(row("A", lambda: hold.wait(20), constants=constants))
    orchestrator = p.orchestrator()
    orchestrator.hooks.register("transform_start", lambda _: orchestrator.cancel("A"))
    result = orchestrator.run()
    hold.set()
    assert statuses(result) == {"A": "ABANDONED"}
    assert result.transformations["A"].attempts == 1


def test_ctrl_c_drains_the_run_and_the_handler_is_put_back(project):
    """Ctrl-C is the first cancel: the running row ends, the run returns its result."""
    before = signal.getsignal(signal.SIGINT)
    gate = threading.Event()

    def fn():
        signal.raise_signal(
            signal.SIGINT
        ) if threading.current_thread() is threading.main_thread() else None
        gate.wait(10)

    hooks = HookManager()
    hooks.register("transform_start", lambda p: signal.raise_signal(signal.SIGINT))
    hooks.register("transform_cancelled", lambda p: gate.set())
    result = project(row("A", fn), row("B", fn)).run(hooks=hooks, max_workers=1)
    assert statuses(result) == {"A": "SUCCESS", "B": "CANCELLED"}
    assert signal.getsignal(signal.SIGINT) is before


def test_a_timeout_fails_the_row_and_frees_its_place(project):
    """A row that runs longer than timeout_seconds is FAILED; others get its place."""
    hold = threading.Event()
    calls = []
    result = project(
        row("A", lambda: hold.wait(20), constants={"timeout_seconds": 0.2, "retry": 0}),
        row("B", works(calls, "B")),
    ).run(max_workers=1)
    hold.set()
    assert statuses(result) == {"A": "FAILED", "B": "SUCCESS"}
    assert result.transformations["A"].error_type == "TimeoutError"
    assert result.leaked_threads == 1


def test_steps_run_one_after_the_other_where_the_manifest_asks_for_it(project):
    """In a layer with `ordered_by_step`, rows of a step start when those of the step before have ended."""
    calls = []
    rows = [row(f"S{s}{i}", works(calls, s), step=s) for s in (2, 1) for i in range(3)]
    asked = {"layers": {"Silver_1": {"ordered_by_step": True}}}
    assert project(*rows, manifest=asked).run(max_workers=4)["status"] == "success"
    assert calls == [1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("schedule", ["layers", "graph"])
def test_steps_alone_order_nothing(project, schedule):
    """Rows with different steps run at the same time, as in the seed, which never reads the column."""
    all_run = threading.Barrier(6, timeout=20)
    rows = [row(f"S{step}", lambda: all_run.wait() and None, step=step) for step in range(6)]
    result = project(*rows).run(max_workers=6, schedule=schedule)
    assert set(statuses(result).values()) == {"SUCCESS"}


def test_everybody_is_called_on_the_coordinators_thread(project):
    """Hooks and sinks' records come from one thread, in order, each transform event after run_start."""
    hooks, threads, names = HookManager(), set(), []
    hooks.register("*", lambda p: (threads.add(threading.get_ident()), names.append(p["event"])))
    project(*(row(f"A{i}", lambda: None) for i in range(20))).run(hooks=hooks, max_workers=4)
    assert threads == {threading.get_ident()}
    assert names[0] == "run_start"
    assert names[-1] == "run_end"
    assert set(names) <= {e.value for e in EventType}


def test_a_long_chain_of_skips_does_not_exhaust_the_stack(project):
    """A failure at the head of a chain of 3,000 rows skips them all."""

    def bad():
        raise KeyError("x")

    rows = [row("r0", bad, outputs=out("r0"))]
    rows += [
        row(f"r{i}", lambda: None, inputs=[f"t.r{i - 1}"], outputs=out(f"r{i}"))
        for i in range(1, 3000)
    ]
    result = project(*rows).run()
    assert result.counts() == {"FAILED": 1, "SKIPPED": 2999}


def test_layer_limits_hold(project):
    """layers.<layer>.max_workers limits its rows even with more workers."""
    lock, running, peak = threading.Lock(), [0], [0]

    def fn():
        with lock:
            running[0] += 1
            peak[0] = max(peak[0], running[0])
        time.sleep(0.01)
        with lock:
            running[0] -= 1

    manifest = {"layers": {"Silver_1": {"max_workers": 2}}}
    project(*(row(f"A{i}", fn) for i in range(8)), manifest=manifest).run(max_workers=8)
    assert peak[0] <= 2


def test_cache_plan_caches_after_the_layer(project, capsys):
    """The cache plan's tables are cached after their layer, in the seed's words."""
    p = project(
        row("A", lambda: [1, 2], outputs=out("A")),
        manifest={"cache_plan": {"Silver_1": ["t.A", "t.missing"]}},
    )
    result = p.run(log_level="INFO")
    text = capsys.readouterr().out
    assert p.tables.cached == ["t.A"]
    assert "📦 Caching tables after Silver_1\n✅ Cached table: t.A" in text
    assert result["status"] == "success"
    assert result.warnings == ["Could not cache t.missing: no table t.missing"]


def test_a_sink_that_fails_once_loses_nothing(project):
    """A sink that raises is tried again; each record arrives once."""
    p = project(row("A", lambda: None), sink=MemorySink(failures=2))
    result = p.run()
    assert [r["transformation_id"] for r in p.sink.records] == ["A"]
    assert result.warnings == []


def test_a_sink_that_always_fails_never_fails_the_run_and_the_next_start_completes_it(project):
    """Records of a dead sink stay in the journal and are written at the next start."""
    p = project(row("A", lambda: None), sink=MemorySink(failures=99))
    result = p.run()
    assert result["status"] == "success"
    assert "run log sink memory failed" in result.warnings[0]
    p.sink.failures = 0
    p.run()
    assert [r["run_id"] for r in p.sink.records].count(result.run_id) == 1
    assert len(p.sink.run_records) == 2


class Leaves(BaseException):
    """Something that is no Exception."""


LEAVING = [KeyboardInterrupt, SystemExit, GeneratorExit, Leaves, StopIteration]


WAYS = [*((error, False) for error in LEAVING[:4]), (KeyboardInterrupt, True)]
AT_EVENTS = [
    (event.value, *way)
    for number, event in enumerate(EventType)
    for turn, way in enumerate(WAYS)
    if THOROUGH or number % len(WAYS) == turn  # each event once, and each way at several events
]


@pytest.mark.parametrize(("event", "error", "thread"), AT_EVENTS)
def test_whatever_a_listener_raises_the_run_ends_as_it_would(tmp_path, event, error, thread):
    """A listener and a view that raise anything at any event cost a warning each, and hang nothing."""
    fails, gate = [True], threading.Event()

    def flaky():
        if fails.pop() if fails else False:
            raise OSError("once")

    def broken():
        raise KeyError("always")

    policy = {"retry": {"max_retries": 1, "base_delay": 0.001, "jitter": 0}}
    p = FakeProject(
        tmp_path,
        [
            row("A", flaky, layer="Bronze", constants=policy),
            row("B", broken, outputs=out("B")),
            row("C", lambda: None, inputs=["t.B"], layer="Gold_1"),
            row("D", lambda: gate.wait(10), layer="Gold_1"),
            row("E", lambda: None, layer="Gold_1", inputs=[], step=9),
        ],
    )
    heard = []

    def raises(payload):
        heard.append(payload)
        raise error

    class View:
        def on_event(self, happened):
            if happened.type.value == event:
                raise error

        def on_plan(self, plan):
            raise error

        def on_message(self, level, text):
            raise error

        on_output = on_message

    def cancel_one(payload):
        if payload["transformation_id"] == "D":
            request(p, "D")
            gate.set()

    hooks, results = HookManager(), []
    hooks.register(event, raises)
    hooks.register("transform_start", cancel_one)

    def run():
        results.append(p.run(hooks=hooks, views=[View()], max_workers=2))

    runner = threading.Thread(target=run)
    if thread:
        runner.start()
        runner.join(30)
    else:
        run()
    (result,) = results
    found = statuses(result)
    assert (found["A"], found["B"], found["C"]) == ("SUCCESS", "FAILED", "SKIPPED")
    assert set(found) == set("ABCDE")
    if heard:
        assert any(f"raised {error.__name__}" in text for text in result.warnings)
    assert p.sink.run_records[-1]["status"] == "failed"


@pytest.mark.parametrize("error", LEAVING)
@pytest.mark.parametrize("where", ["write", "write_run", "written"])
def test_whatever_a_sink_raises_its_records_are_kept(project, where, error):
    """A sink that raises anything ends no log: its records stay in the journal for the next start."""
    p = project(row("A", lambda: None))

    def raises(*_):
        raise error

    setattr(p.sink, where, raises)
    if where == "written":
        p.sink.failures = 1
    result = p.run()
    assert result["status"] == "success"
    assert "run log sink memory failed" in result.warnings[-1]
    delattr(p.sink, where)
    p.run()
    assert [r["run_id"] for r in p.sink.records].count(result.run_id) == 1
    assert [r["run_id"] for r in p.sink.run_records].count(result.run_id) == 1


@pytest.mark.parametrize("error", [OSError("down"), KeyboardInterrupt()])
@pytest.mark.parametrize("written", [(), ("records",), ("run",), ("records", "run")])
def test_a_last_write_that_breaks_off_is_completed(project, written, error):
    """If the last batch and the run's record, written at once, end in an error, what is missing is added once."""
    p = project(row("A", lambda: None), row("B", lambda: None))
    asked = []

    def write_last(records, run_record):
        asked.append(len(records))
        if "records" in written:
            p.sink.records += records
        if "run" in written:
            p.sink.run_records.append(run_record)
        raise error

    p.sink.write_last = write_last
    result = p.run()
    assert asked
    assert result.warnings == []
    assert sorted(r["transformation_id"] for r in p.sink.records) == ["A", "B"]
    assert [r["run_id"] for r in p.sink.run_records] == [result.run_id]


def test_an_engine_that_is_gone_fails_its_rows_and_not_the_run(project):
    """If no context can be made for a row, that row fails, and the others run."""
    p = project(row("A", lambda: None, outputs=out("A")), row("B", lambda: None, inputs=["t.A"]))
    orchestrator = p.orchestrator()
    orchestrator.spark_session = lambda: 1 / 0
    failures = []
    orchestrator.hooks.register("transform_failure", failures.append)
    result = orchestrator.run()
    assert statuses(result) == {"A": "FAILED", "B": "SKIPPED"}
    assert result.transformations["A"].reason.startswith("could not be started: ZeroDivisionError")
    assert [r["status"] for r in p.sink.records] == ["FAILED", "SKIPPED"]
    assert failures[0]["error"] == failures[0]["error_message"], "as for every failure"


def test_what_a_layer_ends_with_never_hangs_the_run(tmp_path):
    """Something that is no Exception, raised while tables are cached, is a warning."""
    p = FakeProject(
        tmp_path,
        [row("A", lambda: None), row("B", lambda: None, layer="Gold_1")],
        {"cache_plan": {"Silver_1": ["t.A"]}},
    )

    def cache(*_, **__):
        raise SystemExit(3)

    p.tables.cache = cache
    result = p.run()
    assert set(statuses(result).values()) == {"SUCCESS"}
    assert "after layer Silver_1" in result.warnings[0]
