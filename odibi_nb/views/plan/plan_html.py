"""A plan as HTML: its problems, its graph, and all rows by layer with their resolved values."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

from odibi_nb.core.functions.source import innermost
from odibi_nb.core.planning.forecast import forecast
from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.json import as_json
from odibi_nb.core.text.name_lists import some_of
from odibi_nb.core.text.redaction import redact
from odibi_nb.views.escaping import escape
from odibi_nb.views.html_parts import (
    MAX_ITEMS,
    TEXT,
    beginning_of,
    breakable,
    first_of,
    folded,
    listed,
    not_shown,
    table,
    table_row,
)
from odibi_nb.views.plan.forecast import COLUMNS as FORECAST_COLUMNS
from odibi_nb.views.plan.forecast import forecast_lines, makespan_table
from odibi_nb.views.plan.graph import problems_by_row
from odibi_nb.views.plan.graph_svg import graph_svg
from odibi_nb.views.plan.plan_text import fresh_lines, plan_cells, step_lines
from odibi_nb.views.status_style import STATUS_STYLES, text_colour

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from odibi_nb.core.planning.forecast import Forecast
    from odibi_nb.core.planning.plan import PlannedRow, RunPlan

MAX_ROWS = 300
"""Largest number of rows that are shown. Rows with problems come first."""
MAX_OPEN_GRAPH = 40
"""Largest number of rows with an open graph. A larger graph is folded: it is higher than a screen."""
MAX_CELL = 80
MIN_SEARCHED = 8
"""Smallest number of rows with a search: fewer are seen at a glance."""
_SEARCH_TIP = "Show only the rows that have all these words"
_SEARCH_STYLE = (
    "font:inherit;padding:2px 6px;min-width:16em;color:inherit;background-color:var(--jp-layout-color1,transparent);"
    "border:1px solid var(--jp-border-color1,#999)"
)
_SEARCH = (
    "const words=this.value.toLowerCase().split(' ').filter(Boolean),"
    "rows=[...this.closest('p').nextElementSibling.querySelectorAll('tbody[data-row]')];"
    "for(const row of rows)row.hidden=!words.every(word=>row.textContent.toLowerCase().includes(word));"
    "this.closest('p').querySelector('[role=status]').textContent="
    "`${rows.filter(row=>!row.hidden).length} of ${rows.length} rows`"
)
COLUMNS = (
    "transformation",
    "why",
    "function",
    "engine",
    "reads",
    "constants",
    "writes",
    "after",
    *FORECAST_COLUMNS,
)
# As wide as the page and no wider, also in a widget, which would otherwise grow with its tables.
_WRAP = f"{TEXT};line-height:1.4;width:0;min-width:100%;overflow-x:auto"
_FAINT = "style='color:var(--jp-ui-font-color2,#888)'"
_CELL = "text-align:left;vertical-align:top"
_WHOLE = f"style='{_CELL};white-space:nowrap'"
_WIDE = f"style='{_CELL};min-width:8em;max-width:26em;overflow-wrap:break-word'"
_WIDEST = _WIDE.replace("8em", "15em")
"""For the column with two long names: the function's and its file's."""
_WHOLE_COLUMNS = frozenset({"engine", *FORECAST_COLUMNS})
_BAD = text_colour(STATUS_STYLES["FAILED"].colour)


def plan_html(plan: RunPlan, *, in_panel: bool = False) -> str:
    """Return the plan: problems first, then the rows by layer with their problems.

    *in_panel* draws a graph whose boxes can be clicked.
    """
    problems = {
        name: [f"{place}: {message}" if place else message for place, message in found]
        for name, found in problems_by_row(plan).items()
    }
    rows = _shown(plan, problems)
    more = not_shown(len(plan.rows) - sum(map(len, rows.values())))
    expected = forecast(plan)
    body = _table(plan, rows, problems, expected)
    top = f"{_head(plan)}{_problems(plan)}{_notes(plan)}{_forecast(plan, expected)}"
    graph = _graph(plan, in_panel=in_panel)
    return f"<div style='{_WRAP}'>{top}{graph}{body}{more}</div>"


def _head(plan: RunPlan) -> str:
    rows = counted(len(plan.rows), "row")
    facts = [f"env {plan.env}", f"engine {plan.engine}", rows, f"registry {plan.source}"]
    return (
        f"<p style='margin:4px 0'><b>{escape(plan.project)}</b> · {escape(' · '.join(facts))}</p>"
    )


def _problems(plan: RunPlan) -> str:
    if not plan.problems:
        return ""
    sign = STATUS_STYLES["FAILED"].sign
    problems = first_of([f"{sign} {problem}" for problem in plan.problems])
    count = f"{counted(len(plan.problems), 'problem')}: nothing will run"
    return f"<b style='{_BAD}'>{count}</b>{listed(map(escape, problems))}"


def _notes(plan: RunPlan) -> str:
    notices = first_of([f"⚠️ {text}" for text in plan.notices])
    items = [*map(escape, (*notices, *fresh_lines(plan), *step_lines(plan)))]
    if plan.selection:
        items.append(f"selected: <code>{escape(beginning_of(plan.selection))}</code>")
    if plan.disabled:
        sign = STATUS_STYLES["SKIPPED"].sign
        names = some_of(plan.disabled, MAX_ITEMS)
        items.append(f"{sign} disabled, will not run: {escape(names)}")
    return listed(items)


def _graph(plan: RunPlan, *, in_panel: bool) -> str:
    if not plan.rows:
        return ""
    how = "; click a box to choose its rows" if in_panel else ""
    is_open = in_panel or len(plan.rows) <= MAX_OPEN_GRAPH
    picture = graph_svg(plan, in_panel=in_panel)
    return folded(f"What waits for what{how}", picture, is_open=is_open)


def _forecast(plan: RunPlan, expected: Forecast | None) -> str:
    """Return the expected duration of the run, and its duration with other numbers of workers."""
    lines = listed(f"⏱ {escape(text)}" for text in forecast_lines(plan, expected))
    if expected is None or len(expected.makespans) < 2:  # noqa: PLR2004  nothing to choose from
        return lines
    records = makespan_table(expected)
    rows = (table_row(map(escape, row.values())) for row in records)
    makespans = table(records.columns, rows, top="<table cellpadding=4>")
    return lines + folded(records.title, makespans)


def _shown(plan: RunPlan, problems: dict[str, list[str]]) -> dict[str, list[PlannedRow]]:
    """Return the rows to show, by layer. If they exceed `MAX_ROWS`, rows with problems take precedence."""
    kept = set(sorted(plan.rows, key=lambda name: name not in problems)[:MAX_ROWS])
    return {
        layer: [row for row in rows if row.id in kept] for layer, rows in plan.by_layer().items()
    }


def _table(
    plan: RunPlan,
    rows: dict[str, list[PlannedRow]],
    problems: dict[str, list[str]],
    expected: Forecast | None,
) -> str:
    """Return all rows in one table with the same columns for each layer, and a search above it."""
    steps = plan.steps()
    cells = {
        row.id: _texts(row, expected, steps.get(layer, ()))
        for layer in plan.layers
        for row in rows[layer]
    }
    # Without history these columns would be empty.
    offered = COLUMNS if expected is not None else COLUMNS[: -len(FORECAST_COLUMNS)]
    columns = [name for name in offered if any(texts[name] for texts in cells.values())]
    if not columns:
        return "".join(f"<p style='margin:12px 0 4px'>{_layer_title(plan, x)}</p>" for x in rows)
    head = "".join(f"<th scope='col' style='{_CELL}'>{name}</th>" for name in columns)
    body = "".join(
        f"<tbody><tr><th scope='rowgroup' colspan='{len(columns)}' style='{_CELL};padding-top:12px'>"
        f"{_layer_title(plan, layer)}</th></tr></tbody>"
        + "".join(
            _row(row, columns, cells[row.id], problems.get(row.id, ())) for row in rows[layer]
        )
        for layer in plan.layers
    )
    search = _search(len(cells)) if len(cells) >= MIN_SEARCHED else ""
    return f"{search}<table cellpadding=4><thead><tr>{head}</tr></thead>{body}</table>"


def _layer_title(plan: RunPlan, layer: str) -> str:
    count = sum(row.layer == layer for row in plan.rows.values())
    number = counted(count, "row") if count else "nothing to run"
    return f"<b>{escape(layer)}</b> <span {_FAINT}>{number}</span>"


def _search(count: int) -> str:
    """Return a box that filters the rows of the table below it, where the front end runs handlers."""
    return (
        f"<p style='margin:12px 0 0'><label title='{_SEARCH_TIP}'>Find <input type=search "
        f'placeholder="part of an id, function or table" title="{_SEARCH_TIP}" style="{_SEARCH_STYLE}" '
        f'oninput="{escape(_SEARCH)}"></label> <span role=status>{counted(count, "row")}</span></p>'
    )


def _texts(row: PlannedRow, expected: Forecast | None, steps: Sequence[int]) -> dict[str, str]:
    """Map `COLUMNS` to the HTML of the cells of *row*; "" for an empty cell."""
    cells = plan_cells(row, expected, steps)
    return {
        **{
            name: escape(text) if name in _WHOLE_COLUMNS else _cut(text)
            for name, text in cells.items()
        },
        "reads": _items(row.transformation.sources, cells["reads"]),
        "constants": _constants(row.transformation.constants),
    }


def _row(
    row: PlannedRow, columns: Sequence[str], texts: dict[str, str], problems: Iterable[str]
) -> str:
    bad = "".join(
        f"<tr><td colspan='{len(columns)}' style='{_CELL};padding-left:2em;overflow-wrap:anywhere'>"
        f"<b style='{_BAD}'>{STATUS_STYLES['FAILED'].sign} problem</b> {escape(text)}</td></tr>"
        for text in problems
    )
    facts = row.transformation
    about = (facts.entity_1, facts.entity_2, facts.entity_3, facts.description)
    second = {
        "transformation": _cut(" · ".join(filter(None, about))),
        "function": _cut(function_place(row.fn) if row.fn else "not found"),
    }
    line = ""
    for name in columns:
        style = _WHOLE if name in _WHOLE_COLUMNS else _WIDEST if name == "function" else _WIDE
        below = f"<br><span {_FAINT}>{second[name]}</span>" if second.get(name) else ""
        line += f"<td {style}>{texts[name]}{below}</td>"
    return f"<tbody data-row><tr>{line}</tr>{bad}</tbody>"


def _items(inputs: list[Any], names: str) -> str:
    """Return the names of the inputs, and the inputs in full below if they are more than names."""
    if all(isinstance(item, str) for item in inputs):
        return _cut(names)
    return _unfolded(names, "\n".join(as_json(redact(item)) for item in inputs))


def _constants(constants: dict[str, Any]) -> str:
    """Return each constant on a line of its own."""
    lines = [f"{name} = {as_json(value)}" for name, value in redact(constants).items()]
    short = ", ".join(lines)
    if len(short) > MAX_CELL:
        return _unfolded(short, "\n".join(lines))
    return "<br>".join(map(breakable, lines))


def _cut(text: str) -> str:
    return breakable(text) if len(text) <= MAX_CELL else _unfolded(text, text)


def _unfolded(short: str, text: str) -> str:
    """Return the beginning of *short*, which opens to *text* in full, by mouse or keyboard."""
    begin = short if len(short) <= MAX_CELL else f"{short[:MAX_CELL]}…"
    return (
        f"<details><summary>{breakable(begin)}</summary>"
        f"<div style='white-space:pre-wrap'>{escape(text)}</div></details>"
    )


def function_place(fn: Callable[..., Any]) -> str:
    """Return the place of *fn*'s source as ``file:line``, relative if possible, or "" if it is unknown."""
    code = getattr(inspect.unwrap(innermost(fn)), "__code__", None)
    if code is None:
        return ""
    path = Path(code.co_filename)
    for start in (Path.cwd(), Path(__file__).parents[3]):
        if path.is_relative_to(start):
            path = path.relative_to(start)
    return f"{path}:{code.co_firstlineno}"
