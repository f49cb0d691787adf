"""notebooks/databricks.py is in Databricks' source format, and its cells run as far as they can without Databricks."""

from __future__ import annotations

import json

import nbformat
import pytest
from IPython.utils.capture import capture_output
from nbclient import NotebookClient
from notebook_copies import ROOT, copy_notebooks

SOURCE = ROOT / "notebooks" / "databricks.py"
HEAD = "# Databricks notebook source\n"
MAGIC = "# MAGIC"
DBUTILS = '''
class Exit(BaseException):
    """The notebook has ended itself."""

class Dbutils:
    """What the notebook uses of dbutils: widgets with values, exit."""

    def __init__(self, **given):
        self.given, self.values = given, {}
        self.widgets = self.library = self.notebook = self

    def text(self, name, default):
        self.values[name] = self.given.get(name, default)

    def dropdown(self, name, default, choices):
        self.text(name, default)
        assert {default, self.values[name]} <= set(choices)

    def get(self, name):
        return self.values[name]

    def restartPython(self):
        pass

    def exit(self, value):
        raise Exit(value)
'''


def read_cells():
    """The cells, each as (kind, source); kind is ``md``, ``pip``, ``magic`` or ``python``."""
    text = SOURCE.read_text(encoding="utf-8")
    assert text.startswith(HEAD)
    cells = []
    for block in text.removeprefix(HEAD).split("\n# COMMAND ----------\n"):
        lines = block.strip("\n").split("\n")
        magic = [line.startswith(MAGIC) for line in lines]
        assert all(magic) or not any(magic), block
        if not all(magic):
            cells.append(("python", "\n".join(lines)))
            continue
        assert all(line == MAGIC or line.startswith(f"{MAGIC} ") for line in lines), block
        source = "\n".join(line.removeprefix(MAGIC).removeprefix(" ") for line in lines)
        name = source.split()[0].removeprefix("%")
        cells.append((name if name in ("md", "pip") else "magic", source))
    return cells


def test_it_is_in_databricks_source_format():
    """COMMAND lines separate cells. Each cell is Python that compiles, or MAGIC alone. Text begins with %md."""
    cells = read_cells()
    assert cells[0][0] == "md"
    assert {kind for kind, _ in cells} == {"md", "pip", "magic", "python"}
    for kind, source in cells:
        if kind == "python":
            compile(source, str(SOURCE), "exec")


def test_its_installation_is_the_packages():
    """The package has the extras of the %pip line, and none of them could replace ipywidgets."""
    (source,) = (source for kind, source in read_cells() if kind == "pip")
    extras = source.partition("[")[2].partition("]")[0].split(",")
    known = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert all(f"\n{extra} = [" in known for extra in extras)
    assert "notebook" not in extras


def test_it_runs_interactively(tmp_path, monkeypatch):
    """The notebook runs in a kernel: plan, run as core widgets, nothing left to retry, history and run log."""
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
    notebooks = copy_notebooks(tmp_path)
    make = {"md": nbformat.v4.new_markdown_cell}
    cells = [
        make.get(kind, nbformat.v4.new_code_cell)(source)
        for kind, source in read_cells()
        if kind != "pip"
    ]
    first = nbformat.v4.new_code_cell(f"{DBUTILS}\ndbutils = Dbutils()")
    notebook = nbformat.v4.new_notebook(cells=[first, *cells])
    resources = {"metadata": {"path": notebooks}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    shown = {cell["source"].split("{")[0]: json.dumps(cell.get("outputs")) for cell in cells}
    assert "19 of 19 done" in shown["%odibi run "]
    assert "plotly" in shown["%odibi run "]
    assert "widget-view" in shown["%odibi panel "]
    assert "nothing" in shown["%odibi retry last --project "]
    assert "success" in shown["%odibi history "]
    assert "GOLD_001" in json.dumps(cells[-2]["outputs"])
    assert not (notebooks / "projects" / "energy_efficiency" / "lake").exists()


@pytest.fixture
def as_job(tmp_path, monkeypatch, ipython):
    """Run the notebook in *folder* as a job does. Return the result of its last cell."""
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")

    def run(folder):
        monkeypatch.chdir(folder)
        made = {}
        exec(DBUTILS, made)
        ipython.user_ns["dbutils"] = made["Dbutils"](mode="job")
        for kind, source in read_cells():
            if kind in ("python", "magic"):
                with capture_output():
                    result = ipython.run_cell(source)
                if not result.success:
                    return result.error_in_exec
        return None

    yield run
    ipython.run_line_magic("unload_ext", "odibi_nb")
    ipython.reset(new_session=False)


def test_a_job_ends_with_its_result(tmp_path, as_job):
    """In job mode the notebook runs the project, and exits with run, status and counts as JSON."""
    ended = as_job(copy_notebooks(tmp_path))
    assert type(ended).__name__ == "Exit"
    summary = json.loads(str(ended))
    assert (summary["status"], summary["counts"]) == ("success", {"SUCCESS": 19})


def test_a_job_fails_where_a_transformation_does(tmp_path, as_job):
    """In job mode a failed run raises with the failed rows, so that the task fails."""
    notebooks = copy_notebooks(tmp_path)
    (notebooks / "projects" / "energy_efficiency" / "data" / "sensors.csv").unlink()
    ended = as_job(notebooks)
    assert type(ended).__name__ == "RunFailedError"
    assert "sensors.csv" in str(ended)
