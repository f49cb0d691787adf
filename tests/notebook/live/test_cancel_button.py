"""The Cancel button and the hint about ■: their labels, when they appear, and how often they ask."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from views.snapshots import bar, row, run

from odibi_nb.core.model.events import EventType, RunEvent
from odibi_nb.notebook.environment import has_subshell
from odibi_nb.notebook.live.cancel_button import LATER, PRESSES, PROBES, CancelButton, Cancelling
from odibi_nb.notebook.live.pictures import PICTURES
from odibi_nb.views.run.state import RunState


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
    """The labels are Cancel, Stop and Abandon, each with its tooltip. Then the button is disabled."""
    button.probe.value = 1
    for level, (label, tooltip) in enumerate(PRESSES):
        assert button.update(snapshot(level))
        assert (button.widget.description, button.widget.tooltip) == (label, tooltip)
    assert not button.update(snapshot(len(PRESSES)))
    assert not button.update(snapshot(0, "success"))


def test_a_double_click_asks_once(button, asked):
    """A press counts once for each label, so that a double click does not stop the run."""
    button.update(snapshot())
    button.widget.click()
    button.widget.click()
    assert len(asked) == 1
    button.update(snapshot(1))
    button.widget.click()
    assert len(asked) == 2


def test_a_press_that_nobody_heard_can_be_repeated():
    """Before the run accepts requests, a press does nothing. The next one counts."""
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
    """The button appears when the page has answered, and disappears with the run. Until then the hint names ■."""
    picture = PICTURES[ui](None, Cancelling(lambda: True, lambda: True), None)
    picture.make(snapshot())
    picture.paint(snapshot())
    name, probe = picture._head.children
    clock = picture._summary[2]
    assert probe.layout.display == "none"
    assert "■ cancels</span>" in clock.value
    probe.value = 1  # what a page does
    picture.paint(snapshot())
    assert picture._head.children[1].description == "Cancel"
    assert "■" not in clock.value
    picture.paint(snapshot(0, "success"))
    assert picture._head.children == (name,)


def test_a_page_is_asked_often_at_first_and_seldom_later():
    """The probe plays and pauses in turn, often at first and seldom later, and only in a page where it is useful.

    A slow page that shows the first picture after a minute answers a late probe.
    """
    for worth in (True, False):
        button = CancelButton(Cancelling(lambda: True, lambda worth=worth: worth))
        seen = []
        playing = "playing" if button.probe.has_trait("playing") else "_playing"  # ipywidgets 7
        button.probe.observe(lambda change, seen=seen: seen.append(change.new), playing)
        for _ in range(3 * PROBES):
            assert not button.update(snapshot())
        later = 2 * PROBES // LATER
        assert seen == [number % 2 == 0 for number in range(PROBES + later)] * worth


def test_without_a_way_to_cancel_nothing_is_promised():
    """Without a way to end the run, the view has neither button nor hint."""
    picture = PICTURES["widgets"](None, None, None)
    picture.make(snapshot())
    picture.paint(snapshot())
    assert len(picture._head.children) == 1
    assert "■" not in "".join(part.value for part in picture._summary)


def test_every_request_to_end_is_counted():
    """The state has the level of the last request to cancel from any source, and does not derive it from messages."""
    state = RunState()
    for level in (1, 2):
        event = EventType.RUN_CANCEL_REQUESTED
        state.on_event(RunEvent(type=event, payload={"event": event.value, "level": level}))
        assert state.snapshot().cancel_level == level
    state.on_message("WARNING", "🛑 Cancelling running rows; cancel again to abandon them")
    assert state.snapshot().cancel_level == 2


def test_only_a_kernel_with_a_subshell_has_subshell():
    """Older kernels have no subshells, and some front ends use none."""

    def shell(subshells):
        manager = SimpleNamespace(list_subshell=lambda: subshells)
        return SimpleNamespace(
            kernel=SimpleNamespace(shell_channel_thread=SimpleNamespace(manager=manager))
        )

    assert has_subshell(shell(["one"]))
    assert not has_subshell(shell([]))
    assert not has_subshell(SimpleNamespace(kernel=SimpleNamespace(shell_channel_thread=None)))
    assert not has_subshell(SimpleNamespace(kernel=SimpleNamespace()))
    assert not has_subshell(SimpleNamespace())
