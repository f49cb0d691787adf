"""Write the run log's records to the sinks during a run."""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from odibi_nb.core.runlog.record import sink_name, unwritten
from odibi_nb.core.text.redaction import error_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from odibi_nb.core.protocols import BaseLogSink, Row
    from odibi_nb.core.runlog.journal import Journal

FLUSH_SECONDS = 5.0
SYNC_SECONDS = 0.2
SINK_TRIES = 4
BACKOFF_SECONDS = 0.1
_FLUSH = object()


@dataclass(slots=True)
class _Position:
    """The progress of one sink: it has the first *done* records of the run."""

    sink: BaseLogSink
    done: int = 0
    tried: bool = False
    failed: str | None = None


@dataclass(kw_only=True)
class RunLogWriter:
    """Writer of records to the sinks, in batches. Only its own thread calls the sinks.

    It writes a batch when a layer ends before others (`flush`), at the end of the run (`close`), and
    otherwise every `FLUSH_SECONDS`. It tries a failed sink again with every later batch.

    Attributes:
        on_flushed: called after each batch with the name of the sink and the number of records.
        replaced: returns a text if another run has taken the place of this run, and so has completed its
            log. Each sink is then asked which records it has before it gets more.
    """

    run_id: str
    sinks: Sequence[BaseLogSink]
    journal: Journal
    on_flushed: Callable[[str, int], object] = lambda _name, _count: None
    replaced: Callable[[], str] = lambda: ""
    _records: list[Row] = field(default_factory=list)
    _inbox: queue.SimpleQueue[object] = field(default_factory=queue.SimpleQueue)

    def __post_init__(self) -> None:
        self._positions = [_Position(sink) for sink in self.sinks]
        self._thread = threading.Thread(target=self._work, name="odibi-run-log", daemon=True)
        self._thread.start()

    def add(self, record: Row) -> None:
        """Add one record, without waiting."""
        self._records.append(record)

    def flush(self) -> None:
        """Request a batch now, without waiting for it."""
        self._inbox.put(_FLUSH)

    def close(self, run_record: Row) -> list[str]:
        """Write the remaining records and *run_record*, and wait for the sinks.

        Return one message for each sink that failed. The journal keeps the records that a sink did
        not take, and the next start writes them.
        """
        self._inbox.put(run_record)
        self._thread.join()
        return [
            f"run log sink {sink_name(p.sink)} failed, the records are kept in {self.journal.folder}: {p.failed}"
            for p in self._positions
            if p.failed is not None
        ]

    def _work(self) -> None:
        waited = 0.0
        while True:
            try:
                message = self._inbox.get(timeout=SYNC_SECONDS)
            except queue.Empty:
                message = None
                waited += SYNC_SECONDS
            self.journal.sync()
            if isinstance(message, dict):
                for position in self._positions:
                    self._finish(position, message)
                return
            if message is not None or waited >= FLUSH_SECONDS:
                waited = 0.0
                for position in self._positions:
                    self._hand_over(position, final=False)

    def _finish(self, position: _Position, run_record: Row) -> None:
        """Write the last batch and the record of the run, at the same time if the sink can."""
        batch = self._records[position.done :]
        unsure = bool(self.replaced())
        position.tried = position.tried or unsure
        if batch and position.failed is None and not unsure:
            try:
                if position.sink.write_last(batch, run_record):
                    self._handed_over(position, batch)
                    return
            except BaseException:  # noqa: BLE001  missing records are written below
                unsure = position.tried = True
        self._hand_over(position, final=True)
        if position.failed is not None:
            return
        try:
            if not (unsure and position.sink.has_run(self.run_id)):
                position.sink.write_run(run_record)
        except BaseException as exc:  # noqa: BLE001  a sink never fails a run, or ends this thread
            position.failed = error_text(exc)

    def _hand_over(self, position: _Position, *, final: bool) -> None:
        batch = self._records[position.done :]
        if not batch:
            return
        import tenacity  # late: where tornado is installed it imports that, and asyncio

        tries = SINK_TRIES if final or not position.failed else 1
        try:
            for attempt in tenacity.Retrying(
                stop=tenacity.stop_after_attempt(tries),
                wait=tenacity.wait_random_exponential(multiplier=BACKOFF_SECONDS, max=2),
                reraise=True,
            ):
                with attempt:
                    unsure = position.tried or self.replaced()
                    rest = unwritten(position.sink, self.run_id, batch) if unsure else batch
                    position.tried = True
                    if rest:
                        position.sink.write(rest)
        except BaseException as exc:  # noqa: BLE001  a sink never fails a run, or ends this thread
            position.failed = error_text(exc)
            return
        self._handed_over(position, batch)

    def _handed_over(self, position: _Position, batch: Sequence[Row]) -> None:
        position.failed, position.tried = None, False
        position.done += len(batch)
        self.journal.append(
            {"event": "flushed", "sink": sink_name(position.sink), "records": position.done}
        )
        self.on_flushed(sink_name(position.sink), len(batch))
