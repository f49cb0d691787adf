"""A Gantt chart as SVG that scales to the page: no scripts, every value escaped, both themes."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from odibi_nb.core.text.counts import counted
from odibi_nb.views.escaping import escape
from odibi_nb.views.run.gantt import MAX_NAME, Gantt, Segment, cut_in_the_middle, shortened
from odibi_nb.views.status_style import (
    BAR_STYLES,
    EXPECTED,
    LATE,
    PART_DONE,
    RETRIED,
    WAITS,
    WORDS,
    StatusStyle,
    text_colour,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

WIDTH = 1000
"""The width of the drawing in its own coordinates; the browser scales it to the page."""
MAX_HOVER = 300
"""Largest number of bars with tooltips. Of more bars, neighbours that are too narrow to point at share one."""
NARROW, NEAR = 12.0, 1.5
"""Widths of bars and of gaps below which neighbours are drawn as one bar."""
MIN_HEIGHT = 1.2
"""Smallest height of a bar: thinner bars fade away. Neighbouring bars may overlap instead."""
MAX_LEFT, RIGHT, TOP, BOTTOM = 232, 96, 30, 24
LETTER = 7.2
"""Approximate width of a letter of a name."""
_TEXT = "fill:var(--jp-ui-font-color1,currentColor)"
_FAINT = "fill:var(--jp-ui-font-color2,#888)"
_GRID = "stroke:var(--jp-border-color2,rgba(128,128,128,.35));stroke-width:1"
# Waits first: the mark of a cancelled or skipped row must cover its wait. Late time lies on its bar.
_ORDER = [*(kind for kind in reversed(BAR_STYLES) if kind != LATE), LATE]
_PATTERN = {
    "/": "M-1 5L5-1M0 8L8 0M3 9L9 3",
    "\\": "M-1 3L5 9M0 0L8 8M3-1L9 5",
    "x": "M0 8L8 0M0 0L8 8",
    "-": "M0 4H8",
    "|": "M4 0V8",
    "+": "M4 0V8M0 4H8",
    ".": "M3 4H5",
}


def gantt_svg(gantt: Gantt, run: str = "") -> str:
    """Return the chart as an ``<svg>`` element.

    *run* is the run's id. The table of that run finds the picture by it, and it prefixes the ids of the
    picture's patterns so that they are unique on a page.
    """
    return GanttDrawing(gantt, run).whole() if gantt.rows else ""


class GanttDrawing:
    """One chart with its scales and the prefix of its element ids.

    Args:
        gantt: the chart.
        run: as in `gantt_svg`.
        attributes: further attributes of every picture.
    """

    def __init__(self, gantt: Gantt, run: str, attributes: str = "") -> None:
        self.gantt = gantt
        self.attributes = attributes
        self._more: dict[Segment, tuple[str, ...]] = {}
        self.run = run
        self.name = "".join(c for c in run if c.isalnum())[-6:] or "g"
        count = len(gantt.labels)
        self.row = 22.0 if count <= 20 else 16.0  # noqa: PLR2004
        self.height = TOP + self.row * count + BOTTOM
        longest = max([len(row.id) for row in gantt.rows], default=0)
        # Room for a sign before each name: it appears during the run, and the axis must not move.
        self.left = min(MAX_LEFT, round(16 + LETTER * (longest + 2)))
        self.scale = (WIDTH - self.left - RIGHT) / gantt.until

    def whole(self) -> str:
        """Return the whole chart in one picture."""
        segments: Sequence[Segment] = self.gantt.segments
        if len(segments) > MAX_HOVER:
            segments = self._joined(segments)
        bars = self.bars(segments, tooltips=True)
        kinds = {segment.kind for segment in segments}
        return self.picture([self._frame(kinds), bars, *self._now()], label=self.gantt.label)

    def _joined(self, segments: Sequence[Segment]) -> list[Segment]:
        """Return *segments*, neighbours of one kind joined where they are too narrow to point at."""
        found: list[Segment] = []
        self._more = {}
        for segment in sorted(segments, key=lambda one: (one.line, one.start)):
            before = found[-1] if found else None
            narrow = (segment.end - segment.start) * self.scale < NARROW and not segment.sign
            if (
                before is not None
                and narrow
                and (before.line, before.kind, before.sign) == (segment.line, segment.kind, "")
                and (segment.start - before.end) * self.scale < NEAR
                and (before.end - before.start) * self.scale < NARROW
            ):
                found[-1] = joined = before._replace(end=max(before.end, segment.end))
                more = self._more.pop(before, ())
                self._more[joined] = (*more, self.gantt.rows[segment.row].id)
            else:
                found.append(segment)
        return found

    def _tooltip(self, segment: Segment) -> list[str]:
        more = self._more.get(segment)
        if not more:
            lines = self.gantt.tooltip(segment)
            return lines if len(self.gantt.segments) <= MAX_HOVER or segment.sign else lines[:1]
        return [f"{self.gantt.rows[segment.row].id} … {more[-1]} ({counted(len(more) + 1, 'row')})"]

    def _ghosts(self) -> str:
        """Return the expected places of the rows."""
        ghosts = self.gantt.ghosts()
        return self.bars(ghosts, tooltips=True) if ghosts else ""

    def frame(self, kinds: Collection[str]) -> str:
        """Return the picture of the parts that change only with the scale: legend, axis, layers, names.

        *kinds* are the kinds of bars that get a pattern and an entry of the legend.
        """
        return self.picture([self._frame(kinds)])

    def moving(self, segments: Sequence[Segment], columns: Sequence[str], *, tooltips: bool) -> str:
        """Return the picture of the parts that change all the time: bars and now-line. It has the label."""
        bars = self.bars(segments, tooltips=tooltips)
        return self.picture([*columns, bars, *self._now()], label=self.gantt.label)

    def picture(self, content: Iterable[str], label: str = "") -> str:
        """Return an ``<svg>`` of this chart's size. Without a *label*, screen readers skip it."""
        role = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
        first, each = TOP / self.height, self.row / self.height
        count = 0 if self.gantt.folded else len(self.gantt.rows)
        # Single quotes, because a notebook's JSON would escape each double quote. Escaped values have neither.
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" {role} data-run="{escape(self.run)}" '
            f'data-rows="{first:.6f} {each:.6f} {count}" '
            f'viewBox="0 0 {WIDTH} {self.height:.0f}" width="100%" {self.attributes} '
            'style="display:block;max-width:1600px;height:auto;'
            f'font-family:var(--jp-ui-font-family,sans-serif)">{"".join(content)}</svg>'
        ).replace('"', "'")

    def _frame(self, kinds: Collection[str]) -> str:
        ghosts = {EXPECTED} if self.gantt.expected and not self.gantt.folded else ()
        shown = [kind for kind in BAR_STYLES if kind in {*kinds, *ghosts}]
        patterned = [kind for kind in shown if BAR_STYLES[kind].pattern]
        patterns = f"<defs>{''.join(map(self._pattern, patterned))}</defs>"
        parts = (
            *self._legend(shown),
            *self._axis(),
            *self._bands(),
            *self._names(),
            self._ghosts(),
        )
        return patterns + "".join(parts)

    def _x(self, seconds: float) -> float:
        return self.left + seconds * self.scale

    def _pattern(self, kind: str) -> str:
        style = BAR_STYLES[kind]
        width = 2 if style.pattern == "." else 1
        mark = _PATTERN.get(style.pattern)
        faint = ' opacity=".6"' if style.sign == "·" else ""
        lines = f'<path d="{mark}" stroke="{style.lines}" stroke-width="{width}"/>' if mark else ""
        return (
            f'<pattern id="{self._id(style)}" width="8" height="8" patternUnits="userSpaceOnUse">'
            f'<g{faint}><rect width="8" height="8" fill="{style.bar}"/>{lines}</g></pattern>'
        )

    def _id(self, style: StatusStyle) -> str:
        return f"{self.name}{list(BAR_STYLES.values()).index(style)}"

    def _fill(self, kind: str) -> str:
        style = BAR_STYLES[kind]
        if kind == RETRIED:
            return f'fill="{style.bar}" stroke="{style.colour}" stroke-width="1.5"'
        if not style.pattern:
            return f'fill="{style.bar}"'
        return f'fill="url(#{self._id(style)}) {style.bar}"'

    def _legend(self, kinds: Sequence[str]) -> Iterator[str]:
        words = [f"{BAR_STYLES[kind].sign} {WORDS.get(kind, kind.lower())}" for kind in kinds]
        room = WIDTH - 8 - 28 * len(words)
        letter = min(6.6, room / max(1, sum(map(len, words))))
        x = 8.0
        for kind, text in zip(kinds, words, strict=True):
            yield f'<rect x="{x:.0f}" y="6" width="14" height="12" rx="2" {self._fill(kind)}/>'
            yield f'<text x="{x + 18:.0f}" y="16" font-size="11" style="{_TEXT}">{text}</text>'
            x += 28 + letter * len(text)

    def _axis(self) -> Iterator[str]:
        bottom = self.height - BOTTOM
        places = [(self._x(seconds), text) for seconds, text in self.gantt.ticks()]
        lines = "".join(f"M{x:.1f} {TOP}V{bottom:.0f}" for x, _ in places)
        yield f'<path d="{lines}" style="{_GRID}"/>'
        yield f'<g font-size="11" text-anchor="middle" style="{_FAINT}">'
        for x, text in places:
            yield f'<text x="{x:.1f}" y="{bottom + 15:.0f}">{text}</text>'
        yield "</g>"

    def _bands(self) -> Iterator[str]:
        tops = [TOP + band.first * self.row for band in self.gantt.bands]
        yield f'<path d="{"".join(f"M0 {y:.0f}H{WIDTH}" for y in tops)}" style="{_GRID}"/>'
        yield f'<g font-size="12" style="{_FAINT}">'
        for band in self.gantt.bands:
            middle = TOP + (band.first + band.last + 1) / 2 * self.row
            name = escape(shortened(band.layer, 14))
            yield f'<text x="{WIDTH - RIGHT + 8}" y="{middle + 4:.0f}">{name}</text>'
        yield "</g>"

    def _names(self) -> Iterator[str]:
        size = min(12.0, self.row - 1)
        yield f'<g text-anchor="end" font-size="{size:.0f}" style="{_TEXT}">'
        for number, label in enumerate(self.gantt.labels):
            y = TOP + (number + 0.5) * self.row + size * 0.36
            short = escape(cut_in_the_middle(label, MAX_NAME))
            whole = f"<title>{escape(label)}</title>" if len(label) > MAX_NAME else ""
            yield f'<text x="{self.left - 8}" y="{y:.1f}">{whole}{short}</text>'
        yield "</g>"

    def bars(self, segments: Sequence[Segment], *, tooltips: bool) -> str:
        """Return *segments*, drawn one by one with tooltips, or as one path per kind."""
        if tooltips:
            return "".join(
                f"<g {self._fill(kind)}>{''.join(self._bar(s) for s in segments if s.kind == kind)}</g>"
                for kind in _ORDER
                if any(segment.kind == kind for segment in segments)
            )
        paths: dict[str, list[str]] = defaultdict(list)
        heights: dict[str, float] = {}
        for segment in segments:
            x, y, width, heights[segment.kind] = self._box(segment)
            paths[segment.kind].append(f"M{x:.1f} {y + heights[segment.kind] / 2:.1f}h{width:.1f}")
        return "".join(
            f'<path d="{"".join(paths[kind])}" {self._stroke(kind)} stroke-width="{heights[kind]:.1f}"/>'
            for kind in _ORDER
            if kind in paths
        )

    def column(self, kind: str, first: int, last: int, start: float, end: float) -> str:
        """Return one path with a bar of *kind* in each row from *first* to *last*, all of the same length."""
        _, top, width, height = self._box(Segment(first, kind, start, end, line=first))
        x, bottom = self._x(start) + width / 2, TOP + (last + 1) * self.row
        return (
            f'<path d="M{x:.1f} {top:.1f}V{bottom:.1f}" {self._stroke(kind)} '
            f'stroke-width="{width:.1f}" stroke-dasharray="{height:.2f} {self.row - height:.2f}"/>'
        )

    def _bar(self, segment: Segment) -> str:
        x, y, width, height = self._box(segment)
        return (
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
            f'rx="2"><title>{escape(chr(10).join(self._tooltip(segment)))}</title></rect>'
            f"{self._part_done(segment)}{self._sign(segment)}"
        )

    def _sign(self, segment: Segment) -> str:
        """Return the sign right of a bar."""
        if not segment.sign:
            return ""
        x, y, width, height = self._box(segment)
        size = min(14.0, self.row)
        colour = text_colour(BAR_STYLES[segment.kind].colour)
        return (
            f'<text x="{x + width + 3:.1f}" y="{y + height / 2 + size * 0.36:.1f}" font-size="{size:.0f}" '
            f'stroke="none" style="{colour.replace("color:", "fill:", 1).replace(";color:", ";fill:")}">'
            f"{segment.sign}</text>"
        )

    def _part_done(self, segment: Segment) -> str:
        """Return the completed part of a running bar, and the percentage right of the bar."""
        if segment.bar is None or segment.bar.progress is None:
            return ""
        progress = segment.bar.progress
        x, y, width, height = self._box(segment)
        size = min(11.0, self.row - 1)
        return (
            f'<rect x="{x:.1f}" y="{y + height / 4:.1f}" width="{width * progress.share:.1f}" '
            f'height="{height / 2:.1f}" rx="1" fill="{PART_DONE}" style="pointer-events:none"/>'
            f'<text x="{x + width + 5:.1f}" y="{y + height / 2 + size * 0.36:.1f}" '
            f'font-size="{size:.0f}" style="{_TEXT}">{progress}</text>'
        )

    def _stroke(self, kind: str) -> str:
        """Return the paint of bars that are strokes of one path. They have no outline to be hollow with."""
        if kind == RETRIED:
            return f'stroke="{BAR_STYLES[kind].colour}" stroke-opacity=".45"'
        return self._fill(kind).replace("fill=", "stroke=")

    def _box(self, segment: Segment) -> tuple[float, float, float, float]:
        """Return left, top, width and height. A bar of no duration has a minimum width to stay visible."""
        gap = 0.35 * self.row if segment.kind in WAITS else 0.1 * self.row
        if segment.kind == LATE:  # a strip at the bar's foot: a form of its own, not a colour alone
            strip = max(MIN_HEIGHT, 0.3 * self.row)
            foot = TOP + (segment.line + 0.9) * self.row - strip
            width = max(1.5, (segment.end - segment.start) * self.scale)
            return self._x(segment.start), foot, width, strip
        width = max(1.5, (segment.end - segment.start) * self.scale)
        height = max(MIN_HEIGHT, self.row - 2 * gap)
        return self._x(segment.start), TOP + segment.line * self.row + gap, width, height

    def _now(self) -> Iterator[str]:
        now = self.gantt.now
        if now is None:
            return
        x, bottom = self._x(now), self.height - BOTTOM
        yield (
            f'<path d="M{x:.1f} {TOP - 4}V{bottom:.1f}" stroke="#d9433b" stroke-width="1.5" '
            f'stroke-dasharray="4 3"><title>now: {now:,.1f} s, {self.gantt.wall(now)} UTC</title></path>'
        )
