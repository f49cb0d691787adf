"""The state behind the live views has every attempt and every wait, cheaply."""

from __future__ import annotations

import itertools
import threading

from fakes import row
from views.snapshots import at
from views.snapshots import bar as bar_of
from views.snapshots import row as row_of

from odibi_nb.core.model.events import Progress
from odibi_nb.core.runlog import unusual
from odibi_nb.core.running.hooks import HookManager
from odibi_nb.views.run.state import RunState, snapshot_of
from odibi_nb.views.run.table import table_html
from odibi_nb.views.status_style import RETRYING

TRY_AGAIN = {"retry": {"max_retries": 2, "base_delay": 0.01, "jitter": 0}}


def test_every_attempt_is_a_bar(project):
    """Each attempt is kept with its number, times, status and error; so does the result's snapshot."""
    tries, state = [], RunState()

    def flaky():
        tries.append(1)
        if len(tries) < 3:
            raise OSError(f"try {len(tries)}")

    result = project(row("A", flaky, constants=TRY_AGAIN)).run(views=[state])
    (seen,) = state.snapshot().rows
    assert [(b.number, b.status, b.error) for b in seen.bars] == [
        (1, "FAILED", "OSError: try 1"),
        (2, "FAILED", "OSError: try 2"),
        (3, "SUCCESS", ""),
    ]
    assert seen.bars == snapshot_of(result).rows[0].bars
    assert seen.start == seen.bars[0].start
    assert all(b.start <= b.end for b in seen.bars)


def test_progress_is_asked_for_and_ends_with_the_attempt(project):
    """The progress of an attempt is known while it runs, at every request, and not afterwards."""
    state, seen, asked = RunState(), [], []

    def measure():
        asked.append(1)
        return Progress(len(asked), 4)

    def slow(context):
        context.control.measure_progress(measure)
        for _ in range(2):
            state.update_progress()
            seen.append(state.snapshot().rows[0].bars[-1].progress)

    project(row("A", slow)).run(views=[state])
    state.update_progress()
    assert seen == [Progress(1, 4), Progress(2, 4)]
    assert len(asked) == 2
    assert state.snapshot().rows[0].bars[-1].progress is None


def test_who_cannot_tell_how_far_it_is_tells_nothing(project):
    """An engine without progress, or whose progress fails, does not disturb the run."""
    state, seen = RunState(), []

    def slow(context):
        state.update_progress()
        seen.append(state.snapshot().rows[0].bars[-1].progress)
        context.control.measure_progress(lambda: 1 / 0)
        state.update_progress()
        seen.append(state.snapshot().rows[0].bars[-1].progress)

    project(row("A", slow)).run(views=[state]).raise_for_status()
    assert seen == [None, None]


def test_waits_lie_between_attempts():
    """A wait lasts from an attempt's end to the next one's start, or till now, or till the row's end."""
    twice = row_of("A", bar_of(1, 0, 1, "FAILED"), bar_of(2, 3, 4))
    assert twice.waits(at(9)) == [(at(1), at(3))]
    waiting = row_of("A", bar_of(1, 0, 1, "FAILED"), status=RETRYING)
    assert waiting.waits(at(9)) == [(at(1), at(9))]
    cancelled = row_of("A", bar_of(1, 0, 1, "FAILED"), status="CANCELLED", end=2)
    assert cancelled.waits(at(9)) == [(at(1), at(2))]
    assert row_of("A", bar_of(1, 0, 1, "FAILED")).waits(at(9)) == []
    assert row_of("A", bar_of(1, 0)).waits(at(9)) == []


def test_a_row_waits_and_runs_before_it_ends(project):
    """Between two attempts a row is RETRYING; while one runs, its bar has no end."""
    tries, state, seen = [], RunState(), []

    def flaky():
        tries.append(1)
        seen.append(state.snapshot().rows[0])
        if len(tries) < 2:
            raise OSError("again")

    hooks = HookManager()
    hooks.register("transform_retry", lambda _: asked.set())
    asked = threading.Event()
    project(row("A", flaky, constants=TRY_AGAIN)).run(views=[state], hooks=hooks)
    assert asked.is_set()
    assert [r.status for r in seen] == ["RUNNING", "RUNNING"]
    assert [[b.end is None for b in r.bars] for r in seen] == [[True], [False, True]]


def test_a_row_that_never_started_has_no_bar(project):
    """A skipped row has no attempt, but an end and a reason, in the live state and in the result."""

    def fails():
        raise OSError("no")

    state = RunState()
    result = project(
        row("A", fails, outputs=[{"table": "t.a"}]), row("B", lambda: None, inputs=["t.a"])
    ).run(views=[state])
    for snapshot in (state.snapshot(), snapshot_of(result)):
        skipped = snapshot.rows[1]
        assert (skipped.status, skipped.bars, skipped.error) == ("SKIPPED", (), "upstream A failed")
        assert skipped.end is not None
        assert skipped.duration_seconds is None


def test_an_event_changes_one_row_only(project):
    """An event replaces only its row, in O(changes): all others are the same objects."""
    state, snapshots = RunState(), []
    hooks = HookManager()
    hooks.register("*", lambda _: snapshots.append(state.snapshot()))
    names = [f"T{i}" for i in range(30)]
    project(*(row(name, lambda: None) for name in names)).run(views=[state], hooks=hooks)
    snapshots.append(state.snapshot())
    for before, after in itertools.pairwise(snapshots):
        changed = [a.id for b, a in zip(before.rows, after.rows, strict=True) if b is not a]
        assert len(changed) <= 1


def test_an_unusual_row_says_so_while_it_runs_and_afterwards(project, monkeypatch):
    """A row far over its usual time, or far under its usual rows, has a sign and a line in the table."""
    monkeypatch.setattr(unusual, "LEAST_SECONDS", 0.0)
    usual = unusual.Usual([1e-9] * 9, [1000] * 9)
    state = RunState()
    state.usual = lambda: {"A": usual}
    state.learn_usual()
    project(
        row("A", lambda: [1], outputs=[{"table": "s.a"}]),
        row("B", list_of_one, outputs=[{"table": "s.b"}]),
    ).run(views=[state])
    a, b = state.snapshot().rows
    assert [line.split()[0] for line in a.unusual] == ["took", "wrote"]
    assert (a.sign, b.unusual, b.sign) == ("⚠", (), "")
    assert "⚠ wrote 1 row, usually 1,000" in table_html(state.snapshot())


def test_a_log_that_cannot_be_read_marks_no_row():
    """If the usual values are unknown, no row is unusual, and nothing is raised."""
    state = RunState()
    state.usual = lambda: 1 / 0
    state.learn_usual()
    assert state.snapshot().rows == ()


def list_of_one():
    return [1]
