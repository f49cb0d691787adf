"""Find the problems of each row of a plan: engine, function, settings, checks, outputs, step.

The problems of a row's columns come from `planner`, the problems between rows from `dependencies`.
"""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

import msgspec

from odibi_nb.core.functions.modules import FunctionNotFoundError
from odibi_nb.core.functions.registry import (
    accepted_keywords,
    module_allowed,
    returns_frames,
    returns_nothing,
)
from odibi_nb.core.model.checks import DECLARED, parse_checks
from odibi_nb.core.model.engine import ENGINES
from odibi_nb.core.model.retry import RetryPolicy
from odibi_nb.core.model.transformation import READY_MADE
from odibi_nb.core.planning.plan import PlannedRow
from odibi_nb.core.text.redaction import shown
from odibi_nb.core.text.structs import decode_struct, is_number
from odibi_nb.errors import Problem, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from odibi_nb.core.model.checks import Rule
    from odibi_nb.core.model.manifest import ProjectManifest
    from odibi_nb.core.model.transformation import Transformation
    from odibi_nb.core.planning.plan import PlanRequest


class RowResolver:
    """Resolver of rows: it finds the function, engine, policies and checks of each row.

    Args:
        manifest: the project's manifest.
        request: the options of the plan.

    Attributes:
        problems: the reasons why resolved rows cannot run.
        notices: notes on resolved rows that do not prevent the run.
    """

    def __init__(self, manifest: ProjectManifest, request: PlanRequest) -> None:
        self.problems: list[Problem] = []
        self.notices: list[str] = []
        self._manifest = manifest
        self._request = request
        self._policy_of = cache(self._layer_policy)
        self._function = cache(self._look_up)

    def resolve(
        self,
        row: Transformation,
        *,
        reads: tuple[str, ...],
        upstream: tuple[str, ...],
        depth: int,
        rank: int,
    ) -> PlannedRow:
        """Return *row* with its function, engine, policies and checks. Collect their problems.

        For the place of the row among the others, from *reads* to *rank*, see `PlannedRow`.
        """
        where = f"row {row.transformation_id!r}"
        engine = self._engine(row, where)
        retry, timeout = self._settings(row, f"{where}, constants")
        fn, keywords, problem = self._function(row.module, row.function, engine)
        if problem:
            self.problems.append(Problem(where, problem))
        priority = row.constants.get("priority")
        if priority is not None and not is_number(priority):
            message = f"expected a number, found {shown(priority)}"
            self.problems.append(Problem(f"{where}, constants.priority", message))
        if self._request.reach is not None:
            for field, message in self._request.reach.problems(row):
                self.problems.append(Problem(f"{where}, {field}", message))
        checks = self._checks(row, fn, where)
        if self._request.reserved is not None:
            for field, message in self._request.reserved.problems(row, checks):
                self.problems.append(Problem(f"{where}, {field}", message))
        if row.output_problems:
            self._judge_outputs(row, fn)
        return PlannedRow(
            transformation=row,
            fn=fn,
            keywords=keywords,
            engine=engine,
            retry=retry,
            timeout_seconds=timeout,
            reads=reads,
            upstream=upstream,
            depth=depth,
            rank=rank,
            expected_seconds=self._request.expected.get(row.transformation_id),
            checks=checks,
            outputs_required=self._manifest.outputs_required,
        )

    def _judge_outputs(self, row: Transformation, fn: Callable[..., Any] | None) -> None:
        """Judge the outputs of *row* that the runner cannot write.

        If the runner must write them, they are problems. If the function may write them itself,
        they are notices.
        """
        if row.module in READY_MADE or (fn is not None and returns_frames(fn)):
            self.problems += row.output_problems
        elif fn is not None and not returns_nothing(fn):
            self.notices += [
                f"{problem}: the function may write it, but the runner cannot write a returned frame to it"
                for problem in row.output_problems
            ]

    def _checks(
        self, row: Transformation, fn: Callable[..., Any] | None, where: str
    ) -> tuple[Rule, ...]:
        raw, declared = row.constants.get("checks"), getattr(fn, DECLARED, ())
        if raw is None and not declared:
            return ()
        find = partial(self._resolved, engine=self._request.engine)
        rules, problems = parse_checks(raw, declared, row.targets, where, find)
        self.problems += problems
        return rules

    def _engine(self, row: Transformation, where: str) -> str:
        engine = row.constants.get("engine")
        if engine is None:
            return self._request.engine
        name = str(engine).lower()
        if name in ENGINES:
            return name
        hint = did_you_mean(name, ENGINES) or ": expected 'pandas' or 'spark'"
        message = f"unknown engine {shown(engine)}{hint}"
        self.problems.append(Problem(f"{where}, constants.engine", message))
        return self._request.engine

    def _settings(self, row: Transformation, where: str) -> tuple[RetryPolicy, float | None]:
        """Return the retry policy and timeout of *row*.

        The row's own settings override its layer's, and the layer's override the run's.
        """
        base, policy, timeout = self._policy_of(row.layer)
        retry, own_timeout = row.constants.get("retry"), row.constants.get("timeout_seconds")
        if retry is not None:
            if not isinstance(retry, dict):
                retry = {"max_retries": 0 if retry is False else retry}
            _, problems = decode_struct(retry, RetryPolicy, f"{where}.retry")
            self.problems += problems
            if not problems:
                policy = msgspec.convert({**base, **retry}, RetryPolicy)
        if own_timeout is not None:
            if is_number(own_timeout) and own_timeout > 0:
                timeout = own_timeout
            else:
                message = f"expected seconds above 0, found {shown(own_timeout)}"
                self.problems.append(Problem(f"{where}.timeout_seconds", message))
        return policy, timeout

    def _layer_policy(self, layer: str) -> tuple[dict[str, Any], RetryPolicy, float | None]:
        """Return the retry policy of a layer, as a dict and as a `RetryPolicy`, and its timeout.

        The settings of a single row are laid over the dict.
        """
        config = self._manifest.layers.get(layer)
        base, timeout = dict(self._request.retry), self._request.timeout_seconds
        if config is not None:
            source = self._manifest.path or "manifest"
            where = f"{source}, $.layers.{layer}.retry"
            _, problems = decode_struct(config.retry, RetryPolicy, where)
            self.problems += problems
            base |= {} if problems else config.retry
            timeout = config.timeout_seconds or timeout
        return base, msgspec.convert(base, RetryPolicy), timeout

    def _look_up(
        self, module: str, function: str, engine: str
    ) -> tuple[Callable[..., Any] | None, tuple[str, ...], str]:
        """Return a row's function, the keywords of the seed that it accepts, and the problem with it or ""."""
        fn, problem = self._resolved(module, function, engine)
        if isinstance(fn, type):
            problem = (
                f"{module}.{function} is a class: a row needs a function, or an object that can be "
                f"called, such as {function.lower()} = {function}()"
            )
        if fn is None or problem:
            return None, (), problem
        try:
            return fn, accepted_keywords(fn), ""
        except (ValueError, TypeError) as exc:
            return None, (), f"{module}.{function} cannot be called: {exc}"

    def _resolved(
        self, module: str, function: str, engine: str
    ) -> tuple[Callable[..., Any] | None, str]:
        """Return the function of a row or of a data check, and the problem with it or ""."""
        allowed = self._manifest.transformation_modules
        if not module_allowed(module, allowed):
            names = ", ".join(allowed)
            why = f"is not allowed: the manifest's transformation_modules are {names}"
            return None, f"module {module!r} {why}"
        try:
            return self._request.resolve(module, function, engine), ""
        except FunctionNotFoundError as exc:
            return None, str(exc)
        except (ValueError, TypeError) as exc:
            return None, f"{module}.{function} cannot be called: {exc}"


def ordered_layers(manifest: ProjectManifest) -> tuple[str, ...]:
    """Return the layers whose rows the manifest orders by their steps."""
    layers = manifest.layers
    return tuple(x for x in manifest.layer_order if x in layers and layers[x].ordered_by_step)


def step_problems(manifest: ProjectManifest, rows: Mapping[str, PlannedRow]) -> Iterator[Problem]:
    """Yield a problem for each row that waits for a row of a later step.

    Only layers that are ordered by steps are checked.
    """
    ordered = ordered_layers(manifest)
    if not ordered:
        return
    latest: dict[str, tuple[int, str]] = {}
    for name, row in rows.items():  # upstream first
        if row.layer not in ordered:
            continue
        step = row.transformation.step
        before = [latest[x] for x in row.upstream if x in latest and rows[x].layer == row.layer]
        waits_for = max(before, default=None)
        if waits_for is not None and step is not None and waits_for[0] > step:
            message = (
                f"step {step} comes before step {waits_for[0]} of {waits_for[1]!r}, which the row "
                f"waits for: change a step, or layers.{row.layer}.ordered_by_step in the manifest"
            )
            yield Problem(f"row {name!r}, step", message)
        if step is not None:
            before.append((step, name))
        if before:
            latest[name] = max(before)
