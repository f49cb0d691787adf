"""The difference between two versions of a table, in one line."""

from __future__ import annotations

from odibi_nb.core.model.table_diff import RowDifference, TableDiff


def test_a_difference_is_one_line():
    """The line has the table, the versions and the counts, and says if the sides are equal."""
    rows = RowDifference(added=1204, removed=2)
    assert (
        TableDiff(table="a.b", before=1, after=2, rows=rows).summary() == "a.b v1 → v2: +1,204 −2"
    )
    assert TableDiff(table="a.b", before=1, after=1).summary() == "a.b v1 → v1: +0 −0 (equal)"


def test_a_table_may_be_missing_on_one_side_or_on_both():
    """A table that only one side has is a difference, even without rows; one that neither has is not."""
    assert TableDiff(table="a.b", before=None, after=0)
    assert TableDiff(table="a.b", before=None, after=0).summary() == "a.b none → v0: +0 −0"
    assert not TableDiff(table="a.b", before=None, after=None)
    assert TableDiff(table="a.b", before=None, after=None).summary() == "a.b: does not exist"
