"""`odibi export` writes files with which Databricks, Airflow and GitHub Actions run a project."""

from __future__ import annotations

import json
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import ClassVar

import pytest
import yaml
from export.odd_projects import IDS
from plans import plan_of, planned

from odibi_nb import job
from odibi_nb.cli import main
from odibi_nb.commands import parse
from odibi_nb.core.model.manifest import ProjectManifest
from odibi_nb.errors import ConfigurationError, ManifestError, RunFailedError
from odibi_nb.export.airflow import airflow_files
from odibi_nb.export.databricks import databricks_files
from odibi_nb.export.exported_files import ExportedFile, FileState
from odibi_nb.export.github_actions import github_files
from odibi_nb.export.request import ExportRequest
from odibi_nb.export.schedules import checked_cron, quartz
from odibi_nb.export.tasks import CONFIRM, JOB_RUN, tasks_of
from odibi_nb.export.yaml_text import Commented, yaml_text
from odibi_nb.sinks.table import log_in_lake

HOME = Path("projects/plant")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def plant(tmp_path, capsys):
    """A new project, in a repository."""
    (tmp_path / ".git").mkdir()
    assert main(["init", "Plant"]) == 0
    capsys.readouterr()
    return tmp_path / HOME


def exported(*words: str) -> None:
    assert main(["export", *words]) == 0


def edit_environments(home: Path, qat=(), **others) -> None:
    """Change keys of the environment qat, and add *others*."""
    path = home / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["environments"]["qat"].update(qat)
    manifest["environments"].update(others)
    path.write_text(json.dumps(manifest))


class FakeOperator:
    """The part of Airflow's operator that the DAG uses."""

    def __init__(self, *, task_id, cwd, bash_command):
        self.task_id, self.cwd, self.command = task_id, cwd, bash_command
        self.upstream = []
        FakeDag.made[-1].tasks.append(self)

    def __rrshift__(self, before):
        self.upstream += [task.task_id for task in before]


class FakeDag:
    """The part of Airflow's DAG that the file uses."""

    made: ClassVar = []

    def __init__(self, **facts):
        self.facts, self.tasks = facts, []

    def __enter__(self):
        FakeDag.made.append(self)
        return self

    def __exit__(self, *_):
        pass


def dag_of(path: Path, monkeypatch) -> FakeDag:
    """Import a DAG's file with stand-ins for Airflow 2."""
    airflow, operators = ModuleType("airflow"), ModuleType("airflow.operators.bash")
    airflow.DAG, operators.BashOperator = FakeDag, FakeOperator
    for module in (airflow, ModuleType("airflow.operators"), operators):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    code = compile(path.read_text("utf-8"), str(path), "exec")
    exec(code, {"__name__": "dag", "__file__": str(path)})
    return FakeDag.made[-1]


# ------------------------------------------------------------------ Databricks


def test_a_bundle_has_one_paused_job_and_a_target_for_each_environment(plant):
    """By default one task runs the project; each environment is a target, protected ones in production."""
    prod = {"protected": True, "lake": "catalog:main", "registry": "config.Registry"}
    edit_environments(plant, prod=prod)
    exported("databricks", "Plant", "--schedule", "30 5 * * 1-5")
    bundle = yaml.safe_load((plant / "databricks.yml").read_text())
    made = bundle["resources"]["jobs"]["plant"]
    assert made["schedule"] == {
        "quartz_cron_expression": "0 30 5 ? * MON-FRI",
        "timezone_id": "UTC",
        "pause_status": "PAUSED",
    }
    assert made["max_concurrent_runs"] == 1
    (task,) = made["tasks"]
    assert task["python_wheel_task"]["entry_point"] == "odibi-job"
    assert (task["max_retries"], task["disable_auto_optimization"]) == (0, True)
    assert bundle["targets"] == {
        "qat": {"mode": "development", "default": True, "variables": {"env": "qat"}},
        "prod": {
            "mode": "production",
            "workspace": {
                "root_path": "/Workspace/Users/${workspace.current_user.userName}/.bundle/${bundle.name}/${bundle.target}"
            },
            "variables": {"env": "prod", "confirmed_env": "prod"},
        },
    }


def test_the_tasks_of_a_bundle_do_the_projects_work(plant, capsys):
    """The parameters of each layer's task, with the bundle's variables filled in, run that layer."""
    exported("databricks", "--split", "layer")
    made = yaml.safe_load((plant / "databricks.yml").read_text())["resources"]["jobs"]["plant"]
    assert [(t["task_key"], t.get("depends_on")) for t in made["tasks"]] == [
        ("Bronze", None),
        ("Silver_1", [{"task_key": "Bronze"}]),
        ("Gold_1", [{"task_key": "Silver_1"}]),
    ]
    filled = {"${workspace.file_path}": str(plant), "${var.env}": "qat", "${var.confirmed_env}": ""}
    for task in made["tasks"]:
        words = task["python_wheel_task"]["parameters"]
        for name, value in filled.items():
            words = [word.replace(name, value) for word in words]
        job.main(words)
    assert capsys.readouterr().out.count('"counts": {"SUCCESS": 1}') == 3


def test_places_that_a_job_would_lose_are_named(plant, capsys):
    """A folder as lake and a SQLite registry are noted, each with the environment and the remedy."""
    exported("databricks")
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note:")]
    assert len(notes) == 1 + ("sqlite" in (plant / "manifest.json").read_text())
    assert "env 'qat'" in notes[0]
    assert "catalog:main" in notes[0]


# ------------------------------------------------------------------ Airflow and GitHub Actions


def test_a_dag_runs_each_row_after_its_upstream_rows(plant, monkeypatch):
    """With --split row the DAG has one task for each row, and the commands of all tasks together run the project."""
    exported("airflow", "--split", "row", "--schedule", "0 6 * * *")
    dag = dag_of(plant / "dags" / "odibi_plant.py", monkeypatch)
    assert dag.facts["schedule"] == "0 6 * * *"
    assert dag.facts["is_paused_upon_creation"] is True
    assert [(task.task_id, task.upstream) for task in dag.tasks] == [
        ("BRONZE_001", []),
        ("SILVER_001", ["BRONZE_001"]),
        ("GOLD_001", ["SILVER_001"]),
    ]
    for task in dag.tasks:
        monkeypatch.chdir(task.cwd)
        assert task.command.endswith(" ")  # else Airflow takes a name that ends in .sh for a file
        state, python, dash, module, *words = shlex.split(task.command.replace("$(mktemp -d)", "s"))
        assert (state, python, dash, module) == ("ODIBI_STATE_DIR=s", "python", "-m", "odibi_nb")
        assert main(words) == 0


def test_a_workflow_has_the_manifests_variables_as_secrets(plant, monkeypatch):
    """The workflow runs where the manifest is, and takes each ${NAME} from the repository's secrets."""
    monkeypatch.setenv("PLANT_LAKE", "lake")
    edit_environments(plant, {"lake": "${PLANT_LAKE}"})
    exported("github-actions")
    workflow = yaml.safe_load(Path(".github/workflows/odibi_plant.yml").read_text())
    assert workflow["on"] == {"workflow_dispatch": {}}
    made = workflow["jobs"]["run"]
    assert made["env"] == {"PLANT_LAKE": "${{ secrets.PLANT_LAKE }}"}
    step = made["steps"][-1]
    assert step["working-directory"] == "projects/plant"
    monkeypatch.chdir(plant)
    assert main(shlex.split(step["run"])[3:]) == 0


@pytest.mark.parametrize("format", ["databricks", "airflow", "github-actions"])
def test_an_export_is_the_same_each_time(plant, format, tmp_path):
    """Two exports of the same project are equal, byte for byte, and --check passes."""
    for name in ("a", "b"):
        exported(format, "--split", "layer", "--out", name)
    (first,), (second,) = ([*Path(name).iterdir()] for name in ("a", "b"))
    texts = [path.read_text().replace(str(tmp_path), "") for path in (first, second)]
    assert texts[0] == texts[1]
    assert main(["export", format, "--split", "layer", "--out", "a", "--check"]) == 0


# ------------------------------------------------------------------ files that people changed


def test_a_file_that_was_changed_by_hand_is_kept(plant, capsys):
    """An edited file is refused, --check shows its difference, and --force replaces it."""
    exported("databricks")
    path = plant / "databricks.yml"
    made = path.read_text()
    path.write_text(made.replace("CAN_VIEW", "CAN_MANAGE"))
    assert main(["export", "databricks"]) == 2
    assert "edited by hand" in capsys.readouterr().err
    assert "CAN_MANAGE" in path.read_text()
    assert main(["export", "databricks", "--check"]) == 1
    assert "-        - level: CAN_MANAGE" in capsys.readouterr().out
    exported("databricks", "--force")
    assert path.read_text() == made


def test_an_outdated_file_is_replaced(plant):
    """An unedited file of an earlier export is replaced."""
    exported("databricks")
    exported("databricks", "--split", "layer")
    assert "depends_on" in (plant / "databricks.yml").read_text()


def test_a_file_of_somebody_else_is_kept(tmp_path):
    """A file without the first line of an export is foreign. CRLF alone does not count as an edit."""
    file = ExportedFile(tmp_path / "x.yml", "odibi export databricks X", "a: 1\n")
    assert file.state() is FileState.MISSING
    file.path.write_text("a: 1\n")
    assert file.state() is FileState.FOREIGN
    file.path.write_bytes(file.text.replace("\n", "\r\n").encode())
    assert file.state() is FileState.SAME


# ------------------------------------------------------------------ names and numbers


def test_a_name_that_the_scheduler_would_replace_is_refused():
    """The export refuses all ids with ${…} or {{…}}, which schedulers would replace."""
    plan = plan_of(planned("${var.x}"), planned("{{ ds }}"), planned("fine"))
    with pytest.raises(ConfigurationError) as caught:
        tasks_of(plan, "row", most=10, where="Databricks")
    assert "${var.x}" in str(caught.value)
    assert "{{ ds }}" in str(caught.value)


def commands_of(format: str, request: ExportRequest, monkeypatch) -> dict[str, list[str]]:
    """Return the words after ``odibi run`` of each exported task, by its key."""
    if format == "airflow":
        (file,) = airflow_files(request)
        file.path.parent.mkdir(exist_ok=True)
        file.path.write_text(file.text, "utf-8")
        tasks = {task.task_id: task.command for task in dag_of(file.path, monkeypatch).tasks}
        return {key: shlex.split(command)[5:] for key, command in tasks.items()}
    (file,) = (databricks_files if format == "databricks" else github_files)(request)
    document = yaml.safe_load(file.text)
    if format == "github-actions":
        runs = {key: job["steps"][-1]["run"] for key, job in document["jobs"].items()}
        return {key: shlex.split(command)[4:] for key, command in runs.items()}
    (made,) = document["resources"]["jobs"].values()
    ours = (CONFIRM, JOB_RUN, "--env")
    return {
        task["task_key"]: [
            word
            for word in task["python_wheel_task"]["parameters"]
            if word.partition("=")[0] not in ours
        ]
        for task in made["tasks"]
    }


@pytest.mark.parametrize("format", ["databricks", "airflow", "github-actions"])
def test_each_task_runs_its_own_row_whatever_its_name(tmp_path, monkeypatch, format):
    """Of 225 rows with odd ids each one is the only row of a task, which other tasks do not lock out."""
    names = [f"{name}{number or ''}" for number in range(15) for name in IDS]
    manifest = ProjectManifest.from_dict(
        {"project": 'it\'s "P"', "environments": {"-qat": {}}}, path=tmp_path / "manifest.json"
    )
    request = ExportRequest(
        manifest=manifest,
        plan=plan_of(*(planned(name) for name in names)),
        env="-qat",
        command="odibi export",
        split="row",
        out=tmp_path / "out",
    )
    found = commands_of(format, request, monkeypatch)
    parsed = {key: parse(["run", *words]) for key, words in found.items()}
    assert [arguments.only for arguments in parsed.values()] == [[name] for name in names]
    assert all(arguments.part in (key, key[1:]) for key, arguments in parsed.items())
    assert format == "databricks" or {arguments.env for arguments in parsed.values()} == {"-qat"}
    first = "[A-Za-z_]" if format == "github-actions" else r"\w"
    assert all(re.fullmatch(rf"{first}[\w-]{{0,99}}", key, re.ASCII) for key in parsed)


def test_more_rows_than_the_scheduler_accepts_are_refused():
    """A job of Databricks has at most 1,000 tasks: the message has the number and a remedy."""
    plan = plan_of(*(planned(f"R{i}") for i in range(11)))
    with pytest.raises(ConfigurationError, match=r"11 tasks, but .* 10 .*--split layer"):
        tasks_of(plan, "row", most=10, where="Databricks")


def test_keys_of_tasks_are_distinct():
    """Ids that differ only in special characters, or in case, get keys of their own."""
    plan = plan_of(planned("a b"), planned("a/b"), planned("A_B"), planned("日本"))
    keys = [task.key for task in tasks_of(plan, "row", most=10, where="Airflow")]
    assert keys == ["a_b", "a_b_2", "A_B_3", "task"]


@pytest.mark.parametrize(
    ("cron", "expected"),
    [
        ("30 5 * * *", "0 30 5 * * ?"),
        ("0 */2 1,15 * *", "0 0 */2 1,15 * ?"),
        ("0 6 * * 0", "0 0 6 ? * SUN"),
        ("0 6 * * 1,3-5", "0 0 6 ? * MON,WED-FRI"),
        ("0 6 * JAN mon", "0 0 6 ? JAN mon"),
    ],
)
def test_cron_in_quartz_syntax(cron, expected):
    """A cron schedule becomes Quartz: with seconds, a question mark for the unlimited day, and Sunday as 1."""
    assert quartz(checked_cron(cron)) == expected


@pytest.mark.parametrize(
    "cron", ["", "daily", "* * * *", "0 0 6 * * *", "0 6 * * ${x}", "0 6 1 * 1"]
)
def test_a_wrong_schedule_is_refused(cron):
    """A schedule of another form is refused, and so is a schedule that Quartz cannot express."""
    with pytest.raises(ConfigurationError, match="--schedule"):
        quartz(checked_cron(cron))


def test_yaml_reads_back_as_it_was_written():
    """Words, numbers, empty values and any text come back from a YAML parser as they were."""
    odd = [
        "yes",
        "null",
        "1.0",
        "",
        "a: b",
        "# x",
        "\x7f\u2028\ud7ff",
        "日本 'q' \"d\"",
        "😀",
        "{x}",
    ]
    document = {"a": odd, "b": {"c": [{"d": 1, "e": [True, None]}], "f": {}, "g": []}, "on": 2}
    commented = {"a": Commented("why\nand how", odd), **{k: document[k] for k in ("b", "on")}}
    assert yaml.safe_load(yaml_text(document)) == document
    assert yaml.safe_load(yaml_text(commented)) == document
    assert yaml_text(commented).startswith("# why\n# and how\na:\n")


# ------------------------------------------------------------------ the job's face


def test_a_failed_job_raises(plant):
    """An exception fails a task of Databricks: the job's function raises it, with the failed rows."""
    silver = plant / "odibi_functions" / "silver.py"
    silver.write_text(silver.read_text().replace('constants["least"]', 'constants["gone"]'))
    with pytest.raises(RunFailedError, match="SILVER_001"):
        job.main(["--manifest", str(plant / "manifest.json"), "--retries", "0"])


def test_a_repaired_job_retries_what_failed(plant):
    """The exported task, repeated with the same id, runs the failed row and its dependants, and later all rows again."""
    exported("databricks", "Plant")
    made = yaml.safe_load((plant / "databricks.yml").read_text())["resources"]["jobs"]["plant"]
    (task,) = made["tasks"]
    filled = {"${workspace.file_path}": str(plant), "${var.env}": "qat", "${var.confirmed_env}": ""}

    def attempt(run_id):
        words = task["python_wheel_task"]["parameters"]
        for name, value in {**filled, "{{job.run_id}}": run_id}.items():
            words = [word.replace(name, value) for word in words]
        job.main(words)

    silver = plant / "odibi_functions" / "silver.py"
    whole = silver.read_text()
    silver.write_text(whole.replace('constants["least"]', 'constants["gone"]'))
    edit_environments(plant, {"shared": True})
    for _ in range(2):
        with pytest.raises(RunFailedError, match="SILVER_001"):
            attempt("550")
    silver.write_text(whole)
    attempt("550")
    attempt("550")
    attempt("551")
    runs = log_in_lake(str(plant / "lake")).runs(10)[::-1]
    ids = [run["run_id"] for run in runs]
    assert [run["retry_of"] for run in runs] == [None, ids[0], ids[1], None, None]
    assert [run["transformations"] for run in runs] == [3, 2, 2, 3, 3]


def test_a_protected_environment_runs_only_if_the_job_names_it(plant):
    """--confirm-env confirms exactly that environment."""
    edit_environments(plant, {"protected": True})
    words = ["--manifest", str(plant / "manifest.json"), "--env", "qat"]
    for given in ([], [f"{CONFIRM}="], [CONFIRM, "prod"]):
        with pytest.raises(ConfigurationError, match="protected"):
            job.main([*words, *given])
    job.main([*words, CONFIRM, "qat"])


def test_wrong_input_of_a_job_raises_before_anything_runs(plant):
    """An unknown environment gives one message."""
    with pytest.raises(ManifestError, match="nope"):
        job.main(["--manifest", str(plant / "manifest.json"), "--env", "nope"])


def test_a_job_on_databricks_sets_task_values_and_keeps_its_state_on_the_driver(
    plant, monkeypatch, tmp_path
):
    """Later tasks read run id, status and counts, and the project's folder gets no state."""
    values = {}
    runtime = ModuleType("databricks.sdk.runtime")
    runtime.dbutils = type("", (), {"jobs": type("", (), {"taskValues": type(
        "", (), {"set": staticmethod(lambda key, value: values.__setitem__(key, value))})})})  # fmt: skip
    monkeypatch.setitem(sys.modules, "databricks.sdk.runtime", runtime)
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "18.0")
    monkeypatch.setenv("ODIBI_STATE_DIR", "")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    job.main(["--manifest", str(plant / "manifest.json"), "--layers", "Bronze"])
    assert values["odibi_status"] == "success"
    assert values["odibi_counts"] == {"SUCCESS": 1}
    assert not (plant / ".odibi").exists()
    assert [*tmp_path.glob("odibi-state-*/**/journal.jsonl")]
