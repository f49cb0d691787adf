"""Registry rows from a cell are checked as in a plan, shown as a diff, and written all or none."""

from __future__ import annotations

import pytest
from real_project import default_rows, make_project
from registries import execute as execute_sql

from odibi_nb.commands import Face, execute, parse
from odibi_nb.errors import ConfigurationError, OdibiError
from odibi_nb.sources.table import registry_in_database


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A project whose registry has B1 and S1, in qat and in the protected prod."""
    rows = [{**row, "environment": env} for row in default_rows() for env in ("qat", "prod")]
    home = make_project(tmp_path, rows=rows)
    monkeypatch.chdir(tmp_path)
    return home


def rows_of(home, env="qat"):
    """The rows as they are stored, by id."""
    registry = registry_in_database("sqlite:///registry.db", folder=home)
    return {row["transformation_id"]: row for row in registry.export("Plant One", env)}


def do(line, body="", **face):
    return execute(parse(line.split()), Face(body=body, **face))


NEW = """
[S2]
layer = "Silver_1"
module = "plant_functions"
function = "double"
inputs = ["silver.x"]
outputs = [{table = "silver.twice"}]

[S2.constants]
priority = 3
"""


def test_toml_rows_are_added(home):
    """Each table of the cell is a row. Project, environment and enabled have defaults."""
    edit = do("register", NEW)
    assert (edit.inserted, edit.updated) == (("S2",), ())
    assert '+inputs = ["silver.x"]' in edit.diff.replace("[\n+  ", "[").replace("\n+]", "]")
    row = rows_of(home)["S2"]
    assert (row["environment"], row["enabled"]) == ("qat", 1)
    assert row["constants"] == '{"priority":3}'
    assert "1 new, 0 changed, 0 unchanged" in edit._repr_html_()
    again = do("register", NEW)
    assert (again.unchanged, again.diff) == (1, "")


def test_only_what_the_cell_says_changes(home):
    """An existing row keeps the columns that the cell leaves out. The diff shows the others."""
    edit = do("register", "[B1]\nconstants = {rows = 5}\n")
    assert edit.updated == ("B1",)
    assert '-  "rows": 3' in edit.diff
    assert '+  "rows": 5' in edit.diff
    row = rows_of(home)["B1"]
    assert (row["function"], row["constants"]) == ("load", '{"rows":5}')
    assert rows_of(home, "prod")["B1"]["constants"] == '{"rows":3}'


def test_json_rows_are_those_of_a_registry_file(home):
    """A JSON array as in a file, with the seed's aliases, does the same."""
    edit = do("register", '[{"id": "B1", "plant": "Plant_B"}]')
    assert edit.updated == ("B1",)
    assert rows_of(home)["B1"]["entity_1"] == "Plant_B"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "is empty: give rows"),
        ("[B1", "is not TOML"),
        ('[{"id": "B1"', "is not JSON: JSON is malformed"),
        ("rows = 1", "write 'rows' below the header of a transformation"),
        ("[B1]\nfuncton = 'load'", "unknown column 'functon' (did you mean 'function'?)"),
        ("[B1]\nfunction = 'laod'", "has no function 'laod' (did you mean 'load'?)"),
        (f"[S1]\ninputs = ['silver.twice']\n{NEW}", "wait for each other: S1 -> S2 -> S1"),
        ("[S3]\nlayer = 'Silver_1'", "column 'module' is empty or missing"),
        ("[B1]\noutputs = [{table = '../x'}]", "is not a table name"),
        ("[B1]\nenvironment = 'prod'", "give --project and --env"),
        ('[{"layer": "Bronze"}]', "has no transformation_id"),
        (
            "[S2]\nlayer='Silver_1'\nmodule='plant_functions'\nfunction='double'\noutputs=[{table='silver.x'}]",
            "overwritten by more than one row",
        ),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_written(home, body, message):
    """Malformed text, unknown columns, missing functions and cycles each give one message and no change."""
    before = rows_of(home)
    with pytest.raises(ConfigurationError) as wrong:
        do("register", body)
    assert message in str(wrong.value)
    assert rows_of(home) == before


def test_problems_of_other_rows_do_not_stand_in_the_way(home):
    """An edit is not refused for problems that the registry had before, and it may mend them."""
    registry = registry_in_database("sqlite:///registry.db", folder=home)
    bad = {**default_rows()[0], "transformation_id": "BAD", "function": "gone", "outputs": []}
    registry.upsert([bad])
    assert do("register", "[B1]\nconstants = {rows = 7}\n").updated == ("B1",)
    assert do("register", "[BAD]\nfunction = 'load'\nconstants = {rows = 1}\n").updated == ("BAD",)


def test_rows_are_switched_off_and_on(home):
    """Disabled rows do not run, and enabled rows run again. Unknown ids are reported."""
    assert do("disable S1").updated == ("S1",)
    assert rows_of(home)["S1"]["enabled"] == 0
    assert do("disable S1 S1").unchanged == 1
    edit = do("enable S1 B1")
    assert (edit.updated, edit.unchanged) == (("S1",), 1)
    assert rows_of(home)["S1"]["enabled"] == 1
    with pytest.raises(OdibiError, match="no transformation 'S9'"):
        do("enable S9")


def test_a_protected_environment_shows_the_change_and_asks(home):
    """The diff is shown before the question. Without the project's name nothing is written."""
    said = []
    with pytest.raises(ConfigurationError, match="not confirmed"):
        do("disable S1 --env prod", say=said.append, ask=lambda _: "no")
    assert rows_of(home, "prod")["S1"]["enabled"] == 1
    do("disable S1 --env prod", say=said.append, ask=lambda _: "Plant One")
    assert "-enabled = 1" in said[0]
    assert rows_of(home, "prod")["S1"]["enabled"] == 0
    with pytest.raises(ConfigurationError, match="change it with --yes"):
        do("enable S1 --env prod")
    assert do("enable S1 --env prod --yes").updated == ("S1",)


def test_secrets_are_not_shown(home):
    """The diff hides the secrets in constants."""
    edit = do("register", "[B1]\nconstants = {rows = 3, password = 'hunter2'}\n")
    assert "hunter2" not in repr(edit)
    assert "***" in edit.diff


# -- more than one writer ----------------------------------------------------------------------


def meanwhile(line, body=""):
    """Answer the question of a protected environment, after another edit."""

    def ask(_question):
        do(line, body)
        return "Plant One"

    return ask


def test_an_edit_during_the_question_is_not_lost(home):
    """A change that another writer makes during the confirmation stays, and is named."""
    quiet = {"say": lambda _: None}
    edit = do(
        "disable B1 --env prod",
        ask=meanwhile("register --env prod --yes", "[B1]\nconstants = {rows = 9}"),
        **quiet,
    )
    assert edit.updated == ("B1",)
    found = rows_of(home, "prod")["B1"]
    assert (found["enabled"], found["constants"]) == (0, '{"rows":9}')
    with pytest.raises(ConfigurationError) as wrong:
        do(
            "register --env prod",
            "[B1]\nconstants = {rows = 1}\n[S1]\nentity_1 = 'Z'",
            ask=meanwhile("register --env prod --yes", "[B1]\nconstants = {rows = 2}"),
            **quiet,
        )
    assert "row 'B1', constants" in str(wrong.value)
    assert "it was {'rows': 9}, it is now {'rows': 2}" in str(wrong.value)
    found = rows_of(home, "prod")
    assert (found["B1"]["constants"], found["S1"]["entity_1"]) == ('{"rows":2}', "Plant_A")
    with pytest.raises(ConfigurationError, match="was added by another writer"):
        do(
            "register --env prod",
            NEW,
            ask=meanwhile("register --env prod --yes", NEW.replace("priority = 3", "priority = 4")),
            **quiet,
        )
    assert rows_of(home, "prod")["S2"]["constants"] == '{"priority":4}'


# -- rows that cannot be parsed ----------------------------------------------------------------


def test_a_broken_row_can_be_disabled_excluded_and_deleted(home):
    """A user can disable a row with broken JSON, leave it out of a run, mend it and delete it."""
    broken = "UPDATE TransformationRegistry SET constants = '{\"rows\": ' WHERE environment = 'qat' AND transformation_id = 'S1'"
    execute_sql(f"sqlite:///{home}/registry.db", broken)
    plan = do("plan --exclude S1")
    assert (list(plan.rows), plan.problems) == (["B1"], ())
    assert do("plan").problems
    with pytest.raises(ConfigurationError, match="JSON is malformed"):
        do("register", "[S1]\nconstants = '{\"rows\" 1}'")
    assert do("disable S1").updated == ("S1",)
    assert do("plan").problems == ()
    with pytest.raises(ConfigurationError, match=r"registry\.db: JSON is malformed"):
        do("enable S1")
    assert do("register", "[S1]\nconstants = {}\nenabled = 1").updated == ("S1",)
    execute_sql(f"sqlite:///{home}/registry.db", broken)
    assert do("registry delete S1 --yes").deleted == ("S1",)
    assert list(rows_of(home)) == ["B1"]


def test_rows_are_deleted_after_a_diff_and_a_question(home):
    """`registry delete` shows the rows and asks. A script needs --yes. A protected environment
    needs the project's name.
    """
    said = []
    with pytest.raises(ConfigurationError, match="not confirmed"):
        do("registry delete S1", say=said.append, ask=lambda _: "")
    assert '-function = "double"' in said[0]
    with pytest.raises(ConfigurationError, match="1 row would be deleted: confirm with --yes"):
        do("registry delete S1", say=said.append)
    with pytest.raises(ConfigurationError, match="no transformation 'S9'"):
        do("registry delete S1 S9 --yes")
    assert list(rows_of(home)) == ["B1", "S1"]
    assert do("registry delete S1", say=said.append, ask=lambda _: "y").deleted == ("S1",)
    with pytest.raises(ConfigurationError, match="not confirmed"):
        do("registry delete S1 --env prod", say=said.append, ask=lambda _: "y")
    assert (list(rows_of(home)), list(rows_of(home, "prod"))) == (["B1"], ["B1", "S1"])
    with pytest.raises(ConfigurationError, match="it is now 0"):
        do(
            "registry delete S1 --env prod",
            say=said.append,
            ask=meanwhile("disable S1 --env prod --yes"),
        )
    assert list(rows_of(home, "prod")) == ["B1", "S1"]
