"""Data checks on Spark DataFrames: all rules of a frame in one pass."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.checks import ROW_KINDS
from odibi_nb.core.protocols import Measure
from odibi_nb.core.text.clock import utc_now
from odibi_nb.core.text.sql_text import backticked, spark_literal
from odibi_nb.engines.optional_imports import reason
from odibi_nb.engines.pandas.checks import SAMPLES, shown
from odibi_nb.engines.spark.frames import types_of
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odibi_nb.core.model.checks import Rule

_MARK = "__odibi_breaks_"


def measure(frame: Any, rules: Sequence[Rule]) -> list[Measure]:
    """Measure *frame* for each of *rules*.

    Raises:
        DataError: if a rule cannot be evaluated on its columns.
    """
    try:
        marked = _marked(frame, rules)
        facts = ["count(*) AS total"]
        for i, rule in enumerate(rules):
            if rule.kind in ROW_KINDS:
                facts.append(f"count_if({_MARK}{i}) AS fact_{i}")
            elif rule.kind == "fresh":
                newest = f"max(CAST({backticked(rule.columns[0])} AS timestamp))"
                # As text, because a time stamp in Python depends on the machine's time zone.
                facts.append(f"date_format({newest}, 'yyyy-MM-dd HH:mm:ss.SSSSSSXXX') AS fact_{i}")
        found = marked.selectExpr(*facts).collect()[0].asDict()
        return [_measured(marked, i, rule, found) for i, rule in enumerate(rules)]
    except Exception as exc:
        what = " and ".join(rule.text for rule in rules)
        raise DataError(f"{what} cannot be checked: {reason(exc)}") from exc


def _measured(marked: Any, i: int, rule: Rule, found: dict[str, Any]) -> Measure:
    fact = found.get(f"fact_{i}")
    if rule.kind == "fresh":
        newest = None if fact is None else dt.datetime.fromisoformat(fact.replace("Z", "+00:00"))
        utc = None if newest is None else newest.astimezone(dt.timezone.utc)
        return Measure(total=found["total"], newest=utc)
    samples: tuple[str, ...] = ()
    if fact and rule.kind != "not_null":
        columns = [backticked(name) for name in rule.columns]
        # Ordered, because Sail rejects a limit on distinct rows without an order.
        broken = marked.filter(f"{_MARK}{i}").select(*columns).distinct().orderBy(*columns)
        samples = tuple(", ".join(map(_shown, row)) for row in broken.limit(SAMPLES).collect())
    return Measure(total=found["total"], failed=fact or 0, samples=samples)


def split(frame: Any, rules: Sequence[Rule]) -> tuple[Any, Any]:
    """Split *frame* as `TableEngine.split` describes."""
    names = [backticked(name) for name in frame.columns]
    failed_texts = [
        f"CASE WHEN {_MARK}{i} THEN {spark_literal(r.text)} END" for i, r in enumerate(rules)
    ]
    marked = _marked(frame, rules).selectExpr(
        *names, f"concat_ws('; ', {', '.join(failed_texts)}) AS _failed_checks"
    )
    now = f"CAST({spark_literal(utc_now().isoformat())} AS timestamp) AS _quarantined_at"
    good = marked.filter("_failed_checks = ''").selectExpr(*names)
    return good, marked.filter("_failed_checks <> ''").selectExpr("*", now)


def _marked(frame: Any, rules: Sequence[Rule]) -> Any:
    """Add a boolean column to *frame* for each rule about rows: True if the row breaks the rule."""
    types = types_of(frame.schema)
    marks = [
        f"coalesce({_breaks(rule, types)}, false) AS {_MARK}{i}"
        for i, rule in enumerate(rules)
        if rule.kind in ROW_KINDS
    ]
    return frame.selectExpr("*", *marks) if marks else frame


def _breaks(rule: Rule, types: dict[str, str]) -> str:
    """Return the SQL condition under which a row breaks *rule*."""
    columns = [backticked(name) for name in rule.columns]
    if rule.kind == "unique":
        return f"count(*) OVER (PARTITION BY {', '.join(columns)}) > 1"
    if rule.kind == "not_null":
        return " OR ".join(_is_null(backticked(name), types[name]) for name in rule.columns)
    column, kind = columns[0], types[rule.columns[0]]
    has_value = f"NOT ({_is_null(column, kind)})"
    if rule.kind == "accepted_values":
        values = [_value(value, kind) for value in rule.values if value is not None]
        accepted = f"{column} IN ({', '.join(values)})" if values else "false"
        return f"{has_value} AND NOT ({accepted})"
    limits = [
        f"{column} {sign} {_value(bound, kind)}"
        for sign, bound in (("<", rule.low), (">", rule.high))
        if bound is not None
    ]
    return f"{has_value} AND ({' OR '.join(limits)})"


def _is_null(column: str, kind: str) -> str:
    missing = f"{column} IS NULL"
    return f"({missing} OR isnan({column}))" if kind in {"double", "float"} else missing


def _value(value: Any, kind: str) -> str:
    """Return a rule's value in SQL; text is cast to *kind* if the column holds times or dates."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value!r}D"
    if isinstance(value, int):
        return str(value)
    text = spark_literal(str(value))
    return f"CAST({text} AS {kind})" if kind in {"timestamp", "date"} else text


def _shown(value: Any) -> str:
    is_time = isinstance(value, dt.datetime)
    return shown(value.astimezone(dt.timezone.utc) if is_time else value)
