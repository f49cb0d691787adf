"""Number of examples of a property: few in each run, many with ``ODIBI_TEST_THOROUGH=1``.

The environments of other versions set ``ODIBI_TEST_FEW=1``: there a property is tried on a quarter, because
it is the libraries that are tested, not the property.
"""

from __future__ import annotations

import os


def _asked(name: str) -> bool:
    return os.environ.get(name, "") not in ("", "0")


THOROUGH = _asked("ODIBI_TEST_THOROUGH")
TIMES = 20 if THOROUGH else 1
PART = 4 if _asked("ODIBI_TEST_FEW") else 1


def examples(number: int) -> int:
    """Return *number*; twenty times as many in a thorough run, and a quarter for other versions."""
    return max(1, number * TIMES // PART)
