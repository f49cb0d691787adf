"""Places that rows may not write: the run log's own tables, and the logs of Delta tables."""

from __future__ import annotations

import contextlib
import json
import sqlite3

import pytest
from real_project import make_project, registry_row

from odibi_nb import GenericProjectOrchestrator, read_table
from odibi_nb.core.model.manifest import EnvironmentConfig, ProjectManifest
from odibi_nb.core.model.reserved_places import reserved_in
from odibi_nb.core.model.tables import TableName
from odibi_nb.core.model.transformation import parse_columns, row_columns
from odibi_nb.errors import DataError, PlanError, RegistryError

FUNCTIONS = """
import pandas as pd


def frame(context, constants, outputs):
    return pd.DataFrame({"n": [1, None]})


def writes(context, constants, outputs):
    context.write(pd.DataFrame({"n": [1]}), constants["table"])


def own(context, inputs, constants, outputs) -> None:
    pass
"""
LOG = "config_driven.TransformationRunLog"


def project(tmp_path, rows, **environment):
    """A project with these rows, and a directory link to its lake."""
    settings = {"engine": "pandas", "registry": "sqlite:///registry.db", **environment}
    folder = make_project(tmp_path, rows, functions=FUNCTIONS, environments={"qat": settings})
    (folder / "lake").mkdir(exist_ok=True)
    (folder / "link").symlink_to(folder / "lake", target_is_directory=True)
    return GenericProjectOrchestrator("Plant One", manifest_path=folder / "manifest.json")


def problems(tmp_path, output, function="frame", constants=None, inputs=(), **environment):
    """Return the plan's problems for a row with that output; none if it may run."""
    row = registry_row("A", "Bronze", function, inputs=inputs, constants=constants)
    row["outputs"] = [output] if output is not None else []
    return [*map(str, project(tmp_path, [row], **environment).plan().problems)]


@pytest.mark.parametrize(
    "name",
    [
        LOG,
        LOG.lower(),
        LOG.upper(),
        "`config_driven`.`TransformationRunLog`",
        " config_driven . transformationrun",
    ],
)
def test_the_run_logs_tables_are_refused_at_plan(tmp_path, name):
    """Whichever way a row spells one of the two, the plan says what it is and what to do."""
    [problem] = problems(tmp_path, {"table": name, "mode": "append"})
    assert "is a table of the run log, which rows may read but not write" in problem
    assert "'run_log' in the manifest" in problem
    assert "row 'A', outputs[0]" in problem


def test_a_log_without_a_schema_is_spelled_in_two_ways(tmp_path):
    """A table without a schema is that of the default schema."""
    [problem] = problems(tmp_path, {"table": "default.logs"}, run_log="Logs")
    assert "is a table of the run log" in problem
    assert problems(tmp_path / "other", {"table": "bronze.logs"}, run_log="Logs") == []


def test_links_in_the_lake_are_followed(tmp_path):
    """A schema or table that is a link to the run log's is refused like it; other links are none."""
    outputs = ["bronze.transformationrun", "silver.x", "gold.transformationrun"]
    rows = [registry_row(f"R{i}", "Bronze", "frame", outputs=[o]) for i, o in enumerate(outputs)]
    found = project(tmp_path, rows)
    lake = found.manifest.folder / "lake"
    for name in ("config_driven", "other", "silver"):
        (lake / name).mkdir()
    (lake / "bronze").symlink_to(lake / "config_driven", target_is_directory=True)
    (lake / "gold").symlink_to(lake / "other", target_is_directory=True)
    log = lake / "config_driven" / "transformationrunlog"
    (lake / "silver" / "x").symlink_to(log, target_is_directory=True)
    problems = [*map(str, found.plan().problems)]
    assert len(problems) == 2
    assert all("run log" in problem for problem in problems)


def test_a_quarantine_that_would_be_the_log_is_refused(tmp_path):
    """A row's quarantine is a table that it writes; without one the name is free."""
    constants = {"checks": [{"not_null": ["n"], "on_fail": "quarantine"}]}
    log = {"run_log": "bronze.x_quarantine"}
    [problem] = problems(tmp_path, {"table": "bronze.X"}, constants=constants, **log)
    assert "bronze.X_quarantine: is a table of the run log" in problem
    assert problems(tmp_path / "other", {"table": "bronze.X"}, **log) == []


@pytest.mark.parametrize(
    "output",
    [
        "lake/config_driven/transformationrunlog",
        {"path": "lake/x/../CONFIG_DRIVEN/TransformationRun/part.parquet"},
        {"deep": [{"target": "link/config_driven/transformationrun"}]},
        {"path": "store://config_driven/transformationrun"},
        {"path": "lake/config%5Fdriven/transformationrun"},
        {"path": "lake/silver/t/_delta_log/00000000000000000000.json"},
        {"path": "lake/silver/t/_DELTA_log/x"},
        {"path": "lake\\\\silver\\\\t\\\\_delta_log"},
        {"path": "s3://b/silver/t/_delta%5flog/x"},
    ],
)
def test_places_of_a_functions_own_are_refused_alike(tmp_path, output):
    """An output of a function's own that leads into the run log or a Delta log, by whatever way."""
    found = problems(tmp_path, output, "own", locations={"store://": "lake"})
    assert found
    assert all("run log" in text or "_delta_log belongs to Delta" in text for text in found)


def test_a_location_in_inputs_does_not_lead_into_a_delta_log(tmp_path):
    """An input that is only a location is judged as one with a path, in any spelling."""
    for i, location in enumerate(("lake/a/b/_delta_log/0.json", "s3://b/t/_delta%5Flog/0.json")):
        [problem] = problems(tmp_path / str(i), None, "own", inputs=[location])
        assert "row 'A', inputs[0]" in problem
        assert "_delta_log belongs to Delta" in problem


def test_a_lake_at_a_url_has_reserved_places_too():
    """A location below the run log's place at the lake's URL is refused, in any spelling."""
    content = {"project": "P", "environments": {"qat": {"lake": "s3://bucket/lake"}}}
    manifest = ProjectManifest.from_dict(content)
    reserved = reserved_in(manifest, manifest.environment("qat"))
    for location, refused in (
        ("s3://Bucket/lake/x/../config_driven/transformationrunlog/part.parquet", True),
        ("s3://bucket/lake/bronze/x", False),
    ):
        row = {**registry_row("A", "Bronze", "own"), "outputs": [{"path": location}]}
        made, _ = parse_columns(row_columns(row), 1)
        assert bool(reserved.problems(made, ())) == refused, location


def test_a_location_on_this_machine_may_be_a_url(tmp_path):
    """A file: URL that leads to the run log's place is refused like the path."""
    lake = tmp_path / "projects" / "plant_one" / "lake"
    folder = lake / "config_driven" / "transformationrunlog"
    [problem] = problems(tmp_path, {"path": f"file://{folder}/x"}, "own")
    assert "is a place of the run log's table" in problem


def test_a_text_that_is_no_table_is_no_table_of_the_log(tmp_path):
    """An output of a function's own may be any text; with a quarantine, too, it only may not be the log."""
    constants = {"checks": [{"not_null": ["n"], "on_fail": "quarantine"}]}
    for i, found in enumerate(({}, constants)):
        texts = problems(tmp_path / str(i), "a..b", "own", constants=found)
        assert not any("run log" in text for text in texts)


def test_inputs_do_not_lead_into_a_delta_log(tmp_path):
    """A location of an input is a place that a function may write to, too; reading the run log is fine."""
    [problem] = problems(tmp_path, None, "own", inputs=[{"path": "lake/a/b/_delta_log/0.json"}])
    assert "row 'A', inputs[0]" in problem
    assert "_delta_log belongs to Delta" in problem
    assert problems(tmp_path / "other", {"table": "bronze.x"}, inputs=[LOG]) == []


@pytest.mark.parametrize("name", ["silver.t._delta_log", "bronze._DELTA_LOG", "_delta_log.x"])
def test_no_table_stands_in_a_delta_log(tmp_path, name):
    """A name that would be a folder of a table's log is no table's name, wherever it is given.

    The registry does not take it; a row that was there before is refused by the plan.
    """
    why = "is where Delta keeps a table's log"
    with pytest.raises(DataError, match=why):
        TableName.parse(name)
    with pytest.raises(RegistryError, match=why):
        problems(tmp_path / "new", {"table": name})
    old = project(tmp_path, [registry_row("A", "Bronze", "frame", outputs=["bronze.x"])])
    with contextlib.closing(sqlite3.connect(old.manifest.folder / "registry.db")) as database:
        outputs = json.dumps([{"table": name}])
        database.execute("UPDATE TransformationRegistry SET outputs = ?", [outputs])
        database.commit()
    [problem] = map(str, old.plan().problems)
    assert why in problem


def test_what_only_shows_when_it_is_written_is_refused_then(tmp_path):
    """A function that names the table itself fails before anything is written; the log is whole."""
    constants = {"table": "CONFIG_DRIVEN.transformationrunlog", "retry": 0}
    row = registry_row("A", "Bronze", "writes", constants=constants)
    delta_log = registry_row(
        "B", "Bronze", "writes", constants={"table": "x.t._delta_log", "retry": 0}
    )
    found = project(tmp_path, [row, delta_log])
    result = found.run()
    assert "is a table of the run log" in result.transformations["A"].error_message
    assert "keeps a table's log" in result.transformations["B"].error_message
    log = read_table("Plant One", LOG, manifest_path=found.manifest.path)
    assert sorted(log["transformation_id"]) == ["A", "B"]


@pytest.mark.parametrize("lake", ["catalog", "catalog:main"])
def test_a_catalogs_log_has_a_name_with_the_catalog_too(lake):
    """In a catalog, the full name of a run log table is refused, too; a table of another catalog is not."""
    content = {"project": "P", "environments": {"qat": {"lake": lake}}}
    manifest = ProjectManifest.from_dict(json.loads(json.dumps(content)))
    reserved = reserved_in(manifest, EnvironmentConfig(lake=lake))
    for name in (LOG, f"Main.{LOG}"):
        with pytest.raises(DataError, match="run log"):
            reserved.check(name)
    reserved.check("main.silver.t")
    if lake != "catalog":
        reserved.check(f"other.{LOG}")


def test_a_run_with_such_a_row_does_not_begin(tmp_path):
    """A run that the plan refuses starts no row."""
    row = registry_row("A", "Bronze", "frame", outputs=[LOG])
    found = project(tmp_path, [row, registry_row("B", "Bronze", "frame", outputs=["bronze.x"])])
    with pytest.raises(PlanError, match="run log"):
        found.run()
    assert not (tmp_path / "projects/plant_one/lake/bronze").exists()
