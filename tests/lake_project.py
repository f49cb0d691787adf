"""A project with a lake that a test runs, rolls back, and changes like another program."""

from __future__ import annotations

import hashlib

from lazily import deltalake, pa
from real_project import make_project

import odibi_nb
from odibi_nb import GenericProjectOrchestrator, run_project
from odibi_nb.core.model.manifest import DEFAULT_LAKE
from odibi_nb.core.runlog.history import past_runs

FUNCTIONS = """
import os, signal
import pandas as pd

FACTOR = 1


def load(constants, context):
    return pd.DataFrame({"x": range(constants["rows"])})


def double(inputs, context):
    frame = context.read(inputs[0])
    return frame.assign(x=frame["x"] * 2)


def add(constants, context):
    return pd.DataFrame({"x": [constants["value"]]})


def broken(inputs, context):
    raise KeyError("no column")


def killed(inputs, context):
    context.write(pd.DataFrame({"x": [1]}), "bronze.nowhere_declared")
    os.kill(os.getpid(), signal.SIGKILL)
"""


class Lake:
    """A project with a lake whose state tests read from outside. Without *rows* it is there already."""

    def __init__(self, tmp_path, rows=(), **manifest):
        self.home = tmp_path / "projects" / "plant_one"
        if rows:
            self.home = make_project(tmp_path, rows, functions=FUNCTIONS, **manifest)
        self.path = self.home / "manifest.json"

    def run(self, **options):
        return run_project(
            "Plant One", manifest_path=self.path, log_level="CRITICAL", retry=0, **options
        )

    def rollback(self, run_id="last", **options):
        return odibi_nb.rollback(
            "Plant One", run_id, manifest_path=self.path, log_level="CRITICAL", **options
        )

    def uri(self, table):
        return str(self.home / DEFAULT_LAKE / table.replace(".", "/"))

    def table(self, table):
        return deltalake.DeltaTable(self.uri(table))

    def version(self, table):
        return self.table(table).version()

    def values(self, table):
        return sorted(self.table(table).to_pyarrow_table()["x"].to_pylist())

    def write(self, table, values, mode="append"):
        """Write as another program does."""
        deltalake.write_deltalake(
            self.uri(table), pa.table({"x": pa.array(values, pa.int64())}), mode=mode
        )

    def runs(self):
        orchestrator = GenericProjectOrchestrator("Plant One", manifest_path=self.path)
        try:
            return past_runs(orchestrator.sinks(), 100)
        finally:
            orchestrator.close()

    def digest(self):
        """Return a hash of every file of lake, registry and state."""
        found = hashlib.sha256()
        for path in sorted(p for p in self.home.rglob("*") if p.is_file()):
            if "__pycache__" not in path.parts:
                found.update(str(path).encode() + path.read_bytes())
        return found.hexdigest()
