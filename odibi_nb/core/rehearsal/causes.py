"""Differences between two attempts of a transformation, the likeliest cause of a failure first.

All facts come from the run log, the stored code texts and the commits of tables. Nothing is replayed, so
the order is a judgement: `odibi_nb.core.rehearsal.bisection` proves that data are the cause.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.core.functions.code_store import CodeStore
from odibi_nb.core.model.provenance import FileRead, QueryRead, TableVersion, UnversionedTable
from odibi_nb.core.model.tables import TableName
from odibi_nb.core.rehearsal.bisection import commit_text, maker_text
from odibi_nb.core.rehearsal.past_attempts import FAILED, SUCCESS, attempts_of
from odibi_nb.core.rehearsal.past_inputs import difference
from odibi_nb.core.runlog.attempt_logs import newest_attempts
from odibi_nb.core.runlog.record import function_hashes
from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.json import as_json
from odibi_nb.core.text.redaction import error_text, redact, redact_text
from odibi_nb.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from odibi_nb.core.model.provenance import TableCommit
    from odibi_nb.core.rehearsal.past_attempts import PastAttempt
    from odibi_nb.core.running.orchestrator import Orchestrator

MOST_DETAIL = 30
"""Maximum number of lines of one cause, so that the report fits a screen."""
_CODE, _CONSTANTS, _ROW, _ENGINE, _CREATED = 60, 58, 55, 50, 65
_FOREIGN, _RESTORED, _FILE, _USUAL, _PACKAGES, _HOST = 56, 58, 35, 30, 20, 5
_NAMED, _NOT_NAMED, _HALF_GONE = 20, -15, 20
_HALF = 0.5
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Cause:
    """One difference between two attempts.

    Attributes:
        kind: ``code``, ``constants``, ``row``, ``input``, ``file``, ``engine``, ``packages`` or ``host``.
        what: the difference in a line.
        detail: more lines, such as a diff.
        weight: number that orders the causes; greater is likelier.
    """

    kind: str
    what: str
    detail: tuple[str, ...] = ()
    weight: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Causes:
    """The differences between two attempts of a transformation, likeliest cause first.

    Attributes:
        before: the earlier attempt, usually a success.
        after: the later attempt, usually a failure.
        error: type and message of the error of *after*; "" if it succeeded.
        causes: the differences.
        unknown: differences that the log cannot show, with the reason.
    """

    transformation_id: str
    before: PastAttempt
    after: PastAttempt
    error: str
    causes: tuple[Cause, ...]
    unknown: tuple[str, ...]


def causes_of(project: Orchestrator, transformation_id: str, runs: Sequence[str] = ()) -> Causes:
    """Compare a transformation's last success with the failure after it, or two *runs*. Writes nothing.

    If it has failed several times since, the failure is the first one that has the newest error.

    Raises:
        ConfigurationError: if the run log does not have both attempts.
    """
    attempts = attempts_of(project, transformation_id)
    before, after = _two_runs([*attempts], runs) if runs else _turn(attempts, transformation_id)
    engine: Any = project.tables(str(after.record.get("engine") or project.engine))
    found = _Comparison(project, engine, before, after)
    causes = [*found.code(), *found.row(), *found.inputs(), *found.surroundings()]
    causes.sort(key=lambda cause: -cause.weight)
    return Causes(
        transformation_id=transformation_id,
        before=before,
        after=after,
        error=found.error,
        causes=tuple(causes),
        unknown=tuple(found.unknown),
    )


def _turn(
    attempts: Iterable[PastAttempt], transformation_id: str
) -> tuple[PastAttempt, PastAttempt]:
    """Return the last success before the last failure, and the failure to compare with it."""
    failures: list[PastAttempt] = []
    for attempt in attempts:
        if attempt.status == FAILED:
            failures.append(attempt)
        elif attempt.status == SUCCESS and failures:
            newest = failures[0].record["error_type"]
            same = [f for f in failures if f.record["error_type"] == newest]
            return attempt, same[-1]
    what = "no success before its failure" if failures else "no failure of it"
    message = f"the run log has {what}: name two runs, --run A B"
    raise ConfigurationError(f"why {transformation_id}", [message])


def _two_runs(
    attempts: Sequence[PastAttempt], runs: Sequence[str]
) -> tuple[PastAttempt, PastAttempt]:
    found, problems = [], []
    for run in runs:
        mine = next((a for a in attempts if a.run_id == run), None)
        if mine is None:
            hint = did_you_mean(run, {a.run_id for a in attempts})
            problems.append(f"the run log has no attempt of it in run {run!r}{hint}")
        else:
            found.append(mine)
    if problems:
        raise ConfigurationError("--run", problems)
    return found[0], found[1]


class _Comparison:
    """Comparer of two attempts. Its methods add the differences that the log cannot show to `unknown`."""

    def __init__(
        self, project: Orchestrator, engine: Any, before: PastAttempt, after: PastAttempt
    ) -> None:
        self.engine = engine
        self.before, self.after = before, after
        self.store = CodeStore(project.state_dir)
        self.unknown: list[str] = []
        record = after.record
        message = redact_text(record.get("error_message") or "")
        self.error = f"{record['error_type']}: {message}" if record.get("error_type") else message
        logs = newest_attempts(
            project.state_dir,
            project.project,
            project.env,
            record["transformation_id"],
            after.run_id,
        )
        self.traceback = logs[-1].traceback if logs else ""

    # -- code and row --------------------------------------------------------------------------

    def code(self) -> Iterator[Cause]:
        """Yield the difference of the function's code."""
        one, other = (a.record.get("code_hash") or "" for a in (self.before, self.after))
        if not one or not other:
            yield from self._source()
            return
        if one == other:
            return
        old, new = self.store.parts(one), self.store.parts(other)
        if old is None or new is None:
            self.unknown.append("the texts of the code: they are stored where the runs were")
            yield Cause("code", "the code of its function, or of a helper, changed", (), _CODE)
            return
        names = sorted(n for n in {**old, **new} if old.get(n) != new.get(n))
        detail = [line for name in names for line in self._diff(name, old.get(name), new.get(name))]
        short = [name.rpartition(".")[2] for name in names]
        weight = _CODE
        if self.traceback:
            weight += _NAMED if any(_names(self.traceback, s) for s in short) else _NOT_NAMED
        yield Cause(
            "code", f"code: {', '.join(dict.fromkeys(short))} changed", tuple(detail), weight
        )

    def _diff(self, name: str, old: str | None, new: str | None) -> list[str]:
        texts = [(self.store.text(digest) or "") if digest else "" for digest in (old, new)]
        return _diff_of(texts[0], texts[1], name)

    def _source(self) -> Iterator[Cause]:
        """Yield a difference of the function's own source, which older logs have."""
        key = "{module}.{function}@{engine}"
        hashes = [
            function_hashes(a.run).get(key.format_map(a.record)) for a in (self.before, self.after)
        ]
        if None in hashes:
            self.unknown.append("code: the run log has no hash of it")
        elif hashes[0] != hashes[1]:
            yield Cause("code", "the source of its function changed", (), _CODE)

    def row(self) -> Iterator[Cause]:
        """Yield the differences of the registry row, with the run's overrides."""
        one, other = (str(a.record.get("config_hash") or "") for a in (self.before, self.after))
        if one == other:
            return
        old, new = self.store.config(one), self.store.config(other)
        if old is None or new is None:
            yield Cause("constants", "constants, or another column of the row, changed", (), _ROW)
            return
        changed = [*_changed(old.get("constants") or {}, new.get("constants") or {})]
        if changed:
            text = f"{self.error}\n{self.traceback}"
            named = any(_names(text, name) for name, _, _ in changed)
            short = ", ".join(_change_text(name, a, b) for name, a, b in changed)
            detail = [line for name, a, b in changed for line in _text_diff(name, a, b)]
            weight = _CONSTANTS + (_NAMED if named else 0)
            yield Cause("constants", f"constants: {short}", tuple(detail), weight)
        rest = [{k: v for k, v in config.items() if k != "constants"} for config in (old, new)]
        columns = [*_changed(*rest)]
        if columns:
            short = ", ".join(f"{n}: {_short(a)} → {_short(b)}" for n, a, b in columns)
            yield Cause("row", f"registry row: {short}", (), _ROW)

    # -- data ----------------------------------------------------------------------------------

    def inputs(self) -> Iterator[Cause]:
        """Yield the differences of the inputs that the later attempt read."""
        if self.before.reads is None or self.after.reads is None:
            self.unknown.append("inputs: the run log lacks the versions that it read")
            return
        then = self.before.tables()
        for key, now in self.after.tables().items():
            yield from self._table(key, then.get(key), now)
        files = {read.file: read for read in self.before.reads if isinstance(read, FileRead)}
        for read in self.after.reads:
            if isinstance(read, FileRead) and read.file in files:
                yield from self._file(files[read.file], read)
            elif not isinstance(read, TableVersion | QueryRead | FileRead | UnversionedTable):
                self.unknown.append(f"database {read.connection}: it has no versions")

    def _table(self, key: str, then: Any, now: Any) -> Iterator[Cause]:
        named = _NAMED if key in self.error.lower() else 0
        if then is None:
            yield Cause("input", f"input {key} is read now, and was not before", (), _USUAL + named)
        elif isinstance(now, UnversionedTable) or isinstance(then, UnversionedTable):
            self.unknown.append(f"input {key}: it has no versions")
        elif then.table_id and now.table_id and then.table_id != now.table_id:
            text = f"input {key} was dropped and created again"
            yield Cause("input", text, (), _CREATED + named)
        elif then.version != now.version:
            commits = self._commits(key, then.version, now.version)
            if commits is None or commits:
                yield self._changed_table(key, then, now, commits or [])

    def _changed_table(
        self, key: str, then: TableVersion, now: TableVersion, commits: Sequence[TableCommit]
    ) -> Cause:
        weight = max((self._weight(c) for c in commits), default=_USUAL)
        weight += _NAMED if key in self.error.lower() else 0
        newest = f" ({maker_text(commits[0])})" if len(commits) == 1 else ""
        many = f": {counted(len(commits), 'commit')}" if len(commits) > 1 else ""
        detail = tuple(map(commit_text, commits)) if len(commits) > 1 else ()
        return Cause(
            "input", f"input {key} v{then.version} → v{now.version}{newest or many}", detail, weight
        )

    def _commits(self, key: str, first: int, last: int) -> list[TableCommit] | None:
        """Return the commits between two versions that changed data, newest first; None if unknown."""
        try:
            commits = self.engine.commits(TableName.parse(key), down_to=first)
        except Exception as exc:  # noqa: BLE001  the rest of the report is useful without them
            self.unknown.append(f"who wrote {key}: {error_text(exc).splitlines()[0][:120]}")
            return None
        between = [c for c in commits if first < c.version <= last]
        if len(between) < last - first:
            self.unknown.append(
                f"{counted(last - first - len(between), 'commit')} of {key}: its history is gone"
            )
            return [c for c in between if c.changes_data] or None
        return [c for c in between if c.changes_data]

    def _weight(self, commit: TableCommit) -> int:
        """Return the weight of a commit: unusual writers and shrinking tables are likelier causes."""
        weight = _USUAL
        if commit.restores is not None or commit.operation == "RESTORE":
            weight = _RESTORED
        elif not commit.run_id:
            weight = _FOREIGN
        added, removed = commit.rows_added, commit.rows_removed
        if added is not None and removed and added < removed * _HALF:
            weight += _HALF_GONE
        return weight

    def _file(self, then: FileRead, now: FileRead) -> Iterator[Cause]:
        changed = difference(then, now)
        if changed:
            weight = _FILE + (_NAMED if then.file.lower() in self.error.lower() else 0)
            if then.size and now.size is not None and now.size < then.size * _HALF:
                weight += _HALF_GONE
            yield Cause("file", f"file {then.file}: {changed}", (), weight)

    # -- surroundings --------------------------------------------------------------------------

    def surroundings(self) -> Iterator[Cause]:
        """Yield the differences of engine, packages and host."""
        one, other = self.before.record, self.after.record
        if one.get("engine") != other.get("engine"):
            yield Cause(
                "engine", f"engine: {one.get('engine')} → {other.get('engine')}", (), _ENGINE
            )
        old, new = self.before.packages(), self.after.packages()
        changed = [(n, old[n], new[n]) for n in sorted({*old} & {*new}) if old[n] != new[n]]
        if changed:
            text = f"{self.error}\n{self.traceback}".lower()
            named = any(_names(text, name.lower()) for name, _, _ in changed)
            short = ", ".join(f"{name} {a} → {b}" for name, a, b in changed)
            yield Cause("packages", f"packages: {short}", (), _PACKAGES + (_NAMED if named else 0))
        if one.get("host") != other.get("host"):
            yield Cause("host", f"host: {one.get('host')} → {other.get('host')}", (), _HOST)


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in dict.fromkeys((*old, *new)):
        one, other = old.get(name), new.get(name)
        if as_json(one) != as_json(other) or (name in old) != (name in new):
            yield name, one, other


def _short(value: Any) -> str:
    text = as_json(redact(value)) if value is not None else "none"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _change_text(name: str, old: Any, new: Any) -> str:
    diff = _text_diff(name, old, new)
    return f"{name} changed" if diff else f"{name}: {_short(old)} → {_short(new)}"


def _text_diff(name: str, old: Any, new: Any) -> list[str]:
    """Return the diff of two texts of several lines, such as queries."""
    if not all(isinstance(text, str) and "\n" in text.strip() for text in (old, new)):
        return []
    return _diff_of(old, new, name)


def _diff_of(old: str, new: str, name: str) -> list[str]:
    one, other = (text.strip("\n").splitlines() for text in (old, new))
    titles = f"{name} then", f"{name} when it failed"
    return [*difflib.unified_diff(one, other, *titles, lineterm="", n=1)]


def _names(text: str, word: str) -> bool:
    return bool(word) and re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text) is not None
