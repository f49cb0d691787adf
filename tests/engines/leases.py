"""The lease of a shared environment in a table that a Spark session reaches, whatever session it is."""

import threading

import pytest
from thorough import TIMES

from odibi_nb.core.runlog import run_lease
from odibi_nb.core.runlog.run_lease import RunLease, request_cancel
from odibi_nb.core.text.clock import utc_now
from odibi_nb.core.text.json import decode_json
from odibi_nb.errors import RunLockedError
from odibi_nb.sinks.run_state import LEASE_PROPERTIES, TableRunState
from odibi_nb.storage.spark_table import SparkRowTable

WHERE = "it's P", "qat"
PLAN = {"event": "planned", "rows": [{"transformation_id": f"ROW_{n} 'ä'"} for n in range(500)]}


def quiet(_):
    """Ignore a message or a wait."""


class Leases:
    """The tests; they need the fixture `lease_place`, the path or the name of a table that does not exist."""

    @pytest.fixture
    def tables(self, connection, lease_place):
        """The table of the lease, through the session."""
        table = SparkRowTable(
            lambda: connection.spark, "the lease", properties=LEASE_PROPERTIES, **lease_place
        )
        return TableRunState(table)

    def begin(self, lease):
        """Begin a run, as `odibi run` does."""
        start = {"event": "run_start", "run_id": lease.run_id, "timestamp": utc_now()}
        lease.take(start, PLAN)

    def test_one_run_has_the_lease_and_the_others_know_it(self, tables):
        """A run takes the lease with its plan, renews it, and hears a request to cancel; its record ends it."""
        log = set()
        first, second, third = (
            RunLease(tables, *WHERE, name, ended=log.__contains__)
            for name in ("first", "second", "third")
        )
        for lease in (first, second):
            lease.acquire(force=False, say=quiet)
        self.begin(first)
        with pytest.raises(RunLockedError, match=r"run first .* is in progress"):
            self.begin(second)
        assert request_cancel(tables, *WHERE, "first", "ROW_1 'ä'")
        first._renew()
        assert first.take_cancels() == ["ROW_1 'ä'"]
        assert first.check() == ""
        (known,) = run_lease.begun_runs(tables.lease(*WHERE))
        assert decode_json(known["plan"]) == PLAN
        first.logged = True
        first.release()
        log.add("first")
        third.acquire(force=False, say=quiet)
        third.complete.add("first")  # as `dead_elsewhere` does, which looks into the log
        self.begin(third)
        (known,) = run_lease.begun_runs(tables.lease(*WHERE))
        assert decode_json(known["start"])["run_id"] == "third"

    @pytest.mark.skipif(
        TIMES == 1, reason="each conflict costs a MERGE; ODIBI_TEST_THOROUGH=1 tests it"
    )
    def test_of_several_that_ask_at_once_one_gets_the_lease(self, tables):
        """However many begin at the same time, also without a table, one gets the lease."""
        got, refused, start = [], [], threading.Barrier(3)

        def ask(name):
            lease = RunLease(tables, *WHERE, name)
            lease.acquire(force=False, say=quiet)
            start.wait()
            try:
                self.begin(lease)
            except RunLockedError:
                refused.append(name)
            else:
                got.append(name)

        threads = [threading.Thread(target=ask, args=(f"r{n}",)) for n in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (len(got), len(refused)) == (1, 2)
        assert tables.lease(*WHERE)["run_id"] == got[0]
