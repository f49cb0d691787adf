"""The same live run in other front ends: Notebook 7, and JupyterLab on Databricks' versions."""

from __future__ import annotations

import sys

import pytest
from browser.lab import Lab, Notebook7, first_page
from environments.environment import ENVIRONMENTS
from real_project import make_project, registry_row

FUNCTIONS = """
import pathlib, time

def until_told(context, constants):
    while not pathlib.Path(constants["file"]).exists():
        context.cancelled and 1 / 0
        time.sleep(0.02)

def bad():
    raise KeyError("no such column")

def good():
    pass
"""
DATABRICKS = {"DATABRICKS_RUNTIME_VERSION": "18.0"}


@pytest.fixture(
    scope="module",
    params=["notebook-7", pytest.param("dbr-18", marks=pytest.mark.environments)],
)
def front_end(request):
    """The front end's name."""
    return request.param


@pytest.fixture(scope="module")
def lab(front_end, browser, forked_kernels, tmp_path_factory):
    """Its server, instead of the usual one."""
    root = tmp_path_factory.mktemp(front_end)
    if front_end in ENVIRONMENTS:
        python = str(ENVIRONMENTS[front_end].build().python)
        server = Lab(root, python=python, environ=DATABRICKS)
    else:
        server = Notebook7(root, python=sys.executable, environ={"JUPYTER_PATH": forked_kernels})
    with server as lab:
        yield lab


@pytest.fixture(scope="module")
def page(lab, browser):
    """A page of it."""
    page = first_page(lab, browser)
    yield page
    page.close()


@pytest.fixture
def run(notebook, tmp_path):
    """Starts a run of rows that end when the file `go` is there; the notebook."""

    def start(*functions, options="", before=""):
        constants = {"file": str(tmp_path / "go"), "retry": 0}
        rows = [
            registry_row(f"ROW_{i}", "Bronze", function, constants=constants)
            for i, function in enumerate(functions)
        ]
        make_project(tmp_path, rows=rows, functions=FUNCTIONS)
        opened = notebook(
            f"%cd -q {tmp_path}\n%load_ext odibi_nb",
            f'{before}r = %odibi run "Plant One" {options}\nprint("sta" "tus", r["status"], r.counts())',
        )
        opened.start()
        return opened

    return start


def grow(page, bars):
    """Wait until *bars* are together wider than a frame before."""
    page.wait_for_selector(bars, state="attached")
    page.evaluate("() => { window.width = Infinity; }")
    page.wait_for_function(
        "bars => { const before = window.width; window.width = 0;"
        " document.querySelectorAll(bars).forEach(p => { window.width += p.getBBox().width; });"
        " return window.width > before + 1; }",
        arg=bars,
    )


PLOTLY_BARS = ".js-plotly-plot .bars .point path"
WIDGETS = "[data-mime-type='application/vnd.jupyter.widget-view+json']"
SVG_BARS = ".jp-OutputArea-output svg[role='img'] rect:has(title)"


@pytest.mark.parametrize(
    ("options", "bars"), [("--ui plotly", PLOTLY_BARS), ("--ui widgets", SVG_BARS)]
)
def test_a_run_is_live_and_its_end_is_kept(run, tmp_path, options, bars):
    """While the cell runs, bars grow and a failure appears. At the end, page and saved file have
    the plot and the table.
    """
    nb = run("until_told", "bad", options=options)
    page = nb.page
    grow(page, bars)
    page.wait_for_selector(".jp-OutputArea-output >> text=0 of 2 done, 1 running, 1 failed")
    page.wait_for_selector(".jp-OutputArea-output >> text=↳ KeyError: 'no such column'")
    assert not page.evaluate("() => window.ran")
    (tmp_path / "go").touch()
    nb.finish()
    page.wait_for_selector(".jp-RenderedPlotly .bars .point", state="attached")
    page.wait_for_selector(".jp-OutputArea-output >> text=status failed")
    saved = nb.save()
    kinds = [set(o["data"]) for o in saved.cells[1]["outputs"] if "data" in o]
    summary, picture, table, kept = (
        kinds  # the last holds the picture of a page that lost its widgets
    )
    assert kept == {"text/html", "text/plain"}
    assert {"application/vnd.plotly.v1+json", "text/html", "text/plain"} <= picture
    assert "text/html" in summary & table


def test_by_default_the_front_ends_best_is_shown(run, front_end, tmp_path):
    """A live Plotly figure in Notebook 7, core widgets on Databricks."""
    nb = run("until_told")
    grow(nb.page, PLOTLY_BARS if front_end == "notebook-7" else SVG_BARS)
    (tmp_path / "go").touch()
    nb.finish()


def test_the_stop_button_ends_the_run(run):
    """The first press lets running rows end and starts no new ones. The second press revokes them."""
    nb = run("until_told", "until_told", options="--workers 1")
    nb.page.wait_for_selector(".jp-OutputArea-output >> text=1 running, 1 waiting")
    nb.interrupt()
    nb.page.wait_for_selector(".jp-OutputArea-output >> text=1 running, 1 cancelled")
    nb.interrupt()
    nb.finish()
    nb.page.wait_for_selector(".jp-OutputArea-output >> text=status cancelled {'CANCELLED': 2}")


def test_two_runs_in_a_cell_both_end_as_kept(run, tmp_path):
    """While the second run continues, the first one's plot is drawn again. Then both are plot and
    table, without widgets.
    """
    nb = run(
        "good",
        "until_told",
        before='%odibi run "Plant One" --select ROW_0\n',
        options="--ui widgets",
    )
    page = nb.page
    page.wait_for_function(
        "() => { const { outputs } = jupyterapp.shell.currentWidget.content.widgets[1].model;"
        " return [...Array(outputs.length).keys()].some(i => outputs.get(i).data['image/png']); }"
    )
    grow(page, SVG_BARS)
    (tmp_path / "go").touch()
    nb.finish()
    page.wait_for_selector(".jp-OutputArea-output >> text=status success")
    assert page.locator(WIDGETS).count() == 0
    assert page.locator(".jp-RenderedPlotly").count() == 2
