"""The Gantt chart as a model: bars, waits, layers, axis, words."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from views.snapshots import bar, everything, many, row, run

from odibi_nb.views.run.gantt import MAX_QUEUED_ROWS, gantt_of, tick_step
from odibi_nb.views.run.state import RunSnapshot
from odibi_nb.views.status_style import STATUS_STYLES, style_of


def kinds_of(gantt, name):
    number = [r.id for r in gantt.rows].index(name)
    return [(s.kind, s.start, s.end) for s in gantt.segments if s.row == number]


def test_rows_are_in_the_plans_order_grouped_by_layer():
    """The picture's rows are the table's; each layer is one band of them."""
    gantt = gantt_of(everything())
    assert [r.id for r in gantt.rows] == [r.id for r in everything().rows]
    assert [(b.layer, b.first, b.last) for b in gantt.bands] == [
        ("Bronze", 0, 1),
        ("Silver_1", 2, 9),
        ("Gold_1", 10, 10),
    ]


@pytest.mark.parametrize(
    ("name", "bars"),
    [
        ("OK", [("SUCCESS", 0, 2)]),
        ("LATE", [("QUEUED", 0, 1), ("SUCCESS", 1, 3)]),
        ("TWICE", [("FAILED", 0, 1), ("RETRYING", 1, 3), ("SUCCESS", 3, 5)]),
        ("BAD", [("QUEUED", 0, 2), ("FAILED", 2, 4)]),
        ("AGAIN", [("QUEUED", 0, 2), ("FAILED", 2, 4), ("RETRYING", 4, 10)]),
        ("STOPPED", [("QUEUED", 0, 2), ("CANCELLED", 2, 4)]),
        ("LOST", [("QUEUED", 0, 2), ("ABANDONED", 2, 4)]),
        ("BUSY", [("QUEUED", 0, 5), ("RUNNING", 5, 10)]),
        ("QUEUED", [("QUEUED", 0, 10)]),
        ("LAST", []),
    ],
)
def test_each_row_has_its_bars(name, bars):
    """Queued since its layer began, each attempt, each wait; what goes on ends now."""
    assert kinds_of(gantt_of(everything()), name) == bars


def test_a_row_that_never_started_is_marked_where_it_ended():
    """A skipped row has a small mark at the moment it was skipped, and its reason in the tooltip."""
    gantt = gantt_of(everything())
    queued, mark = kinds_of(gantt, "NEXT")
    assert queued == ("QUEUED", 0, 4)
    assert mark[0] == "SKIPPED"
    assert mark[2] == 4
    assert 0 < mark[2] - mark[1] < gantt.until * 0.02
    segment = next(s for s in gantt.segments if s.kind == "SKIPPED")
    assert gantt.tooltip(segment)[-1] == "upstream BAD failed"


def test_a_row_cancelled_between_attempts_keeps_its_wait():
    """What waited for its next attempt when the run was cancelled: attempt, wait, mark."""
    gantt = gantt_of(run(row("A", bar(1, 0, 2, "FAILED"), status="CANCELLED", end=6)))
    assert [kind for kind, _, _ in kinds_of(gantt, "A")] == ["FAILED", "RETRYING", "CANCELLED"]


def test_the_now_line_is_there_while_it_runs():
    """A run that goes on has a now-line inside its axis; one that ended has none."""
    gantt = gantt_of(everything())
    assert gantt.now == 10
    assert gantt.until > 10
    assert gantt_of(everything(status="failed")).now is None


def test_the_axis_stays_for_a_while():
    """While a run grows, its axis end changes rarely, never shrinks, and always has room."""
    ends = [gantt_of(run(row("A", bar(1, 0)), seconds=s / 4)).until for s in range(1, 2_000)]
    assert ends == sorted(ends)
    assert len(set(ends)) < 25
    assert all(end > s / 4 for s, end in enumerate(ends, 1))


@pytest.mark.parametrize("until", [0.1, 0.5, 1, 5, 9.9, 59, 61, 600, 5_000, 90_000, 900_000])
def test_the_axis_has_a_few_ticks_that_can_be_told_apart(until):
    """Between 2 and 11 ticks, none like another; from 0."""
    gantt = gantt_of(run(row("A", bar(1, 0, until)), seconds=until, status="success"))
    labels = [text for _, text in gantt.ticks()]
    assert 2 <= len(labels) <= 11
    assert len(set(labels)) == len(labels)
    assert tick_step(until) > 0


def test_a_tooltip_says_what_there_is_to_know():
    """Id, function, status with sign and attempt, times in seconds and wall time, rows, error."""
    gantt = gantt_of(everything())
    told = {(gantt.rows[s.row].id, s.kind): gantt.tooltip(s) for s in gantt.segments}
    assert told["BAD", "FAILED"] == [
        "BAD",
        "m.f",
        "✖ failed, attempt 1",
        "2.00 s to 4.00 s (12:00:02 to 12:00:04 UTC)",
        "rows in 10, out 9",
        "OSError: no",
    ]
    assert told["AGAIN", "RETRYING"][2] == "↻ retrying"


def test_a_long_error_is_shortened():
    """A tooltip holds the beginning of an error."""
    gantt = gantt_of(run(row("A", bar(1, 0, 1, "FAILED", "x" * 10_000))))
    assert len(gantt.tooltip(gantt.segments[0])[-1]) < 200


def test_the_picture_in_words():
    """The label says how many rows are how far."""
    label = gantt_of(everything()).label
    assert label.startswith("Gantt chart of P: 1 running, 3 success, 1 failed")
    assert "2 waiting" in label


def test_no_two_statuses_look_alike():
    """Signs of what can stand in one table differ; so do colours and patterns of what is drawn."""
    for one, other in itertools.combinations(STATUS_STYLES.values(), 2):
        assert one.pattern != other.pattern
        assert one.colour != other.colour
        assert one.sign != other.sign
    assert style_of("WAITING").sign == STATUS_STYLES["QUEUED"].sign


def test_with_very_many_rows_only_what_ran_is_drawn():
    """Above MAX_QUEUED_ROWS, queued bars are left out."""
    assert "QUEUED" in {s.kind for s in gantt_of(many(MAX_QUEUED_ROWS)).segments}
    assert "QUEUED" not in {s.kind for s in gantt_of(many(MAX_QUEUED_ROWS + 1)).segments}


def test_before_the_run_starts_there_is_nothing_to_draw():
    """A snapshot without a start has no bars, and still an axis."""
    gantt = gantt_of(RunSnapshot(project="P", rows=(row("A"),)))
    assert (gantt.segments, gantt.now) == ((), None)
    assert gantt.ticks()
    assert gantt_of(RunSnapshot()).bands == ()


def test_a_bar_tells_which_data_checks_were_not_kept():
    """The tooltip of an attempt names the checks that it broke, five of them at most."""
    broken = tuple(f"not_null(c{i}) warned: 1 of 4 rows" for i in range(9))
    attempt = replace(bar(1, 0, 2), checks=broken)
    gantt = gantt_of(run(row("A", attempt), status="success"))
    told = gantt.tooltip(next(segment for segment in gantt.segments if segment.bar))
    assert told[-5:] == [f"⚠ {check}" for check in broken[:5]]
