"""Faults beside the transformations: listeners, sinks, the journal's disk, the clock."""

from __future__ import annotations

import datetime as dt
import itertools
import sys

import pytest
from faults.example_run import Child

from odibi_nb import HookManager
from odibi_nb.core.protocols import BaseLogSink
from odibi_nb.sinks.table import log_in_lake


@pytest.mark.parametrize("event", ["transform_start", "transform_success", "run_end", "*"])
def test_a_listener_that_raises_costs_a_warning(example, event):
    """A listener that always raises costs only one warning of the run, which names it."""
    hooks = HookManager()

    def broken(payload):
        raise ValueError("the pager is down")

    hooks.register(event, broken)
    result = example.run(hooks=hooks)
    assert result["status"] == "success"
    assert len([w for w in result.warnings if "the pager is down" in w]) == 1
    assert "broken" in result.warnings[0]
    example.check(result)


class FlakySink(BaseLogSink):
    """A sink that raises for its first *failures* batches."""

    def __init__(self, lake, failures):
        self.failures = failures
        self.sink = log_in_lake(str(lake))
        self.name, self.written, self.runs = self.sink.name, self.sink.written, self.sink.runs
        self.attempts, self.write_run = self.sink.attempts, self.sink.write_run

    def write(self, records):
        if self.failures > 0:
            self.failures -= 1
            raise OSError("the log's storage is down")
        self.sink.write(records)


def test_a_sink_that_raises_once_is_tried_again(example):
    """The sink has a batch that it first refused exactly once."""
    result = example.run(log_sink=FlakySink(example.lake, 1))
    assert result["status"] == "success"
    example.check(result)


def test_a_sink_that_always_raises_loses_nothing(example):
    """Records that a sink refused stay in the journal, with a warning, and the next run writes them."""
    result = example.run(log_sink=FlakySink(example.lake, 10**6))
    assert result["status"] == "success"
    assert "the log's storage is down" in " ".join(result.warnings)
    assert example.log(result.run_id) == []
    example.check_lake()
    example.check_next_run()
    example.check_log(result)


def test_a_full_disk_below_the_journal_stops_nothing(example):
    """If the journal's disk is full, the run ends well with a warning, and its log is complete."""
    row = example.fault("BRONZE_001", "for i in range(9000): print('x' * 99)")
    limit = (
        "import resource, signal; resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
    )
    child = Child(example, before=limit)
    run_id = child.wait_for("run_start")[1]
    assert child.end() == 0, child.errors
    assert "result success {'SUCCESS': 19}" in child.lines
    assert "the journal is incomplete" in child.lines[-1]
    assert [r["status"] for r in example.log(run_id)] == ["SUCCESS"] * 19
    example.check_lake()
    example.mend(row)
    example.check_next_run()


def test_a_clock_that_jumps_back_breaks_nothing(example, monkeypatch):
    """If the wall clock goes back an hour at every look, durations stay positive and the order right."""
    begun = dt.datetime.now(dt.timezone.utc)
    looks = itertools.count()

    def backwards():
        return begun - dt.timedelta(hours=next(looks))

    for name, module in sys.modules.items():
        if name.startswith("odibi_nb.") and hasattr(module, "utc_now"):
            monkeypatch.setattr(module, "utc_now", backwards)
    result = example.run()
    monkeypatch.undo()
    assert result["status"] == "success"
    assert all(t.duration_seconds >= 0 for t in result.transformations.values())
    assert result.duration_seconds >= 0
    assert "<svg" in result._repr_html_()
    example.check(result)
