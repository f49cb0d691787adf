"""A plan: what would run, in which order, and what is wrong with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from odibi_nb.core.functions.registry import source_hash
from odibi_nb.core.model.attempt_facts import AttemptFacts
from odibi_nb.core.model.checks import Rule
from odibi_nb.core.model.retry import RetryPolicy
from odibi_nb.core.model.rich_display import RichDisplay
from odibi_nb.core.model.transformation import Transformation
from odibi_nb.core.planning.selection import no_states
from odibi_nb.errors import CycleError, PlanError, Problem

if TYPE_CHECKING:
    import datetime as dt

    from odibi_nb.core.model.readable_places import Reach
    from odibi_nb.core.model.reserved_places import Reserved

Resolve = Callable[[str, str, str], Callable[..., Any]]


class PlannedRow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A transformation that will run.

    Attributes:
        fn: the function its row names, for its engine; None where that is a problem of the plan.
        keywords: which of the seed's keywords *fn* takes.
        reads: keys of the tables it reads, as far as they can be told.
        upstream: ids that must have succeeded before it starts.
        depth: how many rows of the plan must run before it, one after the other.
        rank: ready rows start in this order.
        expected_seconds: the median of its last successes, where known.
        checks: what must hold of what it writes.
        outputs_required: it has failed if it leaves an output as it was.
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

    @property
    def id(self) -> str:
        """The transformation's id."""
        return self.transformation.transformation_id

    @property
    def function_key(self) -> str:
        """``module.function@engine``: rows of the same have the same function."""
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
        )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class RunPlan(RichDisplay):
    """What a run will do.

    Attributes:
        layers: the layers that are looked at, in order.
        rows: by id; layer by layer, upstream first.
        disabled: ids of rows of these layers that are switched off.
        selection: what was selected, as a command would spell it; "" for everything.
        problems: why it cannot run; empty when it can.
        notices: what a person should know all the same.
        workers: rows that run at a time.
        layer_workers: layer to its own, lower limit.
        schedule: ``layers`` or ``graph``.
        ordered_by_step: layers whose rows wait for all rows of a lower step.
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

    def raise_for_problems(self) -> RunPlan:
        """Return the plan itself.

        Raises:
            PlanError: with all problems.
        """
        if self.cycle and len(self.problems) == 1:
            raise CycleError(self.source, self.cycle)
        if self.problems:
            raise PlanError(self.source, self.problems)
        return self

    def step_of(self, row: PlannedRow) -> int | None:
        """The step of *row* where its layer is ordered by steps, else None."""
        return row.transformation.step if row.layer in self.ordered_by_step else None

    def steps(self) -> dict[str, list[int]]:
        """Each layer that is ordered by steps, with the steps of its rows in order."""
        found: dict[str, set[int]] = {layer: set() for layer in self.ordered_by_step}
        for row in self.rows.values():
            step = self.step_of(row)
            if step is not None:
                found[row.layer].add(step)
        return {layer: sorted(steps) for layer, steps in found.items() if steps}

    def by_layer(self) -> dict[str, list[PlannedRow]]:
        """Each of `layers` and its rows, in the plan's order."""
        grouped: dict[str, list[PlannedRow]] = {layer: [] for layer in self.layers}
        for row in self.rows.values():
            grouped[row.layer].append(row)
        return grouped

    def config_hashes(self) -> dict[str, str]:
        """Id to `Transformation.config_hash`."""
        return {name: row.transformation.config_hash() for name, row in self.rows.items()}

    def plan_hash(self) -> str:
        """16 hex digits that change when any row's configuration does."""
        digest = hashlib.blake2b(digest_size=8)
        for name, config_hash in self.config_hashes().items():
            digest.update(f"{name}={config_hash};".encode())
        return digest.hexdigest()

    def source_hashes(self) -> dict[str, str]:
        """`PlannedRow.function_key` to `source_hash` of the function, where it has a source."""
        functions = {row.function_key: row.fn for row in self.rows.values()}
        found = {key: source_hash(fn) for key, fn in functions.items() if fn is not None}
        return {key: digest for key, digest in sorted(found.items()) if digest}

    def __repr__(self) -> str:
        problems = f", {len(self.problems)} problem(s)" if self.problems else ""
        return f"<RunPlan of {self.project!r}, env {self.env}: {len(self.rows)} rows{problems}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """What to plan, besides manifest and rows.

    Attributes:
        layers: from `ProjectManifest.select_layers`.
        resolve: (module, function, engine) to the function; raises FunctionNotFoundError.
        reach: what its rows may read; None if nobody asks.
        reserved: what they may not write; None if nobody asks.
        retry: overlay of the run on the retry policy.
        overrides: transformation id to constants that replace the row's.
        expected: transformation id to seconds, from history.
        select: which rows, as in `odibi_nb.core.planning.selection`; all if empty. Rows that are not selected
            are no part of the plan, and what they write is taken as there.
        exclude: which rows not.
        within: of those only these rows, as *select* says it.
        states: run id or ``last`` to {transformation id: status}; see `Population.states`.
        lenient: selecting nothing is no problem, nor are overrides of rows that do not run.
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
    states: Callable[[str], Mapping[str, str]] = no_states
    lenient: bool = False

    @property
    def selects(self) -> bool:
        """Whether only some of the rows are wanted."""
        return bool(self.select or self.exclude or self.within)
