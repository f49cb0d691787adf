"""The dependency graph before it is drawn, and the positions of its boxes and lines."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
from fakes import row
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from thorough import examples
from views.plans import ladder, nothing, planned, task

from odibi_nb.views.plan.graph import MAX_NODES, Graph, Node, graph_of
from odibi_nb.views.plan.graph_layout import MAX_COLUMN, laid_out

BOX, GAP, LINE = 38, 10, 4


def test_nodes_say_what_they_are(tmp_path):
    """A node has its id, its function and its engine. Its tooltip has the full names, and the rows it waits for."""
    graph = graph_of(planned(tmp_path, task("B"), task("S", "Silver_1", ["B"])))
    node = graph.nodes["S"]
    assert node.lines == ("S", "S · pandas")
    assert node.tooltip == ("S", "fake_functions.S", "Silver_1 · pandas", "after B")
    assert graph.edges == {("B", "S"): 1}
    assert graph.layers == ("Bronze", "Silver_1")
    assert graph.label == "Dependency graph of P: 2 transformations, 1 dependency"


def test_nodes_of_layers_that_are_ordered_by_step_show_their_step(project):
    """If steps order a layer, and only then, a node has its step and the step it waits for."""
    rows = [
        task(f"{layer[0]}{i}", layer, step=i) for layer in ("Bronze", "Silver_1") for i in (1, 2)
    ]
    asked = {"layers": {"Bronze": {"ordered_by_step": True}}}
    nodes = graph_of(project(*rows, manifest=asked).orchestrator().plan()).nodes
    assert nodes["B1"].lines == ("B1", "step 1 · B1 · pandas")
    assert nodes["B1"].tooltip[-1] == "step 1"
    assert nodes["B2"].tooltip[-1] == "step 2, after all rows of step 1"
    assert nodes["S2"].lines == ("S2", "S2 · pandas")


def test_a_run_shows_in_signs(tmp_path):
    """Each node has its status, WAITING without one in the run. The legend counts them."""
    plan = planned(tmp_path, task("A"), task("B"), task("C"))
    graph = graph_of(plan, {"A": "SUCCESS", "B": "FAILED", "X": "RUNNING"})
    assert [node.sign for node in graph.nodes.values()] == ["✔", "✖", "·"]
    assert graph.legend == ("✔ 1 success", "✖ 1 failed", "· 1 waiting")
    assert graph.label.endswith("1 success, 1 failed, 1 waiting")
    assert graph_of(plan, {"A": "FROM_THE_FUTURE"}).nodes["A"].status == "WAITING"
    assert {node.sign for node in graph_of(plan).nodes.values()} == {""}


def test_problems_are_marked_where_they_are(tmp_path):
    """A row with a missing function or wrong constants is marked with its problem."""
    bad = row("IT'S", nothing, layer="Bronze", constants={"priority": "x"})
    plan = planned(tmp_path, task("A"), row("LOST", function="lost"), bad)
    graph = graph_of(plan)
    assert [name for name, node in graph.nodes.items() if node.problems] == ["IT'S", "LOST"]
    assert graph.nodes["IT'S"].sign == "⚠"
    assert graph.nodes["IT'S"].tooltip[-1] == "⚠ expected a number, found 'x'"
    assert graph.legend == ("⚠ 2 with a problem",)


def test_a_circle_is_shown_as_one(tmp_path):
    """Rows that wait for each other are marked. Without the closing edge the graph has no circle."""
    rows = [task("A", after=["C"]), task("B", after=["A"]), task("C", after=["B"]), task("D")]
    graph = graph_of(planned(tmp_path, *rows))
    assert set(graph.circle) == {("C", "A"), ("A", "B"), ("B", "C")}
    assert len(set(graph.circle) & set(graph.edges)) == 2
    assert [name for name, node in graph.nodes.items() if node.problems] == ["A", "B", "C"]


def test_a_part_of_a_plan_can_be_shown(tmp_path):
    """If rows are left out of a plan, its graph has only the edges between the others."""
    plan = planned(tmp_path, *ladder(9))
    part = {name: row for name, row in plan.rows.items() if row.layer != "Silver_1"}
    graph = graph_of(dataclasses.replace(plan, rows=part))
    assert graph.layers == ("Bronze", "Gold_1")
    assert {layer for edge in graph.edges for layer in (edge[0][:4], edge[1][:4])} == {
        "BRON",
        "GOLD",
    }


def test_too_many_rows_become_layers(tmp_path):
    """Above the limit the graph has one node per layer, with counts, and a note about it."""
    plan = planned(tmp_path, *ladder(MAX_NODES + 3))
    first = next(iter(plan.rows))
    graph = graph_of(plan, {first: "FAILED"})
    assert list(graph.nodes) == ["Bronze", "Silver_1", "Gold_1"]
    assert graph.nodes["Bronze"].lines == (
        "Bronze",
        "51 transformations",
        "✖ 1 failed",
        "· 50 waiting",
    )
    assert graph.nodes["Bronze"].status == "FAILED"
    assert graph.edges["Bronze", "Gold_1"] == 51
    assert graph.note.startswith("153 transformations are too many for one picture")
    assert graph.label.startswith("Dependency graph of P: 153 transformations, 253 dependencies")


@st.composite
def graphs(draw):
    """Graphs over up to four layers, with edges to later layers."""
    count = draw(st.integers(1, 40))
    layers = sorted(draw(st.lists(st.integers(0, 3), min_size=count, max_size=count)))
    pairs = st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))
    edges = {(min(p), max(p)) for p in draw(st.lists(pairs, max_size=60)) if p[0] != p[1]}
    nodes = {str(i): Node(str(i), f"L{layer}", (str(i),), ()) for i, layer in enumerate(layers)}
    return Graph(
        layers=tuple(sorted({node.layer for node in nodes.values()})),
        nodes=nodes,
        edges={(str(a), str(b)): 1 for a, b in edges},
    )


@settings(suppress_health_check=[HealthCheck.too_slow], max_examples=examples(30))
@given(graphs())
def test_any_graph_is_laid_out(graph):
    """Boxes do not overlap, layers are in order, and every edge leads to the right, column by column."""
    layout = laid_out(graph, BOX, GAP, LINE)
    place = {slot.id: slot for slot in layout.y if not slot.passing}
    assert set(place) == set(graph.nodes)
    assert list(layout.layer_of) == sorted(layout.layer_of)
    for name, slot in place.items():
        assert layout.layer_of[slot.column] == graph.nodes[name].layer
    for column in layout.columns:
        assert sum(not slot.passing for slot in column) <= MAX_COLUMN
        for a, b in itertools.pairwise(column):
            need = sum(LINE if slot.passing else BOX for slot in (a, b)) / 2
            assert layout.y[b] - layout.y[a] >= need - 1e-6
    assert all(b.column == a.column + 1 for a, b in layout.links)
    assert all(place[a].column < place[b].column for a, b in graph.edges)
    assert min(
        layout.y[slot] - (LINE if slot.passing else BOX) / 2 for slot in layout.y
    ) == pytest.approx(0)
    assert laid_out(graph, BOX, GAP, LINE) == layout


def test_lines_that_need_not_cross_do_not(tmp_path):
    """Crossed pairs are sorted so that their lines are level."""
    names = [f"B{i}" for i in range(6)]
    rows = [*map(task, names), *(task(f"S{i}", "Silver_1", [f"B{5 - i}"]) for i in range(6))]
    layout = laid_out(graph_of(planned(tmp_path, *rows)), BOX, GAP, LINE)
    place = {slot.id: layout.y[slot] for slot in layout.y}
    assert [place[f"S{i}"] for i in range(6)] == pytest.approx(
        [place[f"B{5 - i}"] for i in range(6)]
    )
