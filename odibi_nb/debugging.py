"""The Python interface to load a transformation and to try another version of it."""

from __future__ import annotations

import bdb
import functools
import keyword
import re
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.core.functions.cell_function import CellFunction, function_from
from odibi_nb.core.functions.module_edit import edit_of
from odibi_nb.core.functions.source import FunctionSource, source_of, with_helpers
from odibi_nb.core.model.manifest import shown_path
from odibi_nb.core.model.provenance import TableVersion
from odibi_nb.core.model.sql_rows import FILE, TEXT, is_sql
from odibi_nb.core.protocols import Portion, WriteInfo
from odibi_nb.core.rehearsal.cell_query import CELL, cell_query, query_diff
from odibi_nb.core.rehearsal.past_attempts import attempt_in
from odibi_nb.core.rehearsal.project_watch import ProjectWatch
from odibi_nb.core.rehearsal.rehearsal import Rehearsal, open_rehearsal
from odibi_nb.core.rehearsal.tried_edits import TRIED
from odibi_nb.core.runlog.run_lock import exclusively
from odibi_nb.core.running.failure_frames import headline
from odibi_nb.core.running.kept_failures import FAILURES, Failure
from odibi_nb.core.text.clock import utc_now
from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.json import own_copy
from odibi_nb.errors import ConfigurationError, DataError, PlanError
from odibi_nb.sql import query_text
from odibi_nb.views.inspect.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Callable

    from odibi_nb.core.functions.module_edit import ModuleEdit
    from odibi_nb.core.model.transformation import Transformation
    from odibi_nb.core.process.interrupts import InterruptsHeldBack
    from odibi_nb.core.rehearsal.past_attempts import PastAttempt
    from odibi_nb.core.rehearsal.rehearsal import Inputs
    from odibi_nb.core.runlog.run_lock import RunLock
    from odibi_nb.core.running.context import ExecutionContext
    from odibi_nb.core.running.orchestrator import Orchestrator
    from odibi_nb.core.running.worker import AttemptEnded

NAMES = ("inputs", "constants", "outputs", "context", "fn", "row")
"""Names that a loaded transformation adds to a namespace, in addition to one variable per input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedTransformation:
    """The real arguments of a transformation. Writes through `context` are captured.

    Attributes:
        inputs: table name to DataFrame. An index returns the row's input at that position, as the function gets it.
        variables: input name to the name of its variable.
        constants, outputs: as the function gets them.
        fn: the function; None if it cannot be loaded, for the reason in `problems`.
        row: the registry row.
        cell: source of the function with the helpers of its module, to edit and try; "" if the
            project has no source of it.
        file: file and line of the function.
        notes: further lines to show.
    """

    inputs: Inputs
    variables: dict[str, str]
    constants: dict[str, Any]
    outputs: list[dict[str, Any]]
    context: ExecutionContext
    fn: Callable[..., Any] | None
    row: Transformation
    cell: str
    file: str
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    shapes: dict[str, str]

    def namespace(self) -> dict[str, Any]:
        """Return the values by name: `NAMES`, and one variable per input."""
        frames = {self.variables[name]: frame for name, frame in self.inputs.items()}
        return {**frames, **{name: getattr(self, name) for name in NAMES}}

    def summary(self) -> str:
        """Return one line that lists the loaded names."""
        frames = [f"{self.variables[n]} ({shape})" for n, shape in self.shapes.items()]
        names = ", ".join([*frames, *NAMES])
        return f"{self.row.transformation_id} loaded: {names}; writes through context are captured"

    def __repr__(self) -> str:
        return "\n".join([self.summary(), *self.problems, *self.notes])


def load_transformation(
    project: Orchestrator,
    transformation_id: str,
    portion: Portion | None = None,
    *,
    run: str | None = None,
) -> LoadedTransformation:
    """Read a transformation's inputs, and prepare the other arguments of its function.

    No table is written.

    Args:
        project: the project.
        transformation_id: the id of a row of its registry, enabled or not.
        portion: how much of each input to read; all if None.
        run: id of a run, or ``last``; each table is read at the version that the row read there.

    Raises:
        PlanError: if the registry has no such row, or the row is malformed.
        DataError: if an input cannot be read or is missing; the message names the row that makes it.
        ConfigurationError: if the run log lacks the inputs of the row in *run*.
    """
    past = None if run is None else attempt_in(project, transformation_id, run)
    rehearsal = open_rehearsal(project, transformation_id, portion, past=past)
    check_inputs(project, rehearsal)
    inputs = rehearsal.read_inputs()
    row, fn = rehearsal.row.transformation, rehearsal.row.fn
    source = source_of(fn) if fn is not None else None
    return LoadedTransformation(
        inputs=inputs,
        variables=variable_names([*inputs]),
        constants=own_copy(row.constants),
        outputs=own_copy(row.outputs),
        context=rehearsal.context,
        fn=fn,
        row=row,
        cell=_offered_cell(source, row),
        file=_file_of(project, row, source),
        problems=tuple(f"⚠️ {problem}" for problem in rehearsal.problems),
        notes=(
            *past_lines(rehearsal),
            *_notes(project, None if is_sql(row) else source, portion),
        ),
        shapes={name: _shape(rehearsal, frame) for name, frame in inputs.items()},
    )


def try_transformation(
    project: Orchestrator,
    transformation_id: str,
    cell: str = "",
    portion: Portion | None = None,
    *,
    write: bool = False,
    run: str | None = None,
) -> Trial:
    """Call a transformation's function as a run would, and compare its writes with the tables.

    The writes are captured and do not change the tables, unless *write* is True.

    Args:
        project: the project.
        transformation_id: the id of a row of its registry, enabled or not.
        cell: Python source that defines the function; the function of the module if empty.
        portion: how much of each input to read; all if None.
        write: also do the captured writes if the function succeeds.
        run: id of a run, or ``last``; each table is read at the version that the row read there.

    Raises:
        PlanError: if the registry has no such row, or its function cannot be loaded.
        DataError: if an input is missing, or a table cannot take the captured rows.
        ConfigurationError: if the cell cannot be used, or both *write* and *portion* are given.
    """
    if write and (portion or run is not None):
        harm = (
            "a part of the inputs would replace the whole table"
            if portion
            else "old inputs would replace the result of the newest"
        )
        raise ConfigurationError(transformation_id, [f"the result of {harm}: nothing is written"])
    if not write:
        past = None if run is None else attempt_in(project, transformation_id, run)
        return _tried(project, transformation_id, cell, portion, past=past)
    run_id = f"try-{utc_now():%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"

    def tried(lock: RunLock, interrupts: InterruptsHeldBack) -> Trial:
        if lock.lease is not None:
            lock.lease.take()
        with interrupts.let_through():
            return _tried(project, transformation_id, cell, None, write_as=run_id)

    # The function also reads and compares under the lock: otherwise a run could change its tables.
    return exclusively(
        project.state_dir, project.project, project.env, run_id, tried, lease=project.lease(run_id)
    )


def _tried(
    orchestrator: Orchestrator,
    transformation_id: str,
    cell: str,
    portion: Portion | None,
    *,
    write_as: str = "",
    past: PastAttempt | None = None,
) -> Trial:
    """Call the function. If *write_as* is a run id, do the captured writes as that run."""
    rehearsal = open_rehearsal(orchestrator, transformation_id, portion, past=past)
    check_inputs(orchestrator, rehearsal)
    function = _function(orchestrator, rehearsal, cell)
    log = orchestrator.place().config.run_log
    watch = ProjectWatch(rehearsal.plan, rehearsal.row.id, rehearsal.captured.tables, log)
    try:
        ended = rehearsal.call(function.fn, function.keywords)
    except KeyboardInterrupt as exc:
        own = [table.name for table in watch.moved() if not table.run_id]
        if own:
            changed = f"{', '.join(own)} CHANGED during the call, through the function itself: a try cannot capture that"
            raise KeyboardInterrupt(changed) from exc
        raise
    moved = watch.moved()
    changes = rehearsal.captured.changes() if ended.error is None else {}
    if ended.error is not None and not isinstance(ended.error, bdb.BdbQuit):
        FAILURES.keep(_failure(orchestrator, rehearsal, ended))
    elif write_as and ended.error is None:
        _write(rehearsal, write_as)
    note = f"reloaded: {', '.join(orchestrator.reloaded)}" if orchestrator.reloaded else ""
    diff, source_note, edit = _difference(rehearsal, cell, function.name)
    applicable = edit if ended.error is None and edit is not None and edit.names else None
    TRIED.note(orchestrator.manifest.folder, transformation_id, applicable)
    return Trial(
        transformation_id=transformation_id,
        project=orchestrator.project,
        env=orchestrator.env,
        engine=rehearsal.row.engine,
        function=function.name if cell else rehearsal.row.transformation.qualified_function,
        duration_seconds=ended.duration_seconds,
        expected_seconds=rehearsal.row.expected_seconds,
        rows_in=rehearsal.context.rows_in,
        rows_out=rehearsal.context.rows_out,
        log=ended.attempt.log.text(),
        error=ended.error,
        headline="" if ended.error is None else headline(ended.error),
        traceback="" if isinstance(ended.error, bdb.BdbQuit) else ended.traceback,
        outputs={w.output.table: w.frame for w in rehearsal.captured.writes},
        changes=changes,
        checks=tuple(rehearsal.context.check_results),
        source_diff=diff,
        edit=applicable,
        source_note="; ".join(filter(None, (source_note, note))),
        inputs_cut=str(portion) if portion else "",
        inputs_of=past_lines(rehearsal),
        written=bool(write_as) and ended.error is None,
        moved=tuple(moved),
        unwatched=watch.unknown,
    )


def past_lines(rehearsal: Rehearsal) -> tuple[str, ...]:
    """Return lines about the inputs of a past attempt: their versions, and the inputs that may have changed."""
    past = rehearsal.past
    if past is None:
        return ()
    tables = [
        f"{t.table} v{t.version}" for t in past.tables().values() if isinstance(t, TableVersion)
    ]
    lines = [f"inputs as {past} read them: {', '.join(tables) or 'no tables'}", *rehearsal.notes]
    overridden = past.overridden()
    if overridden:
        names = ", ".join(overridden)
        lines.append(f"⚠️ that run had its own values of the constants {names}: these are the row's")
    return tuple(lines)


def check_inputs(orchestrator: Orchestrator, rehearsal: Rehearsal) -> None:
    """Check that the tables that a transformation reads exist.

    Raises:
        DataError: if tables are missing; the message names each one, the row that makes it, and the
            command to run that row.
    """
    missing = rehearsal.missing_inputs()
    if not missing:
        return
    problems = []
    for table, producer in missing.items():
        if producer is None:
            problems.append(f"{table} does not exist, and no transformation makes it")
        else:
            command = (
                f'%odibi run "{orchestrator.project}" --env {orchestrator.env} --only {producer}'
            )
            problems.append(f"{table} does not exist yet: {producer} makes it: {command}")
    raise DataError(f"{rehearsal.row.id}: " + "; ".join(problems))


def variable_names(names: list[str]) -> dict[str, str]:
    """Map input names to variables: the table name, with its schema if two tables share the name."""
    found: dict[str, str] = {}
    short = {name: _identifier(re.split(r"[./\\]", name)[-1] or name) for name in names}
    taken = set(NAMES)
    for name in names:
        alone = list(short.values()).count(short[name]) == 1
        variable = short[name] if alone else _identifier(name)
        while variable in taken:
            variable += "_"
        taken.add(variable)
        found[name] = variable
    return found


def _identifier(text: str) -> str:
    name = re.sub(r"\W+", "_", text).strip("_") or "input_1"
    name = f"_{name}" if name[0].isdigit() else name
    return f"{name}_" if keyword.iskeyword(name) else name


def _shape(rehearsal: Rehearsal, frame: Any) -> str:
    rows = rehearsal.captured.row_count(frame)
    columns = counted(len(rehearsal.captured.schema(frame)), "column")
    return columns if rows is None else f"{counted(rows, 'row')} × {columns}"


def _notes(
    orchestrator: Orchestrator, source: FunctionSource | None, portion: Portion | None
) -> list[str]:
    notes = [f"each input: {portion}"] if portion else []
    if orchestrator.reloaded:
        notes.append(f"🔄 reloaded: {', '.join(orchestrator.reloaded)}")
    if source is not None and source.ready_made:
        notes.append("fn comes with odibi_nb: the row's constants define what it does")
    return notes


def _offered_cell(source: FunctionSource | None, row: Transformation) -> str:
    name = row.transformation_id
    quoted = name if re.fullmatch(r"[\w.-]+", name) else f'"{name}"'
    if is_sql(row):
        text = row.constants.get(TEXT, "")
        return f"%%odibi try {quoted}\n{text}" if text else ""
    if source is None or source.ready_made:
        return ""
    return f"%%odibi try {quoted}\n{with_helpers(source)}"


def _file_of(project: Orchestrator, row: Transformation, source: FunctionSource | None) -> str:
    """Return the file of a row's function or query, for the cell's heading; "" without a file."""
    if is_sql(row):
        file = row.constants.get(FILE)
        return shown_path(project.manifest.folder / file) if file else f"constants.{TEXT}"
    return f"{shown_path(source.file)}:{source.line}" if source is not None else ""


def _function(orchestrator: Orchestrator, rehearsal: Rehearsal, cell: str) -> CellFunction:
    row = rehearsal.row
    if cell.strip() and is_sql(row.transformation):
        own = cell_query(cell, row.transformation, row.engine)
        fn = functools.partial(query_text, own.constants, text=own.text, where=CELL)
        return CellFunction(fn=fn, keywords=("context",), name=row.transformation.function)
    if cell.strip():
        known = getattr(row.fn, "__name__", None)
        home = orchestrator.module_name(row.transformation.module)
        return function_from(cell, row.transformation, row.engine, known, home)
    if row.fn is None:
        raise PlanError(rehearsal.plan.source, rehearsal.problems)
    return CellFunction(fn=row.fn, keywords=row.keywords, name=row.transformation.function)


def _difference(rehearsal: Rehearsal, cell: str, name: str) -> tuple[str, str, ModuleEdit | None]:
    """Return the diff from the module's source to the cell, or "" and the reason; and the edit of the module."""
    if not cell.strip():
        return "", "", None
    row = rehearsal.row.transformation
    if is_sql(row):
        diff = query_diff(row, cell)
        return diff, "" if diff else "the row already has the cell's query", None
    source = source_of(rehearsal.row.fn) if rehearsal.row.fn is not None else None
    if source is None:
        return "", "the module's source is not available, so it is not compared with the cell", None
    if source.ready_made:
        note = "the row names a function of odibi_nb: put your own function into a module of the project"
        return "", note, None
    edit = edit_of(source, cell, name)
    return edit.diff, "" if edit.diff else "the module already has the cell's version", edit


def _write(rehearsal: Rehearsal, run_id: str) -> None:
    """Do the captured writes under the transformation's id. The caller must hold the run lock."""
    info = WriteInfo(run_id=run_id, transformation_id=rehearsal.row.id, attempt=1)
    for write in rehearsal.captured.writes:
        rehearsal.captured.tables.write(write.frame, write.output, info)


def _failure(orchestrator: Orchestrator, rehearsal: Rehearsal, ended: AttemptEnded) -> Failure:
    assert ended.error is not None
    return Failure(
        project=orchestrator.project,
        env=orchestrator.env,
        transformation_id=rehearsal.row.id,
        run_id="",
        error=ended.error,
        traceback=ended.traceback,
        log=ended.attempt.log.text(),
    )
