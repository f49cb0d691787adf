"""The last runs of a project as a grid: a column for each run, a line for each transformation."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from odibi_nb.core.model.events import DONE
from odibi_nb.core.runlog.unusual import LEAST_RUNS, MOST_RUNS, Usual, unusual

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from odibi_nb.core.protocols import BaseLogSink, Row

GRID_RUNS = 30
"""Largest number of runs in a grid."""
GRID_COLUMNS = (
    *("transformation_id", "layer", "run_id", "status", "attempts"),
    *("start_time", "duration_seconds", "rows_out", "unusual"),
)
_DONE = frozenset(status.value for status in DONE)


@dataclass(frozen=True, slots=True, kw_only=True)
class GridCell:
    """The outcome of one transformation in one run. *unusual* has a line for each unusual value."""

    status: str
    attempts: int
    record: Row
    unusual: tuple[str, ...] = ()

    @property
    def fine(self) -> bool:
        """True if the transformation succeeded without unusual values."""
        return self.status in _DONE and not self.unusual


@dataclass(frozen=True, slots=True, kw_only=True)
class GridLine:
    """One transformation: its outcome in each run of the grid; None for runs without it."""

    id: str
    layer: str
    cells: tuple[GridCell | None, ...]

    @property
    def fine(self) -> bool:
        """True if nothing about it needs attention in any of the runs."""
        return all(cell is None or cell.fine for cell in self.cells)

    def seconds(self) -> list[float | None]:
        """Return the duration in each run; None for runs in which the transformation did not succeed."""
        return [self._number(cell, "duration_seconds") for cell in self.cells]

    def rows(self) -> list[float | None]:
        """Return the number of written rows in each run; None without success, or if it is unknown."""
        return [self._number(cell, "rows_out") for cell in self.cells]

    def _number(self, cell: GridCell | None, name: str) -> float | None:
        return None if cell is None or cell.status != "SUCCESS" else cell.record.get(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunGrid:
    """The last runs, oldest first, and their transformations by layer."""

    runs: tuple[Row, ...]
    lines: tuple[GridLine, ...]

    def records(self) -> Iterator[Row]:
        """Return a row with `GRID_COLUMNS` for each transformation in each run."""
        for line in self.lines:
            for run, cell in zip(self.runs, line.cells, strict=True):
                if cell is not None:
                    facts = ("start_time", "duration_seconds", "rows_out")
                    yield {
                        "transformation_id": line.id,
                        "layer": line.layer,
                        "run_id": run["run_id"],
                        "status": cell.status,
                        "attempts": cell.attempts,
                        **{name: cell.record.get(name) for name in facts},
                        "unusual": "; ".join(cell.unusual) or None,
                    }


def run_grid(
    sinks: Sequence[BaseLogSink], runs: Sequence[Row], layer_order: Sequence[str]
) -> RunGrid:
    """Return the grid of *runs*, newest first. Each row is compared with its own earlier successes.

    Args:
        sinks: the sinks of the run log.
        runs: records of runs. At most `GRID_RUNS` of them are in the grid.
        layer_order: the layers of the manifest. Other layers come last.
    """
    shown = tuple(reversed(runs[:GRID_RUNS]))
    column = {run["run_id"]: number for number, run in enumerate(shown)}
    last: dict[str, dict[int, Row]] = {}
    outcomes = next(filter(None, (sink.outcomes([*column]) for sink in sinks)), [])
    for record in outcomes:
        at = column.get(record["run_id"])
        name = record["transformation_id"]
        if at is None or not name:
            continue
        before = last.setdefault(name, {}).get(at)
        if before is None or (record["attempt"] or 0) >= (before["attempt"] or 0):
            last[name][at] = record
    lines = [_line(name, found, len(shown)) for name, found in last.items()]
    place = {layer: number for number, layer in enumerate(layer_order)}
    lines.sort(key=lambda line: (place.get(line.layer, len(place)), line.layer, line.id))
    return RunGrid(runs=shown, lines=tuple(lines))


def _line(name: str, found: dict[int, Row], count: int) -> GridLine:
    newest = found[max(found)]
    seconds: list[float] = []
    rows: list[int] = []
    cells: list[GridCell | None] = [None] * count
    for at, record in sorted(found.items()):
        status = record["status"] or "?"
        took, wrote = record["duration_seconds"], record["rows_out"]
        odd: tuple[str, ...] = ()
        if status == "SUCCESS":
            if len(seconds) >= LEAST_RUNS:
                odd = unusual(Usual(seconds[-MOST_RUNS:], rows[-MOST_RUNS:]), took, wrote)
            seconds += [took] if took is not None else []
            rows += [wrote] if wrote is not None else []
        cells[at] = GridCell(
            status=status, attempts=record["attempt"] or 0, record=record, unusual=odd
        )
    return GridLine(id=name, layer=newest["layer"] or "", cells=tuple(cells))


def with_problems(lines: Iterable[GridLine], most: int) -> tuple[list[GridLine], dict[str, int]]:
    """Return the lines to show and the number of the others by layer.

    If the lines are more than *most*, those without a problem are folded. Lines with a problem in the
    newest runs come first.
    """
    lines = list(lines)
    if len(lines) <= most:
        return lines, {}
    bad = sorted((line for line in lines if not line.fine), key=_last_problem, reverse=True)
    kept = {line.id for line in bad[:most]}
    folded = Counter(line.layer for line in lines if line.id not in kept)
    return [line for line in lines if line.id in kept], folded


def _last_problem(line: GridLine) -> int:
    return max(n for n, cell in enumerate(line.cells) if cell is not None and not cell.fine)
