"""The panel's form and the effects of its buttons, without a browser."""

from __future__ import annotations

import html
import re
import threading
from types import SimpleNamespace

import pytest
from pages import without_our_script
from real_project import default_rows, make_project, registry_row

from odibi_nb import GenericProjectOrchestrator, RunPanel
from odibi_nb.commands import Face, execute, parse
from odibi_nb.core.model.options import default_workers
from odibi_nb.errors import ConfigurationError, ManifestError
from odibi_nb.notebook.labels import described
from odibi_nb.notebook.panel.layers import LayerBoxes
from odibi_nb.notebook.panel.rows import MAX_LISTED
from odibi_nb.notebook.panel.saved_outputs import kept_bundle
from odibi_nb.notebook.panel.tabs import GANTT, PREVIEW, RESULT
from odibi_nb.sources.table import registry_in_database

EVIL = "<script>window.hacked = true</script>"
FUNCTIONS = f"""
import pathlib, time
import pandas as pd

def load(constants):
    print("loading", constants["rows"])
    return pd.DataFrame({{"x": range(constants["rows"])}})

def double(inputs, context):
    frame = context.read(inputs[0])
    return frame.assign(x=frame["x"] * 2)

def broken():
    print("{EVIL}")
    raise KeyError("{EVIL}")

def until_told(context, constants):
    while not pathlib.Path(constants["file"]).exists():
        context.cancelled and 1 / 0
        time.sleep(0.01)
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Makes a project of the given rows, in a folder that is the working directory."""
    monkeypatch.chdir(tmp_path)

    def make(*rows, **manifest):
        chosen = list(rows) or default_rows()
        make_project(tmp_path, rows=chosen, functions=FUNCTIONS, **manifest)
        return tmp_path

    return make


@pytest.fixture
def panel(here):
    """Makes a panel of a project of the given rows; its list of rows has been read."""

    def make(*rows, env=None, **manifest):
        here(*rows, **manifest)
        made = RunPanel("Plant One", env)
        settle()
        return made

    yield make
    settle()


def settle():
    """Wait for the panels' threads."""
    for thread in threading.enumerate():
        if thread.name == "odibi-panel":
            thread.join(30)


def waiting_row(folder, name="WAIT"):
    constants = {"file": str(folder / "go"), "retry": 0}
    return registry_row(name, "Bronze", "until_told", constants=constants)


def layer_names(panel):
    return [*panel._form.layers._boxes]


def tick(boxes, *layers):
    """Tick exactly the boxes of these layers."""
    for layer, box in boxes._boxes.items():
        box.value = layer in layers


def previewed(panel):
    panel.preview().join(30)
    return panel._tabs.preview.value


# -- the form ----------------------------------------------------------------------------------


def test_it_starts_with_what_would_hold_anyway(panel):
    """Without a choice the command names project and environment, and nothing else."""
    p = panel()
    assert p.command == "%odibi run 'Plant One' --env qat"
    assert repr(p) == "<RunPanel: %odibi run 'Plant One' --env qat>"
    assert p._form.engine.label == "default (pandas)"
    assert layer_names(p) == ["Bronze", "Silver_1"]


def test_the_command_follows_every_control(panel):
    """Each choice appears in the command at once, escaped."""
    p = panel()
    form = p._form
    tick(form.layers, "Silver_1")
    form.rows.only.value = ("S1",)
    form.schedule.value = "graph"
    form.workers.value = 7
    form.on_error.value = "stop"
    form.engine.value = "pandas"
    assert p.command == (
        "%odibi run 'Plant One' --env qat --engine pandas --layers Silver_1 --only S1"
        " --schedule graph --workers 7 --on-error stop"
    )
    form.overrides.value = f"[S1]\nnote = '{EVIL}'"
    assert p.command.startswith("%%odibi run")
    assert "&lt;script&gt;" in p._buttons.command.value
    assert "<script" not in p._buttons.command.value


def test_the_workers_offered_are_those_that_the_engine_would_get(panel):
    """Another engine changes the number of workers, unless the user has chosen one."""
    p = panel()
    form = p._form
    form.engine.value = "pandas"
    assert form.workers.value == default_workers("pandas")
    form.engine.value = "spark"
    assert form.workers.value == default_workers("spark")
    assert "--workers" not in p.command
    form.workers.value = 9
    form.engine.value = "pandas"
    assert "--workers 9" in p.command


def test_settings_are_the_defaults_that_need_not_be_said(panel, monkeypatch):
    """Settings are selected at first, and the command has only differing choices."""
    monkeypatch.setenv("ODIBI_SCHEDULE", "graph")
    monkeypatch.setenv("ODIBI_MAX_WORKERS", "3")
    p = panel()
    assert (p._form.schedule.value, p._form.workers.value) == ("graph", 3)
    assert "--" not in p.command.replace("--env", "")
    p._form.schedule.value = "layers"
    assert p.command.endswith("--schedule layers")


def test_another_environment_has_its_own_rows(panel, tmp_path):
    """Choosing an environment reads its rows again and drops the choices of the other one."""
    p = panel()
    p._form.rows.only.value = ("S1",)
    registry = registry_in_database(
        "sqlite:///registry.db", folder=tmp_path / "projects" / "plant_one"
    )
    registry.upsert([registry_row("P9", "Bronze", "load", constants={"rows": 1}, env="prod")])
    p._form.env.value = "prod"
    settle()
    assert p.choices.only == ()
    assert [value for _, value in p._form.rows.only.options] == ["P9"]


def test_every_project_found_from_here_can_be_chosen(here):
    """Projects are in a list with the given one selected. A mistyped one gives a suggestion."""
    folder = here()
    other = folder / "projects" / "zwo"
    other.mkdir()
    (other / "manifest.json").write_text(
        '{"project": "O\'Brien & \\"Co\\"", "layer_order": ["Raw"]}'
    )
    p = RunPanel('O\'Brien & "Co"')
    assert set(p._form.project.options) == {"Plant One", 'O\'Brien & "Co"'}
    assert layer_names(p) == ["Raw"]
    p._form.project.value = "Plant One"
    assert layer_names(p) == ["Bronze", "Silver_1"]
    with pytest.raises(ManifestError, match="did you mean 'Plant One'"):
        RunPanel("Plant On")
    with pytest.raises(ManifestError, match="did you mean 'qat'"):
        RunPanel("Plant One", "qta")
    settle()


def test_where_there_is_no_project(tmp_path, monkeypatch):
    """Without a project the panel shows one message."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="no projects are found from here"):
        RunPanel()


def test_searching_keeps_what_is_chosen(panel):
    """The list shows the rows that match the search, and always the chosen ones. Choose none clears them."""
    p = panel(*[registry_row(f"T{i}", "Bronze", "broken") for i in range(20)])
    form = p._form
    form.rows.only.value = ("T3",)
    form.rows.search.value = "t1 BRONZE"
    assert [value for _, value in form.rows.only.options] == [
        "T3",
        "T1",
        *(f"T1{i}" for i in range(10)),
    ]
    assert form.rows.only.value == ("T3",)
    form.rows.only.value = ("T3", "T12")
    form.rows.search.value = ""
    assert p.choices.only == ("T3", "T12")
    form.rows.search.value = "T1"
    form.rows.add.click()
    assert p.choices.only == ("T3", "T12", "T1", *(f"T1{i}" for i in range(10) if i != 2))
    form.rows.clear.click()
    assert p.choices.only == ()
    assert form.rows.only.value == ()


def test_thousands_of_rows_stay_usable(panel):
    """The list has a limit and mentions it. The search finds the other rows."""
    p = panel(*[registry_row(f"T{i:04}", "Bronze", "broken") for i in range(2_000)])
    form = p._form
    assert len(form.rows.only.options) == MAX_LISTED
    assert "200 of 2,000 listed, 1,800 more match" in form.rows.note.value
    form.rows.search.value = "T1999"
    assert [value for _, value in form.rows.only.options] == ["T1999"]
    assert "1 of 2,000 listed" in form.rows.note.value


def test_a_registry_that_cannot_be_read_says_so_where_its_rows_would_be(panel):
    """The reason for a missing list is in its place, and the rest of the panel works."""
    env = {"engine": "pandas", "registry": "sqlite:///nowhere/registry.db"}
    p = panel(environments={"qat": env})
    assert "registry" in p._form.rows.note.value
    assert "cannot" in p._form.rows.note.value
    assert not p._buttons.run.disabled


def test_every_control_has_a_label_and_a_tooltip(panel):
    """Controls are labelled and explained, buttons too."""
    p = panel()
    form = p._form
    rows, buttons = form.rows, p._buttons
    controls = (
        *(form.project, form.env, form.engine, *form.layers._boxes.values(), form.confirm),
        *(rows.search, rows.only, rows.add, rows.clear),
        *(form.presets.widget, form.more, p._fold.change),
        *(form.schedule, form.workers, form.on_error, form.overrides),
        *(buttons.preview, buttons.run, buttons.cancel.widget, buttons.retry, p._tabs.filter),
    )
    for control in controls:
        tip = control.tooltip if control.has_trait("tooltip") else control.description_tooltip
        assert control.description, control
        assert tip, control.description
        if control.has_trait("description_allow_html") and control.description_allow_html:
            assert f'title="{html.escape(tip)}"' in control.description


# -- preview -----------------------------------------------------------------------------------


def test_a_preview_shows_what_would_run_and_changes_nothing(panel, tmp_path):
    """Preview shows rows by layer in the front tab, and creates neither lake nor journal."""
    p = panel()
    p._tabs.open(GANTT)
    page = previewed(p)
    assert p._tabs.widget.selected_index == PREVIEW
    assert "2 transformations would run." in p._buttons.standing.value
    assert re.findall(r"<b>(Bronze|Silver_1)</b>", page) == ["Bronze", "Silver_1"]
    assert {path.name for path in (tmp_path / "projects" / "plant_one").iterdir()} == {
        *("manifest.json", "plant_functions.py", "registry.db")
    }
    assert list(p.plan.rows) == ["B1", "S1"]


def test_a_preview_marks_what_is_wrong(panel):
    """Problems of the registry are at their rows."""
    p = panel(
        *default_rows(), registry_row("S2", "Silver_1", "dubble", constants={"retry": "often"})
    )
    page = previewed(p)
    assert "2 problems: nothing will run" in p._buttons.standing.value
    text = page.replace("<wbr>", "")
    assert (
        "problem</b> module &#x27;plant_functions&#x27; has no function &#x27;dubble&#x27;" in text
    )
    assert "problem</b> constants.retry.max_retries: " in text


def test_a_preview_that_cannot_be_made_says_why(panel):
    """Invalid TOML in the constants, and a missing registry, give one message in the tab."""
    p = panel()
    p._form.overrides.value = "[S1"
    assert "is not TOML" in previewed(p)
    p._form.overrides.value = "[S9]\nx = 1"
    assert "no transformation &#x27;S9&#x27; in this run" in previewed(p)
    assert "Traceback" not in p._tabs.preview.value


def test_a_preview_follows_the_choices(panel):
    """The plan has the chosen layers and single transformations."""
    p = panel()
    p._form.rows.only.value = ("S1",)
    previewed(p)
    assert list(p.plan.rows) == ["S1"]


# -- run ---------------------------------------------------------------------------------------


def test_a_run_by_buttons(panel):
    """Preview, Run and Result fill the tabs and panel.result. A second run works alike."""
    p = panel()
    for _ in range(2):
        p._buttons.run.click()
        assert p.wait(60)["status"] == "success"
        assert p.result is p.last_run.result
        assert p._tabs.widget.selected_index == GANTT
        (output,) = p._tabs.gantt.children[0].outputs
        assert "Gantt chart of Plant One: 2 success" in output["data"]["text/html"]
        assert p._buttons.standing.value == ""  # the head above the tabs has the status, once
        (head,) = p._tabs.summary.children[0].outputs
        assert "2 of 2 done" in head["data"]["text/html"]
        p._tabs.open(GANTT)
        assert "loading 3" in p._tabs.log.value
        assert "2 success" in p._tabs.result.value
        assert not p._buttons.run.disabled
        assert p._buttons.cancel.widget.disabled


def test_a_run_folds_the_choices_to_a_line(panel, tmp_path):
    """During a run one line has the choices, and Result names no beginning. Change opens the controls."""
    p = panel(waiting_row(tmp_path), waiting_row(tmp_path, "O'Brien <i>"))
    p._form.rows.only.value = ("O'Brien <i>",)
    p._form.workers.value = 3
    p.run()
    assert p._fold.folded
    assert "Plant One · qat · O&#x27;Brien &lt;i&gt; · 3 workers" in p._fold._text.value
    assert "A run is in progress" in p._tabs.result.value
    p._fold.change.click()
    assert not p._fold.folded
    (tmp_path / "go").touch()
    p.wait(60)


def test_presets_choose_rows_at_once(panel):
    """One click chooses the stale rows, a layer and those after it, all rows, or the unfinished rows of the last run."""
    p = panel(
        *default_rows(),
        registry_row("BAD", "Silver_1", "missing", ["bronze.none"], {"retry": 0}),
        registry_row("ALSO", "Silver_1", "double", ["bronze.none"], {"retry": 0}),
    )
    presets = p._form.presets.widget
    presets.value = "stale"
    assert (p.choices.stale, presets.value) == (True, "")
    presets.value = "from Silver_1"
    assert (p.choices.stale, p.choices.layers) == (False, ("Silver_1",))
    presets.value = "all"
    assert (p.choices.layers, p.choices.only) == ((), ())
    presets.value = "failed"
    assert "no run with unfinished rows" in p._buttons.standing.value
    p._form.rows.only.value = ("ALSO", "B1")
    p.run()
    assert p.wait(60)["status"] == "failed"
    p._form.rows.choose(())
    presets.value = "failed"
    assert p.choices.only == ("ALSO",)


def test_a_click_on_the_graph_chooses_rows(panel):
    """A click on a box toggles its row and marks it. A number without a box, and other text, change nothing."""
    p = panel()
    p.preview().join(60)
    assert 'data-box="1"' in p._tabs.preview.value
    control, marks = p._tabs.clicked.widgets
    for sent, chosen in (
        *(("1:1", ("S1",)), ("0:2", ("S1", "B1")), ("1:3", ("B1",))),
        *(("7:4", ("B1",)), ("-1:5", ("B1",)), ("x", ("B1",)), ("0:6", ())),
    ):
        control.value = sent
        assert p.choices.only == chosen
        assert marks.value.count("data-box") == len(chosen)


def test_choices_survive_a_run(panel):
    """After a run the choices are the same as before."""
    p = panel()
    tick(p._form.layers, "Bronze")
    p._form.overrides.value = "[B1]\nrows = 5"
    before = p.choices
    p.run()
    assert p.wait(60).transformations["B1"].rows_out == 5
    assert p.choices == before


def test_buttons_while_it_runs(panel, tmp_path):
    """During a run Run is disabled and Cancel enabled. A second click starts no second run.
    Cancel's tooltip has its next effect.
    """
    p = panel(waiting_row(tmp_path), waiting_row(tmp_path, "W2"))
    p._form.workers.value = 1
    run = p.run()
    assert p._buttons.run.disabled
    assert p.run() is run
    button = p._buttons.cancel.widget
    assert (button.disabled, button.description) == (False, "Cancel")
    button.click()
    assert button.description == "Stop running rows"
    button.click()
    assert button.description == "Abandon running rows"
    assert p.wait(60)["status"] == "cancelled"
    assert (button.disabled, button.description) == (True, "Cancel")
    assert not p._buttons.run.disabled


def test_cancel_follows_requests_from_elsewhere(panel, tmp_path):
    """After %odibi cancel, the button's label is the next level."""
    p = panel(waiting_row(tmp_path))
    run = p.run()
    while not run._state.snapshot().run_id:
        assert run.running
    execute(parse(["cancel"]), Face())
    while p._buttons.cancel.widget.description == "Cancel":
        assert run.running
    assert p._buttons.cancel.widget.description == "Stop running rows"
    p._buttons.cancel.widget.click()
    assert p.wait(60)["status"] == "cancelled"


def test_a_run_that_cannot_begin_says_why(panel):
    """A broken registry gives one message in front, and the panel keeps working."""
    p = panel(registry_row("S2", "Silver_1", "dubble"))
    p.run()._thread.join(60)
    assert p._tabs.widget.selected_index == RESULT
    assert "has no function &#x27;dubble&#x27;" in p._tabs.result.value
    assert "could not run" in p._buttons.standing.value
    assert not p._buttons.run.disabled
    assert p.result is None


def test_retry_failed(panel):
    """After a run with a failure, Retry failed runs only the rows that did not succeed, with that run's choices."""
    p = panel(*default_rows(), registry_row("S2", "Silver_1", "broken", constants={"retry": 0}))
    assert p._buttons.retry.disabled
    p.run()
    first = p.wait(60)
    assert not p._buttons.retry.disabled
    tick(p._form.layers, "Bronze")
    p._buttons.retry.click()
    assert p._buttons.retry.disabled
    again = p.wait(60)
    assert (again.retry_of, list(again.transformations)) == (first.run_id, ["S2"])
    assert p.result is again


def test_a_retry_with_nothing_left_to_do_says_so(panel, tmp_path):
    """A row that another session has mended and run is not run again. The panel keeps its result."""
    p = panel(registry_row("S2", "Silver_1", "broken", constants={"retry": 0}))
    p.run()
    first = p.wait(60)
    registry = registry_in_database(
        "sqlite:///registry.db", folder=tmp_path / "projects" / "plant_one"
    )
    mended = registry_row("S2", "Silver_1", "load", constants={"rows": 1}, outputs=["silver.x"])
    registry.upsert([mended])
    assert GenericProjectOrchestrator("Plant One").retry()["status"] == "success"
    p.retry()._thread.join(60)
    assert "nothing" in p._buttons.standing.value
    assert p.result is first


def test_two_panels_do_not_disturb_each_other(panel, tmp_path):
    """During a run of one panel, another panel has its own choices and tabs, and its run is refused
    with the first one's id.
    """
    p = panel(waiting_row(tmp_path))
    other = RunPanel("Plant One")
    settle()
    tick(other._form.layers, "Silver_1")
    assert p.choices.layers == ()
    run = p.run()
    while not run._state.snapshot().run_id:
        assert run.running
    tick(other._form.layers)
    other.run()._thread.join(60)
    assert "is in progress; wait for it, or end it" in other._tabs.result.value
    assert not other._buttons.run.disabled
    assert p.running
    (tmp_path / "go").touch()
    assert p.wait(60)["status"] == "success"


def test_a_protected_environment_asks_for_the_projects_name(panel, tmp_path):
    """Run is enabled after the project's name is typed, and asks again before the next run."""
    p = panel()
    registry = registry_in_database(
        "sqlite:///registry.db", folder=tmp_path / "projects" / "plant_one"
    )
    registry.upsert([{**row, "environment": "prod"} for row in default_rows()])
    assert p._form.confirm.layout.display == "none"
    p._form.env.value = "prod"
    settle()
    assert p._form.confirm.layout.display is None
    assert p._buttons.run.disabled
    p._form.confirm.value = "Plant On"
    assert p._buttons.run.disabled
    p._form.confirm.value = "Plant One"
    assert not p._buttons.run.disabled
    p._buttons.run.click()
    assert p.wait(60)["status"] == "success"
    assert p._form.confirm.value == ""
    assert p._buttons.run.disabled


def test_markup_stays_text_in_every_tab(panel):
    """A <script> in an id, a constant, output or an error is shown, never run."""
    p = panel(registry_row(f"X{EVIL}", "Bronze", "broken", constants={"retry": 0, "note": EVIL}))
    previewed(p)
    p.run()
    assert p.wait(60)["status"] == "failed"
    p._tabs.open(GANTT)
    tabs = p._tabs
    pages = [tabs.preview.value, tabs.log.value, tabs.result.value, p._buttons.standing.value]
    pages += [box.children[0].outputs[0]["data"]["text/html"] for box in (tabs.gantt, tabs.table)]
    pages.append(kept_bundle(p.plan, p.result)["text/html"])
    for page in map(without_our_script, pages):
        assert "<script" not in page
    assert sum("&lt;script&gt;" in page for page in pages) >= 6


def test_waiting_for_nothing(panel):
    """wait() before any run raises an error that explains it."""
    with pytest.raises(ConfigurationError, match="nothing was run yet"):
        panel().wait()


def test_a_layers_name_is_text():
    """A layer's name is shown and chosen as it is written. For ipywidgets 7 it is escaped."""
    odd = "<img src=x onerror=alert(1)> & 'Silver'"
    boxes = LayerBoxes(lambda: None)
    boxes.offer(["Bronze", odd])
    tick(boxes, odd)
    assert boxes.chosen == (odd,)
    assert html.unescape(boxes._boxes[odd].description) == odd
    sevens = SimpleNamespace(has_trait=lambda name: name == "description")
    assert described(sevens, odd) == html.escape(odd)
