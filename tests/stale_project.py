"""A project whose code, rows, files and tables a test changes, with the stale rows of each change."""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from pathlib import Path

from lazily import deltalake, pa

from odibi_nb import GenericProjectOrchestrator
from odibi_nb.sources.table import registry_in_database

MODULES = {
    "flow/__init__.py": "",
    "flow/deep/__init__.py": "",
    "flow/deep/units.py": "FACTOR = 2\n\n\ndef scaled(frame):\n    return frame.assign(x=frame['x'] * FACTOR)\n\n\ndef unused():\n    return 1\n",
    "flow/helpers.py": "from flow.deep.units import scaled\n\n\ndef clean(frame):\n    # drop nothing\n    return scaled(frame)\n",
    "flow/rows.py": '''
"""Rows."""
import functools

from odibi_nb import expect
from flow import helpers
from flow.frames import as_pandas, as_own

LIMIT = 1000


def counted(fn):
    @functools.wraps(fn)
    def call(inputs, constants, context):
        return fn(inputs, constants, context)
    return call


def ingest(inputs, constants, context):
    """Read a file."""
    return context.read_file(constants["path"])


@expect(not_null=["x"])
@counted
def clean(inputs, constants, context):
    """Clean."""
    if constants.get("fail"):
        raise KeyError("broken")
    if constants.get("cancel"):
        CANCEL[0]()
    return as_own(helpers.clean(as_pandas(context.read(inputs[0]))).head(LIMIT), context)


CANCEL = []


def limited(inputs, constants, context, most=500):
    return as_own(as_pandas(context.read(inputs[0])).head(most), context)


def added(inputs, constants, context, by=0):
    frame = as_pandas(context.read(inputs[0]))
    return as_own(frame.assign(x=frame["x"] + by), context)


shifted = functools.partial(added, by=3)


def made(by):
    def shift(inputs, constants, context):
        frame = as_pandas(context.read(inputs[0]))
        return as_own(frame.assign(x=frame["x"] - by), context)
    return shift


closed = made(1)


def told(inputs, constants, context):
    frame = as_pandas(context.read(inputs[0]))
    return as_own(frame.assign(x=frame["x"] + context.parameters["offset"]), context)


def whole(inputs, constants, context):
    return context.read(inputs[0])
''',
    "flow/frames.py": """
import pandas as pd


def as_pandas(frame):
    if isinstance(frame, pd.DataFrame):
        return frame
    return pd.DataFrame([row.asDict() for row in frame.collect()], columns=frame.columns)


def as_own(frame, context):
    if context.engine.value == "pandas":
        return frame
    rows = [tuple(int(value) for value in row) for row in frame.itertuples(index=False)]
    return context.spark.createDataFrame(rows, ", ".join(f"{name} long" for name in frame.columns))
""",
}

QUERY = "SELECT x, k FROM bronze.a WHERE x >= 0"


def default_rows():
    """Return the rows of the project: id to (layer, function, inputs, constants, outputs)."""
    return {
        "B1": ("Bronze", "ingest", [], {"path": "raw/a.csv"}, [{"table": "bronze.a"}]),
        "B2": ("Bronze", "ingest", [], {"path": "raw/b.csv"}, [{"table": "bronze.b"}]),
        "S1": ("Silver_1", "clean", ["bronze.a"], {}, [{"table": "silver.clean"}]),
        "S2": ("Silver_1", "limited", ["bronze.b"], {}, [{"table": "silver.limited"}]),
        "S3": (
            "Silver_1",
            "whole",
            [{"type": "query", "sql": QUERY, "name": "q"}],
            {},
            [{"table": "silver.q"}],
        ),
        "S4": ("Silver_1", "shifted", ["bronze.b"], {}, [{"table": "silver.shifted"}]),
        "S5": (
            "Silver_1",
            "closed",
            ["bronze.b"],
            {},
            [{"table": "silver.closed", "mode": "merge", "keys": ["k"]}],
        ),
        "S6": ("Silver_1", "told", ["bronze.b"], {}, [{"table": "silver.told"}]),
        "G1": ("Gold_1", "whole", ["silver.clean"], {}, [{"table": "gold.clean"}]),
        "G2": (
            "Gold_1",
            "whole",
            ["silver.limited"],
            {"depends_on": ["S4"]},
            [{"table": "gold.l"}],
        ),
        "G3": ("Gold_1", "whole", ["gold.clean"], {}, [{"table": "gold.top"}]),
    }


EDGES = {
    "S1": ["B1"],
    "S3": ["B1"],
    "S2": ["B2"],
    "S4": ["B2"],
    "S5": ["B2"],
    "S6": ["B2"],
    "G1": ["S1"],
    "G2": ["S2", "S4"],
    "G3": ["G1"],
}


def forget_modules():
    """Forget the modules of such projects, so that another one's are imported."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "flow"]:
        del sys.modules[name]


class StaleProject:
    """The project on disk, in a fresh state after `run`. Unless it is *written*, its files are made."""

    def __init__(self, folder: Path, engine: str = "pandas", auth=None, *, written=False):
        self.folder = folder
        self.engine = engine
        self.auth = auth
        self.modules = dict(MODULES)
        self.rows = default_rows()
        self.off: set[str] = set()
        self.values = {"a": "1234", "b": "5678"}
        self.parameters = {"offset": 1}
        self.edges = dict(EDGES)
        self.outputs = {name: row[4][0]["table"] for name, row in self.rows.items()}
        self.number = 0
        self.patched = False
        self.must: set[str] = set()
        if not written:
            self.write_all()

    def write_all(self):
        """Write modules, files, manifest and registry."""
        for name in self.modules:
            self.write(name)
        for name in self.values:
            self.file(name)
        self.save()
        self.register()

    def below(self, names):
        """The rows *names* and all rows that need them, directly or not."""
        found = set(names)
        while more := {n for n, ups in self.edges.items() if n not in found and found & {*ups}}:
            found |= more
        return found

    # -- the project ---------------------------------------------------------------------------

    def next(self):
        """Return an unused number."""
        self.number += 1
        return self.number

    def write(self, name):
        """Write one module."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self.modules[name])
        if self.patched:  # the next plan loads the module again, without the patch
            self.patched = False
            self.must.add("S1")

    def edit(self, name, old, new):
        """Replace *old* by *new* in one module."""
        assert old in self.modules[name], (name, old)
        self.modules[name] = self.modules[name].replace(old, new, 1)
        self.write(name)

    def file(self, name):
        """Write one raw file, whose size never changes."""
        path = self.folder / "raw" / f"{name}.csv"
        path.parent.mkdir(exist_ok=True)
        assert not path.parent.is_symlink(), "the raw files are also those of other tests"
        path.write_text("k,x\n" + "".join(f"{i},{d}\n" for i, d in enumerate(self.values[name])))
        return path

    def save(self):
        """Write the manifest."""
        own = {"engine": self.engine, "registry": "sqlite:///registry.db"}
        manifest = {
            "project": "Stale",
            "layer_order": ["Bronze", "Silver_1", "Gold_1"],
            "parameters": self.parameters,
            "environments": {
                "qat": {**own, "lake": "lake"},
                "far": {**own, "lake": "far_lake"},
                "near": {**own, "lake": "lake", "run_log": "other.TransformationRunLog"},
            },
        }
        (self.folder / "manifest.json").write_text(json.dumps(manifest))

    def register(self, *names):
        """Write the rows *names*, or all, to the registry, for all environments."""
        registry = registry_in_database("sqlite:///registry.db", folder=self.folder)
        registry.create(all_columns=True)
        registry.upsert(
            {
                "transformation_id": name,
                "project": "Stale",
                "environment": env,
                "layer": layer,
                "module": "flow.rows",
                "function": function,
                "inputs": inputs,
                "constants": {"retry": 0, **constants},
                "outputs": outputs,
                "enabled": int(name not in self.off),
            }
            for env in ("qat", "far", "near")
            for name in names or self.rows
            for layer, function, inputs, constants, outputs in [self.rows[name]]
        )

    def change_row(self, name, function=None, inputs=None, outputs=None, **constants):
        """Change a row in the registry."""
        layer, old_function, old_inputs, old, old_outputs = self.rows[name]
        kept = {k: v for k, v in {**old, **constants}.items() if v is not None}
        self.rows[name] = (
            layer,
            function or old_function,
            old_inputs if inputs is None else inputs,
            kept,
            old_outputs if outputs is None else outputs,
        )
        self.register(name)

    def opened(self, env="qat", **keywords):
        """The project, opened."""
        return GenericProjectOrchestrator(
            "Stale",
            env,
            manifest_path=self.folder / "manifest.json",
            log_level="CRITICAL",
            auth_provider=self.auth,
            **keywords,
        )

    def run(self, env="qat", **options):
        """Run the project. Return the result."""
        return self.opened(env).run(max_workers=2, **options)

    def ran(self):
        """Run the stale rows. Return the ids that ran, and the ids that ended without running."""
        result = self.run(stale=True)
        statuses = {n: t.status.value for n, t in result.transformations.items()}
        wrong = {n: s for n, s in statuses.items() if s not in ("SUCCESS", "UNCHANGED")}
        assert not wrong, {n: result.transformations[n].reason for n in wrong}
        return (
            {n for n, s in statuses.items() if s == "SUCCESS"},
            {n for n, s in statuses.items() if s == "UNCHANGED"},
        )

    def why(self):
        """The reasons of each row that is not fresh."""
        verdicts = self.opened().status().verdicts
        return {name: verdict.why for name, verdict in verdicts.items() if verdict.reasons}

    def table(self, name):
        """The Delta table of an output."""
        schema, table = self.outputs[name].split(".")
        return self.folder / "lake" / schema / table

    # -- changes that make rows stale: each returns the ids that must run ----------------------

    def change_function(self):
        n = self.next()
        self.edit("flow/rows.py", "def limited(", f"VALUE_{n} = {n}\n\n\ndef limited(")
        self.edit("flow/rows.py", ".head(most)", f".head(most).head({1000 + n})")
        return {"S2"}

    def change_helper(self):
        self.edit("flow/deep/units.py", "frame['x'] * ", f"{self.next()} + frame['x'] * ")
        return {"S1"}

    def change_constant_of_helper(self):
        old = next(x for x in self.modules["flow/deep/units.py"].splitlines() if "FACTOR =" in x)
        self.edit("flow/deep/units.py", old, f"FACTOR = {self.next() + 2}")
        return {"S1"}

    def change_default(self):
        text = self.modules["flow/rows.py"]
        old = text[text.index("most=") : text.index("):", text.index("most="))]
        self.edit("flow/rows.py", old, f"most={500 + self.next()}")
        return {"S2"}

    def change_decorator(self):
        old = "return fn(inputs, constants, context)"
        self.edit("flow/rows.py", old, f"seen = {self.next()}\n        {old}")
        return {"S1"}

    def change_check(self):
        text = self.modules["flow/rows.py"]
        line = next(x for x in text.splitlines() if x.startswith("@expect"))
        new = f'@expect(not_null=["x"], on_fail="fail")  # {self.next()}'
        if "on_fail" in line:
            new = '@expect(not_null=["x"])'
        self.edit("flow/rows.py", line, new)
        return {"S1"}

    def change_partial(self):
        old = next(x for x in self.modules["flow/rows.py"].splitlines() if "shifted =" in x)
        new = f"shifted = functools.partial(added, by={self.next() + 3})"
        self.edit("flow/rows.py", old, new)
        return {"S4"}

    def change_closure(self):
        old = next(x for x in self.modules["flow/rows.py"].splitlines() if "closed =" in x)
        self.edit("flow/rows.py", old, f"closed = made({self.next() + 1})")
        return {"S5"}

    def change_parameter(self):
        self.parameters = {"offset": self.next() + 1}
        self.save()
        return {"S6"}

    def change_row_constant(self):
        self.change_row("G1", window=f"{self.next()}H")
        return {"G1"}

    def change_input_by_hand(self):
        deltalake.write_deltalake(self.table("B1"), arrow(self._frame("B1")), mode="append")
        return {"B1", "S1", "S3"}

    def change_schema_of_input(self):
        frame = self._frame("B2").assign(extra=self.next())
        deltalake.write_deltalake(
            self.table("B2"), arrow(frame), mode="overwrite", schema_mode="overwrite"
        )
        self.change_row("B2", outputs=[{"table": "bronze.b", "schema_mode": "overwrite"}])
        return {"B2"}

    def change_file(self):
        """Write another content of the same size, and keep the file's time."""
        path = self.folder / "raw" / "a.csv"
        before = path.stat()
        digits = self.values["a"]
        self.values["a"] = digits[1:] + digits[0]
        self.file("a")
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert path.stat().st_size == before.st_size
        return {"B1"}

    def change_query(self):
        sql = f"SELECT x, k FROM bronze.a WHERE x >= {-self.next()}"
        self.change_row("S3", inputs=[{"type": "query", "sql": sql, "name": "q"}])
        return {"S3"}

    def change_output_by_hand(self):
        deltalake.write_deltalake(self.table("G3"), arrow(self._frame("G3")), mode="overwrite")
        return {"G3"}

    def restore_table(self):
        delta = deltalake.DeltaTable(self.table("S1"))
        delta.restore(max(0, delta.version() - 1), ignore_missing_files=True)
        return {"S1"}

    def drop_output(self):
        shutil.rmtree(self.table("S2"))
        return {"S2"}

    def make_input_anew(self):
        """Replace the table by another one with the same number of commits."""
        path = self.table("B2")
        version, frame = deltalake.DeltaTable(path).version(), self._frame("B2")
        shutil.rmtree(path)
        for _ in range(version + 1):
            deltalake.write_deltalake(path, arrow(frame), mode="overwrite")
        return {"B2", "S2", "S4", "S5", "S6"}

    def run_in_another_environment_of_the_same_lake(self):
        assert self.run("near", select=["S1"])["status"] == "success"
        return {"S1"}

    def fail(self):
        self.change_row("S1", fail=True)
        assert self.run(select=["S1"])["status"] == "failed"
        self.change_row("S1", fail=None)
        return {"S1"}

    def cancel(self):
        self.change_row("S1", cancel=True)
        orchestrator = self.opened()
        orchestrator.plan()
        sys.modules["flow.rows"].CANCEL[:] = [lambda: orchestrator.cancel("S1")]
        orchestrator.run(select=["S1"], max_workers=2)
        sys.modules["flow.rows"].CANCEL.clear()
        self.change_row("S1", cancel=None)
        return {"S1"}

    def patch_in_memory(self):
        self.opened().plan()  # loads the module
        sys.modules["flow.rows"].LIMIT = 1000 + self.next()
        self.patched = True
        return {"S1"}

    def add_row(self):
        name = f"N{self.next()}"
        self.rows[name] = ("Gold_1", "whole", ["silver.q"], {}, [{"table": f"gold.{name.lower()}"}])
        self.outputs[name] = f"gold.{name.lower()}"
        self.edges[name] = ["S3"]
        self.register()
        return {name}

    # -- changes that matter to no row ---------------------------------------------------------

    def change_nothing(self):
        return set()

    def change_comments(self):
        self.edit("flow/helpers.py", "    # drop", f"    # {self.next()}\n    # drop")
        old = self.modules["flow/rows.py"].split('"""')[1]
        self.edit("flow/rows.py", f'"""{old}"""', f'"""{old} {self.next()}"""')
        return set()

    def change_unused_function(self):
        self.edit("flow/deep/units.py", "return 1", f"return 1 + {self.next()}")
        return set()

    def optimize(self):
        for name in ("B1", "S1", "G1"):
            deltalake.DeltaTable(self.table(name)).optimize.compact()
        return set()

    def vacuum(self):
        for name in ("B1", "S1", "S3"):
            deltalake.DeltaTable(self.table(name)).vacuum(
                retention_hours=0, dry_run=False, enforce_retention_duration=False
            )
        return set()

    def run_in_another_lake(self):
        assert self.run("far", select=["B2", "S2"])["status"] == "success"
        return set()

    def fail_and_retry(self):
        self.change_row("G3", fail=True, function="clean")
        assert self.run(select=["G3"])["status"] == "failed"
        self.change_row("G3", fail=None, function="whole")
        assert self.opened().retry()["status"] == "success"
        return set()

    def run_everything(self):
        assert self.run()["status"] == "success"
        self.must.clear()
        return set()

    def describe_a_row(self):
        registry = registry_in_database("sqlite:///registry.db", folder=self.folder)
        raw = [r for r in registry.export("Stale", "qat") if r["transformation_id"] == "G1"]
        registry.upsert([{**raw[0], "description": f"text {self.next()}"}])
        return set()

    def _frame(self, name):
        return deltalake.DeltaTable(self.table(name)).to_pandas().reset_index(drop=True)


def arrow(frame):
    """Return the DataFrame as a table that each version of delta-rs and pandas can exchange."""
    return pa.Table.from_pandas(frame, preserve_index=False)


CHANGES = (
    *("change_function", "change_helper", "change_constant_of_helper", "change_default"),
    *("change_decorator", "change_check", "change_partial", "change_closure", "change_parameter"),
    *("change_row_constant", "change_input_by_hand", "change_schema_of_input", "change_file"),
    *("change_query", "change_output_by_hand", "restore_table", "drop_output", "make_input_anew"),
    *("run_in_another_environment_of_the_same_lake", "fail", "cancel", "patch_in_memory"),
    "add_row",
)
HARMLESS = (
    *("change_nothing", "change_comments", "change_unused_function", "optimize", "vacuum"),
    *("run_in_another_lake", "fail_and_retry", "run_everything", "describe_a_row"),
)


def case(project: StaleProject, chance: random.Random, without=()):
    """Change the project at random. Return the names of the changes, and the ids that must run."""
    changes = [name for name in CHANGES if name not in without]
    names = chance.sample(changes, chance.choice((0, 1, 1, 1, 2)))
    names += chance.sample(HARMLESS, chance.choice((0, 1, 1)))
    chance.shuffle(names)
    names.sort(key="patch_in_memory".__eq__)  # an edit after it would undo it
    project.must.clear()
    for name in names:
        project.must |= getattr(project, name)()
    return names, project.below(project.must)


SEED = 20261128


def mutations(project, number, without=()):
    """Try *number* generated cases; the wrong skips, the needless runs, and the runs of rows."""
    chance, wrong, needless, total = random.Random(SEED), [], [], 0
    project.run().raise_for_status()
    ran, unchanged = project.ran()
    assert (ran, unchanged) == (set(), set())
    for _ in range(number):
        names, must = case(project, chance, without)
        ran, _ = project.ran()
        total += len(ran)
        if must - ran:
            wrong.append((names, must - ran))
        needless += [(names, name) for name in sorted(ran - must)]
        again = project.ran()
        if again != (set(), set()):
            needless.append((names, "again", again))
    return wrong, needless, total
