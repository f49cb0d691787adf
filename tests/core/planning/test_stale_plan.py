"""The status of a project as records, text and table."""

from __future__ import annotations

import datetime as dt
import json

import pytest
from plans import planned

from odibi_nb.core.planning.row_freshness import Freshness, Reason, StaleCause
from odibi_nb.core.planning.stale_plan import STATUS_COLUMNS, ProjectStatus

END = dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc)


def status(verdicts, **options):
    rows = {name: planned(name) for name in verdicts}
    return ProjectStatus(project="P", env="qat", rows=rows, verdicts=verdicts, **options)


def test_a_status_has_a_record_for_each_row():
    """Each row has its state, the reason, and its last success, with the versions that it wrote."""
    outputs = json.dumps([{"table": "s.x", "version": 3}, {"table": "s.y"}])
    success = {"run_id": "r", "end_time": END, "rows_out": 7, "outputs_written": outputs}
    found = status(
        {
            "A": Freshness(success=success),
            "B": Freshness(reasons=(Reason(StaleCause.NEW, "never run"),)),
        }
    )
    one, other = found.records()
    assert tuple(one) == STATUS_COLUMNS
    assert (one["state"], one["why"], one["rows"]) == ("fresh", "", 7)
    assert (one["last_success"], one["run_id"], one["outputs"]) == (END, "r", "s.x v3, s.y")
    assert (other["state"], other["why"], other["run_id"]) == ("stale", "never run", None)
    assert found.counts() == {"fresh": 1, "stale": 1}
    assert repr(found) == "<ProjectStatus of 'P', env qat: 1 fresh, 1 stale>"


def test_a_status_is_a_frame_only_with_a_library_for_it():
    """Without a library for DataFrames, the error refers to the records; without rows, the text says so."""
    with pytest.raises(TypeError, match=r"read its records\(\)"):
        status({}).to_frame()
    assert repr(status({})) == "<ProjectStatus of 'P', env qat: no rows>"
    framed = status({"A": Freshness()}, to_frame_with=lambda columns, rows: (columns, len(rows)))
    assert framed.to_frame() == (STATUS_COLUMNS, 1)
