"""One JupyterLab server and one page for all tests in a browser."""

from __future__ import annotations

import importlib.util
import os

import pytest
from browser.lab import CHROMIUM, NOT_YET_FOUND, Lab, chromium, first_page


def _missing():
    """Return the missing requirements of these tests."""
    if not CHROMIUM.exists():
        return f"no Chromium at {CHROMIUM}"
    for library in ("playwright", "jupyterlab"):
        if importlib.util.find_spec(library) is None:
            return f"{library} is not installed"
    return ""


@pytest.fixture(scope="session")
def browser():
    if missing := _missing():
        if os.environ.get("CI") == "true":
            pytest.fail(f"browser tests cannot run: {missing}")
        pytest.skip(missing)
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
def lab(browser, forked_kernels, tmp_path_factory):
    """The server. Its kernels are forks of a process with the libraries that they import."""
    environ = {"JUPYTER_PATH": forked_kernels}
    with Lab(tmp_path_factory.mktemp("lab"), environ=environ) as lab:
        yield lab


@pytest.fixture(scope="session")
def page(lab, browser):
    return first_page(lab, browser)


@pytest.fixture
def notebook(lab, page, request):
    """Open a notebook of the given cells. The page must not log an error while it is open."""
    opened = []

    def open_cells(*cells):
        name = f"{request.node.originalname}-{len(opened)}.ipynb"
        opened.append(lab.notebook(page, name, cells))
        return opened[-1]

    yield open_cells
    for one in opened:
        one.close()
    reloaded = any(one.reloaded for one in opened)
    wrong = [error for error in page.wrong if not (reloaded and NOT_YET_FOUND in error)]
    foreign = [*page.foreign]
    page.wrong.clear()
    assert (wrong, foreign) == ([], [])
