"""Saved runs where little is allowed: an untrusted notebook, and pages without style sheets and scripts."""

from __future__ import annotations

import re

import nbformat
import pytest
from browser.lab import WIDGET
from fakes import FakeProject, row

from odibi_nb.views.run.bundles import PLOTLY, run_bundles
from odibi_nb.views.run.state import snapshot_of


def broken():
    print("about to fail")
    raise KeyError("no column <b>x</b>")


@pytest.fixture
def saved(lab, tmp_path):
    """Writes a notebook whose cell has the outputs of a failed run; JupyterLab has never trusted it."""

    def written(name, *, plotly):
        rows = [row("LONG", lambda: None), row("BAD", broken), row("AFTER", lambda: None)]
        project = FakeProject(tmp_path / "project", rows)
        result = project.run(retry=0)
        bundles = [dict(bundle) for bundle in run_bundles(snapshot_of(result), result)]
        if not plotly:
            bundles[1].pop(PLOTLY)
        cell = nbformat.v4.new_code_cell("r = %odibi run", execution_count=1)
        cell.outputs = [nbformat.v4.new_output("display_data", data=bundle) for bundle in bundles]
        nbformat.write(nbformat.v4.new_notebook(cells=[cell]), lab.root / name)
        return lab.root / name

    return written


@pytest.mark.parametrize("plotly", [True, False])
def test_an_untrusted_notebook_without_a_kernel_shows_the_run(page, saved, plotly):
    """Head, chart, and table with the colours of statuses; commands are text, and no leftover of the drawing is seen.

    An error begins below its row's status, not at the far end of the line.
    """
    path = saved(f"untrusted-{plotly}.ipynb", plotly=plotly)
    page.evaluate(
        "p => jupyterapp.commands.execute('docmanager:open', {path: p, factory: 'Notebook', "
        "kernelPreference: {shouldStart: false, canStart: false}}).then(w => w.context.ready).then(() => true)",
        path.name,
    )
    area = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden) .jp-OutputArea").first
    area.get_by_text("2 of 3 done").wait_for()
    assert not page.evaluate(f"() => {WIDGET}.content.widgets[0].model.trusted")
    assert not page.evaluate(f"() => !!{WIDGET}.context.sessionContext.session?.kernel")
    first = area.locator("table tbody > tr:first-child").first
    assert first.inner_text().split()[:3] == ["✖", "FAILED", "BAD"]
    failed = area.locator("table b", has_text="FAILED").first
    assert failed.evaluate("b => getComputedStyle(b).color") == "rgb(217, 67, 59)"
    area.get_by_text("%odibi retry").first.wait_for()
    error = area.locator("table td[colspan]", has_text="KeyError").first
    assert error.evaluate("td => getComputedStyle(td).textAlign") == "left"
    assert area.locator("button:visible", has_text="Debug").count() == 0
    if plotly:
        page.wait_for_selector(".jp-RenderedPlotly .bars .point", state="attached")
    else:
        image = area.locator("img")
        assert image.evaluate("i => i.complete && i.naturalWidth > 500 && i.offsetHeight > 50")
        left = area.get_by_text("LONG", exact=True)
        assert left.count() == 1  # in the table: names of the drawing are not left in the page
    page.evaluate(f"() => {WIDGET}.dispose()")


def test_without_styles_and_scripts_a_run_can_be_read(browser, tmp_path):
    """Head and table say everything in order on a page that keeps elements and texts only."""
    project = FakeProject(tmp_path, [row("LONG", lambda: None), row("BAD", broken)])
    result = project.run(retry=0)
    html = "".join(bundle["text/html"] for bundle in run_bundles(snapshot_of(result), result))
    html = re.sub(r"<(style|script|svg)\b.*?</\1>", "", html, flags=re.DOTALL)
    html = re.sub(
        r"<(style|script|svg)\b.*?</\1>|\s(style|class|onclick|data-[\w-]+)=('[^']*'|\"[^\"]*\"|[^\s>]+)",
        "",
        html,
    )
    page = browser.new_page()
    page.set_content(f"<!doctype html><body>{html}</body>")
    text = page.locator("body").inner_text()
    page.close()
    assert "P · env qat · run" in text
    assert "1 of 2 done" in text
    assert "KeyError: 'no column <b>x</b>'" in text
    assert "%odibi retry" in text
