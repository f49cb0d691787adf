"""Fixtures for every test."""

from __future__ import annotations

import sys

import pytest
from fakes import FakeProject
from hypothesis import settings

from odibi_nb.core.functions import REGISTRY

# What takes long on a machine that does something else as well is not wrong.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


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
