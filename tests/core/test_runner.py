"""The coordinator: order, failures, retries, timeouts, cancel."""

from __future__ import annotations

import signal
import threading
import time

import pytest
from fakes import MemorySink, row, statuses
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from odibi_nb.core.events import EventType
from odibi_nb.core.hooks import HookManager


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


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
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
    from odibi_nb.core.journal import live_runs, request_cancel

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

    thread = threading.Thread(target=ask)
    thread.start()
    result = p.run()
    thread.join()
    assert statuses(result) == {"A": "ABANDONED"}
    assert result.leaked_threads == 1
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


def test_steps_run_one_after_the_other(project):
    """Rows of a higher step start when those of the lower one have ended."""
    calls = []
    rows = [row(f"S{s}{i}", works(calls, s), step=s) for s in (2, 1) for i in range(3)]
    assert project(*rows).run(max_workers=4)["status"] == "success"
    assert calls == [1, 1, 1, 2, 2, 2]


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
