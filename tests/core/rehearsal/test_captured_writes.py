"""A table reads as if its captured writes had been done, at the versions of a past attempt."""

from __future__ import annotations

import pytest
from fakes import FakeTables

from odibi_nb.core.model.provenance import TableVersion
from odibi_nb.core.model.tables import TableName
from odibi_nb.core.model.transformation import Output
from odibi_nb.core.protocols import WriteInfo
from odibi_nb.core.rehearsal.captured_writes import CapturedWrites
from odibi_nb.core.rehearsal.past_inputs import PastInputs
from odibi_nb.errors import DataError

TABLE = TableName.parse("b.x")
INFO = WriteInfo(run_id="", transformation_id="S1", attempt=1)


class Tables(FakeTables):
    """Tables of lists, whose versions are in `kept`."""

    def __init__(self, *kept):
        super().__init__()
        self.kept = kept
        self.tables["b.x"] = kept[-1]

    def spark_session(self):
        return "the session"

    def versions(self, tables):
        return {t.key: TableVersion(table=t.key, version=len(self.kept) - 1) for t in tables}

    def read_version(self, table, version):
        return self.kept[version]

    def prepared(self, frame, output):
        return list(frame)

    def combined(self, before, frame, output):
        return [*before, *frame]

    def take(self, frame, portion):
        return list(frame)


def captured(tables, version=None):
    if version is None:
        return CapturedWrites(tables)
    known = {"b.x": TableVersion(table="b.x", version=version)}
    return CapturedWrites(tables, past=PastInputs(tables, known, None))


def write(frames, rows, mode="append", table="b.x"):
    assert frames.write(rows, Output(table=table, mode=mode), INFO) == len(rows)


@pytest.mark.parametrize(("version", "before"), [(None, [2]), (0, [1]), (1, [2])])
def test_an_append_adds_to_the_table_of_then(version, before):
    """Captured appends are added to the table as it is now, or as the past attempt read it."""
    frames = captured(Tables([1], [2]), version)
    write(frames, [8])
    write(frames, [9])
    assert frames.read(TABLE) == [*before, 8, 9]
    write(frames, [7], mode="overwrite")
    assert frames.read(TABLE) == [7]
    assert frames.tables.tables["b.x"] == [2]


def test_an_append_to_a_table_that_does_not_exist_creates_it():
    """The first captured write to a table makes it exist, and nothing is written."""
    tables = Tables([1])
    frames, new = captured(tables), TableName.parse("b.new")
    assert not frames.exists(new)
    write(frames, [8], table="b.new")
    assert frames.exists(new)
    assert frames.read(new) == [8]
    frames.close()
    assert not frames.exists(new)
    assert [*tables.tables] == ["b.x"]


def test_a_query_may_read_all_but_the_captured_tables():
    """A query of a table with captured writes is refused, because the lake does not have its new rows."""
    frames = captured(Tables([1]))
    write(frames, [8], table="b.new")
    assert frames.query("SELECT * FROM b.x") == ["SELECT * FROM b.x"]
    with pytest.raises(DataError, match=r"the query names b\.new, whose new rows are captured"):
        frames.query("SELECT * FROM b.new")
    assert frames.spark_session() == "the session"
