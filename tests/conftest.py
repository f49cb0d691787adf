"""Fixtures for every test."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from fakes import FakeProject
from hypothesis import settings
from thorough import examples

from odibi_nb.core.functions.modules import ModuleLoader
from odibi_nb.core.functions.registry import REGISTRY
from odibi_nb.core.functions.sibling_modules import ModuleSpace

pytest.register_assert_rewrite("engines")  # before a test imports what it shares with others

# What takes long on a machine that does something else as well is not wrong.
settings.register_profile("untimed", deadline=None, max_examples=examples(60))
settings.load_profile("untimed")

MINUTES = ("test_the_runtimes_versions_will_do", "test_sigkill_loses_no_finished_row")
"""Tests that take so long that they begin, and need no other of their file."""


def pytest_collection_modifyitems(items):
    """What takes minutes begins."""
    items.sort(key=lambda item: item.originalname not in MINUTES)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """``-n auto`` takes four processes at most: each may have a Spark session, and four fill the memory."""
    return min(4, os.cpu_count() or 1)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Where processes share the tests (``-n``), those of a file stay together.

    One process alone has the browser: two pages at once would tell how fast the machine is.
    """
    from xdist.scheduler import LoadScopeScheduling

    class Files(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            file, _, name = nodeid.partition("::")
            if name.partition("[")[0] in MINUTES:
                return nodeid
            return "browser" if "/browser/" in file else file

    config.option.loadscopereorder = False  # what takes minutes stays first
    return Files(config, log)


def pytest_terminal_summary(terminalreporter):
    """What the tests in other environments counted: processes that share tests show no output."""
    for report in terminalreporter.getreports("passed"):
        for name, line in report.user_properties:
            if name == "environment":
                terminalreporter.write_line(line)


@pytest.fixture(autouse=True)
def _own_functions():
    """Each test starts with the functions that the package itself registers."""
    with REGISTRY.preserved():
        yield


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    """Settings of whoever runs the tests do not reach them."""
    for name in list(os.environ):
        if name.startswith("ODIBI_") and not name.startswith("ODIBI_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _own_modules(request):
    """Projects of a test that is over are not looked through for the modules of later ones."""
    own = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if own is None:
        return
    sys.path[:] = [place for place in sys.path if not Path(place).is_relative_to(own)]
    for folders in (ModuleLoader.folders, ModuleSpace.lent):
        folders.difference_update([f for f in folders if f.is_relative_to(own)])


@pytest.fixture
def project(tmp_path):
    """Makes a project of rows on fakes: project(row(...), ..., manifest={...})."""

    def make(*rows, **keywords):
        return FakeProject(tmp_path, list(rows), **keywords)

    return make


@pytest.fixture(scope="module")
def ipython():
    """A real IPython shell; whatever it does to the process is undone."""
    from IPython.core.interactiveshell import InteractiveShell

    main = sys.modules["__main__"]
    shell = InteractiveShell.instance()
    yield shell
    shell.reset(new_session=False)
    InteractiveShell.clear_instance()
    sys.modules["__main__"] = main
