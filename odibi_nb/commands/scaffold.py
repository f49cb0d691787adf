"""``init``: create a project that runs at once and can be published, with functions and tests."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shlex
import shutil
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi_nb.commands.scaffold_files import (
    DATA,
    GITIGNORE,
    GOLD,
    PROJECT_TESTS,
    SILVER,
    TESTS,
    cells,
    pyproject,
    readme,
)
from odibi_nb.core.model.manifest import ProjectManifest, folder_name, manifest_paths
from odibi_nb.errors import ConfigurationError, ManifestError
from odibi_nb.settings import load_settings
from odibi_nb.version import __version__

if TYPE_CHECKING:
    import argparse

    from odibi_nb.commands.face import Face

REGISTRY = "registry.json"
ENV = "qat"
MAX_NAME = 200
"""Maximum length in characters of the registry's column `project`."""
_UNWRITABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories of control characters, surrogates, and line and paragraph separators."""


def init(arguments: argparse.Namespace, face: Face) -> str:
    """Create the project ``projects/NAME`` with three registry rows. Existing files stay as they are."""
    name = _checked_name(arguments.name)
    home = _free_place(name)
    shown = _line(name)
    words = ["run", *(["--"] if name.startswith("-") else []), name]
    files = {
        home / "README.md": readme(shown, shlex.join(words), f"{home.name}.ipynb"),
        home / ".gitignore": GITIGNORE,
        home / "pyproject.toml": pyproject(_package_name(name), json.dumps(shown), __version__),
        home / "manifest.json": _json(manifest(name)),
        home / REGISTRY: _json(registry_rows(name)),
        home / "data" / "readings.csv": DATA,
        home / "odibi_functions" / "__init__.py": f'"""The transformations of {shown}."""\n',
        home / "odibi_functions" / "silver.py": SILVER,
        home / "odibi_functions" / "gold.py": GOLD,
        home / "tests" / "test_functions.py": TESTS,
        home / "tests" / "test_project.py": PROJECT_TESTS,
        home / f"{home.name}.ipynb": _json(_notebook(name)),
    }
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as exc:
        shutil.rmtree(home, ignore_errors=True)
        reason = f"{exc.filename or home} cannot be written: {exc.strerror}: nothing was created"
        raise ConfigurationError("init", [reason]) from exc
    return "\n".join(
        [
            f"project {name!r} is ready:",
            *(f"  {path}" for path in files),
            "next:",
            f"  {face.spell(words)}",
            f"  python -m pytest {shlex.quote(str(home))}  # needs: pip install pytest",
        ]
    )


def _checked_name(given: str) -> str:
    name = given.strip()
    odd = {c for c in name if unicodedata.category(c) in _UNWRITABLE}
    problems = []
    if odd:
        signs = ", ".join(f"U+{ord(c):04X}" for c in sorted(odd))
        problems.append(f"{given!r:.100} has characters that no text shows ({signs})")
    if len(name) > MAX_NAME:
        problems.append(
            f"a name has at most {MAX_NAME} characters, as the registry's column, found {len(name)}"
        )
    if not folder_name(name):
        problems.append(f"{given!r:.100} has no letter or digit: choose another name")
    if problems:
        raise ConfigurationError("init", problems)
    return name


def _free_place(name: str) -> Path:
    """Choose a new folder, numbered if another project uses the same folder name.

    Raises:
        ConfigurationError: if the project exists, or other files are in its place.
    """
    for path in manifest_paths(load_settings().project_dirs()):
        with contextlib.suppress(ManifestError):
            if ProjectManifest.from_json(path).project.casefold() == name.casefold():
                message = f"{path.parent} already exists: nothing was created"
                raise ConfigurationError("init", [message])
    for number in itertools.count(1):
        called = folder_name(name) + (f"_{number}" if number > 1 else "")
        home = Path("projects") / called
        if not home.exists():
            return home
        if not (home / "manifest.json").exists():
            raise ConfigurationError("init", [f"{home} already exists: nothing was created"])
    raise AssertionError  # the loop never ends


def manifest(name: str) -> dict[str, Any]:
    """Return the manifest of a new project called *name*."""
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
    """Return one row per layer, from a file to a table of daily means."""
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


def _package_name(name: str) -> str:
    """Return a name that Python packages may have."""
    ascii_only = unicodedata.normalize("NFKD", name).encode("ascii", errors="ignore").decode()
    return re.sub(r"[^a-z0-9]+", "-", ascii_only.lower()).strip("-") or "odibi-project"


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
    """Return the name in a form that is safe inside a docstring."""
    return " ".join(name.replace("\\", " ").replace('"', "'").split())
