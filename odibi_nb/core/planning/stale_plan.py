"""Narrow a plan to the rows that are not fresh, and describe the freshness of a project."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import msgspec

from odibi_nb.core.model.rich_display import RichDisplay
from odibi_nb.core.planning.freshness import recorded
from odibi_nb.core.planning.plan import nothing_ran
from odibi_nb.core.planning.row_freshness import Freshness, State
from odibi_nb.core.text.counts import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from odibi_nb.core.model.results import RunResult
    from odibi_nb.core.planning.plan import PlannedRow, RunPlan

STATUS_COLUMNS = (
    "transformation_id",
    "layer",
    "state",
    "why",
    "last_success",
    "run_id",
    "outputs",
    "rows",
)
"""Columns of a `ProjectStatus` as a table."""


def stale_part(plan: RunPlan, verdicts: Mapping[str, Freshness]) -> RunPlan:
    """Return *plan* with the rows that are not fresh, each with the reason.

    If a fresh row between two of them is left out, the later one still waits for the earlier one.
    """
    rows: dict[str, PlannedRow] = {}
    for name, row in plan.rows.items():
        verdict = verdicts[name]
        if verdict.reasons:
            upstream = tuple(other for other in row.upstream if verdicts[other].reasons)
            rows[name] = msgspec.structs.replace(row, upstream=upstream, freshness=verdict)
    layers = {row.layer for row in rows.values()}
    return replace(
        plan,
        rows=rows,
        layers=tuple(layer for layer in plan.layers if layer in layers),
        fresh=len(plan.rows) - len(rows),
    )


def nothing_stale(plan: RunPlan) -> RunResult:
    """Return the result of a run of the stale rows if no row is stale."""
    count = plan.fresh or 0
    rows = "the row is" if count == 1 else f"all {counted(count, 'row')} are"
    return nothing_ran(plan, f"nothing to run: {rows} fresh")


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class ProjectStatus(RichDisplay):
    """State of each row of a project: fresh, stale or unknown, and why.

    Attributes:
        rows: the rows by id, upstream rows first.
        verdicts: the verdict on each row.
        problems: problems of the plan; rows with a problem are unknown.
    """

    project: str
    env: str
    rows: Mapping[str, PlannedRow]
    verdicts: Mapping[str, Freshness]
    problems: tuple[str, ...] = ()
    to_frame_with: Callable[[Sequence[str], Sequence[dict[str, Any]]], Any] | None = None

    def counts(self) -> dict[str, int]:
        """Return the number of rows in each state, without zeros."""
        states = [verdict.state for verdict in self.verdicts.values()]
        return {state.value: states.count(state) for state in State if state in states}

    def records(self) -> list[dict[str, Any]]:
        """Return the status of each row, with the keys `STATUS_COLUMNS`."""
        return [self._record(row, self.verdicts[name]) for name, row in self.rows.items()]

    def _record(self, row: PlannedRow, verdict: Freshness) -> dict[str, Any]:
        success = verdict.success or {}
        outputs = recorded(success.get("outputs_written")) or ()
        return {
            "transformation_id": row.id,
            "layer": row.layer,
            "state": verdict.state.value,
            "why": verdict.why,
            "last_success": success.get("end_time"),
            "run_id": success.get("run_id"),
            "outputs": ", ".join(map(_output, outputs)),
            "rows": success.get("rows_out"),
        }

    def to_frame(self) -> Any:
        """Return the status as a pandas DataFrame."""
        if self.to_frame_with is None:
            raise TypeError("this status has no DataFrame library: read its records()")
        return self.to_frame_with(STATUS_COLUMNS, self.records())

    def __repr__(self) -> str:
        counts = ", ".join(f"{n:,} {state}" for state, n in self.counts().items()) or "no rows"
        return f"<ProjectStatus of {self.project!r}, env {self.env}: {counts}>"


def _output(one: Mapping[str, Any]) -> str:
    version = one.get("version")
    return f"{one.get('table')} v{version}" if version is not None else str(one.get("table"))
