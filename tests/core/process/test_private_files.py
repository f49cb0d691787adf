"""Files of a run are readable by their owner only."""

from __future__ import annotations

import os
import stat

import pytest
from fakes import row

pytestmark = pytest.mark.skipif(os.name != "posix", reason="files have no modes here")


def open_to_others(folder):
    """Return the paths in *folder*, itself included, that other users may read or write."""
    paths = [folder, *folder.rglob("*")]
    return [str(path) for path in paths if stat.S_IMODE(path.lstat().st_mode) & 0o077]


def test_journals_logs_and_locks_are_private(project):
    """Files are 0600 and folders 0700, even if an earlier version made them readable by all users."""
    made = project(row("A", lambda: print("password=hunter2")))
    state = made.state_dir
    old = state / "runs" / "20200101-000000-abcdef"
    old.mkdir(parents=True)
    (old / "journal.jsonl").write_text("{}\n")
    for path in (old / "journal.jsonl", old, old.parent, state):
        path.chmod(0o777)
    result = made.orchestrator(save_logs=True).run()
    assert result.log_path
    assert (state / "runs" / result.run_id / "journal.jsonl").exists()
    assert open_to_others(state) == []


def test_a_folder_of_somebodys_is_left_as_it_is(project, tmp_path):
    """A state folder that was there under a name of its own keeps its rights; what we put in is private."""
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o755)
    (shared / "notes.txt").write_text("for all")
    before = stat.S_IMODE((shared / "notes.txt").stat().st_mode)
    project(row("A", lambda: None)).orchestrator(state_dir=shared).run()
    assert stat.S_IMODE(shared.stat().st_mode) == 0o755
    assert stat.S_IMODE((shared / "notes.txt").stat().st_mode) == before
    assert open_to_others(shared / "runs") == []
