"""Output of an attempt, read from a journal that is still being written."""

from __future__ import annotations

import pytest

from odibi_nb.core.model.events import EventType, Status
from odibi_nb.core.runlog.attempt_logs import TAIL_LINES, FollowedAttempt, newest_attempts
from odibi_nb.core.runlog.journal import OUTPUT, Journal, read_on


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path / "runs" / "r-1")
    yield journal
    journal.close(complete=True)


def starts(journal, name, attempt=1):
    event = EventType.TRANSFORM_START.value
    journal.append({"event": event, "transformation_id": name, "attempt": attempt})


def says(journal, name, *lines):
    for line in lines:
        journal.append({"event": OUTPUT, "transformation_id": name, "line": line})


def fails(journal, name, attempt=1):
    record = {"transformation_id": name, "attempt": attempt, "status": Status.FAILED.value}
    error = {"error_type": "OSError", "error_message": "gone", "start_time": None}
    journal.append(
        {
            "event": EventType.TRANSFORM_FAILURE.value,
            "transformation_id": name,
            "record": record | error,
            "log": "all of it",
            "traceback": "Traceback …",
        }
    )


def test_an_attempt_is_followed_from_its_start_to_its_end(journal):
    """Nothing before it starts; then what it has printed so far; at its end its error, log and traceback."""
    followed = FollowedAttempt(journal.folder, 'A "1"')
    assert followed.read() is None
    starts(journal, 'A "1"')
    says(journal, 'A "1"', "one", "two")
    says(journal, "B", "of another")
    running = followed.read()
    assert (running.status, running.log) == ("RUNNING", "one\ntwo")
    says(journal, 'A "1"', "three")
    assert followed.read().log == "one\ntwo\nthree"
    fails(journal, 'A "1"')
    ended = followed.read()
    assert (ended.status, ended.error, ended.log) == ("FAILED", "OSError: gone", "all of it")
    assert ended.traceback == "Traceback …"


def test_the_next_attempt_begins_anew(journal):
    """After a retry it is the new attempt that is followed, without the lines of the one before."""
    followed = FollowedAttempt(journal.folder, "A")
    starts(journal, "A")
    says(journal, "A", "once")
    fails(journal, "A")
    starts(journal, "A", 2)
    says(journal, "A", "again")
    assert (followed.read().attempt, followed.read().log) == (2, "again")


def test_of_a_talkative_attempt_the_last_lines_are_kept(journal):
    """While it runs no more than TAIL_LINES lines are in memory, the newest."""
    starts(journal, "A")
    says(journal, "A", *map(str, range(3 * TAIL_LINES)))
    log = FollowedAttempt(journal.folder, "A").read().log.splitlines()
    assert log == [str(i) for i in range(2 * TAIL_LINES, 3 * TAIL_LINES)]


def test_a_journal_is_read_on_in_whole_lines(journal):
    """However little is read at a time, every line comes once and whole; what is half written waits."""
    says(journal, "A", *("x" * length for length in (1, 99, 5)))
    path = journal.folder / "journal.jsonl"
    whole = path.read_bytes().splitlines()
    with path.open("ab") as file:
        file.write(b'{"torn')
    found, at = [], 0
    while len(found) < len(whole):
        lines, at = read_on(journal.folder, at, 7)
        assert lines
        found += lines
    assert found == whole
    assert read_on(journal.folder, at) == ([], at)


def test_without_a_journal_there_is_nothing(tmp_path):
    """A run whose journal cannot be read has no attempt to follow."""
    assert FollowedAttempt(tmp_path / "none", "A").read() is None


def test_lines_of_other_events_are_no_attempt(journal):
    """A line that names the row, and is neither output nor the start or end of an attempt, changes nothing."""
    starts(journal, "A")
    journal.append({"event": "of a later version", "transformation_id": "A"})
    says(journal, "A", "one")
    running = FollowedAttempt(journal.folder, "A").read()
    assert (running.status, running.log) == ("RUNNING", "one")
    journal.append({"event": "run_start", "project": "P", "env": "qat"})
    (attempt,) = newest_attempts(journal.folder.parent.parent, "P", "qat", "A")
    assert (attempt.status, attempt.log) == ("RUNNING", "one")
