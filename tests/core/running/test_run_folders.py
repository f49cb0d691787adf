"""The folders of a run: moved, removed, or on a share that does not answer."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

import pytest
from fakes import FakeProject, row, statuses

from odibi_nb.core.runlog.journal import live_runs, request_cancel
from odibi_nb.core.running.hooks import HookManager
from odibi_nb.core.running.run_folders import Presence


class Share(type(Path())):
    """A folder on a share. While it is away, each look at it fails."""

    away = False

    def stat(self, **keywords):
        if Share.away:
            raise OSError(errno.EIO, "Input/output error")
        return super().stat(**keywords)


class Journal:
    """A journal that is there."""

    folder = Path("runs")

    def is_gone(self):
        return False


@pytest.fixture
def project(tmp_path):
    folder = Share(tmp_path / "project")
    folder.mkdir()
    (folder / "manifest.json").write_text("{}")
    yield folder
    Share.away = False


def test_a_share_that_does_not_answer_is_not_gone(project):
    """The folder is not lost while its share is away, at the start of the run or later."""
    for away_at_first in (False, True):
        Share.away = away_at_first
        presence = Presence(project, project / "manifest.json", Journal())
        Share.away = not away_at_first
        assert presence.lost() == ""


def test_a_project_that_was_moved_is_gone(project):
    """A folder that a write has created again has no manifest, so the project is lost."""
    presence = Presence(project, project / "manifest.json", Journal())
    project.rename(project.with_name("moved"))
    assert "the project's folder" in presence.lost()
    project.mkdir()
    assert "was removed or renamed during the run" in presence.lost()
    project.rmdir()
    project.with_name("moved").rename(project)
    assert presence.lost() == ""


def test_a_run_whose_folder_is_gone_can_be_cancelled(tmp_path):
    """The run says once that its project is gone. If a row does not stop, a cancel still abandons it."""
    folder, state = tmp_path / "moving", tmp_path / "state"
    hooks, abandoned = HookManager(), threading.Event()
    hooks.register("transform_cancelled", lambda _: abandoned.set())
    hooks.register("run_end", lambda _: abandoned.set())

    def fn(context):
        folder.rename(tmp_path / "elsewhere")
        while not context.cancelled:
            abandoned.wait(0.01)
        request_cancel(live_runs(state)[0])
        abandoned.wait(60)

    p = FakeProject(folder, [row("A", fn)])
    result = p.orchestrator(hooks=hooks, state_dir=state).run()
    assert statuses(result) == {"A": "ABANDONED"}
    assert result["status"] == "failed"
    gone = [text for text in result.warnings if "was removed or renamed during the run" in text]
    assert len(gone) == 1
