"""Documents that commands print with ``--json``.

Their keys are stable: a later version of odibi_nb may add keys. If a key is removed, or changes its
meaning, `VERSION` grows. The reference lists every key, from the docstrings of this module.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from odibi_nb.core.planning.forecast import forecast
from odibi_nb.core.planning.freshness import recorded
from odibi_nb.core.text.json import as_json, decode_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from odibi_nb.core.planning.plan import PlannedRow, RunPlan
    from odibi_nb.core.planning.stale_plan import ProjectStatus

VERSION = 1
"""Version of the keys of all documents."""
_JSON_COLUMNS = ("options", "versions", "warnings", "checks", "inputs_read", "outputs_written")


class JsonDocument(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind"):
    """Base class of the documents. Its ``str`` is JSON text; ``kind`` names the document's class.

    Times are UTC in ISO 8601. A value that JSON lacks is text; NaN and the infinities are null.

    Attributes:
        version: version of the keys.
    """

    version: int = VERSION

    def __str__(self) -> str:
        return msgspec.json.format(as_json(self), indent=2)

    __repr__ = __str__

    def to_dict(self) -> dict[str, Any]:
        """Return the document as dicts and lists of plain values."""
        found: dict[str, Any] = decode_json(as_json(self))
        return found

    @property
    def exit_code(self) -> int:
        """The exit code of a command that prints the document."""
        return 0


class ProblemEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One problem of the user's input.

    Attributes:
        where: place of the problem, such as a row's id and column; "" if it has none.
        message: the problem and its remedy.
    """

    where: str
    message: str


class PlanRowEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One row of a plan.

    Attributes:
        transformation_id: id of the row.
        layer: layer of the row.
        step: step of the row, if its layer is ordered by steps.
        function: function as ``module.function``.
        engine: ``pandas`` or ``spark``.
        reads: names of the tables that the row reads, in lower case.
        writes: names of the tables that the row writes.
        after: ids of the rows that must succeed before.
        expected_seconds: median duration of the row's last successes.
        expected_start: expected start in seconds after the run's start, if durations are known.
        why: with ``--stale``, the reasons why the row runs; otherwise "".
    """

    transformation_id: str
    layer: str
    step: int | None
    function: str
    engine: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    after: tuple[str, ...]
    expected_seconds: float | None
    expected_start: float | None
    why: str = ""


class PlanDocument(JsonDocument, frozen=True, kw_only=True, tag="plan"):
    """The document of ``plan --json``. The exit code is 2 if the plan has problems.

    Attributes:
        project: name of the project.
        env: name of the environment.
        engine: engine of rows that name none.
        source: the registry.
        selection: options that select rows, as a command spells them; "" for all rows.
        layers: layers of the run, in order.
        schedule: ``layers`` or ``graph``.
        workers: number of rows that run at a time.
        expected_seconds: expected duration of the run, if durations are known.
        rows: rows in the plan's order; see below.
        disabled: ids of disabled rows.
        notices: notes that do not prevent the run.
        problems: reasons why nothing would run; see below.
    """

    project: str
    env: str
    engine: str
    source: str
    selection: str
    layers: tuple[str, ...]
    schedule: str
    workers: int
    expected_seconds: float | None
    rows: tuple[PlanRowEntry, ...]
    disabled: tuple[str, ...]
    notices: tuple[str, ...]
    problems: tuple[ProblemEntry, ...]

    @property
    def exit_code(self) -> int:
        """Exit code: 2 if the plan has problems, otherwise 0."""
        return 2 if self.problems else 0


class ReasonEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One reason why a row is not fresh.

    Attributes:
        cause: ``new``, ``failed``, ``code``, ``constants``, ``engine``, ``input``, ``output``,
            ``upstream`` or ``unknown``.
        text: reason in words.
    """

    cause: str
    text: str


class StatusRowEntry(msgspec.Struct, frozen=True, kw_only=True):
    """State of one row.

    Attributes:
        transformation_id: id of the row.
        layer: layer of the row.
        state: ``fresh``, ``stale`` or ``unknown``.
        reasons: reasons why the row is not fresh; see below.
        last_success: end of the row's newest success, if it has one.
        run_id: run of that success.
        outputs: tables that it wrote, with their versions, as the run log has them.
        rows_out: number of rows that it wrote, if it is known.
    """

    transformation_id: str
    layer: str
    state: str
    reasons: tuple[ReasonEntry, ...]
    last_success: Any
    run_id: str | None
    outputs: tuple[dict[str, Any], ...]
    rows_out: int | None


class StatusDocument(JsonDocument, frozen=True, kw_only=True, tag="status"):
    """The document of ``status --json``.

    Attributes:
        project: name of the project.
        env: name of the environment.
        counts: number of rows in each state.
        rows: rows, upstream rows first; see below.
        problems: problems of the project's plan.
    """

    project: str
    env: str
    counts: dict[str, int]
    rows: tuple[StatusRowEntry, ...]
    problems: tuple[str, ...]


class HistoryDocument(JsonDocument, frozen=True, kw_only=True, tag="history"):
    """The document of ``history --json``.

    The entries have the columns of the [run log](run-log.md) as keys. Columns that hold JSON text have
    its values here, not the text.

    Attributes:
        project: name of the project.
        env: name of the environment.
        run_id: run of the attempts, with ``--run``; otherwise null.
        runs: runs, newest first; empty with ``--run``.
        attempts: attempts of the run, with ``--run``.
    """

    project: str
    env: str
    run_id: str | None = None
    runs: tuple[dict[str, Any], ...] = ()
    attempts: tuple[dict[str, Any], ...] = ()


class CauseEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One difference between the two attempts.

    Attributes:
        cause: ``code``, ``constants``, ``row``, ``input``, ``file``, ``engine``, ``packages`` or ``host``.
        what: the difference in a line.
        detail: more lines, such as a diff.
    """

    cause: str
    what: str
    detail: tuple[str, ...]


class WhyDocument(JsonDocument, frozen=True, kw_only=True, tag="why"):
    """The document of ``why --json``.

    Attributes:
        transformation_id: id of the row.
        before: run of the earlier attempt, usually a success.
        after: run of the later attempt, usually a failure.
        error: type and message of the later attempt's error; "" if it succeeded.
        causes: the differences, the likeliest cause first; see below.
        unknown: differences that cannot be known, with the reason.
    """

    transformation_id: str
    before: str
    after: str
    error: str
    causes: tuple[CauseEntry, ...]
    unknown: tuple[str, ...]


class CheckEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the doctor's report.

    Attributes:
        check: setting, library or place.
        state: ``ok``, ``problem`` or ``info``.
        source: place that sets the value.
        value: value, or the problem and its remedy, as text.
    """

    check: str
    state: str
    source: str
    value: str


class DoctorDocument(JsonDocument, frozen=True, kw_only=True, tag="doctor"):
    """The document of ``doctor --json``.

    Attributes:
        ok: true if no check found a problem.
        checks: lines of the report; see below.
        code: exit code of the command: 0 without problems, 2 if your input has one, otherwise 1.
    """

    ok: bool
    checks: tuple[CheckEntry, ...]
    code: int = msgspec.field(name="exit_code")

    @property
    def exit_code(self) -> int:
        """The exit code of the report."""
        return self.code


class ColumnDiffEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One column that only one side has, or that has another type.

    Attributes:
        column: name of the column.
        before: type before; null for a new column.
        after: type after; null for a removed column.
    """

    column: str
    before: str | None
    after: str | None


class ChangedRowEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One changed row, as a sample.

    Attributes:
        key: key columns with their values.
        before: changed columns with their values before.
        after: the same columns with their values after.
    """

    key: dict[str, Any]
    before: dict[str, Any]
    after: dict[str, Any]


class TableDiffEntry(msgspec.Struct, frozen=True, kw_only=True):
    """The differences of one table.

    Attributes:
        table: name of the table.
        before: version before; null if the table did not exist, or has no known version.
        after: version after; null if the table does not exist, or has no known version.
        added: number of added rows.
        removed: number of removed rows.
        changed: number of rows with the same key and other values.
        compared_by: key columns; empty if whole rows were compared.
        columns: columns that differ; see below.
        changed_columns: column to the number of changed rows in which it differs.
        largest: column to the largest difference in a changed row; of times in seconds.
        added_rows: at most five added rows.
        removed_rows: at most five removed rows.
        changed_rows: at most five changed rows; see below.
        files_read: number of data files that were read; null if whole versions were read.
        files_shared: number of data files that both versions have.
        notes: limits of the comparison.
    """

    table: str
    before: int | None
    after: int | None
    added: int
    removed: int
    changed: int
    compared_by: tuple[str, ...]
    columns: tuple[ColumnDiffEntry, ...]
    changed_columns: dict[str, int]
    largest: dict[str, float]
    added_rows: tuple[dict[str, Any], ...]
    removed_rows: tuple[dict[str, Any], ...]
    changed_rows: tuple[ChangedRowEntry, ...]
    files_read: int | None
    files_shared: int | None
    notes: tuple[str, ...]


class DiffDocument(JsonDocument, frozen=True, kw_only=True, tag="diff"):
    """The document of ``diff --json``. The exit code is 1 if a table cannot be compared.

    Attributes:
        title: the compared states.
        tables: differences of each table; see below.
        failures: table to the reason why it cannot be compared.
        notes: facts about the comparison.
    """

    title: str
    tables: tuple[TableDiffEntry, ...]
    failures: dict[str, str]
    notes: tuple[str, ...]

    @property
    def exit_code(self) -> int:
        """Exit code: 1 if a table cannot be compared, otherwise 0."""
        return int(bool(self.failures))


def plan_document(plan: RunPlan) -> PlanDocument:
    """Build the document of a plan."""
    expected = forecast(plan)
    starts = {} if expected is None else {n: span.start for n, span in expected.spans.items()}
    return PlanDocument(
        project=plan.project,
        env=plan.env,
        engine=plan.engine,
        source=plan.source,
        selection=plan.selection,
        layers=plan.layers,
        schedule=plan.schedule,
        workers=plan.workers,
        expected_seconds=None if expected is None else expected.makespan,
        rows=tuple(_plan_row(plan, row, starts) for row in plan.rows.values()),
        disabled=plan.disabled,
        notices=plan.notices,
        problems=tuple(ProblemEntry(where=p.where, message=p.message) for p in plan.problems),
    )


def _plan_row(plan: RunPlan, row: PlannedRow, starts: Mapping[str, float]) -> PlanRowEntry:
    return PlanRowEntry(
        transformation_id=row.id,
        layer=row.layer,
        step=plan.step_of(row),
        function=row.transformation.qualified_function,
        engine=row.engine,
        reads=row.reads,
        writes=tuple(target.table for target in row.transformation.targets),
        after=row.upstream,
        expected_seconds=row.expected_seconds,
        expected_start=starts.get(row.id),
        why=row.why,
    )


def status_document(status: ProjectStatus) -> StatusDocument:
    """Build the document of a project's status."""
    return StatusDocument(
        project=status.project,
        env=status.env,
        counts=status.counts(),
        rows=tuple(_status_row(status, name) for name in status.rows),
        problems=status.problems,
    )


def _status_row(status: ProjectStatus, name: str) -> StatusRowEntry:
    verdict = status.verdicts[name]
    success = verdict.success or {}
    return StatusRowEntry(
        transformation_id=name,
        layer=status.rows[name].layer,
        state=verdict.state.value,
        reasons=tuple(ReasonEntry(cause=r.cause.value, text=r.text) for r in verdict.reasons),
        last_success=success.get("end_time"),
        run_id=success.get("run_id"),
        outputs=tuple(recorded(success.get("outputs_written")) or ()),
        rows_out=success.get("rows_out"),
    )


def log_entries(rows: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Return rows of the run log with the values of their columns of JSON text."""
    return tuple({name: _decoded(name, value) for name, value in row.items()} for row in rows)


def _decoded(column: str, value: Any) -> Any:
    if column not in _JSON_COLUMNS or not isinstance(value, str):
        return value
    try:
        return decode_json(value)
    except ValueError:  # written by another program: the text itself is better than an error
        return value
