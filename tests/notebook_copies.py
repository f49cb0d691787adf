"""Copies of notebooks/ for tests that run them."""

from __future__ import annotations

import shutil
from pathlib import Path

ROOT = Path(__file__).parent.parent


def copy_notebooks(folder: Path) -> Path:
    """A copy of notebooks/ without what earlier runs left."""
    left = shutil.ignore_patterns(
        ".odibi", "lake", "registry.db", "executed", "__pycache__", ".ipynb_checkpoints"
    )
    return Path(shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=left))
