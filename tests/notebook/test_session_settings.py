"""%config OdibiMagics sets the settings of one kernel."""

from __future__ import annotations

import pytest
from IPython.utils.capture import capture_output
from real_project import make_project


@pytest.fixture
def shell(tmp_path, monkeypatch, ipython):
    """A shell with the extension loaded, in a folder with one project."""
    make_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    ipython.run_line_magic("load_ext", "odibi_nb")
    yield ipython
    ipython.run_line_magic("unload_ext", "odibi_nb")
    ipython.config.pop("OdibiMagics", None)
    ipython.reset(new_session=False)


def run(shell, code, caplog=None):
    """Run a cell as a user does. Return its printed text and its log lines for the user."""
    with capture_output() as io:
        shell.run_cell(code, store_history=True)
    return io.stdout + io.stderr + (caplog.text if caplog else "")


def test_a_setting_holds_for_the_cells_after_it(shell):
    """%config OdibiMagics.… is the default of a command without the option. None removes it."""
    run(shell, "%config OdibiMagics.env = 'prod'")
    assert "no rows for project 'Plant One' in env 'prod'" in run(shell, "%odibi plan")
    run(shell, "%config OdibiMagics.env = None\nr = %odibi run --log-level ERROR")
    assert shell.user_ns["r"]["env"] == "qat"


def test_it_comes_before_the_file(shell, tmp_path):
    """%config overrides odibi.toml, and a command's own option overrides %config."""
    (tmp_path / "odibi.toml").write_text('env = "prod"')
    run(shell, "%config OdibiMagics.env = 'qat'\np = %odibi plan")
    assert shell.user_ns["p"].env == "qat"
    run(shell, "%config OdibiMagics.env = 'prod'\np = %odibi plan --env qat")
    assert shell.user_ns["p"].env == "qat"


def test_python_heeds_it_too(shell):
    """run_project in the same kernel takes the same settings."""
    run(shell, "%config OdibiMagics.on_error = 'stop'")
    run(shell, "import odibi_nb\nr = odibi_nb.run_project('Plant One', log_level='CRITICAL')")
    assert '{"on_error":"stop"}' in run(shell, "h = %odibi history\nprint(h['options'][0])")


def test_doctor_says_where_it_came_from(shell):
    """Doctor names %config as the source."""
    run(shell, "%config OdibiMagics.max_workers = 3\nd = %odibi doctor")
    row = next(r for r in shell.user_ns["d"] if r["check"] == "setting max_workers")
    assert (row["value"], row["source"]) == (3, "%config OdibiMagics.max_workers")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("on_error = 'stopp'", "found 'stopp' (did you mean 'stop'?)"),
        ("ui = 'plotli'", "(did you mean 'plotly'?)"),
        ("max_workers = 0", "expected `int` >= 1, found 0"),
        ("max_workers = 'x'", "expected an int"),
        ("log_level = 'infoo'", "(did you mean 'INFO'?)"),
        ("engine = 'spakr'", "(did you mean 'spark'?)"),
    ],
)
def test_a_mistake_is_one_message(shell, caplog, line, message):
    """An invalid value is refused with a suggestion, and no setting changes."""
    printed = run(shell, f"%config OdibiMagics.{line}", caplog)
    assert message in printed
    assert "Traceback" not in printed
    name = line.partition(" ")[0]
    assert getattr(shell.magics_manager.registry["OdibiMagics"], name) is None
    with pytest.warns(UserWarning, match="has no effect"):
        shell.run_line_magic("reload_ext", "odibi_nb")


def test_an_unknown_setting_is_pointed_out(shell):
    """The message about %config OdibiMagics.envv has a suggestion."""
    with pytest.warns(UserWarning, match="Did you mean `env`"):
        run(shell, "%config OdibiMagics.envv = 'x'")


def test_unloading_takes_it_back(shell):
    """After %unload_ext no setting remains, and %config has no entry of ours."""
    from odibi_nb.settings import load_settings

    run(shell, "%config OdibiMagics.env = 'prod'")
    assert load_settings().get("env") == "prod"
    shell.run_line_magic("unload_ext", "odibi_nb")
    assert load_settings().get("env") is None
    assert "OdibiMagics" not in {type(x).__name__ for x in shell.configurables}
    shell.run_line_magic("load_ext", "odibi_nb")
    shell.run_line_magic("reload_ext", "odibi_nb")
    assert [type(x).__name__ for x in shell.configurables].count("OdibiMagics") == 1


def test_completion_heeds_it(shell):
    """Tab finds the names of the project in the settings."""
    run(shell, "%config OdibiMagics.project = 'Plant One'")
    magics = shell.magics_manager.registry["OdibiMagics"]
    assert [m.project for m in magics.names.manifests()] == ["Plant One"]
