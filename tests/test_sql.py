"""Rows in SQL: one SELECT, in the row or in a file, whose tables are the row's edges."""

from __future__ import annotations

import pytest
from real_project import make_project, registry_row

from odibi_nb.api import GenericProjectOrchestrator
from odibi_nb.core.functions.registry import module_allowed
from odibi_nb.core.model.sql_rows import place_named, sql_of
from odibi_nb.core.rehearsal.bisection import bisect
from odibi_nb.core.rehearsal.causes import causes_of
from odibi_nb.debugging import load_transformation, try_transformation
from odibi_nb.errors import ConfigurationError, PlanError
from odibi_nb.views.plan.plan_text import plan_text

DOUBLED = """-- The rows that are large enough.
WITH large AS (SELECT x FROM bronze.x WHERE x >= :least AND x IN :known)
SELECT x, x * 2 AS twice FROM large ORDER BY x
"""


def sql_row(name="S1", outputs=("silver.y",), inputs=(), **constants):
    made = registry_row(name, "Silver_1", "query", inputs, constants, outputs)
    return {**made, "module": "odibi_nb.sql"}


def loaded():
    return registry_row("B1", "Bronze", "load", constants={"rows": 3}, outputs=["bronze.x"])


@pytest.fixture
def project(tmp_path):
    """A function that opens a project with these rows, and with models/s.sql."""

    def open_it(*rows, text=DOUBLED, **manifest):
        home = make_project(tmp_path, rows=[loaded(), *rows], **manifest)
        (home / "models").mkdir(exist_ok=True)
        (home / "models" / "s.sql").write_text(text)
        return GenericProjectOrchestrator(
            project="Plant One", env="qat", engine="pandas", manifest_path=home / "manifest.json"
        )

    return open_it


def problems(project, **constants):
    """Return the problems of a plan with one SQL row."""
    return [str(p) for p in project(sql_row(**constants)).plan().problems]


def values(project, table, column):
    from odibi_nb.core.model.tables import TableName

    return project.tables("pandas").read(TableName.parse(table))[column].tolist()


def test_a_row_needs_neither_python_nor_inputs(project):
    """The tables in the SQL are the row's edges, in plan and --select; a CTE is no table."""
    opened = project(
        sql_row(file="models/s.sql", least=1, known=[0, 1, 2]),
        sql_row("S2", ["silver.z"], sql="SELECT COUNT(*) AS n FROM Silver.Y, bronze.elsewhere"),
        transformation_modules=["plant_functions"],
    )
    plan = opened.plan().raise_for_problems()
    assert {name: found.upstream for name, found in plan.rows.items()} == {
        "B1": (),
        "S1": ("B1",),
        "S2": ("S1",),
    }
    assert plan.rows["S2"].reads == ("bronze.elsewhere", "silver.y")
    assert "silver.y, bronze.elsewhere" in plan_text(plan)
    assert list(opened.plan(select=["+S1"]).rows) == ["B1", "S1"]
    result = opened.run(select=["+S1"]).raise_for_status()
    assert values(opened, "silver.y", "twice") == [2, 4]
    (read,) = result.transformations["S1"].inputs_read
    assert (read.query, [table.table for table in read.tables]) == ("models/s.sql", ["bronze.x"])


def test_an_edited_file_is_read_anew(project):
    """Each plan reads the file, whose text is part of the row's configuration."""
    opened = project(sql_row(file="models/s.sql", least=1, known=[1]))
    before = opened.plan().rows["S1"].transformation.config_hash()
    file = opened.manifest.folder / "models" / "s.sql"
    file.write_text(DOUBLED.replace("* 2", "* 3"))
    assert opened.plan().rows["S1"].transformation.config_hash() != before
    opened.run().raise_for_status()
    assert values(opened, "silver.y", "twice") == [3]


@pytest.mark.parametrize(
    ("constants", "message"),
    [
        ({}, "give either 'sql' (a query) or 'file' (its file), found neither"),
        ({"sql": "SELECT 1", "file": "models/s.sql"}, "(its file), found both"),
        ({"sql": " "}, "'sql' must be a query, found ' '"),
        ({"file": "models/t.sql"}, "no file 'models/t.sql' (did you mean 'models/s.sql'?)"),
        ({"file": "../s.sql"}, "../s.sql: 'file' must be a path below the project's folder"),
        ({"file": "/etc/s.sql"}, "/etc/s.sql: 'file' must be a path below the project's folder"),
        ({"file": "manifest.json"}, "'file' must be the path of a .sql file, found 'manifest"),
        ({"file": ["a"]}, "'file' must be the path of a .sql file, found ['a']"),
        ({"sql": "SELECT :z"}, "line 1, column 8: unknown parameter :z"),
        ({"sql": "SELECT\n FROM WHERE"}, "line 2, column 7: syntax error near 'WHERE'"),
        ({"sql": "DROP TABLE bronze.x"}, "a query must be one SELECT, found: DROP TABLE"),
        ({"sql": "SELECT 1; SELECT 2"}, "must be one SELECT"),
        ({"sql": 'SELECT * FROM "a/b"'}, "line 1, column 15: 'a/b' is not a table: a query can"),
        (
            {"sql": "SELECT * FROM 'data/a.csv'"},
            "'data/a.csv' is not a table: a query can only read tables",
        ),
        ({"sql": "SELECT * FROM read_csv('/etc/passwd')"}, "only reads tables, but this one calls"),
    ],
)
def test_a_wrong_query_is_one_problem_of_the_plan(project, constants, message):
    """Nothing runs if a query, its file or a parameter is wrong: one message at the row and place."""
    (found,) = problems(project, **constants)
    assert message in found
    place = "constants" if "file" in found or "must be a query," in found else "constants.sql"
    assert found.endswith(f" - at row 'S1', {place}")


def test_a_file_stays_inside_the_project_and_its_allowed_locations(project, tmp_path):
    """A link out of the project's folder is refused, and allowed_locations apply as for all files."""
    outside = tmp_path / "outside.sql"
    outside.write_text("SELECT 'secret' AS secret")
    opened = project(
        sql_row(file="models/link.sql"),
        sql_row("S2", ["silver.z"], file="models/s.sql", least=1, known=[]),
    )
    (opened.manifest.folder / "models" / "link.sql").symlink_to(outside)
    (found,) = opened.plan().problems
    assert str(found).startswith("models/link.sql: it leads out of the project's folder")
    limited = project(
        sql_row(sql="SELECT 1 AS one"),
        sql_row("S2", ["silver.z"], file="models/s.sql", least=1, known=[]),
        allowed_locations=["data"],
    )
    (found,) = [str(p) for p in limited.plan().problems if "S2" in p.where]
    assert "models/s.sql: outside the locations that rows may read" in found


def test_what_only_a_python_row_can_have(project):
    """A SQL row has the function query, and its inputs are neither files nor queries."""
    other = {**sql_row(sql="SELECT 1", inputs=["data/a.csv", "bronze.x"]), "function": "qery"}
    found = [str(problem) for problem in project(other).plan().problems]
    assert [text.partition(" - at ")[0] for text in found] == [
        "odibi_nb.sql has the one function 'query', found 'qery' (did you mean 'query'?)",
        "a SQL row reads the tables that its query names, and no files or other queries",
        "module 'odibi_nb.sql' has no function 'qery' (did you mean 'query'?)",
    ]
    assert module_allowed("odibi_nb.sql", ["plant_functions"])
    assert not module_allowed("odibi_nb.sqlx", ["plant_functions"])


def test_a_misspelt_table_is_noted_in_the_plan_and_fails_at_the_row(project):
    """The plan notes an unwritten table whose name resembles a written one. The row's error has its
    place in the query.
    """
    opened = project(sql_row(sql="SELECT x\nFROM bronze.xx"))
    note = "row 'S1': no row writes bronze.xx (did you mean 'bronze.x'?) - at constants.sql"
    assert opened.plan().notices == (f"{note}, line 2, column 6",)
    result = opened.run()
    message = result.transformations["S1"].error_message
    assert message.startswith("table 'bronze.xx' does not exist in ")
    assert message.endswith("(did you mean 'bronze.x'?) - at constants.sql, line 2, column 6")


def test_a_query_in_inputs_is_looked_at_in_the_plan(project):
    """The plan notes a name that `context.read` will refuse, and one that resembles a written table, and runs."""

    def notes(sql):
        row = registry_row("S2", "Silver_1", "load", [{"sql": sql, "name": "q"}], {"rows": 1}, [])
        return [*project(row).plan().raise_for_problems().notices]

    assert notes("SELECT count(*) FROM bronze.x JOIN bronze.elsewhere USING (x)") == []
    (note,) = notes("SELECT *\nFROM bronze.xx")
    assert note.endswith(
        "writes bronze.xx (did you mean 'bronze.x'?) - at inputs[0], line 2, column 6"
    )
    (note,) = notes("DELETE FROM bronze.x")
    assert note == (
        "row 'S2': context.read refuses its query: a query must be one SELECT, found: "
        "DELETE FROM bronze.x - at inputs[0]"
    )
    assert "only reads tables" in notes("SELECT * FROM read_csv('a.csv')")[0]
    (note,) = notes("SELECT FROM WHERE")
    assert "syntax error near 'WHERE'" in note
    (note,) = notes("SELECT * FROM [bronze].[x] WITH (NOLOCK) OPTION (FAST 5)")
    assert "refuses" in note or "cannot be parsed" in note


def test_a_wrong_column_has_its_place(project):
    """The error of an unknown column has its place in the query as written, before parameters moved it."""
    opened = project(sql_row(sql="SELECT :t AS t,\n  :t AS u, y FROM bronze.x", t="long text"))
    message = opened.run().transformations["S1"].error_message
    assert 'Referenced column "y" not found' in message
    assert message.endswith(" - at constants.sql, line 2, column 12")
    assert opened.run(select=["S1"]).transformations["S1"].traceback == ""


def test_a_table_is_read_once_and_an_odd_name_is_the_engines_affair():
    """A table that a query names twice is one edge; a name with too many parts is refused by the engine."""
    assert len(sql_of("SELECT * FROM a.b JOIN a.b AS c USING (x)", {}, "pandas").tables) == 1
    assert sql_of("SELECT * FROM a.b.c.d", {}, "pandas").tables == ()


def test_names_of_spark_are_found():
    """Spark's errors name columns and tables in backticks, with parts that the query may omit."""
    text = "SELECT a.`odd name`\nFROM gold.t AS a WHERE zz > 1"
    assert place_named("column `a`.`zz` cannot be resolved", text, "spark") == "line 2, column 24"
    assert place_named("`odd name` is missing", text, "spark") == "line 1, column 10"
    assert place_named("'gold.t' does not exist", text, "spark") == "line 2, column 6"
    assert place_named("no name", text, "spark") == ""
    assert place_named("column `zz` is missing", "SELECT 'open, zz", "spark") == ""
    message = 'Function with name zz does not exist!; Did you mean "a"? - in: SELECT "t"'
    assert place_named(message, text, "pandas") == "line 2, column 24"


def test_load_and_try(project):
    """Load reads the tables of the query and offers it as a cell. SQL in the cell replaces it."""
    opened = project(sql_row(file="models/s.sql", least=1, known=[0, 1, 2]))
    opened.run().raise_for_status()
    loaded = load_transformation(opened, "S1")
    assert loaded.variables == {"bronze.x": "x"}
    assert loaded.inputs["bronze.x"]["x"].tolist() == [0, 1, 2]
    assert loaded.cell == f"%%odibi try S1\n{DOUBLED}"
    assert loaded.file.endswith("models/s.sql")
    cell = DOUBLED.replace("* 2", "* 5").replace(" AND x IN :known", "")
    trial = try_transformation(opened, "S1", cell)
    assert trial.error is None
    assert trial.outputs["silver.y"]["twice"].tolist() == [5, 10]
    assert "-SELECT x, x * 2 AS twice FROM large ORDER BY x" in trial.source_diff
    assert "+SELECT x, x * 5 AS twice FROM large ORDER BY x" in trial.source_diff
    assert "models/s.sql (as tried)" in trial.source_diff
    assert values(opened, "silver.y", "twice") == [2, 4]
    assert try_transformation(opened, "S1").source_diff == ""
    assert (
        try_transformation(opened, "S1", DOUBLED).source_note
        == "the row already has the cell's query"
    )


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("SELECT\n  :leest FROM bronze.x", "line 3, column 3: unknown parameter :leest"),
        ("def query(context): ...", "the row is a query, so that the cell must be SQL"),
        ("DELETE FROM bronze.x", "a query must be one SELECT"),
    ],
)
def test_a_cell_that_is_no_query(project, cell, message):
    """A cell that is not one SELECT is refused. Its first line is the magic's."""
    opened = project(sql_row(file="models/s.sql", least=1, known=[1]))
    opened.run(select=["B1"]).raise_for_status()
    with pytest.raises(ConfigurationError, match=message.replace("(", r"\(")):
        try_transformation(opened, "S1", cell)


def test_a_cells_error_has_its_line(project):
    """The place of an unknown column counts the cell's own lines."""
    opened = project(sql_row(sql="SELECT x FROM bronze.x"))
    opened.run(select=["B1"]).raise_for_status()
    trial = try_transformation(opened, "S1", "SELECT\n  y FROM bronze.x")
    assert str(trial.error).endswith(" - at the cell, line 3, column 3")


def test_overrides_are_parameters(project):
    """A run's overrides replace the row's parameters."""
    opened = project(sql_row(file="models/s.sql", least=1, known=[0, 1, 2]))
    opened.run(overrides={"S1": {"least": 2}}).raise_for_status()
    assert values(opened, "silver.y", "twice") == [4]


def test_registering_checks_the_query(project):
    """Register refuses a row whose query is wrong."""
    from odibi_nb.commands.face import Face
    from odibi_nb.commands.parser import execute, parse

    opened = project()
    words = ["register", "--manifest", str(opened.manifest.path), "--env", "qat"]
    body = '[S9]\nlayer = "Silver_1"\nmodule = "odibi_nb.sql"\nfunction = "query"\nconstants = {sql = "%s"}\noutputs = [{table = "silver.q"}]\n'
    with pytest.raises(PlanError, match="line 1, column 8: unknown parameter :who"):
        execute(parse(words), Face(body=body % "SELECT :who"))
    edit = execute(parse(words), Face(body=body % "SELECT x FROM bronze.x"))
    assert edit.inserted == ("S9",)


def test_explain_shows_the_query(project):
    """Explain has the query as text, its file, and the rows that make its tables."""
    from odibi_nb.commands.face import Face
    from odibi_nb.commands.parser import execute, parse

    opened = project(sql_row(file="models/s.sql", least=1, known=[1]))
    words = ["explain", "S1", "--manifest", str(opened.manifest.path), "--env", "qat"]
    shown = repr(execute(parse(words), Face()))
    assert "SELECT x, x * 2 AS twice FROM large ORDER BY x" in shown
    assert "models/s.sql" in shown
    assert "← B1" in shown


def test_a_query_that_fails_on_its_data_comes_back(project):
    """A failed query has its tables in inputs_read, so that try --run, why and bisect know them."""
    text = "SELECT CASE WHEN x > 5 THEN CAST('a' || x AS INT) ELSE x END AS x FROM bronze.x"
    opened = project(sql_row(sql=text))
    opened.run().raise_for_status()
    failed = opened.run(overrides={"B1": {"rows": 9}}, retry={"max_retries": 0})
    (read,) = failed.transformations["S1"].inputs_read
    assert [(table.table, table.version) for table in read.tables] == [("bronze.x", 1)]
    opened.run(select=["B1"])
    assert try_transformation(opened, "S1").error is None
    assert "Conversion Error" in str(try_transformation(opened, "S1", run="last").error)
    assert causes_of(opened, "S1").causes[0].what.startswith("input bronze.x v0 → v1")
    assert bisect(opened, "S1", print).culprit.version == 1
    from deltalake import DeltaTable

    table = DeltaTable(opened.manifest.folder / "lake" / "bronze" / "x")
    table.vacuum(0, dry_run=False, enforce_retention_duration=False)
    found = bisect(opened, "S1", print)
    assert found.culprit is None, found.tries
    assert found.conclusion.startswith("stopped, because a version cannot be read any more")
