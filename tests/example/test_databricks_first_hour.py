"""The first steps of a user on Databricks work, or end in one message with a remedy."""

from __future__ import annotations

import shlex
import subprocess
import sys
import zipfile
from importlib.metadata import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from notebook_copies import ROOT
from real_project import make_project, registry_row

from odibi_nb import report, run_project, settings
from odibi_nb.core.process import state_folder
from odibi_nb.core.runlog.lock_owner import identity
from odibi_nb.core.text import redaction
from odibi_nb.errors import ConfigurationError
from odibi_nb.storage.database import Database


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A workspace with a notebook beside `projects`, opened with another working directory."""
    context = ModuleType("dbruntime.databricks_repl_context")
    context.get_context = lambda: SimpleNamespace(
        isInJob=False, notebookPath="/Repos/me/repository/notebook", user="me@plant.com", jobId=None
    )
    monkeypatch.setitem(sys.modules, "dbruntime", ModuleType("dbruntime"))
    monkeypatch.setitem(sys.modules, context.__name__, context)
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "18.0")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(settings, "WORKSPACE", tmp_path / "Workspace")
    monkeypatch.setattr(state_folder, "MOUNTS", (tmp_path / "Workspace",))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    identity.cache_clear()  # a process is of one user; here another test may have asked before
    yield tmp_path / "Workspace" / "Repos" / "me" / "repository"
    identity.cache_clear()


def wheel(folder: Path) -> None:
    """Write a wheel of odibi_nb that has its metadata and nothing else."""
    with zipfile.ZipFile(folder / "odibi_nb-9.9-py3-none-any.whl", "w") as file:
        text = str(metadata("odibi-nb")).replace(
            f"Version: {metadata('odibi-nb')['Version']}", "Version: 9.9"
        )
        file.writestr("odibi_nb-9.9.dist-info/METADATA", text)
        file.writestr("odibi_nb-9.9.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr("odibi_nb-9.9.dist-info/RECORD", "")


def test_the_notebooks_first_line_installs_the_wheel_beside_it(tmp_path):
    """The notebook's %pip install finds the wheel in its own folder, and its extras exist."""
    lines = (ROOT / "notebooks" / "databricks.py").read_text("utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith("# MAGIC %pip"))
    wheel(tmp_path)
    words = shlex.split(line.partition("%pip ")[2])
    command = [sys.executable, "-m", "pip", *words, "--no-index", "--no-deps", "--dry-run"]
    done = subprocess.run(
        [*command, "--ignore-installed"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Would install odibi-nb-9.9" in done.stdout
    assert "does not provide the extra" not in done.stderr


def test_a_project_is_found_from_the_notebooks_folder(workspace):
    """The folders around the notebook are searched in any working directory."""
    make_project(workspace)
    assert run_project("Plant One", log_level="CRITICAL")["status"] == "success"


def test_a_git_folder_gets_no_state(workspace, tmp_path):
    """Journals and locks of a project in the workspace are on the driver's disk by default."""
    home = make_project(workspace)
    result = run_project("Plant One", log_level="CRITICAL")
    assert not (home / ".odibi").exists()
    assert [*(tmp_path / "home").rglob(f"{result.run_id}/journal.jsonl")]
    assert result.to_frame()["user"].unique().tolist() == ["me@plant.com"]


def test_a_state_folder_that_cannot_be_used_names_the_setting(tmp_path, monkeypatch):
    """The message has the folder, the system's reason, and both ways to name another one."""
    make_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("ODIBI_STATE_DIR", str(tmp_path / "file" / "state"))
    with pytest.raises(ConfigurationError) as caught:
        run_project("Plant One", log_level="CRITICAL")
    assert "ODIBI_STATE_DIR" in str(caught.value)
    assert "odibi.toml" in str(caught.value)
    assert str(tmp_path / "file") in str(caught.value)


def test_sqlite_on_a_mount_names_what_works_there():
    """Instead of `disk I/O error`, the message proposes a file of rows, a table and a server."""
    reason = Database("sqlite:///x.db")._reason(RuntimeError("disk I/O error"))
    assert reason.startswith("disk I/O error: ")
    assert "a table of the lake" in reason


LEAKS = """
import json
import pathlib

def leaks(context):
    secret = pathlib.Path("secret.txt").read_text()
    print("as it is", secret)
    print("as a literal", repr(secret), "as JSON", json.dumps({"password": secret, "x": secret}))
    context.logger.error("logged %s", secret)
    raise ValueError(secret)
"""


def test_a_secret_of_the_workspace_is_in_nothing_that_is_kept(tmp_path, monkeypatch, capsys):
    """A row that prints, logs and raises a secret of the manifest leaves it in no file, report or message."""
    secret = "s3cr\"t-\\of'the plant"
    runtime = ModuleType("databricks.sdk.runtime")
    secrets = SimpleNamespace(get=lambda scope, key: secret)
    runtime.dbutils = SimpleNamespace(secrets=secrets)
    monkeypatch.setitem(sys.modules, "databricks.sdk.runtime", runtime)
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "18.0")
    monkeypatch.setattr(redaction, "_hidden", ())
    home = make_project(
        tmp_path,
        rows=[registry_row("LEAKS", "Bronze", "leaks", constants={"retry": 0})],
        functions=LEAKS,
        environments={
            "qat": {
                "engine": "pandas",
                "registry": "sqlite:///registry.db",
                "connections": {"erp": "sqlite:///${secret:plant/erp}.db"},
            }
        },
    )
    monkeypatch.chdir(home)
    (home / "secret.txt").write_text(secret)
    result = run_project("Plant One", log_level="INFO")
    report("Plant One", out="report.html")
    assert result["status"] == "failed"
    written = [path for path in home.rglob("*") if path.is_file() and path.name != "secret.txt"]
    texts = [path.read_bytes().decode("utf-8", "replace") for path in written]
    assert any("as it is" in text for text in texts)
    output = capsys.readouterr()
    for text in (*texts, output.out, output.err, str(result), str(result._repr_mimebundle_())):
        assert 'cr"t' not in text
        assert "of'the plant" not in text
        assert "of&#x27;the plant" not in text
