"""Data checks on pandas DataFrames."""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.checks import ROW_KINDS
from odibi_nb.core.protocols import Measure
from odibi_nb.core.text.clock import utc_now
from odibi_nb.engines.optional_imports import reason, require
from odibi_nb.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from odibi_nb.core.model.checks import Rule

SAMPLES = 3
MAX_SAMPLE = 60
_MIDDLE = 2000
"""A year inside the range of nanoseconds. Any year outside is before or after it."""


def measure(frame: Any, rule: Rule) -> Measure:
    """Measure *frame* for *rule*.

    Raises:
        DataError: if the column's values cannot be compared as *rule* demands.
    """
    if rule.kind == "fresh":
        return Measure(total=len(frame), newest=_newest(frame, rule))
    if rule.kind not in ROW_KINDS:
        return Measure(total=len(frame))
    broken = frame.loc[_breaking(frame, rule), list(rule.columns)]
    samples = broken.drop_duplicates().head(SAMPLES) if rule.kind != "not_null" else broken.head(0)
    texts = (", ".join(map(shown, values)) for values in samples.itertuples(index=False, name=None))
    return Measure(total=len(frame), failed=len(broken), samples=tuple(texts))


def split(frame: Any, rules: Sequence[Rule]) -> tuple[Any, Any]:
    """Split *frame* as `TableEngine.split` describes."""
    pd = require("pandas", "a check")

    failed = pd.Series([""] * len(frame), index=frame.index, dtype=object)
    for rule in rules:
        broken = _breaking(frame, rule)
        failed = failed.mask(broken, failed.where(failed == "", failed + "; ") + rule.text)
    bad = frame.loc[failed != ""].copy()
    bad["_failed_checks"] = failed[failed != ""].astype(str)
    bad["_quarantined_at"] = pd.Timestamp(utc_now())
    return frame.loc[failed == ""], bad


def _breaking(frame: Any, rule: Rule) -> Any:
    """Return a boolean per row: True if the row breaks *rule*."""
    columns = list(rule.columns)
    try:
        if rule.kind == "not_null":
            return frame[columns].isna().any(axis=1)
        if rule.kind == "unique":
            return frame.duplicated(columns, keep=False)
        values = frame[columns[0]]
        if rule.kind == "accepted_values":
            return values.notna() & ~values.isin(list(rule.values))
        broken = values.notna() & False
        if rule.low is not None:
            broken |= (values < _like(rule.low, values)).fillna(value=False).astype(bool)
        if rule.high is not None:
            broken |= (values > _like(rule.high, values)).fillna(value=False).astype(bool)
    except (TypeError, ValueError, NotImplementedError) as exc:
        raise DataError(f"{rule.text} cannot be checked: {reason(exc)}") from exc
    else:
        return broken


def _like(bound: Any, values: Any) -> Any:
    """Convert a text *bound* to a time if *values* are times; return other bounds unchanged."""
    pd = require("pandas", "a check")

    if not isinstance(bound, str) or not pd.api.types.is_datetime64_any_dtype(values):
        return bound
    try:
        time = pd.Timestamp(bound)
    except pd.errors.OutOfBoundsDatetime:  # before pandas 2; its values are within the range, too
        year = re.search(r"\d{4}", bound)
        time = pd.Timestamp.max if year and int(year[0]) > _MIDDLE else pd.Timestamp.min
    zone = getattr(values.dtype, "tz", None)
    if zone is None or time.tzinfo is not None:
        return time
    return time.tz_localize("UTC")


def _newest(frame: Any, rule: Rule) -> dt.datetime | None:
    pd = require("pandas", "a check")

    values = frame[rule.columns[0]]
    try:
        newest = pd.to_datetime(values, utc=True).max()
    except (TypeError, ValueError) as exc:
        raise DataError(f"{rule.text} cannot be checked: {reason(exc)}") from exc
    return None if pd.isna(newest) else newest.to_pydatetime().astimezone(dt.timezone.utc)


def shown(value: Any) -> str:
    """Return the text of *value* in a sample, cut to `MAX_SAMPLE` characters."""
    text = str(value)
    return text if len(text) <= MAX_SAMPLE else text[: MAX_SAMPLE - 1] + "…"
