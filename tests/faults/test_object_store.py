"""The example project on a mount of an object store: registry, state and lake.

The mount is `object_store.Mount`. What it refuses must be worked around, or refused in one message.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from example.test_energy_efficiency import PROJECT
from example.test_on_spark import on_pandas, tables
from object_store import mounts
from real_project import registry_row
from thorough import THOROUGH

from odibi_nb import GenericProjectOrchestrator, HookManager, run_project
from odibi_nb.core.model.results import Status
from odibi_nb.errors import ConfigurationError, RegistryError
from odibi_nb.sources.table import registry_in_database

__all__ = ["mounts", "on_pandas"]  # fixtures
pytestmark = pytest.mark.skipif(not THOROUGH, reason="takes minutes: ODIBI_TEST_THOROUGH=1 runs it")
UNSAFE = {"allow_unsafe_rename": "true"}
MOST_REQUESTS = 300
"""Requests of a run of the example for its project's folder."""
MOST_A_SECOND = 2
WAITING = """
import os, time
import pandas as pd


def wait(constants):
    while os.path.exists(constants["flag"]):
        time.sleep(0.05)
    return pd.DataFrame({"x": [1]})
"""
TELLING = """
import sys
from odibi_nb import HookManager, run_project
hooks = HookManager()
hooks.register("transform_success", lambda p: print(p["run_id"], p["transformation_id"], flush=True))
run_project("Energy Efficiency", manifest_path=sys.argv[1], hooks=hooks, log_level="CRITICAL")
"""


def project_on(mount, **changes):
    """Copy the example to a mount; *changes* are of its environment."""
    folder = mount.stored / "energy_efficiency"
    ignored = shutil.ignore_patterns("lake", "registry.db", ".odibi", "__pycache__")
    shutil.copytree(PROJECT, folder, ignore=ignored)
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["environments"]["qat"] |= changes
    path.write_text(json.dumps(manifest))
    return mount.path / folder.name


def run(folder, **options):
    """Run the example here."""
    return run_project(
        "Energy Efficiency",
        manifest_path=folder / "manifest.json",
        **{"log_level": "CRITICAL", **options},
    )


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"append": "no"},
        {"append": "new"},
        {"random": "no"},
        {"rename": "copy"},
        {"rename": "noover"},
        {"visible": "close"},
        {"append": "no", "random": "no", "rename": "noover", "visible": "close"},
        {"append": "no", "random": "no", "rename": "copy", "visible": "close"},
    ],
    ids=lambda options: ",".join(f"{k}={v}" for k, v in options.items()) or "plain",
)
def test_every_table_equals_that_on_a_disk(mounts, on_pandas, options, capfd):
    """All rows, a row that is retried, and the run log work on the mount, with delta-rs's unsafe renames."""
    mount = mounts(**options)
    folder = project_on(mount, storage_options=UNSAFE)
    sensors = mount.stored / folder.name / "data" / "sensors.csv"
    sensors.rename(mount.stored / "sensors.csv")
    assert run(folder)["status"] == "failed"
    (mount.stored / "sensors.csv").rename(sensors)
    project = GenericProjectOrchestrator(
        "Energy Efficiency", manifest_path=folder / "manifest.json"
    )
    retried = project.retry("last")
    retried.raise_for_status()
    assert 0 < len(retried.transformations) < 19
    assert retried.warnings == []
    assert tables(mount.stored / folder.name) == on_pandas
    again = run(folder)
    again.raise_for_status()
    assert (again.counts(), again.warnings) == ({"SUCCESS": 19}, [])
    assert "holds the lock" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("options", "changes", "words"),
    [
        ({}, {}, "no hard links"),
        ({"rename": "no"}, {"storage_options": UNSAFE}, "cannot rename files"),
    ],
)
def test_a_lake_that_delta_rs_cannot_commit_to(mounts, options, changes, words):
    """The error of each row and of the run log names what the file system lacks and a remedy."""
    result = run(project_on(mounts(**options), **changes))
    failed = [str(t.error) for t in result.transformations.values() if t.status is Status.FAILED]
    assert len(failed) == 6
    for text in [*failed, *result.warnings]:
        assert words in text
        assert "use a lake in a catalog" in text
    assert ("allow_unsafe_rename" in result.warnings[0]) is (not changes)


def test_a_read_only_project(mounts, on_pandas, tmp_path, monkeypatch):
    """A read-only folder ends with one message that names `state_dir`; with state and lake elsewhere all rows run."""
    mount = mounts(ro="yes")
    folder = project_on(mount, lake=str(tmp_path / "disk" / "lake"))
    with pytest.raises(ConfigurationError, match=r"Read-only file system.*ODIBI_STATE_DIR"):
        run(folder)
    monkeypatch.setenv("ODIBI_STATE_DIR", str(tmp_path / "state"))
    run(folder).raise_for_status()
    assert tables(tmp_path / "disk") == on_pandas


@pytest.mark.parametrize("options", [{}, {"visible": "close", "append": "no", "rename": "noover"}])
def test_a_killed_run_is_completed(mounts, on_pandas, options, capfd):
    """Process and mount vanish; the next run tells of the dead run once, and every table is right."""
    mount = mounts(**options)
    folder = project_on(mount, storage_options=UNSAFE, shared=True)
    child = subprocess.Popen(
        [sys.executable, "-c", TELLING, folder / "manifest.json"], stdout=subprocess.PIPE, text=True
    )
    run_id = next(line for line in child.stdout if "SILVER" in line).split()[0]
    child.kill()
    child.communicate()
    mount.kill()
    mount.mount()
    capfd.readouterr()
    for times in (1, 0):
        run(folder, log_level="WARNING").raise_for_status()
        said = "".join(capfd.readouterr()).splitlines()
        assert len([line for line in said if run_id in line and "died" in line]) == times
    assert tables(mount.stored / folder.name) == on_pandas


def test_a_sqlite_registry_is_refused(mounts):
    """SQLite writes in the middle of its file; the message names what works on a mount."""
    registry = registry_in_database(f"sqlite:///{mounts(random='no').path / 'registry.db'}")
    with pytest.raises(RegistryError, match="use a file of rows, a table of the lake"):
        registry.create()


def test_requests_of_a_run(mounts, on_pandas, tmp_path, monkeypatch):
    """A run asks for its project's folder at most 300 times if each request takes 50 ms."""
    monkeypatch.setenv("ODIBI_STATE_DIR", str(tmp_path / "state"))
    mount = mounts(lag="0.05")
    folder = project_on(mount, lake=str(tmp_path / "disk" / "lake"))
    for number in (1, 2):
        before = len(mount.requests())
        run(folder).raise_for_status()
        spent = len(mount.requests()) - before
        print(f"run {number}: {spent} requests")
        assert spent <= MOST_REQUESTS
    assert tables(tmp_path / "disk") == on_pandas


def has_kept_code(requests):
    """Return True if the run has kept the code of its rows, which it does once."""
    kept = ["/code/" in path for _, path in requests]
    return any(kept) and not any(kept[-20:])


@pytest.mark.parametrize("state", ["disk", "mount"])
def test_requests_while_a_row_is_waited_for(mounts, tmp_path, monkeypatch, state):
    """A run that waits asks the mount at most twice a second if each request takes 50 ms, also for its state."""
    mount, flag = mounts(lag="0.05"), tmp_path / "flag"
    place = {"disk": tmp_path, "mount": mount.path}[state]
    monkeypatch.setenv("ODIBI_STATE_DIR", str(place / "state"))
    flag.touch()
    folder = mount.stored / "plant"
    folder.mkdir()
    row = registry_row("B1", "Bronze", "wait", constants={"flag": str(flag)}, outputs=["bronze.x"])
    (folder / "registry.json").write_text(json.dumps([row]))
    (folder / "plant_functions.py").write_text(WAITING)
    environment = {"engine": "pandas", "registry": "registry.json", "lake": str(tmp_path / "lake")}
    manifest = {"project": "Plant One", "environments": {"qat": environment}}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "layer_order": ["Bronze"]}))
    begun, hooks = threading.Event(), HookManager()
    hooks.register("transform_start", lambda _: begun.set())
    path = mount.path / "plant" / "manifest.json"
    options = {"manifest_path": path, "hooks": hooks, "log_level": "CRITICAL"}
    with ThreadPoolExecutor(1) as pool:
        result = pool.submit(run_project, "Plant One", **options)
        try:
            begun.wait()
            while state == "mount" and not has_kept_code(mount.requests()):
                time.sleep(0.1)
            before, since = len(mount.requests()), time.monotonic()
            while len(mount.requests()) - before < 60:  # a number of them, whatever time that takes
                time.sleep(0.1)
            seconds = time.monotonic() - since
        finally:
            flag.unlink()
        assert result.result()["status"] == "success"
    print(f"state on {state}: {60 / seconds:.2f} requests a second")
    assert 60 / seconds <= MOST_A_SECOND, seconds
