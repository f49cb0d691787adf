"""Unusual facts about a row: no alarm about noise, and hardly a fault without one."""

from __future__ import annotations

import math
import random

import pytest
from fakes import FakeProject, row
from hypothesis import given, settings
from hypothesis import strategies as st
from log_records import record
from thorough import examples

from odibi_nb.core.protocols import BaseLogSink
from odibi_nb.core.runlog.unusual import LEAST_RUNS, Usual, unusual, usual_by_id, usual_now

ROWS, RUNS = 200, 50
SLOWER = (5, 8, 15)
FEWER = (20, 100, 1e9)


def replayed(seed):
    """Replay normal runs of many rows, and inject faults: (false alarms, faults found, faults).

    Durations and row counts are lognormal, each row with its own noise: its runs differ by 5 % or by 30 %.
    """
    chance = random.Random(seed)
    alarms = found = faults = 0
    for _ in range(ROWS):
        seconds, count = math.exp(chance.uniform(-1, 6)), math.exp(chance.uniform(4, 16))
        noise, count_noise = chance.uniform(0.05, 0.3), chance.uniform(0, 0.3)
        past: list[tuple[float, int]] = []
        for number in range(RUNS):
            took = seconds * math.exp(chance.gauss(0, noise))
            wrote = int(count * math.exp(chance.gauss(0, count_noise)))
            newest = past[-20:]
            usual = Usual([s for s, _ in newest], [n for _, n in newest])
            alarms += bool(unusual(usual, took, wrote))
            if number >= LEAST_RUNS and number % 10 == 9:
                slow = [(took * by, wrote) for by in SLOWER if seconds * (by - 1) > 2]
                few = [(took, int(wrote / by)) for by in FEWER]
                faults += len(slow) + len(few)
                found += sum(bool(unusual(usual, *fault)) for fault in slow + few)
            past.append((took, wrote))
    return alarms, found, faults


@pytest.mark.parametrize("seed", range(examples(1)))
def test_noise_raises_no_alarm_and_faults_are_found(seed):
    """In 50 normal runs of 200 rows there is no false alarm; of the injected faults, 95 % are found."""
    alarms, found, faults = replayed(seed)
    assert alarms == 0
    assert found >= 0.95 * faults > 0


STEADY = Usual([10.0, 11.0, 9.0, 10.5, 9.5], [1000, 1010, 990, 1000, 1005])


@pytest.mark.parametrize(
    ("usual", "seconds", "rows", "words"),
    [
        (STEADY, 42.0, 1000, ("took 4.2 × its usual time of 10.0 s",)),
        (STEADY, 29.0, 1000, ()),
        (STEADY, 10.0, 99, ("wrote 99 rows, usually 1,000",)),
        (STEADY, 10.0, 101, ()),
        (STEADY, 10.0, 0, ("wrote 0 rows, usually 1,000",)),
        (STEADY, None, None, ()),
        (None, 1e9, 0, ()),
        (Usual([10.0] * 4, [1000] * 4), 1e9, 0, ()),
        (Usual([0.01] * 9, [5] * 9), 0.9, 0, ()),
        (Usual([0.0] * 9, [0] * 9), 0.9, 0, ()),
    ],
    ids=[
        *("slow", "not slow yet", "few", "not few yet", "none", "unknown", "no history"),
        *("too little history", "too small to tell", "zeros"),
    ],
)
def test_what_is_unusual_is_said_with_the_usual(usual, seconds, rows, words):
    """A row over three times its usual time, or under a tenth of its usual rows, says so with both numbers."""
    assert unusual(usual, seconds, rows) == words


def test_a_running_row_says_so_before_it_ends():
    """The words about a row that still runs do not change with each look."""
    assert unusual(STEADY, 31.0, None, running=True) == unusual(STEADY, 60.0, None, running=True)
    assert unusual(STEADY, 31.0, None, running=True) == ("takes over 3 × its usual time of 10.0 s",)


@given(
    past=st.lists(st.sampled_from([0.0, 0.01, 0.4, 1.0, 1.5, 3.0, 10.0, 11.0, 500.0]), max_size=25),
    counts=st.lists(st.sampled_from([-1, 0, 5, 19, 20, 21, 200, 1000, 10**9]), max_size=25),
    by=st.floats(0.01, 30),
)
@settings(max_examples=examples(200), deadline=None)
def test_the_look_at_the_extremes_hides_nothing(past, counts, by):
    """A value is slow, or few, exactly if it is beyond the limit, near the limit as far from it."""
    usual = Usual(past, counts)
    for seconds in (by, *past, *(near(usual.slow_from) if math.isfinite(usual.slow_from) else ())):
        assert usual.is_slow(seconds) == (seconds > usual.slow_from)
    for rows in (int(by), *counts, *map(int, near(usual.few_below))):
        assert usual.is_few(rows) == (usual.rows is not None and rows < usual.few_below)


def near(limit):
    """The limit, with the numbers before and after it."""
    return math.nextafter(limit, 0), limit, math.nextafter(limit, math.inf), limit - 1, limit + 1


class Kept(BaseLogSink):
    """A sink that can only return its records."""

    def __init__(self, records):
        self.records = records

    def write(self, records):
        self.records += records

    def attempts(self, run_ids):
        return [one for one in self.records if one["run_id"] in run_ids]


def test_only_successes_make_the_usual():
    """Failed attempts, retries and runs of other rows do not move it. Nor does another sink's plain list of records."""
    records = [
        record("A", run_id=f"run-{number}", status=status, duration_seconds=seconds)
        for number in range(5)
        for status, seconds in [("FAILED", 99.0), ("SUCCESS", 2.0)]
    ]
    sink = Kept(records)
    assert usual_by_id(sink.measures([f"run-{n}" for n in range(5)]))["A"].seconds == pytest.approx(
        2.0
    )
    assert usual_by_id(sink.measures([f"run-{n}" for n in range(4)])) == {}


def test_the_usual_comes_from_the_run_log(tmp_path):
    """After five runs of a project, each of its rows has a usual."""
    project = FakeProject(tmp_path, [row("A", lambda: [1] * 30, outputs=[{"table": "s.a"}])])
    for _ in range(4):
        project.run()
    assert usual_now([project.sink], "P", "qat") == {}
    project.run()
    usual = usual_now([project.sink], "P", "qat")["A"]
    assert (usual.rows, usual.few_below) == (30.0, pytest.approx(2.1))
