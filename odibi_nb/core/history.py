"""What past runs say: how long transformations take."""

from __future__ import annotations

from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odibi_nb.core.protocols import BaseLogSink, Row

RUNS_LOOKED_AT = 5


def past_runs(
    sinks: Sequence[BaseLogSink], limit: int, project: str | None = None, env: str | None = None
) -> list[Row]:
    """The newest runs, newest first, from the first sink that can be read."""
    for sink in sinks:
        runs = sink.runs(limit if project is None else max(limit * 20, 200))
        if runs:
            return [
                run
                for run in runs
                if (project is None or run["project"] == project)
                and (env is None or run["env"] == env)
            ][:limit]
    return []


def past_attempts(sinks: Sequence[BaseLogSink], run_ids: Sequence[str]) -> list[Row]:
    """The run log's records of these runs, from the first sink that has them."""
    for sink in sinks:
        records = sink.attempts(run_ids)
        if records:
            return records
    return []


def expected_seconds(sinks: Sequence[BaseLogSink], project: str, env: str) -> dict[str, float]:
    """Transformation id to the median duration of its successes in the last runs."""
    runs = past_runs(sinks, RUNS_LOOKED_AT, project, env)
    durations: dict[str, list[float]] = defaultdict(list)
    if runs:
        run_ids = [run["run_id"] for run in runs]
        found = next((rows for sink in sinks if (rows := sink.durations(run_ids))), [])
        for name, seconds in found:
            durations[name].append(seconds)
    return {name: median(seconds) for name, seconds in durations.items()}
