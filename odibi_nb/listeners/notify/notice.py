"""Build the messages about a run, as data that every kind of channel can show."""

from __future__ import annotations

import hashlib
import shlex
import time
from typing import TYPE_CHECKING, Any

import msgspec

from odibi_nb.core.model.events import RunStatus, Status
from odibi_nb.core.model.notification import Notified
from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.json import as_json
from odibi_nb.core.text.redaction import plain_text, redact_text
from odibi_nb.core.text.terminal_text import readable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from odibi_nb.core.protocols import Place, Row

MOST_LINE, MOST_READ = 300, 2_000
"""Characters of a line, and of its text that are searched for secrets."""
MOST_ROWS = 5
"""Number of failed rows that the message about a run names."""
DIED = "the process that ran it ended"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One message about a run.

    Attributes:
        event: event of the run that the message reports.
        title: one line.
        facts: name to value, in the order in which a message shows them.
        run_id: the run; "" in a test message.
        transformation_id: the row; "" in a message about a run.
        time: time of the event, in seconds since 1970.
    """

    event: Notified
    title: str
    facts: dict[str, str]
    project: str
    env: str
    run_id: str = ""
    transformation_id: str = ""
    time: float = msgspec.field(default_factory=time.time)

    def key(self, channel: str) -> str:
        """Return the name of this message to *channel*: the same for the same event, in every process."""
        # One message for each end of a run, whether its own process or a later one reports it.
        what = self.transformation_id if self.event == "row_failed" else "run_end"
        parts = [self.project, self.env, channel, self.run_id, self.event == "row_failed", what]
        return hashlib.blake2b(as_json(parts).encode(), digest_size=16).hexdigest()


def one_line(text: str) -> str:
    """Return *text* in one line, short, without secrets and control characters."""
    shown = redact_text(plain_text(" ".join(text[:MOST_READ].split())))
    return readable(shown if len(shown) <= MOST_LINE else f"{shown[:MOST_LINE]}…")


class NoticeWriter:
    """Builder of the messages about the runs of one project and environment."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._project, self._env = place.manifest.project, place.env

    def row_failed(self, run_id: str, attempt: Mapping[str, Any]) -> Notice:
        """Return the message that a row has failed, from its payload or record."""
        name = str(attempt["transformation_id"])
        made = {
            "layer": attempt.get("layer"),
            "row": name,
            "function": ".".join(
                str(attempt[key]) for key in ("module", "function") if attempt.get(key)
            ),
            "attempts": attempt.get("attempt"),
            "error": error_of(attempt),
        }
        return self._notice("row_failed", f"✖ {name} failed", run_id, made, row=name)

    def run_ended(
        self,
        run_id: str,
        status: str,
        counts: Mapping[str, int],
        failed: Sequence[Mapping[str, Any]],
    ) -> Notice:
        """Return the message that a run has ended.

        Args:
            run_id: id of the run.
            status: one of `RunStatus`.
            counts: status to its number of rows.
            failed: payloads or records of the failed rows.
        """
        numbers = ", ".join(f"{number:,} {name}" for name, number in counts.items() if number)
        if status == RunStatus.FAILED.value:
            made = {"rows": numbers, **_failed(failed)}
            wrong = counts.get(Status.FAILED.value, 0) or len(failed)
            title = f"✖ run failed: {counted(wrong, 'row')} failed"
            return self._notice("run_failed", title, run_id, made)
        sign = "✔" if status == RunStatus.SUCCESS.value else "■"
        return self._notice(
            "run_finished", f"{sign} run ended: {status}", run_id, {"rows": numbers}
        )

    def run_abandoned(self, run_id: str, records: Sequence[Row]) -> Notice:
        """Return the message that the process of a run has died."""
        last = {record["transformation_id"]: record for record in records}
        lost = [name for name, r in last.items() if r["status"] == Status.ABANDONED.value]
        failed = [r for r in last.values() if r["status"] == Status.FAILED.value]
        names = ", ".join(lost[:MOST_ROWS]) + (" …" if len(lost) > MOST_ROWS else "")
        made = {"error": DIED, "unfinished rows": names, **_failed(failed)}
        title = f"✖ run abandoned: {counted(len(lost), 'row')} unfinished"
        return self._notice("run_abandoned", title, run_id, made)

    def test(self) -> Notice:
        """Return a message that tests whether a channel works."""
        made = {"message": "This channel works. No run has failed."}
        return self._notice("run_finished", "test of notifications", "", made)

    def _notice(
        self, event: Notified, title: str, run_id: str, made: Mapping[str, Any], row: str = ""
    ) -> Notice:
        facts = {
            "project": self._project,
            "environment": self._env,
            "run": run_id,
            **made,
            "owner": self._place.manifest.owner,
        }
        if run_id:
            words = ["show", run_id, "--project", self._project, "--env", self._env]
            journal = self._place.state_dir / "runs" / run_id / "journal.jsonl"
            facts["look at it"] = f"%odibi {shlex.join(words)}"
            facts["log"] = f"{self._place.config.run_log}; {journal}"
        return Notice(
            event=event,
            title=one_line(f"{title} · {self._project} · {self._env}"),
            facts={key: one_line(str(value)) for key, value in facts.items() if value},
            project=self._project,
            env=self._env,
            run_id=run_id,
            transformation_id=plain_text(row),
        )


def _failed(attempts: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return a fact for each of the first failed rows."""
    made = {str(one["transformation_id"]): error_of(one) for one in attempts[:MOST_ROWS]}
    if len(attempts) > MOST_ROWS:
        made["further failed rows"] = f"{len(attempts) - MOST_ROWS:,}"
    return made


def error_of(attempt: Mapping[str, Any]) -> str:
    """Return the error of an attempt: its class and the first line of its message."""
    # Redacted as a whole: a value may be in the line after its key.
    kind, message = attempt.get("error_type"), str(attempt.get("error_message") or "")[:MOST_READ]
    first = next((line for line in redact_text(message).splitlines() if line.strip()), "")
    return ": ".join(part for part in (kind, one_line(first)) if part)
