"""The texts of a new project's files."""

from __future__ import annotations

DATA = """sensor,measured_on,value
A,2026-01-01T00:00:00Z,1.0
A,2026-01-01T12:00:00Z,3.0
A,2026-01-02T00:00:00Z,
A,2026-01-02T12:00:00Z,5.0
B,2026-01-01T00:00:00Z,-1.0
B,2026-01-01T12:00:00Z,8.0
"""

SILVER = '''"""Silver: whole readings only, with real times."""

from __future__ import annotations

from odibi_nb import pandas_function, spark_function


@pandas_function
def clean_readings(inputs, constants, context):
    """Readings that have a value of at least ``least``, with ``measured_on`` as a time (UTC)."""
    import pandas as pd

    readings = context.read(inputs[0])
    readings = readings[readings["value"] >= constants["least"]]
    times = pd.to_datetime(readings["measured_on"], utc=True)
    return readings.assign(measured_on=times).reset_index(drop=True)


@spark_function("clean_readings")
def clean_readings_on_spark(inputs, constants, context):
    """As `clean_readings`."""
    from pyspark.sql import functions as sf

    readings = context.read(inputs[0])
    readings = readings.where(sf.col("value") >= constants["least"])
    return readings.withColumn("measured_on", sf.to_timestamp("measured_on"))
'''

GOLD = '''"""Gold: what people ask for."""

from __future__ import annotations

from odibi_nb import pandas_function, spark_function


@pandas_function
def daily_mean(inputs, context):
    """The mean value per sensor and day (UTC)."""
    readings = context.read(inputs[0])
    days = readings.assign(day=readings["measured_on"].dt.strftime("%Y-%m-%d"))
    return days.groupby(["sensor", "day"], as_index=False)["value"].mean()


@spark_function("daily_mean")
def daily_mean_on_spark(inputs, context):
    """As `daily_mean`."""
    from pyspark.sql import functions as sf

    readings = context.read(inputs[0])
    days = readings.withColumn("day", sf.date_format("measured_on", "yyyy-MM-dd"))
    return days.groupBy("sensor", "day").agg(sf.mean("value").alias("value"))
'''

TESTS = '''"""The transformations, without a lake: a context that reads what the test gives."""

import importlib.util
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from odibi_functions import gold, silver

RAW = {
    "sensor": ["A", "A", "B", "B"],
    "measured_on": ["2026-01-01T00:00:00Z", "2026-01-01T12:00:00Z"] * 2,
    "value": [1.0, 3.0, -1.0, None],
}


def reading(frame):
    """A context whose every table is *frame*."""
    return SimpleNamespace(read=lambda table: frame)


def test_on_pandas():
    """Readings without a value, or below the least one, are left out; the rest is averaged by day."""
    clean = silver.clean_readings(["t"], {"least": 0}, reading(pd.DataFrame(RAW)))
    assert list(clean["value"]) == [1.0, 3.0]
    daily = gold.daily_mean(["t"], reading(clean))
    assert daily.to_dict("records") == [{"sensor": "A", "day": "2026-01-01", "value": 2.0}]


@pytest.fixture
def spark():
    """A session: of Sail, which needs no Java, where pysail is installed; else on a JVM."""
    builder = pytest.importorskip("pyspark.sql").SparkSession.builder
    if importlib.util.find_spec("pysail"):
        from pysail.spark import SparkConnectServer

        server = SparkConnectServer("127.0.0.1", 0)
        server.start(background=True)
        host, port = server.listening_address
        builder = builder.remote(f"sc://{host}:{port}")
    elif shutil.which("java"):
        builder = builder.master("local[1]")
    else:
        pytest.skip("Spark needs Java, or pysail")
    session = builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
    yield session
    session.stop()


def test_on_spark(spark):
    """Spark gives the same."""
    rows = list(zip(*RAW.values()))
    raw = spark.createDataFrame(rows, "sensor string, measured_on string, value double")
    clean = silver.clean_readings_on_spark(["t"], {"least": 0}, reading(raw))
    daily = gold.daily_mean_on_spark(["t"], reading(clean))
    assert [tuple(row) for row in daily.collect()] == [("A", "2026-01-01", 2.0)]
'''


PROJECT_TESTS = '''"""The project as a whole: its plan, and a run in a copy."""

import shutil
from pathlib import Path

from odibi_nb import GenericProjectOrchestrator, ProjectManifest, run_project

HOME = Path(__file__).parents[1]
PROJECT = ProjectManifest.from_json(HOME / "manifest.json").project


def test_plan():
    """Every row of the registry can run."""
    plan = GenericProjectOrchestrator(PROJECT, manifest_path=HOME / "manifest.json").plan()
    assert plan.problems == ()


def test_run(tmp_path):
    """A run succeeds, and writes its tables into the copy."""
    left = shutil.ignore_patterns("lake", ".odibi", ".venv")
    copy = shutil.copytree(HOME, tmp_path / HOME.name, ignore=left)
    result = run_project(PROJECT, manifest_path=copy / "manifest.json")
    assert result["status"] == "success"
    assert (copy / "lake" / "gold" / "daily_mean").is_dir()
'''

GITIGNORE = """# tables, state and locks of runs
lake/
.odibi/
# a registry in SQLite, if the manifest names one
*.db
.*.tmp
__pycache__/
.ipynb_checkpoints/
.pytest_cache/
.venv/
"""


def readme(name: str, run: str, notebook: str) -> str:
    """Return the README of the project called *name*; *run* is the command that runs it."""
    return f"""# {name}

A medallion pipeline for odibi_nb: readings of two sensors become one mean value per day.

## Run it

In this folder, with Python 3.10 or newer. If your package index does not have odibi-nb, install it from its clone first:

```sh
python -m venv .venv
.venv/bin/python -m pip install -e . pytest
.venv/bin/odibi {run}
.venv/bin/python -m pytest
```

Or open `{notebook}` in Jupyter.

## Files

| file | has |
| --- | --- |
| `manifest.json` | layers and environments |
| `registry.json` | one row per transformation: its function, its inputs and outputs |
| `odibi_functions/` | the functions |
| `data/` | the raw data |
| `tests/` | tests of the functions, the plan and a whole run |

A run writes its tables to `lake/` and its journal to `.odibi/`. Git ignores both.
"""


def pyproject(package: str, name: str, version: str) -> str:
    """Return the pyproject.toml of *package*. *name* is the project's name as a TOML text."""
    return f"""[build-system]
requires = ["hatchling>=1.25"]
build-backend = "hatchling.build"

[project]
name = "{package}"
version = "0.1.0"
description = {name}
readme = "README.md"
requires-python = ">=3.10"
dependencies = ["odibi-nb[notebook,pandas]>={version}"]

[tool.hatch.build.targets.wheel]
packages = ["odibi_functions"]

[tool.pytest.ini_options]
pythonpath = ["."]
testpaths = ["tests"]
"""


def cells(name: str) -> list[tuple[str, str]]:
    """Return (kind, text) of the notebook's cells for the project called *name*."""
    # The name is assigned to a variable once, because {name} in a cell means a variable.
    return [
        ("markdown", f"# {name}"),
        ("code", f"%load_ext odibi_nb\nproject = {name!r}"),
        ("code", "%odibi plan {project}"),
        ("code", "result = %odibi run {project}"),
        ("code", "%odibi explain SILVER_001 --project {project}"),
        ("code", "import odibi_nb\n\nodibi_nb.read_table(project, 'gold.daily_mean')"),
    ]
