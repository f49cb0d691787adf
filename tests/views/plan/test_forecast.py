"""The expected duration in the views of a plan, and the remaining time of a running one."""

from __future__ import annotations

import datetime as dt
import itertools
import re

import pytest
from plans import plan_of, planned

from odibi_nb.core.model.events import EventType, RunEvent
from odibi_nb.views.plan.forecast import duration
from odibi_nb.views.plan.plan_html import plan_html
from odibi_nb.views.plan.plan_text import plan_text
from odibi_nb.views.run.eta import Eta, rough
from odibi_nb.views.run.row_state import RowState
from odibi_nb.views.run.run_page import summary_text
from odibi_nb.views.run.state import RunSnapshot, RunState

START = dt.datetime(2026, 1, 2, 12, tzinfo=dt.timezone.utc)


def diamond(**facts):
    """Four rows on two workers; D has no history."""
    return plan_of(
        planned("A", seconds=60.0, rank=0),
        planned("B<i>", ["A"], 300.0, "Silver_1", rank=1),
        planned("C", ["A"], 30.0, "Silver_1", rank=2),
        planned("D", ["C"], None, "Gold_1", rank=3),
        **{"workers": 2, **facts},
    )


def test_the_text_of_a_plan_tells_times_path_and_makespans():
    """A plan in a terminal has each row's start and end, marks the critical path, and compares workers."""
    text = plan_text(diamond())
    assert "Expected: 7 min 00 s with 2 workers, layer by layer" in text
    assert "Without history: 1 of 4 rows, each expected to take 1 min 00 s" in text
    assert "Layer by layer, the slowest chain (7 min 00 s): A → B<i> ⇥ D (⇥ waits for all" in text
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    assert re.search(r"1 min 00 s +\+0\.00 s +\+1 min 00 s +◆ critical$", lines["A"])
    assert "◆ critical" in lines["B<i>"]
    assert "◆ critical" not in lines["C"]
    assert "1 min 00 s?" in lines["D"]
    assert "Expected duration by number of workers" in text
    assert re.match(r"1 +7 min 30 s +7 min 30 s +7 min 30 s$", lines["1"])
    assert re.match(r"2 +7 min 00 s +6 min 00 s +6 min 00 s$", lines["2"])


def test_the_html_of_a_plan_tells_the_same_escaped():
    """In a notebook a plan shows the same, with every name escaped."""
    html = plan_html(diamond(schedule="graph"))
    assert "⏱ Expected: 6 min 00 s with 2 workers, each row when its inputs exist" in html
    assert "⏱ Critical path (6 min 00 s): A → B&lt;i&gt;" in html
    assert "<i>" not in html
    assert "<summary>Expected duration by number of workers</summary>" in html
    assert html.count("◆ critical") == 2


def test_a_plan_without_history_says_so():
    """Without any past run, the views report that history is missing, and show no time."""
    plan = plan_of(planned("A", seconds=None), planned("B", seconds=None))
    for text in (plan_text(plan), plan_html(plan)):
        assert "No history yet: expected times and the critical path are known after" in text
        assert "critical</td>" not in text
        assert "by number of workers" not in text


def test_a_long_critical_path_is_shortened():
    """A critical path of many rows shows the first, the last and the number between."""
    rows = [planned("r00")] + [planned(f"r{i:02}", [f"r{i - 1:02}"]) for i in range(1, 40)]
    text = plan_text(plan_of(*rows))
    assert "r10 → … (28 more) → r39" in text


def test_rows_that_nothing_holds_back_are_named_for_the_graph_schedule():
    """With schedule graph, rows of later layers without known inputs are pointed out, in contrast to schedule layers."""
    rows = [planned("A"), planned("G", layer="Gold_1"), planned("H", ["A"], layer="Gold_1")]
    assert "name no input start at once: G; name" in plan_text(plan_of(*rows, schedule="graph"))
    assert "start at once" not in plan_text(plan_of(*rows))


@pytest.mark.parametrize(
    ("seconds", "exact", "guessed"),
    [
        (0.0, "0.00 s", "~1 s"),
        (9.994, "9.99 s", "~10 s"),
        (42.3, "42.3 s", "~40 s"),
        (59.99, "1 min 00 s", "~60 s"),
        (61, "1 min 01 s", "~60 s"),
        (200, "3 min 20 s", "~3 min"),
        (3599.7, "1 h 00 min", "~60 min"),
        (9000, "2 h 30 min", "~2.5 h"),
    ],
)
def test_durations_in_words(seconds, exact, guessed):
    """Durations are rounded to their accuracy."""
    assert (duration(seconds), rough(seconds)) == (exact, guessed)


def state(name, status="WAITING", start=None, end=None):
    """Return the state of a row, with times in seconds from the start."""
    times = {
        "start": None if start is None else START + dt.timedelta(seconds=start),
        "end": None if end is None else START + dt.timedelta(seconds=end),
    }
    return RowState(id=name, layer="x", function="f", engine="pandas", status=status, **times)


@pytest.mark.parametrize(
    ("rows", "now", "left"),
    [
        ([state("A", "RUNNING", 0), state("B<i>"), state("C"), state("D")], 10, 410),
        # A took 40 s longer than expected
        (
            [state("A", "SUCCESS", 0, 100), state("B<i>", "RUNNING", 100), state("C"), state("D")],
            110,
            350,
        ),
        # B should have ended 60 s ago: its remaining time is unknown, but not zero
        (
            [state("A", "SUCCESS", 0, 60), state("B<i>", "RUNNING", 60), state("D")],
            420,
            75,
        ),
        ([state("D", "RUNNING", 500)], 700, None),
        ([state("A", "SUCCESS", 0, 60)], 60, None),
        ([state("B<i>", "FAILED", 60, 70), state("D", "SKIPPED")], 70, None),
    ],
)
def test_the_time_left_follows_what_really_happens(rows, now, left):
    """The remaining time is the forecast's, moved by the delay of running rows. Without data it is unknown."""
    found = Eta(diamond()).seconds_left(rows, START, START + dt.timedelta(seconds=now))
    assert found == left


def test_a_late_row_that_nothing_waits_for_delays_nothing():
    """If C is slow but B ends later anyway, the remaining time counts down with B."""
    rows = [state("A", "SUCCESS", 0, 60), state("B<i>", "RUNNING", 60), state("D")]
    late = state("C", "RUNNING", 60)
    left = [
        Eta(diamond()).seconds_left([*rows, late], START, START + dt.timedelta(seconds=now))
        for now in (100, 150, 200)
    ]
    assert left == [320, 270, 220]


def test_a_retry_needs_its_time_again():
    """A row that waits for its second attempt, or runs it, is expected to take its usual time once more."""
    waits = state("B<i>", "RETRYING", 60)
    rows = [state("A", "SUCCESS", 0, 60), state("C", "SUCCESS", 60, 90), state("D")]
    left = Eta(diamond()).seconds_left([*rows, waits], START, START + dt.timedelta(seconds=350))
    assert left == 360


def test_the_estimate_never_stands_still():
    """While the row runs that all others wait for, also past its time, the number changes with the clock."""
    ended = [state("A", "SUCCESS", 0, 60), state("C", "SUCCESS", 60, 90)]
    rows = [*ended, state("B<i>", "RUNNING", 60), state("D")]
    eta = Eta(diamond())
    left = [
        eta.seconds_left(rows, START, START + dt.timedelta(seconds=now))
        for now in range(60, 600, 30)
    ]
    assert all(one != other for one, other in itertools.pairwise(left))


def test_without_history_the_pace_says_how_long():
    """If three of ten rows took 30 s, the other seven take 70 s. Before, the time is unknown."""
    eta = Eta(plan_of(*(planned(f"R{i}", seconds=None) for i in range(10))))
    rows = [state(f"R{i}", "SUCCESS", 0, 10) for i in range(3)] + [
        state(f"R{i}") for i in range(3, 10)
    ]
    assert eta.seconds_left(rows, START, START + dt.timedelta(seconds=30)) == 70
    assert eta.seconds_left(rows[1:], START, START + dt.timedelta(seconds=30)) is None
    assert eta.expected is None


def test_without_history_no_time_left_is_told():
    """A first run has no estimate, and shows none."""
    eta = Eta(plan_of(planned("A", seconds=None)))
    assert eta.seconds_left([state("A", "RUNNING", 0)], START, START) is None


def test_the_summary_line_tells_the_time_left():
    """The summary of a running run ends with the remaining time. The summary of an ended run does not."""
    running = RunSnapshot(status="running", start=START, at=START, seconds_left=41.0)
    assert summary_text(running).endswith("0.0 s, ~40 s left")
    live = RunState()
    live.on_plan(diamond())
    assert live.snapshot().seconds_left is None
    begun = {"run_id": "r", "timestamp": START}
    live.on_event(RunEvent(type=EventType.RUN_START, payload=begun))
    ended = {"status": "success", "timestamp": START, "warnings": []}
    live.on_event(RunEvent(type=EventType.RUN_END, payload=ended))
    assert live.snapshot().seconds_left is None
