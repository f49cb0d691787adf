"""A run that a test kills: rows that take a few milliseconds, told of through a pipe.

Stands in a module of its own because a fork server imports it, and what it needs, once.
"""

from __future__ import annotations

import json
from pathlib import Path

import deltalake  # noqa: F401  imported before the fork, so that each process starts at once
import pandas as pd  # noqa: F401
import pyarrow as pa  # noqa: F401
import sqlalchemy as sa  # noqa: F401

import odibi_nb.api
import odibi_nb.engines.pandas
import odibi_nb.sinks.delta
import odibi_nb.sources.sql  # noqa: F401

LAYERS = ("Bronze", "Silver_1")
ROWS_PER_LAYER = 20
PROJECT = "Killed"


def write_project(folder: Path) -> None:
    """A project of two layers on the embedded engine."""
    from odibi_nb.sources.sql import SqlRegistry

    manifest = {
        "project": PROJECT,
        "layer_order": list(LAYERS),
        "environments": {"qat": {"engine": "pandas", "registry": "sqlite:///registry.db"}},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "killed_functions.py").write_text(
        "import time\n\ndef work(constants):\n    time.sleep(constants['seconds'])\n"
    )
    registry = SqlRegistry("sqlite:///registry.db", folder=folder)
    registry.create()
    registry.upsert(
        [
            {
                "transformation_id": f"{layer}_{i:02}",
                "project": PROJECT,
                "environment": "qat",
                "layer": layer,
                "module": "killed_functions",
                "function": "work",
                "inputs": [],
                "constants": {"seconds": 0.002 * (i % 4)},
                "outputs": [],
                "enabled": 1,
            }
            for layer in LAYERS
            for i in range(ROWS_PER_LAYER)
        ]
    )


def run_and_tell(folder: str, pipe) -> None:
    """Run the project; tell of every event through *pipe*, after it was journaled."""
    from odibi_nb import HookManager, run_project

    hooks = HookManager()
    hooks.register(
        "*", lambda p: pipe.send((p["event"], p["run_id"], p.get("transformation_id", "")))
    )
    run_project(PROJECT, manifest_path=Path(folder) / "manifest.json", hooks=hooks, max_workers=4)
