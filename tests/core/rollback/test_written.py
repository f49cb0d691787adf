"""The tables that a run wrote, whatever its log, its journal and the registry say of them."""

from __future__ import annotations

import json

import pytest
from fakes import FakeTables, row

from odibi_nb.core.model.tables import TableName
from odibi_nb.core.rollback.preparing import Wanted
from odibi_nb.core.rollback.runs import rollback_in_effect
from odibi_nb.core.rollback.written import written_tables
from odibi_nb.errors import ConfigurationError


def record(name="S1", **columns):
    facts = {"run_id": "r", "transformation_id": name, "attempt": 1, "status": "SUCCESS"}
    return {**facts, "layer": "Silver_1", **columns}


def outputs(*tables, **facts):
    return json.dumps([{"table": table, "mode": "append", **facts} for table in tables])


def written(tmp_path, *records, declared=None, **options):
    def asked():
        assert declared is not None, "the registry is not needed"
        return declared

    return written_tables(records, state_dir=tmp_path, declared=asked, **options)


def test_the_log_decides_and_unchanged_tables_do_not_count(tmp_path):
    """A write that committed nothing is no write of the log, and a name that is no table is left out."""
    found = written(
        tmp_path,
        record(outputs_written=outputs("a.t", version=3)),
        record("S2", outputs_written=outputs("a.t", unchanged=True)),
        record("S3", outputs_written=outputs("", "a..t")),
    )
    assert [*found] == ["a.t"]
    assert [one.version for one in found["a.t"].logged] == [3]
    assert [*found["a.t"].writers] == ["S1", "S2"]


@pytest.mark.parametrize("text", ["torn {", '[{"table": 1}]', "[" * 5000, "", None])
def test_a_damaged_log_leaves_the_registrys_outputs(tmp_path, text):
    """If the log has no outputs of a row, or damaged ones, the outputs that the registry declares are looked at."""
    found = written(
        tmp_path,
        record(outputs_written=text, inputs_read=text),
        declared={"S1": ["a.t", "data/out.csv"]},
    )
    assert [*found] == ["a.t"]
    assert found["a.t"].logged == []


def test_a_row_with_quarantine_may_have_written_its_rejected_rows(tmp_path):
    """The checks of a row name a quarantine: each of its tables has one, and a place that is no table has none."""
    checks = '{"quarantine": 2}'
    found = written(tmp_path, record(outputs_written=outputs("a.t"), checks=checks))
    assert [*found] == ["a.t", "a.t_quarantine"]
    found = written(tmp_path, record(checks=checks), declared={"S1": ["data/out.csv"]})
    assert [*found] == []


def test_readers_are_the_tables_that_were_made_of_a_table(tmp_path):
    """A table has the tables of the run that read it, directly or by a query, as its readers."""
    reads = [
        *({"table": "a.t", "version": 1}, {"query": "q", "tables": [{"table": "a.u"}]}, {}),
        {"table": "a.v", "connection": "erp"},  # of a database, not of the lake
    ]
    found = written(
        tmp_path,
        record(outputs_written=outputs("a.t", "a.u", "a.v")),
        record("S2", outputs_written=outputs("b.t"), inputs_read=json.dumps(reads)),
    )
    assert {name: table.readers for name, table in found.items()} == {
        "a.t": {"b.t"},
        "a.u": {"b.t"},
        "a.v": set(),
        "b.t": set(),
    }


def test_the_rows_of_a_rollback_are_named_like_their_tables(tmp_path):
    """A rollback's rows name the tables that they restored."""
    assert [*written(tmp_path, record("rollback a.t"), rollbacks=["r"])] == ["a.t"]


def test_a_row_that_was_abandoned_may_have_written_any_table(tmp_path):
    """If the process died, all tables of the lake are looked at."""
    lost = record(status="ABANDONED", attempt=0)
    assert [*written(tmp_path, lost, in_lake=lambda: [TableName.parse("z.t")])] == ["z.t"]


def test_a_rollback_of_a_rollback_takes_it_back():
    """A run is rolled back unless the rollback itself was rolled back, by a run that succeeded."""

    def run(name, of, succeeded=1):
        return {"run_id": name, "rollback_of": of, "succeeded": succeeded}

    assert rollback_in_effect(["x"], [run("one", "x")]) == "one"
    assert rollback_in_effect(["x"], [run("two", "one"), run("one", "x")]) == ""
    assert rollback_in_effect(["x"], [run("two", "one", 0), run("one", "x")]) == "one"
    assert rollback_in_effect(["x"], [run("other", None)]) == ""


def test_an_engine_without_versions_rolls_nothing_back(project):
    """An engine that stores no earlier versions is one message."""
    p = project(row("S1", lambda: [1], outputs=[{"table": "s.x"}]))
    p.run()
    with pytest.raises(ConfigurationError, match="engine 'pandas' keeps no earlier versions"):
        p.orchestrator().rollback_plan("last")


class Versioned(FakeTables):
    """An engine with the methods that a rollback needs. None of them is called here."""

    versions = commits = outlook = restore = drop = None


def test_a_run_in_progress_is_not_rolled_back(project):
    """A rollback of a run that still runs asks to cancel it first."""
    refused = []

    def fn(context):
        run = {**p.sink.run_records[0], "run_id": context.run_id, "run_number": 9}
        p.sink.write_run(run)
        with pytest.raises(ConfigurationError) as caught:
            p.orchestrator().rollback_plan(context.run_id)
        refused.append(str(caught.value))

    p = project(row("S1", fn), row("S0", lambda: None))
    p.tables = Versioned()
    p.run(select=["S0"])
    run_id = p.run(select=["S1"]).run_id
    assert f"run {run_id} is still running: cancel it first" in refused[0]


@pytest.mark.parametrize("select", [None, "S1", ["S1"], ()])
def test_a_selection_is_one_text_or_several(select):
    """A selection may be a text, a list, or nothing."""
    expected = ("S1",) if select else ()
    assert Wanted(run_id="r", select=select).selection == expected
