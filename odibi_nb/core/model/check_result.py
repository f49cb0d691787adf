"""How a data check ended, as events, run log and results tell it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from odibi_nb.core.model.checks import FAIL, QUARANTINE, WARN

PASSED = "passed"


STATUSES = {FAIL: "failed", WARN: "warned", QUARANTINE: "quarantined"}
"""What a breach is called, by what it does."""


NOT_WRITTEN = "not written"
"""How the check ends that every output has: the function left it out."""


BREACHES = frozenset({STATUSES[WARN], STATUSES[QUARANTINE], NOT_WRITTEN})
"""How a check ends that is broken without failing its transformation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """How one check of one output ended.

    Attributes:
        check: the rule in words, such as ``not_null(kwh)``.
        status: ``passed``, ``failed``, ``warned``, ``quarantined``, or ``not written`` of an output.
        failed_rows: how many rows broke it; None where it is not about rows.
        message: what was found; "" if it passed.
    """

    check: str
    table: str
    status: str
    failed_rows: int | None = None
    message: str = ""

    def payload(self) -> dict[str, Any]:
        """As events and run log tell it."""
        return {
            "check": self.check,
            "table": self.table,
            "status": self.status,
            "failed_rows": self.failed_rows,
            "message": self.message,
        }

    def __str__(self) -> str:
        found = f": {self.message}" if self.message else ""
        return f"{self.table}: {self.check} {self.status}{found}"
