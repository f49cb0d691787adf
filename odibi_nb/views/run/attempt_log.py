"""The output of a transformation, attempt by attempt, as text and as HTML."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from odibi_nb.views.escaping import escape
from odibi_nb.views.html_parts import block, head, pre
from odibi_nb.views.status_style import style_of

MAX_TAIL, MAX_TRACEBACK = 8_000, 4_000
"""Characters of a log and of a traceback that are shown during a run: the last ones."""
# Laid out from the bottom, so that the newest line stays in sight after each update.
_NEWEST = "display:flex;flex-direction:column-reverse;max-height:18em;overflow:auto;padding:2px 6px;background-color:rgba(128,128,128,.1)"

if TYPE_CHECKING:
    from odibi_nb.core.runlog.attempt_logs import AttemptLog


@dataclass(frozen=True, slots=True, repr=False)
class AttemptLogs:
    """The attempts of one transformation in one run, oldest first, with a rich display."""

    attempts: tuple[AttemptLog, ...]

    def lines(self) -> list[str]:
        """Return the lines of all attempts. A running attempt has no closing line yet."""
        found = []
        for attempt in self.attempts:
            found += [_started(attempt), *(f"  {line}" for line in attempt.log.splitlines())]
            if attempt.status != "RUNNING":
                found.append(_ended(attempt))
        return found

    def __repr__(self) -> str:
        running = ["  … still running …"] if self.attempts[-1].status == "RUNNING" else []
        return "\n".join([*self.lines(), *running])

    def _repr_html_(self) -> str:
        parts = []
        for attempt in self.attempts:
            stands = "▶ running …" if attempt.status == "RUNNING" else _ended(attempt)
            parts += [
                f"<p style='margin:.4em 0 0'>{escape(_started(attempt))}</p>",
                pre(attempt.log or "(nothing printed or logged)"),
                head(stands, style_of(attempt.status).colour),
            ]
        return block(*parts)


def _started(attempt: AttemptLog) -> str:
    at = f" {attempt.start_time:%Y-%m-%d %H:%M:%S} UTC" if attempt.start_time else ""
    return f"{attempt.transformation_id}, attempt {attempt.attempt} in run {attempt.run_id}{at}"


def _ended(attempt: AttemptLog) -> str:
    error = f": {attempt.error}" if attempt.error else ""
    return f"{style_of(attempt.status).sign} {attempt.status}{error}"


def tail_html(attempt: AttemptLog) -> str:
    """Return the last lines of an attempt's output, its status, and if it failed its traceback."""
    name = escape(f"Log of {attempt.transformation_id}")
    printed = _last(attempt.log, MAX_TAIL) or "(nothing printed or logged yet)"
    trace = pre(_last(attempt.traceback, MAX_TRACEBACK)) if attempt.traceback else ""
    running = attempt.status == "RUNNING"
    stands = f"▶ running, attempt {attempt.attempt}" if running else _ended(attempt)
    return block(
        f"<div tabindex='0' role='group' aria-label='{name}' style='{_NEWEST}'>"
        f"<div>{pre(printed)}{trace}</div></div>",
        head(stands, style_of(attempt.status).colour),
    )


def _last(text: str, length: int) -> str:
    """Return the last lines of *text*, at most *length* characters."""
    text = text.rstrip("\n")
    if len(text) <= length:
        return text
    return f"…\n{text[-length:].partition(chr(10))[2]}"
