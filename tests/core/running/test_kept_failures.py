"""Keeping the last failures, and letting go of the others."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
from fakes import row

from odibi_nb.core.running.failure_frames import frames_of, user_trace
from odibi_nb.core.running.held_memory import held_bytes, size_text
from odibi_nb.core.running.kept_failures import FAILURES, KEPT, KEPT_BYTES, Failure, FailureKeeper


class Big:
    """Stands for a DataFrame that a failed function holds on to."""


@pytest.fixture
def keeper():
    """The process' keeper, as in a notebook; empty."""
    FAILURES.limit = KEPT
    yield FAILURES
    FAILURES.limit = 0
    FAILURES.clear()


def failing(alive):
    """A function that fails while it holds a `Big`, to which *alive* gets weak references."""

    def fn():
        big = Big()
        alive.append(weakref.ref(big))
        raise KeyError("gone") from ValueError("because")

    return fn


def living(alive):
    gc.collect()
    return sum(reference() is not None for reference in alive)


def test_a_row_that_has_ended_leaves_no_context_behind(project, no_collector):
    """A context is freed when its row has ended, without the garbage collector."""
    alive = []

    def leaves_much(context):
        context.extras["frame"] = Big()
        context.hooks.emit("half_way", {"rows": 1})
        alive.append(weakref.ref(context.extras["frame"]))

    rows = [row(name, leaves_much) for name in ("A", "B", "C")]
    project(*rows).run(max_workers=1).raise_for_status()
    assert [reference() for reference in alive] == [None, None, None]


def test_a_worker_without_a_row_keeps_nothing(project, no_collector):
    """A context is freed while other rows still run."""
    freed = threading.Event()

    def leaves_much(context):
        context.extras["frame"] = Big()
        weakref.finalize(context.extras["frame"], freed.set)

    def runs_longer():
        assert freed.wait(10)

    project(row("A", leaves_much), row("B", runs_longer)).run(max_workers=2).raise_for_status()


def test_a_run_keeps_only_its_last_failures_alive(project, keeper):
    """Of many failures only the newest keep their frames; the others keep their text."""
    alive = []
    rows = [row(f"T{i:02}", failing(alive)) for i in range(12)]
    result = project(*rows).run(max_workers=1)
    assert len(alive) == 12
    assert living(alive) == KEPT
    assert all("KeyError" in t.traceback for t in result.transformations.values())
    assert [f.transformation_id for f in keeper.newest_first()] == [
        "T11",
        "T10",
        "T09",
        "T08",
        "T07",
    ]
    names = [v.name for v in frames_of(keeper.newest_first()[0].error)[-1].variables]
    assert "big" in names


def test_a_success_lets_go(project, keeper):
    """Once a transformation has succeeded, its failure is forgotten."""
    alive, broken = [], [True]
    fail = failing(alive)
    work = project(row("T1", lambda: broken[0] and fail()))
    work.run()
    assert [f.transformation_id for f in keeper.newest_first()] == ["T1"]
    broken[0] = False
    work.run()
    assert keeper.newest_first() == []
    assert living(alive) == 0


def test_nothing_is_kept_where_nobody_looks(project):
    """Outside a notebook no failure is kept beyond its result."""
    alive = []
    result = project(row("T1", failing(alive))).run()
    assert FAILURES.newest_first() == []
    assert living(alive) == 1
    del result
    assert living(alive) == 0


def failure(name, error, env="qat"):
    return Failure(
        project="P",
        env=env,
        transformation_id=name,
        run_id="r",
        error=error,
        traceback="",
        log="",
    )


def test_the_same_id_in_another_environment_is_another_failure():
    """Failures are told apart by project, environment and id; a newer one replaces an older one."""
    keeper = FailureKeeper(limit=2)
    errors = [ValueError(i) for i in range(3)]
    keeper.keep(failure("A", errors[0]))
    keeper.keep(failure("A", errors[1], env="prod"))
    keeper.keep(failure("A", errors[2]))
    assert [f.error for f in keeper.newest_first()] == [errors[2], errors[1]]
    keeper.forget("P", "prod", "A")
    assert [f.error for f in keeper.newest_first()] == [errors[2]]


class Frame:
    """Stands for a DataFrame of that many bytes."""

    def __init__(self, size):
        self.nbytes = size

    nbytes = 0


def holding(alive, *sizes):
    """A function that fails while it holds frames of these sizes, one of them in a list and a dict."""

    def fn():
        frames = [Frame(size) for size in sizes]
        named = {"first": frames[0]}
        alive.append(weakref.ref(frames[0]))
        raise KeyError(f"gone with {len(named)}")

    return fn


def test_what_is_kept_holds_no_more_than_a_bound(project, keeper):
    """Only the newest failures that hold `KEPT_BYTES` together keep their frames; the newest one always does."""
    alive, third = [], KEPT_BYTES // 3
    rows = [row(f"T{i}", holding(alive, third, third // 3)) for i in range(4)]
    result = project(*rows).run(max_workers=1)
    assert living(alive) == 2
    assert [f.transformation_id for f in keeper.newest_first()] == ["T3", "T2"]
    assert keeper.held() == pytest.approx(third * 8 // 3, rel=0.01)
    assert result.transformations["T0"].traceback
    project(row("HUGE", holding(alive, KEPT_BYTES * 2))).run()
    assert [f.transformation_id for f in keeper.newest_first()] == ["HUGE"]
    assert living(alive) == 1


def test_the_size_of_what_an_error_holds():
    """DataFrames, arrays and text count, once each, also of the errors before; a value that cannot tell is small."""
    import numpy as np
    import pandas as pd

    class Odd:
        @property
        def nbytes(self):
            raise RuntimeError("gone")

    def fails(frame):
        odd, same, array = Odd(), frame, np.zeros(1_000)
        try:
            text = "x" * 1_000_000
            raise ValueError(len(text))
        except ValueError as exc:
            raise KeyError(repr(type(odd)), len(same), len(array)) from exc

    with pytest.raises(KeyError) as caught:
        fails(pd.DataFrame({"x": np.zeros(125_000)}))
    size = held_bytes(caught.value)
    assert 2_000_000 < size < 2_100_000
    assert size_text(size) == "about 2 MB"
    assert size_text(12) == "about 12 bytes"
    assert held_bytes(None) == 0


def test_a_failure_that_is_kept_again_keeps_its_frames(project, keeper):
    """A failure replaces the older one of its row, but it does not release itself."""
    alive = []
    project(row("A", failing(alive))).run()
    (failure,) = keeper.newest_first()
    keeper.keep(failure)
    assert keeper.newest_first() == [failure]
    assert "big" in [v.name for v in frames_of(failure.error)[-1].variables]
    assert living(alive) == 1


def test_a_debugger_of_a_failed_row_starts_in_its_function(project, keeper):
    """The traceback of a kept failure begins in this package; a debugger gets it from the function on."""
    project(row("A", failing([]))).run()
    (failure,) = keeper.newest_first()
    assert failure.error.__traceback__.tb_frame.f_code.co_filename != __file__
    assert user_trace(failure.error).tb_frame.f_code.co_name == "fn"
