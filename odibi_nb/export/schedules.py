"""Cron expressions with five fields, and their equivalents in Quartz's syntax."""

from __future__ import annotations

import re

from odibi_nb.errors import ConfigurationError

_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_FIELD = re.compile(r"[0-9A-Za-z*/,-]+")
_FIELDS = 5
_NAMES = ("minute", "hour", "day of month", "month", "day of week")


def checked_cron(text: str) -> tuple[str, ...]:
    """Return the five fields of a cron expression: minute, hour, day of month, month, day of week.

    Raises:
        ConfigurationError: if *text* has another number of fields, or a field has other characters.
    """
    fields = tuple(text.split())
    problems = []
    if len(fields) != _FIELDS:
        problems.append(
            f"expected {_FIELDS} fields ({', '.join(_NAMES)}), such as '30 5 * * MON-FRI', found {text!r:.100}"
        )
    else:
        problems += [
            f"the field {name} is {field!r:.50}: expected digits, names, and * / , -"
            for name, field in zip(_NAMES, fields, strict=True)
            if not _FIELD.fullmatch(field)
        ]
    if problems:
        raise ConfigurationError("--schedule", problems)
    return fields


def quartz(fields: tuple[str, ...]) -> str:
    """Return cron *fields* in Quartz's syntax, which has seconds and counts Sunday as 1.

    Raises:
        ConfigurationError: if the expression limits both the day of the month and the day of the week.
            Cron then runs on days of either kind, which Quartz cannot express.
    """
    minute, hour, day, month, weekday = fields
    if day != "*" and weekday != "*":
        why = "limits the day of the month and the day of the week, which Databricks' schedules cannot"
        raise ConfigurationError("--schedule", [f"{' '.join(fields)!r} {why}: limit one of them"])
    named = re.sub(r"(?<![/0-9A-Za-z])[0-7](?![0-9A-Za-z])", lambda d: _DAYS[int(d[0])], weekday)
    if weekday == "*":
        return f"0 {minute} {hour} {day} {month} ?"
    return f"0 {minute} {hour} ? {month} {named}"
