"""Find the commit of an input that broke a transformation, by replays on versions in between.

Each replay calls the transformation as it is now, reads its tables at one version each, and captures its
writes. The search sorts by time the commits between the inputs of the last good run and the inputs of the
first bad run. A binary search then finds two neighbours: the replay succeeds with the first commit, and
fails with the second.
"""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from odibi_nb.core.model.provenance import QueryRead, TableVersion
from odibi_nb.core.model.tables import TableName
from odibi_nb.core.rehearsal.past_attempts import FAILED, SUCCESS, attempts_of
from odibi_nb.core.rehearsal.past_inputs import check_versions
from odibi_nb.core.rehearsal.rehearsal import open_rehearsal
from odibi_nb.core.running.failure_frames import headline
from odibi_nb.core.running.run import package_versions
from odibi_nb.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from odibi_nb.core.model.provenance import TableCommit
    from odibi_nb.core.rehearsal.past_attempts import PastAttempt
    from odibi_nb.core.running.orchestrator import Orchestrator

_GONE = re.compile(
    r"version \d+ cannot be read|VACUUM removes|FileNotFoundException|FAILED_READ_FILE|DELTA_FILE_NOT_FOUND"
    r"|\.parquet\b.{0,400}?(?:not found|No such file|does not exist)",
    re.DOTALL,
)
_NO_TIME = dt.datetime.min.replace(tzinfo=dt.timezone.utc)


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One replay.

    Attributes:
        step: number of the commits, in order of time, whose data the replay read.
        versions: version of each table that changed in between, by table.
        error: type and message of the failure; "" if the replay succeeded.
        unreadable: reason why the versions cannot be read any more; "" if they can.
    """

    step: int
    versions: dict[str, int]
    error: str = ""
    unreadable: str = ""

    @property
    def outcome(self) -> str:
        """The result of the replay in one word."""
        return "unreadable" if self.unreadable else "failed" if self.error else "succeeded"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bisection:
    """The result of a search.

    Attributes:
        good: the last attempt that succeeded before *bad*.
        bad: the first attempt that failed after *good*.
        commits: the commits in between that changed data, in the order of time.
        tries: the replays, in order.
        culprit: the commit with which the transformation fails, and without which it does not.
        conclusion: the result in words.
    """

    transformation_id: str
    good: PastAttempt
    bad: PastAttempt
    commits: tuple[TableCommit, ...] = ()
    tries: tuple[Try, ...] = ()
    culprit: TableCommit | None = None
    conclusion: str = ""


def turning_point(attempts: Iterable[PastAttempt]) -> tuple[PastAttempt, PastAttempt] | None:
    """Return the last success and the first failure after it; None without one of them.

    *attempts* belong to one transformation, newest first.
    """
    bad = None
    for attempt in attempts:
        if attempt.status == FAILED:
            bad = attempt
        elif attempt.status == SUCCESS and bad is not None:
            return attempt, bad
    return None


def bisect(
    project: Orchestrator, transformation_id: str, say: Callable[[str], object]
) -> Bisection:
    """Find the commit that broke a transformation. Call *say* with a line before each replay. Writes nothing.

    Raises:
        ConfigurationError: if the run log has no success with a later failure, or does not have what
            they read.
        KeyboardInterrupt: if the user stops the search; the message names the commits that are left.
    """
    found = turning_point(attempts_of(project, transformation_id))
    if found is None:
        message = "the run log has no success of this transformation followed by a failure"
        raise ConfigurationError(f"bisect {transformation_id}", [message])
    good, bad = found
    for attempt in found:
        if attempt.reads is None:
            message = f"the run log lacks the inputs of {attempt}"
            raise ConfigurationError(f"bisect {transformation_id}", [message])
    commits = _commits_between(project, transformation_id, good, bad)
    search = _Search(project, transformation_id, good, bad, commits, say)
    if not commits:
        return search.result(
            None,
            "no table that it reads has changed between the two runs; `why` lists other changes",
        )
    try:
        return search.run()
    except KeyboardInterrupt as exc:
        raise KeyboardInterrupt(search.left()) from exc


def _commits_between(
    project: Orchestrator, transformation_id: str, good: PastAttempt, bad: PastAttempt
) -> tuple[TableCommit, ...]:
    """Return the commits that changed data between the versions that two attempts read, by time."""
    row = project.plan_with(transformation_id).rows.get(transformation_id)
    engine: Any = project.tables(row.engine if row is not None else project.engine)
    check_versions(engine)
    then = good.tables()
    found: list[TableCommit] = []
    for key, last in bad.tables().items():
        first = then.get(key)
        if not isinstance(last, TableVersion) or not isinstance(first, TableVersion):
            continue
        if first.table_id and last.table_id and first.table_id != last.table_id:
            continue  # created again: its earlier versions are gone
        commits = engine.commits(TableName.parse(key), down_to=first.version)
        found += [
            c for c in commits if first.version < c.version <= last.version and c.changes_data
        ]
    return tuple(sorted(found, key=lambda c: (c.at or _NO_TIME, c.table, c.version)))


@dataclass(slots=True)
class _Search:
    """A binary search. Commit number `low` is known or believed to be good, number `high` to be bad."""

    project: Orchestrator
    transformation_id: str
    good: PastAttempt
    bad: PastAttempt
    commits: tuple[TableCommit, ...]
    say: Callable[[str], object]
    tries: list[Try] = field(default_factory=list)
    low: int = 0
    high: int = 0

    def run(self) -> Bisection:
        """Run the search. Try the first and the last commit only if no other try has decided them."""
        self.high = len(self.commits)
        while self.high - self.low > 1:
            if not self._narrow((self.low + self.high) // 2):
                return self._stopped()
        tried = {one.step for one in self.tries}
        if self.high not in tried:
            last = self._replay(self.high)
            if last.unreadable:
                return self._stopped()
            if not last.error:
                return self.result(None, self._not_reproduced())
        if self.low not in tried and (self.high in tried or not self._is_good_proven()):
            first = self._replay(self.low)
            if first.unreadable:
                return self._stopped()
            if first.error:
                return self.result(None, self._not_the_data())
        return self.result(self.commits[self.high - 1], self._found())

    def _is_good_proven(self) -> bool:
        """Return True if the good run did what a replay would do now: same code, packages and data."""
        plan = self.project.plan_with(self.transformation_id)
        reads, tables = self.good.reads or (), self.good.tables().values()
        then, now = self.good.packages(), package_versions()
        return (
            # A file or database may have changed since, and a replay reads it as it is now.
            all(isinstance(read, TableVersion | QueryRead) for read in reads)
            and all(isinstance(table, TableVersion) for table in tables)
            and all(then.get(name, version) == version for name, version in now.items())
            and self.project.has_code_of(plan.rows[self.transformation_id], self.good.record)
        )

    def left(self) -> str:
        """Return the range of commits that a stopped search has not decided."""
        first, last = self.commits[self.low], self.commits[max(self.high, 1) - 1]
        number = max(self.high, 1) - self.low
        return (
            f"stopped after {_count(len(self.tries), 'replay')}: {_count(number, 'commit')} left, "
            f"{commit_text(first)} to {commit_text(last)}; nothing was written"
        )

    def result(self, culprit: TableCommit | None, conclusion: str) -> Bisection:
        """Return the result of the search."""
        return Bisection(
            transformation_id=self.transformation_id,
            good=self.good,
            bad=self.bad,
            commits=self.commits,
            tries=tuple(self.tries),
            culprit=culprit,
            conclusion=conclusion,
        )

    def _narrow(self, step: int) -> bool:
        found = self._replay(step)
        if found.error:
            self.high = step
        else:
            self.low = step
        return not found.unreadable

    def _replay(self, step: int) -> Try:
        attempt = self._inputs_at(step)
        changed = {commit.table for commit in self.commits}
        versions = {t: v.version for t, v in attempt.tables().items() if t in changed}  # type: ignore[union-attr]
        shown = ", ".join(f"{table} v{version}" for table, version in versions.items())
        self.say(f"replay {len(self.tries) + 1}: {shown}")
        rehearsal = open_rehearsal(self.project, self.transformation_id, past=attempt)
        if rehearsal.row.fn is None:
            raise ConfigurationError(f"bisect {self.transformation_id}", rehearsal.problems)
        ended = rehearsal.call(rehearsal.row.fn, rehearsal.row.keywords)
        past = rehearsal.captured.past
        error = "" if ended.error is None else headline(ended.error)
        gone = "; ".join(past.unreadable.values()) if past is not None else ""
        if not gone and _GONE.search(f"{error}\n{ended.traceback}"):
            gone = error.splitlines()[0]  # a query, or Spark, which reads rows later
        rehearsal.captured.close()
        made = Try(step=step, versions=versions, error="" if gone else error, unreadable=gone)
        self.tries.append(made)
        return made

    def _inputs_at(self, step: int) -> PastAttempt:
        """Return an attempt that reads the good run's versions, moved on by the first *step* commits."""
        newest = {commit.table: commit.version for commit in self.commits[:step]}
        then, reads = self.good.tables(), []
        for key, last in self.bad.tables().items():
            base = then.get(key, last)
            if isinstance(base, TableVersion) and isinstance(last, TableVersion):
                changed = any(commit.table == key for commit in self.commits)
                base = base if changed else last
                number = newest.get(key, base.version)
                base = msgspec.structs.replace(base, version=number, data_version=None)
            reads.append(base)
        return type(self.bad)(self.bad.record, self.bad.run, tuple(reads))

    def _found(self) -> str:
        commit = self.commits[self.high - 1]
        tried = {one.step for one in self.tries}
        text = f"{commit_text(commit)} broke it"
        if self.low not in tried:
            text += f"; before it, {self.good} succeeded, with the same code"
        errors = {one.error.splitlines()[0] for one in self.tries if one.error}
        if len(errors) > 1:
            text += f"; the replays failed in {len(errors)} ways, so look at each of them"
        return text

    def _not_reproduced(self) -> str:
        return (
            f"not reproduced: it succeeds on the inputs of {self.bad}; its code, its constants, or an "
            "input without versions must have changed since"
        )

    def _not_the_data(self) -> str:
        return (
            f"the tables are not the cause: it fails on the inputs of {self.good}, too; its code, its constants, or "
            "an input without versions must have changed; `why` lists the changes"
        )

    def _stopped(self) -> Bisection:
        last = self.tries[-1]
        return self.result(
            None, f"stopped, because a version cannot be read any more: {last.unreadable}"
        )


def commit_text(commit: TableCommit) -> str:
    """Return a commit in words: table, version, and who made it."""
    return f"{commit.table} v{commit.version} ({maker_text(commit)})"


def maker_text(commit: TableCommit) -> str:
    """Return a commit's operation, who made it, and its numbers of rows."""
    rows = [
        f"{sign}{number:,}"
        for sign, number in (("+", commit.rows_added), ("−", commit.rows_removed))
        if number
    ]
    changed = f", rows {' '.join(rows)}" if rows else ""
    who = (
        f"{commit.transformation_id or 'a row'} in run {commit.run_id}"
        if commit.run_id
        else "no run of this project"
    )
    return f"{commit.operation or 'commit'} by {who}{changed}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun if number == 1 else f'{noun}s'}"
