"""One run of a project and environment at a time."""

from __future__ import annotations

import os
import threading

import pytest
from fakes import row

from odibi_nb.core.lock import run_lock
from odibi_nb.errors import ConfigurationError, RunLockedError


def test_a_second_run_is_told_who_runs(tmp_path):
    """While a run goes on, another one ends in one message that says which run, since when, and what to do."""
    with (
        run_lock(tmp_path, "P", "qat", "first"),
        pytest.raises(RunLockedError) as excinfo,
        run_lock(tmp_path, "P", "qat", "second"),
    ):
        pass
    text = str(excinfo.value)
    assert text.startswith("project 'P', env 'qat': run first (process ")
    assert str(os.getpid()) in text
    assert text.endswith("wait for it, or end it: odibi cancel first")


def test_a_lock_ends_with_its_run(tmp_path):
    """After a run, however it ended, the next one may start."""
    for error in (None, KeyError, None):
        try:
            with run_lock(tmp_path, "P", "qat", "r"):
                if error:
                    raise error
        except KeyError:
            pass


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (("日本", "qat"), ("中国", "qat")),
        (("A B", "qat"), ("A-B", "qat")),
        (("P", "a-b"), ("P", "a_b")),
        (("P", "qat"), ("P", "prod")),
        (("a", "b-c"), ("a-b", "c")),
    ],
)
def test_projects_whose_names_look_alike_do_not_wait_for_each_other(tmp_path, one, two):
    """The lock is of one project and environment, however alike names are once they are plain."""
    with run_lock(tmp_path, *one, "r1"), run_lock(tmp_path, *two, "r2"):
        pass


@pytest.mark.parametrize("name", ["a/b", "..", "x" * 300, "nul\0", "O'Brien & Co"])
def test_any_name_can_be_locked(tmp_path, name):
    """A project's or environment's name does not lead the lock out of its folder."""
    with run_lock(tmp_path, name, name, "r"):
        assert {path.parent for path in tmp_path.rglob("*.lock")} == {tmp_path / "locks"}


def test_two_runs_in_two_threads(project):
    """The second of two runs at a time is refused, and the first is not disturbed."""
    begun, done, errors = threading.Event(), threading.Event(), []

    def holds():
        begun.set()
        done.wait(10)

    p = project(row("A", holds))

    def second():
        begun.wait(10)
        try:
            p.run()
        except ConfigurationError as exc:
            errors.append(exc)
        finally:
            done.set()

    thread = threading.Thread(target=second)
    thread.start()
    result = p.run()
    thread.join()
    assert result["status"] == "success"
    assert [type(e) for e in errors] == [RunLockedError]
