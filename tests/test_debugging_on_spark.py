"""Loading, trying, explaining and debugging rows of a Spark project change nothing, on the JVM and on Sail."""

from __future__ import annotations

import json

import pytest
from real_project import make_project, registry_row
from spark_sessions import QUICK, connect
from test_debugging import everything

from odibi_nb import GenericProjectOrchestrator
from odibi_nb.commands import Face, execute, parse
from odibi_nb.core.model.tables import TableName
from odibi_nb.core.model.transformation import Output
from odibi_nb.core.protocols import Portion, WriteInfo
from odibi_nb.core.rehearsal.bisection import bisect
from odibi_nb.core.running.kept_failures import FAILURES
from odibi_nb.debugging import load_transformation, try_transformation

FUNCTIONS = """
from pyspark.sql import functions as F


def load(spark):
    return spark.createDataFrame([(i, float(i)) for i in range(20)], "id long, power double")


@F.udf("double")
def inverse(x):
    return 1 / (x - 3)


def clean(inputs, context):
    frame = context.read(inputs[0])
    print("cleaning")
    return frame.withColumn("power", F.col("power") * 2)


def wrong(inputs, context):
    frame = context.read(inputs[0])
    return frame.select("id", "powr")


def own(inputs, outputs, spark, context):
    rows = context.read(inputs[0]).limit(2)
    rows.write.format("delta").mode("overwrite").save(context.tables.tables._lake.root + "/silver/own")
"""
ROWS = [
    registry_row("B1", "Bronze", "load", outputs=["bronze.x"]),
    {
        **registry_row("S1", "Silver_1", "clean", ["bronze.x"]),
        "outputs": [{"table": "silver.x", "keys": ["id"]}],
    },
    registry_row("W", "Silver_1", "wrong", ["bronze.x"], {"retry": 0}, ["silver.w"]),
    {**registry_row("OWN", "Silver_1", "own", ["bronze.x"], outputs=["silver.own"]), "enabled": 0},
    {
        **registry_row("U", "Silver_1", "inverted", ["bronze.x"], outputs=["silver.u"]),
        "enabled": 0,
    },
]
TRIED = """def clean(inputs, context):
    frame = context.read(inputs[0])
    power = F.when(F.col("id") == 3, F.lit(77.0)).otherwise(F.col("power") * 2)
    return frame.withColumn("power", power).filter("id > 0")
"""


@pytest.fixture(scope="module", params=["sail", "classic"])
def home(request, tmp_path_factory):
    """A project that ran on Spark: S1 is green, W is red."""
    folder = tmp_path_factory.mktemp("made")
    connect(request.param, folder)
    spark = {"remote": "sail"} if request.param == "sail" else QUICK
    home = make_project(folder, rows=ROWS, functions=FUNCTIONS)
    manifest = json.loads((home / "manifest.json").read_text())
    manifest["environments"]["qat"] |= {"engine": "spark", "spark": spark}
    (home / "manifest.json").write_text(json.dumps(manifest))
    FAILURES.limit = 5
    plant(home).run()
    yield home
    FAILURES.clear()
    FAILURES.limit = 0


@pytest.fixture
def unchanged(home):
    """Fail the test if lake, registry, run log or modules have changed."""
    before = everything(home)
    yield
    assert everything(home) == before


def plant(home):
    """The project, newly opened."""
    return GenericProjectOrchestrator(
        "Plant One", manifest_path=home / "manifest.json", env="qat", log_level="CRITICAL"
    )


def is_sail(home):
    """Return True if the project runs on Sail."""
    return "sail" in str(plant(home).config.spark)


def command(home, line):
    """Return the result of a command."""
    return execute(parse([*line.split(), "--manifest", str(home / "manifest.json")]), Face())


def test_loading_gives_spark_dataframes(home, unchanged):
    """Inputs are Spark's, with the requested number of rows. Writes through the context are captured."""
    loaded = load_transformation(plant(home), "S1")
    assert loaded.summary().startswith("S1 loaded: x (20 rows × 2 columns), inputs")
    loaded = load_transformation(plant(home), "S1", Portion(limit=3))
    assert loaded.inputs["bronze.x"].count() == 3
    loaded.context.write(loaded.fn(inputs=loaded.inputs, context=loaded.context), "silver.x")
    assert loaded.context.read("silver.x").count() == 3


def test_trying_a_cell_compares_with_the_table(home, unchanged):
    """A try shows exactly the rows that would change, by the output's keys, also for a part of the inputs."""
    trial = try_transformation(plant(home), "S1", TRIED)
    change = trial.changes["silver.x"]
    assert (change.added, change.removed, change.changed, change.unchanged) == (0, 1, 1, 18)
    assert change.changed_rows[0].columns == {"power": (6.0, 77.0)}
    assert change.removed_rows == ({"id": 0, "power": 0.0},)
    assert (trial.rows_in, trial.rows_out) == (20, 19)
    assert trial.outputs["silver.x"].count() == 19
    assert "nothing was written" in repr(trial)
    part = try_transformation(plant(home), "S1", "", Portion(limit=5))
    assert "cleaning" in part.log
    change = part.changes["silver.x"]
    assert (part.rows_out, change.changed, change.unchanged) == (5, 0, 5)


def test_explain_needs_no_session(home, unchanged, monkeypatch):
    """The output's rows, columns, version and writer come from its log, without a Spark job."""
    monkeypatch.setattr("odibi_nb.engines.spark.engine.SparkEngine.connection", None)
    shown = repr(command(home, "explain S1"))
    assert "overwrite by id; 20 rows, version 0, written on" in shown
    assert "by S1 in run" in shown
    assert "id: bigint, power: double" in shown


def test_a_failure_is_told_in_few_lines(home, unchanged):
    """The failure shows the error, a suggestion and the user's line. The plan is folded, and
    pyspark's frames are left out.
    """
    trial = try_transformation(plant(home), "W")
    debugged = command(home, "debug W")
    for shown in (repr(trial), trial._repr_html_(), repr(debugged), debugged._repr_html_()):
        assert "`powr` cannot be resolved" in shown
        assert "Project" not in shown.partition("<details>")[0]
        assert "odibi_nb/engines" not in shown
    assert "site-packages" not in trial.traceback.partition("all that Spark said")[0]
    if not is_sail(home):  # Sail looks at columns when rows are written
        assert 'return frame.select("id", "powr")' in trial.traceback
        assert "did you mean: power" in trial.headline


def test_what_is_written_past_the_context_is_said(home):
    """A function that writes a table itself is not held back, and the trial does not claim it."""
    trial = try_transformation(plant(home), "OWN")
    assert trial.not_held_back == ("silver.own",)
    for shown in (repr(trial), trial._repr_html_()):
        assert "silver.own WAS WRITTEN, by the function itself" in shown
        assert "nothing was written" not in shown


@pytest.mark.parametrize("home", ["sail"], indirect=True)
def test_a_python_function_that_fails_on_a_worker_is_found(home, unchanged):
    """For a function that Spark calls for each row, the failed line is shown."""
    cell = (
        "@F.udf('double')\n"
        "def inverse(x):\n    return 1 / (x - 3)\n"
        "def inverted(inputs, context):\n"
        "    return context.read(inputs[0]).withColumn('power', inverse('power'))\n"
    )
    trial = try_transformation(plant(home), "U", cell)
    assert trial.headline.startswith("PythonException: ZeroDivisionError: float division by zero")
    assert "<%%odibi try U>:4, in inverse" in trial.headline


def test_a_failure_comes_back_on_its_version_of_the_data(home):
    """Try --run reads each table at the version of the failed attempt, and bisect finds the commit."""
    engine = plant(home).tables("spark")
    spark, table = engine.spark_session(), TableName.parse("bronze.x")
    good = [tuple(row) for row in engine.read(table).collect()]
    info = WriteInfo(run_id="", transformation_id="", attempt=1)
    output = Output(table="bronze.x", schema_mode="overwrite")
    engine.write(spark.createDataFrame([(1,)], "id long"), output, info)
    bad = engine.versions([table])["bronze.x"].version
    plant(home).run(select=["S1"], retry={"max_retries": 0})
    engine.write(spark.createDataFrame(good, "id long, power double"), output, info)
    before = everything(home)
    assert try_transformation(plant(home), "S1").error is None
    trial = try_transformation(plant(home), "S1", run="last")
    assert "power" in trial.headline
    assert load_transformation(plant(home), "S1", run="last").inputs["bronze.x"].columns == ["id"]
    found = bisect(plant(home), "S1", print)
    assert (found.culprit.table, found.culprit.version) == ("bronze.x", bad)
    assert f" → v{bad} (WRITE by no run" in repr(command(home, "why S1")).splitlines()[1]
    assert everything(home) == before
