"""A new project: it runs at once, its own tests pass, and nothing that is there is touched."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys

import nbformat
import pytest
from nbclient import NotebookClient
from spark_sessions import connect

from odibi_nb import read_table, run_project
from odibi_nb.cli import main


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", ["My Plant", 'Müller\'s "Werk" {2}'])
def test_a_new_project_runs_at_once(tmp_path, capsys, name):
    """`odibi init NAME` and `odibi run NAME`: green, whatever stands in the name."""
    assert main(["init", name]) == 0
    assert "odibi run" in capsys.readouterr().out
    result = run_project(name, log_level="CRITICAL")
    assert result["status"] == "success"
    daily = read_table(name, "gold.daily_mean")
    assert daily.sort_values(["sensor", "day"])["value"].tolist() == [2.0, 5.0, 8.0]


def test_a_new_projects_tests_and_notebook_pass(tmp_path):
    """The scaffold's own tests and its notebook are green, each in a process of its own."""
    assert main(["init", "My Plant"]) == 0
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "projects/my_plant"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout or importlib.util.find_spec("pysail") is None
    notebook = nbformat.read(tmp_path / "my_plant.ipynb", as_version=4)
    nbformat.validate(notebook)
    resources = {"metadata": {"path": tmp_path}}
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


def test_nothing_that_is_there_is_touched(tmp_path, capsys):
    """A folder or notebook of that name stays as it is, and nothing is made."""
    assert main(["init", "My Plant"]) == 0
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert main(["init", "my plant"]) == 2
    assert "is there already: nothing was made" in capsys.readouterr().err
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert main(["init", "///"]) == 2
    assert "has no letter or digit" in capsys.readouterr().err
