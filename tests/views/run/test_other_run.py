"""The message about another run that holds the lock."""

from __future__ import annotations

import shlex
import threading

import pytest
from fakes import FakeProject, row

from odibi_nb.errors import RunLockedError
from odibi_nb.views.run.other_run import OtherRun


@pytest.fixture
def refusal(tmp_path):
    """Return the refusal of a second run during the first one."""
    started, go = threading.Event(), threading.Event()

    def held():
        started.set()
        assert go.wait(20)
        return [1]

    manifest = {"project": "P"}
    project = FakeProject(tmp_path, [row("A", held, outputs=[{"table": "s.a"}])], manifest)
    thread = threading.Thread(target=project.run)
    thread.start()
    assert started.wait(20)
    with pytest.raises(RunLockedError) as caught:
        project.run()
    yield caught.value
    go.set()
    thread.join()


def test_the_card_says_since_when_how_far_and_what_to_do(refusal):
    """The commands are spelled for notebook or shell, and the command that replaces the other run is the refused one."""
    spelled = "%odibi run 'x <b>' --force"
    card = OtherRun.of(refusal, lambda words: f"%odibi {shlex.join(words)}", spelled)
    for text in (str(card), card.html()):
        assert f"%odibi watch {refusal.run_id}" in text
        assert f"%odibi cancel {refusal.run_id}" in text
        assert "0 of 1 row ended, 1 running" in text
        assert "since 20" in text
    assert spelled in str(card)
    assert "<b>'" not in card.html()


def test_the_message_alone_has_the_same_remedies(refusal):
    """In Python there is no card: the exception has the run, the commands and the argument."""
    for word in (refusal.run_id, "odibi watch", "odibi cancel", "force=True"):
        assert word in str(refusal)
