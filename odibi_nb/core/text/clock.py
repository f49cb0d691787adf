"""The current time, and times from JSON."""

from __future__ import annotations

import datetime as dt
from typing import Any


def utc_now() -> dt.datetime:
    """Return the current time in UTC, with its zone."""
    return dt.datetime.now(dt.timezone.utc)


def as_time(value: Any) -> dt.datetime | None:
    """Return the time of an ISO 8601 text. Return a datetime or None unchanged."""
    if value is None or isinstance(value, dt.datetime):
        return value
    return dt.datetime.fromisoformat(str(value).replace("Z", "+00:00"))
