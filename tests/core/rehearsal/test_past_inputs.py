"""A rehearsal reads each table as the past attempt read it, and names the inputs that it cannot read so."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from odibi_nb.core.model.provenance import (
    ConnectionRead,
    FileRead,
    QueryRead,
    TableCommit,
    TableVersion,
    UnversionedTable,
)
from odibi_nb.core.model.tables import TableName
from odibi_nb.core.rehearsal.past_attempts import PastAttempt, reads_in
from odibi_nb.core.rehearsal.past_inputs import PastInputs, difference, not_as_they_were
from odibi_nb.core.text.json import as_json
from odibi_nb.errors import TableNotFoundError

BEGAN = dt.datetime(2026, 1, 2, tzinfo=dt.timezone.utc)
HOUR = dt.timedelta(hours=1)
TABLE = TableName.parse("b.x")


class History:
    """An engine whose tables have commits at these times."""

    def __init__(self, *times, first=0):
        self.times, self.first = times, first

    def commits(self, table, *, down_to=0):
        made = [
            TableCommit(table=table.key, version=self.first + n, at=at)
            for n, at in enumerate(self.times)
        ]
        return made[::-1]


def inputs(engine, began=BEGAN, **tables):
    return PastInputs(engine, tables, began)


def test_a_table_that_the_attempt_did_not_read_is_read_as_it_was_then():
    """The version of a table that the log does not name is the newest one from before the attempt."""
    past = inputs(History(BEGAN - 2 * HOUR, BEGAN - HOUR, BEGAN + HOUR))
    assert [past.version_of(TABLE) for _ in range(2)] == [1, 1]
    assert past.existed(TABLE) is True


def test_a_table_that_was_created_later_did_not_exist():
    """A table whose first commit is later than the attempt is reported as missing, as it was then."""
    past = inputs(History(BEGAN + HOUR))
    assert past.existed(TABLE) is False
    with pytest.raises(TableNotFoundError, match="did not exist when the attempt began"):
        past.version_of(TABLE)


@pytest.mark.parametrize(
    ("engine", "began"),
    [(History(BEGAN), None), (History(), BEGAN), (History(BEGAN + HOUR, first=7), BEGAN)],
    ids=["no start of the attempt", "no commits", "the first commits are gone"],
)
def test_what_cannot_be_known_of_then_is_read_as_it_is_now(engine, began):
    """Without a start of the attempt, or without a complete history, the newest version is read."""
    past = inputs(engine, began)
    assert past.existed(TABLE) is None
    assert past.version_of(TABLE) is None


def attempt(*reads, **columns):
    return PastAttempt({"run_id": "r", "transformation_id": "S1", **columns}, {}, reads)


def test_inputs_without_versions_are_named():
    """Databases, views and views of a query may differ from then; a table with a version is read as it was."""
    known = TableVersion(table="b.x", version=1)
    view = UnversionedTable(table="b.view")
    past = attempt(
        known,
        view,
        ConnectionRead(connection="erp", table="orders"),
        ConnectionRead(connection="erp", query_hash="1"),
        QueryRead(query="q", sql_hash="2", tables=(known, UnversionedTable(table="b.inner"))),
    )
    unknown = "has no known version in the log (a view, or it did not exist): it may differ"
    assert not_as_they_were(past, lambda file: None) == [
        f"b.view {unknown}",
        "orders of database erp has no versions: read as it is now",
        "a query of database erp has no versions: read as it is now",
        f"b.inner {unknown}",
    ]


@pytest.mark.parametrize("now", [None, FileRead(file="in.csv")])
def test_a_file_that_cannot_be_looked_at_may_have_changed(now):
    """Without a fingerprint of the file now, the note does not claim that it is unchanged."""
    past = attempt(FileRead(file="in.csv", size=1))
    assert not_as_they_were(past, lambda file: now) == [
        "file in.csv has no versions, and may have changed: read as it is now"
    ]


FILE = FileRead(file="in.csv", size=2_000, modified=1, etag="a", listing="l")


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({}, ""),
        ({"count": 3, "size": 10}, "1 → 3 files, 2,000 → 10 bytes"),
        ({"modified": 2, "etag": "b"}, "a different modification time"),
        ({"listing": "other"}, "a different modification time"),
        ({"etag": "b"}, "replaced by a file of equal size and time"),
        ({"etag": ""}, ""),
    ],
)
def test_fingerprints_of_a_file_are_compared_in_words(changed, text):
    """Number and size of the files say most, then their times, then the identity of the file."""
    assert difference(FILE, msgspec.structs.replace(FILE, **changed)) == text


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (as_json({"overrides": {"S1": {"b": 1, "a": 2}}}), ["a", "b"]),
        (as_json({"overrides": {"S2": {"b": 1}}}), []),
        (None, []),
        ("torn {", []),
        ("[1]", []),
    ],
)
def test_a_damaged_record_of_the_options_has_no_overrides(options, names):
    """The overridden constants of a past run are named; a damaged record has none."""
    past = attempt()
    record = {"options": options}
    assert PastAttempt(past.record, record, past.reads).overridden() == names


def test_the_inputs_of_a_query_are_its_tables():
    """A query counts with the versions of its tables, and the first version of a table is kept."""
    text = as_json(
        [
            {"table": "b.x", "version": 1},
            {"query": "q", "tables": [{"table": "b.x", "version": 2}, {"table": "b.view"}]},
            {"file": "in.csv", "size": 1},
            {"connection": "erp"},
        ]
    )
    past = attempt(*reads_in(text))
    assert past.tables() == {
        "b.x": TableVersion(table="b.x", version=1),
        "b.view": UnversionedTable(table="b.view"),
    }
    assert str(attempt(status="FAILED", attempt=2)) == "run r (FAILED, attempt 2)"
