"""A run that is followed through its journal, as its own views see it."""

from __future__ import annotations

import threading

import pytest
from fakes import FakeProject, project_of_outcomes, row

from odibi_nb.core.protocols import View
from odibi_nb.core.runlog.followed_run import MOST_HELD, FollowedRun, runs_going_on
from odibi_nb.core.runlog.journal import Journal
from odibi_nb.core.runlog.past_run import find_past_run
from odibi_nb.views.run.state import RunState


class Heard(View):
    """Keeps the lines that a run prints."""

    def __init__(self):
        self.lines = []

    def on_plan(self, plan):
        pass

    def on_event(self, event):
        pass

    def on_output(self, transformation_id, line):
        self.lines.append((transformation_id, line))

    def on_message(self, level, text):
        pass


def flaky(calls=[]):  # noqa: B006  the list is the function's memory
    calls.append(1)
    if len(calls) == 1:
        raise ValueError("not yet")
    print("at last")
    return [1, 2]


def broken():
    raise KeyError("ghi")


@pytest.fixture
def project(tmp_path):
    return project_of_outcomes(tmp_path, flaky, broken)


def only_folder(project):
    return next((project.state_dir / "runs").iterdir())


def test_who_follows_a_run_sees_what_its_own_view_sees(project):
    """Rows, attempts, errors, times and output are the same, from the journal alone."""
    own, heard = RunState(), Heard()
    project.run(views=[own, heard])
    seen, other = RunState(), Heard()
    run = FollowedRun(only_folder(project))
    run.show_in(seen)
    run.show_in(other)
    assert run.follow() == "failed"
    assert seen.snapshot() == own.snapshot()
    assert other.lines == heard.lines
    assert ("S_1", "at last") in heard.lines


def test_a_run_is_seen_while_it_goes_on(tmp_path):
    """A run that goes on is found with its progress; when its rows end, the follower hears of it."""
    started, go = threading.Event(), threading.Event()

    def held():
        started.set()
        assert go.wait(20)
        return [1]

    project = FakeProject(
        tmp_path,
        [
            row("A", held, outputs=[{"table": "s.a"}]),
            row("B", list_of_one, outputs=[{"table": "s.b"}]),
        ],
    )
    thread = threading.Thread(target=lambda: project.run(max_workers=1))
    thread.start()
    assert started.wait(20)
    (found,) = runs_going_on(project.state_dir, "P", "qat")
    assert found.progress() in (
        "0 of 2 rows ended, 1 running",
        "1 of 2 rows ended, 1 running",
    )
    assert runs_going_on(project.state_dir, "Q") == []
    with pytest.raises(LookupError, match=f"is in progress; follow it: odibi watch {found.run_id}"):
        find_past_run(project.state_dir, [project.sink], "P", "qat", found.run_id)
    seen = RunState()
    run = FollowedRun(found.folder)
    run.show_in(seen)
    assert run.read()
    assert seen.snapshot().live
    go.set()
    assert run.follow() == "success"
    thread.join()
    assert seen.snapshot().status == "success"
    assert runs_going_on(project.state_dir) == []


def list_of_one():
    return [1]


def test_a_run_that_plans_has_no_rows_yet(tmp_path):
    """A run without its plan shows that it plans, and the failures of its rows are counted later."""
    folder = tmp_path / "runs" / "r"
    journal = Journal(folder, number=1, project="P", env="qat")
    (found,) = runs_going_on(tmp_path)
    assert (found.progress(), found.start) == ("it plans", None)
    rows = [{"transformation_id": name} for name in "ABC"]
    journal.append({"event": "planned", "rows": rows, "project": "P", "env": "qat"})
    record = {"transformation_id": "A", "status": "FAILED"}
    journal.append({"event": "transform_failure", "transformation_id": "A", "record": record})
    (found,) = runs_going_on(tmp_path)
    assert found.progress() == "1 of 3 rows ended, 1 failed"
    journal.close(complete=True)


def test_a_follower_can_ask_the_run_to_end(tmp_path):
    """A request reaches a run that has not ended; a run whose folder is gone takes none."""
    journal = Journal(tmp_path / "runs" / "r", number=1, project="P", env="qat")
    run = FollowedRun(journal.folder)
    assert run.cancel()
    assert journal.take_cancel_requests() == [""]
    assert not FollowedRun(tmp_path / "runs" / "gone").cancel()
    journal.append({"event": "planned", "rows": []})
    journal.append({"event": "run_end", "status": "success"})
    assert run.follow() == "success"
    assert not run.cancel()
    journal.close(complete=True)


def test_output_without_a_plan_is_shown_after_a_while(tmp_path):
    """If the line of the plan is lost, the rows of the first lines become the plan; an end without a record is left out."""
    journal = Journal(tmp_path / "runs" / "r", number=1, project="P", env="qat")
    run, heard = FollowedRun(journal.folder), Heard()
    run.show_in(heard)
    facts = {"transformation_id": "A", "project": "P", "env": "qat"}
    journal.append({"event": "transform_start", "attempt": 1, **facts})
    for number in range(MOST_HELD + 1):
        journal.append({"event": "output", "line": str(number), **facts})
    journal.append({"event": "transform_success", "attempt": 1, **facts})
    assert run.read()
    assert heard.lines[0] == ("A", "0")
    assert len(heard.lines) == MOST_HELD + 1
    journal.close(complete=True)


def test_a_follower_that_stops_leaves_the_run_alone(project):
    """To end the watching has no effect on the run, and its status is not known."""
    project.run()
    folder = only_folder(project)
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "journal.jsonl").write_bytes(b"".join(lines[:-1]))
    before = sorted(path.name for path in folder.iterdir())
    assert FollowedRun(folder).follow(lambda _seconds: True) == ""
    assert sorted(path.name for path in folder.iterdir()) == before


def test_the_run_of_a_dead_process_is_interrupted(project, monkeypatch):
    """A run whose process has died is not waited for."""
    monkeypatch.setattr("odibi_nb.core.runlog.followed_run.LIFE_SECONDS", 0)
    project.run()
    folder = only_folder(project)
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if b'"event":"run_end"' not in line]
    (folder / "journal.jsonl").write_bytes(b"".join(kept))
    assert FollowedRun(folder).follow(lambda _seconds: None) == "interrupted"


@pytest.mark.parametrize(
    "damage",
    [
        lambda lines: [x for x in lines if b'"event":"planned"' not in x],
        lambda lines: [x for x in lines if b'"event":"run_start"' not in x],
        lambda lines: [*lines[:3], b'{"event": "transform_success", "attempt"\n', *lines[3:]],
        lambda lines: [x.replace(b'"checks":[]', b'"checks":3') for x in lines],
        lambda lines: [x.replace(b'"why":""', b'"whyever":""') for x in lines],
        lambda lines: [x.replace(b'"upstream":[', b'"upstream":["S_1","G_1",3,') for x in lines],
        lambda lines: [x.replace(b'"layer":"Silver_1"', b'"layer":7') for x in lines],
    ],
    ids=["no plan", "no start", "a torn line", "checks", "an older version", "a cycle", "layers"],
)
def test_a_damaged_journal_is_followed_to_its_end(project, damage):
    """A damaged line is left out; the other rows are drawn, and the end is noticed."""
    project.run()
    folder = only_folder(project)
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "journal.jsonl").write_bytes(b"".join(damage(lines)))
    seen = RunState()
    run = FollowedRun(folder)
    run.show_in(seen)
    assert run.follow() == "failed"
    assert {r.id for r in seen.snapshot().rows} >= {"S_1", "S_2"}
