"""The tables that runs wrote, as the run log, the journals and the registry show them."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from odibi_nb.core.model.checks import quarantine_of
from odibi_nb.core.model.events import Status
from odibi_nb.core.model.provenance import OutputWritten
from odibi_nb.core.model.rollback import ROW_PREFIX
from odibi_nb.core.model.tables import TableName
from odibi_nb.core.runlog.journal import read_journal, runs_folder
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from odibi_nb.core.protocols import Row

_outputs = msgspec.json.Decoder(list[OutputWritten])
_inputs = msgspec.json.Decoder(list[dict[str, Any]])


@dataclass(slots=True, kw_only=True)
class WrittenTable:
    """A table that a run wrote, or may have written.

    Attributes:
        name: the table's name.
        writers: ids of the rows that wrote it.
        layers: the layers of these rows.
        logged: these writes in the run log.
        readers: keys of the tables whose rows read this one.
    """

    name: TableName
    writers: dict[str, None] = field(default_factory=dict)
    layers: set[str] = field(default_factory=set)
    logged: list[OutputWritten] = field(default_factory=list)
    readers: set[str] = field(default_factory=set)


def written_tables(
    records: Sequence[Row],
    *,
    state_dir: Path,
    declared: Callable[[], Mapping[str, Sequence[str]]],
    in_lake: Callable[[], Sequence[TableName]] = tuple,
    rollbacks: Iterable[str] = (),
) -> dict[str, WrittenTable]:
    """Return the tables that runs wrote, by key.

    Args:
        records: the records of the runs' attempts.
        state_dir: the folder of the journals.
        declared: returns the outputs of the registry's rows by id. Called only if log and journal do
            not have the outputs of a row.
        in_lake: returns all tables of the lake. Called only if a process died in one of the runs: its
            rows may have written tables that no log names.
        rollbacks: ids of the runs that are rollbacks. Their rows are named like their tables.
    """
    sources = _Sources(
        planned=_planned_outputs(state_dir, {str(record["run_id"]) for record in records}),
        declared=cache(declared),
        rollbacks={*rollbacks},
    )
    found: dict[str, WrittenTable] = {}
    reads: dict[str, set[str]] = defaultdict(set)
    for record in records:
        logged = _decoded(_outputs, record.get("outputs_written"))
        names = sources.names(record, [written.table for written in logged])
        keys = [*_noted(found, names, record)]
        for written in logged:
            if written.table in found and not written.unchanged:
                found[written.table].logged.append(written)
        for key in keys:
            reads[key] |= _tables_read(record)
    if any(record["status"] == Status.ABANDONED.value for record in records):
        for table in in_lake():
            found.setdefault(table.key, WrittenTable(name=table))
    for key, tables in reads.items():
        for read in tables & found.keys() - {key}:
            found[read].readers.add(key)
    return found


@dataclass(slots=True, kw_only=True)
class _Sources:
    """The sources of the tables that a row may have written, beside the log."""

    planned: Mapping[str, Sequence[str]]
    declared: Callable[[], Mapping[str, Sequence[str]]]
    rollbacks: set[str]

    def names(self, record: Row, logged: Sequence[str]) -> list[str]:
        """Return the names of the tables that the attempt of *record* may have written."""
        row = str(record["transformation_id"])
        names = [*(self.planned.get(row) or ()), *logged]
        if record["run_id"] in self.rollbacks:
            names.append(row.removeprefix(ROW_PREFIX))
        elif not names and record["attempt"] != 0:
            names = [*self.declared().get(row, ())]
        if "quarantine" in str(record.get("checks") or ""):
            with contextlib.suppress(DataError):  # a row's own word for a place that is no table
                names += [quarantine_of(name) for name in names]
        return names


def _noted(found: dict[str, WrittenTable], names: Iterable[str], record: Row) -> Iterator[str]:
    """Add the tables *names*, which the attempt of *record* may have written. Yield their keys."""
    for name in names:
        try:
            table = TableName.parse(name)
        except DataError:  # a row's own word for a place that is no table
            continue
        written = found.setdefault(table.key, WrittenTable(name=table))
        written.writers[str(record["transformation_id"])] = None
        written.layers |= {str(record["layer"])} if record.get("layer") else set()
        yield table.key


def _planned_outputs(state_dir: Path, run_ids: Iterable[str]) -> dict[str, list[str]]:
    """Return the output tables of each row that started, from the journals that still exist."""
    found: dict[str, list[str]] = {}
    for run_id in run_ids:
        for line in read_journal(runs_folder(state_dir) / run_id):
            tables = line.get("output_tables")
            if isinstance(tables, list) and line.get("transformation_id"):
                names = [name for name in tables if isinstance(name, str)]
                found.setdefault(line["transformation_id"], []).extend(names)
    return {row: [*dict.fromkeys(names)] for row, names in found.items()}


def _decoded(decoder: Any, text: Any) -> Any:
    try:
        return decoder.decode(text) if isinstance(text, str) and text else []
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return []


def _tables_read(record: Row) -> set[str]:
    """Return the keys of the lake's tables that the attempt of *record* read. A database's are none of them."""
    return {
        read["table"]
        for item in _decoded(_inputs, record.get("inputs_read"))
        for read in (item, *(item.get("tables") or ()))
        if isinstance(read, dict)
        and isinstance(read.get("table"), str)
        and "connection" not in read
    }
