"""Manifest and registry rows, joined into a plan: what would run, in which order, and what is wrong."""

from __future__ import annotations

import graphlib
import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import msgspec

from odibi_nb.core.decoding import decode_struct
from odibi_nb.core.functions import FunctionNotFoundError, accepted_keywords, module_allowed
from odibi_nb.core.transformation import ALIASES, RetryPolicy, Transformation, parse_row
from odibi_nb.errors import CycleError, PlanError, Problem, did_you_mean

if TYPE_CHECKING:
    from odibi_nb.core.manifest import LayerConfig, ProjectManifest

Resolve = Callable[[str, str, str], Callable[..., Any]]
ENGINES = ("pandas", "spark")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRow:
    """A transformation that will run.

    Attributes:
        fn: the function its row names, for its engine; None where that is a problem of the plan.
        keywords: which of the seed's keywords *fn* takes.
        upstream: ids that must have succeeded before it starts.
        depth: how many rows of the plan must run before it, one after the other.
        rank: ready rows start in this order.
        expected_seconds: the median of its last successes, where known.
    """

    transformation: Transformation
    fn: Callable[..., Any] | None
    keywords: tuple[str, ...]
    engine: str
    retry: RetryPolicy
    timeout_seconds: float | None
    upstream: tuple[str, ...] = ()
    depth: int = 0
    rank: int = 0
    expected_seconds: float | None = None

    @property
    def id(self) -> str:
        """The transformation's id."""
        return self.transformation.transformation_id

    @property
    def layer(self) -> str:
        """The transformation's layer, as the manifest spells it."""
        return self.transformation.layer


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """What a run will do.

    Attributes:
        layers: the layers that are looked at, in order.
        rows: by id; layer by layer, upstream first.
        disabled: ids of rows of these layers that are switched off.
        problems: why it cannot run; empty when it can.
        notices: what a person should know all the same.
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
    cycle: tuple[str, ...] = ()
    html_with: Callable[[RunPlan], str] | None = field(default=None, repr=False, compare=False)

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

    def rows_of(self, layer: str) -> list[PlannedRow]:
        """The rows of *layer*, in the plan's order."""
        return [row for row in self.rows.values() if row.layer == layer]

    def plan_hash(self) -> str:
        """16 hex digits that change when any row's configuration does."""
        digest = hashlib.blake2b(digest_size=8)
        for name, row in self.rows.items():
            digest.update(f"{name}={row.transformation.config_hash()};".encode())
        return digest.hexdigest()

    def _repr_html_(self) -> str | None:
        return self.html_with(self) if self.html_with is not None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanRequest:
    """What to plan, besides manifest and rows.

    Attributes:
        layers: from `ProjectManifest.select_layers`.
        resolve: (module, function, engine) to the function; raises FunctionNotFoundError.
        retry: overlay of the run on the retry policy.
        overrides: transformation id to constants that replace the row's.
        expected: transformation id to seconds, from history.
    """

    env: str
    engine: str
    source: str
    layers: tuple[str, ...]
    resolve: Resolve
    retry: Mapping[str, Any] = field(default_factory=dict)
    timeout_seconds: float | None = None
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    expected: Mapping[str, float] = field(default_factory=dict)


class _Planner:
    """Collects rows and problems while a plan is made.

    ``rows``     id to planned row, in the registry's order
    ``problems`` what is wrong so far
    ``settings`` (layer, constants that matter) to the policy made of them, so that equal rows share one
    ``found``    (module, function, engine) to the function or to what is wrong with it
    """

    def __init__(self, manifest: ProjectManifest, request: PlanRequest) -> None:
        self.manifest = manifest
        self.request = request
        self.layers = {layer.casefold(): layer for layer in request.layers}
        self.known_layers = {layer.casefold() for layer in manifest.layer_order}
        self.rows: dict[str, PlannedRow] = {}
        self.problems: list[Problem] = []
        self.notices: list[str] = []
        self.disabled: list[str] = []
        self.elsewhere: set[str] = set()
        self.lost_layers: dict[str, int] = defaultdict(int)
        self.policies: dict[str, tuple[RetryPolicy, float | None]] = {}
        self.found: dict[
            tuple[str, str, str], tuple[Callable[..., Any] | None, tuple[str, ...], str]
        ] = {}

    def add(self, raw: Mapping[str, Any], number: int) -> None:
        """Take one registry row: plan it, or note why not."""
        identity = str(_column(raw, "transformation_id") or f"number {number}")
        layer = str(_column(raw, "layer") or "")
        if layer and layer.casefold() not in self.layers:
            self.elsewhere.add(identity)
            if layer.casefold() not in self.known_layers:
                self.lost_layers[layer] += 1
            return
        row, problems = parse_row(raw, number)
        if row is None:
            if str(_column(raw, "enabled")).lower() in {"0", "false", "none"}:
                self.disabled.append(identity)
                self.notices.append(f"disabled row {identity!r} is malformed: {problems[0]}")
            else:
                self.problems += problems
            return
        if not row.enabled:
            self.disabled.append(identity)
            return
        if identity in self.rows:
            self.problems.append(
                Problem(f"row {identity!r}", "this transformation_id stands twice")
            )
            return
        row = self._finished(row)
        self.rows[identity] = self._planned(row)

    def _finished(self, row: Transformation) -> Transformation:
        """The row with the manifest's spelling of its layer and the run's overrides."""
        changes: dict[str, Any] = {}
        layer = self.layers[row.layer.casefold()]
        if layer != row.layer:
            changes["layer"] = layer
        overrides = self.request.overrides.get(row.transformation_id)
        if overrides:
            changes["constants"] = {**row.constants, **overrides}
        return msgspec.structs.replace(row, **changes) if changes else row

    def _planned(self, row: Transformation) -> PlannedRow:
        where = f"row {row.transformation_id!r}"
        engine = self._engine(row, where)
        retry, timeout = self._settings(row, where)
        fn, keywords, problem = self._function(row.module, row.function, engine)
        if problem:
            self.problems.append(Problem(where, problem))
        return PlannedRow(
            transformation=row,
            fn=fn,
            keywords=keywords,
            engine=engine,
            retry=retry,
            timeout_seconds=timeout,
            expected_seconds=self.request.expected.get(row.transformation_id),
        )

    def _engine(self, row: Transformation, where: str) -> str:
        engine = row.constants.get("engine")
        if engine is None:
            return self.request.engine
        name = str(engine).lower()
        if name not in ENGINES:
            hint = did_you_mean(name, ENGINES) or ": expected 'pandas' or 'spark'"
            self.problems.append(
                Problem(f"{where}, constants.engine", f"unknown engine {engine!r}{hint}")
            )
        return name

    def _settings(self, row: Transformation, where: str) -> tuple[RetryPolicy, float | None]:
        own_retry = row.constants.get("retry")
        own_timeout = row.constants.get("timeout_seconds")
        if own_retry is None and own_timeout is None:
            if row.layer not in self.policies:
                self.policies[row.layer] = self._policy(row.layer, {}, None, where)
            return self.policies[row.layer]
        return self._policy(row.layer, own_retry, own_timeout, where)

    def _policy(
        self, layer: str, own_retry: Any, own_timeout: Any, where: str
    ) -> tuple[RetryPolicy, float | None]:
        config: LayerConfig | None = self.manifest.layers.get(layer)
        own = own_retry if isinstance(own_retry, dict) else {"max_retries": own_retry}
        raw = {
            **self.request.retry,
            **(config.retry if config else {}),
            **(own if own_retry else {}),
        }
        if own_retry == 0:
            raw["max_retries"] = 0
        policy, problems = decode_struct(raw, RetryPolicy, f"{where}, retry")
        self.problems += problems
        timeout = (
            own_timeout
            or (config.timeout_seconds if config else None)
            or self.request.timeout_seconds
        )
        if timeout is not None and (
            isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or timeout <= 0
        ):
            self.problems.append(
                Problem(
                    f"{where}, timeout_seconds", f"expected seconds above 0, found {timeout!r:.40}"
                )
            )
            timeout = None
        return policy or RetryPolicy(), timeout

    def _function(
        self, module: str, function: str, engine: str
    ) -> tuple[Callable[..., Any] | None, tuple[str, ...], str]:
        key = (module, function, engine)
        if key not in self.found:
            self.found[key] = self._look_up(*key)
        return self.found[key]

    def _look_up(
        self, module: str, function: str, engine: str
    ) -> tuple[Callable[..., Any] | None, tuple[str, ...], str]:
        allowed = self.manifest.transformation_modules
        if not module_allowed(module, allowed):
            return (
                None,
                (),
                (
                    f"module {module!r} is not allowed: the manifest's transformation_modules are "
                    f"{', '.join(allowed)}"
                ),
            )
        try:
            fn = self.request.resolve(module, function, engine)
            return fn, accepted_keywords(fn), ""
        except FunctionNotFoundError as exc:
            return None, (), str(exc)
        except (ValueError, TypeError) as exc:
            return None, (), f"{module}.{function} cannot be called: {exc}"


def _column(raw: Mapping[str, Any], name: str) -> Any:
    value = raw.get(name)
    if value is None:
        for column, found in raw.items():
            lower = column.lower()
            if ALIASES.get(lower, lower) == name:
                return found
    return value


def make_plan(
    manifest: ProjectManifest, rows: Iterable[Mapping[str, Any]], request: PlanRequest
) -> RunPlan:
    """Join *manifest* and registry *rows* (enabled or not) into a plan; nothing is run.

    Functions are resolved, which imports their modules. Problems are in the plan, all of them.
    """
    planner = _Planner(manifest, request)
    for number, raw in enumerate(rows, 1):
        planner.add(raw, number)
    _note_the_unused(planner)
    edges = _edges(planner)
    ordered, cycle = _ordered(planner, edges)
    if cycle:
        planner.problems.append(
            Problem("", f"transformations wait for each other: {' -> '.join(cycle)}")
        )
    return RunPlan(
        project=manifest.project,
        env=request.env,
        engine=request.engine,
        source=request.source,
        layers=request.layers,
        rows=ordered,
        disabled=tuple(planner.disabled),
        problems=tuple(planner.problems),
        notices=tuple(planner.notices),
        cycle=cycle,
    )


def _note_the_unused(planner: _Planner) -> None:
    for name in planner.request.overrides:
        if name not in planner.rows:
            hint = did_you_mean(name, planner.rows)
            planner.problems.append(
                Problem(f"overrides.{name}", f"no transformation {name!r} in this run{hint}")
            )
    for layer, count in planner.lost_layers.items():
        hint = did_you_mean(layer, planner.manifest.layer_order)
        planner.notices.append(
            f"{count} row(s) of layer {layer!r} never run: layer_order does not name it{hint}"
        )


def _edges(planner: _Planner) -> dict[str, set[str]]:
    """Id to the ids it needs: by tables, and by ``constants.depends_on``."""
    producers: dict[str, list[str]] = defaultdict(list)
    overwriters: dict[str, list[str]] = defaultdict(list)
    for name, row in planner.rows.items():
        for output in row.transformation.targets:
            key = output.table.replace("`", "").lower()
            producers[key].append(name)
            if output.mode == "overwrite":
                overwriters[key].append(name)
    for table, names in overwriters.items():
        if len(set(names)) > 1:
            planner.problems.append(
                Problem(
                    f"table {table}", f"is overwritten by more than one row: {', '.join(names)}"
                )
            )
    position = {layer: i for i, layer in enumerate(planner.request.layers)}
    edges: dict[str, set[str]] = {}
    for name, row in planner.rows.items():
        mine = position[row.layer]
        found = {
            other
            for key in row.transformation.input_keys(producers)
            for other in producers.get(key, ())
            if other != name and position[planner.rows[other].layer] <= mine
        }
        if "depends_on" in row.transformation.constants:
            found |= _declared(planner, row, position)
        edges[name] = found
    return edges


def _declared(planner: _Planner, row: PlannedRow, position: Mapping[str, int]) -> set[str]:
    raw = row.transformation.constants["depends_on"]
    where = f"row {row.id!r}, constants.depends_on"
    names = [raw] if isinstance(raw, str) else raw
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        planner.problems.append(
            Problem(where, f"expected a list of transformation ids, found {raw!r:.60}")
        )
        return set()
    found = set()
    for name in names:
        other = planner.rows.get(name)
        if other is None:
            if name not in planner.elsewhere and name not in planner.disabled:
                hint = did_you_mean(name, planner.rows)
                planner.problems.append(Problem(where, f"unknown transformation {name!r}{hint}"))
        elif position[other.layer] > position[row.layer]:
            planner.problems.append(
                Problem(where, f"{name!r} is in layer {other.layer}, which runs after {row.layer}")
            )
        else:
            found.add(name)
    return found


def _ordered(
    planner: _Planner, edges: Mapping[str, set[str]]
) -> tuple[dict[str, PlannedRow], tuple[str, ...]]:
    """The rows with upstream, depth and rank, layer by layer; and a cycle, if there is one."""
    try:
        order = list(graphlib.TopologicalSorter(edges).static_order())
    except graphlib.CycleError as exc:
        cycle = tuple(reversed(exc.args[1]))
        order, edges = list(planner.rows), {name: set() for name in planner.rows}
    else:
        cycle = ()
    depth: dict[str, int] = {}
    for name in order:
        depth[name] = 1 + max((depth[other] for other in edges[name]), default=-1)
    remaining = _remaining(planner.rows, order, edges)
    position = {layer: i for i, layer in enumerate(planner.request.layers)}

    def first_to_start(name: str) -> tuple[Any, ...]:
        priority = planner.rows[name].transformation.constants.get("priority", 0)
        urgent = -priority if isinstance(priority, (int, float)) else 0
        return (urgent, -remaining[name], depth[name], name)

    rank = {name: i for i, name in enumerate(sorted(order, key=first_to_start))}
    shown = sorted(order, key=lambda name: (position[planner.rows[name].layer], depth[name], name))
    return {
        name: replace(
            planner.rows[name],
            upstream=tuple(sorted(edges[name])),
            depth=depth[name],
            rank=rank[name],
        )
        for name in shown
    }, cycle


def _remaining(
    rows: Mapping[str, PlannedRow], order: Sequence[str], edges: Mapping[str, set[str]]
) -> dict[str, float]:
    """Seconds from each row's start to the end of the longest chain behind it; 1 s where unknown."""
    behind: dict[str, float] = defaultdict(float)
    remaining: dict[str, float] = {}
    for name in reversed(order):
        own = rows[name].expected_seconds
        remaining[name] = behind[name] + (1.0 if own is None else own)
        for other in edges[name]:
            behind[other] = max(behind[other], remaining[name])
    return remaining
