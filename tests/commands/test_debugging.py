"""The commands load, try, debug, explain and log in a shell, and the log of a running row."""

from __future__ import annotations

import threading

import pytest
from real_project import make_project, registry_row

from odibi_nb import HookManager, run_project
from odibi_nb.cli import main
from odibi_nb.commands import Face, execute, parse
from odibi_nb.core.running.kept_failures import FAILURES
from odibi_nb.errors import ConfigurationError

FUNCTIONS = """
import pathlib, time
import pandas as pd

def load():
    return pd.DataFrame({"x": [1, 2, 3]})

def half(inputs, context):
    return context.read(inputs[0]).head(2)

def patient(constants, context):
    print("the first line")
    context.logger.info("token=abc123")
    while not pathlib.Path(constants["file"]).exists():
        time.sleep(0.01)
    print("the last line")

def bad():
    raise KeyError("nothing there")
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a project whose row PATIENT ends when the file `go` is there."""
    rows = [
        registry_row("B1", "Bronze", "load", outputs=["bronze.x"]),
        registry_row("S1", "Silver_1", "half", ["bronze.x"], outputs=["silver.x"]),
        registry_row("PATIENT", "Silver_1", "patient", constants={"file": str(tmp_path / "go")}),
        registry_row("BAD", "Silver_1", "bad", constants={"retry": 0}),
    ]
    make_project(tmp_path, rows=rows, functions=FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def ran(folder):
    """The same folder after a run."""
    (folder / "go").touch()
    run_project("Plant One", log_level="CRITICAL")
    return folder


def test_a_shell_tries_and_explains(ran, capsys, monkeypatch):
    """`odibi try` calls the module's function; a failure is exit code 1; `odibi explain` explains."""
    monkeypatch.setattr(
        FAILURES, "limit", 0
    )  # another test of this process may have loaded the magic
    assert main(["try", "S1"]) == 0
    printed = capsys.readouterr().out
    assert "0 added, 0 removed, 2 unchanged" in printed
    assert "nothing was written" in printed
    assert main(["try", "BAD"]) == 1
    printed = capsys.readouterr().out
    assert "KeyError: 'nothing there'" in printed
    assert "odibi debug" not in printed  # the frames end with the command
    assert main(["explain", "S1", "--env", "qat"]) == 0
    printed = capsys.readouterr().out
    assert "plant_functions.half" in printed
    assert "2 rows, version 0, written on" in printed
    assert "by S1 in run" in printed


def test_a_shell_names_the_column_that_may_have_been_meant(folder, capsys):
    """`odibi debug` and `odibi show` ask below the error for the column that the user may have meant."""
    wrong = "def bad(inputs, context):\n    return context.read(inputs[0])['xs']\n"
    rows = [
        registry_row("B1", "Bronze", "load", outputs=["bronze.x"]),
        registry_row("BAD", "Silver_1", "bad", ["bronze.x"], constants={"retry": 0}),
    ]
    functions = FUNCTIONS.partition("def bad")[0].replace('"x"', '"x_s"') + wrong
    make_project(folder, rows=rows, functions=functions)
    (folder / "go").touch()
    assert main(["run", "Plant One"]) == 1
    capsys.readouterr()
    for command in ("debug", "show"):
        main([command, "last"])
        lines = [line.strip() for line in capsys.readouterr().out.splitlines()]
        error = next(i for i, line in enumerate(lines) if line.endswith("KeyError: 'xs'"))
        assert lines[error + 1] == "did you mean x_s?"


def test_a_shell_loads_and_debugs(ran, capsys):
    """`odibi load` lists the inputs. `odibi debug` shows the last failure's traceback."""
    assert main(["load", "S1"]) == 0
    assert "bronze_x" not in capsys.readouterr().out
    assert main(["debug"]) == 0
    printed = capsys.readouterr().out
    assert "✖ BAD failed in run" in printed
    assert "plant_functions.py" in printed
    assert main(["load", "S9"]) == 2
    assert "no transformation 'S9' in env 'qat'; it has B1" in capsys.readouterr().err


def test_a_part_is_not_written(ran, capsys):
    """--write with --limit is refused before anything is called."""
    assert main(["try", "S1", "--limit", "1", "--write"]) == 2
    assert "nothing is written" in capsys.readouterr().err


def test_a_protected_environment_asks_before_a_trial_writes(ran, capsys):
    """Without a terminal, writing to a protected environment needs --yes. Trying does not."""
    assert main(["try", "S1", "--env", "prod", "--write"]) == 2
    assert "is protected: write to it with --yes" in capsys.readouterr().err


def test_the_log_of_a_row_that_runs_can_be_followed(folder):
    """Lines arrive while the row runs, from another thread or process. Following ends with the row."""
    started, hooks = threading.Event(), HookManager()
    hooks.register("transform_start", lambda _: started.set(), {"transformation_id": "PATIENT"})
    run = threading.Thread(
        target=run_project, args=("Plant One",), kwargs={"hooks": hooks, "log_level": "CRITICAL"}
    )
    run.start()
    assert started.wait(60)
    heard = []

    def say(line):
        heard.append(line)
        if "the first line" in line:
            so_far = execute(parse(["log", "PATIENT"]), Face())
            assert so_far.attempts[-1].status == "RUNNING"
            assert "still running" in repr(so_far)
            assert "▶ running" in so_far._repr_html_()
            (folder / "go").touch()

    execute(parse(["log", "PATIENT", "--follow"]), Face(say=say))
    run.join()
    assert heard[0].startswith("PATIENT, attempt 1 in run ")
    assert heard[1:] == ["  the first line", "  token=***", "  the last line", "✔ SUCCESS"]


def test_the_log_of_an_older_run(ran, capsys):
    """--run names a run. Without it, the newest run that started the row counts."""
    first = run_project("Plant One", log_level="CRITICAL")
    second = run_project("Plant One", log_level="CRITICAL", target_layers=["Bronze"])
    assert first.run_id != second.run_id
    assert execute(parse(["log", "BAD"]), Face()).attempts[0].run_id == first.run_id
    assert execute(parse(["log", "B1"]), Face()).attempts[0].run_id == second.run_id
    named = execute(parse(["log", "B1", "--run", first.run_id]), Face())
    assert named.attempts[0].run_id == first.run_id


def test_the_lineage_of_a_row(ran, capsys):
    """The lineage of a row has so many steps up and down, each with its last status, also as Mermaid."""
    assert main(["lineage", "S1"]) == 0
    printed = capsys.readouterr().out
    assert "lineage of S1 · Plant One · env qat · as of run " in printed
    assert "  ✔ S1  ← B1  (SUCCESS)" in printed
    assert "BAD" not in printed
    assert main(["lineage", "--mermaid"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("flowchart LR")
    assert "✖ BAD" in text
    alone = execute(parse(["lineage", "B1", "--down", "0"]), Face())
    assert list(alone.plan.rows) == ["B1"]
    page = execute(parse(["lineage", "B1"]), Face())._repr_html_()
    assert "<svg" in page
    assert "S1" in page
    assert main(["lineage", "S9"]) == 2
    assert "no transformation 'S9'" in capsys.readouterr().err


def test_a_lineage_without_runs_has_no_states(folder, capsys):
    """Before the first run the graph is complete, without invented states."""
    assert main(["lineage"]) == 0
    printed = capsys.readouterr().out
    assert "as of run" not in printed
    assert "  · S1  ← B1" in printed


def test_a_trial_in_a_protected_environment_says_what_it_does(ran):
    """`try` in a protected environment warns that it calls the function there."""
    said = []
    with pytest.raises(ConfigurationError, match="no rows for project"):
        execute(parse(["try", "S1", "--env", "prod"]), Face(say=said.append))
    assert "env 'prod' of 'Plant One' is protected, and `try` calls the function there" in said[0]
