"""A trace of every run, with OpenTelemetry (``pip install 'odibi-nb[opentelemetry]'``).

To trace single runs::

    from odibi_nb import HookManager, run_project
    from odibi_nb.listeners import opentelemetry

    hooks = HookManager()
    opentelemetry.register(hooks)
    run_project("Energy Efficiency", hooks=hooks)

To trace every run, declare an entry point in the ``pyproject.toml`` of any installed package::

    [project.entry-points."odibi_nb.hooks"]
    opentelemetry = "odibi_nb.listeners.opentelemetry:register"

OpenTelemetry's own configuration decides where spans go: the TracerProvider of the application or of
``opentelemetry-instrument``. Without one, OpenTelemetry records nothing.

Spans
=====

::

    run <project>                          a child of the current span at the start of the run
    └── layer <layer>                      from its first row to its last
        └── transform <transformation_id>  one per attempt, so a retry has its own span
            └── ...                        spans of the transformation itself

Attributes have the prefix ``odibi.``. All spans have ``project``, ``env``, ``run_id`` and ``engine``.
Spans of layers and attempts also have ``layer``, and further attributes are set if known:
``transformation_id``, ``attempt``, ``module``, ``function``, ``plant``, ``asset``, ``rows_in``,
``rows_out`` and ``status``.

Failed runs, layers and attempts have the status ERROR, and a failed attempt has its error as an event
``exception``. A cancelled attempt is not an error; its reason is in ``odibi.reason``. A row that never
started becomes an event of its layer's span, ``transform_skipped`` or ``transform_cancelled``. If no
row of a layer started, its span ends with the last of these events.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

from odibi_nb.core.model.events import DONE, ENDED, EventType, RunStatus, Status
from odibi_nb.core.text.counts import counted
from odibi_nb.errors import EngineNotAvailableError
from odibi_nb.listeners import register_once
from odibi_nb.listeners.sending import BackgroundSender
from odibi_nb.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import Span, Tracer, TracerProvider

    from odibi_nb.core.running.hooks import HookManager

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
_OF_A_RUN = ("project", "env", "run_id", "engine")
_OF_A_ROW = (
    *_OF_A_RUN,
    "layer",
    "transformation_id",
    "attempt",
    "module",
    "function",
    "plant",
    "asset",
)
_OF_AN_END = ("status", "rows_in", "rows_out")


def register(hooks: HookManager, *, tracer_provider: TracerProvider | None = None) -> None:
    """Trace the runs that use *hooks*.

    A second call for the same HookManager changes nothing, unless it gives a *tracer_provider*.
    Then the new listener replaces the earlier one.

    Args:
        hooks: the HookManager that `run_project` gets, or passes to an entry point.
        tracer_provider: creates the spans; OpenTelemetry's global one if None.

    Raises:
        EngineNotAvailableError: if OpenTelemetry is not installed.
    """
    try:
        from opentelemetry import trace
    except ImportError as exc:
        needed_for = "tracing with OpenTelemetry"
        raise EngineNotAvailableError(needed_for, "opentelemetry", "opentelemetry-api") from exc
    tracer = trace.get_tracer("odibi_nb", __version__, tracer_provider)
    register_once(hooks, OpenTelemetryListener(tracer), replace=tracer_provider is not None)


class OpenTelemetryListener:
    """A listener that creates the spans of any number of runs, consecutive or concurrent."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._runs: dict[str, _RunTrace] = {}

    def __repr__(self) -> str:
        return "OpenTelemetry"

    def __call__(self, payload: Mapping[str, Any]) -> None:
        """Record one event. Events of a run without a recorded start are ignored."""
        event, run_id = EventType(payload["event"]), str(payload.get("run_id"))
        if event is EventType.RUN_START:
            self._runs[run_id] = _RunTrace(self._tracer, payload)
        elif event is EventType.RUN_END:
            if run := self._runs.pop(run_id, None):
                run.end(payload)
        elif run := self._runs.get(run_id):
            run.tell(event, payload)


class _RunTrace:
    """The open spans of one run."""

    def __init__(self, tracer: Tracer, payload: Mapping[str, Any]) -> None:
        self._tracer = tracer
        self._layers: dict[str, Span] = {}
        self._last_unstarted: dict[str, int] = {}  # of layers in which no row has started
        self._attempts: dict[tuple[str, int], Span] = {}
        self._token: Any = None
        # An exporter may send each span at its end, and wait for a server that is down.
        self._sender = BackgroundSender("spans", lambda ended: ended[0].end(ended[1]))
        self._facts = _attributes(payload, _OF_A_RUN)
        self._span = tracer.start_span(
            f"run {payload['project']}",
            attributes=self._facts,
            start_time=_nanoseconds(payload["timestamp"]),
        )

    def tell(self, event: EventType, payload: Mapping[str, Any]) -> None:
        """Record an event between the run's start and its end."""
        self._leave_attempt()
        if event is EventType.LAYER_START:
            self._layer(payload)
            self._last_unstarted.pop(payload["layer"], None)
        elif event is EventType.LAYER_END:
            self._end_layer(payload)
        elif event is EventType.TRANSFORM_START:
            self._start_attempt(payload)
        elif event in ENDED:
            span = self._attempts.pop((payload["transformation_id"], payload["attempt"]), None)
            if span is None:
                self._never_started(event, payload)
            else:
                self._end_attempt(span, payload)

    def end(self, payload: Mapping[str, Any]) -> None:
        """End all spans that are still open, for example after an abandoned run or a lost event.

        Raises:
            OdibiError: if some spans could not be sent.
        """
        try:
            self._end_all(payload)
        finally:
            self._sender.finish()

    def _end_all(self, payload: Mapping[str, Any]) -> None:
        self._leave_attempt()
        now = _nanoseconds(payload["timestamp"])
        for span in self._attempts.values():
            span.set_attribute("odibi.status", Status.ABANDONED.value)
            self._sender.put((span, now))
        for layer, span in self._layers.items():
            self._sender.put((span, self._last_unstarted.get(layer, now)))
        self._span.set_attributes(_attributes(payload, _OF_AN_END))
        if payload["status"] == RunStatus.FAILED.value:
            counts = ", ".join(f"{n} {status}" for status, n in payload["counts"].items())
            _set_error(self._span, counts)
        self._sender.put((self._span, now))

    def _layer(self, payload: Mapping[str, Any]) -> Span:
        """Return the span of the payload's layer, and start it if necessary."""
        layer = payload["layer"]
        if layer not in self._layers:
            facts = {**self._facts, "odibi.layer": layer}  # the run's engine, not the first row's
            self._layers[layer] = self._child(self._span, f"layer {layer}", payload, facts)
        return self._layers[layer]

    def _end_layer(self, payload: Mapping[str, Any]) -> None:
        span = self._layer(payload)
        del self._layers[payload["layer"]]
        span.set_attributes(_attributes(payload, _OF_AN_END))
        if payload["failed"]:
            bad, rows = len(payload["failed"]), payload["transformations"]
            _set_error(span, f"{bad} of {counted(rows, 'transformation')} did not succeed")
        self._sender.put((span, _nanoseconds(payload["timestamp"])))

    def _start_attempt(self, payload: Mapping[str, Any]) -> None:
        from opentelemetry import context, trace

        name = payload["transformation_id"]
        facts = _attributes(payload, _OF_A_ROW)
        span = self._child(self._layer(payload), f"transform {name}", payload, facts)
        self._attempts[name, payload["attempt"]] = span
        # The worker copies this thread's context variables after this event, so spans of the
        # transformation and of libraries that it calls become children of this span.
        self._token = context.attach(trace.set_span_in_context(span))

    def _leave_attempt(self) -> None:
        """Restore the context that this thread had before the last attempt started."""
        from opentelemetry import context

        if self._token is not None:
            context.detach(self._token)
            self._token = None

    def _end_attempt(self, span: Span, payload: Mapping[str, Any]) -> None:
        ended = _nanoseconds(payload["end_time"])
        kind, message = payload["error_type"], payload["error_message"]
        span.set_attributes(_attributes(payload, _OF_AN_END))
        if payload["status"] == Status.CANCELLED.value:
            span.set_attribute("odibi.reason", message or "")
        elif payload["status"] not in DONE:
            error = {"exception.type": kind or "", "exception.message": message or ""}
            span.add_event("exception", error, timestamp=ended)
            _set_error(span, f"{kind}: {message}")
        self._sender.put((span, ended))

    def _never_started(self, event: EventType, payload: Mapping[str, Any]) -> None:
        layer, now = payload["layer"], _nanoseconds(payload["timestamp"])
        if layer not in self._layers or layer in self._last_unstarted:
            self._last_unstarted[layer] = now
        facts = _attributes({**payload, "reason": payload["error_message"]}, (*_OF_A_ROW, "reason"))
        self._layer(payload).add_event(event.value, facts, timestamp=now)

    def _child(
        self, parent: Span, name: str, payload: Mapping[str, Any], facts: dict[str, Any]
    ) -> Span:
        from opentelemetry import trace

        return self._tracer.start_span(
            name,
            context=trace.set_span_in_context(parent),
            attributes=facts,
            start_time=_nanoseconds(payload["timestamp"]),
        )


def _set_error(span: Span, text: str) -> None:
    from opentelemetry.trace import StatusCode

    span.set_status(StatusCode.ERROR, text)


def _attributes(payload: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """Return the known values of *keys* as attributes."""
    return {f"odibi.{key}": payload[key] for key in keys if payload.get(key) is not None}


def _nanoseconds(time: dt.datetime) -> int:
    """Return the exact nanoseconds since 1970. A float of seconds has too few digits."""
    return (time - _EPOCH) // dt.timedelta(microseconds=1) * 1000
