"""Copies of notebooks/ for tests that run them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).parent.parent


def copy_notebooks(folder: Path) -> Path:
    """Make a copy of notebooks/ without the files of earlier runs."""
    left = shutil.ignore_patterns(
        ".odibi", "lake", "registry.db", "executed", "__pycache__", ".ipynb_checkpoints"
    )
    return Path(shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=left))


def shown_by(notebooks, name):
    """Execute the notebook *name* in the copy *notebooks* as a user does. Return the text below each code cell, by id."""
    done = subprocess.run(
        [sys.executable, str(notebooks / "execute.py"), name],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    notebook = nbformat.read(notebooks / "executed" / f"{name}.ipynb", as_version=4)
    return {
        cell["id"]: "".join(
            o.get("text") or o.get("data", {}).get("text/plain") or o.get("evalue", "")
            for o in cell["outputs"]
        )
        for cell in notebook.cells
        if cell["cell_type"] == "code"
    }
