"""Twenty rows that fail for a known reason, and whose inputs are rewritten afterwards."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd
from real_project import make_project, registry_row

from odibi_nb.api import GenericProjectOrchestrator
from odibi_nb.core.model.tables import TableName
from odibi_nb.core.model.transformation import Output
from odibi_nb.core.protocols import WriteInfo
from odibi_nb.sources.table import registry_in_database

FUNCTIONS = """
import pandas as pd


def load(constants, context):
    return context.read(constants["file"])


def judged(inputs, constants, context):
    a, b = (context.read(name) for name in inputs)
    for name, frame in (("a", a), ("b", b)):
        if "x" not in frame.columns:
            raise KeyError(f"{name} has no column x")
        if len(frame) == 0:
            raise ValueError(f"{name} is empty")
        if frame["x"].isna().any():
            raise ValueError(f"{name} has nulls")
        if not pd.api.types.is_numeric_dtype(frame["x"]):
            raise TypeError(f"{name} holds text")
        if (frame["x"] == 0).any():
            raise ZeroDivisionError(f"{name} has a zero")
        if frame["x"].duplicated().any():
            raise ValueError(f"{name} has x twice")
        if (frame["x"] > constants.get("limit", 1000)).any():
            raise OverflowError(f"{name} is too large")
    return a


def edited(inputs, constants, context):
    a, b = (context.read(name) for name in inputs)
    if (a["x"] < -1000).any():
        raise ValueError("x is too small")
    return a
"""
EDITED = FUNCTIONS.replace("-1000", "5")
GOOD, OTHER, BETTER = (1.0, 2.0), (3.0, 4.0), (10.0, 11.0)
BAD = {
    "zero": {"x": [0.0, 1.0]},
    "renamed": {"y": [1.0, 2.0]},
    "null": {"x": [1.0, None]},
    "text": {"x": ["one", "two"]},
    "empty": {"x": pd.Series([], dtype="float64")},
    "twice": {"x": [5.0, 5.0]},
    "large": {"x": [1.0, 5000.0]},
    "larger": {"x": [2000.0, 1.0, 2.0]},
}


class Seed(NamedTuple):
    """A failure: what breaks the row, by what means, and the cause that `why` must name first."""

    number: int
    means: str
    bad: str
    culprit: tuple[str, str]

    @property
    def row(self):
        return f"S{self.number:02}"

    @property
    def table(self):
        return self.culprit[1]


def seeds():
    """The twenty."""
    kinds = list(BAD)
    found = [("foreign a", kind, "a") for kind in kinds]
    found += [("loaded", kind, "a") for kind in ("zero", "null", "twice", "large")]
    found += [("foreign b", kind, "b") for kind in ("zero", "renamed")]
    found += [("restored b", kind, "b") for kind in ("zero", "text")]
    found += [("code", "", ""), ("code", "", ""), ("constants", "", ""), ("constants", "", "")]
    return [
        Seed(i, means, bad, ("input", f"bronze.{side}{i}") if side else (means, ""))
        for i, (means, bad, side) in enumerate(found, 1)
    ]


class SeededProject:
    """A project with a row for each seed: it has run well, then failed, then its inputs were rewritten."""

    def __init__(self, folder, only=None):
        self.seeds = [seed for seed in seeds() if only is None or seed.number in only]
        rows = [row for seed in self.seeds for row in self._rows(seed)]
        self.home = make_project(folder, rows=rows, functions=FUNCTIONS)
        (self.home / "data").mkdir()
        self.good = self._run_well()
        self.bad = self._run_badly()
        self._rewrite()

    @staticmethod
    def _rows(seed, **constants):
        i, file = seed.number, {"file": f"data/a{seed.number}.csv"}
        function = "edited" if seed.means == "code" else "judged"
        inputs, outputs = [f"bronze.a{i}", f"bronze.b{i}"], [f"silver.s{i}"]
        return (
            registry_row(f"B{i:02}", "Bronze", "load", constants=file, outputs=inputs[:1]),
            registry_row(seed.row, "Silver_1", function, inputs, constants, outputs),
        )

    def open(self):
        return GenericProjectOrchestrator(
            project="Plant One",
            env="qat",
            engine="pandas",
            manifest_path=self.home / "manifest.json",
        )

    def put(self, table, columns, run_id=""):
        """Write a table past this project's runs."""
        info = WriteInfo(run_id=run_id, transformation_id="NIGHT" if run_id else "", attempt=1)
        output = Output(table=table, schema_mode="overwrite")
        self.engine.write(pd.DataFrame(columns), output, info)

    def file(self, seed, values):
        pd.DataFrame(values).to_csv(self.home / "data" / f"a{seed.number}.csv", index=False)

    def _run_well(self):
        opened = self.open()
        self.engine = opened.tables("pandas")
        for seed in self.seeds:
            b = f"bronze.b{seed.number}"
            self.file(seed, {"x": GOOD})
            if seed.means == "restored b":
                self.put(b, BAD[seed.bad], "night-0")
            self.put(b, {"x": GOOD}, "night-1")
        return opened.run().raise_for_status()

    def _run_badly(self):
        changed = []
        for seed in self.seeds:
            a, b = f"bronze.a{seed.number}", f"bronze.b{seed.number}"
            if seed.means == "loaded":
                self.file(seed, BAD[seed.bad])
            elif seed.means == "foreign a":
                self.put(b, {"x": OTHER}, "night-2")
            else:
                self.file(seed, {"x": OTHER})
            if seed.means == "foreign b":
                self.put(b, BAD[seed.bad])
            elif seed.means == "restored b":
                info = WriteInfo(run_id="", transformation_id="", attempt=1)
                name = TableName.parse(b)
                self.engine.restore(name, 0, info, expected=self.engine.versions([name])[b].version)
            elif seed.means == "constants":
                changed.append(self._rows(seed, limit=2)[1])
            if seed.means == "foreign a":
                self.put(a, {"x": OTHER})
                self.put(a, BAD[seed.bad])
        (self.home / "plant_functions.py").write_text(EDITED)
        opened = self.open()
        bronze = [f"B{seed.number:02}" for seed in self.seeds if seed.means != "foreign a"]
        select = [*bronze, *(seed.row for seed in self.seeds)]
        registry_in_database("sqlite:///registry.db", folder=self.home).upsert(changed)
        return opened.run(select=select, retry={"max_retries": 0})

    def _rewrite(self):
        """Rewrite all inputs, so that no row fails on them."""
        for seed in self.seeds:
            for side in "ab":
                good = (1.0, 2.0) if seed.means == "constants" else BETTER
                self.put(f"bronze.{side}{seed.number}", {"x": good}, "night-3")

    def state(self):
        """The versions of all tables of the lake, with the run log, and the registry's bytes."""
        tables = self.engine.tables()
        return self.engine.versions(tables), (self.home / "registry.db").read_bytes()
