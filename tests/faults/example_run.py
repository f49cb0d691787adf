"""The example project in a folder of its own, and the conditions that hold after any fault."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pandas as pd
import pyarrow as pa
from deltalake import DeltaTable, QueryBuilder

from odibi_nb import run_project
from odibi_nb.sources.table import registry_in_database

PROJECT = "Energy Efficiency"
SOURCE = Path(__file__).parents[2] / "notebooks" / "projects" / "energy_efficiency"
LOG = ("config_driven", "transformationrunlog")
RUNS = ("config_driven", "transformationrun")
ENDED = {"SUCCESS", "FAILED", "SKIPPED", "CANCELLED", "ABANDONED"}


def prepare(folder):
    """Copy the project to *folder*, and fill its registry; its retries don't wait."""
    ignored = shutil.ignore_patterns("lake", "registry.db", ".odibi", "__pycache__")
    shutil.copytree(SOURCE, folder, ignore=ignored)
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    for config in manifest["layers"].values():
        config["retry"] |= {"base_delay": 0, "jitter": 0}
    manifest["environments"]["qat"]["registry"] = "sqlite:///registry.db"  # the harder kind
    (folder / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    registry = registry_in_database(f"sqlite:///{folder / 'registry.db'}")
    registry.create()
    registry.upsert(json.loads((SOURCE / "registry.json").read_text(encoding="utf-8")))


class Example:
    """The example project. *reference* has the content of each table after an undisturbed run."""

    def __init__(self, folder, reference=None):
        self.folder = folder
        self.reference = reference
        self.lake = folder / "lake"
        self.registry = registry_in_database(f"sqlite:///{folder / 'registry.db'}")

    def run(self, **options):
        """Run it here."""
        options = {"log_level": "ERROR", "retry": {"base_delay": 0, "jitter": 0}, **options}
        return run_project(PROJECT, manifest_path=self.folder / "manifest.json", **options)

    def change(self, transformation_id, **columns):
        """Change a registry row."""
        rows = {r["transformation_id"]: r for r in self.registry.export(PROJECT, "qat")}
        self.registry.upsert([{**rows[transformation_id], **columns}])

    def constants(self, transformation_id):
        """The row's constants."""
        rows = {r["transformation_id"]: r for r in self.registry.export(PROJECT, "qat")}
        found = rows[transformation_id]["constants"]
        return json.loads(found) if isinstance(found, str) else found or {}

    def fault(self, transformation_id, source, **constants):
        """Make a row first call a function ``fault`` with *source* as its body."""
        module = self.folder / "odibi_functions" / f"fault_{transformation_id.lower()}.py"
        row = next(
            r
            for r in self.registry.export(PROJECT, "qat")
            if r["transformation_id"] == transformation_id
        )
        body = "\n".join(f"    {line}" for line in source.splitlines())
        module.write_text(
            f"import importlib, os, sys, time\nfrom odibi_nb.core.functions.registry import accepted_keywords\n"
            f"def fault(inputs, constants, outputs, spark, env, context):\n{body}\n"
            f"    fn = importlib.import_module({row['module']!r}).{row['function']}\n"
            "    given = dict(inputs=inputs, constants=constants, outputs=outputs, spark=spark, "
            "env=env, context=context)\n"
            "    return fn(**{k: given[k] for k in accepted_keywords(fn)})\n"
        )
        self.registry.upsert(
            [
                {
                    **row,
                    "module": f"odibi_functions.{module.stem}",
                    "function": "fault",
                    "constants": {**self.constants(transformation_id), **constants},
                }
            ]
        )
        return row

    def mend(self, row):
        """Put a registry row back."""
        self.registry.upsert([row])

    # -- what is there ---------------------------------------------------------------------------

    def arrow(self, schema, name):
        """A table's rows as an Arrow table, or None if it is not there."""
        path = self.lake / schema / name
        if not (path / "_delta_log").exists():
            return None
        batches = QueryBuilder().register("t", DeltaTable(str(path))).execute("SELECT * FROM t")
        return pa.table(batches.read_all())

    def rows(self, schema, name):
        """The rows of a table, or None if it is not there."""
        table = self.arrow(schema, name)
        return None if table is None else table.to_pylist()

    def content(self, schema, name):
        """Return a short description of a table: its columns, and a sorted number for each row."""
        frame = self.arrow(schema, name).to_pandas()
        return (*frame.columns, *sorted(pd.util.hash_pandas_object(frame, index=False)))

    def tables(self):
        """Every table of the lake but the run log, and its content."""
        logs = sorted(self.lake.glob("*/*/_delta_log"))
        names = [log.parent.relative_to(self.lake).parts for log in logs]
        return {name: self.content(*name) for name in names if name[0] != LOG[0]}

    def log(self, run_id):
        """The run log's records of a run."""
        return [record for record in self.rows(*LOG) or [] if record["run_id"] == run_id]

    # -- what must hold --------------------------------------------------------------------------

    def check_lake(self):
        """Check that every table has the result of whole transformations in some order: here, all give one result."""
        for name, rows in self.tables().items():
            assert rows == self.reference[name], name

    def check_log(self, result):
        """Check that the log has each ended attempt once, and each transformation's last status."""
        log = self.log(result.run_id)
        times = Counter((r["transformation_id"], r["attempt"]) for r in log)
        assert set(times.values()) <= {1}
        last = {
            r["transformation_id"]: r["status"] for r in sorted(log, key=lambda r: r["attempt"])
        }
        assert last == {name: t.status.value for name, t in result.transformations.items()}
        assert [r["run_id"] for r in self.rows(*RUNS)].count(result.run_id) == 1

    def check_next_run(self):
        """Check that the next run, without the fault, succeeds and makes every table right."""
        result = self.run()
        assert result["status"] == "success", result.summary()
        assert result.warnings == []
        self.check_log(result)
        assert self.tables() == self.reference

    def check(self, result):
        """Check all conditions, after a run that wrote its log."""
        self.check_lake()
        self.check_log(result)
        self.check_next_run()


class Child:
    """The example project in a process of its own, which prints its events line by line."""

    CODE = """
import sys
from odibi_nb import HookManager, run_project
hooks = HookManager()
hooks.register("*", lambda p: print(p["event"], p["run_id"], p.get("transformation_id", ""), flush=True))
result = run_project({project!r}, manifest_path={manifest!r}, hooks=hooks, log_level="WARNING", {options})
print("result", result["status"], result.counts(), flush=True)
print("warnings", result.warnings, flush=True)
"""

    def __init__(self, example, options="", before=""):
        code = self.CODE.format(
            project=PROJECT, manifest=str(example.folder / "manifest.json"), options=options
        )
        self.lines = []
        self.process = subprocess.Popen(
            [sys.executable, "-c", before + code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )

    def wait_for(self, start):
        """Read until a line starts with this text, and return the line."""
        for line in self.process.stdout:
            self.lines.append(line.rstrip())
            if line.startswith(start):
                return line.split()
        raise AssertionError((start, self.lines, self.process.stderr.read()))

    def signal(self, number=signal.SIGINT):
        self.process.send_signal(number)

    def end(self):
        """Return the process's exit code. All its output is in `lines`."""
        out, self.errors = self.process.communicate(timeout=60)
        self.lines += out.splitlines()
        return self.process.returncode
