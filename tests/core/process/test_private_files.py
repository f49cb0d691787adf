"""Files of a run are readable by their owner only."""

from __future__ import annotations

import os
import stat

import pytest
from fakes import row

from odibi_nb.core.process.private_files import private_state

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


def test_what_cannot_be_made_private_stops_no_run(tmp_path, monkeypatch):
    """A file that belongs to another user keeps its rights, links are not followed, and an old log becomes private."""
    state = tmp_path / "project" / ".odibi"
    private_state(state)
    assert sorted(path.name for path in state.iterdir()) == ["code", "locks", "logs", "runs"]
    (state / "old.log").write_text("all can read this")
    (state / "runs" / "foreign").write_text("of another user")
    others = tmp_path / "others"
    others.write_text("elsewhere")
    (state / "runs" / "link").symlink_to(others)
    for path in (state / "old.log", state / "runs" / "foreign", state / "runs", others):
        path.chmod(0o666 if path.is_file() else 0o777)
    chmod = type(state).chmod

    def refuse(path, mode):
        if path.name == "foreign":
            raise PermissionError("Operation not permitted")
        chmod(path, mode)

    with monkeypatch.context() as patched:
        patched.setattr(type(state), "chmod", refuse)
        private_state(state)
    (state / "runs" / "link").unlink()
    assert open_to_others(state) == [str(state / "runs" / "foreign")]
    assert stat.S_IMODE(others.stat().st_mode) == 0o666
