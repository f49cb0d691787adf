"""Getting from a red row to a green run takes four actions, by mouse or by keyboard only."""

from __future__ import annotations

import pytest
from browser.controls import unusable
from real_project import make_project, registry_row

GOOD = """
import pandas as pd


def load():
    return pd.DataFrame({"id": range(5), "ghi_w_m2": [1.0, 2.0, 0.5, -0.5, 4.0]})


def weather_15min(inputs, context):
    frame = context.read(inputs[0])
    return frame.assign(ghi=frame["ghi_w_m2"])


def total(inputs, context):
    return context.read(inputs[0]).head(1)
"""
RED = GOOD.replace('frame["ghi_w_m2"]', 'frame["ghi"]')
ROWS = [
    registry_row("B1", "Bronze", "load", outputs=["bronze.x"]),
    registry_row("S1", "Silver_1", "weather_15min", ["bronze.x"], {"retry": 0}, ["silver.x"]),
    registry_row("S2", "Silver_1", "total", ["silver.x"], outputs=["silver.y"]),
]
CELLS = "jupyterapp.shell.currentWidget.content.widgets"
OUTPUT = ".jp-NotebookPanel:not(.lm-mod-hidden) .jp-OutputArea-output"


@pytest.fixture
def home(tmp_path):
    return make_project(tmp_path, rows=ROWS, functions=RED)


@pytest.fixture
def red(notebook, tmp_path, home):
    """A notebook whose run has failed."""
    nb = notebook(f"%cd -q {tmp_path}\n%load_ext odibi_nb", "%odibi run")
    nb.start()
    nb.finish()
    nb.page.wait_for_selector(f"{OUTPUT} .odibi-log.on")
    return nb


def wait_for_cell(page, text):
    """Wait until a cell has *text* in its source. Return the number of that cell."""
    page.wait_for_function(f"t => {CELLS}.some(c => c.model.sharedModel.getSource().includes(t))", arg=text)  # fmt: skip
    return page.evaluate(
        f"t => {CELLS}.findIndex(c => c.model.sharedModel.getSource().includes(t))", text
    )


def wait_for_output(page, text):
    page.wait_for_function(
        f"t => [...document.querySelectorAll('{OUTPUT}')].some(e => e.innerText.includes(t))",
        arg=text,
    )


def edit(page, number):
    """Correct the column in the cell as a user types, and leave the cell active and ready to run."""
    page.evaluate(
        "n => { const nb = jupyterapp.shell.currentWidget.content, cell = nb.widgets[n].model.sharedModel;"
        "cell.setSource(cell.getSource().replace('frame[\"ghi\"]', 'frame[\"ghi_w_m2\"]')); nb.activeCellIndex = n; }",
        number,
    )


def test_four_actions_by_mouse(red, home):
    """The buttons Load here, Apply and Write it and retry, and running the edited cell, take four
    clicks or cells, and the run is green.
    """
    page, actions = red.page, 0
    row = page.locator(f"{OUTPUT} tbody[data-status=FAILED]")
    assert "KeyError: 'ghi' — plant_functions.py:11 in weather_15min" in row.inner_text()
    assert "did you mean ghi_w_m2?" in row.inner_text()
    assert row.locator("a").get_attribute("title").endswith("plant_functions.py:11")
    assert unusable(page) == []
    row.get_by_role("button", name="Load here").click()
    actions += 1
    number = wait_for_cell(page, "%%odibi try S1")
    edit(page, number)
    page.keyboard.press("Control+Enter")
    actions += 1
    page.wait_for_selector(f"{OUTPUT} summary:has-text('Apply to plant_functions.py'):visible")
    assert page.locator(f"{OUTPUT} ins").count() == 1
    assert (home / "plant_functions.py").read_text() == RED
    page.locator(f"{OUTPUT} summary:has-text('Apply to')").click()
    actions += 1
    assert unusable(page) == []
    page.get_by_role("button", name="Write it and retry").click()
    actions += 1
    wait_for_output(page, "✔ projects/plant_one/plant_functions.py written")
    wait_for_output(page, "2 of 2")
    assert (home / "plant_functions.py").read_text() == GOOD
    assert actions == 4


def focus_by_tab(page, name):
    """Move the focus with Tab until the control called *name* has it."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement?.innerText?.trim()") == name:
            return
    raise AssertionError(f"Tab does not reach {name}")


def test_four_actions_by_keyboard(red, home):
    """Tab, Enter and Ctrl+Enter alone do the same."""
    page = red.page
    page.evaluate("() => document.querySelector('.odibi-log.on input').focus()")
    focus_by_tab(page, "Load here")
    page.keyboard.press("Enter")
    number = wait_for_cell(page, "%%odibi try S1")
    edit(page, number)
    page.keyboard.press("Control+Enter")
    page.wait_for_selector(f"{OUTPUT} summary:has-text('Apply to plant_functions.py'):visible")
    page.evaluate(
        "n => { const nb = jupyterapp.shell.currentWidget.content; nb.mode = 'command'; nb.node.focus(); }"
    )
    focus_by_tab(page, "Apply to plant_functions.py")
    page.keyboard.press("Enter")
    focus_by_tab(page, "Write it and retry")
    page.keyboard.press("Enter")
    wait_for_output(page, "✔ projects/plant_one/plant_functions.py written")
    wait_for_output(page, "2 of 2")
    assert (home / "plant_functions.py").read_text() == GOOD


def test_the_place_opens_at_its_line(notebook, lab):
    """A click on `plant_functions.py:11` opens the file in JupyterLab's editor, with the cursor in that line."""
    folder = lab.root / "linked"
    make_project(folder, rows=ROWS, functions=RED)
    nb = notebook(f"%cd -q {folder}\n%load_ext odibi_nb", "%odibi run")
    nb.start()
    nb.finish()
    page = nb.page
    page.wait_for_selector(f"{OUTPUT} .odibi-log.on")
    page.locator(f"{OUTPUT} tbody[data-status=FAILED] a").click()
    editor = "jupyterapp.shell.currentWidget?.content?.editor"
    page.wait_for_function(f"() => {editor}?.getCursorPosition().line === 10")
    page.evaluate("() => jupyterapp.commands.execute('application:close').then(() => true)")
    page.wait_for_function("() => jupyterapp.shell.currentWidget?.context?.path.endsWith('ipynb')")
