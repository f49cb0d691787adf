"""A Gantt chart as Plotly's JSON, built without importing Plotly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.engine import Engine
from odibi_nb.core.model.events import Status
from odibi_nb.core.text.counts import counted
from odibi_nb.views.escaping import escape
from odibi_nb.views.run.gantt import BOTTOM, MAX_NAME, TOP, Gantt, cut_in_the_middle
from odibi_nb.views.status_style import (
    BAR_STYLES,
    EXPECTED,
    LATE,
    PART_DONE,
    QUEUED,
    RETRIED,
    STATUS_STYLES,
    WAITS,
    legend_text,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odibi_nb.views.run.segment import Segment

MAX_TOOLTIPS = 200
"""Largest number of rows with full tooltips in a saved figure. With more, tooltips have the id and errors."""
LIVE_BARS = 64
"""Bars in one trace of a live figure, for the most frequent kinds (`MANY`)."""
MANY = frozenset({Status.SUCCESS.value, QUEUED})
SIGNED = frozenset(status.value for status in Status if status is not Status.SUCCESS)
"""Kinds of bars with a sign or their progress at the end."""
MAX_HEIGHT = 560
LEFT_OF_PLOT = -1e-6
"""Where the legend begins. Plotly lets the lines of a legend with a negative place use the margin left of the plot, too."""
_GREY = "#777777"
_INKS = {1: "var(--jp-ui-font-color1,#777)", 2: "var(--jp-ui-font-color2,#777)"}
"""Text colours: the theme's colour, or a grey that is readable in both themes."""
_ACTIVE = STATUS_STYLES[Status.RUNNING.value].colour
_UNUSED = ["sendChartToCloud", "sendDataToCloud", "select2d", "lasso2d", "autoScale2d"]
"""Plotly buttons to remove. The first two would send a run's errors to Plotly's servers."""
_GRID = "rgba(128,128,128,0.25)"
_CLEAR = "rgba(0,0,0,0)"


def gantt_plotly(
    gantt: Gantt, run: str = "", *, live: bool = False, inked: bool = True
) -> dict[str, Any]:
    """Return a figure with one trace for each kind of bar: ``{"data": [...], "layout": {...}}``.

    Args:
        gantt: the chart.
        run: the run's id, by which the table of that run finds the figure.
        live: keep full tooltips, reserve a trace for every kind, and split the kinds in `MANY` into several
            traces, so that an update changes few of them.
        inked: give names, layers and times the theme's colours. Otherwise the page must do it.
    """
    tooltips = live or len(gantt.rows) <= MAX_TOOLTIPS
    data: list[dict[str, Any]] = []
    for kind in BAR_STYLES:
        if kind == EXPECTED:
            own = gantt.ghosts()
            ghosts = _trace(gantt, kind, own, tooltips=True) | {"showlegend": True}
            data += [ghosts if live else _without_tooltips(ghosts)] if own else []
            continue
        own = [segment for segment in gantt.segments if segment.kind == kind]
        traces = [
            _trace(gantt, kind, some, tooltips=tooltips)
            for some in _parts(gantt, kind, own, live=live)
        ]
        traces[0]["showlegend"] = bool(own)
        data += traces if own or live else []
    part_done = _part_done(gantt)
    may_come = live and any(row.engine == Engine.SPARK.value for row in gantt.rows)
    data += [part_done] if part_done["y"] or may_come else []
    layout = {**_layout(gantt, inked=inked), "meta": {"run": _text([run])}}
    if gantt.folded and not live:
        layout["updatemenus"] = [_unfolding(gantt, data, layout)]
    elif not live:
        data = [_without_defaults(trace) for trace in data]
    return {"data": data, "layout": layout}


def _without_tooltips(trace: dict[str, Any]) -> dict[str, Any]:
    """Return *trace* without tooltips. Near the end of an expected place, Plotly would show it instead of the bar's own,
    with its error.
    """
    shown = {"customdata", "hovertemplate"}
    kept = {key: value for key, value in trace.items() if key not in shown}
    return {**kept, "hoverinfo": "skip"}


def _without_defaults(trace: dict[str, Any]) -> dict[str, Any]:
    """Return *trace* without what Plotly assumes: a notebook stores each number in a line of its own."""
    assumed = {"y": [*range(len(trace["y"]))], "opacity": 1, "showlegend": True}
    return {key: value for key, value in trace.items() if assumed.get(key) != value}


def _unfolding(gantt: Gantt, data: list[dict[str, Any]], layout: dict[str, Any]) -> dict[str, Any]:
    """Return buttons that give each row a line of its own, and fold the rows again."""
    count = len(gantt.rows)
    folded = {f"yaxis.{key}": layout["yaxis"][key] for key in ("range", "tickvals", "ticktext")}
    unfolded = {"yaxis.range": [count - 0.5, -0.5], "yaxis.tickvals": [], "yaxis.ticktext": []}
    lines = [trace["y"] for trace in data]
    rows = [[*map(int, trace["ids"])] if "ids" in trace else trace["y"] for trace in data]
    return {
        "type": "buttons",
        "direction": "left",
        "x": 1,  # below the axis: above it, the legend may need the whole line
        "xanchor": "right",
        "y": 0,
        "yanchor": "top",
        "pad": {"t": 24},
        "bgcolor": _CLEAR,
        "bordercolor": _GRID,
        "font": {"color": _GREY},
        "buttons": [
            {"label": "Lanes", "method": "update", "args": [{"y": lines}, folded]},
            {
                "label": f"All {counted(count, 'row')}",
                "method": "update",
                "args": [{"y": rows}, unfolded],
            },
        ],
    }


def _parts(gantt: Gantt, kind: str, segments: list[Segment], *, live: bool) -> list[list[Segment]]:
    """Return *segments* of one kind, divided into traces. A live figure always has the same number of traces.

    In a live figure, ended bars are ordered by their end, so that only the last of their traces grows.
    Open bars change with every update and have a trace of their own.
    """
    if not live or kind not in MANY:
        return [segments]
    over = sorted(
        (segment for segment in segments if not segment.open), key=lambda segment: segment.end
    )
    last = len(gantt.rows) // LIVE_BARS * LIVE_BARS
    parts = [over[i : i + LIVE_BARS] for i in range(0, last, LIVE_BARS)]
    return [*parts, over[last:], [segment for segment in segments if segment.open]]


def _trace(gantt: Gantt, kind: str, segments: list[Segment], *, tooltips: bool) -> dict[str, Any]:
    style = BAR_STYLES[kind]
    # Hollow bars are nothing but their outline.
    outline = {"width": 1.5, "color": style.colour} if kind == RETRIED else {"width": 0}
    trace: dict[str, Any] = {
        "type": "bar",
        "orientation": "h",
        "name": _inked(1, legend_text(kind)),
        "x": [round(segment.end - segment.start, 3) for segment in segments],
        "base": [round(segment.start, 3) for segment in segments],
        "y": [segment.line for segment in segments],
        "width": 0.3 if kind in WAITS or kind == LATE else 0.9,
        "marker": {"color": _rgba(style.bar), "line": outline},
        "opacity": 1 if kind != QUEUED else 0.6,
        "customdata": [_tooltip(gantt, segment, whole=tooltips) for segment in segments],
        "hovertemplate": "%{customdata}<extra></extra>",
        "legendgroup": kind,
        "showlegend": False,
    }
    if style.pattern:
        trace["marker"]["pattern"] = {
            "shape": style.pattern,
            "fillmode": "overlay",
            "fgcolor": _rgba(style.lines),
            "size": 6 if kind in WAITS else 10,
            "solidity": 0.2,
        }
    if gantt.folded:  # a line is no row: a click finds the row's number here
        trace["ids"] = [str(segment.row) for segment in segments]
    if kind == LATE:  # a strip at the bar's foot
        trace["offset"] = 0.15
    if kind in SIGNED:
        trace |= {
            "text": _end_texts(gantt, segments),
            "textposition": "outside",
            "textfont": {"size": 13 if kind != Status.RUNNING.value else 11},
            "cliponaxis": False,
        }
    return trace


def _rgba(colour: str) -> str:
    """Return a CSS colour in a form that Plotly understands: Plotly does not accept eight hex digits."""
    if len(colour) == len("#rrggbb"):
        return colour
    *rgb, alpha = (int(colour[i : i + 2], 16) for i in (1, 3, 5, 7))
    return f"rgba({','.join(map(str, rgb))},{alpha / 255:.2f})"


def _end_texts(gantt: Gantt, segments: list[Segment]) -> list[str]:
    """Return the sign or the progress right of each bar; an empty list if no bar has one."""
    progresses = [segment.bar.progress if segment.bar else None for segment in segments]
    texts = [
        f"<span style='color:{BAR_STYLES[segment.kind].colour}'>{sign}</span>"
        if (sign := gantt.end_sign(segment))
        else (_inked(1, str(progress)) if progress else "")
        for segment, progress in zip(segments, progresses, strict=True)
    ]
    return texts if any(texts) else []


def _part_done(gantt: Gantt) -> dict[str, Any]:
    """Return the trace that fills the completed part of each running bar whose engine reports progress."""
    in_progress = [
        (segment, p) for segment in gantt.segments if segment.bar and (p := segment.bar.progress)
    ]
    return {
        "type": "bar",
        "orientation": "h",
        "name": _inked(1, "▰ part done"),
        "x": [
            round((segment.end - segment.start) * progress.share, 3)
            for segment, progress in in_progress
        ],
        "base": [round(segment.start, 3) for segment, _ in in_progress],
        "y": [segment.line for segment, _ in in_progress],
        "width": 0.5,
        "marker": {"color": PART_DONE, "line": {"width": 0}},
        "customdata": [_text(gantt.tooltip(segment)) for segment, _ in in_progress],
        "hovertemplate": "%{customdata}<extra></extra>",
        "showlegend": bool(in_progress),
    }


def _text(lines: Sequence[str]) -> str:
    """Return lines as Plotly text. Plotly interprets some tags, so every tag in *lines* is escaped."""
    return "<br>".join(escape(line, quote=False) for line in lines)


def _inked(ink: int, text: str) -> str:
    """Return *text*, escaped, in one of the `_INKS`. Plotly keeps the CSS variable, which the page replaces by
    the theme's colour.
    """
    return f"<span style='color:{_INKS[ink]}'>{_text([text])}</span>"


def _tooltip(gantt: Gantt, segment: Segment, *, whole: bool) -> str:
    """Return a tooltip. Unless *whole*, it is the id alone, or all lines if the attempt has an error.

    A row that still waits for its first attempt is frequent, and has the id alone, too.
    """
    lines = gantt.tooltip(segment)
    brief = not whole or (segment.kind == QUEUED and segment.open)
    return _text(lines[:1] if brief and not (segment.bar and segment.bar.error) else lines)


def _layout(gantt: Gantt, *, inked: bool) -> dict[str, Any]:
    count = len(gantt.labels)
    labels = [cut_in_the_middle(label, MAX_NAME) for label in gantt.labels]

    def ink(number: int, text: str) -> str:
        """Return *text*, escaped. Without *inked*, the page has a style for it."""
        return _inked(number, text) if inked else _text([text])

    names = [ink(1, label) for label in labels]
    right = 24 + 7 * max((len(band.name) for band in gantt.bands), default=0)
    ticks = gantt.ticks()
    return {
        "template": {},
        "autosize": True,
        "height": MAX_HEIGHT if gantt.folded else round(gantt.height),
        "margin": {"l": 60, "r": right, "t": TOP, "b": BOTTOM},
        "paper_bgcolor": _CLEAR,
        "plot_bgcolor": _CLEAR,
        "font": {"color": _GREY, "size": 11},
        "barmode": "overlay",
        "hovermode": "closest",
        "hoverlabel": {"align": "left"},
        "modebar": {"bgcolor": _CLEAR, "color": _GREY, "activecolor": _ACTIVE, "remove": _UNUSED},
        "uirevision": "run",
        "showlegend": True,
        "legend": {
            "orientation": "h",
            "x": LEFT_OF_PLOT,
            "y": 1,
            "yanchor": "bottom",
            "itemsizing": "constant",
        },
        "xaxis": {
            "range": [0, gantt.until],
            "tickvals": [round(seconds, 6) for seconds, _ in ticks],
            "ticktext": [ink(2, text) for _, text in ticks],
            "gridcolor": _GRID,
            "zeroline": False,
        },
        "yaxis": {
            "range": [count - 0.5, -0.5],
            "tickvals": list(range(count)),
            "ticktext": names,
            "tickfont": {"size": 11},
            "ticks": "outside",
            "tickcolor": _CLEAR,
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
        },
        "shapes": _lines(gantt),
        "annotations": [
            {
                "text": ink(2, band.name),
                "xref": "paper",
                "x": 1.01,
                "xanchor": "left",
                "y": (band.first + band.last) / 2,
                "showarrow": False,
            }
            for band in gantt.bands
        ],
    }


def _lines(gantt: Gantt) -> list[dict[str, Any]]:
    """Return the lines between layers as one shape, and the now-line."""
    path = "".join(f"M0,{band.first - 0.5}H1.12" for band in gantt.bands)
    line = {"color": _GRID, "width": 1}
    lines: list[dict[str, Any]] = [{"type": "path", "xref": "paper", "path": path, "line": line}]
    if gantt.now is not None:
        x = round(gantt.now, 2)
        place = {"x0": x, "x1": x, "yref": "paper", "y0": 0, "y1": 1}
        dashed = {"color": "#d9433b", "width": 1.5, "dash": "dash"}
        lines.append({"type": "line", **place, "line": dashed})
    return lines
