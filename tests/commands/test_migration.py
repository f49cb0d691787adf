"""Moving a project of the original framework."""

from __future__ import annotations

import csv
import json

import nbformat
import pytest
from real_project import make_project, registry_row
from registries import execute as execute_sql

from odibi_nb import cli
from odibi_nb.commands import Face, execute, parse
from odibi_nb.errors import ConfigurationError

OLD = '''"""As in the original."""
from odibi_de_v2 import run_project
from odibi_de_v2.hooks import HookManager
from odibi_de_v2.ingestion import ReaderProvider
import odibi_de_v2.odibi_functions


def load(constants, spark):
    hooks = HookManager()
    hooks.register("pre_transform", print)
    hooks.register("transform_start", print)
    query = """SELECT *
    FROM IngestionSourceConfig"""
    spark.createDataFrame([]).write.saveAsTable("a.b")
'''


def do(line, said=None, **face):
    return execute(parse(line.split()), Face(say=(said if said is not None else []).append, **face))


def placed(report):
    """Return state and change by place, without the folder."""
    return [
        (row["place"].split("plant_one/")[-1], row["state"][0], row["change"]) for row in report
    ]


def test_every_place_is_listed(tmp_path, monkeypatch):
    """Imports, events, texts and writes are listed with file and line, in notebooks by cell, in rows by id."""
    rows = [
        {**registry_row("B1", "Bronze", "load"), "outputs": ["bronze.x"]},
        {**registry_row("S1", "Silver_1", "load"), "module": "odibi_de_v2.transformer"},
    ]
    home = make_project(tmp_path, rows=rows, functions=OLD)
    (home / "lake").mkdir()
    (home / "lake" / "old.py").write_text("import odibi_de_v2")
    (home / "broken.py").write_text("def f(:")
    (home / "ddl.sql").write_text("SELECT 1;\nSELECT * FROM SecretsConfig;\n")
    cells = ["%load_ext x\nimport odibi_de_v2", "1"]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    nbformat.write(notebook, home / "tour.ipynb")
    monkeypatch.chdir(tmp_path)
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    report = do("doctor --migration")
    found = placed(report)
    for expected in [
        ("plant_functions.py:2", "✖", "import odibi_nb"),
        ("plant_functions.py:3", "✖", "import odibi_nb.hooks"),
        ("plant_functions.py:5", "✖", "import odibi_nb.odibi_functions"),
        ("plant_functions.py:10", "✖", "it is called 'transform_start'"),
        ("ddl.sql:2", "✖", "use ${NAME} in the manifest, or your auth_provider"),
        ("tour.ipynb, cell 1:2", "✖", "import odibi_nb"),
        ("broken.py", "·", "look at it"),
    ]:
        assert expected in found
    by_place = {place: (state, change) for place, state, change in found}
    assert (
        "no counterpart: use the functions of odibi_nb.ingest"
        in by_place["plant_functions.py:4"][1]
    )
    assert by_place["plant_functions.py:12"][0] == "✖"
    assert by_place["plant_functions.py:14"][0] == "·"
    assert "plant_functions.py:11" not in by_place
    assert any("row 'B1'" in place and state == "·" for place, state, _ in found)
    assert any("row 'S1'" in place and state == "✖" for place, state, _ in found)
    assert not any("lake/" in place for place, _, _ in found)
    assert {path: path.read_bytes() for path in before} == before
    assert cli.main(["doctor", "--migration"]) == 1


def test_a_project_that_needs_nothing(tmp_path, monkeypatch):
    """A project of ours needs no change. A layer with steps is listed for review."""
    home = make_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    report = do("doctor --migration")
    assert (list(report), report.exit_code) == ([], 0)
    assert cli.main(["doctor", "--migration"]) == 0
    do("registry init --all-columns")
    execute_sql(f"sqlite:///{home}/registry.db", "UPDATE TransformationRegistry SET step = 1")
    report = do("doctor --migration")
    assert [row["state"][0] for row in report] == ["·", "·"]
    assert "ordered_by_step" in report[0]["change"]


def test_a_manifest_in_the_originals_shape(tmp_path, monkeypatch):
    """Environments as a list of names, and an unreadable manifest: each is named, and doctor ends."""
    home = make_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    file = home / "manifest.json"
    file.write_text('{\n"project_name": "Plant One",\n"environments": ["qat", "prod"]\n}')
    found = placed(do("doctor --migration --env qat"))
    assert found[0][:2] == ("manifest.json:2", "·")
    assert found[1][:2] == ("manifest.json:3", "✖")
    file.write_text('{"project_name": "Plant One", "layer_ordr": []}')
    with pytest.raises(ConfigurationError, match="layer_ordr"):
        do("doctor --migration")


SOURCES = [
    {
        "source_id": "src-x",
        "source_type": "local",
        "file_format": "csv",
        "source_path_or_query": "x.csv",
    },
    {"source_id": "src-api", "source_type": "api"},
]


def fill(home):
    execute_sql(
        f"sqlite:///{home}/registry.db",
        "CREATE TABLE IngestionSourceConfig (SOURCE_ID TEXT, source_type TEXT, file_format TEXT, "
        "source_path_or_query TEXT)",
        "INSERT INTO IngestionSourceConfig VALUES ('src-x', 'local', 'csv', 'x.csv')",
        "INSERT INTO IngestionSourceConfig (source_id, source_type) VALUES ('src-api', 'api')",
    )


@pytest.mark.parametrize("kind", ["table", "url", "json", "csv"])
def test_an_ingestion_config_is_imported(tmp_path, monkeypatch, kind):
    """From a table, a URL, a JSON or a CSV file, Bronze rows are imported and the rest is named. A
    second import changes nothing.
    """
    home = make_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    if kind in ("table", "url"):
        fill(home)
    (tmp_path / "s.json").write_text(json.dumps(SOURCES))
    with (tmp_path / "s.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, SOURCES[0])
        writer.writeheader()
        writer.writerows(SOURCES)
    url = f"sqlite:///{home}/registry.db#IngestionSourceConfig"
    what = {"table": "ingestionsourceconfig", "url": url}.get(kind, f"s.{kind}")
    said = []
    [done] = do(f"registry import {what} --ingestion-config", said)
    assert (done["inserted"], done["updated"]) == (1, 0)
    assert said == ["⚠️ not imported: src-api: source_type 'api' needs a function of your own"]
    [row] = [r for r in do("registry list") if r["transformation_id"] == "src-x"]
    assert (row["layer"], row["function"], row["outputs"]) == (
        "Bronze",
        "load_csv",
        '[{"table":"bronze.x","mode":"overwrite"}]',
    )
    [done] = do(f"registry import {what} --ingestion-config")
    assert (done["inserted"], done["unchanged"]) == (0, 1)


def test_an_ingestion_config_that_cannot_be_used(tmp_path, monkeypatch):
    """A missing table, a table name with a file registry, and a config without a usable source write nothing."""
    environment = {"engine": "pandas", "registry": "registry.json"}
    home = make_project(tmp_path, environments={"qat": environment})
    monkeypatch.chdir(tmp_path)
    do("registry init")
    with pytest.raises(ConfigurationError, match=r"give 'T' with its database: 'URL#T'"):
        do("registry import T --ingestion-config")
    with pytest.raises(ConfigurationError, match="T"):
        do(f"registry import sqlite:///{home}/registry.db#T --ingestion-config")
    (tmp_path / "s.json").write_text(json.dumps(SOURCES[1:]))
    with pytest.raises(ConfigurationError, match="nothing was written"):
        do("registry import s.json --ingestion-config")
    (tmp_path / "s.json").write_text("[]")
    with pytest.raises(ConfigurationError, match="it has no rows"):
        do("registry import s.json --ingestion-config")
    assert (home / "registry.json").read_text() == "[]\n"
