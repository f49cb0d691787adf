"""Find the version that a table had before a run, from the table's commits.

The commits decide. The run log only helps where a commit does not name its run.

A commit is in effect unless a later commit restored an older version. So a rollback of a run
ends the effect of the run's commits, and a rollback of that rollback restores it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from odibi_nb.core.model.provenance import BEFORE_CREATION

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from odibi_nb.core.model.provenance import OutputWritten, TableCommit


class Effect(NamedTuple):
    """The commits of a run on a table.

    ``own``     the run's commits that are in effect, newest first
    ``undone``  the newest commit that undid the run's commits; None if none did
    ``others``  the commits of others in effect since the run's first, newest first
    """

    own: tuple[TableCommit, ...]
    undone: TableCommit | None
    others: tuple[TableCommit, ...]

    @property
    def restores(self) -> int:
        """The version before the run's first commit; `BEFORE_CREATION` if that commit created the table."""
        return self.own[-1].version - 1 if self.own[-1].version else BEFORE_CREATION


def effect_of(
    commits: Sequence[TableCommit],
    run_ids: Collection[str],
    logged: Collection[OutputWritten] = (),
) -> Effect:
    """Return the effect of the runs *run_ids* on a table.

    Args:
        commits: the commits of the table, newest first, down to a version before these runs.
        run_ids: a run and its retries.
        logged: their writes to the table in the run log.
    """
    sure = {
        written.version
        for written in logged
        if written.version is not None and written.version == _before(written) + 1
    }

    def is_own(commit: TableCommit) -> bool:
        if commit.rolls_back and commit.rolls_back in run_ids:
            return False  # an atomic run takes back its own commits
        return commit.run_id in run_ids or (not commit.run_id and commit.version in sure)

    in_effect = [*_in_effect(commits)]
    own = tuple(commit for commit in in_effect if is_own(commit))
    kept = {commit.version for commit in in_effect}
    undone = None
    if not own and any(is_own(commit) for commit in commits if commit.version not in kept):
        undone = next((commit for commit in in_effect if commit.restores is not None), None)
    # A commit that restored a version is not of others: the rows that it restored are the rows of other
    # commits in effect.
    others = tuple(
        commit
        for commit in in_effect
        if own
        and commit.version > own[-1].version
        and commit.changes_data
        and commit.restores is None
        and not is_own(commit)
    )
    return Effect(own, undone, others)


def _before(written: OutputWritten) -> int:
    return BEFORE_CREATION if written.previous_version is None else written.previous_version


def _in_effect(commits: Sequence[TableCommit]) -> Iterator[TableCommit]:
    """Yield the commits that no later commit undid, newest first. *commits* are newest first."""
    newest: int | None = None
    for commit in commits:
        if newest is not None and commit.version > newest:
            continue
        yield commit
        if commit.restores is not None and commit.restores < commit.version:
            newest = commit.restores


def author(commit: TableCommit) -> str:
    """Return version and author of *commit* for a message."""
    when = "" if commit.at is None else f", {commit.at:%Y-%m-%d %H:%M}"
    if not commit.run_id:
        return f"v{commit.version} ({commit.operation or 'unknown operation'}{when})"
    row = f", {commit.transformation_id}" if commit.transformation_id else ""
    return f"v{commit.version} (run {commit.run_id}{row}{when})"
