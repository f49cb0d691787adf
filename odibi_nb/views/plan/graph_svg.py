"""A plan's dependency graph as SVG that scales to the page: no scripts, values escaped, both themes."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from odibi_nb.views.escaping import escape
from odibi_nb.views.plan.graph import Graph, Node, graph_of
from odibi_nb.views.plan.graph_layout import Slot, laid_out
from odibi_nb.views.run.gantt import shortened
from odibi_nb.views.status_style import STATUS_STYLES, style_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from odibi_nb.core.planning.plan import RunPlan

COLUMN_GAP, BOX_GAP, ROOM = 56, 10, 4
MARGIN, HEAD = 10, 44
NARROW, WIDE = 120, 230
"""The least and the greatest width of a box."""
LINE = 15
LANE = 14
"""Height of the lane below all boxes, in which a line returns to the beginning of a circle."""
_NAME, _SMALL = 7.7, 6.6
"""Approximate mean width in pixels of a character of a box's first line, and of its other lines."""
MAX_SCALE, MIN_SCALE = 1.1, 0.72
"""Limits of the scale. A narrow picture does not fill the page; a wide one scrolls below the least scale."""
_TEXT = "fill:var(--jp-ui-font-color1,currentColor)"
_FAINT = "fill:var(--jp-ui-font-color2,#888)"
_BAND = "fill:var(--jp-layout-color2,rgba(128,128,128,.1));opacity:.5"
_LINE = "stroke:var(--jp-ui-font-color3,#888);stroke-width:1.3;fill:none"
_PLAIN = "var(--jp-ui-font-color3,#888)"
_BAD = STATUS_STYLES["FAILED"].colour


CLICKS = "odibi-box-clicked"
"""The CSS class of the control, an element with an ``<input>``, that a click on a box sets."""
_CLICK = (
    "const box=event.target.closest('[data-box]');"
    "for(let at=this;box&&at;at=at.parentElement){"
    f"const to=at.querySelector('.{CLICKS} input');"
    "if(to){to.value=`${box.dataset.box}:${Date.now()}`;"
    "to.dispatchEvent(new Event('change',{bubbles:true}));break}}"
)
FITTED = 0.5
"""The least scale of a graph that fits its page, if the page has no less than half of the graph's width."""


def graph_svg(
    plan: RunPlan, states: Mapping[str, str] | None = None, *, in_panel: bool = False
) -> str:
    """Return the graph of a plan as HTML: one ``<svg>`` with its legend below, or "" if the plan has no rows.

    Args:
        plan: the plan to draw; `graph_of` shows how to draw a part of it.
        states: id to a status, to show the progress of a run.
        in_panel: True if a click on a box chooses its rows, and the graph fits the page.
    """
    return drawn(graph_of(plan, states), in_panel=in_panel)


def drawn(graph: Graph, *, in_panel: bool = False) -> str:
    """Return *graph* as HTML: one ``<svg>`` with its legend below, or "" if it has no nodes."""
    return _GraphDrawing(graph, in_panel=in_panel).html() if graph.nodes else ""


class _GraphDrawing:
    """One graph with its layout and its measures."""

    def __init__(self, graph: Graph, *, in_panel: bool) -> None:
        self.graph = graph
        self.numbers = {name: i for i, name in enumerate(graph.nodes)} if in_panel else {}
        lines = max(len(node.lines) for node in graph.nodes.values())
        self.box = LINE * lines + 8
        self.width = min(max(NARROW, *map(_min_width, graph.nodes.values())), WIDE)
        self.layout = laid_out(graph, self.box, BOX_GAP, ROOM)
        self.step = self.width + COLUMN_GAP
        columns = len(self.layout.columns)
        self.total = 2 * MARGIN + columns * self.step - COLUMN_GAP + 2 * MARGIN
        self.head = MARGIN if graph.note else HEAD
        self.back = [edge for edge in graph.circle if edge not in graph.edges]
        self.place = {slot.id: slot for slot in self.layout.y if not slot.passing}
        self.height = self.head + self.layout.height + MARGIN + LANE * bool(self.back)

    def html(self) -> str:
        label = escape(self.graph.label)
        least = self.total * (FITTED if self.numbers else MIN_SCALE)
        most = self.total * MAX_SCALE
        boxes = (self._box(self.graph.nodes[name], slot) for name, slot in self.place.items())
        click = f' onclick="{escape(_CLICK)}"' if self.numbers else ""
        return (
            '<div style="overflow-x:auto;max-width:100%">'
            f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label="{label}"{click} '
            f'viewBox="0 0 {self.total:.0f} {self.height:.0f}" width="100%" '
            f'style="display:block;min-width:{least:.0f}px;max-width:{most:.0f}px;height:auto;'
            'font-family:var(--jp-ui-font-family,sans-serif)">'
            + "".join((*self._bands(), *self._lines(), *self._circle(), *boxes))
            + f"</svg></div>{self._foot()}"
        )

    def _x(self, column: int) -> float:
        return 2 * MARGIN + column * self.step

    def _y(self, slot: Slot) -> float:
        return self.head + self.layout.y[slot]

    def _bands(self) -> Iterator[str]:
        """Yield a background behind each layer's columns, with the layer's name and number of rows."""
        if self.graph.note:
            return  # the layers are the boxes
        layer_of = self.layout.layer_of
        counts = Counter(node.layer for node in self.graph.nodes.values())
        for layer in self.graph.layers:
            first, many = layer_of.index(layer), layer_of.count(layer)
            x, width = self._x(first) - MARGIN, many * self.step - COLUMN_GAP + 2 * MARGIN
            yield (
                f'<rect x="{x:.1f}" y="6" width="{width:.1f}" height="{self.height - 6:.1f}" '
                f'rx="6" style="{_BAND}"/>'
            )
            room = int((width - 50) / _NAME)
            yield (
                f'<text x="{x + 10:.1f}" y="26" font-size="13" font-weight="600" style="{_TEXT}">'
                f"{escape(shortened(layer, room))}"
                f'<tspan font-weight="400" style="{_FAINT}"> {counts[layer]}</tspan></text>'
            )

    def _lines(self) -> Iterator[str]:
        """Yield one path for all lines that leave a node, and one path for all arrow heads."""
        paths: dict[str, list[str]] = defaultdict(list)
        heads: list[str] = []
        for a, b in self.layout.links:
            x, xx = self._x(a.column) + self.width, self._x(b.column)
            y, yy = self._y(a), self._y(b)
            end = xx if b.passing else xx - 3
            through = f"M{xx:.1f} {yy:.1f}H{xx + self.width:.1f}" if b.passing else ""
            paths[a.id].append(self._curve(x, y, end, yy) + through)
            if not b.passing:
                heads.append(f"M{xx:.1f} {yy:.1f}l-7-3.5v7z")
        targets: dict[str, list[str]] = defaultdict(list)
        for up, name in self.graph.edges:
            targets[up].append(name)
        for name, parts in paths.items():
            title = escape(f"{name} → {', '.join(targets[name])}")
            yield f'<path d="{"".join(parts)}" style="{_LINE}"><title>{title}</title></path>'
        if heads:
            yield f'<path d="{"".join(heads)}" style="fill:{_PLAIN}"/>'
        yield from self._numbers()

    def _curve(self, x: float, y: float, xx: float, yy: float) -> str:
        if abs(y - yy) < 0.5:  # noqa: PLR2004  less than a pixel is straight
            return f"M{x:.1f} {y:.1f}H{xx:.1f}"
        bend = (xx - x) / 2
        return f"M{x:.1f} {y:.1f}C{x + bend:.1f} {y:.1f} {xx - bend:.1f} {yy:.1f} {xx:.1f} {yy:.1f}"

    def _numbers(self) -> Iterator[str]:
        """Yield the number of dependencies of each line between layers, near the end of the line."""
        if not self.graph.note:
            return
        arriving: dict[str, int] = defaultdict(int)
        for (up, name), count in self.graph.edges.items():
            slot = self.place[name]
            x, y = self._x(slot.column) - 10, self._y(slot) - 6 - 13 * arriving[name]
            arriving[name] += 1
            beside = self.place[up].column == slot.column - 1
            origin = "" if beside else f" from {shortened(up, 12)}"
            yield (
                f'<text x="{x:.1f}" y="{y:.1f}" font-size="11" text-anchor="end" '
                f'style="{_FAINT}">{count:,}{escape(origin)}</text>'
            )

    def _circle(self) -> Iterator[str]:
        """Yield the edges of a cycle, dashed, above the other lines. A closing edge runs below all boxes."""
        for up, name in self.graph.circle:
            title = escape(f"{name} waits for {up}, in a cycle")
            a, b = self.place[up], self.place[name]
            parts = [self._way_back(a, b)] if (up, name) in self.back else [*self._way(a, b)]
            xx, yy = self._x(b.column), self._y(b)
            yield (
                f'<path d="{"".join(parts)}" fill="none" stroke="{_BAD}" stroke-width="1.8" '
                f'stroke-dasharray="5 3"><title>{title}</title></path>'
                f'<path d="M{xx:.1f} {yy:.1f}l-7-3.5v7z" fill="{_BAD}"/>'
            )

    def _way(self, a: Slot, b: Slot) -> Iterator[str]:
        """Yield the line from one box to another, through the columns between them."""
        for column in range(a.column + 1, b.column + 1):
            to = b if column == b.column else Slot(a.id, column, passing=True)
            x, xx = self._x(column) - COLUMN_GAP, self._x(column)
            before = a if column == a.column + 1 else Slot(a.id, column - 1, passing=True)
            yield self._curve(x, self._y(before), xx, self._y(to))
            yield f"H{xx + self.width:.1f}" if to.passing else ""

    def _way_back(self, a: Slot, b: Slot) -> str:
        x, xx = self._x(a.column) + self.width, self._x(b.column)
        y, yy, low = self._y(a), self._y(b), self.height - LANE
        return (
            f"M{x:.1f} {y:.1f}h10q8 0 8 8V{low - 8:.1f}q0 8-8 8H{xx - 12:.1f}q-8 0-8-8"
            f"V{yy + 8:.1f}q0-8 8-8H{xx:.1f}"
        )

    def _box(self, node: Node, slot: Slot) -> str:
        x, y = self._x(slot.column), self._y(slot) - self.box / 2
        colour = style_of(node.status).colour if node.status else _PLAIN
        stroke = _BAD if node.problems else colour
        dash = ";stroke-dasharray:5 3" if node.problems else ""
        fill = colour if node.status else _BAD if node.problems else "none"
        stripe = (
            f'<path d="M{x + 3:.1f} {y + 3:.1f}v{self.box - 6}" '
            f'style="stroke:{colour};stroke-width:4"/>'
            if node.status
            else ""
        )
        name = f"{node.sign} {node.lines[0]}" if node.sign else node.lines[0]
        texts = [self._text(name, x, y + LINE, _NAME, f'font-weight="600" style="{_TEXT}"')]
        texts += [
            self._text(text, x, y + LINE * (i + 2), _SMALL, f'style="{_FAINT}"')
            for i, text in enumerate(node.lines[1:])
        ]
        number = self.numbers.get(node.id)
        data = "" if number is None else f' data-box="{number}" cursor="pointer"'
        return (
            f"<g{data}><title>{escape(chr(10).join(node.tooltip))}</title>"
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{self.width:.1f}" height="{self.box}" rx="4" '
            f'style="fill:{fill};fill-opacity:.12;stroke:{stroke};stroke-width:1.4{dash}" '
            f'pointer-events="all"/>{stripe}{"".join(texts)}</g>'
        )

    def _text(self, text: str, x: float, y: float, character: float, look: str) -> str:
        size = 12 if character == _NAME else 11
        short = escape(shortened(text, int((self.width - 18) / character)))
        return f'<text x="{x + 10:.1f}" y="{y:.1f}" font-size="{size}" {look}>{short}</text>'

    def _foot(self) -> str:
        """Return the legend and the note as HTML below the picture, where lines can wrap."""
        return "".join(
            f'<p style="margin:4px {MARGIN}px;font-size:12px">{escape(text)}</p>'
            for text in (", ".join(self.graph.legend), self.graph.note)
            if text
        )


def _min_width(node: Node) -> float:
    """Return the width that a box needs for all its text."""
    first, *rest = node.lines
    return max([(len(first) + 2) * _NAME, *(len(text) * _SMALL for text in rest)]) + 20
