"""The registry commands, without the parts that the sources' tests cover."""

from __future__ import annotations

import json

import pytest
from real_project import default_rows, make_project, registry_row
from registries import execute as execute_sql

from odibi_nb.commands import Face, execute, parse
from odibi_nb.errors import ConfigurationError
from odibi_nb.sources.table import registry_in_database


def test_listed_rows_keep_their_secrets(tmp_path, monkeypatch):
    """`registry list` hides constants whose key looks secret, and passwords in URLs."""
    constants = {"password": "hunter2", "url": "mssql://joe:hunter2@db", "rows": 3}
    make_project(tmp_path, rows=[registry_row("B1", "Bronze", "load", constants=constants)])
    monkeypatch.chdir(tmp_path)
    records = execute(parse(["registry", "list"]), Face())
    assert "hunter2" not in str(records)
    assert '"rows":3' in str(records)


def test_exported_rows_can_be_imported(tmp_path, monkeypatch):
    """`registry import` of an export changes nothing."""
    make_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("rows.json", "rows.csv"):
        execute(parse(["registry", "export", name]), Face())
        (counts,) = execute(parse(["registry", "import", name]), Face())
        assert (counts["inserted"], counts["updated"], counts["unchanged"]) == (0, 0, 2)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A project with two rows in qat, and a protected prod."""
    monkeypatch.chdir(tmp_path)
    return make_project(tmp_path)


def do(line, **face):
    return execute(parse(line.split()), Face(**{"say": lambda _: None, **face}))


def places(home):
    """Return the number of the table's rows by project and environment."""
    rows = registry_in_database("sqlite:///registry.db", folder=home).export()
    found = [(row["project"], row["environment"]) for row in rows]
    return {place: found.count(place) for place in found}


def mixed(home):
    """A file with rows of three places; its name."""
    rows = default_rows()
    rows += [{**row, "environment": "prod"} for row in default_rows()]
    rows += default_rows(project="Plant Two")
    (home.parent / "rows.json").write_text(json.dumps(rows))
    return home.parent / "rows.json"


def test_an_import_is_of_one_project_and_environment(home):
    """Only rows of the named project and environment are written; a line names the others, --yes or not."""
    for options in ("", " --yes"):
        said = []
        done = do(f"registry import {mixed(home)}{options}", say=said.append)
        assert [tuple(row.values())[:2] for row in done] == [("Plant One", "qat")]
        assert "2 rows of project 'Plant One', env 'prod' (B1, S1)" in said[0]
        assert "2 rows of project 'Plant Two', env 'qat' (B1, S1)" in said[1]
        assert "--all" in said[1]
        assert places(home) == {("Plant One", "qat"): 2}


def test_an_import_without_a_row_of_its_own_is_refused(home):
    """A file whose rows all belong to another environment is one message, and nothing is written."""
    file = home.parent / "prod.json"
    file.write_text(json.dumps([{**row, "environment": "prod"} for row in default_rows()]))
    with pytest.raises(ConfigurationError) as wrong:
        do(f"registry import {file} --yes")
    assert "2 rows of project 'Plant One', env 'prod' (B1, S1)" in str(wrong.value)
    assert "with --all" in str(wrong.value)
    assert places(home) == {("Plant One", "qat"): 2}


def test_all_rows_of_a_file_are_imported_if_asked_for(home):
    """With --all, each protected environment in the file needs a confirmation, and the report names each place."""
    file, questions, said = mixed(home), [], []

    def ask(question):
        questions.append(question)
        return "Plant One" if "Plant One" in question else "Plant Two"

    with pytest.raises(ConfigurationError, match="env 'prod' of 'Plant One': is protected"):
        do(f"registry import {file} --all")
    with pytest.raises(ConfigurationError, match="not confirmed"):
        do(f"registry import {file} --all", ask=lambda _: "y")
    assert places(home) == {("Plant One", "qat"): 2}
    done = do(f"registry import {file} --all", ask=ask, say=said.append)
    assert "--- B1 of Plant One, env prod, as it is" in said[-1]
    assert [tuple(row.values()) for row in done] == [
        ("Plant One", "prod", 2, 0, 0, 0),
        ("Plant One", "qat", 0, 0, 2, 0),
        ("Plant Two", "qat", 2, 0, 0, 0),
    ]
    assert len(questions) == 2
    assert "no manifest here" in questions[1]
    done = do(f"registry import {file} --all")  # nothing changes: nothing to confirm
    assert [row["unchanged"] for row in done] == [2, 2, 2]


def test_pruning_deletes_what_the_file_leaves_out(home):
    """--prune shows the rows to delete and asks. Rows of other places stay."""
    registry = registry_in_database("sqlite:///registry.db", folder=home)
    registry.upsert([{**row, "environment": "dev"} for row in default_rows()])
    file, said = home.parent / "rows.json", []
    file.write_text(json.dumps([{**default_rows()[0], "layer": "Silver_1"}]))
    with pytest.raises(ConfigurationError, match="1 row would be deleted"):
        do(f"registry import {file} --prune", say=said.append)
    with pytest.raises(ConfigurationError, match="nothing was changed"):
        do(f"registry import {file} --prune", say=said.append, ask=lambda _: "no")
    assert "--- S1 as it is" in said[-1]
    assert '-layer = "Bronze"' in said[-1]
    assert places(home) == {("Plant One", "dev"): 2, ("Plant One", "qat"): 2}
    [done] = do(f"registry import {file} --prune", ask=lambda _: "yes")
    assert (done["updated"], done["deleted"]) == (1, 1)
    assert places(home) == {("Plant One", "dev"): 2, ("Plant One", "qat"): 1}


def test_an_edit_during_the_question_of_an_import_is_not_lost(home):
    """An import is refused if a row that it changes has changed since its diff was shown."""
    file = home.parent / "rows.json"
    file.write_text(json.dumps([{**default_rows()[0], "constants": {"rows": 8}}]))

    def ask(_question):
        registry = registry_in_database("sqlite:///registry.db", folder=home)
        registry.upsert([{**default_rows()[0], "constants": {"rows": 7}}])
        return "y"

    with pytest.raises(ConfigurationError, match=r"it is now \{'rows': 7\}"):
        do(f"registry import {file} --prune", ask=ask)
    assert places(home) == {("Plant One", "qat"): 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[{'id': 'B1', 'constants': None}]", "this is Python text, whose quotes are not JSON's"),
        ('[{"id": "B1", "constants": "{\'rows\': None}"}]', 'write {"rows":null}, as json.dumps'),
        ('[{"id": "B1", "layer": "Bronze", "layer": "x"}]', "key 'layer' occurs twice: line 1, "),
        (
            '[{"id": "B1", "constants": {"checks": [1], "checks": []}}]',
            "key 'checks' occurs twice",
        ),
        ('[{"id": "B1", "transformation_id": "S1"}]', "as 'id' and 'transformation_id'"),
        ('[{"id": "B1", "layer": "Bronze", "Layer": "x"}]', "as 'layer' and 'Layer'"),
    ],
)
def test_what_json_cannot_say_is_refused(home, text, message):
    """A file or cell with Python's quotes, or with a duplicate, is refused, with both places."""
    file = home.parent / "rows.json"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as wrong:
        do(f"registry import {file}")
    assert message in str(wrong.value)
    with pytest.raises(ConfigurationError) as wrong:
        execute(parse(["register"]), Face(body=text))
    assert message in str(wrong.value)


def test_text_with_a_key_twice_is_stored_and_refused_by_the_plan(home):
    """JSON text with a duplicate key keeps both values, so the import warns, and no run starts until it is mended."""
    text = '{"checks": [{"row_count": {"min": 100}}], "checks": []}'
    file, said = home.parent / "rows.json", []
    file.write_text(json.dumps([{**default_rows()[0], "constants": text}]))
    do(f"registry import {file}", say=said.append)
    expected = "key 'checks' occurs twice: line 1, column 2 and line 1, column 43 - at row 'B1'"
    assert expected in said[0]
    assert expected in str(do("plan").problems[0])
    with pytest.raises(ConfigurationError, match="'checks' occurs twice"):
        do("register", body=json.dumps([{"id": "S1", "constants": text}]))
    assert do("registry list")[0]["constants"] == text


def test_what_a_notebook_keeps_of_many_rows_is_bounded(home):
    """Diffs, lists and problems of many rows are shown in part, with the number of the others."""
    row = registry_row("X", "Bronze", "load", constants={"rows": 3})
    rows = [
        {**row, "transformation_id": f"R{i:04}", "outputs": [{"table": f"bronze.t{i}"}]}
        for i in range(1500)
    ]
    edit = do("register", body=json.dumps(rows))
    assert len(edit.inserted) == 1500
    assert "the diff continues" in repr(edit)
    listed = do("registry list")
    assert "… and 1,202 more" in repr(listed)
    assert len(str(listed).splitlines()) > 1502  # a pipe gets all
    names = " ".join(f"x{row['transformation_id']}" for row in rows)
    selected = do(f"plan --select {names}")
    with pytest.raises(ConfigurationError, match="… and 1,300 more") as unknown:
        do(f"disable {names}")
    execute_sql(f"sqlite:///{home}/registry.db", "UPDATE TransformationRegistry SET inputs = '{'")
    others = do("plan --exclude layer:Bronze")
    broken = do("plan")
    assert "… and 1,402 more" in broken._repr_html_()
    for shown in (edit, listed, selected, others, broken):
        assert len(repr(shown)) < 100_000
        assert len(shown._repr_html_()) < 300_000
    assert len(str(unknown.value)) < 100_000
