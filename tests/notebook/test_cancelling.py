"""The Cancel button and the word about ■: what they say, when, and how often they ask."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from views.snapshots import bar, row, run

from odibi_nb.core.events import CANCEL_SIGN
from odibi_nb.notebook.cancelling import PRESSES, CancelButton, Cancelling
from odibi_nb.notebook.environment import hears_widgets
from odibi_nb.notebook.rungs import RUNGS
from odibi_nb.views.state import RunState


def snapshot(level=0, status="running"):
    from dataclasses import replace

    return replace(run(row("A", bar(1, 0)), status=status), cancel_level=level)


@pytest.fixture
def asked():
    return []


@pytest.fixture
def button(asked):
    return CancelButton(Cancelling(lambda: asked.append(1) or True, lambda: True))


def test_the_label_says_what_the_next_press_does(button):
    """Cancel, then stop what runs, then abandon it; each with its tooltip; then there is no more to press."""
    for level, (label, tooltip) in enumerate(PRESSES):
        assert button.update(snapshot(level))
        assert (button.widget.description, button.widget.tooltip) == (label, tooltip)
    assert not button.update(snapshot(len(PRESSES)))
    assert not button.update(snapshot(0, "success"))


def test_a_double_click_asks_once(button, asked):
    """A press counts once for each label: the run is not stopped by a nervous finger."""
    button.update(snapshot())
    button.widget.click()
    button.widget.click()
    assert len(asked) == 1
    button.update(snapshot(1))
    button.widget.click()
    assert len(asked) == 2


def test_a_press_that_nobody_heard_can_be_repeated():
    """Before the run listens, a press does nothing; the next one counts."""
    answers = iter([False, True, True])
    heard = []
    button = CancelButton(
        Cancelling(lambda: heard.append(next(answers)) or heard[-1], lambda: True)
    )
    for _ in range(3):
        button.widget.click()
    assert heard == [False, True]


@pytest.mark.parametrize("ui", ["widgets", "plotly"])
def test_the_button_is_there_only_while_it_is_heard(asked, ui):
    """It appears when the front end has a subshell, and goes with the run; meanwhile ■ is named."""
    heard = []
    rung = RUNGS[ui]()
    rung.cancelling = Cancelling(lambda: True, lambda: bool(heard))
    rung.make(snapshot())
    rung.paint(snapshot())
    assert len(rung._head.children) == 1
    assert rung._summary.value.endswith("■ cancels</p>")
    heard.append(1)
    rung.paint(snapshot())
    assert rung._head.children[1].description == "Cancel"
    assert "■" not in rung._summary.value
    rung.paint(snapshot(0, "success"))
    assert len(rung._head.children) == 1


def test_without_a_way_to_cancel_nothing_is_promised():
    """Where nobody said how to end the run, there is neither button nor hint."""
    rung = RUNGS["widgets"]()
    rung.make(snapshot())
    rung.paint(snapshot())
    assert len(rung._head.children) == 1
    assert "■" not in rung._summary.value


def test_every_request_to_end_is_counted(project):
    """The state knows how often the run was asked to end, whoever asked."""
    state = RunState()
    state.on_message("WARNING", f"{CANCEL_SIGN} Cancelling: nothing new starts, 1 running")
    state.on_message("WARNING", "something else")
    assert state.snapshot().cancel_level == 1


def test_only_a_kernel_with_a_subshell_hears_widgets():
    """Older kernels, and front ends that ask for no subshell, do not hear a button while a cell runs."""

    def shell(subshells):
        manager = SimpleNamespace(list_subshell=lambda: subshells)
        return SimpleNamespace(
            kernel=SimpleNamespace(shell_channel_thread=SimpleNamespace(manager=manager))
        )

    assert hears_widgets(shell(["one"]))
    assert not hears_widgets(shell([]))
    assert not hears_widgets(SimpleNamespace(kernel=SimpleNamespace(shell_channel_thread=None)))
    assert not hears_widgets(SimpleNamespace(kernel=SimpleNamespace()))
    assert not hears_widgets(SimpleNamespace())
