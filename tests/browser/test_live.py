"""A run as people see it in JupyterLab: it grows, fails, stops, and stays in the notebook."""

from __future__ import annotations

import pytest
from browser.controls import unusable
from real_project import make_project, registry_row

FUNCTIONS = """
import pathlib, time

def until_told(context, constants):
    while not pathlib.Path(constants["file"]).exists():
        context.cancelled and 1 / 0
        time.sleep(0.02)

def deaf(constants):
    while not pathlib.Path(constants["file"]).exists():
        time.sleep(0.02)

def bad():
    print("about to fail <script>window.hacked = true</script>")
    raise KeyError("no column <script>window.hacked = true</script>")

def talks(context, constants):
    print("step one <b>bold</b>")
    while not pathlib.Path(constants["file"] + "-on").exists():
        time.sleep(0.02)
    print("step two")
    until_told(context, constants)

def bad_late():
    time.sleep(0.3)
    bad()

def good():
    pass
"""


@pytest.fixture
def plant(tmp_path):
    """A project whose rows end when the file `plant.go` is there."""

    class Plant:
        folder, go = tmp_path, tmp_path / "go"

        def row(self, name, function="until_told", layer="Bronze", **constants):
            constants = {"file": str(self.go), "retry": 0, **constants}
            return registry_row(name, layer, function, constants=constants)

        def cells(self, *rows, options=""):
            make_project(tmp_path, rows=list(rows), functions=FUNCTIONS)
            return (
                f"%cd -q {tmp_path}\n%load_ext odibi_nb",
                f'r = %odibi run "Plant One" {options}\nprint("status", r["status"], r.counts())',
            )

    return Plant()


def bar_width(page):
    """The width of the widest bar of a Plotly figure in the page."""
    return page.evaluate(
        "() => Math.max(0, ...[...document.querySelectorAll('.js-plotly-plot .bars .point path')]"
        ".map(p => p.getBBox().width))"
    )


def printed(notebook):
    return notebook.page.locator(
        ".jp-OutputArea-output[data-mime-type*='stdout']"
    ).last.inner_text()


def test_bars_grow_and_a_failure_turns_up_while_the_cell_runs(notebook, plant):
    """In a live Plotly figure bars grow and a failed row shows its error. The notebook keeps a plot and a table."""
    nb = notebook(*plant.cells(plant.row("SLOW"), plant.row("BAD<script>", "bad")))
    page = nb.page
    nb.start()
    page.wait_for_selector(
        ".jp-OutputArea-output .js-plotly-plot .bars .point path", state="attached"
    )
    first = bar_width(page)
    page.wait_for_function(
        "w => [...document.querySelectorAll('.js-plotly-plot .bars .point path')]"
        ".some(p => p.getBBox().width > w + 5)",
        arg=first,
    )
    assert not page.evaluate("() => window.ran")
    page.wait_for_selector(".jp-OutputArea-output >> text=↳ KeyError: 'no column <script>")
    page.wait_for_selector(".jp-OutputArea-output >> text=0 of 2 done, 1 running, 1 failed")
    plant.go.touch()
    nb.finish()
    page.wait_for_selector(".jp-RenderedPlotly .bars .point", state="attached")
    page.wait_for_selector(".odibi-log button >> text=BAD<script>")
    assert page.evaluate("() => window.hacked") is None
    saved = nb.save()
    kinds = [set(o["data"]) for o in saved.cells[1]["outputs"] if "data" in o]
    assert {"application/vnd.plotly.v1+json", "text/html", "text/plain"} <= kinds[1]
    assert kinds[0] == kinds[2] == {"text/html", "text/plain"}


def test_a_saved_notebook_shows_the_run_again(notebook, plant):
    """A notebook that is closed and opened again, without running a cell, shows the table and the
    plot with its tooltips.
    """
    plant.go.touch()
    nb = notebook(*plant.cells(plant.row("ONE"), plant.row("TWO")))
    nb.start()
    nb.finish()
    nb.close()
    nb.open()
    page = nb.page
    page.hover(".jp-RenderedPlotly")
    page.wait_for_selector(".jp-RenderedPlotly .bars .point", state="attached")
    page.wait_for_selector(".jp-OutputArea-output td >> text=ONE")


@pytest.mark.parametrize("ui", ["widgets", "html"])
def test_the_other_pictures_are_live_too(notebook, plant, ui):
    """Widgets and HTML show the SVG chart while the cell runs; the end is the same plot."""
    nb = notebook(*plant.cells(plant.row("SLOW"), plant.row("BAD", "bad"), options=f"--ui {ui}"))
    page = nb.page
    nb.start()
    page.wait_for_selector(".jp-OutputArea-output svg[aria-label*='1 running, 1 failed']")
    assert not page.evaluate("() => window.ran")
    plant.go.touch()
    nb.finish()
    page.wait_for_selector(".jp-RenderedPlotly .bars .point", state="attached")


def test_the_stop_button_ends_the_run(notebook, plant):
    """The first press starts no new rows and lets running ones end. The second press revokes them."""
    rows = [plant.row(name) for name in ("A", "B", "C")]
    nb = notebook(*plant.cells(*rows, options="--workers 1 --ui widgets"))
    nb.start()
    nb.page.wait_for_selector(".jp-OutputArea-output >> text=1 running, 2 waiting")
    nb.interrupt()
    nb.page.wait_for_selector(".jp-OutputArea-output >> text=1 running, 2 cancelled")
    nb.interrupt()
    nb.finish()
    assert printed(nb).strip().split(maxsplit=2)[1:] == ["cancelled", "{'CANCELLED': 3}"]


def test_a_stopped_run_ends_with_what_runs(notebook, plant):
    """After one press the run ends within a second after its running transformations, which succeed."""
    rows = [plant.row(name) for name in ("A", "B", "C")]
    *cells, run = plant.cells(*rows, options="--workers 1 --ui widgets")
    waited = "(r.end_time - r.transformations['A'].end_time).total_seconds()"
    nb = notebook(*cells, f"{run}\nprint('at once', {waited} < 1)")
    nb.start()
    nb.page.wait_for_selector(".jp-OutputArea-output >> text=1 running, 2 waiting")
    nb.interrupt()
    nb.page.wait_for_selector(".jp-OutputArea-output >> text=1 running, 2 cancelled")
    plant.go.touch()
    nb.finish()
    assert "cancelled {'SUCCESS': 1, 'CANCELLED': 2}" in printed(nb)
    assert "at once True" in printed(nb)


def click_a_bar(page, row, seen):
    """Click on the bar of a row until *seen* is visible: a figure that is being redrawn may miss a click."""
    from playwright import sync_api

    for _ in range(10):
        at = page.evaluate(MIDDLE_OF_A_BAR, row)
        page.mouse.click(*at)
        try:
            page.wait_for_selector(seen, timeout=1_000)
        except sync_api.TimeoutError:
            continue
        return
    raise AssertionError("no click was heard")


MIDDLE_OF_A_BAR = """row => {
  const plot = document.querySelector('.jp-OutputArea-output .js-plotly-plot');
  const axes = plot._fullLayout, box = plot.getBoundingClientRect();
  const trace = plot.data.find(t => t.y && Array.from(t.y).includes(row) && t.name.includes('running'));
  const at = Array.from(trace.y).indexOf(row);
  return [box.x + axes.xaxis._offset + axes.xaxis.d2p(trace.base[at] + trace.x[at] / 2),
          box.y + axes.yaxis._offset + axes.yaxis.d2p(row)];
}"""


def test_the_log_of_a_running_row_is_followed(notebook, plant):
    """Clicking a row or its bar, or typing its id, shows its log while it runs. At the end the log is open.

    All that can be pressed or filled in meanwhile has a label and a tooltip, and Tab reaches it.
    """
    rows = (plant.row("QUIET"), plant.row("TALKS", "talks"))
    nb = notebook(*plant.cells(*rows, options="--workers 2"))
    page, log = nb.page, ".jp-OutputArea-output [role=group]"
    nb.start()
    box = page.get_by_label("Log of", exact=True)
    box.wait_for()
    page.locator(".odibi-log[onclick] td:nth-child(2)", has_text="TALKS").click()
    page.wait_for_selector(f"{log}[aria-label='Log of TALKS'] >> text=step one <b>bold</b>")
    (plant.folder / "go-on").touch()
    page.wait_for_selector(f"{log} >> text=step two")
    assert box.input_value() == "TALKS"
    assert unusable(page) == []
    box.fill("QUIET")
    box.press("Enter")
    page.wait_for_selector(
        f"{log}[aria-label='Log of QUIET'] >> text=nothing printed or logged yet"
    )
    page.wait_for_selector(".jp-OutputArea-output .js-plotly-plot .bars .point", state="attached")
    click_a_bar(page, 1, f"{log}[aria-label='Log of TALKS']")
    assert not page.evaluate("() => window.ran")
    plant.go.touch()
    nb.finish()
    page.wait_for_selector(".odibi-log.on details[open] >> text=step two")


def test_the_third_press_waits_for_nothing(notebook, plant):
    """A function that ignores the cancel is abandoned: the cell ends while the function continues."""
    nb = notebook(
        *plant.cells(plant.row("A", "deaf"), plant.row("B"), options="--workers 1 --ui widgets")
    )
    nb.start()
    nb.page.wait_for_selector(".jp-OutputArea-output >> text=1 running, 1 waiting")
    nb.interrupt()
    nb.page.wait_for_selector(".jp-OutputArea-output >> text=1 running, 1 cancelled")
    nb.interrupt()
    nb.interrupt()
    nb.finish()
    assert not plant.go.exists()
    assert "'ABANDONED': 1" in printed(nb)
    plant.go.touch()


@pytest.mark.parametrize("ui", ["widgets", "plotly"])
def test_the_cancel_button_ends_the_run(notebook, plant, ui):
    """Cancel works while the cell runs: no new row starts. The next press revokes the running rows."""
    rows = [plant.row(name) for name in ("A", "B", "C")]
    nb = notebook(*plant.cells(*rows, options=f"--workers 1 --ui {ui}"))
    nb.start()
    nb.page.get_by_role("button", name="Cancel", exact=True).click()
    nb.page.wait_for_selector(".jp-OutputArea-output >> text=1 running, 2 cancelled")
    assert not nb.page.evaluate("() => window.ran")
    stop = nb.page.get_by_role("button", name="Stop running rows")
    assert stop.get_attribute("title").startswith("Block their writes")
    stop.click()
    nb.finish()
    assert printed(nb).strip().split(maxsplit=2)[1:] == ["cancelled", "{'CANCELLED': 3}"]


def test_the_third_press_of_the_button_abandons(notebook, plant):
    """After Cancel, Stop and Abandon, a function that ignores them is abandoned, and the cell ends."""
    nb = notebook(*plant.cells(plant.row("A", "deaf"), options="--ui widgets"))
    nb.start()
    for label in ("Cancel", "Stop running rows", "Abandon running rows"):
        nb.page.get_by_role("button", name=label, exact=True).click()
    nb.finish()
    assert "'ABANDONED': 1" in printed(nb)
    plant.go.touch()


def test_where_a_button_is_not_heard_there_is_none(notebook, plant):
    """In a front end that sends widgets' messages to the busy shell, a hint about ■ replaces the button."""
    nb = notebook(*plant.cells(plant.row("A"), plant.row("B"), options="--ui widgets --workers 1"))
    subshells = "jupyterapp.serviceManager.kernels.commsOverSubshells"
    usual = nb.page.evaluate(f"() => {subshells}")
    nb.page.evaluate(f"() => {{ {subshells} = 'disabled'; }}")
    nb.start()
    nb.page.wait_for_selector(".jp-OutputArea-output >> text=/, 2 waiting|1 waiting/")
    nb.page.wait_for_selector(".odibi-log >> text=/^3$/")  # long enough to find out
    nb.page.wait_for_selector(".jp-OutputArea-output >> text=■ cancels")
    assert nb.page.get_by_role("button", name="Cancel", exact=True).count() == 0
    nb.page.evaluate(f"usual => {{ {subshells} = usual; }}", usual)
    nb.interrupt()
    nb.page.wait_for_selector(".jp-OutputArea-output >> text=■ again stops running rows")
    plant.go.touch()
    nb.finish()
    assert "cancelled" in printed(nb)


def test_a_page_reloaded_in_the_middle_of_a_run_shows_its_last_picture(notebook, plant):
    """A page without the widgets shows head, chart and table, and the command that continues."""
    setup, run = plant.cells(plant.row("SLOW"))
    often = "from odibi_nb.notebook.live import view\nview.KEEP_SECONDS = 0.2"
    nb = notebook(f"{setup}\n{often}", run)
    nb.start()
    nb.page.wait_for_selector(".odibi-top", state="attached")
    kept = nb.page.locator(".odibi-kept")
    kept.wait_for(state="attached")
    assert not kept.is_visible()
    nb.reload()
    kept = nb.page.locator(".odibi-kept")
    kept.wait_for(state="visible")
    text = nb.page.locator(".jp-OutputArea").last.inner_text()
    assert "%odibi watch last" in text
    assert "0 of 1 done, 1 running" in text
    assert "widget" not in text.replace("live view", "").lower()
    plant.go.touch()
