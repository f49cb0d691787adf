"""The panel, and a run in the background, as people use them: in JupyterLab, with mouse and keyboard."""

from __future__ import annotations

import re

import pytest
from browser.controls import unusable
from browser.lab import NOT_YET_FOUND, PANEL
from notebook_copies import copy_notebooks
from real_project import default_rows, make_project, registry_row

FUNCTIONS = """
import pathlib, time
import pandas as pd

def load(constants):
    print("loading", constants["rows"])
    return pd.DataFrame({"x": range(constants["rows"])})

def double(inputs, context):
    frame = context.read(inputs[0])
    return frame.assign(x=frame["x"] * 2)

def bad():
    print("<script>window.hacked = 1</script>")
    raise KeyError("<script>window.hacked = 2</script>")

def until_told(context, constants):
    while not pathlib.Path(constants["file"]).exists():
        context.cancelled and 1 / 0
        time.sleep(0.02)
"""
TABS = ("Preview", "Gantt", "Run log", "Result")


class Opened:
    """A panel in the page."""

    def __init__(self, notebook, number=0):
        self.notebook, self.page = notebook, notebook.page
        outputs = self.page.locator(f"{PANEL} .jp-OutputArea-output")
        self.root = outputs.filter(has=self.page.locator(".jupyter-button")).nth(number)

    def button(self, name):
        return self.root.locator("button.jupyter-button").filter(
            has_text=re.compile(rf"^\s*{name}\s*$")
        )

    def press(self, name):
        """Press a button once it can be."""
        self.button(name).and_(self.page.locator(":enabled")).click()

    def cannot_press(self, name):
        """Wait until a button is disabled."""
        self.button(name).and_(self.page.locator(":disabled")).wait_for()

    def open(self, tab):
        self.root.get_by_role("tab", name=tab, exact=True).click()

    def sees(self, text, timeout=30_000):
        """Wait until *text* is visible."""
        self.root.get_by_text(text).locator("visible=true").first.wait_for(timeout=timeout)


@pytest.fixture
def folder(tmp_path):
    return tmp_path


@pytest.fixture
def panel(notebook, folder):
    """Opens a panel of a project of the given rows."""

    def opened(*rows, more=(), **manifest):
        make_project(folder, rows=list(rows) or default_rows(), functions=FUNCTIONS, **manifest)
        cells = (
            f"%cd -q {folder}\n%load_ext odibi_nb",
            'panel = %odibi panel "Plant One"\npanel',
            *more,
        )
        nb = notebook(*cells)
        nb.start()
        nb.finish()
        return Opened(nb)

    return opened


def waiting(folder, *names):
    constants = {"file": str(folder / "go"), "retry": 0}
    return [registry_row(name, "Bronze", "until_told", constants=constants) for name in names]


def test_a_project_is_run_by_clicks_alone(panel):
    """Preview, Run and the four tabs show the whole story; a second run works alike."""
    p = panel()
    p.press("Preview")
    p.sees("2 transformations would run.")
    p.sees("What waits for what")
    p.sees("plant_functions.double")
    for _ in range(2):
        p.press("Run")
        p.sees(re.compile("✔ success .* 2 of 2 done"))
        p.root.locator("svg[aria-label='Gantt chart of Plant One: 2 success']").wait_for()
        p.open("Run log")
        p.sees("✔ SUCCESS")
        p.open("Gantt")
        p.sees("loading 3")
        p.open("Result")
        p.sees("panel.result.to_frame()")


def test_the_example_is_run_by_clicks_alone(notebook, folder):
    """A user chooses the example project in the panel, previews it, runs it, and looks at the result."""
    copied = copy_notebooks(folder)
    nb = notebook(
        f"%cd -q {copied}\n%load_ext odibi_nb",
        "%odibi panel",
    )
    nb.start()
    nb.finish()
    p = Opened(nb)
    p.press("Preview")
    p.sees("19 transformations would run.")
    p.press("Run")
    p.sees(re.compile("✔ success .* 19 of 19 done"), timeout=120_000)
    p.root.locator("svg[aria-label='Gantt chart of Energy Efficiency: 19 success']").wait_for()
    p.open("Run log")
    p.sees("odibi_nb.sql.query")
    p.open("Result")
    p.sees("panel.result.to_frame()")


def test_the_command_follows_what_is_chosen(panel):
    """A choice made with the keyboard appears in the command at once, and Run executes it."""
    p = panel()
    p.sees("2 of 2 listed")
    find = p.root.get_by_label("Find")
    find.focus()
    find.press_sequentially("S1")
    p.sees("1 of 2 listed")
    p.button("Choose found").press("Enter")
    p.sees("%odibi run 'Plant One' --env qat --only S1")
    p.root.get_by_label("Bronze").press("Space")
    p.sees("%odibi run 'Plant One' --env qat --layers Silver_1 --only S1")
    p.press("More")
    p.root.get_by_label("Schedule").wait_for()
    p.root.get_by_label("Schedule").focus()
    for key in ("Space", "ArrowDown", "Enter"):  # a list that drops down keeps its keys
        p.page.keyboard.press(key)
    p.sees("--only S1 --schedule graph")
    p.button("Preview").press("Enter")
    p.sees("1 transformation would run.")


def test_a_broken_registry_is_shown_before_anything_runs(panel):
    """Preview marks the problems at their rows. Run is refused with the same messages, and the panel keeps working."""
    p = panel(*default_rows(), registry_row("S2", "Silver_1", "dubble"))
    p.press("Preview")
    p.sees("1 problem: nothing will run.")
    p.sees(re.compile("✖ problem module .* has no function 'dubble' .did you mean 'double'"))
    p.press("Run")
    p.sees("Plant One (env=qat) could not run.")
    p.sees(re.compile("has no function 'dubble'"))
    p.press("Preview")
    p.sees("1 problem: nothing will run.")


def test_a_failure_can_be_retried(panel):
    """A failed run shows its error as text, and Retry failed runs what failed again."""
    p = panel(
        *default_rows(),
        registry_row("X<script>", "Silver_1", "bad", constants={"retry": 0, "a": "<script>"}),
    )
    p.press("Preview")
    p.sees("3 transformations would run.")
    p.press("Run")
    p.sees(re.compile("✖ failed .* 2 of 3 done, 1 failed"))
    for tab in TABS:
        p.open(tab)
        p.sees(re.compile("X<script>"))
    p.press("Retry failed")
    p.sees(re.compile("✖ failed .* 0 of 1 done, 1 failed"))
    assert p.page.evaluate("() => window.hacked") is None


def test_a_protected_environment_asks(panel):
    """In a protected environment Run is disabled until the project's name has been typed."""
    p = panel(*[{**row, "environment": "prod"} for row in default_rows()])
    p.root.get_by_label("Environment").select_option("prod")
    confirm = p.root.get_by_label("Confirm")
    confirm.wait_for()
    p.cannot_press("Run")
    confirm.fill("Plant One")
    p.press("Run")
    p.sees(re.compile("✔ success .* 2 of 2 done"))
    p.cannot_press("Run")


def test_cancel_says_what_its_next_press_does(panel, folder):
    """During a run Cancel is enabled: it drains, then stops running rows. Afterwards Run is enabled again."""
    p = panel(*waiting(folder, "A", "B"))
    p.root.get_by_label("Workers").fill("1")
    p.root.get_by_label("Workers").press("Enter")
    p.sees(re.compile("--workers 1"))
    p.press("Run")
    p.sees(re.compile("▶ running .* 1 running, 1 waiting"))
    p.cannot_press("Run")
    p.press("Cancel")
    p.sees(re.compile("1 running, 1 cancelled"))
    p.press("Stop running rows")
    p.sees(re.compile("■ cancelled .* 0 of 2 done, 2 cancelled"))
    p.cannot_press("Cancel")
    p.button("Run").and_(p.page.locator(":enabled")).wait_for()


def test_two_panels_are_strangers(panel, folder):
    """Choices and runs in one panel change nothing in another panel of the same notebook."""
    p = panel(*waiting(folder, "A"), more=('other = %odibi panel "Plant One"\nother',))
    other = Opened(p.notebook, 1)
    p.press("Run")
    p.sees(re.compile("▶ running .* 1 running"))
    other.sees("Ready.")
    other.press("Run")
    other.sees(re.compile("is in progress; wait for it, or end it"))
    (folder / "go").touch()
    p.sees(re.compile("✔ success .* 1 of 1 done"))


def test_every_control_can_be_reached_by_keyboard(panel):
    """Tab reaches every control in the order on the page. Each has a name and a tooltip."""
    p = panel()
    p.sees("2 of 2 listed")
    assert unusable(p.page) == []
    p.root.get_by_label("Project").focus()
    names = []
    for _ in range(16):
        names.append(
            p.page.evaluate(
                "() => { const e = document.activeElement; return (e.labels?.[0]?.innerText "
                "|| e.getAttribute('aria-label') || e.innerText || '').trim() }"
            )
        )
        p.page.keyboard.press("Tab")
    assert names == [
        *("Project", "Environment", "Engine", "Workers", "Bronze", "Silver_1", "More", "Preset"),
        *("Find", "Only", "Choose none", "Only stale rows", "Preview", "Run"),
        *("The same as a command, to copy", "Copy"),
    ]
    p.press("More")
    p.open("Gantt")
    p.sees("Lines of")
    assert unusable(p.page) == []


def test_a_narrow_panel_has_two_columns_and_folds_while_a_run_goes_on(panel, folder):
    """Users choose rows in the graph and search them in the table. During the run a line shows the
    choices, with Cancel. "Change" and "More" unfold the choices, and what people type there stays.
    """
    names = ["A<i>\"'", *"BCDEFGH"]
    p = panel(*waiting(folder, *names))
    p.page.set_viewport_size({"width": 1_080, "height": 900})  # beside JupyterLab's sidebar: 700
    p.sees("8 of 8 listed")
    left, right = (p.root.get_by_label(name).bounding_box() for name in ("Project", "Preset"))
    assert right["x"] > left["x"] + left["width"]
    assert abs(right["y"] - left["y"]) < left["height"]
    assert p.root.evaluate("e => e.scrollWidth <= e.clientWidth")
    p.press("Preview")
    p.sees("8 transformations would run.")
    p.root.locator("svg [data-box='0']").click()
    p.sees(re.compile("--only 'A<i>"))
    rows = p.root.locator("tbody[data-row]:visible")
    assert rows.count() == len(names)
    p.root.locator("input[type=search]").fill("until a<i>")
    assert rows.count() == 1
    p.sees("1 of 8 rows")
    p.root.get_by_title("Copy the command").press("Enter")
    p.sees(re.compile("Copied|Press Ctrl"))
    p.press("Run")
    p.sees(re.compile("Plant One · qat · A<i>.* [0-9]+ workers?"))
    p.sees(re.compile("▶ running .* 1 running"))
    assert not p.root.get_by_label("Project").is_visible()
    p.root.get_by_label("Lines of").wait_for()
    p.open("Result")
    p.sees("A run is in progress. Its result appears here at its end.")
    cancel = p.button("Cancel")
    assert cancel.evaluate("b => b.scrollWidth <= b.clientWidth")
    p.press("Change")
    p.root.get_by_label("Project").wait_for()
    p.press("More")
    constants = p.root.get_by_label("Constants")
    constants.fill("[next_run]")
    painted = [p.root.element_handle(), p.root.inner_text()]
    p.page.wait_for_function("([root, text]) => root.innerText != text", arg=painted)
    assert constants.input_value() == "[next_run]"
    assert constants.evaluate("e => e === document.activeElement")
    constants.fill("")
    p.press("Less")
    constants.wait_for(state="hidden")
    (folder / "go").touch()
    p.sees(re.compile("✔ success .* 1 of 1 done"))
    p.page.set_viewport_size({"width": 1_400, "height": 1_000})


def test_a_saved_panel_shows_its_last_run_without_a_kernel(panel, notebook):
    """A notebook that is closed and opened again shows how the last run ended, with chart and table."""
    p = panel()
    p.press("Run")
    p.sees(re.compile("✔ success .* 2 of 2 done"))
    kept = p.page.get_by_text(re.compile("Kept in the notebook: run .* success: 2 success"))
    kept.wait_for()
    nb = p.notebook
    saved = nb.save()
    kinds = [set(output["data"]) for output in saved.cells[1]["outputs"]]
    assert "application/vnd.jupyter.widget-view+json" in kinds[0]
    assert kinds[1] == {"text/html", "text/plain"}
    page = saved.cells[1]["outputs"][1]["data"]["text/html"]
    assert "Gantt chart of Plant One: 2 success" in page
    assert page.count("SUCCESS") >= 2
    nb.close()
    nb.open()
    kept.click()
    nb.outputs.locator("svg[aria-label='Gantt chart of Plant One: 2 success']").wait_for()
    # JupyterLab complains of every widget whose kernel is gone.
    nb.page.wrong[:] = [text for text in nb.page.wrong if NOT_YET_FOUND not in text]


BACKGROUND = 'h = %odibi run "Plant One" --background --ui widgets'


def test_a_run_in_the_background_is_found_again_after_a_reload(notebook, folder):
    """If the page is reloaded during a run, the cell shows the live run, and its button ends it."""
    make_project(folder, rows=waiting(folder, "A", "B"), functions=FUNCTIONS)
    cells = (
        f"%cd -q {folder}\n%load_ext odibi_nb",
        f"{BACKGROUND} --workers 1",
        "print('another', 'cell')",
    )
    nb = notebook(*cells)
    page = nb.page
    nb.start()
    nb.finish()
    page.wait_for_selector(".jp-OutputArea-output >> text=another cell")
    page.wait_for_selector(".jp-OutputArea-output >> text=1 running, 1 waiting")
    nb.reload()
    page.wait_for_selector(".jp-OutputArea-output >> text=1 running, 1 waiting", timeout=60_000)
    page.locator(f"{PANEL} button.jupyter-button", has_text="Cancel").click()
    page.wait_for_selector(".jp-OutputArea-output >> text=1 running, 1 cancelled")
    (folder / "go").touch()
    page.wait_for_selector(".jp-OutputArea-output >> text=1 of 2 done, 1 cancelled")


def test_a_run_in_the_background_ends_as_a_picture_in_its_own_cell(notebook, folder):
    """During a background run other cells run. The end is drawn in the run's cell, and the handle has the result."""
    make_project(folder, rows=waiting(folder, "A"), functions=FUNCTIONS)
    nb = notebook(
        f"%cd -q {folder}\n%load_ext odibi_nb\nfrom pathlib import Path",
        'h = %odibi run "Plant One" --background',
        "Path('go').touch()\nprint(h.wait()['status'])",
    )
    page = nb.page
    nb.start()
    nb.finish()
    cell = page.locator(f"{PANEL} .jp-CodeCell").nth(1)
    cell.locator(".jp-RenderedPlotly .bars .point").first.wait_for(state="attached")
    cell.locator("td >> text=A").first.wait_for()
    saved = nb.save()
    assert saved.cells[2]["outputs"][0]["text"] == "success\n"
    assert {"text/html", "text/plain"} <= set(saved.cells[1]["outputs"][0]["data"])
