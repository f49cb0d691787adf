"""The newest success and the last attempt of each row, for the freshness of a project."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, NamedTuple

from odibi_nb.core.model.events import Status
from odibi_nb.core.planning.freshness import Past
from odibi_nb.core.runlog.history import KnownRuns

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from odibi_nb.core.protocols import BaseLogSink, Row

BATCHES = (1, 4, 15)
"""Numbers of runs to read at a time, newest first. Most rows have a success in the newest runs."""


class PastOfRows(NamedTuple):
    """Past attempts by transformation id, and the ids of all runs that the log has."""

    past: dict[str, Past]
    runs: frozenset[str]


def past_of_rows(
    sinks: Sequence[BaseLogSink],
    project: str,
    env: str,
    names: Collection[str],
    dead: Sequence[tuple[Row, list[Row]]] = (),
) -> PastOfRows:
    """Return the past of the rows *names*, in the runs that `KnownRuns` finds."""
    known = KnownRuns(sinks, project, env, dead)
    order = [run["run_id"] for run in known.runs]
    position = {run_id: len(order) - i for i, run_id in enumerate(order)}
    found = _Found(position)
    rest = list(order)
    for size in BATCHES:
        batch, rest = rest[:size], rest[size:]
        found.add(known.attempts(batch))
        if not rest or found.success.keys() >= set(names):
            break
    missing = {name for name in names if name not in found.success}
    if missing and rest:
        found.add(next((rows for s in sinks if (rows := s.successes(project, env, missing))), []))
    return PastOfRows({name: found.past(name) for name in names}, frozenset(order))


class _Found:
    def __init__(self, position: dict[str, int]) -> None:
        self.position = position
        self.success: dict[str, Row] = {}
        self.last: dict[str, Row] = {}

    def add(self, records: Sequence[Row]) -> None:
        for record in records:
            name, status = record["transformation_id"], record["status"]
            if not record["attempt"] or status == Status.UNCHANGED.value:
                continue  # it was not started, or it only confirmed an earlier success
            self._keep_newest(self.last, name, record)
            if status == Status.SUCCESS.value:
                self._keep_newest(self.success, name, record)

    def _keep_newest(self, known: dict[str, Row], name: str, record: Row) -> None:
        if name not in known or self._age(record) > self._age(known[name]):
            known[name] = record

    def _age(self, record: Row) -> tuple[int, float, int]:
        end = record["end_time"]
        seconds = end.timestamp() if isinstance(end, dt.datetime) else 0.0
        position = self.position.get(record["run_id"], 0)
        # The times of runs that the log of runs does not have are all that orders them.
        return position, 0.0 if position else seconds, record["attempt"] or 0

    def past(self, name: str) -> Past:
        success = self.success.get(name)
        position = -1 if success is None else self.position.get(success["run_id"], 0)
        return Past(success, position, self.last.get(name))
