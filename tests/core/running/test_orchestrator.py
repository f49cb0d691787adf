"""A project run as the seed's walkthrough shows it."""

from __future__ import annotations

import re
import sqlite3
import sys
import threading
from pathlib import Path

import pytest
from fakes import FakeProject, MemorySink, row, statuses
from real_project import make_project, registry_row

from odibi_nb import (
    GenericProjectOrchestrator,
    TransformationRunnerFromConfig,
    read_table,
    run_project,
)
from odibi_nb.core.functions.registry import REGISTRY
from odibi_nb.core.running.hooks import HookManager
from odibi_nb.errors import ConfigurationError, OdibiError, PlanError, RegistryError, RunLockedError

SEED_OUTPUT = """\
🚀 Starting pipeline: Energy Efficiency (env=qat)

📋 Loaded manifest from projects/energy_efficiency/manifest.json
⚙️ Bootstrapping environment for ENERGY EFFICIENCY (env=qat)
Environment bootstrapped

🎯 Running layers: ['Bronze', 'Silver_1', 'Gold_1']

━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
Layer: Bronze
━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
⚙️ Starting transformation layer: Bronze
Running [Energy Efficiency]  (odibi_functions.bronze.ingest_sensor_data) [engine=spark]
  → Reading from adls://raw/sensors.csv
  → Writing to bronze.raw_sensors
Success: odibi_functions.bronze.ingest_sensor_data
✅ Layer Bronze completed in 12.3s

━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
Layer: Silver_1
━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
⚙️ Starting transformation layer: Silver_1
Running [Energy Efficiency]  (odibi_functions.silver.clean_sensor_data) [engine=spark]
  → Reading from bronze.raw_sensors
  → Cleaning: drop_nulls=True
  → Writing to silver.clean_sensors
Success: odibi_functions.silver.clean_sensor_data
✅ Layer Silver_1 completed in 8.7s

━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
Layer: Gold_1
━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━
⚙️ Starting transformation layer: Gold_1
Running [Energy Efficiency]  (odibi_functions.gold.aggregate_hourly) [engine=spark]
  → Reading from silver.clean_sensors
  → Aggregating with window=1H
  → Writing to gold.hourly_metrics
Success: odibi_functions.gold.aggregate_hourly
📦 Caching tables after Gold_1
✅ Cached table: qat_energy_efficiency.aggregated_metrics
✅ Layer Gold_1 completed in 15.2s

🏁 Transformation processing complete in 36.2s

Pipeline completed successfully!
Status: success
Layers executed: ['Bronze', 'Silver_1', 'Gold_1']
Duration: 36.2 seconds
"""
"""What the walkthrough shows for its three rows, word for word."""


@pytest.fixture
def seed_project(tmp_path, monkeypatch):
    """The seed's manifest and three rows, on fakes."""

    def ingest_sensor_data(constants, context):
        return context.read(constants["source"])

    def clean_sensor_data(inputs, constants, context):
        readings = context.read(inputs[0])
        context.logger.log("info", "  → Cleaning: drop_nulls=%s", constants["drop_nulls"])
        return readings

    def aggregate_hourly(inputs, constants, context):
        readings = context.read(inputs[0])
        print(f"  → Aggregating with window={constants['window']}")
        return readings

    rows = []
    for name, layer, fn, inputs, constants, table in (
        (
            "BRONZE_001",
            "Bronze",
            ingest_sensor_data,
            [],
            {"source": "adls://raw/sensors.csv"},
            "bronze.raw_sensors",
        ),
        (
            "SILVER_001",
            "Silver_1",
            clean_sensor_data,
            ["bronze.raw_sensors"],
            {"drop_nulls": True},
            "silver.clean_sensors",
        ),
        (
            "GOLD_001",
            "Gold_1",
            aggregate_hourly,
            ["silver.clean_sensors"],
            {"window": "1H"},
            "gold.hourly_metrics",
        ),
    ):
        module = f"odibi_functions.{layer.split('_')[0].lower()}"
        REGISTRY.register(fn.__name__, "any", fn, module=module)
        columns = {
            "layer": layer,
            "inputs": inputs,
            "constants": constants,
            "outputs": [{"table": table}],
        }
        names = {"project": "Energy Efficiency", "module": module, "function": fn.__name__}
        rows.append(row(name, **columns, **names))
    monkeypatch.chdir(tmp_path)
    project = FakeProject(
        tmp_path / "projects" / "energy_efficiency",
        rows,
        {
            "project": "Energy Efficiency",
            "cache_plan": {"Gold_1": ["qat_energy_efficiency.aggregated_metrics"]},
        },
    )
    project.tables.tables["qat_energy_efficiency.aggregated_metrics"] = []
    return project


def without_times(text):
    return re.sub(r"\d+\.\d(?=s| seconds)", "T", text)


def test_the_console_says_what_the_walkthrough_shows(seed_project, capsys):
    """At log_level INFO the seed's three rows print the seed's lines, word for word but for the times."""
    project = seed_project.orchestrator(
        project="Energy Efficiency", manifest_path=None, engine=None, log_level="INFO"
    )
    result = project.run()
    assert without_times(capsys.readouterr().out) == without_times(SEED_OUTPUT)
    assert result["layers_executed"] == ["Bronze", "Silver_1", "Gold_1"]


def test_the_default_log_level_prints_nothing_of_a_success(seed_project, capsys):
    """At WARNING, the default, a run that succeeds is silent."""
    project = seed_project.orchestrator(
        project="Energy Efficiency", engine=None, log_level="WARNING"
    )
    assert project.run()["status"] == "success"
    assert capsys.readouterr().out == ""


def test_exercise_3_prints_the_seeds_lines(seed_project, capsys):
    """The seed's custom hooks print their lines for each transformation."""
    hooks = HookManager()
    hooks.register("transform_start", lambda data: print(f"🚀 Starting: {data['function']}"))
    hooks.register(
        "transform_success",
        lambda data: print(f"✅ Completed: {data['function']} in {data['duration_seconds']:.1f}s"),
    )
    seed_project.orchestrator(project="Energy Efficiency", hooks=hooks).run(
        target_layers=["Bronze", "Silver_1"]
    )
    assert without_times(capsys.readouterr().out) == (
        "🚀 Starting: ingest_sensor_data\n✅ Completed: ingest_sensor_data in Ts\n"
        "🚀 Starting: clean_sensor_data\n✅ Completed: clean_sensor_data in Ts\n"
    )


def test_target_layers_runs_only_these(seed_project):
    """target_layers=["Silver_1"] runs that layer alone."""
    seed_project.tables.tables["bronze.raw_sensors"] = [1]
    result = seed_project.orchestrator(project="Energy Efficiency").run(target_layers=["Silver_1"])
    assert statuses(result) == {"SILVER_001": "SUCCESS"}
    assert result["layers_executed"] == ["Silver_1"]


def test_the_seeds_layer_methods(seed_project):
    """run_bronze_layer runs Bronze, run_silver_gold_layers the rest; bootstrap may come first."""
    project = seed_project.orchestrator(project="Energy Efficiency")
    project.bootstrap()
    assert project.run_bronze_layer()["layers_executed"] == ["Bronze"]
    assert project.run_silver_gold_layers()["layers_executed"] == ["Silver_1", "Gold_1"]
    assert project.run_silver_gold_layers(target_layers=["Gold_1"])["layers_executed"] == ["Gold_1"]


def test_every_payload_has_the_common_keys(seed_project):
    """Each event says event, run_id, project, env, layer, engine, timestamp; transform events also the seed's."""
    hooks, payloads = HookManager(), []
    hooks.register("*", payloads.append)
    seed_project.orchestrator(project="Energy Efficiency", hooks=hooks).run()
    common = {"event", "run_id", "project", "env", "layer", "engine", "timestamp"}
    assert all(common <= set(p) for p in payloads)
    seen = {p["event"] for p in payloads}
    assert {
        "run_start",
        "configs_loaded",
        "bronze_start",
        "bronze_end",
        "layer_start",
        "layer_end",
        "run_end",
    } <= seen
    assert "log_flushed" in seen
    ended = [p for p in payloads if p["event"] == "transform_success"]
    keys = {
        "transformation_id",
        "module",
        "function",
        "duration_seconds",
        "plant",
        "asset",
        "attempt",
        "rows_in",
    }
    assert all(keys <= set(p) for p in ended)


class SqliteProvider:
    """A seed-style provider: runs the query it is given, on SQLite, and hands over rows."""

    def __init__(self, path):
        self.path = path
        self.queries = []

    def read(self, data_type, container, path_prefix, object_name, spark):
        assert data_type.value == "sql"
        assert (container, path_prefix) == ("", "")
        self.queries.append(object_name)
        connection = sqlite3.connect(self.path)
        connection.row_factory = sqlite3.Row
        try:
            return [dict(r) for r in connection.execute(object_name)]
        finally:
            connection.close()


def test_a_users_own_provider_works_unchanged(tmp_path, monkeypatch):
    """auth_provider gets env, repo_path, logger_metadata; its sql_provider reads the rows and reaches the context."""
    home = make_project(
        tmp_path,
        project="O'Brien & Co",
        functions=(
            "def load(constants, context, spark):\n"
            "    assert context.sql_provider.queries\n"
            "    assert spark == 'the session'\n"
            "def double():\n    pass\n"
        ),
    )
    provider, calls = SqliteProvider(home / "registry.db"), []

    def auth_provider(env, repo_path, logger_metadata):
        calls.append((env, repo_path, logger_metadata))
        return {"spark": "the session", "sql_provider": provider}

    result = run_project(
        "O'Brien & Co",
        manifest_path=home / "manifest.json",
        auth_provider=auth_provider,
        repo_path="/repo",
    )
    assert statuses(result) == {"B1": "SUCCESS", "S1": "SUCCESS"}
    assert calls == [("qat", "/repo", {"project": "O'Brien & Co", "stage": "Bootstrap"})]


def test_the_manifest_can_name_the_provider(tmp_path):
    """environments.<env>.auth_provider is module:function beside the manifest."""
    environment = {"engine": "pandas", "auth_provider": "plant_functions:auth"}
    home = make_project(
        tmp_path,
        environments={"qat": environment},
        functions=(
            "from test_orchestrator import SqliteProvider\nfrom pathlib import Path\n"
            "def auth(env, repo_path, logger_metadata):\n"
            "    return {'sql_provider': SqliteProvider(Path(__file__).parent / 'registry.db')}\n"
            "def load():\n    pass\ndef double():\n    pass\n"
        ),
    )
    sys.modules.setdefault("test_orchestrator", sys.modules[__name__])
    assert run_project("Plant One", manifest_path=home / "manifest.json")["status"] == "success"


def test_the_seeds_runner_runs_a_layer(tmp_path):
    """TransformationRunnerFromConfig runs its layer, one at a time or at the same time."""
    home = make_project(tmp_path)
    keywords = {"project": "Plant One", "env": "qat", "manifest_path": home / "manifest.json"}
    provider = SqliteProvider(home / "registry.db")
    bronze = TransformationRunnerFromConfig(provider, layer="Bronze", **keywords)
    assert statuses(bronze.run_all()) == {"B1": "SUCCESS"}
    silver = TransformationRunnerFromConfig(layer="Silver_1", max_workers=4, **keywords)
    assert statuses(silver.run_parallel()) == {"S1": "SUCCESS"}
    assert len(provider.queries) == 1


def test_what_bootstrap_leaves(tmp_path):
    """After bootstrap the orchestrator has the seed's spark, sql_provider and logger."""
    home = make_project(tmp_path)
    provider, spark = SqliteProvider(home / "registry.db"), object()
    given = {"manifest_path": home / "manifest.json"}
    plain = GenericProjectOrchestrator("Plant One", **given)
    assert (plain.spark, plain.sql_provider) == (None, None)
    plain.bootstrap()
    assert (plain.spark, plain.sql_provider) == (None, None)
    project = GenericProjectOrchestrator(
        "Plant One", auth_provider=lambda **_: {"spark": spark, "sql_provider": provider}, **given
    )
    project.bootstrap()
    assert (project.spark, project.sql_provider) == (spark, provider)
    project.logger.log("info", "said")
    project.logger.warning("%s", "said")


def test_exercise_1_row_runs(tmp_path):
    """The seed's positional INSERT of twelve values works on a new registry, and its row runs."""
    home = make_project(
        tmp_path,
        rows=[],
        project="My Project",
        functions="def my_function(inputs, constants):\n    print(constants['param1'])\n",
    )
    with sqlite3.connect(home / "registry.db") as connection:
        connection.execute("""
            INSERT INTO TransformationRegistry VALUES (
                'TEST_001',
                'My Project',
                'qat',
                'Silver_1',
                NULL,  -- plant
                NULL,  -- asset
                'plant_functions',
                'my_function',
                '["input_table"]',
                '{"param1": "value1"}',
                '[{"table": "output_table", "mode": "overwrite"}]',
                1
            );
        """)
    connection.close()
    result = run_project(
        project="My Project",
        env="qat",
        target_layers=["Silver_1"],
        manifest_path=home / "manifest.json",
    )
    assert result.transformations["TEST_001"].log == "value1"


def test_a_second_run_of_the_same_environment_is_refused(project):
    """While a run goes on, another of the same project and environment is refused and says which."""
    p = project(row("A", lambda: None))
    hooks, errors = HookManager(), []

    def again(payload):
        with pytest.raises(RunLockedError) as caught:
            p.run()
        errors.append(str(caught.value))

    hooks.register("run_start", again)
    result = p.run(hooks=hooks)
    assert f"run {result.run_id} (process" in errors[0]
    assert f"odibi cancel {result.run_id}" in errors[0]
    assert p.run()["status"] == "success"


def test_save_logs_writes_what_was_captured(project):
    """save_logs=True leaves a file with each transformation's log and traceback."""

    def bad():
        print("about to fail")
        raise KeyError("x")

    result = project(row("A", bad)).run(save_logs=True)
    text = Path(result.log_path).read_text(encoding="utf-8")
    assert "== A FAILED" in text
    assert "about to fail" in text
    assert "KeyError: 'x'" in text


def everything(folder):
    return {
        p: p.stat().st_mtime_ns
        for p in folder.rglob("*")
        if "__pycache__" not in p.parts and p.is_file()
    }


def one_message(home, **keywords):
    """Run the project, which must fail with one OdibiError and change nothing; the message."""
    before = everything(home)
    with pytest.raises(OdibiError) as caught:
        run_project("Plant One", manifest_path=home / "manifest.json", **keywords)
    assert everything(home) == before
    return caught.value


def test_a_locked_registry_is_one_message(tmp_path):
    """A locked SQLite file ends in one RegistryError after the URL's timeout, and nothing has changed."""
    environment = {"engine": "pandas", "registry": "sqlite:///registry.db?timeout=0.1"}
    home = make_project(tmp_path, environments={"qat": environment})
    holder = sqlite3.connect(home / "registry.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        error = one_message(home)
    finally:
        holder.close()
    assert isinstance(error, RegistryError)
    assert "locked by another process (waited 0.1 s)" in str(error)


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([registry_row("X", "Bronze", "lode")], "has no function 'lode' (did you mean 'load'?)"),
        (
            [{**registry_row("X", "Bronze", "load"), "module": "plant_funktions"}],
            "no module 'plant_funktions'",
        ),
        ([], "no rows for project 'Plant One'"),
    ],
)
def test_wrong_rows_are_one_message(tmp_path, rows, words):
    """Unknown modules and functions, and an empty table, each end in one PlanError that helps."""
    error = one_message(make_project(tmp_path, rows=rows))
    assert isinstance(error, PlanError)
    assert words in str(error)


def test_malformed_json_and_a_missing_column_are_one_message(tmp_path):
    """Malformed JSON names row and column; a missing column is named, with what may have been meant."""
    home = make_project(tmp_path)
    with sqlite3.connect(home / "registry.db") as connection:
        connection.execute(
            "UPDATE TransformationRegistry SET constants = '{rows: 3}' WHERE transformation_id = 'B1'"
        )
    connection.close()
    assert "row 'B1', constants" in str(one_message(home))
    with sqlite3.connect(home / "registry.db") as connection:
        connection.execute("ALTER TABLE TransformationRegistry RENAME COLUMN module TO modul")
    connection.close()
    assert "module" in str(one_message(home))


def test_an_unreadable_lake_is_one_message(tmp_path):
    """A file in the way of the lake ends in one message."""
    home = make_project(tmp_path)
    (home / "lake").write_text("not a folder")
    error = one_message(home)
    assert "lake" in str(error)


def test_unknown_names_are_one_message(tmp_path, monkeypatch):
    """An unknown project, env, layer, engine, log level or option each is one message with a hint."""
    home = make_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="did you mean 'Plant One'"):
        run_project("Plant Won")
    assert "did you mean 'qat'" in str(one_message(home, env="qta"))
    assert "did you mean 'Silver_1'" in str(one_message(home, target_layers=["Silver-1"]))
    assert "did you mean 'pandas'" in str(one_message(home, engine="panda"))
    assert "did you mean 'WARNING'" in str(one_message(home, log_level="WARN"))
    assert "did you mean 'max_workers'" in str(one_message(home, max_worker=3))
    assert "is protected" in str(one_message(home, env="prod"))


def test_the_log_can_be_asked_by_sql(tmp_path):
    """The seed's Exercise 2 query returns the same rows through DuckDB and through pandas."""
    import duckdb

    home = make_project(tmp_path)
    run_project("Plant One", manifest_path=home / "manifest.json")
    log = read_table(
        "Plant One", "config_driven.TransformationRunLog", manifest_path=home / "manifest.json"
    )
    columns = ["transformation_id", "function", "status", "duration_seconds", "error_message"]
    asked = duckdb.sql(f"""
        SELECT {", ".join(columns)} FROM log
        WHERE project = 'Plant One' ORDER BY start_time DESC LIMIT 10
    """).fetchall()
    expected = log.sort_values("start_time", ascending=False)[columns]
    assert [r[0] for r in asked] == list(expected["transformation_id"]) == ["S1", "B1"]
    assert {r[2] for r in asked} == {"SUCCESS"}


def test_a_run_in_a_thread_can_be_cancelled_from_another(project):
    """A run started on another thread needs no signal handler; a cancel request ends it."""
    from odibi_nb.core.runlog.journal import live_runs, request_cancel

    gate, results = threading.Event(), []
    p = project(row("A", lambda: gate.wait(10)), row("B", lambda: None))
    hooks, begun = HookManager(), threading.Event()
    hooks.register("transform_start", lambda payload: begun.set())
    hooks.register("transform_cancelled", lambda payload: gate.set())
    thread = threading.Thread(target=lambda: results.append(p.run(hooks=hooks, max_workers=1)))
    thread.start()
    begun.wait(10)
    request_cancel(live_runs(p.state_dir)[0])
    thread.join(20)
    assert statuses(results[0]) == {"A": "SUCCESS", "B": "CANCELLED"}


def test_a_run_publishes_which_modules_were_loaded_anew(tmp_path):
    """After run_start, a run publishes the modules that were edited since the last one; else nothing."""
    module = tmp_path / "edited_functions.py"
    module.write_text("def A():\n    pass\n")
    hooks, heard = HookManager(), []
    hooks.register("*", lambda p: heard.append((p["event"], p.get("modules"))))
    p = FakeProject(tmp_path, [row("A", module="edited_functions")])
    for force in (False, True):
        p.run(hooks=hooks)
        assert "modules_reloaded" not in {event for event, _ in heard}
        heard.clear()
        module.write_text(f"{module.read_text()}\n# edited")
        p.run(hooks=hooks, force=force)
        assert heard[:2] == [("run_start", None), ("modules_reloaded", ["edited_functions"])]
        heard.clear()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_such_module:auth", "no module 'no_such_module'"),
        ("plant_functions:auht", "expected 'module:function', found 'plant_functions:auht'"),
        ("plant_functions", "expected 'module:function', found 'plant_functions'"),
    ],
)
def test_a_provider_that_the_manifest_names_wrongly_is_one_message(tmp_path, name, words):
    """The message has the place in the manifest, and the name that was found there."""
    environment = {"engine": "pandas", "auth_provider": name}
    error = one_message(make_project(tmp_path, environments={"qat": environment}))
    assert "$.environments.qat.auth_provider" in str(error)
    assert words in str(error)


def refuses(**_):
    raise PermissionError("no access with token=hunter2")


def exits(**_):
    sys.exit("log in first")


@pytest.mark.parametrize(
    ("provider", "words"),
    [
        (refuses, "raised PermissionError: no access with token=***"),
        (exits, "raised SystemExit: log in first"),
        (lambda **_: ["spark"], "expected a dict with 'spark' and 'sql_provider', found ['spark']"),
    ],
)
def test_a_provider_that_fails_is_one_message(tmp_path, provider, words):
    """A provider that raises, exits or returns something else ends the run before it begins."""
    error = one_message(make_project(tmp_path), auth_provider=provider)
    assert isinstance(error, ConfigurationError)
    assert words in str(error)


def test_the_seeds_layer_methods_without_their_layers(project):
    """Each of the two methods refuses a manifest without a layer for it."""
    p = project(row("A", lambda: None), manifest={"layer_order": ["Silver_1"]})
    with pytest.raises(PlanError, match="layer_order has no layer 'Bronze'"):
        p.orchestrator().run_bronze_layer()
    p = project(row("A", lambda: None, layer="Bronze"), manifest={"layer_order": ["Bronze"]})
    with pytest.raises(PlanError, match="the manifest has no layer except Bronze"):
        p.orchestrator().run_silver_gold_layers()


def test_the_cache_plan_has_the_tables_of_both_spellings(project):
    """`cache_plan` and the `cache_tables` of layers are one plan."""
    manifest = {
        "cache_plan": {"Bronze": ["b.one"]},
        "layers": {"Bronze": {"cache_tables": ["b.two"]}, "Gold_1": {"cache_tables": ["g.one"]}},
    }
    p = project(row("A", lambda: None), manifest=manifest)
    assert p.orchestrator().cache_plan == {"Bronze": ("b.one", "b.two"), "Gold_1": ("g.one",)}


def test_a_run_log_that_cannot_be_read_stops_no_run(project):
    """Then the number of a run is the next one of the runs on this machine."""

    class WriteOnly(MemorySink):
        def runs(self, limit):
            raise OSError("the log cannot be read")

    p = project(row("A", lambda: None))
    p.sink = WriteOnly()
    assert [p.run()["status"] for _ in range(2)] == ["success", "success"]
    assert [record["run_number"] for record in p.sink.run_records] == [1, 2]


def test_a_sink_that_was_passed_as_an_object_is_not_asked_for_usual_times(project):
    """Such a sink serves only the run, so no time is usual."""
    p = project(row("A", lambda: None))
    asked = []

    class Asked(MemorySink):
        def runs(self, limit):
            asked.append(limit)
            return super().runs(limit)

    p.sink = Asked()
    assert p.orchestrator().usual() == {}
    assert asked
    asked.clear()
    assert p.orchestrator(log_sink=p.sink).usual() == {}
    assert not asked


def test_a_forced_retry_with_nothing_to_retry_leaves_the_lock(project):
    """force=True takes the lock of another run only if this run has rows."""
    p = project(row("A", lambda: None))
    hooks, results = HookManager(), []
    hooks.register("run_start", lambda _: results.append(p.orchestrator().retry(last, force=True)))
    last = p.run().run_id
    assert p.run(hooks=hooks)["status"] == "success"
    assert results[0].run_id == ""
    assert results[0].warnings[-1].startswith("nothing to retry")


def test_logs_that_cannot_be_saved_are_a_warning(project):
    """If a folder is in the way of the file, the run succeeds and names the reason."""
    p, hooks = project(row("A", lambda: None)), HookManager()
    logs = p.state_dir / "logs"
    hooks.register("run_start", lambda facts: (logs / f"{facts['run_id']}.log").mkdir(parents=True))
    result = p.run(hooks=hooks, save_logs=True)
    assert result["status"] == "success"
    assert result.log_path is None
    assert any(text.startswith("logs were not saved: ") for text in result.warnings)


def test_an_atomic_run_needs_versions(project):
    """An engine that keeps no earlier versions cannot restore tables, so nothing runs."""
    called = []
    p = project(row("A", lambda: called.append("A")))
    with pytest.raises(ConfigurationError, match="keeps no earlier versions of tables"):
        p.run(atomic=True)
    assert not called


def test_an_attempt_has_the_code_of_a_row_only_if_its_configuration_is_the_same(tmp_path):
    """A row whose constants have changed since does something else, even with the same function."""
    home = make_project(tmp_path)
    (record, _) = run_project("Plant One", manifest_path=home / "manifest.json").records
    project = GenericProjectOrchestrator("Plant One", manifest_path=home / "manifest.json")
    planned = project.plan().rows["B1"]
    assert project.has_code_of(planned, record)
    assert not project.has_code_of(planned, {**record, "config_hash": "of other constants"})
    assert not project.has_code_of(planned, {**record, "code_hash": None})
