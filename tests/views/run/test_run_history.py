"""History as a picture, and two runs side by side."""

from __future__ import annotations

import datetime as dt

import pytest
from fakes import MemorySink

from odibi_nb.core.model.log_columns import OUTCOME_NAMES, RUN_COLUMNS
from odibi_nb.core.runlog.compare_runs import COLUMNS
from odibi_nb.core.runlog.run_grid import run_grid
from odibi_nb.views.records import Records, cell_text
from odibi_nb.views.run.run_comparison import RunComparison
from odibi_nb.views.run.run_history import RunHistory
from odibi_nb.wiring import make_frame

ZERO = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.timezone.utc)
EVIL = "<script>alert('\"x')</script>"


def log(runs, outcome):
    """Return a run log: *outcome* gives (layer, status, seconds, rows) of each (run number, id) or None."""
    sink = MemorySink()
    for number, names in enumerate(runs):
        run_id = f"r{number}"
        sink.run_records.append(
            {name: None for name, _ in RUN_COLUMNS}
            | {"run_id": run_id, "status": "success", "duration_seconds": 5.0 + number}
            | {"start_time": ZERO + dt.timedelta(days=number)}
        )
        for name in names:
            layer, status, seconds, rows = outcome(number, name)
            values = run_id, name, layer, 1, status, ZERO, seconds, rows, None
            order = ("run_id", "transformation_id", "layer", "attempt", "status", "start_time")
            named = (*order, "duration_seconds", "rows_out", "error_type")
            assert set(named) == set(OUTCOME_NAMES)
            sink.records.append(dict(zip(named, values, strict=True)))
    return sink


def history(sink, limit=30):
    grid = run_grid([sink], sink.runs(limit), ["Gold_1", "Bronze"])
    return RunHistory(
        f"Runs {EVIL}", ("run_id",), sink.runs(limit), make_frame, (), grid, lambda x: f"show {x}"
    )


def steady(number, name):
    seconds = 50.0 if (number, name) == (8, "B_1") else 10.0 + number % 2
    rows = 3 if (number, name) == (9, "G_1") else 1000
    layer = "Gold_1" if name[0] == "G" else "Bronze"
    return layer, "SUCCESS", seconds, rows


def test_outliers_are_marked_against_the_runs_before():
    """A row over three times its usual time, or under a tenth of its usual rows, is marked and named."""
    view = history(log([["B_1", "G_1"]] * 10, steady))
    html, text = view._repr_html_(), str(view)
    for words in ("B_1 took 4.8 × its usual time", "G_1 wrote 3 rows, usually 1,000"):
        assert words in html
        assert words in text
    assert "(run r8)" in text
    frame = view.outcomes()
    assert frame["unusual"].notna().sum() == 2
    assert len(frame) == 20


def test_layers_are_in_the_order_of_the_manifest():
    """Layers are in the manifest's order, also Gold before Bronze, and runs from old to new."""
    view = history(log([["B_1", "G_1"]] * 3, steady))
    html = view._repr_html_()
    assert html.index(">Gold_1<") < html.index(">Bronze<")
    assert html.index("show r0") < html.index("show r2")
    assert [line.id for line in view.grid.lines] == ["G_1", "B_1"]


def test_names_from_the_registry_are_text():
    """Ids, layers and errors are text in the page."""
    sink = log([[EVIL]], lambda _run, _name: (EVIL, EVIL, 1.0, None))
    html = history(sink)._repr_html_()
    assert "<script" not in html
    assert "&lt;script&gt;" in html.replace("<wbr>", "")


def test_many_rows_are_folded_to_those_with_a_problem():
    """2,000 rows and 30 runs fit into 250 kB: rows without a problem are only counted by layer."""
    names = [f"B_{n:04}" for n in range(2_000)]
    failed = {(3, "B_0007"), (29, "B_1999")}

    def outcome(number, name):
        return "Bronze", "FAILED" if (number, name) in failed else "SUCCESS", 1.0, 5

    html = history(log([names] * 30, outcome))._repr_html_()
    assert len(html) < 250_000
    assert "1,998 rows without a problem not shown" in html
    assert "B_0007" in html
    assert "B_0008" not in html


def test_a_log_of_an_older_version_is_drawn():
    """Records without attempt, layer, duration or rows, and an unknown status, cause no error."""
    sink = log([["A"], ["A", "B"]], lambda _run, _name: (None, None, None, None))
    for record in sink.records:
        record["attempt"] = None
    assert "role=region" in history(sink)._repr_html_()
    assert history(MemorySink())._repr_html_().startswith("<p>Runs &lt;script")


def test_compare_unfolds_only_what_differs():
    """The comparison names both runs, counts and shows the differing rows, and folds the others."""
    rows = [
        dict.fromkeys(COLUMNS) | {"transformation_id": f"T{n}", "changed": ""} for n in range(9)
    ]
    rows[4]["changed"] = "rows"
    runs = tuple(
        {"run_id": name, "status": "success", "start_time": ZERO, "duration_seconds": 2.0}
        for name in ("r1", "r2<b>")
    )
    view = RunComparison("Runs of P", COLUMNS, rows, make_frame, (), runs)
    html = view._repr_html_()
    assert "1 of 9 transformations differ" in html
    assert "a = run r1" in html
    assert "r2&lt;b&gt;" in html
    assert "<b>)" not in html
    shown, hidden = html.split("<details>")
    assert ("T4" in shown, "T3" in shown, "T3" in hidden) == (True, False, True)
    assert "8 rows without a difference" in hidden
    assert (len(view), len(view.to_frame())) == (9, 9)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (float("nan"), ""),
        (ZERO, "2026-03-01 12:00:00 UTC"),
        (
            ZERO.astimezone(dt.timezone(dt.timedelta(hours=5, minutes=30))),
            "2026-03-01 17:30:00 +05:30",
        ),
        (ZERO.replace(tzinfo=None), "2026-03-01 12:00:00"),
        (1.005, "1.00"),
    ],
)
def test_times_have_their_offset_and_nothing_is_nan(value, text):
    """A table has the zone of a time, and leaves a missing value empty."""
    assert cell_text(value) == text


def test_a_status_has_a_sign_and_a_column_a_name():
    """Tables of records show a status by sign and colour. A column is a Series for computing."""
    view = Records("Runs", ("run_id", "status"), [{"run_id": "x", "status": "failed"}], make_frame)
    assert "✖ failed</span>" in view._repr_html_()
    assert view["status"].tolist() == ["failed"]
