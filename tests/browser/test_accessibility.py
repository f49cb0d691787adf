"""Axe-core finds no violation of its rules in any view in JupyterLab and in no report, light and dark."""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser.lab import PANEL, new_page
from browser.test_live import plant  # noqa: F401  a fixture
from browser.test_panel import FUNCTIONS, TABS, Opened
from fakes import FakeProject, row
from real_project import default_rows, make_project, registry_row

from odibi_nb.reporting import find_report, save_report

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
        found += [
            f"{theme}: {line}" for line in broken_rules(page, {"include": [[f"{where} > *"]]})
        ]
    page.evaluate(
        "t => jupyterapp.commands.execute('apputils:change-theme', {theme: t}).then(() => true)",
        THEMES[0],
    )
    return found


def broken_rules(page, context=None):
    """Return the places of *context*, by default of the whole page, that violate a rule."""
    return [
        f"{rule['id']}: {node['html'][:200]} {node['target'][-1][-120:]}: {node['failureSummary']}"
        for rule in Axe().run(page, context).response["violations"]
        for node in rule["nodes"]
    ]


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


@pytest.mark.parametrize("ui", ["widgets", "plotly"])
def test_a_live_view_violates_no_rule_in_its_run_and_after_it(notebook, plant, ui):  # noqa: F811
    """With all its buttons, an open log and filtered rows; then cancelled; then at its end."""
    rows = [plant.row("TALKS", "talks"), plant.row("BAD", "bad"), plant.row("DONE", "good")]
    nb = notebook(*plant.cells(*rows, plant.row("LATER"), options=f"--ui {ui} --workers 2"))
    page = nb.page
    nb.start()
    page.get_by_label("Log of", exact=True).wait_for()
    page.wait_for_selector(".jp-OutputArea-output >> text=1 of 4 done, 2 running, 1 failed")
    assert violations(page) == []
    page.locator(f"{PANEL} .odibi-log td button:text-is('BAD')").click()
    page.wait_for_selector(".jp-OutputArea-output [role=group] >> text=Traceback")
    page.get_by_role("button", name="1 failed").click()
    assert violations(page) == []
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Stop running rows").wait_for()
    assert violations(page) == []
    plant.go.touch()
    (plant.folder / "go-on").touch()
    nb.finish()
    page.wait_for_selector(f"{PANEL} .odibi-log.on")
    assert violations(page) == []


def wrong():
    print("reading <weather>")
    raise KeyError("ghi")


@pytest.mark.parametrize("width", [1280, 800])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_report_violates_no_rule(browser, tmp_path, scheme, width):
    """The page of a run with failed, skipped and unusual rows, its graph, its logs and its tables."""
    rows = [row("A", lambda: [1], layer="Bronze", outputs=[{"table": "t.a"}])]
    rows += [row("BAD", wrong, inputs=["t.a"], outputs=[{"table": "t.b"}])]
    rows += [row(f"G{i}", lambda: None, inputs=["t.b"], layer="Gold_1") for i in range(12)]
    project = FakeProject(tmp_path / "p", rows, manifest={"owner": "team-energy"})
    project.run(retry=1)
    out = save_report(find_report(project.orchestrator()), tmp_path / "report.html").path
    page = new_page(browser, (width, 900))
    page.emulate_media(color_scheme=scheme)
    page.goto(out.as_uri())
    page.wait_for_selector(".odibi-log.on")
    assert broken_rules(page) == []
    page.locator("header button[data-status=FAILED]").click()
    page.locator("article summary").first.click()
    assert broken_rules(page) == []
    page.close()
