"""Files of the state folder on file systems that refuse what a disk does, as mounts of object stores do.

`tests/faults/test_object_store.py` runs the example on such a mount.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from odibi_nb.core.functions.code_store import CodeStore
from odibi_nb.core.process.state_files import (
    make_folder,
    move_file,
    open_at_end,
    read_regular,
    set_aside,
)
from odibi_nb.core.runlog import journal as journals
from odibi_nb.core.runlog.journal import Journal, request_cancel, take_cancel_requests
from odibi_nb.core.runlog.run_lock import RunLock

REFUSED = OSError(errno.EOPNOTSUPP, "Operation not supported")


@pytest.fixture
def no_rename(monkeypatch):
    """A file system that renames nothing."""

    def refuse(*_):
        raise REFUSED

    monkeypatch.setattr(Path, "replace", refuse)
    monkeypatch.setattr(Path, "rename", refuse)


@pytest.fixture
def no_append(monkeypatch):
    """A file system that appends nothing."""
    real = os.open

    def refuse(path, flags, *mode, **keywords):
        if flags & os.O_APPEND:
            raise REFUSED
        return real(path, flags, *mode, **keywords)

    monkeypatch.setattr(os, "open", refuse)


@pytest.mark.parametrize("put", [os.mkfifo, os.mkdir, lambda path: path.symlink_to(path)])
def test_something_else_in_a_files_place_is_no_wait(tmp_path, put):
    """A pipe, folder or endless link in place of a file is refused at once. The store of code moves it away."""
    put(tmp_path / "journal.jsonl")
    with pytest.raises(OSError, match=r"journal\.jsonl"):
        open_at_end(tmp_path / "journal.jsonl")
    (tmp_path / "code").mkdir()
    put(tmp_path / "code" / "configurations.txt")
    store = CodeStore(tmp_path)
    store.keep_config("0" * 16, lambda: {"a": 1})
    store.flush()
    assert CodeStore(tmp_path).config("0" * 16) == {"a": 1}
    assert os.path.lexists(tmp_path / "set_aside" / "configurations.txt")


def test_a_file_is_moved_by_a_copy(tmp_path, no_rename):
    """A file that cannot be renamed is copied and removed."""
    (tmp_path / "a").write_text("new")
    (tmp_path / "b").write_text("old, and longer")
    move_file(tmp_path / "a", tmp_path / "b")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("b", "new")]
    with pytest.raises(FileNotFoundError):
        move_file(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_text() == "new"


def test_a_file_grows_without_o_append(tmp_path, no_append):
    """Writes go to the end of the file if the system refuses to append."""
    for text in (b"one", b"two"):
        opened = open_at_end(tmp_path / "a")
        os.write(opened, text)
        os.close(opened)
    assert (tmp_path / "a").read_bytes() == b"onetwo"


def test_a_run_is_kept_without_rename_and_append(tmp_path, no_rename, no_append):
    """Lock, journal, marks and requests work without both."""
    lock = RunLock(tmp_path, "P", "qat", "one")
    lock.acquire(force=False, say=print)
    journal = Journal(tmp_path / "runs" / "one", number=1)
    journal.append({"event": "run_start"})
    request_cancel(journal.folder, "B1")
    assert take_cancel_requests(journal.folder) == ["B1"]
    assert journals.open_runs(tmp_path) == [journal.folder]
    journal.close(complete=True)
    lock.release()
    assert journals.open_runs(tmp_path) == []
    assert journals.read_mark(journal.folder).number == 1
    assert [line["event"] for line in journals.read_journal(journal.folder)] == ["run_start"]


def test_a_lock_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    """The next run does not wait for a sign of life of a run that never began."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    lock = RunLock(tmp_path, "P", "qat", "one")
    with monkeypatch.context() as context, pytest.raises(OSError, match="No space"):
        context.setattr(Path, "write_bytes", full)
        lock.acquire(force=False, say=print)
    lock.release()
    assert not [*(tmp_path / "locks").glob("*.json")]


def test_a_journal_that_cannot_be_opened_leaves_nothing(tmp_path):
    """The folder of a run that cannot begin does not look like one whose process died."""
    folder = tmp_path / "runs" / "one"
    (folder / "journal.jsonl").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"):
        Journal(folder)
    assert not folder.exists()


def test_a_file_in_the_place_of_a_folder_is_set_aside(tmp_path):
    """A file with the name of a folder is moved, and an earlier file of that name is not replaced."""
    for text in ("one", "two"):
        (tmp_path / "runs").write_text(text)
        make_folder(tmp_path, tmp_path / "runs")
        assert (tmp_path / "runs").is_dir()
        (tmp_path / "runs").rmdir()
    found = {path.read_text() for path in (tmp_path / "set_aside").iterdir()}
    assert found == {"one", "two"}


def test_a_folder_in_a_file_cannot_be_made(tmp_path, no_rename):
    """If the file cannot be moved away, the error says so, and the file stays."""
    (tmp_path / "runs").write_text("mine")
    with pytest.raises(FileExistsError):
        make_folder(tmp_path, tmp_path / "runs")
    assert (tmp_path / "runs").read_text() == "mine"
    assert set_aside(tmp_path, tmp_path / "runs") == ""


def test_what_is_no_file_is_not_read(tmp_path):
    """A folder, a pipe, a missing file and a name that no file can have hold nothing."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"content")
    names = ("pipe", "missing", ".", "nul\0")
    assert [read_regular(tmp_path / name) for name in names] == [None] * 4
    assert read_regular(tmp_path / "file", 4) == b"cont"
