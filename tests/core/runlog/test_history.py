"""Past runs, as they are read from the run log."""

from __future__ import annotations

import datetime as dt

import pytest
from fakes import MemorySink

from odibi_nb.core.runlog.history import past_runs
from odibi_nb.core.runlog.past_attempts import past_of_rows
from odibi_nb.core.runlog.run_grid import run_grid


class Log(MemorySink):
    """A log that remembers how many runs it was asked for."""

    def __init__(self, *projects):
        super().__init__()
        self.asked = []
        self.run_records = [
            {"run_id": f"{name}-{n}", "run_number": n, "project": name, "env": "qat"}
            for n, name in enumerate(projects, 1)
        ]

    def runs(self, limit):
        self.asked.append(limit)
        return super().runs(limit)


@pytest.mark.parametrize(
    ("projects", "asked"),
    [
        (["P"] * 1_000, [40]),
        (["P"] * 7, [40]),
        (["P"] * 19, [40]),
        (["P"] * 30 + ["Q"] * 300, [40, 400]),
        (["Q"] * 1_000, [40, 400]),
    ],
)
def test_no_more_runs_are_read_than_are_wanted(projects, asked):
    """A long log costs no more than a short one, unless other projects' runs are the newest."""
    log = Log(*projects)
    mine = [f"P-{n}" for n, name in enumerate(projects, 1) if name == "P"]
    assert [run["run_id"] for run in past_runs([log], 20, "P", "qat")] == mine[::-1][:20]
    assert log.asked == asked


def test_the_grid_has_the_last_attempt_of_each_row_in_each_run():
    """An older attempt, a record of another run and one without a row are left out; empty cells have no record."""
    sink = MemorySink()
    facts = dict.fromkeys(("layer", "start_time", "duration_seconds", "rows_out"))

    def record(run, name, attempt, status):
        named = {"run_id": run, "transformation_id": name, "attempt": attempt, "status": status}
        return {**facts, **named}

    runs = [{"run_id": "r2"}, {"run_id": "r1"}]
    sink.attempts = lambda ids: [
        record("r1", "A", 2, "SUCCESS"),
        record("r1", "A", 1, "FAILED"),
        record("r2", "B", None, None),
        record("r2", "B", 0, "SKIPPED"),
        record("r0", "A", 1, "FAILED"),
        record("r1", None, 1, "FAILED"),
    ]
    grid = run_grid([sink], runs, ["Bronze"])
    assert [[cell and cell.status for cell in line.cells] for line in grid.lines] == [
        ["SUCCESS", None],
        [None, "SKIPPED"],
    ]
    assert [(r["transformation_id"], r["run_id"], r["attempts"]) for r in grid.records()] == [
        ("A", "r1", 2),
        ("B", "r2", 0),
    ]


class Counted(Log):
    """A log of runs in which the row A succeeded only in one, long ago."""

    def __init__(self, count, success):
        super().__init__(*["P"] * count)
        end = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)
        for run in self.run_records:
            own = run["run_id"] == success
            self.records.append(
                {
                    "run_id": run["run_id"],
                    "transformation_id": "A",
                    "attempt": 1,
                    "status": "SUCCESS" if own else "FAILED",
                    "end_time": end,
                }
            )
        self.searched = []

    def successes(self, project, env, names):
        self.searched.append({*names})
        return super().successes(project, env, names)


def test_an_old_success_is_looked_for_in_the_whole_log():
    """If the newest runs have no success of a row, the log is asked for it; a row without any has none."""
    log = Counted(25, "P-2")
    found = past_of_rows([log], "P", "qat", ["A", "B"])
    assert found.past["A"].success["run_id"] == "P-2"
    assert found.past["A"].last["run_id"] == "P-25"
    assert found.past["B"].success is None
    assert log.searched == [{"A", "B"}]
    assert len(found.runs) == 25


def test_a_success_among_the_newest_runs_needs_no_search():
    """The log is not searched if the newest runs have a success of each row, or are all that it has."""
    log = Counted(25, "P-24")
    assert past_of_rows([log], "P", "qat", ["A"]).past["A"].success["run_id"] == "P-24"
    short = Counted(3, "none")
    assert past_of_rows([short], "P", "qat", ["A"]).past["A"].success is None
    assert log.searched == short.searched == []
