"""From a red bar to a fixed function in JupyterLab, in four steps."""

from __future__ import annotations

import pytest
from browser.bars import click_the_failed_bar
from real_project import make_project, registry_row

from odibi_nb import GenericProjectOrchestrator

GOOD = """
import pandas as pd


def load():
    return pd.DataFrame({"id": range(5), "power": [1.0, 2.0, 0.5, -0.5, 4.0]})


def clean(inputs, context):
    frame = context.read(inputs[0])
    print("cleaning", len(frame), "rows")
    return frame.assign(power=frame["power"])
"""
ROWS = [
    registry_row("B1", "Bronze", "load", outputs=["bronze.x"]),
    {
        **registry_row("S1", "Silver_1", "clean", ["bronze.x"], {"retry": 0}),
        "outputs": [{"table": "silver.x", "keys": ["id"]}],
    },
]
CELLS = "jupyterapp.shell.currentWidget.content.widgets"


@pytest.fixture
def home(tmp_path):
    """A project that was green yesterday. Today its Silver function names a column that does not exist."""
    home = make_project(tmp_path, rows=ROWS, functions=GOOD)
    project = GenericProjectOrchestrator("Plant One", manifest_path=home / "manifest.json")
    project.run().raise_for_status()
    file = home / "plant_functions.py"
    file.write_text(GOOD.replace('power=frame["power"]', 'power=frame["watts"].clip(lower=0)'))
    return home


def run_cell(nb, number, source):
    """Put *source* into a cell, as a person types it, and run it."""
    nb.page.evaluate(
        f"([number, source]) => {{ window.ran = false; const nb = jupyterapp.shell.currentWidget.content;"
        f"{CELLS}[number].model.sharedModel.setSource(source); nb.activeCellIndex = number;"
        "jupyterapp.commands.execute('notebook:run-cell').then(() => { window.ran = true; }); }",
        [number, source],
    )
    nb.finish()


def test_four_steps_from_red_to_green(notebook, tmp_path, home):
    """A user sees the red row with traceback and log, loads it, tries a fix, sees the difference, and retries: green."""
    nb = notebook(f"%cd -q {tmp_path}\n%load_ext odibi_nb", "%odibi run", "%odibi load S1", "", "")
    page = nb.page
    nb.start()
    nb.finish()
    # 1: red, with its traceback and what it printed
    page.wait_for_selector(".jp-OutputArea-output .odibi-log.on")
    click_the_failed_bar(page)
    page.wait_for_selector(".jp-OutputArea-output pre:has-text(\"KeyError: 'watts'\"):visible")
    page.wait_for_selector(".jp-OutputArea-output pre:has-text('cleaning 5 rows'):visible")
    # 2: loaded, and its source is the next cell
    page.wait_for_selector(".jp-OutputArea-output >> text=x (5 rows × 2 columns)")
    page.wait_for_function(f"() => {CELLS}.length === 6")
    source = page.evaluate(f"() => {CELLS}[3].model.sharedModel.getSource()")
    assert source.startswith("%%odibi try S1\ndef clean(inputs, context):")
    # 3: tried; exactly the row below zero changes
    fixed = source.replace('frame["watts"]', 'frame["power"]')
    run_cell(nb, 3, fixed)
    page.wait_for_selector(
        ".jp-OutputArea-output >> text=0 added, 0 removed, 1 changed, 4 unchanged"
    )
    page.wait_for_selector(".jp-OutputArea-output td:has-text('id=3'):visible")
    page.wait_for_selector(".jp-OutputArea-output td:text-is('-0.5'):visible")
    assert 'frame["watts"]' in (home / "plant_functions.py").read_text()
    # the file is the user's: pasted in an editor
    file = home / "plant_functions.py"
    file.write_text(file.read_text().replace('frame["watts"]', 'frame["power"]'))
    # 4: green
    run_cell(nb, 4, "r = %odibi retry last\nprint('ended', r['status'])")
    page.wait_for_selector(".jp-OutputArea-output >> text=ended success")
    run_cell(nb, 5, "%odibi try S1")
    page.wait_for_selector(
        ".jp-OutputArea-output >> text=0 added, 0 removed, 0 changed, 5 unchanged"
    )
