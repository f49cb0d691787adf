"""The freshness of a project as text and HTML: state, reason, last success, outputs, rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from odibi_nb.core.planning.stale_plan import STATUS_COLUMNS
from odibi_nb.views.escaping import escape
from odibi_nb.views.html_parts import (
    MAX_RECORDS,
    beginning_of,
    block,
    breakable,
    first_of,
    not_shown,
    signed,
    table,
    table_row,
)
from odibi_nb.views.records import Records
from odibi_nb.views.status_style import FRESHNESS_STYLES

if TYPE_CHECKING:
    import datetime as dt

    from odibi_nb.core.planning.stale_plan import ProjectStatus

_HEADS = ("transformation", "layer", "state", "why", "last success", "run", "outputs", "rows")
_LEFT = "style='text-align:left;vertical-align:top'"


def status_text(status: ProjectStatus) -> str:
    """Return the state of all rows as text, for terminals and logs."""
    lines = [str(Records(_title(status), STATUS_COLUMNS, [*map(_signed, status.records())]))]
    lines += [f"  ✖ {problem}" for problem in status.problems]
    return "\n".join(lines)


def status_html(status: ProjectStatus) -> str:
    """Return the state of the rows as a table, rows that are not fresh first."""
    records = status.records()
    if len(records) > MAX_RECORDS:
        records = sorted(records, key=lambda record: record["state"] == "fresh")
    rest = not_shown(len(records) - MAX_RECORDS)
    problems = "".join(f"<li>✖ {escape(text)}</li>" for text in first_of(status.problems))
    listed = f"<ul style='list-style:none;padding-left:0'>{problems}</ul>" if problems else ""
    title = escape(_title(status))
    top = f"<table cellpadding=4><caption style='text-align:left'>{title}</caption>"
    rows = map(_row, records[:MAX_RECORDS])
    return block(listed, table(_HEADS, rows, top=top, th=f"scope='col' {_LEFT}"), rest)


def _title(status: ProjectStatus) -> str:
    counts = ", ".join(f"{n:,} {state}" for state, n in status.counts().items()) or "no rows"
    return f"Status of {status.project!r}, env {status.env}: {counts}"


def _signed(record: dict[str, Any]) -> dict[str, Any]:
    sign = FRESHNESS_STYLES[record["state"]].sign
    return {**record, "state": f"{sign} {record['state']}"}


def _row(record: dict[str, Any]) -> str:
    last: dt.datetime | None = record["last_success"]
    cells = [
        breakable(record["transformation_id"]),
        breakable(record["layer"]),
        signed(FRESHNESS_STYLES[record["state"]], record["state"], "b"),
        escape(beginning_of(record["why"])),
        f"{last:%Y-%m-%d %H:%M:%S}" if last else "",
        escape(record["run_id"] or ""),
        breakable(record["outputs"]),
        "" if record["rows"] is None else f"{record['rows']:,}",
    ]
    return table_row(cells, f" {_LEFT}")
