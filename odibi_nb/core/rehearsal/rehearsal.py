"""One transformation, opened to inspect and try it: row, inputs, and a context that captures writes."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeGuard, cast

import msgspec

from odibi_nb.core.model.engine import Engine
from odibi_nb.core.model.tables import TableName, table_key
from odibi_nb.core.rehearsal.captured_writes import CapturedWrites
from odibi_nb.core.rehearsal.past_inputs import PastInputs, check_versions, not_as_they_were
from odibi_nb.core.running.capture import CapturedLog, captured, routed_output
from odibi_nb.core.running.hooks import HookManager
from odibi_nb.core.running.run import make_context, shared_by_rows
from odibi_nb.core.running.worker import Attempt, AttemptEnded, run_attempt
from odibi_nb.core.text.clock import utc_now
from odibi_nb.errors import EngineError, PlanError, Problem, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from odibi_nb.core.planning.plan import PlannedRow, RunPlan
    from odibi_nb.core.protocols import Portion, RehearsingEngine, TableEngine, VersionedEngine
    from odibi_nb.core.rehearsal.past_attempts import PastAttempt
    from odibi_nb.core.running.context import ExecutionContext
    from odibi_nb.core.running.orchestrator import Orchestrator


SPARK = Engine.SPARK.value
MAX_LISTED = 10
"""Maximum number of ids that an error message lists."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """A transformation that can be called without writing to its tables.

    Attributes:
        plan: the plan of all layers, to find upstream and downstream rows.
        row: the row; `fn` is None if the function cannot be loaded, for the reason in *problems*.
        problems: the reasons why a run would refuse the row.
        context: the context of the function.
        captured: the tables of the context, with its captured writes.
        past: the attempt whose inputs the context reads; None for the newest data.
        notes: the inputs that the context cannot read as that attempt read them.
    """

    plan: RunPlan
    row: PlannedRow
    problems: tuple[Problem, ...]
    context: ExecutionContext
    captured: CapturedWrites
    past: PastAttempt | None = None
    notes: tuple[str, ...] = ()

    @property
    def producers(self) -> dict[str, str]:
        """Map the key of each table that the plan's rows write to the id of a row that writes it."""
        return {
            table_key(output.table): name
            for name, row in self.plan.rows.items()
            for output in row.transformation.targets
        }

    def missing_inputs(self) -> dict[str, str | None]:
        """Map each table that the row reads, but that does not exist, to the row that makes it."""
        producers = self.producers
        return {
            key: producers.get(key)
            for key in self.row.reads
            if not self.captured.exists(TableName.parse(key))
        }

    def read_inputs(self) -> Inputs:
        """Read each input once, as the function would read it.

        Raises:
            DataError: if an input cannot be read.
        """
        sources = self.row.transformation.sources
        found = Inputs(sources)
        with routed_output(), captured(CapturedLog()):
            for source in sources:
                found.add(input_name(source), self.context.read(source))
        self.context.reads.clear()
        return found

    def call(self, fn: Callable[..., Any], keywords: tuple[str, ...]) -> AttemptEnded:
        """Call *fn* as the runner would call the row's function. An error is part of the outcome.

        Raises:
            KeyboardInterrupt: if the user interrupted the call.
        """
        row = msgspec.structs.replace(self.row, fn=fn, keywords=keywords)
        attempt = Attempt(
            row=row,
            facts=row.facts(1, utc_now()),
            context=self.context,
            log=CapturedLog(),
            started=time.monotonic(),
        )
        with routed_output():
            ended = run_attempt(attempt)
        if isinstance(ended.error, KeyboardInterrupt):
            raise ended.error
        return ended


class Inputs(dict[str, Any]):
    """DataFrames by input name. An index returns an item of the row's list of inputs, as functions get it.

    A function can therefore get this object as its inputs: ``context.read(inputs[0])`` reads the first input.
    """

    def __init__(self, sources: list[Any]) -> None:
        super().__init__()
        self.sources = sources

    def add(self, name: str, frame: Any) -> None:
        """Add the frame of the next input. If *name* is taken, append a number to it."""
        number, free = 2, name
        while free in self:
            free, number = f"{name}_{number}", number + 1
        self[free] = frame

    def __getitem__(self, key: Any) -> Any:
        return self.sources[key] if isinstance(key, (int, slice)) else super().__getitem__(key)


def open_rehearsal(
    project: Orchestrator,
    transformation_id: str,
    portion: Portion | None = None,
    *,
    to_call: bool = True,
    past: PastAttempt | None = None,
) -> Rehearsal:
    """Open a transformation of *project*, enabled or not. Reads none of its inputs.

    Args:
        project: the project.
        transformation_id: the id of a row of its registry.
        portion: how much of each input a read through the context returns.
        to_call: give the context the Spark session, and start the session if necessary.
        past: an attempt whose inputs the context reads; None for the newest data.

    Raises:
        PlanError: if the registry has no such row, or the row is malformed.
        EngineError: if the row's engine cannot capture writes.
    """
    plan = project.plan_with(transformation_id)
    where = re.compile(rf"row {re.escape(repr(transformation_id))}(,|$)")
    problems = tuple(problem for problem in plan.problems if where.match(problem.where))
    row = plan.rows.get(transformation_id)
    if row is None:
        unknown = f"no transformation {transformation_id!r} in env {project.env!r}"
        hint = did_you_mean(transformation_id, plan.rows)
        known = f"; it has {', '.join([*plan.rows][:MAX_LISTED])}" if not hint else ""
        raise PlanError(plan.source, problems or [f"{unknown}{hint}{known}", *plan.notices])
    engine = project.tables(row.engine)
    if not _can_rehearse(engine):
        raise EngineError(f"{row.id}: the {row.engine} engine cannot capture writes")
    inputs = None
    if past is not None:
        check_versions(engine)
        inputs = PastInputs(cast("VersionedEngine", engine), past.tables(), past.began)
    captured_writes = CapturedWrites(engine, portion, inputs)
    # The context gets no listeners, because a rehearsal is not a run.
    if to_call and project.engine == SPARK and "spark" in row.keywords:
        project.tables(SPARK)  # as in a run, where other rows need it
    spark = project.spark_session() if to_call else None
    place = project.place()
    context = make_context(
        place, shared_by_rows(place), row, captured_writes, spark=spark, hooks=HookManager()
    )
    return Rehearsal(
        plan=plan,
        row=row,
        problems=problems,
        context=context,
        captured=captured_writes,
        past=past,
        notes=() if past is None else _notes(past, engine, context),
    )


def _notes(past: PastAttempt, engine: TableEngine, context: ExecutionContext) -> tuple[str, ...]:
    look = getattr(engine, "fingerprint", None)
    now = (lambda _: None) if look is None else (lambda file: look(context.locate(file)))
    return tuple(not_as_they_were(past, now))


def _can_rehearse(engine: TableEngine) -> TypeGuard[RehearsingEngine]:
    # Before Python 3.12, isinstance() reads the engine's properties, which starts Spark.
    return hasattr(type(engine), "prepared")


def input_name(source: Any) -> str:
    """Return the name of an input of a registry row."""
    if isinstance(source, str):
        return source
    return str(source.get("name") or source.get("table") or source.get("path") or "query")
