"""A new project runs at once and passes its own tests. `init` touches no existing file."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from real_project import make_project, registry_row
from spark_sessions import connect

from odibi_nb import read_table, run_project
from odibi_nb.cli import main
from odibi_nb.commands import execute, parse
from odibi_nb.core.model.manifest import find_manifest
from odibi_nb.core.text.toml import decode_toml
from odibi_nb.notebook.line_words import names_of_caller, split_words
from odibi_nb.notebook.magic import OdibiMagics
from odibi_nb.version import __version__


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "My Plant",
        'Müller\'s "Werk" {2}',
        "日本語",
        "ß",
        "हिन्दी परियोजना",
        "x" * 200,
        "工" * 200,
        "CON",
    ],
)
def test_a_new_project_runs_at_once(tmp_path, capsys, name):
    """`odibi init NAME` and `odibi run NAME` succeed for any name."""
    assert main(["init", name]) == 0
    assert "odibi run" in capsys.readouterr().out
    result = run_project(name, log_level="CRITICAL")
    assert result["status"] == "success"
    daily = read_table(name, "gold.daily_mean")
    assert daily.sort_values(["sensor", "day"])["value"].tolist() == [2.0, 5.0, 8.0]


def test_a_new_projects_tests_and_notebook_pass(tmp_path):
    """The scaffold's own tests and its notebook pass, each in a process of its own."""
    assert main(["init", "My Plant"]) == 0
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "projects/my_plant"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 passed" in done.stdout or importlib.util.find_spec("pysail") is None
    home = tmp_path / "projects" / "my_plant"
    notebook = nbformat.read(home / "my_plant.ipynb", as_version=4)
    nbformat.validate(notebook)
    resources = {"metadata": {"path": home}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    assert "success" in json.dumps(notebook.cells[3]["outputs"])


def test_a_new_project_runs_on_spark_too(tmp_path):
    """The same rows on Spark, here on Sail, make the same tables; its functions are registered for both."""
    pytest.importorskip("pysail")
    assert main(["init", "My Plant"]) == 0
    assert run_project("My Plant", log_level="CRITICAL")["status"] == "success"
    on_pandas = read_table("My Plant", "gold.daily_mean")
    file = tmp_path / "projects" / "my_plant" / "manifest.json"
    manifest = json.loads(file.read_text())
    manifest["environments"]["qat"] |= {"engine": "spark", "spark": {"remote": "sail"}}
    file.write_text(json.dumps(manifest))
    connect("sail", tmp_path)
    result = run_project("My Plant", log_level="CRITICAL").raise_for_status()
    assert {t.engine for t in result.transformations.values()} == {"spark"}
    assert {t.rows_out for t in result.transformations.values()} == {3, 4, 6}
    spark = read_table("My Plant", "gold.daily_mean")
    rows = [tuple(row) for row in spark.orderBy("sensor", "day").collect()]
    assert rows == [*on_pandas.sort_values(["sensor", "day"]).itertuples(index=False, name=None)]


@pytest.mark.parametrize("name", ["My Plant", 'Müller\'s "Werk" {2}', "日本語", "-x"])
def test_a_new_project_can_be_published(tmp_path, monkeypatch, capsys, name):
    """The folder has a README and a pyproject with our version, and git ignores all files that a run makes."""
    assert main(["init", "--", name]) == 0
    [home] = (tmp_path / "projects").iterdir()
    subprocess.run(["git", "init", "-q", home], check=True)
    before = sorted(path.name for path in home.iterdir())
    monkeypatch.chdir(home)
    assert run_project(name, log_level="CRITICAL")["status"] == "success"
    ask = ["git", "-c", "core.quotePath=false", "status", "--short", "--untracked-files=all"]
    listed = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
    assert {line[3:].split("/")[0].strip('"') for line in listed.splitlines()} == {*before} - {
        ".git"
    }
    package = decode_toml((home / "pyproject.toml").read_text(encoding="utf-8"))
    assert package["project"]["dependencies"] == [f"odibi-nb[notebook,pandas]>={__version__}"]
    assert package["project"]["description"]
    assert re.fullmatch("[a-z0-9]+(-[a-z0-9]+)*", package["project"]["name"])
    readme = (home / "README.md").read_text(encoding="utf-8")
    [command] = re.findall(r"^\.venv/bin/odibi (run .*)$", readme, re.MULTILINE)
    assert parse(shlex.split(command)).project == name


def test_nothing_that_is_there_is_touched(tmp_path, capsys):
    """An existing folder of that name does not change, and nothing is made."""
    assert main(["init", "My Plant"]) == 0
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert main(["init", "my plant"]) == 2
    assert "already exists: nothing was created" in capsys.readouterr().err
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert main(["init", "///"]) == 2
    assert "has no letter or digit" in capsys.readouterr().err


def test_names_that_no_project_can_have(tmp_path, capsys):
    """A name that is too long or holds control characters is refused in one message, and nothing is made."""
    for name, message in [
        ("x" * 300, "a name has at most 200 characters, as the registry's column, found 300"),
        ("a\nb", "has characters that no text shows (U+000A)"),
        ("a\udcffb", "has characters that no text shows (U+DCFF)"),
        ("🏭", "has no letter or digit"),
    ]:
        assert main(["init", name]) == 2
        assert message in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == []


def test_similar_names_are_projects_of_their_own(tmp_path, capsys):
    """Two names with the same folder name get two folders, and each name opens its own project."""
    names = ["A B", "A-B", "a_b", "A.B"]
    for name in names:
        assert main(["init", name]) == 0
    for name in names:
        assert find_manifest(name).project == name
    assert sorted(path.name for path in (tmp_path / "projects").iterdir()) == [
        "a_b",
        "a_b_2",
        "a_b_3",
        "a_b_4",
    ]
    assert main(["init", "a b"]) == 2
    assert "projects/a_b already exists" in capsys.readouterr().err


@pytest.mark.parametrize("name", ['It\'s $HOME "now"', "-x", "a; b", "{p} `ls`"])
def test_the_next_command_can_be_pasted(ipython, capsys, name):
    """The command that `init` proposes is quoted for the shell, or for the magic's line."""
    assert main(["init", "--", name]) == 0
    [line] = [x for x in capsys.readouterr().out.splitlines() if x.startswith("  odibi run")]
    assert parse(shlex.split(line)[1:]).project == name
    for path in [*Path("projects").iterdir()]:
        shutil.rmtree(path)
    magic = OdibiMagics(ipython)
    text = execute(parse(["init", "--", name]), magic._face(""))
    [line] = [x for x in text.splitlines() if x.startswith("  %odibi run")]
    words = split_words(line.strip().removeprefix("%odibi "), names_of_caller(ipython))
    assert parse(words).project == name


def test_what_cannot_be_written_leaves_nothing(tmp_path, capsys, monkeypatch):
    """If a file cannot be written, `init` says so in one message and removes what it made."""
    (tmp_path / "projects").write_text("a file")
    assert main(["init", "My Plant"]) == 2
    assert "projects" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["projects"]


def test_functions_in_the_working_folder_are_found(tmp_path, monkeypatch, capsys):
    """The script `odibi` finds modules in the working folder, as `python -m` does."""
    make_project(tmp_path, rows=[registry_row("B1", "Bronze", "load", outputs=["bronze.x"])])
    (tmp_path / "projects/plant_one/plant_functions.py").rename(tmp_path / "plant_functions.py")
    kept = [place for place in sys.path if place not in ("", str(tmp_path))]
    monkeypatch.setattr(sys, "path", kept)
    monkeypatch.setattr(sys, "argv", ["odibi", "plan", "Plant One"])
    monkeypatch.delitem(sys.modules, "plant_functions", raising=False)
    assert main() == 0
    assert "plant_functions.load" in capsys.readouterr().out
    monkeypatch.delitem(sys.modules, "plant_functions", raising=False)
