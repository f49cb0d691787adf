"""A Gantt chart as SVG that fits the page: no scripts, every value escaped, both themes.

Along the time axis, places are percentages, so that bars become narrower on a narrow page and texts keep their
size. Names are left and layers right of the drawing, in the padding of the element around it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING
from urllib.parse import quote

from odibi_nb.core.text.counts import counted
from odibi_nb.views.escaping import escape
from odibi_nb.views.run.gantt import (
    BOTTOM,
    MAX_LAYER,
    MAX_NAME,
    TOP,
    Gantt,
    Segment,
    cut_in_the_middle,
    shortened,
)
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
"""The width of the axis in coordinates of its own, for paths: they know no percentages."""
MAX_HOVER = 300
"""Largest number of bars with tooltips. Of more bars, neighbours that are too narrow to point at share one."""
NARROW, NEAR = 12.0, 1.5
"""Widths of bars and of gaps below which neighbours are drawn as one bar."""
MAX_LEFT, MAX_RIGHT = 232, 104
LETTER = 7.2
"""Approximate width in pixels of a letter of a name."""
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


def gantt_image(gantt: Gantt, run: str = "") -> str:
    """Return the chart once more as an image, for front ends that take drawings and styles out of untrusted HTML.

    Its style hides it wherever the drawing is seen.
    """
    if not gantt.rows:
        return ""
    source = quote(GanttDrawing(gantt, run).alone(), safe=" '=:/(),;<>")
    return (
        "<style>.odibi-image{display:none}</style>"
        f"<img class=odibi-image alt='{escape(gantt.label)}' src=\"data:image/svg+xml,{source}\">"
    )


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
        self.row = gantt.row_height
        self.height = gantt.height
        longest = max([len(row.id) for row in gantt.rows], default=0)
        # Room for a sign before each name: it appears during the run, and the axis must not move.
        self.left = min(MAX_LEFT, round(16 + LETTER * (longest + 2)))
        layers = max([len(shortened(band.layer, MAX_LAYER)) for band in gantt.bands], default=0)
        self.right = min(MAX_RIGHT, round(16 + LETTER * layers))
        self.scale = WIDTH / gantt.until

    def whole(self) -> str:
        """Return the whole chart in one picture."""
        segments: Sequence[Segment] = self.gantt.segments
        if len(segments) > MAX_HOVER:
            segments = self._joined(segments)
        bars = self.bars(segments, tooltips=True)
        kinds = self._shown({segment.kind for segment in segments})
        parts = [self._frame(kinds), bars, *self._now()]
        return self.picture(parts, self.gantt.label, self._legend(kinds))

    def alone(self) -> str:
        """Return the chart as the text of a file: without tooltips and legend, in greys that suit both themes."""
        width = WIDTH - self.left - self.right
        segments = self.gantt.segments
        frame = self._frame(self._shown({segment.kind for segment in segments}))
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{self.height:.0f}" '
            f'style="color:#777;font-family:sans-serif"><svg x="{self.left}" width="{width}" '
            f'height="{self.height:.0f}" style="overflow:visible">{frame}'
            f"{self.bars(segments, tooltips=False)}</svg></svg>"
        ).replace('"', "'")

    def _shown(self, kinds: Collection[str]) -> list[str]:
        """Return *kinds*, with the forecast if it is drawn, in the order of the legend."""
        ghosts = {EXPECTED} if self.gantt.expected and not self.gantt.folded else ()
        return [kind for kind in BAR_STYLES if kind in {*kinds, *ghosts}]

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
        shown = self._shown(kinds)
        return self.picture([self._frame(shown)], legend=self._legend(shown))

    def moving(self, segments: Sequence[Segment], columns: Sequence[str], *, tooltips: bool) -> str:
        """Return the picture of the parts that change all the time: bars and now-line. It has the label."""
        bars = self.bars(segments, tooltips=tooltips)
        blocks = self._stretched(columns)
        return self.picture([blocks, bars, *self._now()], label=self.gantt.label)

    def picture(self, content: Iterable[str], label: str = "", legend: str = "") -> str:
        """Return a picture of this chart's size. Without a *label*, screen readers skip it."""
        role = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
        first, each = TOP / self.height, self.row / self.height
        count = 0 if self.gantt.folded else len(self.gantt.rows)
        # A front end that takes the drawing out leaves its texts, in the size of the element around it: none.
        # Single quotes, because a notebook's JSON would escape each double quote. Escaped values have neither.
        return (
            f'<div style="padding:0 {self.right}px 0 {self.left}px;max-width:1600px;box-sizing:border-box;'
            f'overflow:hidden;font-size:0px;font-family:var(--jp-ui-font-family,sans-serif)">{legend}'
            f'<svg xmlns="http://www.w3.org/2000/svg" {role} data-run="{escape(self.run)}" '
            f'data-rows="{first:.6f} {each:.6f} {count}" '
            f'width="100%" height="{self.height:.0f}" {self.attributes} '
            f'style="display:block;overflow:visible">{"".join(content)}</svg></div>'
        ).replace('"', "'")

    def _frame(self, kinds: Collection[str]) -> str:
        patterned = [kind for kind in kinds if BAR_STYLES[kind].pattern]
        patterns = f"<defs>{''.join(map(self._pattern, patterned))}</defs>"
        parts = (*self._axis(), *self._bands(), *self._names(), self._ghosts())
        return patterns + "".join(parts)

    def _percent(self, seconds: float) -> str:
        return f"{100 * seconds / self.gantt.until:.2f}%"

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

    def _legend(self, kinds: Sequence[str]) -> str:
        """Return the legend. Its lines are in the drawing's upper margin, so that all pictures begin at one height."""
        entries = "".join(
            f'<span style="display:flex;align-items:center;gap:4px"><svg width="14" height="12">'
            f'<rect width="14" height="12" rx="2" {self._fill(kind)}/></svg>'
            f"{BAR_STYLES[kind].sign} {WORDS.get(kind, kind.lower())}</span>"
            for kind in kinds
        )
        return (
            f'<div style="display:flex;flex-wrap:wrap;align-content:flex-end;gap:0 14px;height:{TOP - 6}px;'
            f"margin:0 {-self.right}px {6 - TOP}px {8 - self.left}px;font-size:11px;line-height:15px;"
            f'color:var(--jp-ui-font-color1,inherit)">{entries}</div>'
        )

    def _axis(self) -> Iterator[str]:
        bottom = self.height - BOTTOM
        places = [(self._percent(seconds), text) for seconds, text in self.gantt.ticks()]
        yield f'<g style="{_GRID}">'
        for x, _ in places:
            yield f'<line x1="{x}" x2="{x}" y1="{TOP}" y2="{bottom:.0f}"/>'
        yield f'</g><g font-size="11" text-anchor="middle" style="{_FAINT}">'
        for x, text in places:
            yield f'<text x="{x}" y="{bottom + 15:.0f}">{text}</text>'
        yield "</g>"

    def _bands(self) -> Iterator[str]:
        yield f'<g style="{_GRID}">'
        for band in self.gantt.bands:  # the element around the drawing cuts them off at its edge
            y = TOP + band.first * self.row
            yield f'<line x1="{-self.left}" x2="200%" y1="{y:.0f}" y2="{y:.0f}"/>'
        yield f'</g><g font-size="12" style="{_FAINT}">'
        for band in self.gantt.bands:
            middle = TOP + (band.first + band.last + 1) / 2 * self.row
            name = escape(shortened(band.layer, MAX_LAYER))
            yield f'<text x="100%" dx="8" y="{middle + 4:.0f}">{name}</text>'
        yield "</g>"

    def _names(self) -> Iterator[str]:
        size = 11
        yield f'<g text-anchor="end" font-size="{size}" style="{_TEXT}">'
        for number, label in enumerate(self.gantt.labels):
            y = TOP + (number + 0.5) * self.row + size * 0.36
            short = escape(cut_in_the_middle(label, MAX_NAME))
            whole = f"<title>{escape(label)}</title>" if len(label) > MAX_NAME else ""
            yield f'<text x="-8" y="{y:.1f}">{whole}{short}</text>'
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
            y, heights[segment.kind] = self._box(segment)
            x, width = segment.start * self.scale, self._width(segment) * WIDTH / 100
            paths[segment.kind].append(f"M{x:.1f} {y + heights[segment.kind] / 2:.1f}h{width:.1f}")
        return self._stretched(
            f'<path d="{"".join(paths[kind])}" {self._stroke(kind)} stroke-width="{heights[kind]:.1f}"/>'
            for kind in _ORDER
            if kind in paths
        )

    def _stretched(self, paths: Iterable[str]) -> str:
        """Return *paths*, whose width is `WIDTH`, stretched to the width of the drawing."""
        content = "".join(paths)
        size = f'viewBox="0 0 {WIDTH} {self.height:.0f}" width="100%" height="{self.height:.0f}"'
        return f'<svg {size} preserveAspectRatio="none">{content}</svg>' if content else ""

    def column(self, kind: str, first: int, last: int, start: float, end: float) -> str:
        """Return one path with a bar of *kind* in each row from *first* to *last*, all of the same length."""
        top, height = self._box(Segment(first, kind, start, end, line=first))
        width = max(1.5, (end - start) * self.scale)
        x, bottom = start * self.scale + width / 2, TOP + (last + 1) * self.row
        return (
            f'<path d="M{x:.1f} {top:.1f}V{bottom:.1f}" {self._stroke(kind)} '
            f'stroke-width="{width:.1f}" stroke-dasharray="{height:.2f} {self.row - height:.2f}"/>'
        )

    def _width(self, segment: Segment) -> float:
        """Return the width of a bar in percent. A bar of no duration has a minimum to stay visible."""
        return max(0.15, 100 * (segment.end - segment.start) / self.gantt.until)

    def _bar(self, segment: Segment) -> str:
        y, height = self._box(segment)
        return (
            f'<rect x="{self._percent(segment.start)}" y="{y:.1f}" width="{self._width(segment):.2f}%" '
            f'height="{height:.1f}" rx="2"><title>{escape(chr(10).join(self._tooltip(segment)))}</title></rect>'
            f"{self._part_done(segment)}{self._sign(segment)}"
        )

    def _end_text(self, segment: Segment, size: float, style: str, text: str) -> str:
        """Return a *text* right of a bar."""
        y, height = self._box(segment)
        return (
            f'<text x="{self._percent(segment.end)}" dx="4" y="{y + height / 2 + size * 0.36:.1f}" '
            f'font-size="{size:.0f}" {style}>{text}</text>'
        )

    def _sign(self, segment: Segment) -> str:
        if not segment.sign:
            return ""
        colour = text_colour(BAR_STYLES[segment.kind].colour)
        fill = colour.replace("color:", "fill:", 1).replace(";color:", ";fill:")
        style = f'stroke="none" style="{fill}"'
        return self._end_text(segment, min(14.0, self.row), style, segment.sign)

    def _part_done(self, segment: Segment) -> str:
        """Return the completed part of a running bar, and the percentage right of the bar."""
        if segment.bar is None or segment.bar.progress is None:
            return ""
        progress = segment.bar.progress
        y, height = self._box(segment)
        return (
            f'<rect x="{self._percent(segment.start)}" y="{y + height / 4:.1f}" '
            f'width="{self._width(segment) * progress.share:.2f}%" height="{height / 2:.1f}" rx="1" '
            f'fill="{PART_DONE}" style="pointer-events:none"/>'
            + self._end_text(segment, 11, f'style="{_TEXT}"', str(progress))
        )

    def _stroke(self, kind: str) -> str:
        """Return the paint of bars that are strokes of one path. They have no outline to be hollow with."""
        if kind == RETRIED:
            return f'stroke="{BAR_STYLES[kind].colour}" stroke-opacity=".45"'
        return self._fill(kind).replace("fill=", "stroke=")

    def _box(self, segment: Segment) -> tuple[float, float]:
        """Return top and height of a bar."""
        gap = 0.35 * self.row if segment.kind in WAITS else 0.1 * self.row
        if segment.kind == LATE:  # a strip at the bar's foot: a form of its own, not a colour alone
            strip = 0.3 * self.row
            return TOP + (segment.line + 0.9) * self.row - strip, strip
        return TOP + segment.line * self.row + gap, self.row - 2 * gap

    def _now(self) -> Iterator[str]:
        now = self.gantt.now
        if now is None:
            return
        x = self._percent(now)
        yield (
            f'<line x1="{x}" x2="{x}" y1="{TOP - 4}" y2="{self.height - BOTTOM:.0f}" stroke="#d9433b" '
            f'stroke-width="1.5" stroke-dasharray="4 3"><title>now: {now:,.1f} s, {self.gantt.wall(now)} UTC</title></line>'
        )
