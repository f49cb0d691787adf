"""notebooks/debugging.ipynb goes from a red bar to a fixed function in a real kernel."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

pytestmark = pytest.mark.usefixtures("warm_kernels")
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def test_the_debugging_notebook_ends_green(tmp_path):
    """A user sees the red row, loads it, tries a fix that changes exactly the expected rows, and retries: green."""
    ignored = shutil.ignore_patterns("lake", "registry.db", ".odibi", "__pycache__", "executed")
    folder = shutil.copytree(NOTEBOOKS, tmp_path / "notebooks", ignore=ignored)
    done = subprocess.run(
        [sys.executable, "execute.py", "debugging"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    notebook = nbformat.read(folder / "executed" / "debugging.ipynb", as_version=4)
    text = {
        cell["id"]: "\n".join(
            o.get("text") or o.get("data", {}).get("text/plain") or o.get("evalue", "")
            for o in cell.get("outputs", ())
        )
        for cell in notebook.cells
    }
    assert "14 success, 1 failed, 4 skipped" in text["red"]
    assert "readings = DataFrame: 1,151 rows × 13 columns" in text["debug"]
    assert "KeyError: 'ghi'" in text["log"]
    assert "%%odibi try SILVER_002" in text["load"]
    assert "0 added, 0 removed, 13 changed, 371 unchanged" in text["try"]
    assert "5 success" in text["retry"]
    page = (folder / "executed" / "debugging.html").read_text(encoding="utf-8")
    assert "argument" in page
    assert not [path for path in folder.rglob("lake") if path.is_dir()]
