"""The Gantt chart as SVG, read as XML."""

from __future__ import annotations

import dataclasses
import itertools
from xml.etree import ElementTree as ET

import pytest
from views.snapshots import EVIL, bar, everything, many, row, run

from odibi_nb.core.model.events import Progress
from odibi_nb.views.run.gantt import gantt_of
from odibi_nb.views.run.gantt_svg import FIT_HEIGHT, LETTER, WIDTH, gantt_svg
from odibi_nb.views.status_style import PART_DONE, STATUS_STYLES

SVG = "{http://www.w3.org/2000/svg}"


def drawn(snapshot):
    return ET.fromstring(gantt_svg(gantt_of(snapshot), "run-1"))


def texts(svg):
    return [element.text for element in svg.iter(f"{SVG}text")]


def test_a_names_sign_has_its_room():
    """The sign before a name lies inside the picture, and the chart begins where it does without one."""
    plain = run(row("SILVER_001", bar(1, 0, 2)))
    warned = bar(1, 0, 2)
    warned = dataclasses.replace(warned, checks=("output not written: x",))
    starts = []
    for snapshot in (plain, run(row("SILVER_001", warned))):
        svg = drawn(snapshot)
        (name,) = [e for e in svg.iter(f"{SVG}text") if "SILVER_001" in e.text]
        assert float(name.get("x")) >= LETTER * len(name.text)
        starts.append(name.get("x"))
    assert starts[0] == starts[1]


def test_it_is_an_image_with_words():
    """role=img, and the counts as its label."""
    svg = drawn(everything())
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == gantt_of(everything()).label


def test_every_bar_has_its_tooltip():
    """Each bar is a rectangle with a title that starts with its id."""
    svg, gantt = drawn(everything()), gantt_of(everything())
    titles = [r.findtext(f"{SVG}title") for r in svg.iter(f"{SVG}rect") if len(r)]
    assert sorted(titles) == sorted("\n".join(gantt.tooltip(segment)) for segment in gantt.segments)


def test_a_kind_is_told_by_pattern_and_legend():
    """Each kind that is drawn has its own pattern, with the plain colour to fall back on, and a legend."""
    svg = drawn(everything())
    patterns = [p.get("id") for p in svg.iter(f"{SVG}pattern")]
    assert len(set(patterns)) == len(STATUS_STYLES)
    assert all(name.startswith("run1") for name in patterns)
    paints = {
        f"url(#{n}) {style.colour}"
        for n, style in zip(patterns, STATUS_STYLES.values(), strict=True)
    }
    assert {r.get("fill") for r in svg.findall(f"{SVG}rect")} == paints  # the legend's
    assert {g.get("fill") for g in svg.findall(f"{SVG}g") if g.get("fill")} == paints
    assert {"✔ success", "✖ failed", "· queued", "↻ retrying"} <= set(texts(svg))


@pytest.mark.parametrize("count", [1, 5, 50, 120])
def test_names_can_be_read(count):
    """Up to 120 rows have their name beside them, none on another."""
    svg = drawn(many(count))
    assert {f"SILVER_{i:04}" for i in range(count)} <= set(texts(svg))
    (names,) = [g for g in svg.findall(f"{SVG}g") if g.get("font-size")]
    ys = [float(e.get("y")) for e in names]
    assert all(b - a >= float(names.get("font-size")) for a, b in itertools.pairwise(ys))


@pytest.mark.parametrize("count", [121, 500, 2_000])
def test_very_many_rows_fit(count):
    """With more rows the picture has a fixed height, the layers' names, and stays small."""
    text = gantt_svg(gantt_of(many(count)))
    svg = ET.fromstring(text)
    assert float(svg.get("viewBox").split()[3]) < FIT_HEIGHT + 100
    assert {"Bronze", "Silver_1", "Gold_1"} <= set(texts(svg))
    assert "SILVER_0000" not in texts(svg)
    assert len(text) < 90_000


def test_it_is_as_wide_as_its_place():
    """Full width, scaled through the viewBox; everything lies inside."""
    svg = drawn(everything())
    assert svg.get("width") == "100%"
    assert svg.get("viewBox").startswith(f"0 0 {WIDTH} ")
    for rect in svg.findall(f"{SVG}rect"):
        assert 0 <= float(rect.get("x")) <= float(rect.get("x")) + float(rect.get("width")) <= WIDTH


def test_markup_stays_text():
    """A <script> in an id, layer, function, error or project is escaped."""
    evil = dataclasses.replace(
        row(EVIL, bar(1, 0, 1, "FAILED", EVIL), layer=EVIL), function=EVIL, engine=EVIL
    )
    snapshot = dataclasses.replace(run(evil), project=EVIL, run_id=EVIL, env=EVIL)
    text = gantt_svg(gantt_of(snapshot), EVIL)
    assert "<script" not in text
    svg = ET.fromstring(text)
    assert EVIL in svg.get("aria-label")
    assert svg.findtext(f"{SVG}g/{SVG}rect/{SVG}title").startswith(EVIL)


def test_nothing_is_loaded_or_run():
    """No scripts, no handlers, no addresses but the namespace."""
    text = gantt_svg(gantt_of(everything())).replace("http://www.w3.org/2000/svg", "")
    assert "http" not in text
    assert " on" not in text
    assert "href" not in text


def test_a_place_in_the_picture_tells_its_row():
    """Where the rows begin and how high they are, as parts of the height, and how many there are."""
    for snapshot in (everything(), many(500)):
        text = gantt_svg(gantt_of(snapshot), "run-1")
        svg = ET.fromstring(text)
        first, each, count = map(float, svg.get("data-rows").split())
        height = float(svg.get("viewBox").split()[3])
        assert svg.get("data-run") == "run-1"
        assert count == len(snapshot.rows)
        assert first * height == pytest.approx(30, abs=0.01)
        assert (first + each * count) * height == pytest.approx(height - 24, abs=0.1)


def test_without_rows_there_is_no_picture():
    """A run of nothing has no chart."""
    assert gantt_svg(gantt_of(run())) == ""


def test_a_running_bar_is_filled_as_far_as_it_is_done():
    """A fill over the part that is done, which lets the bar's tooltip through; the figure as text."""
    going = row("A", bar(1, 2, progress=Progress(3, 8)), engine="spark")
    svg = drawn(run(going, row("B", bar(1, 2))))
    (fill,) = [r for r in svg.iter(f"{SVG}rect") if r.get("fill") == PART_DONE]
    (whole, _) = [r for r in svg.iter(f"{SVG}rect") if len(r)]
    assert float(fill.get("width")) == pytest.approx(float(whole.get("width")) * 3 / 8, abs=0.1)
    assert fill.get("x") == whole.get("x")
    assert "pointer-events:none" in fill.get("style")
    assert [text for text in texts(svg) if text.endswith("%")] == ["37 %"]
    assert "37 %: 3 of 8 tasks" in whole.findtext(f"{SVG}title")
