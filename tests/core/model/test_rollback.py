"""The steps of a rollback, in words."""

from __future__ import annotations

from odibi_nb.core.model.rollback import NOTHING, TableRollback


def test_a_step_names_its_action_the_version_and_the_rows():
    """A step is its action, the restored version, and the rows that leave and come back."""
    step = TableRollback(table="silver.x", restores=3, rows_removed=1200, rows_restored=0)
    assert step.what() == "restore to v3 −1,200 +0"
    assert step.writes


def test_a_table_without_a_change_says_why():
    """A table that stays as it is has its remark as its action."""
    step = TableRollback(table="silver.x", action=NOTHING, note="restored already")
    assert step.what() == "restored already"
    assert TableRollback(table="silver.x", action=NOTHING).what() == "nothing to do"
    assert not step.writes
