"""Result of a data check, for events, run log and results."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from odibi_nb.core.model.checks import FAIL, QUARANTINE, WARN

PASSED = "passed"


STATUSES = {FAIL: "failed", WARN: "warned", QUARANTINE: "quarantined"}
"""Status of a broken check, by its ``on_fail``."""


NOT_WRITTEN = "not written"
"""Status of the check that every output has, if the function did not write the output."""


BREACHES = frozenset({STATUSES[WARN], STATUSES[QUARANTINE], NOT_WRITTEN})
"""Statuses of a broken check that does not fail its transformation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """Result of one check of one output.

    Attributes:
        check: the rule in words, such as ``not_null(kwh)``.
        status: ``passed``, ``failed``, ``warned`` or ``quarantined``. ``not written`` means that the
            function left the output unchanged.
        failed_rows: number of rows that broke the rule; None if the rule is not about rows.
        message: description of the failure; "" if the check passed.
    """

    check: str
    table: str
    status: str
    failed_rows: int | None = None
    message: str = ""

    def payload(self) -> dict[str, Any]:
        """Return the result as a dict, for events and the run log."""
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
