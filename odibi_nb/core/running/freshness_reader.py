"""Read the facts that decide which rows of a project are fresh: log, code, tables and files."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from odibi_nb.core.model.tables import TableName
from odibi_nb.core.planning.freshness import Facts, config_of, judge, judge_rows, recorded
from odibi_nb.core.text.redaction import REDACTED, redact_text

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Collection, Iterator, Mapping

    from odibi_nb.core.functions.code_hash import Code, CodeReader
    from odibi_nb.core.functions.code_store import CodeStore
    from odibi_nb.core.model.provenance import FileRead, TableCommit, TableVersion
    from odibi_nb.core.planning.plan import PlannedRow
    from odibi_nb.core.planning.row_freshness import Freshness
    from odibi_nb.core.protocols import TableEngine
    from odibi_nb.core.runlog.past_attempts import PastOfRows


@dataclass(eq=False)
class RowCode:
    """Code and configuration of a plan's rows. Each is stored under its hash at its first use.

    *make_reader* is called when the first code is asked for.
    """

    make_reader: Callable[[], CodeReader]
    store: CodeStore

    @cached_property
    def reader(self) -> CodeReader:
        """The reader of the plan's code."""
        return self.make_reader()

    def read(self, row: PlannedRow) -> Code:
        """Return the code of the function of *row* and of its checks."""
        if row.fn is None:
            raise LookupError("its function cannot be loaded")
        one = row.transformation
        checks = [rule.fn for rule in row.checks if rule.fn is not None]
        return self.reader.read(row.fn, one.module, one.function, checks)

    def noted(self, row: PlannedRow, config_hash: str) -> str:
        """Store code and configuration. Return the hash of the code; "" if it is unclear."""
        code = self.read(row)
        self.store.keep_code(code)
        self.store.keep_config(config_hash, lambda: config_of(row))
        return code.digest

    def changed(self, row: PlannedRow, before: str) -> list[str]:
        """Return the names of the parts that differ from the code with the hash *before*."""
        old, new = self.store.parts(before), self.read(row).parts
        if old is None:
            return []
        names = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        return [*dict.fromkeys(name.rpartition(".")[2].rstrip("'") for name in sorted(names))]


@dataclass(eq=False, repr=False)
class FreshnessReader:
    """Reader of the facts about a plan's *rows*, for one run or one command.

    Args:
        rows: the rows to judge, upstream rows first.
        writers: returns the rows that write each table, from `odibi_nb.core.planning.freshness.writers_of`.
        past: past attempts of the rows.
        code: reads the code of the rows.
        tables: returns the engine with a given name.
        locate: returns the place of a file, by the environment's `locations`.
    """

    rows: Mapping[str, PlannedRow]
    writers: Callable[[], Mapping[str, Mapping[str, str]]]
    past: PastOfRows
    code: RowCode
    tables: Callable[[str], TableEngine]
    locate: Callable[[str], str]

    def __post_init__(self) -> None:
        self._versions: dict[str, dict[str, TableVersion]] = {}
        self._lock = threading.Lock()
        self.facts = Facts(
            past=self.past.past,
            runs=self.past.runs,
            writers=self.writers,
            code=self._code,
            changed_code=self.code.changed,
            config=self.code.store.config,
            version=self._version,
            commits=self._commits,
            committed_at=self._committed_at,
            fingerprint=self._fingerprint,
        )

    def judge(self) -> dict[str, Freshness]:
        """Return the verdict on each row."""
        return judge_rows(self.rows, self.facts)

    def look_again(self, row: PlannedRow, run_id: str) -> Freshness:
        """Return the verdict on *row* now, after upstream rows of the run *run_id* have written."""
        engine = self.tables(row.engine)
        versions = _versions(engine, _tables_of(row, self.facts))
        facts = replace(
            self.facts,
            runs=self.facts.runs | {run_id},
            version=lambda _row, key: versions.get(key),
        )
        return judge(row, facts)

    def _code(self, row: PlannedRow) -> tuple[str, tuple[str, ...]]:
        code = self.code.read(row)
        return code.digest, code.unclear

    def _version(self, row: PlannedRow, key: str) -> TableVersion | None:
        with self._lock:
            if row.engine not in self._versions:
                keys = {
                    key
                    for other in self.rows.values()
                    if other.engine == row.engine
                    for key in _tables_of(other, self.facts)
                }
                self._versions[row.engine] = _versions(self.tables(row.engine), keys)
            return self._versions[row.engine].get(key)

    def _commits(self, row: PlannedRow, key: str, down_to: int) -> list[TableCommit]:
        engine: Any = self.tables(row.engine)
        found: list[TableCommit] = engine.commits(TableName.parse(key), down_to=down_to)
        return found

    def _committed_at(self, row: PlannedRow, key: str, version: int) -> dt.datetime | None:
        read = getattr(self.tables(row.engine), "committed_at", None)
        found: dt.datetime | None = read and read(TableName.parse(key), version)
        return found

    def _fingerprint(self, row: PlannedRow, name: str) -> FileRead:
        engine: Any = self.tables(row.engine)
        place = _spelled(row, name)
        found: FileRead = engine.fingerprint(self.locate(place))
        return msgspec.structs.replace(found, file=name)


def _versions(engine: Any, keys: Collection[str]) -> dict[str, TableVersion]:
    read = getattr(engine, "versions", None)
    if read is None or not keys:
        return {}
    found: dict[str, TableVersion] = read([TableName.parse(key) for key in sorted(keys)])
    return found


def _tables_of(row: PlannedRow, facts: Facts) -> set[str]:
    """Return the keys of the tables that the last success of *row* read and wrote."""
    past = facts.past.get(row.id)
    if past is None or past.success is None:
        return set()
    keys: set[str] = set()
    for column in ("inputs_read", "outputs_written"):
        for one in recorded(past.success.get(column)) or ():
            keys |= {str(t["table"]) for t in (one, *(one.get("tables") or ())) if _is_table(t)}
    return keys


def _is_table(one: Any) -> bool:
    return isinstance(one, dict) and "table" in one and "connection" not in one


def _spelled(row: PlannedRow, name: str) -> str:
    """Return the place of the file that the log calls *name*, with the secrets that the log hides."""
    for text in _texts([row.transformation.inputs, row.transformation.constants]):
        if redact_text(text) == name:
            return text
    if REDACTED in name:
        raise LookupError("its place contains a secret that is not in the row")
    return name


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
