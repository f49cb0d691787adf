"""A figure of the benchmark, and the table of all of them."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HEAD = ("figure", "ours", "peer / baseline", "ratio", "wanted", "holds")
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"))


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One line of the table, as texts; *holds* is None if the figure has no limit."""

    name: str
    ours: str
    baseline: str
    ratio: str = "–"
    wanted: str = "–"
    holds: bool | None = None


def compared(
    name: str,
    ours: Sequence[float],
    baseline: Sequence[float] | None,
    *,
    peer: str,
    at_most: float | None = None,
    rows: tuple[int, int] = (0, 0),
) -> Figure:
    """Compare *ours* with *baseline*: seconds of turns that alternated.

    The times shown are medians. The ratio is the median of the turns' ratios: a machine that becomes
    slower between two turns changes both sides of a turn's ratio, but only one of two medians.

    Args:
        name: the work.
        ours: seconds, turn by turn.
        baseline: seconds, turn by turn; None if the peer is not installed.
        peer: the name of the baseline.
        at_most: the limit of the ratio, if it has one.
        rows: compare the time for each of so many rows, ours and the baseline's.
    """
    wanted = "–" if at_most is None else f"≤ {at_most:.2f}"
    mine = shown(median(ours), rows[0])
    if baseline is None:
        return Figure(name=name, ours=mine, baseline=f"{peer} not installed", wanted=wanted)
    scale = rows[1] / rows[0] if rows[0] else 1.0
    ratio = scale * median(a / b for a, b in zip(ours, baseline, strict=True))
    return Figure(
        name=name,
        ours=mine,
        baseline=f"{shown(median(baseline), rows[1])}  {peer}",
        ratio=f"{ratio:.2f}",
        wanted=wanted,
        holds=None if at_most is None else ratio <= at_most,
    )


def shown(seconds: float, rows: int = 0) -> str:
    """Return *seconds* as text with a fitting unit; with *rows*, the time for each row."""
    each = seconds / rows if rows else seconds
    size, unit = next(((s, u) for s, u in UNITS if each >= s), UNITS[-1])
    return f"{each / size:.3g} {unit}{'/row' if rows else ''}"


def table(figures: Sequence[Figure]) -> str:
    """Return the table of the figures, one per line."""
    marks = {True: "✔", False: "✖", None: "–"}
    lines = [
        HEAD,
        *((f.name, f.ours, f.baseline, f.ratio, f.wanted, marks[f.holds]) for f in figures),
    ]
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    text = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    text.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(text)
