"""Times: now, and as JSON has them."""

from __future__ import annotations

import datetime as dt
from typing import Any


def utc_now() -> dt.datetime:
    """The time, with its zone: UTC."""
    return dt.datetime.now(dt.timezone.utc)


def as_time(value: Any) -> dt.datetime | None:
    """A time as JSON has it; None if there is none."""
    if value is None or isinstance(value, dt.datetime):
        return value
    return dt.datetime.fromisoformat(str(value).replace("Z", "+00:00"))
