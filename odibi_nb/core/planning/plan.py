"""A plan: the rows to run, their order, and the problems that prevent the run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from odibi_nb.core.functions.registry import source_hash
from odibi_nb.core.model.attempt_facts import AttemptFacts
from odibi_nb.core.model.checks import Rule
from odibi_nb.core.model.events import RunStatus
from odibi_nb.core.model.results import RunResult
from odibi_nb.core.model.retry import RetryPolicy
from odibi_nb.core.model.rich_display import RichDisplay
from odibi_nb.core.model.transformation import Transformation
from odibi_nb.core.planning.row_freshness import Freshness
from odibi_nb.core.planning.selection import no_run_log
from odibi_nb.core.text.clock import utc_now
from odibi_nb.core.text.counts import counted
from odibi_nb.errors import CycleError, PlanError, Problem

if TYPE_CHECKING:
    import datetime as dt

    from odibi_nb.core.model.readable_places import Reach
    from odibi_nb.core.model.reserved_places import Reserved

Resolve = Callable[[str, str, str], Callable[..., Any]]


class PlannedRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A row of a plan: one transformation that will run.

    Attributes:
        fn: the function that the row names, for its engine. None if the plan has a problem with it.
        keywords: the keywords of the seed that *fn* accepts.
        reads: the keys of the tables that the row reads, as far as they are known.
        upstream: the ids that must succeed before the row starts.
        depth: the number of rows in the longest chain that must run before the row.
        rank: the place of the row in the order in which ready rows start.
        expected_seconds: the median duration of the row's last successes, if it has any.
        checks: the conditions on the data that the row writes.
        outputs_required: True if the row fails when it leaves one of its outputs unchanged.
        freshness: the verdict for which a ``--stale`` run includes the row; None in other runs.
    """

    transformation: Transformation
    fn: Callable[..., Any] | None
    keywords: tuple[str, ...]
    engine: str
    retry: RetryPolicy
    timeout_seconds: float | None
    reads: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()
    depth: int = 0
    rank: int = 0
    expected_seconds: float | None = None
    checks: tuple[Rule, ...] = ()
    outputs_required: bool = False
    freshness: Freshness | None = None

    @property
    def why(self) -> str:
        """The reasons why a ``--stale`` run includes the row; "" in other runs."""
        return "" if self.freshness is None else self.freshness.why

    @property
    def waits(self) -> bool:
        """True if a ``--stale`` run looks at the row again before it starts the row."""
        return self.freshness is not None and self.freshness.waits

    @property
    def id(self) -> str:
        """The transformation's id."""
        return self.transformation.transformation_id

    @property
    def function_key(self) -> str:
        """``module.function@engine``. Rows with the same key have the same function."""
        return f"{self.transformation.qualified_function}@{self.engine}"

    @property
    def layer(self) -> str:
        """The transformation's layer, as the manifest spells it."""
        return self.transformation.layer

    def facts(self, attempt: int, start_time: dt.datetime | None = None) -> AttemptFacts:
        """Return the facts of the row's attempt number *attempt* that are known at its start."""
        transformation = self.transformation
        return AttemptFacts(
            transformation_id=transformation.transformation_id,
            layer=transformation.layer,
            module=transformation.module,
            function=transformation.function,
            engine=self.engine,
            plant=transformation.entity_1,
            asset=transformation.entity_2,
            config_hash=transformation.config_hash(),
            attempt=attempt,
            input_tables=self.reads,
            output_tables=tuple([target.table for target in transformation.targets]),
            start_time=start_time,
            why=self.why,
        )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RunPlan(RichDisplay):
    """The rows of one run, checked and resolved, with their order.

    Attributes:
        layers: the layers of the run, in order.
        rows: the rows by id, layer by layer, upstream rows first.
        disabled: ids of the disabled rows of these layers.
        selection: the selection as a command spells it; "" if the plan has all rows.
        cycle: the ids of one cycle of dependencies; empty if the plan has no cycle.
        problems: the reasons why the plan cannot run; empty if it can.
        notices: notes for the user that do not prevent the run.
        workers: the number of rows that run at a time.
        layer_workers: lower limits for single layers, by layer.
        schedule: ``layers`` or ``graph``.
        ordered_by_step: the layers whose rows wait for all rows of a lower step.
        fresh: the number of rows that a ``--stale`` run leaves out; None in other runs.
    """

    project: str
    env: str
    engine: str
    source: str
    layers: tuple[str, ...]
    rows: Mapping[str, PlannedRow]
    disabled: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    notices: tuple[str, ...] = ()
    selection: str = ""
    cycle: tuple[str, ...] = ()
    workers: int = 1
    layer_workers: Mapping[str, int] = field(default_factory=dict)
    schedule: str = "layers"
    ordered_by_step: tuple[str, ...] = ()
    fresh: int | None = None

    def raise_for_problems(self) -> RunPlan:
        """Return the plan itself.

        Raises:
            CycleError: if a cycle of dependencies is the only problem.
            PlanError: if the plan has other problems; it lists them all.
        """
        if self.cycle and len(self.problems) == 1:
            raise CycleError(self.source, self.cycle)
        if self.problems:
            raise PlanError(self.source, self.problems)
        return self

    def step_of(self, row: PlannedRow) -> int | None:
        """Return the step of *row* if its layer is ordered by steps, else None."""
        return row.transformation.step if row.layer in self.ordered_by_step else None

    def steps(self) -> dict[str, list[int]]:
        """Return the steps of each layer that is ordered by steps, lowest first."""
        found: dict[str, set[int]] = {layer: set() for layer in self.ordered_by_step}
        for row in self.rows.values():
            step = self.step_of(row)
            if step is not None:
                found[row.layer].add(step)
        return {layer: sorted(steps) for layer, steps in found.items() if steps}

    def by_layer(self) -> dict[str, list[PlannedRow]]:
        """Return the rows of each of the plan's layers, in the plan's order."""
        grouped: dict[str, list[PlannedRow]] = {layer: [] for layer in self.layers}
        for row in self.rows.values():
            grouped[row.layer].append(row)
        return grouped

    def config_hashes(self) -> dict[str, str]:
        """Return the `Transformation.config_hash` of each id."""
        return {name: row.transformation.config_hash() for name, row in self.rows.items()}

    def plan_hash(self) -> str:
        """Return 16 hex digits that change when the configuration of any row changes."""
        digest = hashlib.blake2b(digest_size=8)
        for name, config_hash in self.config_hashes().items():
            digest.update(f"{name}={config_hash};".encode())
        return digest.hexdigest()

    def source_hashes(self) -> dict[str, str]:
        """Return the `source_hash` of each function that has a source, by `PlannedRow.function_key`."""
        functions = {row.function_key: row.fn for row in self.rows.values()}
        found = {key: source_hash(fn) for key, fn in functions.items() if fn is not None}
        return {key: digest for key, digest in sorted(found.items()) if digest}

    def __repr__(self) -> str:
        problems = f", {counted(len(self.problems), 'problem')}" if self.problems else ""
        return f"<RunPlan of {self.project!r}, env {self.env}: {counted(len(self.rows), 'row')}{problems}>"


def nothing_ran(plan: RunPlan, why: str, *, retry_of: str | None = None) -> RunResult:
    """Return the result of a run that started nothing, because no row of *plan* had to run.

    Args:
        plan: the plan; its notices become warnings.
        why: the last warning, which gives the reason.
        retry_of: id of the run that was to be retried.
    """
    now = utc_now()
    return RunResult(
        run_id="",
        status=RunStatus.SUCCESS,
        project=plan.project,
        env=plan.env,
        engine=plan.engine,
        layers_executed=[],
        start_time=now,
        end_time=now,
        duration_seconds=0.0,
        transformations={},
        warnings=[*plan.notices, why],
        retry_of=retry_of,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """The options of a plan. The manifest and the rows are passed separately.

    Attributes:
        layers: the layers to run, from `ProjectManifest.select_layers`.
        resolve: returns the function of (module, function, engine), or raises FunctionNotFoundError.
        reach: the places that rows may read; None to skip this check.
        reserved: the places that rows may not write; None to skip this check.
        retry: the run's retry settings. The settings of a layer and of a row override them.
        overrides: constants that replace a row's own, by transformation id.
        expected: expected seconds from history, by transformation id.
        select: the rows to select, in the grammar of `odibi_nb.core.planning.selection`; all rows if
            empty. Rows that are not selected are not in the plan, and the plan assumes that the
            tables that they write exist.
        exclude: the rows to leave out, in the same grammar.
        within: a second selection in the same grammar. The plan has only rows that both select.
        states: returns the status of each id in a run, by run id or ``last``; see `Population.states`.
        freshness: returns the verdict on each row of the project; see `Population.freshness`.
        lenient: True to accept an empty selection, and overrides of rows that do not run.
    """

    env: str
    engine: str
    source: str
    layers: tuple[str, ...]
    resolve: Resolve
    reach: Reach | None = None
    reserved: Reserved | None = None
    retry: Mapping[str, Any] = field(default_factory=dict)
    timeout_seconds: float | None = None
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    expected: Mapping[str, float] = field(default_factory=dict)
    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    within: tuple[str, ...] = ()
    states: Callable[[str], Mapping[str, str]] = no_run_log
    freshness: Callable[[], Mapping[str, Freshness]] = no_run_log
    lenient: bool = False

    @property
    def selects(self) -> bool:
        """True if the request selects some of the rows."""
        return bool(self.select or self.exclude or self.within)
