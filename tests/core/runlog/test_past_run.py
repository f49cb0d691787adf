"""Past runs: read back from the journal or the run log, with what is left of them."""

from __future__ import annotations

import json

import pytest
from fakes import project_of_outcomes
from hypothesis import given, settings
from hypothesis import strategies as st
from thorough import examples

from odibi_nb.core.model.log_columns import RECORD_COLUMNS, RUN_COLUMNS
from odibi_nb.core.runlog.past_run import PastRun, find_past_run, past_run_in, result_of
from odibi_nb.views.run.bundles import result_bundle
from odibi_nb.views.run.state import snapshot_of

WHERE = ("P", "qat")
FACTS = ("status", "attempts", "rows_in", "rows_out", "reason", "layer", "function", "log")


def flaky(calls=[]):  # noqa: B006  the list is the function's memory
    calls.append(1)
    print("try", len(calls))
    if len(calls) == 1:
        raise ValueError("not yet")
    return [1, 2]


def broken():
    print("a word before the end")
    raise KeyError("ghi")


@pytest.fixture
def project(tmp_path):
    return project_of_outcomes(tmp_path, flaky, broken)


def facts(result):
    return {
        name: [getattr(t, fact) for fact in FACTS] for name, t in result.transformations.items()
    }


def test_a_past_run_has_what_its_result_had(project):
    """Statuses, attempts, rows, reasons, logs, tracebacks and the order come back from the journal."""
    result = project.run()
    past = result_of(find_past_run(project.state_dir, [project.sink], *WHERE))
    assert facts(past) == facts(result)
    assert list(past.transformations) == list(result.transformations)
    assert "KeyError" in past.transformations["S_2"].traceback
    for name in ("run_id", "status", "layers_executed", "duration_seconds", "warnings"):
        assert getattr(past, name) == getattr(result, name)
    now, then = snapshot_of(past), snapshot_of(result)
    assert [len(r.bars) for r in now.rows] == [len(r.bars) for r in then.rows]


def test_the_run_log_alone_has_all_but_the_output(project):
    """A run of another machine, or one whose journal was removed, is read from the run log."""
    result = project.run()
    found = find_past_run(project.state_dir / "elsewhere", [project.sink], *WHERE, result.run_id)
    past = result_of(found)
    assert {n: f[:-1] for n, f in facts(past).items()} == {
        n: f[:-1] for n, f in facts(result).items()
    }
    assert "G_1" in list(past.transformations)[-1]


def test_an_unknown_run_is_named_with_the_closest(project):
    """A mistyped id gets the id that was meant."""
    run_id = project.run().run_id
    with pytest.raises(LookupError, match=run_id):
        find_past_run(project.state_dir, [project.sink], *WHERE, run_id[:-1] + "x")


def test_a_run_of_another_project_is_none_of_this_one(project):
    """Two projects that share a state folder do not show each other's runs."""
    run_id = project.run().run_id
    folder = project.state_dir / "runs" / run_id
    assert past_run_in(folder, *WHERE) is not None
    assert past_run_in(folder, "Q", "qat") is None
    assert past_run_in(folder, "P", "prod") is None


def cut(project, count, *more):
    """Cut the journal of the newest run after *count* lines, as a kill does, and add *more*."""
    journal = next((project.state_dir / "runs").glob("*/journal.jsonl"))
    lines = journal.read_bytes().splitlines(keepends=True)[:count]
    journal.write_bytes(b"".join([*lines, *more]))
    (journal.parent / "complete").unlink()
    (journal.parent / "incomplete").write_bytes(
        b'{"number":1,"project":"P","env":"qat","left":true}'
    )


def test_a_run_killed_midway_has_abandoned_rows(project):
    """Rows that were running or had not started are ABANDONED, and the run is drawn to its last line."""
    project.run()
    lines = next((project.state_dir / "runs").glob("*/journal.jsonl")).read_bytes().splitlines()
    first = next(n for n, line in enumerate(lines) if b'"transform_start"' in line)
    cut(project, first + 1, b'{"event": "transform_succ')
    project.sink.records.clear()
    project.sink.run_records.clear()
    past = result_of(find_past_run(project.state_dir, [project.sink], *WHERE))
    assert {t.status.value for t in past.transformations.values()} == {"ABANDONED"}
    assert len(past.transformations) == 3
    assert "ABANDONED" in result_bundle(past)["text/html"]


@settings(max_examples=examples(15), deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries({name: st.none() for name, _ in RECORD_COLUMNS})
        | st.fixed_dictionaries(
            {n: st.none() | st.text(max_size=5) for n, kind in RECORD_COLUMNS if kind == "string"}
        ),
        max_size=3,
    )
)
def test_whatever_an_old_log_lacks_is_drawn(records):
    """A run whose records lack columns, or have other values there, still has a picture."""
    empty = {name: None for name, _ in RECORD_COLUMNS}
    run = {name: None for name, _ in RUN_COLUMNS} | {"run_id": "r", "status": "odd"}
    whole = [
        {**empty, **record, "transformation_id": f"T{n}<b>"} for n, record in enumerate(records)
    ]
    bundle = result_bundle(result_of(PastRun(run=run, records=whole)))
    assert "T0<b>" not in bundle["text/html"]
    assert json.dumps(bundle)


def test_a_journal_without_readable_attempts_is_no_past_run(project):
    """If lines of a journal are lost with all its attempts, or it is another project's, the run log is read instead."""
    result = project.run()
    folder = project.state_dir / "runs" / result.run_id
    assert past_run_in(folder, "Q", "qat") is None
    lines = (folder / "journal.jsonl").read_bytes().splitlines(keepends=True)
    kept = [line for line in lines if b'"record"' not in line and b'"run_record"' not in line]
    (folder / "journal.jsonl").write_bytes(b"".join(kept[:1]) + b"torn {\n")
    assert past_run_in(folder, *WHERE) is None
    found = find_past_run(project.state_dir, [project.sink], *WHERE)
    assert len(found.records) == len(project.sink.records)
    assert past_run_in(folder.with_name("missing"), *WHERE) is None
