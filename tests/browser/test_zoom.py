"""A run in a page that is zoomed, dense or narrow: nothing is cut off, and everything can be read."""

from __future__ import annotations

import contextlib

import pytest
from browser.lab import PANEL
from browser.test_live import plant  # noqa: F401  a fixture
from playwright.sync_api import TimeoutError as PageTimeoutError

SCREEN = (1280, 900)
ZOOMS = (0.8, 1.25, 1.5, 2.0)
"""Zoom factors of the browser's menu. A factor changes the number of pixels that the page has for its layout."""
LEAST_TEXT = 11
"""Height of the smallest letters, in pixels of the page: whoever makes a page smaller wants them smaller."""
CUT = """panel => [...document.querySelectorAll(panel + ' .jp-OutputArea-output')].flatMap(output => {
  const room = output.getBoundingClientRect();
  const cell = n => `thead th:nth-child(${n}), tbody > tr:first-child > td:nth-child(${n})`;
  const parts = 'button, select, input, [role=status], [role=img],' + [1, 2, 3].map(cell);
  return [...output.querySelectorAll(parts)].filter(e => e.offsetParent && !e.closest('.odibi-kept')
    && (e.tagName != 'TD' || e.innerText.trim())).filter(e => {
      const box = e.getBoundingClientRect();
      return box.left < room.left - 1 || box.right > room.right + 1 || e.scrollWidth > e.clientWidth + 1 && e.clientWidth;
  }).map(e => e.outerHTML.slice(0, 200));
})"""
"""Controls, counts, and cells of status, id and seconds that are not wholly in their output."""
SMALL = """([panel, least]) => [...document.querySelectorAll(panel + ' .jp-OutputArea-output text, '
    + panel + ' .odibi-log td, ' + panel + ' [role=status]')]
  .filter(e => e.textContent.trim() && e.getClientRects().length)
  .map(e => [e.textContent.trim().slice(0, 40),
    parseFloat(getComputedStyle(e).fontSize) * (e.getScreenCTM ? e.getScreenCTM().d : 1)])
  .filter(([_, size]) => size && size < least - 0.05)"""
SHOWN = """panel => [...document.querySelectorAll(panel + ' .odibi-log tbody > tr:first-child')]
  .filter(e => e.offsetParent).map(row => [...row.cells].slice(0, 3).map(c => c.getBoundingClientRect().width))"""


@contextlib.contextmanager
def no_side_bar(page):
    """Close JupyterLab's side bar for a while."""
    page.evaluate("() => jupyterapp.shell.collapseLeft()")
    yield
    page.evaluate("() => jupyterapp.shell.expandLeft()")


@contextlib.contextmanager
def zoomed(page):
    """Give a function that zooms the page as the browser's menu does."""
    session = page.context.new_cdp_session(page)

    def zoom(factor, dense=1.0):
        session.send(
            "Emulation.setDeviceMetricsOverride",
            {
                "width": round(SCREEN[0] / factor),
                "height": round(SCREEN[1] / factor),
                "deviceScaleFactor": factor * dense,
                "mobile": False,
            },
        )
        page.wait_for_function(
            "ratio => Math.abs(devicePixelRatio - ratio) < .01", arg=factor * dense
        )

    try:
        yield zoom
    finally:
        session.send("Emulation.clearDeviceMetricsOverride")
        session.detach()


FAULTS = f"""([panel, least]) => ({{
  cut: ({CUT})(panel), small: ({SMALL})([panel, least]),
  narrow: ({SHOWN})(panel).filter(row => Math.min(...row.slice(0, 2)) < 40)}})"""


def see_all(page):
    """Wait until the page has followed its new width and nothing is wrong in the outputs."""
    none = f"async found => Object.values(({FAULTS})(found)).every(list => !list.length)"
    try:
        page.wait_for_function(none, arg=[PANEL, LEAST_TEXT], timeout=15_000)
    except PageTimeoutError:
        assert page.evaluate(FAULTS, [PANEL, LEAST_TEXT]) == {"cut": [], "small": [], "narrow": []}


@pytest.mark.parametrize("ui", ["widgets", "plotly"])
def test_a_zoomed_page_shows_all_of_a_run(notebook, plant, ui):  # noqa: F811
    """At 80, 125, 150 and 200 %, and on a dense screen, head, controls, chart, status, ids and seconds of a
    run are whole, and all letters are 11 pixels high, during the run and after it.
    """
    rows = [plant.row("SILVER_SLOW"), plant.row("BAD", "bad")]
    rows += [plant.row(f"BRONZE_00{i}", "good") for i in range(9)]
    nb = notebook(*plant.cells(*rows, options=f"--ui {ui} --workers 2"))
    page = nb.page
    nb.start()
    page.get_by_role("button", name="Cancel", exact=True).wait_for()
    page.get_by_label("Log of", exact=True).wait_for()
    page.wait_for_selector(".jp-OutputArea-output >> text=9 of 11 done, 1 running, 1 failed")
    with no_side_bar(page), zoomed(page) as zoom:
        for factor in ZOOMS:
            zoom(factor)
            see_all(page)
        zoom(1.0, dense=2.0)
        see_all(page)
        plant.go.touch()
        nb.finish()
        page.wait_for_selector(".odibi-log.on")
        page.wait_for_selector(".jp-RenderedPlotly .main-svg", state="attached")
        for factor in ZOOMS:
            zoom(factor)
            see_all(page)
        zoom(1.0, dense=2.0)
        see_all(page)
