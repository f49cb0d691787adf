"""Properties of every run, over random graphs, failures, retries, timeouts, cancels, workers and schedules."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from fakes import FakeProject, row
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plans import LAYERS
from thorough import examples

from odibi_nb.core.running.hooks import HookManager

ENDS = frozenset(
    {"transform_success", "transform_failure", "transform_skipped", "transform_cancelled"}
)
OUTCOMES = ["ok", "ok", "ok", "flaky", "flaky", "bad", "exit", "hangs", "asks"]
RETRIES = 2


@dataclass
class Case:
    """A project, what its rows do in each attempt, and what happens to its run."""

    upstream: dict[str, list[str]]
    layers: dict[str, str]
    steps: dict[str, int | None]
    outcomes: dict[str, list[str]]
    cancels: dict[int, str | None]
    options: dict
    limits: dict[str, int]
    events: list = field(default_factory=list)


@st.composite
def cases(draw):
    """Up to eight rows; *cancels* is the number of an event to what is cancelled then, None for the run."""
    count = draw(st.integers(1, 8))
    names = [f"n{i}" for i in range(count)]
    layers = sorted(draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)))
    upstream = {
        name: [names[j] for j in range(i) if draw(st.integers(0, 2)) == 0]
        for i, name in enumerate(names)
    }
    tries = st.lists(st.sampled_from(OUTCOMES), min_size=RETRIES + 1, max_size=RETRIES + 1)
    cancelled = st.one_of(st.none(), st.none(), st.sampled_from(names))
    return Case(
        upstream=upstream,
        layers={name: LAYERS[layer] for name, layer in zip(names, layers, strict=True)},
        # A step stands for a layer, so that no step waits for a later one's row.
        steps={n: draw(st.sampled_from([None, x])) for n, x in zip(names, layers, strict=True)},
        outcomes={name: draw(tries) for name in names},
        cancels=draw(st.dictionaries(st.integers(1, 25), cancelled, max_size=3)),
        options={
            "max_workers": draw(st.integers(1, 4)),
            "schedule": draw(st.sampled_from(["layers", "graph"])),
            "on_error": draw(st.sampled_from(["continue", "continue", "stop"])),
            "run_timeout_seconds": draw(st.sampled_from([None, None, None, None, 0.1])),
        },
        limits=draw(st.dictionaries(st.sampled_from(LAYERS), st.integers(1, 2))),
    )


def does(case, name, finished):
    """The function of a row; what hangs ends when everything is over."""

    def fn(context):
        outcome = case.outcomes[name][context.attempt - 1]
        if outcome == "flaky":
            raise OSError(name)
        if outcome == "bad":
            raise KeyError(name)
        if outcome == "exit":
            raise SystemExit(3)
        if outcome == "hangs":
            finished.wait(20)
        if outcome == "asks":
            context.write([name], f"t.{name}")

    return fn


def run(case, folder):
    """Run it; the result and the project."""
    finished, hooks = threading.Event(), HookManager()
    constants = {
        "retry": {"max_retries": RETRIES, "base_delay": 0, "jitter": 0},
        "timeout_seconds": 0.05,
    }
    rows = [
        row(
            name,
            does(case, name, finished),
            layer=case.layers[name],
            step=case.steps[name],
            inputs=[f"t.{other}" for other in case.upstream[name]],
            outputs=[{"table": f"t.{name}"}],
            constants=constants
            if "hangs" in case.outcomes[name]
            else {**constants, "timeout_seconds": 60},
        )
        for name in case.upstream
    ]
    limits = {layer: {"max_workers": limit} for layer, limit in case.limits.items()}
    limits = {layer: {"ordered_by_step": True, **limits.get(layer, {})} for layer in LAYERS}
    project = FakeProject(folder, rows, manifest={"layers": limits})
    orchestrator = project.orchestrator(hooks=hooks)

    def listen(payload):
        case.events.append(payload)
        if len(case.events) in case.cancels:
            orchestrator.cancel(case.cancels[len(case.events)])

    hooks.register("*", listen)
    try:
        return orchestrator.run(**case.options), project
    finally:
        finished.set()


@settings(max_examples=examples(25), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(case=cases())
def test_what_holds_of_every_run(case, tmp_path_factory):
    """A run always ends; each row ends once, after its upstream; limits hold; the log has each attempt once."""
    result, project = run(case, tmp_path_factory.mktemp("run"))
    names = set(case.upstream)
    assert set(result.transformations) == names
    check_events(case)
    check_ends(case, result)
    check_log(case, result, project)


def check_events(case):
    """Go through the events in order: who may start, and how many run."""
    running, ended, succeeded = {}, set(), set()
    assert case.events[0]["event"] == "run_start"
    assert case.events[-1]["event"] == "run_end"
    for payload in case.events:
        event, name = payload["event"], payload.get("transformation_id")
        if event == "transform_start":
            assert name not in running
            assert name not in ended
            assert set(case.upstream[name]) <= succeeded
            running[name] = case.layers[name]
            may_start(case, name, ended)
        elif event == "transform_retry":
            del running[name]
        elif event in ENDS:
            assert name not in ended
            running.pop(name, None)
            ended.add(name)
            if event == "transform_success":
                succeeded.add(name)
        assert len(running) <= case.options["max_workers"]
        for layer, limit in case.limits.items():
            assert list(running.values()).count(layer) <= limit
    assert running == {}
    assert ended == set(case.upstream)


def may_start(case, name, ended):
    """Check the barriers: earlier layers, without schedule graph, and earlier steps have ended."""
    layer, step = case.layers[name], case.steps[name]
    for other in case.upstream:
        earlier = LAYERS.index(case.layers[other]) < LAYERS.index(layer)
        if earlier and case.options["schedule"] == "layers":
            assert other in ended
        other_step = case.steps[other]
        same = case.layers[other] == layer and None not in (step, other_step)
        if same and other_step < step:
            assert other in ended


def check_ends(case, result):
    """Every row has the status of its last event, and no more attempts than it may have."""
    last = {}
    starts = Counter()
    for payload in case.events:
        name = payload.get("transformation_id")
        if payload["event"] == "transform_start":
            starts[name] += 1
        elif payload["event"] in ENDS:
            last[name] = payload["status"]
    for name, one in result.transformations.items():
        assert one.status.value == last[name]
        assert one.attempts == starts[name] <= RETRIES + 1
        if one.status.value == "SUCCESS":
            assert case.outcomes[name][one.attempts - 1] in ("ok", "asks")
            assert not one.reason
        else:
            assert one.reason
    good = set(last.values()) == {"SUCCESS"}
    assert (result["status"] == "success") == good


def check_log(case, result, project):
    """One record per attempt that was started, and one for a row that was not started (again)."""
    records = defaultdict(list)
    for record in project.sink.records:
        records[record["transformation_id"]].append(record)
    for name, one in result.transformations.items():
        attempts = [record["attempt"] for record in records[name]]
        assert len(attempts) == len(set(attempts))
        assert set(range(1, one.attempts + 1)) <= set(attempts)
        assert len(attempts) <= one.attempts + 1
        assert records[name][-1]["status"] == one.status.value
        assert one.status.value != "SUCCESS" or attempts == [*range(1, one.attempts + 1)]
    (run_record,) = project.sink.run_records
    assert run_record["status"] == result["status"]
    begun = {p["layer"] for p in case.events if p["event"] == "layer_start"}
    over = [p["layer"] for p in case.events if p["event"] == "layer_end"]
    assert begun <= set(over)
    assert len(over) == len(set(over))
