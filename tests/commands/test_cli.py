"""The command line: exit codes, and one line for a mistake."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
import zipfile

import pytest
from real_project import make_project, registry_row

from odibi_nb import HookManager, run_project
from odibi_nb.cli import main

BROKEN = [registry_row("B1", "Bronze", "broken", inputs=["bronze.x"])]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with one project on the embedded engine."""
    make_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return tmp_path


@pytest.fixture
def odibi(capsys):
    """Call the command line. Return exit code, standard output and standard error."""

    def call(*words):
        code = main(words)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return call


def shell(folder, *words, **environment):
    """The command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "odibi_nb.cli", *words],
        cwd=folder,
        capture_output=True,
        check=False,
        env={**os.environ, **environment},
    )


# -- in processes of their own -----------------------------------------------------------------


def test_a_run_from_a_shell(tmp_path):
    """`odibi run` runs the project, shows the seed's lines and ends with 0."""
    make_project(tmp_path)
    done = shell(tmp_path, "run", "Plant One")
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    text = done.stdout.decode()
    assert "🚀 Starting pipeline: Plant One (env=qat)" in text
    assert "Pipeline completed successfully!" in text


def test_a_mistake_is_one_line_and_2(tmp_path):
    """A user's mistake is one line on standard error, no traceback, and exit code 2."""
    make_project(tmp_path)
    done = shell(tmp_path, "run", "Plant Oen")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.count(b"\n") == 1
    assert done.stderr.startswith(
        b"odibi: project 'Plant Oen': no manifest found (did you mean 'Plant One'?)"
    )


def test_a_terminal_without_emoji(tmp_path):
    """A terminal or file whose encoding lacks the seed's signs gets question marks, not an error."""
    make_project(tmp_path)
    done = shell(tmp_path, "run", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert b"Traceback" not in done.stderr
    assert b"? Starting pipeline: Plant One (env=qat)" in done.stdout
    assert b"Pipeline completed successfully!" in done.stdout


@pytest.mark.parametrize("words", ["registry list", "retry -h"])
def test_a_reader_that_has_seen_enough(tmp_path, words):
    """Piping into a command that stops reading is no error."""
    make_project(tmp_path)
    # The reader is gone before there is anything to read.
    command = f"{sys.executable} -m odibi_nb.cli {words} > >(exec true)"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], cwd=tmp_path, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


# -- exit codes --------------------------------------------------------------------------------


def test_a_failed_run_is_1(here, odibi):
    """A run with failed transformations ends with exit code 1 and names them."""
    make_project(here, rows=BROKEN)
    code, out, err = odibi("run")
    assert code == 1
    assert "TableNotFoundError" in out
    assert "Traceback" not in out + err


@pytest.mark.parametrize(
    ("words", "ran"),
    [
        (["--select", "S*"], ["S1"]),
        (["--only", "B1"], ["B1"]),
        (["--select", "layer:bronze", "--only", "S1"], ["B1", "S1"]),
        (["--exclude", "function:double"], ["B1"]),
        (["--select", "+S1", "--layers", "Silver_1"], ["S1"]),
    ],
)
def test_only_some_rows_run(here, odibi, words, ran):
    """--select, --exclude and --only choose the rows to run. The tables of the other rows do not change."""
    assert odibi("run")[0] == 0
    code, out, _ = odibi("plan", *words)
    assert code == 0
    assert "selected: --" in out
    assert odibi("run", *words)[0] == 0
    _, out, _ = odibi("history", "--run", "last")
    assert [line.split()[0] for line in out.splitlines()[3:]] == ran


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--select", "B11"], "no transformation 'B11' (did you mean 'B1'?) - at select"),
        (["--only", "S*"], "no transformation 'S*'"),
        (["--exclude", "*"], "--exclude '*' selects nothing"),
    ],
)
def test_a_selection_that_is_not_understood_is_2(here, odibi, words, message):
    """A selection with a mistake, or of no row, runs nothing, and the message has a suggestion."""
    code, _, err = odibi("run", *words)
    assert code == 2
    assert message in err
    assert not (here / "projects" / "plant_one" / "lake").exists()
    assert odibi("plan", *words)[0] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["rnu"], "odibi: no command 'rnu': did you mean 'run'? See odibi -h\n"),
        (
            ["run", "--evn", "x"],
            "odibi: odibi run: unknown argument '--evn' (did you mean '--env'?)",
        ),
        (["run", "Plant Two"], "odibi: project 'Plant Two': no manifest found (did you mean"),
        (["run", "--env", "qta"], "unknown env 'qta' (did you mean 'qat'?)"),
        (["run", "--layers", "Bonze"], "unknown layer 'Bonze' (did you mean 'Bronze'?)"),
        (["run", "--manifest", "no.json"], "odibi: no.json: cannot be read: No such file"),
        (["run", "--env", "prod"], "env 'prod' of 'Plant One': is protected: run it with --yes"),
        (["plan", "--manifest", "."], "cannot be read: Is a directory"),
        (["history", "--run", "2025"], "no run '2025' in its log"),
        (["cancel"], "odibi: cancel: nothing is running"),
        (["cancel", "x"], "odibi: cancel: run 'x' is not running; running: none"),
        (["registry", "import", "no.json"], "odibi: no.json: cannot be read: No such file"),
        (["registry", "import", "no.txt"], "expected a file .json, .toml or .csv, found '.txt'"),
        (["registry", "export", "no/where.json"], "odibi: no/where.json: cannot be written"),
        (["registry", "init", "--env", "prod"], "is protected: change it with --yes"),
    ],
)
def test_a_mistake_is_2(here, odibi, words, message):
    """Invalid input gives exit code 2 and one line, and starts nothing."""
    code, out, err = odibi(*words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert err.startswith("odibi: ")


def test_several_problems_are_told_together(here, odibi):
    """The message about a manifest lists all its problems, and the exit code is still 2."""
    (here / "projects" / "plant_one" / "manifest.json").write_text(
        '{"projct": 1, "layer_order": 2}'
    )
    code, _, err = odibi("run", "Plant One")
    assert code == 2
    assert err.count("\n  - ") == 3
    assert "did you mean 'project'?" in err


def test_a_plan_with_problems_is_2(here, odibi):
    """`odibi plan` shows the whole plan, and its exit code shows if it could run."""
    assert odibi("plan")[0] == 0
    make_project(here, rows=[registry_row("B1", "Bronze", "laod")])
    code, out, _ = odibi("plan")
    assert code == 2
    assert (
        "module 'plant_functions' has no function 'laod' (did you mean 'load'?) - at row 'B1'"
        in out
    )


def test_a_plan_tells_how_long_it_will_take(here, odibi):
    """A first plan has no history. After a run it has times for the given workers and schedule."""
    code, out, _ = odibi("plan", "Plant One", "--workers", "3", "--schedule", "graph")
    assert code == 0
    assert "No history yet" in out
    assert odibi("run", "Plant One")[0] == 0
    _, out, _ = odibi("plan", "Plant One", "--workers", "3", "--schedule", "graph")
    assert " with 3 workers, each row when its inputs exist" in out
    assert ": B1 → S1\n" in out
    assert out.count("◆ critical") == 2


@pytest.mark.parametrize("words", [["-h"], ["run", "-h"], []])
def test_help_is_0(odibi, words):
    """Help goes to standard output and is no error."""
    code, out, err = odibi(*words)
    assert (code, err) == (0, "")
    assert out.startswith("usage: odibi")


def test_a_question_that_is_not_answered(here, odibi, monkeypatch):
    """Ctrl-D at the question for a protected environment means no, without a traceback."""

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal())
    code, _, err = odibi("run", "--env", "prod")
    assert code == 2
    assert err.startswith("odibi: ")
    monkeypatch.setattr(sys, "stdin", Terminal("Plant Two\n"))
    code, _, err = odibi("run", "--env", "prod")
    assert code == 2
    assert "not confirmed: expected 'Plant One', found 'Plant Two'" in err
    monkeypatch.setattr(sys, "stdin", Terminal("Plant One\n"))
    assert odibi("registry", "init", "--env", "prod")[0] == 0


def test_interrupted(here, odibi, monkeypatch):
    """Ctrl-C outside a run ends with exit code 130, without a traceback."""

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("odibi_nb.cli.execute", interrupted)
    assert odibi("projects") == (130, "", "odibi: interrupted\n")


# -- what commands do --------------------------------------------------------------------------


def test_every_command_on_a_real_project(here, odibi):
    """Each command works from a shell, from rows in a file to a run in the history."""
    file = here / "rows.json"
    assert odibi("registry", "export", str(file)) == (
        0,
        f"{file}: 2 rows of 'Plant One', env qat\n",
        "",
    )
    assert len(json.loads(file.read_text())) == 2
    assert odibi("registry", "import", str(file))[0] == 0
    code, out, _ = odibi("registry", "list")
    assert (code, "plant_functions" in out) == (0, True)
    assert odibi("run", "--retries", "0", "--workers", "1", "--log-level", "ERROR") == (0, "", "")
    code, out, _ = odibi("history", "--limit", "1")
    assert (code, "success" in out) == (0, True)
    code, out, _ = odibi("history", "--run", "last")
    assert (code, "B1" in out, "S1" in out) == (0, True, True)
    code, out, _ = odibi("projects")
    assert (code, "success (qat)" in out) == (0, True)
    code, out, _ = odibi("doctor")
    assert (code, "✖" in out) == (0, False)


def test_doctor_says_where_each_value_comes_from(here, odibi, monkeypatch):
    """Each setting is shown with its value and its source, and so are environment and engine."""
    (here / "odibi.toml").write_text('on_error = "stop"')
    monkeypatch.setenv("ODIBI_MAX_WORKERS", "3")
    monkeypatch.setenv("ODIBI_ENGIN", "pandas")
    code, out, _ = odibi("doctor")
    lines = {line.split("  ")[0]: line for line in out.splitlines()}
    assert code == 0
    assert "odibi.toml" in lines["setting on_error"]
    assert "ODIBI_MAX_WORKERS" in lines["setting max_workers"]
    assert "default" in lines["setting ui"]
    assert "ODIBI_ENGINE'?) is not a setting" in out
    assert "manifest" in lines["engine"]
    assert "default" in lines["environment"]


def test_doctors_exit_code_says_what_is_wrong(here, odibi, monkeypatch):
    """The exit code is 0 without a problem, 2 if the user's input has one, else 1, as for a run."""
    home = here / "projects" / "plant_one"
    assert odibi("doctor")[0] == 0
    assert odibi("doctor")[1].startswith("odibi doctor: ✔ no problem found\n")
    code, out, _ = odibi("doctor", "--env", "prod")
    assert (code, "no rows for env 'prod'" in out) == (2, True)
    assert out.startswith("odibi doctor: ✖ 1 problem: registry\n")
    assert out.splitlines()[3].startswith("registry  ")
    code, out, err = odibi("doctor", "Plant Oen")
    assert (code, err) == (2, "")
    assert "✖ problem" in out
    assert "did you mean 'Plant One'?" in out
    (home / "lake").write_text("a file, no folder")
    code, out, _ = odibi("doctor")
    assert (code, "cannot be written" in out) == (1, True)
    code, out, _ = odibi("doctor", "--env", "prod")
    assert code == 2


def test_doctor_says_which_spark_session_a_run_would_use(here, odibi, monkeypatch):
    """Doctor names the session with its reason, or the missing part and the command that installs
    it. It starts no session.
    """
    pytest.importorskip("pyspark")
    monkeypatch.setenv("JAVA_HOME", str(here))
    code, out, _ = odibi("doctor", "--engine", "spark")
    assert code == 1
    (line,) = [line for line in out.splitlines() if line.startswith("spark ")]
    assert f"Spark needs Java, and JAVA_HOME ({here}) has none" in line
    assert "✖ problem" in line
    assert "install Java 17" in line
    assert "pip install 'odibi-nb[sail]'" in line
    assert any(line.startswith("java ") and "not found" in line for line in out.splitlines())


def test_doctor_says_what_collides(here, odibi, monkeypatch, tmp_path):
    """Doctor names another package's command odibi, on the index and on PATH, and its module odibi_nb."""
    info = tmp_path / "site" / "odibi-3.15.1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odibi\nVersion: 3.15.1\n")
    (info / "entry_points.txt").write_text("[console_scripts]\nodibi = odibi.cli:main\n")
    (info / "RECORD").write_text("odibi_nb/__init__.py,,\n")
    (info.parent / "odibi_nb").mkdir()
    (info.parent / "odibi_nb" / "__init__.py").touch()  # files that are not there are not counted
    monkeypatch.syspath_prepend(info.parent)
    script = tmp_path / "bin" / "odibi"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n# of odibi.cli\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent))
    code, out, _ = odibi("doctor")
    assert code == 1
    assert "odibi also installs a command odibi: call odibi-nb, or python -m odibi_nb" in out
    assert f"{script} starts another package" in out
    assert "odibi also installs a module odibi_nb" in out
    script.write_text("#!/bin/sh\nexec python -m odibi_nb\n")
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place != str(info.parent)])
    code, out, _ = odibi("doctor")
    assert (code, "another package" in out, "module odibi_nb" in out) == (0, False, False)
    (line,) = [line for line in out.splitlines() if line.startswith("command odibi")]
    assert str(script) in line


def test_doctor_reads_no_jars(here, odibi, monkeypatch, tmp_path):
    """The JARs that Spark puts on ``sys.path`` take no time: no package in them is found."""
    jar = tmp_path / "spark.jar"
    with zipfile.ZipFile(jar, "w") as file:
        info = "ipykernel-7.0.1.dist-info"
        file.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: ipykernel\nVersion: 7.0.1\n"
        )
        file.writestr(f"{info}/entry_points.txt", "[console_scripts]\nodibi = other:main\n")
    monkeypatch.syspath_prepend(jar)
    code, out, _ = odibi("doctor")
    assert (code, "7.0.1" in out, "ipykernel installs" in out) == (0, False, False)


def test_doctor_says_how_a_run_is_shown(odibi, here):
    """In a shell a run is shown as lines of text, and doctor lists this display."""
    _, out, _ = odibi("doctor")
    (line,) = [line for line in out.splitlines() if line.startswith("ui ")]
    assert "text (no notebook: lines of text)" in line


@pytest.mark.parametrize(
    ("installed", "message"),
    [
        ({"ipykernel": "7.0.1"}, "ipykernel 7.0 cannot update widgets"),
        (
            {"ipywidgets": "8.1.9", "jupyterlab_widgets": "1.1.11"},
            "ipywidgets 8 needs jupyterlab_widgets 3, found 1",
        ),
        ({"ipywidgets": "7.8.1", "jupyterlab_widgets": "1.1.11"}, ""),
        ({"ipykernel": "7.4.0", "ipywidgets": "8.1.9", "jupyterlab_widgets": "3.0.1"}, ""),
    ],
)
def test_doctor_knows_what_does_not_work_together(here, odibi, monkeypatch, installed, message):
    """Versions that do not work together are a problem with a remedy."""
    site = here / "site"
    for name, version in installed.items():
        info = site / f"{name}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    monkeypatch.syspath_prepend(site)
    code, out, _ = odibi("doctor")
    assert (code, message in out) == (int(bool(message)), True)


def test_settings_reach_a_run(here, odibi, monkeypatch):
    """Settings of the file and the environment count in a run, under the call's arguments."""
    make_project(here, rows=[*BROKEN, registry_row("B2", "Bronze", "load", constants={"rows": 1})])
    monkeypatch.setenv("ODIBI_ON_ERROR", "stop")
    monkeypatch.setenv("ODIBI_MAX_WORKERS", "1")
    assert odibi("run")[0] == 1
    code, out, _ = odibi("history", "--run", "last")
    assert "the run stopped after B1 failed" in out
    odibi("run", "--on-error", "continue")
    assert "the run stopped" not in odibi("history", "--run", "last")[1]
    monkeypatch.setenv("ODIBI_UI", "htlm")
    code, _, err = odibi("run")
    assert (code, "ODIBI_UI" in err) == (2, True)


def test_no_password_is_shown(here, odibi, monkeypatch):
    """No message contains a password of the registry's URL."""
    home = here / "projects" / "plant_one"
    manifest = json.loads((home / "manifest.json").read_text())
    for url in (
        "postgresql+psycopg://u:hunter2@127.0.0.1:1/db",
        "postgresq://u:hunter2@127.0.0.1/db",
        "sqlite://u:hunter2@/x",
        "u:hunter2@127.0.0.1",
    ):
        manifest["environments"]["qat"]["registry"] = url
        (home / "manifest.json").write_text(json.dumps(manifest))
        for command in (["run"], ["plan"], ["doctor"], ["registry", "list"]):
            code, out, err = odibi(*command)
            assert code in {1, 2}, (url, command)
            assert ("✖" in out) is (command == ["doctor"])
            assert "hunter2" not in out + err
            assert "Traceback" not in out + err


def test_cancel_of_one_transformation(here, odibi):
    """`odibi cancel --transformation` ends one row of a running run. Without such a row it is an error."""
    functions = (
        "import pathlib, time\n"
        "def load():\n    print('loaded')\n"
        "def double(context):\n"
        "    while not context.should_stop():\n"
        "        time.sleep(0.01)\n"
    )
    make_project(here, functions=functions)
    hooks, begun, results = HookManager(), threading.Event(), []
    hooks.register("transform_start", lambda _: begun.set(), filters={"transformation_id": "S1"})
    run = threading.Thread(target=lambda: results.append(run_project("Plant One", hooks=hooks)))
    run.start()
    begun.wait(30)
    code, _, err = odibi("cancel", "--transformation", "S11")
    assert code == 2
    assert "has no transformation 'S11' (did you mean 'S1'?)" in err
    code, _, err = odibi("cancel", "--transformation", "B1")
    assert code == 2
    assert "transformation B1 of run" in err
    assert "has ended: SUCCESS" in err
    code, out, _ = odibi("cancel", "--transformation", "S1")
    assert code == 0
    assert out.startswith("asked transformation S1 of run")
    run.join(60)
    assert {n: t.status.value for n, t in results[0].transformations.items()} == {
        "B1": "SUCCESS",
        "S1": "CANCELLED",
    }
    assert results[0]["status"] == "cancelled"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["run", "Plant One", "--background"], "--background: works in a notebook; in a shell"),
        (["panel", "Plant One"], "panel: needs a notebook with widgets"),
    ],
)
def test_what_needs_a_notebook_says_so(words, message, here, odibi):
    """A shell refuses a panel and a background run with one message and exit code 2."""
    code, _, err = odibi(*words)
    assert code == 2
    assert message in err
