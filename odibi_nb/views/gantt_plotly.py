"""A Gantt chart as Plotly's JSON, made without Plotly."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from odibi_nb.views.gantt import Gantt, Span, shortened
from odibi_nb.views.looks import LOOKS, QUEUED, WAITS

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_LABELLED = 120
"""With more rows, the layers' names stand where the rows' would."""
MAX_TOLD = 200
"""With more rows, a saved figure's tooltips say the id and errors only."""
MAX_HEIGHT = 560
MIN_BAR = 1.2 / 450
"""The height of a bar, as a part of the plot: what is thinner than a pixel fades away."""
_GREY = "#777777"
_GRID = "rgba(128,128,128,0.25)"
_CLEAR = "rgba(0,0,0,0)"


def gantt_plotly(gantt: Gantt, run: str = "", *, live: bool = False) -> dict[str, Any]:
    """A figure: ``{"data": [...], "layout": {...}}``, one trace per kind of bar.

    Args:
        gantt: the chart.
        run: the run's id, by which the table of that run knows the figure.
        live: with all there is to tell, and traces that have no bars yet: they keep their places.
    """
    spans: dict[str, list[Span]] = {kind: [] for kind in LOOKS}
    for span in gantt.spans:
        spans[span.kind].append(span)
    told = live or len(gantt.rows) <= MAX_TOLD
    data = [_trace(gantt, kind, own, told=told) for kind, own in spans.items() if own or live]
    return {"data": data, "layout": {**_layout(gantt), "meta": {"run": _text([run])}}}


def _trace(gantt: Gantt, kind: str, spans: list[Span], *, told: bool) -> dict[str, Any]:
    look = LOOKS[kind]
    return {
        "type": "bar",
        "orientation": "h",
        "name": f"{look.sign} {kind.lower()}",
        "x": [round(span.end - span.start, 3) for span in spans],
        "base": [round(span.start, 3) for span in spans],
        "y": [span.row for span in spans],
        "width": 0.3 if kind in WAITS else max(0.9, round(MIN_BAR * len(gantt.rows), 1)),
        "marker": {
            "color": look.colour,
            "line": {"width": 0},
            "pattern": {
                "shape": look.pattern,
                "fillmode": "overlay",
                "fgcolor": "rgba(255,255,255,0.75)",
                "size": 6 if kind in WAITS else 10,
                "solidity": 0.2,
            },
        },
        "opacity": 0.6 if kind == QUEUED else 1,
        "customdata": [_text(gantt.told(span)) if told else _brief(gantt, span) for span in spans],
        "hovertemplate": "%{customdata}<extra></extra>",
        "showlegend": bool(spans),
    }


def _text(lines: Sequence[str]) -> str:
    """Lines as Plotly's text: it knows a few tags, so that all that looks like one is escaped."""
    return "<br>".join(escape(line, quote=False) for line in lines)


def _brief(gantt: Gantt, span: Span) -> str:
    """The id, and the error of what did not succeed."""
    lines = gantt.told(span)
    return _text(lines if span.bar and span.bar.error else lines[:1])


def _layout(gantt: Gantt) -> dict[str, Any]:
    count = len(gantt.rows)
    labelled = count <= MAX_LABELLED
    height = 22 if count <= 20 else 18 if count <= 60 else 12  # noqa: PLR2004
    names = [_text([shortened(row.id, 30)]) for row in gantt.rows] if labelled else []
    ticks = gantt.ticks()
    return {
        "template": {},
        "autosize": True,
        "height": max(180, 110 + height * count) if labelled else MAX_HEIGHT,
        "margin": {"l": 60 if labelled else 20, "r": 100, "t": 40, "b": 40},
        "paper_bgcolor": _CLEAR,
        "plot_bgcolor": _CLEAR,
        "font": {"color": _GREY, "size": 11},
        "barmode": "overlay",
        "hovermode": "closest",
        "hoverlabel": {"align": "left"},
        "uirevision": "run",
        "showlegend": True,
        "legend": {
            "orientation": "h",
            "x": 0,
            "y": 1,
            "yanchor": "bottom",
            "itemsizing": "constant",
        },
        "xaxis": {
            "range": [0, gantt.until],
            "tickvals": [seconds for seconds, _ in ticks],
            "ticktext": [text for _, text in ticks],
            "gridcolor": _GRID,
            "zeroline": False,
        },
        "yaxis": {
            "range": [count - 0.5, -0.5],
            "tickvals": list(range(count)) if labelled else [],
            "ticktext": names,
            "tickfont": {"size": min(11, height - 2)},
            "ticks": "outside",
            "tickcolor": _CLEAR,
            "automargin": True,
            "showgrid": False,
            "zeroline": False,
        },
        "shapes": _lines(gantt),
        "annotations": [
            {
                "text": _text([shortened(band.layer, 14)]),
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
    """Between the layers; and now."""
    lines: list[dict[str, Any]] = [
        {
            "type": "line",
            "xref": "paper",
            "x0": 0,
            "x1": 1.12,
            "y0": band.first - 0.5,
            "y1": band.first - 0.5,
            "line": {"color": _GRID, "width": 1},
        }
        for band in gantt.bands
    ]
    if gantt.now is not None:
        now = {
            "x0": round(gantt.now, 2),
            "x1": round(gantt.now, 2),
            "yref": "paper",
            "y0": 0,
            "y1": 1,
        }
        lines.append(
            {"type": "line", **now, "line": {"color": "#d9433b", "width": 1.5, "dash": "dash"}}
        )
    return lines
