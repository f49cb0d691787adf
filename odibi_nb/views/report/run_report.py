"""The content of a report: a run, its failed rows with their logs, and its dependencies."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.events import Status
from odibi_nb.core.text.json import decode_json
from odibi_nb.core.text.redaction import last_lines, redact_text
from odibi_nb.views.escaping import escape
from odibi_nb.views.plan.graph import Graph, graph_of_rows
from odibi_nb.views.run.gantt import shortened
from odibi_nb.views.run.state import snapshot_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from odibi_nb.core.model.results import RunResult, TransformationResult
    from odibi_nb.views.run.state import RunSnapshot

MOST_FAILED = 50
"""Number of failed rows whose logs a report has."""
MOST_LOG, MOST_LOGS = 20_000, 100_000
"""Characters of one traceback or log, and of all of them, as HTML: a quote takes six."""
MOST_READ = 2_000
"""Characters of an error that are searched for secrets, more than any view shows."""
MOST_REASON, LEAST_REASON = 300, 80
"""Characters of an error in table and chart, and of each if very many rows failed."""
_BAD = (Status.FAILED, Status.ABANDONED, Status.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRow:
    """A row that did not succeed, with the last lines of its traceback and log."""

    id: str
    status: str
    layer: str
    function: str
    reason: str
    traceback: str = ""
    log: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """The content of a report.

    Attributes:
        snapshot: the run as the views draw it.
        result: the result of an ended run, without logs; None while the run is in progress.
        failed: rows that failed, were abandoned or cancelled, with their logs; only the first ones.
        upstream: id to the ids of its upstream rows, as far as they are known.
        owner: person or team responsible for the project; "" if the manifest names none.
    """

    snapshot: RunSnapshot
    result: RunResult | None = None
    failed: tuple[FailedRow, ...] = ()
    upstream: Mapping[str, Sequence[str]] = field(default_factory=dict)
    owner: str = ""

    @property
    def more_failed(self) -> int:
        """Return the number of failed rows that `failed` leaves out."""
        bad = {status.value for status in _BAD}
        return sum(row.status in bad for row in self.snapshot.rows) - len(self.failed)

    def graph(self) -> Graph:
        """Return the graph of the run's rows with their statuses."""
        return graph_of_rows(self.snapshot.project, self.snapshot.rows, self.upstream)


def report_of(
    result: RunResult, upstream: Mapping[str, Sequence[str]], owner: str = ""
) -> RunReport:
    """Return the report of an ended run."""
    bad = sum(row.status in _BAD for row in result.transformations.values())
    most = MOST_REASON if bad <= MOST_FAILED else LEAST_REASON
    rows = {name: _without_logs(row, most) for name, row in result.transformations.items()}
    plain = dataclasses.replace(
        result, transformations=rows, warnings=[redact_text(text) for text in result.warnings]
    )
    return RunReport(
        snapshot=snapshot_of(plain),
        result=plain,
        failed=tuple(_failed(result)),
        upstream=upstream or _upstream_by_tables(result),
        owner=owner,
    )


def _without_logs(row: TransformationResult, most: int) -> TransformationResult:
    """Return *row* without logs, for table and chart, which both show its reason."""
    # A secret that this cuts in two is behind the part that is shown.
    reason = shortened(redact_text(row.reason[:MOST_READ]), most)
    return dataclasses.replace(row, log="", traceback="", error=None, reason=reason)


def _failed(result: RunResult) -> list[FailedRow]:
    bad = [row for row in result.transformations.values() if row.status in _BAD]
    left = MOST_LOGS
    made = []
    for row in sorted(bad, key=lambda row: _BAD.index(row.status))[:MOST_FAILED]:
        traceback, left = _end_of(row.traceback, left)
        log, left = _end_of(row.log, left)
        made.append(
            FailedRow(
                id=row.transformation_id,
                status=row.status.value,
                layer=row.layer,
                function=f"{row.module}.{row.function}",
                reason=redact_text(row.reason[:MOST_READ]),
                traceback=traceback,
                log=log,
            )
        )
    return made


def _end_of(text: str, left: int) -> tuple[str, int]:
    """Return the last lines of *text* that fit into *left* characters of HTML, and how many characters remain."""
    most = length = min(MOST_LOG, left)
    kept = last_lines(text.rstrip(), length)
    while kept and len(escape(kept)) > most:
        length = min(length, len(kept)) * most // (len(escape(kept)) + 1)
        kept = last_lines(kept, length)
    return kept, left - len(escape(kept))


def _upstream_by_tables(result: RunResult) -> dict[str, list[str]]:
    """Return the upstream rows of each row, from the tables that the attempts read and wrote. For runs without
    a journal.
    """
    writers: dict[str, list[str]] = {}
    for name, row in result.transformations.items():
        for output in row.outputs_written:
            writers.setdefault(output.table, []).append(name)
    found: dict[str, list[str]] = {}
    for record in result.records:
        name = record["transformation_id"]
        ups = [up for table in _tables_read(record) for up in writers.get(table, ()) if up != name]
        found[name] = [*dict.fromkeys(ups)]
    return found


def _tables_read(record: Mapping[str, Any]) -> list[str]:
    """Return the tables that an attempt read, from its record."""
    try:
        read = decode_json(record.get("inputs_read") or "[]")
    except ValueError:
        return []
    items = [one for one in read if isinstance(one, dict)] if isinstance(read, list) else []
    return [str(one["table"]) for one in items if one.get("table")]
