"""Reports of runs: find a past run or a run in progress, and write its report."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from odibi_nb.core.runlog.followed_run import FollowedRun
from odibi_nb.core.runlog.history import LAST
from odibi_nb.core.runlog.journal import live_runs, runs_folder
from odibi_nb.core.runlog.past_run import find_past_run, result_of, upstream_in
from odibi_nb.core.runlog.unusual import with_unusual
from odibi_nb.errors import ConfigurationError
from odibi_nb.views.report.report_file import marked, write_report
from odibi_nb.views.report.report_html import report_html
from odibi_nb.views.report.report_markdown import report_markdown
from odibi_nb.views.report.run_report import RunReport, report_of
from odibi_nb.views.run.state import RunState

if TYPE_CHECKING:
    from odibi_nb.core.running.orchestrator import Orchestrator

Format = Literal["html", "md"]
FORMATS = ("html", "md")


@dataclass(frozen=True, slots=True, repr=False)
class WrittenReport:
    """A report that was written to `path`."""

    path: Path
    size: int

    def __repr__(self) -> str:
        return f"report written: {self.path} ({max(1, round(self.size / 1000)):,} kB)"


def find_report(project: Orchestrator, run_id: str = LAST) -> RunReport:
    """Return the report of a run of *project*.

    ``last`` means the newest run that has ended. A run in progress has a report under its id: its present
    state, without logs.

    Raises:
        ConfigurationError: if there is no such run.
    """
    folder = runs_folder(project.state_dir) / run_id
    owner = project.manifest.owner or ""
    if run_id != LAST and folder in live_runs(project.state_dir):
        return _report_now(folder, owner, project)
    where = project.state_dir, project.sinks(), project.project, project.env
    try:
        past = find_past_run(*where, run_id)
    except LookupError as exc:
        raise ConfigurationError("report", [str(exc.args[0])]) from exc
    result = result_of(past)
    with contextlib.suppress(Exception):  # a log that cannot be read marks no rows
        result = with_unusual(result, project.usual(before=result.run_id))
    upstream = upstream_in(runs_folder(project.state_dir) / result.run_id)
    return report_of(result, upstream, owner)


def _report_now(folder: Path, owner: str, project: Orchestrator) -> RunReport:
    state, run = RunState(), FollowedRun(folder)
    state.usual = project.usual
    state.learn_usual()
    run.show_in(state)
    run.read()
    return RunReport(snapshot=state.snapshot(), upstream=upstream_in(folder), owner=owner)


def report_text(report: RunReport, format: Format = "html") -> str:
    """Return the whole text of a report."""
    return marked(_body(report, format))


def save_report(
    report: RunReport,
    out: str | Path | None = None,
    format: Format = "html",
    *,
    force: bool = False,
) -> WrittenReport:
    """Write a report to *out*, by default ``report-RUN_ID.html`` or ``.md`` in the working directory.

    Raises:
        ConfigurationError: as `write_report`.
    """
    # A log that others can write may have any text as an id.
    name = re.sub(r"[^\w.-]", "_", report.snapshot.run_id)
    path = Path(out) if out else Path(f"report-{name}.{format}")
    return WrittenReport(path, write_report(path, _body(report, format), force=force))


def _body(report: RunReport, format: Format) -> str:
    if format not in FORMATS:
        raise ConfigurationError("format", [f"expected 'html' or 'md', found {format!r}"])
    return report_html(report) if format == "html" else report_markdown(report)
