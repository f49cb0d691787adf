"""The registry commands, besides what the sources' own tests cover."""

from __future__ import annotations

from real_project import make_project, registry_row

from odibi_nb.commands import Face, execute, parse


def test_listed_rows_keep_their_secrets(tmp_path, monkeypatch):
    """`registry list` hides constants whose key looks secret, and passwords in URLs."""
    constants = {"password": "hunter2", "url": "mssql://joe:hunter2@db", "rows": 3}
    make_project(tmp_path, rows=[registry_row("B1", "Bronze", "load", constants=constants)])
    monkeypatch.chdir(tmp_path)
    records = execute(parse(["registry", "list"]), Face())
    assert "hunter2" not in str(records)
    assert '"rows":3' in str(records)


def test_exported_rows_can_be_imported(tmp_path, monkeypatch):
    """What `registry export` writes, `registry import` reads: nothing changes."""
    make_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in ("rows.json", "rows.csv"):
        execute(parse(["registry", "export", name]), Face())
        (counts,) = execute(parse(["registry", "import", name]), Face())
        assert (counts["inserted"], counts["updated"], counts["unchanged"]) == (0, 0, 2)
