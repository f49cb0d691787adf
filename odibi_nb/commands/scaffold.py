"""``init``: a new project that runs at once: manifest, registry, functions for both engines, tests, notebook."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi_nb.adapters import require
from odibi_nb.commands.scaffold_files import DATA, GOLD, SILVER, TESTS, cells
from odibi_nb.core.manifest import plain_slug
from odibi_nb.errors import ConfigurationError

if TYPE_CHECKING:
    import argparse

    from odibi_nb.commands.face import Face

REGISTRY = "sqlite:///registry.db"
ENV = "qat"


def init(arguments: argparse.Namespace, face: Face) -> str:
    """Make the project ``projects/NAME``, its registry filled; nothing that is there is touched."""
    del face
    name = arguments.name.strip()
    slug = plain_slug(name)
    if not slug:
        raise ConfigurationError(
            "init", [f"{arguments.name!r} has no letter or digit: choose another name"]
        )
    require("odibi init", "sql", "sqlalchemy")
    home, notebook = Path("projects") / slug, Path(f"{slug}.ipynb")
    there = [path for path in (home, notebook) if path.exists()]
    if there:
        raise ConfigurationError("init", [f"{there[0]} is there already: nothing was made"])
    rows = registry_rows(name)
    files = {
        home / "manifest.json": _json(manifest(name)),
        home / "registry.json": _json(rows),
        home / "data" / "readings.csv": DATA,
        home / "odibi_functions" / "__init__.py": f'"""The transformations of {_line(name)}."""\n',
        home / "odibi_functions" / "silver.py": SILVER,
        home / "odibi_functions" / "gold.py": GOLD,
        home / "tests" / "test_functions.py": TESTS,
        notebook: _json(_notebook(name)),
    }
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    _fill_registry(home, rows)
    quoted = json.dumps(name, ensure_ascii=False)
    return "\n".join(
        [
            f"project {name!r} is ready:",
            *(f"  {path}" for path in files),
            f"  {home / 'registry.db'} ({len(rows)} rows)",
            "next:",
            f"  odibi run {quoted}",
            f"  python -m pytest {home}",
        ]
    )


def manifest(name: str) -> dict[str, Any]:
    """The manifest of a new project called *name*."""
    return {
        "project": name,
        "description": "",
        "layer_order": ["Bronze", "Silver_1", "Gold_1"],
        "default_env": ENV,
        "environments": {
            ENV: {
                "engine": "pandas",
                "registry": REGISTRY,
                "lake": "lake",
                "locations": {"adls://raw": "data"},
            }
        },
        "transformation_modules": ["odibi_functions"],
        "outputs_required": True,
    }


def registry_rows(name: str) -> list[dict[str, Any]]:
    """A row per layer, from a file to a table of daily means."""
    place = {"project": name, "environment": ENV, "entity_1": None, "entity_2": None, "enabled": 1}
    return [
        {
            "transformation_id": "BRONZE_001",
            "layer": "Bronze",
            "module": "odibi_nb.ingest",
            "function": "load_csv",
            "inputs": [],
            "constants": {"source": "adls://raw/readings.csv"},
            "outputs": [{"table": "bronze.readings"}],
            **place,
        },
        {
            "transformation_id": "SILVER_001",
            "layer": "Silver_1",
            "module": "odibi_functions.silver",
            "function": "clean_readings",
            "inputs": ["bronze.readings"],
            "constants": {"least": 0},
            "outputs": [{"table": "silver.readings", "keys": ["sensor", "measured_on"]}],
            **place,
        },
        {
            "transformation_id": "GOLD_001",
            "layer": "Gold_1",
            "module": "odibi_functions.gold",
            "function": "daily_mean",
            "inputs": ["silver.readings"],
            "constants": {},
            "outputs": [{"table": "gold.daily_mean", "keys": ["sensor", "day"]}],
            **place,
        },
    ]


def _fill_registry(home: Path, rows: list[dict[str, Any]]) -> None:
    from odibi_nb.sources.sql import SqlRegistry

    registry = SqlRegistry(REGISTRY, folder=home.absolute())
    registry.create()
    registry.upsert(rows)


def _notebook(name: str) -> dict[str, Any]:
    made: list[dict[str, Any]] = [
        {
            "cell_type": kind,
            "id": f"cell-{number}",
            "metadata": {},
            "source": text.splitlines(keepends=True),
            **({"execution_count": None, "outputs": []} if kind == "code" else {}),
        }
        for number, (kind, text) in enumerate(cells(name), 1)
    ]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def _line(name: str) -> str:
    """The name where it cannot end a docstring."""
    return " ".join(name.replace("\\", " ").replace('"', "'").split())
