"""Decide for each row if a run would write the same outputs again.

The verdict follows from metadata alone: the row's newest success in the run log, and the present state
of its code, configuration, inputs and outputs. A row is fresh only if every fact is known and equal. A
missing fact makes it unknown, so that it runs.

This module reads nothing itself: it gets its facts from `Facts`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from odibi_nb.core.model.checks import quarantine_of
from odibi_nb.core.model.provenance import FileRead, OutputWritten, TableCommit, TableVersion
from odibi_nb.core.model.tables import is_location, table_key
from odibi_nb.core.planning.row_freshness import (
    WILL_RUN,
    Freshness,
    Reason,
    StaleCause,
)
from odibi_nb.core.text.json import as_json, decode_json
from odibi_nb.core.text.name_lists import some_of
from odibi_nb.core.text.redaction import redact, redact_text

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from odibi_nb.core.model.transformation import Transformation
    from odibi_nb.core.planning.plan import PlannedRow

MAX_NAMED = 4
MAX_SHOWN = 40
ALWAYS_RUN = "always_run"
"""The key of ``constants`` that keeps a row from ever being fresh."""
SHARING = frozenset({"append", "merge"})
"""Modes of rows that share a table on purpose."""


class Past(NamedTuple):
    """Past attempts of one row.

    ``success``   the record of its newest success; None without one
    ``position``  the place of that success's run: greater for later runs
    ``last``      the record of its last attempt that started; None if it never did
    """

    success: Mapping[str, Any] | None = None
    position: int = -1
    last: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """Facts about a project, of which each function may raise an exception if a fact is not known.

    Attributes:
        past: past attempts by id.
        runs: ids of this project's runs in this environment.
        writers: returns the key of each table with the rows that write it, and their modes.
        code: returns the hash of a row's code and the reasons why it is unclear.
        changed_code: returns the names that differ between the codes of two hashes, or [].
        config: returns the configuration with a hash, or None.
        version: returns the newest version of the table with a key, or None.
        commits: returns the commits of the table with a key, newest first, down to a version.
        committed_at: returns the time of the commit that made a version of the table with a key, or None.
        fingerprint: returns the present fingerprint of a file.
    """

    past: Mapping[str, Past]
    runs: frozenset[str]
    writers: Callable[[], Mapping[str, Mapping[str, str]]]
    code: Callable[[PlannedRow], tuple[str, tuple[str, ...]]]
    changed_code: Callable[[PlannedRow, str], list[str]]
    config: Callable[[str], Mapping[str, Any] | None]
    version: Callable[[PlannedRow, str], TableVersion | None]
    commits: Callable[[PlannedRow, str, int], list[TableCommit]]
    committed_at: Callable[[PlannedRow, str, int], dt.datetime | None] = field(
        default=lambda _row, _key, _version: None
    )
    fingerprint: Callable[[PlannedRow, str], FileRead]


def judge_rows(rows: Mapping[str, PlannedRow], facts: Facts) -> dict[str, Freshness]:
    """Return the verdict on each row. *rows* are in an order in which upstream rows come first.

    A fresh row waits for the rows that are not fresh and that it needs, or that overwrite a table which
    it writes: see `Freshness.waits`.
    """
    own = {name: judge(row, facts) for name, row in rows.items()}
    overwriters = _overwriters(rows)
    running = {name for name, verdict in own.items() if verdict.reasons}
    while True:
        verdicts = {
            name: _waiting(own[name], row, running, overwriters) for name, row in rows.items()
        }
        now = {name for name, verdict in verdicts.items() if verdict.reasons}
        if now == running:
            return verdicts
        running = now


def _waiting(
    own: Freshness,
    row: PlannedRow,
    running: set[str],
    overwriters: Mapping[str, Sequence[str]],
) -> Freshness:
    """Return *own*, the verdict on *row*, with the reasons that follow from the *running* rows."""
    reasons = [
        Reason(StaleCause.UPSTREAM, f"upstream {other} {WILL_RUN}", other)
        for other in row.upstream
        if other in running
    ]
    for target in row.transformation.targets:
        shared = overwriters.get(table_key(target.table), ()) if target.mode in SHARING else ()
        for other in shared:
            if other != row.id and other in running:
                text = f"{other}, which replaces {target.table}, {WILL_RUN}"
                reasons.append(Reason(StaleCause.UPSTREAM, text, other))
    return msgspec.structs.replace(own, reasons=(*own.reasons, *reasons)) if reasons else own


def _overwriters(rows: Mapping[str, PlannedRow]) -> dict[str, list[str]]:
    """Return the ids of the rows that replace each table, by its key."""
    found: dict[str, list[str]] = {}
    for name, row in rows.items():
        for target in row.transformation.targets:
            if target.mode not in SHARING:
                found.setdefault(table_key(target.table), []).append(name)
    return found


def judge(row: PlannedRow, facts: Facts) -> Freshness:
    """Return the verdict on *row* alone, regardless of its upstream rows."""
    past = facts.past.get(row.id, Past())
    if past.success is None:
        tried = "" if past.last is None else f", and its last attempt {_ended(past.last)}"
        return Freshness(reasons=(Reason(StaleCause.NEW, f"never run{tried}"),))
    reasons = _reasons(_Case(row, past, past.success, facts))
    return Freshness(reasons=tuple(dict.fromkeys(reasons)), success=past.success)


class _Case(NamedTuple):
    """A row to judge, with its past, the record of its newest success, and the facts."""

    row: PlannedRow
    past: Past
    success: Mapping[str, Any]
    facts: Facts

    def made(self, commit: TableCommit) -> bool:
        """Return True if the newest success itself made *commit*, after it had read the table."""
        own = self.success.get("run_id"), self.row.id, self.success.get("attempt")
        return (commit.run_id, commit.transformation_id, commit.attempt) == own


def _reasons(case: _Case) -> Iterator[Reason]:
    last = case.past.last
    if last is not None and last is not case.success:
        yield Reason(StaleCause.FAILED, f"last attempt {_ended(last)}")
    if case.row.transformation.constants.get(ALWAYS_RUN):
        yield Reason(StaleCause.UNKNOWN, "the row sets always_run")
    yield from _row_reasons(case)
    yield from _code_reasons(case)
    yield from _dependency_reasons(case)
    yield from _input_reasons(case)
    yield from _output_reasons(case)


def _ended(record: Mapping[str, Any]) -> str:
    status = str(record.get("status") or "").lower()
    return {"failed": "failed", "": "did not end"}.get(status, f"was {status}")


# -- configuration, engine and code ----------------------------------------------------------------


def _row_reasons(case: _Case) -> Iterator[Reason]:
    row, success = case.row, case.success
    before, now = success.get("config_hash"), row.transformation.config_hash()
    if not before:
        yield Reason(StaleCause.UNKNOWN, "the configuration of its last success was not recorded")
    elif before != now:
        old = _safely(lambda: case.facts.config(str(before)), None)
        yield Reason(StaleCause.CONSTANTS, changed_config(old, config_of(row)))
    engine = success.get("engine")
    if engine != row.engine:
        yield Reason(StaleCause.ENGINE, f"engine changed ({engine or 'unknown'} → {row.engine})")


def config_of(row: PlannedRow) -> dict[str, Any]:
    """Return the configuration of *row* that its ``config_hash`` covers, without secrets."""
    one = row.transformation
    return {
        "constants": redact(one.constants),
        "inputs": redact(one.inputs),
        "outputs": redact(one.outputs),
        "function": one.qualified_function,
        "layer": one.layer,
        "step": one.step,
        "entities": [one.entity_1, one.entity_2, one.entity_3],
    }


def changed_config(old: Mapping[str, Any] | None, new: Mapping[str, Any]) -> str:
    """Return the difference between two results of `config_of`, in words."""
    if old is None:
        return "constants or another column of the row changed"
    changes: list[str] = []
    before, after = old.get("constants") or {}, new["constants"]
    for key in dict.fromkeys((*before, *after)):
        one, other = before.get(key), after.get(key)
        if as_json(one) != as_json(other) or (key in before) != (key in after):
            shown = f"{_short(one)} → {_short(other)}"
            changes.append(f"{key}: {shown}")
    if changes:
        return f"constants changed ({some_of(changes, MAX_NAMED)})"
    columns = [key for key in new if as_json(old.get(key)) != as_json(new[key])]
    named = ", ".join(columns) or "a secret"
    return f"the row changed ({named})"


def _short(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else as_json(value)
    text = " ".join(text.split())
    return text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…"


def _code_reasons(case: _Case) -> Iterator[Reason]:
    before = str(case.success.get("code_hash") or "")
    try:
        now, unclear = case.facts.code(case.row)
    except Exception as exc:  # noqa: BLE001  user's modules may break anything
        yield Reason(StaleCause.UNKNOWN, f"its code cannot be read: {exc}")
        return
    if not now:
        why = f": {unclear[0]}" if unclear else ""
        yield Reason(StaleCause.UNKNOWN, f"its code cannot be compared{why}")
    elif not before:
        yield Reason(StaleCause.UNKNOWN, "the code of its last success was not recorded")
    elif before != now:
        found = _safely(lambda: case.facts.changed_code(case.row, before), [])
        names = f" ({some_of(found, MAX_NAMED)})" if found else ""
        yield Reason(StaleCause.CODE, f"code changed{names}")


def _dependency_reasons(case: _Case) -> Iterator[Reason]:
    """Yield reasons for ``depends_on``, which names rows with effects that no read shows."""
    mine = case.past.position
    named = case.row.transformation.constants.get("depends_on")
    for other in [named] if isinstance(named, str) else named or ():
        before = case.facts.past.get(other)
        if before is not None and before.success is not None and before.position > mine:
            yield Reason(StaleCause.INPUT, f"{other}, on which it depends, has run since")


# -- inputs ----------------------------------------------------------------------------------------


def _input_reasons(case: _Case) -> Iterator[Reason]:
    inputs = recorded(case.success.get("inputs_read"))
    if inputs is None:
        yield Reason(StaleCause.UNKNOWN, "the inputs of its last success were not recorded")
        return
    if not inputs:
        yield Reason(StaleCause.UNKNOWN, "it read nothing that can be compared")
    for one in inputs:
        yield from _one_input(case, one)
    yield from _unread(case.row, inputs)


def _one_input(case: _Case, one: Mapping[str, Any]) -> Iterator[Reason]:
    if "table" in one and "connection" not in one:
        yield from _table_reasons(case, one)
    elif "file" in one:
        yield from _file_reasons(case, one)
    elif "query" in one:
        tables = one.get("tables") or ()
        for table in tables:
            yield from _table_reasons(case, table)
        if not tables:
            yield Reason(StaleCause.UNKNOWN, f"query {one['query']} reads no table")
    elif "connection" in one:
        yield Reason(
            StaleCause.UNKNOWN, f"it reads database {one['connection']}, which has no versions"
        )
    else:
        yield Reason(StaleCause.UNKNOWN, "it read something that this version does not know")


def _table_reasons(case: _Case, one: Mapping[str, Any]) -> Iterator[Reason]:
    key, seen = str(one["table"]), one.get("version")
    try:
        now = case.facts.version(case.row, key)
    except Exception as exc:  # noqa: BLE001  a table that cannot be asked is unknown
        yield Reason(StaleCause.UNKNOWN, f"the version of input {key} cannot be read: {exc}")
        return
    if seen is None and _created(case, key):
        return  # it looked whether its own output exists, and created it
    if seen is None or not one.get("table_id") or (now is not None and not now.table_id):
        yield Reason(StaleCause.UNKNOWN, f"input {key} has no version")
    elif now is None:
        yield Reason(StaleCause.UNKNOWN, f"the version of input {key} is not known")
    elif now.table_id != one["table_id"]:
        yield Reason(StaleCause.INPUT, f"input {key} was replaced by another table")
    elif now.version < seen:
        yield Reason(
            StaleCause.INPUT, f"input {key} has an older version: v{seen} → v{now.version}"
        )
    elif now.version > seen:
        yield from _newer(case, key, int(seen), now)
    elif _made_later(case, key, now):
        yield Reason(StaleCause.INPUT, f"input {key} v{seen} was written again after it was read")


def _made_later(case: _Case, key: str, now: TableVersion) -> bool:
    """Return True if the table's newest commit is younger than the row's newest success.

    Then a commit with another content took the number that the attempt saw, as after a table was put back
    from a copy of its folder.
    """
    made = _safely(lambda: case.facts.committed_at(case.row, key, now.version), None)
    end = case.success.get("end_time")
    return made is not None and end is not None and bool(made > end)


def _created(case: _Case, key: str) -> bool:
    """Return True if the row's newest success created the table with *key*."""
    outputs = recorded(case.success.get("outputs_written")) or ()
    return any(
        one.get("table") == key and one.get("version") is not None and "previous_version" not in one
        for one in outputs
    )


def _newer(case: _Case, key: str, seen: int, now: TableVersion) -> Iterator[Reason]:
    changes, gap = _changes_since(case, key, seen, now)
    changes = [commit for commit in changes if not case.made(commit)]
    if gap:
        yield Reason(StaleCause.UNKNOWN, f"input {key} v{seen} → v{now.version}: {gap}")
    elif changes:
        text = f"input {key} v{seen} → v{changes[0].version}{_who(changes)}"
        yield Reason(StaleCause.INPUT, text)


def _who(changes: list[TableCommit]) -> str:
    """Return the writers of *changes*, newest first, in brackets."""
    writers = {*map(_writer, changes)}
    more = f", and {len(writers) - 1} more" if len(writers) > 1 else ""
    return f" ({_writer(changes[0])}{more})"


def _writer(commit: TableCommit) -> str:
    """Return the writer of a commit: its run, and its row or operation."""
    if not commit.run_id:
        return commit.operation or "another writer"
    row = "" if commit.operation == "RESTORE" else commit.transformation_id
    return f"run {commit.run_id}, {row or commit.operation}"


def _changes_since(
    case: _Case, key: str, seen: int, now: TableVersion
) -> tuple[list[TableCommit], str]:
    """Return the commits after version *seen* that change data, newest first, or the reason why they are unknown."""
    if now.data_version is not None and now.data_version <= seen:
        return [], ""
    try:
        commits = case.facts.commits(case.row, key, seen + 1)
    except Exception as exc:  # noqa: BLE001  see `_table_reasons`
        return [], f"its history cannot be read: {exc}"
    since = sorted((c for c in commits if c.version > seen), key=lambda c: -c.version)
    known = {commit.version for commit in since}
    if not known >= {*range(seen + 1, now.version + 1)}:
        return [], "the history in between is gone"
    return [commit for commit in since if commit.changes_data], ""


def _file_reasons(case: _Case, one: Mapping[str, Any]) -> Iterator[Reason]:
    name = str(one["file"])
    try:
        now = case.facts.fingerprint(case.row, name)
    except Exception as exc:  # noqa: BLE001  see `_table_reasons`
        yield Reason(StaleCause.UNKNOWN, f"file {name} cannot be checked: {exc}")
        return
    found = msgspec.to_builtins(now)
    looked = {key: value for key, value in found.items() if key != "file"}
    before = {key: value for key, value in one.items() if key != "file"}
    if not any(before.get(key) for key in ("modified", "etag", "listing")):
        yield Reason(StaleCause.UNKNOWN, f"file {name} has no time to compare")
    elif not looked:
        yield Reason(StaleCause.INPUT, f"file {name} is gone or cannot be checked")
    elif looked != before:
        yield Reason(StaleCause.INPUT, f"file {name} changed{_file_change(before, looked)}")


def _file_change(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    for key, unit in (("count", "files"), ("size", "bytes")):
        one, other = before.get(key), now.get(key)
        if one != other and isinstance(one, int) and isinstance(other, int):
            return f" ({one:,} → {other:,} {unit})"
    return ""


def _unread(row: PlannedRow, inputs: Iterable[Mapping[str, Any]]) -> Iterator[Reason]:
    """Yield reasons for the declared inputs that the function did not read through its context."""
    tables, files = set(), set()
    for one in inputs:
        if "file" in one:
            files.add(one["file"])
        elif "query" in one:
            tables |= {table["table"] for table in one.get("tables") or ()}
        elif "table" in one:
            tables.add(one["table"])
    for key in row.reads:
        if key not in tables:
            yield Reason(StaleCause.UNKNOWN, f"it did not read input {key} through its context")
    for item in row.transformation.inputs:
        place = item if isinstance(item, str) else item.get("path")
        if isinstance(place, str) and is_location(place) and place not in files:
            shown = redact_text(place)
            if shown not in files:
                yield Reason(
                    StaleCause.UNKNOWN, f"it did not read input {shown} through its context"
                )


# -- outputs ---------------------------------------------------------------------------------------


def _output_reasons(case: _Case) -> Iterator[Reason]:
    outputs = recorded(case.success.get("outputs_written"))
    if outputs is None:
        yield Reason(StaleCause.UNKNOWN, "the outputs of its last success were not recorded")
        return
    written = set()
    for raw in outputs:
        try:
            one = msgspec.convert(raw, OutputWritten)
        except msgspec.ValidationError:
            yield Reason(StaleCause.UNKNOWN, "an output of its last success cannot be read")
            continue
        written.add(one.table)
        yield from _one_output(case, one)
    for target in case.row.transformation.targets:
        if table_key(target.table) not in written and not target.optional:
            text = f"it did not write output {target.table} through its context"
            yield Reason(StaleCause.UNKNOWN, text)


def _one_output(case: _Case, one: OutputWritten) -> Iterator[Reason]:
    try:
        now = case.facts.version(case.row, one.table)
    except Exception as exc:  # noqa: BLE001  see `_table_reasons`
        yield Reason(StaleCause.UNKNOWN, f"the version of output {one.table} cannot be read: {exc}")
        return
    if one.version is None or not one.table_id:
        yield Reason(StaleCause.UNKNOWN, f"output {one.table} has no version")
    elif now is None:
        yield Reason(StaleCause.OUTPUT, f"output {one.table} is gone")
    elif now.table_id != one.table_id:
        yield Reason(StaleCause.OUTPUT, f"output {one.table} was replaced by another table")
    elif now.version < one.version:
        text = f"output {one.table} has an older version: v{one.version} → v{now.version}"
        yield Reason(StaleCause.OUTPUT, text)
    elif now.version > one.version:
        yield from _written_since(case, one.table, one.version, now)
    elif _made_later(case, one.table, now):
        text = f"output {one.table} v{one.version} was written again by someone else"
        yield Reason(StaleCause.OUTPUT, text)


def _written_since(case: _Case, key: str, written: int, now: TableVersion) -> Iterator[Reason]:
    changes, gap = _changes_since(case, key, written, now)
    if gap:
        yield Reason(StaleCause.UNKNOWN, f"output {key} v{written} → v{now.version}: {gap}")
    sharing = _sharers(case, key) if changes else set()
    for commit in changes:
        if commit.run_id not in case.facts.runs or commit.transformation_id not in sharing:
            where = f"v{commit.version}, {_writer(commit)}"
            text = f"output {key} was changed by someone else ({where})"
            yield Reason(StaleCause.OUTPUT, text)
            return  # the newest is enough


def _sharers(case: _Case, key: str) -> set[str]:
    """Return the other rows that append to or merge into the table on purpose."""
    modes = case.facts.writers().get(key, {})
    return {name for name, mode in modes.items() if mode in SHARING and name != case.row.id}


def writers_of(rows: Iterable[Transformation]) -> dict[str, dict[str, str]]:
    """Return the rows that write each table, by its key, with the mode of their write."""
    found: dict[str, dict[str, str]] = {}
    for row in rows:
        for target in row.targets:
            mode = "" if row.output_problems else target.mode
            for table in (target.table, quarantine_of(target.table)):
                found.setdefault(table_key(table), {})[row.transformation_id] = mode
    return found


def recorded(text: Any) -> list[dict[str, Any]] | None:
    """Return the objects in a column of the run log; None if it has none that can be read."""
    if not isinstance(text, str) or not text:
        return None
    try:
        found = decode_json(text)
    except ValueError:
        return None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        return None
    return found


def _safely(compute: Callable[[], Any], otherwise: Any) -> Any:
    """Return the result of *compute*, which only explains a verdict, or *otherwise* if it fails."""
    try:
        return compute()
    except Exception:  # noqa: BLE001  the explanation must not change the verdict
        return otherwise
