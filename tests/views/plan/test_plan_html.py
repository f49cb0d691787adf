"""A plan as HTML."""

from __future__ import annotations

import functools
import re

from fakes import row

from odibi_nb.views.plan.plan_html import MAX_ROWS, function_place, plan_html
from odibi_nb.views.plan.plan_text import plan_text


def noop():
    pass


def page_of(project, *rows, **options):
    return plan_html(project(*rows).orchestrator().plan(**options))


def cells(page):
    """Return the text of each row of each table, with cells separated by |."""
    text = re.sub(r"<wbr>", "", page)
    lines = re.findall(r"<tr>(.*?)</tr>", text, re.DOTALL)
    return [re.sub(r"<[^>]+>", "", line.replace("</td>", "|")) for line in lines]


def test_rows_are_grouped_by_layer(project):
    """Each layer has a heading with its number of rows, also a layer without rows to run."""
    page = page_of(project, row("A", noop, layer="Bronze"), row("B", noop), row("C", noop))
    headings = re.findall(r"<b>(\w+)</b> <span[^>]*>([^<]+)<", page)
    assert headings == [("Bronze", "1 row"), ("Silver_1", "2 rows"), ("Gold_1", "nothing to run")]


def test_a_row_shows_what_it_would_do(project):
    """A row has its function with its place, engine, inputs, constants, outputs, and the rows it waits for."""
    page = page_of(
        project,
        row("A", noop, layer="Bronze", outputs=[{"table": "bronze.x", "mode": "append"}]),
        row("B", noop, inputs=["bronze.x"], constants={"retry": 0, "drop": True}, entity_1="Dryer"),
    )
    line = next(line for line in cells(page) if line.startswith("BD"))
    assert line.startswith("BDryer|fake_functions.B")
    assert f"test_plan_html.py:{noop.__code__.co_firstlineno}|" in line
    assert "|pandas|bronze.x|" in line
    assert "retry = 0drop = true" in line
    assert line.endswith("|A|")
    assert any("|bronze.x (append)|" in line for line in cells(page))


def test_steps_are_shown_where_they_order_a_layer(project):
    """Text and HTML mark the layer that steps order, with the rows that each row waits for.
    Otherwise they mention that steps have no effect.
    """
    rows = [
        *(row(f"B{step}", noop, layer="Bronze", step=step) for step in (10, 20)),
        *(row(f"S{step}", noop, step=step) for step in (1, 2)),
    ]
    asked = {"layers": {"Bronze": {"ordered_by_step": True}}}
    plan = project(*rows, manifest=asked).orchestrator().plan()
    for text in (plan_text(plan), re.sub("<[^>]+>", "", plan_html(plan))):
        assert "Bronze is ordered by step (10 → 20): rows of a step wait for all" in text
        assert "The steps of Silver_1 order nothing: rows wait for their inputs" in text
    after = {
        name: line for line in cells(plan_html(plan)) for name in ("B20", "S2") if name in line
    }
    assert after["B20"].endswith("|step 10|")
    assert "step" not in after["S2"]


def test_columns_with_nothing_in_them_are_left_out(project):
    """All layers share one table, whose columns have something in at least one row."""
    page = page_of(
        project,
        row("A", noop, layer="Bronze", outputs=[{"table": "bronze.x"}]),
        row("B", noop, inputs=["bronze.x"]),
    )
    (columns,) = (
        set(re.findall("<th[^>]*>([^<]+)", head))
        for head in re.findall("<thead>(.*?)</thead>", page)
    )
    assert {"transformation", "function", "reads", "writes", "after"} <= columns
    assert not {"why", "expected"} & columns


def test_many_rows_can_be_searched(project):
    """A plan of eight rows or more has a search that needs no kernel. A smaller one has none."""
    assert "<input type=search" in page_of(project, *(row(f"R{i}", noop) for i in range(8)))
    assert "<input" not in page_of(project, row("A", noop))


def test_problems_stand_above_and_at_their_rows(project):
    """Problems are listed in front, and again at the row that needs mending."""
    page = page_of(
        project,
        row("GOOD", noop),
        row("BAD", noop, constants={"engine": "panda", "timeout_seconds": -1}),
    )
    assert "2 problems: nothing will run" in page
    lines = cells(page)
    at = next(i for i, line in enumerate(lines) if line.startswith("BAD"))
    assert "problem constants.engine: unknown engine &#x27;panda&#x27;" in lines[at + 1]
    assert "problem constants.timeout_seconds: expected seconds above 0" in lines[at + 2]
    assert sum("problem" in line for line in lines) == 2


def test_what_will_not_run_is_named(project):
    """Disabled rows are named, and the selection is shown."""
    page = page_of(project, row("A", noop), row("B", noop), row("OFF", noop, enabled=0), select="A")
    assert "disabled, will not run: OFF" in page
    assert "selected: <code>--select A</code>" in page


def test_a_large_plan_is_capped_and_keeps_what_is_wrong(project):
    """Of 2,000 rows some are shown, those with problems first, with the number of the others."""
    rows = [row(f"T{i:04}", noop, constants={"note": "x" * 300}) for i in range(2_000)]
    rows.append(row("WRONG", noop, constants={"engine": "panda"}))
    page = page_of(project, *rows)
    assert f"{2_001 - MAX_ROWS:,} more rows are not shown." in page
    assert any(line.startswith("WRONG") for line in cells(page))
    assert len(page) < 600_000


def test_long_values_can_be_opened(project):
    """A long constant or an SQL input is cut, and unfolds to the whole text."""
    sql = "SELECT * FROM bronze.x WHERE " + " AND ".join(f"c{i} > 0" for i in range(30))
    page = page_of(project, row("A", noop, inputs=[{"type": "query", "sql": sql, "name": "q"}]))
    assert "<summary>q</summary>" in page
    assert "c29 &gt; 0" in page


def test_where_a_function_is_written():
    """The place of partials and wrappers is that of the wrapped function. A function without source has no place."""
    line = noop.__code__.co_firstlineno

    @functools.wraps(noop)
    def wrapper():
        pass

    for fn in (noop, functools.partial(noop), wrapper):
        assert function_place(fn).endswith(f"test_plan_html.py:{line}")
    assert function_place(len) == ""
