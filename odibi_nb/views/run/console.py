"""A run as lines of text, in the seed's words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.events import EventType, RunEvent
from odibi_nb.core.protocols import View
from odibi_nb.core.running.capture import real_stream
from odibi_nb.core.text.counts import counted
from odibi_nb.core.text.name_lists import some_of
from odibi_nb.core.text.terminal_text import readable
from odibi_nb.errors import ConfigurationError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable

    from odibi_nb.core.planning.plan import RunPlan

LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
RULE = "━" * 53


class ConsoleView(View):
    """Print messages whose level is at least *log_level* to standard output.

    Raises:
        ConfigurationError: if the level is unknown.
    """

    def __init__(self, log_level: str = "WARNING") -> None:
        name = str(log_level).upper()
        if name not in LEVELS:
            hint = did_you_mean(name, LEVELS) or f": one of {', '.join(LEVELS)}"
            raise ConfigurationError("log_level", [f"unknown level {log_level!r}{hint}"])
        self.threshold = LEVELS[name]
        self.running: set[str] = set()
        self.total = self.ended = self.failed = 0

    def on_plan(self, plan: RunPlan) -> None:
        self.running.clear()
        self.total, self.ended, self.failed = len(plan.rows), 0, 0

    def on_message(self, level: str, text: str) -> None:
        """Print *text* if *level* reaches the threshold."""
        if LEVELS[level] >= self.threshold:
            self.print(level, text)

    def on_output(self, transformation_id: str, line: str) -> None:
        """Print a line of a transformation's output, with its id if several transformations run."""
        self.on_message("INFO", line if len(self.running) < 2 else f"[{transformation_id}] {line}")  # noqa: PLR2004

    def on_event(self, event: RunEvent) -> None:
        payload = event.payload
        if event.type is EventType.TRANSFORM_START:
            self.running.add(payload["transformation_id"])
        elif "attempt" in payload:
            self.running.discard(payload["transformation_id"])
            if event.type is not EventType.TRANSFORM_RETRY:
                self.ended += 1
                self.failed += event.type is EventType.TRANSFORM_FAILURE
        write = _LINES.get(event.type)
        if write is not None:
            level, text = write(payload)
            self.on_message(level, text)

    def print(self, level: str, text: str) -> None:
        """Write a line. *level* serves subclasses that decorate it."""
        del level
        print(readable(text), file=real_stream(), flush=True)


class ThrottledConsole(ConsoleView):
    """Console that stays readable: after a burst, it prints at most *per_second* lines a second.

    It counts the lines that it leaves out, and shows the run's progress with the count. Warnings and
    errors always appear.
    """

    def __init__(
        self,
        log_level: str = "INFO",
        burst: int = 200,
        per_second: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(log_level)
        self._burst = self._allowance = float(burst)
        self._per_second = per_second
        self._clock = clock
        self._last = clock()
        self._left_out = 0

    def print(self, level: str, text: str) -> None:
        """Write the line, or count it as left out."""
        now = self._clock()
        earned = (now - self._last) * self._per_second
        self._allowance = min(self._burst, self._allowance + earned)
        self._last = now
        if self._allowance < 1 and LEVELS[level] <= LEVELS["INFO"]:
            self._left_out += 1
            return
        self._allowance -= 1
        if self._left_out:
            done = f"{self.ended:,} of {self.total:,} ended, {len(self.running)} running, {self.failed} failed"
            super().print("INFO", f"… {counted(self._left_out, 'line')} left out: {done}")
            self._left_out = 0
        super().print(level, text)


def _name(payload: dict[str, Any]) -> str:
    return f"{payload['module']}.{payload['function']}"


def _layer_start(payload: dict[str, Any]) -> tuple[str, str]:
    layer = payload["layer"]
    if not payload["transformations"]:
        text = f"⚠️ No enabled transformations found for {payload['project']} ({payload['env']}), layer {layer}"
        return "WARNING", text
    return "INFO", f"{RULE}\nLayer: {layer}\n{RULE}\n⚙️ Starting transformation layer: {layer}"


def _layer_end(payload: dict[str, Any]) -> tuple[str, str]:
    seconds = payload["duration_seconds"]
    if payload["failed"]:
        shown = some_of(payload["failed"], 5)
        return "ERROR", f"❌ Layer {payload['layer']} failed in {seconds:.1f}s: {shown}\n"
    return "INFO", f"✅ Layer {payload['layer']} completed in {seconds:.1f}s\n"


def _start(payload: dict[str, Any]) -> tuple[str, str]:
    entities = " ".join(x for x in (payload["plant"], payload["asset"]) if x)
    return (
        "INFO",
        f"Running [{payload['project']}] {entities} ({_name(payload)}) [engine={payload['engine']}]",
    )


def _retry(payload: dict[str, Any]) -> tuple[str, str]:
    tries = f"{payload['attempt']}/{payload['max_retries']}"
    wait = f"{payload['delay_seconds']:.1f}s"
    return "WARNING", f"Retry {tries} for {_name(payload)} in {wait} | {payload['error_message']}"


def _failure(payload: dict[str, Any]) -> tuple[str, str]:
    retries = payload["attempt"] - 1
    noun = "retry" if retries == 1 else "retries"
    tries = f"Failed after {retries} {noun}" if retries else "Failed"
    error = f"{payload['error_type']}: {payload['error_message']}"
    return "ERROR", f"{tries}: {_name(payload)} | {error}"


def _not_run(payload: dict[str, Any]) -> tuple[str, str]:
    word = "Skipped" if payload["status"] == "SKIPPED" else "Cancelled"
    return "WARNING", f"{word}: {_name(payload)} | {payload['error_message']}"


def _run_end(payload: dict[str, Any]) -> tuple[str, str]:
    status, seconds = payload["status"], payload["duration_seconds"]
    words = {"success": "completed successfully!", "failed": "failed", "cancelled": "was cancelled"}
    lines = [
        f"🏁 Transformation processing complete in {seconds:.1f}s",
        "",
        f"Pipeline {words[status]}",
        f"Status: {status}",
        f"Layers executed: {payload['layers_executed']}",
        f"Duration: {seconds:.1f} seconds",
    ]
    if status != "success":
        counts = ", ".join(f"{n} {name.lower()}" for name, n in payload["counts"].items())
        lines += [f"Transformations: {counts}", f"Run: {payload['run_id']}"]
    return "INFO" if status == "success" else "ERROR", "\n".join(lines)


_LINES: dict[EventType, Callable[[dict[str, Any]], tuple[str, str]]] = {
    EventType.LAYER_START: _layer_start,
    EventType.LAYER_END: _layer_end,
    EventType.TRANSFORM_START: _start,
    EventType.TRANSFORM_SUCCESS: lambda payload: ("INFO", f"Success: {_name(payload)}"),
    EventType.TRANSFORM_UNCHANGED: lambda payload: ("INFO", f"Unchanged: {_name(payload)}"),
    EventType.TRANSFORM_RETRY: _retry,
    EventType.TRANSFORM_FAILURE: _failure,
    EventType.TRANSFORM_SKIPPED: _not_run,
    EventType.TRANSFORM_CANCELLED: _not_run,
    EventType.RUN_END: _run_end,
}
