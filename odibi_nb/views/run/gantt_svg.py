"""A Gantt chart as SVG that fits the page: no scripts, every value escaped, both themes.

Positions on the time axis are percentages, so that bars become narrower on a narrow page and texts keep
their size. Row names are to the left and layer names to the right of the drawing, in the padding of the
element around it.
"""

from __future__ import annotations

import re
from collections import defaultdict
from functools import cached_property
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from msgspec.structs import replace as changed

from odibi_nb.core.text.counts import counted
from odibi_nb.views.escaping import escape
from odibi_nb.views.html_parts import NO_FORMULAS
from odibi_nb.views.run.gantt import BOTTOM, MAX_NAME, TOP, Gantt, cut_in_the_middle
from odibi_nb.views.run.page_files import script_of
from odibi_nb.views.run.segment import Segment
from odibi_nb.views.status_style import (
    BAR_STYLES,
    EXPECTED,
    LATE,
    PART_DONE,
    QUEUED,
    RETRIED,
    WAITS,
    StatusStyle,
    legend_text,
    text_colour,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

WIDTH = 1000
"""The width of the axis in coordinates of its own, for paths: they know no percentages."""
MAX_HOVER = 300
"""Largest number of bars that are an element each, with a full tooltip. JupyterLab reads every element of a saved
drawing three times: as HTML, for formulas and for headings. Of more bars, the bars of a line share a path, and
neighbours that are too narrow to point at share a name.
"""
NARROW, NEAR = 12.0, 1.5
"""Widths of bars and of gaps below which neighbours are drawn as one bar."""
LEAST = 1.5
"""Least width of a bar, which may have no duration."""
GAP = 0.8
"""Width of the gap after a bar of a path, so that bars that follow each other can be counted."""
MAX_LEFT, MAX_RIGHT = 232, 104
_VARIABLE = re.compile(r"var\([\w-]+,((?:[^()]|\([^()]*\))*)\)")
"""A value from the page's style sheet, with the value to use without it: an image has no page."""
_UNSAFE = re.compile(r"[^\w '=:/(),;<>.~-]", re.ASCII)
"""A letter to quote in an image's address."""
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


def _short(number: float, digits: int = 1) -> str:
    """Return *number* with at most *digits* decimals, without zeros at the end."""
    text = f"{number:.{digits}f}"
    return text.rstrip("0").rstrip(".") if text.endswith("0") else text


def _lines(texts: Iterable[str]) -> str:
    """Return *texts* as the lines of a title. A notebook stores each line break of its HTML in 13 bytes."""
    return "&#10;".join(map(escape, texts))


def names_script(gantt: Gantt) -> str:
    """Return the script by which each of many bars shows its own name; "" if each bar is an element with a name."""
    many = len(gantt.segments) > MAX_HOVER
    return f"<script>{script_of('bars.js')}</script>" if many else ""


def saved_gantt(gantt: Gantt, run: str = "") -> str:
    """Return the chart twice: as `gantt_svg`, and as an image for front ends that remove drawings and styles
    from untrusted HTML. Many bars have the `names_script`.

    Where the front end shows the drawing, a style hides the image. It names the class twice, because JupyterLab's
    own style shows every image of an output.
    """
    if not gantt.rows:
        return ""
    drawing = GanttDrawing(gantt, run)
    source = _UNSAFE.sub(lambda found: quote(found[0]), drawing.alone())
    return (
        f"{drawing.whole()}<style>.odibi-image.odibi-image{{display:none}}</style>"
        f"<img class=odibi-image alt='{escape(gantt.label)}' src=\"data:image/svg+xml,{source}\">"
        f"{names_script(gantt)}"
    )


class _Bar(NamedTuple):
    """One bar of many, for *number* neighbours; *last* is the row of the last of them."""

    segment: Segment
    last: int
    number: int


def _is_alone(segment: Segment) -> bool:
    """Return True if a bar is no part of a path: it has a text, or an outline."""
    in_progress = segment.bar is not None and segment.bar.progress is not None
    return bool(segment.sign) or segment.kind == RETRIED or in_progress


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
        self.run = run
        self.name = "".join(c for c in run if c.isalnum())[-6:] or "g"
        self.row = gantt.row_height
        self.height = gantt.height
        longest = max(map(len, map(attrgetter("id"), gantt.rows)), default=0)
        # Room for a sign before each name: it appears during the run, and the axis must not move.
        self.left = min(MAX_LEFT, round(16 + LETTER * (longest + 2)))
        layers = max([len(band.name) for band in gantt.bands], default=0)
        self.right = min(MAX_RIGHT, round(16 + LETTER * layers))
        self.scale = WIDTH / gantt.until

    def whole(self) -> str:
        """Return the whole chart in one picture."""
        segments = self.gantt.segments
        many = len(segments) > MAX_HOVER
        bars = "".join(self._many_bars()) if many else self.bars(segments, tooltips=True)
        kinds = self._shown({segment.kind for segment in segments})
        parts = [self._frame(kinds), bars, *self._now()]
        return self.picture(parts, self.gantt.label, self._legend(kinds, self._fill))

    def alone(self) -> str:
        """Return the chart as the text of an SVG file: its attempts and waits between them, in greys that suit both themes.

        It has no tooltips and no legend, so it leaves out the time in which rows were only queued.
        """
        width = WIDTH - self.left - self.right
        segments = [segment for segment in self.gantt.segments if segment.kind != QUEUED]
        frame = self._frame(self._shown({segment.kind for segment in segments}))
        paths: dict[str, list[str]] = defaultdict(list)
        if len(self.gantt.segments) > MAX_HOVER:
            segments = [bar.segment for bar in self._drawn_alone if bar.segment.kind != QUEUED]
            for (kind, _), (path, _) in self._paths.items():
                if kind != QUEUED:
                    paths[kind].append(path)
        text = (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{self.height:.0f}" '
            f'style="color:#777;font-family:sans-serif"><svg x="{self.left}" width="{width}" '
            f'height="{self.height:.0f}" style="overflow:visible">{frame}'
            f"{self._strokes(segments, paths)}</svg></svg>"
        )
        return _VARIABLE.sub(r"\1", text).replace('"', "'")

    def _shown(self, kinds: Collection[str]) -> list[str]:
        """Return *kinds*, with the forecast if it is drawn, in the order of the legend."""
        ghosts = {EXPECTED} if self.gantt.expected and not self.gantt.folded else ()
        return [kind for kind in BAR_STYLES if kind in {*kinds, *ghosts}]

    @cached_property
    def _drawn_alone(self) -> list[_Bar]:
        """The bars of many segments that are an element each: they have a text or an outline."""
        return [bar for bar in self._joined if _is_alone(bar.segment)]

    @cached_property
    def _paths(self) -> dict[tuple[str, int], tuple[str, list[str]]]:
        """The other bars by kind and line: a path, and its names from left to right."""
        places: dict[tuple[str, int], list[_Bar]] = defaultdict(list)
        for bar in self._joined:
            if not _is_alone(bar.segment):
                places[bar.segment.kind, bar.segment.line].append(bar)
        return {
            place: (self._path([bar.segment for bar in bars], GAP), list(map(self._name, bars)))
            for place, bars in places.items()
        }

    @cached_property
    def _joined(self) -> list[_Bar]:
        """The segments by line and start. Neighbours of one kind that are too narrow to point at are one bar.

        A bar with a sign stays alone. Marks are joined: thousands of rows may be skipped at one moment.
        """
        found: list[_Bar] = []
        narrow, near = NARROW / self.scale, NEAR / self.scale
        before: Segment | None = None
        for segment in sorted(self.gantt.segments, key=attrgetter("line", "start")):
            if (
                before is not None
                and segment.end - segment.start < narrow
                and before.end - before.start < narrow
                and segment.start - before.end < near
                and (before.line, before.kind) == (segment.line, segment.kind)
                and before.sign == segment.sign
                and (not segment.sign or segment.bar is before.bar is None)
            ):
                before = changed(before, end=max(before.end, segment.end))
                found[-1] = _Bar(before, segment.row, found[-1].number + 1)
            else:
                before = segment
                found.append(_Bar(segment, segment.row, 1))
        return found

    def _name(self, bar: _Bar) -> str:
        """Return the id of the row, or of many rows the first and the last id, in one line."""
        rows, first = self.gantt.rows, self.gantt.rows[bar.segment.row].id
        if bar.number > 1:
            first = f"{first} … {rows[bar.last].id} ({counted(bar.number, 'row')})"
        return first.replace("\n", " ")

    def _many_bars(self) -> Iterator[str]:
        """Return many bars: of each kind one path for each line, whose title has their names, and then the others."""
        for kind in _ORDER:
            paths = "".join(
                f'<path d="{path}"><title>{_lines(names)}</title></path>'
                for (one, _), (path, names) in self._paths.items()
                if one == kind
            )
            if paths:
                width = self._box(Segment(0, kind, 0, 0))[1]
                stroke = f'{self._stroke(kind)} stroke-width="{width:.1f}"'
                yield self._stretched([f"<g {stroke}>{paths}</g>"])
            alone = "".join(
                self._bar(bar.segment, self._tooltip(bar))
                for bar in self._drawn_alone
                if bar.segment.kind == kind
            )
            if alone:
                yield f"<g {self._fill(kind)}>{alone}</g>"

    def _tooltip(self, bar: _Bar) -> list[str]:
        many = bar.number > 1 or not bar.segment.sign
        return [self._name(bar)] if many else self.gantt.tooltip(bar.segment)

    def frame(self, kinds: Collection[str], *, tooltips: bool) -> str:
        """Return the picture of the parts that change only with the scale: legend, axis, layers, names.

        *kinds* are the kinds of bars that get a pattern and an entry of the legend. Without *tooltips* the
        bars are strokes, and the legend's swatches are painted as strokes are.
        """
        shown = self._shown(kinds)
        paint = self._fill if tooltips else self._swatch_of_strokes
        return self.picture([self._frame(shown)], legend=self._legend(shown, paint))

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
            f'<div class="{NO_FORMULAS}" style="padding:0 {self.right}px 0 {self.left}px;max-width:1600px;box-sizing:border-box;'
            f'overflow:hidden;font-size:0px;font-family:var(--jp-ui-font-family,sans-serif)">{legend}'
            f'<svg xmlns="http://www.w3.org/2000/svg" {role} data-run="{escape(self.run)}" '
            f'data-rows="{first:.6f} {each:.6f} {count}" '
            f'width="100%" height="{self.height:.0f}" {self.attributes} '
            f'style="display:block;overflow:visible">{"".join(content)}</svg></div>'
        ).replace('"', "'")

    def _frame(self, kinds: Collection[str]) -> str:
        patterned = [kind for kind in kinds if BAR_STYLES[kind].pattern]
        patterns = f"<defs>{''.join(map(self._pattern, patterned))}</defs>"
        ghosts = self.bars(self.gantt.ghosts(), tooltips=True)
        return patterns + "".join((*self._axis(), *self._bands(), *self._names(), ghosts))

    def _percent(self, seconds: float) -> str:
        return f"{_short(100 * seconds / self.gantt.until, 2)}%"

    def _pattern(self, kind: str) -> str:
        style = BAR_STYLES[kind]
        mark, width = _PATTERN[style.pattern], 2 if style.pattern == "." else 1
        faint = ' opacity=".6"' if style.sign == "·" else ""
        lines = f'<path d="{mark}" stroke="{style.lines}" stroke-width="{width}"/>'
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

    def _swatch_of_strokes(self, kind: str) -> str:
        return self._stroke(kind).replace("stroke", "fill")

    def _legend(self, kinds: Sequence[str], paint: Callable[[str], str]) -> str:
        """Return the legend. Its lines are in the drawing's upper margin, so that all pictures begin at one height."""
        entries = "".join(
            f'<span style="display:flex;align-items:center;gap:4px"><svg width="14" height="12">'
            f'<rect width="14" height="12" rx="2" {paint(kind)}/></svg>'
            f"{legend_text(kind)}</span>"
            for kind in kinds
        )
        return (
            f'<div style="display:flex;flex-wrap:wrap;align-content:flex-end;gap:0 14px;height:{TOP - 6}px;'
            f"margin:0 {-self.right}px {6 - TOP}px {8 - self.left}px;font-size:11px;line-height:15px;"
            f'color:var(--jp-ui-font-color1,inherit)">{entries}</div>'
        )

    def _axis(self) -> Iterator[str]:
        bottom = self.height - BOTTOM
        ticks = self.gantt.ticks()
        lines = "".join(f"M{_short(x * self.scale)} {TOP}V{bottom:.0f}" for x, _ in ticks)
        thin = f'style="{_GRID};vector-effect:non-scaling-stroke"'
        yield self._stretched([f'<path d="{lines}" {thin}/>'])
        low = f'transform="translate(0 {bottom + 15:.0f})"'
        yield f'<g font-size="11" text-anchor="middle" style="{_FAINT}" {low}>'
        for x, text in ticks:
            yield f'<text x="{self._percent(x)}">{text}</text>'
        yield "</g>"

    def _bands(self) -> Iterator[str]:
        yield f'<g style="{_GRID}">'
        for band in self.gantt.bands:  # the element around the drawing cuts them off at its edge
            y = TOP + band.first * self.row
            yield f'<line x1="{-self.left}" x2="200%" y1="{y:.0f}" y2="{y:.0f}"/>'
        yield f'</g><g font-size="12" style="{_FAINT}">'
        for band in self.gantt.bands:
            middle = TOP + (band.first + band.last + 1) / 2 * self.row
            yield f'<text x="100%" dx="8" y="{middle + 4:.0f}">{escape(band.name)}</text>'
        yield "</g>"

    def _names(self) -> Iterator[str]:
        size = 11
        yield f'<g text-anchor="end" font-size="{size}" style="{_TEXT}" transform="translate(-8)">'
        for number, label in enumerate(self.gantt.labels):
            y = TOP + (number + 0.5) * self.row + size * 0.36
            short = escape(cut_in_the_middle(label, MAX_NAME))
            whole = f"<title>{escape(label)}</title>" if len(label) > MAX_NAME else ""
            yield f'<text y="{_short(y)}">{whole}{short}</text>'
        yield "</g>"

    def bars(self, segments: Sequence[Segment], *, tooltips: bool) -> str:
        """Return *segments*, drawn one by one with tooltips, or as one path per kind."""
        if not tooltips:
            return self._strokes(segments, {})
        kinds: dict[str, list[str]] = defaultdict(list)
        for segment in segments:
            kinds[segment.kind].append(self._bar(segment, self.gantt.tooltip(segment)))
        return "".join(
            f"<g {self._fill(kind)}>{''.join(kinds[kind])}</g>" for kind in _ORDER if kind in kinds
        )

    def _strokes(self, segments: Iterable[Segment], paths: Mapping[str, Sequence[str]]) -> str:
        """Return *segments* as one path per kind, with more *paths* of each kind."""
        kinds: dict[str, list[Segment]] = defaultdict(list)
        for segment in segments:
            kinds[segment.kind].append(segment)
        return self._stretched(
            f'<path d="{"".join(paths.get(kind, ()))}{self._path(kinds[kind])}" {self._stroke(kind)} '
            f'stroke-width="{self._box(Segment(0, kind, 0, 0))[1]:.1f}"/>'
            for kind in _ORDER
            if kind in kinds or kind in paths
        )

    def _path(self, segments: Sequence[Segment], gap: float = 0.0) -> str:
        """Return the path of *segments* of one kind: a line through the middle of each, shorter by *gap*."""
        if not segments:
            return ""
        scale, row = self.scale, self.row
        top, height = self._box(changed(segments[0], line=0))
        middle = top + height / 2
        return "".join(
            [
                f"M{one.start * scale:.1f} {middle + one.line * row:.1f}"
                f"h{max(LEAST, (one.end - one.start) * scale - gap):.1f}"
                for one in segments
            ]
        )

    def _stretched(self, paths: Iterable[str]) -> str:
        """Return *paths*, which are `WIDTH` wide, stretched to the width of the drawing."""
        content = "".join(paths)
        size = f'viewBox="0 0 {WIDTH} {self.height:.0f}" width="100%" height="{self.height:.0f}"'
        return f'<svg {size} preserveAspectRatio="none">{content}</svg>' if content else ""

    def column(self, kind: str, first: int, last: int, start: float, end: float) -> str:
        """Return one path with a bar of *kind* in each row from *first* to *last*, all of the same length."""
        top, height = self._box(Segment(first, kind, start, end, line=first))
        width = max(LEAST, (end - start) * self.scale)
        x, bottom = start * self.scale + width / 2, TOP + (last + 1) * self.row
        return (
            f'<path d="M{x:.1f} {top:.1f}V{bottom:.1f}" {self._stroke(kind)} '
            f'stroke-width="{width:.1f}" stroke-dasharray="{height:.2f} {self.row - height:.2f}"/>'
        )

    def _width(self, segment: Segment) -> float:
        """Return the width of a bar in percent. A bar without duration gets a minimum width to stay visible."""
        return max(100 * LEAST / WIDTH, 100 * (segment.end - segment.start) / self.gantt.until)

    def _bar(self, segment: Segment, tooltip: Iterable[str]) -> str:
        y, height = self._box(segment)
        return (
            f'<rect x="{self._percent(segment.start)}" y="{_short(y)}" width="{_short(self._width(segment), 2)}%" '
            f'height="{_short(height)}" rx="2"><title>{_lines(tooltip)}</title></rect>'
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
        sign = self.gantt.end_sign(segment)
        if not sign:
            return ""
        fill = text_colour(BAR_STYLES[segment.kind].colour).replace("color:", "fill:")
        style = f'stroke="none" style="{fill}"'
        return self._end_text(segment, min(14.0, self.row), style, sign)

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
        """Return the paint of bars that are strokes of one path: without outlines, they cannot be hollow."""
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
