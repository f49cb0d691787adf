"""A small project on disk, on the embedded engine: manifest, functions, SQLite registry."""

from __future__ import annotations

import json
from pathlib import Path

from odibi_nb.sources.table import registry_in_database

FUNCTIONS = """
import pandas as pd


def load(constants):
    print("loading", constants["rows"])
    return pd.DataFrame({"x": range(constants["rows"])})


def double(inputs, context):
    frame = context.read(inputs[0])
    return frame.assign(x=frame["x"] * 2)


def broken(inputs, context):
    raise KeyError("no column <script>alert(1)</script>")
"""


def registry_row(
    name, layer, function, inputs=(), constants=None, outputs=(), project="Plant One", env="qat"
):
    return {
        "transformation_id": name,
        "project": project,
        "environment": env,
        "layer": layer,
        "entity_1": "Plant_A",
        "module": "plant_functions",
        "function": function,
        "inputs": list(inputs),
        "constants": constants or {},
        "outputs": [{"table": table} for table in outputs],
        "enabled": 1,
    }


def default_rows(project="Plant One"):
    return [
        registry_row(
            "B1", "Bronze", "load", constants={"rows": 3}, outputs=["bronze.x"], project=project
        ),
        registry_row(
            "S1", "Silver_1", "double", ["bronze.x"], outputs=["silver.x"], project=project
        ),
    ]


def make_project(
    folder: Path, rows=None, project="Plant One", functions=FUNCTIONS, **manifest
) -> Path:
    """Write the project below *folder*/projects; its folder."""
    home = folder / "projects" / "plant_one"
    home.mkdir(parents=True, exist_ok=True)
    environment = {"engine": "pandas", "registry": "sqlite:///registry.db"}
    content = {
        "project": project,
        "layer_order": ["Bronze", "Silver_1"],
        "environments": {"qat": environment, "prod": {**environment, "protected": True}},
        **manifest,
    }
    (home / "manifest.json").write_text(json.dumps(content))
    (home / "plant_functions.py").write_text(functions)
    registry = registry_in_database("sqlite:///registry.db", folder=home)
    registry.create()
    registry.upsert(default_rows(project) if rows is None else rows)
    return home
