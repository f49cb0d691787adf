"""Contract of all engines for the versions of their tables."""

import shutil
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from engines.contract import table

from odibi_nb.core.model.transformation import Output
from odibi_nb.core.protocols import WriteInfo
from odibi_nb.core.running.provenance import Provenance
from odibi_nb.errors import DataError, TableNotFoundError

T = table("silver.t")


class Versioned:
    """Tests for a subclass of `EngineContract` or of its parts."""

    merged_first = (2, 0, 0)
    """The counts of a merge of two rows that makes the table."""

    def newest(self, engine, name="silver.t"):
        """The newest version of a table."""
        return engine.versions([table(name)])[name.lower()]

    def test_the_newest_versions_come_in_one_pass(self, engine):
        """Each existing table has its number, its newest data change and its id. Missing tables are left out."""
        self.put(engine, [{"n": 1}])
        self.put(engine, [{"n": 2}])
        self.put(engine, [{"n": 2}], "silver.u")
        found = engine.versions([T, table("SILVER.U"), table("silver.nope")])
        assert set(found) == {"silver.t", "silver.u"}
        assert found["silver.t"].version == found["silver.t"].data_version == 1
        assert found["silver.t"].table_id not in {"", found["silver.u"].table_id}

    def test_commits_tell_who_made_them(self, engine):
        """The commits come newest first, down to a version, each with its author and its operation."""
        self.put(engine, [{"n": 1}])
        self.put(engine, [{"n": 1}, {"n": 2}])
        newest, first = engine.commits(T)
        assert (newest.version, first.version) == (1, 0)
        assert (newest.run_id, newest.transformation_id, newest.attempt) == ("run-1", "T_001", 2)
        assert newest.changes_data
        assert newest.at >= first.at
        assert engine.commits(T, down_to=1) == [newest]
        assert engine.commits(table("silver.nope")) == []

    def test_an_earlier_version_can_be_read(self, engine):
        """A version is read unchanged. A version that never existed is an error that names the table."""
        self.put(engine, [{"n": 1}])
        self.put(engine, [{"n": 2}])
        assert self.rows(engine.read_version(T, 0)) == [{"n": 1}]
        with pytest.raises(DataError, match=r"silver\.t.*version 7"):
            self.rows(engine.read_version(T, 7))
        with pytest.raises(TableNotFoundError):
            engine.read_version(table("silver.nope"), 0)

    def test_a_query_reads_tables_at_their_versions(self, engine):
        """Each table of a query is read at its own number, under an alias and in a join, too."""
        self.put(engine, [{"n": 1}])
        self.put(engine, [{"n": 1}, {"n": 2}])
        self.put(engine, [{"n": 1}, {"n": 2}], "silver.u")
        sql = "SELECT x.n FROM silver.t AS x JOIN Silver.U ON x.n = U.n"
        assert self.rows(engine.query_versions(sql, {"silver.t": 0})) == [{"n": 1}]
        frame, found = engine.query_newest(sql, {})
        self.put(engine, [{"n": 9}])
        assert self.rows(frame) == [{"n": 1}, {"n": 2}]
        assert {(one.table, one.version) for one in found} == {("silver.t", 1), ("silver.u", 0)}

    def test_a_frame_keeps_the_version_that_was_read(self, engine):
        """The frame has the rows of its version, also if another writer commits after the read."""
        self.put(engine, [{"n": 1}])
        frame, found = engine.read_newest(T)
        self.put(engine, [{"n": 2}])
        assert self.rows(frame) == [{"n": 1}]
        assert (found.table, found.version) == ("silver.t", 0)
        assert found.table_id == self.newest(engine).table_id
        assert self.newest(engine).data_version > found.version

    def test_a_table_that_was_created_again_is_another(self, engine):
        """A version with the same number in a recreated table is other data."""
        self.put(engine, [{"n": 1}])
        before = self.newest(engine)
        self.drop(engine)
        assert engine.versions([T]) == {}
        self.put(engine, [{"n": 1}])
        now = self.newest(engine)
        assert now.version == before.version
        assert now.table_id not in {"", before.table_id}

    @pytest.mark.parametrize(
        "how", [{}, {"mode": "append"}, {"mode": "merge", "keys": ("n",)}], ids=str
    )
    def test_a_write_tells_its_versions(self, engine, how):
        """Each commit has the versions after and before it. The first one creates the table."""
        told = []
        info = WriteInfo(run_id="r", transformation_id="T", attempt=1, wrote=told.append)
        output = Output(table="Silver.T", **how)
        for values in ([1, 2], [2]):
            engine.write(self.make([{"n": value} for value in values]), output, info)
        mode, table_id = output.mode, self.newest(engine).table_id
        assert {(one.table, one.mode, one.table_id) for one in told} == {
            ("silver.t", mode, table_id)
        }
        provenance = Provenance()
        for one in told:
            provenance.wrote(one)
        (written,) = provenance.outputs_written
        assert (written.previous_version, written.version) == (None, self.newest(engine).version)
        assert told[-1].previous_version == told[-1].version - 1
        assert told[-1].rows == 1
        counts = [(one.added, one.changed, one.removed) for one in (told[-2], told[-1])]
        changes = {"append": (1, 0, 0), "merge": (0, 1, 0)}
        first = self.merged_first if mode == "merge" else (2, 0, 0)
        assert counts == [first, changes.get(mode, (1, None, 2))]

    def drop(self, engine):
        """Drop the table."""
        shutil.rmtree(engine._lake.uri(T))


class VersionedPaths(Versioned):
    """The same contract, with other writers to tables at paths."""

    def delta(self, engine):
        """The table, as another writer opens it."""
        return DeltaTable(engine._lake.uri(T))

    def test_upkeep_changes_no_data(self, engine):
        """Compaction and VACUUM do not move the newest data change. RESTORE makes a new one."""
        self.put(engine, [{"n": 1}], mode="append")
        self.put(engine, [{"n": 2}], mode="append")
        self.delta(engine).optimize.compact()
        self.delta(engine).vacuum(200, dry_run=False)
        now = self.newest(engine)
        assert (now.version > 1, now.data_version) == (True, 1)
        assert [c.version for c in engine.commits(T) if c.changes_data] == [1, 0]
        self.delta(engine).restore(0)
        assert self.newest(engine).data_version == self.newest(engine).version

    def test_what_the_log_no_longer_has_is_unknown(self, engine):
        """If log cleanup has removed the last data change, the data counts as unknown."""
        self.put(engine, [{"n": 1}], mode="append")
        self.put(engine, [{"n": 2}], mode="append")
        before = self.newest(engine)
        self.delta(engine).optimize.compact()
        self.delta(engine).create_checkpoint()
        copy = Path(engine._lake.uri(table("silver.v")))  # nothing is known of it yet
        shutil.copytree(engine._lake.uri(T), copy)
        for number in (0, 1):
            (copy / "_delta_log" / f"{number:020}.json").unlink()
        now = self.newest(engine, "silver.v")
        assert (now.version, now.data_version, now.table_id) == (2, None, before.table_id)
        assert [c.version for c in engine.commits(table("silver.v"))] == [2]

    def test_a_write_beside_others_tells_its_own_version(self, engine):
        """The attempt's own version is found between commits of other writers."""
        self.put(engine, [{"n": 1}], mode="append")
        self.delta(engine).optimize.compact()
        told = []

        def others():
            write_deltalake(self.delta(engine), pa.table({"n": [5]}), mode="append")

        info = WriteInfo(
            run_id="r", transformation_id="T", attempt=1, check=others, wrote=told.append
        )
        engine.write(self.make([{"n": 2}]), Output(table="silver.t", mode="append"), info)
        others()
        own = [c.version for c in engine.commits(T) if c.run_id == "r"]
        assert [one.version for one in told] == own
        assert told[0].previous_version == own[0] - 1

    def test_rows_of_a_commit_follow_from_its_files(self, engine):
        """A commit has the row counts of the files that it added and removed."""
        self.put(engine, [{"n": 1}, {"n": 2}])
        self.put(engine, [{"n": 3}])
        newest, first = engine.commits(T)
        assert (newest.rows_added, newest.rows_removed) == (1, 2)
        assert (first.rows_added, first.rows_removed) == (2, 0)
        assert engine.commits(T, down_to=1) == [newest]
