"""Loading a transformation and trying another version of it change nothing in a real project."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3

import pytest
from real_project import make_project, registry_row

from odibi_nb import GenericProjectOrchestrator
from odibi_nb.core.protocols import Portion
from odibi_nb.debugging import load_transformation, try_transformation, variable_names
from odibi_nb.errors import ConfigurationError, DataError, PlanError, TrialFailedError

FUNCTIONS = """
import pandas as pd

FACTOR = 2


def scaled(x):
    return x * FACTOR


def load(constants):
    print("loading", constants["rows"])
    return pd.DataFrame({"id": range(constants["rows"]), "x": 1.5})


def double(inputs, context):
    frame = context.read(inputs[0])
    return frame.assign(x=scaled(frame["x"]))


def both(inputs, context):
    frames = [context.read(source) for source in inputs]
    context.write(pd.concat(frames), "silver.all")
    context.write(context.read("silver.all").head(1), {"table": "silver.one"})


def broken(inputs, context):
    frame = context.read(inputs[0])
    return frame["nope"]
"""
ROWS = [
    registry_row("B1", "Bronze", "load", constants={"rows": 3}, outputs=["bronze.x"]),
    {
        **registry_row("S1", "Silver_1", "double", ["bronze.x"]),
        "outputs": [{"table": "silver.x", "keys": ["id"]}],
    },
    registry_row("S2", "Silver_1", "both", ["bronze.x", "silver.x"], outputs=["silver.all"]),
    registry_row("BAD", "Silver_1", "broken", ["bronze.x"], {"retry": 0}, ["silver.bad"]),
    {
        **registry_row("OFF", "Silver_1", "double", ["bronze.x"], outputs=["silver.off"]),
        "enabled": 0,
    },
    registry_row("LOST", "Silver_1", "nowhere", ["bronze.x"], outputs=["silver.lost"]),
    registry_row(
        "Q1", "Silver_1", "double", [{"sql": "SELECT * FROM bronze.x WHERE id > 0", "name": "some"}]
    ),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the project, in which B1 and S1 have run."""
    folder = tmp_path_factory.mktemp("made")
    home = make_project(folder, rows=ROWS[:2], functions=FUNCTIONS)
    plant(manifest_path=home / "manifest.json").run().raise_for_status()
    make_project(folder, rows=ROWS, functions=FUNCTIONS)
    return folder


@pytest.fixture
def home(made, tmp_path, monkeypatch):
    """A copy of the project's folder for this test."""
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "projects" / "plant_one"


def plant(**keywords):
    """The project, newly opened."""
    return GenericProjectOrchestrator("Plant One", log_level="CRITICAL", **keywords)


def everything(home):
    """Return the state that must not change: every file of lake, journals and modules, and the registry's rows."""
    files = [f for f in home.rglob("*") if f.is_file() and f.suffix not in {".db", ".pyc"}]
    hashes = {f: hashlib.sha256(f.read_bytes()).hexdigest() for f in files}
    with sqlite3.connect(home / "registry.db") as connection:
        rows = connection.execute("SELECT * FROM TransformationRegistry").fetchall()
    connection.close()
    return hashes, rows


@pytest.fixture
def unchanged(home):
    """Fail the test if lake, registry, run log, journals or modules have changed."""
    before = everything(home)
    yield
    assert everything(home) == before


def test_loading_gives_what_the_function_gets(home, unchanged):
    """Inputs by table name, a variable for each, constants, outputs, context, function and row."""
    loaded = load_transformation(plant(), "S2")
    assert list(loaded.inputs) == ["bronze.x", "silver.x"]
    assert loaded.variables == {"bronze.x": "bronze_x", "silver.x": "silver_x"}
    assert {"bronze_x", "inputs", "constants", "outputs", "context", "fn", "row"} <= set(
        loaded.namespace()
    )
    assert loaded.row.transformation_id == "S2"
    assert loaded.summary().startswith("S2 loaded: bronze_x (3 rows × 2 columns), silver_x (3 rows")
    assert "plant_functions.py" in loaded.file


def test_the_loaded_function_can_be_called_with_what_was_loaded(home, unchanged):
    """fn(inputs, context) gets its arguments by position as in a run, and its writes are captured."""
    loaded = load_transformation(plant(), "S2")
    loaded.fn(inputs=loaded.inputs, context=loaded.context)
    assert [w.output.table for w in loaded.context.tables.writes] == ["silver.all", "silver.one"]
    assert len(loaded.context.read("silver.all")) == 6
    assert len(loaded.context.read("silver.one")) == 1


def test_a_limit_and_a_sample_cut_every_input(home, unchanged):
    """Tables and queries give no more than the requested rows."""
    loaded = load_transformation(plant(), "S2", Portion(limit=2))
    assert [len(frame) for frame in loaded.inputs.values()] == [2, 2]
    query = load_transformation(plant(), "Q1", Portion(limit=1))
    assert [len(frame) for frame in query.inputs.values()] == [1]
    assert "at most 1 rows" in query.notes[0]


def test_missing_inputs_say_what_makes_them(home, unchanged):
    """The error about a missing table names the transformation that makes it, and the command that runs only that."""
    for path in (home / "lake").iterdir():
        if path.name == "bronze":
            path.rename(home / "elsewhere")
    with pytest.raises(DataError) as missing:
        load_transformation(plant(), "S2")
    (home / "elsewhere").rename(home / "lake" / "bronze")
    assert str(missing.value) == (
        'S2: bronze.x does not exist yet: B1 makes it: %odibi run "Plant One" --env qat --only B1'
    )


def test_a_disabled_row_can_be_loaded_and_tried(home, unchanged):
    """A disabled row can be loaded, for a look before it is enabled."""
    assert load_transformation(plant(), "OFF").row.transformation_id == "OFF"
    assert try_transformation(plant(), "OFF").rows_out == 3


def test_an_unknown_row_and_a_lost_function_are_told(home, unchanged):
    """An unknown id gives a suggestion. A row without its function is loaded without it, with the reason."""
    with pytest.raises(PlanError, match=r"no transformation 'LSOT'.*did you mean 'LOST'"):
        load_transformation(plant(), "LSOT")
    with pytest.raises(
        PlanError, match=r"no transformation 'X' in env 'qat'; it has B1, BAD, LOST"
    ):
        load_transformation(plant(), "X")
    loaded = load_transformation(plant(), "LOST")
    assert loaded.fn is None
    assert "has no function 'nowhere'" in loaded.problems[0]
    with pytest.raises(PlanError, match="has no function 'nowhere'"):
        try_transformation(plant(), "LOST")
    trial = try_transformation(
        plant(), "LOST", "def nowhere(inputs, context): return context.read(inputs[0])"
    )
    assert trial.succeeded
    assert "module's source is not available" in trial.source_note


def test_trying_a_cell_compares_with_the_table(home, unchanged):
    """Trying the cell's function on the real inputs shows exactly the rows that would change, by the output's keys."""
    cell = (
        "def double(inputs, context):\n"
        "    frame = context.read(inputs[0])\n"
        "    print('seen', len(frame))\n"
        "    frame.loc[0, 'x'] = 10.0\n"
        "    return frame.assign(x=scaled(frame['x']))\n"
    )
    trial = try_transformation(plant(), "S1", cell)
    change = trial.changes["silver.x"]
    assert (change.added, change.removed, change.changed, change.unchanged) == (0, 0, 1, 2)
    assert change.changed_rows[0].columns == {"x": (3.0, 20.0)}
    assert (trial.rows_in, trial.rows_out) == (3, 3)
    assert "seen 3" in trial.log
    assert trial.expected_seconds is not None
    assert list(trial.outputs["silver.x"]["x"]) == [20.0, 3.0, 3.0]
    assert "+    print('seen', len(frame))" in trial.source_diff
    assert not trial.written
    text, page = repr(trial), trial._repr_html_()
    for shown in (text, page):
        assert "0 added, 0 removed, 1 changed, 2 unchanged" in shown
        assert "nothing was written" in shown


def test_every_table_of_the_project_is_watched_while_a_function_is_tried(home):
    """A try reports the function's writes past its context: another row's table, an unnamed one, a removed one."""
    (log,) = home.rglob("bronze/x/_delta_log")
    lake = log.parents[2]
    cell = (
        "def double(inputs, context):\n"
        "    import shutil\n"
        "    from deltalake import write_deltalake\n"
        "    frame = context.read(inputs[0])\n"
        f"    write_deltalake({str(lake / 'bronze/x')!r}, frame, mode='append')\n"
        f"    write_deltalake({str(lake / 'a/b/c')!r}, frame)\n"
        f"    shutil.rmtree({str(lake / 'silver/x')!r})\n"
        "    return frame\n"
    )
    before = try_transformation(plant(), "S1")
    assert before.moved == ()
    assert "nothing was written" in repr(before)
    trial = try_transformation(plant(), "S1", cell)
    assert set(trial.not_held_back) == {"bronze.x", "silver.x", "a.b.c"}
    for shown in (repr(trial), trial._repr_html_()):
        assert (
            "bronze.x, a.b.c WAS WRITTEN and silver.x WAS REMOVED, by the function itself" in shown
        )
        assert "now at version: bronze.x 1, a.b.c 0" in shown
        assert "nothing was written" not in shown


def test_an_interrupted_trial_says_what_the_function_has_written(home):
    """Ctrl-C in the middle of a trial still reports the tables that the function wrote."""
    (log,) = home.rglob("bronze/x/_delta_log")
    cell = (
        "def double(inputs, context):\n"
        "    from deltalake import write_deltalake\n"
        f"    write_deltalake({str(log.parent)!r}, context.read(inputs[0]), mode='append')\n"
        "    raise KeyboardInterrupt\n"
    )
    with pytest.raises(KeyboardInterrupt, match=r"bronze\.x CHANGED during the call"):
        try_transformation(plant(), "S1", cell)
    with pytest.raises(KeyboardInterrupt) as caught:
        try_transformation(plant(), "S1", "def double():\n    raise KeyboardInterrupt\n")
    assert not str(caught.value)


def test_what_a_run_writes_meanwhile_is_not_the_functions(home):
    """A table that a run writes during a try is reported with that run, from its commit."""
    cell = (
        "def double(inputs, context):\n"
        "    from odibi_nb import run_project\n"
        "    run_project('Plant One', log_level='CRITICAL', select=['B1'])\n"
        "    return context.read(inputs[0])\n"
    )
    trial = try_transformation(plant(), "S1", cell)
    assert trial.error is None
    assert trial.not_held_back == ()
    assert [table.name for table in trial.moved] == ["bronze.x"]
    assert "bronze.x was written during the try, by run " in repr(trial)
    assert "nothing was written" in repr(trial)


def test_trying_without_a_cell_calls_the_module_as_it_is_now(home, unchanged):
    """An edited module is reloaded, and the result mentions it."""
    file = home / "plant_functions.py"
    before = file.read_text()
    assert not try_transformation(plant(), "S1").changes["silver.x"]
    file.write_text(before.replace("FACTOR = 2", "FACTOR = 4"))
    trial = try_transformation(plant(), "S1")
    assert trial.changes["silver.x"].changed == 3
    assert "reloaded: plant_functions" in repr(trial)
    file.write_text(before)


def test_a_failing_function_is_a_result(home, unchanged):
    """The trial has the function's exception with the user's traceback. Asking for the status raises it."""
    trial = try_transformation(plant(), "BAD", "def broken(inputs, context):\n    return 1 / 0\n")
    assert not trial.succeeded
    assert trial.headline == "ZeroDivisionError: division by zero"
    assert 'File "<%%odibi try BAD>", line 3, in broken' in trial.traceback
    assert "return 1 / 0" in trial.traceback
    assert "workers.py" not in trial.traceback
    assert trial.changes == {}
    with pytest.raises(TrialFailedError, match="BAD failed: ZeroDivisionError"):
        trial.raise_for_status()


def test_an_error_cannot_become_markup(home, unchanged):
    """Exceptions and printed text of a function stay text in HTML."""
    cell = "def double():\n    print('<script>1</script>')\n    raise KeyError('<img src=x>')\n"
    page = try_transformation(plant(), "S1", cell)._repr_html_()
    assert "<script>" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page


def test_several_writes_are_each_compared(home, unchanged):
    """Every table that is written through the context has its own comparison."""
    trial = try_transformation(plant(), "S2")
    assert [c.summary() for c in trial.changes.values()] == [
        "silver.all: would be a new table with 6 rows",
        "silver.one: would be a new table with 1 row",
    ]


def test_writing_after_all_writes_what_was_compared(home):
    """With write, the table gets the cell's rows in one commit that names its author."""
    cell = "def double(inputs, context):\n    return context.read(inputs[0]).head(1)\n"
    trial = try_transformation(plant(), "S1", cell, write=True)
    assert trial.written
    assert trial.changes["silver.x"].removed == 2
    project = plant()
    details = project.tables("pandas").details(_table("silver.x"))
    assert details.rows == 1
    assert details.transformation_id == "S1"
    assert details.run_id.startswith("try-")
    again = try_transformation(project, "S1", cell)
    assert not again.changes["silver.x"]


def test_a_part_is_never_written(home, unchanged):
    """Writing the result of a part of the inputs is refused, because it would replace the whole table."""
    with pytest.raises(ConfigurationError, match="nothing is written"):
        try_transformation(plant(), "S1", portion=Portion(limit=1), write=True)


def test_a_failed_write_says_why_and_writes_nothing(home, unchanged):
    """A result that the table cannot store fails as in the run."""
    cell = "def double(inputs, context):\n    return context.read(inputs[0]).assign(new=1)\n"
    trial = try_transformation(plant(), "S1", cell, write=True)
    assert "columns are not the table's" in trial.headline
    assert not trial.written


def test_listeners_are_not_told(home, unchanged):
    """A trial sends no events."""
    project, told = plant(), []
    project.hooks.register("*", told.append)
    try_transformation(project, "S1")
    assert told == []


def test_an_interrupt_ends_a_trial(home, unchanged):
    """The stop button's exception passes through: it does not count as the function's failure."""
    with pytest.raises(KeyboardInterrupt):
        try_transformation(plant(), "S1", "def double(): raise KeyboardInterrupt\n")


@pytest.mark.parametrize(
    ("names", "variables"),
    [
        (["bronze.raw_sensors"], ["raw_sensors"]),
        (["a.x", "b.x"], ["a_x", "b_x"]),
        (["silver.inputs", "silver.class"], ["inputs_", "class_"]),
        (["data/2024 power.csv"], ["csv"]),
        (["s.2024"], ["_2024"]),
        (["s.größe"], ["größe"]),
    ],
)
def test_inputs_get_names_that_python_allows(names, variables):
    """A variable has the table's own name, with the schema if needed, and is neither a keyword nor a name of load."""
    assert list(variable_names(names).values()) == variables


def _table(name):
    from odibi_nb.core.model.tables import TableName

    return TableName.parse(name)
