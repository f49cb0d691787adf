"""Fixtures for every test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from fakes import FakeProject
from hypothesis import settings

from odibi_nb.core.functions import REGISTRY

# What takes long on a machine that does something else as well is not wrong.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

HERE = Path(__file__).parent
LONGEST_FIRST = ("environments", "browser", "faults", "engines", "example", "notebook", "sinks")


def pytest_collection_modifyitems(config, items):
    """Where processes share the tests (``-n``), a file's are one's, and what takes longest begins.

    One process alone has the browser: two at once would tell how fast the machine is.
    """
    if not hasattr(config, "workerinput"):
        return
    folders = {item: item.path.relative_to(HERE).parts[0] for item in items}
    ranks = {folder: rank for rank, folder in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: ranks.get(folders[item], len(ranks)))
    for item in items:
        if not item.get_closest_marker("xdist_group"):
            together = "browser" if folders[item] == "browser" else str(item.path)
            item.add_marker(pytest.mark.xdist_group(together))


@pytest.fixture(autouse=True)
def _own_functions():
    """Each test starts with the functions that the package itself registers."""
    before = dict(REGISTRY._entries)
    yield
    REGISTRY._entries.clear()
    REGISTRY._entries.update(before)


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch):
    """Settings of whoever runs the tests do not reach them."""
    import os

    for name in list(os.environ):
        if name.startswith("ODIBI_") and not name.startswith("ODIBI_TEST_"):
            monkeypatch.delenv(name)


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
