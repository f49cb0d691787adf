"""Find the tables that a run wrote, and their versions before and after."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from odibi_nb.core.model.provenance import OutputWritten
from odibi_nb.core.model.tables import table_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from odibi_nb.core.model.provenance import TableCommit
    from odibi_nb.core.protocols import Row

_DECODER = msgspec.json.Decoder(list[OutputWritten])


class VersionPair(NamedTuple):
    """Versions of a table before and after its writes; *before* is None if a write created it."""

    before: int | None
    after: int


def outputs_of(record: Row) -> list[OutputWritten]:
    """Return the outputs in an attempt's record; an empty list if the record does not have them."""
    text = record.get("outputs_written")
    if isinstance(text, str) and text:
        with contextlib.suppress(msgspec.DecodeError):  # also a ValidationError: another program's
            return _DECODER.decode(text)
    return []


def written_tables(records: Iterable[Row]) -> dict[str, VersionPair]:
    """Return the versions of each table around all writes in *records*, by the table's key."""
    found: dict[str, VersionPair] = {}
    for output in [output for record in records for output in outputs_of(record)]:
        if output.version is None:
            continue
        pair = VersionPair(output.previous_version, output.version)
        if output.unchanged:
            pair = VersionPair(output.version, output.version)
        key = table_key(output.table)
        found[key] = _around(found[key], pair) if key in found else pair
    return found


def _around(one: VersionPair, other: VersionPair) -> VersionPair:
    befores = (one.before, other.before)
    known = [before for before in befores if before is not None]
    return VersionPair(None if None in befores else min(known), max(one.after, other.after))


def pair_of_commits(commits: Iterable[TableCommit], run_id: str) -> VersionPair | None:
    """Return the versions around the commits of a run; None if it has none among *commits*."""
    numbers = [commit.version for commit in commits if commit.run_id == run_id]
    if not numbers:
        return None
    first = min(numbers)
    return VersionPair(first - 1 if first else None, max(numbers))
