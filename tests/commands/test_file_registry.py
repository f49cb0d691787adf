"""The registry commands on a project whose registry is a file."""

from __future__ import annotations

import json

import pytest
from real_project import default_rows, make_project

from odibi_nb import run_project
from odibi_nb.commands import Face, execute, parse
from odibi_nb.errors import ConfigurationError

FORMATS = ["registry.json", "registry.toml", "registry.csv", "rows/"]


def do(line, body="", **face):
    return execute(parse(line.split()), Face(**{"say": lambda _: None, "body": body, **face}))


def listed(env="qat"):
    return [(r["transformation_id"], r["enabled"]) for r in do(f"registry list --env {env}")]


@pytest.fixture(params=FORMATS)
def home(request, tmp_path, monkeypatch):
    """A project whose registry is a file that does not exist yet."""
    monkeypatch.chdir(tmp_path)
    environment = {"engine": "pandas", "registry": request.param}
    environments = {"qat": environment, "prod": {**environment, "protected": True}}
    return make_project(tmp_path, environments=environments)


def test_every_command_edits_the_file(home):
    """Each registry command does on files what it does on tables, and a run reads the result."""
    with pytest.raises(ConfigurationError, match="`odibi registry init` creates it"):
        do("plan")
    assert "created" in do("registry init")
    assert "nothing to do" in do("registry init --all-columns")
    (home.parent / "rows.json").write_text(json.dumps(default_rows()))
    assert [row["inserted"] for row in do(f"registry import {home.parent}/rows.json")] == [2]
    assert listed() == [("B1", 1), ("S1", 1)]
    edit = do(
        "register",
        "[B1.constants]\nrows = 7\n[S2]\nlayer = 'Silver_1'\nmodule = 'plant_functions'\n"
        "function = 'double'\ninputs = ['bronze.x']\noutputs = [{table = 'silver.y'}]\n",
    )
    assert (edit.updated, edit.inserted) == (("B1",), ("S2",))
    do("disable S1")
    assert listed() == [("B1", 1), ("S1", 0), ("S2", 1)]
    result = run_project("Plant One", log_level="CRITICAL")
    assert [(r.transformation_id, r.rows_out) for r in result.transformations.values()] == [
        ("B1", 7),
        ("S2", 7),
    ]
    do("enable S1")
    do("registry delete S2 --yes")
    assert listed() == [("B1", 1), ("S1", 1)]
    do(f"registry export {home.parent}/copy.toml")
    [done] = do(f"registry import {home.parent}/copy.toml")
    assert (done["unchanged"], done["updated"]) == (2, 0)
    [state] = [row for row in do("doctor") if row["check"] == "registry"]
    assert "2 rows" in str(state)


def test_a_registry_is_not_exported_over_itself(home):
    """An export to the registry's own file is refused: it would lose the rows of other environments."""
    do("registry init")
    rows = [*default_rows(), *({**row, "environment": "prod"} for row in default_rows())]
    (home.parent / "rows.json").write_text(json.dumps(rows))
    do(f"registry import {home.parent}/rows.json --all --yes")
    [own, *_] = [*home.glob("rows/*"), *home.glob("registry.[!d]*")]
    before = own.read_bytes()
    with pytest.raises(ConfigurationError, match="is the registry itself"):
        do(f"registry export {own}")
    assert own.read_bytes() == before
    assert len(listed("prod")) == 2
