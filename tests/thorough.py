"""How many examples a property is tried on: few in each run, many when ``ODIBI_TEST_THOROUGH=1`` asks for them."""

from __future__ import annotations

import os

TIMES = 20 if os.environ.get("ODIBI_TEST_THOROUGH", "") not in ("", "0") else 1


def examples(number: int) -> int:
    """Return *number*, or twenty times as many in a thorough run."""
    return number * TIMES
