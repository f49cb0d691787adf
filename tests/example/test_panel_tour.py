"""The panel tour, executed as a user does."""

from __future__ import annotations

import subprocess
import sys

import nbformat
import pytest
from notebook_copies import copy_notebooks

pytestmark = pytest.mark.usefixtures("warm_kernels")


def test_the_panel_tour_shows_what_it_says(tmp_path):
    """Every cell runs. The panel's cell keeps the run's chart, and the background run's cell its own."""
    notebooks = copy_notebooks(tmp_path)
    done = subprocess.run(
        [sys.executable, str(notebooks / "execute.py"), "panel_tour"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    notebook = nbformat.read(notebooks / "executed" / "panel_tour.ipynb", as_version=4)
    outputs = {cell["id"]: cell.get("outputs", []) for cell in notebook.cells}

    def pages(name):
        return "".join(o["data"].get("text/html", "") for o in outputs[name] if "data" in o)

    def plain(name):
        return "".join(o["data"].get("text/plain", "") for o in outputs[name] if "data" in o)

    assert "Kept in the notebook: run" in pages("panel")
    assert "Gantt chart of Energy Efficiency: 19 success" in pages("panel")
    assert "What waits for what" in pages("preview")
    assert plain("run") == "True"
    assert plain("wait") == "'success'"
    assert "BRONZE_001" in pages("result")
    assert "Gantt chart of Energy Efficiency" in pages("background")
    assert "Gantt chart of Energy Efficiency" in pages("handle")
