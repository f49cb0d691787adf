"""%odibi in a real IPython shell."""

from __future__ import annotations

import html

import pytest
from IPython.utils.capture import capture_output
from pages import without_our_script
from real_project import FUNCTIONS, default_rows, make_project, registry_row

from odibi_nb.sources.table import registry_in_database


@pytest.fixture
def shell(tmp_path, monkeypatch, ipython):
    """A shell with the extension loaded, in a folder with one project."""
    make_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    ipython.run_line_magic("load_ext", "odibi_nb")
    yield ipython
    ipython.run_line_magic("unload_ext", "odibi_nb")
    ipython.reset(new_session=False)


def run(shell, code):
    """Run a cell as a user does. Return its result, its printed text and its displays."""
    with capture_output() as io:
        result = shell.run_cell(code, store_history=True)
    return result, io.stdout + io.stderr, io.outputs


def test_run_returns_the_result(shell):
    """`r = %odibi run "Plant One" --env qat` runs the project and gives the RunResult."""
    result, printed, _ = run(shell, 'r = %odibi run "Plant One" --env qat')
    assert result.success
    assert shell.user_ns["r"]["status"] == "success"
    assert "Pipeline completed successfully!" in printed


def test_the_only_project_need_not_be_named(shell):
    """With one project, its name can be left out."""
    run(shell, "r = %odibi run")
    assert shell.user_ns["r"]["project"] == "Plant One"


def test_a_variable_stands_for_one_word(shell):
    """{name} in the line is a variable of the notebook, spaces and quotes included."""
    run(shell, 'name = "Plant One"\nr = %odibi run {name} --layers Bronze')
    assert shell.user_ns["r"]["layers_executed"] == ["Bronze"]


def test_a_functions_variable_comes_before_the_notebooks(shell):
    """Inside a function, on a line, in a cell magic or in a coroutine, {name} is the function's own."""
    nightly = """
name = 'nobody'
def line(name):
    r = %odibi plan {name};  # a line of a notebook
    return r.project
async def later(name):
    r = %odibi plan $name
    return r.project
def cell(name):
    return get_ipython().run_cell_magic('odibi', 'plan "{name}"', "[B1]\\nrows = '{name}'").project
"""
    run(shell, nightly)
    # Sent, not awaited: the browser's tests leave a loop running in this process.
    awaited = "try:\n    later('Plant One').send(None)\nexcept StopIteration as end:\n    found.append(end.value)"
    run(shell, f"found = [f('Plant One') for f in (line, cell)]\n{awaited}")
    assert shell.user_ns["found"] == ["Plant One"] * 3
    result, printed, _ = run(shell, "line('Plant On')")
    assert "did you mean 'Plant One'?" in printed
    assert type(result.error_in_exec).__name__ == "UsageError"


def test_a_cell_overrides_constants(shell, tmp_path):
    """%%odibi run takes constants from its body, as TOML, and records them."""
    run(shell, '%%odibi run "Plant One"\n[B1] rows = 5')
    result, _, _ = run(shell, 'h = %odibi history "Plant One"')
    assert result.success
    assert shell.user_ns["h"]["options"][0] == '{"overrides":{"B1":{"rows":5}}}'
    run(shell, 'log = %odibi history "Plant One" --run last')
    log = shell.user_ns["log"]
    assert log.to_frame().set_index("transformation_id").loc["B1", "rows_out"] == 5


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('%odibi run "Plant On"', "did you mean 'Plant One'?"),
        ('%odibi run "Plant One" --env qta', "unknown env 'qta' (did you mean 'qat'?)"),
        (
            '%odibi run "Plant One" --layers Silver',
            "unknown layer 'Silver' (did you mean 'Silver_1'?)",
        ),
        ('%odibi rum "Plant One"', ": did you mean 'run'?"),
        ('%odibi run "Plant One" --layer Bronze', "(did you mean '--layers'?)"),
        ('%odibi run "Plant One', "No closing quotation"),
        ("%odibi run {plant}", "name 'plant' is not defined"),
        ("o = '--force'\n%odibi run {o}", "cannot be an option"),
        ('%odibi run "Plant One" --env prod', "not confirmed: expected 'Plant One', found ''"),
        ('%%odibi run "Plant One"\n[B9]\nrows = 1', "no transformation 'B9' in this run"),
        ('%%odibi run "Plant One"\nrows = 1', "write 'rows' below the header of a transformation"),
        ('%%odibi run "Plant One"\n[B1', "is not TOML"),
        ("%%odibi history\nx", "only run, plan, retry, try and register take a cell's body"),
        ('%odibi history "Plant One" --run nope', "no run 'nope'"),
        ("%odibi cancel", "nothing is running"),
    ],
)
def test_a_users_mistake_is_one_message(shell, line, message, monkeypatch):
    """A mistake in the line gives a UsageError with the right usage, and no traceback."""
    monkeypatch.setattr("builtins.input", lambda prompt: "")
    result, printed, _ = run(shell, line)
    assert type(result.error_in_exec).__name__ == "UsageError"
    assert message in printed
    assert "Traceback" not in printed


def test_a_protected_environment_asks_for_the_projects_name(shell, tmp_path, monkeypatch):
    """With a user who can type, a protected environment asks. The project's name confirms."""
    registry = registry_in_database(
        "sqlite:///registry.db", folder=tmp_path / "projects" / "plant_one"
    )
    registry.upsert([{**r, "environment": "prod"} for r in default_rows()])
    asked = []
    monkeypatch.setattr("builtins.input", lambda prompt: asked.append(prompt) or "Plant One")
    run(shell, 'r = %odibi run "Plant One" --env prod')
    assert shell.user_ns["r"]["status"] == "success"
    assert "Type the project's name" in asked[0]


def test_help_is_printed_and_nothing_ends(shell):
    """%odibi -h, %odibi run -h and %odibi alone print help."""
    for line, word in (
        ("%odibi -h", "COMMAND"),
        ("%odibi run -h", "--layers"),
        ("%odibi", "examples:"),
    ):
        result, printed, _ = run(shell, line)
        assert result.success
        assert word in printed


def test_plan_shows_problems_and_runs_nothing(shell, tmp_path):
    """%odibi plan shows the problems and writes nothing."""
    home = tmp_path / "projects" / "plant_one"
    registry = registry_in_database("sqlite:///registry.db", folder=home)
    registry.upsert([registry_row("S2", "Silver_1", "dubble", ["bronze.x"])])
    run(shell, 'p = %odibi plan "Plant One"')
    plan = shell.user_ns["p"]
    assert "has no function 'dubble' (did you mean 'double'?)" in html.unescape(plan._repr_html_())
    assert not (home / "lake").exists()
    assert not (home / ".odibi").exists()
    _, printed, _ = run(shell, '%odibi run "Plant One"')
    assert "did you mean 'double'?" in printed
    assert not (home / ".odibi").exists()


def test_a_failed_run_shows_its_error_as_text_not_markup(shell, tmp_path):
    """A <script> in an error stays text in the result's HTML. The traceback is the user's code only."""
    home = tmp_path / "projects" / "plant_one"
    registry = registry_in_database("sqlite:///registry.db", folder=home)
    registry.upsert([registry_row("S2", "Silver_1", "broken", ["bronze.x"])])
    run(shell, 'r = %odibi run "Plant One" --log-level ERROR')
    result = shell.user_ns["r"]
    assert result["status"] == "failed"
    page = result._repr_html_()
    assert "<script" not in without_our_script(page)
    assert "&lt;script&gt;" in page
    assert "plant_functions.py" in result.transformations["S2"].traceback
    assert "workers.py" not in result.transformations["S2"].traceback


def test_projects_and_registry_come_as_dataframes(shell, tmp_path):
    """%odibi projects and %odibi registry list return pandas DataFrames."""
    run(shell, "p = %odibi projects\nr = %odibi registry list")
    assert list(shell.user_ns["p"]["project"]) == ["Plant One"]
    assert list(shell.user_ns["r"]["transformation_id"]) == ["B1", "S1"]


def test_the_extension_can_be_loaded_again(shell):
    """%load_ext and %reload_ext may be repeated."""
    for line in ("%load_ext odibi_nb", "%reload_ext odibi_nb", "%odibi projects"):
        assert run(shell, line)[0].success


def test_retry_goes_on_from_the_last_run(shell, tmp_path):
    """`%odibi retry` runs the failed rows with constants from its body. With nothing to retry, it
    reports this and returns.
    """
    functions = f"""{FUNCTIONS}

def picky(inputs, constants):
    if constants["token"] == "wrong":
        raise KeyError("wrong token")
"""
    rows = [*default_rows(), registry_row("S2", "Silver_1", "picky", ["bronze.x"])]
    make_project(tmp_path, rows=rows, functions=functions)
    run(shell, '%%odibi run "Plant One"\n[S2] token = "wrong"')
    _, printed, _ = run(shell, "%odibi retry")
    assert "overrides.S2.token" in printed
    assert "pass it again" in printed
    _, printed, _ = run(shell, '%%odibi retry last --project "Plant One"\n[S2] token = "right"')
    assert "🔁 Retry of run" in printed
    assert "right" not in printed
    assert shell.user_ns["_"]["status"] == "success"
    assert list(shell.user_ns["_"].transformations) == ["S2"]
    result, printed, _ = run(shell, "%odibi retry")
    assert result.success
    assert printed.splitlines()[-1].startswith("nothing to retry: all 3 transformations")
    assert printed.count("nothing to retry") == 1
