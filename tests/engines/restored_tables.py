"""Contract of all engines that restore tables."""

from __future__ import annotations

import pytest

from odibi_nb.core.model.provenance import BEFORE_CREATION
from odibi_nb.core.model.tables import TableName
from odibi_nb.core.model.transformation import Output
from odibi_nb.core.protocols import WriteInfo
from odibi_nb.errors import DataError

NAME = TableName.parse("silver.t")
ROLLBACK = WriteInfo(run_id="run-r", transformation_id="silver.t", attempt=1, rolls_back="run-1")


class RestoredTables:
    """The tests; a subclass has the fixture ``engine``, and makes frames and rows."""

    marks = True
    """Whether commits of the engine's restores name the run."""

    def make(self, rows):
        """A frame of the engine."""
        raise NotImplementedError

    def values(self, engine):
        """The sorted numbers in the table."""
        raise NotImplementedError

    def put(self, engine, *numbers, mode="overwrite", run="run-1"):
        frame = self.make([{"n": number} for number in numbers])
        info = WriteInfo(run_id=run, transformation_id="T", attempt=1)
        engine.write(frame, Output(table="silver.t", mode=mode), info)

    def version(self, engine):
        return engine.versions([NAME])[NAME.key].version

    def test_a_version_is_restored_in_one_commit_or_not_at_all(self, engine):
        """The commit has run and version. If the table is at another version than expected, nothing is written."""
        self.put(engine, 1, 2)
        self.put(engine, 3)
        now = self.version(engine)
        assert engine.outlook(NAME, now, restores=now - 1).problem == ""
        assert engine.restore(NAME, now - 1, ROLLBACK, expected=now) == now + 1
        assert self.values(engine) == [1, 2]
        newest = engine.commits(NAME, down_to=now + 1)[0]
        assert newest.restores == now - 1
        if self.marks:
            assert (newest.run_id, newest.rolls_back) == ("run-r", "run-1")
        with pytest.raises(DataError, match="another writer changed the table"):
            engine.restore(NAME, now, ROLLBACK, expected=now)
        assert self.version(engine) == now + 1

    def test_a_table_is_emptied_and_dropped(self, engine):
        """Emptying removes all rows in one commit with a mark of its own. Dropping has the same condition."""
        self.put(engine, 1, 2)
        now = self.version(engine)
        assert engine.restore(NAME, BEFORE_CREATION, ROLLBACK, expected=now) == now + 1
        assert self.values(engine) == []
        newest = engine.commits(NAME, down_to=now + 1)[0]
        assert (newest.restores, newest.rolls_back) == (BEFORE_CREATION, "run-1")
        with pytest.raises(DataError, match="another writer changed the table"):
            engine.drop(NAME, expected=now)
        engine.drop(NAME, expected=now + 1)
        assert not engine.exists(NAME)
        self.put(engine, 7)
        assert self.values(engine) == [7]
