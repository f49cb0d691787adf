"""Compare two runs: the status, duration and changes of each transformation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from odibi_nb.core.runlog.history import LAST, KnownRuns
from odibi_nb.core.runlog.record import function_hashes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odibi_nb.core.protocols import BaseLogSink, Row

COLUMNS = (
    "transformation_id",
    "status_a",
    "status_b",
    "seconds_a",
    "seconds_b",
    "seconds_change",
    "rows_out_a",
    "rows_out_b",
    "changed",
)


class Comparison(NamedTuple):
    """The records of two runs, a and b, and a row with `COLUMNS` for each transformation."""

    runs: tuple[Row, Row]
    rows: list[Row]


def compare_runs(
    sinks: Sequence[BaseLogSink],
    project: str,
    env: str,
    run_a: str | None = None,
    run_b: str = LAST,
) -> Comparison:
    """Compare *run_a* with *run_b*, by the last attempt of each transformation.

    The column ``changed`` names the differences: ``status``, ``rows``, ``registry`` (the registry
    row) and ``function`` (its source); or ``only in a`` or ``only in b``.

    The run *run_b* may be ``last``, for the newest run that is not a rollback. Without *run_a*, it is the
    run before *run_b*. Rollbacks do not count.

    Raises:
        LookupError: if the run log does not have both runs.
    """
    known = KnownRuns(sinks, project, env)
    runs = known.runs
    b = runs.index(known.named(run_b))
    if run_a is None:
        a = next((n for n in range(b + 1, len(runs)) if not runs[n].get("rollback_of")), len(runs))
    else:
        a = runs.index(known.named(run_a))
    if a >= len(runs):
        raise LookupError(f"the run log has no run before {runs[b]['run_id']}")
    pair = runs[a], runs[b]
    attempts = known.attempts(run["run_id"] for run in pair)
    ordered = sorted(attempts, key=lambda r: r["attempt"] or 0)
    before, after = (
        {r["transformation_id"]: r for r in ordered if r["run_id"] == run["run_id"]} for run in pair
    )
    sources = function_hashes(pair[0]), function_hashes(pair[1])
    names = dict.fromkeys(record["transformation_id"] for record in attempts)
    rows = [_row(name, before.get(name, {}), after.get(name, {}), sources) for name in names]
    return Comparison(pair, rows)


def _row(name: str, before: Row, after: Row, sources: tuple[dict[str, str], dict[str, str]]) -> Row:
    one, other = before.get("duration_seconds"), after.get("duration_seconds")
    return {
        "transformation_id": name,
        "status_a": before.get("status"),
        "status_b": after.get("status"),
        "seconds_a": one,
        "seconds_b": other,
        "seconds_change": None if one is None or other is None else other - one,
        "rows_out_a": before.get("rows_out"),
        "rows_out_b": after.get("rows_out"),
        "changed": ", ".join(_changes(before, after, sources)),
    }


def _changes(a: Row, b: Row, sources: tuple[dict[str, str], dict[str, str]]) -> list[str]:
    if not a or not b:
        return [f"only in {'b' if b else 'a'}"]
    pairs: dict[str, tuple[Any, Any]] = {
        "status": (a["status"], b["status"]),
        "rows": (a["rows_out"], b["rows_out"]),
        "registry": (a["config_hash"], b["config_hash"]),
        "function": (sources[0].get(_function(a)), sources[1].get(_function(b))),
    }
    known = {name: pair for name, pair in pairs.items() if name == "status" or None not in pair}
    return [name for name, (one, other) in known.items() if one != other]


def _function(record: Row) -> str:
    """Return the `PlannedRow.function_key` of the row of *record*."""
    return f"{record['module']}.{record['function']}@{record['engine']}"
