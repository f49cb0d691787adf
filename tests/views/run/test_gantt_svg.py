"""The Gantt chart as SVG, read as XML."""

from __future__ import annotations

import dataclasses
import itertools
import re
from xml.etree import ElementTree as ET

import pytest
from msgspec.structs import replace as changed
from views.snapshots import EVIL, bar, everything, many, row, run

from odibi_nb.core.model.events import Progress
from odibi_nb.views.run.gantt import BOTTOM, TOP, gantt_of
from odibi_nb.views.run.gantt_svg import LETTER, MAX_HOVER, gantt_svg
from odibi_nb.views.status_style import BAR_STYLES, PART_DONE, STATUS_STYLES, WORDS

SVG = "{http://www.w3.org/2000/svg}"
SVG_TAG = f"{SVG}svg"


def page(snapshot):
    """The legend and the drawing."""
    return ET.fromstring(gantt_svg(gantt_of(snapshot), "run-1"))


def drawn(snapshot):
    """The drawing."""
    return page(snapshot).find(SVG_TAG)


def texts(svg):
    return [element.text for element in svg.iter(f"{SVG}text")]


def names_of_bars(svg):
    """The names of all bars: a path has those of its bars, a rectangle has its own."""
    rects = [r.findtext(f"{SVG}title") for r in svg.iter(f"{SVG}rect") if len(r)]
    paths = [p.findtext(f"{SVG}title").split("\n") for p in svg.iter(f"{SVG}path") if len(p)]
    return [*(name for names in paths for name in names), *rects]


def percent(text):
    """The number of a percentage."""
    assert text.endswith("%")
    return float(text[:-1])


def test_a_names_sign_has_its_room():
    """The sign before a name has its room left of the drawing, which begins where it does without one."""
    plain = run(row("SILVER_001", bar(1, 0, 2)))
    warned = bar(1, 0, 2)
    warned = changed(warned, checks=("output not written: x",))
    starts = []
    for snapshot in (plain, run(row("SILVER_001", warned))):
        whole = page(snapshot)
        (names,) = [e for e in whole.iter(f"{SVG}g") if e.get("transform") == "translate(-8)"]
        (name,) = names
        left = int(re.search(r"padding:0 \d+px 0 (\d+)px", whole.get("style"))[1])
        assert left - 8 >= LETTER * len(name.text)
        starts.append(left)
    assert starts[0] == starts[1]


def test_it_is_an_image_with_words():
    """The picture has role=img, and the counts as its label."""
    svg = drawn(everything())
    assert svg.get("role") == "img"
    assert svg.get("aria-label") == gantt_of(everything()).label


def test_every_bar_has_its_tooltip():
    """Each bar is a rectangle with a title that starts with its id."""
    svg, gantt = drawn(everything()), gantt_of(everything())
    titles = [r.findtext(f"{SVG}title") for r in svg.iter(f"{SVG}rect") if len(r)]
    assert sorted(titles) == sorted("\n".join(gantt.tooltip(segment)) for segment in gantt.segments)


def test_a_kind_is_told_by_pattern_and_legend():
    """Each kind that is drawn has its own pattern, with the plain colour to fall back on, and a legend.

    A status has its sign there. The other kinds have words alone.
    """
    whole, gantt = page(everything()), gantt_of(everything())
    svg = whole.find(SVG_TAG)
    kinds = [kind for kind in BAR_STYLES if kind in {s.kind for s in gantt.segments}]
    patterned = [kind for kind in kinds if BAR_STYLES[kind].pattern]
    patterns = [p.get("id") for p in svg.iter(f"{SVG}pattern")]
    assert len(set(patterns)) == len(patterned) == len(STATUS_STYLES) - 1  # a success is plain
    assert all(name.startswith("run1") for name in patterns)
    paints = {f"url(#{n}) {BAR_STYLES[k].bar}" for n, k in zip(patterns, patterned, strict=True)}
    paints |= {BAR_STYLES[kind].bar for kind in kinds if kind not in patterned}
    assert {r.get("fill") for r in whole.iterfind("div/span/svg/rect")} == paints
    assert {g.get("fill") for g in svg.findall(f"{SVG}g") if g.get("fill")} == paints
    hollow = svg.find(f"{SVG}g[@stroke]")
    assert hollow.findtext(f"{SVG}rect/{SVG}title").splitlines()[2] == "▯ retried, attempt 1"
    legend = {entry.find("svg").tail for entry in whole.iterfind("div/span")}
    assert {"✔ success", "✖ failed", "· queued", "↻ retrying"} <= legend
    assert {word for kind, word in WORDS.items() if kind in kinds} <= legend


@pytest.mark.parametrize("count", [1, 5, 50, 60])
def test_names_can_be_read(count):
    """Up to 60 rows have their name beside them, without overlaps."""
    svg = drawn(many(count))
    assert {f"SILVER_{i:04}" for i in range(count)} <= set(texts(svg))
    (names,) = [g for g in svg.findall(f"{SVG}g") if g.get("text-anchor") == "end"]
    ys = [float(e.get("y")) for e in names]
    assert all(b - a >= float(names.get("font-size")) for a, b in itertools.pairwise(ys))


@pytest.mark.parametrize("count", [61, 500, 2_000])
def test_very_many_rows_fit(count):
    """With more rows, failed ones have their names, workers share lines of the same height, and the
    picture stays small.
    """
    text = gantt_svg(gantt_of(many(count)))
    svg = ET.fromstring(text).find(SVG_TAG)
    assert float(svg.get("height")) < 700
    assert {"✖ SILVER_0005", "worker 1"} <= set(texts(svg))
    assert "SILVER_0000" not in texts(svg)
    assert len(text) < 140_000


def test_many_bars_say_who_they_are():
    """Every bar has a name. Neighbours too narrow for the mouse are one bar that names both ends."""
    names = names_of_bars(drawn(many(500)))
    assert sorted(name.split("\n")[0] for name in names) == [f"SILVER_{i:04}" for i in range(500)]
    rows = [row(f"T{i}", bar(1, i / 1000, (i + 1) / 1000)) for i in range(MAX_HOVER + 1)]
    names = names_of_bars(drawn(run(*rows, seconds=1.0, status="success")))
    assert re.fullmatch(r"T0 … T\d+ \(\d+ rows\)", names[0])
    counted = [re.search(r"\((\d+) rows", name) for name in names]
    assert sum(int(found[1]) if found else 1 for found in counted) == len(rows)


def test_the_many_bars_of_a_line_are_one_element():
    """Of many bars, a line has one element for each status. Only bars with a sign have their own."""
    svg = drawn(many(2_000))
    lines = len(gantt_of(many(2_000)).labels)
    failed = sum(row.status == "FAILED" for row in many(2_000).rows)
    assert sum(1 for _ in svg.iter()) < 12 * lines + 3 * failed
    assert len([path for path in svg.iter(f"{SVG}path") if len(path)]) <= lines


def test_rows_that_were_skipped_together_have_one_mark():
    """Thousands of rows may be skipped at one moment. Their mark names the first, the last and their number."""
    rows = [row(f"T{i:03}", status="SKIPPED", end=4, error="no") for i in range(MAX_HOVER + 1)]
    svg = drawn(run(row("BAD", bar(1, 2, 4, "FAILED", "OSError: no")), *rows, status="failed"))
    assert f"T000 … T300 ({MAX_HOVER + 1} rows)" in names_of_bars(svg)
    assert texts(svg).count("⤼") == 1


def test_a_long_name_is_cut_and_whole_in_its_tooltip():
    """The name beside a row keeps both its ends. Its tooltip is the full name."""
    svg = drawn(run(row("INGEST_PLANT_B_KILN_TEMPERATURES_OF_THE_WEST", bar(1, 0, 2))))
    (name,) = [e for e in svg.iter(f"{SVG}text") if len(e)]
    assert name.findtext(f"{SVG}title") == "INGEST_PLANT_B_KILN_TEMPERATURES_OF_THE_WEST"
    assert name[0].tail == "INGEST_PLANT_B_…ES_OF_THE_WEST"


def test_it_is_as_wide_as_its_place():
    """Bars are percentages of the drawing's width and inside it; heights and texts are pixels, however wide it is."""
    svg = drawn(everything())
    assert svg.get("width") == "100%"
    assert svg.get("viewBox") is None
    for rect in svg.iter(f"{SVG}rect"):
        if rect.get("x"):
            assert 0 <= percent(rect.get("x")) <= 100.01 - percent(rect.get("width"))
    sizes = [float(e.get("font-size")) for e in svg.iter() if e.get("font-size")]
    assert min(sizes) >= 11


def test_texts_of_a_drawing_that_was_taken_out_are_not_seen():
    """A front end may remove the elements of a drawing and leave their texts: they have no size then."""
    whole = page(everything())
    assert "font-size:0px" in whole.get("style")
    for text in whole.iter(f"{SVG}text"):
        assert any(text in [*e.iter()] and e.get("font-size") for e in whole.iter())


def test_markup_stays_text():
    """A <script> in an id, layer, function, error or project is escaped."""
    evil = changed(row(EVIL, bar(1, 0, 1, "FAILED", EVIL), layer=EVIL), function=EVIL, engine=EVIL)
    snapshot = dataclasses.replace(run(evil), project=EVIL, run_id=EVIL, env=EVIL)
    text = gantt_svg(gantt_of(snapshot), EVIL)
    assert "<script" not in text
    svg = ET.fromstring(text).find(SVG_TAG)
    assert EVIL in svg.get("aria-label")
    assert svg.findtext(f"{SVG}g/{SVG}rect/{SVG}title").startswith(EVIL)


def test_nothing_is_loaded_or_run():
    """The picture has no scripts, no handlers, and no address but the namespace."""
    text = gantt_svg(gantt_of(everything())).replace("http://www.w3.org/2000/svg", "")
    assert "http" not in text
    assert " on" not in text
    assert "href" not in text


def test_a_place_in_the_picture_tells_its_row():
    """The picture has the rows' beginning and height, as parts of its height, and their number."""
    for snapshot in (everything(), many(60)):
        text = gantt_svg(gantt_of(snapshot), "run-1")
        svg = ET.fromstring(text).find(SVG_TAG)
        first, each, count = map(float, svg.get("data-rows").split())
        height = float(svg.get("height"))
        assert svg.get("data-run") == "run-1"
        assert count == len(snapshot.rows)
        assert first * height == pytest.approx(TOP, abs=0.01)
        assert (first + each * count) * height == pytest.approx(height - BOTTOM, abs=0.1)


def test_without_rows_there_is_no_picture():
    """A run without rows has no chart."""
    assert gantt_svg(gantt_of(run())) == ""


def test_a_running_bar_is_filled_as_far_as_it_is_done():
    """A fill covers the finished part without covering the bar's tooltip. The percentage is text."""
    going = row("A", bar(1, 2, progress=Progress(3, 8)), engine="spark")
    svg = drawn(run(going, row("B", bar(1, 2))))
    (fill,) = [r for r in svg.iter(f"{SVG}rect") if r.get("fill") == PART_DONE]
    (whole, _) = [r for r in svg.iter(f"{SVG}rect") if len(r)]
    assert percent(fill.get("width")) == pytest.approx(percent(whole.get("width")) * 3 / 8, abs=0.1)
    assert fill.get("x") == whole.get("x")
    assert "pointer-events:none" in fill.get("style")
    assert [text for text in texts(svg) if text.endswith("%")] == ["37 %"]
    assert "37 %: 3 of 8 tasks" in whole.findtext(f"{SVG}title")
