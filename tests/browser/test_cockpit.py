"""The live view of a run keeps its layout in a page with scrollbars, wide and narrow."""

from __future__ import annotations

import pytest
from browser.test_live import plant  # noqa: F401  a fixture

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


@pytest.mark.parametrize("width", [1280, 800])
@pytest.mark.parametrize("function", ["bad", "good"])
def test_the_end_of_a_run_moves_nothing(notebook, plant, function, width):  # noqa: F811
    """Head, chart and table of an ended run are as high as those of the live one, whether a row failed or not."""
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
    page.set_viewport_size({"width": 1_400, "height": 1_000})


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
