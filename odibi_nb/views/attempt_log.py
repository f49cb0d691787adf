"""What a transformation printed, attempt by attempt, as text and as HTML."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from odibi_nb.views.looks import look_of
from odibi_nb.views.markup import block, head, pre

if TYPE_CHECKING:
    from odibi_nb.core.attempt_logs import AttemptLog


@dataclass(frozen=True, slots=True, repr=False)
class AttemptLogs:
    """The attempts of one transformation in one run, oldest first. Shows itself."""

    attempts: tuple[AttemptLog, ...]

    def lines(self) -> list[str]:
        """Everything in lines; a running attempt has no last line yet."""
        found = []
        for attempt in self.attempts:
            found += [_started(attempt), *(f"  {line}" for line in attempt.log.splitlines())]
            if attempt.status != "RUNNING":
                found.append(_ended(attempt))
        return found

    def __repr__(self) -> str:
        running = ["  … it runs …"] if self.attempts[-1].status == "RUNNING" else []
        return "\n".join([*self.lines(), *running])

    def _repr_html_(self) -> str:
        parts = []
        for attempt in self.attempts:
            running = attempt.status == "RUNNING"
            parts += [
                f"<p style='margin:.4em 0 0'>{escape(_started(attempt))}</p>",
                pre(attempt.log or "(nothing printed or logged)"),
                head("▶ it runs …" if running else _ended(attempt), look_of(attempt.status).colour),
            ]
        return block(*parts)


def _started(attempt: AttemptLog) -> str:
    at = f" {attempt.start_time:%Y-%m-%d %H:%M:%S} UTC" if attempt.start_time else ""
    return f"{attempt.transformation_id}, attempt {attempt.attempt} in run {attempt.run_id}{at}"


def _ended(attempt: AttemptLog) -> str:
    error = f": {attempt.error}" if attempt.error else ""
    return f"{look_of(attempt.status).sign} {attempt.status}{error}"
