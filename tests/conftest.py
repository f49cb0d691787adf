"""Fixtures for every test."""

from __future__ import annotations

import gc
import os
import sys
from pathlib import Path

import pytest
from fakes import FakeProject
from hypothesis import settings
from thorough import examples
from warm_kernels import waiting_process

from odibi_nb.core.functions.modules import ModuleLoader
from odibi_nb.core.functions.registry import REGISTRY
from odibi_nb.core.functions.sibling_modules import ModuleSpace

pytest.register_assert_rewrite("engines")  # before a test imports what it shares with others

# What takes long on a machine that does something else as well is not wrong.
settings.register_profile("untimed", deadline=None, max_examples=examples(40))
settings.load_profile("untimed")

MINUTES = ("test_the_runtimes_versions_will_do", "test_sigkill_loses_no_finished_row")
"""Tests that take so long that they need no other of their file beside them."""
JVM_FILES = ("test_jvm.py", "test_runs.py", "test_session.py")
CATALOG_FILES = ("engines/spark/", "commands/test_lake_registry.py")
CONNECT_FILES = ("test_connect.py", "test_guarded_catalog.py")
NO_JVM = ("test_connect.py", "test_query.py", "test_rehearsal.py", "test_sail.py")
LAKES = (
    *("core/model/test_checks.py", "core/model/test_reserved_places.py"),
    *("core/functions/test_spark_limits.py", "core/running/test_failure_frames.py"),
    *("core/running/test_failure_place.py", "core/running/test_kept_failures.py"),
    *("core/running/test_orchestrator.py", "core/runlog/test_compare_runs.py"),
    *("tests/test_retries.py", "tests/test_rollback.py"),
    *("tests/test_atomic_runs.py", "tests/test_stale_runs.py"),
)
"""Tests of the core with real tables: only their process need import pandas and the like."""
LONG = (
    *("tests/faults/test_adversarial_texts.py", "tests/core/running/test_coordinator.py"),
    "tests/core/runlog/test_recovery.py",
)
FIRST = ("jvm", "browser", "minutes", "catalog", "connect", "lakes", *LONG)
"""Groups of tests that begin, the longest first: the run must not wait for one of them in the end.

The other half of the JVM's tests comes later: beside two JVMs a browser's page answers late.
"""


def group_of(nodeid):
    """Return the group of a test: tests of a group share costly resources, and run in one process.

    Spark's JVM takes 20 s of a processor until it is as quick as it gets, and each switch to another kind of
    session costs seconds. Two pages of a browser at once would tell how fast the machine is. All other
    tests stay with their file.
    """
    file, _, name = nodeid.partition("::")
    test, _, values = name.partition("[")
    kinds = set() if "/core/" in file else set(values.rstrip("]").split("-"))
    if test in MINUTES:
        return "minutes"
    if "/browser/" in file:
        return "browser"
    if file.endswith(CONNECT_FILES) or "connect" in kinds:
        return "connect"
    if "engines/spark/" in file and file.endswith(JVM_FILES):
        return "jvm"
    if file.endswith(LAKES):
        return "lakes"
    spark = any(part in file for part in CATALOG_FILES) and not file.endswith(NO_JVM)
    return "catalog" if spark or "classic" in kinds else file


IN_MEMORY = Path("/dev/shm")
ENOUGH = 6_000_000_000


def pytest_configure():
    """Put the tests' folders into memory if it has enough room, because thousands of runs wait for a disk."""
    if hasattr(os, "statvfs") and IN_MEMORY.is_dir():
        there = os.statvfs(IN_MEMORY)
        if there.f_bavail * there.f_frsize > ENOUGH and not there.f_flag & os.ST_NOEXEC:
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(IN_MEMORY))


def _begins(item):
    """Return a test's place in the order: long groups begin, and tests that end a JVM end their group."""
    group = group_of(item.nodeid)
    place = FIRST.index(group) if group in FIRST else len(FIRST)
    return place, "spark/test_session.py" in item.nodeid


def pytest_collection_modifyitems(items):
    """Run the tests that take minutes first."""
    items.sort(key=_begins)


def pytest_collection_finish():
    """Keep loaded objects away from the garbage collector and from IPython's reset."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """``-n auto`` takes one process more than there are processors: a third of the time a test waits.

    It waits for a browser, another process or a time-out. Four processes at most: they fill the memory.
    """
    return min(4, 1 + (os.cpu_count() or 1))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """With ``-n``, keep the tests of a group in one process: see `group_of`."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid):
            group = group_of(nodeid)
            return nodeid if group == "minutes" else group

    config.option.loadscopereorder = False  # what takes minutes stays first
    return Groups(config, log)


def pytest_terminal_summary(terminalreporter):
    """Print the counts of the tests in other environments: processes that share tests show no output."""
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
    """Keep the user's own settings away from the tests."""
    for name in list(os.environ):
        if name.startswith("ODIBI_") and not name.startswith("ODIBI_TEST_"):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _own_modules(tmp_path_factory):
    """Do not search projects of an earlier test for modules of later ones."""
    temporary, path = str(tmp_path_factory.getbasetemp()), set(sys.path)
    known = [(folders, set(folders)) for folders in (ModuleLoader.folders, ModuleSpace.lent)]
    yield
    sys.path[:] = [p for p in sys.path if p in path or not str(p).startswith(temporary)]
    for place in [p for p in sys.path_importer_cache.copy() if str(p).startswith(temporary)]:
        sys.path_importer_cache.pop(place, None)
    for folders, before in known:
        added = folders - before
        folders.difference_update({f for f in added if f.is_relative_to(temporary)})


@pytest.fixture
def no_collector():
    """No garbage collector: objects are freed only when nothing refers to them, and no callback of it runs."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture
def clean_modules():
    """Forgets the modules of a stale project, and its places on ``sys.path``."""
    from stale_project import forget_modules

    path = list(sys.path)
    yield
    sys.path[:] = path
    forget_modules()


@pytest.fixture
def project(tmp_path):
    """Makes a project of rows on fakes: project(row(...), ..., manifest={...})."""

    def make(*rows, **keywords):
        return FakeProject(tmp_path, list(rows), **keywords)

    return make


@pytest.fixture(scope="module")
def ipython():
    """A real IPython shell. All its effects on the process are undone."""
    from IPython.core.interactiveshell import InteractiveShell

    main = sys.modules["__main__"]
    shell = InteractiveShell.instance()
    yield shell
    shell.reset(new_session=False)
    InteractiveShell.clear_instance()
    sys.modules["__main__"] = main


@pytest.fixture(scope="session")
def forked_kernels(tmp_path_factory):
    """The ``JUPYTER_PATH`` of kernels that have other people's libraries from their first moment."""
    with waiting_process(tmp_path_factory.mktemp("kernels")) as path:
        yield path


@pytest.fixture
def warm_kernels(forked_kernels, monkeypatch):
    """The test's kernels are new processes, but need not import pandas and the like."""
    monkeypatch.setenv("JUPYTER_PATH", forked_kernels)
