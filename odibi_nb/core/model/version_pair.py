"""Versions of a table before and after the writes of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from odibi_nb.core.model.provenance import OutputWritten, TableCommit


class VersionPair(NamedTuple):
    """Versions of a table before and after its writes; *before* is None if a write created it."""

    before: int | None
    after: int


def pair_of_outputs(outputs: Iterable[OutputWritten]) -> VersionPair | None:
    """Return the versions before and after *outputs*, all of one table; None if no output has a version."""
    pairs = [(one.previous_version, one.version) for one in outputs if one.version is not None]
    if not pairs:
        return None
    befores, afters = zip(*pairs, strict=True)
    return VersionPair(None if None in befores else min(befores), max(afters))


def pair_of_commits(commits: Iterable[TableCommit], run_id: str) -> VersionPair | None:
    """Return the versions before and after a run's commits; None if *commits* has none of the run."""
    numbers = [commit.version for commit in commits if commit.run_id == run_id]
    if not numbers:
        return None
    first = min(numbers)
    return VersionPair(first - 1 if first else None, max(numbers))
