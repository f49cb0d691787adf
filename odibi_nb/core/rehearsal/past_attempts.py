"""Attempts of a transformation in past runs, and the data that they read."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from odibi_nb.core.model.provenance import (
    ConnectionRead,
    FileRead,
    InputRead,
    QueryRead,
    TableVersion,
    UnversionedTable,
)
from odibi_nb.core.runlog.history import LAST, RUNS_SEARCHED, past_attempts, past_runs
from odibi_nb.core.runlog.record import json_object
from odibi_nb.core.text.json import decode_json
from odibi_nb.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Sequence

    from odibi_nb.core.model.tables import TableName
    from odibi_nb.core.protocols import Row
    from odibi_nb.core.running.orchestrator import Orchestrator

SUCCESS, FAILED = "SUCCESS", "FAILED"
_FIRST_RUNS = 8
_MOST_KNOWN = 20


@dataclass(frozen=True, slots=True)
class PastAttempt:
    """One attempt in the run log.

    Attributes:
        record: the record of the attempt.
        run: the record of its run.
        reads: the inputs that it read, in order; None if the log does not have them.
    """

    record: Row
    run: Row
    reads: tuple[InputRead, ...] | None

    @property
    def run_id(self) -> str:
        """Id of the run."""
        return str(self.record["run_id"])

    @property
    def status(self) -> str:
        """Status of the attempt."""
        return str(self.record["status"])

    @property
    def began(self) -> dt.datetime | None:
        """Start of the attempt (UTC)."""
        began: dt.datetime | None = self.record.get("start_time")
        return began

    def __str__(self) -> str:
        number = self.record.get("attempt") or 1
        which = f", attempt {number}" if number > 1 else ""
        return f"run {self.run_id} ({self.status}{which})"

    def overridden(self) -> list[str]:
        """Return the names of the row's constants that the run replaced."""
        overrides = json_object(self.run.get("options")).get("overrides") or {}
        try:
            return sorted(overrides.get(self.record["transformation_id"]) or {})
        except (AttributeError, TypeError):  # the record of another version
            return []

    def packages(self) -> dict[str, str]:
        """Return the versions of the packages in the run, by name."""
        versions = json_object(self.run.get("versions"))
        return {name: v for name, v in versions.items() if isinstance(v, str) and v}

    def tables(self) -> dict[str, TableVersion | UnversionedTable]:
        """Return the tables that the attempt read, itself or by queries, by key."""
        found: dict[str, TableVersion | UnversionedTable] = {}
        for read in self.reads or ():
            for one in read.tables if isinstance(read, QueryRead) else (read,):
                if isinstance(one, TableVersion | UnversionedTable):
                    found.setdefault(one.table, one)
        return found


def attempts_of(project: Orchestrator, transformation_id: str) -> Iterator[PastAttempt]:
    """Yield the attempts of a transformation that started, newest first.

    The log is read in parts that grow, because most callers want the newest attempts only.
    """
    found = past_runs(project.sinks(), RUNS_SEARCHED, project.project, project.env)
    start, size = 0, _FIRST_RUNS
    while start < len(found):
        yield from _attempts_in(project, transformation_id, found[start : start + size])
        start, size = start + size, size * 2


def _attempts_in(
    project: Orchestrator, transformation_id: str, runs: Sequence[Row]
) -> Iterator[PastAttempt]:
    """Yield the attempts of a transformation in *runs*, in the order of the runs, the last ones first."""
    by_id = {run["run_id"]: (i, run) for i, run in enumerate(runs)}
    records = [
        record
        for record in past_attempts(project.sinks(), [*by_id])
        if record["transformation_id"] == transformation_id and record.get("attempt")
    ]
    records.sort(key=lambda r: (by_id[r["run_id"]][0], -(r["attempt"] or 0)))
    for record in records:
        yield PastAttempt(record, by_id[record["run_id"]][1], _reads_of(record))


def attempt_in(
    project: Orchestrator, transformation_id: str, run_id: str, *, failed: bool = False
) -> PastAttempt:
    """Return the last attempt of a transformation in a run; if *failed*, the last one that failed.

    ``last`` is the newest run with such an attempt.

    Raises:
        ConfigurationError: if the run log lacks the attempt or its inputs.
    """
    if run_id == LAST:
        attempts = attempts_of(project, transformation_id)
    else:
        runs = past_runs(project.sinks(), RUNS_SEARCHED, project.project, project.env)
        mine = [run for run in runs if run["run_id"] == run_id]
        attempts = _attempts_in(project, transformation_id, mine)
    found = next((a for a in attempts if not failed or a.status == FAILED), None)
    if found is not None and found.reads is None:
        raise ConfigurationError(f"--run {run_id}", [f"the run log lacks the inputs of {found}"])
    if found is not None:
        return found
    what = f"{'failed ' if failed else ''}attempt of {transformation_id!r}"
    if run_id == LAST:
        where = f"the last {RUNS_SEARCHED} runs"
    else:
        known = [a.run_id for a in islice(attempts_of(project, transformation_id), _MOST_KNOWN)]
        newest = f"; its newest is in {known[0]}" if known else ""
        where = f"run {run_id!r}{did_you_mean(run_id, known) or newest}"
    raise ConfigurationError(f"--run {run_id}", [f"the run log has no {what} in {where}"])


def _reads_of(record: Row) -> tuple[InputRead, ...] | None:
    """Return the inputs of an attempt. The column is empty, too, if the attempt read nothing."""
    nothing = not record.get("inputs_read") and record.get("code_hash")
    return () if nothing else reads_in(record.get("inputs_read"))


def reads_in(text: Any) -> tuple[InputRead, ...] | None:
    """Return the inputs in a value of the column ``inputs_read``.

    None means that they are not known: the column is empty, because an older version wrote it, or its
    text is damaged.
    """
    if not isinstance(text, str) or not text:
        return None
    try:
        items = decode_json(text)
        return tuple(_reads(items))
    except (ValueError, TypeError, AttributeError, msgspec.ValidationError):
        return None


def _reads(items: Sequence[dict[str, Any]]) -> Iterator[InputRead]:
    kinds: dict[str, Any] = {
        "query": QueryRead,
        "file": FileRead,
        "connection": ConnectionRead,
        "version": TableVersion,
    }
    for item in items:
        kind = next((kind for key, kind in kinds.items() if key in item), UnversionedTable)
        if kind is QueryRead:
            tables = tuple(_reads(item.get("tables", ())))
            kept = tuple(t for t in tables if isinstance(t, TableVersion | UnversionedTable))
            yield QueryRead(query=item["query"], sql_hash=item.get("sql_hash", ""), tables=kept)
        else:
            yield msgspec.convert(item, kind)


def version_in_run(project: Orchestrator, table: TableName, run_id: str) -> int:
    """Return the version of *table* that a run wrote; if it wrote none, the version that it read last.

    ``last`` is the newest run.

    Raises:
        ConfigurationError: if the run is not in the run log, or neither wrote nor read the table.
    """
    runs = past_runs(project.sinks(), RUNS_SEARCHED, project.project, project.env)
    found = [run["run_id"] for run in runs if run_id in {LAST, run["run_id"]}][:1]
    if not found:
        hint = did_you_mean(run_id, [run["run_id"] for run in runs])
        raise ConfigurationError(f"run {run_id!r}", [f"the run log has no such run{hint}"])
    wrote, read = [], []
    for record in past_attempts(project.sinks(), found):
        wrote += _written(record, table.key)
        tables = PastAttempt(record, {}, reads_in(record.get("inputs_read"))).tables()
        one = tables.get(table.key)
        read += [one.version] if isinstance(one, TableVersion) else []
    if not wrote and not read:
        message = f"the run log has no version of {table} that this run wrote or read"
        raise ConfigurationError(f"run {found[0]}", [message])
    return max(wrote or read)


def _written(record: Row, key: str) -> list[int]:
    """Return the versions of a table that an attempt wrote."""
    try:
        outputs = decode_json(record.get("outputs_written") or "[]")
        return [o["version"] for o in outputs if o["table"] == key and o.get("version") is not None]
    except (ValueError, TypeError, KeyError, AttributeError):
        return []
