"""Read a past run back as a `RunResult`, from its journal or from the run log."""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from odibi_nb.core.model.check_result import CheckResult
from odibi_nb.core.model.events import RunStatus, Status
from odibi_nb.core.model.failure_place import place_in
from odibi_nb.core.model.provenance import OutputWritten
from odibi_nb.core.model.results import RunResult, TransformationResult
from odibi_nb.core.runlog.history import LAST, KnownRuns
from odibi_nb.core.runlog.journal import live_runs, read_journal, runs_folder
from odibi_nb.core.runlog.journal_lines import planned_rows
from odibi_nb.core.runlog.record import json_list
from odibi_nb.core.runlog.recovery import dead_runs, journaled_run
from odibi_nb.core.text.clock import utc_now

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from odibi_nb.core.model.failure_place import FailurePlace
    from odibi_nb.core.protocols import BaseLogSink, Row

Printed = tuple[str, str]
"""The parts of an attempt that only the journal has: its output, and its traceback."""
_outputs = msgspec.json.Decoder(tuple[OutputWritten, ...])
_checks = msgspec.json.Decoder(tuple[CheckResult, ...])


@dataclass(frozen=True, slots=True, kw_only=True)
class PastRun:
    """The records of a run that has ended.

    Attributes:
        run: the record of the run.
        records: the records of its attempts.
        planned: ids of its rows, in the plan's order; empty if only the run log has the run.
        printed: output of the last attempt of each row, by id.
        why: why a ``--stale`` run included a row, by id.
        failed_at: the line at which the last attempt of a row failed, by id.
        ended: True if the run itself recorded its end.
    """

    run: Row
    records: list[Row]
    planned: tuple[str, ...] = ()
    printed: Mapping[str, Printed] = field(default_factory=dict)
    why: Mapping[str, str] = field(default_factory=dict)
    failed_at: Mapping[str, FailurePlace | None] = field(default_factory=dict)
    ended: bool = True


def find_past_run(
    state_dir: Path, sinks: Sequence[BaseLogSink], project: str, env: str, run_id: str = LAST
) -> PastRun:
    """Return the run *run_id* of *project* and *env*, or the newest one for ``last``.

    The journal has the most facts, but only on the machine of the run, and only of the newest runs. The
    run log has every run that ended. A run whose process died is in the journal until the next run completes its log.

    Raises:
        LookupError: if neither has the run, with the closest id; or if the run is in progress.
    """
    if run_id != LAST and run_id not in ("", ".", "..") and not {"/", "\\"} & {*run_id}:
        journaled = ended_run_in(runs_folder(state_dir) / run_id, project, env)
        if journaled is not None:
            return journaled
    known = KnownRuns(sinks, project, env, dead_runs(state_dir, project, env))
    if run_id == LAST and known.runs:
        run_id = known.runs[0]["run_id"]
        journaled = past_run_in(runs_folder(state_dir) / run_id, project, env)
        if journaled is not None:
            return journaled
    return PastRun(run=known.named(run_id), records=known.attempts([run_id]))


def ended_run_in(folder: Path, project: str, env: str) -> PastRun | None:
    """Return the run in *folder* as `past_run_in` does.

    Raises:
        LookupError: if the run is in progress.
    """
    past = past_run_in(folder, project, env)
    if past is not None and not past.ended and folder in live_runs(folder.parent.parent):
        raise LookupError(f"run {folder.name} is in progress; follow it: odibi watch {folder.name}")
    return past


def past_run_in(folder: Path, project: str, env: str) -> PastRun | None:
    """Return the run in *folder*; None if its journal is incomplete, or belongs to another project."""
    if not (folder / "journal.jsonl").is_file():
        return None
    run, records, lines, unreadable = journaled_run(folder)
    if not run or (run["project"], run["env"]) != (project, env):
        return None
    if unreadable and not records:
        return None
    own = [line for line in lines if line.get("transformation_id")]
    ends = [line for line in own if line.get("record")]
    return PastRun(
        run=run,
        records=records,
        planned=tuple(planned_rows(lines)),
        printed={
            line["transformation_id"]: (line.get("log") or "", line.get("traceback") or "")
            for line in ends
        },
        ended=any(line.get("run_record") for line in lines),
        why={
            line["transformation_id"]: line["why"]
            for line in own
            if isinstance(line.get("why"), str)
        },
        failed_at={line["transformation_id"]: place_in(line.get("failed_at")) for line in ends},
    )


def upstream_in(folder: Path) -> dict[str, tuple[str, ...]]:
    """Return the upstream rows of each row of the run in *folder*, by id; {} without its journal."""
    planned = planned_rows(read_journal(folder))
    return {name: tuple(row.get("upstream") or ()) for name, row in planned.items()}


def result_of(
    past: PastRun, frame_with: Callable[[Sequence[str], Sequence[Row]], Any] | None = None
) -> RunResult:
    """Return the result of the run *past*, as far as it was stored.

    Exceptions are gone, and so is `RunResult.leaked_threads`. Logs and tracebacks are there if the journal
    has them. Values that an older version or a damaged log lacks are filled in from the others.
    """
    run, records = past.run, past.records
    starts = [r["start_time"] for r in records if isinstance(r.get("start_time"), dt.datetime)]
    ends = [r["end_time"] for r in records if isinstance(r.get("end_time"), dt.datetime)]
    start = run.get("start_time") or min(starts, default=utc_now())
    seconds = run.get("duration_seconds")
    end = run.get("end_time") or max(ends, default=start)
    attempts: dict[str, list[Row]] = defaultdict(list)
    whole = [_whole(record, run, start, end) for record in records]
    for record in sorted(whole, key=lambda r: r["attempt"]):
        attempts[record["transformation_id"]].append(record)
    return RunResult(
        run_id=run["run_id"],
        status=_run_status(run.get("status")),
        project=run.get("project") or "",
        env=run.get("env") or "",
        engine=run.get("engine") or "",
        layers_executed=_layers(run, whole),
        start_time=start,
        end_time=max(start, end),
        duration_seconds=(end - start).total_seconds() if seconds is None else seconds,
        transformations={name: _row(attempts[name], past) for name in _order(past, whole)},
        warnings=[str(text) for text in json_list(run.get("warnings"))],
        records=whole,
        retry_of=run.get("retry_of"),
        rollback_of=run.get("rollback_of"),
        to_frame_with=frame_with,
    )


def _whole(record: Row, run: Row, begun: dt.datetime, ended: dt.datetime) -> Row:
    """Return *record* with the values that every view needs."""
    start = record.get("start_time") or begun
    seconds = record.get("duration_seconds")
    end = record.get("end_time") or (
        ended if seconds is None else start + dt.timedelta(seconds=seconds)
    )
    status = record.get("status")
    known = status in {one.value for one in Status if one is not Status.RUNNING}
    texts = {name: record.get(name) or "" for name in ("layer", "module", "function")}
    decoders = {"checks": _checks.decode, "outputs_written": _outputs.decode}
    json_texts = {
        name: record.get(name) if _decoded(decode, record.get(name)) else None
        for name, decode in decoders.items()
    }
    return {
        **record,
        **texts,
        **json_texts,
        "engine": record.get("engine") or run.get("engine") or "",
        "attempt": 1 if record.get("attempt") is None else record["attempt"],
        "start_time": start,
        "end_time": max(start, end),
        "status": status if known else Status.ABANDONED.value,
        "error_message": record.get("error_message") if known else f"its status is {status!r}",
    }


def _row(attempts: Sequence[Row], past: PastRun) -> TransformationResult:
    """Return the result of one row from the records of its attempts, first to last."""
    last = attempts[-1]
    started = [record for record in attempts if record["attempt"] > 0]
    name, kind, message = last["transformation_id"], last["error_type"], last["error_message"]
    log, traceback = past.printed.get(name, ("", ""))
    start = started[0]["start_time"] if started else None
    return TransformationResult(
        transformation_id=name,
        layer=last["layer"],
        module=last["module"],
        function=last["function"],
        engine=last["engine"],
        plant=last["plant"],
        asset=last["asset"],
        status=Status(last["status"]),
        attempts=max((record["attempt"] for record in started), default=0),
        start_time=start,
        end_time=last["end_time"],
        duration_seconds=None if start is None else (last["end_time"] - start).total_seconds(),
        rows_in=last["rows_in"],
        rows_out=last["rows_out"],
        reason=f"{kind}: {message}" if kind else message or "",
        error_type=kind,
        error_message=message,
        traceback=traceback,
        log=log,
        checks=_decoded(_checks.decode, last["checks"]),
        outputs_written=_decoded(_outputs.decode, last["outputs_written"]),
        why=past.why.get(name, ""),
        failed_at=past.failed_at.get(name),
    )


def _order(past: PastRun, records: Sequence[Row]) -> list[str]:
    """Return the ids of all rows: in the plan's order, or else by layer and start."""
    layers = {name: n for n, name in enumerate(_layers(past.run, records))}
    by_layer = sorted(records, key=lambda r: (layers.get(r["layer"], len(layers)), r["start_time"]))
    ended = dict.fromkeys(record["transformation_id"] for record in by_layer)
    planned = [name for name in past.planned if name in ended]
    return [*dict.fromkeys([*planned, *ended])]


def _layers(run: Row, records: Sequence[Row]) -> list[str]:
    """Return the layers in which a row started: in the run's order, as far as it is known."""
    started = [record for record in records if record["attempt"]]
    known = dict.fromkeys(
        record["layer"] for record in sorted(started, key=lambda r: r["start_time"])
    )
    ordered = [name for name in (run.get("layers") or "").split(", ") if name in known]
    return [*dict.fromkeys([*ordered, *known])]


def _run_status(status: str | None) -> RunStatus:
    try:
        return RunStatus(status)
    except ValueError:
        return RunStatus.FAILED


def _decoded(decode: Callable[[str], Any], text: str | None) -> Any:
    """Return the result of *decode* for *text*; () without a text, or if another version wrote it."""
    try:
        return decode(text) if text else ()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ()
