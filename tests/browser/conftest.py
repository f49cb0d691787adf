"""One JupyterLab server and one page for all tests in a browser."""

from __future__ import annotations

import importlib.util
import os

import pytest
from browser.lab import CHROMIUM, Lab, Notebook, chromium_page


def _missing():
    """What there is not, of what these tests need."""
    if not CHROMIUM.exists():
        return f"no Chromium at {CHROMIUM}"
    for library in ("playwright", "jupyterlab"):
        if importlib.util.find_spec(library) is None:
            return f"{library} is not installed"
    return ""


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    if missing := _missing():
        if os.environ.get("CI") == "true":
            pytest.fail(f"browser tests cannot run: {missing}")
        pytest.skip(missing)
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


@pytest.fixture(scope="session")
def page(lab):
    with chromium_page() as page:
        page.goto(f"{lab.url}/lab?reset")
        page.wait_for_selector(".jp-Launcher", timeout=60_000)
        yield page


@pytest.fixture
def notebook(lab, page, request):
    """Opens a notebook of the given cells; nothing may go wrong in the page while it is open."""
    opened = []

    def open_cells(*cells):
        name = f"{request.node.originalname}-{len(opened)}.ipynb"
        opened.append(Notebook(lab, page, name, cells).open())
        return opened[-1]

    yield open_cells
    for one in opened:
        one.close()
    wrong, foreign = [*page.wrong], [*page.foreign]
    page.wrong.clear()
    assert (wrong, foreign) == ([], [])
