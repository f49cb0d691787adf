"""Contract of all engines for the writes of a retried row.

An engine's tests subclass `RetriedWrites` beside `EngineContract`, whose `make`, `rows` and `get` it uses.
"""

import contextlib
import copy
import subprocess
import sys

import pytest

from odibi_nb.core.model.tables import TableName
from odibi_nb.core.model.transformation import Output
from odibi_nb.core.protocols import WriteInfo
from odibi_nb.engines.delta.appends import Appends
from odibi_nb.errors import RevokedError

OTHER_PROCESS = """
import pathlib, sys, time
import pyarrow as pa
from deltalake import CommitProperties, write_deltalake
from deltalake.exceptions import CommitFailedError

uri, stop, pause, column = sys.argv[1], pathlib.Path(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
count = 0
patient = CommitProperties(max_commit_retries=1000)
print("begun", flush=True)
while not stop.exists():
    rows = pa.table({column: pa.array([1000 + count], pa.int64())})
    try:
        write_deltalake(uri, rows, mode="append", commit_properties=patient)
    except CommitFailedError:  # files were removed meanwhile; delta-rs does not add to that by itself
        continue
    count += 1
    print(count, flush=True)
    time.sleep(pause)
print(count, flush=True)
"""


@contextlib.contextmanager
def appending(uri, stop, pause, column="n"):
    """Start another process that appends 1000, 1001, … to a table.

    Yields:
        The list of its values, complete at the end, and a function that waits for its next append.
    """
    command = [sys.executable, "-c", OTHER_PROCESS, uri, str(stop), str(pause), column]
    rows = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "begun\n"
            yield rows, process.stdout.readline
        finally:
            stop.touch()
            said = process.stdout.read()
    assert process.returncode == 0
    rows.extend(range(1000, 1000 + int(said.split()[-1])))


def by(attempt=1, run="run-1", row="T_001", **more):
    """Return the writer of a write: run, row and attempt."""
    return WriteInfo(run_id=run, transformation_id=row, attempt=attempt, **more)


class RetriedWrites:
    """The tests; mix into a subclass of `EngineContract`."""

    removes_files = True
    """Whether the engine can take back what others have written after; if not, it refuses to."""

    odd = "é%20=x"
    """A partition's value that a path cannot have as it is."""

    def others_write_after(self):
        """Skip the test where `removes_files` is false."""
        if not self.removes_files:
            pytest.skip("this version of the engine refuses that")

    def append(self, engine, values, info, output="silver.t", **how):
        """Append rows with these values of column n."""
        frame = self.make([{"n": n} for n in values])
        engine.write(frame, Output(table=output, mode="append", **how), info)

    def values(self, engine, name="silver.t"):
        """All values of column n, sorted."""
        return sorted(row["n"] for row in self.get(engine, name))

    def test_a_retried_append_takes_the_place_of_the_first(self, engine):
        """An append of attempt 2 replaces the append of attempt 1, also with other data."""
        self.append(engine, [0], by(row="other"))
        self.append(engine, [1, 2], by(1))
        self.append(engine, [2, 3, 4], by(2))
        assert self.values(engine) == [0, 2, 3, 4]

    def test_an_attempt_may_append_several_times(self, engine):
        """All appends of one attempt count, and all appends of the attempt before are removed."""
        for n in (1, 2, 3):
            self.append(engine, [n], by(1))
        assert self.values(engine) == [1, 2, 3]
        self.append(engine, [1, 2], by(2))
        self.append(engine, [3], by(2))
        self.append(engine, [3], by(2))
        assert self.values(engine) == [1, 2, 3, 3]
        self.append(engine, [9], by(3))
        assert self.values(engine) == [9]

    def test_earlier_appends_are_taken_back_without_a_write(self, engine):
        """A retry can remove exactly the appends of attempt 1, before its own append or without one."""
        output = Output(table="silver.t", mode="append")
        engine.take_back(output, by(2))  # there is no table yet
        self.append(engine, [0], by(row="other"))
        self.append(engine, [1], by(1))
        self.append(engine, [2], by(1))
        engine.take_back(output, by(1))
        assert self.values(engine) == [0, 1, 2]
        engine.take_back(output, by(2))
        assert self.values(engine) == [0]
        self.append(engine, [3], by(2))
        engine.take_back(output, by(2))
        assert self.values(engine) == [0, 3]

    def test_what_others_appended_meanwhile_stays(self, engine):
        """Two rows append to one table; retrying one leaves the other's rows alone, and vice versa."""
        self.others_write_after()
        self.append(engine, [1], by(1, row="A"))
        self.append(engine, [10], by(1, row="B"))
        self.append(engine, [2], by(2, row="A"))
        self.append(engine, [20], by(2, row="B"))
        self.append(engine, [3], by(3, row="A"))
        assert self.values(engine) == [3, 20]

    def test_retried_appends_to_partitions(self, engine):
        """Files in partitions are taken back too, whatever their values are."""
        self.others_write_after()
        how = {"mode": "append", "partition_by": ("p",)}
        for attempt in (1, 2):
            frame = self.make([{"n": attempt, "p": p} for p in ("a/b c", self.odd, None)])
            engine.write(frame, Output(table="silver.t", **how), by(attempt))
            self.append_partition(engine)
        assert self.values(engine) == [0, 0, 2, 2, 2]

    def append_partition(self, engine):
        """Another row's append to the partitioned table."""
        frame = self.make([{"n": 0, "p": "a/b c"}])
        engine.write(frame, Output(table="silver.t", mode="append"), by(row="other"))

    def test_another_run_appends_anew(self, engine):
        """The same row in another run appends its own rows, whatever attempt it is."""
        self.append(engine, [1], by(1, run="run-1"))
        self.append(engine, [1], by(1, run="run-2"))
        self.append(engine, [1], by(2, run="run-3"))
        assert self.values(engine) == [1, 1, 1]

    def test_a_merge_is_done_again(self, engine):
        """A retried merge leaves one row per key, with the last attempt's values."""
        how = {"table": "silver.t", "mode": "merge", "keys": ("n",)}
        for attempt in (1, 2):
            rows = [{"n": n, "v": attempt} for n in (1, 2)]
            engine.write(self.make(rows), Output(**how), by(attempt))
            engine.write(self.make([{"n": 9, "v": 9}]), Output(**how), by(row="other"))
        assert self.get(engine) == [{"n": 1, "v": 2}, {"n": 2, "v": 2}, {"n": 9, "v": 9}]

    def test_an_overwrite_then_appends(self, engine):
        """A row that overwrites and then appends leaves the last attempt's rows."""
        for attempt in (1, 2):
            engine.write(self.make([{"n": attempt}]), Output(table="silver.t"), by(attempt))
            self.append(engine, [10 * attempt], by(attempt))
        assert self.values(engine) == [2, 20]

    def test_nobody_is_written_for_any_more(self, engine):
        """Right before the commit, a write checks if the attempt is still valid. If not, the table does not change."""

        def revoked():
            raise RevokedError("timed out")

        self.append(engine, [1], by(1))
        for attempt in (1, 2):
            with pytest.raises(RevokedError):
                self.append(engine, [2], by(attempt, check=revoked))
        assert self.values(engine) == [1]

    def test_a_run_that_repairs_others_replaces_their_appends(self, engine):
        """A run that retries earlier runs takes back their appends for the same row, once."""
        self.others_write_after()
        self.append(engine, [1], by(2, run="run-1"))
        self.append(engine, [2], by(2, run="run-1"))
        self.append(engine, [7], by(1, run="run-1", row="other"))
        self.append(engine, [3], by(1, run="run-2", repairs=("run-1",)))
        assert self.values(engine) == [3, 7]
        self.append(engine, [4], by(1, run="run-3", repairs=("run-2", "run-1")))
        self.append(engine, [5], by(1, run="run-3", repairs=("run-2", "run-1")))
        assert self.values(engine) == [4, 5, 7]

    rounds = 1
    """How often the next test goes through all that can happen to a row; more where writing is quick."""

    pause = 0.01
    """Seconds between the other process's appends: a slow writer never gets in between quick ones."""

    @contextlib.contextmanager
    def others(self, engine, tmp_path):
        """Give other writers that append after each step: a call for the next append, and their values at the end."""
        with appending(self.uri_of(engine), tmp_path / "stop", self.pause) as (values, next_append):
            yield values, next_append

    def another(self, engine):
        """An engine for the same lake without a memory, as in the process of the next run."""
        other = copy.copy(engine)
        other._appends = Appends()
        return other

    def uri_of(self, engine):
        """Return the place of silver.t, for another process."""
        return engine._lake.uri(TableName.parse("silver.t"))

    def test_retries_beside_another_process(self, engine, tmp_path):
        """After any failure or kill, and beside other writers, the others' rows stay and the row's
        own rows are there once.
        """
        self.others_write_after()
        self.append(engine, [0], by(row="other"))
        own, expected = 0, [0]
        with self.others(engine, tmp_path) as (others, step):
            for number in range(self.rounds):
                own += 10
                first, then = f"first-{number}", f"then-{number}"
                self.append(engine, [own, own + 1], by(1, first))
                step()
                self.append(engine, [own + 2], by(1, first))  # and fails
                step()
                self.append(engine, [own + 3], by(2, first))
                step()
                self.append(engine, [own + 4], by(2, first))  # and is killed
                step()
                engine = self.another(engine)
                repairs = {"repairs": (first,)}
                self.append(engine, [own + 5], by(1, then, **repairs))  # and fails
                step()
                self.append(engine, [own + 6], by(2, then, **repairs))
                step()
                self.append(engine, [own + 7], by(2, then, **repairs))
                step()
                self.append(engine, [own + 8], by(1, "new", f"row-{number}"))
                step()
                expected += [own + 6, own + 7, own + 8]
        assert len(others) > self.rounds
        assert self.values(engine) == sorted(expected + others)

    def test_the_log_knows_what_a_process_does_not(self, engine):
        """The next attempt takes back appends without a memory of them: the table's log is enough."""
        self.others_write_after()
        self.append(engine, [1], by(1))
        self.append(engine, [2], by(1))
        self.append(engine, [7], by(row="other"))
        engine = self.another(engine)
        self.append(engine, [3], by(2))
        self.append(engine, [4], by(2))
        assert self.values(engine) == [3, 4, 7]
