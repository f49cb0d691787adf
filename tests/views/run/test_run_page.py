"""The live table's state and its HTML."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import replace

import pytest
from fakes import row
from pages import without_our_script
from views.snapshots import everything, many

from odibi_nb.core.running.hooks import HookManager
from odibi_nb.views.plan.plan_html import plan_html
from odibi_nb.views.records import Records
from odibi_nb.views.run.bundles import HTML, MAX_FIGURE_ROWS, PLOTLY, run_bundles
from odibi_nb.views.run.row_state import RowState
from odibi_nb.views.run.run_page import chart_html, framed_summary_html, summary_text
from odibi_nb.views.run.state import RunSnapshot, RunState, snapshot_of
from odibi_nb.views.run.table import LIVE_ROWS, table_html

EVIL = "<script>alert('x')</script>"


def fails():
    raise OSError(EVIL)


def test_the_state_follows_the_run(project):
    """Rows change from WAITING over RUNNING to their end. The last state of the live view equals the result."""
    state, seen = RunState(), []
    hooks = HookManager()
    hooks.register("*", lambda p: seen.append(state.snapshot().counts))
    result = project(row("A", lambda: None), row("B", fails)).run(
        hooks=hooks, views=[state], max_workers=1
    )
    assert seen[0] == {"WAITING": 2}
    assert {"RUNNING": 1, "WAITING": 1} in seen
    last, again = state.snapshot(), snapshot_of(result)
    assert [(r.id, r.status, r.attempt, r.error) for r in last.rows] == [
        (r.id, r.status, r.attempt, r.error) for r in again.rows
    ]
    assert last.status == "failed"


def test_every_value_is_escaped(project):
    """A <script> in a project, id, function, error, log, table name or constant stays text."""
    p = project(
        row(f"A{EVIL}", fails, module=EVIL, constants={"note": EVIL, "retry": 0}, entity_1=EVIL),
        manifest={"description": EVIL},
    )
    from odibi_nb.core.functions.registry import REGISTRY

    REGISTRY.register(f"A{EVIL}", "any", fails, module=EVIL)
    plan = p.orchestrator().plan()
    assert plan.problems == ()
    result = p.run()
    assert result["status"] == "failed"
    for page in (
        plan_html(plan),
        result._repr_html_(),
        Records(EVIL, (EVIL,), [{EVIL: EVIL}])._repr_html_(),
    ):
        assert "<script" not in without_our_script(page)
        assert "&lt;script&gt;" in page


def test_secrets_do_not_show(project):
    """Constants whose key looks secret, and passwords in URLs, are not in a plan's HTML."""
    constants = {
        "password": "hunter2",
        "url": "postgresql://joe:hunter2@db/x",
        "api_key": "hunter2",
    }
    plan = project(row("A", lambda: None, constants=constants)).orchestrator().plan()
    assert "hunter2" not in plan_html(plan)
    assert "joe:***@db" in plan_html(plan)


def snapshot_html(snapshot):
    """Return all displays of a run: summary line, chart and table."""
    return framed_summary_html(snapshot) + chart_html(snapshot) + table_html(snapshot)


def snapshot_with(count, status="WAITING"):
    rows = tuple(
        RowState(id=f"T{i}", layer="Bronze", function="m.f", engine="pandas", status=status)
        for i in range(count)
    )
    start = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
    return RunSnapshot(
        project="P", env="qat", run_id="r", status="running", start=start, at=start, rows=rows
    )


@pytest.mark.parametrize("count", [0, 1, LIVE_ROWS, 5_000])
def test_the_table_is_capped(count):
    """A live table has at most LIVE_ROWS rows, the number of the others, and stays small."""
    page = snapshot_html(snapshot_with(count, "RUNNING"))
    assert page.count("<tr>") - 1 <= min(count, LIVE_ROWS)
    assert (f"{count - LIVE_ROWS:,} more rows are not shown" in page) == (count > LIVE_ROWS)
    assert len(page) < 300_000


def test_status_is_told_by_text_and_sign_too():
    """Each status is a word with its own sign: no meaning depends on colour alone."""
    names = (
        "WAITING",
        "RUNNING",
        "RETRYING",
        "SUCCESS",
        "FAILED",
        "SKIPPED",
        "CANCELLED",
        "ABANDONED",
    )
    signs = {}
    for name in names:
        page = snapshot_html(snapshot_with(1, name))
        signs[name] = re.search(rf"(\S) {name}</b>", page)[1]
    assert len(set(signs.values())) == len(names)


def test_the_summary_adds_up():
    """The counts of the summary line are shares of all rows."""
    text = summary_text(everything()).partition(" · run ")[2]
    done, total, others = re.search(r"(\d+) of (\d+) done, ([^·]+)", text).groups()
    assert int(done) + sum(map(int, re.findall(r"\d+", others))) == int(total)
    assert int(done) == everything().counts["SUCCESS"]


def test_the_summary_fixes_the_height_of_the_figure_below_it():
    """In JupyterLab the figure's output has the figure's height. Without a figure, or for an odd run, it has none."""
    summary, chart, _ = run_bundles(everything(status="failed"))
    height = chart[PLOTLY]["layout"]["height"]
    assert f".odibi-room-r-1)+.jp-OutputArea-child{{min-height:{height}px}}" in summary[HTML]
    assert f".js-plotly-plot{{height:{height}px;overflow:hidden}}" in summary[HTML]
    assert "responsive" not in chart[PLOTLY]["config"]
    # The names have the theme's colour from the summary: a notebook of 20 rows is 1 kB smaller.
    assert ".ytick text{fill:var(--jp-ui-font-color1)!important}" in summary[HTML]
    assert "OK" in chart[PLOTLY]["layout"]["yaxis"]["ticktext"]
    odd = run_bundles(replace(everything(), run_id="r{}</style>"))[1]
    assert "color:var(" in odd[PLOTLY]["layout"]["yaxis"]["ticktext"][0]
    for snapshot in (many(MAX_FIGURE_ROWS + 1), replace(everything(), run_id="r{}</style>")):
        assert "odibi-room" not in run_bundles(snapshot)[0][HTML]
