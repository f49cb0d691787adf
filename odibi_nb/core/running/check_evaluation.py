"""Evaluation of data checks on a frame before it is written, or on a table afterwards."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING

from odibi_nb.core.model.check_result import PASSED, STATUSES, CheckResult
from odibi_nb.core.model.checks import FAIL, QUARANTINE, ROW_KINDS, WARN, Rule, quarantine_of
from odibi_nb.core.model.tables import TableName, table_key
from odibi_nb.core.model.transformation import Output
from odibi_nb.core.text.clock import utc_now
from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.redaction import error_text, is_secret_name
from odibi_nb.errors import DataCheckError, DataError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from odibi_nb.core.protocols import DataFrame, Measure, TableEngine


def evaluate(
    frame: DataFrame, table: str, rules: Sequence[Rule], engine: TableEngine
) -> list[CheckResult]:
    """Evaluate each of *rules* on *frame*, the new or present content of *table*.

    Raises:
        DataError: if a rule cannot be evaluated: its column is missing or of the wrong type.
    """
    _check_columns(frame, table, rules, engine)
    measured = [rule for rule in rules if rule.kind != "call"]
    found = dict(zip(map(id, measured), engine.measure(frame, measured), strict=True))
    return [
        _called(rule, frame, table)
        if rule.kind == "call"
        else _judged(rule, found[id(rule)], table)
        for rule in rules
    ]


def _check_columns(
    frame: DataFrame, table: str, rules: Sequence[Rule], engine: TableEngine
) -> None:
    columns = engine.schema(frame)
    missing = {
        f"{rule.text}: no column {column!r}{did_you_mean(column, columns)}"
        for rule in rules
        for column in rule.columns
        if column not in columns
    }
    if missing:
        raise DataError(f"{table}: {'; '.join(sorted(missing))}")


def _judged(rule: Rule, measure: Measure, table: str) -> CheckResult:
    message, failed_rows = "", None
    if rule.kind in ROW_KINDS:
        failed_rows = measure.failed
        if measure.failed:
            shown = measure.samples and not any(map(is_secret_name, rule.columns))
            samples = f", such as {', '.join(measure.samples)}" if shown else ""
            message = f"{measure.failed:,} of {counted(measure.total, 'row')}{samples}"
    elif rule.kind == "row_count":
        low, high = rule.low, rule.high
        if (low is not None and measure.total < low) or (high is not None and measure.total > high):
            message = counted(measure.total, "row")
    elif measure.newest is None:
        message = "the column has no value"
    else:
        age = utc_now() - measure.newest
        if age > dt.timedelta(seconds=rule.within):
            message = f"the newest is of {measure.newest:%Y-%m-%d %H:%M:%S} UTC"
    return _result(rule, table, message, failed_rows)


def _called(rule: Rule, frame: DataFrame, table: str) -> CheckResult:
    """Call the user's check. The check fails if it returns False or a message, or raises."""
    assert rule.fn is not None
    try:
        answer = rule.fn(frame)
    except Exception as exc:  # noqa: BLE001  the error of an assertion or a schema library is a result
        return _result(rule, table, error_text(exc))
    if isinstance(answer, str):
        return _result(rule, table, answer)
    return _result(rule, table, "it returned False" if answer is False else "")


def _result(rule: Rule, table: str, message: str, failed_rows: int | None = None) -> CheckResult:
    return CheckResult(
        check=rule.text,
        table=table,
        status=STATUSES[rule.on_fail] if message else PASSED,
        failed_rows=failed_rows,
        message=message,
    )


def raise_for_failed(results: Sequence[CheckResult], consequence: str) -> None:
    """Raise DataCheckError if a check failed, with all failed checks and the *consequence*."""
    failed = [str(result) for result in results if result.status == STATUSES[FAIL]]
    if failed:
        raise DataCheckError(f"{'; '.join(failed)} - {consequence}")


def rules_for(rules: Sequence[Rule], table: str) -> list[Rule]:
    """Return the rules that apply to *table*."""
    key = table_key(table)
    return [rule for rule in rules if rule.table in (None, key)]


def judge(
    frame: DataFrame, target: Output, checks: Sequence[Rule], engine: TableEngine
) -> tuple[list[CheckResult], list[Rule]]:
    """Evaluate the checks of *target* on *frame*. Writes nothing.

    Returns:
        The result of each check, and the broken rules whose rows go to the quarantine table.

    Raises:
        DataError: if a check cannot be evaluated.
    """
    rules = rules_for(checks, target.table)
    results = evaluate(frame, target.table, rules, engine) if rules else []
    broken = [
        rule
        for rule, result in zip(rules, results, strict=True)
        if result.status == STATUSES[QUARANTINE]
    ]
    return results, broken


def quarantine_output(target: Output) -> Output:
    """Return the output for rows that *target* does not get."""
    return Output(table=quarantine_of(target.table), mode="append", schema_mode="merge")


def judge_tables(
    targets: Sequence[Output], written: Container[str], checks: Sequence[Rule], engine: TableEngine
) -> list[CheckResult]:
    """Evaluate the checks of outputs that the function wrote by other means than its context.

    These tables have been written already, so a quarantine rule only warns. *targets* are the row's
    outputs; *written* are the keys of the tables that were written through the context.

    Raises:
        DataError: if a check cannot be evaluated.
    """
    results: list[CheckResult] = []
    for target in targets:
        rules = rules_for(checks, target.table)
        name = TableName.parse(target.table)
        if rules and table_key(target.table) not in written and engine.exists(name):
            rules = [replace(r, on_fail=WARN) if r.on_fail == QUARANTINE else r for r in rules]
            results += evaluate(engine.read(name), target.table, rules, engine)
    return results
