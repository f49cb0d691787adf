"""The live view of a run keeps its layout in a page with scrollbars, wide and narrow."""

from __future__ import annotations

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
