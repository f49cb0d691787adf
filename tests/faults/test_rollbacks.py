"""A rollback killed at any point is completed by running it again, an atomic run at the next start."""

from __future__ import annotations

import multiprocessing
import random
import shutil
import signal
from pathlib import Path

import killed_rollback
import pytest
from lake_project import Lake
from real_project import registry_row
from thorough import TIMES

from odibi_nb.core.functions.registry import REGISTRY
from odibi_nb.errors import ConfigurationError

TABLES = [f"{schema}.t{n}" for schema in ("bronze", "silver") for n in range(10)]
OLD, NEW = [0, 1, 2], [0, 1, 2, 3, 4]
BOUNDARIES = [(number, after) for number in range(20) for after in (False, True)]


def moments(number, last=None):
    """Return *number* random boundaries; all of them in a thorough run."""
    boundaries = BOUNDARIES[:last]
    return boundaries if TIMES > 1 else random.sample(boundaries, number)


def rows():
    for n in range(10):
        yield registry_row(
            f"B{n}", "Bronze", "load", constants={"rows": 3}, outputs=[f"bronze.t{n}"]
        )
        yield registry_row(
            f"S{n}", "Silver_1", "double", [f"bronze.t{n}"], outputs=[f"silver.t{n}"]
        )


def old(table):
    return OLD if table.startswith("bronze") else [x * 2 for x in OLD]


@pytest.fixture(scope="module")
def templates(tmp_path_factory):
    """A project of 20 tables after one run with 3 rows, and after a second one with 5."""
    once, twice = tmp_path_factory.mktemp("once"), tmp_path_factory.mktemp("twice")
    with REGISTRY.preserved():
        Lake(once, [*rows()]).run().raise_for_status()
        shutil.copytree(once, twice, dirs_exist_ok=True)
        lake = Lake(twice, [*rows()])
        lake.run(overrides={f"B{n}": {"rows": 5} for n in range(10)}).raise_for_status()
    return once, twice


@pytest.fixture
def lake_of(templates, tmp_path):
    """Return a function that makes a copy of one of the templates."""

    def copied(number, name):
        folder = tmp_path / name
        shutil.copytree(templates[number], folder)
        return Lake(folder, [*rows()])

    return copied


def in_a_process(function, *arguments):
    """Call *function* in another process. Return its exit code."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["killed_rollback"])
    child = context.Process(target=function, args=arguments)
    child.start()
    child.join()
    return child.exitcode


def test_a_killed_rollback_converges(lake_of):
    """Killed before or after any of 20 restores, the next rollback ends with exactly the old versions."""
    for number, after in moments(2):
        lake = lake_of(1, f"{number}-{after}")
        code = in_a_process(killed_rollback.roll_back_until, str(lake.path), number, after)
        assert code == -signal.SIGKILL
        result = lake.rollback()
        assert result.status.value == "success", (number, after, result.warnings)
        for table in TABLES:
            assert lake.values(table) == old(table), (number, after, table)
            assert lake.version(table) == 2, "one restore each, never two"
        shutil.rmtree(lake.home)


def test_a_foreign_commit_between_two_tries_is_never_overwritten(lake_of):
    """Writes of others after the kill stay: their table is refused, or was restored before."""
    for number, after in moments(1):
        lake = lake_of(1, f"{number}-{after}")
        in_a_process(killed_rollback.roll_back_until, str(lake.path), number, after)
        table = random.choice(TABLES)
        was_restored = lake.values(table) == old(table)
        lake.write(table, [99])
        if was_restored:
            assert lake.rollback().status.value == "success"
        else:
            with pytest.raises(ConfigurationError, match=f"{table} was written by others since"):
                lake.rollback()
        assert 99 in lake.values(table), (number, after, table)
        shutil.rmtree(lake.home)


def test_a_killed_atomic_run_is_taken_back_at_the_next_start(lake_of):
    """After a kill before or after any write, and again in the recovery, the next run restores all tables first."""
    for number, after in moments(1, last=-1):
        lake = lake_of(0, f"{number}-{after}")
        run = killed_rollback.run_until
        assert in_a_process(run, str(lake.path), number, after) == -signal.SIGKILL
        in_a_process(run, str(lake.path), 0, True, True)  # dies in the recovery, if any is needed
        nothing = lake.run(select=["B0"], overrides={"B0": {"rows": 3}})
        assert nothing.status.value == "success"
        for table in TABLES:
            assert lake.values(table) == old(table), (number, after, table)
        shutil.rmtree(lake.home)


def test_a_table_that_no_row_declares_is_taken_back_after_a_kill(tmp_path):
    """A killed row has no record of its writes, so the recovery reads its commits from the lake's tables."""
    rows = [
        registry_row("B1", "Bronze", "load", constants={"rows": 3}, outputs=["bronze.x"]),
        registry_row("S1", "Silver_1", "killed", ["bronze.x"], outputs=["silver.x"]),
    ]
    lake = Lake(tmp_path, rows)
    assert in_a_process(killed_rollback.run_whole, str(lake.path)) == -signal.SIGKILL
    assert lake.values("bronze.nowhere_declared") == [1]
    lake.run(select=["B1"]).raise_for_status()
    assert not Path(lake.uri("bronze.nowhere_declared")).exists()
    assert "atomic: rolled back 2 tables" in lake.runs()[1]["warnings"]
