"""Small stand-ins for slow or remote parts: tables in a dict, rows in a list, a sink in memory."""

from __future__ import annotations

import contextlib
import json
import os
import threading
from pathlib import Path
from typing import Any

from odibi_nb.core.functions.registry import REGISTRY
from odibi_nb.core.model.tables import TableName
from odibi_nb.core.protocols import Adapters, BaseLogSink
from odibi_nb.core.running.orchestrator import Orchestrator
from odibi_nb.errors import TableNotFoundError
from odibi_nb.views import rich_displays
from odibi_nb.views.run.console import ConsoleView

rich_displays.register()

MODULE = "fake_functions"


class FakeTables:
    """An engine whose frames are lists of rows."""

    name = "pandas"
    cannot_cache = ""

    def __init__(self):
        self.tables: dict[str, list] = {}
        self.cached: list[str] = []
        self.lock = threading.Lock()

    def spark_session(self):
        return None

    def attempt_scope(self, info, tables, control):
        return contextlib.nullcontext()

    def read(self, table):
        if table.key not in self.tables:
            raise TableNotFoundError(str(table), f"no table {table}")
        return list(self.tables[table.key])

    def query(self, sql):
        return [sql]

    def read_file(self, location, *, format, schema=None, options=None):
        return [location, format]

    def write(self, frame, output, info):
        with self.lock:
            key = TableName.parse(output.table).key
            kept = self.tables.get(key, []) if output.mode == "append" else []
            self.tables[key] = kept + frame
        return len(frame)

    def exists(self, table):
        return table.key in self.tables

    def check_writable(self):
        pass

    def is_frame(self, value):
        return isinstance(value, list)

    def row_count(self, frame):
        return len(frame)

    def schema(self, frame):
        return {}

    def cache(self, table, *, keep=False):
        self.read(table)
        self.cached.append(str(table))

    def close(self):
        pass


class MemorySink(BaseLogSink):
    """A sink that stores its records. It raises for the first *failures* batches."""

    name = "memory"

    def __init__(self, failures: int = 0):
        self.records: list[dict] = []
        self.batches: list[int] = []
        self.run_records: list[dict] = []
        self.failures = failures
        self.closed = False

    def write(self, records):
        if self.failures:
            self.failures -= 1
            raise OSError("the sink is down")
        self.batches.append(len(records))
        self.records += records

    def write_run(self, record):
        self.run_records.append(record)

    def written(self, run_id):
        return {
            (r["transformation_id"], r["attempt"]) for r in self.records if r["run_id"] == run_id
        }

    def runs(self, limit):
        return self.run_records[::-1][:limit]

    def attempts(self, run_ids):
        return [r for r in self.records if r["run_id"] in run_ids]

    def close(self):
        self.closed = True


class ListRegistry:
    """A registry with its rows in a list."""

    name = "a list"

    def __init__(self, rows):
        self.rows = rows

    def fetch(self, project, env):
        return [
            r
            for r in self.rows
            if r["project"].lower() == project.lower() and r["environment"] == env
        ]

    def census(self):
        return [(r["project"], r["environment"], 1) for r in self.rows]


def row(name: str, fn: Any = None, **columns: Any) -> dict[str, Any]:
    """Return a registry row of project P, env qat. *fn* is its function."""
    if fn is not None:
        REGISTRY.register(name, "any", fn, module=MODULE)
    defaults = {
        "transformation_id": name,
        "project": "P",
        "environment": "qat",
        "layer": "Silver_1",
        "module": MODULE,
        "function": name,
        "inputs": "[]",
        "constants": '{"retry": 0}',
        "outputs": "[]",
        "enabled": 1,
    }
    encoded = {k: json.dumps(v) if isinstance(v, (list, dict)) else v for k, v in columns.items()}
    return {**defaults, **encoded}


class FakeProject:
    """A project on fakes: `run` runs *rows*, and `tables` and `sink` have the results."""

    def __init__(
        self, folder: Path, rows, manifest: dict | None = None, sink: MemorySink | None = None
    ):
        self.tables = FakeTables()
        self.sink = sink or MemorySink()
        self.rows = rows
        self.path = folder / "manifest.json"
        folder.mkdir(parents=True, exist_ok=True)
        defaults = {"project": "P", "layer_order": ["Bronze", "Silver_1", "Gold_1"]}
        self.path.write_text(json.dumps({**defaults, **(manifest or {})}))
        self.state_dir = folder / ".odibi"

    def adapters(self) -> Adapters:
        return Adapters(
            engine=lambda name, place: self.tables,
            registry=lambda place: ListRegistry(self.rows),
            sinks=lambda place: [self.sink],
            console=ConsoleView,
            frame=lambda columns, rows: [list(columns), *rows],
        )

    def orchestrator(self, **keywords: Any) -> Orchestrator:
        keywords = {
            "project": "P",
            "manifest_path": self.path,
            "engine": "pandas",
            "log_level": "CRITICAL",
            **keywords,
        }
        return Orchestrator(adapters=self.adapters(), **keywords)

    def run(
        self,
        *,
        hooks=None,
        views=(),
        log_level="CRITICAL",
        save_logs=False,
        log_sink=None,
        **options: Any,
    ):
        return self.orchestrator(
            hooks=hooks, views=views, log_level=log_level, save_logs=save_logs, log_sink=log_sink
        ).run(**options)


def statuses(result) -> dict[str, str]:
    """Transformation id to final status."""
    return {name: t.status.value for name, t in result.transformations.items()}


def fill_the_disk_of_journals():
    """Let all later writes to the journals that are open fail as on a full disk. Needs Linux."""
    full = os.open("/dev/full", os.O_WRONLY)
    for link in Path("/proc/self/fd").iterdir():
        if link.is_symlink() and str(link.readlink()).endswith("journal.jsonl"):
            os.dup2(full, int(link.name), inheritable=False)
    os.close(full)


def project_of_outcomes(folder: Path, flaky, broken) -> FakeProject:
    """A project whose S_1 needs a second attempt of *flaky*, S_2 fails in *broken*, and G_1 is skipped."""
    again = '{"retry": 1, "retry_delay": 0}'
    gold = {"layer": "Gold_1", "inputs": ["s.two"], "outputs": [{"table": "g.one"}]}
    return FakeProject(
        folder,
        [
            row("S_2", broken, outputs=[{"table": "s.two"}]),
            row("S_1", flaky, outputs=[{"table": "s.one"}], constants=again),
            row("G_1", lambda: [3], **gold),
        ],
    )
