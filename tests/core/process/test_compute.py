"""The compute of this process: a machine outside Databricks, or one of Databricks' kinds."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from odibi_nb.core.process import compute
from odibi_nb.core.process.compute import Kind, find_compute, has_databricks_session, is_databricks


@pytest.fixture(autouse=True)
def version_file(monkeypatch, tmp_path):
    """The file that names the runtime's version where no variable does; missing at first."""
    path = tmp_path / "DBR_VERSION"
    monkeypatch.setattr(compute, "VERSION_FILE", path)
    return path


def context(monkeypatch, **facts):
    """Put Databricks' own module in place, whose context has *facts*; None without facts."""
    module = ModuleType("dbruntime.databricks_repl_context")
    module.get_context = lambda: SimpleNamespace(**facts) if facts else None
    monkeypatch.setitem(sys.modules, "dbruntime", ModuleType("dbruntime"))
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_elsewhere_it_is_a_machine_of_its_own():
    """Without a variable, a file and Databricks Connect, nothing is Databricks'."""
    found = find_compute({})
    assert (found.kind, str(found)) == (Kind.OWN, "not Databricks")
    assert not is_databricks({})


@pytest.mark.parametrize(
    ("version", "kind"), [("17.3", Kind.CLASSIC), ("client.5.2", Kind.SERVERLESS)]
)
def test_the_variable_names_the_kind(version, kind):
    """A version that begins with client. is serverless compute's, any other a cluster's."""
    found = find_compute({"DATABRICKS_RUNTIME_VERSION": version})
    assert (found.kind, found.version, found.face) == (kind, version, "shell")
    assert is_databricks({"DATABRICKS_RUNTIME_VERSION": version})


def test_a_cluster_with_its_own_container_has_only_the_file(version_file):
    """Databricks Container Services set no variable; the file names the version."""
    version_file.write_text("16.4.2\n")
    assert find_compute({}).kind is Kind.CONTAINER
    assert find_compute({}).version == "16.4.2"
    assert is_databricks({})


def test_databricks_connect_is_a_session_of_databricks_on_another_machine(monkeypatch):
    """On a laptop the process is not Databricks', but its session is."""
    monkeypatch.delenv("DATABRICKS_RUNTIME_VERSION", raising=False)
    monkeypatch.setitem(sys.modules, "databricks.connect", ModuleType("databricks.connect"))
    found = find_compute()
    assert found.kind is Kind.CONNECT
    assert not is_databricks()
    assert has_databricks_session()


def test_the_context_tells_notebook_from_job_and_who_runs_it(monkeypatch):
    """Databricks' context has the notebook's path, the user and the job."""
    environ = {"DATABRICKS_RUNTIME_VERSION": "18.0"}
    context(monkeypatch, isInJob=False, notebookPath="/Repos/x/n", user="a@b.c", jobId=None)
    found = find_compute(environ)
    assert (found.face, found.notebook_path, found.user) == ("notebook", "/Repos/x/n", "a@b.c")
    context(monkeypatch, isInJob=True, jobId=7)
    assert (find_compute(environ).face, find_compute(environ).job_id) == ("job", "7")
    assert str(find_compute(environ)) == "Databricks cluster 18.0, job"


def test_a_shell_has_no_context(monkeypatch):
    """In %sh the module may be there, but there is no context."""
    context(monkeypatch)
    assert find_compute({"DATABRICKS_RUNTIME_VERSION": "18.0"}).face == "shell"


def test_a_context_of_another_shape_ends_nothing(monkeypatch):
    """The module is Databricks' own and undocumented, so whatever it raises is no error here."""
    context(monkeypatch, isInJob="perhaps", notebookPath=3)
    found = find_compute({"DATABRICKS_RUNTIME_VERSION": "18.0"})
    assert (found.face, found.notebook_path) == ("notebook", "3")
    monkeypatch.setitem(sys.modules, "dbruntime.databricks_repl_context", ModuleType("empty"))
    assert find_compute({"DATABRICKS_RUNTIME_VERSION": "18.0"}).face == "shell"


def test_no_other_module_looks_at_the_variable():
    """All of the package asks `find_compute`, so that a new kind of compute needs one change."""
    package = Path(compute.__file__).parents[2]
    looking = [
        p.name for p in package.rglob("*.py") if "DATABRICKS_RUNTIME" in p.read_text("utf-8")
    ]
    assert looking == ["compute.py"]
