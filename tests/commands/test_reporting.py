"""``report`` writes a run as one file."""

from __future__ import annotations

import pytest
from real_project import default_rows, make_project, registry_row

from odibi_nb import report
from odibi_nb.cli import main


@pytest.fixture
def ran(tmp_path, monkeypatch, capsys):
    """A folder whose project has run once, with a failed row."""
    rows = [*default_rows(), registry_row("BAD", "Silver_1", "broken", ["bronze.x"], {"retry": 0})]
    make_project(tmp_path, rows)
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--log-level", "CRITICAL"]) == 1
    capsys.readouterr()
    (journal,) = tmp_path.rglob("journal.jsonl")
    return journal.parent.name


def test_the_command_writes_a_file_or_prints(ran, tmp_path, capsys):
    """Without --out the file has the run's name. `--out -` prints the text."""
    assert main(["report"]) == 0
    assert f"report-{ran}.html" in capsys.readouterr().out
    page = (tmp_path / f"report-{ran}.html").read_text()
    assert "Written tables" in page
    assert "bronze.x" in page
    assert main(["report", ran, "--format", "md", "--out", "-"]) == 0
    assert f"run `{ran}`" in capsys.readouterr().out
    assert not (tmp_path / f"report-{ran}.md").exists()
    (tmp_path / "mine.md").write_text("mine")
    assert main(["report", "--out", "mine.md"]) == 2
    assert main(["report", "--out", "mine.md", "--force"]) == 0


def test_python_writes_the_same_file(ran, tmp_path):
    """`odibi_nb.report` returns the path. A report from the run log alone has the graph, too."""
    for folder in tmp_path.rglob("runs"):
        for run in folder.iterdir():
            run.rename(tmp_path / run.name)
    path = report("Plant One", engine="pandas", out=tmp_path / "r.html")
    assert "Dependencies" in path.read_text()
