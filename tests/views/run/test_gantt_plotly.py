"""The Gantt chart as Plotly's JSON, checked as data and by Plotly itself."""

from __future__ import annotations

import dataclasses
import json
import re

import pytest
from msgspec.structs import replace as changed
from views.snapshots import EVIL, bar, everything, many, row, run

from odibi_nb.core.model.events import Progress
from odibi_nb.core.planning.forecast import Span
from odibi_nb.views.run.bundles import MAX_FIGURE_ROWS
from odibi_nb.views.run.eta import ExpectedRun
from odibi_nb.views.run.gantt import gantt_of
from odibi_nb.views.run.gantt_plotly import MAX_HEIGHT, MAX_TOOLTIPS, gantt_plotly
from odibi_nb.views.status_style import STATUS_STYLES

KINDS = [f"{style.sign} {name.lower()}" for name, style in STATUS_STYLES.items()]
OTHERS = ["failed attempt", "longer than usual"]


def plain(text):
    """Text without Plotly's markup."""
    return re.sub(r"<span style='color:var[^']*'>|</span>", "", text)


def name_of(trace):
    return plain(trace["name"])


def test_one_trace_of_one_colour_per_kind():
    """Each kind is one bar trace with a constant colour, its own pattern, and thin if it is a wait."""
    data = gantt_plotly(gantt_of(everything()))["data"]
    assert [name_of(t) for t in data] == [*KINDS, "failed attempt"]
    looks = {(t["marker"].get("pattern", {}).get("shape", ""), t["width"]) for t in data[:-1]}
    assert len(looks) == len(STATUS_STYLES)
    for trace in data:
        assert trace["type"] == "bar"
        assert isinstance(trace["marker"]["color"], str)
        assert bool(trace["marker"]["line"]["width"]) == ("failed attempt" in name_of(trace))
        assert trace["width"] == (
            0.3 if "queued" in name_of(trace) or "retrying" in name_of(trace) else 0.9
        )


def test_an_expected_place_hides_no_tooltip_of_a_bar():
    """In a saved figure, expected places have no tooltips: near their ends Plotly would show them in place of a bar's."""
    done = run(row("A", bar(1, 0, 4, status="FAILED", error="boom")), seconds=5, status="failed")
    expected = ExpectedRun(seconds={"A": 3.0}, spans={"A": Span(0, 3, None)}, end=3.0)
    gantt = gantt_of(dataclasses.replace(done, expected=expected))
    saved, live = (
        {name_of(t): t for t in gantt_plotly(gantt, live=x)["data"]} for x in (False, True)
    )
    (name,) = (name for name in saved if "expected" in name)
    assert saved[name]["hoverinfo"] == "skip"
    assert "hovertemplate" not in saved[name]
    assert "boom" in saved["✖ failed"]["customdata"][0]
    assert "expected from" in live[name]["customdata"][0]


def test_bars_say_where_they_are():
    """A bar starts at its base, is as long as its attempt, and y is its row."""
    data = {name_of(t): t for t in gantt_plotly(gantt_of(everything()))["data"]}
    running = data["▶ running"]
    assert (running["base"], running["x"], running["y"]) == ([5], [5], [8])
    assert running["customdata"][0].startswith("BUSY<br>m.f<br>▶ running, attempt 1<br>")
    assert "<extra></extra>" in running["hovertemplate"]


def test_a_live_figure_keeps_its_traces():
    """In a live figure, kinds without bars have a trace that is not in the legend. In a saved one they have none."""
    gantt = gantt_of(run(row("A", bar(1, 0))))
    live, saved = gantt_plotly(gantt, live=True), gantt_plotly(gantt)
    assert [name_of(t) for t in live["data"] if t["showlegend"]] == ["▶ running"]
    assert {name_of(t) for t in live["data"]} == {*KINDS, *OTHERS}
    assert [name_of(t) for t in saved["data"]] == ["▶ running"]


def test_a_running_bar_is_filled_as_far_as_it_is_done():
    """A separate trace fills the finished part. The bar shows the percentage, its tooltip the tasks."""
    going = row("A", bar(1, 2, progress=Progress(3, 8)), engine="spark")
    gantt = gantt_of(run(going, row("B", bar(1, 2))))
    data = {name_of(t): t for t in gantt_plotly(gantt, live=True)["data"]}
    fill, bars = data["▰ part done"], data["▶ running"]
    assert (fill["base"], fill["x"], fill["y"]) == ([2], [3.0], [0])
    assert [plain(text) for text in bars["text"]] == ["37 %", ""]
    assert "37 %: 3 of 8 tasks" in bars["customdata"][0]
    assert fill["customdata"] == bars["customdata"][:1]
    saved = [*map(with_defaults, gantt_plotly(gantt)["data"])]
    assert saved == [bars | {"showlegend": True}, with_defaults(fill)]


def with_defaults(trace):
    """A trace of a saved figure with what Plotly assumes: the row's number as the place, and an entry of the legend."""
    return {"y": [*range(len(trace["x"]))], "opacity": 1, "showlegend": True} | trace


def test_a_saved_figure_leaves_out_what_plotly_assumes():
    """If each row has one bar of a kind, their places are not stored. A row without one keeps the places."""
    one, other, third = (row(name, bar(1, number, 9)) for number, name in enumerate("ABC"))
    gaps = run(one, row("B", bar(1, 1, 9, "FAILED")), third)
    for snapshot, places in ((run(one, other, third), None), (gaps, [0, 2])):
        traces = {name_of(trace): trace for trace in gantt_plotly(gantt_of(snapshot))["data"]}
        assert traces["✔ success"].get("y") == places


def test_only_a_run_on_spark_has_a_trace_for_what_is_done():
    """In a live figure this trace exists from the start, so that the others keep their places."""
    for engine, names in (("spark", ["▰ part done"]), ("pandas", [])):
        gantt = gantt_of(run(row("A", engine=engine)))
        live = gantt_plotly(gantt, live=True)["data"]
        assert [name for name in map(name_of, live) if name not in {*KINDS, *OTHERS}] == names


def test_rows_are_labelled_top_to_bottom():
    """The first row is at the top, rows and layers have their names, and lines separate the layers."""
    layout = gantt_plotly(gantt_of(everything()))["layout"]
    assert layout["yaxis"]["range"] == [11.5, -0.5]
    assert [*map(plain, layout["yaxis"]["ticktext"][:2])] == ["OK", "LATE"]
    assert [plain(a["text"]) for a in layout["annotations"]] == ["Bronze", "Silver_1", "Gold_1"]
    lines, now = layout["shapes"]
    assert re.findall(r"M0,([-\d.]+)H1.12", lines["path"]) == ["-0.5", "1.5", "10.5"]
    assert (now["y0"], now["y1"]) == (0, 1)
    assert layout["shapes"][-1]["x0"] == 10


def test_it_suits_both_themes():
    """The figure has a transparent ground, text in the theme's colours or else mid-grey, and no template with others."""
    figure = gantt_plotly(gantt_of(everything()))
    layout = figure["layout"]
    texts = [*layout["yaxis"]["ticktext"], *layout["xaxis"]["ticktext"], figure["data"][0]["name"]]
    texts += [one["text"] for one in layout["annotations"]]
    assert all(re.match(r"<span style='color:var\(--jp-[\w-]+,#777\)'>", one) for one in texts)
    assert layout["paper_bgcolor"] == layout["plot_bgcolor"] == "rgba(0,0,0,0)"
    assert layout["font"]["color"] == "#777777"
    assert layout["template"] == {}


@pytest.mark.parametrize("count", [5, 50, MAX_FIGURE_ROWS])
def test_many_rows_fit(count):
    """The height grows with the rows up to a limit. A saved figure has less than 90 kB."""
    figure = gantt_plotly(gantt_of(many(count)))
    assert 180 <= figure["layout"]["height"] <= max(MAX_HEIGHT, 110 + 18 * 60)
    assert len(json.dumps(figure, indent=1)) < 90_000


def test_many_rows_say_less():
    """Above MAX_TOOLTIPS rows, bars of a saved figure have only their id, and failures their
    reason. Numbers are plain lists.
    """
    gantt = gantt_of(many(MAX_TOOLTIPS + 1))
    brief = {name_of(t): t for t in gantt_plotly(gantt)["data"]}
    for name, trace in brief.items():
        own = [s for s in gantt.segments if s.kind.lower() in name]
        assert trace["y"] == [s.line for s in own]
        assert trace["ids"] == [str(s.row) for s in own]  # by which a click finds the row
        for key in ("x", "base", "y"):
            assert all(isinstance(number, (int, float)) for number in trace[key])
    assert brief["✖ failed"]["customdata"][0].endswith("ValueError: x")
    assert brief["✔ success"]["customdata"][0] == "SILVER_0000"


def test_a_saved_figure_of_many_rows_unfolds():
    """Buttons give each row a line and fold the rows again. A live figure, whose bars move, has none."""
    gantt = gantt_of(many(70))
    figure = gantt_plotly(gantt)
    (menu,) = figure["layout"]["updatemenus"]
    (back, _), (rows, axis) = (button["args"] for button in menu["buttons"])
    assert back["y"] == [trace["y"] for trace in figure["data"]]
    assert sorted(y for trace in rows["y"] for y in trace) == list(range(70))
    assert axis["yaxis.range"] == [69.5, -0.5]
    assert "updatemenus" not in gantt_plotly(gantt, live=True)["layout"]
    assert "updatemenus" not in gantt_plotly(gantt_of(many(60)))["layout"]


def test_no_button_sends_the_figure_away():
    """Plotly's button that uploads a figure, with its errors, is removed, with other useless buttons."""
    removed = gantt_plotly(gantt_of(everything()))["layout"]["modebar"]["remove"]
    assert {"sendChartToCloud", "sendDataToCloud", "lasso2d"} <= set(removed)


def test_what_goes_on_says_nothing_that_changes():
    """The tooltip of a growing bar does not change, so that it need not be sent again."""
    early, late = (
        gantt_plotly(gantt_of(everything(seconds=s)), live=True)["data"] for s in (10, 10.25)
    )
    longer = [name_of(a) for a, b in zip(early, late, strict=True) if a["x"] != b["x"]]
    assert longer == ["▶ running", "↻ retrying", "· queued"]
    assert [t["customdata"] for t in early] == [t["customdata"] for t in late]
    (running,) = [t for t in late if name_of(t) == "▶ running"]
    assert "since 5.00 s (12:00:05 UTC)" in running["customdata"][0]


def test_a_live_figure_changes_little():
    """The end of one more of 500 rows changes the last of its kind's traces, not the earlier ones."""
    rows = list(many(500).rows)
    waiting = [row(r.id, layer="Gold_1") for r in rows]
    before, after = (
        gantt_plotly(gantt_of(run(*rows[:n], *waiting[n:], seconds=60)), live=True)["data"]
        for n in (200, 201)
    )
    assert len(before) == len(after) <= 30
    changed = [b for a, b in zip(before, after, strict=True) if a["y"] != b["y"]]
    assert len([t for t in changed if name_of(t) == "✔ success"]) == 1
    assert [name_of(t) for t in after if t["showlegend"]] == ["✔ success", "✖ failed"]
    everything_told = sorted(int(i) for t in after if name_of(t) == "✔ success" for i in t["ids"])
    assert everything_told == [i for i in range(201) if rows[i].status == "SUCCESS"]


def test_the_figure_knows_its_run():
    """The figure's metadata has the run's id, with which the table below finds the figure."""
    assert gantt_plotly(gantt_of(everything()), "r-1")["layout"]["meta"] == {"run": "r-1"}


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("count", [1, MAX_TOOLTIPS + 1])
def test_plotly_takes_it(live, count):
    """Plotly itself accepts the figure."""
    graph_objects = pytest.importorskip("plotly.graph_objects")
    for snapshot in (everything(), many(count)):
        figure = gantt_plotly(gantt_of(snapshot), "run", live=live)
        assert len(graph_objects.Figure(figure).data) == len(figure["data"])


def test_markup_stays_text():
    """A <script> in an id, layer, function, error or run id is escaped."""
    evil = changed(row(EVIL, bar(1, 0, 1, "FAILED", EVIL), layer=EVIL), function=EVIL)
    snapshot = dataclasses.replace(run(evil, row(EVIL, layer="B")), project=EVIL)
    for live in (True, False):
        text = json.dumps(gantt_plotly(gantt_of(snapshot), EVIL, live=live))
        assert "<script" not in text
        assert text.count("&lt;script&gt;") >= 5
