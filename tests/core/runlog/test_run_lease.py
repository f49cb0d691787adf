"""The lease of a run, and the runs of other machines, in tables that are rows in memory."""

from __future__ import annotations

import json
import os

import pytest
from fakes import MemorySink

from odibi_nb.core.protocols import BaseLogSink
from odibi_nb.core.runlog import run_lease
from odibi_nb.core.runlog.run_elsewhere import runs_elsewhere
from odibi_nb.core.runlog.run_lease import RunLease, begun_runs, holder, request_cancel
from odibi_nb.core.runlog.shared_runs import (
    begun_in,
    dead_elsewhere,
    ends_leases,
    has_ended,
    open_runs_elsewhere,
    unfinished_elsewhere,
    unlogged,
)
from odibi_nb.errors import DataError, RunLockedError

START = {
    "event": "run_start",
    "run_id": "first",
    "project": "P",
    "env": "qat",
    "engine": "pandas",
    "timestamp": "2026-01-01T00:00:00Z",
    "options": '{"atomic": true}',
}
PLANNED = {"event": "planned", "rows": [{"transformation_id": "A"}, {"transformation_id": "B"}]}
NEITHER = dict.fromkeys(("start", "plan", "unended", "cancels"), "")


class MemoryTables:
    """The lease of one environment as a row in memory. `error` is raised by the next access."""

    def __init__(self, row=None):
        self.row = row
        self.error = None

    def _fail(self):
        error, self.error = self.error, None
        if error is not None:
            raise error

    def lease(self, project, env):
        self._fail()
        return self.row

    def leases(self, project, env):
        return [] if self.row is None else [{"env": env, **self.row}]

    def change_lease(self, project, env, decide):
        self._fail()
        new = decide(self.row)
        if new is not None:
            self.row = {**NEITHER, **(self.row or {}), **new}

    def tidy(self):
        pass


class Unreadable(BaseLogSink):
    """A log that can only be written."""

    def write(self, records):
        pass


@pytest.fixture
def tables():
    return MemoryTables()


def lease(tables, name="first", **keywords):
    return RunLease(tables, "P", "qat", name, **keywords)


def taken(tables, name="first", **keywords):
    held = lease(tables, name, **keywords)
    held.acquire(force=False, say=print)
    held.take({**START, "run_id": name}, PLANNED)
    return held


def elsewhere(tables):
    """Let the lease belong to a process that cannot be seen from here."""
    owner = {**json.loads(tables.row["owner"]), "host": "elsewhere"}
    tables.row = {**tables.row, "owner": json.dumps(owner)}


def test_a_run_that_ends_while_it_is_watched_makes_room(tables, monkeypatch):
    """A run that waits for another machine's run begins as soon as that one gives its lease back."""
    monkeypatch.setattr(run_lease, "POLL_SECONDS", 0)
    taken(tables)
    elsewhere(tables)
    said, second = [], lease(tables, "second")

    def ends(_seconds):
        tables.row = {**tables.row, "run_id": "", "owner": ""}

    second.acquire(force=False, say=said.append, wait=ends)
    second.take()
    assert tables.row["run_id"] == "second"
    assert "on elsewhere" in said[0]


def test_a_renewal_while_it_is_watched_refuses_the_other_run(tables, monkeypatch):
    """A run that renews its lease lives, whatever its clock says."""
    monkeypatch.setattr(run_lease, "POLL_SECONDS", 0)
    taken(tables)
    elsewhere(tables)

    def renews(_seconds):
        tables.row = {**tables.row, "beat": tables.row["beat"] + 1}

    with pytest.raises(RunLockedError, match="is in progress on another machine"):
        lease(tables, "second").acquire(force=False, say=print, wait=renews)


def test_a_lease_that_changed_since_the_plan_is_not_taken(tables):
    """A run that planned while another one began and ended is refused, because its plan may be old."""
    second = lease(tables, "second")
    second.acquire(force=False, say=print)
    first = taken(tables)
    first.release()
    with pytest.raises(
        RunLockedError, match="another run has begun and ended while this one planned"
    ):
        second.take()


def test_a_table_that_cannot_be_written_is_an_error_with_the_remedy(tables):
    """If the lease cannot be written, nothing runs, and the run holds nothing; later renewals may fail and succeed."""
    tables.error = DataError("no access")
    first = lease(tables)
    with pytest.raises(DataError, match=r'no access: one run at a time .* "shared": false'):
        first.take()
    assert tables.row is None
    first.take(START, PLANNED)
    tables.error = DataError("no access")
    with pytest.raises(DataError, match="no access"):
        first.take()
    assert holder(tables.row).run_id == "first"


def test_a_run_that_has_ended_may_not_write(tables):
    """After its end, a run's late writes are refused; its lease names no run, and stores its start."""
    first = taken(tables)
    assert first.check() == ""
    first.release()
    assert first.check() == "this run has ended"
    assert holder(tables.row) is None
    assert [one["start"] != "" for one in begun_runs(tables.row)] == [True]


def test_a_lease_that_another_run_has_taken_is_not_given_back(tables):
    """A run that ends leaves the lease of a run that has replaced it."""
    first = taken(tables)
    tables.row = {**tables.row, "run_id": "second"}
    first.release()
    assert tables.row["run_id"] == "second"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing can be forked here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_child_does_not_give_the_lease_back(tmp_path):
    """A child inherits the lease of its parent's run, and neither renews nor ends it."""

    class Noted(MemoryTables):
        def change_lease(self, project, env, decide):
            super().change_lease(project, env, decide)
            with (tmp_path / "changes").open("a") as file:
                file.write(f"{os.getpid()}\n")

    first = taken(Noted())
    child = os.fork()
    if child == 0:
        first.release()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    first.release()
    assert {*(tmp_path / "changes").read_text().split()} == {str(os.getpid())}


def test_a_request_reaches_only_the_run_that_holds_the_lease(tables):
    """A request to cancel is stored for the run with the lease; for any other run it is refused."""
    assert not request_cancel(tables, "P", "qat", "first")
    taken(tables)
    assert not request_cancel(tables, "P", "qat", "second")
    beat = tables.row["beat"]
    assert request_cancel(tables, "P", "qat", "first", "A")
    assert request_cancel(tables, "P", "qat", "first")
    assert json.loads(tables.row["cancels"]) == ["A", ""]
    assert tables.row["beat"] == beat


@pytest.mark.parametrize("text", ["torn {", "{}", "7", '[1, "x"]', None])
def test_a_damaged_lease_has_no_earlier_runs(text):
    """Runs and requests that another version wrote in another form are left out."""
    assert begun_runs({"unended": text, "start": "", "plan": ""}) == []
    tables = MemoryTables({**NEITHER, "run_id": "first", "owner": text, "beat": 1, "cancels": text})
    assert request_cancel(tables, "P", "qat", "first", "A")
    assert json.loads(tables.row["cancels"])[-1] == "A"
    assert holder(tables.row) is None


# Runs of other machines


def test_runs_that_began_and_did_not_end_are_known_from_the_lease(tables):
    """The lease has the start and the rows of a run; with the records of the log, the run is complete."""
    taken(tables)
    sink = MemorySink()
    sink.write([{"run_id": "first", "transformation_id": "A", "attempt": 1, "status": "SUCCESS"}])
    (found,) = unlogged(tables.row, "P", [sink])
    assert [line["event"] for line in found[1]] == ["run_start", "planned", "transform_success"]
    assert unlogged(tables.row, "P", [Unreadable()]) == []
    assert unlogged(tables.row, "P", [sink], {"first"}) == []
    assert unlogged(None, "P", [sink]) == []
    sink.write_run({"run_id": "first"})
    assert unlogged(tables.row, "P", [sink]) == []
    assert has_ended([sink], "first")
    assert not has_ended([], "first")
    assert not ends_leases([sink])


def test_atomic_runs_that_died_elsewhere_are_taken_back(tables):
    """Only atomic runs are taken back; their rows that did not end count as abandoned."""
    usual = {**START, "options": "{}"}
    found = unfinished_elsewhere([(START, [START, PLANNED]), (usual, [usual, PLANNED])])
    assert [run["run_id"] for run, _ in found] == ["first"]
    assert [r["status"] for r in found[0][1]] == ["ABANDONED", "ABANDONED"]


def test_a_run_that_was_replaced_is_left_to_write_its_log(tables):
    """A run that was just replaced may still end by itself; later its log is completed by others."""
    taken(tables)
    elsewhere(tables)
    second = lease(tables, "second")
    second.acquire(force=True, say=print)
    second.take({**START, "run_id": "second"}, PLANNED)
    assert second.overrode[1] == "first"
    assert dead_elsewhere(second, [MemorySink()]) == []
    second.release()
    third = lease(tables, "third")
    third.acquire(force=False, say=print)
    assert [start["run_id"] for start, _ in dead_elsewhere(third, [MemorySink()])] == [
        "first",
        "second",
    ]


def test_open_runs_are_running_or_have_died(tables):
    """The run that holds the lease is shown as running, and an earlier one as failed."""
    taken(tables).release()
    second = lease(tables, "second")
    second.acquire(force=False, say=print)
    second.take({**START, "run_id": "second"}, PLANNED)
    found = open_runs_elsewhere(tables, "P", "qat", [MemorySink()])
    assert {run["run_id"]: run["status"] for run in found} == {
        "first": "failed",
        "second": "running",
    }
    second.release()
    found = open_runs_elsewhere(tables, "P", "qat", [MemorySink()])
    assert {run["status"] for run in found} == {"failed"}


@pytest.mark.parametrize("text", ["", "torn {", '{"event": "run_start"}'])
def test_a_start_that_cannot_be_read_is_no_run(text):
    """A lease with a damaged start has no run to complete."""
    assert begun_in({"unended": "[]", "start": text, "plan": "torn"}, "P") == []


def test_a_start_without_its_plan_has_no_rows():
    """If only the plan is damaged, the run is known without its rows."""
    row = {"unended": "[]", "start": json.dumps(START), "plan": "torn"}
    ((start, planned),) = begun_in(row, "Q")
    assert (start["project"], planned["rows"]) == ("Q", [])


def test_a_run_of_another_machine_is_followed_in_the_lake(tables, tmp_path):
    """Attempts and the end come from the run log; a run without tables, or that has ended, is not in progress."""
    taken(tables, "before").release()
    taken(tables)
    elsewhere(tables)
    sink = MemorySink()
    place = "P", "qat", tmp_path
    assert runs_elsewhere(None, [sink], *place) == []
    assert runs_elsewhere(tables, [Unreadable()], *place) == []
    (run,) = runs_elsewhere(tables, [sink], *place)
    assert run.past() is None
    record = dict.fromkeys(("checks", "outputs_written", "start_time", "end_time"))
    record |= {"run_id": "first", "transformation_id": "A", "attempt": 1, "status": "SUCCESS"}
    sink.write([{**record, "checks": "torn {"}, {**record, "transformation_id": "B", "attempt": 0}])
    run.read()
    run.read()  # each attempt once
    assert not run.status
    names = ("end_time", "duration_seconds", "failed", "skipped", "cancelled", "warnings", "layers")
    sink.write_run({**dict.fromkeys(names), "run_id": "first", "status": "success"})
    run.read()
    assert run.status == "success"
    assert not run.cancel()
    assert runs_elsewhere(tables, [sink], *place) == []
