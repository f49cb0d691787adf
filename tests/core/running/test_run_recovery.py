"""Recovery of runs that died with their machine, whose start and plan are in the lake."""

from __future__ import annotations

import json

import pytest
from fakes import FakeTables, MemorySink, row

from odibi_nb.core.runlog.journal import Journal, runs_folder
from odibi_nb.core.runlog.run_lease import RunLease
from odibi_nb.core.running.run_recovery import RunRecovery

PLANNED = {"event": "planned", "rows": [{"transformation_id": "A"}, {"transformation_id": "B"}]}


def start_of(run_id):
    facts = {"project": "P", "env": "qat", "engine": "pandas", "options": "{}"}
    return {
        "event": "run_start",
        "run_id": run_id,
        "timestamp": "2026-01-01T00:00:00Z",
        **facts,
    }


class LeaseTable:
    """The lease of one environment as a row in memory."""

    row = None

    def lease(self, project, env):
        return self.row

    def change_lease(self, project, env, decide):
        new = decide(self.row)
        if new is not None:
            nothing = dict.fromkeys(("start", "plan", "unended", "cancels"), "")
            self.row = {**nothing, **(self.row or {}), **new}

    def tidy(self):
        pass


class Messages:
    """A notifier that stores its messages."""

    def __init__(self):
        self.dead = []

    def on_dead_run(self, run, records):
        statuses = {record["transformation_id"]: record["status"] for record in records}
        self.dead.append((run["run_id"], statuses))


@pytest.fixture
def lake():
    return LeaseTable()


def taken(lake, run_id):
    lease = RunLease(lake, "P", "qat", run_id)
    lease.acquire(force=False, say=print)
    lease.take(start_of(run_id), PLANNED)
    return lease


def recovered(project, lease, notifier=None):
    """Recover with the *lease* of a new run. Return the sink and the lines that were shown."""
    sink, said = MemorySink(), []
    RunRecovery(
        place=project(row("A", lambda: None)).orchestrator().place(),
        tables=lambda name: FakeTables(),
        sinks=lambda: [sink],
        declared_outputs=dict,
        notifier=notifier,
        say=lambda level, text: said.append(text),
    ).recover(lease)
    return sink, said


@pytest.mark.parametrize("messages", [None, Messages()])
def test_a_run_of_a_machine_that_is_gone_gets_its_log(project, lake, messages):
    """Its rows are ABANDONED, the run is failed, and a message about it is sent before the log is complete."""
    taken(lake, "first").release()
    second = RunLease(lake, "P", "qat", "second")
    second.acquire(force=False, say=print)
    sink, said = recovered(project, second, messages)
    assert [(run["run_id"], run["status"]) for run in sink.run_records] == [("first", "failed")]
    rows = {record["transformation_id"]: record["status"] for record in sink.records}
    assert rows == {"A": "ABANDONED", "B": "ABANDONED"}
    assert len(said) == 1
    assert "first" in said[0]
    if messages is not None:
        assert messages.dead == [("first", rows)]
    assert recovered(project, second, messages)[0].run_records == []


def test_a_run_that_died_here_needs_no_lake(project, lake):
    """If only this machine has a journal of a dead run, its log comes from there."""
    p = project(row("A", lambda: None))
    p.state_dir.mkdir()
    journal = Journal(runs_folder(p.state_dir) / "local", number=1, project="P", env="qat")
    for line in (start_of("local"), PLANNED):
        journal.append(line)
    journal.close(complete=False)
    lease = RunLease(lake, "P", "qat", "second")
    lease.acquire(force=False, say=print)
    sink, said = recovered(project, lease)
    assert [run["run_id"] for run in sink.run_records] == ["local"]
    assert len(said) == 1
    assert json.loads(lake.row["owner"])
