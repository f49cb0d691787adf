"""The picture of a run for each front end."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from odibi_nb.errors import EngineNotAvailableError
from odibi_nb.notebook import environment
from odibi_nb.notebook.environment import MAX_PLOTLY_ROWS, can_answer, choose_ui, explain_ui


def shell(allow_stdin=True):
    """The shell of a kernel, with or without a front end that can answer."""
    parent = {"content": {"allow_stdin": allow_stdin}}
    return SimpleNamespace(kernel=SimpleNamespace(get_parent=lambda channel: parent))


TERMINAL = SimpleNamespace()
DATABRICKS = {"DATABRICKS_RUNTIME_VERSION": "17.3"}


@pytest.fixture
def plotly(monkeypatch):
    """Declare Plotly and its widget installed: serverless compute and Databricks Runtime 19 have none."""
    monkeypatch.setattr(environment, "_installed", lambda name: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr(environment, "version_of", lambda name: "6.0.1")


@pytest.mark.usefixtures("plotly")
@pytest.mark.parametrize(
    ("ipython", "rows", "environ", "ui"),
    [
        (shell(), 20, {}, "plotly"),
        (shell(), MAX_PLOTLY_ROWS, {}, "plotly"),
        (shell(), MAX_PLOTLY_ROWS + 1, {}, "widgets"),
        (shell(), 20, DATABRICKS, "widgets"),
        (shell(allow_stdin=False), 20, DATABRICKS, "widgets"),
        (shell(allow_stdin=False), 20, {}, "html"),
        (TERMINAL, 20, {}, "text"),
        (None, 20, {}, "text"),
    ],
)
def test_the_best_that_works_is_chosen(ipython, rows, environ, ui):
    """The picture is live Plotly, widgets on Databricks and for many rows, HTML without a user, else text."""
    assert choose_ui(ipython, "auto", rows, environ) == ui


@pytest.mark.usefixtures("plotly")
@pytest.mark.parametrize("ui", ["plotly", "widgets", "html", "text"])
def test_what_is_asked_for_is_taken(ui):
    """--ui forces a picture in any front end and for any number of rows."""
    assert choose_ui(shell(), ui, 5_000, DATABRICKS) == ui


def test_without_widget_libraries_there_is_html(monkeypatch):
    """Without Plotly or its widget, core widgets show the run. Without those, HTML does."""
    missing = set()
    monkeypatch.setattr(environment, "_installed", lambda name: name not in missing)
    monkeypatch.setattr(environment, "version_of", lambda name: "6.0.1")
    for library, ui in (("anywidget", "widgets"), ("plotly", "widgets"), ("ipywidgets", "html")):
        missing.add(library)
        assert choose_ui(shell(), "auto") == ui


def test_plotly_5_has_its_own_widget(monkeypatch):
    """Before Plotly 6, its live figure needs no anywidget."""
    monkeypatch.setattr(environment, "_installed", lambda name: name != "anywidget")
    monkeypatch.setattr(environment, "version_of", lambda name: "5.24.1")
    assert choose_ui(shell(), "auto") == "plotly"


def test_a_picture_that_is_not_installed_is_refused(monkeypatch):
    """--ui plotly without its libraries names the package to install."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineNotAvailableError, match=r"odibi-nb\[notebook\]"):
        choose_ui(shell(), "widgets")


def test_a_kernel_that_does_not_say_can_be_asked():
    """A front end that does not declare if it can answer counts as one that can."""
    assert can_answer(SimpleNamespace(kernel=SimpleNamespace()))


def test_each_choice_has_its_reason(monkeypatch, plotly):
    """The reason for a picture has the requested one, the front end, the number of rows and the missing library."""
    why = [
        explain_ui(*given)[1]
        for given in (
            (shell(), "html"),
            (TERMINAL, "auto"),
            (shell(allow_stdin=False), "auto"),
            (shell(), "auto", 0, DATABRICKS),
            (shell(), "auto", 501, {}),
            (shell(), "auto", 0, {}),
        )
    ]
    parts = "asked for", "a terminal", "no front end", "Databricks", "500 rows", "with ipywidgets "
    assert all(part in text for part, text in zip(parts, why, strict=True))
    monkeypatch.setattr(environment, "_installed", lambda name: name != "anywidget")
    monkeypatch.setattr(environment, "version_of", lambda name: "6.0.1")
    assert explain_ui(shell(), "auto")[1] == "anywidget is not installed"
