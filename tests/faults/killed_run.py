"""A run of the example project that a test kills. It sends every event through a pipe.

Stands in a module of its own because a fork server imports it, and what it needs, once.
"""

from __future__ import annotations

import sqlite3  # noqa: F401
from pathlib import Path

import deltalake  # noqa: F401  imported before the fork, so that each process starts at once
import duckdb  # noqa: F401
import fsspec.implementations.local  # noqa: F401
import pandas as pd  # noqa: F401
import pyarrow as pa  # noqa: F401
import pyarrow.pandas_compat  # noqa: F401
import sqlalchemy.dialects.sqlite  # noqa: F401

import odibi_nb.api
import odibi_nb.engines.pandas.engine
import odibi_nb.ingest
import odibi_nb.sinks.table
import odibi_nb.sources.table
import odibi_nb.storage.delta_table
import odibi_nb.storage.sql_table  # noqa: F401


def run_and_tell(folder: str, pipe) -> None:
    """Run the project, and send every journaled event through *pipe*."""
    from odibi_nb import HookManager, run_project

    hooks = HookManager()
    hooks.register(
        "*", lambda p: pipe.send((p["event"], p["run_id"], p.get("transformation_id", "")))
    )
    run_project(
        "Energy Efficiency",
        manifest_path=Path(folder) / "manifest.json",
        hooks=hooks,
        max_workers=4,
        log_level="CRITICAL",
    )


def append_rows(folder: str, name: str, times: int) -> None:
    """Run a project that appends *times* times to a table with other writers."""
    from odibi_nb import run_project

    for _ in range(times):
        run_project(
            name, manifest_path=Path(folder) / "manifest.json", log_level="CRITICAL"
        ).raise_for_status()
