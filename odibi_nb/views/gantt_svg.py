"""A Gantt chart as SVG: no scripts, every value escaped, both themes, as wide as its place."""

from __future__ import annotations

from collections import defaultdict
from html import escape
from typing import TYPE_CHECKING

from odibi_nb.views.gantt import Gantt, Span, shortened
from odibi_nb.views.looks import LOOKS, WAITS, Look

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 1200
"""The width of the drawing's own coordinates; it is scaled to its place."""
MAX_LABELLED = 120
"""With more rows, their names are left out: they could not be read."""
MAX_HOVER = 300
"""With more bars, they have no tooltips and are drawn as one path per status."""
FIT_HEIGHT = 560
MIN_HEIGHT = 1.2
"""What is thinner fades away; bars of neighbours may overlap instead."""
LEFT, RIGHT, TOP, BOTTOM = 200, 96, 30, 24
_TEXT = "fill:var(--jp-ui-font-color1,currentColor)"
_FAINT = "fill:var(--jp-ui-font-color2,#888)"
_GRID = "stroke:var(--jp-border-color2,rgba(128,128,128,.35));stroke-width:1"
_PATTERN = {
    "/": "M-1 5L5-1M0 8L8 0M3 9L9 3",
    "\\": "M-1 3L5 9M0 0L8 8M3-1L9 5",
    "x": "M0 8L8 0M0 0L8 8",
    "-": "M0 4H8",
    "|": "M4 0V8",
    "+": "M4 0V8M0 4H8",
    ".": "M3 4H5",
}


def gantt_svg(gantt: Gantt, name: str = "g") -> str:
    """The chart as an ``<svg>`` element; *name* keeps its patterns apart from others' on a page."""
    if not gantt.rows:
        return ""
    drawing = _Drawing(gantt, "".join(c for c in name if c.isalnum()) or "g")
    return drawing.svg()


class _Drawing:
    """One chart, its scales, and the prefix of its ids."""

    def __init__(self, gantt: Gantt, name: str) -> None:
        self.gantt = gantt
        self.name = name
        count = len(gantt.rows)
        self.labelled = count <= MAX_LABELLED
        height = 22 if count <= 20 else 16 if count <= 60 else 11  # noqa: PLR2004
        self.row = float(height) if self.labelled else FIT_HEIGHT / count
        self.height = TOP + self.row * count + BOTTOM
        self.scale = (WIDTH - LEFT - RIGHT) / gantt.until
        kinds = {span.kind for span in gantt.spans}
        self.kinds = [kind for kind in LOOKS if kind in kinds]

    def svg(self) -> str:
        label = escape(self.gantt.label)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{label}" '
            f'viewBox="0 0 {WIDTH} {self.height:.0f}" width="100%" '
            'style="display:block;max-width:1800px;height:auto;'
            'font-family:var(--jp-ui-font-family,sans-serif)">'
            f"<defs>{''.join(map(self._pattern, self.kinds))}</defs>"
            + "".join((*self._legend(), *self._axis(), *self._bands(), *self._names()))
            + "".join(self._bars())
            + "".join(self._now())
            + "</svg>"
        )

    def _x(self, seconds: float) -> float:
        return LEFT + seconds * self.scale

    def _pattern(self, kind: str) -> str:
        look = LOOKS[kind]
        width = 2 if look.pattern == "." else 1
        mark = _PATTERN.get(look.pattern)
        faint = ' opacity=".6"' if look.sign == "·" else ""
        lines = (
            f'<path d="{mark}" stroke="#fff" stroke-opacity=".75" stroke-width="{width}"/>'
            if mark
            else ""
        )
        return (
            f'<pattern id="{self._id(look)}" width="8" height="8" patternUnits="userSpaceOnUse">'
            f'<g{faint}><rect width="8" height="8" fill="{look.colour}"/>{lines}</g></pattern>'
        )

    def _id(self, look: Look) -> str:
        return f"{self.name}{list(LOOKS.values()).index(look)}"

    def _fill(self, kind: str) -> str:
        look = LOOKS[kind]
        return f'fill="url(#{self._id(look)}) {look.colour}"'

    def _legend(self) -> Iterator[str]:
        x = LEFT
        for kind in self.kinds:
            text = f"{LOOKS[kind].sign} {kind.lower()}"
            yield f'<rect x="{x}" y="6" width="14" height="12" rx="2" {self._fill(kind)}/>'
            yield f'<text x="{x + 19}" y="16" font-size="12" style="{_TEXT}">{text}</text>'
            x += 40 + 7 * len(text)

    def _axis(self) -> Iterator[str]:
        bottom = self.height - BOTTOM
        for seconds, text in self.gantt.ticks():
            x = self._x(seconds)
            yield f'<path d="M{x:.1f} {TOP}V{bottom:.1f}" style="{_GRID}"/>'
            yield (
                f'<text x="{x:.1f}" y="{bottom + 15:.1f}" font-size="11" text-anchor="middle" '
                f'style="{_FAINT}">{text}</text>'
            )

    def _bands(self) -> Iterator[str]:
        for band in self.gantt.bands:
            y = TOP + band.first * self.row
            middle = TOP + (band.first + band.last + 1) / 2 * self.row
            yield f'<path d="M0 {y:.1f}H{WIDTH}" style="{_GRID}"/>'
            yield (
                f'<text x="{WIDTH - RIGHT + 8}" y="{middle + 4:.1f}" font-size="12" '
                f'style="{_FAINT}">{escape(shortened(band.layer, 14))}</text>'
            )

    def _names(self) -> Iterator[str]:
        if not self.labelled:
            return
        size = min(12.0, self.row - 1)
        for number, row in enumerate(self.gantt.rows):
            y = TOP + (number + 0.5) * self.row + size * 0.36
            yield (
                f'<text x="{LEFT - 8}" y="{y:.1f}" font-size="{size:.0f}" text-anchor="end" '
                f'style="{_TEXT}">{escape(shortened(row.id, 30))}</text>'
            )

    def _bars(self) -> Iterator[str]:
        if len(self.gantt.spans) <= MAX_HOVER:
            for span in self.gantt.spans:
                x, y, width, height = self._box(span)
                yield (
                    f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
                    f'rx="2" {self._fill(span.kind)}>'
                    f"<title>{escape(chr(10).join(self.gantt.told(span)))}</title></rect>"
                )
            return
        paths: dict[str, list[str]] = defaultdict(list)
        heights: dict[str, float] = {}
        for span in self.gantt.spans:
            x, y, width, heights[span.kind] = self._box(span)
            paths[span.kind].append(f"M{x:.1f} {y + heights[span.kind] / 2:.1f}h{width:.1f}")
        for kind in self.kinds:
            paint = self._fill(kind).replace("fill=", "stroke=")
            yield f'<path d="{"".join(paths[kind])}" {paint} stroke-width="{heights[kind]:.1f}"/>'

    def _box(self, span: Span) -> tuple[float, float, float, float]:
        """Left, top, width and height; what took no time is still seen."""
        gap = 0.35 * self.row if span.kind in WAITS else 0.1 * self.row
        width = max(1.5, (span.end - span.start) * self.scale)
        height = max(MIN_HEIGHT, self.row - 2 * gap)
        return self._x(span.start), TOP + span.row * self.row + gap, width, height

    def _now(self) -> Iterator[str]:
        now = self.gantt.now
        if now is None:
            return
        x, bottom = self._x(now), self.height - BOTTOM
        yield (
            f'<path d="M{x:.1f} {TOP - 4}V{bottom:.1f}" stroke="#d9433b" stroke-width="1.5" '
            f'stroke-dasharray="4 3"><title>now: {now:,.1f} s, {self.gantt.wall(now)} UTC</title></path>'
        )
