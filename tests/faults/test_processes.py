"""Faults of processes: kill, SIGTERM, Ctrl-C, two runs at once, four writers of one table."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
from collections import Counter

import killed_run
import pytest
from faults.example_run import RUNS, Child, Example
from fork_server import processes
from thorough import examples

from odibi_nb.errors import RunLockedError
from odibi_nb.sources.table import registry_in_database

TIMES = examples(8)
EVENTS = 2 * 19 + 2 * 4 + 6
"""Starts and ends of all rows and layers, and the events around them."""


def killed_at(folder, event_number):
    """Run the project in another process and kill it at its n-th event. Return its events."""
    reader, writer = processes().Pipe(duplex=False)
    child = processes().Process(target=killed_run.run_and_tell, args=(str(folder), writer))
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


def test_sigkill_loses_no_finished_row(example):
    """After SIGKILL at a random moment of a run, tables are whole, and logs have each row's attempts once.

    Each part of a run has its moment, so few of them tell as much as many that are drawn from all of it.
    """
    told = {}
    for number in range(TIMES):
        moment = 2 + int((number + random.random()) * (EVENTS - 1) / TIMES)
        events = killed_at(example.folder, moment)
        example.check_lake()
        told[events[0][1]] = (moment, events)
    example.check_next_run()
    for run_id, (moment, events) in told.items():
        log = example.log(run_id)
        times = Counter((r["transformation_id"], r["attempt"]) for r in log)
        assert set(times.values()) <= {1}, f"killed at event {moment}"
        found = {r["transformation_id"]: r["status"] for r in log}
        succeeded = {name for name, status in found.items() if status == "SUCCESS"}
        assert {name for event, _, name in events if event == "transform_success"} <= succeeded
        assert {name for event, _, name in events if event == "transform_start"} <= set(found)
        assert set(found.values()) <= {"SUCCESS", "ABANDONED"}
    runs = Counter(r["run_id"] for r in example.rows(*RUNS))
    assert {runs[run_id] for run_id in told} == {1}


def waiting(example, name="SILVER_001", deaf=False):
    """Make a row wait for the file ``go``. Unless *deaf*, it ends when it is cancelled."""
    go = example.folder / "go"
    heard = "False" if deaf else "context.should_stop()"
    body = f"while not (os.path.exists({str(go)!r}) or {heard}): time.sleep(0.005)"
    return go, example.fault(name, body, retry=0)


def test_sigterm_ends_a_run_with_a_complete_log(example):
    """SIGTERM revokes running rows and starts no new ones. The log is complete, and the process ends."""
    _, row = waiting(example)
    child = Child(example)
    run_id = child.wait_for("run_start")[1]
    while child.wait_for("transform_start")[2] != "SILVER_001":
        pass
    child.signal(signal.SIGTERM)
    assert child.end() == -signal.SIGTERM
    found = {r["transformation_id"]: r["status"] for r in example.log(run_id)}
    assert found["SILVER_001"] == "CANCELLED"
    assert found["GOLD_001"] in {"CANCELLED", "SKIPPED"}
    assert len(found) == 19
    example.check_lake()
    example.mend(row)
    example.check_next_run()


@pytest.mark.parametrize("presses", [1, 2, 3])
def test_ctrl_c(example, presses):
    """The first Ctrl-C starts no new rows, the second cancels running ones, the third abandons them."""
    go, row = waiting(example, deaf=presses == 3)
    child = Child(example)
    run_id = child.wait_for("run_start")[1]
    while child.wait_for("transform_start")[2] != "SILVER_001":
        pass
    for said in ("🛑 Cancelling:", "🛑 Cancelling running", "🛑 Abandoning")[:presses]:
        child.signal()
        child.wait_for(said)
    if presses == 1:
        go.touch()
    assert child.end() == 0, child.errors
    go.touch()
    found = {r["transformation_id"]: r["status"] for r in example.log(run_id)}
    assert found["SILVER_001"] == {1: "SUCCESS", 2: "CANCELLED", 3: "ABANDONED"}[presses]
    assert found["GOLD_001"] in {"CANCELLED", "SKIPPED"}
    assert len(found) == 19
    assert any(line.startswith("result cancelled") for line in child.lines)
    example.check_lake()
    example.mend(row)
    example.check_next_run()


def test_two_runs_at_once(example):
    """A second run of the same project and environment is refused with the reason."""
    go, row = waiting(example)
    child = Child(example)
    run_id = child.wait_for("run_start")[1]
    with pytest.raises(RunLockedError, match=re.escape(run_id)):
        example.run()
    go.touch()
    assert child.end() == 0
    assert any(line.startswith("result success") for line in child.lines)
    example.check_lake()
    example.mend(row)
    example.check_next_run()


def test_four_processes_append_to_one_table(tmp_path):
    """After four processes append to one table at once, it has every row once."""
    folders = [tmp_path / f"writer_{i}" for i in range(4)]
    for i, folder in enumerate(folders):
        folder.mkdir()
        environment = {"engine": "pandas", "registry": "sqlite:///registry.db", "lake": "../lake"}
        manifest = {
            "project": f"Writer {i}",
            "layer_order": ["Bronze"],
            "environments": {"qat": {**environment, "run_log": f"config_driven.log_{i}"}},
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
        (folder / f"writer_{i}.py").write_text(
            "import pandas as pd\n"
            "def append(constants, context):\n"
            "    return pd.DataFrame({'who': [constants['who']], 'run': [context.run_id]})\n"
        )
        registry = registry_in_database("sqlite:///registry.db", folder=folder)
        registry.create()
        registry.upsert(
            [
                {
                    "transformation_id": f"W{n}",
                    "project": f"Writer {i}",
                    "environment": "qat",
                    "layer": "Bronze",
                    "module": f"writer_{i}",
                    "function": "append",
                    "inputs": [],
                    "constants": {"who": f"{i}-{n}"},
                    "outputs": [{"table": "bronze.all", "mode": "append"}],
                    "enabled": 1,
                }
                for n in range(3)
            ]
        )
    children = [
        processes().Process(target=killed_run.append_rows, args=(str(folder), f"Writer {i}", 3))
        for i, folder in enumerate(folders)
    ]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 4
    rows = Counter(r["who"] for r in Example(tmp_path).rows("bronze", "all"))
    assert rows == {f"{i}-{n}": 3 for i in range(4) for n in range(3)}
