"""The identity of a process, and what can be known of one from here."""

from __future__ import annotations

import msgspec
import pytest

from odibi_nb.core.process.process_identity import _space, current_process, is_running

ME = current_process()


@pytest.mark.skipif(not ME.space, reason="processes cannot be identified here")
@pytest.mark.parametrize("pid", [2**22 + 1, 2**70])
def test_a_number_that_no_process_has_is_of_a_process_that_ended(pid):
    """A process id that is free, or that no system gives away, belongs to a process that has ended."""
    assert is_running(msgspec.structs.replace(ME, pid=pid)) is False


@pytest.mark.skipif(not ME.space, reason="processes cannot be identified here")
@pytest.mark.parametrize(
    ("answer", "running"),
    [(None, None), (PermissionError(), None), (ProcessLookupError(), False)],
    ids=["a signal reaches it", "of another user", "no such process"],
)
def test_a_process_that_is_hidden_may_still_run(monkeypatch, answer, running):
    """If ``/proc`` does not show a process that may exist, whether it runs is unknown."""

    def kill(pid, number):
        assert number == 0
        if answer is not None:
            raise answer

    monkeypatch.setattr("os.kill", kill)
    assert is_running(msgspec.structs.replace(ME, pid=2**22 + 1)) is running


@pytest.fixture
def forgotten():
    """The name of the machine's space is looked up again, before and after the test."""
    _space.cache_clear()
    yield
    _space.cache_clear()


@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_other_systems_do_not_show_their_processes(monkeypatch, forgotten, platform):
    """A system without ``/proc`` does not tell which processes run."""
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("sys.platform", platform)
        assert current_process().space == ""
        assert is_running(current_process()) is None


def test_a_system_that_hides_its_boot_id_shows_no_processes(monkeypatch, forgotten):
    """In a container that hides ``/proc``, whether a process runs is unknown."""

    def refuse(*_, **__):
        raise PermissionError("hidden")

    with monkeypatch.context() as container:
        container.setattr("pathlib.Path.read_text", refuse)
        assert is_running(current_process()) is None
