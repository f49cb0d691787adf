"""Tests in other environments begin with the first test and are asked for last: see `in_background`."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from environments.in_background import InBackground

RUNS = pytest.StashKey[InBackground]()
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """Last, because they take longest; those of the browser need what the others build."""
    items.sort(key=lambda item: (_is_slow(item), _is_slow(item) and item.path.parent != HERE))


def pytest_collection_finish(session):
    """Begin with what was chosen."""
    if session.config.option.collectonly:
        return
    names = {item.callspec.params["name"] for item in session.items if item.path.parent == HERE}
    if names:
        folder = Path(tempfile.mkdtemp(prefix="odibi-environments-"))
        session.stash[RUNS] = InBackground(names, folder)


def pytest_sessionfinish(session):
    """Leave nothing running, however the session ends."""
    if RUNS in session.stash:
        session.stash[RUNS].stop()


@pytest.fixture(scope="session")
def runs(request):
    """The tests that were begun."""
    return request.session.stash[RUNS]


def _is_slow(item):
    return item.get_closest_marker("environments") is not None
