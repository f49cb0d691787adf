"""Exported files pass the checks of the schedulers' own tools.

The schema of bundles is checked everywhere, in the part that exports use. The tools are not installed with the
other tests: ``.ci/exports`` installs them, names their folder in ``ODIBI_TEST_SCHEDULERS`` and runs this file.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import jsonschema
import pytest
import yaml
from export.bundle_schema import PART, part_of, readable
from export.odd_projects import check_tasks, odd_requests, words_of
from thorough import THOROUGH

from odibi_nb.export.airflow import airflow_files
from odibi_nb.export.databricks import databricks_files
from odibi_nb.export.github_actions import github_files

FOLDER = os.environ.get("ODIBI_TEST_SCHEDULERS", "")
TOOLS = Path(FOLDER)
tools = pytest.mark.skipif(not FOLDER, reason="needs the schedulers' tools: .ci/exports runs it")


def written(folder, exporter):
    """Write the exports of all odd projects: pairs of request and path."""
    made = []
    for request in odd_requests(folder):
        (file,) = exporter(request)
        file.path.parent.mkdir(parents=True, exist_ok=True)
        file.path.write_text(file.text, "utf-8")
        made.append((request, file.path))
    assert len(made) > 30
    return made


def answer_of(*command, **options):
    """The output of a tool, which must succeed."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


# ------------------------------------------------------------------ Databricks


def problems(schema, bundle):
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(bundle)]


def test_bundles_follow_the_published_schema(tmp_path):
    """Every key and value is one that the schema of Databricks' bundles knows."""
    schema = json.loads(PART.read_text("utf-8"))
    made = written(tmp_path, databricks_files)[:: 1 if THOROUGH else 3]
    bundles = [yaml.safe_load(path.read_text("utf-8")) for _, path in made]
    assert [problems(schema, bundle) for bundle in bundles] == [[]] * len(bundles)
    (job,) = bundles[0]["resources"]["jobs"].values()
    job["tasks"][0]["max_retires"] = 1
    assert problems(schema, bundles[0])  # the schema does refuse a wrong key


@tools
def test_the_part_of_the_schema_is_the_one_that_is_published(tmp_path):
    """The file beside this test is what `databricks bundle schema` prints, without the keys that exports do not use."""
    published = readable(answer_of(TOOLS / "databricks", "bundle", "schema"))
    bundles = [
        yaml.safe_load(path.read_text("utf-8")) for _, path in written(tmp_path, databricks_files)
    ]
    assert part_of(published, bundles) == json.loads(PART.read_text("utf-8"))
    assert [problems(published, bundle) for bundle in bundles] == [[]] * len(bundles)


class Workspace(BaseHTTPRequestHandler):
    """Answers of a workspace to `bundle validate`: the user, the folders that it made, and no files."""

    def do_GET(self):
        url = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        asked = json.loads(self.rfile.read(length)) if length else dict(parse_qsl(url.query))
        name, folder = url.path.rpartition("/")[2], asked.get("path")
        self.server.asked.append(name)
        answer = {}
        if name == "Me":
            answer = {"id": "1", "userName": "owner@example.com", "displayName": "Owner"}
        elif name == "mkdirs":
            self.server.folders.add(folder)
        elif name == "get-status" and folder in self.server.folders:
            answer = {"object_type": "DIRECTORY", "path": folder, "object_id": 1}
        else:
            answer = {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "not here"}
        body = json.dumps(answer).encode()
        self.send_response(404 if "error_code" in answer else 200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_HEAD = do_GET

    def log_message(self, *values):
        pass


@pytest.fixture
def workspace():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Workspace)
    server.asked, server.folders = [], set()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@tools
def test_databricks_accepts_every_target_of_a_bundle(tmp_path, workspace):
    """`databricks bundle validate` says nothing about any target, and finds the job's tasks in their order."""
    environment = {
        **os.environ,
        "DATABRICKS_HOST": f"http://127.0.0.1:{workspace.server_port}",
        "DATABRICKS_TOKEN": "a-token",
        "HOME": str(tmp_path),
    }
    for request, path in written(tmp_path, databricks_files):
        bundle = yaml.safe_load(path.read_text("utf-8"))
        (made,) = bundle["resources"]["jobs"].values()
        (wheel,) = made["environments"][0]["spec"]["dependencies"]
        (path.parent / wheel).parent.mkdir()
        (path.parent / wheel).touch()
        for target in bundle["targets"]:
            command = [
                TOOLS / "databricks",
                "bundle",
                "validate",
                f"--target={target}",
                "--output=json",
            ]
            found = json.loads(answer_of(*command, cwd=path.parent, env=environment))
            (job,) = found["resources"]["jobs"].values()
            assert len(job["tasks"]) == len(made["tasks"])
            parameters = job["tasks"][0]["python_wheel_task"]["parameters"]
            assert f"--env={target}" in parameters
            assert request.manifest.environments[target].get("protected", False) == (
                f"--confirm-env={target}" in parameters
            )
    assert "Me" in workspace.asked


# ------------------------------------------------------------------ Airflow


@tools
@pytest.mark.parametrize("version", [2, 3])
def test_airflow_imports_every_dag(tmp_path, version):
    """Airflow finds one paused DAG in each file, without an error, whose tasks are those of the plan."""
    made = written(tmp_path, airflow_files)
    reader, writer = os.pipe()
    python = TOOLS / f"airflow-{version}" / "bin" / "python"
    command = f'exec "$0" "$@" 3>&{writer}'
    script = Path(__file__).with_name("load_dags.py")
    with open(reader, "rb") as answer:  # noqa: PTH123 - a pipe
        child = subprocess.Popen(
            ["bash", "-c", command, python, script, *(path for _, path in made)],
            pass_fds=[writer],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        os.close(writer)
        found = json.loads(answer.read() or "{}")
        _, said = child.communicate()
    assert child.returncode == 0, said.decode()[-2000:]
    for request, path in made:
        one = found[str(path)]
        assert one["errors"] == []
        (dag,) = one["dags"].values()
        assert dag["paused"]
        assert dag["schedule"] == (" ".join(request.schedule) or None)
        assert dag["tags"] == sorted(["odibi_nb", *request.manifest.tags])
        tasks = dag["tasks"]
        assert {(task["cwd"], task["retries"]) for task in tasks.values()} == {
            (str(request.manifest.folder), 0)
        }
        words = {key: (words_of(task["command"]), task["after"]) for key, task in tasks.items()}
        check_tasks(request, words)


# ------------------------------------------------------------------ GitHub Actions


@tools
def test_actionlint_accepts_every_workflow(tmp_path):
    """The tool actionlint finds nothing, and the needs of the jobs are those of the plan."""
    made = written(tmp_path, github_files)
    # SC2016 is a hint for ids such as $HOME, which the shell must not replace.
    answer_of(TOOLS / "actionlint", "-oneline", "-ignore", "SC2016", *(path for _, path in made))
    for request, path in made:
        jobs = yaml.safe_load(path.read_text("utf-8"))["jobs"]
        check_tasks(
            request,
            {
                key: (words_of(job["steps"][-1]["run"]), job.get("needs", []))
                for key, job in jobs.items()
            },
        )
