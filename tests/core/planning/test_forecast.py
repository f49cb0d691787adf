"""What to expect of a plan: times, critical path, makespans; and that the runner does just that."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from fakes import FakeProject, row
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plans import LAYERS, plan_of, planned
from thorough import examples

from odibi_nb.core.planning.forecast import (
    SMALL_PLAN,
    Span,
    expected_durations,
    forecast,
    simulate,
)
from odibi_nb.core.running.hooks import HookManager
from odibi_nb.errors import Problem


@st.composite
def plans(draw):
    """Plans of up to 12 rows in layers and steps, with history for some."""
    count = draw(st.integers(1, 12))
    layers = sorted(draw(st.lists(st.integers(0, 2), min_size=count, max_size=count)))
    ranks = draw(st.permutations(range(count)))
    rows = []
    for i in range(count):
        step = draw(st.one_of(st.none(), st.just(layers[i])))
        same = [r for r in range(i) if layers[r] <= layers[i]]
        upstream = [f"n{r}" for r in same if draw(st.integers(0, 3)) == 0]
        seconds = draw(st.one_of(st.none(), st.sampled_from([0.0, 0.5, 1.0, 2.0, 10.0])))
        layer = LAYERS[layers[i]]
        rows.append(planned(f"n{i}", upstream, seconds, layer, rank=ranks[i], step=step))
    limits = draw(st.dictionaries(st.sampled_from(LAYERS), st.integers(1, 3), max_size=2))
    schedule = draw(st.sampled_from(["layers", "graph"]))
    stepped = draw(st.sets(st.sampled_from(LAYERS)))
    options = {"layer_workers": limits, "schedule": schedule, "ordered_by_step": tuple(stepped)}
    return plan_of(*rows, workers=draw(st.integers(1, 5)), **options)


@settings(max_examples=examples(40))
@given(plan=plans())
def test_a_forecast_keeps_every_rule(plan):
    """Upstream and layers come first, limits hold, no worker idles for nothing, nothing beats the bounds."""
    expected = forecast(plan)
    if expected is None:
        assert all(row.expected_seconds is None for row in plan.rows.values())
        return
    spans = expected.spans
    assert spans.keys() == plan.rows.keys()
    for name, one in plan.rows.items():
        assert spans[name].end == spans[name].start + expected.seconds[name]
        assert all(spans[other].end <= spans[name].start for other in one.upstream)
    for span in spans.values():
        at_once = [n for n, s in spans.items() if s.start <= span.start < s.end]
        assert len(at_once) <= plan.workers
        for layer, limit in plan.layer_workers.items():
            assert sum(plan.rows[name].layer == layer for name in at_once) <= limit
    if plan.schedule == "layers":
        for earlier, later in itertools.pairwise(LAYERS):
            ends = [spans[r.id].end for r in plan.by_layer()[earlier]]
            starts = [spans[r.id].start for r in plan.by_layer()[later]]
            assert max(ends, default=0) <= min(starts, default=max(ends, default=0))
    work = sum(expected.seconds.values())
    assert expected.makespan >= max(expected.critical_seconds, work / plan.workers) - 1e-9
    assert expected.makespan <= work + 1e-9
    for one in expected.makespans:
        assert min(one.layers, one.graph) >= one.bound - 1e-9
    assert forecast(plan) == expected


@settings(max_examples=examples(40))
@given(
    times=st.lists(st.tuples(st.sampled_from(LAYERS), st.sampled_from([0.0, 0.5, 1.0, 2.0]))),
    workers=st.integers(1, 4),
    limits=st.dictionaries(st.sampled_from(LAYERS), st.integers(1, 5), max_size=2),
)
def test_rows_that_wait_for_layers_only_have_the_same_forecast(times, workers, limits):
    """Without order inside the layers, the forecast equals that of the general simulation, causes included."""
    rows = [
        planned(f"n{i}", [], seconds, layer, rank=i * 7 % 11)
        for i, (layer, seconds) in enumerate(sorted(times, key=lambda one: LAYERS.index(one[0])))
    ]
    plan = plan_of(*rows, workers=workers, layer_workers=limits, schedule="layers")
    general = replace(plan, ordered_by_step=LAYERS)  # no row has a step, so this orders nothing
    one, other = (
        simulate(
            some,
            {row.id: row.expected_seconds for row in rows},
            schedule="layers",
            workers=workers,
            layer_workers=limits,
        )
        for some in (plan, general)
    )
    assert [*one.items()] == [*other.items()]


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=plans())
def test_the_critical_path_cannot_be_beaten(plan):
    """The critical path's rows follow each other without a gap, and more workers do not help."""
    expected = forecast(plan)
    if expected is None:
        return
    seconds, _ = expected_durations(plan)
    free = simulate(plan, seconds, schedule=plan.schedule)
    path = expected.critical
    assert free[path[0]].start == 0.0
    for name, following in itertools.pairwise(path):
        assert free[following].start == free[name].end
    assert free[path[-1]].end == max(span.end for span in free.values())
    assert expected.critical_seconds == pytest.approx(free[path[-1]].end)


@settings(max_examples=examples(20), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    edges=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=14),
    layers=st.lists(st.integers(0, 2), min_size=9, max_size=9),
    steps=st.lists(st.one_of(st.none(), st.integers(1, 2)), min_size=9, max_size=9),
    priorities=st.lists(st.integers(0, 2), min_size=9, max_size=9),
    schedule=st.sampled_from(["layers", "graph"]),
)
def test_the_runner_starts_rows_in_the_forecasts_order(
    edges, layers, steps, priorities, schedule, tmp_path_factory
):
    """With one worker, the rows start in exactly the order that the forecast has, in both schedules."""
    layers = sorted(layers)
    calls, rows = [], []
    for i in range(9):
        first = [f"t.n{a}" for a, b in edges if b == i and a < i and steps[a] is steps[b]]
        rows.append(
            row(
                f"n{i}",
                lambda i=i: calls.append(f"n{i}"),
                layer=LAYERS[layers[i]],
                inputs=sorted(set(first)),
                outputs=[{"table": f"t.n{i}"}],
                constants={"priority": priorities[i], "retry": 0},
                step=steps[i],
            )
        )
    ordered = {"layers": {layer: {"ordered_by_step": True} for layer in LAYERS}}
    project = FakeProject(tmp_path_factory.mktemp("order"), rows, manifest=ordered)
    plan = project.orchestrator().plan(max_workers=1, schedule=schedule)
    plan.raise_for_problems()
    expected = simulate(plan, dict.fromkeys(plan.rows, 1.0), schedule=schedule, workers=1)
    assert project.run(max_workers=1, schedule=schedule)["status"] == "success"
    assert calls == list(expected)


def test_a_small_plan_by_hand():
    """Times, critical path and makespans of a diamond are what one works out on paper."""
    plan = plan_of(
        planned("A", seconds=1.0, rank=0),
        planned("B", ["A"], 5.0, "Silver_1", rank=1),
        planned("C", ["A"], 2.0, "Silver_1", rank=2),
        planned("D", ["C"], 4.0, "Gold_1", rank=3),
        workers=2,
    )
    by_layers = forecast(plan)
    assert by_layers.spans == {
        "A": Span(0.0, 1.0, None),
        "B": Span(1.0, 6.0, "A"),
        "C": Span(1.0, 3.0, "A"),
        "D": Span(6.0, 10.0, "B"),
    }
    assert (by_layers.critical, by_layers.critical_seconds) == (("A", "B", "D"), 10.0)
    assert [tuple(one) for one in by_layers.makespans] == [(1, 12, 12, 12), (2, 10, 7, 7)]
    graph = forecast(replace(plan, schedule="graph"))
    assert (graph.critical, graph.makespan) == (("A", "C", "D"), 7.0)
    assert graph.spans["D"] == Span(3.0, 7.0, "C")


def test_rows_without_history_take_the_median_of_the_others():
    """A row without history is expected to take the median of the others, and is counted."""
    plan = plan_of(planned("A"), planned("B", seconds=3.0), planned("C", seconds=None))
    expected = forecast(plan)
    assert (expected.seconds["C"], expected.assumed, expected.unknown) == (2.0, 2.0, {"C"})


def test_nothing_is_forecast_without_history_or_with_problems():
    """Without any success in the past, or for a plan with problems, the forecast is None."""
    assert forecast(plan_of(planned("A", seconds=None))) is None
    assert forecast(plan_of()) is None
    assert forecast(plan_of(planned("A"), problems=(Problem("row 'A'", "bad"),))) is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"reads": ["t.x"]}, {"writes": ["t.x"]}),
        ({"writes": ["t.x"]}, {"writes": ["T.X"]}),
        ({"reads": ["t.x"], "writes": ["t.y"]}, {"writes": ["t.z", "t.x"]}),
    ],
)
def test_the_graph_schedule_keeps_the_order_of_a_tables_users(first, second):
    """Without layers' barriers, a row still writes a table only after earlier layers' users of it ended."""
    plan = plan_of(
        planned("early", seconds=5.0, rank=1, **first),
        planned("other", seconds=5.0, rank=2, layer="Silver_1"),
        planned("late", seconds=1.0, rank=0, layer="Gold_1", **second),
    )
    spans = simulate(plan, {"early": 5.0, "other": 5.0, "late": 1.0}, schedule="graph")
    assert spans["late"] == Span(5.0, 6.0, "early")
    assert spans["other"].start == 0.0
    assert list(spans) == ["early", "other", "late"]


def test_in_the_graph_schedule_an_overwrite_waits_for_an_earlier_layers_reader(project):
    """A Gold row that replaces what a Silver row reads starts when that has ended, though neither needs the other."""
    events, hooks = [], HookManager()

    def reads(context):
        context.read("t.x")

    hooks.register("*", lambda p: events.append((p["event"], p.get("transformation_id"))))
    p = project(
        row("S", reads, inputs=["t.x"]),
        row("G", lambda: [2], layer="Gold_1", outputs=[{"table": "t.x"}]),
        row("H", lambda: None, layer="Gold_1"),
    )
    p.tables.tables["t.x"] = [1]
    assert p.run(hooks=hooks, schedule="graph", max_workers=3)["status"] == "success"
    assert events.index(("transform_success", "S")) < events.index(("transform_start", "G"))
    assert p.tables.tables["t.x"] == [2]


def test_a_failed_reader_does_not_keep_a_later_layer_from_writing(project):
    """That order is no dependency: if the reader fails, the writer still runs."""

    def bad():
        raise KeyError("x")

    p = project(
        row("S", bad, inputs=["t.x"]),
        row("G", lambda: [2], layer="Gold_1", outputs=[{"table": "t.x"}]),
    )
    result = p.run(schedule="graph")
    assert result.transformations["G"].status.value == "SUCCESS"


def test_a_large_plan_is_forecast_for_a_few_numbers_of_workers():
    """A small plan is simulated with each number of workers, and a large one with few, up to all that can work."""
    names = [f"n{i}" for i in range(SMALL_PLAN + 1)]
    large = forecast(plan_of(*(planned(name) for name in names)))
    assert [one.workers for one in large.makespans] == [1, 4, 16, 32]
    small = forecast(plan_of(*(planned(name) for name in names[:6])))
    assert [one.workers for one in small.makespans] == [1, 2, 3, 4, 5, 6]
