"""Keeping the last failures, and letting go of the others."""

from __future__ import annotations

import gc
import weakref

import pytest
from fakes import row

from odibi_nb.core.failures import FAILURES, KEPT, Failure, FailureKeeper
from odibi_nb.core.postmortem import frames_of


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
