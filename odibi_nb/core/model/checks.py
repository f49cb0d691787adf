"""Data checks: conditions on the data that a transformation writes, from rows and decorators.

``constants.checks`` is a list of objects with one rule each. `expect` declares the same rules in code::

    {"not_null": ["timestamp", "kwh"]}
    {"unique": ["asset", "timestamp"], "on_fail": "quarantine"}
    {"accepted_values": {"status": ["OK", "BAD"]}, "on_fail": "warn"}
    {"between": {"kwh": {"min": 0, "max": 500}}}
    {"row_count": {"min": 1}}
    {"fresh": {"timestamp": "2 days"}}
    {"call": "plant_functions.checks.no_gaps"}

The rules have dbt's names where dbt has the same rule. Only ``not_null`` rejects nulls: they pass
``accepted_values`` and ``between``, and count as equal values in ``unique``.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

from odibi_nb.core.model.tables import TableName, table_key
from odibi_nb.core.text.redaction import shown
from odibi_nb.core.text.structs import decode_struct
from odibi_nb.errors import Problem, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from odibi_nb.core.model.transformation import Output

    Function = TypeVar("Function", bound=Callable[..., Any])
    Find = Callable[[str, str], tuple[Callable[..., Any] | None, str]]

FAIL, WARN, QUARANTINE = "fail", "warn", "quarantine"
ROW_KINDS = frozenset({"not_null", "unique", "accepted_values", "between"})
"""Kinds of rules that single rows break, so that those rows can be quarantined."""
KINDS = ("not_null", "unique", "accepted_values", "between", "row_count", "fresh", "call")
DECLARED = "_odibi_checks"
"""Name of the function attribute in which `expect` stores its arguments."""
_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_LONGEST = dt.timedelta.max.total_seconds()
_WITHIN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|d)(?:ec|econd|ute|our|ay)?s?\s*")


class Bounds(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Range from *min* to *max*, both inclusive; at least one of them must be given.

    Attributes:
        min: the least value.
        max: the greatest value.
    """

    min: float | str | None = None
    max: float | str | None = None


class Check(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One object of ``constants.checks``: one rule, its output, and the effect of a breach.

    *table* names one of the row's outputs; by default the rule applies to all of them. If data breaks
    the rule, *on_fail* decides: ``fail`` writes nothing, ``warn`` writes the data and warns, and
    ``quarantine`` writes the rows that break the rule to ``<table>_quarantine`` instead.

    Attributes:
        not_null: columns that must not contain nulls.
        unique: columns whose combined values must not repeat.
        accepted_values: column to its allowed values.
        between: column to its least and greatest allowed value.
        row_count: least and greatest allowed number of rows.
        fresh: column of times to the greatest allowed age of its newest value, such as ``2 days``.
        call: ``module.function`` of a function that gets the frame and decides.
        table: one of the row's outputs; all of them by default.
        on_fail: ``fail``, ``warn`` or ``quarantine``.
    """

    not_null: str | tuple[str, ...] | None = None
    unique: str | tuple[str, ...] | None = None
    accepted_values: dict[str, tuple[Any, ...]] | None = None
    between: dict[str, Bounds] | None = None
    row_count: Bounds | None = None
    fresh: dict[str, str] | None = None
    call: str | None = None
    table: str | None = None
    on_fail: Literal["fail", "warn", "quarantine"] = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A parsed check, ready to be evaluated.

    Attributes:
        kind: one of `KINDS`.
        columns: columns that the rule tests.
        values: values that ``accepted_values`` allows.
        low: least allowed value or number of rows; None for no limit.
        high: greatest allowed value or number of rows; None for no limit.
        within: greatest allowed age of the newest value, in seconds.
        fn: function that ``call`` calls with the frame.
        table: key of the output that the rule applies to; None for all outputs.
        text: name of the rule in messages.
    """

    kind: str
    text: str
    on_fail: str = FAIL
    table: str | None = None
    columns: tuple[str, ...] = ()
    values: tuple[Any, ...] = ()
    low: Any = None
    high: Any = None
    within: float = 0.0
    fn: Callable[..., Any] | None = None


def expect(**check: Any) -> Callable[[Function], Function]:
    """Declare a check of the decorated function's outputs. A function can have several.

    Args:
        **check: the keys of one object of ``constants.checks``, as in
            ``@expect(not_null=["kwh"], on_fail="warn")``.
    """

    def decorate(fn: Function) -> Function:
        setattr(fn, DECLARED, (check, *getattr(fn, DECLARED, ())))
        return fn

    return decorate


def parse_checks(
    raw: Any, declared: Sequence[Any], targets: Sequence[Output], where: str, find: Find
) -> tuple[tuple[Rule, ...], list[Problem]]:
    """Parse the checks of a row, and return its rules and all problems.

    Args:
        raw: the row's ``constants.checks``, or None.
        declared: checks that `expect` stored on the row's function.
        targets: the row's outputs.
        where: name of the row in problems.
        find: function from (module, function name) to the function and an error message or "".
    """
    if not isinstance(raw, (list, type(None))):
        message = f"expected a list of checks, found {shown(raw)}"
        return (), [Problem(f"{where}, constants.checks", message)]
    rules: list[Rule] = []
    problems: list[Problem] = []
    items = [(item, f"{where}, constants.checks[{i}]") for i, item in enumerate(raw or ())]
    items += [(item, f"{where}, @expect {i} of its function") for i, item in enumerate(declared, 1)]
    for item, place in items:
        check, found = decode_struct(item, Check, place)
        if check is not None:
            found = [Problem(place, message) for message in _wrong(check, targets)]
            if not found:
                new, messages = _rules(check, find)
                rules += new
                found = [Problem(place, message) for message in messages]
        problems += found
    return tuple(rules), problems


def _wrong(check: Check, targets: Sequence[Output]) -> Iterator[str]:
    kinds = [kind for kind in KINDS if getattr(check, kind) is not None]
    if len(kinds) != 1:
        found = " and ".join(kinds) or "none"
        yield f"expected one rule of {', '.join(KINDS)}, found {found}"
        return
    if check.on_fail == QUARANTINE and kinds[0] not in ROW_KINDS:
        yield f"{kinds[0]} is not about single rows, so it cannot quarantine rows: set on_fail to 'fail' or 'warn'"
    keys = {table_key(target.table) for target in targets}
    if check.table is not None and table_key(check.table) not in keys:
        names = [target.table for target in targets]
        hint = did_you_mean(check.table, names) or f": they are {', '.join(names) or 'none'}"
        yield f"table {check.table!r} is not one of the row's outputs{hint}"


def _rules(check: Check, find: Find) -> tuple[list[Rule], list[str]]:
    table = table_key(check.table) if check.table is not None else None
    common: dict[str, Any] = {"on_fail": check.on_fail, "table": table}
    rules: list[Rule] = []
    wrong: list[str] = []

    def add(kind: str, columns: tuple[str, ...], *told: str, **facts: Any) -> None:
        text = f"{kind}({', '.join((*columns, *told))})"
        rules.append(Rule(kind=kind, text=text, columns=columns, **facts, **common))

    for kind in ("not_null", "unique"):
        columns = getattr(check, kind)
        if columns is not None:
            add(kind, (columns,) if isinstance(columns, str) else columns)
    for column, values in (check.accepted_values or {}).items():
        add("accepted_values", (column,), values=values)
    for column, bounds in (check.between or {}).items():
        wrong += _wrong_bounds("between", bounds)
        add("between", (column,), *_in_words(bounds), low=bounds.min, high=bounds.max)
    if (bounds := check.row_count) is not None:  # type: ignore[assignment]
        wrong += _wrong_bounds("row_count", bounds)
        add("row_count", (), *_in_words(bounds), low=bounds.min, high=bounds.max)
    for column, within in (check.fresh or {}).items():
        seconds, problem = _seconds(within)
        wrong += problem
        add("fresh", (column,), within, within=seconds)
    if check.call is not None:
        fn, problem = _function(check.call, find)
        wrong += problem
        add("call", (), check.call, fn=fn)
    if not rules or any(r.kind in ("not_null", "unique") and not r.columns for r in rules):
        wrong.append("it names no column")
    return rules, wrong


def _seconds(within: str) -> tuple[float, list[str]]:
    found = _WITHIN.fullmatch(within)
    seconds = math.inf if found is None else float(found[1]) * _UNITS[found[2]]
    if seconds > _LONGEST:
        return 0.0, [f"fresh: expected a time such as '2 days' or '36 h', found {shown(within)}"]
    return seconds, []


def _function(name: str, find: Find) -> tuple[Callable[..., Any] | None, list[str]]:
    module, _, function = name.rpartition(".")
    if not module:
        return None, [f"call: expected 'module.function', found {name!r}"]
    fn, problem = find(module, function)
    return fn, [problem] if problem else []


def _wrong_bounds(kind: str, bounds: Bounds) -> Iterator[str]:
    low, high = bounds.min, bounds.max
    if low is None and high is None:
        yield f"{kind} needs 'min' or 'max'"
    elif kind == "row_count" and not all(
        isinstance(b, (int, float, type(None))) for b in (low, high)
    ):
        yield f"row_count: expected numbers, found {shown(low)} to {shown(high)}"
    elif low is not None and high is not None:
        if isinstance(low, str) != isinstance(high, str):
            yield f"{kind}: min {shown(low)} and max {shown(high)} are of different kinds"
        elif low > high:  # type: ignore[operator]
            yield f"{kind}: min {shown(low)} is above max {shown(high)}"


def _in_words(bounds: Bounds) -> list[str]:
    named = {"≥": bounds.min, "≤": bounds.max}
    return [
        f"{sign} {value:g}" if isinstance(value, (int, float)) else f"{sign} {value}"
        for sign, value in named.items()
        if value is not None
    ]


def quarantine_of(table: str) -> str:
    """Return the name of the table for the rows of *table* that break a check."""
    parts = TableName.parse(table).parts
    return str(TableName((*parts[:-1], f"{parts[-1]}_quarantine")))
