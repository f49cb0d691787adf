"""The Gantt chart as a model: bars, waits, layers, axis, words."""

from __future__ import annotations

import itertools
import re
from dataclasses import replace

import pytest
from msgspec.structs import replace as changed
from views.snapshots import bar, everything, many, row, run

from odibi_nb.core.planning.forecast import Span
from odibi_nb.views.run.eta import ExpectedRun
from odibi_nb.views.run.gantt import cut_in_the_middle, gantt_of, tick_step
from odibi_nb.views.run.gantt_plotly import gantt_plotly
from odibi_nb.views.run.gantt_svg import gantt_svg
from odibi_nb.views.run.lanes import MAX_FAILED, MAX_LANES, MAX_LINES, Lanes
from odibi_nb.views.run.state import RunSnapshot
from odibi_nb.views.status_style import STATUS_STYLES, WAITS, style_of


def kinds_of(gantt, name):
    number = [r.id for r in gantt.rows].index(name)
    return [(s.kind, s.start, s.end) for s in gantt.segments if s.row == number]


def test_rows_are_in_the_plans_order_grouped_by_layer():
    """The picture's rows are the table's. Each layer is one band of them."""
    gantt = gantt_of(everything())
    assert [r.id for r in gantt.rows] == [r.id for r in everything().rows]
    assert [(b.layer, b.first, b.last) for b in gantt.bands] == [
        ("Bronze", 0, 1),
        ("Silver_1", 2, 10),
        ("Gold_1", 11, 11),
    ]


@pytest.mark.parametrize(
    ("name", "bars"),
    [
        ("OK", [("SUCCESS", 0, 2)]),
        ("LATE", [("QUEUED", 0, 1), ("SUCCESS", 1, 3)]),
        ("TWICE", [("RETRIED", 0, 1), ("RETRYING", 1, 3), ("SUCCESS", 3, 5)]),
        ("BAD", [("QUEUED", 0, 2), ("FAILED", 2, 4)]),
        ("AGAIN", [("QUEUED", 0, 2), ("RETRIED", 2, 4), ("RETRYING", 4, 10)]),
        ("STOPPED", [("QUEUED", 0, 2), ("CANCELLED", 2, 4)]),
        ("LOST", [("QUEUED", 0, 2), ("ABANDONED", 2, 4)]),
        ("BUSY", [("QUEUED", 0, 5), ("RUNNING", 5, 10)]),
        ("QUEUED", [("QUEUED", 0, 10)]),
        ("LAST", []),
    ],
)
def test_each_row_has_its_bars(name, bars):
    """A row has a bar for its queue time since its layer's start, each attempt and each wait. Open bars end now."""
    assert kinds_of(gantt_of(everything()), name) == bars


def test_a_queue_that_is_too_short_to_see_has_no_bar():
    """A row that waits for less than four pixels of 1,000 has no bar for it, also while the wait is open."""
    first = row("A", bar(1, 0, 20), status="SUCCESS")
    for wait, drawn in ((0.019, 0), (0.5, 1)):
        late = row("B", bar(1, wait, 20), status="SUCCESS")
        gantt = gantt_of(run(first, late, seconds=20, status="success"))
        assert len([one for one in gantt.segments if one.kind == "QUEUED"]) == drawn
        gantt = gantt_of(run(row("A", bar(1, 0)), row("B"), seconds=wait))
        assert len([one for one in gantt.segments if one.kind == "QUEUED"]) == drawn


def test_a_row_that_never_started_is_marked_where_it_ended():
    """A skipped row has a mark at the moment it was skipped, no bar before it, and its reason in the tooltip."""
    gantt = gantt_of(everything())
    (mark,) = kinds_of(gantt, "NEXT")
    assert mark[0] == "SKIPPED"
    assert mark[2] == 4
    assert 0 < mark[2] - mark[1] < gantt.until * 0.02
    segment = next(s for s in gantt.segments if s.kind == "SKIPPED")
    assert segment.sign == "⤼"
    assert gantt.tooltip(segment)[-1] == "upstream BAD failed"


def test_a_row_cancelled_between_attempts_keeps_its_wait():
    """A row whose next attempt was pending at the cancel has its attempt, its wait and a mark."""
    gantt = gantt_of(run(row("A", bar(1, 0, 2, "FAILED"), status="CANCELLED", end=6)))
    assert [kind for kind, _, _ in kinds_of(gantt, "A")] == ["RETRIED", "RETRYING", "CANCELLED"]


def test_the_now_line_is_there_while_it_runs():
    """A running run has a now-line inside its axis. An ended one has none."""
    gantt = gantt_of(everything())
    assert gantt.now == 10
    assert gantt.until > 10
    assert gantt_of(everything(status="failed")).now is None


def test_the_axis_stays_for_a_while():
    """During a run, the axis end changes rarely, never shrinks, and always has room."""
    ends = [gantt_of(run(row("A", bar(1, 0)), seconds=s / 4)).until for s in range(1, 2_000)]
    assert ends == sorted(ends)
    assert len(set(ends)) < 25
    assert all(end > s / 4 for s, end in enumerate(ends, 1))


@pytest.mark.parametrize("until", [0.1, 0.5, 1, 5, 9.9, 59, 61, 600, 5_000, 90_000, 900_000])
def test_the_axis_has_a_few_ticks_that_can_be_told_apart(until):
    """The axis has between 2 and 11 different ticks, from 0."""
    gantt = gantt_of(run(row("A", bar(1, 0, until)), seconds=until, status="success"))
    labels = [text for _, text in gantt.ticks()]
    assert 2 <= len(labels) <= 11
    assert len(set(labels)) == len(labels)
    assert tick_step(until) > 0


def test_a_tooltip_says_what_there_is_to_know():
    """A tooltip has id, function, status with sign and attempt, times in seconds and wall time, rows, and error."""
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
    """A tooltip has the beginning of an error."""
    gantt = gantt_of(run(row("A", bar(1, 0, 1, "FAILED", "x" * 10_000))))
    assert len(gantt.tooltip(gantt.segments[0])[-1]) < 200


def test_the_picture_in_words():
    """The label has the number of rows in each status."""
    label = gantt_of(everything()).label
    assert label.startswith("Gantt chart of P: 1 running, 3 success, 1 failed")
    assert "2 waiting" in label


def test_no_two_statuses_look_alike():
    """Signs in one table differ, and so do colours, and patterns of bars of one height."""
    for (name, one), (kind, other) in itertools.combinations(STATUS_STYLES.items(), 2):
        assert (one.pattern, name in WAITS) != (other.pattern, kind in WAITS)
        assert one.colour != other.colour
        assert one.sign != other.sign
    assert style_of("WAITING").sign == STATUS_STYLES["QUEUED"].sign


def test_many_rows_share_the_lanes_of_workers():
    """Above MAX_LINES rows, a line is a worker: its bars follow each other without overlaps."""
    gantt = gantt_of(many(MAX_LINES + 1))
    assert gantt.folded
    assert not gantt_of(many(MAX_LINES)).folded
    assert gantt.bands == ()
    for _, own in itertools.groupby(sorted(gantt.segments, key=lambda s: s.line), lambda s: s.line):
        times = sorted((s.start, s.end) for s in own)
        assert all(one[1] <= other[0] for one, other in itertools.pairwise(times))
    assert len(gantt.labels) < 25
    assert {s.kind for s in gantt.segments} == {"SUCCESS", "FAILED"}


def test_failed_rows_have_lines_of_their_own_on_top():
    """In a chart of many rows, failed ones come first with their names, at most MAX_FAILED. The others are in lanes."""
    gantt = gantt_of(many(1_000))
    on_top = [label for label in gantt.labels if label.startswith("✖")]
    assert gantt.labels[: len(on_top)] == tuple(on_top)
    assert on_top[0] == "✖ SILVER_0005"
    assert len(on_top) == MAX_FAILED
    for segment in gantt.segments:
        assert (segment.line < MAX_FAILED) <= (segment.kind == "FAILED")


def test_a_lane_says_what_it_runs():
    """The line of a busy worker has the name of its row."""
    ended = [row(f"T{i}", bar(1, i, i + 1)) for i in range(MAX_LINES)]
    busy, skipped = row("BUSY", bar(1, 61)), row("NEXT", status="SKIPPED", end=3)
    gantt = gantt_of(run(*ended, busy, skipped, row("OTHER", bar(1, 0.5, 61.5)), seconds=70))
    assert gantt.labels == ("BUSY", "worker 2", "not run")
    (mark,) = [s for s in gantt.segments if s.kind == "SKIPPED"]
    assert mark.line == 2


def test_there_are_not_too_many_lanes():
    """The chart has at most MAX_LANES lanes for any number of running rows, and every bar has one."""
    gantt = gantt_of(run(*(row(f"T{i}", bar(1, i / 100)) for i in range(500)), seconds=9))
    assert len(gantt.labels) == MAX_LANES
    assert {s.line for s in gantt.segments} == set(range(MAX_LANES))


def test_lanes_that_follow_a_run_are_those_of_its_end():
    """Lanes computed from each change equal lanes computed from the whole run."""
    rows, following, whole = many(200).rows, Lanes(), Lanes()
    moments = sorted(
        [(r.bars[0].start, i, False) for i, r in enumerate(rows)]
        + [(r.bars[0].end, i, True) for i, r in enumerate(rows)],
        key=lambda one: (one[0], not one[2]),
    )
    for _, i, ended in moments:
        going = changed(rows[i], status="RUNNING", bars=(changed(rows[i].bars[0], end=None),))
        following.update([(i, rows[i] if ended else going)])
    whole.update(enumerate(rows))
    assert following.labels() == whole.labels()
    segments = gantt_of(run(*rows, seconds=30, status="success")).segments
    assert following.placed(segments) == whole.placed(segments)


def expecting(snapshot, **seconds):
    """The snapshot of a run in which each row is expected at the start, for so many seconds."""
    spans = {name: Span(0, long, None) for name, long in seconds.items()}
    expected = ExpectedRun(seconds=seconds, spans=spans, end=max(seconds.values()))
    return replace(snapshot, expected=expected)


def test_a_sign_is_only_where_no_other_bar_covers_it():
    """A failed row on its own line has its sign at the end of its bar. One in a lane, where bars follow each other, has none."""
    gantt = gantt_of(many(37 * (MAX_FAILED + 2)))
    failed = [segment for segment in gantt.segments if segment.kind == "FAILED"]
    assert [gantt.end_sign(one) for one in failed] == ["✖"] * MAX_FAILED + [""] * 2
    assert "".join(texts_at_the_end(gantt)).count("✖") == MAX_FAILED
    whole = gantt_of(many(MAX_LINES))
    assert {whole.end_sign(one) for one in whole.segments if one.kind == "FAILED"} == {"✖"}


def texts_at_the_end(gantt):
    """The texts right of the bars of the drawing and of the figure, which are the same."""
    drawn = re.findall("<text [^>]*dx='4'[^>]*>(.)</text>", gantt_svg(gantt))
    traces = gantt_plotly(gantt)["data"]
    shown = [re.sub("<[^>]*>", "", text) for trace in traces for text in trace.get("text", ())]
    assert drawn == [text for text in shown if text]
    return drawn


def test_with_a_forecast_the_axis_stands():
    """The axis ends a tenth after the expected end from the start on, and changes only if the run takes longer."""
    snapshots = [expecting(run(row("A", bar(1, 0)), seconds=s), A=30) for s in range(40)]
    ends = [gantt_of(snapshot).until for snapshot in snapshots]
    assert ends[:33] == [33.0] * 33
    assert all(end > seconds for seconds, end in enumerate(ends))


def test_each_row_has_its_expected_place():
    """Every row with a history has a pale bar below its own bar. Skipped rows have none."""
    rows = (row("A", bar(1, 0, 2)), row("B"), row("C", status="SKIPPED", end=4), row("NEW"))
    gantt = gantt_of(expecting(run(*rows), A=3, B=5, C=7))
    assert [(s.row, s.start, s.end) for s in gantt.ghosts()] == [(0, 0, 3), (1, 0, 5)]
    assert gantt_of(run(*rows)).ghosts() == []


def test_what_takes_longer_than_usual_is_marked():
    """The part over the usual time has a kind of its own if it is at least a fifth of it and half a second."""
    rows = (row("A", bar(1, 0)), row("B", bar(1, 2, 9)), row("C", bar(1, 0, 3.3)))
    gantt = gantt_of(expecting(run(*rows, seconds=8), A=6, B=3, C=3))
    late = {
        gantt.rows[s.row].id: (s.start, s.end, s.open) for s in gantt.segments if s.kind == "LATE"
    }
    assert late == {"A": (6, 8, True), "B": (5, 9, False)}
    segment = next(s for s in gantt.segments if s.kind == "LATE")
    assert gantt.tooltip(segment) == ["A", "late: usually 6.00 s"]


def test_a_failed_row_has_its_sign_and_a_failed_attempt_none():
    """Only a row that failed finally is drawn as failed, with the sign at its end."""
    signs = {s.kind: s.sign for s in gantt_of(everything()).segments if s.bar}
    assert (signs["FAILED"], signs["RETRIED"], signs["UNCHANGED"]) == ("✖", "", "=")


def test_a_long_name_is_cut_in_its_middle():
    """A cut name keeps its beginning and its end, where names differ."""
    assert cut_in_the_middle("INGEST_PLANT_B_KILN_TEMPERATURES", 11) == "INGES…TURES"
    assert cut_in_the_middle("SILVER_001", 11) == "SILVER_001"


def test_before_the_run_starts_there_is_nothing_to_draw():
    """A snapshot without a start has an axis and no bars."""
    gantt = gantt_of(RunSnapshot(project="P", rows=(row("A"),)))
    assert (gantt.segments, gantt.now) == ((), None)
    assert gantt.ticks()
    assert gantt_of(RunSnapshot()).bands == ()


def test_a_bar_tells_which_data_checks_were_not_kept():
    """The tooltip of an attempt has its broken checks, at most five."""
    broken = tuple(f"not_null(c{i}) warned: 1 of 4 rows" for i in range(9))
    attempt = changed(bar(1, 0, 2), checks=broken)
    gantt = gantt_of(run(row("A", attempt), status="success"))
    told = gantt.tooltip(next(segment for segment in gantt.segments if segment.bar))
    assert told[-5:] == [f"⚠ {check}" for check in broken[:5]]
