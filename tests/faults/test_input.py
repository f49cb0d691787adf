"""Faults in the registry, the manifest and the environment. No run may start halfway."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from faults.example_run import PROJECT, Example, prepare
from pages import without_our_script

from odibi_nb import HookManager, run_project
from odibi_nb.errors import ConfigurationError, DataError, ManifestError, OdibiError, PlanError

HOSTILE = "ü \"quoted\" 'it''s' <script>alert(1)</script> ../../etc ; DROP TABLE x -- \n\t% {x} 💥"


def versions(example):
    """Return the number of commits of every table, which a run without work does not change."""
    return {str(p): len(list(p.iterdir())) for p in example.lake.glob("*/*/_delta_log")}


def refused(example, error=ConfigurationError, **options):
    """Return the message with which a run is refused. Check that the tables did not change."""
    runs = example.folder / ".odibi" / "runs"
    before = versions(example), sorted(runs.iterdir())
    with pytest.raises(error) as caught:
        example.run(**options)
    assert before == (versions(example), sorted(runs.iterdir()))
    return str(caught.value)


def execute(example, statement, *values):
    with sqlite3.connect(example.folder / "registry.db") as database:
        database.execute(statement, values)
    database.close()


def test_malformed_json_stops_before_anything_runs(example):
    """All malformed JSON in rows is reported with id and column, and nothing runs."""
    sql = "UPDATE TransformationRegistry SET {} = ? WHERE transformation_id = ?"
    execute(example, sql.format("inputs"), '["a", ', "GOLD_001")
    execute(example, sql.format("constants"), "{'single': 'quotes'}", "SILVER_001")
    message = refused(example, PlanError)
    assert "GOLD_001" in message
    assert "inputs" in message
    assert "SILVER_001" in message
    assert "constants" in message
    rows = {
        r["transformation_id"]: r
        for r in json.loads((example.folder / "registry.json").read_text())
    }
    for name, column in (("GOLD_001", "inputs"), ("SILVER_001", "constants")):
        execute(example, sql.format(column), json.dumps(rows[name].get(column)), name)
    example.check_next_run()


def test_a_row_edited_mid_run_counts_from_the_next_run_on(example):
    """A change of the registry during a run takes effect in the next run."""
    hooks = HookManager()

    def edit(payload):
        example.change("GOLD_001", module="odibi_functions.nowhere")

    before = next(
        r for r in example.registry.export(PROJECT, "qat") if r["transformation_id"] == "GOLD_001"
    )
    hooks.register("layer_start", edit, filters={"layer": "Silver_1"})
    result = example.run(hooks=hooks)
    assert result["status"] == "success"
    example.check_lake()
    example.check_log(result)
    assert "odibi_functions.nowhere" in refused(example, PlanError)
    example.mend(before)
    example.check_next_run()


def test_hostile_text_is_data(example):
    """Quotes, newlines, markup, paths and other alphabets in text columns are shown as text and have no effect."""
    example.registry.create(all_columns=True)
    rows = example.registry.export(PROJECT, "qat")
    hostile = {
        **next(r for r in rows if r["transformation_id"] == "GOLD_003"),
        **dict.fromkeys(
            ("entity_1", "entity_2", "entity_3", "description", "transformation_group_id"), HOSTILE
        ),
        "transformation_id": HOSTILE,
        "outputs": [{"table": "gold.hostile"}],
    }
    example.registry.upsert([hostile])
    result = example.run()
    assert result["status"] == "success"
    assert result.transformations[HOSTILE].plant == HOSTILE
    assert "<script>" not in without_our_script(result._repr_html_())
    kept = {r["transformation_id"]: r for r in example.log(result.run_id)}
    assert kept[HOSTILE]["plant"] == HOSTILE
    assert len(kept) == 20
    execute(example, "DELETE FROM TransformationRegistry WHERE transformation_id = ?", HOSTILE)
    shutil.rmtree(example.lake / "gold" / "hostile")
    example.check_next_run()


@pytest.mark.parametrize(
    "table", ["../outside", "gold.../x", "gold./etc/passwd", "gold.a\0b", "", "gold.x\ny"]
)
def test_tables_stay_in_the_lake(example, table):
    """An output whose name would leave the lake, or is not a table's name, is a problem of the plan."""
    outputs = json.dumps([{"table": table}])
    sql = "UPDATE TransformationRegistry SET outputs = ? WHERE transformation_id = 'GOLD_003'"
    execute(example, sql, outputs)
    assert "GOLD_003" in refused(example, PlanError)


def test_an_id_that_no_log_can_keep_is_refused(example):
    """A NUL or half a surrogate pair in a transformation's id is a problem of the plan."""
    sql = "UPDATE TransformationRegistry SET transformation_id = ? WHERE transformation_id = 'GOLD_003'"
    execute(example, sql, "GOLD\0_003")
    assert "must not have a NUL" in refused(example, PlanError)


@pytest.mark.parametrize("column", ["entity_1", "entity_2", "module", "function", "layer"])
def test_nul_in_a_column_is_survived(example, column):
    """A NUL in any text column is refused with a message, or runs as text; it never breaks the run."""
    sql = f"UPDATE TransformationRegistry SET {column} = ? WHERE transformation_id = 'GOLD_003'"
    execute(example, sql, "GOLD\0_003")
    try:
        shown = example.run().raise_for_status()._repr_html_()
    except OdibiError as exc:
        shown = str(exc)
    assert shown
    assert "\0" not in shown


def test_a_module_outside_the_allow_list_is_refused(example):
    """A row that names a module beside transformation_modules is refused before it is imported."""
    example.change("GOLD_003", module="os", function="system")
    message = refused(example, PlanError)
    assert "module 'os' is not allowed" in message
    assert "odibi_functions" in message


def test_a_protected_environment_wants_its_confirmation(example):
    """Without confirmation a protected environment runs nothing."""
    manifest = json.loads((example.folder / "manifest.json").read_text())
    manifest["environments"]["qat"]["protected"] = True
    (example.folder / "manifest.json").write_text(json.dumps(manifest))
    assert "is protected" in refused(example)
    assert "is protected" in refused(example, confirm="Energy")
    result = example.run(confirm=PROJECT)
    assert result["status"] == "success"


def test_a_missing_environment_variable_is_named(example, monkeypatch):
    """An unset ${VARIABLE} in a manifest is an error that has its name and place."""
    monkeypatch.delenv("ODIBI_LAKE", raising=False)
    monkeypatch.delenv("ODIBI_REGISTRY_URL", raising=False)
    message = refused(example, ManifestError, env="prod")
    assert "environment variable ODIBI_LAKE is not set" in message
    assert "environment variable ODIBI_REGISTRY_URL is not set" in message
    assert "$.environments.prod" in message


@pytest.fixture
def open_to_all(example):
    """Return a place for the example that other users can enter. pytest's own folder is private."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(example.folder, Path(folder) / "energy_efficiency")
        yield Example(Path(folder) / "energy_efficiency", example.reference)


def test_a_read_only_lake_is_told_before_anything_runs(open_to_all, tmp_path):
    """A lake that cannot be written is refused before the first row starts."""
    example = open_to_all
    prepare(tmp_path / "another")
    code = (
        "import os, sys\n"
        "from odibi_nb import run_project\n"
        f"run_project({PROJECT!r}, manifest_path={str(tmp_path / 'another' / 'manifest.json')!r})\n"
        # A superuser may write everywhere; all modules that another user may not read are imported by now.
        "if os.geteuid() == 0: os.setuid(65534)\n"
        "try:\n"
        f"    run_project({PROJECT!r}, manifest_path={str(example.folder / 'manifest.json')!r})\n"
        "except Exception as exc: print(type(exc).__name__, exc)\n"
    )
    example.folder.parent.chmod(0o755)
    for path in example.folder.rglob("*/"):
        path.chmod(0o755)
    if os.geteuid() == 0:  # a state folder is its owner's alone
        for path in ((state := example.folder / ".odibi"), *state.rglob("*")):
            os.chown(path, 65534, 65534)
    example.lake.chmod(0o555)
    before = versions(example)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    example.lake.chmod(0o755)
    assert DataError.__name__ in done.stdout, done.stdout + done.stderr
    assert "cannot be read and written" in done.stdout
    assert versions(example) == before
    example.check_next_run()


def test_two_manifests_with_one_slug_are_told_apart(example, tmp_path, monkeypatch):
    """Two projects whose names make one slug, each in its folder, are opened by their exact names."""
    home = tmp_path / "more" / "projects"
    for name, folder in (
        ("Energy Efficiency", "energy_efficiency"),
        ("energy-efficiency", "other"),
    ):
        prepare(home / folder)
        manifest = json.loads((home / folder / "manifest.json").read_text())
        manifest["project"] = name
        (home / folder / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.chdir(tmp_path / "more")
    result = run_project("Energy Efficiency", log_level="ERROR")
    assert (result["status"], (home / "other" / "lake").exists()) == ("success", False)
    assert (home / "energy_efficiency" / "lake").exists()
    with pytest.raises(ConfigurationError) as caught:
        run_project("energy-efficiency", log_level="ERROR")
    assert "energy-efficiency" in str(caught.value)


def test_five_thousand_rows(example):
    """A registry with 5,000 more rows runs, and the log has each of them once."""
    rows = [
        {
            "transformation_id": f"MANY_{i:04}",
            "project": PROJECT,
            "environment": "qat",
            "layer": "Bronze",
            "module": "odibi_functions.many",
            "function": "nothing",
            "inputs": [],
            "constants": {},
            "outputs": [],
            "enabled": 1,
        }
        for i in range(5000)
    ]
    (example.folder / "odibi_functions" / "many.py").write_text("def nothing():\n    pass\n")
    example.registry.upsert(rows)
    result = example.run()
    assert result.counts() == {"SUCCESS": 5019}
    example.check_lake()
    example.check_log(result)
