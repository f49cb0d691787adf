"""notebooks/time_machine.ipynb, executed as a user does: stale, diff, why, load --run, bisect, rollback."""

from __future__ import annotations

import subprocess
import sys

import nbformat
from notebook_copies import copy_notebooks


def test_the_time_machine_shows_what_it_says(tmp_path):
    """One bad stamp: only its rows run, and the cause is found on the data of then, after a repair."""
    notebooks = copy_notebooks(tmp_path)
    done = subprocess.run(
        [sys.executable, str(notebooks / "execute.py"), "time_machine"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    notebook = nbformat.read(notebooks / "executed" / "time_machine.ipynb", as_version=4)
    shown = {
        cell["id"]: "".join(
            o.get("text") or o.get("data", {}).get("text/plain") or o.get("evalue", "")
            for o in cell["outputs"]
        )
        for cell in notebook.cells
        if cell["cell_type"] == "code"
    }
    assert "19 fresh" in shown["fresh"]
    assert "6 rows" in shown["stale"]
    assert "1 success, 1 failed, 4 skipped" in shown["red"]
    assert "bronze.rmis_weather v0 → v1: +1 −1" in shown["diff"]
    assert "likeliest: input bronze.rmis_weather v0 → v1 (WRITE by BRONZE_002" in shown["why"]
    assert "bronze.rmis_weather v1" in shown["load"]
    assert "no clock" in shown["look"]
    assert "bronze.rmis_weather v1 (WRITE by BRONZE_002" in shown["bisect"]
    assert "nothing was written" in shown["bisect"]
    assert "5 success" in shown["green"]
    assert "gold.hourly_metrics v0 → v1: +6 −88" in shown["wrong-diff"]
    assert "gold.hourly_metrics  restore  1        0" in shown["dry"]
    assert "1 success" in shown["rollback"]
