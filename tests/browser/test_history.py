"""The history of a project, by clicks."""

from __future__ import annotations

from browser.lab import PANEL
from browser.test_live import plant  # noqa: F401  a fixture

CELLS = "jupyterapp.shell.currentWidget.content.widgets"


def test_a_click_on_a_run_shows_it(notebook, plant):  # noqa: F811
    """A click on a column puts the command of that run into a new cell and runs it."""
    plant.go.touch()
    setup, _ = plant.cells(plant.row("ONE"), plant.row("BAD", "bad"))
    run = "r = %odibi run --only {} --ui text --log-level CRITICAL"
    history = "print('first', r.run_id)\n%odibi history"
    nb = notebook(setup, run.format("ONE"), "first = r.run_id", run.format("BAD"), history)
    page = nb.page
    nb.start()
    nb.finish()
    page.locator(f"{PANEL} .odibi-history thead button").first.click()
    page.wait_for_function(f"() => {CELLS}.length === 6")
    source = page.evaluate(f"() => {CELLS}[5].model.sharedModel.getSource()")
    assert source.startswith("%odibi show ")
    shown = page.locator(f"{PANEL} .jp-Cell").nth(5)
    shown.locator(".odibi-log").wait_for()
    assert "ONE" in shown.inner_text()
    assert "BAD" not in shown.inner_text()
