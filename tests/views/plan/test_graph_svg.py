"""The dependency graph as SVG, read as XML, and as Mermaid text."""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

import pytest
from fakes import row
from views.plans import ladder, nothing, planned, task
from views.snapshots import EVIL

from odibi_nb.views.plan.graph_mermaid import graph_mermaid
from odibi_nb.views.plan.graph_svg import graph_svg
from odibi_nb.views.plan.plan_html import plan_html
from odibi_nb.views.status_style import STATUS_STYLES

SVG = "{http://www.w3.org/2000/svg}"


def drawn(text):
    return ET.fromstring(f"<div>{text}</div>").find(f".//{SVG}svg")


def titles(svg):
    return [title.text for title in svg.iter(f"{SVG}title")]


def test_it_is_an_image_with_words(tmp_path):
    """The picture has role=img, and its counts as label."""
    svg = drawn(graph_svg(planned(tmp_path, *ladder(9))))
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == "Dependency graph of P: 9 transformations, 13 dependencies"


@pytest.mark.parametrize("count", [5, 20, 100])
def test_it_can_be_read(tmp_path, count):
    """Every row has a box with its id, inside the picture; text is never shrunk below 8 px."""
    svg = drawn(graph_svg(planned(tmp_path, *ladder(count))))
    width, height = map(float, svg.get("viewBox").split()[2:])
    texts = {text.text for text in svg.iter(f"{SVG}text")}
    assert {r["transformation_id"] for r in ladder(count)} <= texts
    for box in svg.iter(f"{SVG}rect"):
        assert 0 <= float(box.get("x")) <= float(box.get("x")) + float(box.get("width")) <= width
        assert 0 <= float(box.get("y")) <= float(box.get("y")) + float(box.get("height")) <= height
    least = float(re.search(r"min-width:(\d+)px", svg.get("style"))[1])
    assert least / width * 11 > 7.9


def test_very_many_rows_are_small(tmp_path):
    """2,000 rows are drawn as their layers, in few bytes, with a note."""
    text = graph_svg(planned(tmp_path, *ladder(2_001)))
    assert "2,001 transformations are too many for one picture" in text
    assert len(text) < 5_000
    assert {"1,333", "667 from Bronze"} <= {t.text for t in drawn(text).iter(f"{SVG}text")}


def test_a_status_is_told_by_sign_and_word(tmp_path):
    """A node shows its status as a colour, a sign in the box, and a word in tooltip and legend."""
    text = graph_svg(planned(tmp_path, task("A"), task("B")), {"A": "FAILED"})
    svg = drawn(text)
    assert {"✖ A", "· B"} <= {t.text for t in svg.iter(f"{SVG}text")}
    assert STATUS_STYLES["FAILED"].colour in text
    assert "✖ failed" in titles(svg)[0]
    assert "✖ 1 failed, · 1 waiting" in text


def test_a_circle_is_drawn(tmp_path):
    """Each edge of a circle is dashed, with a note. Nothing is lost and nothing hangs."""
    rows = [task("A", after=["C"]), task("B", after=["A"]), task("C", after=["B"])]
    svg = drawn(graph_svg(planned(tmp_path, *rows)))
    assert {"A waits for C, in a cycle", "B waits for A, in a cycle"} < set(titles(svg))


def test_markup_stays_text(tmp_path):
    """A <script> in an id, a function or a problem is escaped, in picture and plan."""
    plan = planned(tmp_path, row(EVIL, function=EVIL, layer="Bronze"), task("A"))
    for text in (graph_svg(plan), plan_html(plan)):
        assert "<script" not in text
    svg = drawn(graph_svg(plan, {EVIL: EVIL}))
    assert any(title.startswith(EVIL) for title in titles(svg))


def test_nothing_is_loaded_or_run(tmp_path):
    """The picture has no scripts, no handlers, and no address but the namespace."""
    text = graph_svg(planned(tmp_path, *ladder(9))).replace("http://www.w3.org/2000/svg", "")
    assert "http" not in text
    assert "href" not in text
    assert not re.search(r"\son\w+=", text)


def test_without_rows_there_is_no_picture(tmp_path):
    """A plan without rows has no graph."""
    assert graph_svg(planned(tmp_path, task("A", enabled=0))) == ""


def test_a_plan_shows_its_graph(tmp_path):
    """The HTML of a plan has the graph, unfolded if it is small."""
    assert "<details open><summary>" in plan_html(planned(tmp_path, *ladder(9)))
    assert "<details><summary>" in plan_html(planned(tmp_path, *ladder(60)))


def test_mermaid(tmp_path):
    """The Mermaid text has the same layers, nodes, edges and statuses, with its syntax escaped."""
    plan = planned(
        tmp_path,
        row('B"1]', nothing, layer="Bronze", outputs=[{"table": "t.b"}]),
        task("S", "Silver_1", ["b"]),
    )
    assert graph_mermaid(plan, {"S": "SUCCESS"}).splitlines() == [
        "flowchart LR",
        '  subgraph L0["Bronze"]',
        '    n0["· B#34;1#93;<br/>B#34;1#93; · pandas"]',
        "  end",
        '  subgraph L1["Silver_1"]',
        '    n1["✔ S<br/>S · pandas"]',
        "  end",
        "  n0 --> n1",
        "  classDef waiting stroke:#8a8a8a,stroke-width:3px",
        "  class n0 waiting",
        "  classDef success stroke:#2e9e4f,stroke-width:3px",
        "  class n1 success",
    ]
    circle = planned(tmp_path, task("A", after=["B"]), task("B", after=["A"]))
    assert "n0 -. circle .-> n1" in graph_mermaid(circle)
    assert "-->|51|" in graph_mermaid(planned(tmp_path, *ladder(153)))
