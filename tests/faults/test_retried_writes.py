"""Rows that a failed or killed attempt left, and the result of their retry."""

from __future__ import annotations

import signal
import subprocess
import sys

import pandas as pd
import pytest
from deltalake import write_deltalake
from engines.retried_writes import appending
from real_project import make_project, registry_row

from odibi_nb import GenericProjectOrchestrator, read_table, run_project

FUNCTIONS = """
import os
import pathlib
import signal

import pandas as pd

MARKS = pathlib.Path(__file__).parent


def first_time(name):
    path = MARKS / f"{name}.seen"
    if path.exists():
        return False
    path.touch()
    return True


def appends(context, constants, outputs):
    first = first_time(context.transformation_id)
    # The second attempt sees other data, and cuts it into other batches.
    batches = constants["first"] if first else constants["then"]
    for batch in batches:
        context.write(pd.DataFrame({"x": batch}), outputs[0])
    if first and constants["ends"] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if constants["ends"] == "always" or (first and constants["ends"] == "failed"):
        raise OSError("after the write")
"""
BATCHES = {"first": [[1, 2], [3]], "then": [[1], [2, 3, 4]]}


def append_row(name, ends="failed", mode="append"):
    """Return a registry row that appends to silver.t and then ends in the given way, the first time."""
    constants = {**BATCHES, "ends": ends, "retry": {"base_delay": 0, "jitter": 0}}
    row = registry_row(name, "Bronze", "appends", constants=constants)
    keys = {"keys": ["x"]} if mode == "merge" else {}
    return row | {"outputs": [{"table": "silver.t", "mode": mode, **keys}]}


def killed_run(folder):
    """Run the project in a process that kills itself in the middle. Return the dead run's id."""
    code = f"import odibi_nb; odibi_nb.run_project('Plant One', manifest_path={str(folder / 'manifest.json')!r})"
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, check=False)
    assert done.returncode == -signal.SIGKILL
    (run,) = (folder / ".odibi" / "runs").iterdir()
    return run.name


def found(folder):
    """Return the values in silver.t, sorted."""
    frame = read_table("Plant One", "silver.t", manifest_path=folder / "manifest.json")
    return sorted(frame["x"])


@pytest.mark.parametrize("mode", ["append", "merge"])
def test_an_append_followed_by_a_failure_counts_once(tmp_path, mode):
    """After a row appends, fails and is retried, the table has only the second attempt's rows."""
    folder = make_project(tmp_path, [append_row("A", mode=mode)], functions=FUNCTIONS)
    result = run_project("Plant One", manifest_path=folder / "manifest.json")
    assert result.transformations["A"].attempts == 2
    assert found(folder) == [1, 2, 3, 4]


def test_two_rows_that_append_to_one_table(tmp_path):
    """Two rows append to one table at once and fail afterwards. Each one's rows are there once."""
    rows = [append_row("A"), append_row("B"), append_row("C", ends="well")]
    folder = make_project(tmp_path, rows, functions=FUNCTIONS)
    result = run_project("Plant One", manifest_path=folder / "manifest.json", max_workers=3)
    assert result["status"] == "success"
    assert found(folder) == sorted([1, 2, 3, 4] * 2 + [1, 2, 3])


def test_a_process_killed_between_write_and_log(tmp_path):
    """After SIGKILL between write and log, a retry of the dead run leaves the rows once.

    What other processes append before, after and meanwhile stays.
    """
    folder = make_project(tmp_path, [append_row("A", ends="killed")], functions=FUNCTIONS)
    table = str(folder / "lake" / "silver" / "t")
    write_deltalake(table, pd.DataFrame({"x": [0]}))
    dead = killed_run(folder)
    write_deltalake(table, pd.DataFrame({"x": [9]}), mode="append")
    assert found(folder) == [0, 1, 2, 3, 9]
    project = GenericProjectOrchestrator("Plant One", manifest_path=folder / "manifest.json")
    with appending(table, tmp_path / "stop", 0, column="x") as (others, _):
        result = project.retry(dead)
    assert (result["status"], result.retry_of) == ("success", dead)
    assert found(folder) == [0, 1, 2, 3, 4, 9, *others]


LOOKING = """
import pathlib

import pandas as pd

FAILS = pathlib.Path(__file__).parent / "fails"


def looks(context, outputs):
    last = context.read("silver.t")["x"].max()
    for batch in ([1.0, 2.0], [3.0, 4.0]):
        new = [value for value in batch if value > last]
        if new:
            context.write(pd.DataFrame({"x": new}), outputs[0])
        if FAILS.exists():
            raise OSError("after the write")


def quarantines(context, outputs):
    context.write(pd.DataFrame({"x": [1.0, None] if FAILS.exists() else [1.0]}), outputs[0])
    if FAILS.exists():
        raise OSError("after the write")
"""


def failed_and_retried(folder, name, **row):
    """Run a row that fails after its writes, and retry it without the failure."""
    row = registry_row("A", "Bronze", name, constants={"retry": 0, **row}) | {
        "outputs": [{"table": "silver.t", "mode": "append", "optional": True}]
    }
    folder = make_project(folder, [row], functions=LOOKING)
    table = str(folder / "lake" / "silver" / "t")
    write_deltalake(table, pd.DataFrame({"x": [0.0]}))
    (folder / "fails").touch()
    project = GenericProjectOrchestrator("Plant One", manifest_path=folder / "manifest.json")
    assert project.run()["status"] == "failed"
    (folder / "fails").unlink()
    assert project.retry()["status"] == "success"
    return folder


def test_a_retry_does_not_see_what_the_failed_attempt_appended(tmp_path):
    """A function that appends missing rows appends all of them again in the retry."""
    assert found(failed_and_retried(tmp_path, "looks")) == [0, 1, 2, 3, 4]


def test_a_retry_that_quarantines_nothing_leaves_nothing_quarantined(tmp_path):
    """Rows that only the failed attempt put into quarantine are removed."""
    check = {"not_null": "x", "on_fail": "quarantine"}
    folder = failed_and_retried(tmp_path, "quarantines", checks=[check])
    assert found(folder) == [0, 1]
    table = "silver.t_quarantine"
    assert read_table("Plant One", table, manifest_path=folder / "manifest.json").empty


def test_retries_of_retries_count_once(tmp_path):
    """After any number of retries, the table has the row's append once."""
    row = append_row("A", ends="always")
    row["constants"]["retry"] = 0
    folder = make_project(tmp_path, [row], functions=FUNCTIONS)
    project = GenericProjectOrchestrator("Plant One", manifest_path=folder / "manifest.json")
    project.run()
    for _ in range(2):
        assert project.retry()["status"] == "failed"
    assert found(folder) == [1, 2, 3, 4]


def test_a_new_run_after_a_killed_one_appends_its_own_rows(tmp_path):
    """A new run, in contrast to a retry, keeps the appends of the dead run."""
    folder = make_project(tmp_path, [append_row("A", ends="killed")], functions=FUNCTIONS)
    killed_run(folder)
    run_project("Plant One", manifest_path=folder / "manifest.json")
    assert found(folder) == sorted([1, 2, 3, 1, 2, 3, 4])
