"""The tables through which machines see each other's runs."""

from __future__ import annotations

import threading

import pytest
from deltalake import DeltaTable

from odibi_nb.core.runlog import run_lease
from odibi_nb.core.runlog.run_lease import RunLease
from odibi_nb.core.text.clock import utc_now
from odibi_nb.core.text.json import decode_json
from odibi_nb.errors import DataError, RunLockedError
from odibi_nb.sinks.run_state import LEASE_PROPERTIES, TableRunState
from odibi_nb.storage.delta_table import DeltaRowTable


@pytest.fixture
def tables(tmp_path):
    return TableRunState(DeltaRowTable(str(tmp_path / "lease"), properties=LEASE_PROPERTIES))


def take(lease, **options):
    """Take the lease as a run does that has nothing to plan."""
    lease.acquire(say=quiet, **{"force": False, **options})
    lease.take()


def quiet(_):
    """Ignore a message or a wait."""


def test_of_many_that_ask_at_once_one_gets_the_lease(tables):
    """Of any number of processes that ask at once, one gets the lease, also if its table does not exist yet."""
    got, refused, start = [], [], threading.Barrier(4)

    def ask(name):
        lease = RunLease(tables, "P", "qat", name)
        lease.acquire(force=False, say=quiet)
        start.wait()
        try:
            lease.take()
        except RunLockedError:
            refused.append(name)
        else:
            got.append(name)

    threads = [threading.Thread(target=ask, args=(f"r{i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1
    assert len(refused) == 3
    assert tables.lease("P", "qat")["run_id"] == got[0]


def test_two_projects_in_one_lake(tables):
    """Each project and environment has a lease of its own, and names may contain quotes."""
    leases = [
        RunLease(tables, project, env, f"{project} {env}")
        for project in ("P", 'it\'s "one"')
        for env in ("qat", "prod / x")
    ]
    for lease in leases:
        take(lease)
    assert [lease.check() for lease in leases] == [""] * 4
    for lease in leases:
        lease.release()
        assert tables.lease(lease.project, lease.env)["run_id"] == ""


def test_a_lease_that_another_run_forced_away(tables):
    """The overridden run notices it at its next renewal, and releases only its own lease."""
    first, second = (RunLease(tables, "P", "qat", name) for name in ("first", "second"))
    take(first)
    take(second, force=True)
    assert second.overrode[1] == "first"
    first._renew()
    assert "second" in first.check()
    first.release()
    assert tables.lease("P", "qat")["run_id"] == "second"
    second.release()


def test_a_lake_that_cannot_be_written(tmp_path):
    """Without access to the lease nothing runs, and the message names the table and the remedy."""
    (tmp_path / "lease").write_text("a file where the folder of the table belongs")
    shown = "TransformationRunLease in lake"
    table = DeltaRowTable(str(tmp_path / "lease"), shown=shown)
    lease = RunLease(TableRunState(table), "P", "qat", "r")
    with pytest.raises(
        DataError, match=r'(?s)lease of project .*TransformationRunLease.*"shared": false'
    ):
        take(lease)


def test_an_old_lease_that_cannot_be_renewed(tables, tmp_path, monkeypatch):
    """If the state of the lease is unknown, a write is refused. It works again when the state is known."""
    lease = RunLease(tables, "P", "qat", "r")
    take(lease)
    monkeypatch.setattr(run_lease, "VALID_SECONDS", -1)
    (tmp_path / "lease").rename(tmp_path / "away")
    (tmp_path / "lease").write_text("")
    with pytest.raises(DataError, match="lease of project"):
        lease.check()
    (tmp_path / "lease").unlink()
    (tmp_path / "away").rename(tmp_path / "lease")
    assert lease.check() == ""
    lease.release()


def test_the_table_of_the_lease_stays_small(tables, tmp_path, monkeypatch):
    """Hundreds of heartbeats leave few files: earlier versions are removed."""
    monkeypatch.setattr(run_lease, "TIDY_BEATS", 10)
    monkeypatch.setattr("odibi_nb.storage.delta_upkeep.TIDIED_HOURS", 0)
    lease = RunLease(tables, "P", "qat", "r")
    take(lease)
    for _ in range(29):
        lease._renew()
        if lease._tidying:
            lease._tidying.join()
    lease.release()
    assert DeltaTable(str(tmp_path / "lease")).version() >= 26
    assert len([*(tmp_path / "lease").glob("*.parquet")]) <= 11


def test_what_another_version_wrote(tables):
    """Columns of a later version stay, and an unreadable owner or request is not an error."""
    lease = RunLease(tables, "P", "qat", "r")
    take(lease)
    row = tables.lease("P", "qat")
    tables.change_lease("P", "qat", lambda _: {**row, "cancels": "{", "owner": "?", "project": "P"})
    lease._renew()
    assert lease.take_cancels() == []
    assert lease.check() == ""
    tables.change_lease(
        "P", "qat", lambda _: {"run_id": "x", "owner": "?", "beat": 1, "cancels": ""}
    )
    assert run_lease.holder(tables.lease("P", "qat")) is None
    lease._renew()
    assert lease.check() == "run x has replaced this run"


def begin(lease, number=1):
    """Begin a run without rows."""
    start = {
        "event": "run_start",
        "run_id": lease.run_id,
        "run_number": number,
        "timestamp": utc_now(),
    }
    lease.take(start, {"event": "planned", "rows": []})


def test_a_run_that_begins_while_another_one_plans(tables):
    """Of two runs that have planned, the first one begins. The other is refused, also if the first has ended."""
    log = set()
    first, second, third = (
        RunLease(tables, "P", "qat", name, ended=log.__contains__)
        for name in ("first", "second", "third")
    )
    for lease in (first, second, third):
        lease.acquire(force=False, say=quiet)
    begin(first)
    with pytest.raises(RunLockedError, match=r"run first .* is in progress"):
        begin(second)
    log.add("first")
    with pytest.raises(RunLockedError, match="has begun and ended while this one planned"):
        begin(third)


def test_runs_without_a_record_stay_known(tables):
    """The start of a run stays in the table until the log has its record, whatever run begins next."""
    leases = [RunLease(tables, "P", "qat", name) for name in ("first", "second", "third")]
    known = []
    for lease in leases:
        lease.acquire(force=False, say=quiet)
        lease.complete |= {"second"} - {lease.run_id}  # as its log is complete by now
        begin(lease)
        lease.release()  # its own log is not complete
        known.append(
            [decode_json(r["start"])["run_id"] for r in run_lease.begun_runs(lease._look())]
        )
    assert known == [["first"], ["first", "second"], ["first", "third"]]
