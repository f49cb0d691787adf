"""Runs in another process: it ends with its run, hears a cancel, and is gone on from if it died."""

from __future__ import annotations

import os
import subprocess
import sys

from real_project import make_project, registry_row
from stale_project import StaleProject

from odibi_nb import GenericProjectOrchestrator
from odibi_nb.cli import main

ODIBI_RUN = [sys.executable, "-m", "odibi_nb.cli", "run"]


HANGS = """
import threading
import time


def hangs():
    threading.Event().wait()


def sleeps():
    time.sleep(100_000)
"""


def test_threads_that_go_on_do_not_keep_the_process(tmp_path):
    """A process whose transformations hang for ever ends as soon as its run does, with its exit code."""
    limits = {"timeout_seconds": 0.2, "retry": 0}
    rows = [registry_row(name, "Bronze", name, constants=limits) for name in ("hangs", "sleeps")]
    folder = make_project(tmp_path, rows, functions=HANGS)
    command = [*ODIBI_RUN, "--manifest", str(folder / "manifest.json")]
    done = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 1, done.stderr
    printed = done.stdout + done.stderr
    assert printed.count("ran longer than timeout_seconds=0.2") >= 2
    assert "2 abandoned transformations" in printed


def test_cancel_reaches_a_run_in_another_process(tmp_path, monkeypatch):
    """`odibi cancel` ends a run that another process runs."""
    monkeypatch.chdir(tmp_path)
    reader, writer = os.pipe()
    functions = (
        "import os, time\n"
        "def load(context):\n"
        f"    os.write({writer}, b'it runs')\n"
        "    until = time.monotonic() + 60\n"
        "    while not context.should_stop() and time.monotonic() < until:\n"
        "        time.sleep(0.02)\n"
        "def double():\n    pass\n"
    )
    make_project(tmp_path, functions=functions)
    run = subprocess.Popen(ODIBI_RUN, pass_fds=[writer], stdout=subprocess.PIPE, text=True)
    os.close(writer)  # if the run ends too early, there is nothing more to read
    with os.fdopen(reader, "rb") as its_words:
        assert its_words.read(7) == b"it runs"
    for _ in range(2):  # the first one lets the running row end
        assert main(["cancel"]) == 0
    printed, _ = run.communicate()
    assert run.returncode == 1
    assert "Status: cancelled" in printed


def test_a_killed_run_leaves_the_row_stale_that_it_was_in(tmp_path, clean_modules):
    """Before and after its log is completed: the row may have written anything."""
    project = StaleProject(tmp_path)
    project.run().raise_for_status()
    project.edit(
        "flow/rows.py",
        '    if constants.get("fail"):',
        '    if constants.get("die"):\n        import os\n        os._exit(9)\n    if constants.get("fail"):',
    )
    project.ran()
    project.change_row("S1", die=True)
    code = (
        "from odibi_nb import run_project; run_project('Stale', select=['S1'], log_level='CRITICAL',"
        f" manifest_path={str(project.folder / 'manifest.json')!r})"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    project.change_row("S1", die=None)
    assert project.why()["S1"] == "last attempt was abandoned"
    assert project.ran() == ({"S1", "G1", "G3"}, set())
    assert project.why() == {}


DIES = """
import os
import pathlib

import pandas as pd


def load(constants):
    return pd.DataFrame({"x": range(constants["rows"])})


def double(inputs, context):
    if pathlib.Path("dies").exists():
        os._exit(9)
    frame = context.read(inputs[0])
    return frame.assign(x=frame["x"] * 2)
"""


def test_a_killed_process_is_gone_on_from(tmp_path, monkeypatch, capsys):
    """After a kill, a retry in a new process runs what ran and what had not started, each once."""
    rows = [
        registry_row("B1", "Bronze", "load", constants={"rows": 3}, outputs=["bronze.x"]),
        registry_row("B2", "Bronze", "double", ["bronze.x"], outputs=["bronze.y"]),
        registry_row("S1", "Silver_1", "double", ["bronze.y"], outputs=["silver.x"]),
    ]
    make_project(tmp_path, rows, functions=DIES)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dies").touch()
    assert subprocess.run(ODIBI_RUN, capture_output=True, check=False).returncode == 9
    (tmp_path / "dies").unlink()
    plan = GenericProjectOrchestrator("Plant One").plan(select="state:abandoned")
    assert list(plan.rows) == ["B2", "S1"]
    assert main(["retry"]) == 0
    printed = capsys.readouterr().out
    assert "2 ABANDONED: B2, S1" in printed
    assert "of Plant One (env=qat): 2 of its 3 transformations (2 abandoned before)" in printed
    assert main(["retry", "last", "--project", "Plant One"]) == 0
    printed = capsys.readouterr().out
    assert printed.splitlines()[-1].startswith("nothing to retry: all 3 transformations")
