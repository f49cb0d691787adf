"""What a killed process leaves, and what the next start makes of it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import random
import signal
from collections import Counter

import killed_run
import pytest

from odibi_nb import read_table, run_project

TIMES = 20
LAST_EVENT = 2 * 2 * 20 + 8  # starts and ends of all rows, and the events around them


def killed_at(folder, event_number):
    """Run the project in another process and kill it at its n-th event; the events it told of."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killed_run"])
    reader, writer = context.Pipe(duplex=False)
    child = context.Process(target=killed_run.run_and_tell, args=(str(folder), writer))
    child.start()
    writer.close()
    told = []
    with contextlib.suppress(EOFError, OSError):
        while len(told) < event_number:
            told.append(reader.recv())
        os.kill(child.pid, signal.SIGKILL)
        while True:
            told.append(reader.recv())
    child.join()
    child.close()
    reader.close()
    return told


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("killed")
    killed_run.write_project(folder)
    return folder


@pytest.mark.parametrize("time", range(TIMES))
def test_a_killed_process_loses_no_finished_row(folder, time):
    """After SIGKILL at a random moment, the log has every finished row once, running rows as ABANDONED."""
    moment = random.randint(2, LAST_EVENT)
    events = killed_at(folder, moment)
    run_id = events[0][1]
    finished = {name for event, _, name in events if event == "transform_success"}
    started = {name for event, _, name in events if event == "transform_start"}
    result = run_project("Killed", manifest_path=folder / "manifest.json", max_workers=8)
    log = read_table(
        "Killed", "config_driven.TransformationRunLog", manifest_path=folder / "manifest.json"
    )
    mine = log[log["run_id"] == run_id]
    found = dict(zip(mine["transformation_id"], mine["status"], strict=True))
    twice = {name: n for name, n in Counter(mine["transformation_id"]).items() if n > 1}
    assert twice == {}, f"killed at event {moment}"
    assert finished <= {name for name, status in found.items() if status == "SUCCESS"}
    assert started <= set(found)
    assert set(found.values()) <= {"SUCCESS", "ABANDONED"}
    runs = read_table(
        "Killed", "config_driven.TransformationRun", manifest_path=folder / "manifest.json"
    )
    assert list(runs["run_id"]).count(run_id) == 1
    assert result["status"] == "success"
    assert list(log["run_id"]).count(result.run_id) == 2 * 20
