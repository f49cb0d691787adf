"""Past runs, as they are read from the run log."""

from __future__ import annotations

import pytest
from fakes import MemorySink

from odibi_nb.core.runlog.history import past_runs


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
