"""`watch` follows runs of other processes, and `show` shows ended runs."""

from __future__ import annotations

import json

import pytest
from real_project import make_project, registry_row

from odibi_nb import show
from odibi_nb.cli import main
from odibi_nb.errors import ConfigurationError
from odibi_nb.views.run.bundles import result_bundle

FUNCTIONS = """
def good():
    print("a word")

def bad():
    raise KeyError("no column <script>")
"""
ROWS = [
    registry_row("GOOD'\"<b>", "Bronze", "good"),
    registry_row("BAD", "Bronze", "bad", constants={"retry": 0}),
]


@pytest.fixture
def ran(tmp_path, monkeypatch, capsys):
    """A folder whose project has run once, with one success and one failure. Return the id of the run."""
    make_project(tmp_path, rows=ROWS, functions=FUNCTIONS)
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--log-level", "CRITICAL"]) == 1
    capsys.readouterr()
    (journal,) = tmp_path.rglob("journal.jsonl")
    return journal.parent.name


def test_show_prints_a_past_run(ran, capsys):
    """`show` has each row of the newest run, or of a named one, with error and traceback of a failed row."""
    for words in (["show"], ["show", ran], ["watch"]):
        assert main(words) == 0
        text = capsys.readouterr().out
        assert f"run {ran} · 1 of 2 done, 1 failed" in text
        assert "✖ BAD: KeyError: 'no column <script>'" in text
        assert "in bad" in text
        assert f"odibi log BAD --run {ran}" in text


def test_show_marks_what_is_unusual(tmp_path, monkeypatch, capsys):
    """A row that wrote far fewer rows than in the runs before says so: as text, in a result, in its picture, and in reports."""
    functions = (
        "import pathlib\n\nimport pandas as pd\n\n"
        "def count():\n    return pd.DataFrame({'x': range(int(pathlib.Path('rows').read_text()))})\n"
    )
    rows = [registry_row("A", "Bronze", "count", outputs=["bronze.a"], constants={"retry": 0})]
    make_project(tmp_path, rows=rows, functions=functions)
    monkeypatch.chdir(tmp_path)
    for count in (50, 50, 50, 50, 50, 1):
        (tmp_path / "rows").write_text(str(count))
        main(["run", "--log-level", "CRITICAL"])
    capsys.readouterr()
    assert main(["show"]) == 0
    assert "⚠ A wrote 1 row, usually 50" in capsys.readouterr().out
    result = show("Plant One")
    assert result.transformations["A"].unusual == ("wrote 1 row, usually 50",)
    assert "⚠ wrote 1 row, usually 50" in result_bundle(result)["text/html"]
    capsys.readouterr()
    main(["report", "--out", "-"])
    page = capsys.readouterr().out
    assert "⚠ wrote 1 row, usually 50" in page
    assert "<h2>Unusual</h2><ul><li>⚠ <b>A</b> wrote 1 row, usually 50</li></ul>" in page
    main(["report", "--out", "-", "--format", "md"])
    assert "| `A` | `wrote 1 row, usually 50` |" in capsys.readouterr().out


def test_show_json_is_the_document_of_history(ran, capsys):
    """The JSON document has the records of the run and of its attempts."""
    main(["show", ran, "--json"])
    document = json.loads(capsys.readouterr().out)
    assert (document["kind"], document["run_id"]) == ("history", ran)
    assert [run["status"] for run in document["runs"]] == ["failed"]
    assert {x["transformation_id"] for x in document["attempts"]} == {"GOOD'\"<b>", "BAD"}


def test_an_unknown_run_is_an_error(ran, capsys):
    """The message about a mistyped id has a suggestion."""
    assert main(["show", ran[:-1] + "x"]) == 2
    assert f"did you mean {ran!r}" in capsys.readouterr().err
    with pytest.raises(ConfigurationError, match="did you mean"):
        show("Plant One", ran[:-1] + "x")


def test_a_past_run_is_a_result_in_python(ran):
    """odibi_nb.show returns the result again: status, frames, and the logs of the rows."""
    result = show("Plant One")
    assert (result.run_id, result["status"]) == (ran, "failed")
    assert "a word" in result.transformations["GOOD'\"<b>"].log
    assert sorted(result.to_frame()["status"]) == ["FAILED", "SUCCESS"]
