"""Data checks: how they are declared, what they find, and what follows from a breach."""

from __future__ import annotations

import datetime as dt

import pytest
from real_project import make_project, registry_row

from odibi_nb import HookManager, read_table, run_project
from odibi_nb.core.model.checks import parse_checks
from odibi_nb.core.model.transformation import Output
from odibi_nb.errors import PlanError

FUNCTIONS = """
import datetime as dt
import pandas as pd
from odibi_nb import expect


def meters(constants):
    now = pd.Timestamp.now(tz="UTC")
    frame = pd.DataFrame({
        "meter": ["a", "a", "b", None],
        "kwh": [1.0, 2.0, -5.0, float("nan")],
        "at": [now, now, now - pd.Timedelta(hours=5), now - pd.Timedelta(days=9)],
    })
    return frame.head(constants.get("rows", 4))


@expect(not_null="meter", on_fail="warn")
@expect(row_count={"min": 1})
def declared():
    return pd.DataFrame({"meter": ["a", None]})


def sum_is_small(frame):
    return f"the sum is {frame['kwh'].sum():g}" if frame["kwh"].sum() > 1 else True


def positive(frame):
    assert (frame["kwh"].dropna() >= 0).all(), "a meter runs backwards"


def by_itself(context, outputs):
    context.tables.write(pd.DataFrame({"meter": [None]}), _output(outputs), context.write_info())


def _output(outputs):
    from odibi_nb.core.running.context import as_output
    return as_output(outputs[0])
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs one row with the given checks; its result."""
    monkeypatch.chdir(tmp_path)

    def run(*checks, function="meters", outputs=("bronze.m",), hooks=None, **constants):
        constants = {**constants, "checks": list(checks)} if checks else constants
        row = registry_row("B1", "Bronze", function, constants=constants, outputs=outputs)
        make_project(tmp_path, rows=[row], functions=FUNCTIONS)
        return run_project("Plant One", log_level="ERROR", hooks=hooks)

    return run


def table(name="bronze.m"):
    return read_table("Plant One", name)


def problems(*checks, targets=("silver.x",)):
    """Return the problems of the checks, as text."""
    outputs = [Output(table=name) for name in targets]

    def find(module, function):
        return None, f"no {module}.{function}"

    return [str(p) for p in parse_checks(list(checks), (), outputs, "row 'S1'", find)[1]]


def test_every_malformed_check_is_a_problem_with_its_place():
    """Everything wrong with a row's checks is said at once, each with where it stands."""
    found = problems(
        {"not_nul": "kwh"},
        {"not_null": "kwh", "unique": "kwh"},
        {"row_count": {"min": 5, "max": 2}},
        {"between": {"kwh": {}}},
        {"fresh": {"at": "soon"}},
        {"row_count": {"min": 1}, "on_fail": "quarantine"},
        {"unique": "kwh", "table": "silver.y"},
        {"unique": []},
        {"call": "plant.checks.gaps"},
        {"not_null": "kwh", "on_fail": "explode"},
        {"call": "gaps"},
        {"row_count": {"min": "many"}},
        {"between": {"kwh": {"min": 1, "max": "b"}}},
    )
    assert found == [
        "unknown field 'not_nul' (did you mean 'not_null'?) - at row 'S1', constants.checks[0].not_nul",
        (
            "expected one rule of not_null, unique, accepted_values, between, row_count, fresh, call, "
            "found not_null and unique - at row 'S1', constants.checks[1]"
        ),
        "row_count: min 5.0 is above max 2.0 - at row 'S1', constants.checks[2]",
        "between needs 'min' or 'max' - at row 'S1', constants.checks[3]",
        "fresh: expected a time such as '2 days' or '36 h', found 'soon' - at row 'S1', constants.checks[4]",
        (
            "row_count is not about single rows, so it cannot quarantine rows: set on_fail to 'fail' or 'warn' - at row 'S1', "
            "constants.checks[5]"
        ),
        (
            "table 'silver.y' is not one of the row's outputs (did you mean 'silver.x'?) - at row 'S1', "
            "constants.checks[6]"
        ),
        "it names no column - at row 'S1', constants.checks[7]",
        "no plant.checks.gaps - at row 'S1', constants.checks[8]",
        (
            "expected 'fail' or 'warn' or 'quarantine', found 'explode' - at row 'S1', "
            "constants.checks[9].on_fail"
        ),
        "call: expected 'module.function', found 'gaps' - at row 'S1', constants.checks[10]",
        "row_count: expected numbers, found 'many' to None - at row 'S1', constants.checks[11]",
        ("between: min 1.0 and max 'b' are of different kinds - at row 'S1', constants.checks[12]"),
    ]


@pytest.mark.parametrize("text", ["2 days", "48h", "2880 min", "172800 s", "2d", "48 hours"])
def test_times_are_given_in_the_units_people_write(text):
    """A freshness is a number and a unit, spelled as people spell it."""
    check = {"fresh": {"at": text}}
    rules, found = parse_checks([check], (), [Output(table="x")], "", lambda m, f: (None, ""))
    assert (rules[0].within, found) == (2 * 86400.0, [])


def test_malformed_checks_stop_a_run_before_it_starts(run):
    """A check that cannot be understood is a problem of the plan: nothing runs."""
    with pytest.raises(PlanError, match=r"expected a list of checks"):
        run(function="declared", checks={"not_null": "kwh"})
    with pytest.raises(PlanError, match=r"plant_functions.*sum_is_big"):
        run({"call": "plant_functions.sum_is_big"})


def test_a_breach_that_fails_names_every_broken_check_and_writes_nothing(run):
    """All broken checks are named at once; the table stays as it was; no retry is tried."""
    run(rows=2)
    result = run(
        {"not_null": ["meter", "kwh"]},
        {"unique": "meter"},
        {"accepted_values": {"meter": ["a"]}},
        {"between": {"kwh": {"min": 0}}},
        {"row_count": {"max": 3}},
        {"fresh": {"at": "1 h"}},
    )
    row = result.transformations["B1"]
    assert (row.status, row.attempts, row.error_type) == ("FAILED", 1, "DataCheckError")
    assert row.error_message == (
        "bronze.m: not_null(meter, kwh) failed: 1 of 4 rows; "
        "bronze.m: unique(meter) failed: 2 of 4 rows, such as a; "
        "bronze.m: accepted_values(meter) failed: 1 of 4 rows, such as b; "
        "bronze.m: between(kwh, ≥ 0) failed: 1 of 4 rows, such as -5.0; "
        "bronze.m: row_count(≤ 3) failed: 4 rows - nothing was written to it"
    )
    assert [check.status for check in row.checks] == [*["failed"] * 5, "passed"]
    assert len(table()) == 2


def test_a_breach_that_warns_writes_and_says_so(run):
    """With on_fail "warn" everything is written; the breach is a warning of the run."""
    result = run({"not_null": "meter", "on_fail": "warn"}, {"row_count": {"min": 1}})
    assert result["status"] == "success"
    assert result.warnings == ["B1: bronze.m: not_null(meter) warned: 1 of 4 rows"]
    assert len(table()) == 4


def test_quarantined_rows_go_to_a_table_of_their_own(run):
    """Rows that break a rule stand in <table>_quarantine, with the rules they break and when."""
    begun = dt.datetime.now(dt.timezone.utc)
    result = run(
        {"not_null": ["meter"], "on_fail": "quarantine"},
        {"between": {"kwh": {"min": 0}}, "on_fail": "quarantine"},
    )
    assert result["status"] == "success"
    assert result.warnings == [
        "B1: bronze.m: not_null(meter) quarantined: 1 of 4 rows",
        "B1: bronze.m: between(kwh, ≥ 0) quarantined: 1 of 4 rows, such as -5.0",
    ]
    assert table()["meter"].tolist() == ["a", "a"]
    aside = table("bronze.m_quarantine")
    assert aside["_failed_checks"].tolist() == ["between(kwh, ≥ 0)", "not_null(meter)"]
    assert (aside["_quarantined_at"] >= begun).all()
    assert result.transformations["B1"].rows_out == 2


def test_quarantine_adds_up_over_runs(run):
    """A second run appends its quarantined rows to the earlier ones."""
    for _ in range(2):
        run({"not_null": "meter", "on_fail": "quarantine"})
    assert (len(table()), len(table("bronze.m_quarantine"))) == (3, 2)


def test_nothing_wrong_makes_no_quarantine(run):
    """Without a breach there is no quarantine table, and results say that all passed."""
    result = run({"not_null": "meter", "on_fail": "quarantine"}, rows=3)
    assert [check.status for check in result.transformations["B1"].checks] == ["passed"]
    assert result.warnings == []
    from odibi_nb.errors import TableNotFoundError

    with pytest.raises(TableNotFoundError):
        table("bronze.m_quarantine")


def test_functions_can_declare_their_checks(run):
    """Checks of @expect apply to every row that names the function, from top to bottom."""
    result = run(function="declared")
    checks = [(check.check, check.status) for check in result.transformations["B1"].checks]
    assert checks == [("not_null(meter)", "warned"), ("row_count(≥ 1)", "passed")]


def test_a_check_can_be_a_function_of_the_projects_own(run):
    """A callable fails by returning text or False, or by raising; anything else passes."""
    result = run(
        {"call": "plant_functions.sum_is_small", "on_fail": "warn"},
        {"call": "plant_functions.positive"},
    )
    found = [(check.status, check.message) for check in result.transformations["B1"].checks]
    assert found == [("passed", ""), ("failed", "AssertionError: a meter runs backwards")]
    result = run({"call": "plant_functions.sum_is_small", "on_fail": "warn"}, rows=2)
    assert result.warnings == [
        "B1: bronze.m: call(plant_functions.sum_is_small) warned: the sum is 3"
    ]


def test_a_missing_column_is_said_with_what_was_meant(run):
    """A check of a column that the frame does not have fails the row, and says which was meant."""
    row = run({"not_null": "kwhh"}, {"between": {"kwh": {"min": "low"}}}).transformations["B1"]
    assert row.error_message == ("bronze.m: not_null(kwhh): no column 'kwhh' (did you mean 'kwh'?)")
    row = run({"between": {"meter": {"min": 3}}}).transformations["B1"]
    assert "between(meter, ≥ 3) cannot be checked" in row.error_message


def test_bounds_can_be_times(run):
    """A bound that is text is a time where the column holds times."""
    result = run({"between": {"at": {"min": "2020-01-01", "max": "2999-01-01T00:00:00Z"}}})
    assert result["status"] == "success"


def test_what_is_written_past_the_context_is_checked_afterwards(run):
    """A function that writes by its own means is checked on what is there; that cannot be undone."""
    row = run({"not_null": "meter"}, function="by_itself").transformations["B1"]
    assert row.error_message == (
        "bronze.m: not_null(meter) failed: 1 of 1 row - the table has been written"
    )


def test_checks_are_in_hooks_and_in_the_run_log(run):
    """The payload of a transform's end, and the run log's column checks, tell how each check ended."""
    seen = []
    hooks = HookManager()
    hooks.register("transform_success", lambda payload: seen.append(payload["checks"]))
    result = run({"not_null": "meter", "on_fail": "warn"}, hooks=hooks)
    told = {
        "check": "not_null(meter)",
        "table": "bronze.m",
        "status": "warned",
        "failed_rows": 1,
        "message": "1 of 4 rows",
    }
    assert seen == [[told]]
    import json

    assert json.loads(result.to_frame()["checks"][0]) == [told]
    kept = table("config_driven.TransformationRunLog")
    assert json.loads(kept["checks"][0]) == [told]
