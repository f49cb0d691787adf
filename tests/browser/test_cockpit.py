"""The live view of a run keeps its layout in a page with scrollbars, wide and narrow."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import plotly
import pytest
from browser.test_live import plant  # noqa: F401  a fixture
from views.snapshots import bar, row, run

from odibi_nb.core.planning.forecast import Span
from odibi_nb.views.run.eta import ExpectedRun
from odibi_nb.views.run.gantt import gantt_of
from odibi_nb.views.run.gantt_plotly import gantt_plotly

WATCH_TITLE = """() => {
  window.titles = [];
  new MutationObserver(() => window.titles.push(document.title))
    .observe(document.querySelector("title"), {childList: true, characterData: true, subtree: true});
}"""
"""Note each title from now on: any use of the page takes the last one back, a page that moves below a mouse, too."""
WATCH_HEIGHT = """() => {
  const area = document.querySelectorAll('.jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell')[1]
    .querySelector('.jp-Cell-outputArea');
  window.heights = [];
  const look = () => {
    window.heights.push(area.getBoundingClientRect().height);
    window.watching = requestAnimationFrame(look);
  };
  look();
}"""
PARTS = """() => [...[...document.querySelectorAll('.jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell')].at(-1)
  .querySelectorAll('.jp-OutputArea-child')].map(part => part.getBoundingClientRect().height)"""
SMALL_TEXTS = """() => [...document.querySelectorAll('.jp-NotebookPanel:not(.lm-mod-hidden) .odibi-layers text')]
  .map(text => [text.textContent, parseFloat(getComputedStyle(text).fontSize)
    * text.getScreenCTM().d * devicePixelRatio])
  .filter(([_, size]) => size < 11)"""
"""Texts of the drawing that are smaller on the screen than can be read."""
CHART = ".jp-RenderedPlotly .main-svg"
TITLE = "() => document.title"


def height(page, selector):
    return page.locator(selector).first.bounding_box()["height"]


def test_from_enter_to_the_end_in_a_narrow_page(notebook, plant):  # noqa: F811
    """The head has a title, counts that filter, and a readable Cancel. At the end of the run the
    cells below do not move.
    """
    nb = notebook(*plant.cells(plant.row("SLOW"), plant.row("BAD", "bad"), options="--workers 2"))
    page = nb.page
    page.set_viewport_size({"width": 800, "height": 900})
    before = page.evaluate(TITLE)
    nb.start()
    page.wait_for_selector(".jp-OutputArea-output >> text=0 of 2 done, 1 running, 1 failed")
    page.wait_for_function("() => document.title === '▶ 50 % Plant One'")
    cancel = page.get_by_role("button", name="Cancel", exact=True)
    cancel.wait_for()
    assert cancel.evaluate("b => b.scrollWidth <= b.clientWidth")
    page.wait_for_selector(".jp-OutputArea-output .js-plotly-plot .bars .point", state="attached")

    rows = page.locator(".odibi-log tbody:visible > tr:first-child > td:nth-child(2)")
    failed = page.get_by_role("button", name="1 failed")
    failed.click()
    assert rows.all_inner_texts() == ["BAD"]
    failed.press("Enter")
    assert rows.all_inner_texts() == ["BAD", "SLOW"]

    page.evaluate(WATCH_HEIGHT)
    page.evaluate(WATCH_TITLE)
    plant.go.touch()
    nb.finish()
    page.wait_for_selector(CHART, state="attached")
    page.wait_for_function("() => window.titles.includes('✖ Plant One')")
    page.wait_for_timeout(1_000)
    heights = page.evaluate(
        "() => { cancelAnimationFrame(window.watching); return window.heights; }"
    )
    assert min(heights) >= 0.8 * heights[0], (heights[0], min(heights), heights[-1])
    page.mouse.move(5, 5)
    page.wait_for_function("before => document.title === before", arg=before)

    whole = height(page, CHART)
    for width in (1_400, 800, 1_000):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_function(
            "limit => document.querySelector('.jp-RenderedPlotly .main-svg')"
            ".getBoundingClientRect().width <= limit",
            arg=width,
        )
        page.wait_for_timeout(500)
        assert height(page, CHART) == whole
    page.set_viewport_size({"width": 1_400, "height": 1_000})


CUT_OFF = """() => [...document.querySelectorAll('.odibi-log p:has(select) *')].filter(e =>
  e.getBoundingClientRect().right > e.closest('.odibi-log').getBoundingClientRect().right + 1).map(e => e.outerHTML)"""


@pytest.mark.parametrize("width", [1280, 800])
@pytest.mark.parametrize("function", ["bad", "good"])
def test_the_end_of_a_run_moves_nothing(notebook, plant, function, width):  # noqa: F811
    """Head, chart and table of an ended run are as high as those of the live one, whether a row failed or not.

    Beside an open side bar, too, the line above the table is whole.
    """
    rows = [plant.row("SLOW"), plant.row("FIRST", function), plant.row("SECOND", "good")]
    nb = notebook(*plant.cells(*rows, options="--ui widgets --workers 2"))
    page = nb.page
    page.set_viewport_size({"width": width, "height": 900})
    nb.start()
    page.get_by_role("button", name="Cancel", exact=True).wait_for()
    page.get_by_label("Log of", exact=True).wait_for()
    page.wait_for_selector(".jp-OutputArea-output >> text=/of 3 done, 1 running(, 1 failed)? *$/")
    before = page.evaluate(PARTS)[:3]
    plant.go.touch()
    nb.finish()
    page.wait_for_selector(f"{CHART} .bars .point", state="attached")
    page.wait_for_selector(".odibi-log.on")
    after = page.evaluate(PARTS)[:3]
    assert after == pytest.approx(before, abs=3)
    assert page.evaluate(CUT_OFF) == []
    page.set_viewport_size({"width": 1_400, "height": 1_000})


CUT_LINES = """() => [...document.querySelectorAll('.odibi-live .widget-html [title]')]
  .filter(e => e.style.textOverflow === 'ellipsis')
  .map(e => [e.scrollWidth > e.clientWidth,
    e.getBoundingClientRect().right <= e.closest('.widget-html').getBoundingClientRect().right])"""
"""Of the name and of the running rows: True if it is too long, and True if its end is seen."""


def test_a_line_of_the_live_head_that_is_too_long_ends_with_an_ellipsis(notebook, plant):  # noqa: F811
    """The name and the running rows have one line each. Their boxes cut nothing off that has no ellipsis."""
    rows = [plant.row(f"Silver.CleanSensorsOfAllPlants_{number:03}") for number in range(4)]
    nb = notebook(*plant.cells(*rows, options="--ui widgets --workers 4"))
    page = nb.page
    page.set_viewport_size({"width": 500, "height": 900})
    nb.start()
    page.wait_for_selector(".jp-OutputArea-output >> text=0 of 4 done, 4 running")
    page.get_by_role("button", name="Cancel", exact=True).wait_for()
    assert page.evaluate(CUT_LINES) == [[True, True], [True, True]]
    page.set_viewport_size({"width": 1_400, "height": 1_000})
    plant.go.touch()
    nb.finish()


PLOTLY_IN_A_PAGE = """([figure, ...selectors]) => {
  const box = document.body.appendChild(document.createElement('div'));
  return Plotly.newPlot(box, figure.data, figure.layout).then(() =>
    selectors.map(selector => [...box.querySelectorAll(selector)].map(e => e.getBoundingClientRect().toJSON())));
}"""
USUAL_KINDS = {
    "EXPECTED",
    "SUCCESS",
    "RUNNING",
    "FAILED",
    "RETRYING",
    "SKIPPED",
    "QUEUED",
    "RETRIED",
    "LATE",
}


def test_the_legend_of_a_run_has_one_line_in_a_page_of_1280_pixels(browser):
    """Also of a run with failed, retried, skipped and late rows and a forecast. A cell's output is 1065 pixels wide there."""
    rows = [
        row("Silver.CleanSensors_017", bar(1, 0, 1, "FAILED", "OSError: no"), bar(2, 2, 9)),
        row("Silver.CleanSensors_018", bar(1, 1, 2, "FAILED", "OSError: no")),
        row("Silver.CleanSensors_019", status="SKIPPED", end=2, error="upstream failed"),
        row("Silver.CleanSensors_020", bar(1, 2)),
    ]
    spans = {one.id: Span(0, 3, None) for one in rows}
    expected = ExpectedRun(seconds=dict.fromkeys(spans, 3.0), spans=spans, end=3.0)
    gantt = gantt_of(replace(run(*rows), expected=expected))
    assert {segment.kind for segment in (*gantt.segments, *gantt.ghosts())} == USUAL_KINDS
    (entries,) = drawn_parts(browser, 1065, gantt_plotly(gantt, live=True), ".legend .traces")
    assert len(entries) == len(USUAL_KINDS)
    assert len({round(entry["top"]) for entry in entries}) == 1


@pytest.mark.parametrize("width", [1065, 700])
def test_the_buttons_of_a_folded_chart_cover_nothing(browser, width):
    """Neither legend nor axis is below the buttons that unfold the lanes, however many kinds the legend has."""
    ends = ["SUCCESS", "FAILED", "ABANDONED", "CANCELLED", "UNCHANGED"]
    rows = [row(f"Silver.CleanSensors_{i:03}", bar(1, i, i + 1, ends[i % 5])) for i in range(70)]
    again = row("Gold.DailyEnergy_001", bar(1, 0, 1, "FAILED", "OSError: no"), bar(2, 2, 9))
    skipped = row("Gold.DailyEnergy_002", status="SKIPPED", end=2, error="upstream failed")
    gantt = gantt_of(run(*rows, again, skipped, seconds=71, status="failed"))
    figure = gantt_plotly(gantt)
    parts = (".updatemenu-button", ".legend .traces", ".xtick text")
    buttons, *others = drawn_parts(browser, width, figure, *parts)
    assert len(buttons) == 2
    for button, other in itertools.product(buttons, itertools.chain(*others)):
        beside = button["right"] <= other["left"] or other["right"] <= button["left"]
        assert beside or button["bottom"] <= other["top"] or other["bottom"] <= button["top"]


def drawn_parts(browser, width, figure, *selectors):
    """The places of the parts of a figure in a page of this width, for each selector."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.set_content("<!doctype html><body style='margin:0'>")
    page.add_script_tag(path=Path(plotly.__file__).parent / "package_data" / "plotly.min.js")
    found = page.evaluate(PLOTLY_IN_A_PAGE, [figure, *selectors])
    page.close()
    return found


def test_texts_of_the_drawing_keep_their_size_on_narrow_pages(notebook, plant):  # noqa: F811
    """The drawing shrinks with the page, and its texts stay 11 pixels high on the screen."""
    rows = [plant.row("SLOW"), *(plant.row(f"ROW_{i}", "good") for i in range(24))]
    nb = notebook(*plant.cells(*rows, options="--ui widgets --workers 2"))
    page = nb.page
    nb.start()
    page.wait_for_selector(".jp-OutputArea-output >> text=24 of 25 done, 1 running")
    for width in (1_400, 800, 500):
        page.set_viewport_size({"width": width, "height": 900})
        page.wait_for_selector(f".odibi-layers text >> nth={len(rows)}", state="attached")
        assert page.evaluate(SMALL_TEXTS) == []
    page.set_viewport_size({"width": 1_400, "height": 1_000})
    plant.go.touch()
    nb.finish()
