"""Axe-core finds no violation of its rules in any view in JupyterLab, light and dark."""

from __future__ import annotations

import re

from axe_playwright_python.sync_playwright import Axe
from browser.lab import PANEL
from browser.test_panel import FUNCTIONS, TABS, Opened
from real_project import default_rows, make_project, registry_row

BAD = registry_row(
    'BAD<i>"', "Silver_1", "bad", ["bronze.x"], {"retry": 0, "a": "<script>"}, ["silver.bad"]
)
SETUP = """%cd -q {folder}
%load_ext odibi_nb
first = %odibi run "Plant One" --only B1 S1 --ui text"""
VIEWS = (
    '%odibi plan "Plant One"',
    '%odibi run "Plant One"',
    "%odibi projects",
    '%odibi registry list "Plant One"',
    '%odibi history "Plant One"',
    "%odibi compare",
    "%odibi diff last",
    "%odibi diff bronze.x@0 bronze.x@1",
    '%odibi status "Plant One"',
    '%odibi plan "Plant One" --stale',
    '%odibi doctor "Plant One"',
    "%odibi explain S1",
    "%odibi lineage S1",
    "%odibi try S1",
    "%odibi load S1",
    "%odibi log 'BAD<i>\"'",
    "%odibi try 'BAD<i>\"'",
    "%odibi retry last",
    'panel = %odibi panel "Plant One"\npanel',
    "panel.preview().join()\nprint('pre', 'viewed')",
)


OUTPUTS = f"{PANEL} .jp-OutputArea-output:not(:has(.dataframe))"
"""All outputs but DataFrames, whose HTML is written by pandas."""
THEMES = ("JupyterLab Light", "JupyterLab Dark")


def violations(page, where=OUTPUTS):
    """Return the places where our output violates a rule, in each theme. JupyterLab's own elements do not count."""
    found = []
    for theme in THEMES:
        page.evaluate(
            "t => jupyterapp.commands.execute('apputils:change-theme', {theme: t}).then(() => true)",
            theme,
        )
        page.locator(f"body[data-jp-theme-name='{theme}']").wait_for(state="attached")
        results = Axe().run(page, {"include": [[f"{where} > *"]]})
        found += [
            f"{theme}: {rule['id']}: {node['html'][:200]} {node['target'][-1][-120:]}: {node['failureSummary']}"
            for rule in results.response["violations"]
            for node in rule["nodes"]
        ]
    page.evaluate(
        "t => jupyterapp.commands.execute('apputils:change-theme', {theme: t}).then(() => true)",
        THEMES[0],
    )
    return found


def test_no_view_violates_a_rule(notebook, tmp_path):
    """Run, plan, history, compare, diff, status, doctor, explain, lineage, try and the panel's tabs, light and dark."""
    make_project(tmp_path, rows=[*default_rows(), BAD], functions=FUNCTIONS)
    nb = notebook(SETUP.format(folder=tmp_path), *VIEWS)
    nb.start()
    nb.finish()
    page = nb.page
    page.wait_for_selector(".jp-OutputArea-output >> text=pre viewed")
    assert violations(page) == []
    panel = Opened(nb, -1)
    panel.press("Run")
    panel.sees(re.compile("✖ failed"))
    for tab in TABS:
        panel.open(tab)
        assert violations(page, f"{OUTPUTS}:has(.jupyter-button)") == []
