"""Commits of a run that are in effect, by the history of a table alone."""

from __future__ import annotations

from odibi_nb.core.model.provenance import BEFORE_CREATION, OutputWritten, TableCommit
from odibi_nb.core.rollback.lineage import author, effect_of


def history(*commits):
    """Commits, newest first, of (run, restores, rolls_back) in the order in which they were made."""
    made = [
        TableCommit(table="t", version=n, run_id=run, restores=restores, rolls_back=of)
        for n, (run, restores, of) in enumerate(commits)
    ]
    return made[::-1]


def test_the_version_before_the_first_commit_of_the_run():
    """Several commits of a run and its retries go back to before the first of them."""
    found = effect_of(
        history(("A", None, ""), ("X", None, ""), ("X", None, ""), ("Y", None, "")), {"X", "Y"}
    )
    assert found.restores == 0
    assert not found.others


def test_commits_that_a_restore_undid_are_not_in_effect():
    """After a RESTORE, by whomever, the commits between do not count, nor does the RESTORE itself."""
    undone = history(("A", None, ""), ("X", None, ""), ("", 0, ""))
    found = effect_of(undone, {"X"})
    assert not found.own
    assert found.undone.version == 2
    redone = history(("A", None, ""), ("X", None, ""), ("R", 0, "X"), ("Q", 1, "R"))
    assert effect_of(redone, {"X"}).restores == 0
    assert not effect_of(redone, {"X"}).others
    assert effect_of(redone, {"Q"}).restores == 2
    assert not effect_of(redone, {"R"}).own


def test_a_table_that_was_emptied_has_no_commits_in_effect():
    """A rollback that removed all rows of a created table is found again by its own mark."""
    emptied = history(("X", None, ""), ("R", BEFORE_CREATION, "X"))
    assert not effect_of(emptied, {"X"}).own
    assert effect_of(emptied, {"X"}).undone.version == 1
    written = history(("X", None, ""), ("R", BEFORE_CREATION, "X"), ("Z", None, ""))
    assert effect_of(written, {"Z"}).restores == 1


def test_an_atomic_run_that_took_its_commits_back_has_none_in_effect():
    """The commit by which a run takes back its own commits is not one of them."""
    assert not effect_of(history(("A", None, ""), ("X", None, ""), ("X", 0, "X")), {"X"}).own


def test_others_since_are_named_with_their_run_or_operation():
    """Later commits of others are reported; earlier ones do not matter."""
    found = effect_of(
        history(("A", None, ""), ("X", None, ""), ("Z", None, ""), ("X", None, ""), ("", None, "")),
        {"X"},
    )
    assert found.restores == 0
    assert [commit.version for commit in found.others] == [4, 2]
    assert author(found.others[1]) == "v2 (run Z)"


def test_a_commit_without_a_run_is_the_runs_own_only_if_the_log_is_sure():
    """The log helps for a commit without metadata if it has exactly one commit between its versions."""
    commits = history(("A", None, ""), ("", None, ""), ("", None, ""))
    sure = OutputWritten(table="t", mode="merge", previous_version=1, version=2)
    assert effect_of(commits, {"X"}, [sure]).restores == 1
    unsure = OutputWritten(table="t", mode="merge", previous_version=0, version=2)
    assert not effect_of(commits, {"X"}, [unsure]).own
