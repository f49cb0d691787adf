"""Read what transformations printed, and their errors, from the journals of the last runs."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.events import EventType, Status
from odibi_nb.core.model.failure_place import place_in
from odibi_nb.core.runlog.journal import OUTPUT, live_runs, read_journal, read_on, run_folders
from odibi_nb.core.runlog.journal_lines import read_line
from odibi_nb.core.text.clock import as_time
from odibi_nb.core.text.json import as_json

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator
    from pathlib import Path


TAIL_LINES = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptLog:
    """The output and the status of one attempt.

    Attributes:
        status: the value of a `Status`; RUNNING until the attempt ends.
        log: the text that the attempt has printed and logged so far.
        traceback: the traceback of a failed attempt.
        hint: a column that the user may have meant, as a question; "" without one.
    """

    run_id: str
    transformation_id: str
    attempt: int
    status: str
    start_time: dt.datetime | None
    error: str = ""
    log: str = ""
    traceback: str = ""
    hint: str = ""


def newest_attempts(
    state_dir: Path,
    project: str,
    env: str,
    transformation_id: str,
    run_id: str | None = None,
) -> list[AttemptLog]:
    """Return the attempts of a transformation in one run, oldest first.

    The run is *run_id* or, without it, the newest run that has an attempt of the transformation.
    """
    live = {folder.name for folder in live_runs(state_dir)}
    for folder, lines in _journals(state_dir, project, env, run_id):
        found = [*_attempts(folder.name, lines, transformation_id, live=folder.name in live)]
        if found:
            return found
    return []


class FollowedAttempt:
    """The newest attempt of one transformation in a run that has not ended.

    Each call of `read` reads only the lines that the journal has gained since the last call.

    Args:
        folder: the folder of the run, with its journal.
        transformation_id: the transformation to follow.
    """

    def __init__(self, folder: Path, transformation_id: str) -> None:
        self._folder = folder
        self._id = transformation_id
        self._sign = as_json({"transformation_id": transformation_id}).strip("{}").encode()
        self._at = 0
        self._started: list[dict[str, Any]] = []
        self._printed: deque[dict[str, Any]] = deque(maxlen=TAIL_LINES)
        self._ended: list[dict[str, Any]] = []

    def read(self) -> AttemptLog | None:
        """Return the newest attempt; None before the first attempt starts.

        Until the attempt ends, its log has only the last `TAIL_LINES` lines.
        """
        lines, self._at = read_on(self._folder, self._at)
        for line in lines:
            # read_line returns None for a torn line, which a full disk leaves.
            if self._sign in line and (found := read_line(line)) is not None:
                self._take(found)
        newest = [*self._started, *self._printed, *self._ended]
        return next(_attempts(self._folder.name, newest, self._id, live=True), None)

    def _take(self, line: dict[str, Any]) -> None:
        if line.get("event") == OUTPUT:
            self._printed.append(line)
        elif line.get("event") == EventType.TRANSFORM_START:
            self._started, self._ended = [line], []
            self._printed.clear()
        elif line.get("record"):
            self._ended = [line]


def known_ids(state_dir: Path, project: str, env: str, run_id: str | None = None) -> list[str]:
    """Return the transformation ids in the journal of *run_id* or, without it, of the newest run."""
    newest = next((lines for _, lines in _journals(state_dir, project, env, run_id)), [])
    ids = (line.get("transformation_id") for line in newest)
    return [*dict.fromkeys(str(name) for name in ids if name)]


def last_failed(state_dir: Path, project: str, env: str) -> str | None:
    """Return the transformation that failed last in the newest run with a failure."""
    for _, lines in _journals(state_dir, project, env):
        failures = (x for x in lines if x.get("event") == EventType.TRANSFORM_FAILURE)
        failed = [x for x in failures if x.get("transformation_id")]
        if failed:
            return str(failed[-1]["transformation_id"])
    return None


def _journals(
    state_dir: Path, project: str, env: str, run_id: str | None = None
) -> Iterator[tuple[Path, list[dict[str, Any]]]]:
    """Yield the folder and the lines of the runs of *project* and *env*, or only of *run_id*, newest first."""
    for folder in reversed(run_folders(state_dir)):
        if run_id is None or folder.name == run_id:
            lines = read_journal(folder)
            if any((x.get("project"), x.get("env")) == (project, env) for x in lines[:5]):
                yield folder, lines


def _attempts(
    run_id: str, lines: list[dict[str, Any]], transformation_id: str, *, live: bool
) -> Iterator[AttemptLog]:
    started: dict[str, Any] | None = None
    printed: list[str] = []
    for line in lines:
        if line.get("transformation_id") != transformation_id:
            continue
        if line.get("event") == OUTPUT:
            printed.append(str(line.get("line", "")))
        elif line.get("event") == EventType.TRANSFORM_START:
            started, printed = line, []
        elif line.get("record"):
            yield _ended(run_id, line, printed)
            started = None
    if started is not None:
        yield AttemptLog(
            run_id=run_id,
            transformation_id=transformation_id,
            attempt=int(started.get("attempt") or 1),
            status=(Status.RUNNING if live else Status.ABANDONED).value,
            start_time=as_time(started.get("timestamp")),
            error="" if live else "the process that ran it ended",
            log="\n".join(printed),
        )


def _ended(run_id: str, line: dict[str, Any], printed: list[str]) -> AttemptLog:
    record = line["record"]
    kind, message = record.get("error_type"), record.get("error_message") or ""
    place = place_in(line.get("failed_at"))
    return AttemptLog(
        run_id=run_id,
        transformation_id=str(record["transformation_id"]),
        attempt=int(record.get("attempt") or 1),
        status=str(record["status"]),
        start_time=as_time(record.get("start_time")),
        error=f"{kind}: {message}" if kind else message,
        log=str(line.get("log") or "\n".join(printed)),
        traceback=str(line.get("traceback") or ""),
        hint=place.hint if place else "",
    )
