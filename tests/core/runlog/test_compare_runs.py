"""Two runs side by side."""

from __future__ import annotations

import pytest
from fakes import FakeProject, row
from real_project import FUNCTIONS, make_project

from odibi_nb.cli import main
from odibi_nb.core.runlog.compare_runs import compare_runs


@pytest.fixture
def project(tmp_path):
    """A writes as many rows as its constants say; B fails as long as they say so."""

    def write(constants):
        return [1] * constants["n"]

    def maybe(constants):
        if constants["fails"]:
            raise KeyError("broken")

    rows = [
        row("A", write, constants={"n": 2}, outputs=[{"table": "t.a"}]),
        row("B", maybe, constants={"fails": True, "retry": {"max_retries": 0}}),
    ]
    return FakeProject(tmp_path, rows)


def compared(project, *runs):
    found = compare_runs([project.sink], "P", "qat", *runs)
    return found, {r["transformation_id"]: r for r in found.rows}


def test_what_changed_between_two_runs(project):
    """Each transformation has both statuses, durations and row counts, and a word for what differs."""
    first = project.run()
    second = project.run(overrides={"A": {"n": 5}, "B": {"fails": False}})
    found, rows = compared(project)
    assert [run["run_id"] for run in found.runs] == [first.run_id, second.run_id]
    assert (rows["A"]["rows_out_a"], rows["A"]["rows_out_b"]) == (2, 5)
    assert rows["A"]["changed"] == "rows, registry"
    assert (rows["B"]["status_a"], rows["B"]["status_b"]) == ("FAILED", "SUCCESS")
    assert rows["B"]["changed"] == "status, registry"
    change = rows["A"]["seconds_b"] - rows["A"]["seconds_a"]
    assert rows["A"]["seconds_change"] == change
    _, back = compared(project, second.run_id, first.run_id)
    assert (back["A"]["rows_out_a"], back["A"]["rows_out_b"]) == (5, 2)


def test_the_same_run_twice_has_no_change(project):
    """Rows without differences have an empty column; a row of only one run is marked so."""
    first = project.run()
    _, rows = compared(project, first.run_id, first.run_id)
    assert {r["changed"] for r in rows.values()} == {""}
    project.run(select="A")
    _, rows = compared(project)
    assert rows["B"]["changed"] == "only in a"
    assert rows["B"]["status_b"] is None
    assert rows["B"]["seconds_change"] is None


def test_runs_that_are_not_there(project):
    """An unknown run, one without another before it, and an empty log are one message."""
    with pytest.raises(LookupError, match="has no run of 'P'"):
        compared(project)
    first = project.run()
    with pytest.raises(LookupError, match=f"has no run before {first.run_id}"):
        compared(project)
    with pytest.raises(LookupError, match=r"has no run '.*' \(did you mean"):
        compared(project, first.run_id[:-2])


def test_compare_from_a_shell(tmp_path, monkeypatch, capsys):
    """`odibi compare` shows the last two runs, with the function whose source changed."""
    home = make_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert main(["compare"]) == 2
    assert "compare: the run log has no run of 'Plant One'" in capsys.readouterr().err
    assert main(["run"]) == 0
    (home / "plant_functions.py").write_text(FUNCTIONS.replace("* 2", "* 3"))
    assert main(["run"]) == 0
    capsys.readouterr()
    assert main(["compare"]) == 0
    lines = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    assert lines["S1"][-1] == "function"
    assert lines["B1"][1:3] == ["SUCCESS", "SUCCESS"]
    assert lines["B1"][-1] == "3"
    assert main(["compare", "x", "--project", "Plant One"]) == 2


@pytest.mark.parametrize("text", ["torn {", "[1]", '{"functions": 7}', None])
def test_damaged_versions_hide_no_other_change(project, text):
    """If the record of a run has no readable hashes of its functions, the other columns are still compared."""
    project.run()
    project.run(overrides={"A": {"n": 5}})
    for run in project.sink.run_records:
        run["versions"] = text
    _, rows = compared(project)
    assert rows["A"]["changed"] == "rows, registry"
