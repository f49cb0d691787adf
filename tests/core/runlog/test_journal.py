"""The journal of a run: what a full disk, a slow share or another program in its folder does to it."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import filelock
import msgspec
import pytest

from odibi_nb.core.process.process_identity import current_process
from odibi_nb.core.runlog import journal as journals
from odibi_nb.core.runlog.journal import (
    Journal,
    Mark,
    any_open_run,
    live_runs,
    mark_complete,
    open_runs,
    read_counted,
    read_journal,
    read_mark,
    read_on,
    set_run_aside,
    taken_over,
)
from odibi_nb.core.runlog.lock_owner import this_process, write_owner

LINE = {"event": "run_start", "project": "P", "timestamp": None, "layers": []}
NO_SPACE = OSError(errno.ENOSPC, "No space left on device")


def refuse(error):
    def raises(*_, **__):
        raise error

    return raises


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "runs" / "r"


def test_a_full_disk_costs_a_run_its_mark_only(folder, monkeypatch):
    """A run whose mark finds no space is still open, because a full disk takes an empty file."""
    with monkeypatch.context() as full:
        full.setattr(Path, "write_bytes", refuse(NO_SPACE))
        journal = Journal(folder, number=7)
    journal.append(LINE)
    assert read_mark(folder) == Mark()
    assert open_runs(folder.parent.parent) == [folder]
    journal.close(complete=True)
    assert read_journal(folder) == [LINE]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device here is always full")
def test_a_journal_on_a_full_disk_stops_no_run(folder):
    """Lines that find no space are lost; the first error is stored, and names the file."""
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").symlink_to("/dev/full")
    journal = Journal(folder)
    for _ in range(2):
        journal.append(LINE)
        journal.sync()
    assert journal.error == f"{folder / 'journal.jsonl'}: No space left on device"
    journal.close(complete=False)


def test_held_lines_are_written_in_their_order_with_the_next_write(folder):
    """A line that waits is in the file before a later one, after `flush`, `sync` and `close`, or if many wait."""
    journal, lines = Journal(folder), [LINE | {"number": number} for number in range(7)]
    journal.hold(lines[0])
    assert read_journal(folder) == []
    journal.append(lines[1])
    assert read_journal(folder) == lines[:2]
    for number, write in ((2, journal.flush), (3, journal.sync)):
        journal.hold(lines[number])
        write()
        assert read_journal(folder) == lines[: number + 1]
    long = LINE | {"line": "x" * 70_000}
    journal.hold(lines[4])
    journal.hold(long)
    assert read_journal(folder) == [*lines[:5], long]
    journal.hold(lines[5])
    journal.close(complete=True)
    assert read_journal(folder) == [*lines[:5], long, lines[5]]


def test_a_line_after_a_torn_one_is_whole(folder, monkeypatch):
    """If a line is written in part, the next one begins on a line of its own."""
    journal, write = Journal(folder), os.write
    with monkeypatch.context() as full:
        full.setattr(os, "write", lambda file, data: write(file, data[:10]))
        journal.append(LINE)
    journal.append(LINE)
    journal.append(LINE)
    journal.close(complete=True)
    assert read_counted(folder) == ([LINE, LINE], 1)


def test_a_share_that_does_not_answer_is_not_gone(folder, monkeypatch):
    """A run's folder is gone if it was removed, and not if its file system does not answer for a while."""
    journal = Journal(folder)
    with monkeypatch.context() as share:
        share.setattr(Path, "stat", refuse(OSError(errno.ESTALE, "Stale file handle")))
        assert not journal.is_gone()
    assert journal.take_cancel_requests() == []
    folder.rename(folder.with_name("elsewhere"))
    assert not journal.is_gone()  # the listing before answers once
    assert journal.is_gone()
    assert journal.take_cancel_requests() == []
    journal.close(complete=False)


def test_a_line_that_is_too_long_is_counted_and_skipped(folder, monkeypatch):
    """A line longer than any that odibi writes is read in pieces, and the lines around it are kept."""
    monkeypatch.setattr(journals, "MOST_LINE", 100)
    folder.mkdir(parents=True)
    line = msgspec.json.encode(LINE) + b"\n"
    (folder / "journal.jsonl").write_bytes(line + b"x" * 450 + b"\n" + line + b"y" * 300)
    assert read_counted(folder) == ([LINE, LINE], 2)


@pytest.mark.parametrize("made", [True, False])
def test_a_journal_that_is_no_file_has_no_lines(folder, made):
    """A folder in the place of the journal, or none, has no lines to read on."""
    if made:
        (folder / "journal.jsonl").mkdir(parents=True)
    assert read_on(folder, 5) == ([], 5)
    assert read_counted(folder) == ([], 0)


def test_a_growing_journal_is_read_in_whole_lines(folder):
    """A reader gets whole lines only, a long line at once, and goes on behind the last one."""
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").write_bytes(b"one\n" + b"t" * 20 + b"\nthree")
    lines, start = read_on(folder, 0, most=8)
    assert lines == [b"one", b"t" * 20]
    assert read_on(folder, start) == ([], start)


# Runs whose process cannot be seen


ELSEWHERE = msgspec.structs.replace(current_process(), host="elsewhere")


def left(folder, **facts):
    folder.mkdir(parents=True)
    mark = msgspec.json.encode(Mark(process=ELSEWHERE, **facts))
    (folder / "incomplete").write_bytes(mark)
    return folder


def test_a_run_of_another_machine_lives_while_its_lock_is_held(folder):
    """The lock decides whether a run lives whose process cannot be seen from here."""
    left(folder)
    with filelock.FileLock(str(folder / "owner.lock")):
        assert live_runs(folder.parent.parent) == [folder]
    assert live_runs(folder.parent.parent) == []


def test_a_run_that_was_left_is_taken_over_although_its_lock_is_held(folder):
    """A forked child may hold the lock of a run that has ended, and does not keep it alive."""
    left(folder, left=True)
    with filelock.FileLock(str(folder / "owner.lock")), taken_over(folder) as dead:
        assert dead


def test_a_folder_in_the_place_of_the_lock_is_held_by_nobody(folder):
    """No process can hold a folder, so the run of another machine counts as dead."""
    (left(folder) / "owner.lock").mkdir()
    with taken_over(folder) as dead:
        assert dead


def test_without_locks_the_owners_file_decides(folder, monkeypatch):
    """If the system locks no files, a run of another machine lives while an owner's file names it."""
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", refuse(OSError(errno.ENOLCK, "No locks available")))
    left(folder)
    state = folder.parent.parent
    assert live_runs(state) == []
    (state / "locks").mkdir()
    write_owner(state / "locks" / "p.json", this_process(folder.name, locked=False))
    assert live_runs(state) == [folder]


def test_runs_of_older_versions_have_no_marks(folder):
    """The run of an older version is open while it has the file of a lock, and complete once it is marked."""
    state = folder.parent.parent
    folder.mkdir(parents=True)
    (folder / "owner.lock").touch()
    assert any_open_run(state)
    with taken_over(folder) as dead:
        assert dead
    assert open_runs(state) == [folder]
    mark_complete(folder)
    assert not any_open_run(state)
    (folder / "complete").write_bytes(b"torn {")
    assert read_mark(folder) == Mark()
    assert set_run_aside(folder) == str(state / "set_aside" / "r")
    assert set_run_aside(folder) == ""
